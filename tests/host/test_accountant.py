"""The client accountant: which records count, for how long, and when the next one fits."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera_host.member.accountant import DAY_SECONDS, Accountant, Budget
from tessera_host.privacy.composition import delta_of
from tessera_host.protocol.federation import Federation
from tests.support.fake_federation import EPOCH_SECONDS, GENESIS, ROUND_SECONDS, FakeFederation

NOW = GENESIS + 10 * DAY_SECONDS


def federation(each: str = "0.1", **budget: str) -> Federation:
    said = {"budget": {"epsilon": "2", "delta": "1e-5"} | budget}
    return FakeFederation(said=said, epsilon=int(Fraction(each) * 10**6), delta=2**34).known()


def used(count: int, now: int = NOW) -> Accountant:
    return Accountant([now - count + number for number in range(count)], federation())


def test_what_is_allowed_keeps_the_office_s_epsilon_and_delta() -> None:
    allowed = used(0).budget(NOW).allowed
    epsilon, delta, total = Fraction("0.1"), Fraction(1, 2**30), Fraction(2)
    assert delta_of(allowed, epsilon, delta, total) <= Fraction("1e-5") < delta_of(allowed + 1, epsilon, delta, total)
    assert allowed > 20


def test_budget_is_told_in_plain_words() -> None:
    allowed = used(0).budget(NOW).allowed
    assert str(used(7).budget(NOW)) == f"Today: 7 of {allowed} messages."


def test_a_record_counts_for_24_hours() -> None:
    accountant = Accountant([], federation())
    accountant.spend(NOW)
    assert accountant.budget(NOW).used == 1
    assert accountant.budget(NOW + DAY_SECONDS - 1).used == 1
    assert accountant.budget(NOW + DAY_SECONDS).used == 0


def test_a_day_is_24_hours() -> None:
    accountant = Accountant([], federation())
    accountant.spend(NOW)
    assert [accountant.budget(NOW + 3600 * hours - 1).used for hours in (12, 13, 23, 24)] == [1, 1, 1, 1]
    assert accountant.budget(NOW + 3600 * 24).used == 0


def test_next_one_fits_when_enough_have_aged() -> None:
    allowed = used(0).budget(NOW).allowed
    full = used(allowed).budget(NOW)
    assert (full.left, full.next_at) == (0, NOW - allowed + DAY_SECONDS)
    assert used(allowed - 1).budget(NOW).next_at == NOW
    assert used(allowed + 3).budget(NOW).next_at == NOW - allowed + DAY_SECONDS


@given(times=st.lists(st.integers(0, 3 * DAY_SECONDS), max_size=60), after=st.integers(0, DAY_SECONDS))
def test_at_the_promised_time_it_fits_and_not_before(times: list[int], after: int) -> None:
    now = NOW + 3 * DAY_SECONDS + after
    accountant = Accountant(sorted(NOW + time for time in times), federation(each="2"))
    budget = accountant.budget(now)
    assert budget.allowed == 1 and budget.next_at is not None
    assert accountant.budget(max(now, budget.next_at)).left > 0
    if budget.next_at > now:
        assert accountant.budget(budget.next_at - 1).left == 0


def test_budget_too_small_for_one_delivery_never_fits() -> None:
    assert Accountant([], federation(epsilon="0.05", delta="1e-12")).budget(NOW) == Budget(0, 0, "0.05", "1e-12", None)


def test_times_that_no_longer_count_are_forgotten() -> None:
    times = [NOW - 2 * DAY_SECONDS, NOW - DAY_SECONDS, NOW - 1]
    Accountant(times, federation()).spend(NOW)
    assert times == [NOW - 1, NOW]


def test_a_clock_set_back_forgets_nothing() -> None:
    times = [NOW, NOW + 5]
    accountant = Accountant(times, federation())
    assert accountant.budget(NOW - 100).used == 2
    assert accountant.posted_in_this_round(NOW - 100)


def test_one_record_a_round_is_noticed() -> None:
    accountant = Accountant([], federation())
    assert not accountant.posted_in_this_round(NOW)
    accountant.spend(NOW)
    assert accountant.posted_in_this_round(NOW + ROUND_SECONDS - 1)
    assert not accountant.posted_in_this_round(NOW + ROUND_SECONDS)


@pytest.mark.parametrize(("first_epoch", "allowed"), [(0, 1), (40, 20)])
def test_parameters_that_changed_within_the_day_count_as_the_worse_ones(first_epoch: int, allowed: int) -> None:
    """ε = 2 a delivery until epoch 5, 0.1 from then on; a day later the earlier set no longer matters."""
    sample = FakeFederation(epsilon=2_000_000, delta=1)
    later = sample.make_set(2, epsilon=100_000, delta=1, first_epoch=5)
    known = sample.known()
    known.adopt(later.blob, 0)
    now = GENESIS + (5 + first_epoch) * EPOCH_SECONDS + (DAY_SECONDS if first_epoch else 0)
    found = Accountant([], known).budget(now).allowed
    assert found == allowed if allowed == 1 else found >= allowed
