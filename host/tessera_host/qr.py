"""QR codes in a terminal: half blocks, black on white whatever the terminal's own colours are.

Owns how a code is drawn. What is in it belongs to the caller.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import segno

QUIET_ZONE = 2  # modules; the standard wants 4, scanners do with 2, and 80 columns are not many
_LIGHT = "\x1b[38;5;16;48;5;231m"  # black on white out of the fixed colours, which no theme changes
_PLAIN = "\x1b[0m"
_HALVES = {(False, False): " ", (True, False): "\u2580", (False, True): "\u2584", (True, True): "\u2588"}


def lines(text: str, columns: int | None = None, error: str = "l", encoding: str = "utf-8") -> list[str]:
    """The code of a text, two modules a character; none if it is wider than `columns`, or if `encoding`, the console's,
    has no half blocks.

    `error` is the level of error correction: l for a screen, m for paper.
    """
    rows = [[bool(module) for module in row] for row in _code(text, error).matrix_iter(border=QUIET_ZONE)]
    if columns is not None and len(rows[0]) > columns:
        return []
    try:
        "".join(_HALVES.values()).encode(encoding)
    except UnicodeEncodeError:
        return []
    rows += [[False] * len(rows[0])] * (len(rows) % 2)
    return [_LIGHT + _line(*pair) + _PLAIN for pair in zip(rows[::2], rows[1::2], strict=True)]


def _line(upper: list[bool], lower: list[bool]) -> str:
    return "".join(_HALVES[pair] for pair in zip(upper, lower, strict=True))


def _code(text: str, error: str) -> "segno.QRCode":
    import segno  # for what a command draws: it loads much beside

    return segno.make(text, error=error, micro=False, boost_error=False)
