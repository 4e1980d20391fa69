"""`tessera serve`: a relay on this computer, until it is stopped.

Owns what is typed and shown, and the signals that end it. The gateway itself is relay.gateway's.
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
from tessera.server import Server, Timing
from tessera.wire import PORT

from ..errors import TesseraError, Unreachable
from ..issuer import organisation
from ..keys.memory import keep_out_of_dumps
from ..planning import plan
from ..relay import gateway
from ..relay.gateway import Gateway
from .options import Json
from .output import say_wrong


def register(app: typer.Typer) -> None:
    """Add `serve` to the main app."""
    app.command("serve")(serve)


def serve(
    storage: Annotated[Path, typer.Option(help="A relay directory, or a new one: an organisation is then made in it.")],
    port: Annotated[int, typer.Option(min=1, max=65535)] = PORT,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    cover_traffic_epsilon: Annotated[str | None, typer.Option(help="ε of the cover traffic, 0.1 in a new one.")] = None,
    cover_traffic_delta: Annotated[str | None, typer.Option(help="δ of the cover traffic, 1e-6 in a new one.")] = None,
    members: Annotated[int, typer.Option(help="Members, in a new organisation.")] = 24,
    round_seconds: Annotated[int, typer.Option(help="Seconds a round, in a new organisation.")] = 300,
    epoch_rounds: Annotated[int, typer.Option(help="Rounds an epoch, in a new organisation.")] = 288,
    as_json: Json = False,
) -> None:
    """Run a relay on this computer until it is stopped."""

    def choice() -> plan.Choice:
        return plan.Choice(
            plan.decimal_option("epsilon", cover_traffic_epsilon or gateway.DEFAULT_EPSILON),
            plan.decimal_option("delta", cover_traffic_delta or gateway.DEFAULT_DELTA),
            members,
            round_seconds=round_seconds,
            epoch_rounds=epoch_rounds,
            posts_per_token=64,
            board="GATEWAY",
        )

    def open_gateway(directory: Path) -> Gateway:
        gateway.check_cover(directory, cover_traffic_epsilon, cover_traffic_delta)
        return Gateway(directory)

    keep_out_of_dumps()
    if gateway.is_relay(storage):
        opened = open_gateway(storage)
    else:
        with organisation.opened(storage, choice, "Organisation", port) as made:
            if made:
                made_it = f"Made an organisation in {storage}. Move issuer and passphrase to another machine."
                typer.echo(made_it, err=True)
            opened = open_gateway(storage / organisation.RELAY)
    try:
        asyncio.run(_until_stopped(opened, host, port, as_json))
    except Error as fault:
        raise TesseraError(f"the relay stopped: {fault}", "its records are kept; look at the storage") from None
    finally:
        opened.close()


async def _until_stopped(opened: Gateway, host: str, port: int, as_json: bool) -> None:
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

    server = Server(opened.relay, Timing(), gateway.SESSIONS)
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
        hint = "another program uses the port, or the address is not this computer's: use --port or --host"
        raise Unreachable(f"cannot listen at {announcement.address(host, port)}: {error.strerror}", hint) from None
    finally:
        clock.cancel()
