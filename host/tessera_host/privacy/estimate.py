"""Estimates how many records fit within (ε, δ), in floating point and in a few milliseconds.

No result depends on this estimate: the exact count (composition.py) starts from it and finds the same number from any
start.

It is the saddle-point method (Alghamdi, Asoodeh, Calmon, Gomez, Kosut, Sankar, The saddle-point method in differential
privacy, 2023). With K(t) = ln E_p e^(t loss) of all cells together, δ is the integral of e^F(t) across the complex
numbers, F(t) = K(t) - t ε - ln t - ln(1 + t), and nearly all of it is e^F / √(2π F'') at the minimum of F on the real
line. For a given t the minimum is there for exactly one number of cells, so only t has to be found.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import exp, expm1, inf, log, log1p, pi
from typing import NamedTuple

Outcomes = Sequence[tuple[int, int]]  # (p, q) of each, in draws of 2^64

_DRAWS = float(1 << 64)
_ENDS = 2.0**-20  # share of δ: so much of a cell's largest losses counts as infinite, as no saddle is near them
_DELTA_LEAST, _DELTA_MOST = 1e-30, 1 - 1e-9
_INFINITE_MOST = 1 - 1e-9
_LEAST, _MOST, _BEGIN = -8.0, 10.0, 2.0  # range and start of ln t
_TRIES, _NEAR = 24, 1e-3
_ROUNDED = 0.25  # is added: 20.9 becomes 21, but not 20.5, as the exact count tries one more anyway


class _Cell(NamedTuple):
    """logs: (ln p, loss) of each outcome. infinite: the probability of an infinite loss. added: a grid's variance."""

    logs: list[tuple[float, float]]
    infinite: float
    added: float


def fitting(
    before: Iterable[tuple[Outcomes, int]], cell: Outcomes, epsilon: Fraction, delta: Fraction, steps: int, most: int
) -> int:
    """How many cells like this one fit beside those before, 0 to `most`. steps: how many steps of the grid of losses
    make up the standard deviation of a cell's loss."""
    there = [*before]
    within = float(epsilon), min(max(float(delta), _DELTA_LEAST), _DELTA_MOST)
    found = float(most)
    for turned in (False, True):
        beside = [(_cell(each, within[1], turned, steps), times) for each, times in there]
        found = min(found, _one_sided(beside, _cell(cell, within[1], turned, steps), *within))
    return int(max(0.0, found) + _ROUNDED)


def _cell(outcomes: Outcomes, delta: float, turned: bool, steps: int) -> _Cell:
    pairs = [(q, p) if turned else (p, q) for p, q in outcomes]
    logs = [(log(p / _DRAWS), log(p / q)) for p, q in pairs if p and q]
    logs.sort(key=lambda each: each[1])
    infinite, spare = sum(p for p, q in pairs if not q) / _DRAWS, delta * _ENDS
    while len(logs) > 1 and (share := exp(logs[-1][0])) <= spare:
        infinite, spare = infinite + share, spare - share
        logs.pop()
    mean = sum(exp(log_p) * loss for log_p, loss in logs)
    variance = sum(exp(log_p) * (loss - mean) ** 2 for log_p, loss in logs)
    # Two points of the grid instead of one between them: a sixth of the square of a step more, on average.
    return _Cell(logs or [(0.0, 0.0)], min(infinite, _INFINITE_MOST), variance / (6 * steps * steps))


def _one_sided(before: Sequence[tuple[_Cell, int]], cell: _Cell, epsilon: float, delta: float) -> float:
    """How many cells fit, for one of the two directions. δ falls as t rises, so t is found by secants, or by bisection
    where a secant leaves the interval."""
    low, high, middle = _LEAST, _MOST, _BEGIN
    last: tuple[float, float] | None = None
    count = 0.0
    for _ in range(_TRIES):
        count, excess = _at(exp(middle), before, cell, epsilon, delta)
        if abs(excess) < _NEAR:
            break
        low, high = (middle, high) if excess > 0 else (low, middle)
        here, middle = middle, (low + high) / 2
        if last and (slope := (excess - last[1]) / (here - last[0])) < 0 and low < here - excess / slope < high:
            middle = here - excess / slope
        last = here, excess
    if not cell.infinite:
        return count
    kept = sum(times * log1p(-each.infinite) for each, times in before)
    return min(count, (log1p(-delta) - kept) / log1p(-cell.infinite))


def _at(
    t: float, before: Sequence[tuple[_Cell, int]], cell: _Cell, epsilon: float, delta: float
) -> tuple[float, float]:
    """(for how many cells the saddle is at t, ln of their δ divided by the wanted one)."""
    kept, f = 0.0, -t * epsilon - log(t) - log1p(t)
    slope, bend = -epsilon - 1 / t - 1 / (1 + t), 1 / t**2 + 1 / (1 + t) ** 2
    for each, times in before:
        k, k_slope, k_bend = _cumulants(each, t)
        f, slope, bend = f + times * k, slope + times * k_slope, bend + times * k_bend
        kept += times * log1p(-each.infinite)
    k, k_slope, k_bend = _cumulants(cell, t)
    if k_slope <= 0:
        return inf, inf
    count = -slope / k_slope
    if count <= 0:
        return 0.0, -inf
    kept += count * log1p(-cell.infinite)
    found = exp(min(0.0, f + count * k - log(2 * pi * (bend + count * k_bend)) / 2)) - expm1(kept)
    return count, log(max(found, _DELTA_LEAST) / delta)


def _cumulants(cell: _Cell, t: float) -> tuple[float, float, float]:
    """K, K' and K'' at t of one cell, over its finite losses."""
    exponents = [log_p + t * loss for log_p, loss in cell.logs]
    most = max(exponents)
    total = first = second = 0.0
    for exponent, (_, loss) in zip(exponents, cell.logs, strict=True):
        weight = exp(exponent - most)
        total += weight
        weight *= loss
        first += weight
        second += weight * loss
    mean, added = first / total, cell.added
    return (
        log(total) + most + added * t * (t + 1) / 2,
        mean + added * (t + 0.5),
        second / total - mean * mean + added,
    )
