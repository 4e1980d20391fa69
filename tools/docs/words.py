"""Forms of sentences that readers stumble over, looked for in the documents and in what programs say.

    python -m tools.docs.words [FILE...]    exit status 1 if there is one

Owns the forms. Each has what to write instead; docs/development/documents.md says how sentences are written.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

from tools.docs import ROOT

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/**/*.md",
    "tests/README.md",
    "firmware/PROTOCOL.md",
)
# Programs whose strings and docstrings are held to the same forms: what members see, and the code under it.
PROGRAMS = tuple(f"host/tessera_host/{package}/*.py" for package in ("agent", "keys", "member", "protocol"))
# Written before the rule, or what programs say of themselves, which is mended where they say it.
NOT_YET = {"docs/reference/cli.md", "docs/it/exit-codes.md"}

FORMS = {
    r"\b(?:for|of|to|from|by|with|than) who\b": "name the actor: 'for a member who …'",
    r"(?:^|[.:;] )Who (?:[a-z]+s|is|has|was|had|never)\b(?! what)(?![^.?]*\?)": "name the actor: 'A member who …'",
    r"\bwhoever (?:stood|forges)\b": "name the actor: 'an attacker who …'",
    r"\banother than\b": "'a different … from', 'other than'",
    r"\bthere is none\b|\bone is none\b|\bis none\b": "say what is missing",
    r"\b(?:is|are|was|were) (?:the )?[a-z]+'s(?=[.,;:)]|$)": "put the noun behind the possessive",
    r"\bano?ther'?s's\b": "put the noun behind the possessive",
    r"\ban? (?:member|relay|token|board|epoch) an? (?:epoch|round|relay|day|member)\b": "'for each member and epoch'",
    r"\bno \w+ any more\b": "'no longer'",
    r"\bwould have other\b": "say what differs: 'the words differ'",
    r"\bhas to be known\b": "'you need to know'",
    r"\bsee(?:n)? by all the others\b": "say who measures what",
    r"\b(?:bears?|bore) witness\b": "'proves'",
}
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    """The text with code blanked out, lines and columns as they were."""
    return _CODE.sub(lambda found: re.sub(r"[^\n]", "x", found[0]), text)


def findings(text: str) -> list[tuple[int, str, str]]:
    """(line, what stands there, what to write instead)."""
    plain = prose(text)
    found = [
        (plain.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), advice)
        for form, advice in FORMS.items()
        for match in re.finditer(form, plain, re.MULTILINE)
    ]
    return sorted(found)


def findings_in_program(source: str) -> list[tuple[int, str, str]]:
    """The same in the strings and docstrings of a Python file, each at the line on which the string begins."""
    strings = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    said = ((node.lineno, node.value) for node in strings if isinstance(node.value, str))
    return sorted((line, what, advice) for line, text in said for _, what, advice in findings(" ".join(text.split())))


def pages() -> list[Path]:
    found = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    return sorted(path for path in found if str(path.relative_to(ROOT)) not in NOT_YET)


def programs() -> list[Path]:
    return sorted(path for pattern in PROGRAMS for path in ROOT.glob(pattern))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.docs.words", description="Forms that readers stumble over.")
    parser.add_argument("files", type=Path, nargs="*", help="documents and Python files, if any is named")
    wrong = 0
    for path in parser.parse_args().files or [*pages(), *programs()]:
        look = findings_in_program if path.suffix == ".py" else findings
        for line, what, advice in look(path.read_text()):
            wrong += 1
            print(f"{path}:{line}: '{what}': {advice}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
