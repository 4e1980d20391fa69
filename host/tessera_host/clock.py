"""The time of day as the rest of the package sees it: whole unix seconds, from a function that tests replace."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], int]


def unix_now() -> int:
    return int(time.time())


def utc_now() -> str:
    """For files that are kept: ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def local_time(unix_seconds: float) -> str:
    """A moment for people, in this computer's time zone: 2026-11-27 14:05."""
    return f"{datetime.fromtimestamp(unix_seconds):%Y-%m-%d %H:%M}"
