"""The office's calendar, as everybody in it reads it from the wall: rounds of an hour, days that begin at three.

Owns that arithmetic, which is not the product's, and the one clock. Time passes by waiting in the loop of
support/virtual_time.py.
"""

import asyncio

from tests.support.virtual_time import VirtualTimeLoop

ROUND_SECONDS = 3600
EPOCH_ROUNDS = 24
RETENTION_EPOCHS = 3
AHEAD_EPOCHS = 8  # for which members have tokens
DAY_SECONDS = ROUND_SECONDS * EPOCH_ROUNDS
GENESIS = 1_767_582_000  # Monday, 5 January 2026, 03:00 UTC, the office's winter time
_MONDAY_HOUR = 3
WEEK_DAYS, WORKDAYS = 7, 5


def epoch_of(round_: int) -> int:
    return round_ // EPOCH_ROUNDS


def first_kept(open_round: int) -> int:
    """What a relay has while this round is open: the open epoch and those of the retention before it."""
    return max(0, epoch_of(open_round) - RETENTION_EPOCHS) * EPOCH_ROUNDS


def is_workday(day: int) -> bool:
    """Days count from 0, a Monday."""
    return day % WEEK_DAYS < WORKDAYS


class Dates:
    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        """Unix seconds."""
        return GENESIS + self._loop.time()

    def unix(self) -> int:
        return int(self.now())

    def round(self) -> int:
        return int(self._loop.time()) // ROUND_SECONDS

    def day(self) -> float:
        """Days since the first Monday's midnight."""
        return (self._loop.time() + _MONDAY_HOUR * ROUND_SECONDS) / DAY_SECONDS

    async def until(self, day: float, hour: float = 0.0) -> None:
        """Nothing if that is past."""
        await asyncio.sleep(max(0.0, (day - self.day()) * DAY_SECONDS + hour * ROUND_SECONDS))
