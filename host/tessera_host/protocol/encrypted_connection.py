"""The client's side of an encrypted connection (PROTOCOL §4), whoever the other end is: handshake, frames, time limits.

Owns what goes over the socket, which `dialling` makes. What the frames say is for whoever derives from it:
`relay_connection`, `issuer_connection`. The core encrypts them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, ClassVar, Self

from tessera import channel
from tessera.errors import BadFrame

from ..deadline import within
from ..errors import IntegrityError, TesseraError, Unreachable
from . import blind, dialling

TIMEOUT_SECONDS = 60.0  # a handshake on the slowest board, behind three others
CLOSE_SECONDS = 1.0  # for what was not sent yet; nobody waits for an answer to it

Side = channel.Initiator | channel.Resumption  # of a handshake: the client's


class EncryptedConnection:
    """Sealed frames both ways. Use it as an async context manager, or close it."""

    peer: ClassVar[str]  # who is at the other end, for people

    def __init__(self, reader: Any, writer: Any, timeout_seconds: float) -> None:
        """Not for callers: use `open`. Reader and writer as asyncio's, or a WebSocket's."""
        self._reader = reader
        self._writer = writer
        self._timeout_seconds = timeout_seconds
        self._channel: channel.Channel  # from the handshake on

    @classmethod
    async def open(
        cls, host: str, port: int, static_key: bytes, access_key: bytes, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> Self:
        """Make a full handshake with the holder of `static_key` (33 bytes), at the address that a card names. Raises
        Unreachable or IntegrityError."""
        ephemeral = blind.random_scalar().to_bytes(32, "big")

        def handshake(nonce: bytes) -> Side:
            return channel.Initiator(nonce, static_key, access_key, ephemeral)

        return await cls._connect(host, port, handshake, timeout_seconds)

    @classmethod
    async def _connect(cls, host: str, port: int, handshake: Callable[[bytes], Side], timeout_seconds: float) -> Self:
        reader, writer = await cls._dial(host, port, timeout_seconds)
        connection = cls(reader, writer, timeout_seconds)
        try:
            async with connection._within(timeout_seconds):
                await connection._shake_hands(handshake)
        except BaseException:
            await connection.close()
            raise
        return connection

    @classmethod
    async def _dial(cls, host: str, port: int, timeout_seconds: float) -> tuple[Any, Any]:
        way = dialling.way(host, port)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await way.dial()
        except (OSError, EOFError, TimeoutError) as error:
            hint = "check the network and try again"
            if way.proxy:
                hint = f"check the proxy that {way.proxy.origin} names; --proxy none connects without one"
            raise Unreachable(f"{cls.peer} at {way} cannot be reached: {dialling.reason(error)}", hint) from None

    @contextlib.asynccontextmanager
    async def _within(self, seconds: float) -> AsyncIterator[None]:
        """A deadline for all that is done inside, however often a byte comes. Raises Unreachable."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise Unreachable(f"{self.peer} took longer than {seconds:.0f} s to answer", "try again") from None

    async def _shake_hands(self, handshake: Callable[[bytes], Side]) -> None:
        nonce = await self._read(channel.NONCE_BYTES)
        side = handshake(nonce)
        try:
            await self._write(side.hello())
            reply = await self._read(channel.REPLY_BYTES)
        except Unreachable:
            raise self._hello_refused(side) from None
        try:
            self._channel = side.finish(reply)
        except BadFrame:
            raise IntegrityError(f"the key of {self.peer} is not the one that your office named", "tell IT") from None

    @classmethod
    def _hello_refused(cls, side: Side) -> TesseraError:
        return Unreachable(
            f"{cls.peer} closed the connection at the handshake",
            "it is busy, or this member's federation card is out of date: try again, then ask IT for a new card",
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        try:
            await within(CLOSE_SECONDS, self._writer.wait_closed())
        except TimeoutError:
            self._writer.transport.abort()  # the other end does not read
        except OSError:
            pass  # what it thinks of this is of no interest

    @property
    def handshake_hash(self) -> bytes:
        """The hash (32 bytes) that a token's proof of possession is made over; full handshakes only."""
        digest = self._channel.handshake_hash
        assert digest is not None, "the session was resumed"
        return digest

    async def _send(self, plaintext: bytes | bytearray) -> None:
        await self._write(self._channel.seal(plaintext))

    async def _receive(self, length: int) -> bytes:
        frame = await self._read(length)
        try:
            return self._channel.open(frame)
        except BadFrame:
            raise IntegrityError(
                "data was changed on its way over the network", "try again; if it recurs, tell IT"
            ) from None

    async def _write(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                self._writer.write(data)
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"the connection to {self.peer} broke: {dialling.reason(error)}", "try again") from None

    async def _read(self, length: int) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return bytes(await self._reader.readexactly(length))
        except asyncio.IncompleteReadError:
            raise Unreachable(f"{self.peer} closed the connection", "try again") from None
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"{self.peer} does not answer: {dialling.reason(error)}", "try again") from None
