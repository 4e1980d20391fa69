"""What several deliveries reveal together, exactly: privacy loss distributions in integers.

Owns the sums. How many deliveries a member's day may have is `allowance`'s business, how they are told others'.

Somebody who sees every published count compares two stories: that a member caused certain records, and that it did not.
A cell (relay, bucket, round) in which the member caused s records shows N + s instead of N beside what others posted;
N is drawn from the epoch's noise table, in every cell anew. A count that p of 2^64 draws give in the one story and q in
the other has the loss ln(p / q). The losses of different cells add up, so their distributions multiply as polynomials
do; of the whole, `δ(ε) = Σ max(0, p - e^ε q)`, and the other way round (Koskela, Jälkö, Honkela, Computing tight
differential privacy guarantees using FFT, 2020). What only one of the stories can show has an infinite loss.

Every rounding makes δ larger, none smaller, both ways:

- Losses lie on a grid, at n · 2 ln ρ. An outcome between two points is split into one on each, so that p and q are
  together what they were (Doroshenko, Ghazi, Kamath, Kumar, Manurangsi, Connect the dots: tighter discrete
  approximations of privacy loss distributions, 2022): who is told which part it was sees more, never less. So both
  follow from √(p q), which is kept: p = ρ^n √(p q), q = ρ^-n √(p q). One product serves both ways, which differ in the
  sign of n.
- √(p q) is a whole multiple of 2^-80. Products are exact and then rounded up, each coefficient; p and q rise with it.
- An outcome at either end whose masses are together less than 2^-62, or whose loss is so far beyond ±ε that it counts
  in full but for e^-6 of it, becomes two: one that only the one story can show, and one that only the other can.
- e^ε and the powers of ρ are enclosed by integers.

Polynomials are multiplied as the integers which they are at a large power of two (Kronecker substitution): CPython's
multiplication is fast enough, and no package has to be installed by members.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate, chain, repeat
from math import isqrt
from typing import NamedTuple

from . import noise

MOST = 4096  # deliveries that are counted at all
MILLIONTH = Fraction(1, 10**6)

_BITS = 80  # of a mass
_ONE = 1 << _BITS
_CUT = 1 << (_BITS - 62)
_DRAW = 1 << (_BITS - noise.DRAW_BITS)
_SLOT_BYTES = (2 * _BITS + 8) // 8  # the masses of a distribution add up to 1 and a little, those of a product, too
_POWER_BITS = 128
_POWER_ONE = 1 << _POWER_BITS
_POINTS_MOST = 1 << 13  # of the grid, on either side of 0, for one cell
_BELOW = 1 << 20
_EPSILON_MOST = 64
_SIGMA_BITS = 32
_COARSE, _FINE = 3, 6  # steps of the grid to the standard deviation of a cell's loss
_STEPS_OF_FEW = 192

# A count begins on a grid of so many steps, for as many cells; it says so small a share too little, about.
_ROUGH, _ROUGH_CELLS, _TOO_LITTLE = 2, 256, Fraction(1, 30)

_FAR = 6


class Part(NamedTuple):
    """`times` cells under one noise table, in each of which the member caused `shift` records."""

    thresholds: tuple[int, ...]
    shift: int
    times: int


def delta_of(parts: Iterable[Part], epsilon: Fraction, exchange: bool = False) -> Fraction:
    """The δ at which all of it is (ε, δ) indistinguishable, never below the truth, at most 1.

    Indistinguishable from a day without it, whichever of the two is true; with `exchange`, from a day with as much of
    it in other cells.
    """
    return _delta(_day(parts, exchange), epsilon)


def delta_roughly(parts: Iterable[Part], epsilon: Fraction) -> Fraction:
    """`delta_of`, on a coarse grid: a little more, in a fraction of the time."""
    return _delta(_day(parts, False), epsilon, _COARSE)


def epsilon_of(parts: Iterable[Part], delta: Fraction, exchange: bool = False) -> Fraction | None:
    """The ε at which all of it is (ε, delta) indistinguishable, in millionths, never below the truth. None if there is
    none up to 64: then what one of the stories cannot show weighs more than delta."""
    day = _day(parts, exchange)
    reach = _about(day, delta)
    while not (curve := _curve(day, reach))(reach) <= delta:
        if reach >= _EPSILON_MOST:
            return None
        reach *= 2
    units = range(int(reach / MILLIONTH) + 1)
    return MILLIONTH * bisect_left(units, True, key=lambda unit: curve(unit * MILLIONTH) <= delta)


def deliveries_within(thresholds: tuple[int, ...], epsilon: Fraction, delta: Fraction) -> int:
    """How many records, each in another cell of this table, stay within (ε, δ) together; at most 4096."""
    return more_within((), thresholds, epsilon, delta)


@lru_cache(maxsize=64)
def more_within(before: tuple[Part, ...], thresholds: tuple[int, ...], epsilon: Fraction, delta: Fraction) -> int:
    """How many records more, each in a cell of its own, stay within (ε, δ) together with what was `before`: at most
    4096, and none if what was before does not."""
    day, cell = _day(before, False), (tuple(thresholds), 1)

    def fits(count: int) -> bool:
        return not count or _delta(_merged([*day, (cell, count)]), epsilon) <= delta

    found = _roughly_within(day, cell, epsilon, delta)
    low = high = min(MOST, found + int(found * _TOO_LITTLE))
    step = 1  # twice as far each time, as the rough count may be far away
    if fits(low):
        while (high := min(MOST, low + step)) > low and fits(high):
            low, step = high, 2 * step
        high += high == low  # nothing beyond the most is tried
    else:
        while not fits(low := max(0, low - step)):
            high, step = low, 2 * step
    return low + bisect_left(range(low + 1, high), True, key=lambda count: not fits(count))


def _roughly_within(day: "_Day", cell: "_Cell", epsilon: Fraction, delta: Fraction) -> int:
    """On a coarse grid, which says too little if anything, and with one product for each binary digit that is 1."""
    grid = _grid(_merged([*day, (cell, 1)]), epsilon, _ROUGH, _ROUGH_CELLS)
    so_far = _composed(*_two_factors(day, grid), grid)

    def fits() -> bool:
        return _of_two(_power(cell, doublings, grid), so_far, grid)(epsilon) <= delta

    found = doublings = 0
    while 1 << doublings < MOST and fits():
        doublings += 1
    while doublings:
        doublings -= 1
        if fits():
            found += 1 << doublings
            if doublings:
                so_far = _composed(so_far, _power(cell, doublings, grid), grid)
    return found


def _about(day: "_Day", delta: Fraction) -> Fraction:
    """More, mostly, than the ε of as much loss that is normally distributed: V/2 + √(2 V ln 1/δ)."""
    variance = sum(_variance(cell) * times for cell, times in day)
    bits = (delta.denominator // max(1, delta.numerator)).bit_length()
    return min(Fraction(_EPSILON_MOST), Fraction(variance // 2 + isqrt((2 * variance * bits) << 64), noise.DRAWS) + 1)


# What the two stories differ by: cells (thresholds, shift), and how many of each. A shift of s compares N with N + s,
# one of -s N + s with N.
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
    """ρ in units of 2^-128, and the point from which on, and from whose opposite on, a loss counts as infinite."""

    ratio: int
    far: int


class _Losses(NamedTuple):
    """√(p q) at the points first, first + 1, … of a grid, and what only the one and only the other story can show; in
    units of 2^-80."""

    first: int
    masses: list[int]
    only_here: int
    only_there: int


_NOTHING = _Losses(0, [_ONE], 0, 0)


def _delta(day: _Day, epsilon: Fraction, steps: int = _FINE) -> Fraction:
    if not day:
        return Fraction(0)
    if _is_one_cell(day):
        return _delta_of_one(day[0][0], epsilon)
    grid = _grid(day, epsilon, steps)
    return _of_two(*_two_factors(day, grid), grid)(epsilon)


def _curve(day: _Day, reach: Fraction) -> Callable[[Fraction], Fraction]:
    """δ as a function of ε, at its best up to `reach`."""
    if not day:
        return lambda epsilon: Fraction(0)
    if _is_one_cell(day):
        return lambda epsilon: _delta_of_one(day[0][0], epsilon)
    grid = _grid(day, reach, _FINE)
    whole = _composed(*_two_factors(day, grid), grid)
    return _of_two(_NOTHING, whole, grid)


def _is_one_cell(day: _Day) -> bool:
    return len(day) == 1 and day[0][1] == 1


def _delta_of_one(cell: _Cell, epsilon: Fraction) -> Fraction:
    """Without a grid."""
    e_lower = noise.exp_lower(epsilon)
    scale, one = e_lower.numerator, e_lower.denominator
    here = sum(max(0, p * one - q * scale) for p, q in _outcomes(cell))
    there = sum(max(0, q * one - p * scale) for p, q in _outcomes(cell))
    return Fraction(max(here, there), one << noise.DRAW_BITS)


def _of_two(one: _Losses, other: _Losses, grid: _Grid) -> Callable[[Fraction], Fraction]:
    """δ as a function of ε, of the composition of two, without the product: for every loss of the one, what of the
    other reaches beyond ε."""
    here, there = _one_sided(one, other, grid), _one_sided(_turned(one), _turned(other), grid)

    def delta(epsilon: Fraction) -> Fraction:
        e_lower = noise.exp_lower(epsilon)
        return min(Fraction(1), max(here(e_lower), there(e_lower)))

    return delta


def _turned(losses: _Losses) -> _Losses:
    """The stories exchanged."""
    first, masses, only_here, only_there = losses
    return _Losses(1 - first - len(masses), masses[::-1], only_there, only_here)


def _one_sided(one: _Losses, other: _Losses, grid: _Grid) -> Callable[[Fraction], Fraction]:
    """Σ max(0, p - E q) as a function of E."""
    powers, first = _powers(grid.ratio), one.first + other.first
    end = first + len(one.masses) + len(other.masses)
    p_one, q_one = powers.both(one)
    p_other, q_other = (_from_the_end(each) for each in powers.both(other))
    places = 2 * (_BITS + _POWER_BITS)
    kept = Fraction((_ONE - one.only_here) * (_ONE - other.only_here), _ONE * _ONE)

    def beyond(e_lower: Fraction) -> Fraction:
        above = powers.first_above(e_lower, end) - first
        p = q = 0
        for at in range(max(0, above - len(p_other) + 1), len(p_one)):
            least = max(0, above - at)
            p += p_one[at] * p_other[least]
            q += q_one[at] * q_other[least]
        # A unit more for the point next to ε, which rounding may have put on either side.
        return Fraction(p, 1 << places) - e_lower * Fraction(q, 1 << places) + 1 - kept + Fraction(1, _ONE)

    return beyond


def _two_factors(day: _Day, grid: _Grid) -> tuple[_Losses, _Losses]:
    """Two distributions whose composition is the day's: the last product is the largest, and often not needed."""
    factors = []
    for cell, times in day:
        factors += [_power(cell, bit, grid) for bit in range(times.bit_length()) if times >> bit & 1]
    if len(factors) == 1:
        ((cell, times),) = day
        factors = [_power(cell, times.bit_length() - 2, grid)] * 2 if times > 1 else [*factors, _NOTHING]
    while len(factors) > 2:
        factors.sort(key=lambda factor: len(factor.masses), reverse=True)
        factors.append(_composed(factors.pop(), factors.pop(), grid))
    one, other = (factors + [_NOTHING] * 2)[:2]
    return one, other


@lru_cache(maxsize=128)
def _power(cell: _Cell, doublings: int, grid: _Grid) -> _Losses:
    """Of 2^doublings cells."""
    if not doublings:
        return _of_one_cell(cell, grid)
    half = _power(cell, doublings - 1, grid)
    return _composed(half, half, grid)


def _of_one_cell(cell: _Cell, grid: _Grid) -> _Losses:
    """Every outcome, split among the two points of the grid that it is between."""
    powers = _powers(grid.ratio)
    far = min(grid.far, _POINTS_MOST)
    points: Counter[int] = Counter()
    only_here = only_there = 0
    for p, q in _outcomes(cell):
        point = powers.nearest(p, q, far) if p and q else far
        if -far < point < far:
            lower, upper = powers.split(p, q, point)
            points[point] += lower
            points[point + 1] += upper
        else:
            only_here += p * _DRAW
            only_there += q * _DRAW
    first = min(points, default=0)
    masses = [points[point] for point in range(first, max(points, default=0) + 1)]
    return _cut(_Losses(first, masses, only_here, only_there), grid)


def _composed(one: _Losses, other: _Losses, grid: _Grid) -> _Losses:
    first = _packed(one.masses)
    second = first if one is other else _packed(other.masses)
    count = len(one.masses) + len(other.masses) - 1
    product = (first * second).to_bytes(_SLOT_BYTES * count, "little")
    masses = [
        -(-int.from_bytes(product[at : at + _SLOT_BYTES], "little") >> _BITS)
        for at in range(0, len(product), _SLOT_BYTES)
    ]
    only_here = one.only_here + other.only_here - (one.only_here * other.only_here >> _BITS)
    only_there = one.only_there + other.only_there - (one.only_there * other.only_there >> _BITS)
    return _cut(_Losses(one.first + other.first, masses, only_here, only_there), grid)


def _packed(masses: list[int]) -> int:
    return int.from_bytes(b"".join([mass.to_bytes(_SLOT_BYTES, "little") for mass in masses]), "little")


def _from_the_end(masses: list[int]) -> list[int]:
    """What each and those after it add up to."""
    return [*accumulate(reversed(masses))][::-1]


def _cut(losses: _Losses, grid: _Grid) -> _Losses:
    """Without what is far away, and without ends of next to no mass."""
    first, masses, only_here, only_there = losses
    powers = _powers(grid.ratio)
    start, end = max(0, 1 - grid.far - first), max(0, grid.far - first)
    for at in chain(range(min(start, len(masses))), range(end, len(masses))):
        only_here += powers.up(masses[at], first + at)
        only_there += powers.up(masses[at], -(first + at))
    first, masses = first + start, masses[start:end]
    below, lost_below = powers.end(masses, -first)
    above, lost_above = powers.end(masses[:below:-1], first + len(masses) - 1)
    lost = lost_below + lost_above
    kept = masses[below : len(masses) - above] or [0]
    return _Losses(first + below, kept, min(_ONE, only_here + lost), min(_ONE, only_there + lost))


def _grid(day: _Day, epsilon: Fraction, steps: int, cells: int = 0) -> _Grid:
    """So many steps to the standard deviation of the loss of one cell, more where few cells do not smooth it.

    Days of about as many cells (`cells`, if that is more) share a grid, and the powers that were made on it.
    """
    times = sum(each for _, each in day)
    if not times:
        return _Grid(2 * _POWER_ONE, 1)
    sigma = max(1, isqrt(sum(_variance(cell) * each for cell, each in day) // times))
    about = 1 << (max(times, cells) - 1).bit_length()
    ratio = _ratio(max(day, key=lambda each: each[1])[0], sigma, steps + _STEPS_OF_FEW // about)
    reach = epsilon + _FAR + Fraction(5 * sigma * isqrt(about), 1 << _SIGMA_BITS)
    return _Grid(ratio, reach * ratio // (2 * (ratio - _POWER_ONE)) + 1)


def _ratio(cell: _Cell, sigma: int, steps: int) -> int:
    """ρ. Where most draws have the same loss, up or down, as under a table for one delivery, that loss is a whole
    number of steps: then sums of losses are on the grid, too, and not a step beyond an ε that is a multiple of it."""
    least = (sigma << (_POWER_BITS - _SIGMA_BITS)) // (2 * steps)
    ratio = _common(cell)
    if not ratio:
        return _POWER_ONE + least
    while ratio - _POWER_ONE > least:
        ratio = isqrt(ratio << _POWER_BITS) + 1
    return ratio


@lru_cache(maxsize=64)
def _common(cell: _Cell) -> int:
    """max(p / q, q / p), in units of 2^-128, of the count at which a quarter of the draws are reached, if it is that of
    most draws; else 0."""
    outcomes = [*_outcomes(cell)]
    ratios = [(max(p, q) << _POWER_BITS) // min(p, q) if p and q else 0 for p, q in outcomes]
    ratio = ratios[bisect_left([*accumulate(p for p, _ in outcomes)], noise.DRAWS // 4)]
    alike = sum(p for (p, _), each in zip(outcomes, ratios, strict=True) if abs(each - ratio) < ratio >> 32)
    return ratio if 2 * alike > noise.DRAWS and ratio > _POWER_ONE else 0


@lru_cache(maxsize=64)
def _variance(cell: _Cell) -> int:
    """Of the loss, about; in units of 2^-64."""
    return sum(2 * (p - q) ** 2 // (p + q) for p, q in _outcomes(cell) if p or q)


def _outcomes(cell: _Cell) -> Iterator[tuple[int, int]]:
    """(p, q) of every count, in draws."""
    thresholds, shift = cell
    weights = noise.weights(thresholds)
    still = chain(weights, repeat(0, abs(shift)))
    shifted = chain(repeat(0, abs(shift)), weights)
    return zip(still, shifted, strict=True) if shift > 0 else zip(shifted, still, strict=True)


class _Powers:
    """Of one ρ, in units of 2^-128, rounded down; made as they are needed."""

    def __init__(self, ratio: int) -> None:
        self.ratio = ratio
        self._up, self._down = [_POWER_ONE], [_POWER_ONE]
        self._square = (ratio * ratio >> _POWER_BITS) + 1
        # 1 / (ρ² - 1), rounded up
        self._share = -(-_POWER_ONE * _POWER_ONE // ((ratio * ratio >> _POWER_BITS) - _POWER_ONE))

    def split(self, p: int, q: int, point: int) -> tuple[int, int]:
        """√(p q) at point and at point + 1, x and y, of two outcomes that have together p and q draws or a little more:
        from x ρ^n + y ρ^(n+1) = p and x ρ^-n + y ρ^-(n+1) = q."""
        rising, falling = self._power(point), self._power(-point)
        x = q * _above(rising) * self._square - p * falling * _POWER_ONE
        y = (p * _above(falling) - q * rising) * self.ratio
        shift = 3 * _POWER_BITS + noise.DRAW_BITS - _BITS
        return (max(0, -(-x * self._share >> shift)), max(0, -(-y * self._share >> shift)))

    def up(self, value: int, step: int) -> int:
        """value · ρ^step, rounded up."""
        return -(-value * _above(self._power(step)) >> _POWER_BITS)

    def _power(self, step: int) -> int:
        self._reach(abs(step))
        return self._up[step] if step >= 0 else self._down[-step]

    def end(self, masses: Iterable[int], first: int) -> tuple[int, int]:
        """How many of the masses, at points that are `first`, `first` - 1, … away from 0, are together next to nothing;
        and what, at most, both stories lose there."""
        self._reach(max(0, first))
        count = lost = 0
        for mass, power in zip(masses, self._up[max(0, first) :: -1], strict=False):
            more = lost + mass * _above(power)
            if more > _CUT << _POWER_BITS or first <= 0:
                break
            count, lost = count + 1, more
        return count, -(-lost >> _POWER_BITS)

    def both(self, losses: _Losses) -> tuple[list[int], list[int]]:
        """p, rounded up, and q, rounded down, in units of 2^-208."""
        first, masses = losses.first, losses.masses
        self._reach(max(abs(first), abs(first + len(masses))))
        rising = [self._up[at] if at >= 0 else self._down[-at] for at in range(first, first + len(masses))]
        falling = [self._down[at] if at >= 0 else self._up[-at] for at in range(first, first + len(masses))]
        p = [mass * (power + (power >> 100) + _BELOW) for mass, power in zip(masses, rising, strict=True)]
        return p, [mass * power for mass, power in zip(masses, falling, strict=True)]

    def nearest(self, p: int, q: int, far: int) -> int:
        """The point at or below ln(p / q), between -far and far; by rounding perhaps the one above."""
        if p >= q:
            return (self._index((p << _POWER_BITS) // q + 1, 2 * far + 1) - 1) // 2
        return -self._index(-((-q << _POWER_BITS) // p), 2 * far) // 2

    def first_above(self, value: Fraction, limit: int) -> int:
        """The first point p / q of which is value (from 1 on) or more, or so close below that rounding does not tell;
        limit if there is none before."""
        least = self._index(value.numerator * (_POWER_ONE - (1 << 40)) // value.denominator, 2 * limit)
        return (least + 1) // 2

    def _index(self, scaled: int, limit: int) -> int:
        """The first step from 0 on whose power is scaled or more; limit if there is none before."""
        while self._up[-1] < scaled and len(self._up) <= limit:
            self._reach(len(self._up))
        return min(bisect_left(self._up, scaled), max(0, limit))

    def _reach(self, step: int) -> None:
        while len(self._up) <= step:
            self._up.append(self._up[-1] * self.ratio >> _POWER_BITS)
            self._down.append((self._down[-1] << _POWER_BITS) // self.ratio)


def _above(power: int) -> int:
    """An upper bound of what was rounded down to this, in less than 2^20 steps, each of which took less than a unit; of
    powers that rise, less than 2^-128 of them."""
    return power + (power >> 100) + _BELOW


@lru_cache(maxsize=32)
def _powers(ratio: int) -> _Powers:
    return _Powers(ratio)
