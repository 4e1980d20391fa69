"""Parameter planning: the gate in front of every parameter set (PROTOCOL §2, DESIGN §9).

Owns which sets are valid for which board, and the plan file. Leaves to others: what they cost and promise (figures.py),
which one is best for an office (choosing.py), the noise tables (noise.py), sizes and speed of boards (boards.py),
signing a set (signer.py). What a board bears is one relay's, whichever: all members' copies of all that they may post
can meet there, and all may read there in every round. So it does not depend on how many relays there are.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from tessera.admission import LEASE_POSTS
from tessera.params import SPARE_PAGES
from tessera.wire import CELL_FRAME_BYTES, RECORDS_PER_FRAME

from ..errors import InvalidInput, UsageError
from ..files import read_text
from ..kinds_of_cover import CONSTANT, COVERS, DAY, DELIVERY
from ..privacy import composition, noise, shaping
from ..privacy.composition import Part
from ..topologies import KINDS, MOST_COPIES, RING
from .boards import BOARDS, BUCKETS_OF_SERVERS, Board, board

VERSION = 4

# What a member's day shall stay within unless an office says otherwise.
DAY_EPSILON, DAY_DELTA = Fraction(2), Fraction("2e-5")
_DAY_EPSILON_MOST = 100

MEMBERS_FLOOR = 20  # a bucket: fewer hide too little in each other

# PROTOCOL §10, key ring; tessera.keyring has its own, which cost a board no memory.
_EPOCHS_A_PAGE = 3
_LEASES_A_PAGE = 25
_APPEND_PAGES = 4  # with less room for marks and leases a bank would be rewritten at nearly every seal

CELL_COUNTED = 0xFFFF  # records of a cell that its frames can count (PROTOCOL §5)

# Of a board's time in a round, what its readers may take if every member reads: the other half is for what is posted,
# for tokens, the seal, and who comes twice.
_READING_SHARE = Fraction(1, 2)

_RANGES = {
    "members": (1, 1 << 24),
    "round_seconds": (1, 65535),
    "epoch_rounds": (2, 65535),
    "retention_epochs": (1, 14),
    "buckets": (1, BUCKETS_OF_SERVERS),
    "tokens_per_epoch": (1, 255),
    "posts_per_token": (LEASE_POSTS, 255 * LEASE_POSTS),  # a key ring counts a token's leases in a byte
    "deliveries": (0, composition.MOST),
    "relays": (1, MOST_COPIES),
    "copies": (1, MOST_COPIES),
}
_FRACTIONS = ("epsilon", "delta", "day_epsilon", "day_delta")

_DECIMAL = re.compile(r"\d{1,9}(\.\d{1,40})?([eE][+-]?\d{1,2})?|\d{1,30}/[1-9]\d{0,29}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What whoever plans decides; tokens are a member's for each relay.

    epsilon, delta: of one delivery. A table for deliveries is made from them; one for a day keeps to them, too, if they
    are given; constant batches have none. day_epsilon, day_delta: what a member's day stays within; members' programs
    see to it where the cover does not. deliveries: of a day, for which the table of a day is made; else 0. copies: on
    how many of the relays each record is, each a delivery of its own; topology: which those are (PROTOCOL §12).
    """

    members: int
    round_seconds: int
    epoch_rounds: int
    cover: str = CONSTANT
    epsilon: Fraction | None = None
    delta: Fraction | None = None
    deliveries: int = 0
    day_epsilon: Fraction = DAY_EPSILON
    day_delta: Fraction = DAY_DELTA
    retention_epochs: int = 3
    buckets: int = 1
    tokens_per_epoch: int = 1
    posts_per_token: int = 32
    board: str = "RPI_PICO_W"
    allow_small: bool = False
    relays: int = 1
    topology: str = RING.value
    copies: int = 1

    @property
    def epoch_seconds(self) -> int:
        return self.round_seconds * self.epoch_rounds

    @property
    def tokens(self) -> int:
        """What all members have for one relay and epoch."""
        return self.members * self.tokens_per_epoch

    @property
    def posts_an_epoch(self) -> int:
        """What all members together may post to one relay in an epoch."""
        return self.tokens * self.posts_per_token

    @property
    def one_delivery(self) -> tuple[Fraction, Fraction] | None:
        """(ε, δ) that one delivery is to stay within, if somebody asked for it."""
        return None if self.epsilon is None or self.delta is None else (self.epsilon, self.delta)


@dataclass(frozen=True)
class Plan:
    """A valid choice and its noise table; None where every batch has as many records."""

    choice: Choice
    board: Board
    table: noise.NoiseTable | None

    @property
    def constant(self) -> int:
        """C of constant batches, 0 of others: a record of every token."""
        return 0 if self.table else self.choice.tokens

    @property
    def thresholds(self) -> tuple[int, ...]:
        return self.table.thresholds if self.table else ()

    @property
    def cover_mean(self) -> Fraction:
        """Records of a cell in which nobody posted."""
        return self.table.mean() if self.table else Fraction(self.constant)

    @property
    def cover_most(self) -> int:
        return len(self.thresholds) or self.constant

    @property
    def delivery(self) -> tuple[Fraction, Fraction]:
        """(ε, δ) of one delivery as a set says them: whole millionths, and exact for that; (0, 0) if nothing shows."""
        if self.table is None:
            return Fraction(0), Fraction(0)
        return self.table.epsilon, self.table.exact_delta

    def parts(self, deliveries: int) -> list[Part]:
        """So many deliveries, each in a cell of its own, for `composition`."""
        return [Part(self.thresholds, 1, deliveries)] if self.table else []

    def as_json(self) -> dict[str, Any]:
        """The plan file: the choice, and the table."""
        choice = asdict(self.choice) | {
            name: None if value is None else noise.decimal(value, 40)
            for name, value in ((name, getattr(self.choice, name)) for name in _FRACTIONS)
        }
        thresholds = [f"{threshold:016x}" for threshold in self.thresholds]
        return {"version": VERSION, "choice": choice, "constant": self.constant, "thresholds": thresholds}


def make(choice: Choice) -> Plan:
    """Check a choice and compute its table. Raises UsageError: what is wrong, and which option to give which value."""
    chosen = check(choice)
    made = Plan(choice, chosen, _table(choice))
    if made.table:
        _check_cell(choice, chosen, made.cover_most)
    _check_readers(made)
    return made


def check(choice: Choice) -> Board:
    """All that needs no table, which takes its time. Raises UsageError, as `make` does."""
    check_ranges(choice)
    check_copies(choice.topology, choice.copies, choice.relays)
    _check_privacy(choice)
    chosen = board(choice.board)
    _check_buckets(choice, chosen)
    _check_anonymity(choice)
    _check_capacity(choice, chosen)
    _check_keyring(choice, chosen)
    if choice.cover == CONSTANT:
        _check_constant(choice, chosen)
    return chosen


def load(path: Path) -> Plan:
    """Read a plan file. The table is computed anew and must be the one in the file. Raises InvalidInput."""
    try:
        content = json.loads(read_text(path))
        choice = dict(content["choice"])
        recorded = content["thresholds"]
        known = content["version"] == VERSION
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidInput(f"{path} is not a plan", "make one with tessera plan --out FILE") from None
    if not known:
        raise InvalidInput(f"{path} is a plan of a version this program does not know", "make it anew: tessera plan")
    plan = restore(choice, str(path))
    if recorded != plan.as_json()["thresholds"]:
        raise InvalidInput(f"the noise table in {path} is not that of its epsilon and delta", "make it anew")
    return plan


def restore(choice: Mapping[str, Any], source: str) -> Plan:
    """The plan of a `choice` as `as_json` writes it. Raises InvalidInput naming `source`."""
    try:
        given = {name: choice[name] for name in Choice.__dataclass_fields__}
        if any(type(given[name]) is not int for name in _RANGES) or type(given["allow_small"]) is not bool:
            raise TypeError
        numbers = {name: None if given[name] is None else decimal_option(name, given[name]) for name in _FRACTIONS}
        return make(Choice(**given | numbers))
    except UsageError as error:
        raise InvalidInput(f"{source}: {error.message}", "make the plan anew with tessera plan") from None
    except (KeyError, TypeError):
        raise InvalidInput(f"{source} is not a plan", "make one with tessera plan --out FILE") from None


def _table(choice: Choice) -> noise.NoiseTable | None:
    """Takes half a second for a day."""
    if choice.cover == DAY:
        return shaping.day_table(choice.deliveries, choice.day_epsilon, choice.day_delta, choice.one_delivery)
    return noise.table(*choice.one_delivery) if choice.one_delivery else None


def decimal_option(name: str, text: str) -> Fraction:
    """An exact number from an option: 0.1, 1e-6 or 1/10; never by way of a float. Raises UsageError."""
    if not _DECIMAL.fullmatch(text):
        raise UsageError(f"{name} is '{text[:40]}', not a positive decimal", f"write --{name} like 0.1 or 1e-6")
    return Fraction(text)


def check_ranges(choice: Choice) -> None:
    """Raises UsageError that names the nearest value that can be."""
    for name, (low, high) in _RANGES.items():
        value = getattr(choice, name)
        if not low <= value <= high:
            _refuse(f"{name} is {value}, not in {low} to {high}", {name: min(max(value, low), high)})
    if choice.buckets & (choice.buckets - 1):
        lower = 1 << (choice.buckets.bit_length() - 1)
        nearest = lower if choice.buckets - lower <= 2 * lower - choice.buckets else 2 * lower
        _refuse(f"buckets is {choice.buckets}, not a power of two", {"buckets": nearest})
    if choice.posts_per_token % LEASE_POSTS:
        nearest = (choice.posts_per_token + LEASE_POSTS // 2) // LEASE_POSTS * LEASE_POSTS
        wrong = f"posts_per_token is {choice.posts_per_token}, not a multiple of {LEASE_POSTS}"
        _refuse(wrong, {"posts_per_token": nearest})


def check_kind(topology: str) -> None:
    """Raises UsageError for a topology that there is not."""
    if topology not in KINDS:
        raise UsageError(f"there is no topology '{str(topology)[:40]}'", f"use --topology {' or '.join(KINDS)}")


def check_copies(topology: str, copies: int, relays: int) -> None:
    """Raises UsageError unless each record can be on so many of the relays."""
    check_kind(topology)
    if copies > relays:
        _refuse(
            f"{copies} copies of a record need as many relays, these are {relays}",
            {"copies": relays, "relays": copies},
        )


def _check_privacy(choice: Choice) -> None:
    check_cover(choice.cover)
    check_losses(choice.cover, choice.epsilon, choice.delta, choice.day_epsilon, choice.day_delta)
    if choice.cover == DELIVERY and choice.epsilon is None:
        raise UsageError("a table for one delivery is made from its epsilon and delta", "give --epsilon and --delta")
    if (choice.cover == DAY) != (choice.deliveries > 0):
        raise UsageError("a table for a day is made for a number of messages", "give --messages with --cover day")


def check_cover(kind: str) -> None:
    """Raises UsageError unless it is one of COVERS."""
    if kind not in COVERS:
        raise UsageError(f"there is no cover '{kind}'", f"choose one of {', '.join(COVERS)}")


def check_losses(
    cover: str, epsilon: Fraction | None, delta: Fraction | None, day_epsilon: Fraction, day_delta: Fraction
) -> None:
    """Raises UsageError unless (ε, δ) of one delivery, if they are given, and of a day can be those of this kind of
    cover."""
    if (epsilon is None) != (delta is None):
        raise UsageError("epsilon and delta of one delivery belong together", "give both, --epsilon and --delta")
    if cover == CONSTANT and epsilon is not None:
        raise UsageError("in constant batches no delivery shows: ε and δ are 0", "leave --epsilon and --delta out")
    if epsilon is not None and delta is not None:
        noise.check_range(epsilon, delta)
    _check_day(day_epsilon, day_delta)


def _check_day(epsilon: Fraction, delta: Fraction) -> None:
    """Raises UsageError unless (ε, δ) can be a member's day: whole millionths below 100, and below 1."""
    if not 0 < epsilon < _DAY_EPSILON_MOST or epsilon % noise.EPSILON_UNIT:
        raise UsageError(
            f"epsilon of a member's day is {noise.decimal(epsilon)}, not a decimal of at most six places between 0 and "
            f"{_DAY_EPSILON_MOST}",
            "write --day-epsilon 2 or the like",
        )
    if not Fraction(1, noise.DRAWS) <= delta < 1:
        raise UsageError("delta of a member's day is not between 2^-64 and 1", "write --day-delta 2e-5 or the like")


def _check_buckets(choice: Choice, chosen: Board) -> None:
    if choice.buckets > chosen.buckets:
        able = next(other.name for other in BOARDS.values() if other.buckets == BUCKETS_OF_SERVERS)
        _refuse(
            f"the index of {chosen.name} tells {chosen.buckets} buckets apart, these are {choice.buckets}",
            {"buckets": chosen.buckets, "board": able},
        )


def _check_anonymity(choice: Choice) -> None:
    if choice.allow_small or choice.members >= MEMBERS_FLOOR * choice.buckets:
        return
    options: dict[str, Any] = {}
    if choice.members >= MEMBERS_FLOOR:
        options["buckets"] = 1 << ((choice.members // MEMBERS_FLOOR).bit_length() - 1)
    options["members"] = MEMBERS_FLOOR * choice.buckets
    share = noise.decimal(Fraction(choice.members, choice.buckets))
    _refuse(
        f"{share} members a bucket are fewer than the {MEMBERS_FLOOR} that can hide among each other",
        options,
        "accept it with --allow-small",
    )


def _check_capacity(choice: Choice, chosen: Board) -> None:
    """members × tokens_per_epoch × posts_per_token × (retention_epochs + 1) ≤ pages - 32"""
    room = chosen.ring_pages - SPARE_PAGES
    epochs = choice.retention_epochs + 1
    needed = choice.posts_an_epoch * epochs
    if needed <= room:
        return
    a_member = choice.tokens_per_epoch * choice.posts_per_token * epochs
    posts = room // (choice.members * choice.tokens_per_epoch * epochs)
    fitting = [other for other in BOARDS.values() if other.ring_pages - SPARE_PAGES >= needed]
    options = {
        "retention_epochs": room // choice.posts_an_epoch - 1,
        "posts_per_token": posts // LEASE_POSTS * LEASE_POSTS,
        "tokens_per_epoch": room // (choice.members * choice.posts_per_token * epochs),
        "members": _members_at_most(choice, room // a_member),
        "board": min(fitting, key=lambda other: other.ring_pages).name if fitting else None,
    }
    factors = f"{choice.members} members × {choice.tokens_per_epoch} tokens × {choice.posts_per_token} posts"
    _refuse(f"{factors} × {epochs} epochs are {needed} records, {chosen.name} keeps {room}", options)


def _check_keyring(choice: Choice, chosen: Board) -> None:
    """A snapshot with a lease of every token must leave room to append."""
    room = chosen.fill_pages
    if snapshot_pages(choice.retention_epochs, choice.tokens) + _APPEND_PAGES <= room:
        return
    tokens = (room - _APPEND_PAGES - snapshot_pages(choice.retention_epochs, 0)) * _LEASES_A_PAGE
    options = {
        "tokens_per_epoch": tokens // choice.members,
        "members": _members_at_most(choice, tokens // choice.tokens_per_epoch),
    }
    held = choice.members * choice.tokens_per_epoch
    _refuse(f"the key ring of {chosen.name} keeps leases of {tokens} tokens an epoch, these are {held}", options)


def _check_cell(choice: Choice, chosen: Board, cover: int) -> None:
    """Nobody can be kept from posting all that there is into one round and bucket: that cell, with as many as `cover`
    records of cover, must fit the heap, or nobody can fetch it."""
    if chosen.cell_records is None or choice.posts_an_epoch + cover <= chosen.cell_records:
        return
    posts = chosen.cell_records - cover
    options = {
        "posts_per_token": posts // (choice.members * choice.tokens_per_epoch) // LEASE_POSTS * LEASE_POSTS,
        "tokens_per_epoch": posts // (choice.members * choice.posts_per_token),
        "members": _members_at_most(choice, posts // (choice.tokens_per_epoch * choice.posts_per_token)),
        "board": next(other.name for other in BOARDS.values() if other.cell_records is None),
    }
    _refuse(
        f"all {choice.posts_an_epoch} posts of an epoch may come into one cell, with up to {cover} records of cover: "
        f"the heap of {chosen.name} has room for {chosen.cell_records}",
        options,
        "a larger epsilon or delta" if posts < LEASE_POSTS else "",
    )


def _check_constant(choice: Choice, chosen: Board) -> None:
    """A batch has a record of every token; with several buckets each would have such a one."""
    if choice.buckets > 1:
        raise UsageError("constant batches are for one bucket: each would have all tokens' records", "use --buckets 1")
    most = chosen.constant_records
    if choice.tokens <= most:
        return
    _refuse(
        f"constant batches of {choice.tokens} records, one of every token, are more than the {most} that {chosen.name} "
        "has erased sectors for",
        {
            "tokens_per_epoch": most // choice.members,
            "members": _members_at_most(choice, most // choice.tokens_per_epoch),
        },
        "use --cover day",
    )


def _check_readers(made: Plan) -> None:
    """Whoever reads makes a full handshake a round (a resumption would be a pseudonym), and everybody may be at home on
    this relay and read in every round. Of a server there can be several."""
    choice, chosen = made.choice, made.board
    each = _reading_ms(made, chosen)
    room = readers_a_round(made, chosen)
    if choice.members <= room or (chosen.several and room):
        return
    fitting = [other for other in BOARDS.values() if readers_a_round(made, other) >= choice.members]
    options = {
        "round_seconds": _up(choice.members * each / (1000 * _READING_SHARE)),
        "members": _members_at_most(choice, room),
        "board": fitting[0].name if fitting else None,
    }
    share = noise.decimal(choice.round_seconds * _READING_SHARE)
    _refuse(
        f"{choice.members} members read in every round, each with a handshake of its own and a cell, which takes "
        f"{chosen.name} about {_up(each)} ms: half of a round, {share} s, is enough for {room}",
        options,
    )


def _reading_ms(made: Plan, chosen: Board) -> Fraction:
    """Of a board's time for one member and round: a full handshake, and a cell in which nobody posted."""
    return chosen.handshake_ms + chosen.frame_ms * Fraction(cell_bytes_mean(made), CELL_FRAME_BYTES)


def readers_a_round(made: Plan, chosen: Board) -> int:
    """For how many the board's time suffices; an estimate."""
    return int(1000 * made.choice.round_seconds * _READING_SHARE / _reading_ms(made, chosen))


def gateways(made: Plan) -> int:
    """Processes, each with a core of its own, that are one relay for so many readers; an estimate."""
    return -(-made.choice.members // readers_a_round(made, made.board)) if made.board.several else 1


def overfilling(made: Plan) -> int | None:
    """How many members together could post so much into one cell that nobody can fetch it, as its frames count no
    further; None if all together could not. (On a board no cell is that large, whoever posts.)"""
    choice = made.choice
    if made.table is None or choice.posts_an_epoch + made.cover_most <= CELL_COUNTED:
        return None
    return -(-(CELL_COUNTED + 1 - made.cover_most) // (choice.tokens_per_epoch * choice.posts_per_token))


def cell_bytes_mean(made: Plan) -> Fraction:
    """Of a cell in which nobody posted."""
    return _mean_bytes(made.table) if made.table else Fraction(cell_bytes(made.constant))


@cache
def _mean_bytes(table: noise.NoiseTable) -> Fraction:
    return Fraction(sum(w * cell_bytes(k) for k, w in enumerate(table.weights())), noise.DRAWS)


def cell_bytes(records: int) -> int:
    """Bytes on the wire of a sealed batch: whole frames of four records, one frame if it is empty (PROTOCOL §5)."""
    return int(CELL_FRAME_BYTES * max(1, -(-records // RECORDS_PER_FRAME)))


def _members_at_most(choice: Choice, members: int) -> int | None:
    """A number of members to propose, unless the anonymity floor would refuse it next."""
    return members if choice.allow_small or members >= MEMBERS_FLOOR * choice.buckets else None


class Unfit(UsageError):
    """Numbers that do not go together, and options of `tessera plan`, by their names, with values that would."""

    def __init__(self, message: str, options: Mapping[str, Any], otherwise: str = "") -> None:
        proposals = [f"--{name.replace('_', '-')} {value}" for name, value in options.items()]
        hint = "use " + ", or ".join(proposals) if proposals else ""
        super().__init__(message, ", or ".join(part for part in (hint, otherwise) if part) or "choose other numbers")
        self._options = options

    def within(self, options: Collection[str]) -> UsageError:
        """The same for a command that has these options only."""
        return Unfit(self.message, {name: value for name, value in self._options.items() if name in options})


def _refuse(message: str, options: Mapping[str, Any], otherwise: str = "") -> None:
    """Raise Unfit, proposing the options whose value is one that can be given."""
    good = {
        name: value
        for name, value in options.items()
        if isinstance(value, str) or (value is not None and _RANGES[name][0] <= value <= _RANGES[name][1])
    }
    raise Unfit(message, good, otherwise)


def snapshot_pages(retention_epochs: int, tokens: int) -> int:
    """HEAD, the epochs kept and the open and next one, and a lease of each of so many tokens."""
    return 1 + -(-(retention_epochs + 2) // _EPOCHS_A_PAGE) + -(-tokens // _LEASES_A_PAGE)


def _up(value: Fraction) -> int:
    """A whole number, rounded up."""
    return -(-value.numerator // value.denominator)
