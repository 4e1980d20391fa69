"""Exact composition against sums of exact fractions, dp-accounting's privacy losses, and basic composition."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera_host.privacy import noise
from tessera_host.privacy.composition import MOST, deliveries_within, delta_of

EPSILON, DELTA = Fraction("0.1"), Fraction("1e-9")


def exact_bounds(k: int, epsilon: Fraction, delta: Fraction, total: Fraction) -> tuple[Fraction, Fraction]:
    """The theorem written down term by term with fractions: a lower and an upper bound of D."""
    found = []
    (low, high), (total_low, total_high) = noise.exp_bounds(epsilon, 200), noise.exp_bounds(total, 200)
    for above, below, scale in ((low, high, total_high), (high, low, total_low)):
        tail = sum(
            math.comb(k, i)
            * max(Fraction(0), above ** (k - i) / (1 + below) ** k - scale * below**i / (1 + above) ** k)
            for i in range(k + 1)
        )
        found.append(1 - (1 - delta) ** k * (1 - Fraction(tail)))
    return found[0], found[1]


@settings(max_examples=40, deadline=None)
@given(
    k=st.integers(1, 30),
    epsilon=st.fractions(Fraction(1, 1000), 3, max_denominator=1000),
    delta=st.fractions(0, Fraction(1, 1000), max_denominator=10**9),
    total=st.fractions(Fraction(1, 100), 8, max_denominator=100),
)
def test_delta_is_the_theorem_s_and_rounded_up(k: int, epsilon: Fraction, delta: Fraction, total: Fraction) -> None:
    low, high = exact_bounds(k, epsilon, delta, total)
    found = delta_of(k, epsilon, delta, total)
    assert low <= found <= high + Fraction(1, 2**180)


def test_randomised_response_composed_by_dp_accounting_gives_the_same() -> None:
    """A mechanism that attains the theorem, composed by numerical convolution of its privacy losses."""
    epsilon = 0.5
    loss = pld.from_privacy_parameters(
        pld.common.DifferentialPrivacyParameters(epsilon, 1e-7), value_discretization_interval=1e-4
    )
    for k in (1, 5, 12, 40):
        composed = loss.self_compose(k)
        for total in (1.0, 2.0, 4.0):
            ours = float(delta_of(k, Fraction(1, 2), Fraction(1, 10**7), Fraction(total)))
            assert composed.get_delta_for_epsilon(total) == pytest.approx(ours, rel=2e-2, abs=1e-12)


def test_never_less_than_basic_composition() -> None:
    for total_epsilon, total_delta in ((Fraction(2), Fraction("1e-5")), (Fraction(1), Fraction("1e-6"))):
        basic = min(total_epsilon / EPSILON, total_delta / DELTA)
        assert deliveries_within(EPSILON, DELTA, total_epsilon, total_delta) >= int(basic)


def test_more_than_basic_where_delta_leaves_room() -> None:
    """ε = 0.1 a delivery and 2 a day: 20 by adding up, more because losses seldom all fall one way."""
    found = deliveries_within(EPSILON, DELTA, Fraction(2), Fraction("1e-5"))
    assert found > 20
    _, high = exact_bounds(found, EPSILON, DELTA, Fraction(2))
    low, _ = exact_bounds(found + 1, EPSILON, DELTA, Fraction(2))
    assert high <= Fraction("1e-5") < low


def test_delta_alone_can_be_the_limit() -> None:
    """1 - (1 - 1e-6)^k ≤ 1e-5 for k ≤ 10."""
    assert deliveries_within(EPSILON, Fraction("1e-6"), Fraction(2), Fraction("1e-5")) == 10


def test_nothing_fits_into_a_budget_smaller_than_one_delivery() -> None:
    assert deliveries_within(Fraction(1), Fraction(0), Fraction("0.5"), Fraction("1e-5")) == 0
    assert deliveries_within(EPSILON, Fraction("1e-4"), Fraction(2), Fraction("1e-5")) == 0


def test_counting_ends_at_its_limit() -> None:
    assert deliveries_within(Fraction("0.0001"), Fraction(0), Fraction(10), Fraction("1e-3")) == MOST


def test_delta_rises_with_deliveries_and_falls_with_epsilon() -> None:
    by_number = [delta_of(k, EPSILON, DELTA, Fraction(1)) for k in range(1, 120, 7)]
    by_total = [delta_of(60, EPSILON, DELTA, Fraction(n, 4)) for n in range(1, 20)]
    assert all(one <= other for one, other in pairwise(by_number))
    assert all(one >= other for one, other in pairwise(by_total))
