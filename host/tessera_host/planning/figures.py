"""What a plan costs and promises, in numbers: for the table of `tessera plan`, the planner's choice and the annex.

Owns the definition of a member's day and month. Leaves to others: which plans are valid (plan.py), composition
(privacy/composition.py), how figures are worded. A figure is exact unless its name says estimate. Fractions stay
fractions until they are printed, and rounding goes to the unfavourable side.
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
GUESS = 0.01  # probability of a suspicion before watching; reports say what it becomes
MONTH_DAYS = 30
YEAR_DAYS = 365
MEGABYTE = 1_000_000
SECTOR_NUMBERS = 1 << 27  # in the life of a ring: a page's seq has 31 bits, of which 4 are its place in the sector
NO_BOUND = Fraction(64)  # this ε together with a δ of 1 stands for no bound

# A record waits for its moment in a round, and an agent reads it in the round after that.
LATENCY_ROUNDS = 2
LATENCY_SECONDS = 10

# What bounds the messages of a plan, for people.
BY_PRIVACY, BY_ROUNDS, BY_RING, BY_CELL, BY_TOKENS = "the day's ε, δ", "rounds", "record ring", "heap", "posts a token"


@dataclass(frozen=True)
class Loss:
    """Upper bounds (ε, δ) of what so many deliveries of one member reveal. of: one of the names below.

    exchanged: compared with a day that has as many deliveries in other cells; otherwise with a day that has none.
    """

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
    """The losses of one delivery, of all copies of a message if there are several, of the longest message, of a day
    with so many messages, and of a month of such days. Each copy is a delivery, in a cell of its own.

    delivery: (ε, δ) of one delivery. A day and the longest message are computed at day_delta, a month at 30 times that,
    copies at as many times the δ of one delivery. Without thresholds all losses are 0.
    """
    a_day = messages * copies
    wanted = [(LONGEST, MESSAGE_PARTS * copies, day_delta, False)]
    if copies > 1:
        wanted.insert(0, (COPIES, copies, min(copies * delivery[1], Fraction(1)), False))
    if messages:  # with epochs of weeks there may be less than one message a day, and then no day to compute
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
    """(ε, δ) of so many deliveries, at this δ or the smallest tenfold of it at which there is an ε. (NO_BOUND, 1) if
    there is none, (0, 0) without thresholds."""
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
    """How many messages of one part a member's program sends in a day; 0 if not one fits the day's budget."""
    choice = plan.choice
    day = choice.day_epsilon, choice.day_delta
    return allowance.of_a_day(plan.thresholds, day, _by_tokens(plan), choice.round_seconds, choice.copies)


def checked_messages_a_day(plan: Plan) -> int:
    """messages_a_day(). Raises UsageError if it is 0."""
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
    """In words what bounds messages_a_day()."""
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
    """The losses() of a plan."""
    return losses(plan.thresholds, plan.delivery, messages_a_day(plan), plan.choice.day_delta, plan.choice.copies)


def figures(plan: Plan) -> dict[str, Any]:
    """All figures of a plan. Numbers are rounded to the unfavourable side; exact fractions are text."""
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
    """How many records readers download from one relay in each round, on average, if every member sends all that a day
    allows and members are spread evenly over the relays."""
    choice = plan.choice
    if not plan.table:
        return Fraction(plan.constant)
    posted = choice.members * messages_a_day(plan) * choice.copies
    sent = Fraction(posted * choice.round_seconds, DAY_SECONDS * choice.buckets * choice.relays)
    return plan.cover_mean + sent


def download_a_day(plan: Plan) -> Fraction:
    """Bytes of cells and END frames that an agent downloads in a day while nobody posts. It fetches every round from
    each relay that has its mailbox."""
    return _cells_a_day(plan.choice) * (cell_bytes_mean(plan) + CELL_FRAME_BYTES)


def download_in_use(plan: Plan, buckets: int) -> Fraction:
    """download_a_day() if everybody sends all that a day allows, with so many buckets. Another record is another
    quarter of a frame."""
    choice = plan.choice
    posted = Fraction(choice.members * messages_a_day(plan) * choice.copies, buckets * choice.relays)
    return download_a_day(plan) + choice.copies * posted * Fraction(CELL_FRAME_BYTES, RECORDS_PER_FRAME)


def _cells_a_day(choice: Choice) -> Fraction:
    """How many cells a member reads in a day: one in each round from each relay that has its mailbox."""
    return Fraction(DAY_SECONDS * choice.copies, choice.round_seconds)


def in_tenths(value: Fraction) -> str:
    """A number for people, with one decimal, rounded up."""
    return f"{float(Fraction(-(-value * 10 // 1), 10)):g}"


def cohorts(members: int) -> int:
    """How many cohorts so many members form; a relay can tell posting sessions of different cohorts apart (PROTOCOL
    §6)."""
    return int(1 << log2_cohorts(members))


def _traffic(plan: Plan) -> dict[str, Any]:
    choice = plan.choice
    mean = cell_bytes_mean(plan)
    idle = _cells_a_day(choice) * (mean + Fraction(CELL_FRAME_BYTES, FETCH_ROUNDS))
    # With a table, another record is another quarter of a frame, on average over how full a cell's last frame is.
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
    """Years until a sector reaches its rated erases, if every post is used and the relay boots daily; an estimate."""
    return flash_years_of(plan.choice, plan.board)


def flash_years_of(choice: Choice, chosen: Board) -> int:
    """flash_years() of a choice; they do not depend on its table."""
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
    """Years until the numbers of the ring's sectors (PROTOCOL §10) are used up, if every post is used; rounded down to
    tenths. Then the relay must be replaced."""
    choice = plan.choice
    a_year = _sectors_a_day(choice) * YEAR_DAYS
    return Fraction(10 * SECTOR_NUMBERS // a_year, 10)


def _sectors_a_day(choice: Choice) -> Fraction:
    """How many sectors of the record ring are filled in a day. The log closes a sector at the latest 255 rounds after
    its first record, and a boot opens a new one."""
    epochs_a_day = Fraction(DAY_SECONDS, choice.epoch_seconds)
    sectors = Fraction(choice.posts_an_epoch, PAGES_PER_SECTOR) + Fraction(choice.epoch_rounds, 255)
    return sectors * epochs_a_day + 1


def _erases_a_day(choice: Choice, chosen: Board) -> tuple[Fraction, Fraction]:
    """(erases of each sector of the record ring, of the key ring) in a day."""
    epochs_a_day = Fraction(DAY_SECONDS, choice.epoch_seconds)
    ring = _sectors_a_day(choice) / chosen.ring_sectors_for(choice.posts_an_epoch * (choice.retention_epochs + 1))
    appended = choice.epoch_rounds + Fraction(choice.posts_an_epoch, LEASE_POSTS)
    rewrites = appended / (chosen.fill_pages - snapshot_pages(choice.retention_epochs, choice.tokens)) + 1
    keyring = (rewrites * epochs_a_day + 1) / 2  # each rewrite erases one of two banks
    return ring, keyring


def percent(probability: float, up: bool = True) -> str:
    """A probability in percent, rounded to the unfavourable side. Never 100 %, as nothing here is certain."""
    scaled = probability * 1000
    rounded = math.ceil(scaled - 1e-9) if up else math.floor(scaled + 1e-9)
    if rounded >= 1000:
        return "over 99.9 %"
    return f"{rounded / 10:g} %"


def _up(value: Fraction, digits: int) -> int | float:
    """A number that can be printed, rounded up to so many decimals."""
    scaled = -(-value * 10**digits // 1)
    return scaled if not digits else float(Fraction(scaled, 10**digits))
