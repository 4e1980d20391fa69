"""Who may have tokens, how many, and that no session is ever finished twice (PROTOCOL §6, DESIGN §6).

Owns the issuer's open sessions and its counts. Leaves to others: the arithmetic (blind.py), the keystore that holds
this state and saves it (store.py), the form of the cards (cards.py).

The rules, in the order they are checked:
- the member is on the roster and the card's signature is the member's;
- a request is for tokens_per_epoch tokens for every relay and every epoch from the open one to `ahead` later, of the
  generation that it names: the newest set's, or, for the epochs until that begins, that of the set in force. What a
  member had of it before is not offered again. So all requests look alike, however long somebody was away;
- a request is offered sessions once. The same card shown again while they are open gets the same offer again (the same
  R0, R1: nothing new is said); shown later it is refused, so nobody can use up a member's quota with an old card;
- every session is charged to the member when it is opened, finished or not, by generation, epoch and relay;
- a member has one open batch; a new request aborts the one before;
- at most 4 sessions are open under one epoch key, of all members together. Clause blind Schnorr is as strong as the
  modified ROS problem is hard: with w sessions open at once the best known forgery of one more token (Wagner's
  k-list algorithm) costs (w+1)·2^(256/(1+⌊log2(w+1)⌋)) steps and succeeds with probability 2^-w: 2^87 steps at w = 4,
  2^55 at w = 15. So that nobody can keep others out by opening sessions and leaving them, a batch older than
  `patience_seconds` gives way when its place is wanted, and only then: a member may answer by mail hours later. One
  that was opened over the network gives way after ONLINE_PATIENCE_SECONDS: its challenge follows at once or never;
- a session is spent, and that is durable, before b is drawn. The same challenge shown again gets the same answer again
  (nothing new is said: an answer that was lost on its way costs nobody a token); another one finds no session.

Kept after a session is over: the numbers charged, the digests of the requests, and the answers with the digests of
their challenges, until the last of their epochs is over or their generation ends. None says anything about a token:
blindness is unconditional. **A keystore restored from a backup may hold sessions that were answered since, and counts
that are too low**: `restored` (tessera issuer restored) must be called after a restore, or two answers under one nonce
give an epoch key away; from then on only a new generation has tokens.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tessera import curve, hashes
from tessera.params import Parameters

from ..clock import local_time
from ..duration import DAY_SECONDS
from ..errors import InvalidInput, NotOnRoster, NotPermitted, TryLater
from ..protocol import blind, cards
from ..protocol.limits import OPEN_SESSIONS_PER_KEY

PATIENCE_SECONDS_MAX = 3600
ONLINE_PATIENCE_SECONDS = 60
CLOCK_TOLERANCE_SECONDS = DAY_SECONDS
UNASKED = bytes(32)  # of an offer that no request asked for

EpochSecret = Callable[[int, int, int], bytes]  # of (generation, epoch, relay id)
IsMember = Callable[[bytes], bool]


@dataclass(frozen=True)
class Terms:
    """What there are tokens of: the epochs of one generation, by the rules of the set that has its keys."""

    parameters: Parameters
    epochs: range

    @property
    def generation(self) -> int:
        return int(self.parameters.generation)


@dataclass(frozen=True)
class Key:
    """An epoch key of the terms at hand: which one."""

    epoch: int
    relay: int


class Issuance:
    """A view of the issuer keystore's map `{"charged", "seen", "open", "answered", "lost"}`; `save` makes changes
    durable.

    `charged` counts by generation, epoch, relay and member; `seen` has digests of requests by the epoch in which they
    were answered, which is at most one off their own; generations up to `lost` have no counts to be relied on.
    """

    def __init__(self, state: dict[str, Any], terms: Sequence[Terms], save: Callable[[], None]) -> None:
        """terms: of the newest set first."""
        self._state = state
        self._terms = [each for each in terms if each.generation > state["lost"]]
        self._newest = terms[0].parameters
        self._save = save

    @staticmethod
    def empty() -> dict[str, Any]:
        return {"charged": {}, "seen": {}, "open": [], "answered": {}, "lost": 0}

    @property
    def patience_seconds(self) -> int:
        return int(min(PATIENCE_SECONDS_MAX, max(1, self._epoch_seconds // 4)))

    def charged(self, member: bytes, epoch: int) -> int:
        """Sessions of this epoch the member has had at all relays, open ones included; of the newest generation that
        has this epoch."""
        terms = next((each for each in self._terms if epoch in each.epochs), None)
        counts = self._counts(terms, epoch).values() if terms else ()
        return sum(int(of_relay.get(member, 0)) for of_relay in counts)

    def open_sessions(self, key: Key | None = None) -> int:
        """Under one key of the newest terms, or all."""
        return sum(len(_under(batch, key)) for batch in self._state["open"])

    # -- requests

    def offer(self, card: cards.Card, is_member: IsMember, now: int, online: bool = False) -> str:
        """Open sessions for a tokens-request; the tokens-offer. Raises NotPermitted, InvalidInput."""
        fields = card.fields
        _check_signature(card, is_member)
        self._check_time(fields["time"], fields["epoch"], now)
        terms = self._terms_of(fields["generation"])
        digest = hashes.tagged("request", card.payload)
        for batch in self._state["open"]:
            if batch["request"] == digest:
                return _offer_card(batch)
        if any(digest in seen for seen in self._state["seen"].values()):
            raise NotPermitted("this request was answered before", "make a new one; what it opened stays charged")
        return self._offered(fields["member"], terms, digest, now, online)

    def offer_unasked(self, member: bytes, now: int) -> str:
        """Open sessions for a member who has not asked, by the newest terms; the tokens-offer. For offices without the
        service. Raises NotPermitted."""
        return self._offered(member, self._terms_of(int(self._newest.generation)), UNASKED, now, online=False)

    def _offered(self, member: bytes, terms: Terms, digest: bytes, now: int, online: bool) -> str:
        current = self._epoch_at(now)
        self._forget_before(current)
        lacking = list(self._lacking(member, terms, max(0, current)))
        if not lacking:
            return _offer_card(_batch(member, terms.generation, lacking, digest, now, online))
        self._make_room(member, terms.generation, Counter(lacking), now)
        batch = _batch(member, terms.generation, lacking, digest, now, online)
        self._state["open"].append(batch)
        self._state["seen"].setdefault(current, []).append(digest)
        self._charge(batch)
        try:
            self._save()
        except BaseException:
            self._state["open"].remove(batch)  # never offered, so never to be answered
            raise
        return _offer_card(batch)

    def _lacking(self, member: bytes, terms: Terms, current: int) -> Iterator[Key]:
        """A key for each token that the member may have now: at most 4 a key, and never more in all than the relays
        have room for (PROTOCOL §2, capacity): the roster may change within a generation."""
        allowed = int(terms.parameters.tokens_per_epoch)
        for epoch in range(current, current + terms.parameters.ahead + 1):
            if epoch not in terms.epochs:
                continue
            counts = self._counts(terms, epoch)
            for relay in terms.parameters.relays:
                of_relay = counts.get(relay.id, {})
                room = terms.parameters.members * allowed - sum(of_relay.values())
                count = min(allowed - of_relay.get(member, 0), room, OPEN_SESSIONS_PER_KEY)
                yield from [Key(epoch, relay.id)] * count

    def _charge(self, batch: dict[str, Any]) -> None:
        charged, member = self._state["charged"].setdefault(batch["generation"], {}), batch["member"]
        for epoch, relay, *_ in batch["offers"]:
            of_relay = charged.setdefault(epoch, {}).setdefault(relay, {})
            of_relay[member] = of_relay.get(member, 0) + 1

    def _make_room(self, member: bytes, generation: int, wanted: Counter[Key], now: int) -> None:
        """Abort the member's own batch, then the oldest of others that had their time, until the sessions fit."""
        aborted = [batch for batch in self._state["open"] if batch["member"] == member]
        others = [
            batch for batch in self._state["open"] if batch["member"] != member
        ]  # oldest first: they are appended
        for key, count in wanted.items():
            of_key = [batch for batch in others if batch["generation"] == generation and _under(batch, key)]
            while sum(len(_under(batch, key)) for batch in of_key) + count > OPEN_SESSIONS_PER_KEY:
                wait = of_key[0]["opened"] + self._patience(of_key[0]) - now
                if wait > 0:
                    raise TryLater("others are fetching tokens at this moment", f"try again in {wait} seconds", wait)
                others.remove(of_key[0])
                aborted.append(of_key.pop(0))
        self._state["open"] = [batch for batch in self._state["open"] if batch not in aborted]

    # -- challenges

    def answer(self, card: cards.Card, is_member: IsMember, epoch_secret: EpochSecret, now: int) -> str:
        """Finish the sessions of a tokens-challenge; the tokens-answer. They are spent, durably, before b is drawn.

        The same challenge again gets the same answer. Raises NotPermitted, InvalidInput; a refused card spends nothing.
        """
        fields = card.fields
        digest = hashes.tagged(card.kind, cards.without_signature(fields))
        if (earlier := self._state["answered"].get(fields["session"])) and earlier["challenge"] == digest:
            _check_signature(card, is_member)
            return str(earlier["answer"])
        batch = self._batch(fields["session"])
        if batch["member"] != fields["member"]:
            raise NotPermitted("this session was opened by another member", "nothing to do; tell IT")
        _check_signature(card, is_member)
        if len(fields["challenges"]) != len(batch["offers"]):
            raise InvalidInput(
                "the card answers another number of offers than were made", "make the challenge card again"
            )
        for pair in fields["challenges"]:
            for challenge in pair:
                blind.check_challenge(challenge)
        self._state["open"].remove(batch)
        self._save()
        answers = []
        for (epoch, relay, *nonces), (c0, c1) in zip(batch["offers"], fields["challenges"], strict=True):
            secret = epoch_secret(batch["generation"], epoch, relay)
            answers.append(list(blind.answer(secret, blind.Nonces(*nonces), (c0, c1))))
        answer = cards.encode("tokens-answer", {"session": fields["session"], "answers": answers})
        kept = {"epoch": _last_epoch(batch), "challenge": digest, "answer": answer}
        self._forget_before(self._epoch_at(now))
        self._state["answered"][fields["session"]] = kept
        self._save()
        return answer

    def _batch(self, session: bytes) -> dict[str, Any]:
        for batch in self._state["open"]:
            if batch["session"] == session:
                found: dict[str, Any] = batch
                return found
        raise NotPermitted(
            "no session of this number is open: it was answered, given up, or is another issuer's", "make a new request"
        )

    # -- ends; nothing is saved here

    def abort(self, member: bytes) -> None:
        """Close a member's sessions for good; they stay charged."""
        self._state["open"] = [batch for batch in self._state["open"] if batch["member"] != member]

    def restored(self, generation: int) -> int:
        """After a restore from a backup: how many sessions were closed. Generations up to this one have no tokens any
        more, as nobody knows how many of theirs were issued since."""
        count = self.open_sessions()
        self._state |= self.empty() | {"lost": generation}
        return count

    def _forget_before(self, epoch: int) -> None:
        state = self._state
        state["charged"] = {
            generation: {each: of for each, of in epochs.items() if each >= epoch}
            for generation, epochs in state["charged"].items()
        }
        state["seen"] = {each: of for each, of in state["seen"].items() if each >= epoch - 2}
        state["open"] = [batch for batch in state["open"] if _last_epoch(batch) >= epoch]
        state["answered"] = {session: each for session, each in state["answered"].items() if each["epoch"] >= epoch}

    # -- what holds

    def _check_time(self, made: int, epoch: int, now: int) -> None:
        if abs(now - made) > CLOCK_TOLERANCE_SECONDS:
            raise NotPermitted("the request was made more than a day from now", "check both clocks, then ask again")
        current = max(0, self._epoch_at(now))
        if abs(epoch - current) > 1:
            raise NotPermitted(
                f"the request is of epoch {epoch}, and here it is epoch {current}", "check both clocks, then ask again"
            )

    def _terms_of(self, generation: int) -> Terms:
        for terms in self._terms:
            if terms.generation == generation:
                return terms
        if 0 < generation <= self._state["lost"]:
            newest = self._newest
            begins = newest.genesis + newest.first_epoch * newest.epoch_rounds * newest.round_seconds
            raise NotPermitted(
                "IT's computer was restored from a backup: there is no more access for the epochs before the next keys",
                f"what you do not have by now you get from {local_time(begins)} on",
            )
        raise NotPermitted(
            f"there are no tokens of generation {generation} of the office's keys",
            "fetch the newest card and ask again",
        )

    def _counts(self, terms: Terms, epoch: int) -> dict[int, dict[bytes, int]]:
        counts: dict[int, dict[bytes, int]] = self._state["charged"].get(terms.generation, {}).get(epoch, {})
        return counts

    def _epoch_at(self, now: int) -> int:
        return int(self._newest.epoch_of(self._newest.round_at(now)))

    @property
    def _epoch_seconds(self) -> int:
        return int(self._newest.round_seconds * self._newest.epoch_rounds)

    def _patience(self, batch: dict[str, Any]) -> int:
        most = self.patience_seconds
        return min(ONLINE_PATIENCE_SECONDS, most) if batch["online"] else most


def new_generation(state: dict[str, Any], kept: int) -> None:
    """Before a set is shown whose keys are others: close all sessions and forget all answers, as nothing is said any
    more under keys that go. Of counts those of the generation `kept`, which is in force until the new one begins, stay.
    """
    state["open"], state["answered"] = [], {}
    state["charged"] = {each: of for each, of in state["charged"].items() if each == kept}


def _batch(
    member: bytes, generation: int, keys: Sequence[Key], digest: bytes, now: int, online: bool
) -> dict[str, Any]:
    """Fresh sessions under these keys, which nobody was offered yet."""
    nonces = [blind.Nonces.fresh() for _ in keys]
    return {
        "session": secrets.token_bytes(16),
        "member": member,
        "generation": generation,
        "request": digest,
        "opened": now,
        "online": online,
        "offers": [[key.epoch, key.relay, pair.r0, pair.r1] for key, pair in zip(keys, nonces, strict=True)],
    }


def _under(batch: dict[str, Any], key: Key | None) -> list[list[Any]]:
    """The sessions of a batch that are under this key."""
    return [offer for offer in batch["offers"] if key in (None, Key(offer[0], offer[1]))]


def _last_epoch(batch: dict[str, Any]) -> int:
    return max((int(offer[0]) for offer in batch["offers"]), default=-1)


def _offer_card(batch: dict[str, Any]) -> str:
    offers = [[epoch, relay, *blind.Nonces(r0, r1).offer()] for epoch, relay, r0, r1 in batch["offers"]]
    fields = {name: batch[name] for name in ("request", "session", "generation")}
    return cards.encode("tokens-offer", {**fields, "offers": offers})


def _check_signature(card: cards.Card, is_member: IsMember) -> None:
    if not is_member(card.fields["member"]):
        raise NotOnRoster("this member is not on the roster", "tessera issuer invite DIR NAME, for who is to be one")
    message = hashes.tagged(card.kind, cards.without_signature(card.fields))
    if not curve.verify(card.fields["sig"], message, card.fields["member"]):
        raise InvalidInput(f"the signature of this {card.kind} card does not hold", "it was changed; make a new one")
