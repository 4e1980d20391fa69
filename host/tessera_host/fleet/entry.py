"""An entry of a fleet's log: what one gateway wrote in one tick, sealed by the open epoch's log key (docs/fleet.md §4).

Owns its bytes, its id, and the chain that ties each entry to all before it. Leaves to others: the frames in it
(frames.py), the keys (keys.py), what is to be thought of an entry that breaks the chain (replay.py).
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from tessera.hashes import tagged

from .frames import FRAME_BYTES, ID_BYTES, Malformed

VERSION = 1  # of entries; a gateway writes the newest that all gateways in force can read
MOST_FRAMES = 512
CHAIN_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
_CLEAR = struct.Struct(">BIHQ")
_HEADER = struct.Struct(">Q32s")
CLEAR_BYTES = _CLEAR.size + NONCE_BYTES
LEAST_BYTES = CLEAR_BYTES + _HEADER.size + TAG_BYTES  # of an entry without a frame

Random = Callable[[int], bytes]  # random(n): n bytes of the relay's one generator


@dataclass(frozen=True)
class Clear:
    """What the engine's operator can read of an entry, and nobody can change. counter: of this gateway's entries."""

    version: int
    epoch: int
    gateway: int
    counter: int

    def pack(self) -> bytes:
        return _CLEAR.pack(self.version, self.epoch, self.gateway, self.counter)

    @classmethod
    def of(cls, sealed: bytes) -> Self:
        """Raises Malformed."""
        if len(sealed) < LEAST_BYTES or (len(sealed) - LEAST_BYTES) % FRAME_BYTES:
            raise Malformed("an entry of a length that no entry has")
        return cls(*_CLEAR.unpack_from(sealed))


@dataclass(frozen=True)
class Contents:
    """What is sealed: the last position that the gateway had replayed, the chain (CHAIN_BYTES) there, and frames of
    FRAME_BYTES each."""

    last: int
    chain: bytes
    frames: Sequence[bytes]


def seal(log_key: bytes, clear: Clear, contents: Contents, random: Random) -> bytes:
    """The entry; log_key has 32 bytes. Its frames stand in an order of `random`'s, which tells nothing of the order in
    which members came (AES-256-GCM-SIV, RFC 8452: many write under one key, with random nonces)."""
    if len(contents.frames) > MOST_FRAMES or any(len(frame) != FRAME_BYTES for frame in contents.frames):
        raise ValueError(f"an entry has at most {MOST_FRAMES} frames of {FRAME_BYTES} bytes")
    shuffled = sorted(contents.frames, key=lambda _: random(ID_BYTES))
    plain = _HEADER.pack(contents.last, contents.chain) + b"".join(shuffled)
    nonce = random(NONCE_BYTES)
    return clear.pack() + nonce + AESGCMSIV(log_key).encrypt(nonce, plain, clear.pack())


def unseal(log_key: bytes, sealed: bytes) -> Contents:
    """Raises Malformed if it was not sealed under this key, or was changed."""
    clear = Clear.of(sealed).pack()
    nonce = sealed[len(clear) : CLEAR_BYTES]
    try:
        plain = AESGCMSIV(log_key).decrypt(nonce, sealed[CLEAR_BYTES:], clear)
    except InvalidTag:
        raise Malformed("an entry that its epoch's log key does not open") from None
    last, chain = _HEADER.unpack_from(plain)
    starts = range(_HEADER.size, len(plain), FRAME_BYTES)
    return Contents(last, chain, [plain[at : at + FRAME_BYTES] for at in starts])


def entry_id(sealed: bytes) -> bytes:
    """What an entry is appended under, and again under the same if nothing was heard: ID_BYTES."""
    return tagged("fleet-entry", sealed)[:ID_BYTES]


def first_link(relay_key: bytes, before: bytes = bytes(CHAIN_BYTES)) -> bytes:
    """The chain at position 0 of the log of the relay with this static key (33 bytes); before: the chain at the end of
    the log that this one goes on from."""
    return tagged("fleet-start", relay_key, before)


def next_link(before: bytes, position: int, sealed: bytes) -> bytes:
    """The chain at a position, of the one before it and the entry there: CHAIN_BYTES."""
    return tagged("fleet-chain", before, position.to_bytes(8, "big"), sealed)
