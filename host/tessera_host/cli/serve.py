"""`tessera serve`: a relay on this computer, until it is stopped.

Owns what is typed and shown, and the signals that end it. The relay itself is relay.server_relay's, the whole
organisation of a trial issuer.organisation's, what may be watched relay.metrics's.
"""

import asyncio
import contextlib
import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tessera import announcement
from tessera.clock import follow
from tessera.errors import Error
from tessera.server import Server
from tessera.wire import PORT

from .. import __version__, kinds_of_cover, systemd
from ..errors import TesseraError, UsageError
from ..issuer import organisation
from ..issuer.relay_directory import CONFIGURATION
from ..keys.memory import keep_out_of_dumps
from ..planning import choosing, plan
from ..protocol import addresses
from ..protocol.addresses import Address
from ..protocol.listening import CannotListen, Place, at
from ..relay import punctual, server_relay, sqlite_device, storage
from ..relay.log import Log
from ..relay.machine import SESSIONS
from ..relay.server_relay import ServerRelay
from ..relay.storage import Storage
from ..systemd import Unit
from .listening import (
    Certificate,
    CertificateKey,
    Install,
    ListenHost,
    Listening,
    ListenPort,
    ListenWebSocket,
    PrintUnit,
    cannot_listen,
    check_choice,
    unit,
    warn_if_nobody_else_comes,
)
from .options import Json
from .serving import LogForm, Watching, failures_logged, looked_at, warn
from .signals import stopped_by_signals

MEMBERS = 24  # of a trial
_POSTS = 64  # a token there, however short its epochs are
FLEET = "fleet.json"  # in a gateway's directory: fleet.storage's, which a relay alone need not load


def register(app: typer.Typer) -> None:
    """Add `serve` to the main app."""
    app.command("serve")(serve)


def serve(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="The directory of a gateway of a fleet (tessera fleet init, join)."),
    ] = None,
    storage_: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="DIR|sqlite:///PATH",
            help="For a single relay: the directory that `tessera relay new` made; for a trial, also a new one. "
            "sqlite:///DIR/NAME.db is the same with a name for the database. For a gateway: the engine of the log, "
            "nats://HOST,HOST,HOST/NAME, instead of the one in its directory.",
        ),
    ] = None,
    port: ListenPort = None,
    host: ListenHost = None,
    websocket: ListenWebSocket = None,
    certificate: Certificate = None,
    certificate_key: CertificateKey = None,
    cover_traffic_epsilon: Annotated[
        str | None, typer.Option(help="For a new trial with cover for one delivery: its ε (see tessera plan).")
    ] = None,
    cover_traffic_delta: Annotated[
        str | None, typer.Option(help="For a new trial with cover for one delivery: its δ.")
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(
            min=plan.MEMBERS_FLOOR, help=f"Members of a new trial, for example {MEMBERS}; the planner chooses the rest."
        ),
    ] = None,
    round_seconds: Annotated[int | None, typer.Option(help="Length of a round of a new trial, in seconds.")] = None,
    epoch_rounds: Annotated[int | None, typer.Option(help="Rounds in an epoch of a new trial.")] = None,
    sessions: Annotated[
        int, typer.Option(min=1, help="Members that may be connected at once; any more are told that it is busy.")
    ] = SESSIONS,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Serve figures for Prometheus there at /metrics, and the relay's health at /healthz.",
        ),
    ] = None,
    metrics_load: Annotated[
        bool,
        typer.Option(
            "--metrics-load", help="Also figures that tell how much members write: commits, storage, processor, memory."
        ),
    ] = False,
    log: Annotated[
        LogForm, typer.Option(help="json: one line for each event on standard error, without addresses.")
    ] = LogForm.TEXT,
    by_websocket: Annotated[bool, typer.Option("--by-websocket", hidden=True)] = False,
    install: Install = False,
    print_unit: PrintUnit = False,
    as_json: Json = False,
) -> None:
    """Run a relay on this computer until it is stopped.

    Its directory comes from the issuer's machine (`tessera relay new`); no key and no passphrase is made here. In a new
    directory --members makes a whole organisation, a trial on one computer, with the cover that `tessera plan` chooses;
    --cover-traffic-epsilon and --cover-traffic-delta make one with cover for one delivery.
    """
    keep_out_of_dumps()
    if by_websocket and websocket is None:
        port, websocket = None, port and str(port)
    options = Listening(host, port, websocket, certificate, certificate_key)
    watching = Watching(metrics, metrics_load, log)
    if directory is not None:
        from .serve_gateway import serve_gateway  # a relay alone needs nothing of it

        if members is not None or cover_traffic_epsilon is not None or cover_traffic_delta is not None:
            raise UsageError(
                "--members and --cover-traffic-* are for new trials, not for a gateway of a fleet", "leave them out"
            )
        serve_gateway(
            directory, storage_, options, watching, sessions, check_choice(install, print_unit), install, as_json
        )
        return
    place = storage.read(_required(storage_))
    if (place.directory / FLEET).exists():
        raise UsageError(
            f"{place.directory} is a gateway of a fleet", f"start it with: tessera serve {place.directory}"
        )
    if check_choice(install, print_unit):
        unit(lambda: _unit(place, options, watching, sessions), install, as_json)
        return
    of_trial = (cover_traffic_epsilon, cover_traffic_delta, members, round_seconds, epoch_rounds)

    def planned() -> plan.Plan:
        if all(option is None for option in of_trial):
            raise _no_relay(place)
        wish = choosing.Wish(
            members=MEMBERS if members is None else members,
            round_seconds=round_seconds,
            epoch_rounds=epoch_rounds,
            posts_per_token=_POSTS,
            board="GATEWAY",
        )
        if cover_traffic_epsilon is not None or cover_traffic_delta is not None:
            epsilon = plan.decimal_option("epsilon", cover_traffic_epsilon or server_relay.DEFAULT_EPSILON)
            delta = plan.decimal_option("delta", cover_traffic_delta or server_relay.DEFAULT_DELTA)
            wish = replace(wish, cover=kinds_of_cover.DELIVERY, epsilon=epsilon, delta=delta)
        return choosing.plan_for(wish, ("members", "round_seconds", "epoch_rounds"))

    def open_relay(directory: Path) -> ServerRelay:
        server_relay.check_cover(directory, cover_traffic_epsilon, cover_traffic_delta)
        server_relay.check_rules(directory, members=members, round_seconds=round_seconds, epoch_rounds=epoch_rounds)
        return ServerRelay(directory, place.named, sessions)

    log_ = Log(log is LogForm.JSON)
    with failures_logged(log_):
        if server_relay.is_relay(place.directory):
            opened = open_relay(place.directory)
        else:
            where = _trial_address(port, websocket, by_websocket)
            with organisation.opened(place.directory, planned, "Organisation", *where) as made:
                opened = open_relay(place.directory / organisation.RELAY)
                if log_.as_json:
                    log_.event("trial", level="warning", made=made)
                else:
                    typer.echo(_about_the_trial(place, made), err=True)
        opened.relay.notice = log_.event
        try:
            if by_websocket and not opened.told.scheme:
                raise _not_by_websocket(place, opened.told)
            places = options.places(opened.told, lambda message, hint: warn(log_, "certificate", message, hint))
            warn_if_nobody_else_comes(places, opened.told)
            punctual.run(_until_stopped(opened, places, watching, log_, as_json))
        except Error as fault:
            raise TesseraError(f"the relay stopped: {fault}", "its records are kept; check its storage") from None
        finally:
            opened.close()
        log_.event("stopped")


def _required(storage_: str | None) -> str:
    """Raises UsageError."""
    if storage_ is None:
        raise UsageError(
            "the command does not say what to serve",
            "a single relay: tessera serve --storage DIR; a gateway of a fleet: tessera serve DIR",
        )
    if storage_.startswith("nats:"):
        raise UsageError(
            f"{storage_} is a fleet's log; a gateway also needs its directory",
            f"tessera serve DIR --storage {storage_}, with the directory that tessera fleet init or join made",
        )
    return storage_


def _no_relay(place: Storage) -> UsageError:
    return UsageError(
        f"there is no relay in {place.directory}",
        "on the issuer's machine: tessera relay new NAME --issuer DIR --host HOST NEWDIR, then copy NEWDIR here; for "
        f"a trial with issuer and relay in one directory: --members {MEMBERS}",
    )


def _trial_address(port: int | None, websocket: str | None, by_websocket: bool) -> tuple[int, str]:
    """The port and host that members of a new trial are told."""
    if not by_websocket:
        return port or PORT, "127.0.0.1"
    return addresses.listening(websocket or str(PORT), "127.0.0.1")[1], "ws://127.0.0.1"


def _not_by_websocket(place: Storage, told: Address) -> UsageError:
    return UsageError(
        f"members were told {told}, to which they connect with TCP",
        f"serve TCP there: tessera serve --storage {place}; to add WebSockets: --websocket PORT",
    )


def _about_the_trial(place: Storage, made: bool) -> str:
    return (
        f"{'Made a trial' if made else 'This is a trial'}: the issuer, its passphrase and the relay lie together in "
        f"{place.directory}, so anybody who reads that directory can act as IT.\nFor an office: tessera issuer init "
        "and tessera relay new on IT's machine; here tessera serve --storage with the directory that relay new made."
    )


def _unit(place: Storage, options: Listening, watching: Watching, sessions: int) -> Unit:
    """Raises UsageError, InvalidInput."""
    directory = place.directory
    if (directory / organisation.RELAY / CONFIGURATION).exists():
        raise UsageError(f"{directory} is a trial, with issuer and passphrase beside the relay", _no_relay(place).hint)
    if not server_relay.is_relay(directory):
        raise _no_relay(place)
    server_relay.read_parameters(directory)
    told = server_relay.told(server_relay.read_configuration(directory))
    words = ["serve", "--storage", str(place.absolute()), *options.words(), *watching.words()]
    if sessions != SESSIONS:
        words += ["--sessions", str(sessions)]
    ports = [place.port for place in options.places(told)] + ([watching.at[1]] if watching.at else [])
    return systemd.server_unit(directory, words, f"Tessera relay ({directory.name})", ports, options.credentials())


async def _until_stopped(opened: ServerRelay, places: list[Place], watching: Watching, log: Log, as_json: bool) -> None:
    """Serve until SIGINT or SIGTERM. Raises Unreachable if it cannot begin, TesseraError if it cannot go on."""

    def ready() -> None:
        where = ", ".join(map(str, places))
        lines = announcement.announcement(opened.relay, where)
        runtime = announcement.runtime_name()
        log.event(
            "serving",
            ports=[place.port for place in places],
            runtime=runtime,
            version=__version__,
            starts=opened.relay.boots,
        )
        if as_json:
            typer.echo(json.dumps({"serving": where, "runtime": runtime}))
        elif not log.as_json:
            typer.echo("\n".join(lines))
            typer.echo(announcement.READY)

    def begin() -> None:
        opened.start()
        if not opened.relay.clock.known:
            early = "this computer's clock is too early for this relay"
            warn(log, "clock", early, "set this computer's clock; the relay checks it every minute")

    opened.server = server = Server(opened.relay)
    async with contextlib.AsyncExitStack() as beside:
        if watching.at:
            from ..relay.metrics import Watch  # who shows no figures does not need the library

            await beside.enter_async_context(Watch(opened, *watching.at, load=watching.load))
        told = opened.told
        serving = asyncio.ensure_future(server.run(told.name, told.port, ready, begin, at(places)))
        clock = asyncio.ensure_future(follow(opened.relay.clock, looked_at(opened, log)))
        beside.callback(clock.cancel)
        stopped_by_signals(serving.cancel)
        try:
            await serving
        except asyncio.CancelledError:
            pass
        except CannotListen as error:
            raise cannot_listen(error, told) from None
        except OSError as error:
            hint = sqlite_device.what_to_do(error.errno or errno.EIO)
            wrong = f"the relay stopped, its storage cannot be written: {error.strerror}"
            raise TesseraError(wrong, hint) from None
