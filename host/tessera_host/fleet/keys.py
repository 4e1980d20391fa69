"""The secrets of a fleet: keys of gateways, what an epoch needs and how it reaches them, the token key (docs/fleet.md
§6 and §7).

Owns their bytes, and which of them are erased when. Leaves to others: what of it counts (replay.py), where secrets lie
(the gateway: log keys and node secrets in its key ring's storage, token keys in memory only), the cover made of a state
(the core).

What is sealed to a gateway is sealed as a parameter set seals reading keys to relays (PROTOCOL §2): by DH with a fresh
key, HKDF and the channel's AEAD. `cryptography` has HPKE, but it draws its own randomness, and a relay has one
generator.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Self

from tessera import cover, curve
from tessera.aead import Aead
from tessera.errors import BadFrame
from tessera.hashes import HmacKey, equal, hkdf, tagged

from ..errors import IntegrityError
from .entry import Random
from .frames import MARK_BYTES, NODE_KEY_BYTES, Malformed
from .state import State

KEY_BYTES = 32
NAME_BYTES = 16  # of a node key
_SEALED_BYTES = 96  # two keys of 32 bytes, padded, and a tag
_EPOCH = struct.Struct(">I32s32s33sH")
_WRAP = struct.Struct(f">H16s{_SEALED_BYTES}s")
_KEPT = struct.Struct(">I32s")


@lru_cache(256)  # asked for at every tick, of the few keys that are in force
def node_name(key: bytes) -> bytes:
    """What an EPOCH calls a gateway's key (33 bytes): NAME_BYTES."""
    return tagged("fleet-node", key)[:NAME_BYTES]


def log_key_hash(log_key: bytes) -> bytes:
    return tagged("fleet-log-key", log_key)


@dataclass(frozen=True)
class Wrap:
    """An epoch's keys for one gateway."""

    gateway: int
    name: bytes
    sealed: bytes


@dataclass(frozen=True)
class EpochKeys:
    """The object of EPOCH frames: what an epoch needs, sealed to each gateway in force, in order of their numbers.

    commitment: H("cover-commit", cover_e); log_hash: of the log key; ephemeral: a point (33 bytes) of this object's
    own.
    """

    epoch: int
    commitment: bytes
    log_hash: bytes
    ephemeral: bytes
    wraps: Sequence[Wrap]

    @property
    def names(self) -> dict[int, bytes]:
        return {wrap.gateway: wrap.name for wrap in self.wraps}

    def pack(self) -> bytes:
        head = _EPOCH.pack(self.epoch, self.commitment, self.log_hash, self.ephemeral, len(self.wraps))
        return head + b"".join(_WRAP.pack(wrap.gateway, wrap.name, wrap.sealed) for wrap in self.wraps)

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Raises Malformed."""
        if len(content) < _EPOCH.size:
            raise Malformed("an epoch's keys that are cut short")
        epoch, commitment, log_hash, ephemeral, count = _EPOCH.unpack_from(content)
        if len(content) != _EPOCH.size + count * _WRAP.size:
            raise Malformed("an epoch's keys that are cut short")
        wraps = [Wrap(*fields) for fields in _WRAP.iter_unpack(content[_EPOCH.size :])]
        numbers = [wrap.gateway for wrap in wraps]
        if numbers != sorted(set(numbers)):
            raise Malformed("an epoch's keys with gateways out of order")
        return cls(epoch, commitment, log_hash, ephemeral, wraps)

    @classmethod
    def compose(cls, epoch: int, nodes: Mapping[int, bytes], cover_state: bytes, random: Random) -> Self:
        """Keys for `epoch`, sealed to the gateways in force {number: node key}; cover_state (32 bytes) is that of the
        epoch before."""
        fresh, log_key, secret = random(KEY_BYTES), random(KEY_BYTES), random(KEY_BYTES)
        commitment = cover.commitment(cover.cover_key(cover.next_state(cover_state, fresh)))
        head = cls(epoch, commitment, log_key_hash(log_key), curve.public(secret), ())
        wraps = []
        for number, key in sorted(nodes.items()):
            sealed = head._aead(secret, key, number).seal(0, head._said, fresh + log_key)
            wraps.append(Wrap(number, node_name(key), sealed))
        return replace(head, wraps=wraps)

    @property
    def _said(self) -> bytes:
        """The aad of every wrap."""
        return _EPOCH.pack(self.epoch, self.commitment, self.log_hash, self.ephemeral, 0)[:-2]

    def _aead(self, secret: bytes, point: bytes, gateway: int) -> Aead:
        info = b"fleet-epoch" + struct.pack(">IH", self.epoch, gateway)
        return Aead(hkdf(b"", curve.dh(secret, point), info, KEY_BYTES))

    def open(self, gateway: int, secret: bytes, cover_state: bytes) -> tuple[bytes, bytes]:
        """(cover state, log key) of the epoch for this gateway, by the secret of the key that its wrap names;
        cover_state is that of the epoch before. Raises IntegrityError: whoever sealed it gave this gateway something
        else than it says."""
        sealed = next((wrap.sealed for wrap in self.wraps if wrap.gateway == gateway), b"")
        try:
            both = self._aead(secret, self.ephemeral, gateway).open(0, self._said, sealed)
        except (BadFrame, ValueError):
            both = b""
        state, log_key = cover.next_state(cover_state, both[:KEY_BYTES]), both[KEY_BYTES:]
        if cover.commitment(cover.cover_key(state)) != self.commitment or log_key_hash(log_key) != self.log_hash:
            raise IntegrityError(
                f"the keys of epoch {self.epoch} that were sealed to this gateway are not those of the others",
                "stop it, remove it from the fleet and let it join again: tessera fleet remove, tessera fleet join",
            )
        return state, log_key


@dataclass
class NodeSecrets:
    """The secrets (32 bytes each) of one gateway's node keys, oldest first: at most the one in force and those that
    were announced since."""

    secrets: list[bytes] = field(default_factory=list)

    def renew(self, random: Random) -> bytes:
        """Another key: its public half (33 bytes) for a NODE, which is appended once the secret is durable."""
        secret = random(KEY_BYTES)
        self.secrets.append(secret)
        return curve.public(secret)

    def secret(self, name: bytes) -> bytes | None:
        """The secret of the key with this name; None if it is not here."""
        return next((each for each in self.secrets if node_name(curve.public(each)) == name), None)

    def sealed_to(self, name: bytes) -> None:
        """An EPOCH that names this key was replayed, and what it seals is durable: older secrets are erased, not
        before."""
        place = next((at for at, each in enumerate(self.secrets) if node_name(curve.public(each)) == name), 0)
        del self.secrets[:place]


@dataclass
class LogKeys:
    """The log keys that a gateway holds: of the open epoch, and of the next once an EPOCH was replayed."""

    keys: dict[int, bytes] = field(default_factory=dict)

    def get(self, epoch: int) -> bytes | None:
        return self.keys.get(epoch)

    def keep(self, epoch: int, key: bytes) -> None:
        """Instead of one that was sealed for that epoch before, if there was one."""
        self.keys[epoch] = key

    def crossed(self, epoch: int) -> None:
        """An epoch was opened: the keys of those before it are erased, at once. Nothing sealed under them means
        anything any more."""
        for old in [each for each in self.keys if each < epoch]:
            del self.keys[old]


class TokenKey:
    """What makes marks of tokens, so that who reads the log cannot: 32 random bytes, in memory only."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.hash = tagged("fleet-token-key", key)
        self.name = self.hash[:MARK_BYTES]
        self._hmac = HmacKey(key)

    def mark(self, token_id: bytes, round_: int) -> bytes:
        """Of a token (H("token-id", A), 32 bytes) in a round: MARK_BYTES. Two of one token cannot be told to be."""
        return self._hmac.digest(b"round", token_id, round_.to_bytes(4, "big"))[:MARK_BYTES]

    def place(self, token_id: bytes) -> bytes:
        """Of a token's place in the epoch: MARK_BYTES."""
        return self._hmac.digest(b"place", token_id)[:MARK_BYTES]

    def used(self, token_id: bytes, state: State) -> int:
        """Records of this token that counted, under this key, in the rounds of the open epoch: one HMAC a round."""
        return sum(state.has_mark(round_, self.mark(token_id, round_)) for round_ in state.marked_rounds)

    def posts_left(self, token_id: bytes, state: State) -> int:
        """How often the token may post in the rounds from the open one on."""
        return max(0, state.posts_per_token - self.used(token_id, state))

    def hand_over(self, node_key: bytes, fresh_key: bytes, random: Random) -> bytes:
        """This key, for a gateway that has it not: sealed to its key in force and to one that it made for this and
        keeps in memory only (33 bytes each). So what was recorded of it stays shut, whatever is stolen later."""
        secret = random(KEY_BYTES)
        both = curve.dh(secret, node_key) + curve.dh(secret, fresh_key)
        point = curve.public(secret)
        return point + Aead(hkdf(b"", both, b"fleet-token-key", KEY_BYTES)).seal(0, fresh_key, self.key)

    @classmethod
    def taken_over(cls, sealed: bytes, secret: bytes, fresh_secret: bytes, hash_: bytes) -> Self:
        """What hand_over() gave. hash_ is what the log names: so it does not matter who sent it. Raises
        IntegrityError."""
        point, rest = sealed[:NODE_KEY_BYTES], sealed[NODE_KEY_BYTES:]
        try:
            both = curve.dh(secret, point) + curve.dh(fresh_secret, point)
            key = Aead(hkdf(b"", both, b"fleet-token-key", KEY_BYTES)).open(0, curve.public(fresh_secret), rest)
        except (BadFrame, ValueError):
            key = b""
        found = cls(key)
        if not equal(found.hash, hash_):
            raise IntegrityError(
                "the token key that another gateway gave is not the one that the log names",
                "ask another gateway; without one POST waits for the round after the next token key",
            )
        return found


@dataclass(frozen=True)
class Welcome:
    """What a gateway needs from another before it can read the log: log keys of the open epoch and, once there is an
    EPOCH, of the next; cover states of kept epochs and of the next. Page keys are each gateway's own."""

    log_keys: dict[int, bytes]
    cover_states: dict[int, bytes]

    def seal(self, node_key: bytes, random: Random) -> bytes:
        """For the gateway with this key (33 bytes), which is in force."""
        plain = b"".join(
            bytes((len(keys),)) + b"".join(_KEPT.pack(epoch, keys[epoch]) for epoch in sorted(keys))
            for keys in (self.log_keys, self.cover_states)
        )
        secret = random(KEY_BYTES)
        return curve.public(secret) + _welcome_aead(secret, node_key).seal(0, node_key, plain)

    @classmethod
    def open(cls, sealed: bytes, secret: bytes) -> Self:
        """Raises IntegrityError if it is another gateway's, or damaged."""
        try:
            aead = _welcome_aead(secret, sealed[:NODE_KEY_BYTES])
            plain = aead.open(0, curve.public(secret), sealed[NODE_KEY_BYTES:])
        except (BadFrame, ValueError):
            raise IntegrityError(
                "this welcome is not for this gateway", "take the one that the running gateway made for it"
            ) from None
        halves, at = [], 0
        for _ in range(2):
            end = at + 1 + plain[at] * _KEPT.size
            halves.append(dict(_KEPT.iter_unpack(plain[at + 1 : end])))
            at = end
        return cls(*halves)


def _welcome_aead(secret: bytes, point: bytes) -> Aead:
    return Aead(hkdf(b"", curve.dh(secret, point), b"fleet-welcome", KEY_BYTES))
