"""One record of a member's at most in a cell (relay, bucket, round): as it is counted, and as people type."""

from pathlib import Path
from typing import Any

import pytest

from tessera_host.member.ledger import Ledger
from tessera_host.member.schema import Cell
from tessera_host.protocol.relay_connection import RelayConnection
from tests.host.test_cli_member import Desk
from tests.host.test_cli_member import desk as desk
from tests.support import correspondence
from tests.support.fake_federation import ROUND_SECONDS
from tests.support.talking import Office

RELAY, BUCKET = 1, 3


# -- as it is counted


def test_a_record_without_an_answer_may_be_in_the_next_round_too() -> None:
    cells: list[Cell] = []
    ledger = Ledger(cells)
    assert ledger.free_from(RELAY, BUCKET) == 0
    ledger.take(RELAY, BUCKET, 7)
    assert ledger.free_from(RELAY, BUCKET) == 9


@pytest.mark.parametrize(("acknowledged", "free"), [(6, 8), (7, 8), (8, 9)])
def test_an_answer_says_which_round_it_is_in_and_never_frees_the_one_it_left_in(acknowledged: int, free: int) -> None:
    ledger = Ledger([])
    ledger.take(RELAY, BUCKET, 7)
    ledger.acknowledged(RELAY, BUCKET, 7, acknowledged)
    assert ledger.free_from(RELAY, BUCKET) == free


def test_buckets_and_relays_are_cells_of_their_own() -> None:
    ledger = Ledger([])
    ledger.take(RELAY, BUCKET, 7)
    assert ledger.free_from(RELAY, BUCKET + 1) == ledger.free_from(RELAY + 1, BUCKET) == 0


def test_a_relay_that_names_an_earlier_round_frees_none() -> None:
    ledger = Ledger([])
    ledger.take(RELAY, BUCKET, 7)
    ledger.take(RELAY, BUCKET, 5)
    assert ledger.free_from(RELAY, BUCKET) == 9


def test_what_is_long_over_is_forgotten() -> None:
    cells: list[Cell] = []
    ledger = Ledger(cells)
    for round_ in range(0, 1000, 10):
        ledger.take(RELAY, round_, round_)
    assert len(cells) == 1


async def test_it_is_on_the_disk_before_the_record_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut(Exception):
        """Power was cut here."""

    async def cut(*_: Any) -> int:
        raise Cut

    office = Office(tmp_path, monkeypatch)
    monkeypatch.setattr(RelayConnection, "post", cut)
    with pytest.raises(Cut):
        await correspondence.send(office.ann, "Bob", "hello")
    (cell,) = office.reopen("Ann").data.cells
    assert (cell.relay, cell.last) == (office.ann.federation.home.id, 1)
    office.close()


# -- as people type


def cells_of(desk: Desk) -> list[tuple[int, int]]:
    return [(round_, bucket) for round_, bucket, _ in desk.relay.posted]


LAG = 2  # seconds that the relay's clock is behind the members'


@pytest.fixture
def lagging(desk: Desk) -> Desk:
    """At the last second of the members' round 0: the relay's has three more."""
    desk.relay._now = lambda: desk.clock() - LAG
    desk.ready()
    desk.clock.now += ROUND_SECONDS - 1
    return desk


@pytest.mark.parametrize("fault", ["fail_before_store", "fail_after_store", "busy_after_store"])
def test_no_cell_gets_a_second_record_whatever_became_of_the_first(lagging: Desk, fault: str) -> None:
    setattr(lagging.relay, fault, 1)
    assert lagging.run("ann", "send", "bob", "one")[0] != 0
    lagging.clock.now += LAG
    assert lagging.json("ann", "resend")["waiting"] == 0
    lagging.json("ann", "send", "bob", "x" * 300)
    lagging.json("ann", "send", "bob", "two")
    found = cells_of(lagging)
    assert len(found) == len(set(found)) >= 4
    lagging.clock.next_round(2)
    assert [message["text"] for message in lagging.json("bob", "inbox")["messages"]] == ["one", "x" * 300, "two"]


def test_a_round_that_is_open_still_by_the_relay_s_clock_gets_no_second_record(lagging: Desk) -> None:
    lagging.json("ann", "send", "bob", "one")
    lagging.clock.now += LAG
    sent = lagging.json("ann", "send", "bob", "two", "--no-wait")
    assert (sent["records"], sent["waiting"]) == (0, 1)
    assert lagging.json("ann", "resend")["records"] == 1
    assert len(set(cells_of(lagging))) == len(cells_of(lagging)) == 2
