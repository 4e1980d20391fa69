"""What many deliveries add up to: ε and δ by privacy loss distributions, from the integers of the noise table.

Owns the composition of deliveries for plans and reports. The distributions are Google's `dp-accounting` (rounded to the
unfavourable side), which is imported when first used: it is an extra that members do not need. Leaves to others: the
table and the exact figures of one delivery (noise.py), what a member may send in a day (the accountant).

Composition counts deliveries in different cells (bucket, round): each has noise of its own. Several records of a member
in one cell shift one count by as many; `same_cell` is for them.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from types import ModuleType
from typing import Any

from .. import extras
from ..errors import UsageError
from . import noise

# Losses are rounded up to a grid this much finer than ε. Nearly all are ε or -ε but for the floors of the table; the
# grid is a little wider than that, so that ε itself is not rounded to the next point.
_GRID_PARTS = 2_000
_FLOORS = 1 + 1e-9
DELIVERIES_MAX = 5_000  # 0.4 GB; more are hidden by no noise that leaves room for them
DELTA_WORTH_NAMING = Fraction(1, 10)


@dataclass(frozen=True)
class Composition:
    """What `deliveries` deliveries in as many cells reveal at most; both pairs hold, whichever is wanted."""

    deliveries: int
    basic_epsilon: Fraction
    basic_delta: Fraction
    epsilon: float | None  # by privacy loss distributions, at `delta`, rounded up; None if there is none worth naming
    delta: Fraction


class Losses:
    """Privacy losses of a noise table. Raises UsageError without the extra `report`."""

    def __init__(self, thresholds: Sequence[int], epsilon: Fraction) -> None:
        self._weights = noise.weights(list(thresholds))
        self._epsilon = epsilon
        self._exact_delta = noise.exact_delta(list(thresholds), noise.exp_lower(epsilon))
        self._one = self._distribution(_library())
        self._epsilons: dict[tuple[int, Fraction], float] = {}  # what was asked: a composition takes a second

    def _distribution(self, library: ModuleType) -> Any:
        """Of one delivery, both directions: N or N + 1 records, the one that is likelier or the other."""
        with_record = {k + 1: _log(weight) for k, weight in enumerate(self._weights) if weight}
        without = {k: _log(weight) for k, weight in enumerate(self._weights) if weight}
        return library.from_two_probability_mass_functions(
            without,
            with_record,
            pessimistic_estimate=True,
            value_discretization_interval=float(self._epsilon) * _FLOORS / _GRID_PARTS,
            symmetric=False,
        )

    def of(self, deliveries: int) -> Composition:
        """The figures of so many deliveries, at a δ that leaves the distribution room: twice the sum, made round."""
        basic = min(deliveries * self._exact_delta, Fraction(1))
        delta = _round_delta(2 * basic)
        worth = deliveries <= DELIVERIES_MAX and delta < DELTA_WORTH_NAMING
        epsilon = _up(self.epsilon(deliveries, delta)) if worth else None
        return Composition(deliveries, deliveries * self._epsilon, basic, epsilon, delta)

    def epsilon(self, deliveries: int, delta: Fraction) -> float:
        """The smallest ε so that deliveries are (ε, delta) indistinguishable; infinite if there is none."""
        if (deliveries, delta) not in self._epsilons:
            found = float(self._composed(deliveries).get_epsilon_for_delta(float(delta)))
            self._epsilons[deliveries, delta] = found
        return self._epsilons[deliveries, delta]

    def delta(self, deliveries: int, epsilon: float) -> float:
        """The smallest δ for this ε."""
        return float(self._composed(deliveries).get_delta_for_epsilon(epsilon))

    def _composed(self, deliveries: int) -> Any:
        return self._one.self_compose(deliveries) if deliveries > 1 else self._one


@functools.lru_cache(maxsize=4)
def losses_of(thresholds: tuple[int, ...], epsilon: Fraction) -> Losses:
    """Of a table; what was composed once is kept. Raises UsageError without the extra."""
    return Losses(thresholds, epsilon)


def same_cell(thresholds: Sequence[int], epsilon: Fraction, records: int) -> tuple[Fraction, Fraction]:
    """(records·ε, exact δ) if all of them are in one cell: the count is shifted by so many. More than records·δ."""
    weights = noise.weights(list(thresholds))
    factor = noise.exp_lower(epsilon) ** records
    padding = [0] * records
    shifted = list(zip([*padding, *weights], [*weights, *padding], strict=True))
    more = sum((max(Fraction(0), here - factor * other) for here, other in shifted), Fraction(0))
    fewer = sum((max(Fraction(0), other - factor * here) for here, other in shifted), Fraction(0))
    return records * epsilon, min(max(more, fewer) / noise.DRAWS, Fraction(1))


def posterior(prior: float, loss: float) -> float:
    """What a suspicion of this probability becomes under a loss; under ε it is the most it can become, but for δ."""
    if loss < 0:
        odds = prior / (1 - prior) * math.exp(loss)
        return odds / (1 + odds)
    return 1 / (1 + (1 - prior) / prior * math.exp(-loss))


def losses_by_count(thresholds: Sequence[int]) -> list[float]:
    """For each count 0 … 2µ + 1 that can be published: ln P(count | a record more) / P(count); ±inf at the ends."""
    padded = [0, *noise.weights(list(thresholds)), 0]
    return [_ratio(before, here) for before, here in pairwise(padded)]


def available() -> bool:
    """Whether the extra is installed."""
    try:
        _library()
    except UsageError:
        return False
    return True


def _library() -> ModuleType:
    try:
        from dp_accounting.pld import privacy_loss_distribution
    except ImportError:
        raise extras.missing("privacy loss distributions need", extras.REPORT) from None
    library: ModuleType = privacy_loss_distribution
    return library


def _ratio(with_record: int, without: int) -> float:
    if not with_record:
        return -math.inf
    return _log(with_record) - _log(without) if without else math.inf


def _log(weight: int) -> float:
    return math.log(weight) - noise.DRAW_BITS * math.log(2)


def in_words(composition: Composition) -> str:
    """The bound by privacy loss distributions, for people."""
    if composition.epsilon is None:
        return "no bound worth naming"
    return f"ε ≤ {composition.epsilon:g}, δ ≤ {noise.decimal_up(composition.delta)}"


def _round_delta(delta: Fraction) -> Fraction:
    """The next of 1, 2, 5 times a power of ten; at most 1."""
    power = Fraction(1)
    while power / 10 >= delta:
        power /= 10
    candidates = (power * step / 10 for step in (1, 2, 5, 10))
    return min(next(each for each in candidates if each >= delta), Fraction(1)) if delta < 1 else Fraction(1)


def _up(value: float) -> float:
    return math.ceil(value * 10_000 + 1e-6) / 10_000 if math.isfinite(value) else value
