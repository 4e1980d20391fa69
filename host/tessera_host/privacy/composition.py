"""How many deliveries fit into a privacy budget, exactly: the optimal composition of (ε, δ)-private counts.

Owns the theorem and its arithmetic. How many a member's day may have is `allowance`'s business.

k mechanisms that are (ε, δ)-differentially private each are together (E, D)-private for every E, with
`D = 1 - (1-δ)^k (1-d)`, `d = Σ_i max(0, C(k,i) (p^(k-i) q^i - e^E p^i q^(k-i)))`, `p = e^ε / (1 + e^ε)`, `q = 1 - p`;
no smaller D holds for all of them (Kairouz, Oh and Viswanath, The composition theorem for differential privacy, 2015,
theorem 3.3; d for any E: Murtagh and Vadhan 2016). A randomised response attains it, so counting by it never says less
than basic composition does, and never more than is true.
"""

from fractions import Fraction
from functools import lru_cache

from . import noise

MOST = 4096  # deliveries that are counted at all
_GUARD_BITS = 320


@lru_cache(maxsize=64)
def deliveries_within(epsilon: Fraction, delta: Fraction, total_epsilon: Fraction, total_delta: Fraction) -> int:
    """The most deliveries of (ε, δ) each that are together within (total ε, total δ); at most 4096."""
    low, high = 0, 1
    while high <= MOST and delta_of(high, epsilon, delta, total_epsilon) <= total_delta:
        low, high = high, 2 * high
    high = min(high, MOST + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if delta_of(middle, epsilon, delta, total_epsilon) <= total_delta:
            low = middle
        else:
            high = middle
    return low


def delta_of(deliveries: int, epsilon: Fraction, delta: Fraction, total_epsilon: Fraction) -> Fraction:
    """An upper bound of the smallest D for E = `total_epsilon`, above it by less than 2^-250."""
    fixed = _FixedPoint(deliveries)
    kept = fixed.powers(fixed.one - fixed.up(delta), up=False)[deliveries]
    tail = min(fixed.one, _tail(fixed, deliveries, epsilon, total_epsilon))
    return Fraction(fixed.one - fixed.times(kept, fixed.one - tail, up=False), fixed.one)


def _tail(fixed: "_FixedPoint", deliveries: int, epsilon: Fraction, total_epsilon: Fraction) -> int:
    """d, rounded up."""
    if deliveries * epsilon <= total_epsilon:
        return 0
    low, high = fixed.exp(epsilon)
    # p rises with e^ε, q falls.
    p_low, p_high = low * fixed.one // (fixed.one + low), -(-high * fixed.one // (fixed.one + high))
    scale, _ = fixed.exp(total_epsilon)
    taken = fixed.products(p_high, fixed.one - p_low, up=True)
    given = fixed.products(fixed.one - p_high, p_low, up=False)
    found, ways = 0, 1
    for i in range(deliveries + 1):
        found += ways * max(0, taken[i] - fixed.times(scale, given[i], up=False))
        ways = ways * (deliveries - i) // (i + 1)
    return found


class _FixedPoint:
    """Numbers as whole multiples of 2^-bits, with enough bits that rounding errors, which are multiplied by up to
    2^deliveries ways, stay far below every δ."""

    def __init__(self, deliveries: int) -> None:
        self._deliveries = deliveries
        self._bits = -(-(deliveries + _GUARD_BITS) // 512) * 512
        self.one = 1 << self._bits

    def up(self, value: Fraction) -> int:
        return -(-value.numerator * self.one // value.denominator)

    def times(self, one: int, other: int, up: bool) -> int:
        return -(-one * other >> self._bits) if up else one * other >> self._bits

    def powers(self, base: int, up: bool) -> list[int]:
        """base^0 … base^deliveries."""
        powers = [self.one]
        for _ in range(self._deliveries):
            powers.append(self.times(powers[-1], base, up))
        return powers

    def products(self, first: int, second: int, up: bool) -> list[int]:
        """first^(deliveries - i) · second^i for i = 0 … deliveries."""
        pairs = zip(reversed(self.powers(first, up)), self.powers(second, up), strict=True)
        return [self.times(one, other, up) for one, other in pairs]

    def exp(self, value: Fraction) -> tuple[int, int]:
        """e^value, rounded down and up."""
        return _exp(value, self._bits)


@lru_cache(maxsize=64)
def _exp(value: Fraction, bits: int) -> tuple[int, int]:
    low, high = noise.exp_bounds(value, bits)
    return (low.numerator << bits) // low.denominator, -(-(high.numerator << bits) // high.denominator)
