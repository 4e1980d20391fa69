"""A running gateway as those see it who operate it: how it does, what it is asked, what makes it leave.

Owns what operating needs of a gateway, what gateways tell each other about themselves, and what is to be looked at.
Leaves to others: the gateway (gateway.py), the way to others (exchange.py), the commands (cli/fleet.py), figures
(metrics.py).
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import cbor2

from tessera.hashes import tagged

from .. import __version__, duration
from ..errors import InvalidInput, TesseraError, Unreachable, UsageError
from ..relay.sqlite_device import Database
from ..text import count
from . import frames
from .entry import CHAIN_BYTES, VERSION
from .exchange import Asker, Exchange
from .gateway import FleetGateway
from .log import EngineStatus, Log, LogError
from .seat import Keys
from .state import State

STATUS = 16  # the kind of a question (questions.py): its first byte
LOOK_SECONDS = 5.0
WRITE_SECONDS = 20.0
_PAUSE_SECONDS = 0.05
REPAIRED = "it was repaired, and is to be started again"  # the fault of one that goes on in another log
LATE_SECONDS = 10.0  # a gateway that is so far behind is to be looked at
_HASH_BYTES = 32


class Door:
    """What listens for members: as asyncio.start_server, until it is closed for good. Sessions that there are go on."""

    def __init__(self, listen: Callable[..., Any]) -> None:
        self._listen = listen
        self._open: Any = None
        self.is_closed = False

    async def __call__(self, *arguments: Any) -> Self:
        self._open = await self._listen(*arguments)
        return self

    def close(self) -> None:
        self.is_closed = True
        if self._open is not None:
            self._open.close()


class Operated:
    """A gateway that runs. fault: why it serves no more, empty if it does; door: what listens for members."""

    def __init__(self, gateway: FleetGateway, log: Log, exchange: Exchange, door: Door) -> None:
        self._gateway = gateway
        self.log = log
        self.exchange = exchange
        self.codes = gateway.join_codes
        self.door = door
        self.fault = ""

    @property
    def number(self) -> int:
        return self._gateway.seat.number

    @property
    def state(self) -> State:
        return self._gateway.state

    @property
    def waiting(self) -> int:
        """Frames that are on their way into the log."""
        return self._gateway.writer.waiting

    @property
    def has_token_key(self) -> bool:
        return self._gateway.seat.token_key is not None

    @property
    def has_clock(self) -> bool:
        clock = self._gateway.relay.clock
        return bool(clock.known and not clock.provisional)

    @property
    def sessions(self) -> int:
        return sum(self._gateway.relay.sessions.values())

    async def remove(self, number: int) -> None:
        """Take another gateway out of force. Raises UsageError; Unreachable if the log does not take it."""
        known = ", ".join(map(str, sorted(self.state.nodes)))
        if number == self.number:
            raise UsageError(
                "a gateway does not remove itself", f"type it on the host of another one; there are {known}"
            )
        if number not in self.state.nodes:
            raise UsageError(f"there is no gateway {number} in force", f"name one of these: {known}")
        if self.fault:
            raise UsageError(f"this gateway serves no more: {self.fault}", "type it on another one's host")
        self._gateway.writer.add(frames.Node(number, VERSION, frames.REMOVED))
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                while number in self.state.nodes:
                    await asyncio.sleep(_PAUSE_SECONDS)
        except TimeoutError:
            raise Unreachable(
                f"the log has not taken the removal of gateway {number} yet",
                "it is tried until it does; look at the engine: tessera fleet status",
            ) from None

    @property
    def parts(self) -> tuple[Database, State, Keys]:
        """What a repair begins from: after a fault, the database, the state up to there and the keys that belong to
        it."""
        return self._gateway.database, self.state, self._gateway.seat.keys


@dataclass(frozen=True)
class GatewayStatus:
    """What a gateway says of itself. program: its version; reads: the newest version of entries it can read; position:
    the last one that it replayed; chain, state: the chain there and a hash of all that it knows (32 bytes each);
    last: the log's newest position, as far as it knows, and lag_seconds: for how long it has been behind; clock:
    whether it is sure of the time."""

    program: str
    reads: int
    position: int
    chain: bytes
    state: bytes
    last: int
    lag_seconds: float
    waiting: int
    open_round: int
    published: int
    sessions: int
    token_key: bool
    clock: bool
    draining: bool
    fault: str

    def pack(self) -> bytes:
        packed: bytes = cbor2.dumps(asdict(self))
        return packed

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Raises InvalidInput."""
        try:
            said = cbor2.loads(content)
            found = cls(**said)
            kinds = (
                type(getattr(found, field.name)) is field.type or (field.type is float and isinstance(said, int))
                for field in fields(cls)
            )
            sizes = len(found.chain) == CHAIN_BYTES and len(found.state) == _HASH_BYTES
            if all(kinds) and sizes and found.pack() == content:
                return found
        except (ValueError, TypeError, cbor2.CBORError):
            pass
        raise InvalidInput("a gateway's answer cannot be read", "it may run another version: update the older one")

    @property
    def behind(self) -> int:
        """Entries that it has not replayed."""
        return max(0, self.last - self.position)


class Looking:
    """What is looked at every few seconds beside the gateway, for figures and for who asks: the log's end, and the
    engine. An asynchronous context manager, inside of which it looks."""

    def __init__(self, gateway: Operated, now: Callable[[], float]) -> None:
        self._gateway = gateway
        self._now = now
        self._whole_at = now()  # when it last had all that the log had
        self.last = gateway.state.position
        self.engine: EngineStatus | None = None  # None: it does not answer
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._look_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._looking is not None
        self._looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._looking

    async def _look_on(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Now."""
        log = self._gateway.log
        try:
            self.engine = await log.engine()
        except LogError:
            self.engine = None
        with contextlib.suppress(LogError):
            self.last = max(self.last, await log.last())
        self.note()

    def note(self) -> None:
        if self._gateway.state.position >= self.last:
            self._whole_at = self._now()

    @property
    def has_quorum(self) -> bool:
        """Whether the engine takes entries."""
        return bool(self.engine and self.engine.leader and not self.engine.refusal)

    @property
    def lag_seconds(self) -> float:
        """0.0 while nothing is known that was not replayed."""
        return 0.0 if self._gateway.state.position >= self.last else self._now() - self._whole_at

    def status(self) -> GatewayStatus:
        """Of this gateway."""
        gateway = self._gateway
        state = gateway.state
        self.note()
        return GatewayStatus(
            program=__version__,
            reads=VERSION,
            position=state.position,
            chain=state.chains[-1],
            state=state_hash(state),
            last=max(self.last, state.position),
            lag_seconds=self.lag_seconds,
            waiting=gateway.waiting,
            open_round=state.open_round,
            published=state.published,
            sessions=gateway.sessions,
            token_key=gateway.has_token_key,
            clock=gateway.has_clock,
            draining=gateway.door.is_closed,
            fault=gateway.fault,
        )

    async def answer(self, _: Asker, __: bytes) -> bytes:
        """Another gateway asks how this one does."""
        await self.look()
        return self.status().pack()

    async def all(self) -> dict[int, GatewayStatus | None]:
        """How each gateway in force says it does, this one too; None: it does not answer, as no other does while the
        engine, which carries questions, is away."""
        gateway = self._gateway
        await self.look()
        others = [number for number in gateway.state.nodes if number != gateway.number]
        answers: list[GatewayStatus | None] = [None] * len(others)
        if self.engine:
            answers = await asyncio.gather(*map(self._ask, others))
        return dict(sorted([(gateway.number, self.status()), *zip(others, answers, strict=True)]))

    async def _ask(self, number: int) -> GatewayStatus | None:
        try:
            return GatewayStatus.read(await self._gateway.exchange.ask(number, bytes((STATUS,))))
        except TesseraError:
            return None


def state_hash(state: State) -> bytes:
    """The same on gateways that replayed the same log up to the same position."""
    return tagged("fleet-state", state.encoded())


# -- what is to be looked at


@dataclass(frozen=True)
class Remark:
    """code: for scripts. text: what is wrong, and what to do."""

    code: str
    text: str


def remarks(state: State, found: Mapping[int, GatewayStatus | None], engine: EngineStatus | None) -> list[Remark]:
    """Of a fleet, by the gateway with this state; nothing if all is well."""
    if engine is None:  # which carries questions: nothing is known of a gateway that does not answer
        found = {number: status for number, status in found.items() if status}
    if found.keys() - state.nodes.keys():  # this one was removed, and nobody answers it
        found = {number: status for number, status in found.items() if status}
    is_whole = engine is not None and bool(engine.leader) and all(node.is_current for node in engine.nodes)
    return [*_engine(engine), *_gateways(state, found, is_whole), *_agreement(state, found), *_size(state)]


def _engine(engine: EngineStatus | None) -> Iterable[Remark]:
    if engine is None:
        yield Remark("engine-away", "no node of the engine answers: start them; members read on, and nobody posts")
        return
    if not engine.leader:
        yield Remark("no-quorum", "the engine has no leader: start its other nodes; members read on, and nobody posts")
    if engine.refusal:
        yield Remark("engine-refused", f"nothing is written into the log, and nobody posts: {engine.refusal}")
    for node in engine.nodes:
        if not node.is_current and (engine.leader or not node.version):  # without one nobody says who is current
            yield Remark("engine-node", f"node {node.name} of the engine is away or behind: start it, look at its disk")


def _gateways(state: State, found: Mapping[int, GatewayStatus | None], is_whole: bool) -> Iterable[Remark]:
    """is_whole: whether all nodes of the engine are there. One that is lost takes its gateways away for seconds."""
    for number, status in found.items():
        if number not in state.nodes:
            yield Remark(
                "fault",
                f"gateway {number} was removed from the fleet: stop it, and delete its directory; with a new one it "
                "may join again. Status on another gateway's host shows the fleet",
            )
            continue
        if status is None:
            do = f"start it, or if it is lost or stolen: tessera fleet remove DIR {number}"
            if not is_whole:
                do = "if it runs, it looks for another node of the engine; look again in a minute, and start it if not"
            yield Remark("unreachable", f"gateway {number} does not answer: {do}")
            continue
        if status.fault:
            do = "; tessera fleet repair DIR"
            if status.fault == REPAIRED:
                do = ""
            elif any(other and not other.fault for other in found.values()):
                do = f"; if it stays so alone: tessera fleet remove DIR {number}, on another one's host"
            yield Remark("fault", f"gateway {number} has stopped serving: {status.fault}{do}")
        if status.lag_seconds > LATE_SECONDS:
            late = duration.about(status.lag_seconds)
            yield Remark("behind", f"gateway {number} is {late} behind the log: look at its disk and processor")
        if not status.token_key and not status.fault:
            yield Remark("no-token-key", f"gateway {number} takes no posts yet: it waits for the token key of another")
    told = [status for status in found.values() if status]
    if told and not any(status.clock for status in told):
        yield Remark(
            "clock",
            "no gateway is sure of the time, so rounds stand still: they go on when a member comes, or after this on "
            "IT's machine: tessera relay time NAME --issuer DIR",
        )
    programs = {status.program for status in found.values() if status}
    if len(programs) > 1:
        names = " and ".join(sorted(programs))
        yield Remark("versions", f"gateways run {names}: go on with the upgrade, one gateway after the other")


def _agreement(state: State, found: Mapping[int, GatewayStatus | None]) -> Iterable[Remark]:
    """Whether all replayed one log."""
    known: dict[int, bytes] = {}
    for number, status in found.items():
        if status is None:
            continue
        chain = state.chain_at(status.position)
        same = chain in (None, status.chain) and known.setdefault(status.position, status.state) == status.state
        if not same:
            yield Remark(
                "differs", f"gateway {number} knows something else at the same position: tessera fleet repair DIR"
            )


def _size(state: State) -> Iterable[Remark]:
    if len(state.nodes) < 3:
        here = count(len(state.nodes), "gateway")
        yield Remark("few", f"{here}: from three on one may be lost, and an engine that lies is noticed (fleet invite)")
