"""What a gateway knows of the fleet after it replayed the log up to a position (docs/fleet.md §5).

Owns the state and its bytes, which are a snapshot's: equal logs give equal bytes. Nothing in it is a secret that opens
anything. Leaves to others: how an entry changes it (replay.py), records, which are in each gateway's ring, and keys
(keys.py).
"""

import sys
from array import array
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, Self

import cbor2

from tessera.keyring import NEVER
from tessera.params import FIRST_BYTES, Head, Parameters

from ..errors import IntegrityError, InvalidInput
from .entry import CHAIN_BYTES, VERSION, first_link
from .frames import MARK_BYTES

WINDOW = 1 << 14  # positions: an entry that names an older one means nothing
SPAN = 1 << 10  # counters of a gateway: it has fewer entries on their way
_LIFE_BITS = 32  # of a counter: entries of one life; those above count its gateway's starts
_VERSION = 1


@dataclass(frozen=True)
class Rule:
    """What replay has to know of a parameter set: from epoch `first` on it governs. ceiling: records that all members
    together may post in an epoch."""

    first: int
    serial: int
    digest: bytes
    buckets: int
    constant: int
    posts_per_token: int
    ceiling: int

    @classmethod
    def of(cls, parameters: Head, first: int) -> Self:
        sizes = parameters.buckets, parameters.constant, parameters.posts_per_token, parameters.posts_per_epoch
        return cls(first, parameters.serial, parameters.digest, *sizes)


@dataclass(frozen=True)
class NodeInForce:
    """versions: the newest version of entries it can read; key: 33 bytes."""

    versions: int
    key: bytes


@dataclass(frozen=True)
class Vote:
    """A gateway's SEAL of the open round."""

    opens: int
    in_time: bool


@dataclass(frozen=True)
class NextEpoch:
    """The EPOCH that counted last for the epoch after the open one: to which keys it is sealed, and what of its cover a
    checkpoint will say."""

    names: dict[int, bytes]
    commitment: bytes


@dataclass(frozen=True)
class Closed:
    """An epoch that is over and has no checkpoint yet."""

    sealed_count: int
    digest: bytes
    commitment: bytes


@dataclass
class State:
    """open_round and epoch: at the end of the log so far. published: rounds before it are served; sealed ones may wait.

    sealed_count: rounds of the epoch that the fleet sealed while it ran. posting_from: the first round with records
    under the token key. marks: of tokens, in rounds of this epoch that are over; open_marks, ids: of the open round.
    counters: of each gateway the highest and, in bits, which of the SPAN up to it were there (bit 0: the highest).
    views: the last position that each gateway said it replayed. seals: (position, round opened there) of seals that
    are not published.
    """

    relay_key: bytes
    newest: bytes  # the newest set's first FIRST_BYTES
    rules: list[Rule]
    position: int
    chains: deque[bytes]  # at the newest positions, `position` last
    epoch: int
    open_round: int
    published: int
    commitment: bytes  # H("cover-commit", cover_e) of the open epoch
    sealed_count: int = 0
    posting_from: int = 0
    token_hash: bytes = b""
    next_token_hash: bytes = b""
    posted: int = 0  # records of the epoch
    places: set[int] = field(default_factory=set)
    marks: dict[int, "array[int]"] = field(default_factory=dict)
    open_marks: set[int] = field(default_factory=set)
    ids: set[bytes] = field(default_factory=set)
    nodes: dict[int, NodeInForce] = field(default_factory=dict)
    counters: dict[int, tuple[int, int]] = field(default_factory=dict)
    views: dict[int, int] = field(default_factory=dict)
    votes: dict[int, Vote] = field(default_factory=dict)
    seals: list[tuple[int, int]] = field(default_factory=list)
    next_epoch: NextEpoch | None = None
    closed: dict[int, Closed] = field(default_factory=dict)
    checkpoint_epoch: int = -1
    checkpoint_link: bytes = bytes(32)
    flags: int = 0
    commissioned: int = NEVER

    @classmethod
    def fresh(cls, relay_key: bytes, parameters: Parameters, open_round: int, commitment: bytes, **more: Any) -> Self:
        """Before the first entry: of the relay with this static key (33 bytes), whose round open_round is open under
        these parameters. more: nodes, and what a relay that ran alone has of flags, sealed_count and its ledger."""
        rules = [Rule.of(parameters, 0)]
        chains = deque([first_link(relay_key)], WINDOW)
        epoch = open_round // parameters.epoch_rounds
        newest = parameters.part(0, FIRST_BYTES)
        return cls(relay_key, newest, rules, 0, chains, epoch, open_round, open_round, commitment, **more)

    def restarted(self) -> Self:
        """The same fleet before the first entry of another log, after the engine broke this one."""
        copy = self.decoded(self.encoded())
        copy.position = 0
        copy.chains = deque([first_link(self.relay_key, self.chains[-1])], WINDOW)
        copy.views, copy.votes = {}, {}
        copy.seals = [(0, opens) for _, opens in self.seals]
        return copy

    # -- what follows from it

    @property
    def head(self) -> Head:
        """Of the newest set."""
        return _head(self.newest)

    @property
    def rule(self) -> Rule:
        """Of the open epoch."""
        return self.rule_of(self.epoch)

    def rule_of(self, epoch: int) -> Rule:
        for rule in reversed(self.rules):  # no generator: it is asked for at every record
            if rule.first <= epoch:
                return rule
        return self.rules[0]

    @property
    def quorum(self) -> int:
        """Gateways that have to agree. With three or more it is a majority: so two halves that an engine shows two
        logs cannot both go on. With two either goes on alone."""
        return 1 if len(self.nodes) < 3 else len(self.nodes) // 2 + 1

    @property
    def version(self) -> int:
        """Of entries: the newest that every gateway in force can read."""
        return min(VERSION, *(node.versions for node in self.nodes.values()))

    @property
    def posts_per_token(self) -> int:
        """In this epoch under its token key: all, if that began with the epoch, and its share of the rounds if not."""
        rounds = self.head.epoch_rounds
        left = (self.epoch + 1) * rounds - self.posting_from
        return -(-self.rule.posts_per_token * max(0, left) // rounds)

    @property
    def marked_rounds(self) -> list[int]:
        """Rounds in which tokens may have marks."""
        return [*self.marks, self.open_round]

    def has_mark(self, round_: int, mark: bytes) -> bool:
        """Whether a record counted in a round of this epoch whose token has this mark (8 bytes) there."""
        number = int.from_bytes(mark, "big")
        if round_ == self.open_round:
            return number in self.open_marks
        marks = self.marks.get(round_, array("Q"))
        at = bisect_left(marks, number)
        return at < len(marks) and marks[at] == number

    def chain_at(self, position: int) -> bytes | None:
        """The chain at a position of the last WINDOW; None at others."""
        at = position - self.position + len(self.chains) - 1
        return self.chains[at] if 0 <= at < len(self.chains) else None

    def has_counter(self, gateway: int, counter: int) -> bool:
        """Whether an entry of a gateway with this counter was there, of the last SPAN."""
        highest, seen = self.counters.get(gateway, (-1, 0))
        return 0 <= highest - counter < SPAN and bool(seen >> highest - counter & 1)

    def is_old(self, gateway: int, counter: int) -> bool:
        """Whether nobody knows any more if there was an entry with this counter."""
        return counter <= self.counters.get(gateway, (-1, 0))[0] - SPAN

    def count(self, gateway: int, counter: int) -> None:
        """There was one."""
        highest, seen = self.counters.get(gateway, (-1, 0))
        ahead = counter - highest
        if ahead > 0:
            highest, seen = counter, (seen << min(ahead, SPAN) | 1) & (1 << SPAN) - 1
        else:
            seen |= 1 << -ahead
        self.counters[gateway] = highest, seen

    def first_counter(self, gateway: int, starts: int, lives: int) -> int:
        """With which a gateway begins that started for the starts-th time, as it knows durably, and has replayed the
        log to its end: whatever of its lives before is on its way has another. lives: the newest of its starts after
        which it wrote entries, as it knows durably, too. Raises IntegrityError if it has lived longer than it knows.
        """
        first = starts << _LIFE_BITS
        newest = self.counters.get(gateway, (-1, 0))[0]
        if newest >> _LIFE_BITS > lives or newest >= first:
            raise IntegrityError(
                f"the storage of gateway {gateway} is older than what the gateway wrote, as of a backup or a copy",
                "remove this gateway, and let it join under another number: tessera fleet remove, tessera fleet join",
            )
        return first

    # -- its bytes

    def encoded(self) -> bytes:
        """CBOR (RFC 8949 §4.2.1): the same bytes for the same state."""
        said = {name: _plain(value) for name, value in vars(self).items()}
        return cbor2.dumps(said | {"version": _VERSION}, canonical=True)

    @classmethod
    def decoded(cls, content: bytes) -> Self:
        """Raises InvalidInput."""
        try:
            said = cbor2.loads(content)
            if said.pop("version") != _VERSION:
                raise ValueError
            chains, marks = said["chains"], said["marks"]
            width = CHAIN_BYTES
            said |= {
                "rules": [Rule(*fields) for fields in said["rules"]],
                "chains": deque((chains[at : at + width] for at in range(0, len(chains), width)), WINDOW),
                "places": _numbers(said["places"]),
                "open_marks": _numbers(said["open_marks"]),
                "marks": {round_: _in_order(each) for round_, each in marks.items()},
                "ids": set(said["ids"]),
                "nodes": {number: NodeInForce(*fields) for number, fields in said["nodes"].items()},
                "counters": {number: tuple(fields) for number, fields in said["counters"].items()},
                "votes": {number: Vote(*fields) for number, fields in said["votes"].items()},
                "seals": [tuple(fields) for fields in said["seals"]],
                "next_epoch": said["next_epoch"] and NextEpoch(*said["next_epoch"]),
                "closed": {epoch: Closed(*fields) for epoch, fields in said["closed"].items()},
            }
            found = cls(**said)
            if found.encoded() != content:
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, cbor2.CBORError):
            raise InvalidInput("this is no snapshot of a fleet", "have the gateway that made it make another") from None
        return found


@lru_cache(4)
def _head(newest: bytes) -> Head:
    return Head(newest)


def _swapped(numbers: "array[int]") -> "array[int]":
    """Between this machine's order of bytes and the one of bytes on the wire."""
    copy = array("Q", numbers)
    if sys.byteorder == "little":
        copy.byteswap()
    return copy


def _in_order(packed: bytes) -> "array[int]":
    """Raises ValueError if they are not."""
    numbers = _swapped(array("Q", packed))
    if any(left >= right for left, right in pairwise(numbers)):
        raise ValueError("marks out of order")
    return numbers


def _numbers(packed: bytes) -> set[int]:
    return {int.from_bytes(packed[at : at + MARK_BYTES], "big") for at in range(0, len(packed), MARK_BYTES)}


def _plain(value: Any) -> Any:
    """What CBOR has a form of; sets in order, and marks as bytes."""
    if isinstance(value, deque):
        return b"".join(value)
    if isinstance(value, array):  # in order already
        return _swapped(value).tobytes()
    if isinstance(value, set) and all(isinstance(each, int) for each in value):
        return b"".join(number.to_bytes(MARK_BYTES, "big") for number in sorted(value))
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, Rule | NodeInForce | Vote | NextEpoch | Closed):
        return [_plain(each) for each in vars(value).values()]
    return value
