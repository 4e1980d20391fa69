"""Years of an office: `make soak-years`, and the share of it that is a test.

Owns the course from an empty folder to the last look into the book, and the rows of the results.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.results import Row, publish
from tests.soak.years.book import Book
from tests.soak.years.dates import DAY_SECONDS, Dates
from tests.soak.years.happenings import Happenings
from tests.soak.years.office import Office
from tests.support.virtual_time import VirtualTimeLoop

DAYS = 3 * 365
MEMBERS, GROWN = 24, 40
_SCHEDULE_EPOCHS = 60  # so that it is renewed by itself between two leavers, and warnings come
_LOOKS = "looks at the schedule's end"
_EARLY_DAY, _LATE_DAY = 600, 1000  # between which nothing may grow: the office has grown, the relay has a long ledger


@dataclass(frozen=True)
class Length:
    """`epochs`: of the schedule of keys; it is renewed when a third is left."""

    days: int
    members: int = MEMBERS
    grown: int = GROWN
    epochs: int = _SCHEDULE_EPOCHS


@dataclass
class Played:
    book: Book
    days: int
    sets: int = 0
    sizes: dict[int, dict[str, int]] = field(default_factory=dict)  # by day


async def _course(length: Length, office: Office, played: Played, seed: str, tell: bool) -> None:
    dates, book = office.dates, played.book
    await office.found(length.members, length.epochs)
    happenings = Happenings(office, length.days, length.members, length.grown, random.Random(seed))
    for _ in range(length.members):
        await happenings.newcomer()
    others = [
        asyncio.create_task(each) for each in (office.keep_time(), happenings.happen(), happenings.look_at_warnings())
    ]
    try:
        for day in range(1, length.days + 1):
            await dates.until(day)
            for task in [*others, *happenings.lives]:
                if task.done():
                    task.result()
            played.sizes[day] = office.sizes()
            if tell and day % 10 == 0:
                counts = ", ".join(f"{number:,} {name}" for name, number in sorted(book.counts.items()))
                print(f"day {day}: {counts}; {len(book.wrong)} wrong; {played.sizes[day]}", flush=True)
    finally:
        for task in [*others, *happenings.lives]:
            task.cancel()
        await asyncio.gather(*others, *happenings.lives, return_exceptions=True)
        await office.close()
    with office.issuer() as issuer:
        played.sets = issuer.parameters.serial
    book.close(dates.round())


def play(seed: str, length: Length, tell: bool = False) -> Played:
    """An office of that length of life."""
    played = Played(Book(tell), length.days)
    loop = VirtualTimeLoop()
    with tempfile.TemporaryDirectory(prefix="tessera-years-") as folder, pytest.MonkeyPatch.context() as patch:
        office = Office(Path(folder), Dates(loop), played.book, random.Random(seed + " IT"), patch)
        try:
            loop.run_until_complete(_course(length, office, played, seed, tell))
        finally:
            loop.close()
    return played


def growth(played: Played) -> list[str]:
    """Whose state is larger on a late day than on an early one by more than a half."""
    early, late = played.sizes[_EARLY_DAY], played.sizes[_LATE_DAY]
    return [f"{name}: {early[name]:,} bytes, then {late[name]:,}" for name in early if 2 * late[name] > 3 * early[name]]


def rows(played: Played) -> list[Row]:
    counts, book = played.book.counts, played.book

    def say(*names: str) -> str:
        return ", ".join(f"{counts[name]:,} {name}" for name in names)

    waits = sorted(name for name in counts if name.startswith("waited: "))
    found = [
        Row(
            f"{played.days:,} days of an office of {MEMBERS}, then {GROWN}",
            f"{say('letters', 'records', 'read', 'expired unread', 'never read')}; {len(book.wrong)} things wrong",
            "0 wrong",
            not book.wrong,
        ),
        Row("people", say("people who left", "leavers turned away", "computers restored from a backup", "read again")),
        Row("relays", say("stolen relays replaced", "letters on stolen relays", "letters sent again", "relay off")),
        Row("who waited to write", say("times somebody waited to write", *waits), "each told until when"),
        Row("sets", f"{played.sets} signed; {say(_LOOKS, 'warnings of it')}"),
    ]
    if played.days >= _LATE_DAY:
        early, late = played.sizes[_EARLY_DAY], played.sizes[_LATE_DAY]
        text = "; ".join(f"{name}: {early[name]:,} and {late[name]:,} bytes" for name in early)
        found.append(Row(f"state on day {_EARLY_DAY} and on day {_LATE_DAY:,}", text, "half as much again at most"))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Years of an office in fast motion.")
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--least", action="store_true", help="a few days of a small office")
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1 << 32)))
    chosen = parser.parse_args()
    length = Length(10, 6, 7, 31) if chosen.least else Length(chosen.days)
    print(f"seed {chosen.seed}: {length.days} days of {DAY_SECONDS:,} s")
    start = time.monotonic()
    played = play(chosen.seed, length, tell=True)
    if length.days >= _LATE_DAY:
        for grown in growth(played):
            played.book.fault(grown)
    whole = length.days >= DAYS
    return 0 if publish("soak-years", "make soak-years", rows(played), time.monotonic() - start, whole=whole) else 1


if __name__ == "__main__":
    sys.exit(main())
