"""What the issuer's service tells a member who showed who it is: all that IT says, in one answer (PROTOCOL §15).

Owns its form. What of it is accepted is for whoever is welcome to say; how it travels is `issuer_frames`'.
"""

import io
from dataclasses import dataclass
from typing import Any, Self

import cbor2

from . import cards, issuer_frames
from .limits import MOST_SETS_BESIDE
from .sets_beside import SetsBeside

_TIME_BYTES = 92
_READING_KEY_BYTES = 32


@dataclass(frozen=True)
class Welcome:
    """`card` is the newest federation card; `sets` are the others that a relay may go by; `reading` the reading keys
    (32 bytes each) of all of them, newest first, each once; `time` a fresh time statement (92 bytes)."""

    card: str
    sets: SetsBeside
    reading: list[bytes]
    time: bytes

    def pack(self) -> bytes:
        """Write the answer, padded."""
        fields = {"card": self.card, "reading": self.reading, "time": self.time} | self.sets.fields()
        return issuer_frames.padded(cards.canonical(fields))

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read the answer. Raises ValueError if no issuer's service answers so."""
        rest = io.BytesIO(body)
        try:
            fields = cbor2.CBORDecoder(rest, max_depth=4).decode()
        except (cbor2.CBORError, TypeError, OverflowError):
            raise ValueError("not CBOR") from None
        if any(rest.read()) or not isinstance(fields, dict) or not _fits(fields):
            raise ValueError("not a welcome")
        return cls(fields["card"], SetsBeside.of(fields), fields["reading"], fields["time"])


def _fits(fields: dict[Any, Any]) -> bool:
    if fields.keys() != {"card", "digest", "since", "before", "reading", "time"}:
        return False
    reading, time = fields["reading"], fields["time"]
    return (
        isinstance(fields["card"], str)
        and isinstance(reading, list)
        and len(reading) <= MOST_SETS_BESIDE + 1
        and all(isinstance(key, bytes) and len(key) == _READING_KEY_BYTES for key in reading)
        and isinstance(time, bytes)
        and len(time) == _TIME_BYTES
    )
