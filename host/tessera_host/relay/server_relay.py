"""The relay core on CPython, for a server instead of a board, with SQLite storage and libsecp256k1.

Owns how a relay directory becomes a running relay. Leaves to others: the relay and its server (the core), the flash
(sqlite_device.py), making the directory (relay_directory.py), the command `tessera serve` (cli).
"""

import errno
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tessera
from tessera import RELEASED, ownership, params
from tessera.errors import Error, InvalidObject
from tessera.files import Directory
from tessera.firmware import digest_of_files
from tessera.handshakes import Session
from tessera.params import Head, Parameters
from tessera.relay import Identity
from tessera.server import Server
from tessera.wire import POST

from ..errors import InvalidInput, Unreachable, UsageError
from ..files import read_text
from ..issuer.relay_directory import CONFIGURATION, PARAMETERS, SEED
from ..planning import plan
from ..privacy import noise
from ..protocol.addresses import Address, is_host
from . import sqlite_device
from .machine import SESSIONS, ServerMachine, allow_connections
from .sqlite_device import Database, NotThisRelays
from .storage import DATABASE
from .watched_relay import WatchedRelay

DEFAULT_EPSILON, DEFAULT_DELTA = "0.1", "1e-6"


def is_relay(directory: Path) -> bool:
    return (directory / CONFIGURATION).exists()


def check_cover(directory: Path, epsilon: str | None, delta: str | None) -> None:
    """Raises UsageError if the relay's parameters say another cover traffic than is asked for; epsilon and delta are
    decimals of one delivery, None asks for nothing."""
    if epsilon is None and delta is None:
        return
    parameters = read_parameters(directory)
    asked_epsilon = plan.decimal_option("epsilon", epsilon or DEFAULT_EPSILON)
    asked_delta = plan.decimal_option("delta", delta or DEFAULT_DELTA)
    asked = noise.table(asked_epsilon, asked_delta)
    if b"".join(threshold.to_bytes(8, "big") for threshold in asked.thresholds) != bytes(parameters.thresholds):
        raise UsageError(
            f"this relay's parameters say another cover traffic: {_cover(parameters)}",
            "leave the --cover-traffic options out, or name a new --storage for a relay with other parameters",
        )


def check_rules(directory: Path, **wanted: int | None) -> None:
    """Raises UsageError if the relay's parameters have another value than is asked for; None asks for nothing."""
    asked = {name: value for name, value in wanted.items() if value is not None}
    parameters = read_parameters(directory) if asked else None
    for name, value in asked.items():
        there, option = getattr(parameters, name), f"--{name.replace('_', '-')}"
        if value != there:
            raise UsageError(
                f"this relay's parameters say {option} {there}, not {value}",
                f"leave {option} out, or name a new --storage for a relay with other parameters",
            )


def _cover(parameters: Parameters) -> str:
    if parameters.cover == params.CONSTANT:
        return f"constant batches of {parameters.constant} records"
    return f"epsilon {parameters.epsilon / 10**6} for one delivery, at most {parameters.candidates} records"


def read_parameters(directory: Path) -> Parameters:
    """The newest signed parameters in a relay directory. Raises InvalidInput."""
    try:
        content = (directory / PARAMETERS).read_bytes()
        parameters = Parameters(content[: Head(content).size(1)])  # behind them is what a relay that ran keeps besides
        parameters.verify()
    except (OSError, InvalidObject) as error:
        raise InvalidInput(
            f"{directory / PARAMETERS} cannot be used: {error}", "make the relay with 'tessera relay new'"
        ) from None
    return parameters


def told(configuration: dict[str, Any]) -> Address:
    """The address of a relay for members, from its relay.json."""
    return Address.of(configuration["host"], configuration["port"])


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


class _CommittingRelay(WatchedRelay):
    """What a turn of rounds writes is durable, all together, before anything of it is served; what a POST writes before
    it is answered: the server waits for ServerMachine.commits."""

    def __init__(self, database: Database, *parts: Any, machine: ServerMachine) -> None:
        self._database = database
        super().__init__(*parts, machine=machine)
        database.failed = self._storage_failed

    def turn(self) -> bool:
        with self._failures(), self._database.held():
            return super().turn()

    def maintain(self) -> None:
        with self._failures(), self._database.transaction():
            super().maintain()

    def answer(self, session: Session, frame: bytes, out: bytearray) -> None:
        if frame[0] != POST:
            super().answer(session, frame, out)
            return
        with self._failures():
            self._database.require()
        with self._database.deferred():
            super().answer(session, frame, out)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._storage_failed()
            raise


class ServerRelay:
    """A relay directory that this program has taken, with its storage open; start() starts the relay."""

    relay: WatchedRelay
    machine_class = ServerMachine

    def __init__(self, directory: Path, database: Path | None = None, sessions: int = SESSIONS) -> None:
        """database: its file, if not in the directory; sessions: how many members at once. Raises Unreachable if
        another relay runs on either, InvalidInput if something is wrong with them, UsageError if the system allows too
        few open files."""
        machine = self.machine_class(sessions)
        allow_connections(machine)
        configuration = read_configuration(directory)
        self.told = told(configuration)
        self._directory = directory
        self.server: Server | None = None  # that serves it, for whoever watches
        self.database_path = database or directory / DATABASE
        try:
            self._held = ownership.take(str(directory))
        except Error as error:
            raise Unreachable(
                f"{directory} cannot be used: {error}", "if another relay runs there, stop it; nothing was changed"
            ) from None
        try:
            self._check_there()
            owner = identity(configuration)
            self.database = self._opened(owner.static[1])
        except BaseException:
            self._held.close()
            raise
        try:
            self._files = _RelayFiles(directory)
            ring = self.database.region("ring", configuration["ring_sectors"])
            keys = self.database.region("keys", configuration["keyring_sectors"], blank_is_public=True)
            self._machine = machine
            self.relay = self._made((ring, keys, self._files, owner, os.urandom), machine)
        except OSError as error:
            self.close()
            hint = sqlite_device.what_to_do(error.errno or errno.EIO)
            raise InvalidInput(f"{self.database_path} cannot be read: {error.strerror}", hint) from None
        except Error as error:
            self.close()
            raise self._not_started(error) from None

    def _made(self, parts: tuple[Any, ...], machine: ServerMachine) -> WatchedRelay:
        """A relay of these parts: its two devices, its files, its identity and a source of random bytes."""
        machine.commits = self.database
        return _CommittingRelay(self.database, *parts, machine=machine)

    def _check_there(self) -> None:
        """Raise InvalidInput if the database is missing that the relay ran with: a new one has none of its records."""
        if not self.database_path.exists() and not (self._directory / SEED).exists():
            raise InvalidInput(
                f"{self.database_path} is missing, although this relay has already run",
                "put the file back, or name the one it ran with: --storage sqlite:///DIR/NAME; if it is lost, on the "
                "issuer's machine: tessera relay replace",
            )

    def _opened(self, static_key: bytes) -> Database:
        """Raises InvalidInput, Unreachable."""
        try:
            return Database(self.database_path, static_key)
        except NotThisRelays as error:
            raise InvalidInput(
                f"{self.database_path} cannot be used: {error}",
                "name the database that this relay ran with, or a new file",
            ) from None
        except OSError as error:
            hint = sqlite_device.what_to_do(error.errno or errno.EACCES)
            raise InvalidInput(f"{self.database_path} cannot be opened: {error.strerror}", hint) from None
        except sqlite3.Error as error:
            number = sqlite_device.number(error)
            kind = Unreachable if number == errno.EBUSY else InvalidInput
            hint = sqlite_device.what_to_do(number)
            raise kind(f"{self.database_path} cannot be opened: {error}", hint) from None

    def start(self) -> None:
        """Start the relay and set its clock; all that the start writes becomes durable together. Raises InvalidInput;
        OSError if the storage cannot be written."""
        try:
            with self.database.transaction():
                self.relay.start()
            self._machine.index.cells()
        except Error as error:
            raise self._not_started(error) from None
        self._files.remove_now()
        self.relay.clock.not_before(1000 * RELEASED)
        self.relay.clock.set(unix_ms())

    def _not_started(self, error: Error) -> InvalidInput:
        if not (self._directory / PARAMETERS).exists():
            return InvalidInput(
                f"the relay in {self._directory} has no parameters yet",
                f"if you sent a request to IT, take the answer: tessera relay accept {self._directory} FILE; otherwise "
                "make the relay anew: tessera relay new",
            )
        return InvalidInput(f"the relay in {self._directory} does not start: {error}", "ask IT, who made the directory")

    def close(self) -> None:
        """Give the storage back, and then the directory."""
        self.database.close()
        self._held.close()


def read_configuration(directory: Path) -> dict[str, Any]:
    """Read relay.json. Raises InvalidInput."""
    path = directory / CONFIGURATION
    try:
        configuration = json.loads(read_text(path))
        identity(configuration)
        sectors = configuration["ring_sectors"], configuration["keyring_sectors"]
        numbers = (*sectors, configuration["port"])
        known = (
            configuration["version"] == 1 and isinstance(configuration["host"], str) and is_host(configuration["host"])
        )
        if known and all(type(number) is int and number > 0 for number in numbers):
            return dict(configuration)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise InvalidInput(f"{path} is damaged", "make the relay anew with 'tessera relay new'")


def identity(configuration: dict[str, Any]) -> Identity:
    static, ledger = (bytes.fromhex(configuration[name]) for name in ("static_secret", "ledger_secret"))
    return Identity(static, ledger, b"gateway", digest_of_files(str(Path(tessera.__file__).parent)), "GATEWAY")


def unix_ms() -> int:
    return time.time_ns() // 1_000_000
