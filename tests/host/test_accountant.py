"""The client accountant: which records count, by which table, for how long, and when the next one fits."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.params import CONSTANT, Parameters
from tessera_host.member.accountant import DAY_SECONDS, Accountant, Budget
from tessera_host.member.schema import Departure
from tessera_host.privacy import noise
from tessera_host.privacy.composition import Part, deliveries_within, delta_of
from tessera_host.protocol.federation import Federation
from tests.support.fake_federation import EPOCH_SECONDS, GENESIS, ROUND_SECONDS, FakeFederation

NOW = GENESIS + 10 * DAY_SECONDS
EPSILON, DELTA = Fraction(2), Fraction("1e-5")
WIDE = noise.table(Fraction("0.1"), Fraction("1e-8"))
NARROW = noise.table(Fraction("1.5"), Fraction("1e-7"))  # one record a day


def of(table: noise.NoiseTable) -> dict[str, object]:
    """Changes of a set that has this table."""
    delta = -(-table.exact_delta * noise.DRAWS // 1)
    return {"thresholds": table.pack(), "epsilon": int(table.epsilon * 10**6), "delta": delta}


def federation(table: noise.NoiseTable = WIDE, **budget: str) -> Federation:
    said = {"budget": {"epsilon": str(EPSILON), "delta": "1e-5"} | budget}
    return FakeFederation(said=said, **of(table)).known()


def departure(time: int, known: Federation | Parameters) -> Departure:
    """To a cell of its own."""
    newest = known.newest if isinstance(known, Federation) else known
    return Departure(time, 1, time % 4, newest.round_at(time), newest.digest)


def used(count: int, now: int = NOW) -> Accountant:
    known = federation()
    rounds = [now - (count - 1 - number) * ROUND_SECONDS for number in range(count)]
    return Accountant([departure(time, known) for time in rounds], known)


def test_what_is_allowed_keeps_the_office_s_epsilon_and_delta() -> None:
    allowed = used(0).budget(NOW).allowed
    day, more = (delta_of([Part(WIDE.thresholds, 1, count)], EPSILON) for count in (allowed, allowed + 1))
    assert day <= DELTA < more
    assert allowed > EPSILON / WIDE.epsilon  # what adding up would allow


def test_budget_is_told_in_plain_words() -> None:
    allowed = used(0).budget(NOW).allowed
    assert str(used(7).budget(NOW)) == f"Today: 7 of {allowed} messages."


def test_a_record_counts_for_24_hours() -> None:
    known = federation()
    accountant = Accountant([], known)
    accountant.spend(departure(NOW, known))
    assert accountant.budget(NOW).used == 1
    assert accountant.budget(NOW + DAY_SECONDS - 1).used == 1
    assert accountant.budget(NOW + DAY_SECONDS).used == 0


def test_next_one_fits_when_enough_have_aged() -> None:
    allowed = used(0).budget(NOW).allowed
    full = used(allowed).budget(NOW)
    assert (full.left, full.next_at) == (0, NOW - (allowed - 1) * ROUND_SECONDS + DAY_SECONDS)
    assert used(allowed - 1).budget(NOW).next_at == NOW
    assert used(allowed + 3).budget(NOW).next_at == NOW - (allowed - 1) * ROUND_SECONDS + DAY_SECONDS


@given(times=st.lists(st.integers(0, 3 * DAY_SECONDS), max_size=60, unique=True), after=st.integers(0, DAY_SECONDS))
def test_at_the_promised_time_it_fits_and_not_before(times: list[int], after: int) -> None:
    now, known = NOW + 3 * DAY_SECONDS + after, federation(NARROW)
    accountant = Accountant([departure(NOW + time, known) for time in sorted(times)], known)
    budget = accountant.budget(now)
    assert budget.allowed == max(1, budget.used) and budget.next_at is not None
    assert accountant.budget(max(now, budget.next_at)).left > 0
    if budget.next_at > now:
        assert accountant.budget(budget.next_at - 1).left == 0


def test_budget_too_small_for_one_delivery_never_fits() -> None:
    small = federation(epsilon="0.05", delta="1e-12")
    assert Accountant([], small).budget(NOW) == Budget(0, 0, "0.05", "1e-12", None)


def test_records_that_no_longer_count_are_forgotten() -> None:
    known = federation()
    departures = [departure(NOW - age, known) for age in (2 * DAY_SECONDS, DAY_SECONDS, 1)]
    Accountant(departures, known).spend(departure(NOW, known))
    assert [each.time for each in departures] == [NOW - 1, NOW]


def test_a_clock_set_back_forgets_nothing() -> None:
    known = federation()
    accountant = Accountant([departure(NOW, known), departure(NOW + ROUND_SECONDS, known)], known)
    assert accountant.budget(NOW - 100).used == 2
    assert accountant.posted_in_this_round(NOW - 100)


def test_one_record_a_round_is_noticed() -> None:
    known = federation()
    accountant = Accountant([], known)
    assert not accountant.posted_in_this_round(NOW)
    accountant.spend(departure(NOW, known))
    assert accountant.posted_in_this_round(NOW + ROUND_SECONDS - 1)
    assert not accountant.posted_in_this_round(NOW + ROUND_SECONDS)


def test_several_records_in_one_cell_count_as_one_large_shift() -> None:
    """That never happens (`ledger`); if it did, it would be counted as what it is."""
    known = federation()
    apart = [departure(NOW - number * ROUND_SECONDS, known) for number in range(8)]
    together = [Departure(each.time, 1, 0, apart[0].round, each.digest) for each in apart]
    left = {name: Accountant(cells, known).budget(NOW).left for name, cells in (("a", apart), ("t", together))}
    before = Part(WIDE.thresholds, 8, 1)
    assert left["t"] < left["a"]
    assert delta_of([before, Part(WIDE.thresholds, 1, left["t"])], EPSILON) <= DELTA
    assert delta_of([before, Part(WIDE.thresholds, 1, left["t"] + 1)], EPSILON) > DELTA


def test_a_record_counts_by_the_table_under_which_it_left() -> None:
    """Half a day under a narrow table; then a wide one governs, and what left before counts as what it was."""
    sample = FakeFederation(said={"budget": {"epsilon": "2", "delta": "1e-5"}}, **of(NARROW))
    known = sample.known()
    later = sample.make_set(2, said={"budget": {"epsilon": "2", "delta": "1e-5"}}, first_epoch=5, **of(WIDE))
    known.adopt(later.blob, 0)
    now = GENESIS + 6 * EPOCH_SECONDS
    alone = Accountant([], known).budget(now).allowed
    assert alone == deliveries_within(WIDE.thresholds, EPSILON, DELTA)
    before = departure(GENESIS + 1, sample.parameters)
    mixed = Accountant([before], known).budget(now)
    assert 1 <= mixed.left < alone - 1
    parts = [Part(NARROW.thresholds, 1, 1), Part(WIDE.thresholds, 1, mixed.left)]
    assert delta_of(parts, EPSILON) <= DELTA
    full = Accountant([before, *[departure(now - n, later) for n in range(mixed.left)]], known).budget(now)
    assert full.left == 0 and full.next_at == before.time + DAY_SECONDS


def test_constant_batches_are_limited_by_rounds_and_tokens_alone() -> None:
    budget = {"budget": {"epsilon": "0.01", "delta": "1e-12"}}
    no_table = {"thresholds": b"", "epsilon": 0, "delta": 0}
    office = FakeFederation(said=budget, cover=CONSTANT, constant=48, members=8, tokens_per_epoch=6, **no_table)
    known = office.known()
    rounds = DAY_SECONDS // ROUND_SECONDS
    assert Accountant([], known).budget(NOW).allowed == rounds
    many = [departure(NOW - number * ROUND_SECONDS, known) for number in range(100)][::-1]
    assert Accountant(many, known).budget(NOW).left == rounds - 100


@pytest.mark.parametrize("count", [0, 5])
def test_a_day_that_is_used_up_has_nothing_left(count: int) -> None:
    accountant = used(count)
    accountant.use_up(NOW)
    assert accountant.budget(NOW).left == 0
    assert accountant.budget(NOW + DAY_SECONDS).used == 0
