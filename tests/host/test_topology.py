"""The order of a mailbox's relays, and which of them have it under which set: the same for whoever computes it."""

import hashlib
from typing import Any

import pytest

from tessera.params import Parameters
from tessera_host.errors import InvalidInput
from tessera_host.protocol import cards
from tessera_host.protocol.federation import Federation, read_card
from tessera_host.protocol.topology import MESH, RING, Topology, order
from tests.support.fake_federation import POSTS, TOKENS, FakeFederation

MAILBOX = bytes(range(16))


def rank(id_: int) -> bytes:
    tag = hashlib.sha256(b"tessera/1/fallback").digest()
    return hashlib.sha256(tag + tag + MAILBOX + id_.to_bytes(2, "big")).digest()


@pytest.mark.parametrize(
    ("home", "expected"),
    [(2, [2, 5, 9, 1]), (1, [1, 2, 5, 9]), (9, [9, 1, 2, 5]), (6, [9, 1, 2, 5]), (10, [1, 2, 5, 9])],
)
def test_a_ring_goes_on_from_home_or_from_where_home_was(home: int, expected: list[int]) -> None:
    assert order(MAILBOX, home, [9, 2, 1, 5], Topology(RING, 2)) == expected


def test_a_mesh_has_home_first_and_the_others_by_their_hash() -> None:
    ids = [1, 2, 5, 9, 300]
    by_hash = sorted(ids, key=rank, reverse=True)
    for home in ids:
        others = [id_ for id_ in by_hash if id_ != home]
        assert order(MAILBOX, home, ids, Topology(MESH, 3)) == [home, *others]
    assert order(MAILBOX, 7, ids, Topology(MESH)) == by_hash


def test_in_a_mesh_what_one_relay_had_is_spread_over_all_others() -> None:
    mailboxes = [hashlib.sha256(bytes([number])).digest()[:16] for number in range(60)]
    second = {order(mailbox, 1, range(1, 6), Topology(MESH, 2))[1] for mailbox in mailboxes}
    assert second == {2, 3, 4, 5}


@pytest.mark.parametrize("kind", [RING, MESH])
def test_who_meets_after_home_is_gone_is_told_the_same_number(kind: str) -> None:
    """Whoever heard of the next relay as home instead would have another order when a relay is added."""
    told, left, later = 3, [1, 2], [1, 2, 4]
    assert order(MAILBOX, told, left, Topology(kind))[0] in left
    if kind == RING:
        moved = order(MAILBOX, told, left, Topology(kind))[0]
        assert order(MAILBOX, told, later, Topology(kind)) != order(MAILBOX, moved, later, Topology(kind))


@pytest.mark.parametrize(
    "wrong",
    [
        *("ring", {}, {"kind": "star", "copies": 1}, {"kind": "ring"}, {"kind": "ring", "copies": 0}),
        *({"kind": "ring", "copies": 65}, {"kind": "mesh", "copies": True}, {"kind": "mesh", "copies": 2, "x": 1}),
    ],
)
def test_a_card_says_a_topology_that_there_is(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="'topology'"):
        FakeFederation().said({"topology": wrong})


def test_a_topology_reads_as_it_was_said() -> None:
    for each in (Topology(), Topology(RING, 2), Topology(MESH, 1), Topology(MESH, 64)):
        said = FakeFederation().said({"topology": each.said()})
        assert Topology.of(cards.decode_said(said)["topology"]) == each
    assert Topology().said() is None


def office(topology: Topology, relays: int = 3, **changes: Any) -> FakeFederation:
    return FakeFederation(relays=relays, said={"topology": topology.said()}, **changes)


def test_a_mailbox_is_on_the_first_of_its_order_and_chains_have_as_many_indices_more() -> None:
    known = office(Topology(RING, 2)).known()
    assert known.topology == Topology(RING, 2) and known.copies(0) == 2
    assert known.relays_of(MAILBOX, 3, 0) == [3, 1] == known.relays_read(MAILBOX, 3, 0)
    assert known.records_per_epoch(0) == TOKENS * POSTS * 2


def test_more_copies_than_relays_are_as_many_as_there_are() -> None:
    known = office(Topology(MESH, 5), relays=2).known()
    assert known.copies(0) == 2 and sorted(known.relays_of(MAILBOX, 1, 0)) == [1, 2]
    assert known.records_per_epoch(0) == TOKENS * POSTS * 2


def successor(office: FakeFederation, gone: int, topology: Topology, first_epoch: int) -> str:
    """The card of the set from which a relay is not listed any more."""
    return office.card(without(office, gone, topology, first_epoch))


def without(office: FakeFederation, gone: int, topology: Topology, first_epoch: int) -> Parameters:
    left = {id_: key for id_, key in enumerate(office.relay_keys, 1) if id_ != gone}
    relays = [
        {"id": id_, "name": f"relay-{id_ - 1}", "host": "relay.example", "port": 8099 + id_} for id_ in sorted(left)
    ]
    said = {"relays": relays, "topology": topology.said()}
    return office.make_set(2, said=said, relay_keys=left, first_epoch=first_epoch)


def test_an_order_holds_for_the_epochs_of_its_set() -> None:
    made = office(Topology(RING, 2))
    state = read_card(made.card())
    known = Federation(state, MAILBOX)
    assert known.refresh(successor(made, 2, Topology(RING, 2), 4), 3)
    for view in (known, Federation(state, MAILBOX)):  # as it is kept, too
        assert view.relays_of(MAILBOX, 1, 3) == [1, 2] == view.relays_read(MAILBOX, 1, 3)
        assert view.relays_of(MAILBOX, 1, 4) == [1, 3]
        assert view.relays_read(MAILBOX, 1, 4) == [1, 3, 2]  # who has not heard of the new set posts by the one before
        assert view.relays_of(MAILBOX, 1, 5) == [1, 3] == view.relays_read(MAILBOX, 1, 5)


def test_a_relay_out_of_service_is_known_as_long_as_its_epochs_are() -> None:
    made = office(Topology(RING, 2))
    known = Federation(read_card(made.card()), MAILBOX)
    known.refresh(successor(made, 2, Topology(RING, 2), 4), 3)
    gone = known.relay_known(2)
    assert gone is not None and (gone.name, gone.key) == ("relay-1", made.relay_keys[1])
    with pytest.raises(InvalidInput, match="not in the federation card"):
        known.relay_with_id(2)
    known.forget_before(6)
    assert known.relay_known(2) is None and known.relay_known(3) is not None


def test_a_home_that_is_gone_is_the_next_in_the_order_and_stays_what_contacts_were_told() -> None:
    for kind in (RING, MESH):
        made = office(Topology(kind), relays=4)
        known = Federation(read_card(made.card()), MAILBOX)
        known.choose_home("relay-1")
        assert (known.home.id, known.home_id) == (2, 2)
        known.refresh(successor(made, 2, Topology(kind), 4), 3)
        assert (known.home.id, known.home_id) == (order(MAILBOX, 2, [1, 3, 4], Topology(kind))[0], 2)
        assert known.relays_of(MAILBOX, known.home_id, 4) == [known.home.id]


def test_a_change_of_copies_holds_from_the_set_that_says_so() -> None:
    made = office(Topology(RING))
    known = Federation(read_card(made.card()), MAILBOX)
    newer = made.make_set(2, said={"topology": Topology(RING, 3).said()}, first_epoch=4)
    known.refresh(made.card(newer), 3)
    assert [known.copies(epoch) for epoch in (3, 4, 5)] == [1, 3, 3]
    assert known.records_per_epoch(3) == TOKENS * POSTS
    assert known.records_per_epoch(4) == known.records_per_epoch(5) == TOKENS * POSTS * 3


def test_who_joined_when_a_set_was_signed_is_read_where_it_posts_by_that_already() -> None:
    """For others the set governs from the next epoch on; a newcomer has no other."""
    made = office(Topology(RING))
    known = Federation(read_card(made.card()), MAILBOX)
    newer = made.make_set(2, said={"topology": Topology(RING, 2).said()}, first_epoch=3)
    newcomer = Federation(read_card(made.card(newer)))
    known.refresh(made.card(newer), 3)
    assert newcomer.relays_of(MAILBOX, 1, 3) == [1, 2] and known.relays_of(MAILBOX, 1, 3) == [1]
    assert [known.relays_read(MAILBOX, 1, epoch) for epoch in (2, 3, 4)] == [[1], [1, 2], [1, 2]]
    assert known.records_per_epoch(3) == newcomer.records_per_epoch(3) == TOKENS * POSTS * 2


def test_a_set_whose_card_was_not_seen_goes_by_the_newest_card() -> None:
    made = office(Topology(RING, 2))
    known = Federation(read_card(made.card()), MAILBOX)
    newer = without(made, 2, Topology(), 4)
    known.adopt(newer.copy_for(1), 3)
    assert known.relays_of(MAILBOX, 1, 4) == [1, 3]
    known.refresh(made.card(newer), 4)
    assert known.relays_of(MAILBOX, 1, 4) == [1]
