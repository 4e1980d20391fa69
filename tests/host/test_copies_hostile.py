"""What a relay of several can spoil that lies or refuses, and what is changed while copies are on their way."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tessera_host.errors import RelayRefused, Unreachable
from tessera_host.member import composing, meeting, news
from tessera_host.member.fixed_delay import FixedDelay
from tessera_host.member.inbox import WAIT_ROUNDS, Message
from tessera_host.member.relay_sessions import Greeted, RelaySessions
from tessera_host.protocol import topology
from tessera_host.protocol.federation import Relay
from tessera_host.protocol.relay_connection import RelayConnection
from tests.host.test_copies import lose, miss_one, posted, send_past, shown
from tests.host.test_copies_agent import queue
from tests.support import correspondence
from tests.support.cluster import Cluster, Running


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, monkeypatch)
    yield cluster
    cluster.close()


# -- new keys


def rekey(at: Cluster) -> None:
    """Ann and Bob make new keys with each other."""
    invite = meeting.invite(at.ann, "Bob", rekey=True)
    confirm = meeting.confirm(at.ann, meeting.answer(at.bob, invite, "Ann", rekey=True))[1]
    meeting.accept(at.bob, confirm)


def test_what_was_shown_is_not_shown_again_under_new_keys(at: Cluster) -> None:
    at.send("safe")
    send_past(at, 2, "unsafe", "x" * 450)
    assert at.texts() == ["safe", "unsafe", "x" * 450]
    composing.queue(at.ann, "Bob", "waits")
    rekey(at)
    at.resend()
    assert at.texts() == ["waits"]
    at.burn(1)
    at.replace(1)
    at.renew()
    at.resend()
    assert at.texts() == []
    at.send("after")
    (after,) = at.fetch().messages
    assert (after.text, after.lost, after.late) == ("after", 0, False)


def test_a_message_of_which_a_part_waits_is_sent_whole_under_new_keys(at: Cluster) -> None:
    by = correspondence.sender(at.ann)

    def post_one(relay: int) -> None:
        at.ann.data.cells.clear()
        asyncio.run(by.post_one(at.ann.federation.relay_with_id(relay)))

    composing.queue(at.ann, "Bob", "x" * 450)
    for relay in (1, 2, 1):
        post_one(relay)
    assert [len(item.places) for item in at.ann.data.outbox] == [1, 0] and len(at.ann.data.posted) == 1
    assert at.texts() == []
    rekey(at)
    at.resend()
    assert at.texts() == ["x" * 450] and at.texts() == []


# -- a relay that refuses


def test_a_relay_that_refuses_every_record_leaves_the_others_their_part_of_the_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"epsilon": "5", "delta": "1e-2"}
    at = Cluster(tmp_path, monkeypatch, budget=small, epoch_rounds=96, posts_per_token=64)
    allowed = at.ann.accountant.budget(at.ann.now()).allowed
    assert 4 <= allowed < 12
    running = Running(at)
    at.relays[2].busy_after_store = 1 << 30
    queue(at, "0")

    async def script() -> None:
        await running.rounds(allowed + 4)
        queue(at, "1")
        await running.rounds(4)

    running.run(script)
    assert [message.text for message in running.of("Bob", Message)] == ["0", "1"]
    assert len(at.relays[2].posted) == -(-allowed // 2)
    running.close()
    at.close()


# -- a relay that is away for long


def test_what_waits_for_a_relay_waits_as_long_as_another_keeps_it(at: Cluster) -> None:
    waiting = []
    for epoch in range(6):
        at.clock.to_epoch(epoch)
        at.renew()
        send_past(at, 2, f"{epoch}")
        waiting.append(len(at.ann.data.outbox))
    assert waiting == [1, 2, 3, 3, 3, 3]
    at.resend()
    assert posted(at) == {1: 6, 2: 3}
    told = composing.sent(at.ann, None)
    assert [each.state for each in told] == ["posted"] * 6
    assert [each.is_safe for each in told] == [False] * 3 + [True] * 3, "what only one relay ever had was never safe"


# -- what is not wanted


def test_what_was_missing_when_a_contact_was_blocked_is_not_lost(at: Cluster) -> None:
    miss_one(at)
    at.bob.contacts.block("Ann", True)
    at.resend()
    at.fetch()
    at.bob.contacts.block("Ann", False)
    at.send("three")
    at.fetch()
    at.clock.to_epoch(5)
    at.renew()
    at.fetch()
    at.send("four")
    at.fetch()
    assert [message.lost for message in shown(at)] == [0, 0, 0]


# -- another order


def ring_of_five(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Bob's copies are at 1 and 2, of a mesh at 1 and 5."""
    monkeypatch.setattr(topology, "_rank", lambda mailbox, id_: id_)
    return Cluster(tmp_path, monkeypatch, 5)


def make_mesh(at: Cluster) -> None:
    """IT does, from the next epoch on."""
    at._said["topology"] = {"kind": "mesh", "copies": 2}
    at._renew(at._keys, first_epoch=at._epoch() + 1)


def test_a_copy_where_the_recipient_does_not_look_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """IT makes a mesh of a ring, and Ann has the set by a relay's word, not its card."""
    at = ring_of_five(tmp_path, monkeypatch)
    make_mesh(at)
    news.take_set(at.ann, at.issuer.newest.copy_for(1))
    at.renew("Bob")
    at.fetch()
    at.fetch()
    at.clock.to_epoch(2)
    at.fetch()
    at.renew("Bob")
    at.send("one")
    assert sorted(posted(at)) == [1, 2]
    at.renew("Ann")
    at.resend()
    assert sorted(posted(at)) == [1, 2, 5]
    at.burn(1)
    assert at.texts() == ["one"]
    at.close()


def test_after_a_change_of_order_a_relay_that_is_away_holds_up_no_other_that_lacks_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was to be at 1 and 2 and is at 2, and is to be at 1 and 5 by now: one more will do, whichever."""
    at = ring_of_five(tmp_path, monkeypatch)
    make_mesh(at)
    at.renew()
    send_past(at, 1, "one")
    at.clock.to_epoch(1)
    assert correspondence.sender(at.ann).relays() == [1, 5] and at.ann.outbox.records() == 1
    at.down.add(1)
    with contextlib.suppress(Unreachable):
        at.resend()
    assert sorted(posted(at)) == [2, 5] and len(at.ann.outbox) == 0
    at.burn(2)
    assert at.texts() == ["one"]
    at.close()


def test_what_comes_after_all_that_it_was_counted_as_lost_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its copy was on a relay that left the order and burned, and another hides it."""
    at = ring_of_five(tmp_path, monkeypatch)
    make_mesh(at)
    at.renew()
    at.fetch()
    at.send("one")
    lose(at, 1, 0)
    at.clock.to_epoch(2)
    at.burn(2)
    at.replace(2)
    at.renew("Bob")
    at.send("two")
    for _ in range(WAIT_ROUNDS + 1):
        at.fetch()
    assert [(message.text, message.lost) for message in shown(at)] == [("two", 1)]
    at.renew("Ann")
    at.resend()
    (one,) = at.fetch().messages
    assert (one.text, one.late, one.lost) == ("one", True, 0)
    at.clock.to_epoch(6)
    at.renew()
    at.fetch()
    assert at.bob.contacts.get("Ann").received.missing == []
    assert at.texts() == []
    at.close()


def test_a_relay_that_answers_when_its_time_is_over_ends_nothing(at: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It left, was never read to the end, and keeps its answer until the last epoch in which it was is kept no more."""
    at.remove(2)
    at.renew()
    at.clock.to_epoch(3)
    at.down.discard(2)
    (gone,) = (relay for relay in at.bob.inbox.look(at.bob.round()) if relay.id == 2)
    real = RelaySessions.greet

    async def late(it: RelaySessions, connection: RelayConnection, relay: Relay) -> Greeted:
        greeted = await real(it, connection, relay)
        at.clock.to_epoch(4)
        at.clock.next_round(2)
        at.bob.inbox.look(at.bob.round())
        return greeted

    monkeypatch.setattr(RelaySessions, "greet", late)
    with pytest.raises(RelayRefused, match="no longer keeps"):
        asyncio.run(correspondence.fetcher(at.bob).slot(gone, FixedDelay(0, lambda: 0.0, asyncio.sleep), 8))
    assert 2 not in at.bob.inbox.pointers
