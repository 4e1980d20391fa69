"""What deliveries add up to, against a sum of fractions.

But for the floors of the table a delivery's loss is ε, -ε or infinite, so that the loss of k deliveries is a binomial
sum. That is computed here exactly, with fractions.
"""

import math
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera_host.privacy import composition, noise
from tessera_host.privacy import loss as privacy
from tessera_host.privacy.composition import Part

EPSILON, DELTA = Fraction("0.1"), Fraction("1e-6")
TABLE = noise.table(EPSILON, DELTA)


def delta_of(deliveries: int, at: float, table: noise.NoiseTable = TABLE) -> float:
    return float(composition.delta_of([Part(table.thresholds, 1, deliveries)], Fraction(at)))


def binomial_delta(thresholds, epsilon: Fraction, deliveries: int, at: float) -> float:
    """δ of so many deliveries at the ε `at`: the worse of both directions."""
    weights = [after - before for before, after in zip([0, *thresholds], [*thresholds, 2**64], strict=True)]
    found = []
    for above, below in (([0, *weights], [*weights, 0]), ([*weights, 0], [0, *weights])):
        infinite = sum(a for a, b in zip(above, below, strict=True) if not b)
        likelier = sum(a for a, b in zip(above, below, strict=True) if b and a > b)
        p, q = Fraction(likelier, 2**64), Fraction(2**64 - infinite - likelier, 2**64)
        total = 1 - float((1 - Fraction(infinite, 2**64)) ** deliveries)
        for more in range(deliveries + 1):
            loss = float(epsilon) * (2 * more - deliveries)
            if loss > at:
                probability = comb(deliveries, more) * p**more * q ** (deliveries - more)
                total += float(probability) * -math.expm1(at - loss)
        found.append(total)
    return max(found)


@pytest.mark.parametrize("deliveries", [1, 2, 10, 16, 60])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.95])
def test_delta_is_that_of_the_binomial_and_never_less(deliveries, share):
    at = share * deliveries * float(EPSILON)
    exact = binomial_delta(TABLE.thresholds, EPSILON, deliveries, at)
    assert exact <= delta_of(deliveries, at) * (1 + 1e-9) + 1e-15
    slack = at / 100  # the grid
    assert delta_of(deliveries, at) <= binomial_delta(TABLE.thresholds, EPSILON, deliveries, at - slack) + 1e-12


@pytest.mark.parametrize("deliveries", [1, 10, 16, 300, 480])
def test_epsilon_at_a_delta_holds_and_is_no_wide_bound(deliveries):
    delta = 2 * deliveries * TABLE.exact_delta
    epsilon = composition.epsilon_of([Part(TABLE.thresholds, 1, deliveries)], delta)
    assert epsilon is not None and epsilon <= deliveries * EPSILON + Fraction(1, 1000)
    assert binomial_delta(TABLE.thresholds, EPSILON, deliveries, float(epsilon)) <= delta
    tighter = binomial_delta(TABLE.thresholds, EPSILON, deliveries, float(epsilon) * 0.99 - 0.002)
    assert tighter > delta or deliveries == 1


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(["0.05", "0.3", "1", "2"]), st.sampled_from(["1e-4", "1e-9"]), st.integers(2, 40))
def test_any_table_is_composed_pessimistically(epsilon, delta, deliveries):
    table = noise.table(Fraction(epsilon), Fraction(delta))
    at = 0.6 * deliveries * float(epsilon)
    assert (
        binomial_delta(table.thresholds, Fraction(epsilon), deliveries, at) <= delta_of(deliveries, at, table) + 1e-12
    )


def test_one_delivery_is_the_table_s_own():
    found = composition.delta_of([Part(TABLE.thresholds, 1, 1)], EPSILON)
    assert 0 <= found - TABLE.exact_delta < TABLE.exact_delta / 100


def test_records_in_one_cell_cost_what_the_tail_of_the_table_holds():
    """Shifted by s, the count betrays itself where one side has no weight: at least the sum of s tails, at most the
    group bound."""
    weights = TABLE.weights()
    for records in (2, 4, 16):
        delta = composition.delta_of([Part(TABLE.thresholds, records, 1)], records * EPSILON)
        tail = Fraction(sum(weights[:records]), 2**64)
        group = sum(TABLE.exact_delta * Fraction(math.exp(0.1 * j)) for j in range(records))
        assert tail <= delta <= group * (1 + Fraction(1, 100))
        assert delta > records * TABLE.exact_delta


def test_what_no_noise_hides_has_no_epsilon():
    weak = noise.table(Fraction(1), Fraction("1e-2"))
    assert composition.epsilon_of([Part(weak.thresholds, 1, 50)], Fraction("0.1")) is None


@pytest.mark.parametrize(
    ("prior", "loss", "after"),
    [(0.5, 0.0, 0.5), (0.5, math.log(3), 0.75), (0.25, math.log(3), 0.5), (0.5, -math.log(3), 0.25),
     (0.1, math.inf, 1.0), (0.1, -math.inf, 0.0), (0.5, 5000.0, 1.0), (0.5, -5000.0, 0.0)],
)  # fmt: skip
def test_posterior_is_bayes(prior, loss, after):
    assert privacy.posterior(prior, loss) == pytest.approx(after)


def test_losses_by_count_are_epsilon_but_at_the_ends():
    losses = privacy.losses_by_count(TABLE.thresholds)
    assert len(losses) == 2 * TABLE.mu + 2
    assert losses[0] == -math.inf and losses[-1] == math.inf
    assert all(abs(abs(loss) - 0.1) < 1e-9 for loss in losses[1:-1])
