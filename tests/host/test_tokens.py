"""The member's side of token fetching: what comes out verifies as a relay verifies it, and nothing else is taken."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera import curve, hashes
from tessera_host.errors import IntegrityError, InvalidInput, NotPermitted, UsageError
from tessera_host.member.schema import Token, Tokens
from tessera_host.member.wallet import Wallet, deal, proof
from tessera_host.protocol import blind, cards
from tests.support.fake_federation import POSTS, TOKENS, FakeFederation, FakeIssuer, identity

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "token.json").read_text())
EPOCH = 4


class Setting:
    """A member's wallet and an issuer."""

    def __init__(self, **changes: Any) -> None:
        self.federation = FakeFederation(relays=2, **changes)
        self.identity = identity("Ann")
        self.state = Tokens()
        self.wallet = Wallet(self.state, self.identity, self.federation.known())
        self.issuer = FakeIssuer(self.federation)
        self.relay = self.federation.relay_keys[0]

    def get(self, epoch: int = EPOCH) -> None:
        while self.wallet.lacking(epoch):
            offer = self.issuer.offer(self.wallet.request(epoch, [self.relay] * min(4, self.wallet.lacking(epoch)), 0))
            self.wallet.finish(self.issuer.answer(self.wallet.challenge(offer)))

    def refuses(self, error: type[Exception], match: str, call: Any, *arguments: Any) -> None:
        before = copy.deepcopy(self.state)
        with pytest.raises(error, match=match):
            call(*arguments)
        assert self.state == before


@pytest.fixture
def at() -> Setting:
    return Setting()


def valid(at: Setting, token: Token, epoch: int, relay: bytes) -> bool:
    """What a relay checks, from PROTOCOL §6."""
    data = at.federation.id + epoch.to_bytes(4, "big") + relay + token.key
    key = at.federation.parameters.epoch_key(epoch)
    return bool(curve.verify(token.signature, hashes.tagged("token", data), key))


@pytest.mark.parametrize("bit", [0, 1])
def test_tokens_verify_under_the_epoch_key_for_their_relay_only(at: Setting, bit: int) -> None:
    at.issuer.bit = bit
    at.get()
    assert len(at.state.tokens) == TOKENS
    for token in at.state.tokens:
        assert curve.public(token.secret)[1:] == token.key
        assert valid(at, token, EPOCH, at.relay)
        assert not valid(at, token, EPOCH, at.federation.relay_keys[1])
        assert not valid(at, token, EPOCH + 1, at.relay)
    assert len({token.key for token in at.state.tokens}) == TOKENS


def test_issuer_sees_nothing_of_the_tokens(at: Setting) -> None:
    seen = []
    for _ in range(2):
        offer = at.issuer.offer(at.wallet.request(EPOCH, [at.relay] * 3, 0))
        challenge = at.wallet.challenge(offer)
        seen += [cards.decode(offer).payload, cards.decode(challenge).payload]
        at.wallet.finish(at.issuer.answer(challenge))
    for token in at.state.tokens:
        assert all(part not in b"".join(seen) for part in (token.key, token.signature[:32], at.relay))


def test_no_request_asks_for_more_than_the_issuer_opens_sessions_for(at: Setting) -> None:
    for count in (0, 5):
        at.refuses(UsageError, "cannot be asked for at once", at.wallet.request, EPOCH, [at.relay] * count, 0)
    assert cards.decode(at.wallet.request(EPOCH, [at.relay] * 3, 0)).fields["count"] == 3


def test_first_token_fetches_and_the_others_post_in_turn(at: Setting) -> None:
    at.get()
    tokens = at.wallet.of(EPOCH, at.relay)
    assert at.wallet.for_fetching(EPOCH, at.relay) == tokens[0]
    used = []
    for _ in range(TOKENS - 1):
        token = at.wallet.for_posting(EPOCH, at.relay)
        token.admitted(bytes(32), 1)
        assert at.wallet.for_posting(EPOCH, at.relay) == token
        token.posted()
        used.append(token)
    assert used == tokens[1:]
    with pytest.raises(NotPermitted, match="used up"):
        at.wallet.for_posting(EPOCH, at.relay)
    assert at.wallet.for_fetching(EPOCH, at.relay) == tokens[0]


def test_on_another_relay_than_the_home_relay_every_token_posts(at: Setting) -> None:
    other = at.federation.relay_keys[1]
    for relay in (at.relay, other):
        at.wallet.finish(
            at.issuer.answer(at.wallet.challenge(at.issuer.offer(at.wallet.request(EPOCH, [relay] * 2, 0))))
        )
    assert at.wallet.for_posting(EPOCH, at.relay) == at.wallet.of(EPOCH, at.relay)[1]
    assert at.wallet.for_posting(EPOCH, other) == at.wallet.of(EPOCH, other)[0]
    assert [count["posts_left"] for count in at.wallet.counts()] in ([POSTS, 2 * POSTS], [2 * POSTS, POSTS])


def test_tokens_of_another_epoch_or_relay_are_not_used(at: Setting) -> None:
    at.get()
    for epoch, relay in ((EPOCH + 1, at.relay), (EPOCH, at.federation.relay_keys[1])):
        with pytest.raises(NotPermitted, match="no tokens"):
            at.wallet.for_posting(epoch, relay)


@pytest.mark.parametrize(
    ("epoch", "wanted"), [(0, [0, 1]), (1, [2]), (10, [11])], ids=["first epoch", "any epoch", "last but one"]
)
def test_tokens_are_wanted_for_the_next_epoch_and_in_the_first_for_itself(
    at: Setting, epoch: int, wanted: list[int]
) -> None:
    assert at.wallet.wanted(epoch) == wanted
    at.get(wanted[-1])
    assert at.wallet.wanted(epoch) == wanted[:-1]


def test_end_of_the_schedule_is_said(at: Setting) -> None:
    with pytest.raises(NotPermitted, match="no token keys for epoch 12"):
        at.wallet.wanted(11)


def test_schedule_that_begins_later() -> None:
    at = Setting(first_epoch=5)
    assert at.wallet.wanted(4) == [5]
    assert at.wallet.wanted(5) == [5, 6]
    with pytest.raises(NotPermitted):
        at.wallet.wanted(3)


def test_counts_show_posts_left(at: Setting) -> None:
    at.get()
    row = {"epoch": EPOCH, "relay": "relay-0", "tokens": TOKENS, "posts_left": (TOKENS - 1) * POSTS}
    assert at.wallet.counts() == [row]
    at.wallet.for_posting(EPOCH, at.relay).admitted(bytes(32), 3)
    assert at.wallet.counts()[0]["posts_left"] == (TOKENS - 2) * POSTS + 3


def test_old_epochs_are_erased(at: Setting) -> None:
    at.get()
    at.wallet.request(EPOCH + 1, [at.relay], 0)
    at.wallet.forget_before(EPOCH + 1)
    assert at.state.tokens == []
    assert len(at.state.requests) == 1
    at.wallet.forget_before(EPOCH + 2)
    assert at.state == Tokens()


# -- which relay a token is for

HOME, SECOND, THIRD = b"home", b"second", b"third"


@pytest.mark.parametrize(
    ("count", "contacts", "dealt"),
    [
        (2, {}, [HOME, HOME]),
        (2, {HOME: 1, SECOND: 1}, [HOME, HOME]),
        (2, {SECOND: 1}, [HOME, SECOND]),
        (3, {SECOND: 1}, [HOME, SECOND, HOME]),
        (4, {}, [HOME, HOME, SECOND, THIRD]),
        (4, {THIRD: 2, SECOND: 1}, [HOME, THIRD, SECOND, HOME]),
        (6, {}, [HOME, HOME, SECOND, THIRD, HOME, HOME]),
        (7, {HOME: 2, THIRD: 4}, [HOME, THIRD, HOME, SECOND, THIRD, THIRD, THIRD]),
    ],
)
def test_tokens_are_dealt_to_home_then_to_every_relay_then_where_the_contacts_are(
    count: int, contacts: dict[bytes, int], dealt: list[bytes]
) -> None:
    assert deal(count, HOME, [HOME, SECOND, THIRD], contacts) == dealt


@given(
    st.integers(1, 255),
    st.integers(1, 8),
    st.dictionaries(st.integers(0, 7), st.integers(0, 50)),
    st.integers(0, 7),
)
def test_dealing_gives_out_all_tokens_and_forgets_no_relay(
    count: int, relays: int, contacts: dict[int, int], home: int
) -> None:
    keys = [bytes([number]) for number in range(relays)]
    mine = keys[home % relays]
    dealt = deal(count, mine, keys, {bytes([number]): many for number, many in contacts.items() if number < relays})
    assert len(dealt) == count
    assert dealt[0] == mine
    assert len(set(dealt[1:])) >= min(relays, count - 1)
    for number in range(relays):
        if count > relays + 1 and contacts.get(number, 0) == 0 and keys[number] != mine:
            assert dealt.count(keys[number]) == 1  # nobody to write to there yet


def test_what_is_lacking_is_dealt_with_regard_to_what_is_there(at: Setting) -> None:
    home, other = at.federation.relay_keys
    assert at.wallet.needed(EPOCH, {other: 3}) == [home, other, home, other, other, other]
    at.wallet.finish(at.issuer.answer(at.wallet.challenge(at.issuer.offer(at.wallet.request(EPOCH, [home] * 3, 0)))))
    assert at.wallet.needed(EPOCH, {other: 3}) == [other, other, other]


def test_tokens_of_one_request_may_be_for_several_relays_and_verify_there(at: Setting) -> None:
    home, other = at.federation.relay_keys
    offer = at.issuer.offer(at.wallet.request(EPOCH, [home, other, home], 0))
    at.wallet.finish(at.issuer.answer(at.wallet.challenge(offer)))
    for relay, count in ((home, 2), (other, 1)):
        tokens = at.wallet.of(EPOCH, relay)
        assert len(tokens) == count
        for token in tokens:
            message = blind.token_message(at.federation.id, EPOCH, relay, token.key)
            assert curve.verify(token.signature, message, at.federation.parameters.epoch_key(EPOCH))


# -- what is refused, and changes nothing


def changed(text: str, **fields: Any) -> str:
    card = cards.decode(text)
    return cards.encode(card.kind, card.fields | fields)


def test_offer_and_answer_serve_once(at: Setting) -> None:
    offer = at.issuer.offer(at.wallet.request(EPOCH, [at.relay] * 4, 0))
    answer = at.issuer.answer(at.wallet.challenge(offer))
    at.refuses(InvalidInput, "no open request", at.wallet.challenge, offer)
    at.wallet.finish(answer)
    at.refuses(InvalidInput, "no open request", at.wallet.finish, answer)


def test_offer_for_something_else_is_refused(at: Setting) -> None:
    offer = at.issuer.offer(at.wallet.request(EPOCH, [at.relay] * 4, 0))
    offers = cards.decode(offer).fields["offers"]
    at.refuses(InvalidInput, "not for what was asked", at.wallet.challenge, changed(offer, epoch=EPOCH + 1))
    at.refuses(InvalidInput, "not for what was asked", at.wallet.challenge, changed(offer, offers=offers[1:]))
    at.refuses(InvalidInput, "no open request", at.wallet.challenge, changed(offer, request=bytes(32)))
    at.refuses(
        InvalidInput,
        "a number in it is out of range",
        at.wallet.challenge,
        changed(offer, offers=[[bytes(33)] * 2, *offers[1:]]),
    )
    at.wallet.challenge(offer)


def test_answer_that_does_not_hold_is_refused_as_a_whole(at: Setting) -> None:
    answer = at.issuer.answer(at.wallet.challenge(at.issuer.offer(at.wallet.request(EPOCH, [at.relay] * 4, 0))))
    answers = cards.decode(answer).fields["answers"]
    bit, scalar = answers[-1]
    for forged in (
        [1 - bit, scalar],
        [bit, bytes(32)],
        [bit, b"\xff" * 32],
        [bit, scalar[:-1] + bytes([scalar[-1] ^ 1])],
    ):
        at.refuses(IntegrityError, "issuer", at.wallet.finish, changed(answer, answers=[*answers[:-1], forged]))
    at.refuses(IntegrityError, "another number", at.wallet.finish, changed(answer, answers=answers[:-1]))
    swapped = [answers[1], answers[0], *answers[2:]]
    at.refuses(IntegrityError, "issuer", at.wallet.finish, changed(answer, answers=swapped))
    at.wallet.finish(answer)


def test_token_under_a_key_that_was_replaced_meanwhile_is_refused(at: Setting) -> None:
    federation = at.federation.known()
    at.wallet = Wallet(at.state, at.identity, federation)
    answer = at.issuer.answer(at.wallet.challenge(at.issuer.offer(at.wallet.request(EPOCH, [at.relay] * 4, 0))))
    at.federation.master = bytes(32)
    federation.adopt(at.federation.make_set(2).blob)
    at.refuses(IntegrityError, "valid token", at.wallet.finish, answer)


def test_request_and_challenge_are_signed_by_the_member(at: Setting) -> None:
    request = at.wallet.request(EPOCH, [at.relay], 77)
    challenge = at.wallet.challenge(at.issuer.offer(request))
    for text in (request, challenge):
        card = cards.decode(text)
        message = hashes.tagged(card.kind, cards.without_signature(card.fields))
        assert curve.verify(card.fields["sig"], message, at.identity.key)
        assert card.fields["member"] == at.identity.key
    assert cards.decode(request).fields["time"] == 77


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_proof_of_possession_is_over_what_the_second_implementation_signs(vector: dict[str, Any]) -> None:
    token = Token(vector["epoch"], bytes(33), bytes.fromhex(vector["token_secret"]), bytes(32), bytes(64))
    shown = proof(token, bytes.fromhex(vector["handshake_hash"]))
    message, key = bytes.fromhex(vector["session_message"]), bytes.fromhex(vector["token_key"])
    assert curve.verify(shown, message, key)
    assert vector["token_secret"] not in repr(token)


def test_session_fields_of_a_token(at: Setting) -> None:
    at.get()
    token = at.wallet.for_posting(EPOCH, at.relay)
    assert (token.left, token.resume) == (None, None)
    token.admitted(b"s" * 32, 16)
    token.resumed(b"t" * 32)
    assert (token.left, token.resume) == (16, b"t" * 32)
    token.posted()
    token.resumed(None)
    assert (token.left, token.resume) == (15, None)
    token.spent()
    assert token.left == 0
