"""Whether contacts were given the same settings: honest members raise no alarm whatever they missed, and an issuer that
shows two of them different sets is noticed by the two."""

import asyncio
import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera import curve, hashes
from tessera.params import Parameters
from tessera_host.member import address_book, meeting, token_exchange, views
from tessera_host.member.schema import Contact, KnownSet, OpenView, Received, SplitView
from tessera_host.member.views import KEPT_VIEWS, Views
from tessera_host.protocol import records
from tessera_host.protocol.records import Closing, ReceivingChain, SendingChain
from tests.support import correspondence
from tests.support.fake_federation import EPOCH_ROUNDS
from tests.support.talking import Office

RETENTION = 3
AHEAD = 8


@dataclass
class Set:
    """As much of a parameter set as counts here."""

    serial: int
    first_epoch: int
    fork: int = 0
    retention_epochs: int = RETENTION
    ahead: int = AHEAD

    @property
    def digest(self) -> bytes:
        return hashes.sha256(repr((self.serial, self.first_epoch, self.fork)).encode())


@dataclass
class Held:
    """The federation of a member: what it believes, and no more than the product keeps."""

    sets: list[Set]

    @property
    def newest(self) -> Set:
        return self.sets[-1]

    def take(self, newest: Set) -> None:
        if newest.serial > self.newest.serial:
            self.sets = [self.newest, newest]


def stranger() -> Contact:
    return Contact(
        key=curve.public((7).to_bytes(32, "big"))[1:],
        mailbox=bytes(16),
        relay=1,
        words=[],
        verified=False,
        blocked=False,
        send=SendingChain.start(0, bytes(32)),
        next_message=0,
        receive=ReceivingChain(0, bytes(32)),
        received=Received(),
    )


@dataclass
class Member:
    """One side: its sets, what its contact said, when it was at the issuer's last, and what it has read."""

    federation: Held
    visited: int
    known: list[KnownSet] = field(default_factory=list)
    contact: Contact = field(default_factory=stranger)
    read: set[int] = field(default_factory=set)
    reached: int = 0
    held_until: int = 0

    @property
    def views(self) -> Views:
        return Views(self.known, {"the other": self.contact}, self.federation)  # type: ignore[arg-type]

    def visit(self, newest: Set, epoch: int) -> None:
        self.federation.take(newest)
        self.visited = epoch
        self.views.look(self.reached)

    def says(self, epoch: int) -> bytes:
        return self.views.digest_for(epoch)

    def reads(self, epoch: int, digest: bytes, now: int, seed: bytes = bytes(32)) -> None:
        said = Closing(epoch, 0, bytes(8), seed, records.NOT_RECEIVED, records.view(seed, digest), bytes(64))
        self.views.saw("the other", said, now)

    def reaches_a_relay(self, epoch: int) -> None:
        self.reached = max(self.reached, epoch)
        self.views.look(self.reached)


class World:
    """Two members, an honest issuer and a relay that hands nobody any set, over many epochs.

    What is honest: a set is made in an epoch before the one it begins in; who posts has been at the issuer's within the
    last eight epochs, as its tokens come from there; who is about in an epoch is there at the issuer's, at some moment.
    """

    STEPS = 4  # an epoch

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.sets = [Set(1, 0)]
        self.members = [Member(Held([self.sets[0]]), 0) for _ in range(2)]
        self.posted: list[list[tuple[int, bytes, bytes]]] = [[], []]  # for each member: epoch, digest, seed
        self.backups = copy.deepcopy(self.members)
        self.looked = 0

    def run(self, epochs: int) -> None:
        away = [0, 0]
        for epoch in range(epochs):
            newest_of_a_week = self.dice.random() < 0.3  # three leavers in one week, and quiet months
            visits = [self.dice.randrange(self.STEPS) for _ in self.members]
            for number in range(2):
                if epoch >= away[number] and self.dice.random() < 0.15:
                    away[number] = epoch + self.dice.choice((1, 2, 7, 21))
            for step in range(self.STEPS):
                if newest_of_a_week and self.dice.random() < 0.3:
                    first = max(epoch + self.dice.choice((1, 1, 2, 12)), 1)
                    self.sets.append(Set(self.sets[-1].serial + 1, first))
                for number, member in enumerate(self.members):
                    if epoch >= away[number]:
                        self._live(number, member, epoch, step, visits[number] == step)
            for number in range(2):
                self._back_up(number, epoch)

    def _live(self, number: int, member: Member, epoch: int, step: int, visits: bool) -> None:
        first, second = self.dice.sample(("relay", "issuer"), 2)
        for what in (first, second):
            if what == "issuer" and visits:
                member.visit(self.sets[-1], epoch)
            elif what == "relay" and self.dice.random() < 0.6:
                member.reaches_a_relay(epoch)
                self._read(number, member, epoch)
                if member.visited >= epoch - AHEAD and epoch >= member.held_until:
                    seed = self.dice.randbytes(32)
                    self.posted[1 - number].append((epoch, member.says(epoch), seed))

    def _read(self, number: int, member: Member, now: int) -> None:
        for place, (epoch, digest, seed) in enumerate(self.posted[number]):
            if place not in member.read and epoch >= now - RETENTION:
                member.read.add(place)
                member.reads(epoch, digest, now, seed)
                self.looked += 1

    def _back_up(self, number: int, epoch: int) -> None:
        """Sometimes; and sometimes the computer is lost, and what there is of it is the backup."""
        chance = self.dice.random()
        if chance < 0.05:
            self.backups[number] = copy.deepcopy(self.members[number])
        elif chance > 0.98:
            restored = self.members[number] = copy.deepcopy(self.backups[number])
            restored.held_until = epoch + 2
            for each in restored.contact.views:
                each.read, each.reached = epoch, None  # as `backup` does


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 1 << 32))
def test_honest_renewals_raise_no_alarm(seed: int) -> None:
    world = World(seed)
    world.run(60)
    assert [member.contact.split for member in world.members] == [None, None]
    assert all(len(member.known) < 30 for member in world.members)


def test_the_honest_schedules_try_what_they_are_there_for() -> None:
    """Many messages, members who were behind, and views that fitted nothing for a while."""
    read = pending = behind = 0
    for seed in range(20):
        world = World(seed)
        saw = Views.saw

        def counted(self: Views, name: str, closing: Closing, epoch: int, saw: Any = saw) -> None:
            nonlocal pending
            before = len(self._contacts[name].views)
            saw(self, name, closing, epoch)
            pending += len(self._contacts[name].views) > before

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Views, "saw", counted)
            world.run(60)
        read += world.looked
        governing = {each.digest: each for each in world.sets}
        for posted in world.posted:
            for epoch, digest, _ in posted:
                begun = [each for each in world.sets if each.first_epoch <= epoch]
                behind += governing[digest].serial < begun[-1].serial
    assert read > 1000 and pending > 100 and behind > 100, (read, pending, behind)


# -- what is noticed


def two_members(*sets: Set) -> tuple[Member, Member]:
    first, second = Member(Held([sets[0]]), 0), Member(Held([sets[0]]), 0)
    for member in (first, second):
        member.reaches_a_relay(sets[0].first_epoch + 1)
    return first, second


def passes(member: Member, *epochs: int) -> None:
    for epoch in epochs:
        member.reaches_a_relay(epoch)


def test_two_sets_of_one_serial_are_noticed_by_both_after_an_epoch() -> None:
    ann, bob = two_members(Set(1, 0))
    ann.visit(Set(2, 20), 19)
    bob.visit(Set(2, 20, fork=1), 19)
    for reader, writer in ((ann, bob), (bob, ann)):
        passes(reader, 20)
        reader.reads(20, writer.says(20), 20)
        passes(reader, 20, 21, 21)
        assert reader.contact.split is None and len(reader.contact.views) == 1
        passes(reader, 22)
        assert reader.contact.split == SplitView(20, False) and reader.contact.views == []


def test_of_two_sets_of_different_serials_the_holder_of_the_smaller_one_notices() -> None:
    """The other may have missed one, and cannot tell so soon."""
    ann, bob = two_members(Set(1, 0))
    ann.visit(Set(2, 20), 19)
    bob.visit(Set(3, 20), 19)
    for reader, writer in ((ann, bob), (bob, ann)):
        passes(reader, 20)
        reader.reads(20, writer.says(20), 20)
        passes(reader, 21, 22)
    assert ann.contact.split is not None and bob.contact.split is None
    later = 20 + AHEAD
    passes(bob, later)
    bob.reads(later, ann.says(later), later)
    passes(bob, later + 1, later + 2)
    assert bob.contact.split == SplitView(later, False)


def test_who_is_behind_for_longer_than_tokens_last_is_noticed() -> None:
    ann, bob = two_members(Set(1, 0))
    bob.visit(Set(2, 20), 19)
    for epoch, noticed in ((20 + AHEAD - 1, False), (20 + AHEAD, True)):
        passes(bob, epoch)
        bob.reads(epoch, ann.says(epoch), epoch)
        passes(bob, epoch + 1, epoch + 2)
        assert (bob.contact.split is not None) == noticed


def test_for_how_long_somebody_may_be_behind_is_what_the_set_that_they_hold_says() -> None:
    for ahead, after in ((3, 12), (12, 3)):
        ann, bob = two_members(Set(1, 0, ahead=ahead))
        bob.visit(Set(2, 20, ahead=after), 19)
        for epoch, noticed in ((20 + ahead - 1, False), (20 + ahead, True)):
            passes(bob, epoch)
            bob.reads(epoch, ann.says(epoch), epoch)
            passes(bob, epoch + 1, epoch + 2)
            assert (bob.contact.split is not None) == noticed


def test_a_receiver_that_is_behind_is_content_once_it_was_renewed() -> None:
    ann, bob = two_members(Set(1, 0))
    ann.visit(Set(2, 20), 19)
    passes(bob, 20)
    bob.reads(20, ann.says(20), 20)
    assert len(bob.contact.views) == 1
    bob.visit(Set(2, 20), 21)
    assert bob.contact.views == []
    passes(bob, 21, 22, 23, 60)
    assert bob.contact.split is None


def test_what_passes_while_no_relay_is_reached_does_not_count() -> None:
    ann, bob = two_members(Set(1, 0))
    ann.visit(Set(2, 20), 19)
    passes(bob, 20)
    bob.reads(20, ann.says(20), 20)
    passes(bob, 41)
    assert bob.contact.split is None
    bob.visit(Set(2, 20), 41)
    passes(bob, 42, 43)
    assert bob.contact.split is None


def test_somebody_back_after_weeks_who_holds_no_set_that_has_begun_names_the_newest() -> None:
    """Set 2 came meanwhile and governs; what they are given is set 3, which has not begun."""
    ann, bob = two_members(Set(1, 0))
    for newest in (Set(2, 5), Set(3, 31)):
        bob.visit(newest, newest.first_epoch - 1)
    ann.visit(Set(3, 31), 30)
    assert ann.says(30) == Set(3, 31).digest and bob.says(30) == Set(2, 5).digest
    passes(bob, 30)
    bob.reads(30, ann.says(30), 30)
    assert bob.contact.views == []


def test_a_newcomer_cannot_tell_who_is_behind_for_eight_epochs() -> None:
    ann = two_members(Set(1, 0))[0]
    carl = Member(Held([Set(2, 20)]), 21)
    for epoch, noticed in ((20 + AHEAD - 1, False), (20 + AHEAD, True)):
        passes(carl, epoch)
        carl.reads(epoch, ann.says(epoch), epoch)
        passes(carl, epoch + 1, epoch + 2)
        assert (carl.contact.split is not None) == noticed


def test_a_set_that_was_missed_is_no_alarm_while_somebody_may_be_behind() -> None:
    ann, bob = two_members(Set(1, 0))
    ann.visit(Set(2, 20), 19)
    bob.visit(Set(4, 22), 21)
    passes(bob, 23)
    bob.reads(23, ann.says(23), 23)
    passes(bob, 24, 25)
    assert bob.contact.split is None and bob.contact.views == []


def test_open_views_do_not_pile_up() -> None:
    ann = two_members(Set(1, 0))[0]
    for number in range(2 * KEPT_VIEWS):
        ann.reads(1, Set(2, 0).digest, 1, seed=bytes([number]) * 32)
    assert len(ann.contact.views) == KEPT_VIEWS


def test_a_set_is_remembered_as_long_as_a_record_under_it_can_be_read_and_no_longer() -> None:
    bob = two_members(Set(1, 0))[1]
    bob.visit(Set(2, 20), 19)
    last = 20 + AHEAD - 1 + RETENTION  # in which a record of the last epoch that set 1 is used in is kept
    passes(bob, last)
    assert [known.serial for known in bob.known] == [1, 2]
    bob.reads(20 + AHEAD - 1, Set(1, 0).digest, last)
    assert bob.contact.views == []
    passes(bob, last + 1)
    assert [known.serial for known in bob.known] == [2]
    assert bob.says(last + 1) == Set(2, 20).digest


# -- with a relay and keystores


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    office = Office(tmp_path, monkeypatch)
    yield office
    for member in office.members.values():
        member.close()


def shown(office: Office, claimed: Parameters) -> None:
    """What the relay says is the newest set, to whoever comes."""
    office.relay.claimed = claimed


def different_sets(office: Office) -> tuple[Parameters, Parameters]:
    """Of one serial, both in force from epoch 1 on."""
    return office.federation.make_set(2, first_epoch=1), office.federation.make_set(2, first_epoch=1, delta=2)


def exchange(office: Office, sets: dict[str, Parameters], epoch: int, text: str = "") -> None:
    """Both are there in an epoch and see each its own set; with a text each writes to the other."""
    office.clock.to_epoch(epoch)
    for name, other in (("Ann", "Bob"), ("Bob", "Ann")):
        shown(office, sets[name])
        member = office.members[name]
        asyncio.run(correspondence.fetch(member))
        token_exchange.fetch(member, office.issuer)
        if text:
            asyncio.run(correspondence.send(member, other, text))
    office.clock.next_round()
    for name in ("Ann", "Bob"):
        shown(office, sets[name])
        asyncio.run(correspondence.fetch(office.members[name]))


def split(office: Office) -> list[list[str]]:
    return [office.members[name].contacts.split for name in ("Ann", "Bob")]


def test_members_with_the_same_sets_notice_nothing(office: Office) -> None:
    one, _ = different_sets(office)
    for epoch in range(1, 5):
        exchange(office, {"Ann": one, "Bob": one}, epoch, "hello")
    assert split(office) == [[], []]
    assert all(not office.members[name].contacts.get(other).views for name, other in (("Ann", "Bob"), ("Bob", "Ann")))


def test_an_issuer_that_gives_two_members_different_sets_is_noticed_by_both(office: Office) -> None:
    one, other = different_sets(office)
    sets = {"Ann": one, "Bob": other}
    exchange(office, sets, 1, "hello")
    exchange(office, sets, 2)
    assert split(office) == [[], []]
    exchange(office, sets, 3)
    assert split(office) == [["Bob"], ["Ann"]]


def test_an_alarm_is_told_once_and_stands_until_new_keys(office: Office) -> None:
    one, other = different_sets(office)
    for epoch in range(1, 4):
        exchange(office, {"Ann": one, "Bob": other}, epoch, "hello")
    ann = office.reopen("Ann")
    assert ann.views.untold() == ["Bob"]
    ann.save()
    ann = office.reopen("Ann")
    assert ann.views.untold() == [] and ann.contacts.split == ["Bob"]
    address_book.rename(ann, "Bob", "Robert")
    assert ann.contacts.split == ["Robert"]
    address_book.rename(ann, "Robert", "Bob")
    # An issuer that signed both can make no set that follows on either: Bob is one who never saw the other.
    bob = office.bob.data
    bob.federation.chain = [link for link in bob.federation.chain if link.digest != other.digest]
    bob.evidence.heads.pop(other.digest)
    agreed = office.federation.make_set(3, first_epoch=4, previous=one.digest)
    exchange(office, {"Ann": agreed, "Bob": agreed}, 4)
    ann, bob = office.ann, office.bob
    confirm = meeting.confirm(ann, meeting.answer(bob, meeting.invite(ann, "Bob", rekey=True), "Ann", rekey=True))[1]
    meeting.accept(bob, confirm)
    assert split(office) == [[], []]


def test_the_alarm_says_what_is_wrong_and_what_to_do() -> None:
    said = views.alarm("Bob")
    assert said.exit_code == 8
    assert "Bob was given different settings from yours" in said.message
    assert "tessera status" in said.hint and "tessera contact rekey Bob" in said.hint


def test_views_of_another_set_wait_in_the_keystore(office: Office) -> None:
    one, other = different_sets(office)
    exchange(office, {"Ann": one, "Bob": other}, 1, "hello")
    (waiting,) = office.reopen("Ann").contacts.get("Bob").views
    assert isinstance(waiting, OpenView)
    assert (waiting.epoch, waiting.read, waiting.reached) == (1, 1, None)
    assert waiting.view == records.view(waiting.seed, other.digest)
    assert [known.digest for known in office.ann.data.sets] == [office.federation.parameters.digest, one.digest]
    assert office.clock.now >= EPOCH_ROUNDS
