"""What many deliveries add up to, in figures for plans and reports.

Owns which figures: a pair (ε, δ) for so many deliveries at a round δ, what a suspicion becomes. Leaves to others: the
sums (composition.py), the table and the exact figures of one delivery (noise.py), what a member may send in a day (the
accountant).

Deliveries are counted in different cells (relay, bucket, round): each has noise of its own. Several records of a member
in one cell shift one count by as many; `same_cell` is for them.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from . import composition, noise
from .composition import Part

DELTA_WORTH_NAMING = Fraction(1, 10)


@dataclass(frozen=True)
class Composition:
    """What `deliveries` deliveries in as many cells reveal at most; both pairs hold, whichever is wanted."""

    deliveries: int
    basic_epsilon: Fraction
    basic_delta: Fraction
    epsilon: Fraction | None  # of all of them together, at `delta`; None if there is none worth naming
    delta: Fraction


class Losses:
    """Of a noise table and the ε of one delivery."""

    def __init__(self, thresholds: Sequence[int], epsilon: Fraction) -> None:
        self._thresholds = tuple(thresholds)
        self._epsilon = epsilon
        self._exact_delta = noise.exact_delta(self._thresholds, noise.exp_lower(epsilon))
        self._epsilons: dict[tuple[int, Fraction], Fraction | None] = {}

    def of(self, deliveries: int) -> Composition:
        """The figures of so many deliveries, at a δ that leaves room: twice the sum, made round."""
        basic = min(deliveries * self._exact_delta, Fraction(1))
        delta = _round_delta(2 * basic)
        epsilon = self.epsilon(deliveries, delta) if delta < DELTA_WORTH_NAMING else None
        return Composition(deliveries, deliveries * self._epsilon, basic, epsilon, delta)

    def epsilon(self, deliveries: int, delta: Fraction) -> Fraction | None:
        """The smallest ε so that deliveries are (ε, delta) indistinguishable, rounded up; None if there is none."""
        if (deliveries, delta) not in self._epsilons:
            self._epsilons[deliveries, delta] = composition.epsilon_of(self._parts(deliveries), delta)
        return self._epsilons[deliveries, delta]

    def delta(self, deliveries: int, epsilon: Fraction) -> Fraction:
        """The smallest δ for this ε, rounded up."""
        return composition.delta_of(self._parts(deliveries), epsilon)

    def _parts(self, deliveries: int) -> list[Part]:
        return [Part(self._thresholds, 1, deliveries)]


@functools.lru_cache(maxsize=4)
def losses_of(thresholds: tuple[int, ...], epsilon: Fraction) -> Losses:
    """Of a table; what was composed once is kept."""
    return Losses(thresholds, epsilon)


def same_cell(thresholds: Sequence[int], epsilon: Fraction, records: int) -> tuple[Fraction, Fraction]:
    """(records·ε, exact δ) if all of them are in one cell: the count is shifted by so many. More than records·δ."""
    together = records * epsilon
    return together, composition.delta_of([Part(tuple(thresholds), records, 1)], together)


def posterior(prior: float, loss: float) -> float:
    """What a suspicion of this probability becomes under a loss; under ε it is the most it can become, but for δ."""
    if loss < 0:
        odds = prior / (1 - prior) * math.exp(loss)
        return odds / (1 + odds)
    return 1 / (1 + (1 - prior) / prior * math.exp(-loss))


def losses_by_count(thresholds: Sequence[int]) -> list[float]:
    """For each count 0 … n + 1 that can be published: ln P(count | a record more) / P(count); ±inf at the ends."""
    padded = [0, *noise.weights(list(thresholds)), 0]
    return [_ratio(before, here) for before, here in pairwise(padded)]


def _ratio(with_record: int, without: int) -> float:
    if not with_record:
        return -math.inf
    return math.log(with_record) - math.log(without) if without else math.inf


def in_words(composition: Composition) -> str:
    """The bound, for people."""
    if composition.epsilon is None:
        return "no bound worth naming"
    return f"ε ≤ {up_to_four(composition.epsilon)}, δ ≤ {noise.decimal_up(composition.delta)}"


def up_to_four(epsilon: Fraction) -> str:
    """With four decimals, rounded up."""
    return noise.decimal(Fraction(-(-epsilon * 10_000 // 1), 10_000))


def _round_delta(delta: Fraction) -> Fraction:
    """The next of 1, 2, 5 times a power of ten; at most 1."""
    power = Fraction(1)
    while power / 10 >= delta:
        power /= 10
    candidates = (power * step / 10 for step in (1, 2, 5, 10))
    return min(next(each for each in candidates if each >= delta), Fraction(1)) if delta < 1 else Fraction(1)
