"""Parameter planning: the gate in front of every parameter set (PROTOCOL §2, DESIGN §9).

Owns which sets are valid for which board, what each of them costs and promises, and the plan file. Leaves to others:
the noise table (noise.py), sizes and speed of boards (boards.py), signing a set (signer.py). Every figure is exact
unless its name says estimate; fractions stay fractions until they are printed. All of them are one relay's: how many
relays there will be no plan knows, and each has the tokens of its own.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from tessera.admission import LEASE_POSTS
from tessera.nor import PAGES_PER_SECTOR
from tessera.params import SPARE_PAGES
from tessera.wire import CELL_FRAME_BYTES, FETCH_ROUNDS, RECORDS_PER_FRAME

from ..duration import DAY_SECONDS
from ..errors import InvalidInput, UsageError
from ..files import read_text
from ..privacy import allowance, loss, noise
from .boards import BOARDS, Board, board

VERSION = 2
MEMBERS_FLOOR = 20  # a bucket: fewer hide too little in each other
MESSAGE_PARTS = 16
MONTH_DAYS = 30
YEAR_DAYS = 365

# PROTOCOL §10, key ring; tessera.keyring has its own, which cost a board no memory.
_EPOCHS_A_PAGE = 3
_LEASES_A_PAGE = 25
_APPEND_PAGES = 4  # with less room for marks and leases a bank would be rewritten at nearly every seal

BUCKETS_MOST = 256  # the index of a relay has a byte for the bucket of a page

# Of a board's time in a round, what its readers may take if every member reads: the other half is for what is posted,
# for tokens, the seal, and who comes twice.
_READING_SHARE = Fraction(1, 2)

_RANGES = {
    "members": (1, 1 << 24),
    "round_seconds": (1, 65535),
    "epoch_rounds": (2, 65535),
    "retention_epochs": (1, 14),
    "buckets": (1, BUCKETS_MOST),
    "tokens_per_epoch": (1, 255),
    "posts_per_token": (LEASE_POSTS, 255 * LEASE_POSTS),  # a key ring counts a token's leases in a byte
}

_DECIMAL = re.compile(r"\d{1,9}(\.\d{1,40})?([eE][+-]?\d{1,2})?|\d{1,30}/[1-9]\d{0,29}", re.ASCII)


@dataclass(frozen=True)
class Choice:
    """What whoever plans decides; tokens are a member's for each relay. The defaults are DESIGN §3's."""

    epsilon: Fraction
    delta: Fraction
    members: int
    round_seconds: int = 300
    epoch_rounds: int = 288
    retention_epochs: int = 3
    buckets: int = 1
    tokens_per_epoch: int = 1
    posts_per_token: int = 32
    board: str = "RPI_PICO_W"
    allow_small: bool = False

    @property
    def epoch_seconds(self) -> int:
        return self.round_seconds * self.epoch_rounds

    @property
    def posts_an_epoch(self) -> int:
        """What all members together may post to one relay in an epoch."""
        return self.members * self.tokens_per_epoch * self.posts_per_token


@dataclass(frozen=True)
class Plan:
    """A valid choice and its noise table."""

    choice: Choice
    board: Board
    table: noise.NoiseTable

    def as_json(self) -> dict[str, Any]:
        """The plan file: the choice, the table, and the figures (for people; they are not read back)."""
        choice = asdict(self.choice) | {
            "epsilon": noise.decimal(self.choice.epsilon),
            "delta": noise.decimal(self.choice.delta, 40),
        }
        table = {
            "mu": self.table.mu,
            "exact_delta": str(self.table.exact_delta),
            "e_lower": str(self.table.e_lower),
            "thresholds": [f"{threshold:016x}" for threshold in self.table.thresholds],
        }
        return {"version": VERSION, "choice": choice, "table": table, "figures": figures(self)}


def make(choice: Choice) -> Plan:
    """Check a choice and compute its table. Raises UsageError: what is wrong, and which option to give which value."""
    _check_ranges(choice)
    noise.check_range(choice.epsilon, choice.delta)
    chosen = board(choice.board)
    _check_anonymity(choice)
    _check_capacity(choice, chosen)
    _check_keyring(choice, chosen)
    table = noise.table(choice.epsilon, choice.delta)
    _check_cell(choice, chosen, 2 * table.mu)
    _check_readers(choice, chosen, table)
    return Plan(choice, chosen, table)


def load(path: Path) -> Plan:
    """Read a plan file. The table is computed anew and must be the one in the file. Raises InvalidInput."""
    try:
        content = json.loads(read_text(path))
        choice = dict(content["choice"])
        recorded = content["table"]["thresholds"]
        known = content["version"] == VERSION
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidInput(f"{path} is not a plan", "make one with tessera plan --out FILE") from None
    if not known:
        raise InvalidInput(f"{path} is a plan of a version this program does not know", "make it anew: tessera plan")
    plan = restore(choice, str(path))
    if recorded != plan.as_json()["table"]["thresholds"]:
        raise InvalidInput(f"the noise table in {path} is not that of its epsilon and delta", "make it anew")
    return plan


def restore(choice: Mapping[str, Any], source: str) -> Plan:
    """The plan of a `choice` as `as_json` writes it. Raises InvalidInput naming `source`."""
    try:
        given = {name: choice[name] for name in Choice.__dataclass_fields__}
        if any(type(given[name]) is not int for name in _RANGES) or type(given["allow_small"]) is not bool:
            raise TypeError
        values = given | {name: decimal_option(name, given[name]) for name in ("epsilon", "delta")}
        return make(Choice(**values))
    except UsageError as error:
        raise InvalidInput(f"{source}: {error.message}", "make the plan anew with tessera plan") from None
    except (KeyError, TypeError):
        raise InvalidInput(f"{source} is not a plan", "make one with tessera plan --out FILE") from None


def decimal_option(name: str, text: str) -> Fraction:
    """An exact number from an option: 0.1, 1e-6 or 1/10; never by way of a float. Raises UsageError."""
    if not _DECIMAL.fullmatch(text):
        raise UsageError(f"{name} is '{text[:40]}', not a positive decimal", f"write --{name} like 0.1 or 1e-6")
    return Fraction(text)


def figures(plan: Plan) -> dict[str, Any]:
    """What a plan promises and costs. Numbers are rounded to the unfavourable side, or exact fractions as text."""
    return _privacy(plan) | _traffic(plan) | _capacity(plan) | _wear(plan)


def messages_of_a_day(plan: Plan, day_epsilon: Fraction, day_delta: Fraction) -> int:
    """Messages of one part that a member's program sends in a day of that budget: none, if not one fits."""
    choice = plan.choice
    tokens = allowance.by_tokens(choice.tokens_per_epoch, choice.posts_per_token, choice.epoch_seconds)
    return allowance.of_a_day(plan.table.thresholds, (day_epsilon, day_delta), tokens, choice.round_seconds)


def _delta(plan: Plan) -> Fraction:
    """Of one delivery, as a set says it: rounded up."""
    return Fraction(-(-plan.table.exact_delta * noise.DRAWS // 1), noise.DRAWS)


def messages_within(plan: Plan, day_epsilon: str, day_delta: str) -> int:
    """`messages_of_a_day` of the options of a command. Raises UsageError if it is none."""
    budget = decimal_option("day-epsilon", day_epsilon), decimal_option("day-delta", day_delta)
    fitting, delta = messages_of_a_day(plan, *budget), _delta(plan)
    if not fitting:
        raise UsageError(
            f"a single message (ε = {noise.decimal(plan.choice.epsilon)}, δ = {noise.decimal_up(delta)}) does not "
            f"fit a member's day of ε = {day_epsilon}, δ = {day_delta}: nobody could send anything",
            "plan with a smaller epsilon and delta, or allow more: --day-epsilon, --day-delta",
        )
    return fitting


def composed(plan: Plan) -> list[dict[str, Any]]:
    """The rows of `composition` by privacy loss distributions."""
    day = _messages_a_day(plan.choice)
    wanted = _spans(day)
    losses = loss.losses_of(plan.table.thresholds, plan.choice.epsilon)
    found = [losses.of(count) for count, _ in wanted]
    return [
        {
            "deliveries": each.deliveries,
            "of": what,
            "epsilon": None if each.epsilon is None else float(each.epsilon),
            "delta_decimal": noise.decimal_up(each.delta),
            "bound": "upper bound by privacy loss distribution",
            "text": loss.in_words(each),
        }
        for each, (_, what) in zip(found, wanted, strict=True)
    ]


def _spans(day: int) -> list[tuple[int, str]]:
    """What is counted: deliveries, and of what. In epochs of weeks there may be less than one a day, which says nothing
    of a day."""
    one = [(1, "one delivery"), (MESSAGE_PARTS, "longest message")]
    return [*one, (day, "a member's day"), (MONTH_DAYS * day, "a member's month")] if day else one


def _check_ranges(choice: Choice) -> None:
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
    room = _fill_pages(chosen)
    snapshot = _snapshot_pages(choice)
    if snapshot + _APPEND_PAGES <= room:
        return
    tokens = (room - _APPEND_PAGES - (snapshot - _lease_pages(choice))) * _LEASES_A_PAGE
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


def _check_readers(choice: Choice, chosen: Board, table: noise.NoiseTable) -> None:
    """Whoever reads makes a full handshake a round (a resumption would be a pseudonym), and everybody may be at home on
    this relay and read in every round."""
    each = _reading_ms(chosen, table)
    room = _readers_a_round(choice, chosen, table)
    if choice.members <= room:
        return
    fitting = [other for other in BOARDS.values() if _readers_a_round(choice, other, table) >= choice.members]
    options = {
        "round_seconds": _up(choice.members * each / (1000 * _READING_SHARE), 0),
        "members": _members_at_most(choice, room),
        "board": fitting[0].name if fitting else None,
    }
    share = noise.decimal(choice.round_seconds * _READING_SHARE)
    _refuse(
        f"{choice.members} members read in every round, each with a handshake of its own and a cell, which takes "
        f"{chosen.name} about {_up(each, 0)} ms: half of a round, {share} s, is enough for {room}",
        options,
    )


def _reading_ms(chosen: Board, table: noise.NoiseTable) -> Fraction:
    """Of a board's time for one member and round: a full handshake, and a cell in which nobody posted."""
    return chosen.handshake_ms + chosen.frame_ms * Fraction(_cell_bytes_mean(table), CELL_FRAME_BYTES)


def _readers_a_round(choice: Choice, chosen: Board, table: noise.NoiseTable) -> int:
    return int(1000 * choice.round_seconds * _READING_SHARE / _reading_ms(chosen, table))


def _members_at_most(choice: Choice, members: int) -> int | None:
    """A number of members to propose, unless the anonymity floor would refuse it next."""
    return members if choice.allow_small or members >= MEMBERS_FLOOR * choice.buckets else None


def _refuse(message: str, options: Mapping[str, Any], otherwise: str = "") -> None:
    """Raise UsageError, proposing the options whose value is one that can be given."""
    proposals = []
    for name, value in options.items():
        if isinstance(value, str) or (value is not None and _RANGES[name][0] <= value <= _RANGES[name][1]):
            proposals.append(f"--{name.replace('_', '-')} {value}")
    hint = "use " + ", or ".join(proposals) if proposals else ""
    raise UsageError(message, ", or ".join(part for part in (hint, otherwise) if part) or "choose smaller numbers")


def _privacy(plan: Plan) -> dict[str, Any]:
    epsilon, delta = plan.choice.epsilon, plan.table.exact_delta
    day = _messages_a_day(plan.choice)
    return {
        "epsilon": noise.decimal(epsilon),
        "exact_delta": str(delta),
        "exact_delta_decimal": noise.decimal_up(delta),
        "mu": plan.table.mu,
        "composition": [
            {
                "deliveries": deliveries,
                "of": what,
                "epsilon": noise.decimal(deliveries * epsilon),
                "delta_decimal": noise.decimal_up(min(deliveries * delta, Fraction(1))),
                "bound": "upper bound by basic composition",
            }
            for deliveries, what in _spans(day)
        ],
        "members_a_bucket": noise.decimal(Fraction(plan.choice.members, plan.choice.buckets)),
        "members_floor": MEMBERS_FLOOR,
    }


def _traffic(plan: Plan) -> dict[str, Any]:
    choice, table = plan.choice, plan.table
    mean = _cell_bytes_mean(table)
    rounds = Fraction(DAY_SECONDS, choice.round_seconds)
    idle = rounds * (mean + Fraction(CELL_FRAME_BYTES, FETCH_ROUNDS))
    steady = rounds * (mean + CELL_FRAME_BYTES)
    # A record more is a quarter of a frame more, on average over where the last frame of a cell happens to end.
    records = Fraction(choice.posts_an_epoch * DAY_SECONDS, choice.epoch_seconds * choice.buckets)
    return {
        "cover_records_mean": float(round(table.mean(), 3)),
        "cell_bytes_mean": _up(mean, 0),
        "cell_bytes_max": cell_bytes(2 * table.mu),
        "download_bytes_per_day": _up(idle, 0),
        "download_bytes_per_day_fetching_every_round": _up(steady, 0),
        "download_bytes_per_day_quota_used_estimate": _up(
            idle + records * Fraction(CELL_FRAME_BYTES, RECORDS_PER_FRAME), 0
        ),
    }


@cache
def _cell_bytes_mean(table: noise.NoiseTable) -> Fraction:
    """Of a cell in which nobody posted."""
    return Fraction(sum(w * cell_bytes(k) for k, w in enumerate(table.weights())), noise.DRAWS)


def cell_bytes(records: int) -> int:
    """Bytes on the wire of a sealed batch: whole frames of four records, one frame if it is empty (PROTOCOL §5)."""
    return int(CELL_FRAME_BYTES * max(1, -(-records // RECORDS_PER_FRAME)))


def _capacity(plan: Plan) -> dict[str, Any]:
    choice = plan.choice
    epochs = choice.retention_epochs + 1
    room = plan.board.ring_pages - SPARE_PAGES
    return {
        "board": plan.board.name,
        "ring_pages": plan.board.ring_pages,
        "posts_an_epoch_board": room // epochs,
        "posts_an_epoch_used": choice.posts_an_epoch,
        "records_needed": choice.posts_an_epoch * epochs,
        "records_kept": room,
        "posts_a_member_a_day": _messages_a_day(choice),
        "readers_a_round_board_estimate": _readers_a_round(choice, plan.board, plan.table),
        "epoch_seconds": choice.epoch_seconds,
        "retention_seconds": choice.retention_epochs * choice.epoch_seconds,
    }


def deliveries_a_day(tokens_per_epoch: int, posts_per_token: int, epoch_seconds: int) -> int:
    """Messages of one part that a member's tokens for one relay allow."""
    return tokens_per_epoch * posts_per_token * DAY_SECONDS // epoch_seconds


def _messages_a_day(choice: Choice) -> int:
    return deliveries_a_day(choice.tokens_per_epoch, choice.posts_per_token, choice.epoch_seconds)


def _wear(plan: Plan) -> dict[str, Any]:
    """Years until a sector reaches its rated erases, with every post used and a boot a day."""
    choice, chosen = plan.choice, plan.board
    epochs_a_day = Fraction(DAY_SECONDS, choice.epoch_seconds)
    # The log closes a sector at the latest 255 rounds after its first record; a boot opens a new one.
    sectors = Fraction(choice.posts_an_epoch, PAGES_PER_SECTOR) + Fraction(choice.epoch_rounds, 255)
    ring = (sectors * epochs_a_day + 1) / chosen.ring_sectors
    appended = choice.epoch_rounds + Fraction(choice.posts_an_epoch, LEASE_POSTS)
    rewrites = appended / (_fill_pages(chosen) - _snapshot_pages(choice)) + 1
    keyring = (rewrites * epochs_a_day + 1) / 2  # each rewrite erases one of two banks
    return {
        "erases_per_sector_per_year_ring_estimate": _up(ring * YEAR_DAYS, 1),
        "erases_per_sector_per_year_keyring_estimate": _up(keyring * YEAR_DAYS, 1),
        "flash_years_estimate": int(chosen.erase_cycles / (max(ring, keyring) * YEAR_DAYS)),
    }


def _fill_pages(chosen: Board) -> int:
    """Pages a bank is filled to: half of it, then the core writes a fresh one in the window after the next seal."""
    return int(chosen.keyring_sectors // 2 * PAGES_PER_SECTOR // 2)


def _lease_pages(choice: Choice) -> int:
    return -(-choice.members * choice.tokens_per_epoch // _LEASES_A_PAGE)


def _snapshot_pages(choice: Choice) -> int:
    """HEAD, the epochs kept and the open and next one, and a lease of every token."""
    return 1 + -(-(choice.retention_epochs + 2) // _EPOCHS_A_PAGE) + _lease_pages(choice)


def _up(value: Fraction, digits: int) -> int | float:
    """A printable number, rounded up to so many decimals."""
    scaled = -(-value * 10**digits // 1)
    return scaled if not digits else float(Fraction(scaled, 10**digits))
