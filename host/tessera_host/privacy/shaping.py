"""Noise tables for a day (PROTOCOL §8, kind 2): the least cover under which a member's day stays within (ε, δ).

Owns the shape and the search for it. Leaves to others: what a table reveals (composition.py), what it costs (plan.py).

A member's loss grows with the steepness of the noise, both where it is usually drawn and at the left end, where it has
to begin. The shape `(X · exp((1 - X^fall) / fall))^rise` with `X = (k + shift) / (middle + shift)` is good at both: it
is steep where little is drawn and flat in the middle. It is cut where the rest weighs less than δ allows. With rise 2
and fall 1.5 it is nearly the square of an Airy function. Of all noise on 0, 1, 2, … with the same Fisher information
that has the least mean, so it is best for days of very many records. For 16 records a day within (2, 2e-5), an optimum
over free weights, one variable for each, has a mean of 32.47, and this shape one of 32.5.

The search goes from a shape to a neighbouring one with a smaller mean. For each shape it finds the middle that just
keeps the bounds, on a coarse grid of losses, and for the last one on the fine grid with which days are counted. If
single deliveries are bounded, too, the slope of the logarithm is limited to their ε.

Everything is computed with integers and with decimal arithmetic (30 digits, 15 in the search), whose logarithm and
exponential are correctly rounded (General Decimal Arithmetic). So the same numbers give the same table everywhere.
"""

from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Context, Decimal, getcontext, localcontext
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from ..errors import UsageError
from . import noise
from .composition import MOST, Part, delta_of, delta_roughly, epsilon_of
from .noise import NoiseTable

_THRESHOLDS_MOST = 2000  # PROTOCOL §2
_CONTEXT, _ROUGH = (Context(prec=digits, rounding=ROUND_HALF_EVEN) for digits in (30, 15))
_WEIGHT = Decimal(1 << 96)
_UNSEEN = 12  # a weight of e^-12 times the least one that is kept has no effect
_UNIT = 64  # a middle is counted in 64ths

# In the search for a middle: by how much ln δ falls with ln middle, and when the search ends.
_USUAL_SLOPE, _LEAST_SLOPE, _STEEPEST = Decimal(-12), Decimal(-1), Decimal(-36)
_STEP_MOST, _NEAR = Decimal("0.7"), Decimal("0.05")
_TRIES = 20

# Margin for products that are computed in another order and so rounded differently.
_MARGIN = 1 - Fraction(1, 10**9)


class _Shape(NamedTuple):
    """Exponents n: shift, rise and fall are those of _FIRST times (17/16)^n."""

    shift: int
    rise: int
    fall: int


_FIRST = (4000, 7000, 2000)  # shift, rise and fall, in thousandths
_BEGIN, _BEGIN_OF_MANY, _MANY = _Shape(0, 0, 0), _Shape(0, 0, -5), 24
_STEPS = (4, 2, 1)


@lru_cache(maxsize=32)
def day_table(
    deliveries: int, epsilon: Fraction, delta: Fraction, delivery: tuple[Fraction, Fraction] | None = None
) -> NoiseTable:
    """The table for so many records a day, each in a cell of its own, that stay within (ε, δ) together.

    delivery: an (ε, δ) that each of them also stays within. The table's `epsilon` is the one in delivery, or else that
    of one delivery at an even share of δ. Raises UsageError if a value is out of range or 2000 thresholds are not
    enough.
    """
    if not 1 <= deliveries <= MOST:
        raise UsageError(f"messages is {deliveries}, not in 1 to {MOST}", f"use --messages 1 to {MOST}")
    noise.check_range(epsilon, delta, "day-")
    if delivery:
        noise.check_range(*delivery)
    with localcontext(_CONTEXT):
        found = _Search(deliveries, epsilon, delta, delivery).best()
    if not found:
        raise UsageError(
            f"no table of up to {_THRESHOLDS_MOST} thresholds hides {deliveries} messages a day",
            "plan for fewer messages, or a larger --day-epsilon or --day-delta",
        )
    return NoiseTable.of(found, delivery[0] if delivery else _epsilon_of_one(found, delta / deliveries))


def _epsilon_of_one(thresholds: tuple[int, ...], delta: Fraction) -> Fraction:
    """ε of one delivery, in whole millionths, at this δ or at twice the weight of the table's ends if that is more."""
    weights = noise.weights(thresholds)
    enough = max(delta, Fraction(2 * max(weights[0], weights[-1]), noise.DRAWS))
    found = epsilon_of([Part(thresholds, 1, 1)], enough)
    assert found is not None
    return max(found, noise.EPSILON_UNIT)


class _Search:
    """The search for the table with the least mean that keeps the bounds."""

    def __init__(
        self, deliveries: int, epsilon: Fraction, delta: Fraction, delivery: tuple[Fraction, Fraction] | None
    ) -> None:
        self._deliveries = deliveries
        self._epsilon, self._delta = epsilon, delta
        self._delivery = delivery
        self._slope = _decimal(delivery[0]) if delivery else None
        self._end = min(delta / (2 * deliveries), delivery[1] / 2 if delivery else Fraction(1))
        self._least = _decimal(self._end).ln() - _UNSEEN

    def best(self) -> tuple[int, ...] | None:
        """The thresholds; None if no table of up to 2000 keeps the bounds."""
        with localcontext(_ROUGH):
            found = self._roughly()
        return self._exactly(found) if found else None

    def _roughly(self) -> "_Weighed | None":
        best = self._weighed(_BEGIN_OF_MANY if self._deliveries >= _MANY else _BEGIN, 16 * _UNIT)
        if best is None:
            return None
        tried = {best.shape}
        for step in _STEPS:
            while untried := [shape for shape in _neighbours(best.shape, step) if shape not in tried]:
                tried.add(untried[0])
                found = self._weighed(untried[0], best.middle, best.mean)
                if found and found.mean < best.mean:
                    best = found
        return best

    def _weighed(self, shape: _Shape, middle: int, best: Decimal | None = None) -> "_Weighed | None":
        """Find roughly the middle of a shape at which the bounds are just kept, starting from a middle that may be
        near. None if there is none, or as soon as its mean cannot be smaller than the best."""
        before: tuple[Decimal, Decimal] | None = None  # the logarithm of a middle, and the excess there
        slope = _USUAL_SLOPE
        for _ in range(_TRIES):
            thresholds = self._thresholds(shape, middle)
            if thresholds is None:
                return None
            place, excess = Decimal(middle).ln(), self._excess(thresholds)
            if best and excess > 0 and _mean(thresholds) * (1 - excess / _STEEPEST) > best:
                return None
            if before and place != before[0]:
                slope = min((excess - before[1]) / (place - before[0]), _LEAST_SLOPE)
            step = max(-_STEP_MOST, min(-excess / slope, _STEP_MOST))
            if abs(excess) < _NEAR:
                return _Weighed(_mean(thresholds) * (1 + step), shape, int(middle * step.exp()))
            before = place, excess
            middle = max(1, int(middle * step.exp()))
        return None

    def _excess(self, thresholds: tuple[int, ...]) -> Decimal:
        """ln of the worst δ divided by the wanted one."""
        worst = delta_roughly([Part(thresholds, 1, self._deliveries)], self._epsilon) / self._delta
        if self._delivery:
            epsilon, delta = self._delivery
            worst = max(worst, noise.exact_delta(thresholds, noise.exp_lower(epsilon)) / delta)
        return _decimal(worst).ln()

    def _exactly(self, found: "_Weighed") -> tuple[int, ...] | None:
        """The thresholds for the least middle near this one that keeps the bounds exactly, or None."""
        low, high, step = 0, found.middle, 1  # low does not keep them, high does
        while not (kept := self._kept(found.shape, high)):
            low, high, step = high, high + step, 2 * step
            if high > _UNIT * _THRESHOLDS_MOST:
                return None
        step = 1
        while low < high - step and (tried := self._kept(found.shape, high - step)):
            kept, high, step = tried, high - step, 2 * step
        low = max(low, high - step)
        while high - low > 1:
            middle = (low + high) // 2
            if tried := self._kept(found.shape, middle):
                kept, high = tried, middle
            else:
                low = middle
        return kept

    def _kept(self, shape: _Shape, middle: int) -> tuple[int, ...] | None:
        """The thresholds of a shape and middle if they keep the bounds, otherwise None."""
        thresholds = self._thresholds(shape, middle)
        if not thresholds or delta_of([Part(thresholds, 1, self._deliveries)], self._epsilon) > self._delta * _MARGIN:
            return None
        if self._delivery:
            epsilon, delta = self._delivery
            if noise.exact_delta(thresholds, noise.exp_lower(epsilon)) > delta:
                return None
        return thresholds

    def _thresholds(self, shape: _Shape, middle: int) -> tuple[int, ...] | None:
        """The thresholds of a shape around a middle (in 64ths), cut where a weight is less than _end of all weights.
        None if there are more than a parameter set holds."""
        logs = _logs(shape, middle, self._least)
        if self._slope is not None:
            logs = _held(logs, self._slope, self._least)
        weights = [int(log.exp() * _WEIGHT) for log in logs]
        least = sum(weights) * self._end.numerator // self._end.denominator
        last = len(weights) - 1
        while last > 1 and weights[last - 1] <= least:
            last -= 1
        if last > _THRESHOLDS_MOST:
            return None
        sums = [*accumulate(weights[: last + 1])]
        return tuple((each << noise.DRAW_BITS) // sums[-1] for each in sums[:-1])


class _Weighed(NamedTuple):
    mean: Decimal
    shape: _Shape
    middle: int


def _neighbours(shape: _Shape, step: int) -> Iterator[_Shape]:
    for name, value in shape._asdict().items():
        for changed in (value + step, value - step):
            yield shape._replace(**{name: changed})


def _values(shape: _Shape) -> tuple[int, int, int]:
    """Shift, rise and fall, in thousandths."""
    shift, rise, fall = (int(first * Fraction(17, 16) ** power) for first, power in zip(_FIRST, shape, strict=True))
    return shift, rise, fall


def _logs(shape: _Shape, middle: int, least: Decimal) -> list[Decimal]:
    """The logarithms of the weights of a shape, 0 at the middle, as far as they are more than `least`."""
    shift, rise, fall = (Decimal(value) / 1000 for value in _values(shape))
    centre = (Decimal(middle) / _UNIT + shift).ln()
    lessening = (-fall * centre).exp() / fall
    logs: list[Decimal] = []
    for log, power in _points(shift, fall):
        here = rise * (log - centre + 1 / fall - power * lessening)
        if log > centre and here < least:
            break
        logs.append(here)
    return logs


def _held(logs: list[Decimal], slope: Decimal, least: Decimal) -> list[Decimal]:
    """The same logarithms with no step larger than the slope, from the largest one to both sides."""
    top = max(range(len(logs)), key=logs.__getitem__)
    held = [*logs]
    for k in range(top - 1, -1, -1):
        held[k] = max(logs[k] - logs[k + 1], -slope) + held[k + 1]
    for k in range(top + 1, len(logs)):
        held[k] = max(logs[k] - logs[k - 1], -slope) + held[k - 1]
    while held[-1] > least and len(held) <= 2 * _THRESHOLDS_MOST:
        held.append(held[-1] - slope)
    return held


def _points(shift: Decimal, fall: Decimal) -> Iterator[tuple[Decimal, Decimal]]:
    """(ln(k + shift), (k + shift)^fall) for every k that a table may have, and more."""
    digits = getcontext().prec
    for k in range(2 * _THRESHOLDS_MOST):
        log = _log(k + shift, digits)
        yield log, _exp(log * fall, digits)


@lru_cache(maxsize=1 << 16)
def _log(value: Decimal, digits: int) -> Decimal:
    """ln of a value in the present decimal context, which has so many digits (they are part of the cache's key)."""
    return value.ln()


@lru_cache(maxsize=1 << 16)
def _exp(value: Decimal, digits: int) -> Decimal:
    """e^value, see _log()."""
    return value.exp()


def _mean(thresholds: tuple[int, ...]) -> Decimal:
    return Decimal(sum(k * weight for k, weight in enumerate(noise.weights(thresholds)))) / noise.DRAWS


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / value.denominator
