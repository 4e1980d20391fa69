"""A gateway's place in its fleet: its number, its keys, the token keys that it has, and the state that it replayed.

Owns what of that is durable, and its bytes. Leaves to others: how the log changes the state (replay.py), what keys are
(keys.py), where they lie (storage.py), what a gateway writes (duties.py).
"""

from dataclasses import dataclass, field
from typing import Any, Self

import cbor2

from tessera import curve

from ..errors import IntegrityError, TesseraError
from .entry import Random
from .frames import NODE_KEY_BYTES
from .keys import EpochKeys, LogKeys, NodeSecrets, TokenKey, Welcome, node_name
from .replay import Replay
from .state import State

_VERSION = 1


def _not_started(_: int) -> bytes:
    raise RuntimeError("the relay's generator is there once it started")


class Removed(TesseraError):
    """This gateway is no more in force."""


@dataclass
class Keys:
    """What a gateway must not forget, and must be able to forget for good, beside the relay's key ring. covers: states
    of epochs to come, which the key ring has once they are open. renewed: the epoch in which its newest node key was
    made."""

    secrets: NodeSecrets = field(default_factory=NodeSecrets)
    log_keys: LogKeys = field(default_factory=LogKeys)
    covers: dict[int, bytes] = field(default_factory=dict)
    renewed: int = -1

    def encoded(self) -> bytes:
        said = [_VERSION, self.secrets.secrets, self.log_keys.keys, self.covers, self.renewed]
        packed: bytes = cbor2.dumps(said)
        return packed

    @classmethod
    def decoded(cls, content: bytes) -> Self:
        """Raises IntegrityError."""
        try:
            version, secrets, log_keys, covers, renewed = cbor2.loads(content)
            if version == _VERSION:
                return cls(NodeSecrets(secrets), LogKeys(log_keys), covers, renewed)
        except (ValueError, TypeError, cbor2.CBORError):
            pass
        raise IntegrityError(
            "the keys of this gateway are damaged", "remove it, and let it join again: tessera fleet remove, join"
        )


class Seat:
    """One gateway's. keys are durable when the state is that they belong to; token keys never are."""

    def __init__(self, number: int, state: State, keys: Keys, static_secret: curve.Secret, ledger_key: bytes) -> None:
        self.number = number
        self.keys = keys
        self.secrets = keys.secrets
        self.replay = Replay(state, keys.log_keys, static_secret, ledger_key)
        self.token_keys: dict[bytes, TokenKey] = {}  # by their hashes
        self.live = False  # it replayed all that was there when it started
        self.member_came = False  # here, and perhaps it is the first
        self.given_numbers: set[int] = set()  # to gateways that join, by this one
        self.random: Random = _not_started
        self._node_key: bytes | None = None

    @property
    def nodes(self) -> dict[int, bytes]:
        """Keys in force."""
        return {number: node.key for number, node in self.state.nodes.items()}

    @property
    def state(self) -> State:
        return self.replay.state

    @property
    def others(self) -> list[int]:
        """Gateways in force beside this one."""
        return [number for number in self.state.nodes if number != self.number]

    @property
    def rank(self) -> int:
        """How many gateways in force have a lower number: who writes first what one of them is to write."""
        return sum(number < self.number for number in self.state.nodes)

    # -- keys of epochs

    def given(self, keys: EpochKeys, cover_state: bytes) -> None:
        """Open what an EPOCH gives to this gateway; cover_state is that of the epoch before. Raises IntegrityError."""
        name = keys.names.get(self.number, b"")
        secret = self.secrets.secret(name)
        if secret is None:
            raise IntegrityError(
                f"the keys of epoch {keys.epoch} are sealed to a key that this gateway does not have",
                "stop it, remove it from the fleet and let it join again: tessera fleet remove, tessera fleet join",
            )
        state, log_key = keys.open(self.number, secret, cover_state)
        self.keys.covers[keys.epoch] = state
        self.keys.log_keys.keep(keys.epoch, log_key)
        self.secrets.sealed_to(name)

    def crossed(self, epoch: int) -> None:
        """An epoch was opened."""
        self.keys.log_keys.crossed(epoch)
        self.keys.covers = {each: state for each, state in self.keys.covers.items() if each > epoch}
        wanted = self.wanted_token_keys
        self.token_keys = {hash_: key for hash_, key in self.token_keys.items() if hash_ in wanted}

    def renew(self, random: Random) -> None:
        """Make this epoch's node key."""
        self._node_key = self.secrets.renew(random)
        self.keys.renewed = self.state.epoch

    @property
    def node_key(self) -> bytes:
        """The newest, which is to be in force."""
        if self._node_key is None:
            self._node_key = curve.public(self.secrets.secrets[-1])
        return self._node_key

    @property
    def is_ready(self) -> bool:
        """Whether the keys of the next epoch are sealed to those in force."""
        following = self.state.next_epoch
        names = {number: node_name(key) for number, key in self.nodes.items()}
        return following is not None and following.names == names

    def welcome(self, covers: dict[int, bytes], node_key: bytes, random: Random) -> bytes:
        """For a gateway with this key in force: what it needs to read the log. covers: of kept epochs."""
        assert len(node_key) == NODE_KEY_BYTES
        return Welcome(dict(self.keys.log_keys.keys), covers | self.keys.covers).seal(node_key, random)

    # -- token keys

    @property
    def token_key(self) -> TokenKey | None:
        """That in force, if it is here."""
        return self.token_keys.get(self.state.token_hash)

    @property
    def wanted_token_keys(self) -> list[bytes]:
        """Hashes of the keys that the log names."""
        return [hash_ for hash_ in (self.state.token_hash, self.state.next_token_hash) if hash_]

    @property
    def missing_token_keys(self) -> list[bytes]:
        return [hash_ for hash_ in self.wanted_token_keys if hash_ not in self.token_keys]

    def posts_left(self, token: Any, mark: bytes | None = None) -> int:
        """Of a token of relay.FleetToken: it keeps what was counted, so that each round is looked at once. mark: its in
        the open round, from who has made it already."""
        key, state = self.token_key, self.state
        if key is None:
            return state.posts_per_token
        if token.key is not key:
            token.key, token.counted_to, token.counted = key, -1, 0
        for round_ in reversed(state.marks):  # the newest first: of an epoch's rounds there are hundreds
            if round_ <= token.counted_to:
                break
            token.counted += state.has_mark(round_, key.mark(token.id, round_))
        token.counted_to = state.open_round - 1
        posted = state.has_mark(state.open_round, mark or key.mark(token.id, state.open_round))
        left: int = state.posts_per_token - token.counted - posted
        return max(0, left)
