"""Who may have tokens, how many, and that no session is ever finished twice (PROTOCOL §6, DESIGN §6).

Owns the issuer's open sessions and its counts. Leaves to others: the arithmetic (blind.py), the keystore whose tables
hold this state (store.py), the form of the cards (cards.py). What a request reads and writes is a few rows, however
many members there are.

The rules, in the order they are checked:
- the member is on the roster and the card's signature is the member's;
- a request is for tokens_per_epoch tokens for every relay and every epoch from the open one to `ahead` later, of the
  generation that it names: the newest set's, or, for the epochs until that begins, that of the set in force. What a
  member had of it before is not offered again. So all requests look alike, however long somebody was away;
- a request is offered sessions once. The same card shown again while they are open gets the same offer again (the same
  R0, R1: nothing new is said); shown later it is refused, so nobody can use up a member's quota with an old card;
- every session is charged to the member when it is opened, finished or not, by generation, epoch and relay;
- a member has one open batch of a generation; a new request aborts the one before;
- at most 4 sessions are open under one epoch key, of all members of a cohort together. Clause blind Schnorr is as
  strong as the modified ROS problem is hard: with w sessions open at once the best known forgery of one more token
  (Wagner's k-list algorithm) costs (w+1)·2^(256/(1+⌊log2(w+1)⌋)) steps and succeeds with probability 2^-w: 2^87 steps
  at w = 4, 2^55 at w = 15 (docs/design.md §6 has why cohorts, and not more at once). So that nobody can keep others
  out by opening sessions and leaving them, a batch older than `patience_seconds` gives way when its place is wanted,
  and only then: a member may answer by mail hours later. One that was opened over the network gives way after
  ONLINE_PATIENCE_SECONDS: its challenge follows at once or never;
- a session is spent and its answer kept in one transaction, and that is durable before anything of the answer leaves:
  what was cut short before was never said, and the session is as it was. The same challenge shown again gets the same
  answer again (nothing new is said: an answer that was lost on its way costs nobody a token); another one finds no
  session.

Kept after a session is over: the numbers charged, the digests of the requests, and the answers with the digests of
their challenges, until the last of their epochs is over or their generation ends. None says anything about a token:
blindness is unconditional. **A keystore restored from a backup may hold sessions that were answered since, and counts
that are too low**: `restored` (tessera issuer restored) must be called after a restore, or two answers under one nonce
give an epoch key away; from then on only a new generation has tokens.
"""

import secrets
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from tessera import curve, hashes
from tessera.params import Parameters

from ..clock import local_time
from ..duration import DAY_SECONDS
from ..errors import InvalidInput, NotPermitted, TryLater
from ..keys.sealed_tables import Table
from ..protocol import blind, cards
from ..protocol.limits import OPEN_SESSIONS_PER_KEY
from .roster import not_on_roster

PATIENCE_SECONDS_MAX = 3600
ONLINE_PATIENCE_SECONDS = 60
CLOCK_TOLERANCE_SECONDS = DAY_SECONDS
EVERYBODY = b""  # in the place of a member: the sum of all
UNASKED = bytes(32)  # of an offer that no request asked for
SEEN_EPOCHS = 3  # a request is taken a day from its making, and in an epoch next to its own
FORGOTTEN_AT_ONCE = 200  # rows of a table whose time is over that one request deletes: more than it adds

_TAG_BYTES = 8  # of a relay's static key, by which counts are kept

EpochSecret = Callable[[int, int, int, bytes, int], bytes]  # of (generation, epoch, relay id, static key, cohort)
IsMember = Callable[[bytes], bool]


@dataclass(frozen=True)
class Terms:
    """Which tokens can be issued: the epochs of one generation, with the rules of the set that has its keys."""

    parameters: Parameters
    epochs: range

    @property
    def generation(self) -> int:
        return int(self.parameters.generation)

    def cohort(self, member: bytes) -> int:
        return blind.cohort(self.parameters, member)


@dataclass(frozen=True)
class Key:
    """Names an epoch key: its epoch, its relay by id and static key (33 bytes), and its cohort. A relay that took over
    another's id has keys of its own."""

    epoch: int
    relay: int
    static_key: bytes
    cohort: int = 0

    @property
    def tag(self) -> bytes:
        return _tag(self.static_key)


class State(Protocol):
    """What an issuer's keystore gives: what is kept once, tables, and a transaction."""

    @property
    def data(self) -> Any: ...

    def table(self, name: str) -> Table: ...

    def change(self) -> AbstractContextManager[None]: ...


class Issuance:
    """A view of four of the issuer keystore's tables.

    `charged` counts by generation and member, and by generation of all, `{epoch: {relay: count}}` each, a relay by a
    tag of its static key; `seen` has the digests of requests, for as long as they would be taken, by the epoch in which
    they were answered, which is at most one off their own; `open` has batches, those of a cohort in a part, and
    `answered` answers, by session.
    Generations up to `lost` have no counts to be relied on.

    `offer` and `answer` change the keystore in transactions of their own; the methods under "ends" are called within
    one.
    """

    TABLES = ("charged", "seen", "open", "answered")

    def __init__(self, keystore: State, terms: Sequence[Terms]) -> None:
        """terms: of the newest set first."""
        self._data, self._change = keystore.data, keystore.change
        self._charged, self._seen, self._open, self._answered = map(keystore.table, self.TABLES)
        self._terms = [each for each in terms if each.generation > self._data["lost"]]
        self._newest = terms[0].parameters

    @property
    def patience_seconds(self) -> int:
        return int(min(PATIENCE_SECONDS_MAX, max(1, self._epoch_seconds // 4)))

    def charged(self, member: bytes, *epochs: int) -> list[int]:
        """For each of these epochs the number of sessions that the member has had at all relays, open ones included;
        of the newest generation that has the epoch."""
        found: list[int] = []
        counts = {each.generation: self._counts(each.generation, member) for each in self._terms}
        for epoch in epochs:
            generation = next((each.generation for each in self._terms if epoch in each.epochs), None)
            of_epoch = counts[generation].get(epoch) if generation is not None else None
            found.append(sum(of_epoch.values()) if of_epoch else 0)
        return found

    def open_sessions(self, key: Key | None = None) -> int:
        """The number of open sessions, under one key of the newest terms or under all keys."""
        return sum(len(_under(batch, key)) for batch in self._batches())

    # -- requests

    def offer(self, card: cards.Card, is_member: IsMember, now: int, online: bool = False) -> str:
        """Open sessions for a tokens-request; the tokens-offer. now: unix seconds; online: the member is connected and
        waits. Raises NotPermitted, InvalidInput."""
        fields = card.fields
        _check_signature(card, is_member)
        self._check_time(fields["time"], fields["epoch"], now)
        terms = self._terms_of(fields["generation"])
        digest = hashes.tagged("request", card.payload)
        for batch in self._batches(terms.cohort(fields["member"])):
            if batch["request"] == digest:
                return _offer_card(batch)
        if self._seen.get(digest) is not None:
            raise NotPermitted(
                "this request was answered before", "make a new one; the tokens of the first stay counted"
            )
        return self._offered(fields["member"], terms, digest, now, online)

    def offer_unasked(self, member: bytes, now: int) -> str:
        """Open sessions for a member who has not asked, by the newest terms; the tokens-offer. For offices without the
        service. Raises NotPermitted."""
        return self._offered(member, self._terms_of(int(self._newest.generation)), UNASKED, now, online=False)

    def _offered(self, member: bytes, terms: Terms, digest: bytes, now: int, online: bool) -> str:
        current = self._epoch_at(now)
        lacking = list(self._lacking(member, terms, max(0, current)))
        batch = _batch(member, terms, lacking, digest, now, online)
        if lacking:
            with self._change():  # what cannot be written was never offered, so it is never answered
                self._forget(current)
                batch["number"] = self._make_room(batch, Counter(lacking), now)
                self._open.put(batch["session"], batch, _end_epoch(batch), batch["cohort"])
                self._seen.put(digest, True, max(0, current) + SEEN_EPOCHS)
                self._charge(batch, current)
        return _offer_card(batch)

    def _lacking(self, member: bytes, terms: Terms, current: int) -> Iterator[Key]:
        """A key for each token that the member may have now: at most 4 a key, and never more in all than the relays
        have room for (PROTOCOL §2, capacity): the roster may change within a generation."""
        allowed, nothing = int(terms.parameters.tokens_per_epoch), Counter[bytes]()
        cohort = terms.cohort(member)
        of_all, of_member = self._counts(terms.generation), self._counts(terms.generation, member)
        for epoch in range(current, current + terms.parameters.ahead + 1):
            if epoch not in terms.epochs:
                continue
            for relay in terms.parameters.relays:
                key = Key(epoch, relay.id, relay.static_key, cohort)
                room = terms.parameters.members * allowed - of_all.get(epoch, nothing)[key.tag]
                count = min(allowed - of_member.get(epoch, nothing)[key.tag], room, OPEN_SESSIONS_PER_KEY)
                yield from [key] * count

    def _charge(self, batch: dict[str, Any], current: int) -> None:
        """Counts of epochs before the current one go."""
        generation = batch["generation"]
        for whose in (EVERYBODY, batch["member"]):
            counts = {epoch: each for epoch, each in self._counts(generation, whose).items() if epoch >= current}
            for epoch, relay, *_ in batch["offers"]:
                counts.setdefault(epoch, Counter())[_tag(batch["keys"][relay])] += 1
            kept = {epoch: dict(each) for epoch, each in counts.items()}
            self._charged.put(_counter(generation, whose), kept, max(kept) + 1, generation)

    def _make_room(self, coming: dict[str, Any], wanted: Counter[Key], now: int) -> int:
        """Abort the member's own batch of the generation, then the oldest of others that had their time, until the
        sessions fit. The number of the batch that comes: one more than any that is open in its cohort."""
        batches = self._batches(coming["cohort"])
        of_generation = [batch for batch in batches if batch["generation"] == coming["generation"]]
        aborted = [batch for batch in of_generation if batch["member"] == coming["member"]]
        others = [batch for batch in of_generation if batch["member"] != coming["member"]]  # oldest first
        for key, count in wanted.items():
            of_key = [batch for batch in others if _under(batch, key)]
            while sum(len(_under(batch, key)) for batch in of_key) + count > OPEN_SESSIONS_PER_KEY:
                wait = of_key[0]["opened"] + self._patience(of_key[0]) - now
                if wait > 0:
                    raise TryLater("others are fetching tokens at this moment", f"try again in {wait} seconds", wait)
                others.remove(of_key[0])
                aborted.append(of_key.pop(0))
        for batch in aborted:
            self._open.delete(batch["session"])
        return max((int(batch["number"]) for batch in batches), default=0) + 1

    def _batches(self, cohort: int | None = None) -> list[dict[str, Any]]:
        """All that are open, or those of a cohort, oldest first: there are few, as four sessions may be open under a
        key."""
        return sorted(self._open.values(cohort), key=lambda batch: int(batch["number"]))

    # -- challenges

    def answer(self, card: cards.Card, is_member: IsMember, epoch_secret: EpochSecret, now: int) -> str:
        """Finish the sessions of a tokens-challenge; the tokens-answer. They are spent, durably, before it is said.

        The same challenge again gets the same answer. Raises NotPermitted, InvalidInput; a refused card spends nothing.
        """
        fields = card.fields
        digest = hashes.tagged(card.kind, cards.without_signature(fields))
        earlier = self._answered.get(fields["session"])
        if earlier is not None and earlier["challenge"] == digest:
            _check_signature(card, is_member)
            return str(earlier["answer"])
        batch = self._batch(fields["session"])
        if batch["member"] != fields["member"]:
            raise NotPermitted("this session was opened by another member", "show this message to IT")
        _check_signature(card, is_member)
        if len(fields["challenges"]) != len(batch["offers"]):
            raise InvalidInput(
                f"the card answers {len(fields['challenges'])} offers, but there were {len(batch['offers'])}",
                "make the challenge card again",
            )
        for pair in fields["challenges"]:
            for challenge in pair:
                blind.check_challenge(challenge)
        with self._change():  # nothing of an answer leaves before it and that its session is spent are durable
            self._forget(self._epoch_at(now))
            self._open.delete(fields["session"])
            answers = []
            for (epoch, relay, *nonces), (c0, c1) in zip(batch["offers"], fields["challenges"], strict=True):
                secret = epoch_secret(batch["generation"], epoch, relay, batch["keys"][relay], batch["cohort"])
                answers.append(list(blind.answer(secret, blind.Nonces(*nonces), (c0, c1))))
            answer = cards.encode("tokens-answer", {"session": fields["session"], "answers": answers})
            self._answered.put(fields["session"], {"challenge": digest, "answer": answer}, _end_epoch(batch))
        return answer

    def _batch(self, session: bytes) -> dict[str, Any]:
        found: dict[str, Any] | None = self._open.get(session)
        if found is None:
            raise NotPermitted(
                "this card's session is not open: it was answered or given up, or another issuer opened it",
                "make a new request",
            )
        return found

    # -- ends; within a transaction of the caller's

    def abort(self, member: bytes) -> None:
        """Close a member's sessions for good; they stay charged."""
        for batch in self._batches():
            if batch["member"] == member:
                self._open.delete(batch["session"])

    def new_generation(self, kept: int) -> None:
        """Close all sessions and forget all answers, before a set with new keys is published: nothing more is signed
        with the old ones. Only the counts of the generation `kept` stay, which is in force until the new one begins."""
        self._open.clear()
        self._answered.clear()
        self._charged.keep_part(kept)

    def restored(self, generation: int) -> int:
        """Close all sessions after a restore from a backup; their number. Generations up to this one get no more
        tokens, as it is not known how many were issued since the backup."""
        count = self.open_sessions()
        for table in (self._charged, self._seen, self._open, self._answered):
            table.clear()
        self._data["lost"] = generation
        return count

    def _forget(self, epoch: int) -> None:
        """What nobody needs any more, a share of it: a day's rows of a large office go in as many requests as made
        them."""
        for table in (self._charged, self._seen, self._open, self._answered):
            table.forget(epoch, FORGOTTEN_AT_ONCE)

    # -- what holds

    def _check_time(self, made: int, epoch: int, now: int) -> None:
        if abs(now - made) > CLOCK_TOLERANCE_SECONDS:
            raise NotPermitted(
                "the date of the request and this issuer's clock differ by more than a day",
                "check the clocks of both computers, then ask again",
            )
        current = max(0, self._epoch_at(now))
        if abs(epoch - current) > 1:
            raise NotPermitted(
                f"the request was made in epoch {epoch}, and this issuer's clock is in epoch {current}",
                "check the clocks of both computers, then ask again",
            )

    def _terms_of(self, generation: int) -> Terms:
        for terms in self._terms:
            if terms.generation == generation:
                return terms
        if 0 < generation <= self._data["lost"]:
            newest = self._newest
            begins = newest.genesis + newest.first_epoch * newest.epoch_rounds * newest.round_seconds
            raise NotPermitted(
                "IT's computer was restored from a backup, so it gives no more tokens for the present keys",
                f"the tokens that you have still work; you get new ones from {local_time(begins)} on",
            )
        raise NotPermitted(
            f"the issuer has no tokens for generation {generation} of the office's keys",
            "fetch the newest federation card and ask again",
        )

    def _counts(self, generation: int, member: bytes = EVERYBODY) -> dict[int, Counter[bytes]]:
        """By epoch and relay: what a member was charged, or all were."""
        kept = self._charged.get(_counter(generation, member)) or {}
        return {epoch: Counter(each) for epoch, each in kept.items()}

    def _epoch_at(self, now: int) -> int:
        return int(self._newest.epoch_of(self._newest.round_at(now)))

    @property
    def _epoch_seconds(self) -> int:
        return int(self._newest.round_seconds * self._newest.epoch_rounds)

    def _patience(self, batch: dict[str, Any]) -> int:
        most = self.patience_seconds
        return min(ONLINE_PATIENCE_SECONDS, most) if batch["online"] else most


def _counter(generation: int, member: bytes) -> bytes:
    return struct.pack(">I", generation) + member


def _batch(member: bytes, terms: Terms, keys: Sequence[Key], digest: bytes, now: int, online: bool) -> dict[str, Any]:
    """Fresh sessions under these keys, which nobody was offered yet."""
    nonces = [blind.Nonces.fresh() for _ in keys]
    return {
        "session": secrets.token_bytes(16),
        "member": member,
        "generation": terms.generation,
        "cohort": terms.cohort(member),
        "request": digest,
        "opened": now,
        "online": online,
        "keys": {key.relay: key.static_key for key in keys},
        "offers": [[key.epoch, key.relay, pair.r0, pair.r1] for key, pair in zip(keys, nonces, strict=True)],
    }


def _under(batch: dict[str, Any], key: Key | None) -> list[list[Any]]:
    """The sessions of a batch that are under this key."""
    keys = batch["keys"]
    cohort = batch["cohort"]
    return [offer for offer in batch["offers"] if key in (None, Key(offer[0], offer[1], keys[offer[1]], cohort))]


def _tag(static_key: bytes) -> bytes:
    return static_key[1 : 1 + _TAG_BYTES]


def _end_epoch(batch: dict[str, Any]) -> int:
    """The first in which none of its sessions is any use."""
    return max(int(offer[0]) for offer in batch["offers"]) + 1


def _offer_card(batch: dict[str, Any]) -> str:
    offers = [[epoch, relay, *blind.Nonces(r0, r1).offer()] for epoch, relay, r0, r1 in batch["offers"]]
    fields = {name: batch[name] for name in ("request", "session", "generation")}
    return cards.encode("tokens-offer", {**fields, "offers": offers})


def _check_signature(card: cards.Card, is_member: IsMember) -> None:
    if not is_member(card.fields["member"]):
        raise not_on_roster()
    message = hashes.tagged(card.kind, cards.without_signature(card.fields))
    if not curve.verify(card.fields["sig"], message, card.fields["member"]):
        raise InvalidInput(
            f"the signature on this {card.kind} card is not valid", "the card was changed; make a new one"
        )
