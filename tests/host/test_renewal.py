"""When the issuer is visited: at any moment of the epoch after a visit with equal chance, whatever happens."""

import random
from pathlib import Path
from typing import Any

import pytest
import scipy

from tessera_host.errors import NotOnRoster, TryLater, Unreachable
from tessera_host.member import news, renewal
from tessera_host.member.issuer_visit import VisitReport
from tessera_host.member.renewal import HASTENED_PART, LEAST_WAIT_SECONDS, Renewal
from tessera_host.protocol.federation import Federation
from tests.support import quick_keystores
from tests.support.issuer_office import Office

DAY = 86400
START = 20 * DAY  # an epoch of the middle


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    quick_keystores.use(monkeypatch)
    made = Office(tmp_path)
    made.clock.now = made.federation.newest.genesis + START
    yield made
    made.member.close()


def moments_after_a_visit(office: Office) -> list[float]:
    """Due moments, in parts of an epoch after the visit before."""
    visits, found = Renewal(office.member, random.Random(1)), []
    for _ in range(2000):
        visits.answered()
        due = office.member.data.renewal.due
        assert due is not None
        found.append((due - office.clock()) / DAY)
    return found


def test_the_moment_is_uniform_over_the_epoch_after_a_visit(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(office.member), "save", lambda member: None)
    office.clock.now += DAY // 4
    moments = moments_after_a_visit(office)
    assert min(moments) >= 0 and max(moments) <= 1
    assert scipy.stats.kstest(moments, "uniform").pvalue > 1e-4


async def test_the_moment_stands_and_does_not_look_at_what_the_member_does(office: Office) -> None:
    """It is kept: whatever program asks, and whenever, finds the same."""
    async with office.serving():
        await Renewal(office.member).run()
    due = Renewal(office.member).due_at()
    assert due is not None and due > office.clock() - 1
    office.member.accountant.use_up(office.clock())
    assert Renewal(office.member).due_at() == due
    office.member = office.reopen("ann")
    assert Renewal(office.member, random.Random(5)).due_at() == due


async def test_without_tokens_or_the_reading_key_a_visit_is_due_at_once(office: Office) -> None:
    visits = Renewal(office.member)
    assert visits.is_urgent() and visits.is_due()
    async with office.serving():
        await visits.run()
    assert not visits.is_urgent()
    office.member.data.federation.reading_keys.clear()
    assert not visits.is_urgent()  # a visit of this epoch has shown that there is none
    office.clock.now += DAY
    assert visits.is_urgent()


async def test_a_visit_gets_all_that_is_new(office: Office) -> None:
    visits, ahead = Renewal(office.member), office.federation.newest.ahead
    async with office.serving():
        first = office.member.epoch()
        assert [epoch for epoch, _ in (await visits.run()).tokens] == list(range(first, first + ahead + 1))
        assert (await visits.run()).tokens == []
        office.clock.now += 2 * DAY
        assert [epoch for epoch, _ in (await visits.run()).tokens] == [first + ahead + 1, first + ahead + 2]


async def test_a_visit_that_fails_is_made_again_in_the_same_epoch_and_hardly_ever_at_once(office: Office) -> None:
    visits, end, attempts = Renewal(office.member), office.clock() + DAY, 0
    while (due := visits.due_at()) is not None and due < end:
        assert due >= office.clock() + (30 if attempts else 0)
        office.clock.now = int(due) + 1
        with pytest.raises(Unreachable):
            await visits.run()
        attempts += 1
    assert 5 <= attempts < 60
    async with office.serving():
        assert (await visits.run()).tokens
    assert office.member.data.renewal.failures == 0


async def test_when_others_are_served_it_comes_back_after_the_time_it_was_told(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(_: object) -> VisitReport:
        return VisitReport(refusals=[TryLater("others are served", "try again", 60)])

    with monkeypatch.context() as patch:
        patch.setattr(renewal, "visit", busy)
        assert (await Renewal(office.member).run()).later
    due = Renewal(office.member).due_at()
    assert due is not None and office.clock() + 60 <= due <= office.clock() + 60 + LEAST_WAIT_SECONDS


async def test_who_is_no_member_any_more_comes_again_in_an_epoch(office: Office) -> None:
    async with office.serving():
        await Renewal(office.member).run()
    with office.it() as issuer:
        issuer.remove("ann")
    visits = Renewal(office.member)
    async with office.serving():
        with pytest.raises(NotOnRoster):
            await visits.run()
    due = visits.due_at()
    assert due is not None and office.clock() <= due <= office.clock() + DAY


async def test_what_a_relay_asks_for_hastens_a_visit_but_not_the_next(office: Office) -> None:
    visits = Renewal(office.member)
    async with office.serving():
        await visits.run()
        office.member.data.renewal.due = office.clock() + DAY
        visits.hasten()
        assert not visits.is_due()  # there was one just now
        office.clock.now += DAY // HASTENED_PART
        assert visits.is_due()
        await visits.run()
        office.member.data.renewal.due = office.clock() + DAY
        assert not visits.is_due()


@pytest.mark.parametrize("into", [DAY // 2, DAY - 1])
async def test_a_set_that_came_without_its_card_draws_one_visit_for_it_before_it_governs(
    office: Office, into: int
) -> None:
    visits, kept = Renewal(office.member), office.member.data.renewal
    async with office.serving():
        await visits.run()
    with office.it() as issuer:
        issuer.renew()
        copy = issuer.copy_for("first")
    office.clock.now += into
    kept.due = office.clock() + DAY
    assert visits.due_at() == kept.due
    news.take_set(office.member, copy)
    due = visits.due_at()
    end = max(office.federation.newest.genesis + START + DAY, office.clock() + DAY // HASTENED_PART)
    assert due is not None and office.clock() <= due < end
    assert Renewal(office.member, random.Random(3)).due_at() == due
    async with office.serving():
        assert (await visits.run()).news
    kept.due = office.clock() + DAY
    assert visits.due_at() == kept.due and not renewal.lacks_a_card(office.member)


def test_an_issuer_that_is_on_no_network_is_not_visited(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Federation, "issuer", None)
    assert Renewal(office.member).due_at() is None
    assert not Renewal(office.member).is_due()
