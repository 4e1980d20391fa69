"""In which order a mailbox's relays are written to and read (PROTOCOL §12): anybody computes it from a federation card.

Owns the order. Which set and which card govern an epoch is `federation`'s business; what is posted and read where, the
member's.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tessera import hashes

from ..topologies import KINDS, MESH, MOST_COPIES, RING, Kind

__all__ = ["KINDS", "MESH", "MOST_COPIES", "RING", "Kind", "Topology", "order"]


@dataclass(frozen=True)
class Topology:
    """How a mailbox's relays follow its home, and on how many of them each record is."""

    kind: str = RING.value
    copies: int = 1

    @classmethod
    def of(cls, said: dict[str, Any] | None) -> "Topology":
        """Read what a federation card says as `topology`, checked by `cards`."""
        return cls(said["kind"], said["copies"]) if said else cls()

    def said(self) -> dict[str, Any] | None:
        """Make what a federation card says of it."""
        return None if self == Topology() else {"kind": str(self.kind), "copies": self.copies}

    def in_words(self, relays: int) -> str:
        """Say it for people, for an office with so many relays; nothing where each record is on one of them."""
        if self.copies == 1:
            return ""
        if self.copies > relays:
            there = f"but there {'is' if relays == 1 else 'are'} {relays} now"
            return f"every record is for {self.copies} relays ({self.kind}), {there}"
        return f"every record is on {self.copies} of {relays} relays ({self.kind})"


def order(mailbox: bytes, home: int, ids: Iterable[int], topology: Topology) -> list[int]:
    """List all relays (their numbers) of a mailbox (16 bytes), its home first if that is among `ids`.

    ring: those that follow by number, then from the lowest on. mesh: by a hash of mailbox and number, so that what one
    relay had is spread over all others.
    """
    listed = sorted(set(ids))
    if topology.kind == RING:
        return [id_ for id_ in listed if id_ >= home] + [id_ for id_ in listed if id_ < home]
    others = sorted((id_ for id_ in listed if id_ != home), key=lambda id_: _rank(mailbox, id_), reverse=True)
    return [id_ for id_ in listed if id_ == home] + others


def _rank(mailbox: bytes, id_: int) -> bytes:
    rank: bytes = hashes.tagged("fallback", mailbox + struct.pack(">H", id_))
    return rank
