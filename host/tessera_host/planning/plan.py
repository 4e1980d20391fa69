"""Plans: every parameter set comes from one that was checked here (PROTOCOL §2, DESIGN §9).

Owns which plans are valid for which board, and the plan file. Leaves to others: what plans cost and promise
(figures.py), which one is best for an office (choosing.py), the noise tables (noise.py), sizes and speed of boards
(boards.py), signing a set (signer.py).

Limits of a board hold for each relay alone, however many there are: copies of everything that all members may post can
meet on one relay, and all members may read there in every round.
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

# The (ε, δ) that a member's day stays within, unless an office says otherwise.
DAY_EPSILON, DAY_DELTA = Fraction(2), Fraction("2e-5")
_DAY_EPSILON_MOST = 100

MEMBERS_FLOOR = 20  # in each bucket; fewer members cannot hide among each other

# Of a key ring's pages (PROTOCOL §10). tessera.keyring has constants of its own, which cost a board no memory.
_EPOCHS_A_PAGE = 3
_LEASES_A_PAGE = 25
_APPEND_PAGES = 4  # for marks and leases; with fewer a bank would be rewritten at nearly every seal

CELL_COUNTED = 0xFFFF  # records of a cell that its frames can count (PROTOCOL §5)

# The share of a board's time in a round that readers may take if every member reads. The rest is for posts, tokens, the
# seal, and members who connect twice.
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
    """The values that a plan is made of. Tokens are those of one member for each relay.

    epsilon, delta: the bound of one delivery. A table for one delivery is made from it; a table for a day keeps to it
    if it is given; constant batches have none. day_epsilon, day_delta: the bound of a member's day, which members'
    programs keep where the cover does not. deliveries: in a day, for which a table for a day is made; otherwise 0.
    copies: on how many relays each record is, each being a delivery. topology: on which ones (PROTOCOL §12).
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
        """How many tokens all members together have for one relay and epoch."""
        return self.members * self.tokens_per_epoch

    @property
    def posts_an_epoch(self) -> int:
        """How many records all members together may post to one relay in an epoch."""
        return self.tokens * self.posts_per_token

    @property
    def one_delivery(self) -> tuple[Fraction, Fraction] | None:
        """The bound (ε, δ) of one delivery, None if there is none."""
        return None if self.epsilon is None or self.delta is None else (self.epsilon, self.delta)


@dataclass(frozen=True)
class Plan:
    """A valid choice and its noise table. table is None for constant batches."""

    choice: Choice
    board: Board
    table: noise.NoiseTable | None

    @property
    def constant(self) -> int:
        """C, the records of a constant batch: one for every token. 0 for other kinds of cover."""
        return 0 if self.table else self.choice.tokens

    @property
    def thresholds(self) -> tuple[int, ...]:
        return self.table.thresholds if self.table else ()

    @property
    def cover_mean(self) -> Fraction:
        """How many records a cell has in which nobody posted, on average."""
        return self.table.mean() if self.table else Fraction(self.constant)

    @property
    def cover_most(self) -> int:
        return len(self.thresholds) or self.constant

    @property
    def delivery(self) -> tuple[Fraction, Fraction]:
        """(ε, δ) of one delivery as in a parameter set: ε in whole millionths, and the exact δ for it. (0, 0) for
        constant batches."""
        if self.table is None:
            return Fraction(0), Fraction(0)
        return self.table.epsilon, self.table.exact_delta

    def parts(self, deliveries: int) -> list[Part]:
        """So many deliveries, each in a cell of its own, as parts for `composition`."""
        return [Part(self.thresholds, 1, deliveries)] if self.table else []

    def as_json(self) -> dict[str, Any]:
        """The content of the plan file: the choice and the table."""
        choice = asdict(self.choice) | {
            name: None if value is None else noise.decimal(value, 40)
            for name, value in ((name, getattr(self.choice, name)) for name in _FRACTIONS)
        }
        thresholds = [f"{threshold:016x}" for threshold in self.thresholds]
        return {"version": VERSION, "choice": choice, "constant": self.constant, "thresholds": thresholds}


def make(choice: Choice) -> Plan:
    """Check a choice and compute its table. Raises UsageError that says what is wrong and which option needs which
    value."""
    chosen = check(choice)
    made = Plan(choice, chosen, _table(choice))
    if made.table:
        _check_cell(choice, chosen, made.cover_most)
    _check_readers(made)
    return made


def check(choice: Choice) -> Board:
    """Check everything for which no table is needed, as that takes time. Raises UsageError as make() does."""
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
        raise InvalidInput(
            f"the noise table in {path} does not belong to its epsilon and delta", "make it anew: tessera plan"
        )
    return plan


def restore(choice: Mapping[str, Any], source: str) -> Plan:
    """The plan for a `choice` as as_json() writes it. Raises InvalidInput that names `source`."""
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
    """The noise table of a choice, None for constant batches. One for a day takes half a second."""
    if choice.cover == DAY:
        return shaping.day_table(choice.deliveries, choice.day_epsilon, choice.day_delta, choice.one_delivery)
    return noise.table(*choice.one_delivery) if choice.one_delivery else None


def decimal_option(name: str, text: str) -> Fraction:
    """The exact number in an option, like 0.1, 1e-6 or 1/10, without floating point. Raises UsageError."""
    if not _DECIMAL.fullmatch(text):
        raise UsageError(f"{name} is '{text[:40]}', not a positive decimal", f"write --{name} like 0.1 or 1e-6")
    return Fraction(text)


def check_ranges(choice: Choice) -> None:
    """Check the range of each value. Raises UsageError that proposes the nearest possible value."""
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
    """Raises UsageError for an unknown topology."""
    if topology not in KINDS:
        raise UsageError(f"there is no topology '{str(topology)[:40]}'", f"use --topology {' or '.join(KINDS)}")


def check_copies(topology: str, copies: int, relays: int) -> None:
    """Raises UsageError unless each record can be on so many of the relays."""
    check_kind(topology)
    if copies > relays:
        _refuse(
            f"{copies} copies of a record need as many relays, the plan has {relays}",
            {"copies": relays, "relays": copies},
        )


def _check_privacy(choice: Choice) -> None:
    check_cover(choice.cover)
    check_losses(choice.cover, choice.epsilon, choice.delta, choice.day_epsilon, choice.day_delta)
    if choice.cover == DELIVERY and choice.epsilon is None:
        raise UsageError("cover 'delivery' needs epsilon and delta of one delivery", "give --epsilon and --delta")
    if (choice.cover == DAY) != (choice.deliveries > 0):
        raise UsageError("cover 'day' needs a number of messages, and no other cover has one", "give --messages")


def check_cover(kind: str) -> None:
    """Raises UsageError unless it is one of COVERS."""
    if kind not in COVERS:
        raise UsageError(f"there is no cover '{kind}'", f"choose one of {', '.join(COVERS)}")


def check_losses(
    cover: str, epsilon: Fraction | None, delta: Fraction | None, day_epsilon: Fraction, day_delta: Fraction
) -> None:
    """Raises UsageError unless this kind of cover can have these bounds (ε, δ) of one delivery, if given, and of a
    day."""
    if (epsilon is None) != (delta is None):
        raise UsageError("epsilon and delta of one delivery belong together", "give both, --epsilon and --delta")
    if cover == CONSTANT and epsilon is not None:
        raise UsageError("constant batches reveal nothing, so they have no ε and δ", "leave --epsilon and --delta out")
    if epsilon is not None and delta is not None:
        noise.check_range(epsilon, delta)
    _check_day(day_epsilon, day_delta)


def _check_day(epsilon: Fraction, delta: Fraction) -> None:
    """Raises UsageError unless ε of a member's day is in whole millionths below 100 and δ below 1."""
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
            f"{chosen.name} can tell {chosen.buckets} buckets apart, the plan has {choice.buckets}",
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
        f"{share} members in each bucket are too few to hide among each other, which takes {MEMBERS_FLOOR}",
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
    """Check that a snapshot with a lease of every token leaves room to append."""
    room = chosen.fill_pages
    if snapshot_pages(choice.retention_epochs, choice.tokens) + _APPEND_PAGES <= room:
        return
    tokens = (room - _APPEND_PAGES - snapshot_pages(choice.retention_epochs, 0)) * _LEASES_A_PAGE
    options = {
        "tokens_per_epoch": tokens // choice.members,
        "members": _members_at_most(choice, tokens // choice.tokens_per_epoch),
    }
    held = choice.members * choice.tokens_per_epoch
    _refuse(f"the key ring of {chosen.name} has room for leases of {tokens} tokens, the plan has {held}", options)


def _check_cell(choice: Choice, chosen: Board, cover: int) -> None:
    """Members cannot be kept from posting everything into one round and bucket. That cell, with up to `cover` dummies,
    must fit into the heap, otherwise nobody could fetch it."""
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
        f"members may post all {choice.posts_an_epoch} records of an epoch into one cell, with up to {cover} dummies: "
        f"the heap of {chosen.name} has room for {chosen.cell_records}",
        options,
        "a larger epsilon or delta" if posts < LEASE_POSTS else "",
    )


def _check_constant(choice: Choice, chosen: Board) -> None:
    """A constant batch has one record for every token, and so would each of several buckets."""
    if choice.buckets > 1:
        raise UsageError(
            "constant batches need one bucket: each bucket would hold a record for every token", "use --buckets 1"
        )
    most = chosen.constant_records
    if choice.tokens <= most:
        return
    _refuse(
        f"constant batches have {choice.tokens} records, one for every token, and {chosen.name} can store {most} in a "
        "round",
        {
            "tokens_per_epoch": most // choice.members,
            "members": _members_at_most(choice, most // choice.tokens_per_epoch),
        },
        "use --cover day",
    )


def _check_readers(made: Plan) -> None:
    """Check that the board has time for all members as readers in every round. A reader makes a full handshake in each
    round, as a resumption would be a pseudonym. Several servers can be one relay, so they are not refused."""
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
        f"{choice.members} members read in every round. A handshake and a cell for each take {chosen.name} about "
        f"{_up(each)} ms, and half of a round, {share} s, is enough for {room}",
        options,
    )


def _reading_ms(made: Plan, chosen: Board) -> Fraction:
    """Milliseconds of a board for one reader in a round: a full handshake, and a cell in which nobody posted."""
    return chosen.handshake_ms + chosen.frame_ms * Fraction(cell_bytes_mean(made), CELL_FRAME_BYTES)


def readers_a_round(made: Plan, chosen: Board) -> int:
    """For how many readers in each round the board has time; an estimate."""
    return int(1000 * made.choice.round_seconds * _READING_SHARE / _reading_ms(made, chosen))


def gateways(made: Plan) -> int:
    """How many processes, each with a processor core of its own, one relay needs for so many readers; an estimate."""
    return -(-made.choice.members // readers_a_round(made, made.board)) if made.board.several else 1


def overfilling(made: Plan) -> int | None:
    """How many members together could post so much into one cell that its frames can no longer count the records, so
    that nobody can fetch it. None if all of them could not, which is so on every board."""
    choice = made.choice
    if made.table is None or choice.posts_an_epoch + made.cover_most <= CELL_COUNTED:
        return None
    return -(-(CELL_COUNTED + 1 - made.cover_most) // (choice.tokens_per_epoch * choice.posts_per_token))


def cell_bytes_mean(made: Plan) -> Fraction:
    """The mean number of bytes of a cell in which nobody posted."""
    return _mean_bytes(made.table) if made.table else Fraction(cell_bytes(made.constant))


@cache
def _mean_bytes(table: noise.NoiseTable) -> Fraction:
    return Fraction(sum(w * cell_bytes(k) for k, w in enumerate(table.weights())), noise.DRAWS)


def cell_bytes(records: int) -> int:
    """Bytes of a sealed batch on the network: whole frames of four records, one frame if it is empty (PROTOCOL §5)."""
    return int(CELL_FRAME_BYTES * max(1, -(-records // RECORDS_PER_FRAME)))


def _members_at_most(choice: Choice, members: int) -> int | None:
    """A number of members to propose; None if MEMBERS_FLOOR would refuse it."""
    return members if choice.allow_small or members >= MEMBERS_FLOOR * choice.buckets else None


class Unfit(UsageError):
    """Numbers that do not fit together. options: names of options of `tessera plan`, with values that would fit."""

    def __init__(self, message: str, options: Mapping[str, Any], otherwise: str = "") -> None:
        proposals = [f"--{name.replace('_', '-')} {value}" for name, value in options.items()]
        hint = "use " + ", or ".join(proposals) if proposals else ""
        super().__init__(message, ", or ".join(part for part in (hint, otherwise) if part) or "choose other numbers")
        self._options = options

    def within(self, options: Collection[str]) -> UsageError:
        """The same error for a command that has only these options."""
        return Unfit(self.message, {name: value for name, value in self._options.items() if name in options})


def _refuse(message: str, options: Mapping[str, Any], otherwise: str = "") -> None:
    """Raise Unfit that proposes those of the options whose value is in its range."""
    good = {
        name: value
        for name, value in options.items()
        if isinstance(value, str) or (value is not None and _RANGES[name][0] <= value <= _RANGES[name][1])
    }
    raise Unfit(message, good, otherwise)


def snapshot_pages(retention_epochs: int, tokens: int) -> int:
    """Pages of a key ring's snapshot: its head, the kept epochs with the open and the next one, and a lease of each of
    so many tokens."""
    return 1 + -(-(retention_epochs + 2) // _EPOCHS_A_PAGE) + -(-tokens // _LEASES_A_PAGE)


def _up(value: Fraction) -> int:
    """A whole number, rounded up."""
    return -(-value.numerator // value.denominator)
