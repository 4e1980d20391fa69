"""The noise table against published figures, an independent implementation, and exact arithmetic over its integers."""

import json
from decimal import ROUND_FLOOR, Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera_host.errors import UsageError
from tessera_host.privacy import noise

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "noise_table.json").read_text())

epsilons = st.integers(min_value=30_000, max_value=3_000_000).map(lambda units: Fraction(units, 10**6))
deltas = st.integers(min_value=4, max_value=36).map(lambda exponent: Fraction(1, 2**exponent))


def as_decimal(value):
    """To the precision of the context; Decimal's own exp() is the independent implementation here."""
    return Decimal(value.numerator) / Decimal(value.denominator)


def one_sided(weights, e):
    """Σ max(0, w_k - e·w_{k-1}) over all k, weights outside being 0, written differently from the code under test."""
    outside = [0] * len(weights)
    by_k = dict(enumerate(weights))
    return sum(max(0, by_k.get(k, 0) - e * by_k.get(k - 1, 0)) for k in range(len(outside) + 1))


@pytest.mark.parametrize(("delta", "mu"), [("1e-6", 109), ("1e-9", 178)])
def test_published_mu_for_epsilon_one_tenth(delta, mu):
    assert noise.table(Fraction("0.1"), Fraction(delta)).mu == mu


def test_published_delta_of_the_formula_and_of_one_mu_less():
    wide_enough = noise.formula_delta(Fraction("0.1"), 109)
    too_narrow = noise.formula_delta(Fraction("0.1"), 108)
    assert Fraction("9.2215e-7") < wide_enough[0] < wide_enough[1] < Fraction("9.2216e-7")
    assert Fraction("1.0191e-6") < too_narrow[0] < too_narrow[1] < Fraction("1.0192e-6")
    assert noise.formula_at_most(Fraction("0.1"), 109, Fraction("1e-6"))
    assert not noise.formula_at_most(Fraction("0.1"), 108, Fraction("1e-6"))


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: f"{row['epsilon']}, {row['delta']}")
def test_table_is_that_of_the_reference_implementation(row):
    table = noise.table(Fraction(row["epsilon"]), Fraction(row["delta"]))
    assert table.mu == row["mu"]
    assert [f"{threshold:016x}" for threshold in table.thresholds] == row["thresholds"]
    assert table.e_lower == Fraction(row["e_lower"])
    assert table.exact_delta == Fraction(row["exact_delta"])
    assert table.pack().hex() == "".join(row["thresholds"])


@settings(max_examples=60, deadline=None)
@given(epsilons, deltas)
def test_thresholds_are_the_floors_of_the_distribution(epsilon, delta):
    table = noise.table(epsilon, delta)
    with localcontext(prec=150):
        alpha = (-as_decimal(epsilon)).exp()
        powers = [alpha ** abs(k - table.mu) for k in range(2 * table.mu + 1)]
        total, cumulative = sum(powers), Decimal(0)
        for threshold, power in zip(table.thresholds, powers, strict=False):
            cumulative += power
            assert threshold == (cumulative / total * 2**64).to_integral_value(ROUND_FLOOR)


@settings(max_examples=60, deadline=None)
@given(epsilons, deltas)
def test_exact_delta_is_that_of_the_integers_and_meets_what_was_asked(epsilon, delta):
    table = noise.table(epsilon, delta)
    weights = table.weights()
    assert sum(weights) == 2**64 and min(weights) >= 0 and len(weights) == 2 * table.mu + 1
    recomputed = max(one_sided(weights, table.e_lower), one_sided(weights[::-1], table.e_lower)) / 2**64
    assert table.exact_delta == recomputed <= delta


@settings(max_examples=60, deadline=None)
@given(epsilons, deltas)
def test_mu_is_the_smallest(epsilon, delta):
    mu = noise.smallest_mu(epsilon, delta)
    with localcontext(prec=150):
        alpha = (-as_decimal(epsilon)).exp()
        less, enough = ((1 - alpha) * alpha**m / (1 + alpha - 2 * alpha ** (m + 1)) for m in (mu - 1, mu))
        assert enough <= as_decimal(delta)
        assert mu == 1 or less > as_decimal(delta)


@settings(max_examples=60, deadline=None)
@given(st.integers(min_value=1, max_value=10_000_000).map(lambda units: Fraction(units, 10**6)))
def test_e_is_the_exponential_rounded_down_to_80_binary_places(epsilon):
    low = noise.exp_lower(epsilon)
    with localcontext(prec=80):
        true = as_decimal(epsilon).exp()
        assert as_decimal(low) <= true < as_decimal(low + Fraction(1, 2**80))


def test_mean_is_mu_but_for_the_floors():
    table = noise.table(Fraction("0.1"), Fraction("1e-6"))
    assert 0 <= table.mean() - table.mu < Fraction(2 * table.mu, 2**64)


@pytest.mark.parametrize("delta", ["1e-17", "1e-18", "6e-20"])
def test_delta_below_the_grain_of_the_table_is_refused_with_one_that_works(delta):
    with pytest.raises(UsageError, match="64-bit thresholds") as refusal:
        noise.table(Fraction("0.1"), Fraction(delta))
    proposed = Fraction(refusal.value.hint.removeprefix("use --delta "))
    assert noise.table(Fraction("0.1"), proposed).exact_delta <= proposed


def test_too_small_epsilon_is_refused_with_the_smallest_that_works():
    with pytest.raises(UsageError, match="µ above 1000") as refusal:
        noise.table(Fraction("0.001"), Fraction("1e-6"))
    proposed = Fraction(refusal.value.hint.removeprefix("use --epsilon ").removesuffix(" or more"))
    assert noise.table(proposed, Fraction("1e-6")).mu == 1000
    with pytest.raises(UsageError):
        noise.table(proposed - Fraction(1, 10**6), Fraction("1e-6"))


@pytest.mark.parametrize(
    ("epsilon", "delta", "hint"),
    [
        ("0", "1e-6", "--epsilon 0.000001"),
        ("-1", "1e-6", "--epsilon"),
        ("11", "1e-6", "--epsilon 10"),
        ("0.1234567", "1e-6", "--epsilon 0.123457"),
        ("0.1", "0", "--delta 5.4211e-20"),
        ("0.1", "1", "--delta 0.000001"),
    ],
)
def test_values_out_of_range_are_refused_with_the_nearest(epsilon, delta, hint):
    with pytest.raises(UsageError) as refusal:
        noise.table(Fraction(epsilon), Fraction(delta))
    assert hint in refusal.value.hint


@given(st.fractions(min_value=Fraction(1, 10**30), max_value=10**6))
def test_printed_delta_is_never_smaller_than_the_true_one(value):
    printed = Fraction(noise.decimal_up(value))
    assert value <= printed <= value * Fraction(10001, 10000)


def test_decimals_are_exact_or_fractions():
    assert noise.decimal(Fraction("0.1")) == "0.1"
    assert noise.decimal(Fraction(16, 10)) == "1.6"
    assert noise.decimal(Fraction(1, 3)) == "1/3"
    assert noise.decimal(Fraction(24)) == "24"
    assert noise.decimal(Fraction("-0.5")) == "-0.5"
