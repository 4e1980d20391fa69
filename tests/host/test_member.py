"""A member between its keystore and a relay: nothing lost, nothing twice, no index used again, whatever breaks when."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tessera import curve, hashes, params
from tessera.admission import LEASE_POSTS
from tessera.cover import EpochCover
from tessera.params import Head, Parameters
from tessera_host import duration
from tessera_host.clock import local_time
from tessera_host.errors import (
    ClockOff,
    IntegrityError,
    KeystoreError,
    NotPermitted,
    OutOfDate,
    RelayRefused,
    TesseraError,
    Unreachable,
    UsageError,
    WrongPassphrase,
)
from tessera_host.keys import keystore as keystore_module
from tessera_host.keys.keystore import Keystore
from tessera_host.member import address_book, composing, inbox, meeting, news, token_exchange
from tessera_host.member.inbox import Message
from tessera_host.member.ledger import Ledger
from tessera_host.member.relay_sessions import Greeted, RelaySessions
from tessera_host.member.sending import RelayBusy, Sender
from tessera_host.member.state import MemberState
from tessera_host.member.wallet import EARLY
from tessera_host.protocol import blind, cards, records, relay_connection
from tessera_host.protocol.federation import Relay
from tessera_host.protocol.limits import OPEN_SESSIONS_PER_KEY
from tessera_host.protocol.records import TAG_BYTES
from tessera_host.protocol.relay_connection import ErrorFrame, RelayConnection
from tessera_host.protocol.sets_beside import SetBeside, SetsBeside
from tessera_host.protocol.welcome import Welcome
from tests.support import correspondence
from tests.support.fake_federation import (
    AHEAD,
    EPOCH_ROUNDS,
    GENESIS,
    PASSPHRASE,
    POSTS,
    ROUND_SECONDS,
    TOKENS,
    FakeFederation,
)
from tests.support.memory_relay import MemoryRelay
from tests.support.organisation import introduce
from tests.support.talking import Office

RELAY = 1  # its number in the sets


class Cut(Exception):
    """Power was cut here."""


class Setting(Office):
    """Two members who have met and hold tokens for the first two epochs, a relay, and a clock."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        super().__init__(folder, monkeypatch, {"epsilon": "2", "delta": "2e-5"}, **changes)

    def send(self, text: str) -> correspondence.SendReport:
        return asyncio.run(correspondence.send(self.ann, "Bob", text))

    def texts(self) -> list[str]:
        return [message.text for message in self.fetch("Bob").messages]

    def assert_tags_are_fresh(self) -> None:
        """No index was used for two different records that reached the relay."""
        assert len({record[:TAG_BYTES] for record in self.relay.records}) == len(set(self.relay.records))


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    setting = Setting(tmp_path, monkeypatch)
    yield setting
    setting.close()


# -- identity


def test_member_card_verifies(at: Setting) -> None:
    fields = cards.decode(at.ann.card(), "member").fields
    message = hashes.tagged("member", at.federation.id + fields["key"] + b"Ann")
    assert curve.verify(fields["sig"], message, fields["key"])
    assert fields["name"] == "Ann"


def test_one_home_is_one_identity(at: Setting) -> None:
    at.ann.close()
    with pytest.raises(KeystoreError, match="not overwritten"):
        at.create("Ann")
    with pytest.raises(WrongPassphrase):
        MemberState.open(at.folder / "Ann", "wrong", at.clock)


def test_home_is_locked_while_open(at: Setting) -> None:
    path = at.folder / "Ann" / "member.keystore"
    with pytest.raises(KeystoreError, match="in use"):
        Keystore.open(path, PASSPHRASE, "member", lock_wait_seconds=0)


def test_state_survives_closing(at: Setting) -> None:
    key, words = at.ann.identity.key, at.ann.contacts.get("Bob").words
    again = at.reopen("Ann")
    assert (again.identity.key, again.contacts.get("Bob").words) == (key, words)
    assert again.contacts.get("Bob").words == at.bob.contacts.get("Ann").words
    address_book.verify(again, "Bob")
    assert at.reopen("Ann").contacts.get("Bob").verified is True


def test_federation_card_must_hold_together(tmp_path: Path) -> None:
    federation = FakeFederation()
    fields = cards.decode(federation.card()).fields
    other = federation.make_set(1, root=blind.even_secret(5), root_key=federation.parameters.root_key)
    none, stranger = (
        federation.make_set(1, said={"relays": relays})
        for relays in ([], [{"id": 9, "name": "stranger", "host": "relay.example", "port": 1}])
    )
    damaged = [cards.encode("federation", fields | change) for change in ({"params": other.blob}, {"params": b"TPR2"})]
    moved = cards.encode("federation", fields | {"said": federation.said({"name": "Another"})})
    for card in (*damaged, moved, federation.card(none), federation.card(stranger)):
        with pytest.raises(TesseraError, match=r"settings|relay"):
            MemberState.create(tmp_path / "x", "X", card, PASSPHRASE)
    assert not (tmp_path / "x").exists()


def test_secrets_stay_out_of_reprs(at: Setting) -> None:
    shown = "".join(map(repr, (at.ann, at.ann.identity, at.ann.store, at.ann.wallet, at.ann.outbox)))
    assert at.ann.identity.secret.hex() not in shown
    assert PASSPHRASE not in shown


# -- sending and fetching


def text_of(count: int) -> str:
    """One that takes so many records: messages of 16 parts, 3256 bytes, and what is left."""
    whole, parts = divmod(count, 16)
    return "x" * (3256 * whole + (136 + 208 * (parts - 1) if parts else 0))


TEXTS = ["hello", "x" * 136, "Grüße, 世界 \u200d", "y" * (15 * 208 + 136), "long " * 2000]


def test_texts_arrive_once_in_order_byte_for_byte(at: Setting) -> None:
    for text in TEXTS[:4]:
        at.send(text)
    report = at.fetch("Bob")
    assert [message.text for message in report.messages] == TEXTS[:4]
    assert {message.contact for message in report.messages} == {"Ann"}
    assert report.records_matched == len(at.relay.posted) == 1 + 1 + 1 + 16
    assert at.texts() == []


def test_text_of_several_messages_arrives_as_one(at: Setting) -> None:
    report = at.send(TEXTS[4])
    assert report.messages == [0, 1, 2, 3]
    assert report.records == 3 * 16 + 2  # 10,000 bytes are three times 3256, and 232
    assert at.texts() == [TEXTS[4]]


def test_a_text_without_an_end_is_read_as_it_comes_and_does_not_grow(
    at: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "CONTINUED_BYTES", records.MESSAGE_BYTES)
    text = "\u00e9" + "\u4e16\u754c" * 800  # cut within a character
    assert at.send(text).records == 16 + 1 + 7  # 4,802 bytes are 3256, 136, and most of seven times 208
    found = at.texts()
    assert len(found) == 2 and "".join(found) == text
    assert at.bob.contacts.get("Ann").received.text == b""


def test_both_directions_are_independent(at: Setting) -> None:
    at.send("to Bob")
    asyncio.run(correspondence.send(at.bob, "Ann", "to Ann"))
    at.clock.next_round()
    assert [m.text for m in asyncio.run(correspondence.fetch(at.ann)).messages] == ["to Ann"]
    assert [m.text for m in asyncio.run(correspondence.fetch(at.bob)).messages] == ["to Bob"]


def test_records_go_to_the_bucket_of_the_recipient_s_mailbox(at: Setting) -> None:
    at.send("hello")
    digest = hashes.tagged("bucket", at.bob.identity.mailbox)
    assert at.relay.posted[0][1] == int.from_bytes(digest[:2], "big") % 4
    at.fetch("Bob")
    assert {bucket for bucket, _, _ in at.relay.fetches} == {at.relay.posted[0][1]}


def test_report_names_every_round_and_its_published_count(at: Setting) -> None:
    at.send("hello")
    at.clock.next_round(2)
    report = at.fetch("Bob")
    assert [round_ for round_, _ in report.rounds] == [0, 1, 2]
    cover = [at.relay.cover(at.relay.posted[0][1], round_) for round_ in range(3)]
    assert [count for _, count in report.rounds] == [cover[0] + 1, *cover[1:]]
    assert report.rounds_expired == 0


BATCH: dict[str, Any] = {
    "cover": params.CONSTANT,
    "members": 8,
    "tokens_per_epoch": 1,
    "constant": 8,
    "thresholds": b"",
    "epsilon": 0,
    "delta": 0,
}


def test_constant_batches_are_counted_by_who_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = Setting(tmp_path, monkeypatch, **BATCH)
    honest = EpochCover.noise

    def one_less(self: EpochCover, bucket: int, round_: int, real: int = 0) -> int:
        return honest(self, bucket, round_, real) - (round_ == 3)

    at.fetch("Bob")
    at.clock.next_round()  # nobody posts in the round of a start
    at.send("hello")
    at.clock.next_round(3)
    with monkeypatch.context() as patch:
        patch.setattr(EpochCover, "noise", one_less)
        with pytest.raises(IntegrityError, match="served 7 records in round 3, but every round of this office has 8"):
            at.fetch("Bob")
    assert [message.text for message in at.bob.inbox.messages()] == ["hello"]  # what was read stays read
    report = at.fetch("Bob")
    assert {count for _, count in report.rounds} == {8}
    at.close()


def test_open_round_is_not_fetched_and_sealed_ones_only_once(at: Setting) -> None:
    at.clock.next_round(3)
    first = at.fetch("Bob")
    assert [round_ for round_, _ in first.rounds] == [0, 1, 2, 3]
    at.relay.fetches.clear()
    assert [round_ for round_, _ in asyncio.run(correspondence.fetch(at.bob)).rounds] == []
    assert at.relay.fetches == []


def test_fetch_asks_for_at_most_16_rounds_of_one_epoch(at: Setting) -> None:
    at.clock.to_epoch(1)
    at.fetch("Bob")
    assert [(start, end) for _, start, end in at.relay.fetches] == [(0, 6), (6, 7)]


def test_empty_text_and_unknown_contact_are_refused(at: Setting) -> None:
    with pytest.raises(UsageError, match="empty"):
        at.send("")
    with pytest.raises(UsageError, match="no contact 'Carl'"):
        asyncio.run(correspondence.send(at.ann, "Carl", "hello"))
    assert at.relay.posted == []
    assert len(at.ann.outbox) == 0


def test_two_sends_at_once_do_not_use_an_index_twice(at: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the ledger of cells would let both go."""
    monkeypatch.setattr(Ledger, "free_from", lambda *_: 0)

    async def both() -> None:
        by = correspondence.sender(at.ann)
        await asyncio.gather(*(correspondence.send(at.ann, "Bob", text, by) for text in ("one", "two")))

    asyncio.run(both())
    at.assert_tags_are_fresh()
    assert len(at.relay.posted) == 2
    assert sorted(at.texts()) == ["one", "two"]


# -- tokens and sessions


def test_first_connection_is_full_later_ones_resume(at: Setting) -> None:
    for text in ("a", "b", "c"):
        at.send(text)
        at.reopen("Ann")
    assert at.relay.handshakes == ["full", "resumed", "resumed"]
    assert len(at.relay.used) == 1


def test_forgotten_session_costs_a_full_handshake(at: Setting) -> None:
    at.send("a")
    at.relay.forget_sessions()
    at.send("b")
    at.send("c")
    assert at.relay.handshakes == ["full", "full", "resumed"]
    assert at.texts() == ["a", "b", "c"]


def test_reading_uses_no_token_and_no_session(at: Setting) -> None:
    at.send("x")
    tokens, sessions = dict(at.relay.used), dict(at.relay.sessions)
    at.relay.handshakes.clear()
    for _ in range(2):
        at.fetch("Bob")
    assert at.relay.handshakes == ["full", "full"]
    assert (at.relay.used, at.relay.sessions) == (tokens, sessions)


def test_who_lacks_the_reading_key_in_force_reads_nothing(at: Setting) -> None:
    at.bob.data.federation.reading_keys.clear()
    at.clock.next_round()
    with pytest.raises(OutOfDate, match="current reading key"):
        asyncio.run(correspondence.fetch(at.bob))
    at.bob.federation.take_reading_keys([bytes(32)])
    at.bob.data.federation.reading_keys[at.federation.parameters.reading_hash] = bytes(32)
    with pytest.raises(ErrorFrame):
        asyncio.run(correspondence.fetch(at.bob))
    assert at.relay.fetches == [at.relay.fetches[0]]


def test_next_token_is_taken_when_one_is_used_up(at: Setting) -> None:
    for number in range(POSTS + 4):
        at.send(str(number))
    assert sorted(at.relay.used.values()) == [4, POSTS]
    assert at.texts() == [str(number) for number in range(POSTS + 4)]


def test_quota_the_relay_counts_otherwise_is_no_obstacle(at: Setting) -> None:
    """After a reboot a lease that was open counts as used."""
    at.send("a")
    at.relay.use_up_leases()
    at.send("b")
    at.assert_tags_are_fresh()
    assert at.texts() == ["a", "b"]


def test_when_all_posts_are_used_the_text_waits_for_the_next_epoch(at: Setting) -> None:
    most = TOKENS * POSTS
    at.send(text_of(most - 1))
    at.send("last")
    with pytest.raises(NotPermitted, match="used all posts"):
        at.send("waits")
    at.reopen("Ann")
    assert len(at.ann.outbox) == 1
    at.clock.to_epoch(1)
    asyncio.run(correspondence.resend(at.ann))
    assert at.texts()[1:] == ["last", "waits"]


def test_after_a_restart_of_the_relay_it_is_said_that_it_restarted_and_until_when(at: Setting) -> None:
    """What is left of its tokens' last leases counts as used."""
    for _ in range(TOKENS):
        for _ in range(POSTS - LEASE_POSTS + 1):
            at.send("a")
        at.relay.use_up_leases()
    with pytest.raises(
        NotPermitted, match=r"the relay relay-0 has restarted, .* in the current epoch count as used"
    ) as no:
        at.send("waits")
    end = local_time(GENESIS + EPOCH_ROUNDS * ROUND_SECONDS)
    assert no.value.hint == f"what waits can leave from {end} on"
    with pytest.raises(NotPermitted, match="has restarted"):  # another process says so, too
        asyncio.run(correspondence.resend(at.reopen("Ann")))
    assert "has restarted" in correspondence.sender(at.ann).obstacle()
    at.clock.to_epoch(1)
    assert correspondence.sender(at.ann).obstacle() == ""
    asyncio.run(correspondence.resend(at.ann))
    assert at.texts() == ["a"] * TOKENS * (POSTS - LEASE_POSTS + 1) + ["waits"]


def test_who_has_posted_all_there_is_is_not_told_of_a_restart(at: Setting) -> None:
    at.send(text_of(TOKENS * POSTS))
    with pytest.raises(NotPermitted, match="you have used all posts") as no:
        at.send("waits")
    assert no.value.hint == f"what waits can leave from {local_time(GENESIS + EPOCH_ROUNDS * ROUND_SECONDS)} on"


def test_no_tokens_is_said_and_reading_goes_on(at: Setting) -> None:
    at.clock.to_epoch(AHEAD)
    at.send("a")
    at.clock.to_epoch(AHEAD + 1)
    with pytest.raises(OutOfDate, match=f"no tokens for epoch {AHEAD + 1}"):
        at.send("b")
    assert at.texts() == ["a"]


def test_tokens_are_fetched_for_the_epochs_ahead_and_then_what_is_new(at: Setting) -> None:
    assert {count["epoch"]: count["tokens"] for count in at.ann.wallet.counts()} == dict.fromkeys(
        range(AHEAD + 1), TOKENS
    )
    assert token_exchange.fetch(at.ann, at.issuer) == []
    at.clock.to_epoch(2)
    assert token_exchange.fetch(at.ann, at.issuer) == [(AHEAD + 1, TOKENS), (AHEAD + 2, TOKENS)]


def test_every_member_asks_for_the_same_whatever_is_there(at: Setting) -> None:
    """The card has one size and names the generation and the open epoch only."""
    at.clock.to_epoch(1)
    cards_ = [token_exchange.TokenExchange(member, 1).card() for member in (at.ann, at.create("Carl"))]
    fields = [cards.decode(str(card)).fields for card in cards_]
    assert [each.keys() for each in fields] == [{"v", "member", "generation", "epoch", "time", "sig"}] * 2
    assert {(each["generation"], each["epoch"]) for each in fields} == {(1, 1)}
    assert len({len(str(card)) for card in cards_}) == 1


def test_tokens_by_cards_survive_closing_between_every_two(at: Setting) -> None:
    at.clock.to_epoch(1)
    request = token_exchange.TokenExchange(at.ann, 1).card()
    assert request is not None
    token_exchange.TokenExchange(at.reopen("Ann"), 1).take(at.issuer.offer(request))
    challenge = token_exchange.TokenExchange(at.reopen("Ann"), 1).card()
    assert challenge is not None
    exchange = token_exchange.TokenExchange(at.reopen("Ann"), 1)
    exchange.take(at.issuer.answer(challenge))
    assert exchange.got == {AHEAD + 1: OPEN_SESSIONS_PER_KEY}
    assert at.reopen("Ann").wallet.lacking(1) == TOKENS - OPEN_SESSIONS_PER_KEY


# -- crash points of a send


def seals(member: MemberState) -> list[dict[str, Any] | None]:
    return [item["sealed"] for item in member.store.data["outbox"]]


@pytest.mark.parametrize("where", ["fail_before_store", "fail_after_store"])
def test_lost_request_or_answer_means_a_new_index(at: Setting, where: str) -> None:
    setattr(at.relay, where, 1)
    with pytest.raises(Unreachable):
        at.send("hello")
    at.reopen("Ann")
    (tried,) = seals(at.ann)
    assert tried is not None
    assert tried["index"] == 0
    asyncio.run(correspondence.resend(at.ann))
    assert len(at.ann.outbox) == 0
    assert at.relay.records[-1][:TAG_BYTES] != tried["record"][:TAG_BYTES]
    at.assert_tags_are_fresh()
    assert at.texts() == ["hello"]


@pytest.mark.parametrize("how", ["fail_after_store", "busy_after_store"])
def test_the_bytes_of_a_record_are_in_one_round_only_whatever_the_relay_says(at: Setting, how: str) -> None:
    setattr(at.relay, how, 3)
    composing.queue(at.ann, "Bob", "hello")
    for _ in range(3):
        with pytest.raises((RelayBusy, Unreachable)) as refused:
            asyncio.run(correspondence.resend(at.ann))
        at.clock.next_round()
    assert how != "busy_after_store" or "with the next command that you type then" in refused.value.hint
    asyncio.run(correspondence.resend(at.ann))
    assert len(at.relay.posted) == 4
    assert len({record for _, _, record in at.relay.posted}) == 4
    at.assert_tags_are_fresh()
    assert at.texts() == ["hello"]


def test_acknowledged_record_is_known_to_be_posted_after_a_crash(at: Setting) -> None:
    at.send("hello")
    at.reopen("Ann")
    assert len(at.ann.outbox) == 0
    assert at.ann.wallet.counts()[0]["posts_left"] == TOKENS * POSTS - 1


def test_resumption_secret_is_spent_on_disk_before_it_is_shown(at: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    at.send("a")
    (shown,) = at.relay.sessions

    real, following = RelayConnection.resume, []

    async def cut_after_hello(host: str, port: int, access_key: bytes, secret: bytes, using: Any) -> Any:
        assert secret == shown

        def noted(following_secret: bytes) -> None:
            following.append(following_secret)
            using(following_secret)

        await real(host, port, access_key, secret, noted)
        raise Cut

    monkeypatch.setattr(RelayConnection, "resume", cut_after_hello)
    with pytest.raises(Cut):
        at.send("b")
    at.reopen("Ann")
    token = at.ann.wallet.for_posting(at.ann.wallet.key(0, RELAY))
    assert [token.resume] == following and token.resume != shown


def test_chain_and_record_are_on_disk_before_the_first_byte_leaves(
    at: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = at.folder / "Ann" / "member.keystore"
    seen = []

    async def post(connection: Any, bucket: int, record: bytes) -> int:
        key, raw = at.ann.store._key, path.read_bytes()
        assert key is not None
        line, header, body = keystore_module._read(path)
        on_disk = keystore_module._decrypt(path, key, header, line, body)
        sealed = on_disk["outbox"][0]["sealed"]
        assert raw
        assert sealed["record"] == record
        assert on_disk["contacts"]["book"]["Bob"]["send"]["index"] == sealed["index"] + 1
        seen.append(sealed["index"])
        return at.relay.open_round

    monkeypatch.setattr(RelayConnection, "post", post)
    at.send("x" * 450)
    assert seen == [0, 1, 2]


def cut_at_save(monkeypatch: pytest.MonkeyPatch, number: int, after: bool) -> Callable[[], int]:
    """Cut the power just before or after the save of that number; gives how many saves there were."""
    real, count = Keystore.save, 0

    def save(store: Keystore) -> None:
        nonlocal count
        count += 1
        if count == number and not after:
            raise Cut
        real(store)
        if count == number:
            raise Cut

    monkeypatch.setattr(Keystore, "save", save)
    return lambda: count


@pytest.mark.parametrize("after", [False, True], ids=["before the save", "after the save"])
@pytest.mark.parametrize("number", range(1, 10))
def test_power_cut_at_any_save_of_a_send_loses_and_repeats_nothing(
    at: Setting, monkeypatch: pytest.MonkeyPatch, number: int, after: bool
) -> None:
    """Saves of a send of three parts: queue, token, and two a part: 8. The 9th is never reached."""
    at.send("before")
    at.relay.forget_sessions()  # so that the token's session is saved again
    text = "x" * 450
    with monkeypatch.context() as patch:
        saves = cut_at_save(patch, number, after)
        reached = True
        try:
            at.send(text)
            reached = False
        except Cut:
            pass
        total = saves()
    assert reached == (number <= total)
    at.reopen("Ann")
    queued = number > 1 or after
    asyncio.run(correspondence.resend(at.ann))
    assert len(at.ann.outbox) == 0
    at.assert_tags_are_fresh()
    assert at.texts() == (["before", text] if queued else ["before"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=st.lists(
        st.tuples(st.integers(1, 400), st.sampled_from(["", "before", "after"]), st.integers(0, 2)),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_breaks_texts_arrive_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[int, str, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at = Setting(tmp_path_factory.mktemp("plan"), patch)
        sent = []
        for number, (length, failure, rounds) in enumerate(plan):
            text = f"{number}:" + "t" * length
            sent.append(text)
            at.relay.fail_before_store = failure == "before"
            at.relay.fail_after_store = failure == "after"
            try:
                at.send(text)
            except Unreachable:
                at.reopen("Ann")
            at.clock.now = min(at.clock.now + rounds * ROUND_SECONDS, GENESIS + (2 * EPOCH_ROUNDS - 2) * ROUND_SECONDS)
        asyncio.run(correspondence.resend(at.ann))
        at.assert_tags_are_fresh()
        assert at.texts() == sent
        at.close()


def test_message_interrupted_between_parts_is_finished(at: Setting) -> None:
    real_post = Sender._post
    calls = 0

    async def post(sender: Sender, session: Any, item: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Cut
        return await real_post(sender, session, item)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sender, "_post", post)
        with pytest.raises(Cut):
            at.send("x" * 450)
    at.reopen("Ann")
    at.send("next")
    assert at.texts() == ["x" * 450, "next"]


def test_index_the_recipient_would_not_look_for_is_not_used(at: Setting) -> None:
    composing.queue(at.ann, "Bob", "hello")
    (item,) = at.ann.outbox.waiting(RELAY)
    for _ in range(3):
        at.ann.outbox.seal(item, 0, 3)
    before = replace(at.ann.contacts.get("Bob").send)
    with pytest.raises(NotPermitted, match="no more records can go to Bob in the current epoch"):
        at.ann.outbox.seal(item, 0, 3)
    assert at.ann.contacts.get("Bob").send == before
    at.ann.outbox.seal(item, 1, 3)


# -- epochs


def test_record_is_sealed_for_the_epoch_it_is_posted_in(at: Setting) -> None:
    at.relay.fail_before_store = 1
    with pytest.raises(Unreachable):
        at.send("hello")
    (tried,) = seals(at.ann)
    assert tried is not None
    assert tried["epoch"] == 0
    at.clock.to_epoch(1)
    asyncio.run(correspondence.resend(at.ann))
    assert at.ann.contacts.get("Bob").send.epoch == 1
    assert at.texts() == ["hello"]


def test_session_that_was_resumed_in_an_epoch_that_is_over_is_not_used(
    at: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.send("one")
    real, opened = RelaySessions.greet, []

    async def greet(sessions: RelaySessions, connection: RelayConnection, relay: Relay) -> Greeted:
        found = await real(sessions, connection, relay)
        opened.append(found)
        return replace(found, info=replace(found.info, open_round=EPOCH_ROUNDS)) if len(opened) == 1 else found

    monkeypatch.setattr(RelaySessions, "greet", greet)
    assert at.send("two").records == 1
    assert len(opened) == 2, "one of the session that was resumed, one of another with the right token"
    assert at.texts() == ["one", "two"]


def test_epoch_that_ends_during_a_send_is_no_obstacle(at: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    real = RelayConnection.post

    async def post(connection: RelayConnection, bucket: int, record: bytes) -> int:
        if len(at.relay.posted) == 1:
            at.clock.to_epoch(1)
        return await real(connection, bucket, record)

    monkeypatch.setattr(RelayConnection, "post", post)
    report = at.send("x" * 460)
    assert [round_ // EPOCH_ROUNDS for round_ in report.rounds] == [0, 1, 1]
    at.assert_tags_are_fresh()
    assert at.texts() == ["x" * 460]


def test_record_acknowledged_in_the_next_epoch_is_posted_again(at: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    real = RelayConnection.post
    at.clock.next_round(EPOCH_ROUNDS - 1)

    async def post(connection: RelayConnection, bucket: int, record: bytes) -> int:
        if not at.relay.posted:
            at.clock.to_epoch(1)
            return at.relay.put(bucket, record)  # a relay that does not look at the epoch
        return await real(connection, bucket, record)

    monkeypatch.setattr(RelayConnection, "post", post)
    at.send("hello")
    assert len(at.relay.posted) == 2
    at.assert_tags_are_fresh()
    assert at.texts() == ["hello"]


def test_not_admitted_within_the_epoch_is_an_error(at: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    async def post(connection: Any, bucket: int, record: bytes) -> int:
        connection._writer.session.token = None
        return await real(connection, bucket, record)

    real = RelayConnection.post
    monkeypatch.setattr(RelayConnection, "post", post)
    with pytest.raises(ErrorFrame, match="did not accept the token"):
        at.send("hello")


def test_members_that_were_away_for_an_epoch_still_understand_each_other(at: Setting) -> None:
    at.clock.to_epoch(2)
    at.send("hello")
    assert at.texts() == ["hello"]


# -- fetching interrupted, expired, forged


def test_interrupted_fetch_goes_on_and_gives_every_message_once(at: Setting) -> None:
    at.send("one")
    at.clock.to_epoch(1)
    at.send("two")
    at.clock.next_round()
    at.relay.fail_fetch = 2  # the second request
    with pytest.raises(Unreachable):
        asyncio.run(correspondence.fetch(at.bob))
    at.reopen("Bob")
    at.relay.fetches.clear()
    report = asyncio.run(correspondence.fetch(at.bob))
    assert [message.text for message in report.messages] == ["one", "two"]
    assert at.relay.fetches[0][1] == EPOCH_ROUNDS
    assert asyncio.run(correspondence.fetch(at.bob)).messages == []
    assert [message.text for message in at.bob.inbox.messages()] == ["one", "two"]


def test_relay_that_is_busy_with_other_readers_is_asked_again_on_another_connection(
    at: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.send("one")
    at.clock.next_round()
    waits = list[float]()

    async def sleep(seconds: float, real: Any = asyncio.sleep) -> None:
        waits.append(seconds)
        await real(0)

    monkeypatch.setattr(relay_connection.asyncio, "sleep", sleep)
    at.relay.busy_readers, before = 2, len(at.relay.handshakes)
    report = asyncio.run(correspondence.fetch(at.bob))
    assert [message.text for message in report.messages] == ["one"]
    assert [seconds for seconds in waits if seconds] == [5, 5]
    assert at.relay.handshakes[before:] == ["full"] * 3
    at.clock.next_round()
    at.relay.busy_readers = relay_connection.BUSY_ATTEMPTS
    with pytest.raises(RelayRefused, match="busy"):
        asyncio.run(correspondence.fetch(at.bob))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [1, 2])
def test_power_cut_at_any_save_of_a_fetch_loses_nothing(
    at: Setting, monkeypatch: pytest.MonkeyPatch, number: int, after: bool
) -> None:
    at.send("x" * 450)
    at.clock.next_round()
    with monkeypatch.context() as patch:
        cut_at_save(patch, number, after)
        with pytest.raises(Cut):
            asyncio.run(correspondence.fetch(at.bob))
    at.reopen("Bob")
    report = asyncio.run(correspondence.fetch(at.bob))
    in_inbox = [message.text for message in at.bob.inbox.messages()]
    assert in_inbox == ["x" * 450]
    # The save that counts a message as given out is the last one; a cut right after it leaves it to `inbox`.
    assert [message.text for message in report.messages] == ([] if (number, after) == (2, True) else in_inbox)


def test_expired_rounds_are_counted_and_skipped(at: Setting) -> None:
    at.clock.to_epoch(4)
    report = asyncio.run(correspondence.fetch(at.bob))
    assert report.rounds_expired == 2 * EPOCH_ROUNDS
    assert report.rounds[0][0] == 2 * EPOCH_ROUNDS


def test_keys_of_a_record_that_was_read_are_erased(at: Setting) -> None:
    at.send("one")
    assert at.texts() == ["one"]
    chain = at.bob.contacts.get("Ann").receive
    assert (0, 0) not in {(epoch, index) for epoch, index, _ in chain.unused()}
    assert chain.steps[0][:72] == bytes(72) and any(chain.steps[0][72:144])


def test_keys_of_epochs_that_were_read_are_erased(at: Setting) -> None:
    at.send("hello")
    at.fetch("Bob")
    receive = at.bob.contacts.get("Ann").receive
    assert set(receive.steps) == {0}
    old = receive.steps[0]
    assert old[:72] == bytes(72)
    assert old.count(bytes(72)) == 1
    at.clock.to_epoch(1)
    at.fetch("Bob")
    receive = at.bob.contacts.get("Ann").receive
    assert set(receive.steps) == {1}
    assert receive.epoch == 2


def test_forged_record_under_a_known_tag_burns_nothing(at: Setting) -> None:
    at.send("hello")
    round_, bucket, record = at.relay.posted[0]
    forged = record[:TAG_BYTES] + bytes(232)
    assert at.relay.put(bucket, forged) == round_
    report = at.fetch("Bob")
    assert [message.text for message in report.messages] == ["hello"]
    assert report.records_matched == 1


def test_keys_outlive_a_forgery_read_in_an_earlier_fetch(at: Setting) -> None:
    at.send("hello")
    round_, bucket, record = at.relay.posted[0]
    at.relay.lose(0)
    assert at.relay.put(bucket, record[:TAG_BYTES] + bytes(232)) == round_
    assert at.fetch("Bob").records_matched == 0
    at.reopen("Bob")
    at.relay.put(bucket, record)
    assert at.texts() == ["hello"]


def test_copied_record_is_read_once(at: Setting) -> None:
    at.send("hello")
    assert at.relay.put(*at.relay.posted[0][1:]) == 0
    at.clock.next_round()
    assert at.relay.put(*at.relay.posted[0][1:]) == 1
    assert at.texts() == ["hello"]


def test_message_of_which_a_record_vanished_is_reported_when_the_next_one_comes(at: Setting) -> None:
    at.send("first")
    at.send("x" * 450)
    at.relay.lose(2)
    assert at.texts() == ["first"]
    at.send("third")
    (third,) = at.fetch("Bob").messages
    assert (third.lost, third.text) == (1, "third"), "what came of the other is nobody's word"


def test_whole_messages_that_vanished_are_counted(at: Setting) -> None:
    for text in ("one", "two", "three"):
        at.send(text)
    at.relay.lose(0)
    at.relay.lose(1)
    assert at.fetch("Bob").messages == [Message("Ann", 2, "three", 0, 2)]
    at.send("four")
    assert at.texts() == ["four"]


def test_message_still_on_its_way_is_waited_for(at: Setting) -> None:
    composing.queue(at.ann, "Bob", "x" * 450)
    assert asyncio.run(correspondence.sender(at.ann).post_one(at.ann.federation.home)) is not None
    assert at.texts() == []
    asyncio.run(correspondence.resend(at.ann))
    assert at.texts() == ["x" * 450]


def test_contact_that_wrote_before_it_was_accepted_is_read(at: Setting) -> None:
    """Ann can write once she has made the confirm card; Bob fetches, then accepts."""
    carl = at.supply("Carl")
    _, confirm = meeting.confirm(at.ann, meeting.answer(carl, meeting.invite(at.ann, "Carl")))
    asyncio.run(correspondence.send(at.ann, "Carl", "early"))
    at.clock.next_round(3)
    assert asyncio.run(correspondence.fetch(carl)).messages == []
    meeting.accept(carl, confirm)
    assert [message.text for message in asyncio.run(correspondence.fetch(carl)).messages] == ["early"]
    carl.close()


def test_what_waits_for_a_blocked_contact_stays(at: Setting) -> None:
    composing.queue(at.ann, "Bob", "later")
    address_book.block(at.ann, "Bob")
    assert at.ann.outbox.relays() == set()
    assert list(at.ann.outbox.waiting(at.relay.key)) == []
    assert asyncio.run(correspondence.resend(at.ann)).waiting == 1
    address_book.block(at.ann, "Bob", blocked=False)
    assert asyncio.run(correspondence.resend(at.ann)).records == 1


def test_removed_contact_takes_what_waits_with_it(at: Setting) -> None:
    composing.queue(at.ann, "Bob", "never")
    address_book.remove(at.ann, "Bob")
    assert len(at.ann.outbox) == 0
    assert asyncio.run(correspondence.resend(at.ann)).records == 0


# -- relays that are not to be believed


def test_relay_more_than_a_round_off_is_refused(at: Setting) -> None:
    at.clock.next_round(3)
    for fast in (-1, 0, 1):
        at.relay.rounds_fast = fast
        status = asyncio.run(correspondence.status(at.ann))
        assert (status.rounds_apart, status.own_round) == (fast, 3)
    for fast in (-2, 2, 50):
        at.relay.rounds_fast = fast
        with pytest.raises(ClockOff, match=f"about {duration.about(10 * abs(fast))} "):
            asyncio.run(correspondence.status(at.ann))
        with pytest.raises(ClockOff, match=f"about {duration.about(10 * abs(fast))} "):
            at.send("hello")
    assert at.relay.posted == []


def test_whose_clock_is_wrong_is_told_when_it_can_be_known(at: Setting) -> None:
    at.clock.next_round(10)
    asyncio.run(correspondence.status(at.ann))
    at.relay.rounds_fast = -5
    with pytest.raises(ClockOff, match="the relay's clock is wrong: it is about 50 s behind this computer's"):
        asyncio.run(correspondence.status(at.ann))
    at.relay.rounds_fast = 5
    with pytest.raises(ClockOff, match=r"about 50 s ahead of this computer.*check this computer"):
        asyncio.run(correspondence.status(at.ann))
    at.relay.rounds_fast = 8
    at.clock.next_round(-8)
    with pytest.raises(ClockOff, match="this computer's clock is wrong: it is about 80 s behind the relay's"):
        asyncio.run(correspondence.status(at.ann))


@pytest.mark.parametrize("lie", [1, EPOCH_ROUNDS, 9 * EPOCH_ROUNDS, 0xFFFF_FFFF])
def test_first_round_that_does_not_follow_from_the_open_one_is_refused_and_no_key_is_erased(
    at: Setting, lie: int
) -> None:
    at.send("hello")
    at.clock.to_epoch(1)
    before = replace(at.bob.contacts.get("Ann").receive)
    at.relay.first_round = lie
    for what in (correspondence.status, correspondence.fetch):
        with pytest.raises(IntegrityError, match="contradicts its open round"):
            asyncio.run(what(at.bob))
    assert at.reopen("Bob").contacts.get("Ann").receive == before
    at.relay.first_round = None
    assert at.texts() == ["hello"]


def test_first_round_that_is_too_early_is_refused_too(at: Setting) -> None:
    at.clock.to_epoch(3)
    assert asyncio.run(correspondence.status(at.ann)).info.first_round == EPOCH_ROUNDS
    at.relay.first_round = 0
    with pytest.raises(IntegrityError, match="contradicts its open round"):
        asyncio.run(correspondence.status(at.ann))


def test_relay_that_runs_into_the_next_epoch_early_costs_no_key(at: Setting) -> None:
    """In the last round of epoch 2 it says that epoch 3 has begun: epoch 0 would be past."""
    at.send("hello")
    at.clock.to_epoch(2)
    at.clock.next_round(EPOCH_ROUNDS - 1)
    at.relay.rounds_fast = 1
    tokens = len(at.bob.wallet.of(at.bob.wallet.key(2, RELAY)))
    at.relay.fail_fetch = 1
    with pytest.raises(Unreachable):
        asyncio.run(correspondence.fetch(at.bob))
    at.relay.rounds_fast = 0
    own = at.bob.round()
    assert at.bob.inbox.expect(own + 1, own) == 0
    assert set(at.bob.contacts.get("Ann").receive.steps) == {0, 1, 2, 3}
    assert len(at.reopen("Bob").wallet.of(at.bob.wallet.key(2, RELAY))) == tokens
    assert [message.text for message in asyncio.run(correspondence.fetch(at.bob)).messages] == ["hello"]


def test_epoch_that_is_over_by_the_relays_clock_alone_keeps_its_keys(at: Setting) -> None:
    found, chain = at.bob.inbox, at.bob.contacts.get("Ann").receive
    found.expect(EPOCH_ROUNDS, EPOCH_ROUNDS - 1)
    for round_ in range(EPOCH_ROUNDS):
        found.read(round_, [], at.bob.federation.home.id)
    found.forget_read(EPOCH_ROUNDS - 1)
    assert set(chain.steps) == {0, 1}
    found.forget_read(EPOCH_ROUNDS)
    assert set(chain.steps) == {1}


@pytest.mark.parametrize("off", [-2, 2, EPOCH_ROUNDS, 1 << 20])
def test_acknowledgement_of_another_time_is_refused_and_one_message_is_one_attempt(at: Setting, off: int) -> None:
    at.clock.next_round(3)
    at.relay.ack_rounds_off = off
    with pytest.raises(IntegrityError, match="says that a record is in round"):
        at.send("hello")
    assert len(at.relay.posted) == 1
    assert at.ann.accountant.budget(at.ann.now()).used == 1
    at.relay.ack_rounds_off = 0
    asyncio.run(correspondence.resend(at.reopen("Ann")))
    at.assert_tags_are_fresh()
    assert at.texts() == ["hello"]


def test_relay_that_gives_a_token_more_posts_than_it_has_is_refused(
    at: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def auth(connection: Any, *_: Any) -> tuple[bytes, int]:
        return bytes(32), POSTS + 1

    monkeypatch.setattr(RelayConnection, "auth", auth)
    with pytest.raises(IntegrityError, match="more posts than"):
        at.send("hello")
    assert at.relay.posted == []


def test_wrong_clock_does_not_advance_the_chain(at: Setting) -> None:
    before = replace(at.ann.contacts.get("Bob").send)
    at.clock.to_epoch(1)
    at.relay.rounds_fast = -EPOCH_ROUNDS
    with pytest.raises(ClockOff):
        at.send("hello")
    assert at.ann.contacts.get("Bob").send == before


def renewed(at: Setting, serial: int = 2, **changes: Any) -> Parameters:
    """The next set, which the issuer's service hands out from now on; its first epoch is the open one."""
    made = at.federation.make_set(serial, **{"first_epoch": at.ann.epoch(), **changes})
    at.issuer.before, at.issuer.parameters = at.issuer.newest, made
    return made


def test_newer_parameters_are_taken_from_the_relay(at: Setting) -> None:
    at.relay.install(renewed(at, first_epoch=1, log2_buckets=1))
    asyncio.run(correspondence.status(at.ann))
    at.reopen("Ann")
    assert at.ann.federation.heard_of.digest == at.relay.parameters.digest
    assert at.ann.federation.digest == at.federation.parameters.digest  # its card is still to come
    assert at.ann.federation.governing(0).buckets == 4
    assert at.ann.federation.governing(1).buckets == 2
    at.send("old bucket")
    at.clock.to_epoch(1)
    at.send("new bucket")
    mailbox = int.from_bytes(hashes.tagged("bucket", at.bob.identity.mailbox)[:2], "big")
    assert [bucket for _, bucket, _ in at.relay.posted] == [mailbox % 4, mailbox % 2]
    assert at.texts() == ["old bucket", "new bucket"]


def test_newer_parameters_are_brought_to_a_relay_which_then_goes_by_them(at: Setting) -> None:
    made = renewed(at, log2_buckets=1)
    token_exchange.fetch(at.ann, at.issuer)
    info = asyncio.run(correspondence.status(at.ann)).info
    assert (info.newest_digest, info.digest) == (made.digest, at.federation.parameters.digest)
    assert at.relay.core.parameters.newest.blob == made.copy_for(RELAY)
    asyncio.run(correspondence.status(at.bob))
    assert at.bob.federation.heard_of.digest == made.digest
    at.clock.to_epoch(1)
    assert asyncio.run(correspondence.status(at.bob)).info.digest == made.digest
    at.send("hello")
    assert at.texts() == ["hello"]


def test_bucket_is_that_of_the_set_the_relay_named_for_an_epoch(at: Setting) -> None:
    """A relay that gets a set late goes by the one before for another epoch; both sides follow it."""
    renewed(at, first_epoch=1, log2_buckets=1)
    token_exchange.fetch(at.ann, at.issuer)
    token_exchange.fetch(at.bob, at.issuer)
    at.relay.takes_pushes = False
    at.clock.to_epoch(1)
    at.send("by the old set")
    at.relay.takes_pushes = True
    at.fetch("Bob")
    at.clock.to_epoch(2)
    at.send("by the new one")
    mailbox = int.from_bytes(hashes.tagged("bucket", at.bob.identity.mailbox)[:2], "big")
    assert [bucket for _, bucket, _ in at.relay.posted] == [mailbox % 4, mailbox % 2]
    assert at.texts() == ["by the new one"]
    assert [message.text for message in at.bob.inbox.messages()] == ["by the old set", "by the new one"]


def test_from_an_epoch_after_a_set_is_in_force_nothing_is_posted_to_a_relay_that_has_not_taken_it(at: Setting) -> None:
    made = renewed(at, first_epoch=1)
    token_exchange.fetch(at.ann, at.issuer)
    at.relay.takes_pushes = False
    at.clock.to_epoch(1)
    at.send("in its first epoch")
    at.clock.to_epoch(2)
    with pytest.raises(RelayRefused, match="relay-0 still has old settings") as refused:
        at.send("in the one after")
    assert "tessera relay push relay-0" in refused.value.hint
    assert len(at.relay.posted) == 1
    assert at.texts() == ["in its first epoch"]
    at.relay.takes_pushes = True
    asyncio.run(correspondence.resend(at.ann))
    assert at.relay.core.parameters.newest.digest == made.digest
    assert at.texts() == ["in the one after"]


def test_relay_that_is_two_access_keys_behind_or_ahead_is_reached_with_a_key_that_was_kept(at: Setting) -> None:
    renewed(at, access_key=bytes(32))
    token_exchange.fetch(at.ann, at.issuer)
    at.send("its key is an older one")  # and it takes the newer set
    assert at.texts() == ["its key is an older one"]  # Bob has the older one still
    assert at.relay.core.parameters.newest.serial == 2


def test_tokens_of_a_generation_that_is_over_are_not_shown(at: Setting) -> None:
    made = renewed(at, first_epoch=1, generation=2)
    at.relay.install(made)
    at.send("old generation")
    at.clock.to_epoch(1)
    with pytest.raises(OutOfDate, match="no tokens for epoch 1"):
        at.send("waits")
    got = dict(token_exchange.fetch(at.ann, at.issuer))
    assert got == dict.fromkeys(range(1, AHEAD + 2), TOKENS)
    asyncio.run(correspondence.resend(at.ann))
    assert at.texts() == ["old generation", "waits"]


def test_while_a_generation_waits_for_its_first_epoch_a_newcomer_gets_tokens_of_both(at: Setting) -> None:
    at.relay.install(renewed(at, first_epoch=2, generation=2))
    carl = at.supply("Carl")
    held = {(token.generation, token.epoch) for token in carl.data.tokens.tokens}
    assert held >= {(1, 0), (1, 1), (2, 2), (2, 3)}
    token_exchange.fetch(at.bob, at.issuer)
    introduce(carl, at.bob)
    asyncio.run(correspondence.send(carl, "Bob", "in the round in which I joined"))
    assert at.texts() == ["in the round in which I joined"]
    carl.close()


def test_sentence_is_said_once_before_a_token_of_its_own_epoch_is_used(at: Setting) -> None:
    assert at.ann.remarks == []
    at.send("now")
    assert at.ann.remarks == [EARLY]
    at.send("again")
    at.clock.to_epoch(1)
    at.reopen("Ann")
    at.send("with one that was fetched before")
    assert at.ann.remarks == []


@pytest.mark.parametrize("case", ["other root", "other genesis", "other federation", "bad signature"])
def test_other_parameters_are_refused_and_change_nothing(at: Setting, case: str) -> None:
    held = at.ann.federation.digest
    make = at.federation.make_set
    at.relay.claimed = {
        "other root": lambda: make(2, root=blind.even_secret(11)),
        "other genesis": lambda: make(2, genesis=GENESIS + 1),
        "other federation": lambda: make(2, federation_id=bytes(16)),
        "bad signature": lambda: make(2, root=blind.even_secret(11), root_key=at.federation.parameters.root_key),
    }[case]()
    with pytest.raises(IntegrityError):
        asyncio.run(correspondence.status(at.ann))
    with pytest.raises(IntegrityError):
        at.send("hello")
    assert at.relay.posted == []
    assert at.reopen("Ann").federation.digest == held
    assert at.ann.evidence.contradictions == []


@pytest.mark.parametrize("case", ["same serial", "same predecessor", "another predecessor"])
def test_sets_that_exclude_each_other_are_an_alarm_and_both_are_kept_as_proof(at: Setting, case: str) -> None:
    held, make = at.federation.parameters, at.federation.make_set
    other = {
        "same serial": lambda: make(1, epsilon=2_000_000),
        "same predecessor": lambda: make(3, previous=held.previous),
        "another predecessor": lambda: make(2, previous=b"p" * 32),
    }[case]()
    at.relay.claimed = other
    with pytest.raises(IntegrityError, match="contradict each other"):
        at.send("hello")
    assert at.relay.posted == []
    at.reopen("Ann")
    ((one, two),) = at.ann.evidence.contradictions
    assert {Head(one).digest, Head(two).digest} == {held.digest, other.digest}
    for head in (one, two):
        Head(head).verify()
    assert at.ann.federation.digest == held.digest


def test_honest_sets_of_one_chain_are_no_alarm_whichever_were_missed(at: Setting) -> None:
    sets = [at.federation.make_set(serial) for serial in (2, 3, 4, 5)]
    for found in (sets[0], sets[3], sets[1], sets[2]):
        at.relay.claimed = found
        asyncio.run(correspondence.status(at.ann))
    assert at.ann.evidence.contradictions == []


def test_relay_without_the_time_is_told_it(at: Setting) -> None:
    asyncio.run(correspondence.status(at.ann))
    at.relay.doubt_clock()
    info = asyncio.run(correspondence.status(at.ann)).info
    assert at.relay.pushed == [b"TTM1"]
    assert not info.provisional
    at.relay.doubt_clock()
    at.ann.data.renewal.statement = at.federation.time(GENESIS - EPOCH_ROUNDS * ROUND_SECONDS - 1)  # too old
    assert asyncio.run(correspondence.status(at.ann)).info.provisional
    assert at.relay.pushed == [b"TTM1"]


def test_relay_that_took_anothers_place_is_read_from_its_beginning_and_gets_what_that_may_have_lost(
    at: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.send("read before")
    at.fetch("Bob")
    at.send("not read")
    secret = blind.even_secret(blind.random_scalar())
    key = curve.public(secret)
    made = renewed(at, first_epoch=1, generation=2, relay_keys={RELAY: key})
    words = at.ann.contacts.get("Bob").words
    token_exchange.fetch(at.ann, at.issuer)
    at.clock.to_epoch(1)
    new = MemoryRelay(made, secret, at.clock)
    new.serve(monkeypatch)
    at.send("to the new one")
    assert [round_ for round_, _, _ in new.posted] == [EPOCH_ROUNDS] * 3  # both again, in order
    at.relay.lose(1)
    at.relay.serve(monkeypatch)  # Bob does not know yet
    at.clock.next_round()
    assert at.texts() == []
    token_exchange.fetch(at.bob, at.issuer)
    new.serve(monkeypatch)
    report = asyncio.run(correspondence.fetch(at.bob))
    assert [message.text for message in report.messages] == ["not read", "to the new one"]
    assert all(message.lost == 0 for message in report.messages)
    assert report.rounds[0][0] == EPOCH_ROUNDS
    at.send("once")
    assert len(new.posted) == 4
    assert at.ann.contacts.get("Bob").words == words


def test_what_a_replaced_relay_had_leaves_also_if_nothing_else_waits(
    at: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.send("not read")
    secret = blind.even_secret(blind.random_scalar())
    made = renewed(at, first_epoch=1, generation=2, relay_keys={RELAY: curve.public(secret)})
    by = correspondence.sender(at.ann)
    assert by.relays() == []
    token_exchange.fetch(at.ann, at.issuer)
    at.clock.to_epoch(1)
    new = MemoryRelay(made, secret, at.clock)
    new.serve(monkeypatch)
    assert by.relays() == [RELAY] and len(at.reopen("Ann").outbox) == 1
    asyncio.run(correspondence.resend(at.ann))
    assert len(new.posted) == 1 and correspondence.sender(at.ann).relays() == []


def test_a_relay_in_anothers_place_is_written_to_and_read_in_the_same_epoch(
    at: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was held for the one before is void, and nobody tries it."""
    at.clock.to_epoch(1)
    at.send("before")
    at.fetch("Bob")
    old = {token.key for token in at.ann.data.tokens.tokens}
    secret = blind.even_secret(blind.random_scalar())
    made = renewed(at, relay_keys={RELAY: curve.public(secret)})
    at.issuer.charged.clear()  # of keys that are new nobody has had any
    new = MemoryRelay(made, secret, at.clock)
    new.serve(monkeypatch)
    at.clock.next_round()
    for name in ("Ann", "Bob"):
        token_exchange.fetch(getattr(at, name.lower()), at.issuer)
        assert at.reopen(name).federation.governing(1).serial == 1, "the other relays go by that still"
    assert not old & {token.key for token in at.ann.data.tokens.tokens}
    at.send("after")
    assert [round_ // EPOCH_ROUNDS for round_, _, _ in new.posted] == [1, 1]  # what he may not have read, again
    at.clock.next_round()
    assert at.texts() == ["after"]


def test_the_set_of_a_relay_that_began_while_another_waits_is_kept_until_it_is_over(at: Setting) -> None:
    """A relay is new today and its set holds there; new keys wait for the epoch after the next."""
    federation, first = at.ann.federation, at.federation.parameters
    running = at.federation.make_set(2, first_epoch=0)
    waiting = at.federation.make_set(3, first_epoch=2, generation=first.generation + 1)
    sets = SetsBeside(waiting.digest, 2, [SetBeside(0, first.blob), SetBeside(1, running.copy_for(RELAY))])
    keys = list(at.federation.reading_keys.values())
    news.take_welcome(at.ann, Welcome(at.federation.card(waiting), sets, keys, at.federation.time(at.clock())))
    assert [federation.governing(epoch).serial for epoch in range(4)] == [1, 2, 3, 3]
    federation.seen_in_force(running.digest, 0)
    for epoch, kept in ((0, 3), (1, 3), (2, 2), (3, 2), (4, 1)):
        federation.forget_before(epoch)
        assert len(federation.sets) == kept, epoch


def test_what_is_said_of_sets_does_not_hold_before_they_begin(at: Setting) -> None:
    made = at.federation.make_set(2, first_epoch=3)
    sets = SetsBeside(made.digest, 0, [])
    news.take_welcome(at.ann, Welcome(at.federation.card(made), sets, [], at.federation.time(at.clock())))
    assert [at.ann.federation.governing(epoch).serial for epoch in (2, 3)] == [1, 2]
    news.take_sets(at.ann, SetsBeside(bytes(32), 0, []))  # of a card that is not known here
    forged = at.federation.make_set(3, root=blind.even_secret(blind.random_scalar()))
    with pytest.raises(IntegrityError):
        news.take_sets(at.ann, SetsBeside(made.digest, 0, [SetBeside(0, forged.blob)]))


def test_what_was_posted_is_kept_as_long_as_the_relay_keeps_it(at: Setting) -> None:
    at.send("hello")
    assert len(at.ann.data.posted) == 1
    at.clock.to_epoch(3)
    token_exchange.fetch(at.ann, at.issuer)
    at.send("later")
    assert [place.round for each in at.reopen("Ann").data.posted for place in each.places] == [3 * EPOCH_ROUNDS]


def test_relay_that_hands_out_other_parameters_than_it_names_is_refused(
    at: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, handed = at.federation.make_set(3), at.federation.make_set(2)
    at.relay.claimed = named

    async def params(connection: Any) -> bytes:
        return handed.blob

    monkeypatch.setattr(RelayConnection, "params", params)
    with pytest.raises(IntegrityError, match="different settings from those that it names"):
        asyncio.run(correspondence.status(at.ann))


def test_relay_that_serves_fewer_rounds_than_it_says_is_refused(at: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetch(connection: Any, bucket: int, start: int, end: int, reading_key: bytes) -> list[Any]:
        return []

    monkeypatch.setattr(RelayConnection, "fetch", fetch)
    at.clock.next_round()
    with pytest.raises(RelayRefused, match="does not serve"):
        asyncio.run(correspondence.fetch(at.bob))


def test_a_released_member_sees_what_another_process_changed(at: Setting) -> None:
    ann = at.ann
    composing.queue(ann, "Bob", "first")
    ann.release()
    with MemberState.open(at.folder / "Ann", PASSPHRASE, at.clock) as other:
        composing.queue(other, "Bob", "second")
        address_book.verify(other, "Bob")
    ann.reacquire()
    assert len(ann.outbox) == 2
    assert ann.contacts.get("Bob").verified
    composing.queue(ann, "Bob", "third")
    ann.release()
    with MemberState.open(at.folder / "Ann", PASSPHRASE, at.clock) as other:
        assert len(other.outbox) == 3
