"""`tessera issuer serve`: the issuer on a network, for members who join and fetch what IT says (PROTOCOL §15).

Owns who is let in, the limits, which request goes where, and that the schedule of keys is renewed in time. Leaves to
others: the handshake and its frames (the core's channel, issuer_frames.py), every rule about members, invitations,
tokens and sets (issuer.py).

An access key of the last 400 days opens a channel, so that whoever was away comes back; it says that somebody was a
member once, and gets nothing. Whoever shows with a signature over this channel that it has a key on the roster is told
all.

The keystore is taken for one request at a time and given back, so that IT's commands work meanwhile. Nothing is logged
about a request: all that is kept is in the keystore (who is on the roster, how many tokens of an epoch each has had).
When a member was here is kept while its sessions are open, and no longer: nobody is to hold it against times of posts.
"""

import asyncio
import contextlib
import ipaddress
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tessera import channel, curve
from tessera.errors import BadFrame
from tessera.wire import CLIENT_FRAME_BYTES

from ..errors import InvalidInput, KeystoreError, NotOnRoster, TesseraError, TryLater
from ..protocol import blind, cards, issuer_frames, listening
from ..protocol.issuer_connection import claim
from ..protocol.listening import Listen
from ..threads import finished
from .issuer import Issuer
from .standing import Room, Visit

KEYSTORE_RETRY_SECONDS = 15
RENEWAL_SECONDS = 3600  # between two looks whether the schedule has to be renewed
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64


@dataclass(frozen=True)
class Limits:
    """What strangers and members can take up; connections for each cohort of the office (PROTOCOL §6): in the hour in
    which all of it fetches tokens, 28 of 100,000 come each second. A connection costs about 20 KiB. Whoever is on no
    roster any more still has the access key: a handshake says little, a card that the issuer accepted says who is
    there."""

    strangers: int = 16  # before their handshake
    guests: int = 16  # after it
    members: int = 32  # after a card
    sessions_a_member: int = 2
    idle_seconds: float = 10
    session_seconds: float = 120
    frames: int = 5000  # from one connection: challenges for 64 relays and 33 epochs are most of them


class IssuerServer:
    """An issuer behind a socket. `issuer` is open and is released as soon as the server has it."""

    def __init__(self, issuer: Issuer, limits: Limits | None = None) -> None:
        """Raises UsageError if members were never told where the service is."""
        self._issuer = issuer
        self._limits = limits or Limits()
        secret = issuer.service_secret
        self._static = secret, curve.public(secret)
        self._federation_id = issuer.parameters.federation_id
        self._strangers, self._guests = Room(0), Room(0)
        self._members = Room(0, self._limits.sessions_a_member)
        self._note_office()
        self._handshake = asyncio.Lock()
        self._request = asyncio.Lock()
        self._report: Callable[[str], None] = lambda line: None
        issuer.release()

    async def run(
        self,
        host: str,
        port: int,
        ready: Callable[[], None],
        report: Callable[[str], None],
        listen: Listen = listening.listen,
    ) -> None:
        """Serve until cancelled. ready() is called once it listens, report(line) whenever something needs IT's
        attention. Raises CannotListen."""
        self._report = report
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: Any, writer: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._connected(task, reader, writer)
            finally:
                tasks.discard(task)

        server = await listen(connected, host, port)
        renewing = asyncio.create_task(self._keep_renewed())
        tasks.add(renewing)
        try:
            ready()
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_renewed(self) -> None:
        """Also where nobody comes for weeks."""
        while True:
            async with self._request:
                try:
                    await finished(self._renew)
                except TesseraError as error:
                    self._report(str(error))
                except Exception as error:  # the next look may do what this one did not
                    self._report(_bug(error))
            await asyncio.sleep(RENEWAL_SECONDS)

    def _renew(self) -> None:
        with self._issuer.held():
            self._issuer.renew_if_due()
            self._note_office()

    def _note_office(self) -> None:
        """By which access keys a channel may be opened, how many connections so large an office may have, and of which
        state of the keystore that is; it is held."""
        self._access_keys, self._noted = self._issuer.access_keys, self._issuer.stamp
        cohorts, limits = 1 << self._issuer.parameters.log2_cohorts, self._limits
        self._strangers.most = limits.strangers * cohorts
        self._guests.most = limits.guests * cohorts
        self._members.most = limits.members * cohorts

    async def _look_at_access_keys(self) -> None:
        """IT's commands change what is noted while nobody asks for anything here."""
        if self._noted == self._issuer.stamp:
            return
        async with self._request:  # which may be what saved the keystore, and notes them at its end
            if self._noted != self._issuer.stamp:
                with contextlib.suppress(KeystoreError):  # a command has it: those of before are good still
                    await finished(self._renew)

    async def _connected(self, task: asyncio.Task[None], reader: Any, writer: Any) -> None:
        """One connection, to its end: whoever breaks a rule is told nothing but the end."""
        line, visit = _Line(reader, writer, self._limits.idle_seconds), Visit(task)
        try:
            async with asyncio.timeout(self._limits.session_seconds):
                await self._converse(visit, line)
        except (BadFrame, ValueError, OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass
        except Exception as error:  # the others are to be served all the same
            self._report(_bug(error))
        finally:
            with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
                await line.close()
            visit.leave()

    async def _converse(self, visit: Visit, line: "_Line") -> None:
        visit.enter(self._strangers, line.origin)
        sealed = await self._greet(visit, line)
        visit.enter(self._guests, line.origin)
        await self._answer_all(visit, line, sealed)

    async def _greet(self, visit: Visit, line: "_Line") -> Any:
        """The handshake of PROTOCOL §4; the check against the access key comes before any curve work."""
        nonce = secrets.token_bytes(channel.NONCE_BYTES)
        await line.send(nonce)
        visit.enter(self._strangers, line.origin)  # a reverse proxy has said by now for whom it came
        hello = await line.read(channel.HELLO_BYTES)
        await self._look_at_access_keys()
        access_key = _access_key(hello, nonce, self._access_keys)
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
        assembler, talk = issuer_frames.Assembler(issuer_frames.REQUEST_BYTES), _Talk(sealed.handshake_hash)
        for _ in range(self._limits.frames):
            frame = sealed.open(await line.read(CLIENT_FRAME_BYTES))
            message = assembler.take(frame)
            if message is not None:
                for answer in issuer_frames.pack(*await self._answered(visit, talk, *message)):
                    await line.send(sealed.seal(answer))
                if talk.member is not None:
                    assembler.most = issuer_frames.MEMBER_REQUEST_BYTES

    async def _answered(self, visit: Visit, talk: "_Talk", kind: int, body: bytes) -> tuple[int, bytes]:
        """The answer to a request, one at a time. BadFrame for a type that there is not."""
        if kind not in (issuer_frames.JOIN, issuer_frames.CARD, issuer_frames.HELLO):
            raise BadFrame("unknown request")
        async with self._request:
            try:
                answer = await finished(lambda: self._look_up(talk, kind, body))
            except KeystoreError as error:
                self._report(str(error))
                busy = TryLater("the issuer is busy", "try again in a minute", KEYSTORE_RETRY_SECONDS)
                return issuer_frames.REFUSED, issuer_frames.pack_refusal(busy)
            except TesseraError as error:
                return issuer_frames.REFUSED, issuer_frames.pack_refusal(error)
        if talk.member is not None:
            visit.enter(self._members, talk.member)
        return kind + issuer_frames.ANSWER, answer

    def _look_up(self, talk: "_Talk", kind: int, body: bytes) -> bytes:
        """In a thread of its own, because it waits for the keystore and for the disk; to its end, whatever becomes of
        the connection: the next request takes the same keystore. Says to `talk` whose the channel is."""
        with self._issuer.held():
            self._issuer.renew_if_due()
            try:
                return self._answer(talk, kind, body)
            finally:
                self._note_office()

    def _answer(self, talk: "_Talk", kind: int, body: bytes) -> bytes:
        if kind == issuer_frames.CARD:
            return issuer_frames.padded(self._issue(talk, _text(body)).encode())
        key = self._joined(talk, body) if kind == issuer_frames.JOIN else self._greeted(talk, body)
        welcome = self._issuer.welcome(key).pack()
        talk.member = key
        return welcome

    def _joined(self, talk: "_Talk", body: bytes) -> bytes:
        """The key of a member who joined, here or before."""
        text = _text(body[_SIGNATURE_BYTES:])
        key: bytes = cards.decode(text, "join").fields["key"]
        self._check_claim(talk, key, body[:_SIGNATURE_BYTES])
        self._issuer.join(text)
        return key

    def _greeted(self, talk: "_Talk", body: bytes) -> bytes:
        """The key of whoever says that it is a member's."""
        key = body[:_KEY_BYTES]
        self._check_claim(talk, key, body[_KEY_BYTES:])
        return key

    def _check_claim(self, talk: "_Talk", key: bytes, signature: bytes) -> None:
        """Raises InvalidInput unless whoever is on this channel has the key."""
        message = claim(self._federation_id, talk.handshake_hash, key)
        if len(signature) != _SIGNATURE_BYTES or len(key) != _KEY_BYTES or not curve.verify(signature, message, key):
            raise InvalidInput(
                "the member's key did not sign this request for this connection", "update tessera, then try again"
            )

    def _issue(self, talk: "_Talk", text: str) -> str:
        """The card that follows this one of the member whose the channel is."""
        fields = cards.decode(text).fields
        if talk.member is None or fields.get("member") != talk.member:
            raise NotOnRoster("this connection has not shown whose it is", "update tessera, then try again")
        return self._issuer.issue(text, online=True)


def _bug(error: Exception) -> str:
    return f"this is a bug: {type(error).__name__}; report it. The service goes on"


@dataclass
class _Talk:
    """A channel after its handshake: `member` is the key (32 bytes) of whose it is, None as long as nobody showed."""

    handshake_hash: bytes
    member: bytes | None = None


class _Line:
    """A connection, of TCP or a WebSocket, that is read and written within the idle limit."""

    def __init__(self, reader: Any, writer: Any, idle_seconds: float) -> None:
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
            return bytes(await self._reader.readexactly(length))

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


def _access_key(hello: bytes, nonce: bytes, keys: Sequence[bytes]) -> bytes:
    """The one that a hello was made with; BadFrame if none. All are tried: the time says nothing of how old it is."""
    found = None
    for key in keys:
        with contextlib.suppress(BadFrame):
            found = channel.hello_access_key(hello, nonce, [key])
    if found is None:
        raise BadFrame("hello check failed")
    return found


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise InvalidInput("this is not a Tessera card", "update tessera") from None
