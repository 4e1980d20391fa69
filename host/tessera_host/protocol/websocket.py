"""A channel's bytes in the binary messages of a WebSocket (RFC 6455, PROTOCOL §4), at both ends.

Owns what of that protocol is used, and how much of another's bytes is kept. The protocol itself is the library
websockets', of which only the part without sockets is used: its own connections answer every ping at once, however
little of the answers is read, and gather a message's fragments, however many there are. Here nothing is read that was
not asked for, and nothing is kept beyond what was asked for and one piece from the network.
"""

import asyncio
import ipaddress
import logging
import ssl
from typing import Any, Self

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CONNECTING, OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from ..deadline import within
from .addresses import Address, is_loopback

MESSAGE_BYTES = 2048  # the longest frame of a channel has 1040
PIECE_BYTES = 4096  # read from the network at once
TLS_SECONDS = 10.0  # for its handshake: as long as a connection may say nothing
CLOSE_SECONDS = 1.0  # for what was not sent yet, and for the end of TLS, which asyncio waits 30 s for
BARREN_FRAMES = 8  # pings, say, of what stands between: more come from nobody who has something to say
HEAD_BYTES = 8192  # of the opening handshake: names of a proxy are in it, and nothing of ours

_DATA = (Opcode.BINARY, Opcode.CONT)
_SILENT = logging.getLogger("tessera.websocket")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL + 1)


class WebSocketError(ConnectionError):
    """The other end speaks something else, or breaks the protocol's rules."""


class WebSocket:
    """What a channel needs of asyncio's StreamReader and StreamWriter, in one, over those of a connection.

    A server's opening handshake is made by the first drain(), so that whoever bounds connections before the channel's
    handshake bounds this one, too.
    """

    def __init__(
        self,
        protocol: ServerProtocol | ClientProtocol,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Not for callers: use `accepted`, `opened`."""
        self._protocol = protocol
        self._reader = reader
        self._writer = writer
        self._tls = tls  # before it TLS is to be spoken, as a server
        self._found = bytearray()
        self._unsent: list[bytes] = []
        self._head: Request | Response | None = None
        self._origin: tuple[Any, ...] | None = None
        self._barren = 0  # frames since the last with data
        self._ended = False

    @classmethod
    def accepted(
        cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext | None = None
    ) -> Self:
        """Make the server's end of a connection that was accepted just now."""
        if tls:
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # what comes is for TLS, not for `reader`
        return cls(ServerProtocol(max_size=MESSAGE_BYTES, logger=_SILENT), reader, writer, tls)

    @classmethod
    async def opened(cls, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Self:
        """Make the client's end of a connection to `address`. Raises OSError, EOFError."""
        protocol = ClientProtocol(parse_uri(str(address)), max_size=MESSAGE_BYTES, logger=_SILENT)
        protocol.send_request(protocol.connect())
        socket = cls(protocol, reader, writer)
        await socket._flush()
        await socket._read_head()
        if protocol.state is not OPEN:
            raise WebSocketError(_reason(protocol.handshake_exc))
        return socket

    # -- reading

    async def readexactly(self, length: int) -> bytes:
        """Read so many bytes. Raises asyncio.IncompleteReadError if the other end ends before, WebSocketError if it
        breaks the rules."""
        while len(self._found) < length:
            await self._read_more()
        data = bytes(self._found[:length])
        del self._found[:length]
        return data

    async def _read_more(self) -> None:
        if self._ended:
            raise asyncio.IncompleteReadError(bytes(self._found), None)
        await self._read_piece()
        await self._flush()

    async def _read_piece(self) -> int:
        """Take what comes next; how many bytes it was, 0 at the end of the connection."""
        piece = await self._reader.read(PIECE_BYTES)
        if piece:
            self._protocol.receive_data(piece)
        else:
            self._protocol.receive_eof()
        # What came before an end, or before what is against the rules, counts.
        self._ended = not piece or self._protocol.parser_exc is not None or self._protocol.close_expected()
        for event in self._protocol.events_received():
            if isinstance(event, Request | Response):
                self._head = event
            elif code := self._fault(event):
                self._protocol.fail(code)
                self._ended = True
                break
            elif event.opcode in _DATA:
                self._found += event.data
        return len(piece)

    def _fault(self, frame: Frame) -> CloseCode | None:
        """What is wrong with a frame that keeps the protocol's rules: it costs work, and brings the channel nothing."""
        self._barren = 0 if frame.opcode in _DATA else self._barren + 1
        if frame.opcode is Opcode.TEXT:
            return CloseCode.UNSUPPORTED_DATA
        if self._barren > BARREN_FRAMES or (frame.opcode in _DATA and not frame.data):
            return CloseCode.POLICY_VIOLATION
        return None

    # -- writing

    def write(self, data: bytes) -> None:
        """Queue data as a message of one frame, or several if it is longer than a message may be (a burst of a server).
        It leaves with drain()."""
        self._unsent += [data[at : at + MESSAGE_BYTES] for at in range(0, len(data), MESSAGE_BYTES)]

    async def drain(self) -> None:
        """Send what was written, after the opening handshake of a server. Raises OSError, WebSocketError."""
        if isinstance(self._protocol, ServerProtocol) and self._protocol.state is CONNECTING:
            await self._accept(self._protocol)
        unsent, self._unsent = self._unsent, []
        for data in unsent:
            if self._protocol.state is not OPEN:
                raise WebSocketError("the other end closed it")
            self._protocol.send_binary(data)
        await self._flush()

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
        await self._writer.drain()  # who does not read is not read

    # -- the opening handshake

    async def _accept(self, protocol: ServerProtocol) -> None:
        if self._tls:
            await self._writer.start_tls(self._tls, ssl_handshake_timeout=TLS_SECONDS)
        await self._read_head()
        if isinstance(self._head, Request):
            protocol.send_response(protocol.accept(self._head))
            self._origin = _forwarded(self._writer.get_extra_info("peername"), self._head)
        await self._flush()
        if protocol.state is not OPEN:
            raise WebSocketError(_reason(protocol.handshake_exc))

    async def _read_head(self) -> None:
        """The other end's half of the opening handshake, unless it sends none, or too much."""
        left = HEAD_BYTES
        while self._head is None and self._protocol.handshake_exc is None and not self._ended and left > 0:
            left -= await self._read_piece()

    # -- the end

    def close(self) -> None:
        """Begin to close the connection."""
        if self._protocol.state is OPEN and not self._writer.is_closing():
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
        for data in self._protocol.data_to_send():
            if data and not self._writer.is_closing():
                self._writer.write(data)
        self._writer.close()

    async def wait_closed(self) -> None:
        """Wait until it is closed, at most a second."""
        try:
            await within(CLOSE_SECONDS, self._writer.wait_closed())
        except TimeoutError:
            self._writer.transport.abort()

    @property
    def transport(self) -> asyncio.WriteTransport:
        return self._writer.transport

    def get_extra_info(self, name: str) -> Any:
        """Answer as asyncio's does; `peername` is whom a reverse proxy on this computer names, if one does."""
        if name == "peername" and self._origin is not None:
            return self._origin
        return self._writer.get_extra_info(name)


def _reason(error: Exception | None) -> str:
    """For people: why there is no WebSocket."""
    if isinstance(error, InvalidStatus):
        return f"it answers HTTP {error.response.status_code} {error.response.reason_phrase}, not a WebSocket"
    return "it is not a WebSocket"


def _forwarded(peer: Any, request: Request) -> tuple[Any, ...] | None:
    """Whom a reverse proxy came for, as far as a program of this computer can be trusted."""
    named = request.headers.get_all("X-Forwarded-For")
    try:
        if named and is_loopback(str(peer[0])):
            return (str(ipaddress.ip_address(named[-1].rpartition(",")[2].strip())), 0)
    except (ValueError, TypeError, IndexError):
        pass
    return None
