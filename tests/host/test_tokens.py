"""The member's side of token fetching: what comes out verifies as a relay verifies it, and nothing else is taken."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tessera import curve, hashes
from tessera_host.errors import IntegrityError, InvalidInput, NotPermitted
from tessera_host.member.schema import Token, Tokens
from tessera_host.member.wallet import UNSOLICITED, NoTokens, TokenKey, Wallet, proof
from tessera_host.protocol import blind, cards
from tessera_host.protocol.limits import OPEN_SESSIONS_PER_KEY
from tests.support.fake_federation import AHEAD, EPOCHS, POSTS, TOKENS, FakeFederation, FakeIssuer, identity

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "token.json").read_text())
EPOCH = 4
GENERATION = 1
RELAY, OTHER = 1, 2  # their numbers
KEY = TokenKey(GENERATION, EPOCH, RELAY)


class Setting:
    """A member's wallet and an issuer, in epoch 4."""

    def __init__(self, **changes: Any) -> None:
        self.federation = FakeFederation(relays=2, **changes)
        self.identity = identity("Ann")
        self.state = Tokens()
        self.known = self.federation.known()
        self.wallet = Wallet(self.state, self.identity, self.known)
        self.issuer = FakeIssuer(self.federation)

    def request(self, epoch: int = EPOCH) -> str:
        return self.wallet.request(GENERATION, epoch, 0)

    def challenge(self, epoch: int = EPOCH) -> str:
        """For the first four tokens of every relay and epoch."""
        challenge = self.wallet.challenge(self.issuer.offer(self.request(epoch)))
        assert challenge is not None
        return challenge

    def get(self, epoch: int = EPOCH) -> None:
        while self.wallet.lacking(epoch):
            self.wallet.finish(self.issuer.answer(self.challenge(epoch)), epoch)

    def refuses(self, error: type[Exception], match: str, call: Any, *arguments: Any) -> None:
        before = copy.deepcopy(self.state)
        with pytest.raises(error, match=match):
            call(*arguments)
        assert self.state == before


@pytest.fixture
def at() -> Setting:
    return Setting()


def valid(at: Setting, token: Token, key: TokenKey) -> bool:
    """What a relay checks, from PROTOCOL §6."""
    static_key = at.federation.relay_keys[key.relay - 1]
    data = at.federation.id + key.epoch.to_bytes(4, "big") + static_key + token.key
    parameters = at.federation.parameters
    epoch_key = parameters.epoch_key(key.relay, key.epoch, blind.cohort(parameters, at.identity.key))
    assert epoch_key is not None
    return bool(curve.verify(token.signature, hashes.tagged("token", data), epoch_key))


@pytest.mark.parametrize("bit", [0, 1])
def test_tokens_verify_under_the_key_of_their_epoch_and_relay_only(at: Setting, bit: int) -> None:
    at.issuer.bit = bit
    at.get()
    tokens = at.wallet.of(KEY)
    assert len(tokens) == TOKENS
    for token in tokens:
        assert curve.public(token.secret)[1:] == token.key
        assert valid(at, token, KEY)
        assert not valid(at, token, KEY._replace(relay=OTHER))
        assert not valid(at, token, KEY._replace(epoch=EPOCH + 1))
    assert len({token.key for token in at.state.tokens}) == len(at.state.tokens)


def test_in_a_large_office_tokens_are_of_the_members_own_cohort() -> None:
    at = Setting(members=100_000)
    parameters = at.federation.parameters
    assert parameters.log2_cohorts == 3
    at.get()
    own = blind.cohort(parameters, at.identity.key)
    for token in at.wallet.of(KEY):
        message = blind.token_message(at.federation.id, EPOCH, at.federation.relay_keys[0], token.key)
        keys = [parameters.epoch_key(RELAY, EPOCH, cohort) for cohort in range(8)]
        assert [bool(curve.verify(token.signature, message, key)) for key in keys] == [
            cohort == own for cohort in range(8)
        ]


def test_there_are_as_many_for_every_relay_and_every_epoch_ahead(at: Setting) -> None:
    at.get()
    wanted = {(epoch, relay): TOKENS for epoch in range(EPOCH, EPOCH + AHEAD + 1) for relay in (RELAY, OTHER)}
    held = [(token.epoch, token.relay) for token in at.state.tokens]
    assert {key: held.count(key) for key in held} == wanted
    assert {token.fetched for token in at.state.tokens} == {EPOCH}
    assert {token.epoch for token in at.state.tokens if token.early} == {EPOCH}
    assert at.wallet.lacking(EPOCH) == 0 and at.wallet.lacking(EPOCH + 1) == 2 * TOKENS


def test_issuer_sees_nothing_of_the_tokens(at: Setting) -> None:
    seen = []
    for _ in range(2):
        offer = at.issuer.offer(at.request())
        challenge = at.wallet.challenge(offer)
        assert challenge is not None
        seen += [cards.decode(offer).payload, cards.decode(challenge).payload]
        at.wallet.finish(at.issuer.answer(challenge), EPOCH)
    for token in at.state.tokens:
        assert all(part not in b"".join(seen) for part in (token.key, token.signature[:32]))


def test_a_request_says_nothing_of_what_is_lacking(at: Setting) -> None:
    """Its size is the same whatever the wallet holds, and whatever epoch it is."""
    first = at.request()
    at.get()
    later = at.request(EPOCH + 1)
    assert cards.decode(first).fields.keys() == {"v", "member", "generation", "epoch", "time", "sig"}
    assert len(first) == len(later)


def test_every_token_posts_in_turn(at: Setting) -> None:
    at.get()
    used = []
    for _ in range(TOKENS):
        token = at.wallet.for_posting(KEY)
        token.admitted(bytes(32), 1)
        assert at.wallet.for_posting(KEY) == token
        token.posted()
        used.append(token)
    assert used == at.wallet.of(KEY)
    with pytest.raises(NotPermitted, match="used all posts"):
        at.wallet.for_posting(KEY)
    assert at.wallet.for_posting(KEY._replace(relay=OTHER)).left is None


@pytest.mark.parametrize("change", [{"epoch": EPOCH + AHEAD + 1}, {"relay": 3}, {"generation": 2}])
def test_tokens_of_another_epoch_relay_or_generation_are_not_used(at: Setting, change: dict[str, int]) -> None:
    at.get()
    with pytest.raises(NoTokens, match="no tokens"):
        at.wallet.for_posting(KEY._replace(**change))


def test_from_when_on_there_are_tokens_is_said(at: Setting) -> None:
    at.get(EPOCH)
    with pytest.raises(NoTokens) as none:
        at.wallet.for_posting(KEY._replace(epoch=EPOCH - 1))
    assert "you can write there from" in none.value.hint
    with pytest.raises(NoTokens) as none:
        at.wallet.for_posting(KEY._replace(epoch=EPOCH + AHEAD + 1))
    assert "fetch some: tessera renew" in none.value.hint


def test_there_are_no_tokens_beyond_the_schedule(at: Setting) -> None:
    at.get(EPOCHS - 2)
    assert {token.epoch for token in at.state.tokens} == {EPOCHS - 2, EPOCHS - 1}
    assert at.wallet.lacking(EPOCHS) == 0


def test_schedule_that_begins_later_gives_what_it_has() -> None:
    at = Setting(first_epoch=EPOCH + 2)
    at.get(EPOCH)
    assert {token.epoch for token in at.state.tokens} == set(range(EPOCH + 2, EPOCH + AHEAD + 1))


def test_counts_show_posts_left(at: Setting) -> None:
    at.get()
    row = {"epoch": EPOCH, "relay": "relay-0", "tokens": TOKENS, "posts_left": TOKENS * POSTS}
    assert at.wallet.counts()[0] == row
    at.wallet.for_posting(KEY).admitted(bytes(32), 3)
    assert at.wallet.counts()[0]["posts_left"] == (TOKENS - 1) * POSTS + 3


def test_old_epochs_are_erased(at: Setting) -> None:
    at.get()
    at.request(EPOCH)
    at.wallet.forget_before(EPOCH + 1)
    assert {token.epoch for token in at.state.tokens} == set(range(EPOCH + 1, EPOCH + AHEAD + 1))
    assert len(at.state.requests) == 1
    at.wallet.forget_before(EPOCH + AHEAD + 1)
    assert at.state == Tokens()


def test_session_is_kept_while_one_of_its_epochs_is_to_come(at: Setting) -> None:
    at.challenge()
    at.wallet.forget_before(EPOCH + AHEAD)
    assert len(at.state.sessions) == 1
    at.wallet.forget_before(EPOCH + AHEAD + 1)
    assert at.state == Tokens()


def test_an_offer_that_it_made_by_itself_is_taken_one_at_a_time(at: Setting) -> None:
    offers = [changed(at.issuer.offer(at.request()), request=UNSOLICITED) for _ in range(2)]
    at.state.requests.clear()
    for offer in offers:
        assert at.wallet.expects(cards.decode(offer))
        challenge = at.wallet.challenge(offer)
        assert challenge is not None and not at.wallet.expects(cards.decode(offer))
        assert len(at.state.sessions) == 1
    at.wallet.finish(at.issuer.answer(challenge), EPOCH)
    assert len(at.wallet.of(KEY)) == TOKENS - OPEN_SESSIONS_PER_KEY


def test_where_all_was_given_there_is_nothing_to_challenge(at: Setting) -> None:
    at.get()
    assert at.wallet.challenge(at.issuer.offer(at.request())) is None
    assert (at.state.requests, at.state.sessions) == ({}, {})


# -- what is refused, and changes nothing


def changed(text: str, **fields: Any) -> str:
    card = cards.decode(text)
    return cards.encode(card.kind, card.fields | fields)


def test_offer_and_answer_serve_once(at: Setting) -> None:
    offer = at.issuer.offer(at.request())
    answer = at.issuer.answer(str(at.wallet.challenge(offer)))
    at.refuses(InvalidInput, "any open request", at.wallet.challenge, offer)
    at.wallet.finish(answer, EPOCH)
    at.refuses(InvalidInput, "any open request", at.wallet.finish, answer, EPOCH)


def test_offer_for_something_else_is_refused(at: Setting) -> None:
    offer = at.issuer.offer(at.request())
    offers = cards.decode(offer).fields["offers"]
    epoch, relay, *nonces = offers[0]
    for match, change in (
        ("does not match your request", {"generation": GENERATION + 1}),
        ("any open request", {"request": bytes([1]) * 32}),
        ("a number in it is out of range", {"offers": [[epoch, relay, bytes(33), bytes(33)], *offers[1:]]}),
        ("an epoch or a relay without a key", {"offers": [[EPOCHS, relay, *nonces]]}),
        ("an epoch or a relay without a key", {"offers": [[epoch, 3, *nonces]]}),
        ("more tokens than a member may have", {"offers": [offers[0]] * (TOKENS + 1)}),
    ):
        at.refuses(InvalidInput, match, at.wallet.challenge, changed(offer, **change))
    at.wallet.challenge(offer)


def test_answer_that_does_not_hold_is_refused_as_a_whole(at: Setting) -> None:
    answer = at.issuer.answer(at.challenge())
    answers = cards.decode(answer).fields["answers"]
    bit, scalar = answers[-1]
    for forged in (
        [1 - bit, scalar],
        [bit, bytes(32)],
        [bit, b"\xff" * 32],
        [bit, scalar[:-1] + bytes([scalar[-1] ^ 1])],
    ):
        text = changed(answer, answers=[*answers[:-1], forged])
        at.refuses(IntegrityError, "issuer", at.wallet.finish, text, EPOCH)
    at.refuses(IntegrityError, "different number", at.wallet.finish, changed(answer, answers=answers[:-1]), EPOCH)
    swapped = [answers[1], answers[0], *answers[2:]]
    at.refuses(IntegrityError, "issuer", at.wallet.finish, changed(answer, answers=swapped), EPOCH)
    at.wallet.finish(answer, EPOCH)


def test_token_under_a_key_that_was_replaced_meanwhile_is_refused(at: Setting) -> None:
    answer = at.issuer.answer(at.challenge())
    at.federation.master = bytes(32)
    at.known.adopt(at.federation.make_set(2).blob, EPOCH)
    at.refuses(IntegrityError, "valid token", at.wallet.finish, answer, EPOCH)


def test_request_and_challenge_are_signed_by_the_member(at: Setting) -> None:
    request = at.wallet.request(GENERATION, EPOCH, 77)
    challenge = str(at.wallet.challenge(at.issuer.offer(request)))
    for text in (request, challenge):
        card = cards.decode(text)
        message = hashes.tagged(card.kind, cards.without_signature(card.fields))
        assert curve.verify(card.fields["sig"], message, at.identity.key)
        assert card.fields["member"] == at.identity.key
    assert cards.decode(request).fields["time"] == 77


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_proof_of_possession_is_over_what_the_second_implementation_signs(vector: dict[str, Any]) -> None:
    token = Token(0, vector["epoch"], 1, 0, bytes.fromhex(vector["token_secret"]), bytes(32), bytes(64))
    shown = proof(token, bytes.fromhex(vector["handshake_hash"]))
    message, key = bytes.fromhex(vector["session_message"]), bytes.fromhex(vector["token_key"])
    assert curve.verify(shown, message, key)
    assert vector["token_secret"] not in repr(token)


def test_session_fields_of_a_token(at: Setting) -> None:
    at.get()
    token = at.wallet.for_posting(KEY)
    assert (token.left, token.resume) == (None, None)
    token.admitted(b"s" * 32, 16)
    token.resumed(b"t" * 32)
    assert (token.left, token.resume) == (16, b"t" * 32)
    token.posted()
    token.resumed(None)
    assert (token.left, token.resume) == (15, None)
    token.spent()
    assert token.left == 0
