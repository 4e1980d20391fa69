"""A member's connection to the issuer's service (PROTOCOL §15).

Owns the requests. `encrypted_connection` has the socket, `issuer_frames` the frames; the member's side says which card
is shown when (`issuer_visit`).
"""

from collections.abc import Callable
from typing import Any, TypeVar

from tessera import hashes
from tessera.wire import CLIENT_FRAME_BYTES

from ..errors import IntegrityError, InvalidInput, TesseraError, Unreachable
from . import issuer_frames
from .encrypted_connection import EncryptedConnection
from .identity import Identity
from .welcome import Welcome

T = TypeVar("T")


class IssuerConnection(EncryptedConnection):
    """A connection to the issuer's service. Every request raises the issuer's refusal (NotPermitted, InvalidInput),
    Unreachable or IntegrityError."""

    peer = "the issuer's service"

    @classmethod
    def _hello_refused(cls, side: Any) -> TesseraError:
        return Unreachable(
            f"{cls.peer} closed the connection at the handshake",
            "it is busy, or your invitation is out of date: try again, then ask IT for a new one",
        )

    async def join(self, card: str, identity: Identity, federation_id: bytes) -> Welcome:
        """Show a join card of this member; when this returns, the issuer has admitted it, and the connection belongs
        to it."""
        signature = self._claim(identity, federation_id)
        return await self._ask(issuer_frames.JOIN, signature + card.encode(), Welcome.read)

    async def hello(self, identity: Identity, federation_id: bytes) -> Welcome:
        """Show that this member, who is on the roster, is there; the connection belongs to it then."""
        signature = self._claim(identity, federation_id)
        return await self._ask(issuer_frames.HELLO, identity.key + signature, Welcome.read)

    def _claim(self, identity: Identity, federation_id: bytes) -> bytes:
        return identity.sign(claim(federation_id, self.handshake_hash, identity.key))

    async def issue(self, card: str) -> str:
        """Send a tokens-request or tokens-challenge card of this member, and return the card that answers it."""
        return await self._ask(issuer_frames.CARD, card.encode(), _text)

    async def _ask(self, kind: int, body: bytes, read: Callable[[bytes], T]) -> T:
        try:
            async with self._within(self._timeout_seconds):
                message = await self._exchange(kind, body)
            answer, said = message
            if answer == issuer_frames.REFUSED:
                refusal = issuer_frames.read_refusal(said)
            elif answer == kind + issuer_frames.ANSWER:
                return read(said)
            else:
                raise ValueError("an answer to another request")
        except (ValueError, InvalidInput):
            raise IntegrityError(
                "the issuer's answer cannot be understood", "update tessera; if that does not help, tell IT"
            ) from None
        raise refusal

    async def _exchange(self, kind: int, body: bytes) -> tuple[int, bytes]:
        for frame in issuer_frames.pack(kind, body):
            await self._send(frame)
        assembler = issuer_frames.Assembler(issuer_frames.ANSWER_BYTES)
        while (message := assembler.take(await self._receive(CLIENT_FRAME_BYTES))) is None:
            pass
        return message


def claim(federation_id: bytes, handshake_hash: bytes, key: bytes) -> bytes:
    """Compute what a member of this x-only key (32 bytes) signs to show that a connection to the service is its own: 32
    bytes. A card alone might come from somebody who saw it."""
    return hashes.tagged("member-channel", federation_id + handshake_hash + key)


def _text(body: bytes) -> str:
    return body.rstrip(b"\0").decode()
