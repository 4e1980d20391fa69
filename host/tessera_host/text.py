"""Text for people: what another person wrote made harmless for a terminal; a number with its noun."""

import re
import unicodedata
from collections.abc import Iterator

from rich.cells import cell_len, get_character_cell_size

CONTINUED = "    | "  # before each line of a text but its first: no text can pass for an entry of a list
_TAB_COLUMNS = 8
_LEAST_COLUMNS = 20  # of a text; narrower terminals break lines as they like

# All that ends a line somewhere: Word and Notes write U+000B and U+2028 where people typed a soft return.
_LINE_BREAK = re.compile("\r\n|[\n\r\v\f\x85\u2028\u2029]")
# Invisible, within words and emoji of many languages: soft hyphen, zero-width blank and joiners, marks of direction
# that end by themselves (those that go on till they are closed turn round what stands behind them, and are not here).
_HARMLESS = "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u2060"
_EMOJI_TAGS = range(0xE0020, 0xE0080)  # the letters in the flags of parts of countries
_BYTE_ORDER_MARK = "\ufeff"  # what Windows' editors begin a text with


def printable(text: str) -> str:
    """The text with everything a terminal might act on written as its code; line breaks and tabs stay."""
    text = _LINE_BREAK.sub("\n", text.replace(_BYTE_ORDER_MARK, ""))
    return "".join(c if c in "\n\t" or _is_harmless(c) else _code(c) for c in text)


def one_line(text: str) -> str:
    """The same for what has its place within a line, such as the name of a file."""
    return "".join(c if _is_harmless(c) else _code(c) for c in text)


def entry(head: str, text: str, columns: int | None = None) -> str:
    """A text as one entry of a list, after its head: like `printable`, with its lines after the first marked. On a
    terminal of so many columns long lines are broken here, since it would break them itself, without a mark."""
    first, *others = printable(text).split("\n")
    if columns is None:
        return f"\n{CONTINUED}".join([head + first, *others])
    room = max(_LEAST_COLUMNS, columns - len(CONTINUED) - 1)
    lines = list(_broken(first, max(1, columns - 1 - cell_len(head)), room))
    lines += [piece for line in others for piece in _broken(line, room, room)]
    return head + f"\n{CONTINUED}".join(lines)


def count(number: int | str, what: str) -> str:
    """A number, or its digits, with its noun: 1 round, 2 rounds, 1.5 rounds."""
    return f"{number} {what}{'' if str(number) == '1' else 's'}"


def _is_harmless(c: str) -> bool:
    return c.isprintable() or c in _HARMLESS or ord(c) in _EMOJI_TAGS or unicodedata.category(c) == "Zs" or _is_new(c)


def _is_new(c: str) -> bool:
    """A character of a later Unicode than this Python's, such as an emoji of a new phone."""
    return unicodedata.category(c) == "Cn" and ord(c) & 0xFFFE != 0xFFFE and not 0xFDD0 <= ord(c) <= 0xFDEF


def _code(c: str) -> str:
    return f"\\u{{{ord(c):x}}}"


def _broken(line: str, first_columns: int, columns: int) -> Iterator[str]:
    """A line in pieces of so many columns, between words where there are any."""
    line, room = line.expandtabs(_TAB_COLUMNS), first_columns
    start, used, after_blank = 0, 0, 0
    for at, c in enumerate(line):
        if c == " ":
            after_blank = at + 1
        used += get_character_cell_size(c)
        if used > room:
            end = after_blank if start < after_blank <= at else at
            yield line[start:end]
            start, room = end, columns
            used = cell_len(line[start : at + 1])
    yield line[start:]
