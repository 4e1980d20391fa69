"""What `tessera sent` knows: the state of every part, through crashes, long texts, files and contacts that go."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera_host.errors import InvalidInput, Unreachable
from tessera_host.member import address_book, composing
from tessera_host.member.history import KEPT, History
from tessera_host.member.inbox import Message
from tessera_host.member.schema import SentEntry
from tessera_host.protocol import records
from tessera_host.protocol.records import FILE, Part
from tests.support import correspondence
from tests.support.talking import Office


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    return Office(tmp_path, monkeypatch)


def test_a_message_waits_is_sealed_and_is_posted(office: Office) -> None:
    ann = office.ann
    composing.queue(ann, "Bob", "hello")
    assert [(sent.state, sent.waiting) for sent in composing.sent(ann)] == [("waiting", 1)]
    office.relay.fail_before_store = 1
    with pytest.raises(Unreachable):
        asyncio.run(correspondence.resend(ann))
    assert [(sent.state, sent.sealed, sent.posted) for sent in composing.sent(ann)] == [("sealed", 1, 0)]
    office.clock.next_round(2)
    asyncio.run(correspondence.resend(ann))
    (sent,) = composing.sent(ann)
    assert (sent.state, sent.rounds, sent.last_round) == ("posted", [2], 2)
    assert (sent.contact, sent.text, sent.bytes, sent.messages) == ("Bob", "hello", 5, [0])


def test_each_part_has_its_own_round(office: Office) -> None:
    ann = office.ann
    composing.queue(ann, "Bob", "x" * 450)
    asyncio.run(correspondence.sender(ann).post_one(ann.federation.home))
    office.clock.next_round()
    asyncio.run(correspondence.sender(ann).post_one(ann.federation.home))
    (sent,) = composing.sent(ann)
    assert (sent.rounds, sent.state) == ([0, 1, None], "waiting")
    assert (sent.last_round, sent.waiting) == (1, 1)


def test_a_text_of_several_messages_is_one_entry(office: Office) -> None:
    ann = office.ann
    asyncio.run(correspondence.send(ann, "Bob", "y" * (3256 + 136)))
    asyncio.run(correspondence.send(ann, "Bob", "next"))
    long, following = composing.sent(ann, "Bob")
    assert (long.messages, long.parts, long.state) == ([0, 1], 17, "posted")
    assert (following.messages, following.state) == ([2], "posted")
    assert composing.sent(ann, "nobody") == []


def test_history_survives_closing_and_a_contact_takes_its_part_along(office: Office) -> None:
    asyncio.run(correspondence.send(office.ann, "Bob", "hello"))
    ann = office.reopen("Ann")
    assert [sent.text for sent in composing.sent(ann)] == ["hello"]
    address_book.remove(ann, "Bob")
    assert composing.sent(ann) == []


def test_only_finished_entries_are_forgotten() -> None:
    entries: list[SentEntry] = []
    history = History(entries)
    history.add("waits", [Part(0, 0, 1, 1, b"")], 0, "first")
    for number in range(KEPT + 5):
        part = Part(number, 0, 1, 1, b"")
        history.add("Bob", [part], 0, str(number))
        history.posted("Bob", part, number)
    found = history.entries([])
    assert found[0].text == "first"
    assert len(found) <= KEPT + 2
    assert found[-1].text == str(KEPT + 4)


def test_parts_queued_by_an_earlier_version_are_no_obstacle() -> None:
    history = History([])
    history.posted("Bob", Part(0, 0, 1, 1, b""), 3)
    assert history.entries([]) == []


def test_rename_takes_the_history_along() -> None:
    history = History([])
    history.add("Bob", [Part(0, 0, 1, 1, b"")], 0, "hello")
    history.rename("Bob", "Robert")
    assert [sent.contact for sent in history.entries([])] == ["Robert"]


# -- files


def test_a_file_arrives_with_its_name(office: Office) -> None:
    content = bytes(range(256)) * 4
    composing.queue_file(office.ann, "Bob", "Übersicht.bin", content)
    asyncio.run(correspondence.resend(office.ann))
    (message,) = office.fetch("Bob").messages
    assert (message.file, message.content, message.text, message.lost) == ("Übersicht.bin", content, "", 0)
    (sent,) = composing.sent(office.ann)
    assert (sent.file, sent.bytes, sent.text, sent.state) == ("Übersicht.bin", 1024, "", "posted")
    assert content not in str(office.ann.store.data["sent"]).encode()


@given(name=st.text(min_size=1, max_size=40), content=st.binary(max_size=2000))
def test_files_are_cut_and_put_together(name: str, content: bytes) -> None:
    if "\ud800" <= max(name) <= "\udfff":
        return
    parts = records.split_file(name, content, 7)
    assert {(part.message, part.parts, part.kind) for part in parts} == {(7, len(parts), FILE)}
    assert records.read_file(b"".join(part.payload for part in parts)) == (name, content)


def test_the_largest_file_fits_and_one_byte_more_does_not() -> None:
    room = 15 * 208 + 136 - 1 - len("f.bin")
    assert len(records.split_file("f.bin", bytes(room), 0)) == 16
    with pytest.raises(InvalidInput, match=f"carries at most {room}"):
        records.split_file("f.bin", bytes(room + 1), 0)
    with pytest.raises(InvalidInput, match="name"):
        records.split_file("n" * 256, b"", 0)


def test_a_file_that_lost_a_part_is_not_shown_in_pieces(office: Office) -> None:
    composing.queue_file(office.ann, "Bob", "f.bin", bytes(300))
    asyncio.run(correspondence.resend(office.ann))
    office.relay.lose(1)
    asyncio.run(correspondence.send(office.ann, "Bob", "after"))
    assert office.fetch("Bob").messages == [Message("Ann", 1, "after", 0, 1)]


def test_a_file_between_texts_keeps_the_order(office: Office) -> None:
    asyncio.run(correspondence.send(office.ann, "Bob", "before"))
    composing.queue_file(office.ann, "Bob", "f", b"inside")
    asyncio.run(correspondence.send(office.ann, "Bob", "after"))
    assert [message.content or message.text for message in office.fetch("Bob").messages] == [
        "before",
        b"inside",
        "after",
    ]


DAY = 86400


def test_what_is_older_than_the_office_wants_is_erased_on_both_sides_once_it_was_given_out(office: Office) -> None:
    ann, bob = office.ann, office.bob
    asyncio.run(correspondence.send(ann, "Bob", "read"))
    assert [message.text for message in office.fetch("Bob").messages] == ["read"]
    asyncio.run(correspondence.send(ann, "Bob", "not read"))
    office.clock.next_round()
    asyncio.run(correspondence.fetcher(bob).fetch(take=False))
    composing.queue(ann, "Bob", "waits")
    for days, kept, sent in ((89, ["read", "not read"], ["read", "not read", "waits"]), (2, ["not read"], ["waits"])):
        office.clock.now += days * DAY
        for member in (ann, bob):
            asyncio.run(correspondence.fetcher(member).fetch(take=False))
        assert [message.text for message in bob.inbox.messages()] == kept
        assert [each.text for each in composing.sent(ann)] == sent
    assert [message.text for message in office.fetch("Bob").messages] == ["not read"]
