"""A member's tokens: how they are asked for (PROTOCOL §6 and §12, the member's side) and which one is used when.

Owns the token cards as the member makes and takes them, the wallet, and how an epoch's tokens are dealt out to relays.
In which order cards go to the issuer is `token_exchange`'s business, the blinding is `blind`'s, the use of a token on a
connection `relay_sessions`'.

The first token of an epoch and relay fetches, the others post, one after the other: a relay that sees both on one
token would know that a sender is also the owner of a bucket.
"""

import secrets
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from tessera import curve, hashes

from ..clock import local_time
from ..errors import IntegrityError, InvalidInput, NotPermitted, UsageError
from ..protocol import blind, cards
from ..protocol.federation import Federation
from ..protocol.identity import Identity
from ..protocol.limits import OPEN_SESSIONS_PER_KEY
from .schema import PendingToken, Token, TokenRequest, Tokens, TokenSession


class PostsUsedUp(NotPermitted):
    """All tokens to post with in this epoch have no posts left."""


def proof(token: Token, handshake_hash: bytes) -> bytes:
    """Proof of possession of a token for one channel (PROTOCOL §6), 64 bytes."""
    message = hashes.tagged("session", handshake_hash)
    return curve.sign(token.secret, message, secrets.token_bytes(32))


def deal(count: int, home: bytes, relays: Sequence[bytes], contacts: Mapping[bytes, int]) -> list[bytes]:
    """Which relay each of an epoch's tokens is for: the home relay's to fetch with first, then those to post with.

    Every relay of the office gets one to post with, as far as they go round, so that whoever is met during an epoch can
    be written to in the next, wherever the mailbox is: first the relays with the most contacts, then the home relay,
    then the others as the office lists them. What is left goes where the contacts are, by highest averages (D'Hondt).
    `contacts` counts those on each relay. The issuer does not learn any of this.
    """
    order = sorted(relays, key=lambda relay: (-contacts.get(relay, 0), relay != home))
    dealt = [home, *order][:count]
    weights = {relay: contacts.get(relay, 0) for relay in order}
    weights[home] = max(1, weights.get(home, 0))
    given = dict.fromkeys(order, 1)
    while len(dealt) < count:
        best = max(order, key=lambda relay: (Fraction(weights[relay], given[relay] + 1), -order.index(relay)))
        given[best] += 1
        dealt.append(best)
    return dealt


class Wallet:
    """A view of the keystore's tokens and of those in the making."""

    def __init__(self, state: Tokens, identity: Identity, federation: Federation) -> None:
        self._state = state
        self._identity = identity
        self._federation = federation

    # -- use

    def of(self, epoch: int, relay: bytes) -> list[Token]:
        return [token for token in self._state.tokens if (token.epoch, token.relay) == (epoch, relay)]

    def for_fetching(self, epoch: int, relay: bytes) -> Token:
        """Raises NotPermitted if there are no tokens for this epoch and relay."""
        tokens = self.of(epoch, relay)
        if not tokens:
            raise self._none(epoch, relay)
        return tokens[0]

    def for_posting(self, epoch: int, relay: bytes) -> Token:
        """The first with posts left. Raises PostsUsedUp if there is none, NotPermitted if there are no tokens."""
        self.for_fetching(epoch, relay)
        for token in self._posting(epoch, relay):
            if token.left != 0:
                return token
        following = self._federation.round_start(self._federation.first_round(epoch + 1))
        raise PostsUsedUp(
            f"the posts of epoch {epoch}, which is now, are used up",
            f"what waits can be sent from {local_time(following)} on",
        )

    def posting_tokens(self, epoch: int, relay: bytes) -> int:
        """How many there are, used up or not."""
        return len(self._posting(epoch, relay))

    def for_posting_turn(self, epoch: int, relay: bytes, turn: int) -> Token:
        """The posting token of that number, whatever it has left; the last one if there are fewer."""
        tokens = self._posting(epoch, relay)
        if not tokens:
            raise self._none(epoch, relay)
        return tokens[min(turn, len(tokens) - 1)]

    def _none(self, epoch: int, relay: bytes) -> NotPermitted:
        """Why there are none, and from when on there are some."""
        federation = self._federation
        if relay != federation.home.key and self.of(epoch, federation.home.key):
            return NotPermitted(
                f"you have no tokens for epoch {epoch} at the relay {self._federation.relay_name(relay)}",
                "you get some for the next epoch; if not, the office has too few tokens for its relays: tell IT",
            )
        later = [held for held in self.epochs(relay) if held > epoch]
        if not later:
            return NotPermitted(f"you have no tokens for epoch {epoch}", "'tessera token renew' gets the next epoch's")
        start = federation.round_start(federation.first_round(min(later)))
        return NotPermitted(f"you have no tokens for epoch {epoch}", f"you can talk from {local_time(start)} on")

    def _posting(self, epoch: int, relay: bytes) -> list[Token]:
        """All but the one that fetches; nothing is fetched from other relays than the home relay."""
        return self.of(epoch, relay)[1 if relay == self._federation.home.key else 0 :]

    def epochs(self, relay: bytes) -> set[int]:
        """The epochs that there are tokens for."""
        return {token.epoch for token in self._state.tokens if token.relay == relay}

    def expects(self, card: cards.Card) -> bool:
        """Whether this offer or answer belongs to something that this member asked and that is open still."""
        if card.kind == "tokens-offer":
            return card.fields["request"] in self._state.requests
        return card.kind == "tokens-answer" and card.fields["session"] in self._state.sessions

    def counts(self) -> list[dict[str, Any]]:
        """For people: tokens and posts left by epoch and relay."""
        groups = sorted({(token.epoch, token.relay) for token in self._state.tokens})
        return [self._count(epoch, relay) for epoch, relay in groups]

    def _count(self, epoch: int, relay: bytes) -> dict[str, Any]:
        posts = self._federation.governing(epoch).posts_per_token
        left = sum(posts if token.left is None else token.left for token in self._posting(epoch, relay))
        return {
            "epoch": epoch,
            "relay": self._federation.relay_name(relay),
            "tokens": len(self.of(epoch, relay)),
            "posts_left": int(left),
        }

    def forget_before(self, epoch: int) -> None:
        """Erase what belongs to epochs that are over."""
        state = self._state
        state.tokens = [token for token in state.tokens if token.epoch >= epoch]
        state.requests = {key: request for key, request in state.requests.items() if request.epoch >= epoch}
        state.sessions = {key: session for key, session in state.sessions.items() if session.epoch >= epoch}

    # -- getting them

    def wanted(self, epoch: int) -> list[int]:
        """The epochs the issuer gives tokens for while `epoch` is open, less those this wallet has all tokens for.

        The next one; also this one if it is the schedule's first. Raises NotPermitted if there is none at all.
        """
        schedule = range(self._federation.newest.first_epoch, self._federation.newest.end_epoch)
        offered = [epoch, epoch + 1] if epoch == schedule.start else [epoch + 1]
        known = [wanted for wanted in offered if self._epoch_key(wanted)]
        if not known:
            raise NotPermitted(
                f"there are no token keys for epoch {epoch + 1}",
                f"the schedule covers epochs {schedule.start} to {schedule.stop - 1}; ask IT for new parameters",
            )
        return [wanted for wanted in known if self.lacking(wanted)]

    def lacking(self, epoch: int) -> int:
        """How many tokens of an epoch this wallet may still get."""
        held = len([token for token in self._state.tokens if token.epoch == epoch])
        return max(0, int(self._federation.governing(epoch).tokens_per_epoch) - held)

    def needed(self, epoch: int, contacts: Mapping[bytes, int]) -> list[bytes]:
        """The relays of the tokens that are lacking for an epoch, in the order in which they matter."""
        total = int(self._federation.governing(epoch).tokens_per_epoch)
        relays = [relay.key for relay in self._federation.relays]
        dealt = deal(total, self._federation.home.key, relays, contacts)
        for token in self._state.tokens:
            if token.epoch == epoch and token.relay in dealt:
                dealt.remove(token.relay)
        return dealt[: self.lacking(epoch)]

    def request(self, epoch: int, relays: Sequence[bytes], now: int) -> str:
        """The card that asks for a token of an epoch for each of these relays (they are not in it)."""
        if not 1 <= len(relays) <= OPEN_SESSIONS_PER_KEY:
            raise UsageError(f"{len(relays)} tokens cannot be asked for at once", f"1 to {OPEN_SESSIONS_PER_KEY} can")
        count = len(relays)
        fields = {"v": cards.VERSION, "member": self._identity.key, "epoch": epoch, "count": count, "time": now}
        text = self._signed("tokens-request", fields)
        key = hashes.tagged("request", cards.decode(text).payload)
        self._state.requests[key] = TokenRequest(epoch, list(relays), text)
        return text

    def unfinished(self, epoch: int) -> str | None:
        """The card of an epoch that the issuer's answer to is still missing, if there is one: shown again, it gets the
        same answer again."""
        begun: list[TokenSession | TokenRequest] = [*self._state.sessions.values(), *self._state.requests.values()]
        return next((each.card for each in begun if each.epoch == epoch), None)

    def abandon(self, text: str) -> None:
        """Give up on an unfinished card: the issuer does not answer it any more."""
        state = self._state
        state.sessions = {key: session for key, session in state.sessions.items() if session.card != text}
        state.requests = {key: request for key, request in state.requests.items() if request.card != text}

    def challenge(self, text: str) -> str:
        """Blind one token for each offer. To be saved before the card is passed on: the answer needs what is kept."""
        offer = cards.decode(text, "tokens-offer").fields
        request = self._state.requests.get(offer["request"])
        if request is None:
            raise InvalidInput("this offer belongs to no open request of yours", "it was used, or it is another's")
        if offer["epoch"] != request.epoch or len(offer["offers"]) != len(request.relays):
            raise InvalidInput("this offer is not for what was asked", "ask again; tell IT")
        pairs = zip(request.relays, offer["offers"], strict=True)
        made = [self._blinded(request.epoch, relay, (first, second)) for relay, (first, second) in pairs]
        challenges = [list(blinded.challenges) for _, blinded in made]
        card = {"v": cards.VERSION, "session": offer["session"], "member": self._identity.key, "challenges": challenges}
        answer = self._signed("tokens-challenge", card)
        pending = [PendingToken(secret, blinded.pack()) for secret, blinded in made]
        self._state.sessions[offer["session"]] = TokenSession(request.epoch, request.relays, answer, pending)
        del self._state.requests[offer["request"]]
        return answer

    def finish(self, text: str) -> tuple[int, int]:
        """Take the issuer's answer: (epoch, number of tokens). All of them are good, or none is taken."""
        answer = cards.decode(text, "tokens-answer").fields
        session = self._state.sessions.get(answer["session"])
        if session is None:
            raise InvalidInput("this answer belongs to no open request of yours", "it was used, or it is another's")
        if len(answer["answers"]) != len(session.pending):
            raise IntegrityError("the issuer answered another number of tokens", "ask again; tell IT")
        parts = zip(session.relays, session.pending, answer["answers"], strict=True)
        tokens = [self._unblinded(session.epoch, relay, pending, *answered) for relay, pending, answered in parts]
        self._state.tokens += tokens
        del self._state.sessions[answer["session"]]
        return session.epoch, len(tokens)

    def _epoch_key(self, epoch: int) -> bytes | None:
        return self._federation.governing(epoch).epoch_key(epoch)

    def _blinded(self, epoch: int, relay: bytes, offer: tuple[bytes, bytes]) -> tuple[bytes, blind.Blinded]:
        """A fresh token secret, and its key blinded for both clauses."""
        secret = blind.even_secret(blind.random_scalar())
        message = self._message(epoch, relay, secret)
        key = self._epoch_key(epoch)
        if key is None:
            raise NotPermitted(f"there is no token key for epoch {epoch}", "run 'tessera status', ask again")
        return secret, blind.blind(key, message, offer)

    def _message(self, epoch: int, relay: bytes, secret: bytes) -> bytes:
        return blind.token_message(self._federation.id, epoch, relay, curve.public(secret)[1:])

    def _unblinded(self, epoch: int, relay: bytes, pending: PendingToken, bit: int, scalar: bytes) -> Token:
        """The token, once its signature verifies as the relay will verify it."""
        signature = blind.Blinded.unpack(pending.blinded).unblind(bit, scalar)
        key = self._epoch_key(epoch)
        if key is None or not curve.verify(signature, self._message(epoch, relay, pending.secret), key):
            raise IntegrityError("the issuer's answer does not make a valid token", "ask again; tell IT")
        return Token(epoch, relay, pending.secret, curve.public(pending.secret)[1:], signature)

    def _signed(self, kind: str, fields: dict[str, Any]) -> str:
        signature = self._identity.sign(hashes.tagged(kind, cards.canonical(fields)))
        return cards.encode(kind, {**fields, "sig": signature})
