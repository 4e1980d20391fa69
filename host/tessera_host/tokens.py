"""A member's tokens: how they are asked for (PROTOCOL §6 and §12, the member's side) and which one is used when.

Owns the token cards as the member makes and takes them, and the wallet. The blinding itself is `blind`'s, the issuer's
side `issuer`'s, the use of a token on a connection `member`'s.

The first token of an epoch and relay fetches, the others post, one after the other: a relay that sees both on one
token would know that a sender is also the owner of a bucket.
"""

import secrets
from dataclasses import dataclass
from typing import Any

from tessera import curve, hashes

from . import blind, cards
from .contacts import Identity
from .errors import IntegrityError, InvalidInput, NotPermitted
from .federation import Federation
from .issuance import OPEN_SESSIONS_PER_KEY


@dataclass
class Token:
    """A view of one token in the keystore."""

    state: dict[str, Any]

    def __repr__(self) -> str:
        return f"Token(epoch={self.epoch}, left={self.left})"

    @property
    def epoch(self) -> int:
        return int(self.state["epoch"])

    @property
    def left(self) -> int | None:
        """Posts left; None before its first session."""
        left: int | None = self.state["left"]
        return left

    @property
    def resume(self) -> bytes | None:
        """The resumption secret of its last session, if there may be one to resume."""
        secret: bytes | None = self.state["resume"]
        return secret

    def proof(self, handshake_hash: bytes) -> bytes:
        """Proof of possession for one channel (PROTOCOL §6), 64 bytes."""
        message = hashes.tagged("session", handshake_hash)
        signature: bytes = curve.sign(self.state["secret"], message, secrets.token_bytes(32))
        return signature

    def admitted(self, resume: bytes, left: int) -> None:
        """What the answer to AUTH said."""
        self.state["resume"], self.state["left"] = resume, left

    def resumed(self, following: bytes | None) -> None:
        """Its resumption secret was used up; `following` is the next, None if there is no session to resume."""
        self.state["resume"] = following

    def posted(self) -> None:
        self.state["left"] -= 1

    def spent(self) -> None:
        self.state["left"] = 0


class Wallet:
    """A view of the keystore's map `{"tokens", "requests", "sessions"}`."""

    def __init__(self, state: dict[str, Any], identity: Identity, federation: Federation) -> None:
        self._state = state
        self._identity = identity
        self._federation = federation

    # -- use

    def of(self, epoch: int, relay: bytes) -> list[Token]:
        return [Token(s) for s in self._state["tokens"] if s["epoch"] == epoch and s["relay"] == relay]

    def for_fetching(self, epoch: int, relay: bytes) -> Token:
        """Raises NotPermitted if there are no tokens for this epoch and relay."""
        tokens = self.of(epoch, relay)
        if not tokens:
            raise NotPermitted(f"no tokens for epoch {epoch}", "'tessera token fetch' gets them, an epoch ahead")
        return tokens[0]

    def for_posting(self, epoch: int, relay: bytes) -> Token:
        """The first with posts left. Raises NotPermitted if there is none."""
        self.for_fetching(epoch, relay)
        for token in self._posting(epoch, relay):
            if token.left != 0:
                return token
        raise NotPermitted(f"the posts of epoch {epoch} are used up", "what waits can be sent in the next epoch")

    def posting_tokens(self, epoch: int, relay: bytes) -> int:
        """How many there are, used up or not."""
        return len(self._posting(epoch, relay))

    def for_posting_turn(self, epoch: int, relay: bytes, turn: int) -> Token:
        """The posting token of that number, whatever it has left; the last one if there are fewer."""
        tokens = self._posting(epoch, relay)
        if not tokens:
            raise NotPermitted(
                f"no tokens to post with in epoch {epoch}", "'tessera token fetch' gets them, an epoch ahead"
            )
        return tokens[min(turn, len(tokens) - 1)]

    def _posting(self, epoch: int, relay: bytes) -> list[Token]:
        """All but the one that fetches; nothing is fetched from other relays than the home relay."""
        return self.of(epoch, relay)[1 if relay == self._federation.home.key else 0 :]

    def counts(self) -> list[dict[str, Any]]:
        """For people: tokens and posts left by epoch and relay."""
        groups = sorted({(state["epoch"], state["relay"]) for state in self._state["tokens"]})
        return [self._count(epoch, relay) for epoch, relay in groups]

    def _count(self, epoch: int, relay: bytes) -> dict[str, Any]:
        posts = self._federation.governing(epoch).posts_per_token
        left = sum(posts if token.left is None else token.left for token in self._posting(epoch, relay))
        name = self._federation.relay_with_key(relay).name
        return {"epoch": epoch, "relay": name, "tokens": len(self.of(epoch, relay)), "posts_left": int(left)}

    def forget_before(self, epoch: int) -> None:
        """Erase what belongs to epochs that are over."""
        self._state["tokens"] = [state for state in self._state["tokens"] if state["epoch"] >= epoch]
        for kind in ("requests", "sessions"):
            open_ = self._state[kind].items()
            self._state[kind] = {key: state for key, state in open_ if state["epoch"] >= epoch}

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
        held = len([state for state in self._state["tokens"] if state["epoch"] == epoch])
        return max(0, int(self._federation.governing(epoch).tokens_per_epoch) - held)

    def request(self, epoch: int, relay: bytes, now: int, count: int | None = None) -> str:
        """The card that asks for tokens of an epoch, for one relay (the relay is not in it); by default for as many as
        are lacking and one request may ask for."""
        count = min(self.lacking(epoch), OPEN_SESSIONS_PER_KEY, count or OPEN_SESSIONS_PER_KEY)
        fields = {"v": cards.VERSION, "member": self._identity.key, "epoch": epoch, "count": count, "time": now}
        text = self._signed("tokens-request", fields)
        key = hashes.tagged("request", cards.decode(text).payload)
        self._state["requests"][key] = {"epoch": epoch, "relay": relay, "count": count}
        return text

    def challenge(self, text: str) -> str:
        """Blind one token for each offer. To be saved before the card is passed on: the answer needs what is kept."""
        offer = cards.decode(text, "tokens-offer").fields
        request = self._state["requests"].get(offer["request"])
        if request is None:
            raise InvalidInput("this offer belongs to no open request of yours", "it was used, or it is another's")
        if offer["epoch"] != request["epoch"] or len(offer["offers"]) != request["count"]:
            raise InvalidInput("this offer is not for what was asked", "ask again; tell IT")
        made = [self._blinded(request, (first, second)) for first, second in offer["offers"]]
        challenges = [list(blinded.challenges) for _, blinded in made]
        card = {"v": cards.VERSION, "session": offer["session"], "member": self._identity.key, "challenges": challenges}
        answer = self._signed("tokens-challenge", card)
        pending = [[secret, blinded.pack()] for secret, blinded in made]
        self._state["sessions"][offer["session"]] = {**request, "blinded": pending}
        del self._state["requests"][offer["request"]]
        return answer

    def finish(self, text: str) -> tuple[int, int]:
        """Take the issuer's answer: (epoch, number of tokens). All of them are good, or none is taken."""
        answer = cards.decode(text, "tokens-answer").fields
        session = self._state["sessions"].get(answer["session"])
        if session is None:
            raise InvalidInput("this answer belongs to no open request of yours", "it was used, or it is another's")
        if len(answer["answers"]) != len(session["blinded"]):
            raise IntegrityError("the issuer answered another number of tokens", "ask again; tell IT")
        pairs = zip(session["blinded"], answer["answers"], strict=True)
        tokens = [self._unblinded(session, *blinded, *answered) for blinded, answered in pairs]
        self._state["tokens"] += tokens
        del self._state["sessions"][answer["session"]]
        return int(session["epoch"]), len(tokens)

    def _epoch_key(self, epoch: int) -> bytes | None:
        key: bytes | None = self._federation.governing(epoch).epoch_key(epoch)
        return key

    def _blinded(self, request: dict[str, Any], offer: tuple[bytes, bytes]) -> tuple[bytes, blind.Blinded]:
        """A fresh token secret, and its key blinded for both clauses."""
        secret = blind.even_secret(blind.random_scalar())
        message = self._message(request, secret)
        key = self._epoch_key(request["epoch"])
        if key is None:
            raise NotPermitted(f"there is no token key for epoch {request['epoch']}", "run 'tessera status', ask again")
        return secret, blind.blind(key, message, offer)

    def _message(self, request: dict[str, Any], secret: bytes) -> bytes:
        key = curve.public(secret)[1:]
        return blind.token_message(self._federation.id, request["epoch"], request["relay"], key)

    def _unblinded(
        self, session: dict[str, Any], secret: bytes, packed: bytes, bit: int, scalar: bytes
    ) -> dict[str, Any]:
        """The token, once its signature verifies as the relay will verify it."""
        signature = blind.Blinded.unpack(packed).unblind(bit, scalar)
        if not curve.verify(signature, self._message(session, secret), self._epoch_key(session["epoch"])):
            raise IntegrityError("the issuer's answer does not make a valid token", "ask again; tell IT")
        token = {"epoch": session["epoch"], "relay": session["relay"], "secret": secret, "signature": signature}
        return {**token, "key": curve.public(secret)[1:], "left": None, "resume": None}

    def _signed(self, kind: str, fields: dict[str, Any]) -> str:
        signature = self._identity.sign(hashes.tagged(kind, cards.canonical(fields)))
        return cards.encode(kind, {**fields, "sig": signature})
