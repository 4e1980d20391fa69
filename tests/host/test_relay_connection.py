"""The connection to a relay, against a scripted one: the core's handshake over a real socket, answers by the test."""

import asyncio
import secrets
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from socket import AF_INET, IPPROTO_TCP, SOCK_STREAM
from typing import Any, NamedTuple

import pytest

from tessera import channel, curve, wire
from tessera.admission import read_proof
from tessera.errors import Busy, Fault, QuotaSpent, TooOld
from tessera_host.errors import IntegrityError, RelayRefused, TesseraError, Unreachable
from tessera_host.protocol import blind, relay_connection
from tessera_host.protocol.relay_connection import Batch, ErrorFrame, RelayConnection, SessionForgotten
from tests.patience import PATIENCE_SECONDS

ACCESS_KEY = b"a" * 32
READING_KEY = b"r" * 32
SECRET = blind.even_secret(blind.random_scalar())
KEY = curve.public(SECRET)

Answer = bytes | bytearray | None


def small(fill: Callable[..., None], *fields: Any) -> bytearray:
    buffer = bytearray(wire.SMALL_BYTES)
    fill(buffer, *fields)
    return buffer


def cell(round_: int, count: int, offset: int, records: list[bytes]) -> bytes:
    """As PROTOCOL §5 has it."""
    header = struct.pack(">BIHHB53x", wire.CELL, round_, count, offset, len(records))
    return (header + b"".join(records)).ljust(wire.CELL_BYTES, b"\0")


def end(next_round: int) -> bytearray:
    buffer = bytearray(wire.CELL_BYTES)
    wire.pack_end(buffer, next_round)
    return buffer


class Named(NamedTuple):
    """A parameter set, as INFO names it."""

    serial: int
    digest: bytes


INFO = small(wire.answer_info, wire.PROVISIONAL, Named(8, b"n" * 32), Named(7, b"d" * 32), 42, 12, "plain")


class ScriptedRelay:
    """Each request is answered with the next entry of the script: plaintexts, bytes sent as they are, or a closed
    connection (None)."""

    def __init__(self, *script: list[Answer]) -> None:
        self.script = [*script]
        self.requests: list[bytes] = []
        self.resumption_keys: dict[bytes, bytes] = {}
        self.static = (SECRET, KEY)
        self.reply: Callable[[bytes], bytes] = bytes
        self.tamper = False
        self.pause_seconds = 0.0  # after each answer
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, channel.BadFrame, KeyError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonce = secrets.token_bytes(16)
        writer.write(nonce)
        hello = await reader.readexactly(channel.HELLO_BYTES)
        access_key = channel.hello_access_key(hello, nonce, [ACCESS_KEY])
        opened, reply = self._greet(hello, nonce, access_key)
        writer.write(self.reply(reply))
        while True:
            self.requests.append(opened.open(await reader.readexactly(wire.CLIENT_FRAME_BYTES)))
            for answer in self.script.pop(0):
                if answer is None:
                    return
                frame = opened.seal(answer)
                writer.write(frame[:-1] + bytes([frame[-1] ^ self.tamper]))
                if self.pause_seconds:
                    await writer.drain()
                    await asyncio.sleep(self.pause_seconds)

    def _greet(self, hello: bytes, nonce: bytes, access_key: bytes) -> tuple[Any, bytes]:
        id_ = channel.resumption_id(hello)
        if id_ is not None:
            return channel.resume(hello, nonce, self.resumption_keys.pop(id_), secrets.token_bytes(33))
        ephemeral = blind.even_secret(blind.random_scalar())
        return channel.respond(hello, nonce, access_key, self.static, (ephemeral, curve.public(ephemeral)))


@asynccontextmanager
async def served(relay: ScriptedRelay) -> AsyncIterator[ScriptedRelay]:
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    async with server:
        yield relay


@asynccontextmanager
async def connected(*script: list[Answer], **attributes: Any) -> AsyncIterator[tuple[ScriptedRelay, RelayConnection]]:
    relay = ScriptedRelay(*script)
    for name, value in attributes.items():
        setattr(relay, name, value)
    async with served(relay), await RelayConnection.open("127.0.0.1", relay.port, KEY, ACCESS_KEY, 5) as connection:
        yield relay, connection


# -- handshakes


async def test_the_next_address_is_tried_while_the_first_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name has several; the first one never answers."""
    relay = ScriptedRelay([INFO])
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect
    tried: list[str] = []

    async def found(host: str, port: int, **_: Any) -> list[Any]:
        return [(AF_INET, SOCK_STREAM, IPPROTO_TCP, "", (address, port)) for address in ("127.0.0.99", "127.0.0.1")]

    async def stalled(sock: Any, address: tuple[str, int]) -> None:
        tried.append(address[0])
        if address[0] == "127.0.0.99":
            await asyncio.Event().wait()
        await connect(sock, address)

    monkeypatch.setattr(loop, "getaddrinfo", found)
    monkeypatch.setattr(loop, "sock_connect", stalled)
    async with served(relay), await RelayConnection.open("relay.example", relay.port, KEY, ACCESS_KEY) as connection:
        assert (await connection.info()).open_round == 42
    assert tried == ["127.0.0.99", "127.0.0.1"]


async def test_requests_and_answers_go_through_the_channel() -> None:
    record = secrets.token_bytes(240)
    script: list[list[Answer]] = [
        [INFO],
        [small(wire.answer_auth, b"s" * 32, 16)],
        [small(wire.answer_post, 43)],
        [small(wire.answer_void)],
        [small(wire.answer_checkpoint, b"c" * 250)],
        [small(wire.answer_status, 0x000102, b"f" * 32, 3600, 9, 7, 42, wire.ON_TRIAL, "RPI_PICO_W")],
    ]
    async with connected(*script) as (relay, connection):
        assert await connection.info() == relay_connection.Info(
            2, wire.PROVISIONAL, 8, b"n" * 32, 7, b"d" * 32, 42, 12, "plain"
        )
        assert len(connection.handshake_hash) == 32
        assert await connection.auth(3, b"k" * 32, b"s" * 64, b"p" * 64) == (b"s" * 32, 16)
        assert await connection.post(5, record) == 43
        await connection.void()
        assert await connection.checkpoint(2) == b"c" * 250
        figures = (1, 0x000102, b"f" * 32, 3600, 9, 7, 42, wire.ON_TRIAL, "RPI_PICO_W")
        assert await connection.status() == relay_connection.RelayFigures(*figures)
    assert [bytes(request) for request in relay.requests] == [
        bytes(wire.info()),
        bytes(wire.auth(3, b"k" * 32, b"s" * 64, b"p" * 64)),
        bytes(wire.post(5, record)),
        bytes(wire.void()),
        bytes(wire.checkpoint(2)),
        bytes(wire.status()),
    ]


@pytest.mark.parametrize(("version", "who"), [(1, "IT has to update the relay"), (3, "update tessera")])
async def test_a_relay_of_another_version_of_the_protocol_is_refused(version: int, who: str) -> None:
    """PROTOCOL §16; the version is the answer's second byte."""
    other = bytes(INFO[:1]) + bytes([version]) + bytes(INFO[2:])
    async with connected([other]) as (_, connection):
        with pytest.raises(RelayRefused, match=f"version {version} of the protocol, .* version 2") as refused:
            await connection.info()
    assert refused.value.hint == who


@pytest.mark.parametrize("wrong", ["relay key", "access key"])
async def test_wrong_key_ends_at_the_handshake(wrong: str) -> None:
    another = curve.public((5).to_bytes(32, "big"))
    relay_key, access_key = (another, ACCESS_KEY) if wrong == "relay key" else (KEY, b"b" * 32)
    async with served(ScriptedRelay()) as relay:
        with pytest.raises(Unreachable, match="at the handshake"):
            await RelayConnection.open("127.0.0.1", relay.port, relay_key, access_key, 5)


async def test_relay_that_does_not_prove_its_key_is_refused() -> None:
    relay = ScriptedRelay()
    relay.reply = lambda reply: reply[:-1] + bytes([reply[-1] ^ 1])
    async with served(relay):
        with pytest.raises(IntegrityError, match="the key of the relay is not the one"):
            await RelayConnection.open("127.0.0.1", relay.port, KEY, ACCESS_KEY, 5)


async def test_session_is_resumed_and_the_next_secret_known_before_the_old_one_is_shown() -> None:
    relay = ScriptedRelay([INFO], [INFO])
    id_, key, following = channel.resumption_step(b"r" * 32)
    relay.resumption_keys = {id_: key}
    used: list[bytes] = []

    async with served(relay):
        arguments = ("127.0.0.1", relay.port, ACCESS_KEY, b"r" * 32, used.append, 5)
        async with await RelayConnection.resume(*arguments) as connection:
            assert (await connection.info()).open_round == 42
        assert used == [following]
        with pytest.raises(SessionForgotten):
            await RelayConnection.resume(*arguments)
        assert used == [following] * 2


async def test_nothing_is_shown_if_the_next_secret_cannot_be_saved() -> None:
    relay = ScriptedRelay()
    hellos = []
    relay.serve = lambda reader, writer: _note_hello(reader, writer, hellos)  # type: ignore[method-assign]

    def fail(_: bytes) -> None:
        raise TesseraError("disk full")

    async with served(relay):
        with pytest.raises(TesseraError, match="disk full"):
            await RelayConnection.resume("127.0.0.1", relay.port, ACCESS_KEY, b"r" * 32, fail, 5)
        await asyncio.sleep(0.05)
    assert hellos == [b""]


async def _note_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hellos: list[bytes]) -> None:
    writer.write(bytes(16))
    hellos.append(await reader.read())
    writer.close()


# -- failures of the network


async def test_no_relay_there() -> None:
    async with served(ScriptedRelay()) as relay:
        port = relay.port
    with pytest.raises(Unreachable, match=f"the relay at 127.0.0.1:{port} cannot be reached"):
        await RelayConnection.open("127.0.0.1", port, KEY, ACCESS_KEY, 5)


async def test_relay_that_says_nothing() -> None:
    relay = ScriptedRelay([])
    async with served(relay), await RelayConnection.open("127.0.0.1", relay.port, KEY, ACCESS_KEY, 0.3) as connection:
        with pytest.raises(Unreachable, match="no answer in time"):
            await connection.info()


async def test_fetch_that_trickles_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frame comes within the time that a frame has; all of them would take minutes."""
    monkeypatch.setattr(relay_connection, "FETCH_SECONDS_PER_ROUND", 0.2 - PATIENCE_SECONDS)
    frames: list[Answer] = [cell(10, 0xFFFF, at, [bytes(240)] * 4) for at in range(0, 0xFFFC, 4)]
    relay = ScriptedRelay(frames)
    relay.pause_seconds = 0.01
    async with served(relay):
        opening = RelayConnection.open("127.0.0.1", relay.port, KEY, ACCESS_KEY, PATIENCE_SECONDS)
        async with await opening as connection:
            with pytest.raises(Unreachable, match="took longer"):
                await connection.fetch(0, 10, 11, READING_KEY)


async def test_relay_that_hangs_up() -> None:
    async with connected([None]) as (_, connection):
        with pytest.raises(Unreachable, match="closed the connection"):
            await connection.info()


async def test_frame_changed_on_its_way_is_noticed() -> None:
    async with connected([INFO], tamper=True) as (_, connection):
        with pytest.raises(IntegrityError, match="changed on its way"):
            await connection.info()


# -- refusals


async def test_busy_relay_is_asked_again_with_the_same_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await real_sleep(0)

    monkeypatch.setattr("tessera_host.protocol.relay_connection.asyncio.sleep", sleep)
    busy = small(wire.answer_error, Busy("", 7))
    async with connected([busy], [busy], [small(wire.answer_checkpoint, bytes(250))]) as (relay, connection):
        assert await connection.checkpoint(0) == bytes(250)
    assert waits == [7, 7]
    assert len({bytes(request) for request in relay.requests}) == 1
    async with connected(*[[busy]] * relay_connection.BUSY_ATTEMPTS) as (_, connection):
        with pytest.raises(ErrorFrame, match="busy"):
            await connection.checkpoint(0)


async def test_a_record_is_sent_once_and_a_busy_relay_is_not_asked_again() -> None:
    busy = small(wire.answer_error, Busy("", 1))
    async with connected([busy], [busy], [small(wire.answer_post, 43)]) as (relay, connection):
        for request in (connection.post(0, bytes(240)), connection.void()):
            with pytest.raises(ErrorFrame, match="busy"):
                await request
    assert [request[0] for request in relay.requests] == [wire.POST, wire.VOID]


async def test_long_wait_is_left_to_the_user() -> None:
    async with connected([small(wire.answer_error, Busy("", 3600))]) as (_, connection):
        with pytest.raises(ErrorFrame) as caught:
            await connection.info()
    assert (caught.value.code, caught.value.retry_after) == (6, 3600)


@pytest.mark.parametrize(("error", "code"), [(QuotaSpent(), 4), (TooOld(), 7), (Fault(), 8)])
async def test_refusals_have_code_message_and_hint(error: Exception, code: int) -> None:
    async with connected([small(wire.answer_error, error)]) as (_, connection):
        with pytest.raises(ErrorFrame) as caught:
            await connection.post(0, bytes(240))
    assert caught.value.code == code
    assert caught.value.hint


async def test_answer_to_another_request_is_refused() -> None:
    async with connected([small(wire.answer_void)], [bytes([0x99]) + bytes(254)]) as (_, connection):
        with pytest.raises(IntegrityError, match="another request"):
            await connection.info()
        with pytest.raises(IntegrityError, match="cannot be understood"):
            await connection.info()


# -- objects in chunks


@pytest.mark.parametrize("length", [1, 240, 241, 1000])
async def test_parameters_come_in_chunks(length: int) -> None:
    blob = secrets.token_bytes(length)
    chunks = [blob[at : at + 240] for at in range(0, length, 240)]
    script: list[list[Answer]] = [[small(wire.answer_params, length, n, chunk)] for n, chunk in enumerate(chunks)]
    async with connected(*script) as (relay, connection):
        assert await connection.params() == blob
    assert relay.requests == [bytes(wire.params(number)) for number in range(len(chunks))]


async def test_objects_are_pushed_in_chunks() -> None:
    blob = secrets.token_bytes(500)
    script: list[list[Answer]] = [[small(wire.answer_push, done)] for done in (False, False, True)]
    async with connected(*script) as (relay, connection):
        assert await connection.push(blob) is True
    assert relay.requests == [bytes(wire.push(500, n, blob[240 * n : 240 * n + 240])) for n in range(3)]


# -- fetching


def batch(count: int, seed: int) -> list[bytes]:
    return sorted(bytes([seed, number]) + secrets.token_bytes(238) for number in range(count))


def cells(round_: int, records: list[bytes]) -> list[Answer]:
    offsets = range(0, max(1, len(records)), 4)
    return [cell(round_, len(records), at, records[at : at + 4]) for at in offsets]


async def test_batches_are_put_together() -> None:
    batches = [batch(count, seed) for seed, count in enumerate((0, 1, 4, 5, 9))]
    script = [answer for number, records in enumerate(batches) for answer in cells(10 + number, records)]
    async with connected([*script, end(15)]) as (relay, connection):
        fetched = await connection.fetch(3, 10, 16, READING_KEY)
        proof = read_proof(READING_KEY, connection.handshake_hash)
    assert fetched == [Batch(10 + number, records) for number, records in enumerate(batches)]
    assert relay.requests == [bytes(wire.fetch(3, 10, 16, proof))]


A, B = batch(6, 1), batch(2, 2)


@pytest.mark.parametrize(
    "answers",
    [
        [*cells(11, A), end(12)],  # another round
        [*cells(10, A), *cells(12, B), end(12)],  # one left out
        [*cells(10, A), *cells(10, A), end(12)],  # one twice
        [*cells(10, A), end(12)],  # the end says more than there was
        [*cells(10, A), *cells(11, B), end(11)],
        [cell(10, 6, 0, A[:4]), *cells(11, B), end(12)],  # a batch cut short
        [cell(10, 6, 0, A[:4]), end(11)],
        [cell(10, 6, 4, A[4:]), end(11)],  # begins in the middle
        [cell(10, 6, 0, A[:4]), cell(10, 6, 5, A[5:]), end(11)],
        [cell(10, 6, 0, A[:4]), cell(10, 7, 4, A[4:]), end(11)],  # the count changes
        [cell(10, 6, 0, A[:4]), cell(11, 6, 4, A[4:]), end(11)],
        [cell(10, 6, 0, A[:3]), cell(10, 6, 3, A[3:]), end(11)],  # frames that are not full
        [cell(10, 6, 0, A[:4]), cell(10, 6, 4, []), end(11)],
        [*cells(10, A[::-1]), end(11)],  # another order
        [*cells(10, A), *cells(11, B), *cells(12, A), *cells(13, B), end(14)],  # more than was asked for
    ],
)
async def test_any_other_order_is_refused(answers: list[Answer]) -> None:
    async with connected(answers) as (_, connection):
        with pytest.raises(IntegrityError, match="out of order"):
            await connection.fetch(3, 10, 13, READING_KEY)


async def test_error_in_place_of_a_cell() -> None:
    refusal = bytearray(wire.CELL_BYTES)
    wire.answer_fetch_error(refusal, TooOld())
    async with connected([refusal], [*cells(10, A), refusal]) as (_, connection):
        for _ in range(2):
            with pytest.raises(ErrorFrame, match="no longer keeps"):
                await connection.fetch(3, 10, 13, READING_KEY)


async def test_every_handshake_begins_with_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    points: set[bytes] = set()

    async def connect(host: str, port: int, handshake: Callable[[bytes], Any], seconds: float) -> None:
        points.add(handshake(bytes(channel.NONCE_BYTES)).hello()[:33])

    monkeypatch.setattr(RelayConnection, "_connect", connect)
    for _ in range(3):
        await RelayConnection.open("relay.example", 8100, KEY, ACCESS_KEY)
    assert len(points) == 3
