"""What a plan costs and promises, in numbers: for the table of `tessera plan`, the planner's choice and the annex.

Owns what counts as a member's day and month. Leaves to others: which sets are valid (plan.py), composition
(privacy/composition.py), words. Every figure is exact unless its name says estimate, fractions stay fractions until
they are printed, and what is rounded is rounded to the unfavourable side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

from tessera.admission import LEASE_POSTS
from tessera.nor import PAGES_PER_SECTOR, SECTOR_BYTES
from tessera.params import SPARE_PAGES, log2_cohorts
from tessera.wire import CELL_FRAME_BYTES, FETCH_ROUNDS, RECORDS_PER_FRAME

from ..duration import DAY_SECONDS
from ..errors import UsageError
from ..privacy import allowance, composition, noise
from ..privacy.composition import Part
from .boards import Board
from .plan import (
    Choice,
    Plan,
    cell_bytes,
    cell_bytes_mean,
    gateways,
    overfilling,
    readers_a_round,
    snapshot_pages,
)

MESSAGE_PARTS = 16
GUESS = 0.01  # what somebody thinks before watching, of which is said what it becomes
MONTH_DAYS = 30
YEAR_DAYS = 365
MEGABYTE = 1_000_000
SECTOR_NUMBERS = 1 << 27  # of a ring in all its life: 31 bits of a page's seq, of which 4 are its place
NO_BOUND = Fraction(64)  # with this ε, and a δ of 1, nothing is promised

# A record waits for its moment in a round, and is read by an agent in the round after it.
LATENCY_ROUNDS = 2
LATENCY_SECONDS = 10

# What the other bound of a plan's messages is, for people.
BY_PRIVACY, BY_ROUNDS, BY_RING, BY_CELL, BY_TOKENS = "the day's ε, δ", "rounds", "record ring", "heap", "posts a token"


@dataclass(frozen=True)
class Loss:
    """What so many deliveries of one member show at most: (ε, δ), upper bounds. `exchanged`: against as many others
    in its place; else against none."""

    of: str
    deliveries: int
    epsilon: Fraction
    delta: Fraction
    exchanged: bool = False

    @property
    def bounded(self) -> bool:
        return self.delta < 1

    def as_json(self) -> dict[str, Any]:
        return {
            "of": self.of,
            "deliveries": self.deliveries,
            "exchanged": self.exchanged,
            "epsilon": float(self.epsilon) if self.bounded else None,
            "delta": noise.decimal_up(self.delta),
        }


ONE, COPIES, LONGEST = "one delivery", "one message, all its copies", "longest message"
A_DAY, ANOTHER_DAY, A_MONTH = "a member's day", "a member's day, exchanged for another", "a member's month"


def losses(
    thresholds: Sequence[int],
    delivery: tuple[Fraction, Fraction],
    messages: int,
    day_delta: Fraction,
    copies: int,
) -> list[Loss]:
    """Of a delivery, of one message's copies if there are several, of the longest message, a day of so many messages
    and a month of such days, each delivery in a cell of its own, each copy a delivery.

    A day is named at the δ that the office promises of it, and so is the longest message; a month at 30 times that;
    copies at as many times a delivery's. Without thresholds nothing shows.
    """
    a_day = messages * copies
    wanted = [(LONGEST, MESSAGE_PARTS * copies, day_delta, False)]
    if copies > 1:
        wanted.insert(0, (COPIES, copies, min(copies * delivery[1], Fraction(1)), False))
    if messages:  # in epochs of weeks there may be less than one a day, which says nothing of a day
        wanted += [
            (A_DAY, a_day, day_delta, False),
            (ANOTHER_DAY, a_day, day_delta, True),
            (A_MONTH, MONTH_DAYS * a_day, min(MONTH_DAYS * day_delta, Fraction(1)), False),
        ]
    found = [
        Loss(of, k, *loss_of(tuple(thresholds), k, delta, exchanged), exchanged) for of, k, delta, exchanged in wanted
    ]
    return [Loss(ONE, 1, *delivery), *found]


@cache
def loss_of(
    thresholds: tuple[int, ...], deliveries: int, delta: Fraction, exchanged: bool
) -> tuple[Fraction, Fraction]:
    """(ε, δ) of so many deliveries: at this δ, or at the next tenfold that any ε has; (NO_BOUND, 1) if none has,
    (0, 0) without thresholds."""
    if not thresholds:
        return Fraction(0), Fraction(0)
    parts = [Part(thresholds, 1, deliveries)]
    while delta < 1:
        epsilon = composition.epsilon_of(parts, delta, exchanged)
        if epsilon is not None:
            return epsilon, delta
        delta *= 10
    return NO_BOUND, Fraction(1)


def messages_a_day(plan: Plan) -> int:
    """Messages of one part that a member's program sends in a day: none, if not one fits the day's budget."""
    choice = plan.choice
    day = choice.day_epsilon, choice.day_delta
    return allowance.of_a_day(plan.thresholds, day, _by_tokens(plan), choice.round_seconds, choice.copies)


def checked_messages_a_day(plan: Plan) -> int:
    """`messages_a_day`. Raises UsageError if it is none."""
    fitting = messages_a_day(plan)
    if not fitting:
        choice, (epsilon, delta) = plan.choice, plan.delivery
        one = f"ε = {noise.decimal(epsilon)}, δ = {noise.decimal_up(delta)}"
        what, fewer = f"a single message ({one}) does not fit", ""
        if choice.copies > 1:
            what, fewer = (
                f"a single message in {choice.copies} copies ({one} each) does not fit",
                "with fewer copies, or ",
            )
        raise UsageError(
            f"{what} a member's day of ε = {noise.decimal(choice.day_epsilon)}, δ = "
            f"{noise.decimal_up(choice.day_delta)}: nobody could send anything",
            f"plan with a smaller epsilon and delta, or {fewer}allow more: --day-epsilon, --day-delta",
        )
    return fitting


def limit_of_messages(plan: Plan) -> str:
    """What of it bounds `messages_a_day`, for people."""
    choice = plan.choice
    if messages_a_day(plan) < allowance.by_rounds(_by_tokens(plan), choice.round_seconds):
        return BY_PRIVACY
    if DAY_SECONDS // choice.round_seconds < _by_tokens(plan):
        return BY_ROUNDS
    more = choice.tokens * (choice.posts_per_token + LEASE_POSTS)
    if more * (choice.retention_epochs + 1) > plan.board.ring_pages - SPARE_PAGES:
        return BY_RING
    most = plan.board.cell_records
    return BY_CELL if plan.table and most is not None and more + plan.cover_most > most else BY_TOKENS


def _by_tokens(plan: Plan) -> int:
    choice = plan.choice
    return allowance.by_tokens(choice.tokens_per_epoch, choice.posts_per_token, choice.epoch_seconds)


def loss_rows(plan: Plan) -> list[Loss]:
    """`losses` of a plan."""
    return losses(plan.thresholds, plan.delivery, messages_a_day(plan), plan.choice.day_delta, plan.choice.copies)


def figures(plan: Plan) -> dict[str, Any]:
    """All of them. Numbers are rounded to the unfavourable side, or exact fractions as text."""
    return _privacy(plan) | _traffic(plan) | _capacity(plan) | _wear(plan)


def _privacy(plan: Plan) -> dict[str, Any]:
    epsilon, delta = plan.delivery
    return {
        "cover": plan.choice.cover,
        "cover_records_mean": float(round(plan.cover_mean, 3)),
        "cover_records_most": plan.cover_most,
        "epsilon": noise.decimal(epsilon),
        "exact_delta": str(delta),
        "exact_delta_decimal": noise.decimal_up(delta),
        "losses": [each.as_json() for each in loss_rows(plan)],
        "messages_a_member_a_day": messages_a_day(plan),
        "messages_limited_by": limit_of_messages(plan),
        "members_a_bucket": noise.decimal(Fraction(plan.choice.members, plan.choice.buckets)),
        "cohorts": cohorts(plan.choice.members),
        "members_a_cohort": noise.decimal(Fraction(plan.choice.members, cohorts(plan.choice.members))),
    }


def records_a_cell(plan: Plan) -> Fraction:
    """On average if every member sends all that a day allows, to members of all relays alike: what readers download
    of one relay, a round."""
    choice = plan.choice
    if not plan.table:
        return Fraction(plan.constant)
    posted = choice.members * messages_a_day(plan) * choice.copies
    sent = Fraction(posted * choice.round_seconds, DAY_SECONDS * choice.buckets * choice.relays)
    return plan.cover_mean + sent


def download_a_day(plan: Plan) -> Fraction:
    """Bytes of cells and their ends that an agent, which fetches every round from each relay that has its mailbox,
    downloads while nobody posts."""
    return _cells_a_day(plan.choice) * (cell_bytes_mean(plan) + CELL_FRAME_BYTES)


def download_in_use(plan: Plan, buckets: int) -> Fraction:
    """`download_a_day` if everybody sends all that a day allows, with so many buckets: a record more is a quarter of a
    frame more."""
    choice = plan.choice
    posted = Fraction(choice.members * messages_a_day(plan) * choice.copies, buckets * choice.relays)
    return download_a_day(plan) + choice.copies * posted * Fraction(CELL_FRAME_BYTES, RECORDS_PER_FRAME)


def _cells_a_day(choice: Choice) -> Fraction:
    """That a member reads: one a round of each relay that has its mailbox."""
    return Fraction(DAY_SECONDS * choice.copies, choice.round_seconds)


def in_tenths(value: Fraction) -> str:
    """For people: one decimal, rounded up."""
    return f"{float(Fraction(-(-value * 10 // 1), 10)):g}"


def cohorts(members: int) -> int:
    """Of so many members, by which a relay can tell posting sessions apart (PROTOCOL §6)."""
    return int(1 << log2_cohorts(members))


def _traffic(plan: Plan) -> dict[str, Any]:
    choice = plan.choice
    mean = cell_bytes_mean(plan)
    idle = _cells_a_day(choice) * (mean + Fraction(CELL_FRAME_BYTES, FETCH_ROUNDS))
    # Of a table: a record more is a quarter of a frame more, on average over where a cell's last frame happens to end.
    posted = Fraction(choice.posts_an_epoch * choice.copies * DAY_SECONDS, choice.epoch_seconds * choice.buckets)
    records = posted if plan.table else 0
    return {
        "latency_seconds": LATENCY_ROUNDS * choice.round_seconds + LATENCY_SECONDS,
        "cell_bytes_mean": _up(mean, 0),
        "cell_bytes_max": cell_bytes(plan.cover_most),
        "download_bytes_per_day": _up(download_a_day(plan), 0),
        "download_bytes_per_day_quota_used_estimate": _up(
            download_a_day(plan) + records * Fraction(CELL_FRAME_BYTES, RECORDS_PER_FRAME), 0
        ),
        "download_bytes_per_day_fetching_16_rounds_at_once": _up(idle, 0),
    }


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
        "readers_a_round_board_estimate": readers_a_round(plan, plan.board),
        "gateways_estimate": gateways(plan),
        "members_who_could_overfill_a_cell": overfilling(plan),
        "ring_bytes": plan.board.ring_sectors_for(choice.posts_an_epoch * epochs) * SECTOR_BYTES,
        "relays": choice.relays,
        "topology": choice.topology,
        "copies": choice.copies,
        "tokens_a_member_an_epoch": choice.relays * choice.tokens_per_epoch,
        "relays_read_a_round": choice.copies,
        "epoch_seconds": choice.epoch_seconds,
        "retention_seconds": choice.retention_epochs * choice.epoch_seconds,
    }


def flash_years(plan: Plan) -> int:
    """Until a sector reaches its rated erases, with every post used and a boot a day; an estimate."""
    return flash_years_of(plan.choice, plan.board)


def flash_years_of(choice: Choice, chosen: Board) -> int:
    """`flash_years`, which depend on no table."""
    return int(chosen.erase_cycles / (max(_erases_a_day(choice, chosen)) * YEAR_DAYS))


def _wear(plan: Plan) -> dict[str, Any]:
    ring, keyring = _erases_a_day(plan.choice, plan.board)
    return {
        "erases_per_sector_per_year_ring_estimate": _up(ring * YEAR_DAYS, 1),
        "erases_per_sector_per_year_keyring_estimate": _up(keyring * YEAR_DAYS, 1),
        "flash_years_estimate": flash_years(plan),
        "ring_numbers_years_estimate": float(ring_numbers_years(plan)),
    }


def ring_numbers_years(plan: Plan) -> Fraction:
    """Until the numbers that sectors of the ring have in order of use (PROTOCOL §10) are used up, if every post is
    used; rounded down to tenths. Then another relay takes its place."""
    choice = plan.choice
    a_year = _sectors_a_day(choice) * YEAR_DAYS
    return Fraction(10 * SECTOR_NUMBERS // a_year, 10)


def _sectors_a_day(choice: Choice) -> Fraction:
    """Of the ring, that are filled. The log closes a sector at the latest 255 rounds after its first record; a boot
    opens a new one."""
    epochs_a_day = Fraction(DAY_SECONDS, choice.epoch_seconds)
    sectors = Fraction(choice.posts_an_epoch, PAGES_PER_SECTOR) + Fraction(choice.epoch_rounds, 255)
    return sectors * epochs_a_day + 1


def _erases_a_day(choice: Choice, chosen: Board) -> tuple[Fraction, Fraction]:
    """Of a sector of the record ring, and of the key ring."""
    epochs_a_day = Fraction(DAY_SECONDS, choice.epoch_seconds)
    ring = _sectors_a_day(choice) / chosen.ring_sectors_for(choice.posts_an_epoch * (choice.retention_epochs + 1))
    appended = choice.epoch_rounds + Fraction(choice.posts_an_epoch, LEASE_POSTS)
    rewrites = appended / (chosen.fill_pages - snapshot_pages(choice.retention_epochs, choice.tokens)) + 1
    keyring = (rewrites * epochs_a_day + 1) / 2  # each rewrite erases one of two banks
    return ring, keyring


def percent(probability: float, up: bool = True) -> str:
    """Rounded to the unfavourable side; never 100 %, as nothing here is certain."""
    scaled = probability * 1000
    rounded = math.ceil(scaled - 1e-9) if up else math.floor(scaled + 1e-9)
    if rounded >= 1000:
        return "over 99.9 %"
    return f"{rounded / 10:g} %"


def _up(value: Fraction, digits: int) -> int | float:
    """A printable number, rounded up to so many decimals."""
    scaled = -(-value * 10**digits // 1)
    return scaled if not digits else float(Fraction(scaled, 10**digits))
