"""A member of the cluster's office, whose agent runs all day: writes now and then, is away for a day, reads what came.

Owns what a person does and what they see of it, which is told to the book. Agent, outbox and inbox are the product's.
"""

import asyncio
import random
from typing import Any

from tessera_host.agent.client import Client
from tessera_host.agent.engine import TokenRenewal
from tessera_host.member import joining, meeting
from tessera_host.member.state import MemberState
from tests.cluster.book import Book
from tests.cluster.office import PASSPHRASE, ROUND_SECONDS, Office
from tests.cluster.wire_tap import WHO


class Person:
    def __init__(self, office: Office, book: Book, name: str, home: str, dice: random.Random) -> None:
        self.office, self.book, self.name, self.home, self.dice = office, book, name, home, dice
        self.contacts: dict[str, Person] = {}
        self.troubles: list[str] = []
        self._written = 0
        self._agent: Client | None = None

    @property
    def folder(self) -> Any:
        return self.office.folder / f"home-{self.name}"

    def _open(self) -> MemberState:
        return MemberState.open(self.folder, PASSPHRASE, self.office.loop.unix)

    async def join(self) -> None:
        """`tessera join`."""
        with self.office.issuer() as issuer:
            invitation = issuer.invite(self.name, home=self.home)
        with joining.begin(self.folder, invitation, PASSPHRASE, self.office.loop.unix) as begun:
            member, report = await begun.enter()
        member.close()
        if not report.tokens:
            self.book.fault(f"{self.name} joined and has no tokens: {report.refusals}")

    def meet(self, other: "Person") -> None:
        with self._open() as mine, other._open() as theirs:
            answer = meeting.answer(theirs, meeting.invite(mine, other.name), self.name)
            meeting.accept(theirs, meeting.confirm(mine, answer)[1])
        self.contacts[other.name], other.contacts[self.name] = other, self

    # -- with the agent

    async def live(self, rounds: int, renewal: TokenRenewal | None = None) -> None:
        """So many rounds with the agent running, cancelled or not: what was seen is told. renewal: another one than
        the agent's own."""
        WHO.set(self.name)
        async with (
            Client(self._open(), rng=self.dice, now=self.office.loop.time, sleep=asyncio.sleep) as client,
            client.shared.held(),
        ):
            self._agent = client
            running = asyncio.create_task(client.run(renewal))
            watching = asyncio.create_task(self._watch(client))
            try:
                end = self.office.loop.round() + rounds
                while (round_ := self.office.loop.round()) < end:
                    await asyncio.sleep(self.office.loop.start_of(round_ + 1) - self.office.loop.time())
                    await self.look()
                    if running.done():
                        running.result()
            finally:
                self._agent = None
                for task in (running, watching):
                    task.cancel()
                await asyncio.gather(running, watching, return_exceptions=True)

    async def look(self) -> None:
        """What came, and how far what was written got."""
        client, round_ = self._agent, self.office.loop.round()
        assert client is not None
        messages = await client.inbox(new=True)
        for message in messages:
            if message.lost:
                self.book.lost(self.name, message.contact, message.lost)
            self.book.came(self.name, message.contact, message.text or "", round_ - 1)
        await self.note_sent()

    async def note_sent(self) -> None:
        if self._agent is not None:
            for sent in await self._agent.sent():
                safe, given_up = self._is_safe(sent), bool(sent.given_up)
                self.book.told(sent.text, sent.last_round, safe, self.office.loop.round(), given_up)

    def _is_safe(self, sent: Any) -> bool:
        return bool(sent.state == "posted") if self.office.setting.copies == 1 else bool(sent.is_safe)

    async def write(self, other: "Person") -> None:
        if self._agent is None:
            return
        self._written += 1
        text = f"{self.name} to {other.name}, number {self._written}"
        self.book.wrote(self.name, other.name, text, self.office.loop.round())
        await self._agent.queue(other.name, text)

    async def write_now_and_then(self, every_rounds: float) -> None:
        while True:
            await asyncio.sleep(self.dice.expovariate(1 / (every_rounds * ROUND_SECONDS)))
            await self.write(self.dice.choice(list(self.contacts.values())))

    async def _watch(self, client: Client) -> None:
        async for change in client.changes():
            if change.kind == "split":
                self.book.fault(f"the agent of {self.name} has an alarm of a split view: {change.fields}")
            elif change.kind == "trouble":
                self.book.counts["troubles of agents"] += 1
                self.troubles.append(f"{self.office.loop.round()}: {change.fields['error']}")
