"""A cluster whose relays burn: `make test-cluster`, and the share of it that is a test.

Members with agents write to each other; again and again as many relays as may burn are killed at once and their
directories deleted, between two requests or in the middle of one, and others put into their places. What must hold is
book.py's. Owns the course of that, the eight settings, and the rows of the results.
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.auditor import Auditor
from tests.cluster.book import Book
from tests.cluster.nodes import CPYTHON, MICROPYTHON
from tests.cluster.office import EPOCH_ROUNDS, RETENTION_EPOCHS, ROUND_SECONDS, Office, Setting, homes
from tests.cluster.people import Person
from tests.results import Part, Row, keep_part, kept_part, publish
from tests.support.tasks import stop

SETTINGS = [
    Setting(runtime, topology, copies)
    for runtime in (CPYTHON, MICROPYTHON)
    for topology in ("mesh", "ring")
    for copies in (2, 3)
]
BURNINGS = 50
_FRIENDS = (1, 2, 7)  # who is so many places further in the office
_WRITES_EVERY_ROUNDS = 6.0
_AWAY_PART, _AWAY_ROUNDS = 4, (4, 20)  # every so manyth is away for so many rounds, and comes back
_AT_ONCE = 2  # settings a processor
_REST_ROUNDS = 6  # after the last burning until nothing is written any more, and then until all is read
_QUIET_ROUNDS = (2, 3)  # from a replacement until relays burn again
_DOWN_ROUNDS = (1, 2)  # from that until others take their places


@dataclass(frozen=True)
class Length:
    burnings: int = BURNINGS
    quiet: tuple[int, int] = _QUIET_ROUNDS
    rest: tuple[int, int] = (EPOCH_ROUNDS + EPOCH_ROUNDS // 2, EPOCH_ROUNDS * (RETENTION_EPOCHS + 1))


class Play:
    def __init__(self, office: Office, book: Book, length: Length, seed: str, tell: bool) -> None:
        self.office, self.book, self.length, self._tell = office, book, length, tell
        self._dice = random.Random(seed)
        self.people: list[Person] = []

    async def run(self) -> None:
        await self.office.found()
        await self._found_people()
        others = [asyncio.create_task(Auditor(self.office, self.book).read_every_round())]
        lives = [asyncio.create_task(self._life(number)) for number in range(len(self.people))]
        writing = [asyncio.create_task(person.write_now_and_then(_WRITES_EVERY_ROUNDS)) for person in self.people]
        try:
            await self._pass_rounds(2)
            for number in range(1, self.length.burnings + 1):
                await self._pass_rounds(self._dice.randint(*self.length.quiet), *lives, *writing, *others)
                await self._burn_some()
                if self._tell:
                    self._say(number)
            await self._pass_rounds(_REST_ROUNDS, *lives, *writing, *others)
            await stop(*writing)
            end = self.office.loop.round()
            await self._rest(*lives, *others)
        finally:
            await stop(*writing, *lives, *others)
        self._judge(end)

    async def _found_people(self) -> None:
        setting = self.office.setting
        for number, home in enumerate(homes(setting, self._dice)):
            dice = random.Random(self._dice.random())
            person = Person(self.office, self.book, f"member-{number}", home, dice)
            await person.join()
            self.people.append(person)
        for number, person in enumerate(self.people):
            for further in _FRIENDS:
                other = self.people[(number + further) % len(self.people)]
                if other is not person and other.name not in person.contacts:
                    person.meet(other)

    async def _life(self, number: int) -> None:
        """For ever; some are away again and again."""
        person, dice = self.people[number], random.Random(self._dice.random())
        goes_away = number % _AWAY_PART == 0
        while True:
            await person.live(dice.randint(*_AWAY_ROUNDS) if goes_away else EPOCH_ROUNDS)
            if goes_away and len(self.book.burnings) < self.length.burnings:
                away = dice.randint(*_AWAY_ROUNDS)
                begin = self.office.loop.round()
                self.book.away.setdefault(person.name, []).append((begin - 2, begin + away + 1))
                await self._pass_rounds(away)

    async def _rest(self, *watched: "asyncio.Task[None]") -> None:
        """As long as all that burnt takes to fill again, within bounds: with three copies and a burning every four
        rounds agents are behind by more than an epoch's posts at the end."""
        least, most = self.length.rest
        for passed in range(most):
            if passed >= least and not self.book.waits():
                return
            await self._pass_rounds(1, *watched)

    # -- relays

    async def _burn_some(self) -> None:
        """As many as may burn, at a random moment; then others take their places."""
        copies, nodes = self.office.setting.copies, self.office.nodes
        victims = self._dice.sample(list(nodes.by_name), max(1, copies - 1))
        if self._dice.random() < 0.5:
            await asyncio.sleep(self._dice.uniform(0, ROUND_SECONDS))
            await self._burn(victims)
        else:
            await self._burn_while_somebody_waits(victims)
        down = self._dice.randint(*_DOWN_ROUNDS)
        await self._pass_rounds(down)
        for refusal in await self.office.replace(victims):
            self.book.fault(f"IT cannot tell a relay: {refusal}")
        self.book.counts["relays replaced"] += len(victims)

    async def _burn(self, victims: Sequence[str]) -> None:
        for person in self.people:
            await person.note_sent()
        self.office.burn(victims)
        self.book.burnt(list(victims), self.office.loop.round())

    async def _burn_while_somebody_waits(self, victims: Sequence[str]) -> None:
        """For an answer of one of them: the request is on its way, or it is answered and nobody hears it."""
        burnt = asyncio.Event()
        port, left = self.office.nodes.by_name[victims[0]].port, self._dice.randrange(20)

        async def before_read(asked: int) -> None:
            nonlocal left
            if asked != port or burnt.is_set():
                return
            left -= 1
            if left < 0:
                burnt.set()
                self.book.counts["burnt in the middle of a request"] += 1
                await self._burn(victims)

        before, self.office.tap.before_read = self.office.tap.before_read, before_read
        try:
            await burnt.wait()
        finally:
            self.office.tap.before_read = before

    # -- time

    async def _pass_rounds(self, rounds: int, *watched: "asyncio.Task[None]") -> None:
        """Unless one of those at work has failed."""
        loop = self.office.loop
        for _ in range(rounds):
            await asyncio.sleep(loop.start_of(loop.round() + 1) - loop.time())
            for task in watched:
                if task.done():
                    task.result()

    def _say(self, number: int) -> None:
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(self.book.counts.items()))
        setting, wrong = self.office.setting, self.book.wrong
        print(f"{setting}: {number} burnt, round {self.office.loop.round()}: {counts}; {len(wrong)} wrong", flush=True)
        for each in wrong[:3]:
            print(f"FAIL  {setting}: {each}", flush=True)

    def _judge(self, end: int) -> None:
        self.book.close(end, EPOCH_ROUNDS * RETENTION_EPOCHS)
        for node in self.office.nodes:
            node.kill()
            self.book.wrong += [f"{node.name} said: {line}" for line in node.complaints]
        self.book.wrong += [f"the service reports: {report}" for report in self.office.reports]


def play(setting: Setting, length: Length, seed: str, tell: bool = False) -> Book:
    """One setting, from an empty folder to the last look into the book."""
    book = Book()
    with (
        tempfile.TemporaryDirectory(prefix="tessera-cluster-") as folder,
        pytest.MonkeyPatch.context() as patch,
        Office(Path(folder), setting, patch) as office,
    ):
        office.run(Play(office, book, length, seed, tell).run())
    return book


def rows(setting: Setting, book: Book) -> list[Row]:
    counts = book.counts

    def say(*names: str) -> str:
        return ", ".join(f"{counts[name]:,} {name}" for name in names)

    return [
        Row(
            str(setting),
            f"{say('relays burnt', 'burnt in the middle of a request', 'letters', 'safe', 'read', 'never read')}; "
            f"{len(book.wrong)} things wrong",
            "0 wrong",
            not book.wrong,
        ),
        Row(
            "",
            say(
                "safe and unread when relays burnt",
                "given up",
                "told lost",
                "most rounds to be read",
                "records compared",
            ),
            "as many compared as published",
            counts["records compared"] > 0,
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="A cluster whose relays burn.")
    parser.add_argument("--burnings", type=int, default=BURNINGS, help="of each setting")
    parser.add_argument("--runtime", choices=(CPYTHON, MICROPYTHON), help="only these")
    parser.add_argument("--topology", choices=("mesh", "ring"))
    parser.add_argument("--copies", type=int, choices=(2, 3))
    parser.add_argument("--members", type=int, default=Setting.members)
    parser.add_argument("--least", action="store_true", help="one burning in one small setting")
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1 << 32)))
    chosen = parser.parse_args()
    length = Length(burnings=1 if chosen.least else chosen.burnings)
    is_whole = length.burnings >= BURNINGS and chosen.members == Setting.members
    settings = [
        Setting(each.runtime, each.topology, each.copies, members=6 if chosen.least else chosen.members)
        for each in SETTINGS
        if chosen.runtime in (None, each.runtime)
        and chosen.topology in (None, each.topology)
        and chosen.copies in (None, each.copies)
    ]
    settings = settings[:1] if chosen.least else settings
    kept = {setting: kept_part("cluster", str(setting)) for setting in settings} if is_whole else {}
    played = [setting for setting in settings if not kept.get(setting)]
    print(f"seed {chosen.seed}, {length.burnings} burnings in each of {len(played)} settings")
    for setting in settings:
        if setting not in played:
            print(f"{setting}: played to its end at this commit")
    start, found = time.monotonic(), {setting: part for setting, part in kept.items() if part}
    # Several a processor: most of the time an agent waits some milliseconds for its answer, as it would in an office.
    at_once = min(len(played), _AT_ONCE * (os.cpu_count() or 1)) or 1
    with ProcessPoolExecutor(at_once, mp_context=multiprocessing.get_context("spawn")) as processes:
        plays = {processes.submit(play, setting, length, chosen.seed, True): setting for setting in played}
        for ended in as_completed(plays):
            setting, book = plays[ended], ended.result()
            for wrong in book.wrong[:20]:
                print(f"FAIL  {setting}: {wrong}")
            found[setting] = Part(rows(setting, book), time.monotonic() - start)
            if is_whole:
                keep_part("cluster", str(setting), found[setting])
    whole = is_whole and len(found) == len(SETTINGS)
    table = [row for setting in settings for row in found[setting].rows]
    seconds = max((part.seconds for part in found.values()), default=0.0)
    return 0 if publish("cluster", "make test-cluster", table, seconds, whole=whole) else 1


if __name__ == "__main__":
    sys.exit(main())
