"""A fleet whose processes are killed and whose hosts lose each other: `make test-fleet`, and the share of it that is a
test.

Members post, some by agents, while any process of three gateways and three nodes of the engine is killed again and
again, and cables between them are cut; at the end all nodes are stopped. What must hold is book.py's. Owns the course
of that and the rows of the results.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tessera_host.errors import TesseraError
from tests.cluster.people import Person
from tests.fleet.book import ACKNOWLEDGED, Book
from tests.fleet.letters import Letters
from tests.fleet.members import Auditor, Writer, name_of
from tests.fleet.office import Office, Setting
from tests.patience import PATIENCE_SECONDS
from tests.results import Row, publish
from tests.support import quick_keystores
from tests.support.tasks import stop

MINUTES = 20.0
LEAST_SHARE = 0.5  # of what is offered
BUSY_SECONDS, BACK_SECONDS = 10.0, 30.0  # all nodes stopped: until a post is refused; until one is taken again


@dataclass(frozen=True)
class Length:
    """kill_seconds, cut_seconds: from one to the next. least_kills, least_acknowledged: however long that takes."""

    seconds: float = 60 * MINUTES
    kill_seconds: float = 15.0
    down: tuple[float, float] = (1.0, 5.0)
    cut_seconds: float = 25.0
    cut: tuple[float, float] = (3.0, 10.0)
    writers: int = 16
    who_break_rules: int = 2
    people: int = 4
    stop_all: bool = True
    least_kills: int = 0
    least_acknowledged: int = 0


class Play:
    def __init__(self, office: Office, book: Book, letters: Letters, length: Length, seed: str, tell: bool) -> None:
        self.office, self.book, self.letters, self.length, self._tell = office, book, letters, length, tell
        self._dice = random.Random(seed)
        self._seed = seed
        self._own = Writer(office, book, "watch", True, seed)  # whose posts look whether there is service

    async def run(self) -> None:
        async with self.office.founded():
            self._own.join()
            await self._until_service()
            await self._found_members()
            auditor = Auditor(self.office, self.book, self._own.member)
            lives = [asyncio.create_task(each.live()) for each in self._writers]
            lives += [asyncio.create_task(self._life(person)) for person in self.people]
            reading = asyncio.create_task(auditor.live())
            try:
                await self._trouble(lives)
                await self._until_acknowledged(lives)
                if self.length.stop_all:
                    await self._stop_all(auditor)
                await stop(*lives[: len(self._writers)])
                end = self.office.loop.round()
                read = end + 2
                await self._until_read(auditor, read, reading)
                await self._until_letters(lives)
            finally:
                await stop(*lives, reading)
            self.letters.close(end, self.office.setting.epoch_rounds * self.office.setting.retention_epochs)
        for gateway in self.office.gateways.values():
            gateway.kill()
        self.book.close(set(self.office.gateways), read)
        self.book.wrong += [f"letters: {each}" for each in self.letters.wrong]
        self.book.counts["letters written"] = self.letters.counts["letters"]
        self.book.counts["letters read"] = self.letters.counts["read"]
        self.book.wrong += [f"the service reports: {report}" for report in self.office.reports]

    # -- members

    async def _found_members(self) -> None:
        rules = [True] * self.length.writers + [False] * self.length.who_break_rules
        self._writers = [
            Writer(self.office, self.book, f"writer-{number}", keeps, self._seed) for number, keeps in enumerate(rules)
        ]
        for writer in self._writers:
            writer.join()
        office: Any = self.office
        book: Any = self.letters
        self.people = [
            Person(office, book, f"person-{number}", "fleet", random.Random(f"{self._seed} {number}"))
            for number in range(self.length.people)
        ]
        for person in self.people:
            await person.join()
        for number, person in enumerate(self.people):
            other = self.people[(number + 1) % len(self.people)]
            if other is not person and other.name not in person.contacts:
                person.meet(other)

    async def _life(self, person: Person) -> None:
        writing = asyncio.create_task(self._writing(person))
        try:
            while True:
                await person.live(self.office.setting.epoch_rounds)
        finally:
            writing.cancel()

    async def _writing(self, person: Person) -> None:
        while True:
            await asyncio.sleep(person.dice.expovariate(1 / (6 * self.office.setting.round_seconds)))
            if not self.letters.over:
                await person.write(person.dice.choice(list(person.contacts.values())))

    # -- trouble

    async def _trouble(self, lives: Sequence["asyncio.Task[None]"]) -> None:
        end = time.monotonic() + self.length.seconds
        works = [asyncio.create_task(self._kill_now_and_then(end)), asyncio.create_task(self._cut_now_and_then(end))]
        try:
            while not all(work.done() for work in works):
                await asyncio.sleep(1)
                for task in (*lives, *works):
                    if task.done():
                        task.result()
        finally:
            await stop(*works)

    async def _kill_now_and_then(self, end: float) -> None:
        while (left := end - time.monotonic()) > 0 or self._kills < self.length.least_kills:
            await asyncio.sleep(min(self.length.kill_seconds, max(0.0, left)))
            await self.kill_one(
                self._dice.choice([*(("node", n) for n in range(3)), *(("gateway", g) for g in self.office.gateways)])
            )
            self._say()

    @property
    def _kills(self) -> int:
        return self.book.counts["nodes killed"] + self.book.counts["gateways killed"]

    async def kill_one(self, victim: tuple[str, int]) -> None:
        """SIGKILL, and a start after a while."""
        kind, number = victim
        if kind == "node":
            self.office.engine.nodes.kill(number)
        else:
            self.office.gateways[number].kill()
        self.book.counts[f"{kind}s killed"] += 1
        await asyncio.sleep(self._dice.uniform(*self.length.down))
        if kind == "node":
            await asyncio.to_thread(self.office.engine.nodes.start, number)
        else:
            self.office.gateways[number].start()

    async def _cut_now_and_then(self, end: float) -> None:
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(self.length.cut_seconds, left))
            await self.cut_one()

    async def cut_one(self) -> None:
        """A node from the others, or a gateway from one node or from all."""
        engine, dice = self.office.engine, self._dice
        gateway, node = dice.choice(list(self.office.gateways)), dice.randrange(3)
        cuts: list[tuple[str, Callable[[], AbstractContextManager[None]]]] = [
            ("nodes cut off", lambda: engine.node_cut_off(node)),
            ("gateways cut off from a node", lambda: engine.gateway_cut_off(gateway, node)),
            ("gateways cut off", lambda: engine.gateway_cut_off(gateway, 0, 1, 2)),
        ]
        name, cut = dice.choice(cuts)
        with cut():
            await asyncio.sleep(dice.uniform(*self.length.cut))
        self.book.counts[name] += 1

    async def _stop_all(self, auditor: Auditor) -> None:
        """All nodes at once: members are told soon, read what is sealed meanwhile, and are served soon again."""
        for gateway in self.office.gateways.values():
            await gateway.serves()
        await self._until_service()
        async with self._own.session() as (connection, _):
            self.office.engine.nodes.kill()
            began = time.monotonic()
            try:
                answer = f"with round {await connection.post(0, self._dice.randbytes(240))}"
            except TesseraError as error:
                answer = name_of(error)
            self.book.took("all nodes stopped: until a post is answered", time.monotonic() - began)
        if answer != "BUSY":
            self.book.fault(f"with all nodes stopped a post is answered {answer}")
        await self._admission_is_busy()
        for number in self.office.gateways:
            await auditor.fetch(number, 0, auditor.read[number] - 1, auditor.read[number])
        await asyncio.to_thread(self.office.engine.nodes.start)
        began = time.monotonic()
        await self._until_service()
        self.book.took("all nodes back: until one is acknowledged", time.monotonic() - began)

    async def _admission_is_busy(self) -> None:
        """Of a member who has no session: in an epoch of constant batches it needs the log, too."""
        began = time.monotonic()
        try:
            async with self._own.session():
                answer = "admitted"
        except TesseraError as error:
            answer = name_of(error)
        self.book.took("all nodes stopped: until admission is answered", time.monotonic() - began)
        if answer != "BUSY":
            self.book.fault(f"with all nodes stopped a member without a session is answered {answer}")

    # -- waiting

    async def _until_service(self) -> None:
        """Until a VOID is answered."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self._own.void() != ACKNOWLEDGED:
                await asyncio.sleep(0.2)

    async def _until_acknowledged(self, lives: Sequence["asyncio.Task[None]"]) -> None:
        """Until so much of what was offered was acknowledged, for which a busy computer may need more rounds."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.book.acknowledged < self.length.least_acknowledged:
                await asyncio.sleep(0.5)
                for task in lives:
                    if task.done():
                        task.result()

    async def _until_read(self, auditor: Auditor, end: int, reading: "asyncio.Task[None]") -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while min(auditor.read.values()) < end:
                if reading.done():
                    reading.result()
                await asyncio.sleep(0.5)

    async def _until_letters(self, lives: Sequence["asyncio.Task[None]"]) -> None:
        """Until everything that was written is read."""
        self.letters.over = True
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.letters.unread:
                await asyncio.sleep(0.5)
                for task in lives:
                    if task.done() and not task.cancelled():
                        task.result()

    def _say(self) -> None:
        if not self._tell:
            return
        posts = self.book.posts
        taken = sum(post.answer == ACKNOWLEDGED for post in posts)
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(self.book.counts.items()))
        print(
            f"round {self.office.loop.round()}: {taken:,} of {len(posts):,} posts acknowledged; {counts}; "
            f"{len(self.book.wrong)} wrong",
            flush=True,
        )


def play(setting: Setting, length: Length, seed: str, tell: bool = False) -> Book:
    """From an empty folder to the last look into the book."""
    book = Book(setting.epoch_rounds, setting.posts_per_token)
    with (
        tempfile.TemporaryDirectory(prefix="tessera-fleet-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        quick_keystores.use(patch)
        with Office(Path(folder), setting) as office:
            asyncio.run(Play(office, book, Letters(), length, seed, tell).run())
    return book


def share(book: Book) -> float:
    """Of what was offered by who keeps to the rules, posts and VOIDs, the part that was acknowledged."""
    offered = book.counts["offered"] + book.counts["voids"]
    return (book.counts[f"offered, {ACKNOWLEDGED}"] + book.counts["voids acknowledged"]) / max(1, offered)


def rows(book: Book) -> list[Row]:
    counts, longest = book.counts, book.longest

    def say(*names: str) -> str:
        return ", ".join(f"{counts[name]:,} {name}" for name in names)

    answers = sorted(name for name in counts if name.startswith("offered, "))
    unheard = "in a batch and not acknowledged", "withheld, as the token had no posts left"
    busy = longest.get("all nodes stopped: until a post is answered", 0.0)
    admission = longest.get("all nodes stopped: until admission is answered", 0.0)
    back = longest.get("all nodes back: until one is acknowledged", 0.0)
    letters = "letters written", "letters read"
    cut = "nodes cut off", "gateways cut off from a node", "gateways cut off"
    return [
        Row("what happened", say("nodes killed", "gateways killed", *cut)),
        Row(
            "posts and VOIDs acknowledged, of those offered",
            f"{share(book):.0%}; {say('offered', *answers, *unheard, 'voids', 'voids acknowledged')}",
            f"≥ {LEAST_SHARE:.0%}",
            share(book) >= LEAST_SHARE,
        ),
        Row(
            "lost, in another round, twice; batches that differ; tokens past their quota",
            f"{len(book.wrong)}; {say('batches compared', 'most records of a token in an epoch', *letters)}",
            f"0, ≤ {book.quota} a token",
            not book.wrong,
        ),
        Row(
            "all nodes stopped: a post, and an admission, is refused; back: a post is taken",
            f"after {busy:.1f} s, {admission:.1f} s; after {back:.1f} s",
            f"≤ {BUSY_SECONDS:.0f} s; ≤ {BACK_SECONDS:.0f} s",
            max(busy, admission) <= BUSY_SECONDS and back <= BACK_SECONDS,
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="A fleet whose processes are killed and cut off.")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--least", action="store_true", help="a quarter of a minute")
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1 << 32)))
    chosen = parser.parse_args()
    minutes = 0.25 if chosen.least else chosen.minutes
    print(f"seed {chosen.seed}, {minutes:g} minutes")
    start = time.monotonic()
    book = play(Setting(), Length(60 * minutes), chosen.seed, tell=True)
    for wrong in book.wrong[:20]:
        print(f"FAIL  {wrong}")
    good = publish("fleet", "make test-fleet", rows(book), time.monotonic() - start, whole=minutes >= MINUTES)
    return 0 if good or (chosen.least and not book.wrong) else 1


if __name__ == "__main__":
    sys.exit(main())
