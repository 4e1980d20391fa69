"""When a server's answers leave, and how much work a batch is. No clock of a computer says that twice alike, so both
are looked at where they are exact: in a time that passes only by waiting, by commits and by work (so much for every
bytecode of the relay's), and in bytecodes.

The work. Cells of one published count differ in how many of their records are real, and which; each is fetched as a
fresh batch and as a kept one. Bound: every one takes the same number of bytecodes to each of its frames.

The moments. Members send a frame each, again and again: the adversary always VOID, the others what a world says: VOID,
records, repetitions, what QUOTA, BUSY and BAD_REQUEST refuse. Storage is quick, or so slow that answers are late, and
the slower the more pages are written. Bound: every answer of everybody leaves at the same moment in every world. And on
a computer that makes a batch for longer than its lead: the frames of all cells of one published count leave alike.

What a library does in C (a cipher's block, SQLite's search) counts as one step; what it is asked is the same. What a
server does from time to time, whatever comes, is left out. Each control breaks one rule, and the same comparison must
find it.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import office
from office import Connection, Identity, Token
from socketclient import HOST, Client
from tessera import native, params, server, wire
from tessera.admission import read_proof
from tessera.batch import Batch
from tessera.clock import Clock
from tessera.errors import Refused
from tessera.nor import BLANK_PAGE
from tessera_host.relay.machine import ServerMachine
from tessera_host.relay.server_relay import _CommittingRelay
from tessera_host.relay.sqlite_device import Database, SqliteDevice
from tests.attacks.branch import Branch
from tests.results import Row
from tests.support.memory_network import MemoryNetwork
from tests.support.virtual_time import VirtualTimeLoop

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = tuple(f"{ROOT / folder}/" for folder in ("firmware/tessera", "host/tessera_host/relay"))
# A bytecode. A POST takes less than what lies between two answers; a batch, on the slow computer, more than its lead.
WORK_SECONDS, SLOW_WORK_SECONDS = 2.0**-27, 2.0**-18
RING_SECTORS = 512
EPOCH_ROUNDS = 64
PUBLISHED = 44  # records of each cell, real ones and cover
MOST_DUMMIES = 40
KINDS = ("fresh", "kept")  # batches: made for this FETCH, or for one before


def tabled(posts: int = 64) -> dict[str, Any]:
    """A uniform number of dummies: cells of one published count differ as much as they can in what is real."""
    thresholds = b"".join(((k + 1 << 64) // (MOST_DUMMIES + 1)).to_bytes(8, "big") for k in range(MOST_DUMMIES))
    return {"thresholds": thresholds, "members": 8, "posts_per_token": posts}


def constant(places: int) -> dict[str, Any]:
    shape = {"cover": params.CONSTANT, "constant": places, "thresholds": b"", "epsilon": 0, "delta": 0}
    return shape | {"members": places, "tokens_per_epoch": 1, "posts_per_token": 32}


class ServerOffice(Branch):
    """A Branch whose relay is a server's, with SQLite."""

    def __init__(self, folder: Path, seed: object, **changes: Any) -> None:
        self.database = Database(folder / "storage.sqlite", office.RELAY_KEY)
        sectors = {"ring": RING_SECTORS, "keys": office.KEYRING_SECTORS}
        self.devices = {name: self.database.region(name, sectors[name]) for name in sectors}
        super().__init__(seed, epoch_rounds=EPOCH_ROUNDS, **changes)

    def boot(self, clock_known: bool = True) -> Any:
        machine = ServerMachine(64)
        machine.commits = self.database
        clock = Clock(lambda: self.ticks, lambda later, earlier: later - earlier)
        identity = Identity(office.STATIC, office.LEDGER, b"chip", office.FIRMWARE_DIGEST)
        parts = (*self.devices.values(), self.directory, identity, self.random_source(), clock)
        self.relay = _CommittingRelay(self.database, *parts, machine=machine)
        with self.database.transaction():
            self.relay.start()
        machine.index.cells()
        clock.set(self.unix_ms)
        self.turn()
        return self.relay

    def store(self, count: int, dice: random.Random) -> None:
        """Records of the open round that others posted."""
        relay = self.relay
        with self.database.transaction():
            for _ in range(count):
                relay._log.append(relay.open_round, 0, dice.randbytes(240), relay._epochs.ciphers[relay.epoch])

    def cells(self, rounds: int, seed: object) -> Iterator[int]:
        """Rounds whose cells have PUBLISHED records, each once it is sealed: no real ones, one, all, or any number.
        The first are the first of the ring, too."""
        dice = random.Random(f"records {seed}")
        constant_ = self.relay.parameters.newest.cover == params.CONSTANT
        for number in range(rounds):
            round_ = self.relay.open_round
            dummies = self.relay.batch(0, round_).count
            self.relay.machine.batches.clear()
            real = (0, 1, PUBLISHED)[number] if number < 3 else dice.randrange(PUBLISHED + 1)
            self.store(real if constant_ else PUBLISHED - dummies, dice)
            self.sleep()
            yield round_


@contextmanager
def server_office(seed: object, shape: dict[str, Any]) -> Iterator[ServerOffice]:
    with TemporaryDirectory(prefix="tessera-moments-") as folder:
        found = ServerOffice(Path(folder), seed, **shape)
        try:
            yield found
        finally:
            found.database.close()


@contextmanager
def worked(step: Callable[[], None]) -> Iterator[None]:
    """step() is called for every bytecode of the relay's that runs inside."""

    def at_opcode(frame: Any, event: str, _: Any) -> Any:
        if event == "opcode":
            step()
        return at_opcode

    def at_call(frame: Any, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return at_opcode

    before = sys.gettrace()
    sys.settrace(at_call)
    try:
        yield
    finally:
        sys.settrace(before)


# -- the work


def work_of(relay: Any, round_: int) -> tuple[int, ...]:
    """Bytecodes from a FETCH to each of its frames, of a new session."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    connection = Connection(relay)
    proof = read_proof(office.READING_KEY, connection.channel.handshake_hash)
    frame = connection.session.channel.open(connection.channel.seal(wire.fetch(0, round_, round_ + 1, proof)))
    with worked(step):
        return tuple(count for _ in office.served(relay, connection.session, frame))


def works(shape: dict[str, Any], rounds: int, seed: object) -> dict[str, set[tuple[int, ...]]]:
    """All that is found of fresh batches, and of kept ones."""
    found: dict[str, set[tuple[int, ...]]] = {kind: set() for kind in KINDS}
    with server_office(seed, shape) as at:
        for round_ in at.cells(rounds, seed):
            for kind in KINDS:
                found[kind].add(work_of(at.relay, round_))
    return found


# -- the moments


def in_virtual_time(work: Coroutine[Any, Any, Any], seconds: float = WORK_SECONDS) -> Any:
    """What it returns; time passes by waiting, and so much with every bytecode of the relay's."""
    loop = VirtualTimeLoop()
    ticks = SimpleNamespace(monotonic_ns=lambda: round(loop.time() * 1e9))
    try:
        with patch("tessera.runtime_cpython.time", ticks), worked(lambda: loop.pass_time(seconds)):
            return loop.run_until_complete(work)
    finally:
        loop.close()


class _Lines:
    """A network on which it is noted when the server writes something, for each connection."""

    def __init__(self) -> None:
        self._network = MemoryNetwork()
        self._moments: list[list[float]] = []

    def next(self) -> list[float]:
        """The moments of the connection that is opened next."""
        self._moments.append([])
        return self._moments[-1]

    async def listen(self, connected: Any, host: str, port: int) -> Any:
        async def noted(reader: Any, writer: Any) -> None:
            moments, write, loop = self._moments[-1], writer.write, asyncio.get_running_loop()

            def write_and_note(data: bytes) -> None:
                moments.append(round(loop.time(), 6))
                write(data)

            writer.write = write_and_note
            await connected(reader, writer)

        return await self._network._start_server(noted, host, port)

    async def open_connection(self, host: str, port: int) -> Any:
        return await self._network._open_connection(host, port)


class _Member(Client):  # type: ignore[misc]
    """A client of whose answers it is noted when they left."""

    def __init__(self, lines: _Lines, seed: object) -> None:
        self._lines, self._dice = lines, random.Random(f"member {seed}")
        self._record = self._dice.randbytes(240)

    async def connect(self, port: int) -> Any:
        self.moments = self._lines.next()
        return await super().connect(port)

    def request(self, what: str) -> bytes:
        if what == NOTHING:
            return bytes(wire.void())
        if what == RECORD:
            self._record = self._dice.randbytes(240)
        return bytes(wire.post(2 if what == NOWHERE else 0, self._record))


class _Disk:
    """Where commits are made, by the loop's time: so many seconds, and more for each page."""

    def __init__(self, database: Database, seconds: float, seconds_a_page: float) -> None:
        self._database, self._seconds, self._each = database, seconds, seconds_a_page

    def submit(self, function: Any, *arguments: Any) -> None:
        pages = len(self._database._committing.pages)
        asyncio.get_running_loop().call_later(self._seconds + self._each * pages, function, *arguments)

    def shutdown(self, *_: Any, **__: Any) -> None:
        pass


DISKS = {"quick": (0.002, 0.0), "slow": (0.025, 0.009)}
# What the others send at each step: a record, the one before again, one to a bucket that is none, VOID.
RECORD, AGAIN, NOWHERE, NOTHING = "r", "a", "n", "-"
STEPS = 7
WORLDS = {
    "nobody posts": NOTHING * STEPS,
    "everybody posts": RECORD * STEPS,
    "now and then": (RECORD + NOTHING * 2) * STEPS,
    "again and again": (RECORD + AGAIN) * STEPS,
    "what is refused": NOWHERE * STEPS,
}
OTHERS = 2
APART_SECONDS = 0.006  # of the members' frames, so that no work falls on another's answer
STEP_SECONDS = 0.4
SHAPES = {"a table": tabled(4), "constant batches": constant(8)}  # QUOTA after four, BUSY after one


@asynccontextmanager
async def _served(at: ServerOffice, lines: _Lines) -> AsyncIterator[None]:
    ready = asyncio.Event()
    with (
        patch("tessera.server._SWEEP_MS", 1 << 40),
        patch("tessera.server._LONGEST_SLEEP_MS", 1 << 40),
        patch.object(at.relay, "milliseconds_to_next_round", lambda: 1 << 40),
        patch("asyncio.open_connection", lines.open_connection),
    ):
        serving = asyncio.create_task(server.Server(at.relay).run(HOST, 1, ready.set, listen=lines.listen))
        await ready.wait()
        yield
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def _until(moment: float) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())


async def _ask(member: _Member, number: int, world: str) -> None:
    """One frame a step; the adversary is number 0."""
    for step in range(STEPS):
        await _until(10 + STEP_SECONDS * step + APART_SECONDS * number)
        with suppress(Refused):
            await member.call(member.request(world[step] if number else NOTHING))


async def _answers(at: ServerOffice, world: str, disk: tuple[float, float]) -> list[list[float]]:
    lines = _Lines()
    at.database._thread = _Disk(at.database, *disk)  # type: ignore[assignment]
    async with _served(at, lines):
        members = [_Member(lines, number) for number in range(1 + OTHERS)]
        for number, member in enumerate(members):
            await member.admitted(1, Token(number, at.relay.epoch))
            member.moments.clear()
        for task in [asyncio.create_task(_ask(member, number, world)) for number, member in enumerate(members)]:
            await task
    return [member.moments for member in members]


def answers(shape: dict[str, Any], seed: object, world: str, disk: str) -> list[list[float]]:
    """The moments at which answers left, for each member."""
    with server_office(seed, shape) as at:
        at.sleep()
        found: list[list[float]] = in_virtual_time(_answers(at, WORLDS[world], DISKS[disk]))
    assert [len(moments) for moments in found] == [STEPS] * (1 + OTHERS), "not every frame was answered"
    return found


def compare(shape: dict[str, Any], seed: object, disk: str, worlds: Iterable[str] = WORLDS) -> tuple[int, int]:
    """(answers compared with those of the world in which nobody posts, those that left at another moment)"""
    quiet, *others = [answers(shape, seed, world, disk) for world in worlds]
    pairs = [
        pair for busy in others for one, two in zip(quiet, busy, strict=True) for pair in zip(one, two, strict=True)
    ]
    return len(pairs), sum(one != two for one, two in pairs)


async def _deliveries(at: ServerOffice, rounds: list[int]) -> dict[str, set[tuple[float, ...]]]:
    lines, loop = _Lines(), asyncio.get_running_loop()
    found: dict[str, set[tuple[float, ...]]] = {kind: set() for kind in KINDS}
    async with _served(at, lines):
        for number, (round_, kind) in enumerate((round_, kind) for round_ in rounds for kind in KINDS):
            await _until(10 * number + 10)
            reader = await _Member(lines, number).open(1)
            await _until(10 * number + 15)
            reader.moments.clear()
            start = round(loop.time(), 6)
            await reader.fetch(round_, round_ + 1)
            found[kind].add(tuple(round(moment - start, 6) for moment in reader.moments))
            await reader.close()
    return found


def deliveries(shape: dict[str, Any], rounds: int, seed: object) -> dict[str, set[tuple[float, ...]]]:
    """When the frames of fetched cells left, of fresh batches and of kept ones, on a slow computer."""
    with server_office(seed, shape) as at:
        found: dict[str, set[tuple[float, ...]]] = in_virtual_time(
            _deliveries(at, list(at.cells(rounds, seed))), SLOW_WORK_SECONDS
        )
    return found


# -- controls: a server that breaks one rule


def _only_what_is_wanted(self: Any, frame: Any, place: int, entry: int, position: int) -> None:
    if entry >> native.DUMMY_BIT:
        slot = frame.for_dummy[place][1]
        self._dummies.make(entry & (1 << native.DUMMY_BIT) - 1, slot.record)
    else:
        self._log.read(entry, frame.page)
        self._cipher.decrypt(frame.page, frame.for_page[place][0].page)


_readblocks, _next = SqliteDevice.readblocks, Database.next


def _blank_pages_are_known(self: Any, block: int, buffer: Any, offset: int = 0) -> None:
    if self._programmed[block] >> (offset // len(BLANK_PAGE)) & 1:
        _readblocks(self, block, buffer, offset)
    else:
        buffer[:] = BLANK_PAGE[: len(buffer)]


class _Over:
    over = True

    async def wait(self) -> None:
        pass


def _only_what_stores_waits(self: Any) -> Any:
    return _next(self) if self._pending else _Over()


def _nothing_in_place_of_records(self: Any) -> Any:
    tick = _next(self)
    tick.answers = 0
    return tick


async def _from_when_it_was_called(milliseconds: int) -> None:
    await asyncio.sleep(milliseconds / 1000)


async def _when_it_is_ready(start: int, milliseconds: int) -> None:
    pass


WORK_CONTROLS: dict[str, tuple[Any, str, Any]] = {
    "dummies are made where they are wanted": (Batch, "_fill_place", _only_what_is_wanted),
    "pages that are blank are not looked for": (SqliteDevice, "readblocks", _blank_pages_are_known),
}
MOMENT_CONTROLS: dict[str, tuple[Any, str, Any, str]] = {
    "only what stores waits for a commit": (Database, "next", _only_what_stores_waits, "slow"),
    "nothing is written in place of records": (Database, "next", _nothing_in_place_of_records, "slow"),
    "milliseconds are counted from the end of the work": (server, "sleep_ms", _from_when_it_was_called, "quick"),
    "an answer leaves when it is ready": (server, "_sleep_until", _when_it_is_ready, "quick"),
}


def run(scale: float = 1.0) -> list[Row]:
    rows = []
    cells, seeds = max(5, round(40 * scale)), max(1, round(5 * scale))
    for name, shape in (("a table", tabled()), ("constant batches", constant(PUBLISHED))):
        for what, found in (
            ("bytecodes", works(shape, cells, "run")),
            ("moments on a slow computer", deliveries(shape, cells, "run")),
        ):
            different = {kind: len(found[kind]) for kind in KINDS}
            text = f"{different['fresh']} sequence fresh, {different['kept']} kept, in {cells} cells"
            rows.append(Row(f"server, {name}, FETCH: {what}", text, "1, 1", set(different.values()) == {1}))
        for disk in DISKS:
            compared = [compare(SHAPES[name], f"run {seed}", disk) for seed in range(seeds)]
            off = sum(each for _, each in compared)
            text = f"{off} of {sum(each for each, _ in compared):,} answers leave at another moment"
            rows.append(Row(f"server, {name}, {disk} storage: what others send", text, "0", off == 0))
    for name, (owner, method, instead) in WORK_CONTROLS.items():
        with patch.object(owner, method, instead):
            found_ = len(works(constant(PUBLISHED), 3, "control")["fresh"])
        rows.append(Row(f"control, {name}", f"{found_} sequences", "> 1", found_ > 1))
    for name, (owner, method, instead, disk) in MOMENT_CONTROLS.items():
        with patch.object(owner, method, instead):
            compared_, off = compare(SHAPES["a table"], "control", disk, ("nobody posts", "everybody posts"))
        rows.append(Row(f"control, {name}", f"{off} of {compared_}", "> 0", off > 0))
    return rows
