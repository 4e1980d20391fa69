"""The guess from which a count of a day begins: near where it may be, and a number wherever."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera_host.privacy import estimate, noise
from tessera_host.privacy.composition import MOST
from tests.support import day_tables

STEPS = 6
DAY_TABLES = day_tables.load()


def outcomes(thresholds: list[int] | tuple[int, ...], shift: int) -> list[tuple[int, int]]:
    """(p, q) of every count, in draws, without and with so many records."""
    weights = [after - before for before, after in pairwise([0, *thresholds, 2**64])]
    padding = [0] * shift
    return list(zip([*weights, *padding], [*padding, *weights], strict=True))


def day(thresholds: tuple[int, ...], before: list[tuple[list[tuple[int, int]], int]]) -> int:
    cell = outcomes(thresholds, 1)
    return estimate.fitting(before, cell, day_tables.EPSILON, day_tables.DELTA, STEPS, MOST)


@pytest.mark.parametrize("deliveries", DAY_TABLES)
def test_a_day_for_which_a_table_was_made(deliveries: int) -> None:
    assert abs(day(DAY_TABLES[deliveries], []) - deliveries) <= 1


@pytest.mark.parametrize("deliveries", DAY_TABLES)
def test_what_left_before_is_taken_off(deliveries: int) -> None:
    table = DAY_TABLES[deliveries]
    gone = deliveries // 2
    assert abs(day(table, [(outcomes(table, 1), gone)]) + gone - deliveries) <= 1
    assert day(table, [(outcomes(table, 2), gone)]) < deliveries - gone
    assert day(table, [(outcomes((), 1), 1)]) == 0


def test_what_the_ends_give_away_is_a_limit() -> None:
    table = noise.table(Fraction(1), Fraction("1e-3")).thresholds
    end, delta = Fraction(table[0], 2**64), Fraction("5e-3")
    most = next(times for times in range(MOST) if 1 - (1 - end) ** (times + 1) > delta)
    found = estimate.fitting([], outcomes(table, 1), Fraction(50), delta, STEPS, MOST)
    assert most <= found <= most + 1


@settings(max_examples=100, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 2**64 - 1), max_size=4),
    others=st.lists(st.tuples(st.lists(st.integers(0, 2**64 - 1), max_size=3), st.integers(1, 5)), max_size=2),
    shift=st.integers(1, 6),
    epsilon=st.fractions(0, 100, max_denominator=1000),
    delta=st.sampled_from([Fraction(0), Fraction(1, 2**64), Fraction("2e-5"), Fraction(1, 2), Fraction(1)]),
)
def test_a_number_whatever_is_asked(
    cuts: list[int], others: list[tuple[list[int], int]], shift: int, epsilon: Fraction, delta: Fraction
) -> None:
    before = [(outcomes(sorted(each), shift), times) for each, times in others]
    found = estimate.fitting(before, outcomes(sorted(cuts), 1), epsilon, delta, STEPS, MOST)
    assert 0 <= found <= MOST
