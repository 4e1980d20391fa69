"""What several deliveries reveal together, computed exactly: privacy loss distributions in integers.

Owns these sums, which are exact for any ε up to 100 and at most 4096 cells of a kind; beyond that they are upper
bounds. How many deliveries a member's day may have is the business of `allowance`.

An observer who sees every published count compares two stories: in the first a member caused certain records, in the
second it did not. A cell (relay, bucket, round) in which the member caused s records shows N + s instead of N, besides
what others posted; N is drawn from the epoch's noise table, anew in every cell. A count that p of 2^64 draws give in
the first story and q in the second has the loss ln(p / q). The losses of different cells add up, so their distributions
multiply like polynomials. For the whole, `δ(ε) = Σ max(0, p - e^ε q)`, in both directions (Koskela, Jälkö, Honkela,
Computing tight differential privacy guarantees using FFT, 2020). A count that only one of the stories can show has an
infinite loss.

Every rounding makes δ larger, never smaller, in both directions:

- Losses lie on a grid, at n · 2 ln ρ. An outcome between two points is split into one on each, so that the sums of p
and
  q stay the same (Doroshenko, Ghazi, Kamath, Kumar, Manurangsi, Connect the dots: tighter discrete approximations of
  privacy loss distributions, 2022). An observer who is told which part it was learns more, never less. So only √(p q)
  is kept, from which both follow: p = ρ^n √(p q), q = ρ^-n √(p q). One product serves both directions, which differ in
  the sign of n.
- √(p q) is a multiple of a unit that is so small that p is a multiple of 2^-64 even where the loss is largest. Products
  are exact, then each coefficient is rounded up; p and q grow with it.
- An outcome at either end is replaced by two, one that only the first story can show and one that only the second can,
  if its masses are together less than 2^-56, or if its loss is so far beyond ±ε that it counts in full but for e^-6 of
  it.
- e^ε and the powers of ρ are enclosed by integers.

A polynomial is represented by the integer that is its value at a large power of two (Kronecker substitution). CPython
multiplies such integers fast enough, members need no further package, and all coefficients are rounded at once.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import cache, lru_cache
from itertools import accumulate, chain, repeat
from math import isqrt
from operator import mul
from typing import NamedTuple

from . import estimate, noise

MOST = 4096  # deliveries that are counted at most
MILLIONTH = Fraction(1, 10**6)

_BITS, _CUT_BITS = 64, 56
_POWER_BITS = 128
_POWER_ONE = 1 << _POWER_BITS
_POINTS_MOST = 1 << 13  # of the grid, on either side of 0, for one cell
_BELOW = 1 << 20
_EPSILON_MOST = 64
_SIGMA_BITS = 32
_COARSE, _FINE = 3, 6  # steps of the grid to the standard deviation of a cell's loss
_STEPS_OF_FEW = 192
_NEAR = Fraction(7, 8)  # ratio of δ to the wanted one; an estimate as near as that is not made again

# Losses are kept as far from ε as other cells may bring them back: so many standard deviations, up to a limit. At the
# limit the variance V of all losses is above 324, and their mean, V/2, is far beyond any ε.
_FAR, _DEVIATIONS, _SPREAD_MOST = 6, 5, Fraction(90)


class Part(NamedTuple):
    """`times` cells under one noise table, in each of which the member caused `shift` records."""

    thresholds: tuple[int, ...]
    shift: int
    times: int


def delta_of(parts: Iterable[Part], epsilon: Fraction, exchange: bool = False) -> Fraction:
    """The δ at which the parts are (ε, δ) indistinguishable from a day without them, in both directions.

    Never below the true value, at most 1. exchange: compare with a day that has as many deliveries in other cells.
    """
    return _delta(_day(parts, exchange), epsilon)


def delta_roughly(parts: Iterable[Part], epsilon: Fraction) -> Fraction:
    """delta_of() on a coarse grid: slightly larger, in a fraction of the time."""
    return _delta(_day(parts, False), epsilon, _COARSE)


def epsilon_of(parts: Iterable[Part], delta: Fraction, exchange: bool = False) -> Fraction | None:
    """The ε, in whole millionths, at which the parts are (ε, delta) indistinguishable from a day without them.

    Never below the true value. None if there is no such ε up to 64: then counts that only one of the stories can show
    weigh more than delta. exchange: see delta_of().
    """
    day = _day(parts, exchange)
    reach = _about(day, delta)
    while not (curve := _curve(day, reach))(reach) <= delta:
        if reach >= _EPSILON_MOST:
            return None
        reach *= 2
    units = range(int(reach / MILLIONTH) + 1)
    return MILLIONTH * bisect_left(units, True, key=lambda unit: curve(unit * MILLIONTH) <= delta)


def deliveries_within(thresholds: tuple[int, ...], epsilon: Fraction, delta: Fraction) -> int:
    """How many records, each in a cell of its own under this table, stay within (ε, δ) together; at most 4096."""
    return more_within((), thresholds, epsilon, delta)


@lru_cache(maxsize=64)
def more_within(before: tuple[Part, ...], thresholds: tuple[int, ...], epsilon: Fraction, delta: Fraction) -> int:
    """How many more records, each in a cell of its own, stay within (ε, δ) together with the parts `before`: at most
    4096, and 0 if those alone do not."""
    day, cell = _day(before, False), (tuple(thresholds), 1)
    others = tuple((other, times) for other, times in day if other != cell)
    already = sum(times for other, times in day if other == cell)

    @cache
    def delta_with(count: int) -> Fraction:
        return _delta(_merged([*others, (cell, already + count)]), epsilon)

    def fits(count: int) -> bool:
        return not count or delta_with(count) <= delta

    def about(wanted: Fraction) -> int:
        beside = [([*_outcomes(other)], times) for other, times in day]
        return estimate.fitting(beside, [*_outcomes(cell)], epsilon, wanted, _FINE, MOST)

    low = high = about(delta)
    there = delta_with(low) if low else delta
    if there and not _NEAR * delta < there < delta / _NEAR:
        low = high = about(delta * delta / there)  # the error of nearby estimates is nearly the same
    step = 1  # doubled each time, as the estimate may be far off
    if fits(low):
        while (high := min(MOST, low + step)) > low and fits(high):
            low, step = high, 2 * step
        high += high == low  # at MOST, beyond which nothing is tried
    else:
        while not fits(low := max(0, low - step)):
            high, step = low, 2 * step
    return low + bisect_left(range(low + 1, high), True, key=lambda count: not fits(count))


def _about(day: "_Day", delta: Fraction) -> Fraction:
    """An ε that is mostly too large: that of a normally distributed loss with this variance, V/2 + √(2 V ln 1/δ)."""
    variance = sum(_variance(cell) * times for cell, times in day)
    bits = (delta.denominator // max(1, delta.numerator)).bit_length()
    return min(Fraction(_EPSILON_MOST), Fraction(variance // 2 + isqrt((2 * variance * bits) << 64), noise.DRAWS) + 1)


# The cells in which the two stories differ, (thresholds, shift), and how many there are of each. A shift of s compares
# N with N + s, a shift of -s compares N + s with N.
_Cell = tuple[tuple[int, ...], int]
_Day = tuple[tuple[_Cell, int], ...]


def _day(parts: Iterable[Part], exchange: bool) -> _Day:
    there = [((tuple(thresholds), shift), times) for thresholds, shift, times in parts]
    if any(shift < 0 or times < 0 for (_, shift), times in there):
        raise ValueError("shift and times of a part are 0 or more")
    back = [((thresholds, -shift), times) for (thresholds, shift), times in there]
    return _merged(there + back if exchange else there)


def _merged(cells: Iterable[tuple[_Cell, int]]) -> _Day:
    counted: Counter[_Cell] = Counter()
    for cell, times in cells:
        if cell[1] and times:
            counted[cell] += times
    return tuple(counted.items())


class _Grid(NamedTuple):
    """ratio: ρ in units of 2^-128. far: losses from this point on, and from -far on, count as infinite. bits: how many
    binary digits a mass of 1 has."""

    ratio: int
    far: int
    bits: int

    @property
    def one(self) -> int:
        return 1 << self.bits

    @property
    def slot(self) -> int:
        """Bytes for a mass. The masses of a distribution add up to slightly more than 1, those of a product to its
        square."""
        return (2 * self.bits + 8) // 8


class _Losses(NamedTuple):
    """A distribution of losses: √(p q) at the points first, first + 1, … of a grid, in units of 2^-bits.

    packed: these masses as one number, with grid.slot bytes for each. only_here, only_there: the mass of what only the
    first and only the second story can show.
    """

    first: int
    points: int
    packed: int
    only_here: int
    only_there: int

    def masses(self, grid: _Grid) -> list[int]:
        return [*_unpacked(self.packed.to_bytes(grid.slot * self.points, "little"), grid.slot)]


def _packed(masses: list[int], grid: _Grid) -> int:
    return int.from_bytes(b"".join([mass.to_bytes(grid.slot, "little") for mass in masses]), "little")


def _unpacked(slots: bytes, slot: int) -> Iterator[int]:
    return (int.from_bytes(slots[at : at + slot], "little") for at in range(0, len(slots), slot))


def _unpacked_from_the_end(slots: bytes, slot: int) -> Iterator[int]:
    return (int.from_bytes(slots[at - slot : at], "little") for at in range(len(slots), 0, -slot))


def _nothing(grid: _Grid) -> _Losses:
    return _Losses(0, 1, grid.one, 0, 0)


def _delta(day: _Day, epsilon: Fraction, steps: int = _FINE) -> Fraction:
    if not day:
        return Fraction(0)
    if _is_one_cell(day):
        return _delta_of_one(day[0][0], epsilon)
    grid = _grid(day, epsilon, steps)
    return _of_two(*_two_factors(day, grid), grid)(epsilon)


def _curve(day: _Day, reach: Fraction) -> Callable[[Fraction], Fraction]:
    """δ as a function of ε, most accurate up to `reach`."""
    if not day:
        return lambda epsilon: Fraction(0)
    if _is_one_cell(day):
        return lambda epsilon: _delta_of_one(day[0][0], epsilon)
    grid = _grid(day, reach, _FINE)
    return _of_two(*_two_factors(day, grid), grid)


def _is_one_cell(day: _Day) -> bool:
    return len(day) == 1 and day[0][1] == 1


def _delta_of_one(cell: _Cell, epsilon: Fraction) -> Fraction:
    """δ of a single cell, for which no grid is needed."""
    e_lower = noise.exp_lower(epsilon)
    scale, one = e_lower.numerator, e_lower.denominator
    here = sum(max(0, p * one - q * scale) for p, q in _outcomes(cell))
    there = sum(max(0, q * one - p * scale) for p, q in _outcomes(cell))
    return Fraction(max(here, there), one << noise.DRAW_BITS)


def _of_two(one: _Losses, other: _Losses, grid: _Grid) -> Callable[[Fraction], Fraction]:
    """δ as a function of ε for the composition of two distributions, without their product: for every loss of the one,
    the mass of the other that reaches beyond ε."""
    sides = [_beyond(*both, grid) for both in zip(_sides(one, grid), _sides(other, grid), strict=True)]

    def delta(epsilon: Fraction) -> Fraction:
        e_lower = noise.exp_lower(epsilon)
        return min(Fraction(1), max(beyond(e_lower) for beyond in sides))

    return delta


class _Side(NamedTuple):
    """One direction of a distribution, at the points first, first + 1, …

    p: rounded up. q: rounded down. p_from, q_from: sums of each and all after it. only: what the other story cannot
    show. In units of 2^-128 of a mass's unit.
    """

    first: int
    p: list[int]
    q: list[int]
    p_from: list[int]
    q_from: list[int]
    only: int


@lru_cache(maxsize=8)
def _sides(losses: _Losses, grid: _Grid) -> tuple[_Side, _Side]:
    """Both directions of a distribution."""
    masses = losses.masses(grid)
    powers = _powers(grid.ratio)
    rising, falling = powers.between(losses.first, losses.first + losses.points)

    def side(first: int, masses: list[int], up: list[int], down: list[int], only: int) -> _Side:
        p = [mass * _above(power) for mass, power in zip(masses, up, strict=True)]
        q = [*map(mul, masses, down)]
        return _Side(first, p, q, _from_the_end(p), _from_the_end(q), only)

    return (
        side(losses.first, masses, rising, falling, losses.only_here),
        side(1 - losses.first - losses.points, masses[::-1], falling[::-1], rising[::-1], losses.only_there),
    )


def _beyond(one: _Side, other: _Side, grid: _Grid) -> Callable[[Fraction], Fraction]:
    """Σ max(0, p - E q) of the composition of two, as a function of E: a straight line between two points of the
    grid."""
    powers, first = _powers(grid.ratio), one.first + other.first
    end = first + len(one.p) + len(other.p)
    places = 2 * (grid.bits + _POWER_BITS)
    kept = Fraction((grid.one - one.only) * (grid.one - other.only), grid.one * grid.one)

    @cache
    def line(above: int) -> tuple[Fraction, Fraction]:
        p, q = _reaching(one.p, other.p_from, above), _reaching(one.q, other.q_from, above)
        # Another unit for the point next to ε, which rounding may have put on either side.
        return Fraction(p, 1 << places) + 1 - kept + Fraction(1, grid.one), Fraction(q, 1 << places)

    def beyond(e_lower: Fraction) -> Fraction:
        p, q = line(powers.first_above(e_lower, end) - first)
        return p - e_lower * q

    return beyond


def _reaching(one: list[int], rest: list[int], above: int) -> int:
    """Σ one[at] · rest[above - at]. Beyond the end of rest the terms are 0; before its beginning rest[0] is taken."""
    least = max(0, above - len(rest) + 1)
    most = max(0, above)
    before: int = sum(map(mul, one[least:most], rest[most - least : 0 : -1]))
    return before + sum(one[most:]) * rest[0]


def _two_factors(day: _Day, grid: _Grid) -> tuple[_Losses, _Losses]:
    """Two distributions whose composition is that of the day. Their product would be the largest, and is often not
    needed.

    Days that differ only in their last cell share most of the work.
    """
    halves = tuple((cell, times // 2) for cell, times in day if times > 1)
    single = [((cell, 1),) for cell, times in day if times % 2]
    one = other = _whole(halves, grid)
    for each in single[0::2]:
        one = _composed(one, _whole(each, grid), grid)
    for each in single[1::2]:
        other = _composed(other, _whole(each, grid), grid)
    return one, other


@lru_cache(maxsize=128)
def _whole(day: _Day, grid: _Grid) -> _Losses:
    if not day:
        return _nothing(grid)
    *before, (cell, times) = day
    if before:
        return _composed(_whole(tuple(before), grid), _whole(day[-1:], grid), grid)
    if times == 1:
        return _of_one_cell(cell, grid)
    half = _whole(((cell, times // 2),), grid)
    twice = _composed(half, half, grid)
    return _composed(twice, _whole(((cell, 1),), grid), grid) if times % 2 else twice


def _of_one_cell(cell: _Cell, grid: _Grid) -> _Losses:
    """The losses of one cell: every outcome is split between the two nearest points of the grid."""
    powers = _powers(grid.ratio)
    far = min(grid.far, _POINTS_MOST)
    draw = grid.bits - noise.DRAW_BITS
    points: Counter[int] = Counter()
    only_here = only_there = 0
    for p, q in _outcomes(cell):
        point = powers.nearest(p, q, far) if p and q else far
        if -far < point < far:
            lower, upper = powers.split(p, q, point, grid.bits)
            points[point] += lower
            points[point + 1] += upper
        else:
            only_here += p << draw
            only_there += q << draw
    first = min(points, default=0)
    masses = [points[point] for point in range(first, max(points, default=0) + 1)]
    return _cut(_Losses(first, len(masses), _packed(masses, grid), only_here, only_there), grid)


def _composed(one: _Losses, other: _Losses, grid: _Grid) -> _Losses:
    bits, count = grid.bits, one.points + other.points - 1
    less, masses = _in_all_slots(count, grid)
    packed = (one.packed * other.packed + less >> bits) & masses
    only_here = one.only_here + other.only_here - (one.only_here * other.only_here >> bits)
    only_there = one.only_there + other.only_there - (one.only_there * other.only_there >> bits)
    return _cut(_Losses(one.first + other.first, count, packed, only_here, only_there), grid)


@lru_cache(maxsize=32)
def _in_all_slots(count: int, grid: _Grid) -> tuple[int, int]:
    """Two numbers with a value in every slot of a product: a unit of a mass less 1, and the largest mass."""
    slot, bits = grid.slot, grid.bits
    ones = int.from_bytes((1).to_bytes(slot, "little") * count, "little")
    less, most = (1 << bits) - 1, (1 << 8 * slot - bits) - 1
    return less * ones, most * ones


def _from_the_end(masses: list[int]) -> list[int]:
    """The sums of each mass and all after it."""
    return [*accumulate(reversed(masses))][::-1]


def _cut(losses: _Losses, grid: _Grid) -> _Losses:
    """The distribution without losses beyond grid.far, and without ends that have next to no mass."""
    first, count, packed, only_here, only_there = losses
    powers, slot = _powers(grid.ratio), grid.slot
    slots = packed.to_bytes(slot * count, "little")
    start = min(count, max(0, 1 - grid.far - first))
    end = max(start, min(count, grid.far - first))
    for at in chain(range(start), range(end, count)):
        mass = int.from_bytes(slots[slot * at : slot * (at + 1)], "little")
        only_here += powers.up(mass, first + at)
        only_there += powers.up(mass, -(first + at))
    first, count, slots = first + start, end - start, slots[slot * start : slot * end]
    least = grid.one >> _CUT_BITS
    below, lost_below = powers.end(_unpacked(slots, slot), -first, least)
    above, lost_above = powers.end(_unpacked_from_the_end(slots[slot * below :], slot), first + count - 1, least)
    lost = lost_below + lost_above
    slots = slots[slot * below : len(slots) - slot * above] or bytes(slot)
    only_here, only_there = (min(grid.one, each + lost) for each in (only_here, only_there))
    return _Losses(first + below, len(slots) // slot, int.from_bytes(slots, "little"), only_here, only_there)


def _grid(day: _Day, epsilon: Fraction, steps: int) -> _Grid:
    """The grid for a day. steps: how many make up the standard deviation of one cell's loss; more are used for few
    cells, which do not smooth it.

    Days with about as many cells share a grid, and what was composed on it. That includes a power of two, which people
    like to choose, and one more.
    """
    times = sum(each for _, each in day)
    if not times:
        return _Grid(2 * _POWER_ONE, 1, _BITS)
    sigma = max(1, isqrt(sum(_variance(cell) * each for cell, each in day) // times))
    about = 1 << (times * 7 // 8).bit_length()
    ratio = _ratio(max(day, key=lambda each: each[1])[0], sigma, steps + _STEPS_OF_FEW // about)
    reach = epsilon + _FAR + min(Fraction(_DEVIATIONS * sigma * isqrt(about), 1 << _SIGMA_BITS), _SPREAD_MOST)
    far = reach * ratio // (2 * (ratio - _POWER_ONE)) + 1
    return _Grid(ratio, far, _BITS + int(reach * 3 / 4))  # e^(reach / 2) is less than 2^(3 reach / 4)


def _ratio(cell: _Cell, sigma: int, steps: int) -> int:
    """ρ of a grid. If most draws have the same loss, up or down, as under a table for one delivery, that loss is made a
    whole number of steps. Then sums of losses lie on the grid, too, and not a step beyond an ε that is a multiple."""
    least = (sigma << (_POWER_BITS - _SIGMA_BITS)) // (2 * steps)
    ratio = _common(cell)
    if not ratio:
        return _POWER_ONE + least
    while ratio - _POWER_ONE > least:
        ratio = isqrt(ratio << _POWER_BITS) + 1
    return ratio


@lru_cache(maxsize=64)
def _common(cell: _Cell) -> int:
    """max(p / q, q / p), in units of 2^-128, at the count that a quarter of the draws do not exceed, if most draws have
    this ratio; otherwise 0."""
    outcomes = [*_outcomes(cell)]
    ratios = [(max(p, q) << _POWER_BITS) // min(p, q) if p and q else 0 for p, q in outcomes]
    ratio = ratios[bisect_left([*accumulate(p for p, _ in outcomes)], noise.DRAWS // 4)]
    alike = sum(p for (p, _), each in zip(outcomes, ratios, strict=True) if abs(each - ratio) < ratio >> 32)
    return ratio if 2 * alike > noise.DRAWS and ratio > _POWER_ONE else 0


@lru_cache(maxsize=64)
def _variance(cell: _Cell) -> int:
    """About the variance of a cell's loss, in units of 2^-64."""
    return sum(2 * (p - q) ** 2 // (p + q) for p, q in _outcomes(cell) if p or q)


def _outcomes(cell: _Cell) -> Iterator[tuple[int, int]]:
    """(p, q) for every count: how many of the 2^64 draws give it in the first and in the second story."""
    thresholds, shift = cell
    weights = noise.weights(thresholds)
    still = chain(weights, repeat(0, abs(shift)))
    shifted = chain(repeat(0, abs(shift)), weights)
    return zip(still, shifted, strict=True) if shift > 0 else zip(shifted, still, strict=True)


class _Powers:
    """The powers of one ρ, in units of 2^-128, rounded down. They are computed when they are needed."""

    def __init__(self, ratio: int) -> None:
        self.ratio = ratio
        self._up, self._down = [_POWER_ONE], [_POWER_ONE]
        self._square = (ratio * ratio >> _POWER_BITS) + 1
        # 1 / (ρ² - 1), rounded up
        self._share = -(-_POWER_ONE * _POWER_ONE // ((ratio * ratio >> _POWER_BITS) - _POWER_ONE))

    def split(self, p: int, q: int, point: int, bits: int) -> tuple[int, int]:
        """(x, y), the √(p q) at point and at point + 1 of two outcomes that together have p and q draws or slightly
        more: x ρ^n + y ρ^(n+1) = p and x ρ^-n + y ρ^-(n+1) = q."""
        rising, falling = self._power(point), self._power(-point)
        x = q * _above(rising) * self._square - p * falling * _POWER_ONE
        y = (p * _above(falling) - q * rising) * self.ratio
        shift = 3 * _POWER_BITS + noise.DRAW_BITS - bits
        return (max(0, -(-x * self._share >> shift)), max(0, -(-y * self._share >> shift)))

    def up(self, value: int, step: int) -> int:
        """value · ρ^step, rounded up."""
        return -(-value * _above(self._power(step)) >> _POWER_BITS)

    def _power(self, step: int) -> int:
        self._reach(abs(step))
        return self._up[step] if step >= 0 else self._down[-step]

    def end(self, masses: Iterable[int], first: int, least: int) -> tuple[int, int]:
        """(how many of the masses at the distances first, first - 1, … from 0 are together at most `least`; an upper
        bound of what both stories lose with them)."""
        self._reach(max(0, first))
        count = lost = 0
        for mass, power in zip(masses, self._up[max(0, first) :: -1], strict=False):
            more = lost + mass * (power + (power >> 100) + _BELOW)  # _above(power), inlined for speed
            if more > least << _POWER_BITS or first <= 0:
                break
            count, lost = count + 1, more
        return count, -(-lost >> _POWER_BITS)

    def between(self, first: int, end: int) -> tuple[list[int], list[int]]:
        """(ρ^n, ρ^-n) as two lists, for first ≤ n < end."""
        self._reach(max(abs(first), abs(end)))
        below, from_0 = range(-first, max(0, -end), -1), range(max(0, first), end)
        rising = [self._down[at] for at in below] + [self._up[at] for at in from_0]
        falling = [self._up[at] for at in below] + [self._down[at] for at in from_0]
        return rising, falling

    def nearest(self, p: int, q: int, far: int) -> int:
        """The point at or below ln(p / q), between -far and far; rounding may give the one above."""
        if p >= q:
            return (self._index((p << _POWER_BITS) // q + 1, 2 * far + 1) - 1) // 2
        return -self._index(-((-q << _POWER_BITS) // p), 2 * far) // 2

    def first_above(self, value: Fraction, limit: int) -> int:
        """The first point at which p / q is at least `value` (≥ 1), or so close below that rounding cannot tell;
        `limit` if no earlier point is."""
        least = self._index(value.numerator * (_POWER_ONE - (1 << 40)) // value.denominator, 2 * limit)
        return (least + 1) // 2

    def _index(self, scaled: int, limit: int) -> int:
        """The first step ≥ 0 whose power is at least `scaled`; `limit` if no earlier step is."""
        while self._up[-1] < scaled and len(self._up) <= limit:
            self._reach(min(limit, len(self._up) + 64))
        return min(bisect_left(self._up, scaled), max(0, limit))

    def _reach(self, step: int) -> None:
        ratio, up, down = self.ratio, self._up[-1], self._down[-1]
        for _ in range(len(self._up), step + 1):
            up = up * ratio >> _POWER_BITS
            down = (down << _POWER_BITS) // ratio
            self._up.append(up)
            self._down.append(down)


def _above(power: int) -> int:
    """An upper bound of a power that was rounded down in fewer than 2^20 steps, each by less than a unit, or, for
    rising powers, by less than 2^-128 of the power."""
    return power + (power >> 100) + _BELOW


@lru_cache(maxsize=32)
def _powers(ratio: int) -> _Powers:
    return _Powers(ratio)
