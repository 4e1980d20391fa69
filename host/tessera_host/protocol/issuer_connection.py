"""A member's connection to the issuer's service (PROTOCOL §15).

Owns the requests. The socket is `encrypted_connection`'s, the frames are `issuer_frames`'; which card is shown when is
for the member's side to say (`issuer_visit`).
"""

from typing import Any

from tessera.wire import CLIENT_FRAME_BYTES

from ..errors import IntegrityError, InvalidInput, TesseraError, Unreachable
from . import cards, issuer_frames
from .encrypted_connection import EncryptedConnection


class IssuerConnection(EncryptedConnection):
    """A connection to the issuer's service. Every request raises what the issuer refuses it with (NotPermitted,
    InvalidInput), Unreachable or IntegrityError."""

    peer = "the issuer's service"

    @classmethod
    def _hello_refused(cls, side: Any) -> TesseraError:
        return Unreachable(
            f"{cls.peer} closed the connection at the handshake",
            "it is busy, or your invitation is out of date: try again, then ask IT for a new one",
        )

    async def join(self, card: str) -> None:
        """Show a join card: the issuer has admitted its member."""
        await self._ask(issuer_frames.JOIN, card)

    async def issue(self, card: str) -> str:
        """A tokens-request or a tokens-challenge: the card that follows it."""
        return await self._ask(issuer_frames.CARD, card)

    async def federation(self) -> str:
        """The newest federation card."""
        card = await self._ask(issuer_frames.FEDERATION, "")
        cards.decode(card, "federation")
        return card

    async def _ask(self, kind: int, text: str) -> str:
        try:
            async with self._within(self._timeout_seconds):
                message = await self._exchange(kind, text)
            answer, body = message
            if answer == issuer_frames.REFUSED:
                refusal = issuer_frames.read_refusal(body)
            elif answer == kind + issuer_frames.ANSWER:
                return body.decode()
            else:
                raise ValueError("an answer to another request")
        except (ValueError, InvalidInput):
            raise IntegrityError("the issuer's answer makes no sense", "update tessera; tell IT") from None
        raise refusal

    async def _exchange(self, kind: int, text: str) -> tuple[int, bytes]:
        for frame in issuer_frames.pack(kind, text.encode()):
            await self._send(frame)
        assembler = issuer_frames.Assembler(issuer_frames.ANSWER_BYTES)
        while (message := assembler.take(await self._receive(CLIENT_FRAME_BYTES))) is None:
            pass
        return message
