"""Lengths of time as people write them: 90s, 30m, 8h, 2d."""

import re

from .errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MAX_SECONDS = 366 * 86400


def seconds(text: str) -> int:
    """Raises UsageError."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text) if isinstance(text, str) else None
    length = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < length <= MAX_SECONDS:
        raise UsageError(f"'{text}' is not a length of time", "write it like 30m, 8h or 2d, up to a year")
    return length


def text(length: int) -> str:
    """The shortest that says the same."""
    for unit, size in reversed(_SECONDS.items()):
        if length % size == 0:
            return f"{length // size}{unit}"
    raise AssertionError
