"""`tessera serve`: a relay on this computer, until it is stopped.

Owns what is typed and shown, and the signals that end it. The gateway itself is relay.gateway's, the whole organisation
of a trial issuer.organisation's.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from tessera import announcement
from tessera.clock import follow
from tessera.errors import Error
from tessera.server import Server
from tessera.wire import PORT

from .. import systemd
from ..errors import TesseraError, UsageError
from ..issuer import organisation
from ..issuer.relay_directory import CONFIGURATION
from ..keys.memory import keep_out_of_dumps
from ..planning import plan
from ..relay import gateway
from ..relay.gateway import Gateway
from ..systemd import Unit
from .listening import (
    Install,
    ListenHost,
    ListenPort,
    PrintUnit,
    cannot_listen,
    check_choice,
    given,
    unit,
    warn_if_nobody_else_comes,
)
from .options import Json
from .output import say_wrong

MEMBERS, ROUND_SECONDS, EPOCH_ROUNDS = 24, 300, 288  # of a trial


def register(app: typer.Typer) -> None:
    """Add `serve` to the main app."""
    app.command("serve")(serve)


def serve(
    storage: Annotated[
        Path, typer.Option(help="The directory that `tessera relay new` made; for a trial, also a new one.")
    ],
    port: ListenPort = None,
    host: ListenHost = None,
    cover_traffic_epsilon: Annotated[
        str | None, typer.Option(help=f"ε of the cover traffic; of a new trial {gateway.DEFAULT_EPSILON}.")
    ] = None,
    cover_traffic_delta: Annotated[
        str | None, typer.Option(help=f"δ of the cover traffic; of a new trial {gateway.DEFAULT_DELTA}.")
    ] = None,
    members: Annotated[int | None, typer.Option(help=f"Members of a new trial, {MEMBERS}.")] = None,
    round_seconds: Annotated[int | None, typer.Option(help=f"Seconds a round of a new trial, {ROUND_SECONDS}.")] = None,
    epoch_rounds: Annotated[int | None, typer.Option(help=f"Rounds an epoch of a new trial, {EPOCH_ROUNDS}.")] = None,
    sessions: Annotated[
        int, typer.Option(min=1, help="Members at once; one more is told that the relay is busy.")
    ] = gateway.SESSIONS,
    install: Install = False,
    print_unit: PrintUnit = False,
    as_json: Json = False,
) -> None:
    """Run a relay on this computer until it is stopped.

    Its directory comes from the issuer's machine (`tessera relay new`); here no key and no passphrase is made. Where
    none is, --cover-traffic-epsilon and --cover-traffic-delta make a whole organisation: a trial, on one computer.
    """
    keep_out_of_dumps()
    if check_choice(install, print_unit):
        unit(lambda: _unit(storage, host, port), install, as_json)
        return
    of_trial = (cover_traffic_epsilon, cover_traffic_delta, members, round_seconds, epoch_rounds)

    def choice() -> plan.Choice:
        if all(option is None for option in of_trial):
            raise _no_relay(storage)
        return plan.Choice(
            plan.decimal_option("epsilon", cover_traffic_epsilon or gateway.DEFAULT_EPSILON),
            plan.decimal_option("delta", cover_traffic_delta or gateway.DEFAULT_DELTA),
            MEMBERS if members is None else members,
            round_seconds=ROUND_SECONDS if round_seconds is None else round_seconds,
            epoch_rounds=EPOCH_ROUNDS if epoch_rounds is None else epoch_rounds,
            posts_per_token=64,
            board="GATEWAY",
        )

    def open_gateway(directory: Path) -> Gateway:
        gateway.check_cover(directory, cover_traffic_epsilon, cover_traffic_delta)
        return Gateway(directory, sessions)

    if gateway.is_relay(storage):
        opened = open_gateway(storage)
    else:
        with organisation.opened(storage, choice, "Organisation", port or PORT) as made:
            opened = open_gateway(storage / organisation.RELAY)
            typer.echo(_about_the_trial(storage, made), err=True)
    at, listening = host or opened.told.host, port or opened.told.port
    if host is None:
        warn_if_nobody_else_comes(at)
    try:
        asyncio.run(_until_stopped(opened, at, listening, host is None, as_json))
    except Error as fault:
        raise TesseraError(f"the relay stopped: {fault}", "its records are kept; look at the storage") from None
    finally:
        opened.close()


def _no_relay(storage: Path) -> UsageError:
    return UsageError(
        f"there is no relay in {storage}",
        f"on the issuer's machine: tessera relay new NAME --issuer DIR --host HOST NEWDIR, and bring NEWDIR here; a "
        f"trial with issuer and relay in one place: --cover-traffic-epsilon {gateway.DEFAULT_EPSILON} "
        f"--cover-traffic-delta {gateway.DEFAULT_DELTA}",
    )


def _about_the_trial(storage: Path, made: bool) -> str:
    return (
        f"{'Made a trial' if made else 'This is a trial'}: the issuer, its passphrase and the relay lie together in "
        f"{storage}, and who reads that is IT.\nFor an office: tessera issuer init and tessera relay new on IT's "
        "machine; here tessera serve --storage with the directory that relay new made."
    )


def _unit(storage: Path, host: str | None, port: int | None) -> Unit:
    """Raises UsageError, InvalidInput."""
    if (storage / organisation.RELAY / CONFIGURATION).exists():
        raise UsageError(
            f"{storage} is a trial: its issuer and passphrase would lie beside the relay", _no_relay(storage).hint
        )
    if not gateway.is_relay(storage):
        raise _no_relay(storage)
    gateway.read_parameters(storage)
    told = gateway.told(gateway.read_configuration(storage))
    words = ["serve", "--storage", str(storage.absolute()), *given(host, port)]
    return systemd.server_unit(storage, words, f"Tessera relay ({storage.name})", port or told.port)


async def _until_stopped(opened: Gateway, host: str, port: int, told: bool, as_json: bool) -> None:
    """Serve until SIGINT or SIGTERM. Raises Unreachable if it cannot begin, TesseraError if it cannot go on."""
    listening = False

    def ready() -> None:
        where = announcement.address(host, port)
        lines = announcement.announcement(opened.relay, where)
        runtime = announcement.runtime_name()
        typer.echo(json.dumps({"serving": where, "runtime": runtime}) if as_json else "\n".join(lines))
        if not as_json:
            typer.echo(announcement.READY)

    def begin() -> None:
        nonlocal listening
        listening = True
        opened.start()
        if not opened.relay.clock.known:
            early = "this computer's clock is too early for this relay"
            say_wrong(early, "set it: the relay looks at it every minute", "warning")

    server = Server(opened.relay)
    serving = asyncio.ensure_future(server.run(host, port, ready, begin))
    clock = asyncio.ensure_future(follow(opened.relay.clock, gateway.unix_ms))
    if sys.platform != "win32":  # there Ctrl-C cancels this task, and with it what it waits for
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        pass
    except OSError as error:
        if listening:
            hint = "make room, and start it again: what it acknowledged is kept"
            raise TesseraError(f"the relay stopped, its storage cannot be written: {error.strerror}", hint) from None
        raise cannot_listen(host, port, error, told) from None
    finally:
        clock.cancel()
