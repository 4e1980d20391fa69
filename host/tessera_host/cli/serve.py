"""`tessera serve`: a relay on this computer, until it is stopped.

Owns what is typed and shown, and the signals that end it. The gateway itself is relay.gateway's, the whole organisation
of a trial issuer.organisation's.
"""

import asyncio
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tessera import announcement
from tessera.clock import follow
from tessera.errors import Error
from tessera.server import Server, Timing
from tessera.wire import PORT

from .. import systemd
from ..errors import TesseraError, UsageError
from ..issuer import organisation
from ..issuer.relay_directory import CONFIGURATION
from ..keys.memory import keep_out_of_dumps
from ..planning import choosing, plan
from ..protocol.listening import CannotListen, Place, at
from ..relay import gateway
from ..relay.gateway import Gateway
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
from .output import say_wrong

MEMBERS = 24  # of a trial


def register(app: typer.Typer) -> None:
    """Add `serve` to the main app."""
    app.command("serve")(serve)


def serve(
    storage: Annotated[
        Path, typer.Option(help="The directory that `tessera relay new` made; for a trial, also a new one.")
    ],
    port: ListenPort = None,
    host: ListenHost = None,
    websocket: ListenWebSocket = None,
    certificate: Certificate = None,
    certificate_key: CertificateKey = None,
    cover_traffic_epsilon: Annotated[
        str | None, typer.Option(help="ε of one delivery, for a new trial with a table for deliveries (tessera plan).")
    ] = None,
    cover_traffic_delta: Annotated[str | None, typer.Option(help="δ of one delivery, likewise.")] = None,
    members: Annotated[
        int | None, typer.Option(help=f"Members of a new trial, {MEMBERS}; the planner chooses all else.")
    ] = None,
    round_seconds: Annotated[int | None, typer.Option(help="Seconds a round of a new trial.")] = None,
    epoch_rounds: Annotated[int | None, typer.Option(help="Rounds an epoch of a new trial.")] = None,
    install: Install = False,
    print_unit: PrintUnit = False,
    as_json: Json = False,
) -> None:
    """Run a relay on this computer until it is stopped.

    Its directory comes from the issuer's machine (`tessera relay new`); here no key and no passphrase is made. Where
    none is, --members makes a whole organisation: a trial, on one computer, with the cover that `tessera plan` chooses.
    --cover-traffic-epsilon and --cover-traffic-delta do, too, with cover for one delivery of that ε and δ.
    """
    keep_out_of_dumps()
    options = Listening(host, port, websocket, certificate, certificate_key)
    if check_choice(install, print_unit):
        unit(lambda: _unit(storage, options), install, as_json)
        return
    of_trial = (cover_traffic_epsilon, cover_traffic_delta, members, round_seconds, epoch_rounds)

    def planned() -> plan.Plan:
        if all(option is None for option in of_trial):
            raise _no_relay(storage)
        wish = choosing.Wish(
            members=MEMBERS if members is None else members,
            round_seconds=round_seconds,
            epoch_rounds=epoch_rounds,
            board="GATEWAY",
        )
        if cover_traffic_epsilon is not None or cover_traffic_delta is not None:
            epsilon = plan.decimal_option("epsilon", cover_traffic_epsilon or gateway.DEFAULT_EPSILON)
            delta = plan.decimal_option("delta", cover_traffic_delta or gateway.DEFAULT_DELTA)
            wish = replace(wish, cover=plan.DELIVERY, epsilon=epsilon, delta=delta)
        return choosing.choose(wish).plan

    def open_gateway(directory: Path) -> Gateway:
        gateway.check_cover(directory, cover_traffic_epsilon, cover_traffic_delta)
        return Gateway(directory)

    if gateway.is_relay(storage):
        opened = open_gateway(storage)
    else:
        with organisation.opened(storage, planned, "Organisation", port or PORT) as made:
            opened = open_gateway(storage / organisation.RELAY)
            typer.echo(_about_the_trial(storage, made), err=True)
    try:
        places = options.places(opened.told)
        warn_if_nobody_else_comes(places, opened.told)
        asyncio.run(_until_stopped(opened, places, as_json))
    except Error as fault:
        raise TesseraError(f"the relay stopped: {fault}", "its records are kept; look at the storage") from None
    finally:
        opened.close()


def _no_relay(storage: Path) -> UsageError:
    return UsageError(
        f"there is no relay in {storage}",
        f"on the issuer's machine: tessera relay new NAME --issuer DIR --host HOST NEWDIR, and bring NEWDIR here; a "
        f"trial with issuer and relay in one place: --members {MEMBERS}",
    )


def _about_the_trial(storage: Path, made: bool) -> str:
    return (
        f"{'Made a trial' if made else 'This is a trial'}: the issuer, its passphrase and the relay lie together in "
        f"{storage}, and who reads that is IT.\nFor an office: tessera issuer init and tessera relay new on IT's "
        "machine; here tessera serve --storage with the directory that relay new made."
    )


def _unit(storage: Path, options: Listening) -> Unit:
    """Raises UsageError, InvalidInput."""
    if (storage / organisation.RELAY / CONFIGURATION).exists():
        raise UsageError(
            f"{storage} is a trial: its issuer and passphrase would lie beside the relay", _no_relay(storage).hint
        )
    if not gateway.is_relay(storage):
        raise _no_relay(storage)
    gateway.read_parameters(storage)
    told = gateway.told(gateway.read_configuration(storage))
    words = ["serve", "--storage", str(storage.absolute()), *options.words()]
    ports = [place.port for place in options.places(told)]
    return systemd.server_unit(storage, words, f"Tessera relay ({storage.name})", ports, options.credentials())


async def _until_stopped(opened: Gateway, places: list[Place], as_json: bool) -> None:
    """Serve until SIGINT or SIGTERM. Raises Unreachable if it cannot begin, TesseraError if it cannot go on."""

    def ready() -> None:
        where = ", ".join(map(str, places))
        lines = announcement.announcement(opened.relay, where)
        runtime = announcement.runtime_name()
        typer.echo(json.dumps({"serving": where, "runtime": runtime}) if as_json else "\n".join(lines))
        if not as_json:
            typer.echo(announcement.READY)

    def begin() -> None:
        opened.start()
        if not opened.relay.clock.known:
            early = "this computer's clock is too early for this relay"
            say_wrong(early, "set it: the relay looks at it every minute", "warning")

    server = Server(opened.relay, Timing(), gateway.SESSIONS)
    told = opened.told
    serving = asyncio.ensure_future(server.run(told.name, told.port, ready, begin, at(places)))
    clock = asyncio.ensure_future(follow(opened.relay.clock, gateway.unix_ms))
    if sys.platform != "win32":  # there Ctrl-C cancels this task, and with it what it waits for
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        pass
    except CannotListen as error:
        raise cannot_listen(error, told) from None
    except OSError as error:
        hint = "make room, and start it again: what it acknowledged is kept"
        raise TesseraError(f"the relay stopped, its storage cannot be written: {error.strerror}", hint) from None
    finally:
        clock.cancel()
