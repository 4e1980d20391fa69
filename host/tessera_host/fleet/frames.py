"""Frames of a fleet's log: 300 bytes each, whatever they say (docs/fleet.md §3).

Owns their bytes. Leaves to others: how they stand in an entry (entry.py), what they mean (replay.py), what is in a
parameter set, a checkpoint (the core) or in an epoch's keys (keys.py).
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from tessera.hashes import tagged
from tessera.ledger import CHECKPOINT_BYTES

FRAME_BYTES = 300
ID_BYTES = 16
MARK_BYTES = 8  # of a token in a round; of a token's place; the name of a token key
NODE_KEY_BYTES = 33
PIECE_BYTES = 279

# Kinds; frames of one entry are taken in this order, so a round's records stand before the SEAL that came with them.
VOID, PLACE, RECORD, FLAGS, PARAMS, CHECKPOINT, EPOCH, NODE, TOKENKEY, SEAL = range(1, 11)
OBJECTS = (PARAMS, EPOCH)  # longer than a frame: in pieces

ADMITTED, DISCLOSED = 1, 2  # what a FLAGS says
REMOVED = bytes(NODE_KEY_BYTES)  # instead of a key: this gateway is no more in force


class Malformed(ValueError):
    """These are not bytes that a gateway writes."""


class _Frame:
    """Subclasses are dataclasses whose fields, in their order, are those of `layout`, behind the kind."""

    kind: ClassVar[int]
    layout: ClassVar[struct.Struct]

    def pack(self) -> bytes:
        """FRAME_BYTES."""
        return (bytes((self.kind,)) + self.layout.pack(*vars(self).values())).ljust(FRAME_BYTES, b"\0")

    @classmethod
    def unpack(cls, frame: bytes) -> Self:
        return cls(*cls.layout.unpack_from(frame, 1))

    def fills(self, frame: bytes) -> bool:
        """Whether pack() gives the frame that this was unpacked from. Every byte of the fields was read, so what is
        left is the padding, and nothing is packed anew."""
        start = 1 + self.layout.size
        return frame.count(0, start) == FRAME_BYTES - start


@dataclass(frozen=True)
class Void(_Frame):
    """What a VOID of a member leaves in the log, and a POST that was refused before it got there."""

    kind = VOID
    layout = struct.Struct(">16s")
    id: bytes


@dataclass(frozen=True)
class Place(_Frame):
    """A token asks for one of the C places of an epoch with constant batches. name: the token key's."""

    kind = PLACE
    layout = struct.Struct(">16s8s8s")
    id: bytes
    name: bytes
    place: bytes


@dataclass(frozen=True)
class Record(_Frame):
    """A record for a round: the one that was open at the gateway. mark: its token's in that round, under the token key
    with this name."""

    kind = RECORD
    layout = struct.Struct(">16sIH240s8s8s")
    id: bytes
    round: int
    bucket: int
    record: bytes
    name: bytes
    mark: bytes


@dataclass(frozen=True)
class Flags(_Frame):
    """A first member comes (ADMITTED, epoch 0), or the cover key of an epoch leaves the relay (DISCLOSED)."""

    kind = FLAGS
    layout = struct.Struct(">BI")
    what: int
    epoch: int


@dataclass(frozen=True)
class Checkpoint(_Frame):
    """A checkpoint of the ledger, whole (PROTOCOL §11)."""

    kind = CHECKPOINT
    layout = struct.Struct(f">{CHECKPOINT_BYTES}s")
    checkpoint: bytes


@dataclass(frozen=True)
class Node(_Frame):
    """A gateway and its key from here on. versions: the newest version of entries that it can read."""

    kind = NODE
    layout = struct.Struct(">HB33s")
    gateway: int
    versions: int
    key: bytes


@dataclass(frozen=True)
class TokenKeyNamed(_Frame):
    """The token key of an epoch, by its hash."""

    kind = TOKENKEY
    layout = struct.Struct(">I32s")
    epoch: int
    hash: bytes


@dataclass(frozen=True)
class Seal(_Frame):
    """By this gateway's clock round `closes` is over and `opens` has begun. in_time: it was there when it ended."""

    kind = SEAL
    layout = struct.Struct(">IIB")
    closes: int
    opens: int
    in_time: int


@dataclass(frozen=True)
class Piece:
    """Piece `number` of an object: of a parameter set (PARAMS) or of an epoch's keys (EPOCH)."""

    kind: int
    object: bytes
    number: int
    data: bytes
    layout: ClassVar[struct.Struct] = struct.Struct(f">B16sHH{PIECE_BYTES}s")

    def pack(self) -> bytes:
        """FRAME_BYTES."""
        return self.layout.pack(self.kind, self.object, self.number, len(self.data), self.data)

    @classmethod
    def unpack(cls, frame: bytes) -> Self:
        kind, object_, number, length, data = cls.layout.unpack(frame)
        return cls(kind, object_, number, data[:length])

    def fills(self, frame: bytes) -> bool:
        """Whether pack() gives the frame that this was unpacked from."""
        return self.pack() == frame


Frame = Void | Place | Record | Flags | Checkpoint | Node | TokenKeyNamed | Seal | Piece

_WHOLE: dict[int, type[Void | Place | Record | Flags | Checkpoint | Node | TokenKeyNamed | Seal]] = {
    each.kind: each for each in (Void, Place, Record, Flags, Checkpoint, Node, TokenKeyNamed, Seal)
}


def read(frame: bytes) -> Frame:
    """What FRAME_BYTES say. Raises Malformed for anything that pack() does not give: of one meaning there is one
    frame."""
    kind = frame[0] if len(frame) == FRAME_BYTES else 0
    found: Frame
    if kind in OBJECTS:
        found = Piece.unpack(frame)
    elif kind in _WHOLE:
        found = _WHOLE[kind].unpack(frame)
    else:
        raise Malformed("a frame of no kind that is known")
    if not found.fills(frame):
        raise Malformed("a frame with something in its padding")
    return found


def object_id(kind: int, content: bytes) -> bytes:
    """What the pieces of an object have in common, ID_BYTES."""
    return tagged("fleet-object", bytes((kind,)), content)[:ID_BYTES]


def pieces(kind: int, content: bytes) -> list[Piece]:
    """The frames of an object, which belong into one entry."""
    name = object_id(kind, content)
    parts = [content[at : at + PIECE_BYTES] for at in range(0, len(content), PIECE_BYTES)]
    return [Piece(kind, name, number, part) for number, part in enumerate(parts)]


def whole(found: Iterable[Piece]) -> Sequence[tuple[int, bytes]]:
    """(kind, content) of every object whose pieces are all there, in the order of their first pieces."""
    objects: dict[tuple[int, bytes], dict[int, Piece]] = {}
    for piece in found:
        objects.setdefault((piece.kind, piece.object), {})[piece.number] = piece
    complete = []
    for (kind, name), parts in objects.items():
        content = b"".join(parts[number].data for number in sorted(parts))
        if object_id(kind, content) == name:
            complete.append((kind, content))
    return complete
