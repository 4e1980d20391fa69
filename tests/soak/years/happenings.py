"""What happens to the office in its years, and when: drawn from a seed, and the same share of any length of time.

Owns that calendar. How IT does what it does is office.py's, how people live people.py's.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

from tests.soak.years.dates import WEEK_DAYS, is_workday
from tests.soak.years.office import Office
from tests.soak.years.people import Person

_OFFICE_HOUR = 10.0  # of IT
_FRIENDS = 3  # whom a newcomer meets
_HOLIDAY_DAYS = 21
_AGENTS_PART = 12  # every so manyth has one


class Happenings:
    """`span` days of an office of so many members that grows to so many."""

    def __init__(self, office: Office, span: int, members: int, grown: int, dice: random.Random) -> None:
        self.office, self.span, self.members, self.grown, self.dice = office, span, members, grown, dice
        self.people: list[Person] = []
        self.lives: list[asyncio.Task[None]] = []
        self._names = 0
        self._between_backup_and_restore: list[str] | None = None  # who left meanwhile
        self._disaster = asyncio.Lock()  # one at a time

    # -- people

    @property
    def present(self) -> list[Person]:
        return [person for person in self.people if not person.has_left]

    async def newcomer(self) -> None:
        """Joins, meets some, and lives from the next day on; perhaps is away for three weeks, once in half a year."""
        self._names += 1
        relays = [name for name in self.office.relays if self.office.is_on(name)]
        has_agent = self._names % _AGENTS_PART == 1
        person = Person(
            self.office,
            f"p{self._names:03}",
            self.dice.choice(relays),
            has_agent,
            random.Random(self.dice.randrange(1 << 32)),
        )
        await person.join()
        others = self.present
        for other in self.dice.sample(others, min(_FRIENDS, len(others))):
            await person.meet(other)
        day = self.office.dates.day() + self.dice.uniform(5, 180)
        while day < self.span:
            person.away.append((int(day), int(day) + _HOLIDAY_DAYS))
            day += self.dice.uniform(90, 270)
        self.people.append(person)
        self.lives.append(asyncio.create_task(person.live()))

    async def leave(self, person: Person) -> None:
        """Keys are rotated on every leaver."""
        last, serial = await self.office.remove(person.name)
        person.leave(serial)
        self.office.book.left(person.name, last)
        if self._between_backup_and_restore is not None:
            self._between_backup_and_restore.append(person.name)
        await self.office.push()

    def _somebody(self) -> Person:
        return self.dice.choice(self.present)

    # -- what happens

    async def somebody_leaves(self) -> None:
        """And another one comes in the same week."""
        await self.leave(self._somebody())
        await self._later(self.dice.uniform(1, 5))
        await self.somebody_joins()

    async def somebody_joins(self) -> None:
        while self._between_backup_and_restore is not None:  # who joins then has to join again: people wait with that
            await self._later(1)
        await self.newcomer()

    async def grow(self) -> None:
        """A renewal with a larger plan; then they come, one after the other."""
        self.office.grow(self.grown)
        await self.office.push()
        for _ in range(self.grown - self.members):
            await self._later(self.dice.uniform(0.5, 1.5) * self.span / 400)
            await self.somebody_joins()

    async def second_relay(self) -> None:
        self.office.add_relay("paris")
        await self.office.push()

    async def theft(self, relay: str) -> None:
        """Noticed at once; the new one is there the next day."""
        async with self._disaster:
            self.office.steal(relay)
            await self._later(self.dice.uniform(0.2, 1.2))
            self.office.replace(relay)
            await self.office.push()

    async def off_for_two_sets(self, relay: str) -> None:
        """Two leave while it is off."""
        async with self._disaster:
            self.office.relays[relay].look()
            self.office.switch(relay, on=False)
            for _ in range(2):
                await self._later(0.6)
                await self.leave(self._somebody())
            await self._later(0.7)
            self.office.switch(relay, on=True)
            await self.office.dates.until(int(self.office.dates.day()) + 1, 7)
            await self.office.push()  # members of before who came meanwhile have brought it already
        for _ in range(2):
            await self._later(1)
            await self.somebody_joins()

    async def issuer_restored(self) -> None:
        """From a backup that is some days old, since which two left."""
        async with self._disaster:
            await self.office.back_up()
            self._between_backup_and_restore = []
            for _ in range(2):
                await self._later(1)
                await self.leave(self._somebody())
            await self._later(2)
            await self.office.restore()
            left, self._between_backup_and_restore = self._between_backup_and_restore, None
            for name in left:  # what was changed since the backup is to be done again
                await self.office.remove(name)
            await self.office.push()
        for _ in range(2):
            await self.somebody_joins()

    async def computer_lost(self) -> None:
        """In the evening, when it is off."""
        await self.office.dates.until(int(self.office.dates.day()), 19)
        self._somebody().lose_computer()

    async def _later(self, days: float) -> None:
        await self.office.dates.until(self.office.dates.day() + days)

    # -- the calendar

    def calendar(self) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        """What happens on which day."""
        span, dice = self.span, self.dice

        def at(part: float) -> float:
            return span * part + dice.uniform(-0.01, 0.01) * span

        found: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (at(0.12), self.second_relay),
            (at(0.22), lambda: self.theft("berlin")),
            (at(0.32), self.grow),
            (at(0.46), lambda: self.off_for_two_sets("paris")),
            (at(0.60), self.issuer_restored),
            (at(0.74), lambda: self.theft("paris")),
            (at(0.84), lambda: self.theft("berlin")),
        ]
        found += [(at(part), self.somebody_leaves) for part in _evenly(max(2, span // 50))]
        found += [(at(part), self.computer_lost) for part in _evenly(max(2, span // 60))]
        return sorted(((day, what) for day, what in found), key=lambda each: each[0])

    async def happen(self) -> None:
        """All of it, each in office hours of a workday."""
        under_way = []
        for day, what in self.calendar():
            while not is_workday(int(day)):
                day += 1
            await self.office.dates.until(int(day), _OFFICE_HOUR + self.dice.uniform(0, 4))
            under_way.append(asyncio.create_task(what()))
            self.lives += under_way[-1:]
        await asyncio.gather(*under_way)

    async def look_at_warnings(self) -> None:
        """Twice a week."""
        while True:
            await self._later(WEEK_DAYS / 2)
            await self.office.check_warnings(self.office.dates.day())


def _evenly(times: int) -> list[float]:
    """Parts of the span, not at its ends."""
    return [0.06 + 0.86 * (number + 0.5) / times for number in range(times)]
