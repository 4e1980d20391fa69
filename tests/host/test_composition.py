"""What deliveries reveal together, against sums of exact fractions, a reckoning of its own in fractions, and Google's
dp-accounting."""

from collections import Counter
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tessera_host.privacy import noise, shaping
from tessera_host.privacy.composition import Part, delta_of

EPSILON, DELTA = Fraction(2), Fraction("2e-5")
ALIKE = noise.table(Fraction("0.1"), Fraction("1e-6")).thresholds
STEEP = noise.table(Fraction(1), Fraction("1e-3")).thresholds


@lru_cache(maxsize=8)
def day_table(deliveries: int) -> tuple[int, ...]:
    return shaping.day_table(deliveries, EPSILON, DELTA).thresholds


def outcomes(thresholds: tuple[int, ...], shift: int) -> list[tuple[Fraction, Fraction]]:
    """(P, Q) of every count, without and with so many records."""
    weights = [after - before for before, after in pairwise([0, *thresholds, 2**64])]
    padding = [0] * shift
    pairs = zip([*weights, *padding], [*padding, *weights], strict=True)
    return [(Fraction(p, 2**64), Fraction(q, 2**64)) for p, q in pairs]


def exact_delta(parts: list[Part], epsilon: Fraction, exchange: bool = False) -> Fraction:
    """Every combination of counts, one by one. A lower bound, below the truth by the last digits of e^ε alone."""
    cells = [outcomes(table, shift) for table, shift, times in parts for _ in range(times)]
    if exchange:
        cells += [[(q, p) for p, q in cell] for cell in cells]
    joint = Counter({(Fraction(1), Fraction(1)): 1})
    for cell in cells:
        following: Counter[tuple[Fraction, Fraction]] = Counter()
        for (p, q), times in joint.items():
            for more_p, more_q in cell:
                following[p * more_p, q * more_q] += times
        joint = following
    _, e_high = noise.exp_bounds(epsilon, 200)
    here = sum(times * max(Fraction(0), p - e_high * q) for (p, q), times in joint.items())
    there = sum(times * max(Fraction(0), q - e_high * p) for (p, q), times in joint.items())
    return max(here, there)


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, ...]:
    """Of a few counts with any weights, also none."""
    cuts = draw(st.lists(st.integers(0, 40), min_size=1, max_size=4))
    scaled = [cut * (2**64 - 1) // 40 for cut in sorted(cuts)]
    return tuple(scaled)


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.builds(Part, tables(), st.integers(1, 3), st.integers(1, 2)), min_size=1, max_size=2),
    epsilon=st.fractions(0, 4, max_denominator=50),
    exchange=st.booleans(),
)
def test_never_below_the_sum_over_all_that_can_be_seen(parts: list[Part], epsilon: Fraction, exchange: bool) -> None:
    exact = exact_delta(parts, epsilon, exchange)
    assert exact <= delta_of(parts, epsilon, exchange) <= exact + Fraction(1, 20)
