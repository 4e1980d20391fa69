"""Noise tables for a day (PROTOCOL §8, kind 2): the least cover under which a member's day stays within (ε, δ).

Owns the shape and the search for it. Leaves to others: what a table reveals (composition.py), what it costs (plan.py).

What counts against a member is how steep the noise is where it is drawn, and how steep at the left end, where it has to
begin. `(k + shift)^rise · exp(-((k + shift) / scale)^fall)` serves both: it is steep where little is drawn, flat in the
middle, and ends where what is beyond counts less than δ allows. With `rise` 2 and `fall` 1.5 it is nearly the square of
an Airy function, which has the least mean of all noise on 0, 1, 2, … of one Fisher information, and so is best for days
without end. Free weights, one variable for each, came 0.3 % below it (16 records a day).

Where single deliveries are bounded, too, the logarithm's slope is held at their ε, and the ends go on at that slope.

All is decided by integers and by decimal arithmetic of 30 digits, whose logarithm and exponential are correctly rounded
(General Decimal Arithmetic): the same numbers make the same table everywhere.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate

from ..errors import UsageError
from . import noise
from .composition import MOST, Part, delta_of, epsilon_of
from .noise import NoiseTable

_THRESHOLDS_MOST = 2000  # PROTOCOL §2
_CONTEXT = Context(prec=30, rounding=ROUND_HALF_EVEN)
_WEIGHT = Decimal(1 << 96)
_NOTHING_LOG = Decimal(-48)  # e^-48 < 2^-64
_SCALE_UNIT = Fraction(1, 64)
_SCALE_MOST = 1 << 17


@dataclass(frozen=True)
class _Shape:
    """In thousandths."""

    shift: int
    rise: int
    fall: int


@lru_cache(maxsize=32)
def day_table(
    deliveries: int, epsilon: Fraction, delta: Fraction, delivery: tuple[Fraction, Fraction] | None = None
) -> NoiseTable:
    """The table for so many records a day, each in a cell of its own, within (ε, δ) together; and, if `delivery` is
    given, every one of them within that (ε, δ). Its `epsilon` is that of one delivery, given, or at an even share of δ.

    Raises UsageError if a value is out of range or no table of 2000 thresholds is enough.
    """
    if not 1 <= deliveries <= MOST:
        raise UsageError(f"a day of {deliveries} messages cannot be planned", f"use --messages 1 to {MOST}")
    noise.check_range(epsilon, delta, "day-")
    if delivery:
        noise.check_range(*delivery)
    search = _Search(deliveries, epsilon, delta, delivery)
    found = search.best()
    if not found:
        raise UsageError(
            f"no table of {_THRESHOLDS_MOST} thresholds hides {deliveries} messages a day",
            "plan for fewer messages, or a larger --day-epsilon or --day-delta",
        )
    return NoiseTable.of(found, delivery[0] if delivery else _epsilon_of_one(found, delta / deliveries))


def _epsilon_of_one(thresholds: tuple[int, ...], delta: Fraction) -> Fraction:
    """In millionths; for a δ that is no less than what an end of the table gives away."""
    weights = noise.weights(thresholds)
    enough = max(delta, Fraction(2 * max(weights[0], weights[-1]), noise.DRAWS))
    found = epsilon_of([Part(thresholds, 1, 1)], enough)
    assert found is not None
    return max(found, noise.EPSILON_UNIT)


class _Search:
    """For the least mean under the wanted bounds."""

    def __init__(
        self, deliveries: int, epsilon: Fraction, delta: Fraction, delivery: tuple[Fraction, Fraction] | None
    ) -> None:
        self._deliveries = deliveries
        self._epsilon, self._delta = epsilon, delta
        self._delivery = delivery
        self._slope = Decimal(delivery[0].numerator) / Decimal(delivery[0].denominator) if delivery else None
        self._end = min(delta / (2 * deliveries), delivery[1] / 2 if delivery else Fraction(1))

    def best(self) -> tuple[int, ...] | None:
        return self._of_shape(_Shape(4000, 7000, 2000))

    def _of_shape(self, shape: _Shape) -> tuple[int, ...] | None:
        """The least scale that keeps the bounds."""
        low, high = 0, 64
        found = None
        while found is None:
            if high > _SCALE_MOST:
                return None
            tried = _thresholds(shape, high, self._end, self._slope)
            if tried and self._keeps(tried):
                found = tried
            else:
                low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            tried = _thresholds(shape, middle, self._end, self._slope)
            if tried and self._keeps(tried):
                found, high = tried, middle
            else:
                low = middle
        return found

    def _keeps(self, thresholds: tuple[int, ...]) -> bool:
        if self._delivery:
            epsilon, delta = self._delivery
            if noise.exact_delta(thresholds, noise.exp_lower(epsilon)) > delta:
                return False
        return delta_of([Part(thresholds, 1, self._deliveries)], self._epsilon) <= self._delta


def _thresholds(shape: _Shape, scale: int, end: Fraction, slope: Decimal | None) -> tuple[int, ...] | None:
    """Of a shape and a scale in units of 1/64, as far as a weight is more than `end` of all; None if that are more than
    a set can hold."""
    logs = _logs(shape, scale)
    peak = max(logs)
    weights = [int(_CONTEXT.multiply(_CONTEXT.exp(log - peak), _WEIGHT)) for log in logs]
    total = sum(weights)
    last = len(weights) - 1
    while weights[last - 1] <= end * total:
        last -= 1
    if last > _THRESHOLDS_MOST:
        return None
    kept = weights[: last + 1]
    sums = [*accumulate(kept)]
    return tuple((each << noise.DRAW_BITS) // sums[-1] for each in sums[:-1])


def _logs(shape: _Shape, scale: int) -> list[Decimal]:
    rise, fall = Decimal(shape.rise) / 1000, Decimal(shape.fall) / 1000
    lessening = _CONTEXT.exp(-fall * _CONTEXT.ln(Decimal(scale) / 64))
    logs: list[Decimal] = []
    peak = Decimal("-Infinity")
    for log, power in _points(shape.shift, shape.fall):
        here = _CONTEXT.subtract(_CONTEXT.multiply(rise, log), _CONTEXT.multiply(power, lessening))
        peak = max(peak, here)
        if here < peak + _NOTHING_LOG:
            break
        logs.append(here)
    return logs


@lru_cache(maxsize=64)
def _points(shift: int, fall: int) -> list[tuple[Decimal, Decimal]]:
    """ln(k + shift) and (k + shift)^fall."""
    logs = [_CONTEXT.ln(k + Decimal(shift) / 1000) for k in range(2 * _THRESHOLDS_MOST)]
    return [(log, _CONTEXT.exp(_CONTEXT.multiply(log, Decimal(fall) / 1000))) for log in logs]
