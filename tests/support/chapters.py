"""Chapters of the documents, and the command blocks in them, for tests that type them as printed.

A page is named by its path in the repository, a chapter by its heading.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = "```"
_HEADING = re.compile(r"(#+) (.+)")


def text(page: str) -> str:
    return (ROOT / page).read_text()


def chapters(page: str) -> dict[str, str]:
    """What stands under each heading, to the next heading of any level. Lines of code that begin with # are none."""
    found: dict[str, list[str]] = {"": []}
    heading, in_code = "", False
    for line in text(page).splitlines(keepends=True):
        if line.startswith(_FENCE):
            in_code = not in_code
        match = None if in_code else _HEADING.match(line)
        if match:
            heading = match[2].strip()
            assert heading not in found, f"{page} has two chapters '{heading}'"
            found[heading] = []
        else:
            found[heading].append(line)
    return {heading: "".join(lines) for heading, lines in found.items()}


def scripts(written: str, language: str = "sh") -> list[str]:
    """The blocks of that language, in their order."""
    return re.findall(rf"^{_FENCE}{language}\n(.*?)^{_FENCE}$", written, re.DOTALL | re.MULTILINE)


def script(page: str, heading: str) -> str:
    """The one command block of a chapter."""
    (found,) = scripts(chapters(page)[heading])
    return found
