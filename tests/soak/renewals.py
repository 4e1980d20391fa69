"""IT renews the office's set every few days, and members bring it to the relay: two at once, now and then, and over
connections that end in the middle. And a member who is away for days, and comes back with the keys of then. Owns who
brings what; which set governed which epoch is the book's business.
"""

import asyncio

from socketclient import Client
from tessera import wire
from tessera.errors import Refused
from tests.soak.course import LOST, RETRY_SECONDS, Course
from tests.soak.sets import SignedSet

_EVERY_DAYS = (0.8, 3)
_AWAY_DAYS = (1, 6)


class Renewals:
    def __init__(self, course: Course) -> None:
        self.course = course

    async def renew(self) -> None:
        relay, dice = self.course.relay, self.course.dice
        while not self.course.over:
            await relay.pass_days(dice.uniform(*_EVERY_DAYS))
            newest = relay.sets.sign(int(relay.day()))
            pushers = 2 if dice.random() < 0.3 else 1
            await asyncio.gather(*(self._bring(newest) for _ in range(pushers)))

    async def _bring(self, newest: SignedSet) -> None:
        """Come until the relay names it."""
        while not self.course.over:
            await self.course.doors.wait()
            client = Client()
            try:
                await client.open(self.course.relay.port)
                if await self._named(client, newest):
                    return
                await self._push(client, newest.parameters.blob)
            except LOST:
                pass
            except Refused as refused:
                # Of two who bring it one comes too late; the other may be at it, or one who was cut off.
                self.course.counts["sets brought once more" if refused.name == "BAD_REQUEST" else refused.name] += 1
            finally:
                if hasattr(client, "writer"):
                    client.writer.close()
            await asyncio.sleep(RETRY_SECONDS)

    async def _named(self, client: Client, newest: SignedSet) -> bool:
        """Whether the relay has it already; it is then in force when the open epoch is over."""
        _, _, _, _, digest, _, _, open_round, *_ = await client.call(wire.info())
        if digest != newest.parameters.digest:
            return False
        self.course.book.taken(newest.parameters.serial, open_round // self.course.relay.epoch_rounds + 1)
        self.course.counts["sets taken"] += 1
        return True

    async def _push(self, client: Client, blob: bytes) -> None:
        chunks = range(0, len(blob), wire.CHUNK_BYTES)
        last = self.course.dice.choice(chunks) if self.course.dice.random() < 0.2 else len(blob)
        for number, at in enumerate(chunks):
            if at >= last:
                self.course.counts["pushes broken off"] += 1
                return
            await client.call(wire.push(len(blob), number, blob[at : at + wire.CHUNK_BYTES]))


class Away:
    """A member who holds the reading key of the day it left."""

    def __init__(self, course: Course) -> None:
        self.course = course

    async def come_and_go(self) -> None:
        relay, dice = self.course.relay, self.course.dice
        while not self.course.over:
            held = relay.sets.newest.reading_key
            await relay.pass_days(dice.uniform(*_AWAY_DAYS))
            while not await self._read(held):
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, held: bytes) -> bool:
        """Whether a round could be read with the key in force; with another, nothing."""
        await self.course.doors.wait()
        client = Client()
        try:
            await client.open(self.course.relay.port)
            _, _, _, _, _, _, digest, open_round, first_round, _ = await client.call(wire.info())
            in_force = self.course.relay.sets.signed[digest].reading_key
            if open_round == first_round:
                return False
            if in_force != held:
                await self._try_in_vain(client, held, first_round)
            await client.fetch(open_round - 1, open_round, reading_key=in_force)
            self.course.counts["members back"] += 1
            return True
        except (*LOST, Refused):
            return self.course.over
        finally:
            if hasattr(client, "writer"):
                client.writer.close()

    async def _try_in_vain(self, client: Client, held: bytes, round_: int) -> None:
        try:
            await client.fetch(round_, round_ + 1, reading_key=held)
        except Refused as refused:
            if refused.name != "NOT_ADMITTED":
                raise
            self.course.counts["old reading keys refused"] += 1
        else:
            self.course.book.wrong.append("a reading key that is not in force any more reads")
