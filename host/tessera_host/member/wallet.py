"""A member's tokens: how they are asked for (PROTOCOL §6 and §12, the member's side) and which one is used when.

Owns the token cards as the member makes and takes them, and the wallet. In which order cards go to the issuer is
not said here; `blind` blinds, and `relay_sessions` uses a token on a connection.

Every member asks for the same, and gets what it has not had yet: so many tokens for every relay and every epoch from
the open one on. All of them post; reading needs none.
"""

import secrets
from collections.abc import Iterable
from typing import Any, NamedTuple

from tessera import curve, hashes
from tessera.params import Parameters

from ..clock import local_time
from ..errors import IntegrityError, InvalidInput, NotPermitted, OutOfDate
from ..protocol import blind, cards
from ..protocol.federation import Federation, is_whole
from ..protocol.identity import Identity
from .schema import PendingToken, Token, TokenRequest, Tokens, TokenSession

UNSOLICITED = bytes(32)  # what an offer names instead of a request that IT made by itself

# What to say before a token of the epoch in which it was fetched is used for the first time.
EARLY = (
    "Your access for the current epoch (usually a day) was fetched only now. Until the epoch ends, "
    "your IT could tell from the time of its first use which connection is yours, but never what you "
    "write or to whom. With --wait the message leaves when the next epoch begins."
)


class TokenKey(NamedTuple):
    """What a token is good for: a generation of epoch keys, an epoch, a relay's number."""

    generation: int
    epoch: int
    relay: int


class NoTokens(OutOfDate):
    """There are no tokens for this epoch and relay; the issuer may have some."""


class PostsUsedUp(NotPermitted):
    """All tokens to post with in this epoch have no posts left."""


def proof(token: Token, handshake_hash: bytes) -> bytes:
    """Sign a channel's handshake hash with a token's key: the proof of possession (64 bytes, PROTOCOL §6)."""
    message = hashes.tagged("session", handshake_hash)
    return curve.sign(token.secret, message, secrets.token_bytes(32))


def key_of(token: Token) -> TokenKey:
    """The key that a token is good for."""
    return TokenKey(token.generation, token.epoch, token.relay)


class Wallet:
    """A view of the keystore's tokens and of those in the making."""

    def __init__(self, state: Tokens, identity: Identity, federation: Federation) -> None:
        self._state = state
        self._identity = identity
        self._federation = federation

    # -- use

    def of(self, key: TokenKey) -> list[Token]:
        """List the tokens for this key."""
        return [token for token in self._state.tokens if key_of(token) == key]

    def for_epoch(self, epoch: int) -> list[Token]:
        """List the tokens of the generation in force in an epoch, as far as is known here, for all relays."""
        generation = self._federation.governing(epoch).generation
        return [token for token in self._state.tokens if (token.generation, token.epoch) == (generation, epoch)]

    def key(self, epoch: int, relay: int) -> TokenKey:
        """Make the key for the generation in force in the epoch, as far as is known here."""
        return TokenKey(self._federation.governing(epoch).generation, epoch, relay)

    def for_posting(self, key: TokenKey) -> Token:
        """Choose the first token with posts left. Raises PostsUsedUp if all are used up, NoTokens if there are no
        tokens."""
        tokens = self.of(key)
        if not tokens:
            raise self._none(key)
        for token in tokens:
            if token.left != 0:
                return token
        following = self._federation.round_start(self._federation.first_round(key.epoch + 1))
        raise PostsUsedUp(
            "you have used all posts of the current epoch",
            f"what waits can leave from {local_time(following)} on",
        )

    def for_posting_turn(self, key: TokenKey, turn: int) -> Token:
        """Choose the token of that number, whatever it has left; the last one if there are fewer. Raises NoTokens."""
        tokens = self.of(key)
        if not tokens:
            raise self._none(key)
        return tokens[min(turn, len(tokens) - 1)]

    def _none(self, key: TokenKey) -> NoTokens:
        """Why there are none, and from when on there are some."""
        federation, relay = self._federation, self._federation.relay_name(key.relay)
        message = f"you have no access to post at the relay {relay}: no tokens for epoch {key.epoch}"
        later = [epoch for epoch in self.epochs(key.relay) if epoch > key.epoch]
        if later:
            start = federation.round_start(federation.first_round(min(later)))
            return NoTokens(
                message,
                f"you can write there from {local_time(start)} on, or when you have fetched some: tessera renew",
            )
        return NoTokens(message, "fetch some: tessera renew; if that does not help, tell IT")

    def epochs(self, relay: int) -> set[int]:
        """List the epochs that there are tokens for, of the generation in force in each."""
        return {token.epoch for token in self._state.tokens if key_of(token) == self.key(token.epoch, relay)}

    def expects(self, card: cards.Card) -> bool:
        """Tell whether this offer or answer belongs to something open: a request of this member, or an offer that IT
        made by itself and that was not taken yet."""
        if card.kind == "tokens-offer":
            request, session = card.fields["request"], card.fields["session"]
            return request in self._state.requests or (request == UNSOLICITED and session not in self._state.sessions)
        return card.kind == "tokens-answer" and card.fields["session"] in self._state.sessions

    def counts(self) -> list[dict[str, Any]]:
        """Count tokens and posts left by epoch and relay, for people."""
        groups = sorted({(token.epoch, token.relay) for token in self._state.tokens})
        return [self._count(epoch, relay) for epoch, relay in groups if self.of(self.key(epoch, relay))]

    def _count(self, epoch: int, relay: int) -> dict[str, Any]:
        tokens, posts = self.of(self.key(epoch, relay)), self._federation.governing(epoch).posts_per_token
        left = sum(posts if token.left is None else token.left for token in tokens)
        return {
            "epoch": epoch,
            "relay": self._federation.relay_name(relay),
            "tokens": len(tokens),
            "posts_left": int(left),
        }

    def forget_before(self, epoch: int) -> None:
        """Erase what belongs to epochs that are over."""
        state = self._state
        state.tokens = [token for token in state.tokens if token.epoch >= epoch]
        state.requests = {key: request for key, request in state.requests.items() if request.epoch >= epoch - 1}
        state.sessions = {
            key: session
            for key, session in state.sessions.items()
            if any(pending.epoch >= epoch for pending in session.pending)
        }

    def forget_relays(self, ids: Iterable[int]) -> None:
        """Erase the tokens for relays that are gone: one that took the place of another has other keys."""
        gone = set(ids)
        self._state.tokens = [token for token in self._state.tokens if token.relay not in gone]

    # -- getting them

    def generations(self, epoch: int) -> list[int]:
        """List the generations whose tokens can be had while this epoch is open: that of the newest set, and that in
        force if the newest waits for its first epoch."""
        newest, governing = self._federation.newest, self._federation.governing(epoch)
        waits = newest.first_epoch > epoch
        return list(dict.fromkeys([newest.generation, *([governing.generation] if waits else [])]))

    def lacking(self, epoch: int) -> int:
        """Count the tokens that this wallet lacks, for the open epoch and those after it that the newest set has keys
        for."""
        newest = self._federation.newest
        epochs = range(max(epoch, newest.first_epoch), min(epoch + newest.ahead + 1, newest.end_epoch))
        keys = [TokenKey(newest.generation, each, relay.id) for each in epochs for relay in newest.relays]
        return sum(max(0, newest.tokens_per_epoch - len(self.of(key))) for key in keys)

    def request(self, generation: int, epoch: int, now: int) -> str:
        """Make the card that asks for all tokens that a member may have while this epoch is open."""
        fields = {
            "v": cards.version("tokens-request"),
            "member": self._identity.key,
            "generation": generation,
            "epoch": epoch,
            "time": now,
        }
        text = self._signed("tokens-request", fields)
        key = hashes.tagged("request", cards.decode(text).payload)
        self._state.requests[key] = TokenRequest(generation, epoch, text)
        return text

    def unfinished(self, generation: int) -> str | None:
        """Find the card of a generation that the issuer has not answered yet. Shown again, it gets the same answer
        again."""
        begun: list[TokenSession | TokenRequest] = [*self._state.sessions.values(), *self._state.requests.values()]
        return next((each.card for each in begun if each.generation == generation), None)

    def abandon(self, text: str) -> None:
        """Give up on an unfinished card: the issuer does not answer it any more."""
        state = self._state
        state.sessions = {key: session for key, session in state.sessions.items() if session.card != text}
        state.requests = {key: request for key, request in state.requests.items() if request.card != text}

    def challenge(self, text: str) -> str | None:
        """Blind one token for each offer, and return the challenge card; None if nothing was offered. Save the state
        before the card is passed on: the answer needs what is kept."""
        offer = cards.decode(text, "tokens-offer").fields
        request = self._state.requests.get(offer["request"])
        if request is None and offer["request"] != UNSOLICITED:
            raise InvalidInput(
                "this offer does not belong to any open request of yours",
                "it was used already, or it is for somebody else",
            )
        if request is not None and offer["generation"] != request.generation:
            raise InvalidInput("this offer does not match your request", "type tessera renew; if it recurs, tell IT")
        parameters = self._of_generation(offer["generation"])[0]
        pending, challenges = self._blinded_all(parameters, offer["offers"])
        self._state.requests.pop(offer["request"], None)
        if not pending:
            return None
        card = {"v": 1, "session": offer["session"], "member": self._identity.key, "challenges": challenges}
        answer = self._signed("tokens-challenge", card)
        self._forget_unsolicited()
        self._state.sessions[offer["session"]] = TokenSession(offer["generation"], answer, request is not None, pending)
        return answer

    def _forget_unsolicited(self) -> None:
        """IT makes an offer by itself with each file for a member: an earlier one is not answered any more."""
        sessions = self._state.sessions
        self._state.sessions = {key: session for key, session in sessions.items() if session.solicited}

    def _of_generation(self, generation: int) -> list[Parameters]:
        """The sets that are known whole and have these keys, newest first. Raises OutOfDate if no set has them."""
        sets = [known for known in self._federation.sets if known.generation == generation and is_whole(known)]
        if not sets:
            raise OutOfDate("these tokens are for settings of the office that you do not have", "type tessera renew")
        return sets[::-1]

    def _blinded_all(
        self, parameters: Parameters, offers: Iterable[tuple[int, int, bytes, bytes]]
    ) -> tuple[list[PendingToken], list[list[bytes]]]:
        pending, challenges, held = [], [], set()
        for epoch, relay, first, second in offers:
            held.add((epoch, relay))
            secret, blinded = self._blinded(parameters, epoch, relay, (first, second))
            pending.append(PendingToken(epoch, relay, secret, blinded.pack()))
            challenges.append(list(blinded.challenges))
        if len(pending) > len(held) * parameters.tokens_per_epoch:
            raise InvalidInput(
                "this offer is for more tokens than a member may have", "type tessera renew; if it recurs, tell IT"
            )
        return pending, challenges

    def finish(self, text: str, now_epoch: int) -> list[tuple[int, int]]:
        """Take the issuer's answer in this epoch, and return (epoch, number of tokens) for each epoch. All tokens are
        taken or none; but those of epochs that are over by now, or for a relay whose place another has taken, are
        dropped."""
        answer = cards.decode(text, "tokens-answer").fields
        session = self._state.sessions.get(answer["session"])
        if session is None:
            raise InvalidInput(
                "this answer does not belong to any open request of yours",
                "it was used already, or it is for somebody else",
            )
        if len(answer["answers"]) != len(session.pending):
            raise IntegrityError(
                "the issuer answered for a different number of tokens", "type tessera renew; if it recurs, tell IT"
            )
        sets = self._of_generation(session.generation)
        parts = zip(session.pending, answer["answers"], strict=True)
        unblinded = [self._unblinded(sets, pending, now_epoch, *answered) for pending, answered in parts]
        tokens = [token for token in unblinded if token is not None]
        self._state.tokens += tokens
        del self._state.sessions[answer["session"]]
        epochs = sorted({token.epoch for token in tokens})
        return [(epoch, sum(token.epoch == epoch for token in tokens)) for epoch in epochs]

    def _blinded(
        self, parameters: Parameters, epoch: int, relay: int, offer: tuple[bytes, bytes]
    ) -> tuple[bytes, blind.Blinded]:
        """A fresh token secret, and its key blinded for both clauses."""
        secret = blind.even_secret(blind.random_scalar())
        key = self._epoch_key(parameters, epoch, relay)
        if key is None:
            raise InvalidInput(
                "this offer is for an epoch or a relay without a key", "type tessera renew; if it recurs, tell IT"
            )
        return secret, blind.blind(key, self._message(parameters, epoch, relay, secret), offer)

    def _epoch_key(self, parameters: Parameters, epoch: int, relay: int) -> bytes | None:
        """The epoch key (32 bytes) of this member's cohort; None if the set has no such key."""
        return parameters.epoch_key(relay, epoch, blind.cohort(parameters, self._identity.key))

    def _message(self, parameters: Parameters, epoch: int, relay: int, secret: bytes) -> bytes:
        static_key = _static_key(parameters, relay)
        assert static_key is not None, "who has an epoch key is listed"
        return blind.token_message(self._federation.id, epoch, static_key, curve.public(secret)[1:])

    def _unblinded(
        self, sets: list[Parameters], pending: PendingToken, now_epoch: int, bit: int, scalar: bytes
    ) -> Token | None:
        """The token, once its signature verifies as the relay will verify it, under the newest of these sets or, as it
        was asked for before that came, an earlier one; None if it is for an epoch or a relay that is gone."""
        signature = blind.Blinded.unpack(pending.blinded).unblind(bit, scalar)
        generation, epoch, relay, secret = sets[0].generation, pending.epoch, pending.relay, pending.secret
        newest = sets[0]
        for parameters in sets:
            key = self._epoch_key(parameters, epoch, relay)
            if key and curve.verify(signature, self._message(parameters, epoch, relay, secret), key):
                if _static_key(parameters, relay) != _static_key(newest, relay):
                    return None
                if key == self._epoch_key(newest, epoch, relay):
                    return Token(generation, epoch, relay, now_epoch, secret, curve.public(secret)[1:], signature)
        if epoch < now_epoch:
            return None
        raise IntegrityError(
            "the issuer's answer does not make a valid token", "type tessera renew; if it recurs, tell IT"
        )

    def _signed(self, kind: str, fields: dict[str, Any]) -> str:
        signature = self._identity.sign(hashes.tagged(kind, cards.canonical(fields)))
        return cards.encode(kind, {**fields, "sig": signature})


def _static_key(parameters: Parameters, relay: int) -> bytes | None:
    """The static key (33 bytes) of the relay of this number; None if the set does not list it."""
    return next((each.static_key for each in parameters.relays if each.id == relay), None)
