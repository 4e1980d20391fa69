"""`tessera serve DIR`, DIR being what `tessera fleet` made on this host: a gateway of a fleet, until it is stopped.

Owns how a gateway's parts are put together, what is shown of it, and what becomes of it when it may not go on. The
gateway is fleet.gateway's, what is common with a relay alone is serving's.
"""

import asyncio
import contextlib
import errno
import functools
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from tessera import announcement
from tessera.clock import follow
from tessera.errors import Error
from tessera.server import Server

from .. import __version__, systemd
from ..errors import TesseraError
from ..fleet import engines, metrics, operated, storage
from ..fleet.control import Control, Waiting
from ..fleet.exchange import NodeExchange, Transport
from ..fleet.gateway import FleetGateway
from ..fleet.log import Log as FleetLog
from ..fleet.log import LogUnavailable
from ..fleet.operated import Door, Looking, Operated
from ..fleet.storage import FleetFile
from ..protocol.listening import CannotListen, Place, at
from ..relay import punctual, server_relay, sqlite_device
from ..relay.log import Log
from ..relay.machine import SESSIONS
from ..systemd import Unit
from .listening import Listening, cannot_listen, unit, warn_if_nobody_else_comes
from .serving import LogForm, Watching, failures_logged, looked_at, warn
from .signals import stopped_by_signals

_RETRY_SECONDS = 1.0


def serve_gateway(
    directory: Path,
    url: str | None,
    options: Listening,
    watching: Watching,
    sessions: int,
    about_unit: bool,
    install: bool,
    as_json: bool,
) -> None:
    """url: who keeps the log, if not as fleet.json says. Raises TesseraError."""
    storage.require_gateway(directory)
    if about_unit:
        unit(lambda: _unit(directory, url, options, watching, sessions), install, as_json)
        return
    file = FleetFile.read(directory)
    if url is not None:
        engines.check(url)
        file = replace(file, storage=url)
    log = Log(watching.log is LogForm.JSON)
    with failures_logged(log):
        opened = FleetGateway(directory, sessions=sessions)
        opened.relay.notice = functools.partial(_notice, log)
        try:
            places = options.places(opened.told, lambda message, hint: warn(log, "certificate", message, hint))
            warn_if_nobody_else_comes(places, opened.told)
            punctual.run(_Serving(directory, file, opened, places, watching, log, as_json).until_stopped())
        except Error as fault:
            raise TesseraError(f"the gateway stopped: {fault}", "its records are kept; check its storage") from None
        finally:
            opened.close()
        log.event("stopped")


def _notice(log: Log, event: str, level: str = "info", **fields: Any) -> None:
    """What the gateway tells of itself; what says what to do is for people who read no JSON, too."""
    if "hint" in fields:
        warn(log, event, **fields)
    else:
        log.event(event, level=level, **fields)


def _unit(directory: Path, url: str | None, options: Listening, watching: Watching, sessions: int) -> Unit:
    """Raises UsageError, InvalidInput."""
    told = server_relay.told(server_relay.read_configuration(directory))
    words = ["serve", str(directory.absolute()), *options.words(), *watching.words()]
    words += [] if url is None else ["--storage", url]
    words += [] if sessions == SESSIONS else ["--sessions", str(sessions)]
    ports = [place.port for place in options.places(told)] + ([watching.at[1]] if watching.at else [])
    about = f"Tessera gateway ({directory.name})"
    return systemd.server_unit(directory, words, about, ports, options.credentials(), gateway=True)


class _Ended(Exception):
    """This gateway may not go on with the log."""

    def __init__(self, why: TesseraError) -> None:
        self.why = why


@contextlib.contextmanager
def _ended() -> Iterator[None]:
    try:
        yield
    except TesseraError as error:
        raise _Ended(error) from None


class _Serving:
    """A gateway, the log, the way to others, members, and who watches."""

    def __init__(
        self,
        directory: Path,
        file: FleetFile,
        opened: FleetGateway,
        places: list[Place],
        watching: Watching,
        log: Log,
        as_json: bool,
    ) -> None:
        self._directory = directory
        self._file = file
        self._opened = opened
        self._places = places
        self._watching = watching
        self._log = log
        self._as_json = as_json

    async def until_stopped(self) -> None:
        """Until SIGINT or SIGTERM. Raises TesseraError."""
        stopped = asyncio.Event()
        stopped_by_signals(stopped.set)
        serving = asyncio.ensure_future(self._serve(stopped))
        stopping = asyncio.ensure_future(stopped.wait())
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (serving, stopping):
                each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    async def _serve(self, stopped: asyncio.Event) -> None:
        opened, now = self._opened, asyncio.get_running_loop().time
        opened.start()
        if not opened.relay.clock.known:
            early = "this computer's clock is too early for this relay"
            warn(self._log, "clock", early, "set it: the relay looks at it every minute")
        async with contextlib.AsyncExitStack() as beside:
            clock = asyncio.ensure_future(follow(opened.relay.clock, looked_at(opened, self._log)))
            beside.callback(clock.cancel)
            log, transport = await beside.enter_async_context(self._engine(opened.relay.static_key))
            exchange = NodeExchange(opened.seat, transport, opened.join_codes)
            running = Operated(opened, log, exchange, Door(at(self._places)))
            looking = await beside.enter_async_context(Looking(running, now))
            opened.answers.more[operated.STATUS] = looking.answer
            await beside.enter_async_context(Control(running, looking, self._directory))
            if self._watching.at:
                from ..relay.metrics import Watch  # who shows no figures does not need the library

                more = [metrics.FleetFigures(running, looking)]
                watch = Watch(
                    opened,
                    *self._watching.at,
                    load=self._watching.load,
                    more=more,
                    complaints=lambda: metrics.complaints(running, looking),
                )
                await beside.enter_async_context(watch)
            try:
                await self._members(running, log, exchange)
            except _Ended as ended:
                self._at_fault(running, ended.why)
                await stopped.wait()  # whoever looks after the fleet may ask it until then
                raise ended.why from None

    @contextlib.asynccontextmanager
    async def _engine(self, relay_key: bytes) -> AsyncIterator[tuple[FleetLog, Transport]]:
        """As soon as it is there. Raises LogRefused."""
        log = await self._opened_log(relay_key)
        transport = engines.transport(log)
        try:
            yield log, transport
        finally:
            await transport.close()
            await log.close()

    async def _opened_log(self, relay_key: bytes) -> FleetLog:
        warned = False
        async with Waiting(self._directory) as waiting:
            while True:
                try:
                    return await engines.open_log(self._file, relay_key, self._opened.relay.parameters.newest)
                except LogUnavailable as error:
                    waiting.why = error.message
                    if not warned:
                        warn(self._log, "engine", error.message, error.hint or "it is tried again until it answers")
                    warned = True
                    await asyncio.sleep(_RETRY_SECONDS)

    async def _members(self, running: Operated, log: FleetLog, exchange: NodeExchange) -> None:
        """From when the log was replayed to its end. Raises _Ended if this gateway may not go on with the log,
        TesseraError if it cannot serve."""
        opened = self._opened
        async with contextlib.AsyncExitStack() as stack:
            with _ended():
                following = await stack.enter_async_context(opened.running(log, exchange))
            opened.server = server = Server(opened.relay)
            told = opened.told
            serving = asyncio.ensure_future(server.run(told.name, told.port, self._ready, None, running.door))
            try:
                await asyncio.wait((serving, following), return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    running.door.close()
                    with _ended():
                        following.result()
                await serving
            except CannotListen as error:
                raise cannot_listen(error, told) from None
            except OSError as error:
                hint = sqlite_device.what_to_do(error.errno or errno.EIO)
                wrong = f"the gateway stopped, its storage cannot be written: {error.strerror}"
                raise TesseraError(wrong, hint) from None
            finally:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)

    def _ready(self) -> None:
        where, runtime = ", ".join(map(str, self._places)), announcement.runtime_name()
        opened = self._opened
        self._log.event(
            "serving",
            gateway=opened.seat.number,
            ports=[place.port for place in self._places],
            runtime=runtime,
            version=__version__,
            starts=opened.relay.boots,
        )
        if self._as_json:
            typer.echo(json.dumps({"serving": where, "gateway": opened.seat.number, "runtime": runtime}))
        elif not self._log.as_json:
            lines = announcement.announcement(opened.relay, where)
            size = len(opened.state.nodes)  # numbers of those that left are not given again
            fleet = f"gateway {opened.seat.number}, of a fleet of {size}"
            typer.echo("\n".join([*lines, fleet]))
            typer.echo(announcement.READY)

    def _at_fault(self, running: Operated, error: TesseraError) -> None:
        running.fault = str(error)  # whoever looks from another host has not its log
        running.door.close()
        warn(self._log, "fault", f"this gateway serves no more: {error.message}", error.hint)
