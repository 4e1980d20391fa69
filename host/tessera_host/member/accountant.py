"""The client accountant: what a member's own day of deliveries says to whoever sees every published count.

Owns what left in the last 24 hours, by cell and noise table, and when the next record fits. What bounds a day is
`allowance`'s business, what cells reveal together `composition`'s. Those who post ask before they do.

A record counts as soon as it may have left, also if no answer came: the relay may have published it. It counts by the
table of the set that the relay named (INFO) when it left. A set with constant batches has none: nothing is revealed,
and rounds and tokens alone are the limit.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tessera.params import Parameters

from ..duration import DAY_SECONDS
from ..privacy import allowance, composition
from ..privacy.composition import Part
from ..protocol import parameter_sets
from ..protocol.federation import Federation
from .schema import Departure


@dataclass(frozen=True)
class Budget:
    """A member's day: records used in the last 24 hours and allowed in any 24 hours (`allowance`); the unix time from
    which the next one fits (not later than now if one fits now; None if none ever does). epsilon and delta are those of
    the day's deliveries that the office wants, "0" where nothing shows of them: in constant batches. `copies` is how
    many records a part of a message is."""

    used: int
    allowed: int
    epsilon: str
    delta: str
    next_at: int | None
    copies: int = 1

    @property
    def left(self) -> int:
        """Records that may still leave now: never below 0."""
        return max(0, self.allowed - self.used)

    @property
    def unit(self) -> str:
        """What is counted: where there are copies, a part of a message is several records."""
        return "record" if self.copies > 1 else "message"

    def __str__(self) -> str:
        each = f"; a message takes {self.copies}, one for each of its relays" if self.copies > 1 else ""
        return f"Today: {self.used} of {self.allowed} {self.unit}s{each}."


class Accountant:
    """A view of the keystore's list of records that left, oldest first."""

    def __init__(self, departures: list[Departure], federation: Federation) -> None:
        self._departures = departures
        self._federation = federation

    def spend(self, departure: Departure) -> None:
        """Count a record that is about to leave. Save the state before it does."""
        kept = (known for known in self._departures if known.time > departure.time - DAY_SECONDS)
        self._departures[:] = [*kept, departure]

    def posted_in_this_round(self, now: int, relay: int | None = None) -> bool:
        """Tell whether a record left in the round of this moment (unix seconds) or in a later one; with `relay`,
        whether one left for the relay of this number."""
        round_at = self._federation.round_at
        last = next((known for known in reversed(self._departures) if relay in (None, known.relay)), None)
        return last is not None and round_at(last.time) >= round_at(now)

    def posted_since(self, moment: int, relay: int) -> int | None:
        """Count the records that left for the relay of this number since `moment` (unix seconds); None if that is
        longer ago than records are counted."""
        if not self._departures or moment <= self._departures[-1].time - DAY_SECONDS:
            return None if self._departures else 0
        return sum(known.time >= moment and known.relay == relay for known in self._departures)

    def use_up(self, now: int) -> None:
        """Count as many records as the day allows, each in a cell of its own, as if they had left just now."""
        here, digest = (self._federation.home.id, self._federation.round_at(now)), self._governing(now).digest
        buckets = range(self.budget(now).left)
        self._departures += [Departure(now, here[0], bucket, here[1], digest) for bucket in buckets]

    def budget(self, now: int) -> Budget:
        """Compute this member's day at `now` (unix seconds)."""
        return self.weighed(now)()

    def may_post(self, now: int, relay: int) -> bool:
        """Tell whether one more record fits now, to the relay of this number."""
        budget = self.budget(now)
        return budget.left > 0 and self.share_at(budget, now, relay) <= now

    def share_at(self, budget: Budget, now: int, relay: int) -> int:
        """Compute the unix time from which one more record fits into the share of the day that a relay may have
        (`share_at`)."""
        return share_at(budget, now, self.times(relay))

    def times(self, relay: int) -> list[int]:
        """List the times (unix seconds, in order) of the records that count and left for the relay of this number."""
        return sorted(known.time for known in self._departures if known.relay == relay)

    def weighed(self, now: int) -> Callable[[], Budget]:
        """Prepare `budget`: everything that it needs from the keystore is read now, so another thread may compute the
        sum."""
        recent = [known for known in self._departures if known.time > now - DAY_SECONDS]
        recent.sort(key=lambda known: known.time)
        day = self._day(recent, now)
        copies = self._copies(now)
        office = self._federation.budget

        def summed() -> Budget:
            allowed = len(recent) + day.room(0)
            epsilon, delta = (office["epsilon"], office["delta"]) if day.shows else ("0", "0")
            return Budget(len(recent), allowed, epsilon, delta, day.next_at(now), copies)

        return summed

    def _day(self, recent: Sequence[Departure], now: int) -> "_Day":
        office, governing = self._federation.budget, self._governing(now)
        each = len(self._federation.relays) * governing.tokens_per_epoch
        tokens = allowance.by_tokens(each, governing.posts_per_token, governing.round_seconds * governing.epoch_rounds)
        return _Day(
            times=[known.time for known in recent],
            cells=[((known.relay, known.bucket, known.round), self._table(known)) for known in recent],
            table=_table_of(governing),
            budget=(Fraction(office["epsilon"]), Fraction(office["delta"])),
            most=min(tokens, self._copies(now) * allowance.by_rounds(tokens, int(governing.round_seconds))),
        )

    def _copies(self, now: int) -> int:
        return self._federation.copies(self._epoch(now))

    def _governing(self, now: int) -> Parameters:
        return self._federation.governing(self._epoch(now))

    def _epoch(self, now: int) -> int:
        return self._federation.epoch_of(self._federation.round_at(now))

    def _table(self, departure: Departure) -> tuple[int, ...]:
        """By which the record counts; of a set that was forgotten meanwhile, by that of its time."""
        known = self._federation.with_digest(departure.digest)
        return _table_of(known or self._governing(departure.time))


def share_at(budget: Budget, now: int, times: Sequence[int]) -> int:
    """Compute the unix time from which one more record fits into the share of the day of a relay that had records at
    these times. Where a part is several records, a relay gets no more than one of each. Records that it refused count
    as well, and only against its own share."""
    if budget.copies == 1:
        return now
    most = max(1, -(-budget.allowed // budget.copies))
    return max(now, times[-most] + DAY_SECONDS) if len(times) >= most else now


def _table_of(parameters: Parameters) -> tuple[int, ...]:
    return tuple(parameter_sets.thresholds(parameters))


_Place = tuple[int, int, int]  # relay, bucket, round


@dataclass(frozen=True)
class _Day:
    """Records that left, oldest first, and what bounds them: the table of now, the office's (ε, δ), and the most that
    rounds and tokens allow."""

    times: list[int]
    cells: list[tuple[_Place, tuple[int, ...]]]
    table: tuple[int, ...]
    budget: tuple[Fraction, Fraction]
    most: int

    @property
    def shows(self) -> bool:
        """Whether anything that is published depends on what left, or leaves now."""
        return bool(self.table) or any(table for _, table in self.cells)

    def room(self, aged: int) -> int:
        """How many records more fit when so many of the oldest no longer count."""
        shifts = Counter(self.cells[aged:])
        parts = Counter((table, shift) for (_, table), shift in shifts.items() if table)
        room = self.most - sum(shifts.values())
        if self.table and parts.keys() <= {(self.table, 1)}:
            room = min(room, composition.deliveries_within(self.table, *self.budget) - parts.total())
        elif self.table:
            before = tuple(Part(table, shift, times) for (table, shift), times in sorted(parts.items()))
            room = min(room, composition.more_within(before, self.table, *self.budget))
        return max(0, room)

    def next_at(self, now: int) -> int | None:
        """From when on one more fits; None if not even one fits a day."""
        if self.room(0):
            return now
        if not self.room(len(self.cells)):
            return None
        aged = bisect_left(range(len(self.cells)), True, key=lambda count: self.room(count) > 0)
        return self.times[aged - 1] + DAY_SECONDS
