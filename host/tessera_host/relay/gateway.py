"""`tessera serve`: the relay core on CPython, for a server instead of a board, with SQLite storage and libsecp256k1.

Owns how a relay directory becomes a running gateway. Leaves to others: the relay and its server (the core), the flash
(sqlite_device.py), making the directory (relay_directory.py, organisation.py).
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

import tessera
from tessera import announcement
from tessera.clock import follow
from tessera.errors import Error, InvalidObject
from tessera.files import Directory
from tessera.firmware import digest_of_files
from tessera.params import Parameters
from tessera.relay import Identity, Relay
from tessera.server import Server, Timing

from ..errors import InvalidInput, TesseraError, Unreachable, UsageError
from ..files import read_text
from ..issuer import organisation
from ..issuer.relay_directory import CONFIGURATION, PARAMETERS
from ..planning import plan
from ..privacy import noise
from .sqlite_device import Database

DATABASE = "storage.sqlite"
SESSIONS = 64
DEFAULT_EPSILON, DEFAULT_DELTA = "0.1", "1e-6"


def register(app: typer.Typer) -> None:
    """Add `serve` to the main app."""
    app.command("serve")(serve)


def serve(
    storage: Annotated[Path, typer.Option(help="A relay directory, or a new one: an organisation is then made in it.")],
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8100,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    cover_traffic_epsilon: Annotated[str | None, typer.Option(help="ε of the cover traffic, 0.1 in a new one.")] = None,
    cover_traffic_delta: Annotated[str | None, typer.Option(help="δ of the cover traffic, 1e-6 in a new one.")] = None,
    members: Annotated[int, typer.Option(help="Members, in a new organisation.")] = 24,
    round_seconds: Annotated[int, typer.Option(help="Seconds a round, in a new organisation.")] = 300,
    epoch_rounds: Annotated[int, typer.Option(help="Rounds an epoch, in a new organisation.")] = 288,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object when it serves, nothing else.")] = False,
) -> None:
    """Run a relay on this computer until it is stopped."""
    if not is_relay(storage) and not organisation.exists(storage):
        epsilon = plan.decimal_option("epsilon", cover_traffic_epsilon or DEFAULT_EPSILON)
        delta = plan.decimal_option("delta", cover_traffic_delta or DEFAULT_DELTA)
        choice = plan.Choice(
            epsilon,
            delta,
            members,
            round_seconds=round_seconds,
            epoch_rounds=epoch_rounds,
            posts_per_token=64,
            board="GATEWAY",
        )
        organisation.make(storage, choice, "Organisation", port)
        typer.echo(f"Made an organisation in {storage}. Move issuer and passphrase to another machine.", err=True)
    directory = storage if is_relay(storage) else storage / organisation.RELAY
    check_cover(directory, cover_traffic_epsilon, cover_traffic_delta)
    gateway = open_gateway(directory)
    try:
        asyncio.run(_until_stopped(gateway, host, port, as_json))
    except Error as fault:
        raise TesseraError(f"the relay stopped: {fault}", "its records are kept; look at the storage") from None
    except OSError as error:
        hint = "another program uses the port, or the address is not this computer's: use --port or --host"
        raise Unreachable(f"cannot listen at {host}:{port}: {error.strerror}", hint) from None
    finally:
        gateway.database.close()


def is_relay(directory: Path) -> bool:
    return (directory / CONFIGURATION).exists()


def check_cover(directory: Path, epsilon: str | None, delta: str | None) -> None:
    """Raise UsageError if the cover traffic asked for is not that of the relay's parameters."""
    if epsilon is None and delta is None:
        return
    parameters = read_parameters(directory)
    asked_epsilon = plan.decimal_option("epsilon", epsilon or DEFAULT_EPSILON)
    asked_delta = plan.decimal_option("delta", delta or DEFAULT_DELTA)
    asked = noise.table(asked_epsilon, asked_delta)
    if b"".join(threshold.to_bytes(8, "big") for threshold in asked.thresholds) != bytes(parameters.thresholds):
        raise UsageError(
            f"this relay's cover traffic is another (epsilon {parameters.epsilon / 10**6}, mu {parameters.mu})",
            "leave the --cover-traffic options out, or use storage of its own for other parameters",
        )


def read_parameters(directory: Path) -> Parameters:
    """The signed parameters in a relay directory. Raises InvalidInput."""
    try:
        parameters = Parameters((directory / PARAMETERS).read_bytes())
        parameters.verify()
    except (OSError, InvalidObject) as error:
        raise InvalidInput(f"{directory / PARAMETERS}: {error}", "make the relay with 'tessera relay new'") from None
    return parameters


@dataclass(frozen=True)
class Gateway:
    relay: Relay
    database: Database


class _RelayFiles(Directory):
    """Files of which one is removed only when what took its place is durable."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._removed: list[str] = []

    def remove(self, name: str) -> None:
        self._removed.append(name)

    def remove_now(self) -> None:
        for name in self._removed:
            super().remove(name)


def open_gateway(directory: Path) -> Gateway:
    """Start the relay of a directory. Raises InvalidInput if something is wrong with it, Unreachable if it runs."""
    configuration = read_configuration(directory)
    try:
        database = Database(directory / DATABASE)
        files = _RelayFiles(directory)
        ring = database.region("ring", configuration["ring_sectors"])
        keys = database.region("keys", configuration["keyring_sectors"])
        with database.transaction():
            relay = Relay(ring, keys, files, identity(configuration), os.urandom)
            relay.start()
    except sqlite3.OperationalError as error:
        raise Unreachable(f"the storage cannot be opened: {error}", "is another relay running on it?") from None
    except Error as error:
        raise InvalidInput(f"the relay in {directory} does not start: {error}", "ask who made the directory") from None
    files.remove_now()
    relay.clock.set(unix_ms())
    return Gateway(relay, database)


def read_configuration(directory: Path) -> dict[str, Any]:
    """relay.json. Raises InvalidInput."""
    path = directory / CONFIGURATION
    try:
        configuration = json.loads(read_text(path))
        identity(configuration)
        sectors = configuration["ring_sectors"], configuration["keyring_sectors"]
        if configuration["version"] == 1 and all(type(count) is int and count > 0 for count in sectors):
            return dict(configuration)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise InvalidInput(f"{path} is damaged", "make the relay anew with 'tessera relay new'")


def identity(configuration: dict[str, Any]) -> Identity:
    static, ledger = (bytes.fromhex(configuration[name]) for name in ("static_secret", "ledger_secret"))
    return Identity(static, ledger, b"gateway", digest_of_files(str(Path(tessera.__file__).parent)), "GATEWAY")


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


async def _until_stopped(gateway: Gateway, host: str, port: int, as_json: bool) -> None:
    """Serve until SIGINT or SIGTERM."""

    def ready() -> None:
        lines = announcement.announcement(gateway.relay, f"{host}:{port}")
        runtime = announcement.runtime_name()
        typer.echo(json.dumps({"serving": f"{host}:{port}", "runtime": runtime}) if as_json else "\n".join(lines))
        if not as_json:
            typer.echo("serving")

    server = Server(gateway.relay, Timing(), SESSIONS)
    serving = asyncio.ensure_future(server.run(host, port, ready))
    clock = asyncio.ensure_future(follow(gateway.relay.clock, unix_ms))
    if sys.platform != "win32":  # there Ctrl-C cancels this task, and with it what it waits for
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        pass
    finally:
        clock.cancel()
