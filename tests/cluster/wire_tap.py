"""What the members' programs send and wait for, as whoever stands on the wires sees it.

Owns how that is heard: at the product's connections, of which each read is told to the loop. Keeps the moment, the port
and the length of everything that leaves, and whose it is; and calls `before_read` before an answer is waited for.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

import pytest

from tessera_host.protocol.encrypted_connection import EncryptedConnection
from tests.cluster.office_loop import OfficeLoop

WHO = ContextVar("who", default="")  # of everything that is done for somebody


class Heard(NamedTuple):
    """`who` is whose program sends; `bytes`: 0 for a new connection."""

    who: str
    moment: float
    port: int
    bytes: int


async def _nothing(port: int) -> None:
    pass


class WireTap:
    def __init__(self, loop: OfficeLoop, patch: pytest.MonkeyPatch) -> None:
        self.heard: list[Heard] = []
        self.keeps = False
        self.before_read: Callable[[int], Awaitable[None]] = _nothing
        ports: dict[int, int] = {}  # by writer
        dial, read, write = EncryptedConnection._dial, EncryptedConnection._read, EncryptedConnection._write

        def note(port: int, length: int) -> None:
            if self.keeps and WHO.get():
                self.heard.append(Heard(WHO.get(), loop.time(), port, length))

        async def dialled(cls: Any, host: str, port: int, timeout_seconds: float) -> Any:
            note(port, 0)
            loop.waiting += 1
            try:
                reader, writer = await dial.__func__(cls, host, port, timeout_seconds)  # type: ignore[attr-defined]
            finally:
                loop.waiting -= 1
            ports[id(writer)] = port
            return reader, writer

        async def heard_read(self_: Any, length: int) -> bytes:
            await self.before_read(ports[id(self_._writer)])
            loop.waiting += 1
            try:
                return await read(self_, length)
            finally:
                loop.waiting -= 1

        async def heard_write(self_: Any, data: bytes) -> None:
            note(ports[id(self_._writer)], len(data))
            await write(self_, data)

        patch.setattr(EncryptedConnection, "_dial", classmethod(dialled))
        patch.setattr(EncryptedConnection, "_read", heard_read)
        patch.setattr(EncryptedConnection, "_write", heard_write)
