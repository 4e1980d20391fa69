"""Where a server accepts connections: any number of places, TCP or WebSocket, with or without TLS.

Owns the sockets. The server says what is said on a connection; it gets the same two ends whatever the way in.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tessera import announcement

from ..errors import UsageError

BUFFER_BYTES = 1 << 12  # of what a connection sends unasked
BACKLOG = 1024  # connections that come at once

# What is called with a connection's two ends, asyncio's or a WebSocket's.
Connected = Callable[[Any, Any], Coroutine[Any, Any, None]]


class ServerCertificate:
    """What a server shows of itself in TLS, as its files have it when somebody connects: who renews them restarts
    nothing. Files that cannot be used change nothing; `failed` is told so once."""

    def __init__(
        self, certificate: Path, key: Path | None = None, failed: Callable[[UsageError], None] = lambda error: None
    ) -> None:
        """Of a file in PEM with the certificate and those up to its root, and the key there or in a file of its own.
        Raises UsageError."""
        self._certificate, self._key, self._failed = certificate, key, failed
        self._stamps = self._stamped()
        self._context = self._read()

    def context(self) -> ssl.SSLContext:
        """Make the TLS context for a new connection."""
        stamps = self._stamped()
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._context = self._read()
            except UsageError as error:
                self._failed(error)
        return self._context

    def _stamped(self) -> list[tuple[int, ...]]:
        """What tells whether a file is another one than before; of one that is missing nothing."""
        found: list[tuple[int, ...]] = []
        for path in (self._certificate, self._key):
            with suppress(OSError):
                state = path and path.stat()
                found.append((state.st_mtime_ns, state.st_size, state.st_ino) if state else ())
        return found

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with suppress(OSError, ValueError):  # ssl.SSLError is an OSError
            context.load_cert_chain(self._certificate, self._key, password="")
            return context
        where = f"{self._certificate}{f' and {self._key}' if self._key else ''}"
        raise UsageError(
            f"no usable certificate with its key in {where}",
            "name files in PEM, the key without a passphrase: --certificate fullchain.pem --certificate-key "
            "privkey.pem",
        )


@dataclass(frozen=True)
class Place:
    """Where connections are accepted. `tls` is for WebSockets only: the channel of TCP has its own encryption."""

    host: str
    port: int
    websocket: bool = False
    tls: ServerCertificate | None = None

    def __str__(self) -> str:
        where: str = announcement.address(self.host, self.port)
        return f"{'wss' if self.tls else 'ws'}://{where}" if self.websocket else where


class CannotListen(OSError):
    """A server cannot listen at this place."""

    def __init__(self, place: Place, error: OSError) -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.place = place


class Listeners:
    """The servers that accept at all of the places, like asyncio's Server for one."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, place: Place, connected: Connected) -> None:
        """Listen at all places. Raises CannotListen."""
        way_in = self._websocket(place, connected) if place.websocket else connected
        try:
            server = await asyncio.start_server(way_in, place.host, place.port, limit=BUFFER_BYTES, backlog=BACKLOG)
        except OSError as error:
            raise CannotListen(place, error) from None
        self._servers.append(server)

    def _websocket(self, place: Place, connected: Connected) -> Callable[..., None]:
        from .websocket import WebSocket  # who listens at TCP alone does not need the library

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            socket = WebSocket.accepted(reader, writer, place.tls.context() if place.tls else None)
            task = asyncio.create_task(connected(socket, socket))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return accepted

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.close()


# What has connections served that come to a host and port, or to where else it knows.
Listen = Callable[[Connected, str, int], Awaitable[Listeners]]


def at(places: Sequence[Place]) -> Listen:
    """What listens at all of the places instead of a host and a port, or raises CannotListen and listens nowhere."""

    async def listen(connected: Connected, _host: str, _port: int) -> Listeners:
        found = Listeners()
        try:
            for place in places:
                await found.open(place, connected)
        except OSError:
            found.close()
            raise
        return found

    return listen


async def listen(connected: Connected, host: str, port: int) -> Listeners:
    """Listen at one TCP port. Raises CannotListen."""
    return await at([Place(host, port)])(connected, host, port)
