"""The frames of the issuer's service (PROTOCOL §15): the only module that packs or unpacks one, both sides' halves.

Owns how a message becomes frames of 255 bytes and is put together again, and how a refusal travels. The channel
encrypts; what a message means is said in service.py and issuer_connection.py.
"""

import struct
from collections.abc import Iterator

from tessera import wire

from ..errors import InvalidInput, NotOnRoster, NotPermitted, QuotaUsed, TesseraError, TryLater
from .relay_connection import BAD_REQUEST, BUSY, NOT_ADMITTED, QUOTA

FRAME_BYTES = wire.SMALL_BYTES  # plaintext; 272 on the wire
PIECE_BYTES = 240
REQUEST_BYTES = 8192
MEMBER_REQUEST_BYTES = 1 << 20  # once the channel is a member's: challenges for all relays and epochs
ANSWER_BYTES = 1 << 22  # a card of the largest set, another one whole, and a relay's copy of each of some more
PADDED_BYTES = 4096  # answers are so long, or a multiple: not how many tokens there were for whom
REFUSAL_TEXT = 400  # characters of message and of hint

JOIN, CARD, HELLO = 0x20, 0x21, 0x23
ANSWER = 0x80  # added to the request's type
REFUSED = 0xFF

NOT_PERMITTED = 9  # beside the codes of a relay

_CODES: tuple[tuple[type[TesseraError], int], ...] = (
    (TryLater, BUSY),
    (QuotaUsed, QUOTA),
    (NotOnRoster, NOT_ADMITTED),
    (NotPermitted, NOT_PERMITTED),
)

_HEAD = struct.Struct(">BIHB")
_REFUSAL = struct.Struct(">BI")


def pack(kind: int, body: bytes) -> Iterator[bytes]:
    """Cut a message into frames (255 bytes of plaintext each); an empty message is one frame, too."""
    for number, at in enumerate(range(0, max(1, len(body)), PIECE_BYTES)):
        piece = body[at : at + PIECE_BYTES]
        yield (_HEAD.pack(kind, len(body), number, len(piece)) + piece).ljust(FRAME_BYTES, b"\0")


def padded(body: bytes) -> bytes:
    """Pad an answer with zeros up to a multiple of 4,096 bytes."""
    return body + bytes(-len(body) % PADDED_BYTES)


class Assembler:
    """Puts the frames of one direction together again, in order, a message at a time, up to `most` bytes each."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._message: tuple[int, int] | None = None  # type and length of the one under way
        self._body = bytearray()
        self._pieces = 0

    def take(self, frame: bytes) -> tuple[int, bytes] | None:
        """Take a frame, and return (type, body) when a message is complete, else None. Raises ValueError for a frame
        that no sender makes."""
        kind, total, number, length = _HEAD.unpack_from(frame)
        if self._message is None:
            self._message = kind, total
        missing = total - len(self._body)
        in_order = ((kind, total), number) == (self._message, self._pieces) and total <= self.most
        if not in_order or length != min(PIECE_BYTES, missing):
            raise ValueError("a frame out of order")
        self._body += frame[_HEAD.size : _HEAD.size + length]
        self._pieces += 1
        if len(self._body) < total:
            return None
        body = bytes(self._body)
        self._message, self._pieces = None, 0
        self._body.clear()
        return kind, body


def pack_refusal(error: TesseraError) -> bytes:
    """Make the body of a REFUSED message: code, retry_after in seconds, message and hint for people."""
    words = f"{error.message[:REFUSAL_TEXT]}\0{error.hint[:REFUSAL_TEXT]}"
    return _REFUSAL.pack(_code(error), getattr(error, "retry_after", 0)) + words.encode()


def _code(error: TesseraError) -> int:
    return next((code for kind, code in _CODES if isinstance(error, kind)), BAD_REQUEST)


def read_refusal(body: bytes) -> TesseraError:
    """Read the error to raise from the body of a REFUSED message. Raises ValueError if it is not valid."""
    if len(body) < _REFUSAL.size:
        raise ValueError("not a refusal")
    code, retry_after = _REFUSAL.unpack_from(body)
    message, _, hint = body[_REFUSAL.size :].decode().partition("\0")
    if not (message + hint).isprintable() or len(message) > REFUSAL_TEXT or len(hint) > REFUSAL_TEXT:
        raise ValueError("not for a terminal")
    if code == BUSY:
        return TryLater(message, hint, retry_after)
    kinds = {known: kind for kind, known in _CODES}
    return kinds.get(code, InvalidInput)(message, hint)
