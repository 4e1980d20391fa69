"""Noise tables of PROTOCOL §8, computed with integers and fractions only.

Owns what a table is, the exact δ of its integers for one delivery, and the table for one delivery: the smallest µ for a
wanted (ε, δ), and its 64-bit thresholds. Leaves to others: tables for a day (shaping.py), what a table costs (plan.py),
how a relay draws from it (the core), the parameter set that contains it (signer.py).

e^ε is irrational, so it is enclosed by two rationals, which are refined until every comparison and every floor is
certain. This always ends: for rational ε ≠ 0, e^ε is transcendental (Lindemann), so no comparison is a tie.
"""

from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from ..errors import UsageError

DRAW_BITS = 64
DRAWS = 1 << DRAW_BITS
MU_MAX = 1000  # PROTOCOL §2, field mu
EPSILON_UNIT = Fraction(1, 10**6)  # PROTOCOL §2, field epsilon
EPSILON_MAX = 10

# E of PROTOCOL §8 is e^ε rounded down to this many binary digits, so that every implementation finds the same exact δ.
E_BITS = 80

_START_BITS = 256


@dataclass(frozen=True)
class NoiseTable:
    """A noise table. thresholds: T_0 … T_{n-1}, integers up to 2^64. exact_delta: its exact δ for one delivery at
    epsilon. e_lower: the rational E ≤ e^ε with which that was computed."""

    thresholds: tuple[int, ...]
    epsilon: Fraction
    exact_delta: Fraction
    e_lower: Fraction

    @classmethod
    def of(cls, thresholds: tuple[int, ...], epsilon: Fraction) -> "NoiseTable":
        e_lower = exp_lower(epsilon)
        return cls(thresholds, epsilon, exact_delta(thresholds, e_lower), e_lower)

    @property
    def most(self) -> int:
        """The largest result of a draw: n."""
        return len(self.thresholds)

    @property
    def mu(self) -> int:
        """µ, the middle of a table for one delivery."""
        return self.most // 2

    def pack(self) -> bytes:
        """The thresholds as PROTOCOL §2 carries them: 8·n bytes."""
        return b"".join(threshold.to_bytes(8, "big") for threshold in self.thresholds)

    def weights(self) -> list[int]:
        """w_0 … w_n: w_k of the 2^64 draws result in k. They add up to 2^64."""
        return weights(self.thresholds)

    def mean(self) -> Fraction:
        """The exact mean of a draw."""
        return Fraction(sum(k * weight for k, weight in enumerate(self.weights())), DRAWS)


def table(epsilon: Fraction, delta: Fraction) -> NoiseTable:
    """The table with the smallest µ whose exact δ is at most delta. Raises UsageError with the nearest value that
    works, if ε or δ is out of range or no µ up to 1000 is enough."""
    check_range(epsilon, delta)
    found, reached = _search(epsilon, delta)
    if found:
        return found
    wanted = reached
    while not _search(epsilon, wanted)[0]:
        wanted *= 2
    raise UsageError(
        f"a table of 64-bit thresholds does not reach delta {decimal_up(delta)} at epsilon {decimal(epsilon)}",
        f"use --delta {decimal_up(wanted)}",
    )


def _search(epsilon: Fraction, delta: Fraction) -> tuple[NoiseTable | None, Fraction]:
    """(the table or None, the smallest exact δ that was found)."""
    mu = smallest_mu(epsilon, delta)
    reached = Fraction(1)
    # Each step of µ reduces δ by e^-ε. If three steps do not help, the resolution of the table, 2^-64, is the limit.
    for candidate in range(mu, min(mu + 3, MU_MAX) + 1):
        found = NoiseTable.of(_thresholds(epsilon, candidate), epsilon)
        if found.exact_delta <= delta:
            return found, found.exact_delta
        reached = min(reached, found.exact_delta)
    return None, reached


def check_range(epsilon: Fraction, delta: Fraction, of: str = "") -> None:
    """Raises UsageError unless 0 < ε ≤ 10 in whole millionths and 2^-64 ≤ δ < 1. of: how the names of both options
    begin."""
    if epsilon <= 0:
        raise UsageError(f"{of}epsilon must be positive", f"use --{of}epsilon 0.000001 or more; 0.1 is usual")
    if epsilon > EPSILON_MAX:
        wrong = f"{of}epsilon {decimal(epsilon)} is too large to hide anything"
        raise UsageError(wrong, f"use --{of}epsilon {EPSILON_MAX} or less")
    if epsilon % EPSILON_UNIT:
        nearest = max(round(epsilon / EPSILON_UNIT), 1) * EPSILON_UNIT
        raise UsageError(f"{of}epsilon has more than six decimals", f"use --{of}epsilon {decimal(nearest)}")
    if not Fraction(1, DRAWS) <= delta < 1:
        nearest_delta = "0.000001" if delta >= 1 else decimal_up(Fraction(1, DRAWS))
        raise UsageError(f"{of}delta must be at least 2^-64 and less than 1", f"use --{of}delta {nearest_delta}")


def smallest_mu(epsilon: Fraction, delta: Fraction) -> int:
    """The smallest µ ≥ 1 with (1-α)α^µ / (1+α-2α^{µ+1}) ≤ delta, α = e^-ε."""
    if not formula_at_most(epsilon, MU_MAX, delta):
        raise UsageError(
            f"epsilon {decimal(epsilon)} and delta {decimal_up(delta)} need a µ above {MU_MAX}",
            f"use --epsilon {decimal(_smallest_epsilon(delta))} or more",
        )
    low, high = 0, MU_MAX  # the formula holds at high and not at low, or low is 0
    while high - low > 1:
        middle = (low + high) // 2
        if formula_at_most(epsilon, middle, delta):
            high = middle
        else:
            low = middle
    return high


def formula_at_most(epsilon: Fraction, mu: int, delta: Fraction) -> bool:
    """Whether the closed formula's δ for this µ is at most delta. Decided by enclosure, never by rounding."""
    bits = _START_BITS
    while True:
        low, high = formula_delta(epsilon, mu, bits)
        if high <= delta:
            return True
        if low > delta:
            return False
        bits *= 2


def formula_delta(epsilon: Fraction, mu: int, bits: int = _START_BITS) -> tuple[Fraction, Fraction]:
    """Rational bounds of (1-α)α^µ / (1+α-2α^{µ+1}), α = e^-ε."""
    one = 1 << bits
    alpha_low, alpha_high = _alpha(epsilon, bits)
    power_low, power_high = one, one
    for digit in f"{mu:b}":
        power_low = power_low * power_low >> bits
        power_high = -(-power_high * power_high >> bits)
        if digit == "1":
            power_low = power_low * alpha_low >> bits
            power_high = -(-power_high * alpha_high >> bits)
    low = Fraction((one - alpha_high) * power_low, (one + alpha_high) * one - 2 * power_low * alpha_low)
    high = Fraction((one - alpha_low) * power_high, (one + alpha_low) * one - 2 * power_high * alpha_high)
    return low, high


def exact_delta(thresholds: tuple[int, ...] | list[int], e_lower: Fraction) -> Fraction:
    """δ of the integer table (PROTOCOL §8): the larger of the two one-sided sums, over 2^64."""
    padded = [0, *weights(thresholds), 0]
    scale, one = e_lower.numerator, e_lower.denominator
    more = sum(max(0, here * one - before * scale) for before, here in pairwise(padded))
    fewer = sum(max(0, before * one - here * scale) for before, here in pairwise(padded))
    return Fraction(max(more, fewer), one * DRAWS)


def weights(thresholds: tuple[int, ...] | list[int]) -> list[int]:
    """w_k = T_k - T_{k-1} for k = 0 … n."""
    return [after - before for before, after in pairwise([0, *thresholds, DRAWS])]


@lru_cache(maxsize=256)
def exp_lower(epsilon: Fraction) -> Fraction:
    """⌊2^80·e^ε⌋ / 2^80: a rational lower bound of e^ε."""
    bits = E_BITS + E_BITS // 2  # mostly enough to be certain of the floor
    while True:
        low, high = exp_bounds(epsilon, bits)
        if (floor := low * 2**E_BITS // 1) == high * 2**E_BITS // 1:
            return Fraction(floor, 2**E_BITS)
        bits *= 2


def decimal(value: Fraction, digits: int = 12) -> str:
    """The value as a plain decimal if that has at most `digits` decimals, otherwise as numerator/denominator."""
    scaled = value * 10**digits
    if scaled.denominator != 1:
        return f"{value.numerator}/{value.denominator}"
    whole, part = divmod(abs(scaled.numerator), 10**digits)
    text = f"{whole}.{part:0{digits}d}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 else text


def decimal_up(value: Fraction, digits: int = 5) -> str:
    """A value ≥ 0 in scientific notation with `digits` significant digits, rounded up."""
    if value == 0:
        return "0"
    exponent = 0
    while value >= 10:
        value, exponent = value / 10, exponent + 1
    while value < 1:
        value, exponent = value * 10, exponent - 1
    mantissa = -(-value * 10 ** (digits - 1) // 1)
    if mantissa == 10**digits:
        mantissa, exponent = 10 ** (digits - 1), exponent + 1
    figures = str(mantissa).rstrip("0")
    return f"{figures[0]}.{figures[1:]}e{exponent}".replace(".e", "e")


def _thresholds(epsilon: Fraction, mu: int) -> tuple[int, ...]:
    """T_k = ⌊2^64·P(N ≤ k)⌋ for k = 0 … 2µ-1."""
    bits = _START_BITS
    while True:
        low, high = _scaled_cumulative(epsilon, mu, bits)
        if low == high:
            return tuple(low)
        bits *= 2


def _scaled_cumulative(epsilon: Fraction, mu: int, bits: int) -> tuple[list[int], list[int]]:
    """Floors of a lower and of an upper bound of 2^64·P(N ≤ k), in fixed point of `bits` binary digits."""
    one = 1 << bits
    alpha_low, alpha_high = _alpha(epsilon, bits)
    powers_low, powers_high = [one], [one]
    for _ in range(mu):
        powers_low.append(powers_low[-1] * alpha_low >> bits)
        powers_high.append(-(-powers_high[-1] * alpha_high >> bits))
    total_low = 2 * sum(powers_low) - one
    total_high = 2 * sum(powers_high) - one
    low, high = [], []
    sum_low = sum_high = 0
    for k in range(2 * mu):
        sum_low += powers_low[abs(k - mu)]
        sum_high += powers_high[abs(k - mu)]
        low.append(DRAWS * sum_low // total_high)
        high.append(DRAWS * sum_high // total_low)
    return low, high


def _alpha(epsilon: Fraction, bits: int) -> tuple[int, int]:
    """Bounds of e^-ε in fixed point of `bits` binary digits."""
    low, high = exp_bounds(epsilon, bits)
    one = 1 << bits
    return one / high // 1, -(-one / low // 1)


def exp_bounds(x: Fraction, bits: int) -> tuple[Fraction, Fraction]:
    """Bounds of e^x for x ≥ 0, about 2^-bits·e^x apart: the Taylor series up to n in fixed point and, for the rest, a
    geometric series with ratio x/(n+2) ≤ 1/2."""
    places = bits + 32
    low = high = total_low = total_high = 1 << places
    n, least = 0, -(-2 * x.numerator // x.denominator) - 2
    while n < least or high > 1 << 16:
        n += 1
        low = low * x.numerator // (x.denominator * n)
        high = -(-high * x.numerator // (x.denominator * n))
        total_low += low
        total_high += high
    rest = -(-2 * high * x.numerator // (x.denominator * (n + 1)))
    return Fraction(total_low, 1 << places), Fraction(total_high + rest, 1 << places)


def _smallest_epsilon(delta: Fraction) -> Fraction:
    """The smallest ε (in whole millionths) for which some µ ≤ 1000 reaches this δ."""
    units = range(1, int(EPSILON_MAX / EPSILON_UNIT) + 1)
    found = bisect_left(units, True, key=lambda unit: formula_at_most(unit * EPSILON_UNIT, MU_MAX, delta))
    return units[found] * EPSILON_UNIT
