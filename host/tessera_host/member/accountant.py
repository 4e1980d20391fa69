"""The client accountant: what a member's own day of deliveries says to whoever sees every published count.

Owns the count of records that left in the last 24 hours and when the next one fits. How many may is `allowance`'s
business. Those who post ask before they do.

A record counts as soon as it may have left, also if no answer came: the relay may have published it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from ..duration import DAY_SECONDS
from ..privacy import allowance
from ..protocol import parameter_sets
from ..protocol.federation import Federation


@dataclass(frozen=True)
class Budget:
    """A member's day: records used in the last 24 hours and allowed in any 24 hours (`allowance`); the unix time from
    which the next one fits (not later than now if one fits now; None if none ever does)."""

    used: int
    allowed: int
    epsilon: str
    delta: str
    next_at: int | None

    @property
    def left(self) -> int:
        return max(0, self.allowed - self.used)

    def __str__(self) -> str:
        return f"Today: {self.used} of {self.allowed} messages."


class Accountant:
    """A view of the keystore's list of the times (unix seconds) at which records left, oldest first."""

    def __init__(self, times: list[int], federation: Federation) -> None:
        self._times = times
        self._federation = federation

    def spend(self, now: int) -> None:
        """A record is about to leave. To be saved before it does."""
        self._times[:] = [*(time for time in self._times if time > now - DAY_SECONDS), now]

    def posted_in_this_round(self, now: int) -> bool:
        """Whether a record left in the round of this moment, or in a later one."""
        return any(self._federation.round_at(time) >= self._federation.round_at(now) for time in self._times[-1:])

    def posted_since(self, moment: int) -> int | None:
        """Records that left since then; None if that is longer ago than is counted."""
        if not self._times or moment <= self._times[-1] - DAY_SECONDS:
            return None if self._times else 0
        return sum(time >= moment for time in self._times)

    def budget(self, now: int) -> Budget:
        return self.weighed(now)()

    def weighed(self, now: int) -> Callable[[], Budget]:
        """`budget`, with all that it takes from the keystore taken now: the sum may be done in another thread."""
        recent = sorted(time for time in self._times if time > now - DAY_SECONDS)
        tables, office, tokens = self._tables(now), self._federation.budget, self._by_tokens(now)
        round_seconds = int(self._federation.newest.round_seconds)

        def summed() -> Budget:
            epsilon, delta = office["epsilon"], office["delta"]
            budget = Fraction(epsilon), Fraction(delta)
            allowed = min(allowance.of_a_day(each, budget, tokens, round_seconds) for each in tables)
            return Budget(len(recent), allowed, epsilon, delta, _next_at(recent, allowed, now))

        return summed

    def _by_tokens(self, now: int) -> int:
        federation = self._federation
        known = federation.governing(federation.epoch_of(federation.round_at(now)))
        each = len(federation.relays) * known.tokens_per_epoch
        return allowance.by_tokens(each, known.posts_per_token, known.round_seconds * known.epoch_rounds)

    def _tables(self, now: int) -> set[tuple[int, ...]]:
        """The noise tables that governed the day."""
        federation = self._federation
        last = federation.epoch_of(federation.round_at(now))
        first = federation.epoch_of(federation.round_at(now - DAY_SECONDS))
        return {tuple(parameter_sets.thresholds(federation.governing(epoch))) for epoch in range(first, last + 1)}


def _next_at(recent: list[int], allowed: int, now: int) -> int | None:
    if allowed == 0:
        return None
    return now if len(recent) < allowed else recent[len(recent) - allowed] + DAY_SECONDS
