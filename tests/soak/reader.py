"""A member who reads every round as soon as it is sealed, and many once more: any of them, those of before a power cut,
those that are about to expire; with the reading key of the set that the relay has in force, and no token. Owns the
order of reading; whether a batch is right is the book's business.
"""

import asyncio

from socketclient import Client
from tessera import wire
from tessera.errors import Refused
from tests.soak.course import LOST, RETRY_SECONDS, Course
from tests.soak.members import Members

_MOST_A_FETCH = wire.FETCH_ROUNDS
_AFTER_A_CUT = 5  # rounds that are read again


class Reader:
    def __init__(self, course: Course, members: Members) -> None:
        self.course, self.members = course, members
        self.next_round = 0
        self.reading_key = b""  # of the set in force, by the relay's last word
        self.turns = 0
        self.behind_the_cut: list[int] = []  # rounds to read again, as the power failed since

    def power_failed(self) -> None:
        kept = range(max(0, self.next_round - self.course.relay.epoch_rounds), self.next_round)
        self.behind_the_cut = self.course.dice.sample(kept, min(_AFTER_A_CUT, len(kept)))

    async def read_all_the_time(self) -> None:
        while not self.course.over:
            await self.course.doors.wait()
            self.turns += 1
            client = Client()
            try:
                await client.open(self.course.relay.port)
                await self._stay(client)
            except LOST:
                await asyncio.sleep(RETRY_SECONDS)
            except Refused as refused:
                self.course.counts[refused.name] += 1
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                self.members.part(client)

    async def _stay(self, client: Client) -> None:
        """Read for an hour or a few, until the epoch ends, and perhaps leave in the middle of an answer. A session has
        16 rounds while one is open; who needs more comes anew."""
        epoch, at, left = None, None, 0
        for _ in range(self.course.dice.randrange(10, 80)):
            self.turns += 1
            _, _, flags, _, _, _, digest, open_round, first_round, _ = await client.call(wire.info())
            self.reading_key = self.course.relay.sets.signed[digest].reading_key
            open_epoch = open_round // self.course.relay.epoch_rounds
            at, left = open_round, left if at == open_round else _MOST_A_FETCH
            epoch = open_epoch if epoch is None else epoch
            if self.course.over or not self.course.doors.is_set() or open_epoch != epoch:
                return
            if not flags & wire.PROVISIONAL:  # nothing rests on such a round yet
                self._compare_clock(open_round)
            await self._take_checkpoint(client, epoch - 1)
            left -= await self._read_something(client, open_round, first_round, left)
            if not left:
                return
        if self.course.dice.random() < 0.3 and open_round > first_round:
            unread = client.fetching(first_round, min(open_round, first_round + left), 0, self.reading_key)
            await client.send(client.channel.seal(unread))
            self.course.counts["fetches left unread"] += 1

    def _compare_clock(self, open_round: int) -> None:
        ahead = open_round - self.course.relay.round()
        self.course.counts["rounds ahead"] = max(self.course.counts["rounds ahead"], ahead)
        if open_round > self.course.highest_round() + 1:
            self.course.book.wrong.append(f"the relay is {ahead} rounds ahead, {self.course.rounds_ahead} can be")

    async def _take_checkpoint(self, client: Client, epoch: int) -> None:
        if epoch >= 0 and epoch not in self.course.book.checkpoints:
            self.course.book.checkpoint(epoch, (await client.call(wire.checkpoint(epoch)))[1])
            self.course.counts["checkpoints"] += 1

    async def _read_something(self, client: Client, open_round: int, first_round: int, most: int) -> int:
        """How many rounds of at most so many were asked for."""
        if first_round > self.next_round:
            self.course.book.wrong.append(
                f"rounds {self.next_round} to {first_round - 1} expired before they were read"
            )
            self.next_round = first_round
        if self.next_round < open_round:
            start, end = self.next_round, min(open_round, self.next_round + most)
            self.next_round = await self._fetch(client, start, end, "rounds read")
            return end - start
        again, why = self._again(open_round, first_round)
        if again is None:
            await asyncio.sleep(0.01)
            return 0
        await self._fetch(client, again, again + 1, why)
        return 1

    def _again(self, open_round: int, first_round: int) -> tuple[int | None, str]:
        """A round to read once more, and what it is counted as."""
        while self.behind_the_cut:
            round_ = self.behind_the_cut.pop()
            if first_round <= round_ < open_round:
                return round_, "again after a cut"
        epoch_rounds = self.course.relay.epoch_rounds
        dice = self.course.dice.random()
        if open_round % epoch_rounds > 0.9 * epoch_rounds and first_round < open_round - epoch_rounds and dice < 0.5:
            return self.course.dice.randrange(first_round, first_round + epoch_rounds), "again before they expired"
        if dice < 0.2 and first_round < open_round:
            return self.course.dice.randrange(first_round, open_round), "again at any time"
        return None, ""

    async def _fetch(self, client: Client, start: int, end: int, what: str) -> int:
        """Read rounds start to end - 1; the first that was not served."""
        rounds, following = await client.fetch(start, end, reading_key=self.reading_key)
        if sorted(rounds) != list(range(start, following)):
            self.course.book.wrong.append(f"a fetch of {start} to {end} gave {sorted(rounds)} and ended at {following}")
        for round_, batch in rounds.items():
            self.course.book.read(round_, batch)
            self.course.counts[what] += 1
        return int(following)
