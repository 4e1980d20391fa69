"""What goes wrong in an office: the power fails, the network clock is wrong, connections fall silent, strangers knock.
Each is a task of its own; what must hold all the same is not known here.
"""

import asyncio
import os

from socketclient import Client
from tessera import wire
from tessera.errors import Refused
from tests.soak.course import LOST, RETRY_SECONDS, Course
from tests.soak.members import Members
from tests.soak.reader import Reader

_FAR_MS = 10**9  # eleven days and a half
_STEPS_MS = (60_000, 400_000, -400_000, _FAR_MS, -_FAR_MS)  # within a round, more than one, days
_IDLE_SECONDS = (9.5, 20)  # within which the relay ends a connection that says nothing; the machine may be busy


class Power:
    """Fails once a day at any moment, now and then as the epoch turns, and sometimes again while the relay starts."""

    def __init__(self, course: Course, reader: Reader) -> None:
        self.course, self.reader = course, reader

    async def fail_daily(self, days: int) -> None:
        for day in range(days):
            dice = self.course.dice
            moment = dice.uniform(-0.01, 0.01) if day and dice.random() < 0.2 else dice.random()
            await self.course.relay.until(day + moment)
            await self._fail()

    async def _fail(self) -> None:
        dice, relay = self.course.dice, self.course.relay
        self._cut()
        if dice.random() < 0.3:
            await relay.pass_days(dice.uniform(0, 0.1))  # it stays away for hours
        while dice.random() < 0.3:
            relay.begin()
            await asyncio.sleep(dice.uniform(0.002, 0.3))
            self._cut()
        error = dice.choice(_STEPS_MS) if dice.random() < 0.3 else 0
        await self._start(error)
        if error:
            self.course.counts["starts with a wrong clock"] += 1
            await relay.pass_days(0.03)
            relay.misread(0)
        if error == -_FAR_MS:  # a clock is corrected forward by a round an epoch only: somebody pulls the plug
            self._cut()
            await self._start(0)

    def _cut(self) -> None:
        self.course.relay.cut()
        self.course.counts["power cuts"] += 1
        self.reader.power_failed()

    async def _start(self, error_ms: int) -> None:
        """Start with a network clock that is wrong by so much, or right."""
        self.course.clock_starts_anew(2 if 0 < error_ms < _FAR_MS else 0)  # no token bears out one that is far ahead
        self.course.relay.misread(error_ms)
        await self.course.relay.start()


class NetworkClock:
    """Wrong for some hours on most days, while the relay runs."""

    def __init__(self, course: Course) -> None:
        self.course = course

    async def mislead(self) -> None:
        relay, dice = self.course.relay, self.course.dice
        day = 0
        while not self.course.over:
            await relay.until(day + dice.random())
            if dice.random() < 0.7 and relay.serving:
                step = dice.choice(_STEPS_MS)
                self.course.rounds_ahead += 2 * (step > 0)  # one an epoch, and it may reach into the next
                self.course.counts["wrong clocks while it ran"] += 1
                relay.misread(step)
                await relay.pass_days(dice.uniform(0.02, 0.15))
                relay.misread(0)
            day = max(day + 1, int(relay.day()))


class Strangers:
    """Knock without an access key; the relay answers with its nonce, and with nothing else."""

    def __init__(self, course: Course) -> None:
        self.course = course

    async def knock(self) -> None:
        while not self.course.over:
            await self.course.doors.wait()
            await asyncio.sleep(self.course.dice.uniform(0.02, 0.3))
            client = Client()
            try:
                await client.connect(self.course.relay.port)
                await self._say_something(client)
                self.course.counts["strangers"] += 1
            except LOST:
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                if hasattr(client, "writer"):
                    client.writer.close()

    async def _say_something(self, client: Client) -> None:
        hello = os.urandom(81)[: self.course.dice.choice((0, 1, 80, 81, 81, 81))]
        await client.send(hello)
        if len(hello) == 81:
            starts = self.course.relay.starts
            if not await client.closed() and starts == self.course.relay.starts:
                self.course.book.wrong.append("a stranger was answered, or kept")
        else:
            await asyncio.sleep(self.course.dice.uniform(0, 0.2))


class HalfOpen:
    """A member whose Wi-Fi is gone: its connection stays and says nothing more, until the relay ends it."""

    def __init__(self, course: Course, members: Members) -> None:
        self.course, self.members = course, members

    async def fall_silent(self) -> None:
        while not self.course.over:
            await self.course.doors.wait()
            client = Client()
            try:
                await self.members.enter(client, self.members.any_token())
                await client.send(client.channel.seal(wire.info())[: self.course.dice.randrange(272)])
                await self._wait(client)
            except (*LOST, Refused):
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                self.members.part(client)

    async def _wait(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        begin, starts = loop.time(), self.course.relay.starts
        while self.course.doors.is_set() and starts == self.course.relay.starts and not self.course.over:
            try:
                ended = await asyncio.wait_for(client.reader.read(1), 0.1) == b""
            except TimeoutError:
                ended = False
            except OSError:
                ended = True
            seconds = loop.time() - begin
            if ended and self.course.relay.serving and starts == self.course.relay.starts:
                self.course.counts["half-open connections ended"] += 1
            if (ended and seconds < _IDLE_SECONDS[0]) or seconds > _IDLE_SECONDS[1]:
                if self.course.relay.serving and starts == self.course.relay.starts:
                    self.course.book.wrong.append(f"a silent connection lasted {seconds:.1f} s")
                return
            if ended:
                return
