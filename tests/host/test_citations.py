"""Every section of the design and of the protocol that a file cites exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = {"DESIGN": ROOT / "docs" / "design.md", "PROTOCOL": ROOT / "firmware" / "PROTOCOL.md"}
FOLDERS = ("boards", "docs", "firmware", "host", "tests", "tools")
KINDS = {".py", ".pyi", ".md", ".c", ".h", ".mjs", ".sh"}
# "PROTOCOL §2, §7 and §12": a page and the sections that follow it, also over the end of a line of comment.
CITED = re.compile(r"\b(DESIGN|PROTOCOL)(?:\.md)?\s(?:[#*]\s)?§(\d+)((?:(?:,| and| to|,? or)\s(?:[#*]\s)?§\d+)*)")


def _sections(page: str) -> set[int]:
    return {int(number) for number in re.findall(r"^## (\d+)\. ", PAGES[page].read_text(), re.MULTILINE)}


def _cited() -> dict[str, dict[int, list[str]]]:
    found: dict[str, dict[int, list[str]]] = {page: {} for page in PAGES}
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix not in KINDS or "node_modules" in file.parts or not file.is_file():
                continue
            for page, first, others in CITED.findall(file.read_text()):
                for number in (first, *re.findall(r"§(\d+)", others)):
                    found[page].setdefault(int(number), []).append(str(file.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_sections_that_are_cited_exist(page: str) -> None:
    sections, cited = _sections(page), _cited()[page]
    assert sections == set(range(1, len(sections) + 1)) and len(cited) > 3
    assert {number: files for number, files in cited.items() if number not in sections} == {}


def test_a_list_of_sections_is_seen_whole() -> None:
    assert CITED.findall("as PROTOCOL §2, §7 and §12 say; DESIGN §3's rule") == [
        ("PROTOCOL", "2", ", §7 and §12"),
        ("DESIGN", "3", ""),
    ]
    assert CITED.findall("# (PROTOCOL\n# §10)") == [("PROTOCOL", "10", "")]


def test_files_that_the_protocol_names_exist() -> None:
    named = re.findall(r"`((?:tools|tests|firmware|docs)/[\w/]+\.\w+)`", PAGES["PROTOCOL"].read_text())
    assert "tools/spec/reference.py" in named
    assert [name for name in named if not (ROOT / name).is_file()] == []
