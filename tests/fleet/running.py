"""Gateways of one relay in one process, each on a directory of its own, on a log in memory, under time that passes only
by waiting. Members talk to them without sockets: the answer to a request is what a server would send.
"""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import office
from office import Token
from tessera import wire
from tessera.clock import Clock
from tessera.errors import Refusal
from tessera_host.fleet import storage
from tessera_host.fleet.exchange import Carry, NodeExchange, unanswered
from tessera_host.fleet.gateway import FleetGateway
from tessera_host.fleet.join_codes import JoinCodes
from tessera_host.fleet.log import EngineNode, EngineStatus, Entry, Log, LogUnavailable
from tessera_host.fleet.storage import FleetFile
from tests.support.server_on_disk import make_server
from tests.support.virtual_time import VirtualTimeLoop

ROUND, EPOCH = office.ROUND_SECONDS, office.ROUND_SECONDS * office.EPOCH_ROUNDS
STORAGE = "nats://127.0.0.1/tests"
PORT = 8200
_STEP = 0.005
_LOOK_SECONDS = 0.02
_UNAVAILABLE_SECONDS = 8.0


class MemoryLog:
    """A log. down: it takes nothing and shows nothing; entries are then refused after 8 seconds."""

    keeps_all = False

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._down = False
        self._followers: list[asyncio.Future[None]] = []  # that wait

    @property
    def down(self) -> bool:
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        self._down = down
        self._wake()

    def another_way(self) -> "MemoryLog":
        """To the same log, which is down or not by itself."""
        way = MemoryLog()
        way.entries, way._followers = self.entries, self._followers
        return way

    async def append(self, entry: bytes, id: bytes) -> None:
        await asyncio.sleep(_STEP)
        if self.down:
            await asyncio.sleep(_UNAVAILABLE_SECONDS)
            raise LogUnavailable("it is down")
        if all(each.id != id for each in self.entries[-1000:]):
            self.entries.append(Entry(len(self.entries) + 1, id, entry))
            self._wake()

    def _wake(self) -> None:
        waited = self._followers[:]
        self._followers.clear()
        for follower in waited:
            if not follower.done():
                follower.set_result(None)

    async def _change(self) -> None:
        """Until an entry came, or it went up; a follower hears of it a little later. To look at every moment would be
        most of what a story costs."""
        follower = asyncio.get_running_loop().create_future()
        self._followers.append(follower)
        await follower
        await asyncio.sleep(_STEP)

    async def follow(self, position: int) -> AsyncGenerator[Entry, None]:
        at = max(1, position)
        while True:
            while self.down or at > len(self.entries):
                await self._change()
            yield self.entries[at - 1]
            at += 1

    async def trim(self, before: int) -> None:
        raise AssertionError("nobody trims it")

    async def last(self) -> int:
        return len(self.entries)

    async def engine(self) -> EngineStatus:
        return EngineStatus("" if self.down else "memory", (EngineNode("memory", "", not self.down),))

    async def close(self) -> None:
        pass


class Wire:
    """exchange.Transport to gateways that run."""

    def __init__(self, play: "Play") -> None:
        self._play = play

    async def ask(self, gateway: int, message: bytes) -> bytes:
        if gateway not in self._play.carries:
            raise unanswered(gateway)
        return await self._play.carries[gateway](message)

    def answer(self, gateway: int, carry: Carry) -> None:
        self._play.carries[gateway] = carry

    async def close(self) -> None:
        pass


class Play:
    """`directories` by gateway; running ones are in `gateways`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.folder = folder
        self.log = MemoryLog()
        self.codes: dict[int, JoinCodes] = {}
        self.carries: dict[int, Carry] = {}
        self.gateways: dict[int, FleetGateway] = {}
        self._ends: dict[int, asyncio.Event] = {}
        self._lives: dict[int, asyncio.Task[None]] = {}
        self.errors: dict[int, BaseException] = {}
        self._changes = changes
        monkeypatch.setattr("tessera_host.relay.server_relay.unix_ms", self.unix_ms)
        monkeypatch.setattr("tessera_host.relay.server_relay.RELEASED", 0)
        make_server(self.directory(1), PORT, **changes)

    def directory(self, number: int) -> Path:
        return self.folder / f"gateway-{number}"

    def unix_ms(self) -> int:
        return int(1000 * (office.GENESIS + 2 * EPOCH + 1.5 + asyncio.get_event_loop().time()))

    # -- gateways

    async def begin(self, gateways: int) -> None:
        """So many, which all run; in round 1 of epoch 2."""
        storage.found(self.directory(1), FleetFile(1, STORAGE))
        await self.start(1)
        for number in range(2, gateways + 1):
            await self.add(number)

    async def add(self, number: int) -> None:
        """Another gateway joins by asking gateway 1, and runs."""
        make_server(self.directory(number), PORT, **self._changes)
        code = self.codes[1].make()
        assert await storage.join(self.directory(number), FleetFile(0, STORAGE), Wire(self), code) == number
        await self.start(number)

    async def start(self, number: int) -> None:
        gateway = FleetGateway(self.directory(number))
        ticks = asyncio.get_running_loop().time
        gateway.relay.clock = Clock(lambda: int(1000 * ticks()), lambda later, earlier: later - earlier)
        gateway.start()
        self._ends[number] = asyncio.Event()
        ready = asyncio.Event()
        self._lives[number] = asyncio.create_task(self._live(number, gateway, ready))
        waits = asyncio.create_task(ready.wait())
        await asyncio.wait((waits, self._lives[number]), return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()

    async def _live(self, number: int, gateway: FleetGateway, ready: asyncio.Event) -> None:
        exchange = NodeExchange(gateway.seat, Wire(self), gateway.join_codes)
        self.codes[number] = gateway.join_codes
        try:
            async with gateway.running(self.log_of(number), exchange) as task:
                self.gateways[number] = gateway
                ready.set()
                turning = asyncio.create_task(_turn(gateway))
                ends = asyncio.create_task(self._ends[number].wait())
                await asyncio.wait((task, ends, turning), return_when=asyncio.FIRST_COMPLETED)
                for each in (ends, turning):
                    each.cancel()
                if task.done():
                    task.result()
        except Exception as error:
            self.errors[number] = error
        finally:
            self.gateways.pop(number, None)
            self.carries.pop(number, None)
            gateway.close()

    def log_of(self, number: int) -> Log:
        """What this gateway is shown."""
        return self.log

    async def stop(self, number: int) -> None:
        """In order."""
        self._ends[number].set()
        await self._lives[number]

    async def kill(self, number: int) -> None:
        """As kill -9: what was not committed is gone."""
        gateway = self.gateways[number]
        copy = self.folder / f"killed-{number}"
        shutil.copytree(self.directory(number), copy)
        gateway._whole = False  # nothing is committed any more
        await self.stop(number)
        shutil.rmtree(self.directory(number))
        copy.rename(self.directory(number))

    async def until(self, holds: Callable[[], object], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(_LOOK_SECONDS)

    async def next_round(self) -> int:
        """Wait until another round is served everywhere, and can be posted in; it."""
        first = next(iter(self.gateways.values()))
        before = first.state.published
        await self.until(lambda: all(each.state.published > before for each in self.gateways.values()), 3 * ROUND)
        return first.state.open_round

    async def close(self) -> None:
        for number in list(self.gateways):
            await self.stop(number)

    # -- members

    def member(self, number: int, token: int = 0, epoch: int | None = None) -> "Connection":
        """A connection to a gateway that is not admitted yet."""
        return Connection(self.gateways[number], token)

    @property
    def states(self) -> set[bytes]:
        return {gateway.state.encoded() for gateway in self.gateways.values()}


async def _turn(gateway: FleetGateway) -> None:
    """What a server does beside its connections."""
    while True:
        if gateway.relay.turn():
            gateway.relay.maintain()
        await asyncio.sleep(0.05)


class Connection(office.Connection):
    """A member's, whose answers leave as a server's do."""

    def __init__(self, gateway: FleetGateway, token: int = 0, **more: Any) -> None:
        super().__init__(gateway.relay, **more)
        self._gateway = gateway
        self._token = token

    async def ask(self, request: bytes) -> Any:
        frame = self.session.channel.open(self.channel.seal(request))
        out = bytearray(wire.CLIENT_FRAME_BYTES)
        try:
            self.relay.answer(self.session, frame, out)
        except Refusal as error:
            wire.answer_error(out, error)
        try:
            await self._gateway.writer.next().wait()
        except Refusal as error:
            wire.answer_error(out, error)
        self.session.channel.seal_in_place(out)
        return wire.read_answer(self.channel.open(out))

    async def admit(self, epoch: int | None = None) -> int:
        """The posts left."""
        token = Token(self._token, self._gateway.state.epoch if epoch is None else epoch)
        _, self.secret, left = await self.ask(token.request(self.channel.handshake_hash))
        return int(left)

    async def send(self, record: bytes, bucket: int = 0) -> int:
        """POST; the round that it is in."""
        return int((await self.ask(wire.post(bucket, record)))[1])

    async def void(self) -> None:
        await self.ask(wire.void())


def played(
    story: Callable[[Any], Coroutine[Any, Any, None]], folder: Path, make: Callable[..., Play] = Play, **changes: Any
) -> None:
    """Run a story with all its waiting in no time."""
    with pytest.MonkeyPatch.context() as monkeypatch, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:

        async def whole() -> None:
            play = make(folder, monkeypatch, **changes)
            try:
                await story(play)
                assert not play.errors, play.errors
            finally:
                await play.close()

        runner.run(whole())
