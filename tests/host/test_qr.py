"""QR codes in a terminal: what is drawn is the code, and it is black on white."""

import json
import re
from pathlib import Path

import pytest
import segno

from tessera_host import qr

HALVES = {" ": (0, 0), "\u2580": (1, 0), "\u2584": (0, 1), "\u2588": (1, 1)}


@pytest.mark.parametrize("text", ["tessera", "tessera:invite:" + "Aa-_" * 110])
def test_modules_are_those_of_the_code(text: str) -> None:
    drawn: list[list[int]] = []
    for line in qr.lines(text):
        halves = [HALVES[character] for character in re.sub(r"\x1b\[[0-9;]*m", "", line)]
        drawn += [[upper for upper, _ in halves], [lower for _, lower in halves]]
    code = segno.make(text, error="l", micro=False, boost_error=False)
    expected = [list(row) for row in code.matrix_iter(border=2)]
    assert drawn[: len(expected)] == expected
    assert not any(any(row) for row in drawn[len(expected) :])


def test_every_line_sets_its_own_colours() -> None:
    """Foreground 16 is black, background 231 white, in the part of the palette that themes leave alone."""
    for line in qr.lines("x"):
        assert line.startswith("\x1b[38;5;16;48;5;231m")
        assert line.endswith("\x1b[0m")


def test_code_that_is_too_wide_is_not_drawn() -> None:
    assert qr.lines("x", columns=24) == []
    assert len(qr.lines("x", columns=25)) == 13


def test_code_is_not_drawn_in_characters_that_the_console_does_not_have() -> None:
    assert qr.lines("x", encoding="cp1252") == []
    assert qr.lines("x", encoding="cp850") == qr.lines("x")


def test_cards_of_a_meeting_fit_eighty_columns() -> None:
    vectors = json.loads((Path(__file__).parent.parent / "vectors" / "contact.json").read_text())
    for card in ("invite", "answer", "confirm"):
        assert qr.lines(vectors["enrolments"][0][card]["text"], columns=79)
