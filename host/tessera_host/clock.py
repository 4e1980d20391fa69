"""Moments: now, in whole unix seconds from a function that tests replace, and as people read them.

Lengths of time are duration's business.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], int]

_ZONE_LETTERS = 5


def unix_now() -> int:
    return int(time.time())


def utc_now() -> str:
    """For files that are kept: ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def utc_time(unix_seconds: float) -> str:
    """A moment for people in several places, who have to be told that it is UTC: 2026-11-27 14:05."""
    return f"{datetime.fromtimestamp(unix_seconds, UTC):%Y-%m-%d %H:%M}"


# -- in this computer's time zone


def local_time(unix_seconds: float) -> str:
    """With its zone, as people in several places pass it on: 2026-11-27 14:05 CET."""
    moment = datetime.fromtimestamp(unix_seconds).astimezone()
    name = moment.tzname() or ""
    short = name if name.isalpha() and len(name) <= _ZONE_LETTERS else f"UTC{moment:%z}"  # Windows has long ones
    return f"{moment:%Y-%m-%d %H:%M} {short}"


def short_local_time(unix_seconds: float) -> str:
    """For a list of what happened lately: 27 Nov 14:05."""
    return f"{datetime.fromtimestamp(unix_seconds):%d %b %H:%M}"


def local_day(unix_seconds: float) -> str:
    """Fri 27 Nov 2026."""
    return f"{datetime.fromtimestamp(unix_seconds):%a %d %b %Y}"


def local_time_of_day(unix_seconds: float) -> str:
    """14:05."""
    return f"{datetime.fromtimestamp(unix_seconds):%H:%M}"
