"""The library for programs that talk: one member as an asynchronous client.

    async with await Client.open(passphrase_file=Path("passphrase")) as client:
        await client.send("bob", "The backup is done.")
        async for message in client.messages():
            print(message.contact, message.text)

A client is one identity on one device: `tessera join` made its keystore. Between two steps the
keystore is free, so the commands work beside it. Everything raises TesseraError and its subclasses (`errors`), whose
text says what is wrong and what to do.

What leaves, and when: `send` posts one record a round, at random moments, and no more a day than the office's budget
allows; what has to wait stays in the outbox, durably, and leaves with whatever reaches the relay next. Where an office
keeps copies a record goes to each of its relays: a message is posted once one has all of it, and safe once all have
(`Sent.is_safe`); one that is away holds up nothing but its own copy. Whatever reaches
the network visits the issuer when that is due (`renewal`); a visit that fails is told in `remarks`, and ends what was
asked for only if that needs it. Anyone who watches this computer's network sees that it posted. `run`
hides that: it sends the same frames every round, whether there is something to say or not, and then everything goes
through it. Worked examples are in `host/examples`.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from .. import config
from ..errors import NotOnRoster, NotPermitted, OutOfDate, RelayRefused, TesseraError, Unreachable
from ..keys import passphrase
from ..member import composing, pacing
from ..member.accountant import Budget
from ..member.fetching import Fetcher, FetchReport
from ..member.fetching import Progress as FetchProgress
from ..member.fixed_delay import Sleep
from ..member.history import POSTED, Sent
from ..member.inbox import Message, Place
from ..member.issuer_visit import VisitReport
from ..member.pacing import Wait
from ..member.relay_sessions import RelaySessions, Status
from ..member.renewal import OUTDATED, Renewal
from ..member.sending import CellTaken, Copied, Posted, Sender, Unposted
from ..member.sharing import SharedMember
from ..member.state import KEYSTORE_NAME, MemberState
from ..member.wallet import EARLY, PostsUsedUp
from ..protocol.relay_connection import HelloRefused
from ..threads import finished
from .engine import Engine, Event, TokenRenewal
from .interface import Change, Contact, Meeting, State, change_of

__all__ = [
    "Budget",
    "Change",
    "Client",
    "Contact",
    "Copied",
    "FetchReport",
    "Meeting",
    "Message",
    "Posted",
    "SendProgress",
    "Sent",
    "State",
    "Status",
    "Wait",
    "default_home",
]

JITTER_SECONDS = 10.0  # not all clients come as soon as a round is sealed
_LEAST_WAIT_SECONDS = 0.5

T = TypeVar("T")

# Told after each record that left, and before each wait for the next.
SendProgress = Callable[[Posted | Copied | Wait], None]


class Client:
    """An open member. Use as an asynchronous context manager, or close it."""

    def __init__(
        self,
        member: MemberState,
        *,
        rng: random.Random | None = None,
        now: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        slow: Callable[[str], None] | None = None,
    ) -> None:
        """Takes the member over: its keystore is given back at once, and closed with the client. `slow` is told the
        name of a relay that keeps what was asked for waiting."""
        self.shared = SharedMember(member)
        self._sessions = RelaySessions(member, slow)
        self._sender = Sender(member, self._sessions)
        self._fetcher = Fetcher(member, self._sessions)
        self._rng = rng or random.SystemRandom()
        self._now = now
        self._sleep = sleep
        self._renewal = Renewal(member, self._rng)
        self._visiting = asyncio.Lock()
        self._failed: set[int] = set()  # relays that were posted to in vain the last time
        self._visits = 0  # to the issuer, as a relay wanted what this member did not have
        self._engine: Engine | None = None
        self._state: State | None = None
        self._subscriptions: set[asyncio.Queue[Change]] = set()
        self._remarks = member.remarks

    @classmethod
    async def open(
        cls, home: Path | None = None, secret: str | None = None, *, passphrase_file: Path | None = None
    ) -> Self:
        """The member in the directory `home`, by default the one that the commands use. Without its passphrase as
        `secret`: from `passphrase_file`, from the file TESSERA_PASSPHRASE_FILE names, from `tessera unlock`, or asked
        for.

        Raises WrongPassphrase or KeystoreError.
        """
        place = home or default_home()
        return cls(await finished(lambda: _opened(place, secret, passphrase_file), undo=MemberState.close))

    async def close(self) -> None:
        """Close the member's keystore."""
        await self.shared.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def take_remarks(self) -> list[str]:
        """Return what to tell the person besides what was asked for, each remark once."""
        taken, self._remarks[:] = list(self._remarks), []
        return taken

    # -- what is known, without a relay

    async def contacts(self) -> list[Contact]:
        """List the contacts by name."""
        async with self.shared.held() as member:
            return [_contact(member, name) for name in sorted(member.contacts.book)]

    async def meetings(self) -> list[Meeting]:
        """List the meetings under way."""
        async with self.shared.held() as member:
            return [Meeting(**each) for each in member.contacts.meetings()]

    async def inbox(self, contact: str | None = None, *, new: bool = False, take: bool = True) -> list[Message]:
        """List what was received, oldest first. With `new`, only what was not shown before, which then counts as shown;
        with `take=False` it does so only once `mark_read` is called."""
        async with self.shared.held() as member:
            if not new:
                return [message for message in member.inbox.messages() if contact in (None, message.contact)]
            if not take:
                return member.inbox.unread(contact)
            messages = member.inbox.take_unread(contact)
            member.save()
            return messages

    async def take_expired(self) -> int:
        """Return how many rounds expired before `run` read them and were not reported yet; after this call they are."""
        if self._state is None:
            return 0
        taken, self._state.expired = self._state.expired, 0
        return taken

    async def mark_read(self, places: Iterable[Place]) -> None:
        """Note that these messages, by their `place`, were shown."""
        async with self.shared.held() as member:
            member.inbox.mark_read(places)
            member.save()

    async def sent(self, contact: str | None = None) -> list[Sent]:
        """List what was sent, oldest first, and how far each part got. There are no read receipts."""
        async with self.shared.held() as member:
            return composing.sent(member, contact)

    async def cancel(self, contact: str, first: int) -> Sent:
        """Take back what has not left of a message, by the number of its first one (`Sent.messages`), and return what
        it was. Raises NotPermitted if all of it has left."""
        async with self.shared.held() as member, self._sender.between_posts():
            taken = composing.cancel(member, contact, first)
            self._tell(Change("queued", {"contact": contact}))
            return taken

    async def budget(self) -> Budget:
        """Compute how many messages of today are used and allowed by the office's settings. Each part of a long message
        counts as one."""
        async with self.shared.held() as member:
            weigh = member.accountant.weighed(member.now())
        return await asyncio.to_thread(weigh)  # takes seconds if ε is small; nothing of the keystore is in it

    # -- sending

    async def queue(self, contact: str, text: str) -> Sent:
        """Put a text into the outbox; `run`, `resend` or the next `send` posts it."""
        async with self.shared.held() as member:
            composing.queue(member, contact, text)
            return self._queued(member, contact)

    async def queue_file(self, contact: str, name: str, content: bytes) -> Sent:
        """Put a file into the outbox: name and content together at most 3255 bytes. Raises InvalidInput."""
        async with self.shared.held() as member:
            composing.queue_file(member, contact, name, content)
            return self._queued(member, contact)

    def _queued(self, member: MemberState, contact: str) -> Sent:
        self._tell(Change("queued", {"contact": contact}))
        return composing.sent(member, contact)[-1]

    async def send(
        self,
        contact: str,
        text: str,
        *,
        wait: bool = True,
        early: bool = True,
        progress: SendProgress | None = None,
    ) -> Sent:
        """Send a text: returned once all of it is posted, or as much as the day's budget allows. Where there are copies
        it is safe then (`Sent.is_safe`), unless one of the relays is away: what it lacks waits in the outbox.

        `wait=False`: post only what may leave in this round, and return. `early=False`: with access that was fetched in
        this epoch, wait for the next one (`wallet.EARLY` says why). What an error interrupts stays in the outbox.
        """
        sent = await self.queue(contact, text)
        return await self.deliver(sent, wait=wait, early=early, progress=progress)

    async def send_file(
        self,
        contact: str,
        name: str,
        content: bytes,
        *,
        wait: bool = True,
        early: bool = True,
        progress: SendProgress | None = None,
    ) -> Sent:
        """Send a file as one message, like `send`. Raises InvalidInput if it does not fit."""
        sent = await self.queue_file(contact, name, content)
        return await self.deliver(sent, wait=wait, early=early, progress=progress)

    async def deliver(
        self,
        sent: Sent,
        *,
        wait: bool = True,
        early: bool = True,
        progress: SendProgress | None = None,
    ) -> Sent:
        """Post what `queue` put into the outbox, after what waited for the same relays before: as `send` does."""

        def finished(member: MemberState, relay: int) -> bool:
            waiting = (item for item in member.outbox.waiting(relay) if item.contact == sent.contact)
            return all(item.part.message not in sent.messages for item in waiting)

        await self._renewed()
        async with self.shared.held() as member:
            relays = member.copies.at().relays(sent.contact)
        missed = await self._post_to(relays, finished, _Manner(wait, early), progress)
        async with self.shared.held() as member:
            found = self._again(member, sent)
        if missed and found.state != POSTED:
            raise missed[0].error
        self._remark_unsafe(missed)
        return found

    async def resend(self, *, wait: bool = True, early: bool = True, progress: SendProgress | None = None) -> int:
        """Post what waits in the outbox, and return how many records still wait."""
        await self._renewed()
        async with self.shared.held() as member:
            relays, copies = self._sender.relays(), member.federation.copies(member.epoch())
        missed = await self._post_to(relays, lambda *_: False, _Manner(wait, early), progress)
        if missed and (copies == 1 or len(missed) == len(relays)):
            raise missed[0].error
        self._remark_unsafe(missed)
        async with self.shared.held() as member:
            return member.outbox.records()

    async def post_what_waits(self) -> None:
        """Post what may leave at this moment, for a command that was called for something else. What does not leave
        waits, and the reason is among the remarks. A relay that has just failed is not tried again."""
        async with self.shared.held() as member:
            copies = member.federation.copies(member.epoch())
            relays = [relay for relay in self._sender.relays() if copies == 1 or relay not in self._failed]
        missed = await self._post_to(relays, lambda *_: False, _Manner(wait=False), None)
        if copies > 1:
            self._remark_unsafe(missed)
            return
        for each in missed:
            self._remark(f"What you wrote still waits: {each.error}")

    def _remark_unsafe(self, missed: list["_Missed"]) -> None:
        for each in missed:
            self._remark(f"What you wrote still waits for the relay {each.relay}: {each.error}")

    async def _post_to(
        self,
        relays: Iterable[int],
        finished: Callable[[MemberState, int], bool],
        manner: "_Manner",
        progress: SendProgress | None,
    ) -> list["_Missed"]:
        """Post to the relays of these numbers: what went wrong, in this order. Each goes on, whatever becomes of the
        others; where there are copies, beside them, as those of a part leave in one round."""

        async def tried(relay: int) -> _Missed | None:
            try:
                await self._post(relay, finished, manner, progress)
            except TesseraError as error:
                self._failed.add(relay)
                return _Missed(names[relay], error)
            self._failed.discard(relay)
            return None

        async with self.shared.held() as member:
            copies = member.federation.copies(member.epoch())
            names = {relay: member.federation.relay_name(relay) for relay in relays}
        attempts = [tried(relay) for relay in names]
        missed = await asyncio.gather(*attempts) if copies > 1 else [await each for each in attempts]
        return [each for each in missed if each]

    async def _post(
        self,
        relay_id: int,
        finished: Callable[[MemberState, int], bool],
        manner: "_Manner",
        progress: SendProgress | None,
    ) -> None:
        """Post record after record until it is finished, nothing waits, or waiting would be for the day's budget."""
        tell = progress or (lambda _: None)
        while True:
            async with self.shared.held() as member:
                if finished(member, relay_id):
                    return
                pause = self._pause(member, relay_id, manner)
                if pause.seconds == 0:
                    attempt = await self._with_access(lambda: self._post_one(relay_id))
                    if attempt is None:
                        return
                    if isinstance(attempt, Posted | Copied):
                        tell(attempt)
                    if not isinstance(attempt, CellTaken):
                        continue
                    pause = pacing.cell_taken(member, self._rng)
                if not any(member.outbox.waiting(relay_id)):
                    return
            tell(pause)
            if not manner.wait or pause.seconds is None or pause.reason == pacing.DAY:
                return
            await self._sleep(pause.seconds)

    async def _post_one(self, relay_id: int) -> Posted | Copied | Unposted | CellTaken | None:
        async with self.shared.held() as member:
            return await self._sender.post_one(member.federation.relay_with_id(relay_id))

    def _pause(self, member: MemberState, relay_id: int, manner: "_Manner") -> Wait:
        pause = pacing.next_post(member, relay_id, self._rng)
        if manner.early or pause.reason == pacing.DAY:
            return pause
        try:
            token = member.wallet.for_posting(member.wallet.key(member.epoch(), relay_id))
        except PostsUsedUp:
            return pause
        except NotPermitted:
            return pacing.next_epoch(member, self._rng)  # one that it fetched now would be early
        return pacing.next_epoch(member, self._rng) if token.early and token.left is None else pause

    def _again(self, member: MemberState, sent: Sent) -> Sent:
        """How far it got by now. What is gone, because the contact is, is as it was."""
        same = (found for found in reversed(composing.sent(member, sent.contact)) if found.messages == sent.messages)
        return next(same, sent)

    # -- receiving

    async def fetch(self, progress: FetchProgress | None = None, *, take: bool = True) -> FetchReport:
        """Read what the relays of this mailbox have sealed since the last time; the report has the messages not given
        out before, which count as given out now (with `take=False` `inbox(new=True)` still has them), and the relays
        that could not be read, if another could.
        `progress(rounds read, rounds in all)` is called in between."""
        await self._renewed()
        async with self.shared.held():
            report = await self._with_access(lambda: self._fetcher.fetch(progress, take))
            stale = any(isinstance(unread.error, OutOfDate | HelloRefused) for unread in report.unread)
            if stale and self._renewal.is_possible() and await self._tried_renewal():
                again = await self._fetcher.fetch(progress, take)
                again.messages[:0], again.rounds[:0] = report.messages, report.rounds
                again.records_matched += report.records_matched
                again.rounds_expired += report.rounds_expired
                return again
            return report

    async def messages(self, trouble: Callable[[TesseraError], None] | None = None) -> AsyncIterator[Message]:
        """Iterate over every new message as it comes, without end. Fetches once a round, or looks at what `run` has
        fetched. A relay that is away for a while does not end it: `trouble` is told."""
        while True:
            try:
                found = await self.inbox(new=True) if self._engine else (await self.fetch()).messages
                if not self._engine:
                    await self.post_what_waits()
            except (Unreachable, RelayRefused) as error:
                found = []
                if trouble:
                    trouble(error)
            for message in found:
                yield message
            await self.until_next_fetch()

    async def until_next_fetch(self) -> None:
        """Wait for a random moment soon after the open round is sealed."""
        async with self.shared.held() as member:
            left = member.seconds_to_next_round()
            most = min(JITTER_SECONDS, member.federation.newest.round_seconds / 4)
        await self._sleep(left + self._rng.uniform(_LEAST_WAIT_SECONDS, max(2 * _LEAST_WAIT_SECONDS, most)))

    async def status(self, relay: str | None = None) -> Status:
        """Ask a relay, by default the home relay, for its round, parameters and curve tier. Raises IntegrityError if
        it is not to be used."""
        await self._renewed()
        async with self.shared.held():
            return await self._with_access(lambda: self._sessions.status(relay))

    # -- the issuer

    async def renew(self) -> VisitReport:
        """Visit the issuer now. Raises UsageError if it is on no network, NotOnRoster, Unreachable, IntegrityError."""
        async with self.shared.held():
            return await self._renewal.run()

    async def _renewed(self) -> None:
        """Visit the issuer if that is due. That it failed is no reason not to go on with what there is."""
        async with self.shared.held():
            if self._renewal.is_due():
                await self._tried_renewal()
            elif self._renewal.is_outdated():
                self._remark(OUTDATED)

    async def _tried_renewal(self) -> bool:
        try:
            report = await self._renewal.run()
        except NotOnRoster as error:
            self._remark(str(error))
            return False
        except TesseraError as error:
            self._remark(f"Your access was not renewed: {error}")
            return False
        for refusal in report.refusals:
            self._remark(f"Your access was not renewed: {refusal}")
        return report.news or not report.refusals

    async def _with_access(self, step: Callable[[], Awaitable[T]]) -> T:
        """With the member held: a step that reaches a relay. If what this member holds does not do there, the issuer is
        visited at once and the step tried again."""
        visits = self._visits
        try:
            return await step()
        except (OutOfDate, HelloRefused):
            async with self._visiting:
                if visits == self._visits:  # else another step has just been there
                    if not (self._renewal.is_possible() and await self._tried_renewal()):
                        raise
                    self._visits += 1
        return await step()

    def _remark(self, text: str) -> None:
        if text not in self._remarks:
            self._remarks.append(text)

    # -- the steady engine

    async def run(self, renewal: TokenRenewal | None = None, *, at_once: bool = False, early: bool = True) -> None:
        """Run the steady engine until cancelled: it posts what `queue` was given, fetches what comes (`engine`) and
        gets each epoch's tokens from the issuer's service, if the office has one (`renewal`).

        `at_once`: a person is waiting, so an epoch's tokens come into use when needed, not at a random time.
        `early=False`: those that were fetched in their own epoch are not used (`wallet.EARLY` says why).
        """
        engine = Engine(
            self.shared,
            self._sender,
            self._fetcher,
            renewal or self._renewal,
            at_once=at_once,
            early=early,
            rng=self._rng,
            now=self._now,
            sleep=self._sleep,
        )
        engine.listeners.add(self._pass_on)
        await self.state()
        self._engine = engine
        try:
            await engine.run()
        finally:
            self._engine = None

    def _pass_on(self, event: Event) -> None:
        if self._state:
            self._state.note(event)
        self._tell(change_of(event))

    def _tell(self, change: Change) -> None:
        for subscription in self._subscriptions:
            subscription.put_nowait(change)

    def changes(self) -> AsyncIterator[Change]:
        """Iterate over what `run` does and what is queued, from this call on."""
        subscription: asyncio.Queue[Change] = asyncio.Queue()
        self._subscriptions.add(subscription)

        async def following() -> AsyncIterator[Change]:
            try:
                while True:
                    yield await subscription.get()
            finally:
                self._subscriptions.discard(subscription)

        return following()

    async def state(self) -> State:
        """Describe the state of `run`."""
        async with self.shared.held() as member:
            parameters = member.federation.newest
            if self._state is None:
                self._state = State(parameters.genesis, parameters.round_seconds)
            self._state.copies = member.federation.copies(member.epoch())
            early = any(token.early and token.left is None for token in member.wallet.for_epoch(member.epoch()))
            remarks = [text for text, is_so in ((EARLY, early), (OUTDATED, self._renewal.is_outdated())) if is_so]
            found = replace(self._state, waiting=member.outbox.records(), remark="\n".join(remarks))
            found.arriving = member.inbox.arriving()
            found.obstacle, found.next_at = self._sender.obstacle(), pacing.earliest(member)
            earliest = pacing.earliest_of_the_day(member) if found.waiting else None
        if earliest:
            found.next_at = await asyncio.to_thread(earliest)
        return found


class _Missed(NamedTuple):
    """A relay, by its name, that was posted to in vain, and why."""

    relay: str
    error: TesseraError


class _Manner(NamedTuple):
    """How what waits is posted: `send` says what each means."""

    wait: bool = True
    early: bool = True


def default_home() -> Path:
    """Find the directory of the member's keystore if none is named."""
    named = os.environ.get("TESSERA_HOME")
    return Path(named) if named else config.home()


def _contact(member: MemberState, name: str) -> Contact:
    contact = member.contacts.get(name)
    relay = member.federation.relay_name(member.copies.at().relays(name)[0])
    split = contact.split is not None
    return Contact(name, contact.verified, relay, list(contact.words), split, contact.blocked, contact.key.hex())


def _opened(home: Path, secret: str | None, passphrase_file: Path | None) -> MemberState:
    return MemberState.open(
        home, passphrase.secret_for(home / KEYSTORE_NAME, passphrase_file) if secret is None else secret
    )
