"""The planner: chooses the best of three kinds of cover for an office, with rounds, retention and posts that its board
can bear for years.

Owns the choice of what an office leaves open, and the reason that is given for it. Leaves to others: which plans are
valid (plan.py), what they cost and promise (figures.py).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from tessera.admission import LEASE_POSTS
from tessera.params import SPARE_PAGES
from tessera.wire import RECORDS_PER_FRAME

from ..duration import DAY_SECONDS
from ..errors import UsageError
from ..kinds_of_cover import CONSTANT, COVERS, DAY, DELIVERY, IN_WORDS
from ..privacy import composition, noise
from . import figures
from .boards import Board, board
from .plan import Choice, Plan, Unfit, check, check_copies, check_cover, check_losses, check_ranges, make

FLASH_YEARS = 10
MEGABYTES_A_DAY = Fraction(6)  # of a member's download, unless an office says otherwise
ROUNDS = (60, 90, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 3600)  # seconds; whole fractions of a day
RETENTION = (3, 2, 1)  # epochs, the best first: three last over a weekend
MESSAGES = 32  # of one part for each member and day, if there is room
_MESSAGES_LEAST = 8  # if there is room for fewer, a shorter retention is tried

# The bound of one delivery for cover "delivery" if an office does not say it.
DELIVERY_EPSILON, DELIVERY_DELTA = Fraction("0.1"), Fraction("1e-6")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What an office asks for. None leaves a value to the planner.

    messages: of one part, for each member and day. epsilon, delta: of one delivery. megabytes: the most that a member
    downloads in a day (10^6 bytes). relays: by default as many as there are copies. Other fields: see Choice.
    """

    members: int
    cover: str | None = None
    messages: int | None = None
    epsilon: Fraction | None = None
    delta: Fraction | None = None
    day_epsilon: Fraction = Choice.day_epsilon
    day_delta: Fraction = Choice.day_delta
    megabytes: Fraction | None = None
    round_seconds: int | None = None
    epoch_rounds: int | None = None
    retention_epochs: int | None = None
    buckets: int = Choice.buckets
    tokens_per_epoch: int = Choice.tokens_per_epoch
    posts_per_token: int | None = None
    board: str = Choice.board
    allow_small: bool = Choice.allow_small
    relays: int | None = None
    topology: str = Choice.topology
    copies: int = Choice.copies

    @property
    def placed(self) -> dict[str, Any]:
        """The fields of a Choice for relays and copies."""
        relays = self.copies if self.relays is None else self.relays
        return {"relays": relays, "topology": self.topology, "copies": self.copies}


@dataclass(frozen=True)
class Kind:
    """The result for one kind of cover: a plan, or the refusal. shorter: why its rounds are not shorter, in words."""

    cover: str
    plan: Plan | None
    refusal: UsageError | None = None
    shorter: str | None = None


@dataclass(frozen=True)
class Planned:
    """The chosen plan, the results for all three kinds of cover, and the reason in one line."""

    plan: Plan
    kinds: tuple[Kind, ...]
    why: str


def choose(wish: Wish) -> Planned:
    """Choose a plan for a wish. Raises UsageError that says what is wrong and what would fit, if no kind of cover (or
    not the one that is asked for) satisfies the wish."""
    _check(wish)
    kinds = tuple(_kind(cover, wish) for cover in COVERS)
    if wish.cover is not None:
        (asked,) = (kind for kind in kinds if kind.cover == wish.cover)
        return Planned(_planned(asked), kinds, _said(asked, kinds))
    able = [kind for kind in kinds if kind.plan and _keeps(kind.plan, wish)]
    if not able:
        refused = [kind.refusal for kind in kinds if kind.refusal and kind.cover == DAY]
        raise refused[0] if refused else _too_few(kinds, wish)
    best = min(able, key=lambda kind: _frames(_planned(kind)))
    return Planned(_planned(best), kinds, _why(best, kinds))


def plan_for(wish: Wish, options: Collection[str] = ()) -> Plan:
    """The plan alone. Raises as choose() does, but proposes only these options, which are those of the command that
    asks.

    If the wish names a kind of cover the others are not computed, as a table may take seconds.
    """
    try:
        if wish.cover is None:
            return choose(wish).plan
        _check(wish)
        return _planned(_kind(wish.cover, wish))
    except Unfit as unfit:
        raise unfit.within(options) from None


def _planned(kind: Kind) -> Plan:
    if kind.plan is None:
        raise kind.refusal or UsageError(f"there is no plan with cover {kind.cover}", "leave --cover out")
    return kind.plan


def _check(wish: Wish) -> None:
    if wish.cover is not None:
        check_cover(wish.cover)
    check_losses(wish.cover or DAY, wish.epsilon, wish.delta, wish.day_epsilon, wish.day_delta)
    check_ranges(
        Choice(
            members=wish.members,
            round_seconds=ROUNDS[0] if wish.round_seconds is None else wish.round_seconds,
            epoch_rounds=DAY_SECONDS // ROUNDS[0] if wish.epoch_rounds is None else wish.epoch_rounds,
            retention_epochs=RETENTION[0] if wish.retention_epochs is None else wish.retention_epochs,
            buckets=wish.buckets,
            tokens_per_epoch=wish.tokens_per_epoch,
            posts_per_token=LEASE_POSTS if wish.posts_per_token is None else wish.posts_per_token,
            **wish.placed,
        )
    )
    check_copies(**wish.placed)
    most = composition.MOST // wish.copies  # deliveries that a table of a day can be made for
    if wish.messages is not None and not 1 <= wish.messages <= most:
        raise UsageError(f"messages is {wish.messages}, not in 1 to {most}", f"use --messages {MESSAGES}")
    if wish.megabytes is not None and wish.megabytes <= 0:
        raise UsageError("megabytes must be more than 0", f"use --megabytes {MEGABYTES_A_DAY}")


def _kind(cover: str, wish: Wish) -> Kind:
    """The plan with the shortest rounds that the board's flash and the download allow, or with the rounds of the
    wish."""
    refused: UsageError | None = None
    shorter: str | None = None
    try:
        for round_seconds in _rounds(wish):
            too_large: Choice | None = None
            for choice in _choices(cover, wish, round_seconds):
                try:
                    worn = None if wish.round_seconds else _worn(choice, check(choice))
                    if worn:
                        shorter = worn
                        continue
                    if too_large and choice.deliveries >= too_large.deliveries:
                        continue  # a table for as many deliveries or more would be as large
                    made = make(choice)
                except UsageError as error:
                    refused = error
                    continue
                too_much = None if wish.round_seconds else _too_much(made, wish)
                if too_much:
                    shorter, too_large = too_much, choice
                    continue
                if wish.round_seconds and wish.megabytes:
                    _check_download(made, wish.megabytes)
                return Kind(cover, made, None, shorter)
    except UsageError as error:
        refused = error
    if refused is None:
        refused = UsageError(
            f"even rounds of an hour are too short: {shorter}", "allow a larger download with --megabytes"
        )
    return Kind(cover, None, refused)


def _rounds(wish: Wish) -> tuple[int, ...]:
    return ROUNDS if wish.round_seconds is None else (wish.round_seconds,)


def _worn(choice: Choice, chosen: Board) -> str | None:
    """In words why the flash needs longer rounds; None if it does not. Servers have no flash that wears."""
    if chosen.several:
        return None
    years = figures.flash_years_of(choice, chosen)
    return f"{choice.round_seconds} s: flash lasts {years} years" if years < FLASH_YEARS else None


def _too_much(made: Plan, wish: Wish) -> str | None:
    """In words why the download needs longer rounds; None if it does not."""
    megabytes = figures.download_a_day(made) / figures.MEGABYTE
    if megabytes <= (wish.megabytes or MEGABYTES_A_DAY):
        return None
    return f"{made.choice.round_seconds} s: {figures.in_tenths(megabytes)} MB a day"


def _check_download(made: Plan, most: Fraction) -> None:
    found = figures.download_a_day(made) / figures.MEGABYTE
    if found > most:
        raise UsageError(
            f"with rounds of {made.choice.round_seconds} s each member downloads {figures.in_tenths(found)} MB a day, "
            f"more than {figures.in_tenths(most)}",
            f"leave --round-seconds out, or use --megabytes {figures.in_tenths(found)}",
        )


def _choices(cover: str, wish: Wish, round_seconds: int) -> Iterator[Choice]:
    """The choices to try with rounds of this length, the best first."""
    epoch_rounds = wish.epoch_rounds or max(2, min(DAY_SECONDS // round_seconds, 65535))
    start = Choice(
        members=wish.members,
        round_seconds=round_seconds,
        epoch_rounds=epoch_rounds,
        cover=cover,
        day_epsilon=wish.day_epsilon,
        day_delta=wish.day_delta,
        buckets=wish.buckets,
        tokens_per_epoch=wish.tokens_per_epoch,
        board=wish.board,
        allow_small=wish.allow_small,
        **wish.placed,
    )
    for retention_epochs, posts in _kept(start, wish):
        yield _covered(replace(start, retention_epochs=retention_epochs, posts_per_token=posts), wish)


def _kept(start: Choice, wish: Wish) -> Iterator[tuple[int, int]]:
    """(retention_epochs, posts_per_token) to try: the longest retention at which a member has the wanted posts
    first."""
    wanted = wish.posts_per_token or _posts(start, wish.messages or MESSAGES)
    fixed = wish.posts_per_token is not None or wish.messages is not None
    retentions = RETENTION if wish.retention_epochs is None else (wish.retention_epochs,)
    for retention in retentions:
        fitting = min(wanted, _posts_fitting(start, retention))
        last = retention == retentions[-1]
        if fixed and (fitting == wanted or last):
            yield retention, wanted
        if not fixed and (fitting >= min(wanted, _posts(start, _MESSAGES_LEAST)) or last):
            yield retention, max(fitting, LEASE_POSTS)


def _posts(start: Choice, messages: int) -> int:
    """How many posts each token needs for so many messages a day, in whole leases."""
    an_epoch = Fraction(messages * start.epoch_seconds, DAY_SECONDS * start.tokens_per_epoch)
    return max(1, -(-an_epoch // LEASE_POSTS)) * LEASE_POSTS


def _posts_fitting(start: Choice, retention_epochs: int) -> int:
    """For how many posts of each token the record ring has room, in whole leases."""
    room = board(start.board).ring_pages - SPARE_PAGES
    return int(room // (start.tokens * (retention_epochs + 1)) // LEASE_POSTS * LEASE_POSTS)


def _covered(choice: Choice, wish: Wish) -> Choice:
    if choice.cover == CONSTANT:
        return choice
    if choice.cover == DELIVERY:
        epsilon, delta = (DELIVERY_EPSILON, DELIVERY_DELTA) if wish.epsilon is None else (wish.epsilon, wish.delta)
        return replace(choice, epsilon=epsilon, delta=delta)
    of_tokens = choice.tokens_per_epoch * choice.posts_per_token * DAY_SECONDS // choice.epoch_seconds
    deliveries = wish.messages or min(MESSAGES, of_tokens, DAY_SECONDS // choice.round_seconds)
    copies = max(1, deliveries) * choice.copies
    return replace(choice, deliveries=copies, epsilon=wish.epsilon, delta=wish.delta)


def _keeps(made: Plan, wish: Wish) -> bool:
    """Whether a member can send as many messages as the wish says. With a table for one delivery the day's budget may
    allow fewer."""
    found = figures.messages_a_day(made)
    return found >= (wish.messages or 1)


def _too_few(kinds: tuple[Kind, ...], wish: Wish) -> UsageError:
    most = max((figures.messages_a_day(kind.plan) for kind in kinds if kind.plan), default=0)
    return UsageError(
        f"no kind of cover here allows {wish.messages or 1} messages for each member and day",
        f"use --messages {most} or fewer",
    )


def _frames(made: Plan) -> Fraction:
    """What readers download in each round, in frames of four records."""
    return max(Fraction(1), figures.records_a_cell(made) / RECORDS_PER_FRAME)


def _why(best: Kind, kinds: tuple[Kind, ...]) -> str:
    """The reason for the cheapest kind, in one line."""
    made = _planned(best)
    others = [
        f"{IN_WORDS[kind.cover]} {_records(kind.plan)}" for kind in kinds if kind.plan and kind.cover != best.cover
    ]
    costs = "; ".join([f"{_records(made)} records a round if everybody sends all", *others])
    if best.cover == CONSTANT:
        kept = "and privacy sets no daily limit"
    else:
        day = f"ε = {noise.decimal(made.choice.day_epsilon)}, δ = {noise.decimal_up(made.choice.day_delta)}"
        kept = f"for {figures.messages_a_day(made)} messages a member and day within {day}"
    return f"{IN_WORDS[best.cover].capitalize()}, as that is cheapest ({costs}), {kept}."


def _records(made: Plan) -> str:
    return figures.in_tenths(figures.records_a_cell(made))


def _said(asked: Kind, kinds: tuple[Kind, ...]) -> str:
    """The reason for a kind that was asked for, in one line, with a cheaper kind if there is one."""
    others = [kind.plan for kind in kinds if kind.plan and kind.cover != asked.cover]
    cheaper = [other for other in others if _frames(other) < _frames(_planned(asked))]
    text = f"{IN_WORDS[asked.cover].capitalize()}, as you asked"
    if not cheaper:
        return text + "."
    best = min(cheaper, key=_frames)
    costs = f"{_records(_planned(asked))} records a round, {IN_WORDS[best.choice.cover]} {_records(best)}"
    return f"{text} ({costs})."
