"""Copies of a message on several relays: whatever becomes of all but one of them, nothing is lost, and all is shown
once."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tessera_host.agent.client import Client
from tessera_host.agent.interface import State
from tessera_host.cli.sent_text import in_words, mark
from tessera_host.clock import local_time_of_day
from tessera_host.duration import DAY_SECONDS
from tessera_host.errors import NotPermitted, Unreachable
from tessera_host.member import composing
from tessera_host.member.history import Sent
from tessera_host.member.inbox import WAIT_ROUNDS, Message
from tessera_host.member.schema import Departure
from tests.host.test_member import Cut, cut_at_save
from tests.support import correspondence
from tests.support.cluster import Cluster
from tests.support.fake_federation import EPOCH_ROUNDS, GENESIS
from tests.support.virtual_time import VirtualTimeLoop


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, monkeypatch)
    yield cluster
    cluster.close()


def posted(at: Cluster) -> dict[int, int]:
    """How many records each relay took."""
    return {id_: len(relay.posted) for id_, relay in at.relays.items() if relay.posted}


def shown(at: Cluster) -> list[Message]:
    """All that Bob ever got."""
    return at.bob.inbox.messages()


def send_past(at: Cluster, away: int, *texts: str) -> None:
    """To those that answer while one relay is away to Ann alone."""
    at.down.add(away)
    for text in texts:
        with contextlib.suppress(Unreachable):
            at.send(text)
    at.down.discard(away)


# -- posted and safe


def test_a_part_is_on_as_many_relays_as_there_are_copies_and_is_read_once(at: Cluster) -> None:
    at.send("hello")
    assert posted(at) == {1: 1, 2: 1}
    records = [relay.records[0] for relay in at.relays.values() if relay.posted]
    assert len({record[:8] for record in records}) == 2, "each is sealed anew"
    assert len(at.ann.outbox) == 0 and len(at.ann.data.posted) == 1
    assert at.texts() == ["hello"] and at.texts() == []
    assert {relay.id for relay in at.bob.inbox.look(at.bob.round())} == {1, 2}


def test_what_one_relay_lacks_waits_for_it_and_is_shown_no_second_time(at: Cluster) -> None:
    send_past(at, 2, "one", "x" * 450)
    (one, long) = composing.sent(at.ann)
    assert (one.state, one.is_safe, one.relays, one.copies, long.unsafe) == ("posted", False, 1, 2, 3)
    assert at.texts() == ["one", "x" * 450]
    at.reopen("Ann")
    at.resend()
    assert posted(at) == {1: 4, 2: 4}
    assert all(sent.is_safe and sent.relays == 2 for sent in composing.sent(at.ann))
    assert at.texts() == [] and all(message.lost == 0 for message in shown(at))


def test_a_relay_that_is_away_holds_up_no_other(at: Cluster) -> None:
    send_past(at, 1, "one", "two")
    send_past(at, 2, "three")
    assert posted(at) == {1: 3, 2: 2}
    at.resend()
    assert posted(at) == {1: 3, 2: 3}
    assert at.texts() == ["one", "two", "three"]


def test_every_copy_counts_in_the_day(at: Cluster) -> None:
    at.send("hello")
    budget = at.ann.accountant.budget(at.ann.now())
    assert (budget.used, budget.copies) == (2, 2) and "a message takes 2" in str(budget)


def test_nothing_is_taken_back_that_one_relay_has(at: Cluster) -> None:
    send_past(at, 2, "x" * 450)
    composing.queue(at.ann, "Bob", "whole")
    with pytest.raises(NotPermitted, match="all of it has left"):
        composing.cancel(at.ann, "Bob", 0)
    assert composing.cancel(at.ann, "Bob", 1).text == "whole"
    at.relays[1].fail_after_store = at.relays[2].fail_before_store = 1
    with pytest.raises(Unreachable):
        at.send("on its way")
    with pytest.raises(NotPermitted, match="left, or may have"):
        composing.cancel(at.ann, "Bob", 1)
    at.resend()
    assert at.texts() == ["x" * 450, "on its way"]


def test_there_is_an_index_for_each_copy_of_all_that_can_be_posted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = Cluster(tmp_path, monkeypatch, tokens_per_epoch=1, posts_per_token=4)
    for number in range(4):
        at.send(f"{number}")
    assert posted(at) == {1: 4, 2: 4}
    assert at.texts() == ["0", "1", "2", "3"]
    at.close()


@pytest.mark.parametrize("away", [1, 2])
def test_a_recipient_who_hears_of_more_copies_late_opens_all_that_was_posted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: int
) -> None:
    """Ann has the card of the set in time, Bob in the epoch that it governs: until then he looks for half of them."""
    at = Cluster(tmp_path, monkeypatch, copies=1, tokens_per_epoch=1, posts_per_token=4)
    at._said["topology"] = {"kind": "ring", "copies": 2}
    at._renew(at._keys)
    at.renew("Ann")
    at.clock.to_epoch(1)
    at.fetch()
    for number in range(4):
        at.send(f"{number}")
    assert posted(at) == {1: 4, 2: 4}
    at.fetch()
    assert len(shown(at)) < 4
    at.renew("Bob")
    at.burn(away)
    for _ in range(WAIT_ROUNDS + 1):
        at.fetch()
    assert sorted(message.text for message in shown(at)) == ["0", "1", "2", "3"]
    assert all(message.lost == 0 for message in shown(at))
    at.close()


async def by_hand(at: Cluster) -> None:
    async with Client(at.ann, now=at.clock.exactly) as client:
        at.down.add(2)
        sent = await client.send("Bob", "hello", wait=False)
        assert (sent.state, sent.is_safe, sent.relays, sent.copies) == ("posted", False, 1, 2)
        assert any("still waits for the relay relay-1: relay 2 is away" in remark for remark in client.take_remarks())
        tried = len(at.frames)
        await client.post_what_waits()
        assert len(at.frames) == tried, "a relay that has just failed is not tried again"
        assert (await client.state()).waiting == 1
        at.down.discard(2)
        assert await client.resend(wait=False) == 0
        assert [each.is_safe for each in await client.sent()] == [True]
        at.down |= {1, 2}
        at.clock.next_round()
        with pytest.raises(Unreachable):
            await client.send("Bob", "nobody takes it", wait=False)


def test_by_hand_a_message_is_posted_though_a_relay_is_away_and_its_copy_leaves_later(at: Cluster) -> None:
    asyncio.run(by_hand(at))
    at.down.clear()
    assert at.texts() == ["hello"]


def test_who_waits_for_a_relay_is_told_for_which(at: Cluster) -> None:
    told: list[str] = []
    at.silent.add(2)

    async def sending() -> None:
        async with Client(at.ann, now=at.clock.exactly, slow=told.append) as client:
            sent = await client.send("Bob", "hello", wait=False)
            assert (sent.state, sent.relays) == ("posted", 1)

    loop = VirtualTimeLoop()
    loop.run_until_complete(sending())
    loop.close()
    assert told == ["relay-1"]


async def refused_by_one(at: Cluster) -> None:
    at.relays[1].busy_after_store = 1
    async with Client(at.ann, now=at.clock.exactly) as client:
        assert (await client.send("Bob", "hello", wait=False)).relays == 1
        (remark,) = [each for each in client.take_remarks() if "relay-0" in each]
        next_at = (await client.state()).next_at
    assert next_at == at.federation.parameters.genesis + 2 * 120, "this round and the next may have it"
    assert f"can leave from {local_time_of_day(next_at)} on" in remark


def test_what_a_relay_refused_leaves_when_no_round_can_have_it_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = Cluster(tmp_path, monkeypatch, round_seconds=120)
    asyncio.run(refused_by_one(at))
    at.close()


async def earliest(at: Cluster) -> int | None:
    async with Client(at.ann, now=at.clock.exactly) as client:
        return (await client.state()).next_at


def test_what_waits_for_a_relay_alone_leaves_when_that_may_have_more_of_the_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = Cluster(tmp_path, monkeypatch, budget={"epsilon": "5", "delta": "1e-2"}, epoch_rounds=96, posts_per_token=64)
    began, share = at.clock(), -(-at.ann.accountant.budget(at.ann.now()).allowed // 2)
    for _ in range(share):  # it refuses them all
        place = 2, 0, at.ann.round()
        at.ann.accountant.spend(Departure(at.ann.now(), *place, at.ann.federation.digest))
        at.clock.next_round()
    composing.queue(at.ann, "Bob", "hello")
    assert at.ann.accountant.budget(at.ann.now()).left > 0
    assert asyncio.run(earliest(at)) == at.clock()
    at.reopen("Ann")
    at.down.add(2)
    with contextlib.suppress(Unreachable):
        at.resend()
    assert posted(at) == {1: 1} and at.ann.accountant.budget(at.ann.now()).left > 0
    assert asyncio.run(earliest(at)) == began + DAY_SECONDS
    at.close()


def test_words_say_posted_and_safe_only_where_there_are_copies() -> None:
    state = State(GENESIS, 300)
    one = Sent("Bob", [0], "x", None, 1, 0, [5], 0)
    words = in_words(one, state)
    assert words.startswith("posted, can be read from") and mark(one) == "✓"
    two = replace(one, copies=2, relays=2)
    assert in_words(two, state) == words.replace("posted", "posted and safe", 1) and mark(two) == "✓✓"
    some = replace(two, unsafe=1, relays=1)
    assert in_words(some, state).startswith("posted but not safe yet (on 1 of 2 relays), can be read from")
    assert mark(some) == "✓" and not some.is_safe
    assert in_words(replace(some, rounds=[5, None]), state).startswith("1 of 2 parts posted, the rest leaves")


# -- relays that burn


@pytest.mark.parametrize("kind", ["ring", "mesh"])
@pytest.mark.parametrize("copies", [2, 3])
def test_whichever_relays_burn_what_was_safe_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, copies: int
) -> None:
    at = Cluster(tmp_path, monkeypatch, 5, copies, kind)
    at.send("one")
    at.send("x" * 450)
    order = at.ann.copies.at().relays("Bob")
    assert posted(at) == dict.fromkeys(sorted(order), 4)
    for id_ in order[1:]:
        at.burn(id_)
    report = at.fetch()
    assert [message.text for message in report.messages] == ["one", "x" * 450]
    assert len(report.unread) == copies - 1
    at.close()


def test_a_part_is_sent_again_to_a_relay_in_anothers_place_before_what_is_newer(at: Cluster) -> None:
    at.send("one")
    at.send("two")
    at.burn(1)
    composing.queue(at.ann, "Bob", "three")
    at.replace(1)
    at.renew("Ann")
    assert correspondence.sender(at.ann).relays() == [1, 2]
    assert [item.part.message for item in at.ann.data.outbox] == [0, 1, 2]
    at.resend()
    assert posted(at) == {1: 3, 2: 3} and len(at.ann.outbox) == 0
    at.burn(2)
    at.renew("Bob")
    assert at.texts() == ["one", "two", "three"]
    assert all(message.lost == message.missing == 0 for message in shown(at))


def test_relays_burn_one_after_another_and_each_is_filled_by_use(at: Cluster) -> None:
    texts = []
    for number in range(6):
        texts.append(f"{number}")
        at.send(texts[-1])
        id_ = 1 + number % 2
        at.burn(id_)
        at.clock.next_round()
        at.replace(id_)
        at.renew()
        at.resend()
    assert at.texts() == texts
    assert [message.late for message in shown(at)] == [False] * 6


def test_a_relay_that_was_only_off_has_what_it_had(at: Cluster) -> None:
    at.send("one")
    at.down.add(1)
    assert at.texts() == ["one"]
    send_past(at, 1, "two")
    at.down.discard(1)
    at.resend()
    at.burn(2)
    assert at.texts() == ["two"]


@pytest.mark.parametrize("copies", [1, 2])
def test_a_mailbox_whose_relay_was_taken_out_goes_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: int
) -> None:
    at = Cluster(tmp_path, monkeypatch, 3, copies)
    at.send("read before")
    assert at.texts() == ["read before"]
    at.send("not read")
    at.remove(1)
    at.renew()
    at.clock.to_epoch(1)
    at.renew()  # tokens of the relays that are left
    at.send("after")
    order = at.ann.copies.at().relays("Bob")
    assert order == [2, 3][:copies] and at.bob.federation.home.id == 2
    assert len(at.relays[2].posted) == 3 and len(at.ann.outbox) == 0
    assert at.texts() == ["not read", "after"]
    assert all(message.lost == 0 for message in shown(at))
    at.close()


# -- what is missing, late or lost


def lose(at: Cluster, relay: int, number: int) -> None:
    at.relays[relay].lose(number)


def test_what_one_relay_lost_is_read_from_the_other_in_its_order(at: Cluster) -> None:
    for text in ("one", "two", "three"):
        at.send(text)
    lose(at, 1, 1)
    assert at.texts() == ["one", "two", "three"]


def test_what_comes_after_a_gap_waits_for_two_rounds_and_what_was_missing_is_shown_late_once(at: Cluster) -> None:
    for text in ("one", "two", "three"):
        at.send(text)
    lose(at, 1, 1)
    at.down.add(2)
    assert at.texts() == ["one"]
    assert [(each.got, each.parts) for each in at.bob.inbox.arriving()] == [(1, 1)]
    for _ in range(WAIT_ROUNDS - 1):
        at.reopen("Bob")
        assert at.texts() == []
    (three,) = at.fetch().messages
    assert (three.text, three.lost, three.missing) == ("three", 0, 1)
    at.down.discard(2)
    (two,) = at.fetch().messages
    assert (two.text, two.late, two.lost) == ("two", True, 0)
    assert at.texts() == []
    at.send("four")
    (four,) = at.fetch().messages
    assert (four.text, four.lost, four.missing) == ("four", 0, 0)
    assert at.bob.contacts.get("Ann").received.missing == []


def test_what_no_relay_can_have_any_more_is_lost(at: Cluster) -> None:
    for text in ("one", "two", "three"):
        at.send(text)
    lose(at, 1, 1)
    at.burn(2)
    for _ in range(WAIT_ROUNDS + 1):
        at.fetch()
    assert [message.text for message in shown(at)] == ["one", "three"]
    at.clock.to_epoch(4)
    at.renew()
    at.fetch()
    assert at.bob.contacts.get("Ann").received.missing == []
    send_past(at, 2, "four")
    at.burn(2)
    (four,) = at.fetch().messages
    assert (four.text, four.lost) == ("four", 1)


def test_what_both_lost_is_said_with_the_next(at: Cluster) -> None:
    for text in ("one", "two", "three"):
        at.send(text)
    lose(at, 1, 1)
    lose(at, 2, 1)
    assert [(message.text, message.lost) for message in at.fetch().messages] == [("one", 0), ("three", 1)]


def test_a_relay_that_hides_a_message_makes_nobody_believe_that_it_is_lost(at: Cluster) -> None:
    """Of which the other relay has nothing yet: the sender did not reach it."""
    send_past(at, 2, "one", "two")
    lose(at, 1, 0)
    for _ in range(WAIT_ROUNDS + 2):
        at.fetch()  # the other was read past the round of both
    assert [(message.text, message.lost) for message in shown(at)] == [("two", 0)]
    at.resend()
    (one,) = at.fetch().messages
    assert (one.text, one.late) == ("one", True)
    assert at.bob.contacts.get("Ann").received.missing == []


def test_several_gaps_are_waited_for_at_once(at: Cluster) -> None:
    for number in range(6):
        at.send(f"{number}")
    for number in (0, 2, 4):
        lose(at, 1, number)
    at.down.add(2)
    assert [at.texts() for _ in range(WAIT_ROUNDS)] == [[]] * WAIT_ROUNDS
    assert at.texts() == ["1", "3", "5"]
    at.down.discard(2)
    assert at.texts() == ["0", "2", "4"]
    assert [(message.lost, message.late) for message in shown(at)] == [(0, False)] * 3 + [(0, True)] * 3


def miss_one(at: Cluster) -> None:
    """Of "one" and "two" relay 1 has lost the first, and relay 2 is away: Bob was shown the other after a while."""
    send_past(at, 2, "one", "two")
    lose(at, 1, 0)
    for _ in range(WAIT_ROUNDS + 1):
        at.fetch()
    assert [message.text for message in shown(at)] == ["two"]


def test_a_relay_in_anothers_place_has_not_had_what_that_had(at: Cluster) -> None:
    """Two copies are gone: each of another relay, in turn."""
    miss_one(at)
    at.burn(1)
    at.replace(1)
    at.renew()
    at.resend()
    lose(at, 2, 0)
    at.down.add(1)
    assert at.texts() == []
    at.down.discard(1)
    (one,) = at.fetch().messages
    assert (one.text, one.late, one.lost) == ("one", True, 0)


def test_a_copied_or_old_record_at_another_relay_is_nothing(at: Cluster) -> None:
    """A hostile relay serves what another had, again and in rounds of its own."""
    at.send("one")
    (_, bucket, record) = at.relays[2].posted[0]
    assert at.texts() == ["one"]
    for id_ in (1, 2):
        at.relays[id_].put(bucket, record)
        at.relays[id_].put(bucket, record[:8] + bytes(232))
    at.send("two")
    assert at.texts() == ["two"] and len(shown(at)) == 2


def test_a_long_message_is_put_together_from_what_each_relay_has(at: Cluster) -> None:
    at.send("x" * 450)
    lose(at, 1, 0)
    lose(at, 2, 2)
    assert at.texts() == ["x" * 450]


# -- reading


def test_keys_stay_until_the_slowest_relay_was_read(at: Cluster) -> None:
    steps = at.bob.contacts.get("Ann").receive
    at.send("one")
    at.down.add(2)
    at.fetch()
    at.clock.to_epoch(1)
    at.fetch()
    assert 0 in at.bob.contacts.get("Ann").receive.steps
    at.down.discard(2)
    at.fetch()
    assert set(at.bob.contacts.get("Ann").receive.steps) == {1}
    assert steps is at.bob.contacts.get("Ann").receive


def test_keys_of_an_epoch_that_nobody_keeps_go_though_a_relay_was_not_read(at: Cluster) -> None:
    at.burn(2)
    for epoch in range(4):
        at.clock.to_epoch(epoch)
        at.renew()
        at.clock.next_round(2)  # a relay's clock may be a round behind
        assert at.fetch().rounds_expired == 0
    assert min(at.bob.contacts.get("Ann").receive.steps) == 1


@pytest.mark.parametrize("fast", [-1, 1])
def test_a_relay_whose_rounds_are_early_or_late_costs_no_key(at: Cluster, fast: int) -> None:
    at.clock.next_round(EPOCH_ROUNDS - 2)
    send_past(at, 1, "one")
    at.relays[1].rounds_fast = fast
    at.fetch()
    assert 0 in at.bob.contacts.get("Ann").receive.steps
    assert [message.text for message in shown(at)] == ["one"]


def test_all_relays_away_is_an_error_and_one_is_not(at: Cluster) -> None:
    at.down.add(1)
    report = at.fetch()
    assert [unread.relay for unread in report.unread] == ["relay-0"]
    at.down.add(2)
    with pytest.raises(Unreachable, match="relay 1 is away"):
        at.fetch()


def test_each_relay_is_read_from_where_it_was_left(at: Cluster) -> None:
    at.down.add(2)
    at.fetch()
    at.fetch()
    at.down.discard(2)
    at.relays[1].fetches.clear()
    at.fetch()
    assert [(start, end) for _, start, end in at.relays[1].fetches] == [(2, 3)]
    assert [(start, end) for _, start, end in at.relays[2].fetches] == [(0, 3)]


@pytest.mark.parametrize("after", [False, True], ids=["before the save", "after the save"])
@pytest.mark.parametrize("number", range(1, 9))
def test_power_cut_at_any_save_of_a_send_loses_and_repeats_nothing(
    at: Cluster, monkeypatch: pytest.MonkeyPatch, number: int, after: bool
) -> None:
    at.send("before")
    with monkeypatch.context() as patch, contextlib.suppress(Cut):
        cut_at_save(patch, number, after)
        at.send("x" * 150)
    at.reopen("Ann")
    at.resend()
    assert len(at.ann.outbox) == 0
    for relay in at.relays.values():
        assert len({record[:8] for record in relay.records}) == len(relay.records)
    queued = number > 1 or after
    assert at.texts() == ["before", "x" * 150][: 1 + queued]
    assert all(message.lost == message.missing == 0 for message in shown(at))
