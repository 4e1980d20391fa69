"""Tables for a day: their bounds, their cost, that they are the same everywhere, and that relays can draw from them."""

from bisect import bisect_right
from decimal import localcontext
from fractions import Fraction
from itertools import pairwise

import pytest
import scipy

from tessera import cover, hashes
from tessera_host.errors import UsageError
from tessera_host.privacy import noise, shaping
from tessera_host.privacy.composition import Part, delta_of
from tests.support import day_tables

EPSILON, DELTA = day_tables.EPSILON, day_tables.DELTA
TABLES = day_tables.load()
DRAWS, LONG_DRAWS = 3_000, 1_000_000

# Mean cover of the shapes that were measured when the kind was designed, and the two targets.
DESIGNED = {8: "25.0", 16: "33.8", 21: "37.9", 32: "45.1", 64: "61.1", 128: "84.0", 200: "105.1"}


def mean(thresholds: tuple[int, ...]) -> Fraction:
    return Fraction(sum(k * weight for k, weight in enumerate(noise.weights(thresholds))), 2**64)


@pytest.mark.parametrize("deliveries", TABLES)
def test_a_day_is_within_its_bounds_and_no_record_more(deliveries: int) -> None:
    day, more = (delta_of([Part(TABLES[deliveries], 1, count)], EPSILON) for count in (deliveries, deliveries + 1))
    assert day <= DELTA < more


@pytest.mark.parametrize("deliveries", TABLES)
def test_cover_is_less_than_what_was_designed_with(deliveries: int) -> None:
    assert mean(TABLES[deliveries]) < Fraction(DESIGNED[deliveries])


def test_21_records_a_day_cost_at_most_38_and_200_at_most_106() -> None:
    assert mean(TABLES[21]) <= 38 and mean(TABLES[200]) <= 106


@pytest.mark.parametrize("deliveries", TABLES)
def test_a_set_can_hold_it(deliveries: int) -> None:
    """Never decreasing, 64 bits, at most 2000 (PROTOCOL §2); and every count is drawn sometimes."""
    table = TABLES[deliveries]
    assert len(table) <= 2000
    assert table[0] > 0 and table[-1] < 2**64
    assert all(one < other for one, other in pairwise(table))


def test_the_same_numbers_make_the_same_table() -> None:
    """The file was written on another day, by another process; whatever decimal context is set does not matter."""
    with localcontext() as context:
        context.prec = 5
        found = shaping.day_table.__wrapped__(21, EPSILON, DELTA)
    assert found.thresholds == TABLES[21]
    assert found.exact_delta == noise.exact_delta(found.thresholds, noise.exp_lower(found.epsilon)) <= DELTA / 21
    assert Fraction("0.5") < found.epsilon < EPSILON


@pytest.mark.long
@pytest.mark.parametrize("deliveries", [8, 16, 32, 64, 128, 200])
def test_all_of_them_are_found_again(deliveries: int) -> None:
    """Daily: `test_the_same_numbers_make_the_same_table`."""
    assert shaping.day_table(deliveries, EPSILON, DELTA).thresholds == TABLES[deliveries]


def test_both_bounds_hold_where_both_are_wanted() -> None:
    """Two records a day, and each alone within ε = 0.5."""
    one = Fraction("0.5"), Fraction("1e-4")
    found = shaping.day_table(2, Fraction(1), Fraction("1e-3"), one)
    assert (found.epsilon, found.exact_delta <= one[1]) == (one[0], True)
    assert delta_of([Part(found.thresholds, 1, 2)], Fraction(1)) <= Fraction("1e-3")
    assert found.mean() <= noise.table(*one).mean() * Fraction(101, 100)


@pytest.mark.parametrize(
    ("deliveries", "epsilon", "delta", "named"),
    [(0, "2", "2e-5", "--messages"), (9999, "2", "2e-5", "--messages"), (8, "11", "2e-5", "--day-epsilon"),
     (8, "2", "1", "--day-delta")],
)  # fmt: skip
def test_what_is_out_of_range_is_refused_by_name(deliveries: int, epsilon: str, delta: str, named: str) -> None:
    with pytest.raises(UsageError) as refused:
        shaping.day_table(deliveries, Fraction(epsilon), Fraction(delta))
    assert named in refused.value.hint


@pytest.mark.parametrize("deliveries", TABLES)
def test_a_relay_draws_what_the_thresholds_say(deliveries: int) -> None:
    """N = #{k : T_k ≤ draw}, at every threshold, beside it, and at both ends."""
    table = TABLES[deliveries]
    packed = b"".join(threshold.to_bytes(8, "big") for threshold in table)
    for k, threshold in enumerate(table):
        assert cover.sample(packed, threshold.to_bytes(8, "big")) == k + 1
        assert cover.sample(packed, (threshold - 1).to_bytes(8, "big")) == k
    assert cover.sample(packed, bytes(8)) == 0
    assert cover.sample(packed, b"\xff" * 8) == len(table)


def drawn(table: tuple[int, ...], draws: int, every: int) -> float:
    """p of chi-square: cells of one epoch, as a relay covers them, against the weights of the table.

    `every` so many are sampled by the relay's own comparisons, which take a millisecond; the others by halving, which
    `test_a_relay_draws_what_the_thresholds_say` holds to be the same.
    """
    packed = b"".join(threshold.to_bytes(8, "big") for threshold in table)
    epoch = cover.EpochCover(hashes.sha256(b"a cover key"), packed)
    counts = [0] * (len(table) + 1)
    for number in range(draws):
        cell = number & 15, number >> 4
        found = bisect_right(table, int.from_bytes(epoch._cell(b"noise", *cell)[:8], "big"))
        assert number % every or found == epoch.noise(*cell)
        counts[found] += 1
    # Counts that are hardly ever drawn are taken together with their neighbours, so that each is expected 20 times.
    seen, expected = [0], [Fraction(0)]
    for count, weight in zip(counts, noise.weights(table), strict=True):
        if expected[-1] >= 20:
            seen.append(0)
            expected.append(Fraction(0))
        seen[-1] += count
        expected[-1] += Fraction(weight * draws, 2**64)
    if expected[-1] < 20:
        seen[-2:] = [sum(seen[-2:])]
        expected[-2:] = [sum(expected[-2:], Fraction(0))]
    return float(scipy.stats.chisquare(seen, [float(each) for each in expected]).pvalue)


@pytest.mark.parametrize("deliveries", [21, 200])
def test_draws_are_distributed_as_the_table_says(deliveries: int) -> None:
    """At a level at which one of 10^6 true samples fails; the key is fixed, so it does or does not."""
    assert drawn(TABLES[deliveries], DRAWS, 1) > 1e-6


@pytest.mark.long
@pytest.mark.parametrize("deliveries", TABLES)
def test_a_million_draws_are_distributed_as_the_table_says(deliveries: int) -> None:
    """Daily: `test_draws_are_distributed_as_the_table_says`."""
    assert drawn(TABLES[deliveries], LONG_DRAWS, 1000) > 1e-6
