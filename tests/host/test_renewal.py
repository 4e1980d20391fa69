"""When the next epoch's tokens are fetched: once an epoch, at any moment with equal chance, whatever happens."""

import random
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from tessera_host.errors import NotOnRoster, TryLater, Unreachable
from tessera_host.member.renewal import Renewal
from tessera_host.member.state import MemberState
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


def tokens(member: MemberState, epoch: int) -> int:
    return len(member.wallet.of(epoch, member.federation.home.key))


def test_the_moment_is_uniform_over_what_is_left_of_the_epoch_but_its_last_tenth(office: Office) -> None:
    start, dice = office.clock(), random.Random(1)
    office.clock.now += DAY // 4
    moments = [Renewal(office.member, dice).due_at() for _ in range(2000)]
    scaled = [(moment - office.clock()) / (DAY * 0.9 - DAY / 4) for moment in moments if moment is not None]
    assert len(scaled) == 2000
    assert min(moments) >= office.clock()  # type: ignore[type-var]
    assert max(moments) <= start + DAY * 0.9  # type: ignore[operator, type-var]
    assert stats.kstest(scaled, "uniform").pvalue > 1e-4


def test_the_moment_stands_and_does_not_look_at_what_the_member_does(office: Office) -> None:
    """The same dice give the same moment, whether the member writes or not, and whoever has the keystore."""
    quiet, busy = Renewal(office.member, random.Random(7)), Renewal(office.member, random.Random(7))
    due = quiet.due_at()
    office.member.data.posts[:] = [office.clock()] * 5
    office.member.release()
    assert busy.due_at() == due
    office.clock.now += 3600
    assert (quiet.due_at(), busy.due_at()) == (due, due)
    office.member.reacquire()


async def test_a_visit_gets_the_whole_next_epoch_and_is_made_once_an_epoch(office: Office) -> None:
    renewal = Renewal(office.member)
    async with office.serving():
        for epoch in (20, 21):
            assert renewal.due_at() is not None
            report = await renewal.run()
            assert report.tokens == [(epoch + 1, 2)]
            assert renewal.due_at() is None
            office.clock.now += DAY
    assert (tokens(office.member, 21), tokens(office.member, 22)) == (2, 2)


async def test_a_visit_that_fails_is_made_again_in_the_same_epoch_and_hardly_ever_at_once(office: Office) -> None:
    renewal, end, attempts = Renewal(office.member), office.clock() + DAY, 0
    while (due := renewal.due_at()) is not None and due < end:
        assert due >= office.clock() + (30 if attempts else 0)
        office.clock.now = int(due) + 1
        with pytest.raises(Unreachable):
            await renewal.run()
        attempts += 1
    assert 3 <= attempts < 60
    office.clock.now = end
    async with office.serving():
        assert renewal.due_at() is not None
        assert (await renewal.run()).tokens == [(22, 2)]


async def test_when_others_are_served_it_comes_back_after_the_time_it_was_told(office: Office) -> None:
    other = office.create("ben")
    with office.it() as issuer:
        issuer.admit(other.card())
        for member, count in ((other, 2), (office.member, 2)):
            issuer.offer(member.wallet.request(21, [member.federation.home.key] * count, office.clock()), online=True)
        third = office.create("cleo")
        issuer.admit(third.card())
    renewal = Renewal(third)
    async with office.serving():
        with pytest.raises(TryLater):
            raise (await renewal.run()).refusals[0][1]
        due = renewal.due_at()
        assert due is not None
        assert due >= office.clock() + 60
        office.clock.now = int(due) + 1
        assert (await renewal.run()).tokens == [(21, 2)]
    third.close()
    other.close()


async def test_who_is_no_member_any_more_does_not_come_again_in_this_epoch(office: Office) -> None:
    with office.it() as issuer:
        issuer.remove("ann")
    renewal = Renewal(office.member)
    async with office.serving():
        with pytest.raises(NotOnRoster):
            await renewal.run()
    assert renewal.due_at() is None


def test_an_issuer_that_is_on_no_network_is_not_visited(office: Office) -> None:
    office.member.data.federation.issuer = None
    assert Renewal(office.member).due_at() is None
