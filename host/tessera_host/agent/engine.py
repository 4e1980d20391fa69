"""The steady engine: the same frames every round, whether there is something to say or not (DESIGN §9).

A round has, for every relay that a contact of this member is on, one frame on a posting session, which carries a record
or nothing, and one fetch from the home relay: at random moments that were chosen before anybody looked at the outbox.
Owns the course of rounds and what happens when a relay is away: an answer that does not come, or says no, ends the
slot, and so does the end of the time that a slot may take; the next round has another. The moments are `schedule`'s,
the frames `sending`'s and `fetching`'s.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from ..errors import NotPermitted, OutOfDate, TesseraError, Unreachable
from ..member.fetching import Fetcher
from ..member.fixed_delay import Settling, Sleep
from ..member.inbox import Message
from ..member.relay_sessions import TokenChoice
from ..member.schema import Token
from ..member.sending import Posted, Sender
from ..member.sharing import SharedMember
from ..member.state import MemberState
from ..member.wallet import TokenKey
from ..protocol.federation import Relay
from ..protocol.relay_connection import HelloRefused
from .schedule import FETCH, POST, EpochSchedule, Slot, moments

SETTLE_SECONDS = 0.5
CATCH_UP_REQUESTS = 8  # a round: 128 rounds, or what 10 hours of 5 minutes bring
# How long a slot may take, whatever a relay sends meanwhile: parts of a round, and at least so many seconds.
_POST_PART, _FETCH_PART = 4, 2
_POST_SECONDS, _FETCH_SECONDS = 30.0, 60.0
_LONGEST_SLEEP_SECONDS = 30.0  # a computer that was suspended notices when it wakes up
_PAUSE_SECONDS = 5.0


class TokenRenewal(Protocol):
    """What visits the issuer (`renewal.Renewal`)."""

    def due_at(self) -> float | None: ...

    def hasten(self) -> None: ...

    async def run(self) -> object: ...


@dataclass(frozen=True)
class Connected:
    """A slot went as it should; the round by the relay's clock is open."""

    relay: str
    round: int


@dataclass(frozen=True)
class Trouble:
    """A slot, or a renewal, did not: what is wrong and what to do."""

    error: TesseraError


@dataclass(frozen=True)
class CaughtUp:
    """Rounds read in one slot, how many are still to be read, and how many had expired before they were."""

    rounds: int
    behind: int
    expired: int = 0


@dataclass(frozen=True)
class Split:
    """A contact was given other settings than this member (`views.alarm`). It is told once."""

    contact: str


Event = Connected | Trouble | CaughtUp | Split | Message | Posted
Listener = Callable[[Event], None]

# A context manager that raises TimeoutError after so many seconds.
Deadline = Callable[[float], AbstractAsyncContextManager[object]]


class Engine:
    """`run` until cancelled. Everything that happens is told to the listeners; nothing that goes wrong ends it."""

    def __init__(
        self,
        shared: SharedMember,
        sender: Sender,
        fetcher: Fetcher,
        renewal: TokenRenewal | None = None,
        *,
        at_once: bool = False,
        early: bool = True,
        dice: random.Random | None = None,
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
        self._dice = dice or random.SystemRandom()
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._deadline = deadline
        self._schedules: dict[int, EpochSchedule] = {}
        self._fresh_token_round = -1
        self._first_epoch: int | None = None
        self.listeners: set[Listener] = set()

    async def run(self) -> None:
        """Round after round."""
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
                return  # suspended meanwhile, or the relay took its time
            await self._try(self._slot(slot, round_))
        await self._try(self._renew_before(end))
        await self._until(end)

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
            kinds = [(FETCH, federation.home)]
            kinds += [(POST, relay) for relay in _relays(member)]
            return round_, end, moments(now, end, kinds, self._dice, federation.newest.round_seconds)

    async def _until(self, moment: float) -> None:
        while (left := moment - self._now()) > 0:
            await self._sleep(min(left, _LONGEST_SLEEP_SECONDS))

    async def _try(self, step: Awaitable[None]) -> None:
        try:
            await step
        except TesseraError as error:
            self._tell(Trouble(error))
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
                    "the next round has another try; if it recurs, tell IT",
                ) from None
            self._tell(Connected(slot.relay.name, round_))
            self._tell_of_splits(member)

    async def _use(self, member: MemberState, slot: Slot, choose: TokenChoice | None) -> None:
        settling = Settling(self._settle_seconds(member), self._monotonic, self._sleep)
        if choose:
            await self._post(member, slot.relay, choose, settling)
        else:
            await self._fetch(member, settling)

    def _settle_seconds(self, member: MemberState) -> float:
        return float(min(SETTLE_SECONDS, member.federation.newest.round_seconds / 20))

    async def _post(self, member: MemberState, relay: Relay, choose: TokenChoice, settling: Settling) -> None:
        may_post = member.accountant.budget(member.now()).left > 0
        posted = await self._sender.slot(relay, choose, settling, may_post)
        if posted:
            self._tell(posted)

    async def _fetch(self, member: MemberState, settling: Settling) -> None:
        report = await self._fetcher.slot(settling, CATCH_UP_REQUESTS)
        for message in report.messages:
            self._tell(message)
        behind = max(0, member.round() - member.inbox.next_round)
        self._tell(CaughtUp(len(report.rounds), behind, report.rounds_expired))

    # -- tokens

    def _chooser(self, member: MemberState, relay: Relay, round_: int) -> TokenChoice | None:
        """How a slot to post chooses its token; None while its token is not in use yet. No two come into use in one
        round."""
        epoch = member.federation.epoch_of(round_)
        schedule = self._schedule(member, epoch)

        def choose(key: TokenKey) -> Token:
            if key.epoch != epoch:
                raise NotPermitted("the relay's epoch is another than this computer's", "it passes within a round")
            turn = schedule.turn(key.relay, round_ - member.federation.first_round(epoch))
            return member.wallet.for_posting_turn(key, turn)

        token = choose(member.wallet.key(epoch, relay.id))
        if token.left is not None:
            return choose
        if token.early and not self._early:
            return None
        first = schedule.first_use.get(relay.id, 0) + member.federation.first_round(epoch)
        waits = not self._at_once and epoch != self._first_epoch
        if round_ == self._fresh_token_round or (waits and round_ < first):
            return None
        self._fresh_token_round = round_
        return choose

    def _schedule(self, member: MemberState, epoch: int) -> EpochSchedule:
        if epoch not in self._schedules:
            counts = {relay.id: int(member.federation.governing(epoch).tokens_per_epoch) for relay in _relays(member)}
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


def _relays(member: MemberState) -> list[Relay]:
    """The home relay, and those that contacts are on."""
    ids = {contact.relay for contact in member.contacts.book.values()} | {member.federation.home.id}
    return [relay for relay in member.federation.relays if relay.id in ids]
