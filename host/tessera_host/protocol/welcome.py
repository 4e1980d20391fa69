"""What the issuer's service tells a member who showed who it is: all that IT says, in one answer (PROTOCOL §15).

Owns its form. What of it is believed is for whoever is welcome to say; how it travels is `issuer_frames`'.
"""

import io
from dataclasses import asdict, dataclass
from typing import Any, Self

import cbor2

from . import cards, issuer_frames

_TIME_BYTES = 92
_READING_KEY_BYTES = 32


@dataclass(frozen=True)
class Welcome:
    """`card` is the newest federation card; `before` the whole set in force now, None if that is the card's; `reading`
    the reading keys (32 bytes each) of the card's set, then of that in force if it has another; `time` a fresh time
    statement (92 bytes)."""

    card: str
    before: bytes | None
    reading: list[bytes]
    time: bytes

    def pack(self) -> bytes:
        return issuer_frames.padded(cards.canonical(asdict(self)))

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Raises ValueError for what no issuer's service answers."""
        rest = io.BytesIO(body)
        try:
            fields = cbor2.CBORDecoder(rest, max_depth=4).decode()
        except (cbor2.CBORError, TypeError, OverflowError):
            raise ValueError("not CBOR") from None
        if any(rest.read()) or not isinstance(fields, dict) or not _fits(fields):
            raise ValueError("not a welcome")
        return cls(**fields)


def _fits(fields: dict[Any, Any]) -> bool:
    if fields.keys() != {"card", "before", "reading", "time"}:
        return False
    reading, before, time = fields["reading"], fields["before"], fields["time"]
    return (
        isinstance(fields["card"], str)
        and (before is None or isinstance(before, bytes))
        and isinstance(reading, list)
        and all(isinstance(key, bytes) and len(key) == _READING_KEY_BYTES for key in reading)
        and isinstance(time, bytes)
        and len(time) == _TIME_BYTES
    )
