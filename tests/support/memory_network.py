"""A network without sockets: a client that connects calls the listening server, within one event loop.

Owns addresses and the bytes under way. Both ends are the product's own code: everything that opens a connection or a
server with asyncio comes here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Address = tuple[str, int]
Streams = tuple[Any, Any]


class MemoryNetwork:
    """Addresses and what answers there: a function that gives the two streams of a new connection."""

    def __init__(self) -> None:
        self._answering: dict[Address, Callable[[], Streams]] = {}

    def serve(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Until the end of the patch."""
        monkeypatch.setattr(asyncio, "open_connection", self._open_connection)
        monkeypatch.setattr(asyncio, "start_server", self._start_server)

    def answer_at(self, host: str, port: int, connect: Callable[[], Streams]) -> None:
        self._answering[host, port] = connect

    def is_silent_at(self, host: str, port: int) -> None:
        self._answering.pop((host, port), None)

    async def _open_connection(self, host: str, port: int, **_: Any) -> Streams:
        connect = self._answering.get((host, port))
        if connect is None:
            raise ConnectionRefusedError(111, "Connection refused")
        return connect()

    async def _start_server(
        self, connected: Callable[[Any, Any], Awaitable[None]], host: str, port: int, **_: Any
    ) -> "_Server":
        def connect() -> Streams:
            there, here = asyncio.StreamReader(), asyncio.StreamReader()
            task = asyncio.ensure_future(connected(there, _Writer(here)))
            serving.add(task)
            task.add_done_callback(serving.discard)
            return here, _Writer(there)

        serving: set[asyncio.Future[None]] = set()
        self.answer_at(host, port, connect)
        return _Server(lambda: self.is_silent_at(host, port))


class _Server:
    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close


class _Writer:
    """Of one direction: what is written is there at once."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self.transport = self  # of which only `abort` is asked
        self._closed = False

    def write(self, data: bytes) -> None:
        if not self._closed and not self._reader.at_eof():
            self._reader.feed_data(bytes(data))

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._reader.feed_eof()

    abort = close

    async def wait_closed(self) -> None:
        pass

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else None
