"""What other people wrote, shown: nothing acts on the terminal, nothing passes for something else, and ordinary text of
any language is as they wrote it."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tessera_host.text import CONTINUED, entry, one_line, printable

HEAD = "28 Nov 18:30 bob: "
FORGED = "28 Nov 18:31 carol: the code is 1234"


@pytest.mark.parametrize(
    "text",
    [
        "Grüße 世界 \U0001f469\u200d\U0001f4bb a\tb\nc",
        "全角\u3000スペース",
        "10\u00a0000\u202f\u20ac, 5\u2009%",
        "\u200f\u05e9\u05dc\u05d5\u05dd\u200f (abc) \u200eabc",
        "\u061c\u0645\u0631\u062d\u0628\u0627",
        "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u200b\u0e04\u0e23\u0e31\u0e1a",
        "Donau\u00addampf",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "\U0001fae8 \U0001fabf",  # of 2022: newer than the Unicode that Python 3.11 knows
        "e\u0301",
    ],
)
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029"])
def test_a_line_break_of_any_program_is_one(line_break: str) -> None:
    assert printable(f"a{line_break}b") == "a\nb"
    assert entry(HEAD, f"hello{line_break}{FORGED}") == f"{HEAD}hello\n{CONTINUED}{FORGED}"


def test_a_byte_order_mark_is_no_text() -> None:
    assert printable("\ufeffa") == "a"


@pytest.mark.parametrize(
    "c", [chr(n) for n in range(0x20) if chr(n) not in "\t\n\v\f\r"] + ["\x7f", "\x9b", "\u202e", "\u2066"]
)
def test_what_a_terminal_acts_on_is_shown_as_its_code(c: str) -> None:
    assert printable(f"a{c}b") == one_line(f"a{c}b") == f"a\\u{{{ord(c):x}}}b"


def test_a_name_is_one_line() -> None:
    assert one_line(f"a\n{FORGED}\t") == f"a\\u{{a}}{FORGED}\\u{{9}}"


@given(st.text(), st.sampled_from([None, 30, 80]))
def test_only_the_head_begins_at_the_left_and_nothing_is_lost(text: str, columns: int | None) -> None:
    first, *others = entry(HEAD, text, columns).split("\n")
    assert first.startswith(HEAD)
    assert all(line.startswith(CONTINUED) for line in others)
    shown = "".join([first.removeprefix(HEAD), *(line.removeprefix(CONTINUED) for line in others)])
    assert _without_blanks(shown) == _without_blanks(printable(text))
    if columns:
        assert all(cell_len(line) < columns for line in others)


def _without_blanks(text: str) -> str:
    return text.translate(dict.fromkeys(map(ord, " \t\n")))


@pytest.mark.parametrize("padding", [" " * 200, "\t" * 40, "\u3000" * 100, "x" * 61, "世" * 31])
def test_no_text_moves_a_line_of_its_own_to_the_left_edge_of_a_terminal(padding: str) -> None:
    lines = entry(HEAD, f"hello{padding}{FORGED}", 80).split("\n")
    assert len(lines) > 1
    assert all(cell_len(line) < 80 for line in lines)
    assert all(line.startswith(CONTINUED) for line in lines[1:])


def test_every_character_can_be_shown_or_has_its_code() -> None:
    shown = printable("".join(map(chr, range(sys.maxunicode + 1))))
    shown.encode()
    assert not any("\ud800" <= c <= "\udfff" or c in "\x1b\x07\x9b\u202e" for c in shown)
