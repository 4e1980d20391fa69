"""Fetching: how a member's own bucket is read from its home relay (PROTOCOL §5, §7).

Owns the reading up to the open round in one go, the same in the requests that a round has for it, and what a relay that
IT put into another's place means for it. Finding own records in what was read is the inbox's business.

A request is a connection: a relay serves 16 rounds on one while a round is open, and asks for no token.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from tessera.params import CONSTANT, Parameters
from tessera.wire import FETCH_ROUNDS

from ..duration import DAY_SECONDS
from ..errors import IntegrityError, RelayRefused, Unreachable
from ..protocol import records
from ..protocol.federation import Relay
from ..protocol.relay_connection import Batch, patiently
from .fixed_delay import Settling
from .inbox import Message
from .relay_sessions import Reading, RelaySessions
from .state import MemberState

# (rounds read, rounds there are to read)
Progress = Callable[[int, int], None]


@dataclass
class FetchReport:
    """What one call read: (round, published count) of every round, messages completed, records that were ours, and how
    many rounds had expired before they were read."""

    rounds: list[tuple[int, int]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    records_matched: int = 0
    rounds_expired: int = 0


class Fetcher:
    """The fetching side of a state. Its parts of the state are asked for anew every time: they may be stale."""

    def __init__(self, state: MemberState, sessions: RelaySessions) -> None:
        self._state = state
        self._sessions = sessions
        self._fetching = asyncio.Lock()  # two tasks that fetch would take the same rounds
        self._most_rounds = FETCH_ROUNDS  # of a request; fewer after one that was cut, so that a slow relay gets on

    async def fetch(self, progress: Progress | None = None, take: bool = True) -> FetchReport:
        """Read from where it was left up to the open round. What was read is saved every 16 rounds, so an interrupted
        call loses nothing: its messages come with the next report. With `take` they count as given out."""
        state, report = self._state, FetchReport()
        first: int | None = None
        open_round = 0

        async def request() -> None:
            nonlocal first, open_round
            async with self._sessions.reading(state.federation.home) as reading:
                if first is None:
                    open_round = self._expect(reading, report)
                    first = state.inbox.next_round
                if state.inbox.next_round < open_round:
                    self._read(await self._next(reading), report)
                    if progress:
                        progress(state.inbox.next_round - first, open_round - first)

        async with self._fetching:
            while first is None or state.inbox.next_round < open_round:
                await patiently(request)
        self._forget_old()
        report.messages = state.inbox.take_unread() if take else []
        state.save()
        return report

    async def slot(self, settling: Settling, most_requests: int) -> FetchReport:
        """The fetch of a round: at least one request, also if there is nothing new, and only so many. What it brings
        is not counted as read by a person. Each leaves a fixed time after the answer before it. A relay that is busy
        with other readers is asked again in the next round, as the posts of this one do not wait."""
        state, report = self._state, FetchReport()
        known: int | None = None
        open_round = 0
        async with self._fetching:
            for _ in range(most_requests):
                async with self._sessions.reading(state.federation.home) as reading:
                    settling.begin()
                    if known is None:
                        open_round = self._expect(reading, report)
                        state.inbox.go_back_to(open_round - 1)
                        known = len(state.inbox.messages())
                    if open_round == 0:
                        break  # nothing was sealed yet
                    await settling.done()
                    batches = await self._next(reading)
                settling.begin()
                self._read(batches, report)
                if state.inbox.next_round >= open_round:
                    break
                await settling.done()
        report.messages = state.inbox.messages()[known:]
        self._forget_old()
        state.save()
        return report

    def _forget_old(self) -> None:
        """Keys of what was read, and the messages, in and out, that the office does not want kept any longer."""
        state = self._state
        state.inbox.forget_read(state.round())
        oldest = state.now() - state.federation.retention_days * DAY_SECONDS
        state.inbox.forget_before(state.federation.round_at(oldest))
        state.history.forget_before(oldest)

    def _expect(self, reading: Reading, report: FetchReport) -> int:
        """Get ready to read what is sealed: the open round."""
        state, open_round = self._state, reading.info.open_round
        self._look_who_it_is(state.federation.home)
        self._note_rule(reading)
        report.rounds_expired = state.inbox.expect(open_round, state.round())
        return open_round

    def _look_who_it_is(self, home: Relay) -> None:
        """A relay that took another's place has nothing of what that had, and perhaps posts of rounds that were read
        from that already: it is read from the first epoch on in which it can have taken any."""
        state, inbox = self._state, self._state.data.inbox
        if inbox.relay not in (None, home.key):
            listing = [known.first_epoch for known in state.federation.sets if known.relay_with(home.key)]
            state.inbox.go_back_to(state.federation.first_round(min(listing)))
        inbox.relay = home.key

    def _note_rule(self, reading: Reading) -> None:
        """Which set the relay goes by in its open epoch: in which bucket its rounds have what is for this member."""
        federation, rules = self._state.federation, self._state.data.inbox.rules
        rules[federation.epoch_of(reading.info.open_round)] = reading.parameters.digest
        kept = federation.epoch_of(federation.first_kept(min(reading.info.open_round, self._state.round())))
        for epoch in [epoch for epoch in rules if epoch < kept]:
            del rules[epoch]

    def _rule(self, epoch: int) -> Parameters:
        """The set that the home relay named for an epoch; if it was not asked then, the one that is known to govern."""
        federation, digest = self._state.federation, self._state.data.inbox.rules.get(epoch)
        named = federation.with_digest(digest) if digest else None
        return named or federation.governing(epoch)

    async def _next(self, reading: Reading) -> list[Batch]:
        """At most 16 rounds of one epoch: the bucket may be another in the next."""
        state = self._state
        start = state.inbox.next_round
        epoch = state.federation.epoch_of(start)
        end = min(start + self._most_rounds, reading.info.open_round, state.federation.first_round(epoch + 1))
        bucket = records.bucket_of(state.identity.mailbox, self._rule(epoch).buckets)
        try:
            batches = await reading.connection.fetch(bucket, start, end, reading.key)
        except (Unreachable, asyncio.CancelledError):
            self._most_rounds = max(1, self._most_rounds // 2)
            raise
        self._most_rounds = min(FETCH_ROUNDS, 2 * self._most_rounds)
        if not batches:
            raise RelayRefused("the relay does not serve rounds it says are sealed", "try again; if it recurs, tell IT")
        return batches

    def _read(self, batches: list[Batch], report: FetchReport) -> None:
        for batch in batches:
            report.records_matched += self._state.inbox.read(batch.round, batch.records)
            report.rounds.append((batch.round, len(batch.records)))
        self._state.save()
        for batch in batches:
            self._count(batch)

    def _count(self, batch: Batch) -> None:
        """Whoever counts records audits constant batches. What was read stays read: another size is the relay's fault,
        not the senders'."""
        federation = self._state.federation
        digest = self._state.data.inbox.rules.get(federation.epoch_of(batch.round))
        named = federation.with_digest(digest) if digest else None
        if named and named.cover == CONSTANT and len(batch.records) != named.constant:
            raise IntegrityError(
                f"{federation.home.name} served {len(batch.records)} records in round {batch.round}, and every round "
                f"of this office has {named.constant}: how much is posted there can be seen",
                "tell IT: the relay does not keep to the parameters; stop posting to it until that is explained",
            )
