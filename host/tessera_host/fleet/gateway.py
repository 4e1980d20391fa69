"""A gateway that runs: a relay directory with a place in a fleet, and the tasks that tie it to the log.

Owns those tasks: an entry a tick, the log followed and carried out, what is durable before what, questions to the other
gateways. Leaves to others: what is written (relay.py, duties.py), what it means (replay.py), sockets and members
(tessera.server), the command (cli).
"""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, NoReturn

from tessera import curve
from tessera.server import Timing

from ..errors import IntegrityError, TesseraError
from ..relay.machine import SESSIONS, ServerMachine
from ..relay.server_relay import ServerRelay, read_configuration
from . import questions, storage
from .duties import SILENT_MS, Duties
from .entry import Clear, Contents, entry_id, seal
from .exchange import Exchange
from .join_codes import JoinCodes
from .keys import TokenKey
from .log import Log, LogBroken, LogError, LogRefused, LogUnavailable
from .questions import Answers
from .relay import FleetRelay
from .replay import (
    EpochOpened,
    FleetIsNewer,
    KeyMissing,
    NodeChanged,
    Passed,
    Placed,
    Published,
    Recorded,
    Refused,
    Repeated,
    Sealed,
    TokenKeyChanged,
    Voided,
    Voted,
)
from .seat import Seat
from .state import SPAN, State
from .storage import FleetFile
from .writer import Drawn, Writer

TICK_SECONDS = 0.02
ANSWER_MS = 60  # answers leave at its multiples
_COMMIT_SECONDS = 1.0
_ASK_SECONDS = 0.5
_MEND_MS = 10_000  # between questions for records that the ring lost
_HEARTBEAT_MS = 5_000  # a gateway that has nothing to say says that it lives
_LISTEN_SECONDS = 1.0
_DEAF_MS = 2 * _HEARTBEAT_MS  # without an entry, not even its own: the log is away, and others need not be silent
_PAUSE_SECONDS = 0.2
_AT_ONCE = 64  # entries that are replayed before others have a turn
_COMMIT_ENTRIES = 4096  # while it catches up
# What a restart may carry out again, from a state before.
_AGAIN = {Recorded, Voided, Placed, Repeated, Refused, Passed, Voted, Published, TokenKeyChanged, NodeChanged}


class FleetMachine(ServerMachine):
    timing = Timing(ack_ms=ANSWER_MS, tick_ms=8)


class FleetGateway(ServerRelay):
    """A gateway's directory that is this program's. start() brings the relay up; running() ties it to the log.

    waiting: frames on their way. lag_ms: since when the oldest entry of this gateway is on its way.
    """

    relay: FleetRelay
    machine_class = FleetMachine

    def __init__(self, directory: Path, database: Path | None = None, sessions: int = SESSIONS) -> None:
        """As ServerRelay; and IntegrityError."""
        self.file = FleetFile.read(directory)
        super().__init__(directory, database, sessions)
        static_secret = bytes.fromhex(read_configuration(directory)["static_secret"])
        now = self.relay.clock.uptime_ms
        self.join_codes = JoinCodes(self.file.gateway, static_secret, self._random, lambda: now() / 1000)
        self.answers = Answers(self.relay, lambda: self._machine.index.cells())

    def _made(self, parts: tuple[Any, ...], machine: ServerMachine) -> FleetRelay:
        state, keys = storage.kept(self.database)
        identity = parts[3]
        static, ledger_key = identity.static[0], identity.ledger_key
        assert isinstance(static, curve.Secret)
        self.seat = Seat(self.file.gateway, state, keys, static, ledger_key)
        self.writer = machine.commits = Writer()
        self._dirty = False  # the state has more in it than a commit of pages may leave behind
        self._durable = state.position  # of the state
        self._sealed_at = state.position  # the newest seal
        self._whole = True  # all that the entries up to here mean was carried out
        return FleetRelay(self.database, self.seat, self.writer, *parts, machine=machine)

    def start(self) -> None:
        super().start()
        self.relay.find_records(self._machine.index.cells())
        self.database.prepare = self._prepare
        self._draw = Drawn(self.relay.random)
        self.writer.begin(self._draw)
        self._duties = Duties(self.relay)

    def _random(self, length: int) -> bytes:
        return self.relay.random(length)

    @property
    def state(self) -> State:
        return self.seat.state

    @property
    def keep_seconds(self) -> int:
        """For so long the log has to keep entries."""
        newest = self.relay.parameters.newest
        seconds: int = (newest.retention_epochs + 1) * newest.epoch_rounds * newest.round_seconds
        return seconds

    def _prepare(self) -> None:
        """Before any commit: what is on the way to the disk and the state that says so belong together."""
        if not self._whole:
            raise OSError(errno.EIO, "an entry of the log was carried out in part")
        if self._dirty:
            storage.keep(self.database, self.state, self.seat.keys)
            self._dirty, self._durable = False, self.state.position

    # -- the tasks

    @contextlib.asynccontextmanager
    async def running(self, log: Log, exchange: Exchange) -> AsyncIterator["asyncio.Task[NoReturn]"]:
        """The gateway with the log, from when it has replayed what was there at its start. Whoever serves it waits for
        the task that this gives, too: it ends when the gateway cannot go on, with the error that says why.

        Raises LogError, Unreachable, IntegrityError, and what FleetRelay.take() raises.
        """
        self._log, self._exchange = log, exchange
        exchange.answer(self.answers)
        self._caught_up = asyncio.Event()
        task = asyncio.create_task(self._run())
        waits = asyncio.create_task(self._caught_up.wait())
        try:
            await asyncio.wait((task, waits), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            yield task
        finally:
            for each in (task, waits):
                each.cancel()
            await asyncio.gather(task, waits, return_exceptions=True)
            with contextlib.suppress(OSError):  # then a start replays more
                self._dirty = True
                self.database.commit()

    async def _run(self) -> NoReturn:
        self._target = await self._last()
        self._heard: dict[int, int] = {}  # uptime at the newest entry of each gateway
        self._deaf_ms = self.relay.clock.uptime_ms()  # the last time at which nothing was heard
        self._sent_ms = self.relay.clock.uptime_ms()
        self._said = 0  # the newest `last` that this gateway wrote
        self._away: type[LogError] | None = None  # what the log answers instead of taking entries
        self._appends: set[asyncio.Task[None]] = set()
        self._broken: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
        if self.state.position >= self._target:
            self._begin_to_write()
        tasks = [self._follow(), self._write(), self._commit(), self._ask(), self._listen(), self._broken]
        running = [asyncio.ensure_future(each) for each in tasks]
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
            raise LogUnavailable("the log is closed")
        finally:
            await _ended([*running, *self._appends])

    async def _last(self) -> int:
        while True:
            try:
                return await self._log.last()
            except LogUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)

    # -- reading

    async def _follow(self) -> None:
        count = 0
        while True:
            try:
                async with contextlib.aclosing(self._log.follow(self.state.position + 1)) as entries:
                    async for entry in entries:
                        if not count and entry.position > self.state.position + 1:
                            raise TesseraError(
                                f"the log begins at {entry.position}, and this gateway replayed up to "
                                f"{self.state.position}: it was off for longer than the log is kept",
                                "let it join again, under another number: tessera fleet remove, tessera fleet join",
                            )
                        count += 1
                        self._take(entry)
                        if count % _AT_ONCE == 0:
                            await asyncio.sleep(0)
            except LogUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)

    def _take(self, entry: Any) -> None:
        self._whole = False
        try:
            effects = self.relay.take(entry)
        except (LogBroken, FleetIsNewer, KeyMissing):
            self._whole = True  # nothing has changed, and what was replayed up to here is kept
            raise
        self._whole = True
        self._heard[Clear.of(entry.entry).gateway] = self.relay.clock.uptime_ms()
        kinds = set(map(type, effects))  # most entries have hundreds of effects, all of one or two kinds
        if kinds - _AGAIN:
            self._dirty = True
        if Sealed in kinds:
            self._sealed_at = entry.position
        if TokenKeyChanged in kinds:
            self._duties.lost = set()
        if EpochOpened in kinds:
            self.database.commit()  # the keys of the epoch before are erased
            self._trim()
        elif not self.seat.live and self.state.position - self._durable >= _COMMIT_ENTRIES:
            self._dirty = True
            self.database.commit()
        if not self.seat.live and self.state.position >= self._target:
            self._begin_to_write()

    def _trim(self) -> None:
        """Of a log that forgets nothing by itself, and that is this process's alone."""
        if self._log.keeps_all:
            self._beside(self._log.trim(self._durable + 1))

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._appends.add(task)
        task.add_done_callback(self._appends.discard)

    def _begin_to_write(self) -> None:
        """Raises IntegrityError if this gateway is an older copy of itself."""
        starts, lives = self.relay.boots, storage.kept_lives(self.database)
        # One whose program knew no lives yet wrote after the start before.
        self._counter = self.state.first_counter(self.seat.number, starts, starts - 1 if lives is None else lives)
        storage.keep_lives(self.database, starts)
        self._dirty = True
        self.database.commit()
        self.relay.caught_up()
        self.relay.turn()
        self._caught_up.set()

    # -- writing

    async def _write(self) -> None:
        await self._caught_up.wait()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._write_entry()

    def _write_entry(self) -> None:
        state, number = self.state, self.seat.number
        if number not in state.nodes or len(self._appends) >= SPAN - 1:
            return
        self._duties.write()
        must = self._must_say_something()
        found = self.writer.take()
        if not found and not must:
            return
        self._make_durable()
        contents = Contents(state.position, state.chains[-1], [frame.pack() for frame in found])
        clear = Clear(state.version, state.epoch, number, self._counter)
        log_key = self.seat.keys.log_keys.get(state.epoch)
        assert log_key is not None
        sealed = seal(log_key, clear, contents, self._draw)
        self._counter += 1
        self._said, self._sent_ms = state.position, self.relay.clock.uptime_ms()
        self.writer.sent(entry_id(sealed), found)
        self._beside(self._append(sealed, entry_id(sealed)))

    def _must_say_something(self) -> bool:
        """Others wait for this gateway's view of a seal, or to hear that it lives."""
        seals = self.state.seals
        if seals and self._said < seals[-1][0]:
            return True
        silent = self.relay.clock.uptime_ms() - self._sent_ms >= _HEARTBEAT_MS
        return silent and not self.writer.flying

    def _make_durable(self) -> None:
        """What an entry vouches for is on the disk before: a seal, keys that are announced (docs/fleet.md §8, 2)."""
        if self._sealed_at > self._durable or self._duties.changed:
            self._dirty = True
            self.database.commit()
            self._duties.changed = False

    async def _append(self, sealed: bytes, id: bytes) -> None:
        """Until the log says yes."""
        while True:
            try:
                await self._log.append(sealed, id)
                self._away = None
                return
            except (LogUnavailable, LogRefused) as error:
                if self._away is not type(error):  # said once, however many entries wait
                    self.relay.notice("log", level="warning", message=error.message, hint=error.hint)
                self._away = type(error)
            except LogError as error:
                if not self._broken.done():
                    self._broken.set_exception(error)
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    # -- the disk

    async def _commit(self) -> None:
        """Pages of the ring, in the background: what was acknowledged is in the log."""
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            if self.seat.live:
                with contextlib.suppress(OSError):  # noticed by the database, and tried again
                    await self.database.next().wait()

    # -- questions to others

    async def _ask(self) -> None:
        await self._caught_up.wait()
        asked_ms = self.relay.clock.uptime_ms() - _MEND_MS
        while True:
            await asyncio.sleep(_ASK_SECONDS)
            for hash_ in self.seat.missing_token_keys:
                await self._ask_for(hash_)
            now = self.relay.clock.uptime_ms()
            if now - asked_ms >= _MEND_MS:
                asked_ms = now
                for round_ in self.relay.damaged_rounds:
                    await self._mend(round_)

    async def _listen(self) -> None:
        """Whoever is cut off from the log cannot say that the others are silent."""
        while True:
            await asyncio.sleep(_LISTEN_SECONDS)
            now = self.relay.clock.uptime_ms()
            if now - max(self._heard.values(), default=0) >= _DEAF_MS:
                self._deaf_ms = now

    async def _mend(self, round_: int) -> None:
        for gateway in self.seat.others:
            if round_ in self.relay.damaged_rounds:
                with contextlib.suppress(TesseraError):
                    answered = await self._exchange.ask(gateway, questions.records(round_, round_))
                    self.relay.mend(round_, questions.Records.read(answered).records)

    async def _ask_for(self, hash_: bytes) -> None:
        in_force = hash_ == self.state.token_hash
        for gateway in self.seat.others:
            found = await self._token_key_of(gateway, hash_)
            if isinstance(found, TokenKey):
                self.seat.token_keys[hash_] = found
                self._duties.lost = set()
                return
            if in_force and found is None:
                self._duties.lost.add(gateway)
            elif in_force:
                self._duties.lost.discard(gateway)

    async def _token_key_of(self, gateway: int, hash_: bytes) -> TokenKey | bool | None:
        """None: it has it not, or it is dead; False: it is not known."""
        fresh = self.relay.random(32)
        try:
            handed = await self._exchange.ask(gateway, questions.token_key(hash_, curve.public(fresh)))
        except TesseraError:
            now = self.relay.clock.uptime_ms()
            heard_ms = max(self._heard.setdefault(gateway, now), self._deaf_ms)
            return None if now - heard_ms >= SILENT_MS else False
        if not handed:
            return None
        for secret in reversed(self.seat.secrets.secrets):
            with contextlib.suppress(IntegrityError):
                return TokenKey.taken_over(handed, secret, fresh, hash_)
        return False


async def _ended(tasks: list["asyncio.Future[Any]"]) -> None:
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
