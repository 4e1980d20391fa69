"""A person of the office: comes on workdays, reads, writes, is away for weeks, loses a computer, leaves one day.

Owns what a person types and what they see of it, which is told to the book. Every command is the product's client over
the member's own keystore, opened and closed as a command does; who has an agent lets it run while the computer is on.
"""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tessera_host.agent.client import Client
from tessera_host.clock import local_time
from tessera_host.errors import InvalidInput, TesseraError
from tessera_host.member import backup, joining, meeting
from tessera_host.member.renewal import Renewal
from tessera_host.member.sending import Posted
from tessera_host.member.state import MemberState
from tests.soak.years.dates import ROUND_SECONDS, is_workday
from tests.soak.years.office import PASSPHRASE, Office

_COMES, _GOES = 8.0, 17.0  # hours of a day
_PRESENT = 0.7  # of workdays: some travel, some have them off
_PART_BYTES = 136  # of a letter's last part, and more before it


class Person:
    def __init__(self, office: Office, name: str, relay: str, has_agent: bool, dice: random.Random) -> None:
        self.office, self.name, self.relay, self.has_agent, self.dice = office, name, relay, has_agent, dice
        self.contacts: dict[str, Person] = {}
        self.away: list[tuple[int, int]] = []  # days, from and to
        self.has_left = False
        self.is_gone = False  # and tries no more
        self._written = 0
        self._left_with = 0  # the serial of the set that has nothing for somebody who left
        self._trouble_since: int | None = None
        self._agent: Client | None = None

    @property
    def home(self) -> Path:
        return self.office.folder / f"home-{self.name}"

    @property
    def saved(self) -> Path:
        return self.office.folder / f"{self.name}.backup"

    def is_away(self, day: int) -> bool:
        return any(first <= day < last for first, last in self.away)

    def leave(self, serial: int) -> None:
        self.has_left, self._left_with = True, serial

    # -- commands

    def _open(self) -> MemberState:
        return MemberState.open(self.home, PASSPHRASE, self.office.dates.unix)

    @asynccontextmanager
    async def _member(self) -> AsyncIterator[MemberState]:
        if self._agent:
            async with self._agent.shared.held() as member:
                yield member
        else:
            with self._open() as member:
                yield member

    @asynccontextmanager
    async def _command(self) -> AsyncIterator[Client]:
        """What one command does with the member, or the agent for it. The keystore is held all the while: it would be
        read again from the disk at every step, and nobody else comes in between."""
        if self._agent:
            yield self._agent
            return
        async with self._client() as client, client.shared.held():
            yield client

    def _client(self) -> Client:
        return Client(self._open(), rng=self.dice, now=self.office.dates.now, sleep=asyncio.sleep)

    async def join(self) -> None:
        """`tessera join`."""
        invitation = self.office.invite(self.name, self.relay)
        with joining.begin(self.home, invitation, PASSPHRASE, self.office.dates.unix) as begun:
            member, report = await begun.enter()
        with member:
            if not report.tokens:
                self.office.book.fault(f"{self.name} joined and has no tokens: {report.refusals}")
            self._back_up(member)

    async def meet(self, other: "Person") -> None:
        """Cards go back and forth. Two who hold different settings are told to renew, and begin anew."""
        async with self._member() as mine, other._member() as theirs:
            try:
                _meet(mine, theirs)
            except InvalidInput as refusal:
                if "tessera renew" not in refusal.hint:
                    raise
                for member in (mine, theirs):
                    await Renewal(member, self.dice).run()
                meeting.abandon(mine, other.name)
                _meet(mine, theirs)
            self._back_up(mine)
            other._back_up(theirs)
        self.contacts[other.name], other.contacts[self.name] = other, self

    def _back_up(self, member: MemberState) -> None:
        self.saved.unlink(missing_ok=True)
        backup.write(member, self.saved)

    def back_up(self) -> None:
        if self._agent is None:
            with self._open() as member:
                self._back_up(member)

    def lose_computer(self) -> None:
        """Another one has what the backup says."""
        shutil.rmtree(self.home)
        backup.restore(self.saved, PASSPHRASE, self.home, clock=self.office.dates.unix)
        self.office.book.restored(self.name, self.office.dates.round())

    async def inbox(self) -> None:
        """`tessera inbox`."""
        book, open_round = self.office.book, self.office.dates.round()
        async with self._command() as client:
            try:
                report = await client.fetch(take=False)
                await client.post_what_waits()
            except TesseraError as error:
                self._not_read(error)
                report = None
            await self._look(client)
            if report is not None:
                if self.has_left:
                    rounds = [round_ for round_, _ in report.rounds]
                    book.leaver(self.name, "reads", rounds, self.office.relays[self.relay].told(self._left_with))
                else:
                    book.read(self.name, self.relay, open_round, report.rounds_expired)
                await self._noted(client)

    def _not_read(self, error: TesseraError) -> None:
        book, round_ = self.office.book, self.office.dates.round()
        if self.has_left and round_ >= book.end(self.name):
            book.counts["leavers turned away"] += 1
        elif not self.office.is_on(self.relay):
            book.counts["relay off"] += 1
        else:
            book.unreadable(self.name, round_, str(error))

    async def _look(self, client: Client) -> None:
        """What is new, and what it is said to be."""
        messages = await client.inbox(new=True, take=False)
        for message in messages:
            text = message.text or message.content.decode()
            self.office.book.came(self.name, message.contact, text)
        await client.mark_read(message.place for message in messages)
        for contact in await client.contacts() if messages else []:
            if contact.split:
                self.office.book.fault(f"{self.name} has an alarm of a split view with {contact.name}")

    async def _noted(self, client: Client) -> None:
        """How far what was written got, by the program's own list."""
        book = self.office.book
        if book.waits(self.name):
            for sent in await client.sent():
                book.acknowledged(self.name, sent.text or sent.file or "", list(sent.rounds))
            book.reached(self.name, (await client.state()).waiting, self.office.dates.round())

    async def write(self) -> None:
        """`tessera send`, to one of those who are there still."""
        there = [other for other in self.contacts.values() if not other.has_left or self.has_left]
        if not there:
            return
        other = self.dice.choice(there)
        if self._agent:
            await self._queue(other)
        else:
            await self._send(other)

    def _text(self, other: "Person") -> str:
        self._written += 1
        text = f"{self.name} to {other.name}, number {self._written}"
        if self.dice.random() < 0.05:
            text += " " + "x" * self.dice.randrange(2 * _PART_BYTES, 4 * _PART_BYTES)
        return text

    async def _queue(self, other: "Person") -> None:
        assert self._agent is not None
        sent = await self._agent.queue(other.name, self._text(other))
        self.office.book.wrote(self.name, other.name, other.relay, sent.text, sent.parts)

    async def _send(self, other: "Person") -> None:
        office, round_ = self.office, self.office.dates.round()
        left: list[int] = []
        text, said, parts = self._text(other), "", 1

        def note(step: object) -> None:
            if isinstance(step, Posted):
                left.append(step.round)

        async with self._command() as client:
            try:
                sent = await client.send(other.name, text, wait=False, progress=note)
                parts = sent.parts
            except TesseraError as error:
                said = str(error)
                parts = (await client.sent(other.name))[-1].parts
            said = " ".join([said, *client.take_remarks(), *await _of_the_day(client)]).strip()
            office.book.wrote(self.name, other.name, other.relay, text, parts)
            await self._noted(client)
            if self.has_left:
                told = office.relays[other.relay].told(self._left_with)
                office.book.leaver(self.name, "posts", left, told)
                return
            excuse = "" if office.is_on(other.relay) else "the relay is off"
            if not left and not said and await self._left_in_this_round(client):
                excuse = "one record a round"
            office.book.must_leave(self.name, bool(left), said, round_, excuse)

    async def _left_in_this_round(self, client: Client) -> bool:
        round_ = self.office.dates.round()
        return any(round_ in sent.rounds for sent in (await client.sent())[-8:])

    # -- a life

    async def live(self) -> None:
        """From the day of joining on."""
        dates = self.office.dates
        while not self.has_left:
            day = int(dates.day()) + 1
            await dates.until(day)
            if self.is_away(day) or self.has_left:
                continue
            if not is_workday(day) or self.dice.random() >= _PRESENT:
                continue
            await (self._day_with_agent(day) if self.has_agent else self._day(day))
        await self._after()

    async def _day(self, day: int) -> None:
        dice, dates = self.dice, self.office.dates
        await dates.until(day, dice.uniform(_COMES, 12.0))
        if self.has_left:
            return
        await self.inbox()
        if dice.random() < 0.1:
            self.back_up()
        await dates.until(day, dice.uniform(12.0, _GOES))
        if dice.random() < 0.7 and not self.has_left:
            await self.write()

    async def _day_with_agent(self, day: int) -> None:
        """The computer is on while the person is there."""
        dates, dice = self.office.dates, self.dice
        await dates.until(day, dice.uniform(_COMES, _COMES + 1))
        async with self._client() as client, client.shared.held() as member:
            self._agent = client
            changes, running = client.changes(), asyncio.create_task(client.run())
            watching = asyncio.create_task(self._watch(changes))
            try:
                for hour in sorted(dice.uniform(_COMES + 2, _GOES - 1) for _ in range(2)):
                    await dates.until(day, hour)
                    if dice.random() < 0.7 and not self.has_left:
                        await self.write()
                await dates.until(day, _GOES)
                await self._look(client)
                if not self.has_left:
                    reads_up_to = member.inbox.next_round
                    self.office.book.read(self.name, self.relay, reads_up_to, await client.take_expired())
                    await self._noted(client)
                self._back_up(member)
            finally:
                self._agent = None
                for task in (running, watching):
                    task.cancel()
                await asyncio.gather(running, watching, return_exceptions=True)

    async def _watch(self, changes: AsyncIterator[object]) -> None:
        async for change in changes:
            kind, fields = change.kind, change.fields  # type: ignore[attr-defined]
            if kind == "split":
                self.office.book.fault(f"the agent of {self.name} has an alarm of a split view: {fields}")
            elif kind == "trouble" and not self.has_left:
                self._in_trouble(f"{fields['error']}; {fields['hint']}")
            elif kind == "caught-up" and not fields["behind"]:
                self._trouble_since = None

    def _in_trouble(self, said: str) -> None:
        """An agent that was told nothing of a new set goes to the issuer, and is well in the next round."""
        relays, round_ = {self.relay, *(other.relay for other in self.contacts.values())}, self.office.dates.round()
        if not all(map(self.office.is_on, relays)):
            self._trouble_since = None
            return
        self._trouble_since = round_ if self._trouble_since is None else self._trouble_since
        if round_ > self._trouble_since + 1:
            self.office.book.unreadable(f"the agent of {self.name}", round_, said)

    async def _after(self) -> None:
        """Somebody who left keeps the program and tries, for weeks."""
        dates = self.office.dates
        for _ in range(6):
            await asyncio.sleep(self.dice.uniform(0.5, 4) * 24 * ROUND_SECONDS)
            if self.office.is_on(self.relay):
                await self.inbox()
                await self.write()
        self.is_gone = True
        shutil.rmtree(self.home)
        self.office.book.counts["people who left"] += 1
        assert dates.round() > 0


async def _of_the_day(client: Client) -> list[str]:
    """What `tessera send` says if no more fits into the day."""
    today = await client.budget()
    return (
        [] if today.left or today.next_at is None else [f"the next one can leave from {local_time(today.next_at)} on"]
    )


def _meet(one: MemberState, other: MemberState) -> None:
    answer = meeting.answer(other, meeting.invite(one, other.identity.name), one.identity.name)
    meeting.accept(other, meeting.confirm(one, answer)[1])
