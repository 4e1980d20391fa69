"""Enrolment: two members that meet hold the same words and roots; every other card is refused and changes nothing."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tessera import curve, hashes
from tessera_host.errors import IntegrityError, InvalidInput, NotPermitted, TesseraError, UsageError
from tessera_host.member import contacts
from tessera_host.member.contacts import ContactBook, Meeting
from tessera_host.member.schema import AnswerMeeting, Contacts, InviteMeeting
from tessera_host.protocol import cards
from tessera_host.protocol.federation import Federation, read_card
from tessera_host.protocol.identity import Identity
from tests.support.fake_federation import FakeFederation, identity

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "contact.json").read_text())
EPOCH = 3


class Person:
    """A member as far as contacts go."""

    def __init__(self, name: str, federation_card: str) -> None:
        self.identity = identity(name)
        self.state = Contacts()
        self.federation = Federation(read_card(federation_card))
        self.contacts = ContactBook(self.state, self.identity, self.federation)

    def answer(self, invite: str, name: str | None = None, epoch: int = EPOCH) -> str:
        return self.contacts.answer(invite, name, epoch, 20)[1]

    def refuses(self, error: type[TesseraError], match: str, call: Any, *arguments: Any) -> None:
        """The call raises and leaves the state as it was."""
        before = copy.deepcopy(self.state)
        with pytest.raises(error, match=match):
            call(*arguments)
        assert self.state == before


@pytest.fixture(scope="module")
def federation() -> FakeFederation:
    return FakeFederation(relays=2)


@pytest.fixture
def ann(federation: FakeFederation) -> Person:
    return Person("Ann", federation.card())


@pytest.fixture
def bob(federation: FakeFederation) -> Person:
    return Person("Bob", federation.card())


@pytest.fixture
def eve(federation: FakeFederation) -> Person:
    return Person("Eve", federation.card())


def meet(inviter: Person, answerer: Person) -> None:
    answer = answerer.answer(inviter.contacts.invite(answerer.identity.name, EPOCH))
    answerer.contacts.accept(inviter.contacts.confirm(answer)[1])


def changed(text: str, **fields: Any) -> str:
    card = cards.decode(text)
    return cards.encode(card.kind, card.fields | fields)


# -- the second implementation's meetings


@pytest.mark.parametrize("vector", VECTORS["enrolments"])
def test_transcripts_roots_and_words_are_those_of_the_second_implementation(vector: dict[str, Any]) -> None:
    invite, answer, confirm = (cards.decode(vector[kind]["text"], kind) for kind in ("invite", "answer", "confirm"))
    x_a = contacts.public_x(bytes.fromhex(vector["x_secret_a"]))
    nonce = bytes.fromhex(vector["nonce"])
    assert contacts.commitment(x_a, nonce) == invite.fields["commit"]
    first = contacts.first_transcript(invite.payload, answer.fields)
    second = contacts.second_transcript(first, answer.fields, confirm.fields["x"], confirm.fields["nonce"])
    assert (first.hex(), second.hex()) == (vector["t1"], vector["t2"])
    assert curve.verify(answer.fields["sig"], first, answer.fields["key"])
    assert curve.verify(confirm.fields["sig"], second, invite.fields["key"])
    for secret, x in ((vector["x_secret_a"], answer.fields["x"]), (vector["x_secret_b"], confirm.fields["x"])):
        met = Meeting(second, contacts.agree(bytes.fromhex(secret), x))
        assert met.shared.hex() == vector["shared"]
        assert [root.hex() for root in met.roots()] == [vector["root_a_to_b"], vector["root_b_to_a"]]
        assert met.words(bytes.fromhex(vector["digest"])) == vector["words"]


@pytest.mark.parametrize("vector", VECTORS["enrolments"])
def test_whole_flow_makes_the_roots_of_the_second_implementation(
    vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same cards through both ContactBooks, with the vector's keys put in place of random ones."""
    federation_card = VECTORS["federation_cards"][0]["text"]
    ann, bob = Person("?", federation_card), Person("?", federation_card)
    payloads = {kind: cards.decode(vector[kind]["text"], kind) for kind in ("invite", "answer", "confirm")}
    if payloads["invite"].fields["digest"] != ann.federation.digest:
        pytest.fail("the vector's invite is for other parameters than its federation card")
    for person, secret, kind in ((ann, "member_secret_a", "invite"), (bob, "member_secret_b", "answer")):
        fields = payloads[kind].fields
        person.identity = Identity(fields["name"], bytes.fromhex(vector[secret]), fields["key"], fields["mailbox"])
        person.contacts = ContactBook(person.state, person.identity, person.federation)
    ann.state.invites[hashes.tagged("invite", payloads["invite"].payload)] = InviteMeeting(
        name="B",
        payload=payloads["invite"].payload,
        x=bytes.fromhex(vector["x_secret_a"]),
        nonce=bytes.fromhex(vector["nonce"]),
        rekey=False,
    )
    bob.state.answers[hashes.tagged("answer", payloads["answer"].payload)] = AnswerMeeting(
        name="A",
        payload=payloads["answer"].payload,
        x=bytes.fromhex(vector["x_secret_b"]),
        invite=payloads["invite"].payload,
        round=0,
        rekey=False,
    )
    _, confirm = ann.contacts.confirm(vector["answer"]["text"])
    bob.contacts.accept(vector["confirm"]["text"])
    ours = cards.decode(confirm).fields
    assert {**ours, "sig": None} == {**payloads["confirm"].fields, "sig": None}
    assert ann.contacts.get("B").words == bob.contacts.get("A").words == vector["words"]
    assert ann.contacts.get("B").receive.root.hex() == vector["root_b_to_a"]
    assert bob.contacts.get("A").receive.root.hex() == vector["root_a_to_b"]
    assert bob.contacts.get("A").receive.epoch == vector["epoch"]


# -- what holds after a meeting


def test_both_sides_hold_the_same_words_and_opposite_chains(ann: Person, bob: Person) -> None:
    meet(ann, bob)
    a, b = ann.contacts.get("Bob"), bob.contacts.get("Ann")
    assert a.words == b.words
    assert len(a.words) == 6
    assert (a.key, b.key) == (bob.identity.key, ann.identity.key)
    assert (a.mailbox, b.mailbox) == (bob.identity.mailbox, ann.identity.mailbox)
    for sender, receiver in ((a, b), (b, a)):
        chain = copy.deepcopy(receiver.receive)
        chain.derive(EPOCH, 1)
        _, step = copy.deepcopy(sender.send).take()
        assert [*chain.unused()] == [(EPOCH, 0, step)]
    assert a.send.chain != b.send.chain
    assert ann.state.invites == bob.state.answers == {}


def test_every_meeting_has_its_own_words(federation: FakeFederation) -> None:
    seen = set()
    for _ in range(8):
        ann, bob = Person("Ann", federation.card()), Person("Bob", federation.card())
        meet(ann, bob)
        seen.add(tuple(ann.contacts.get("Bob").words))
    assert len(seen) == 8


def test_words_cover_the_parameter_digest() -> None:
    met = Meeting(b"t" * 32, b"s" * 32)
    assert met.words(bytes(32)) != met.words(b"\x01" + bytes(31))


def test_contact_is_unverified_until_it_is_said_to_be(ann: Person, bob: Person) -> None:
    meet(ann, bob)
    assert ann.contacts.get("Bob").verified is False
    ann.contacts.verify("Bob")
    assert ann.contacts.get("Bob").verified is True
    ann.refuses(UsageError, "no contact 'Carl'", ann.contacts.verify, "Carl")


def test_names_are_each_sides_own(ann: Person, bob: Person) -> None:
    answer = bob.answer(ann.contacts.invite("Robert", EPOCH), "Anna")
    name, confirm = ann.contacts.confirm(answer)
    assert (name, bob.contacts.accept(confirm)[0]) == ("Robert", "Anna")


def test_meetings_are_listed_and_can_be_dropped(ann: Person, bob: Person) -> None:
    invite = ann.contacts.invite("Bob", EPOCH)
    answer = bob.answer(invite)
    assert ann.contacts.meetings() == [{"name": "Bob", "waiting_for": "answer"}]
    assert bob.contacts.meetings() == [{"name": "Ann", "waiting_for": "confirm"}]
    ann.refuses(UsageError, "a meeting with 'Bob' is already under way", ann.contacts.invite, "Bob", EPOCH)
    ann.contacts.remove("Bob")
    assert ann.contacts.meetings() == []
    ann.refuses(InvalidInput, "any open invite", ann.contacts.confirm, answer)
    ann.refuses(UsageError, "no contact 'Bob'", ann.contacts.remove, "Bob")


def test_contact_can_be_removed_and_met_again(ann: Person, bob: Person) -> None:
    meet(ann, bob)
    words = ann.contacts.get("Bob").words
    ann.contacts.remove("Bob")
    bob.contacts.remove("Ann")
    meet(ann, bob)
    assert ann.contacts.get("Bob").words != words


# -- what is refused, and changes nothing


def test_repeated_cards_are_refused(ann: Person, bob: Person) -> None:
    invite = ann.contacts.invite("Bob", EPOCH)
    answer = bob.answer(invite)
    bob.refuses(InvalidInput, "answered this invite already", bob.answer, invite, "Ann again")
    _, confirm = ann.contacts.confirm(answer)
    ann.refuses(InvalidInput, "any open invite", ann.contacts.confirm, answer)
    bob.contacts.accept(confirm)
    bob.refuses(InvalidInput, "any open answer", bob.contacts.accept, confirm)
    bob.refuses(NotPermitted, "your contact 'Ann'", bob.answer, invite, "Ann again")


def test_swapped_cards_are_refused(ann: Person, bob: Person) -> None:
    invite = ann.contacts.invite("Bob", EPOCH)
    answer = bob.answer(invite)
    _, confirm = ann.contacts.confirm(answer)
    bob.refuses(InvalidInput, "'answer'.*'confirm' is needed", bob.contacts.accept, answer)
    ann.refuses(InvalidInput, "'invite'.*'answer' is needed", ann.contacts.confirm, invite)
    ann.refuses(InvalidInput, "'confirm'.*'invite' is needed", ann.answer, confirm)


def test_own_cards_are_refused(ann: Person) -> None:
    ann.refuses(InvalidInput, "your own", ann.answer, ann.contacts.invite("me", EPOCH))


def test_cards_for_someone_else_are_refused(ann: Person, bob: Person, eve: Person) -> None:
    answer = bob.answer(ann.contacts.invite("Bob", EPOCH))
    eve.refuses(InvalidInput, "any open invite", eve.contacts.confirm, answer)
    _, confirm = ann.contacts.confirm(answer)
    eve.refuses(InvalidInput, "any open answer", eve.contacts.accept, confirm)


def test_two_answers_to_one_invite_make_one_contact(ann: Person, bob: Person, eve: Person) -> None:
    invite = ann.contacts.invite("Bob", EPOCH)
    first, second = bob.answer(invite), eve.answer(invite)
    ann.contacts.confirm(first)
    ann.refuses(InvalidInput, "any open invite", ann.contacts.confirm, second)
    assert ann.contacts.get("Bob").key == bob.identity.key


def test_another_federation_is_refused(ann: Person) -> None:
    stranger = Person("Zoe", FakeFederation().card())
    ann.refuses(InvalidInput, "another federation", ann.answer, stranger.contacts.invite("Ann", EPOCH))


def test_other_parameters_are_refused(ann: Person, bob: Person, federation: FakeFederation) -> None:
    invite = ann.contacts.invite("Bob", EPOCH)
    answer = bob.answer(invite)
    bob.federation.refresh(federation.card(federation.make_set(2)), EPOCH)
    _, confirm = ann.contacts.confirm(answer)
    bob.refuses(InvalidInput, "different settings", bob.contacts.accept, confirm)
    bob.contacts.remove("Ann")
    bob.refuses(InvalidInput, "different settings", bob.answer, invite, "Ann")


def test_invite_of_a_later_epoch_is_refused(ann: Person, bob: Person) -> None:
    bob.refuses(InvalidInput, "clock", bob.answer, ann.contacts.invite("Bob", EPOCH + 2))


@pytest.mark.parametrize("field", ["name", "key", "x", "mailbox", "sig"])
def test_changed_answer_is_refused(ann: Person, bob: Person, eve: Person, field: str) -> None:
    answer = bob.answer(ann.contacts.invite("Bob", EPOCH))
    other = {"name": "Mallory", "key": eve.identity.key, "x": b"\x07" * 32, "mailbox": bytes(16), "sig": bytes(64)}
    forged = changed(answer, **{field: other[field]})
    ann.refuses(IntegrityError, "signature", ann.contacts.confirm, forged)
    ann.contacts.confirm(answer)


@pytest.mark.parametrize("field", ["x", "nonce", "sig"])
def test_changed_confirm_is_refused(ann: Person, bob: Person, field: str) -> None:
    _, confirm = ann.contacts.confirm(bob.answer(ann.contacts.invite("Bob", EPOCH)))
    size = len(cards.decode(confirm).fields[field])
    forged = changed(confirm, **{field: b"\x07" * size})
    bob.refuses(IntegrityError, "does not match the invite|signature", bob.contacts.accept, forged)
    bob.contacts.accept(confirm)


def test_inviter_that_chooses_its_key_after_the_answer_is_refused(ann: Person, bob: Person) -> None:
    """Everything is signed as it should be, but it is not what the invite committed to."""
    invite = ann.contacts.invite("Bob", EPOCH)
    answer = cards.decode(bob.answer(invite))
    chosen, nonce = contacts.public_x(b"\x05" * 32), bytes(32)
    first = contacts.first_transcript(cards.decode(invite).payload, answer.fields)
    second = contacts.second_transcript(first, answer.fields, chosen, nonce)
    fields = {"answer": hashes.tagged("answer", answer.payload), "x": chosen, "nonce": nonce}
    confirm = cards.encode("confirm", {**fields, "sig": ann.identity.sign(second)})
    bob.refuses(IntegrityError, "does not match the invite", bob.contacts.accept, confirm)


def test_man_in_the_middle_of_the_invite_is_noticed_by_the_answer(ann: Person, bob: Person) -> None:
    """Bob answers an invite whose mailbox was changed: Ann never made that invite."""
    invite = ann.contacts.invite("Bob", EPOCH)
    answer = bob.answer(changed(invite, mailbox=b"\x01" * 16))
    ann.refuses(InvalidInput, "any open invite", ann.contacts.confirm, answer)


def test_key_of_small_order_is_refused(ann: Person, bob: Person) -> None:
    invite = ann.contacts.invite("Bob", EPOCH)
    fields = cards.decode(bob.answer(invite)).fields | {"x": bytes(32)}
    first = contacts.first_transcript(cards.decode(invite).payload, fields)
    forged = cards.encode("answer", fields | {"sig": bob.identity.sign(first)})
    ann.refuses(IntegrityError, "protects nothing", ann.contacts.confirm, forged)


def test_one_key_is_one_contact(ann: Person, bob: Person) -> None:
    meet(ann, bob)
    bob.contacts.remove("Ann")
    answer = bob.answer(ann.contacts.invite("Bobby", EPOCH))
    ann.refuses(NotPermitted, "your contact 'Bob'", ann.contacts.confirm, answer)


def test_name_in_use_is_refused(ann: Person, bob: Person, eve: Person) -> None:
    meet(ann, bob)
    ann.refuses(UsageError, "contact 'Bob' already", ann.contacts.invite, "Bob", EPOCH)
    ann.refuses(UsageError, "contact 'Bob' already", ann.answer, eve.contacts.invite("Ann", EPOCH), "Bob")


@pytest.mark.parametrize("side", ["inviter", "answerer"])
def test_new_keys_are_for_the_identity_that_was_met_and_nobody_takes_a_contacts_place(
    ann: Person, bob: Person, eve: Person, federation: FakeFederation, side: str
) -> None:
    """Eve, and Bob with an identity that is new, come with cards in Bob's name to Ann, who makes new keys with Bob."""
    meet(ann, bob)
    ann.contacts.verify("Bob")
    before = copy.deepcopy(ann.contacts.get("Bob"))
    for stranger in (eve, Person("Bob", federation.card())):
        if side == "inviter":
            answer = stranger.answer(ann.contacts.invite("Bob", EPOCH, rekey=True))
            ann.refuses(NotPermitted, "a different identity signed it", ann.contacts.confirm, answer)
            ann.contacts.abandon("Bob")
        else:
            invite = stranger.contacts.invite("Ann", EPOCH)
            ann.refuses(NotPermitted, "identity", ann.contacts.answer, invite, "Bob", EPOCH, 20, True)
    assert ann.contacts.get("Bob") == before


def test_card_that_names_the_known_identity_and_is_signed_by_another_is_refused(
    ann: Person, bob: Person, eve: Person
) -> None:
    meet(ann, bob)
    invite = ann.contacts.invite("Bob", EPOCH, rekey=True)
    forged = changed(eve.answer(invite), key=bob.identity.key)
    ann.refuses(IntegrityError, "signature", ann.contacts.confirm, forged)
    ann.contacts.abandon("Bob")
    eve.contacts.abandon("Ann")
    invite = changed(eve.contacts.invite("Ann", EPOCH), key=bob.identity.key)
    (meeting,) = eve.state.invites.values()
    meeting.payload = cards.decode(invite).payload
    eve.state.invites = {hashes.tagged("invite", meeting.payload): meeting}
    _, answer = ann.contacts.answer(invite, "Bob", EPOCH, 20, True)
    ann.refuses(IntegrityError, "signature", ann.contacts.accept, eve.contacts.confirm(answer)[1])


def test_the_one_who_was_met_gets_new_keys_and_message_numbers_go_on(ann: Person, bob: Person) -> None:
    meet(ann, bob)
    ann.contacts.get("Bob").next_message = 7
    answer = bob.contacts.answer(ann.contacts.invite("Bob", EPOCH, rekey=True), "Ann", EPOCH, 20, True)[1]
    bob.contacts.accept(ann.contacts.confirm(answer)[1])
    assert ann.contacts.get("Bob").next_message == 7
    assert ann.contacts.get("Bob").words == bob.contacts.get("Ann").words


def test_secret_stays_out_of_the_repr(ann: Person) -> None:
    assert ann.identity.secret.hex() not in repr(ann.identity)
    assert repr(ann.identity.secret) not in repr(ann.identity)
