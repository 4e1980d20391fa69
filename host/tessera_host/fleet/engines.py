"""What `--storage` names for a gateway: the log of its fleet, and the way to the other gateways.

Owns the two forms, nats://HOST,HOST,HOST/NAME and sqlite:///PATH, and that a gateway waits for an engine that is not
there yet. How each keeps its word is nats_log's and sqlite_log's.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

from .. import extras
from ..errors import UsageError
from ..relay import storage as relay_storage
from .exchange import Codes, Exchange, MemoryExchange, NodeExchange, Owner
from .log import Log, LogUnavailable
from .nats_configuration import Address
from .sqlite_log import SqliteLog
from .storage import FleetFile

NATS, SQLITE = "nats:", "sqlite:"
EXTRA = "fleet"
_PAUSE_SECONDS = 2.0
_FORMS = "write --storage nats://HOST,HOST,HOST/NAME, or sqlite:///PATH for one process"


def check(url: str) -> None:
    """Raises UsageError if it names no log."""
    if url.startswith(NATS):
        Address.read(url)
    elif not url.startswith(SQLITE) or relay_storage.read(url).named is None:
        raise UsageError(f"'{url}' names no log of a fleet", _FORMS)


@contextlib.asynccontextmanager
async def opened(
    url: str,
    file: FleetFile,
    relay_key: bytes,
    keep_seconds: int,
    owner: Owner,
    codes: Codes | None = None,
    waits: Callable[[LogUnavailable], None] | None = None,
) -> AsyncIterator[tuple[Log, Exchange]]:
    """The log that a URL names, of the relay with this static key, and what gateways ask each other. keep_seconds: as
    long entries are kept at least. waits: called once, when the engine is not there yet. Raises LogRefused, LogBroken,
    UsageError."""
    check(url)
    if url.startswith(SQLITE):
        path = relay_storage.read(url).named
        assert path is not None
        log: Any = SqliteLog(path, relay_key)
        exchange: Exchange = MemoryExchange(owner.number, {})
    else:
        log = await _nats(url, file, relay_key, keep_seconds, waits)
        exchange = NodeExchange(owner, log.transport(), codes)
    try:
        yield log, exchange
    finally:
        await exchange.close()
        await log.close()


async def _nats(
    url: str, file: FleetFile, relay_key: bytes, keep_seconds: int, waits: Callable[[LogUnavailable], None] | None
) -> Log:
    try:
        from .nats_log import NatsLog  # a relay alone needs no client of it
    except ImportError:
        raise extras.missing("a log of NATS needs", EXTRA) from None
    tls = ssl.create_default_context(cafile=file.ca) if file.ca else None
    access = {"user": file.user or "", "password": file.password or "", "tls": tls}
    told = False
    while True:
        try:
            return await NatsLog.open(Address.read(url), relay_key, keep_seconds=keep_seconds, **access)
        except LogUnavailable as error:
            if waits and not told:
                waits(error)
            told = True
            await asyncio.sleep(_PAUSE_SECONDS)
