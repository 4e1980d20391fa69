"""One connection to a relay (PROTOCOL §4, §5), from the client's side: resumption, requests.

Owns what a relay's refusal means to a person. `encrypted_connection` has the socket; `relay_sessions` chooses the token
and checks what the relay says of rounds and parameters. The core makes the frames.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from tessera import admission, channel, wire
from tessera.errors import BadFrame, Refused

from ..errors import IntegrityError, RelayRefused, TesseraError, Unreachable
from .encrypted_connection import TIMEOUT_SECONDS, EncryptedConnection, Side
from .staging import StagingStep

T = TypeVar("T")

FETCH_SECONDS_PER_ROUND = 15.0  # 240 frames, each on its tick: more than a round has
BUSY_ATTEMPTS = 6
BUSY_WAIT_SECONDS = 8  # the relay ends a connection after 10 s without a frame

_CODE = {name: code for code, name, _ in wire.CODES}
BAD_REQUEST, NOT_ADMITTED, QUOTA = _CODE["BAD_REQUEST"], _CODE["NOT_ADMITTED"], _CODE["QUOTA"]
NOT_READY, BUSY, TOO_OLD, FAULT = _CODE["NOT_READY"], _CODE["BUSY"], _CODE["TOO_OLD"], _CODE["FAULT"]

_REFUSALS = {
    1: ("the relay does not know this request", "update tessera, or the relay"),
    2: ("the relay found an argument out of range", "update tessera; if that does not help, report it"),
    NOT_ADMITTED: (
        "the relay did not accept the token, key or signature that it was shown",
        "get new access: tessera renew",
    ),
    QUOTA: ("this token has no posts left", "what waits leaves with your next token, or in the next epoch"),
    NOT_READY: (
        "the relay does not know the time yet",
        "try again in a minute; if it stays so, tell IT",
    ),
    BUSY: ("the relay is busy", "try again later"),
    TOO_OLD: ("the relay no longer keeps what was asked for", "try again; if it recurs, tell IT"),
    FAULT: ("the relay has a fault in its storage", "tell IT"),
}


class ErrorFrame(RelayRefused):
    """The relay answered with an error frame: RelayRefused with the `code` (PROTOCOL §5) that it has. The core's own
    `Refused`, which reading such a frame raises, ends here."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(*_REFUSALS.get(refused.code, (f"the relay answered error {refused.code}", "update tessera")))
        self.code = int(refused.code)
        self.retry_after = int(refused.retry_after)


class SessionForgotten(Unreachable):
    """The relay has forgotten the session: a full handshake will do."""


class HelloRefused(Unreachable):
    """The relay closed the connection at the handshake: it is busy, or has a different access key."""


@dataclass(frozen=True)
class Info:
    """The answer to INFO: serial and digest (32 bytes) of the newest set and of the one that governs the open epoch,
    rounds by number, the curve tier by name."""

    version: int
    flags: int
    newest_serial: int
    newest_digest: bytes
    serial: int
    digest: bytes
    open_round: int
    first_round: int
    tier: str

    @property
    def provisional(self) -> bool:
        """Whether nothing confirms the relay's clock yet: a time statement helps."""
        return bool(self.flags & wire.PROVISIONAL)


@dataclass(frozen=True)
class RelayFigures:
    """The answer to STATUS: code and flags as in PROTOCOL §5, a digest of 32 bytes."""

    version: int
    code: int
    firmware_digest: bytes
    uptime_seconds: int
    boots: int
    serial: int
    open_round: int
    flags: int
    board: str


@dataclass(frozen=True)
class Batch:
    """A sealed round of one bucket, whole: its published count is the number of its records."""

    round: int
    records: list[bytes]


class RelayConnection(EncryptedConnection):
    """A connection to a relay: `open` makes a full handshake, `resume` takes up a token's session."""

    peer = "the relay"

    @classmethod
    async def resume(
        cls,
        host: str,
        port: int,
        access_key: bytes,
        secret: bytes,
        using: Callable[[bytes], None],
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Self:
        """Resume a token's session. `using(next secret)` is called before the old one is shown: an id is used once.

        Raises SessionForgotten if the relay has forgotten it.
        """

        def handshake(nonce: bytes) -> Side:
            resumption = channel.Resumption(nonce, access_key, secret, secrets.token_bytes(16))
            using(resumption.next_secret)
            return resumption

        return await cls._connect(host, port, handshake, timeout_seconds)

    @classmethod
    def _hello_refused(cls, side: Side) -> TesseraError:
        if isinstance(side, channel.Resumption):
            return SessionForgotten("the relay has forgotten the session")
        return HelloRefused(
            f"{cls.peer} closed the connection at the handshake",
            "it is busy, or the office has changed its access key: try again, then type tessera renew",
        )

    # -- requests; all raise ErrorFrame, Unreachable or IntegrityError

    async def info(self) -> Info:
        """Ask the relay for its versions, sets and open round. Raises RelayRefused if it speaks another version of the
        protocol."""
        found = Info(*await self._ask(wire.info(), wire.INFO_ANSWER))
        if found.version != wire.INFO_VERSION:
            raise RelayRefused(
                f"the relay speaks version {found.version} of the protocol, this program version {wire.INFO_VERSION}",
                "update tessera" if found.version > wire.INFO_VERSION else "IT has to update the relay",
            )
        return found

    async def status(self) -> RelayFigures:
        """Ask the relay for its figures (PROTOCOL §5)."""
        return RelayFigures(*await self._ask(wire.status(), wire.STATUS_ANSWER))

    async def auth(self, epoch: int, key: bytes, signature: bytes, proof: bytes) -> tuple[bytes, int]:
        """Show a token, and return (resumption secret, posts left)."""
        secret, posts_left = await self._ask(wire.auth(epoch, key, signature, proof), wire.ADMITTED)
        return secret, posts_left

    async def operate(self, federation_id: bytes, relay_key: bytes, sign: Callable[[bytes], bytes]) -> None:
        """Be the operator on this connection, a full handshake: it may push in a place of its own, and bring code.
        sign: the root key's signature (64 bytes) over 32 bytes."""
        message = admission.operator_message(federation_id, relay_key, self.handshake_hash)
        await self.auth(admission.OPERATOR, bytes(32), sign(message), bytes(64))

    # One frame each, whatever the answer. A record's bytes are sent once: a relay that stored them and says that it is
    # busy would have them in two rounds, and everybody would know that they are no cover (PROTOCOL §7). And that
    # a relay is busy with a post, and not with a frame that does nothing, would show in the number of frames.

    async def void(self) -> None:
        """Send a frame that does nothing and is answered like a post."""
        await self._ask_once(wire.void(), wire.VOIDED)

    async def post(self, bucket: int, record: bytes) -> int:
        """Post a record (240 bytes), and return the round it will appear in. For another attempt after an error, seal
        it anew."""
        (open_round,) = await self._ask_once(wire.post(bucket, record), wire.ACK)
        return int(open_round)

    async def params(self) -> bytes:
        """Ask for the relay's newest parameter set; nothing in it is checked."""
        async with self._within(self._timeout_seconds):
            total, _, data = await self._ask(wire.params(0), wire.PARAMS_ANSWER)
            blob = bytearray(data)
            for chunk in range(1, -(-total // wire.CHUNK_BYTES)):
                _, _, data = await self._ask(wire.params(chunk), wire.PARAMS_ANSWER)
                blob += data
            return bytes(blob)

    async def checkpoint(self, epoch: int) -> bytes:
        """Ask for the ledger's checkpoint (250 bytes) of an epoch that is over."""
        (data,) = await self._ask(wire.checkpoint(epoch), wire.CHECKPOINT_ANSWER)
        return bytes(data)

    async def push(self, blob: bytes, patient: bool = True) -> bool:
        """Hand a signed object to the relay, and return True once it is verified and stored. Without `patient` a busy
        relay is not asked again."""
        ask = self._ask if patient else self._ask_once
        complete = 0
        for chunk, at in enumerate(range(0, len(blob), wire.CHUNK_BYTES)):
            data = blob[at : at + wire.CHUNK_BYTES]
            (complete,) = await ask(wire.push(len(blob), chunk, data), wire.PUSHED)
        return bool(complete)

    async def begin_stage(self, release: bytes) -> StagingStep:
        """Offer a release of new code, or continue with it."""
        return StagingStep(*await self._ask(wire.stage(wire.BEGIN, 0, release), wire.STAGE_ANSWER))

    async def put_stage(self, offset: int, data: bytes) -> StagingStep:
        """Send a piece of the release's artifact, at most 240 bytes."""
        return StagingStep(*await self._ask(wire.stage(wire.PUT, offset, data), wire.STAGE_ANSWER))

    async def activate_stage(self) -> StagingStep:
        """Have the relay try it after the next seal."""
        return StagingStep(*await self._ask(wire.stage(wire.ACTIVATE), wire.STAGE_ANSWER))

    async def fetch(self, bucket: int, start: int, end: int, reading_key: bytes) -> list[Batch]:
        """Fetch the sealed batches of start ≤ round < end, at most 16 of them; fewer if the relay has not sealed them
        all. Full handshakes only: the reading key (32 bytes) is shown for this channel. A relay that is busy with other
        readers ends the connection: call it through `patiently`, with another connection each time."""
        proof = admission.read_proof(reading_key, self.handshake_hash)
        async with self._within(self._timeout_seconds + FETCH_SECONDS_PER_ROUND * (end - start)):
            await self._send(wire.fetch(bucket, start, end, proof))
            return await self._batches(start, end)

    async def _batches(self, start: int, end: int) -> list[Batch]:
        batches = _Batches(start, end)
        while (answer := await self._cell())[0] == wire.CELL:
            batches.take(*answer[1:])
        return batches.finish(answer[1])

    async def _cell(self) -> tuple[Any, ...]:
        plaintext = await self._receive(wire.CELL_FRAME_BYTES)
        return _understood(wire.read_cell, plaintext)

    async def _ask(self, request: bytes | bytearray, wanted: int) -> tuple[Any, ...]:
        """The fields of the answer to a request."""
        return await patiently(lambda: self._ask_once(request, wanted))

    async def _ask_once(self, request: bytes | bytearray, wanted: int) -> tuple[Any, ...]:
        await self._send(request)
        answer = _understood(wire.read_answer, await self._receive(wire.CLIENT_FRAME_BYTES))
        if answer[0] != wanted:
            raise IntegrityError("the relay's answer belongs to another request", "tell IT")
        return answer[1:]


class _Batches:
    """The batches of one answer to FETCH, put together frame by frame. Raises IntegrityError for any other order than
    the protocol's: round after round, no record missing, in the order every reader gets."""

    def __init__(self, start: int, end: int) -> None:
        self._start, self._end = start, end
        self._batches: list[Batch] = []
        self._count = 0

    def take(self, round_: int, count: int, offset: int, found: list[bytes]) -> None:
        if offset == 0:
            self._close_batch()
            _expect(round_ == self._start + len(self._batches) < self._end)
            self._batches.append(Batch(round_, []))
            self._count = count
        _expect(bool(self._batches))
        batch = self._batches[-1]
        _expect((round_, count, offset) == (batch.round, self._count, len(batch.records)))
        _expect(len(found) == min(wire.RECORDS_PER_FRAME, count - offset))
        batch.records.extend(found)

    def _close_batch(self) -> None:
        if self._batches:
            records = self._batches[-1].records
            _expect(len(records) == self._count and records == sorted(records))

    def finish(self, next_round: int) -> list[Batch]:
        self._close_batch()
        _expect(next_round == self._start + len(self._batches))
        return self._batches


def _expect(in_order: bool) -> None:
    if not in_order:
        raise IntegrityError("the relay's answer to a fetch is incomplete or out of order", "try again; tell IT")


def _understood(read: Callable[[bytes], tuple[Any, ...]], plaintext: bytes) -> tuple[Any, ...]:
    try:
        return read(plaintext)
    except Refused as refused:
        raise ErrorFrame(refused) from None
    except (BadFrame, ValueError):
        raise IntegrityError(
            "the relay's answer cannot be understood", "update tessera; if that does not help, tell IT"
        ) from None


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try again as often as a busy relay asks for it, a few times."""
    for _ in range(BUSY_ATTEMPTS - 1):
        try:
            return await attempt()
        except ErrorFrame as refusal:
            if refusal.code != BUSY or refusal.retry_after > BUSY_WAIT_SECONDS:
                raise
            await asyncio.sleep(max(1, refusal.retry_after))
    return await attempt()
