"""Lengths of time: as people write them in options and settings (90s, 30m, 8h, 2d), and as they read them.

Moments are clock's business.
"""

import re

from .errors import UsageError
from .text import count

DAY_SECONDS = 86400
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": DAY_SECONDS}
_UNITS = (("day", DAY_SECONDS), ("hour", 3600), ("minute", 60), ("second", 1))
MAX_SECONDS = 366 * DAY_SECONDS


def seconds(text: str) -> int:
    """Raises UsageError."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text) if isinstance(text, str) else None
    length = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < length <= MAX_SECONDS:
        raise UsageError(f"'{text}' is not a length of time", "write it like 30m, 8h or 2d, up to a year")
    return length


def text(length: int) -> str:
    """The shortest that seconds() reads as the same."""
    for unit, size in reversed(_SECONDS.items()):
        if length % size == 0:
            return f"{length // size}{unit}"
    raise AssertionError


def about(length: float) -> str:
    """For something to wait for, or measured: "119 s", "5 min", "2 h", "3 days"; of what is over, "0 s"."""
    if length < 2 * _SECONDS["m"]:
        return f"{max(0, round(length))} s"
    if length < 2 * _SECONDS["h"]:
        return f"{round(length / _SECONDS['m'])} min"
    if length < 2 * _SECONDS["d"]:
        return f"{round(length / _SECONDS['h'])} h"
    return f"{round(length / _SECONDS['d'])} days"


def in_words(length: int) -> str:
    """In the largest unit that it fills, to four digits: "1 day", "1.5 hours", "0 seconds"."""
    unit, size = next(((unit, size) for unit, size in _UNITS if length >= size), _UNITS[-1])
    return count(f"{length / size:.4g}", unit)
