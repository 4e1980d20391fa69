"""`tessera issuer serve`: the issuer on a network, for members who join and fetch tokens (PROTOCOL §15).

Owns who is let in, the limits, and which request goes where. Leaves to others: the handshake and its frames (the core's
channel, issuer_frames.py), every rule about members, invitations and tokens (issuer.py).

The keystore is taken for one request at a time and given back, so that IT's commands work meanwhile. Nothing is logged
about a request: all that is kept is in the keystore (who is on the roster, how many tokens of an epoch each has had).
When a member was here is kept while its sessions are open, and no longer: nobody is to hold it against times of posts.
"""

import asyncio
import contextlib
import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tessera import channel, curve
from tessera.errors import BadFrame
from tessera.wire import CLIENT_FRAME_BYTES

from ..errors import InvalidInput, KeystoreError, TesseraError, TryLater
from ..protocol import blind, cards, issuer_frames
from ..threads import finished
from .issuer import Issuer
from .standing import Room, Visit

KEYSTORE_RETRY_SECONDS = 15


@dataclass(frozen=True)
class Limits:
    """What strangers and members can take up. A connection costs about 20 KiB. Whoever is on no roster any more still
    has the access key: a handshake says little, a card that the issuer accepted says who is there."""

    strangers: int = 16  # before their handshake
    guests: int = 16  # after it
    members: int = 32  # after a card
    sessions_a_member: int = 2
    idle_seconds: float = 10
    session_seconds: float = 120
    frames: int = 400  # from one connection


class IssuerServer:
    """An issuer behind a socket. `issuer` is open and is released as soon as the server has it."""

    def __init__(self, issuer: Issuer, limits: Limits | None = None) -> None:
        """Raises UsageError if members were never told where the service is."""
        self._issuer = issuer
        self._limits = limits or Limits()
        secret = issuer.service_secret
        self._static = secret, curve.public(secret)
        self._access_keys = [issuer.parameters.access_key]
        self._strangers = Room(self._limits.strangers)
        self._guests = Room(self._limits.guests)
        self._members = Room(self._limits.members, self._limits.sessions_a_member)
        self._handshake = asyncio.Lock()
        self._request = asyncio.Lock()
        self._report: Callable[[str], None] = lambda line: None
        issuer.release()

    async def run(self, host: str | None, port: int, ready: Callable[[], None], report: Callable[[str], None]) -> None:
        """Serve until cancelled. ready() is called once it listens, report() with a line about what IT should look
        into. Raises OSError if it cannot listen."""
        self._report = report
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._connected(task, reader, writer)
            finally:
                tasks.discard(task)

        server = await asyncio.start_server(connected, host, port, limit=1 << 12)
        try:
            ready()
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection, to its end: whoever breaks a rule is told nothing but the end."""
        line, visit = _Line(reader, writer, self._limits.idle_seconds), Visit(task)
        try:
            async with asyncio.timeout(self._limits.session_seconds):
                await self._converse(visit, line)
        except (BadFrame, ValueError, OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass
        except Exception as error:  # the others are to be served all the same
            self._report(f"this is a bug: {type(error).__name__}")
        finally:
            with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
                await line.close()
            visit.leave()

    async def _converse(self, visit: Visit, line: "_Line") -> None:
        visit.enter(self._strangers, line.origin)
        sealed = await self._greet(line)
        visit.enter(self._guests, line.origin)
        await self._answer_all(visit, line, sealed)

    async def _greet(self, line: "_Line") -> Any:
        """The handshake of PROTOCOL §4; the check against the access key comes before any curve work."""
        nonce = secrets.token_bytes(channel.NONCE_BYTES)
        await line.send(nonce)
        hello = await line.read(channel.HELLO_BYTES)
        access_key = channel.hello_access_key(hello, nonce, self._access_keys)
        if channel.resumption_id(hello) is not None:
            raise BadFrame("there is nothing to resume here")
        async with self._handshake:
            secret = blind.random_scalar().to_bytes(32, "big")
            ephemeral = secret, curve.public(secret)
            sealed, reply = channel.respond(hello, nonce, access_key, self._static, ephemeral)
            await asyncio.sleep(0)  # established sessions go on between two handshakes
        await line.send(reply)
        return sealed

    async def _answer_all(self, visit: Visit, line: "_Line", sealed: Any) -> None:
        assembler = issuer_frames.Assembler(issuer_frames.REQUEST_BYTES)
        for _ in range(self._limits.frames):
            frame = sealed.open(await line.read(CLIENT_FRAME_BYTES))
            message = assembler.take(frame)
            if message is not None:
                for answer in issuer_frames.pack(*await self._answered(visit, *message)):
                    await line.send(sealed.seal(answer))

    async def _answered(self, visit: Visit, kind: int, body: bytes) -> tuple[int, bytes]:
        """The answer to a request, one at a time. BadFrame for a type that there is not."""
        if kind not in (issuer_frames.JOIN, issuer_frames.CARD, issuer_frames.FEDERATION):
            raise BadFrame("unknown request")
        async with self._request:
            try:
                answer, member = await finished(lambda: self._look_up(kind, body))
            except KeystoreError as error:
                self._report(str(error))
                busy = TryLater("the issuer is busy", "try again in a minute", KEYSTORE_RETRY_SECONDS)
                return issuer_frames.REFUSED, issuer_frames.pack_refusal(busy)
            except TesseraError as error:
                return issuer_frames.REFUSED, issuer_frames.pack_refusal(error)
        if member is not None:
            visit.enter(self._members, member)
        return kind + issuer_frames.ANSWER, answer.encode()

    def _look_up(self, kind: int, body: bytes) -> tuple[str, bytes | None]:
        """In a thread of its own, because it waits for the keystore and for the disk; to its end, whatever becomes of
        the connection: the next request takes the same keystore. With the answer the key of the member that a
        card was accepted of."""
        text = _text(body)
        with self._issuer.held():
            self._access_keys = [self._issuer.parameters.access_key]
            if kind == issuer_frames.JOIN:
                self._issuer.join(text)
                return "", cards.decode(text).fields["key"]
            if kind == issuer_frames.CARD:
                return self._issuer.issue(text, online=True), cards.decode(text).fields["member"]
            return self._issuer.federation_card, None


class _Line:
    """A socket that is read and written within the idle limit."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, idle_seconds: float) -> None:
        self._reader = reader
        self._writer = writer
        self._idle_seconds = idle_seconds

    @property
    def origin(self) -> str:
        """Whose computer it may be: an address, or of IPv6 the network, in which one computer has any number."""
        host = str((self._writer.get_extra_info("peername") or ("",))[0]).partition("%")[0]
        return str(ipaddress.ip_network((host, 64), strict=False)) if ":" in host else host

    async def read(self, length: int) -> bytes:
        async with asyncio.timeout(self._idle_seconds):
            return await self._reader.readexactly(length)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        async with asyncio.timeout(self._idle_seconds):
            await self._writer.drain()

    async def close(self) -> None:
        """What was said may still go out; who does not read it is not waited for longer than for anything else."""
        self._writer.close()
        try:
            async with asyncio.timeout(self._idle_seconds):
                await self._writer.wait_closed()
        finally:
            self._writer.transport.abort()


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise InvalidInput("this is not a Tessera card", "update tessera") from None
