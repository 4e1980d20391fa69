"""The steady engine: the same frames every round, whether there is something to say or not (DESIGN §9).

A round has, for every relay that the mailbox of a contact of this member, or its own, is on, one frame on a posting
session, which carries a record or nothing, and one fetch from each that its own is on: at random moments that were
chosen before anybody looked at the outbox. Owns the course of rounds and what happens when a relay is away: an answer
that does not come, or says no, ends the slot, and so does the end of the time that a slot may take; the next round has
another. A slot that takes long does not hold up those after it. `schedule` draws the moments; `sending` and
`fetching` send the frames.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from ..errors import NotPermitted, OutOfDate, TesseraError, Unreachable
from ..member.fetching import Fetcher
from ..member.fixed_delay import FixedDelay, Sleep
from ..member.inbox import Message
from ..member.relay_sessions import TokenChoice
from ..member.schema import Token
from ..member.sending import Posted, Sender
from ..member.sharing import SharedMember
from ..member.state import MemberState
from ..member.wallet import TokenKey
from ..protocol.federation import Relay
from ..protocol.records import Part
from ..protocol.relay_connection import HelloRefused
from .schedule import FETCH, POST, EpochSchedule, Slot, moments

DELAY_SECONDS = 0.5
CATCH_UP_REQUESTS = 8  # a round: 128 rounds, or what 10 hours of 5 minutes bring
# How long a slot may take, whatever a relay sends meanwhile: parts of a round, and at least so many seconds.
_POST_PART, _FETCH_PART = 4, 2
_POST_SECONDS, _FETCH_SECONDS = 30.0, 60.0
_LONGEST_SLEEP_SECONDS = 30.0  # a computer that was suspended notices when it wakes up
_PAUSE_SECONDS = 5.0
_ALONE_SECONDS = 3.0  # so long a slot has for itself; then the next one's moment is kept, whatever becomes of this one


class TokenRenewal(Protocol):
    """What visits the issuer (`renewal.Renewal`)."""

    def due_at(self) -> float | None: ...

    def hasten(self) -> None: ...

    async def run(self) -> object: ...


@dataclass(frozen=True)
class Connected:
    """A slot went well; this round is open by the relay's clock."""

    relay: str
    round: int


@dataclass(frozen=True)
class Trouble:
    """A slot or a renewal failed: `error` says what is wrong and what to do; `relay` names the relay if it was a
    slot."""

    error: TesseraError
    relay: str = ""


@dataclass(frozen=True)
class CaughtUp:
    """Rounds read in one slot, how many are still to be read, and how many had expired before they were."""

    rounds: int
    behind: int
    expired: int = 0


@dataclass(frozen=True)
class Safe:
    """A part that was posted is now on all relays that are to have it, where these are several."""

    contact: str
    part: Part


@dataclass(frozen=True)
class Split:
    """A contact was given settings different from this member's (`views.alarm`). It is told once."""

    contact: str


Event = Connected | Trouble | CaughtUp | Split | Message | Posted | Safe
Listener = Callable[[Event], None]

# A context manager that raises TimeoutError after so many seconds.
Deadline = Callable[[float], AbstractAsyncContextManager[object]]


class Engine:
    """The steady engine: `run` it until cancelled. Everything that happens is told to the listeners; nothing that goes
    wrong ends it."""

    def __init__(
        self,
        shared: SharedMember,
        sender: Sender,
        fetcher: Fetcher,
        renewal: TokenRenewal | None = None,
        *,
        at_once: bool = False,
        early: bool = True,
        rng: random.Random | None = None,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        deadline: Deadline = asyncio.timeout,
    ) -> None:
        """`at_once`: a person is waiting, so tokens come into use when needed, not at a random time of their epoch. In
        the epoch in which the engine starts they always do. `early`: also those that were fetched in the epoch they are
        for."""
        self._shared = shared
        self._sender = sender
        self._fetcher = fetcher
        self._renewal = renewal
        self._at_once = at_once
        self._early = early
        self._rng = rng or random.SystemRandom()
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._deadline = deadline
        self._schedules: dict[int, EpochSchedule] = {}
        self._fresh_token_round = -1
        self._begun: set[tuple[int, int, int]] = set()  # tokens that were to come into use: epoch, relay, turn
        self._first_epoch: int | None = None
        self._slots: set[asyncio.Task[None]] = set()  # that have begun
        self.listeners: set[Listener] = set()

    async def run(self) -> None:
        """Go through round after round."""
        try:
            await self._rounds()
        finally:
            for slot in self._slots:
                slot.cancel()
            await asyncio.gather(*self._slots, return_exceptions=True)

    async def _rounds(self) -> None:
        while True:
            try:
                round_, end, planned = await self._plan()
            except TesseraError as error:  # the keystore is another's for long
                self._tell(Trouble(error))
                await self._sleep(_PAUSE_SECONDS)
                continue
            await self._go_through(round_, end, planned)

    async def _go_through(self, round_: int, end: float, planned: list[Slot]) -> None:
        await self._try(self._renew_before(self._now()))  # what is overdue: perhaps the slots need what it brings
        for slot in planned:
            await self._until(slot.at)
            if self._now() >= end:
                return  # suspended meanwhile
            await self._begin(self._try(self._slot(slot, round_), slot.relay.name))
        await self._try(self._renew_before(end))
        await self._until(end)

    async def _begin(self, slot: Coroutine[None, None, None]) -> None:
        """What a slot does; if that takes long, beside those after it."""
        begun = asyncio.create_task(slot)
        self._slots.add(begun)
        await asyncio.wait({begun}, timeout=_ALONE_SECONDS)
        over = {each for each in self._slots if each.done()}
        self._slots -= over
        for each in over:
            each.result()

    async def _renew_before(self, moment: float) -> None:
        """Visit the issuer if that is due by this moment."""
        if self._renewal is None:
            return
        async with self._shared.held():
            due = self._renewal.due_at()
        if due is not None and due <= moment:
            await self._until(due)
            async with self._shared.held() as member:
                await self._renewal.run()
                self._tell_of_splits(member)

    async def _plan(self) -> tuple[int, float, list[Slot]]:
        """This round, its end, and the slots in what is left of it."""
        async with self._shared.held() as member:
            now = self._now()
            federation = member.federation
            round_ = federation.round_at(int(now))
            self._first_epoch = federation.epoch_of(round_) if self._first_epoch is None else self._first_epoch
            end = federation.round_start(round_ + 1)
            kinds = [(FETCH, relay) for relay in member.inbox.look(round_)]
            kinds += [(POST, relay) for relay in _relays(member, federation.epoch_of(round_))]
            return round_, end, moments(now, end, kinds, self._rng, federation.newest.round_seconds)

    async def _until(self, moment: float) -> None:
        while (left := moment - self._now()) > 0:
            await self._sleep(min(left, _LONGEST_SLEEP_SECONDS))

    async def _try(self, step: Coroutine[None, None, None], relay: str = "") -> None:
        try:
            await step
        except TesseraError as error:
            self._tell(Trouble(error, relay))
            if self._renewal and isinstance(error, OutOfDate | HelloRefused):
                self._renewal.hasten()

    def _tell(self, event: Event) -> None:
        for listener in list(self.listeners):
            listener(event)

    # -- slots

    async def _slot(self, slot: Slot, round_: int) -> None:
        async with self._shared.held() as member:
            choose = self._chooser(member, slot.relay, round_) if slot.kind == POST else None
            if slot.kind == POST and choose is None:
                return
            seconds = _slot_seconds(slot.kind, member)
            try:
                async with self._deadline(seconds):
                    await self._use(member, slot, choose)
            except TimeoutError:
                raise Unreachable(
                    f"the relay {slot.relay.name} did not finish within {seconds:.0f} s",
                    "it is tried again in the next round; if it recurs, tell IT",
                ) from None
            self._tell(Connected(slot.relay.name, round_))
            self._tell_of_splits(member)

    async def _use(self, member: MemberState, slot: Slot, choose: TokenChoice | None) -> None:
        delay = FixedDelay(self._delay_seconds(member), self._monotonic, self._sleep)
        if choose:
            await self._post(member, slot.relay, choose, delay)
        else:
            await self._fetch(member, slot.relay, delay)

    def _delay_seconds(self, member: MemberState) -> float:
        return float(min(DELAY_SECONDS, member.federation.newest.round_seconds / 20))

    async def _post(self, member: MemberState, relay: Relay, choose: TokenChoice, delay: FixedDelay) -> None:
        may_post = member.accountant.may_post(member.now(), relay.id)
        posted = await self._sender.slot(relay, choose, delay, may_post)
        if isinstance(posted, Posted):
            self._tell(posted)
        elif posted and posted.safe:
            self._tell(Safe(posted.contact, posted.part))

    async def _fetch(self, member: MemberState, relay: Relay, delay: FixedDelay) -> None:
        report = await self._fetcher.slot(relay, delay, CATCH_UP_REQUESTS)
        for message in report.messages:
            self._tell(message)
        behind = max(0, member.round() - member.inbox.pointers.reached)
        self._tell(CaughtUp(len(report.rounds), behind, report.rounds_expired))

    # -- tokens

    def _chooser(self, member: MemberState, relay: Relay, round_: int) -> TokenChoice | None:
        """How a slot to post chooses its token; None while its token is not in use yet. No two come into use in one
        round."""
        epoch = member.federation.epoch_of(round_)
        schedule = self._schedule(member, epoch)

        def choose(key: TokenKey) -> Token:
            if key.epoch != epoch:
                raise NotPermitted("the relay and this computer are in different epochs", "this passes within a round")
            turn = schedule.turn(key.relay, round_ - member.federation.first_round(epoch))
            return member.wallet.for_posting_turn(key, turn)

        token = choose(member.wallet.key(epoch, relay.id))
        if token.left is not None:
            return choose
        if token.early and not self._early:
            return None
        if not self._may_begin(member, relay.id, round_, schedule):
            return None
        self._fresh_token_round = round_
        turn = schedule.turn(relay.id, round_ - member.federation.first_round(epoch))
        self._begun = {each for each in self._begun if each[0] == epoch} | {(epoch, relay.id, turn)}
        return choose

    def _may_begin(self, member: MemberState, relay: int, round_: int, schedule: EpochSchedule) -> bool:
        """Whether a token for a relay may come into use in a round: no other has, and the relay's time has come. One
        that was to and did not, as the relay was away, takes turns with others of that kind, and no other's time."""
        epoch = member.federation.epoch_of(round_)
        waits = not self._at_once and epoch != self._first_epoch
        round_of_epoch = round_ - member.federation.first_round(epoch)

        def has_come(id_: int) -> bool:
            return not waits or round_of_epoch >= schedule.first_use.get(id_, 0)

        if round_ == self._fresh_token_round or not has_come(relay):
            return False
        unused = {}
        for each in _relays(member, epoch):
            key, turn = member.wallet.key(epoch, each.id), schedule.turn(each.id, round_of_epoch)
            if member.wallet.of(key) and member.wallet.for_posting_turn(key, turn).left is None:
                unused[each.id] = epoch, each.id, turn
        again = [id_ for id_, place in unused.items() if place in self._begun]
        if relay not in again:
            return True
        return all(id_ in again or not has_come(id_) for id_ in unused) and again[round_ % len(again)] == relay

    def _schedule(self, member: MemberState, epoch: int) -> EpochSchedule:
        if epoch not in self._schedules:
            tokens = int(member.federation.governing(epoch).tokens_per_epoch)
            counts = {relay.id: tokens for relay in _relays(member, epoch)}
            self._schedules = {epoch: EpochSchedule.of(member.identity.secret, member.federation, epoch, counts)}
        return self._schedules[epoch]

    # -- what is told besides

    def _tell_of_splits(self, member: MemberState) -> None:
        if names := member.views.untold():
            member.save()
            for name in names:
                self._tell(Split(name))


def _slot_seconds(kind: str, member: MemberState) -> float:
    """How long a slot may take: no relay keeps the others waiting, however it trickles."""
    least, part = (_POST_SECONDS, _POST_PART) if kind == POST else (_FETCH_SECONDS, _FETCH_PART)
    return float(max(least, member.federation.newest.round_seconds / part))


def _relays(member: MemberState, epoch: int) -> list[Relay]:
    """Those that this member's mailbox and those of its contacts are on in an epoch."""
    federation, at = member.federation, member.copies.at(epoch)
    ids = set(federation.relays_of(member.identity.mailbox, federation.home_id, epoch))
    ids.update(id_ for contact in member.contacts.book for id_ in at.relays(contact))
    return [relay for relay in federation.relays if relay.id in ids]
