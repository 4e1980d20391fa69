"""A channel's bytes in a WebSocket: what a server takes and gives back, and what it does with everything else.

The other end is made of bytes by hand, as RFC 6455 has them, so that it can break every rule.
"""

import asyncio
import base64
import hashlib
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from office import ACCESS_KEY, RELAY_KEY, Office
from tessera import server
from tessera_host.errors import UsageError
from tessera_host.protocol import dialling, websocket
from tessera_host.protocol.listening import CannotListen, Place, ServerCertificate, at
from tessera_host.protocol.relay_connection import RelayConnection
from tessera_host.protocol.websocket import WebSocket
from tests.patience import PATIENCE_SECONDS
from tests.support.certificate import make_certificate
from tests.support.raw_websocket import BINARY, CLOSE, CONT, KEY, PING, PONG, REQUEST, TEXT, frame

LONG = REQUEST.encode() + b"A: %s\r\n" % (b"b" * 500) * 20 + b"\r\n"
UNIT = b"unit"


class Server:
    """Says "hello", and every four bytes again; `ends` are what ended its connections."""

    def __init__(self) -> None:
        self.ends: asyncio.Queue[BaseException | None] = asyncio.Queue()
        self.origins: list[str] = []
        self.writers: list[Any] = []

    async def connected(self, reader: Any, writer: Any) -> None:
        end = None
        self.writers.append(writer)
        try:
            writer.write(b"hello")
            await writer.drain()
            self.origins.append(writer.get_extra_info("peername")[0])
            while True:
                writer.write(await reader.readexactly(len(UNIT)))
                await writer.drain()
        except (OSError, EOFError) as error:
            end = error
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            await self.ends.put(end)


@asynccontextmanager
async def serving(host: str = "127.0.0.1", **how: Any) -> AsyncIterator[tuple[Server, int]]:
    server, place = Server(), Place(host, 0, websocket=True, **how)
    listeners = await at([place])(server.connected, "", 0)
    try:
        yield server, listeners._servers[0].sockets[0].getsockname()[1]
    finally:
        listeners.close()


class Client:
    """The other end, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def upgrade(self, headers: str = "") -> str:
        """The head of the answer."""
        self.writer.write(f"{REQUEST}{headers}\r\n".encode())
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def receive(self) -> tuple[int, bytes]:
        first, size = await self.reader.readexactly(2)
        assert first & 0x80 and size < 126, "a server sends whole frames, unmasked"
        return first & 15, await self.reader.readexactly(size)


@asynccontextmanager
async def connected(port: int, host: str = "127.0.0.1") -> AsyncIterator[Client]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()


@asynccontextmanager
async def upgraded(port: int) -> AsyncIterator[Client]:
    async with connected(port) as client:
        head = await client.upgrade()
        digest = hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()  # §1.3
        assert head.startswith("HTTP/1.1 101 ") and base64.b64encode(digest).decode() in head
        assert await client.receive() == (BINARY, b"hello")
        yield client


async def end_of(server: Server) -> BaseException | None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await server.ends.get()


# -- what is served


async def test_messages_are_the_bytes_whatever_their_boundaries() -> None:
    async with serving() as (_, port), upgraded(port) as client:
        pieces = (
            frame(BINARY, b"one.") + frame(BINARY, b"t"),
            frame(BINARY, b"wo.", fin=False) + frame(PING, b"alive?"),
            frame(CONT, b"three", fin=False),
            frame(CONT, b"four..."),
        )
        for piece in pieces:
            client.writer.write(piece)
        got = [await client.receive() for _ in range(6)]
        assert sorted(got[:2]) == [(BINARY, b"one."), (BINARY, b"two.")] or (PONG, b"alive?") in got
        assert b"".join(data for opcode, data in got if opcode == BINARY) == b"one.two.threefour..."
        assert [data for opcode, data in got if opcode == PONG] == [b"alive?"]


def test_what_a_server_sends_at_once_is_no_longer_than_a_message_may_be() -> None:
    """A burst is 8 frames of 1040 bytes; a client takes messages of 2048."""
    nobody: Any = None
    socket = WebSocket.accepted(nobody, nobody)
    burst = bytes(range(208)) * 40
    socket.write(burst)
    socket.write(burst[:1040])
    assert b"".join(socket._unsent) == burst + burst[:1040]
    assert max(map(len, socket._unsent)) <= websocket.MESSAGE_BYTES
    assert socket._unsent[-1] == burst[:1040]


async def test_no_extension_is_agreed_on() -> None:
    """Compression would make the size of a frame depend on what is in it."""
    async with serving() as (_, port), connected(port) as client:
        assert "extensions" not in (await client.upgrade("Sec-WebSocket-Extensions: permessage-deflate\r\n")).lower()


async def test_a_client_that_closes_is_closed() -> None:
    async with serving() as (server, port), upgraded(port) as client:
        client.writer.write(frame(CLOSE, struct.pack(">H", 1000)))
        assert await client.receive() == (CLOSE, struct.pack(">H", 1000))
        assert await client.reader.read() == b""
        assert isinstance(await end_of(server), EOFError | OSError)


async def test_a_reverse_proxy_of_this_computer_says_whom_it_came_for() -> None:
    async with serving() as (server, port):
        for header in ("X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\n", "X-Forwarded-For: nobody\r\n", ""):
            async with connected(port) as client:
                await client.upgrade(header)
                await client.receive()
        assert server.origins == ["203.0.113.9", "127.0.0.1", "127.0.0.1"]


def test_nobody_else_says_whom_it_came_for() -> None:
    request = Request("/", Headers({"X-Forwarded-For": "203.0.113.9"}))
    assert websocket._forwarded(("198.51.100.7", 1), request) is None
    assert websocket._forwarded(("::1", 1), request) == ("203.0.113.9", 0)


# -- what is not


@pytest.mark.parametrize(
    ("said", "code"),
    [
        pytest.param(frame(TEXT, UNIT), 1003, id="text"),
        pytest.param(frame(TEXT, b"un", fin=False) + frame(CONT, b"it"), 1003, id="text in fragments"),
        pytest.param(frame(BINARY, UNIT, masked=False), 1002, id="not masked"),
        pytest.param(frame(BINARY, UNIT, bits=0x40), 1002, id="compressed"),
        pytest.param(frame(CONT, UNIT), 1002, id="nothing to go on with"),
        pytest.param(frame(BINARY, b"un", fin=False) + frame(BINARY, b"it"), 1002, id="a message within another"),
        pytest.param(frame(11, UNIT), 1002, id="unknown kind"),
        pytest.param(frame(PING, bytes(126)), 1002, id="long ping"),
        pytest.param(frame(PING, b"", fin=False), 1002, id="ping in fragments"),
        pytest.param(frame(BINARY, bytes(websocket.MESSAGE_BYTES + 1))[:8], 1009, id="too long"),
        pytest.param(b"\x82\xff" + b"\xff" * 8, 1009, id="2^64 bytes"),
        pytest.param(frame(BINARY, bytes(2000), fin=False) + frame(CONT, bytes(2000)), 1009, id="too long in all"),
        pytest.param(frame(BINARY), 1008, id="empty"),
        pytest.param(frame(BINARY, b"u", fin=False) + frame(CONT, fin=False), 1008, id="empty fragment"),
        pytest.param(frame(PONG) * (websocket.BARREN_FRAMES + 1), 1008, id="nothing but pongs"),
    ],
)
async def test_what_is_no_channel_s_ends_the_connection(said: bytes, code: int) -> None:
    async with serving() as (server, port), upgraded(port) as client:
        client.writer.write(said)
        client.writer.write_eof()
        opcode, body = await client.receive()
        assert (opcode, struct.unpack(">H", body[:2])[0]) == (CLOSE, code)
        assert await client.reader.read() == b""
        assert isinstance(await end_of(server), EOFError | OSError)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n", b"HTTP/1.1 426 ", id="a browser"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: relay\r\n\r\n", b"HTTP/1.1 405 ", id="POST"),
        pytest.param(REQUEST.replace("13", "12").encode() + b"\r\n", b"HTTP/1.1 400 ", id="another version"),
        pytest.param(bytes(range(256)) * 64, b"", id="garbage"),
        pytest.param(b"\x16\x03\x01\x02\x00" + bytes(512), b"", id="TLS"),
        pytest.param(b"x" * 20_000, b"", id="a line without an end"),
        pytest.param(REQUEST.encode() + b"A: b\r\n" * 4000, b"", id="headers without an end"),
        pytest.param(REQUEST.encode() + b"A: " + b"b" * 20_000, b"", id="a header without an end"),
        pytest.param(LONG, b"", id="10,000 bytes of headers"),
        pytest.param(REQUEST.encode(), b"", id="half of a handshake"),
        pytest.param(b"", b"", id="nothing"),
    ],
)
async def test_no_handshake_no_channel(said: bytes, answer: bytes) -> None:
    async with serving() as (server, port), connected(port) as client:
        client.writer.write(said)
        client.writer.write_eof()
        try:
            got = await client.reader.read()
        except ConnectionResetError:  # it did not read all that there was
            got = b""
        assert got.startswith(answer) and b" 101 " not in got and b"hello" not in got
        assert isinstance(await end_of(server), EOFError | OSError)


async def test_who_does_not_read_is_not_read() -> None:
    """A ping has to be answered; the answers wait for the client, and so does the server."""
    async with serving() as (server, port), upgraded(port) as client:
        block = (frame(PING, bytes(125)) + frame(BINARY, UNIT)) * 500
        sent, waited = 0, 0
        while sent < 100_000_000 and waited < 200:  # turns of the loop in which nothing moved
            before = client.writer.transport.get_write_buffer_size()
            if before < len(block):
                client.writer.write(block)
                sent += len(block)
            await asyncio.sleep(0)
            waited = waited + 1 if client.writer.transport.get_write_buffer_size() == before else 0
        assert sent < 30_000_000, "what the sockets of both sides hold"
        assert server.writers[0].transport.get_write_buffer_size() < 200_000


def test_nothing_is_logged_of_who_came(caplog: pytest.LogCaptureFixture) -> None:
    async def come() -> None:
        async with serving() as (server, port):
            async with upgraded(port) as client:
                client.writer.write(frame(TEXT, b"x"))
                await client.reader.read()
            async with connected(port) as client:
                client.writer.write(b"x\r\n\r\n")
                await client.reader.read()
            await end_of(server)
            await end_of(server)

    with caplog.at_level("DEBUG"):
        asyncio.run(come())
    assert [record.name for record in caplog.records if record.name != "asyncio"] == []


# -- a relay


async def test_strangers_have_as_few_places_as_on_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever says nothing, or half an opening handshake, or a whole one and nothing in it, makes room for who comes
    later, wherever they came in; and a member finds in."""
    monkeypatch.setattr(server, "_IDLE_MS", 1 << 30)  # so that nothing else ends them
    made = Office().relay
    relay, listening = server.Server(made), asyncio.get_running_loop().create_future()

    async def listen(connected: Any, host: str, port: int) -> Any:
        found = await at([Place(host, port), Place(host, port, websocket=True)])(connected, host, port)
        listening.set_result([each.sockets[0].getsockname()[1] for each in found._servers])
        return found

    serving_ = asyncio.create_task(relay.run("127.0.0.1", 0, listen=listen))
    tcp, port = await listening
    async with AsyncExitStack() as stack:
        coming: list[Client] = []
        for number in range(20):
            for way in (port, tcp):
                coming.append(await stack.enter_async_context(connected(way)))
            coming[-2].writer.write(REQUEST.encode()[: None if number % 2 else 50])
            coming.append(await stack.enter_async_context(connected(port)))
            await coming[-1].upgrade()
        for gone in coming[: -made.machine.strangers - 2]:
            with suppress(ConnectionResetError):
                await gone.reader.read()  # to its end
        assert len(relay._connections) <= made.machine.strangers
        opening = RelayConnection.open("ws://127.0.0.1/berlin", port, RELAY_KEY, ACCESS_KEY, PATIENCE_SECONDS)
        async with await opening as member:
            assert (await member.info()).open_round == 0
    serving_.cancel()
    await asyncio.gather(serving_, return_exceptions=True)


# -- the client's side


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """A port at which every request is answered with these bytes."""

    async def answer_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(answer_it, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno\n", "it answers HTTP 502 Bad Gateway"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "it answers HTTP 200 OK"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "it is not a WebSocket"),
        (b"220 mail.example ESMTP\r\n", "it is not a WebSocket"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 4000, "it is not a WebSocket"),
        (b"", "it is not a WebSocket"),
    ],
)
async def test_a_client_says_what_is_there_instead(answer: bytes, reason: str) -> None:
    async with answering(answer) as port:
        with pytest.raises(OSError, match=r".") as refused:
            await dialling.way("ws://127.0.0.1/berlin", port).dial()
        assert reason in dialling.reason(refused.value)


async def test_what_came_before_an_end_counts_for_a_client() -> None:
    async with serving() as (server, port):
        reader, _ = await dialling.way("ws://127.0.0.1", port).dial()
        server.writers[0].write(UNIT)
        await server.writers[0].drain()
        server.writers[0].close()
        assert await reader.readexactly(9) == b"hello" + UNIT
        with pytest.raises(EOFError):
            await reader.readexactly(1)


async def test_a_client_s_frames_are_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that their sizes on the network are those of PROTOCOL, and always the same."""
    async with serving("::1") as (_, port):
        reader, writer = await dialling.way("ws://[::1]/berlin", port).dial()
        sent: list[bytes] = []
        monkeypatch.setattr(writer._writer, "write", lambda data: sent.append(bytes(data)))
        writer.write(b"x" * 81)
        writer.write(b"y" * 272)
        await writer.drain()
        monkeypatch.undo()
        assert [len(data) for data in sent] == [2 + 4 + 81, 4 + 4 + 272]
        assert await reader.readexactly(5) == b"hello"
        writer.close()


# -- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("certificate")
    return make_certificate(folder, "DNS:localhost")


async def test_tls_that_is_believed_and_tls_that_is_not(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tls=ServerCertificate(*certificate)) as (_, port):
        with pytest.raises(OSError, match="self-signed") as unknown:
            await dialling.way("wss://localhost/berlin", port).dial()
        assert "its certificate is not valid" in dialling.reason(unknown.value)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        with pytest.raises(OSError, match="mismatch"):
            await dialling.way("wss://127.0.0.1/berlin", port).dial()
        with pytest.raises(OSError, match="not a WebSocket"):
            await dialling.way("ws://localhost/berlin", port).dial()
        reader, writer = await dialling.way("wss://localhost/berlin", port).dial()
        assert await reader.readexactly(5) == b"hello"
        writer.write(UNIT * 500)
        await writer.drain()
        assert await reader.readexactly(2000) == UNIT * 500
        writer.close()
        await writer.wait_closed()


def test_a_certificate_that_is_none_is_said_so(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    (tmp_path / "empty").touch()
    for files in ((tmp_path / "missing", None), (tmp_path / "empty", None), (certificate[0], tmp_path / "empty")):
        with pytest.raises(UsageError, match="no usable certificate with its key"):
            ServerCertificate(*files)


async def test_a_renewed_certificate_is_shown_from_the_next_connection_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One certificate after the other is put in its place as certbot does; one that is of no use changes nothing."""
    made = {}
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        made[name] = make_certificate(tmp_path / name, "DNS:localhost")
    files = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"

    def renew(*contents: bytes) -> None:
        for file, content in zip(files, contents, strict=True):
            (tmp_path / "new").write_bytes(content)
            (tmp_path / "new").replace(file)

    async def believed() -> list[str]:
        """By whom the one that is shown is believed."""
        found = []
        for name, (certificate, _) in made.items():
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            with suppress(ssl.SSLError):
                reader, writer = await dialling.way("wss://localhost/berlin", port).dial()
                assert await reader.readexactly(5) == b"hello"
                writer.close()
                found.append(name)
        return found

    contents = {name: [file.read_bytes() for file in pair] for name, pair in made.items()}
    renew(*contents["first"])
    said: list[str] = []
    shown = ServerCertificate(*files, lambda error: said.append(error.message))
    async with serving(tls=shown) as (_, port):
        assert await believed() == ["first"]
        monkeypatch.setenv("SSL_CERT_FILE", str(made["first"][0]))
        reader, writer = await dialling.way("wss://localhost/berlin", port).dial()
        renew(*contents["second"])
        assert await believed() == ["second"] and said == []
        writer.write(UNIT)
        await writer.drain()
        assert await reader.readexactly(5 + len(UNIT)) == b"hello" + UNIT, "who was there has what was shown to it"
        writer.close()
        renew(contents["first"][0], contents["second"][1])  # the key of the other
        assert await believed() == await believed() == ["second"]
        files[0].unlink()
        assert await believed() == ["second"] and len(said) == 2
        renew(*contents["first"])
        assert await believed() == ["first"]
    assert (
        all(f"no usable certificate with its key in {files[0]} and {files[1]}" in line for line in said)
        and len(said) == 2
    )


async def test_a_place_that_is_taken_is_named_and_nothing_listens() -> None:
    async with serving() as (_, port):
        free, taken = Place("127.0.0.1", 0), Place("127.0.0.1", port, websocket=True)
        with pytest.raises(CannotListen) as error:
            await at([free, taken])(lambda *_: None, "", 0)  # type: ignore[arg-type, return-value]
        assert str(error.value.place) == f"ws://127.0.0.1:{port}"
