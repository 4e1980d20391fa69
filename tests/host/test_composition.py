"""What deliveries reveal together, against sums of exact fractions, a reckoning of its own in fractions, and Google's
dp-accounting."""

import math
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tessera_host.privacy import composition, estimate, noise
from tessera_host.privacy.composition import MOST, Part, deliveries_within, delta_of, epsilon_of, more_within
from tests.support import day_tables

EPSILON, DELTA = Fraction(2), Fraction("2e-5")
ALIKE = noise.table(Fraction("0.1"), Fraction("1e-6")).thresholds
STEEP = noise.table(Fraction(1), Fraction("1e-3")).thresholds
DAY_TABLES = day_tables.load()


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
    cells = sum(part.times for part in parts) * (2 if exchange else 1)
    assume(cells <= 5)  # of eight there are millions of sums
    exact = exact_delta(parts, epsilon, exchange)
    assert exact <= delta_of(parts, epsilon, exchange) <= exact + Fraction(1, 20)


@pytest.mark.parametrize("deliveries", [2, 7, 40])
@pytest.mark.parametrize("epsilon", ["0.05", "0.5", "2", "4.03"])
def test_losses_that_are_all_alike_add_up_to_a_binomial_sum(deliveries: int, epsilon: str) -> None:
    """Under a table for one delivery nearly every count has the loss ε or -ε; where it has not, the sum here is too
    small, by next to nothing."""
    total = Fraction(epsilon)
    p = Fraction(sum(p for p, q in outcomes(ALIKE, 1) if q and p > q))
    q = Fraction(sum(p for p, q in outcomes(ALIKE, 1) if q and p < q))
    _, e_high = noise.exp_bounds(Fraction("0.1"), 100)
    _, total_high = noise.exp_bounds(total, 100)
    finite = sum(
        math.comb(deliveries, i) * p ** (deliveries - i) * q**i * max(Fraction(0), 1 - total_high / e_high**more)
        for i in range(deliveries + 1)
        if (more := deliveries - 2 * i) > 0
    )
    exact = 1 - (p + q) ** deliveries + finite
    found = delta_of([Part(ALIKE, 1, deliveries)], total)
    step = Fraction("0.1") / 4  # of the grid, at most: where ε lies between two points it is cut across
    low, _ = noise.exp_bounds(step, 100)
    assert exact - Fraction(1, 10**12) <= found <= exact + (1 - 1 / low) * Fraction(1, 2)


@pytest.mark.parametrize("shift", [1, -1, 3])
def test_rounding_goes_one_way(shift: int) -> None:
    """What each story can show is never together less than certain, and more by next to nothing."""
    day = (((ALIKE, shift), 128),)
    grid = composition._grid(day, EPSILON, composition._FINE)
    powers = composition._powers(grid.ratio)
    for doublings in range(8):
        losses = composition._whole((((ALIKE, shift), 1 << doublings),), grid)
        masses = losses.masses(grid)
        here = losses.only_here + sum(powers.up(mass, point) for point, mass in enumerate(masses, losses.first))
        there = losses.only_there + sum(powers.up(mass, -point) for point, mass in enumerate(masses, losses.first))
        # `up` adds less than one unit to each of them, which is taken off again.
        assert all(found - grid.one >= 0 for found in (here, there))
        assert all(found - len(masses) - grid.one < grid.one >> 32 for found in (here, there))


def test_a_product_is_the_sum_of_products_rounded_up() -> None:
    """Each coefficient for itself, though they are one number."""
    cells = ((DAY_TABLES[21], 1), (DAY_TABLES[21], 2))
    grid = composition._grid(tuple((cell, 4) for cell in cells), EPSILON, composition._FINE)
    one, other = (composition._whole(((cell, 1),), grid) for cell in cells)
    exact: Counter[int] = Counter()
    for point, mass in enumerate(one.masses(grid), one.first):
        for more, weight in enumerate(other.masses(grid), other.first):
            exact[point + more] += mass * weight
    found = composition._composed(one, other, grid)
    assert len(exact) >= found.points > 20
    for point, mass in enumerate(found.masses(grid), found.first):
        assert mass == -(-exact[point] // grid.one)


def estimates(thresholds: tuple[int, ...], shift: int) -> tuple[Any, ...]:
    """dp-accounting's optimistic and pessimistic distributions (PrivacyLossDistribution) of a cell."""
    from dp_accounting.pld import privacy_loss_distribution as pld  # half a second, which not every worker needs

    weights = [Fraction(weight, 2**64) for weight in noise.weights(thresholds)]
    still = {k: math.log(weight) for k, weight in enumerate(weights) if weight}
    shifted = {k + shift: value for k, value in still.items()}
    optimistic, pessimistic = (
        pld.from_two_probability_mass_functions(
            still, shifted, pessimistic_estimate=worst, value_discretization_interval=5e-4, symmetric=False
        )
        for worst in (False, True)
    )
    return optimistic, pessimistic


DAYS = [(ALIKE, 1, 21), (ALIKE, 1, 2), (ALIKE, 3, 8), (STEEP, 1, 5), (DAY_TABLES[21], 1, 21), (DAY_TABLES[21], 2, 4)]
LONG_DAYS = [(DAY_TABLES[21], 1, 256), (DAY_TABLES[200], 1, 200), (DAY_TABLES[200], 1, 630), (DAY_TABLES[21], 1, 1)]


def hold_against_estimates(thresholds: tuple[int, ...], shift: int, times: int) -> None:
    optimistic, pessimistic = (each.self_compose(times) for each in estimates(thresholds, shift))
    for delta in (Fraction("2e-5"), Fraction("1e-3"), Fraction("1e-7")):
        found = epsilon_of([Part(thresholds, shift, times)], delta)
        low, high = (each.get_epsilon_for_delta(float(delta)) for each in (optimistic, pessimistic))
        if math.isinf(low) or found is None:
            assert math.isinf(low) and found is None
            continue
        assert low - 1e-6 <= found <= max(high * 1.01, high + 1e-6)


@pytest.mark.parametrize(("thresholds", "shift", "times"), DAYS)
def test_epsilon_is_between_what_dp_accounting_hopes_and_fears(
    thresholds: tuple[int, ...], shift: int, times: int
) -> None:
    hold_against_estimates(thresholds, shift, times)


@pytest.mark.long
@pytest.mark.parametrize(("thresholds", "shift", "times"), LONG_DAYS)
def test_long_days_and_months_are_between_them_too(thresholds: tuple[int, ...], shift: int, times: int) -> None:
    """Daily: `test_epsilon_is_between_what_dp_accounting_hopes_and_fears`."""
    hold_against_estimates(thresholds, shift, times)


def test_different_tables_and_shifts_in_one_day() -> None:
    """By dp-accounting's composition of both."""
    day = [Part(DAY_TABLES[21], 1, 9), Part(ALIKE, 2, 3), Part(STEEP, 1, 1)]
    both = []
    for kind in (0, 1):
        composed = estimates(STEEP, 1)[kind]
        for thresholds, shift, times in day[:2]:
            composed = composed.compose(estimates(thresholds, shift)[kind].self_compose(times))
        both.append(composed.get_epsilon_for_delta(2e-3))
    found = epsilon_of(day, Fraction("2e-3"))
    assert found is not None and both[0] - 1e-6 <= found <= both[1] * 1.01


def test_exchanging_a_day_for_another_costs_more_than_a_day() -> None:
    """As many records in other cells: each cell that lost one and each that gained one counts."""
    day = [Part(DAY_TABLES[21], 1, 21)]
    alone, exchanged = delta_of(day, EPSILON), delta_of(day, EPSILON, exchange=True)
    assert alone <= DELTA < exchanged
    epsilon = epsilon_of(day, DELTA, exchange=True)
    assert epsilon is not None and EPSILON < epsilon < 2 * EPSILON
    assert exact_delta([Part(STEEP[:3], 1, 1)], EPSILON, exchange=True) <= delta_of(
        [Part(STEEP[:3], 1, 1)], EPSILON, exchange=True
    )


def test_nothing_is_nothing_and_what_cannot_be_hidden_is_certain() -> None:
    assert delta_of([], EPSILON) == 0 == delta_of([Part(ALIKE, 0, 5), Part(ALIKE, 1, 0)], EPSILON)
    assert epsilon_of([], DELTA) == 0
    for shift in (len(STEEP) + 1, 10**4):
        assert delta_of([Part(STEEP, shift, 1)], EPSILON) == 1
        assert delta_of([Part(STEEP, shift, 3), Part(ALIKE, 1, 2)], EPSILON) == 1
        assert epsilon_of([Part(STEEP, shift, 2)], Fraction(1, 2)) is None
    with pytest.raises(ValueError, match="0 or more"):
        delta_of([Part(ALIKE, -1, 1)], EPSILON)


def test_more_is_worse() -> None:
    table = DAY_TABLES[21]
    by_number = [delta_of([Part(table, 1, times)], EPSILON) for times in (1, 5, 21, 30, 60)]
    by_shift = [delta_of([Part(table, shift, 4)], EPSILON) for shift in (1, 2, 3, 5)]
    by_epsilon = [delta_of([Part(table, 1, 21)], Fraction(n, 2)) for n in range(6)]
    assert by_number == sorted(by_number) and by_shift == sorted(by_shift)
    assert by_epsilon == sorted(by_epsilon, reverse=True)


def test_a_month_is_counted() -> None:
    """30 days of 21 records: an ε there is, and it keeps its δ."""
    month = [Part(DAY_TABLES[21], 1, 30 * 21)]
    found = epsilon_of(month, Fraction("1e-2"))
    assert found is not None
    assert delta_of(month, found) <= Fraction("1e-2") < delta_of(month, found - Fraction("0.1"))


@pytest.mark.parametrize("epsilon", [50, 99])
@pytest.mark.parametrize("times", [2049, MOST])
@pytest.mark.parametrize("thresholds", [ALIKE, DAY_TABLES[21], DAY_TABLES[200]])
def test_far_out_what_only_one_story_can_show_is_all_there_is(
    thresholds: tuple[int, ...], times: int, epsilon: int
) -> None:
    """Thousands of cells at the largest ε that anybody may ask for: no rounding adds up to anything there."""
    weights = noise.weights(thresholds)
    certain = 1 - (1 - Fraction(max(weights[0], weights[-1]), 2**64)) ** times
    assert certain <= delta_of([Part(thresholds, 1, times)], Fraction(epsilon)) <= certain * Fraction("1.001")


@pytest.mark.parametrize(
    ("thresholds", "epsilon", "delta"),
    [(ALIKE, "2", "2e-5"), (DAY_TABLES[21], "2", "2e-5"), (ALIKE, "1", "1e-5"), (DAY_TABLES[200], "1", "1e-4")],
)
def test_as_many_fit_as_keep_the_bounds_and_no_more(thresholds: tuple[int, ...], epsilon: str, delta: str) -> None:
    bounds = Fraction(epsilon), Fraction(delta)
    found = deliveries_within(thresholds, *bounds)
    assert delta_of([Part(thresholds, 1, found)], bounds[0]) <= bounds[1]
    assert delta_of([Part(thresholds, 1, found + 1)], bounds[0]) > bounds[1]


@pytest.mark.parametrize("guess", [0, 1, 20, 22, 40, 200])
def test_a_count_is_the_same_wherever_it_begins(guess: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table, before = DAY_TABLES[21], (Part(ALIKE, 1, 1),)
    found = [deliveries_within(table, EPSILON, DELTA), more_within(before, table, EPSILON, DELTA)]
    composition.more_within.cache_clear()
    monkeypatch.setattr(estimate, "fitting", lambda *_: guess)
    assert [deliveries_within(table, EPSILON, DELTA), more_within(before, table, EPSILON, DELTA)] == found


def test_what_left_before_takes_its_share() -> None:
    table = DAY_TABLES[21]
    alone = deliveries_within(table, EPSILON, DELTA)
    assert more_within((Part(table, 1, 5),), table, EPSILON, DELTA) == alone - 5
    assert more_within((Part(table, 3, 1),), table, EPSILON, DELTA) < alone - 3
    assert more_within((Part(table, 1, alone + 4),), table, EPSILON, DELTA) == 0


def test_one_delivery_alone_is_counted_to_the_last_digit() -> None:
    made = noise.table(Fraction("0.1"), Fraction("1e-6"))
    assert delta_of([Part(made.thresholds, 1, 1)], made.epsilon) == made.exact_delta
    assert deliveries_within(made.thresholds, made.epsilon, made.exact_delta) == 1
    assert deliveries_within(made.thresholds, made.epsilon, made.exact_delta - Fraction(1, 2**64)) == 0
    assert deliveries_within(made.thresholds, 2 * made.epsilon, 2 * made.exact_delta) == 2


def test_counting_ends_at_its_limit() -> None:
    flat = noise.table(Fraction("0.01"), Fraction("1e-3")).thresholds
    assert deliveries_within(flat, Fraction(10), Fraction("0.9999")) == MOST
