"""Who may have tokens, how many, and that no session is ever finished twice (PROTOCOL §6, DESIGN §6).

Owns the issuer's open sessions and its counts. Leaves to others: the arithmetic (blind.py), the keystore that holds
this state and saves it (store.py), the form of the cards (cards.py).

The rules, in the order they are checked:
- the member is on the roster and the card's signature is the member's;
- tokens are issued for the epoch after the current one; in the issuer's first epoch for that one too;
- a request is offered sessions once. The same card shown again while they are open gets the same offer again (the same
  R0, R1: nothing new is said); shown later it is refused, so nobody can use up a member's quota with an old card;
- every session is charged to the member when it is opened, finished or not: at most tokens_per_epoch a member an epoch;
- a member has one open batch an epoch; a new request aborts the one before;
- at most 4 sessions are open under one epoch key, of all members together. Clause blind Schnorr is as strong as the
  modified ROS problem is hard: with w sessions open at once the best known forgery of one more token (Wagner's
  k-list algorithm) costs (w+1)·2^(256/(1+⌊log2(w+1)⌋)) steps and succeeds with probability 2^-w: 2^87 steps at w = 4,
  2^55 at w = 15. So that nobody can keep others out by opening sessions and leaving them, a batch older than
  `patience_seconds` gives way when its place is wanted, and only then: a member may answer by mail hours later. One
  that was opened over the network gives way after ONLINE_PATIENCE_SECONDS: its challenge follows at once or never;
- a session is spent, and that is durable, before b is drawn. The same challenge shown again gets the same answer again
  (nothing new is said: an answer that was lost on its way costs nobody a token); another one finds no session.

Kept after a session is over: the number charged to the member in this epoch, the digests of the requests, and the
answers with the digests of their challenges; all go when the epoch is over. None says anything about a token: blindness
is unconditional. **A keystore restored from a backup may hold sessions that
were answered since**: `abort_all` (tessera issuer abort) must be called after a restore, or two answers under one nonce
give the epoch's key away.
"""

import secrets
from collections.abc import Callable
from typing import Any

from tessera import curve, hashes

from ..duration import DAY_SECONDS
from ..errors import InvalidInput, NotOnRoster, NotPermitted, QuotaUsed, TryLater
from ..protocol import blind, cards
from ..protocol.limits import OPEN_SESSIONS_PER_KEY

PATIENCE_SECONDS_MAX = 3600
ONLINE_PATIENCE_SECONDS = 60
CLOCK_TOLERANCE_SECONDS = DAY_SECONDS

EpochSecret = Callable[[int], bytes]


class Issuance:
    """A view of the issuer keystore's map `{"charged", "seen", "open", "answered"}`; `save` makes changes durable."""

    def __init__(self, state: dict[str, Any], parameters: Any, made_epoch: int, save: Callable[[], None]) -> None:
        """parameters: the set in force (tessera.params.Parameters)."""
        self._state = state
        self._state.setdefault("answered", {})
        self._parameters = parameters
        self._made_epoch = made_epoch
        self._save = save

    @staticmethod
    def empty() -> dict[str, Any]:
        return {"charged": {}, "seen": {}, "open": [], "answered": {}}

    @property
    def patience_seconds(self) -> int:
        epoch_seconds = self._parameters.round_seconds * self._parameters.epoch_rounds
        return int(min(PATIENCE_SECONDS_MAX, max(1, epoch_seconds // 4)))

    def charged(self, member: bytes, epoch: int) -> int:
        """Sessions of this epoch the member has had, open ones included."""
        return int(self._state["charged"].get(epoch, {}).get(member, 0))

    def open_sessions(self, epoch: int | None = None) -> int:
        return sum(len(batch["nonces"]) for batch in self._state["open"] if epoch in (None, batch["epoch"]))

    def offer(self, card: cards.Card, is_member: Callable[[bytes], bool], now: int, online: bool = False) -> str:
        """Open sessions for a tokens-request; the tokens-offer. Raises NotPermitted, InvalidInput."""
        fields = card.fields
        member, epoch, count = fields["member"], fields["epoch"], fields["count"]
        _check_signature(card, is_member)
        if abs(now - fields["time"]) > CLOCK_TOLERANCE_SECONDS:
            raise NotPermitted("the request was made more than a day from now", "check both clocks, then ask again")
        current = self._epoch_at(now)
        self._check_epoch(epoch, current)
        digest = hashes.tagged("request", card.payload)
        for batch in self._state["open"]:
            if batch["request"] == digest:
                return _offer_card(batch)
        if digest in self._state["seen"].get(epoch, []):
            raise NotPermitted("this request was answered before", "make a new one; what it opened stays charged")
        self._check_quota(member, epoch, count)
        self._forget_before(current)
        self._make_room(member, epoch, count, now)
        batch = self._open(member, epoch, count, digest, now, online)
        try:
            self._save()
        except BaseException:
            self._state["open"].remove(batch)  # never offered, so never to be answered
            raise
        return _offer_card(batch)

    def answer(self, card: cards.Card, is_member: Callable[[bytes], bool], epoch_secret: EpochSecret, now: int) -> str:
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
        self._check_epoch(batch["epoch"], self._epoch_at(now))
        if len(fields["challenges"]) != len(batch["nonces"]):
            raise InvalidInput(
                "the card answers another number of offers than were made", "make the challenge card again"
            )
        for pair in fields["challenges"]:
            for challenge in pair:
                blind.check_challenge(challenge)
        self._state["open"].remove(batch)
        self._save()
        secret = epoch_secret(batch["epoch"])
        pairs = zip(batch["nonces"], fields["challenges"], strict=True)
        answers = [list(blind.answer(secret, blind.Nonces(*nonces), (c0, c1))) for nonces, (c0, c1) in pairs]
        answer = cards.encode("tokens-answer", {"session": fields["session"], "answers": answers})
        self._state["answered"][fields["session"]] = {"epoch": batch["epoch"], "challenge": digest, "answer": answer}
        self._save()
        return answer

    def abort(self, member: bytes) -> None:
        """Close a member's sessions for good; they stay charged. Not saved here."""
        self._state["open"] = [batch for batch in self._state["open"] if batch["member"] != member]

    def abort_all(self) -> int:
        """Close every open session; how many there were. Not saved here."""
        count = self.open_sessions()
        self._state["open"] = []
        return count

    def _epoch_at(self, now: int) -> int:
        return int(self._parameters.round_at(now) // self._parameters.epoch_rounds)

    def _check_epoch(self, epoch: int, current: int) -> None:
        if self._parameters.epoch_key(epoch) is None:
            raise NotPermitted(
                f"the key schedule has no epoch {epoch}",
                f"it covers {self._parameters.first_epoch} to {self._parameters.end_epoch - 1}; it may be over",
            )
        if epoch != current + 1 and not epoch == current == self._made_epoch:
            raise NotPermitted(
                f"tokens for epoch {epoch} are not issued in epoch {current}", f"ask for epoch {current + 1}"
            )

    def _check_quota(self, member: bytes, epoch: int, count: int) -> None:
        allowed = self._parameters.tokens_per_epoch
        left = allowed - self.charged(member, epoch)
        if not 1 <= count <= allowed:
            raise NotPermitted(f"{count} tokens were asked for, an epoch has {allowed}", f"ask for {allowed} or fewer")
        if left == 0:
            raise QuotaUsed(
                f"the member's {allowed} tokens of epoch {epoch} are used up, unfinished requests included",
                f"ask again in epoch {epoch}, for epoch {epoch + 1}",
            )
        if count > left:
            raise QuotaUsed(f"the member has {left} of {allowed} tokens of epoch {epoch} left", f"ask for {left}")
        if count > OPEN_SESSIONS_PER_KEY:
            raise NotPermitted(
                f"{count} tokens at once are more than the {OPEN_SESSIONS_PER_KEY} sessions that may be open",
                f"ask for {OPEN_SESSIONS_PER_KEY}, finish, then ask for the rest",
            )
        # The roster may change within an epoch; what the relays have room for does not (PROTOCOL §2, capacity).
        total = sum(self._state["charged"].get(epoch, {}).values())
        if total + count > self._parameters.members * allowed:
            raise NotPermitted(
                f"all tokens of epoch {epoch} are issued: the roster changed within the epoch", "ask in the next epoch"
            )

    def _make_room(self, member: bytes, epoch: int, count: int, now: int) -> None:
        """Abort the member's own batch, then the oldest of others that had their time, until count sessions fit."""
        of_key = [batch for batch in self._state["open"] if batch["epoch"] == epoch]
        aborted = [batch for batch in of_key if batch["member"] == member]
        others = [batch for batch in of_key if batch["member"] != member]  # oldest first: they are appended
        while sum(len(batch["nonces"]) for batch in others) + count > OPEN_SESSIONS_PER_KEY:
            wait = others[0]["opened"] + self._patience(others[0]) - now
            if wait > 0:
                raise TryLater("others are fetching tokens at this moment", f"try again in {wait} seconds", wait)
            aborted.append(others.pop(0))
        self._state["open"] = [batch for batch in self._state["open"] if batch not in aborted]

    def _patience(self, batch: dict[str, Any]) -> int:
        most = self.patience_seconds
        return min(ONLINE_PATIENCE_SECONDS, most) if batch.get("online") else most

    def _open(self, member: bytes, epoch: int, count: int, digest: bytes, now: int, online: bool) -> dict[str, Any]:
        nonces = [blind.Nonces.fresh() for _ in range(count)]
        batch = {
            "session": secrets.token_bytes(16),
            "member": member,
            "epoch": epoch,
            "request": digest,
            "opened": now,
            "online": online,
            "nonces": [[pair.r0, pair.r1] for pair in nonces],
        }
        self._state["open"].append(batch)
        self._state["seen"].setdefault(epoch, []).append(digest)
        charged = self._state["charged"].setdefault(epoch, {})
        charged[member] = charged.get(member, 0) + count
        return batch

    def _batch(self, session: bytes) -> dict[str, Any]:
        for batch in self._state["open"]:
            if batch["session"] == session:
                found: dict[str, Any] = batch
                return found
        raise NotPermitted(
            "no session of this number is open: it was answered, given up, or is another issuer's", "make a new request"
        )

    def _forget_before(self, epoch: int) -> None:
        for kind in ("charged", "seen"):
            self._state[kind] = {key: value for key, value in self._state[kind].items() if key >= epoch}
        self._state["open"] = [batch for batch in self._state["open"] if batch["epoch"] >= epoch]
        answered = self._state["answered"].items()
        self._state["answered"] = {session: answer for session, answer in answered if answer["epoch"] >= epoch}


def _offer_card(batch: dict[str, Any]) -> str:
    offers = [list(blind.Nonces(*nonces).offer()) for nonces in batch["nonces"]]
    fields = {"request": batch["request"], "session": batch["session"], "epoch": batch["epoch"], "offers": offers}
    return cards.encode("tokens-offer", fields)


def _check_signature(card: cards.Card, is_member: Callable[[bytes], bool]) -> None:
    if not is_member(card.fields["member"]):
        raise NotOnRoster("this member is not on the roster", "tessera issuer invite DIR NAME, for who is to be one")
    message = hashes.tagged(card.kind, cards.without_signature(card.fields))
    if not curve.verify(card.fields["sig"], message, card.fields["member"]):
        raise InvalidInput(f"the signature of this {card.kind} card does not hold", "it was changed; make a new one")
