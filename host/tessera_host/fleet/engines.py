"""Which engine keeps a fleet's log, by what `--storage` of a gateway says.

Owns the schemes. Another engine is a class with the calls of log.Log and a line here (docs/fleet-log.md says what one
for PostgreSQL would take); how its gateways reach each other is a Transport.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

from tessera.params import Head

from .. import extras
from ..errors import InvalidInput, UsageError
from ..relay import storage as relay_storage
from .exchange import Carry, Transport, unanswered
from .log import Log, LogUnavailable, NobodyAnswers, NodesMissing
from .nats_configuration import Address
from .sqlite_log import SqliteLog
from .storage import FleetFile

_NATS, _SQLITE = "nats://", "sqlite:///"
FORMS = f"write {_NATS}HOST,HOST,HOST/NAME, or {_SQLITE}DIR/NAME.db for a fleet of one gateway"


_CA_HINT = "name a file (PEM) with the certificate of the nodes' authority"
START_SECONDS = 30.0  # nodes that were just started need some of it until they know each other
_PAUSE_SECONDS = 0.5


def check(url: str) -> None:
    """Raises UsageError if no engine is named so."""
    if url.startswith(_NATS):
        Address.read(url)
    elif not url.startswith(_SQLITE):
        raise UsageError(f"'{url}' names no log of a fleet", FORMS)
    else:
        relay_storage.read(url)


def is_same(url: str, other: str) -> bool:
    """Whether both name one log, whichever node is named first. Raises UsageError."""
    if url.startswith(_NATS) and other.startswith(_NATS):
        return Address.read(url).name == Address.read(other).name
    return url == other


def keep_seconds(newest: Head) -> int:
    """How long an entry is of use: retention, and the epoch that is open."""
    return (newest.retention_epochs + 1) * newest.epoch_rounds * newest.round_seconds


async def open_log(file: FleetFile, relay: bytes, newest: Head) -> Log:
    """The log of the relay with this static key (33 bytes), whose newest set this is. Raises LogRefused, whose hint is
    what to write into the engine's configuration, LogUnavailable, UsageError, InvalidInput."""
    check(file.storage)
    if file.storage.startswith(_SQLITE):
        named = relay_storage.read(file.storage).named
        assert named is not None
        return SqliteLog(named, relay)
    try:
        from .nats_log import NatsLog  # who has no fleet does not need the library
    except ImportError:
        raise extras.missing("a log that NATS keeps needs", extras.FLEET) from None
    return await NatsLog.open(
        Address.read(file.storage),
        relay,
        user=file.user or "",
        password=file.password or "",
        keep_seconds=keep_seconds(newest),
        tls=_tls(file),
    )


async def open_when_ready(file: FleetFile, relay: bytes, newest: Head, tell: Callable[[str], None]) -> Log:
    """As open_log(); nodes that answer and cannot keep a log yet have START_SECONDS. tell(why), once: it is waited for
    them."""
    now = asyncio.get_running_loop().time
    end, told = now() + START_SECONDS, False
    while True:
        try:
            return await open_log(file, relay, newest)
        except (NodesMissing, LogUnavailable) as error:
            if now() >= end or (isinstance(error, NobodyAnswers) and not told):
                raise
            if not told:
                tell(error.message)
            told = True
        await asyncio.sleep(_PAUSE_SECONDS)


def _tls(file: FleetFile) -> ssl.SSLContext | None:
    """Raises InvalidInput."""
    if file.ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=Path(file.ca))
    except ssl.SSLError:
        raise InvalidInput(f"{file.ca} holds no certificate", _CA_HINT) from None
    except OSError as error:
        raise InvalidInput(f"{file.ca} cannot be read: {error.strerror}", _CA_HINT) from None


def transport(log: Log) -> Transport:
    """The way to other gateways of the log's fleet."""
    made: Transport = log.transport() if hasattr(log, "transport") else _Alone()
    return made


class _Alone:
    """Of a log of one process."""

    async def ask(self, gateway: int, message: bytes) -> bytes:
        raise unanswered(gateway)

    def answer(self, gateway: int, carry: Carry) -> None:
        pass

    async def close(self) -> None:
        pass
