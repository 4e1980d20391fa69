"""Putting records together: only what the contact signed is read, whatever order, copies and gaps there are."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera import curve
from tessera_host.member.inbox import BEGUN_MESSAGES, Inbox, Message
from tessera_host.member.schema import Contact, InboxState, Received
from tessera_host.member.views import Views
from tessera_host.protocol import records
from tessera_host.protocol.records import FILE, OF_GROUP, TEXT, WITH_SHARE, Part, ReceivingChain, SendingChain
from tests.support.fake_federation import FakeFederation

FEDERATION = FakeFederation().known()
ANN = bytes(31) + b"\x07"
ROOT = bytes(range(32))


class Bob:
    """Bob's inbox, and what Ann, or who has stolen her chain but not her key, can put into his bucket."""

    def __init__(self) -> None:
        self.chain = SendingChain.start(0, ROOT)
        self.contact = Contact(
            key=curve.public(ANN)[1:],
            mailbox=bytes(16),
            relay=FEDERATION.home.key,
            words=[],
            verified=False,
            blocked=False,
            send=SendingChain.start(0, bytes(32)),
            next_message=0,
            receive=ReceivingChain(0, ROOT),
            received=Received(),
        )
        book = {"Ann": self.contact}
        self.inbox = Inbox(InboxState(0), book, FEDERATION, Views([], book, FEDERATION), bytes(16))
        self.inbox.expect(0, 0)

    def sealed(self, part: Part, payloads: Iterable[bytes], secret: bytes = ANN) -> bytes:
        """Under the next index."""
        index, step = self.chain.take()
        return records.seal(step, 0, index, secret, part, records.contents(payloads), FEDERATION.digest, bytes(32))

    def message(self, text: str, number: int, secret: bytes = ANN) -> list[bytes]:
        parts = records.split(text, number)
        return [self.sealed(part, [each.payload for each in parts], secret) for part in parts]

    def read(self, batch: Iterable[bytes]) -> int:
        return self.inbox.read(self.inbox.next_round, batch, FEDERATION.home.id)

    def texts(self) -> list[str]:
        return [message.text for message in self.inbox.messages()]


@pytest.fixture
def bob() -> Bob:
    return Bob()


LONG = "".join(chr(0x100 + number) for number in range(300))  # 600 bytes: four parts


@given(st.permutations(range(8)), st.integers(1, 4))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_parts_come_in_any_order_and_in_copies(order: list[int], a_round: int) -> None:
    bob = Bob()
    copies = bob.message(LONG, 0) + bob.message(LONG, 0)  # the second sealed, and its end signed, anew
    shuffled = [copies[number] for number in order]
    for at in range(0, 8, a_round):
        bob.read(shuffled[at : at + a_round])
    assert bob.texts() == [LONG]
    assert bob.contact.received == Received(next=1)
    assert min(index for _, index, _ in bob.contact.receive.unused()) == 8


def test_nothing_of_a_message_is_shown_before_all_of_it_is_there(bob: Bob) -> None:
    *first, last = bob.message(LONG, 0)
    assert bob.read([last]) == 1
    for record in first:
        assert bob.texts() == []
        assert bob.read([record]) == 1
    assert bob.texts() == [LONG]


def test_a_record_that_the_contact_did_not_sign_is_passed_over_and_burns_nothing(bob: Bob) -> None:
    (forged,) = bob.message("forged", 0, secret=bytes(31) + b"\x08")
    assert bob.read([forged]) == 0
    bob.chain = SendingChain.start(0, ROOT)
    assert bob.read(bob.message("hello", 0)) == 1
    assert bob.texts() == ["hello"]


def test_a_message_of_several_parts_that_the_contact_did_not_sign_is_not_shown(bob: Bob) -> None:
    bob.read(bob.message(LONG, 0, secret=bytes(31) + b"\x08"))
    assert bob.texts() == [] and bob.contact.received == Received()
    bob.read(bob.message(LONG, 0))
    assert bob.texts() == [LONG]


def test_a_message_with_a_part_of_somebody_else_is_dropped_and_reported_as_lost(bob: Bob) -> None:
    first, *rest = records.split(LONG, 0)
    payloads = [first.payload, *(part.payload for part in rest)]
    bob.read([bob.sealed(first._replace(payload=b"forged"), [])])
    bob.read([bob.sealed(part, payloads) for part in (first, *rest)])
    assert bob.texts() == []
    bob.read(bob.message("next", 1))
    assert bob.inbox.messages() == [Message("Ann", 1, "next", 2, lost=1)]


def test_what_is_not_whole_moves_nothing(bob: Bob) -> None:
    """A part of a message that is far ahead is nobody's word: what is awaited stays so."""
    far = records.split(LONG, 1 << 30)
    bob.read([bob.sealed(far[0], []), bob.sealed(far[-1], [], secret=bytes(31) + b"\x08")])
    bob.read(bob.message("hello", 0))
    assert bob.inbox.messages() == [Message("Ann", 0, "hello", 1)]


def test_what_is_missing_when_a_later_message_is_whole_is_lost(bob: Bob) -> None:
    bob.read(bob.message("one", 0) + bob.message(LONG, 1)[1:] + bob.message("three", 2))
    one, three = bob.inbox.messages()
    assert (one.text, one.lost, three.text, three.lost) == ("one", 0, "three", 1)


def test_messages_that_are_begun_do_not_pile_up(bob: Bob) -> None:
    for number in range(3 * BEGUN_MESSAGES):
        bob.read(bob.message(LONG, number)[:-1])
    assert sorted(bob.contact.received.parts) == list(range(2 * BEGUN_MESSAGES, 3 * BEGUN_MESSAGES))
    bob.read(bob.message("at last", 3 * BEGUN_MESSAGES))
    assert [(message.text, message.lost) for message in bob.inbox.messages()] == [("at last", 3 * BEGUN_MESSAGES)]
    assert bob.contact.received.parts == {}


@pytest.mark.parametrize("kind", [TEXT | WITH_SHARE, FILE | WITH_SHARE, 7])
def test_a_message_of_a_newer_program_is_told_and_what_comes_after_it_read(bob: Bob, kind: int) -> None:
    parts = [Part(0, number, 2, kind, bytes(40)) for number in range(2)]
    bob.read([bob.sealed(part, [each.payload for each in parts]) for part in parts] + bob.message("next", 1))
    assert bob.inbox.messages() == [Message("Ann", 0, "", 0, newer=True), Message("Ann", 1, "next", 0)]


def test_a_group_s_record_is_told_and_moves_nothing(bob: Bob) -> None:
    assert bob.read([bob.sealed(Part(9, 0, 2, TEXT | OF_GROUP, bytes(200)), []), *bob.message("hello", 0)]) == 2
    assert bob.inbox.messages() == [Message("Ann", 0, "", 0, newer=True), Message("Ann", 0, "hello", 0)]


def test_a_newer_message_of_somebody_else_is_passed_over(bob: Bob) -> None:
    part = Part(0, 0, 1, TEXT | WITH_SHARE, bytes(40))
    assert bob.read([bob.sealed(part, [part.payload], secret=bytes(31) + b"\x08")]) == 0
    assert bob.inbox.messages() == []


def test_any_word_of_what_was_received_is_passed_over(bob: Bob) -> None:
    index, step = bob.chain.take()
    part = Part(0, 0, 1, TEXT, b"hello")
    said = records.Closing(0, index, step.tag, step.seed, 4711, records.view(step.seed, FEDERATION.digest), bytes(64))
    signer = records.blinded_secret(ANN, step, 0, index)
    signature = curve.sign(signer, records._signed(said, part, records.contents([b"hello"])), bytes(32))
    plaintext = part.pack()[:8] + records._SAID.pack(4711, said.view) + part.pack()[8:] + signature
    assert bob.read([step.tag + records.AESGCMSIV(step.key).encrypt(bytes(12), plaintext, step.tag)]) == 1
    assert bob.texts() == ["hello"]
