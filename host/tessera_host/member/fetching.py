"""Fetching: how a member's own bucket is read from its home relay (PROTOCOL §7).

Owns the reading up to the open round in one go, and the same in the frames that a round has for it. Finding own records
in what was read is the inbox's business.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from tessera.wire import FETCH_ROUNDS

from ..errors import RelayRefused, Unreachable
from ..protocol import records
from ..protocol.relay_connection import Batch
from .fixed_delay import Settling
from .inbox import Message
from .relay_sessions import RelaySessions, Session, TokenChoice
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
        self._fetching = asyncio.Lock()  # two tasks that fetch would use one session twice
        self._most_rounds = FETCH_ROUNDS  # of a request; fewer after one that was cut, so that a slow relay gets on

    async def fetch(self, progress: Progress | None = None, take: bool = True) -> FetchReport:
        """Read from where it was left up to the open round. What was read is saved every 16 rounds, so an interrupted
        call loses nothing: its messages come with the next report. With `take` they count as given out."""
        state, report = self._state, FetchReport()
        async with self._fetching, self._sessions.session(state.federation.home, state.wallet.for_fetching) as session:
            open_round = session.info.open_round
            report.rounds_expired = state.inbox.expect(open_round, state.round())
            first = state.inbox.next_round
            while state.inbox.next_round < open_round:
                self._read(await self._next(session), report)
                if progress:
                    progress(state.inbox.next_round - first, open_round - first)
        state.inbox.forget_read(state.round())
        report.messages = state.inbox.take_unread() if take else []
        state.save()
        return report

    async def slot(self, choose: TokenChoice, settling: Settling, most_requests: int) -> FetchReport:
        """The fetch of a round: at least one request, also if there is nothing new, and only so many. What it brings
        is not counted as read by a person. Each request leaves a fixed time after the answer before it."""
        state, report = self._state, FetchReport()
        async with self._fetching, self._sessions.session(state.federation.home, choose) as session:
            settling.begin()
            open_round = session.info.open_round
            report.rounds_expired = state.inbox.expect(open_round, state.round())
            state.inbox.go_back_to(open_round - 1)
            known = len(state.inbox.messages())
            for _ in range(most_requests):
                if state.inbox.next_round >= open_round:
                    break
                await settling.done()
                batches = await self._next(session)
                settling.begin()
                self._read(batches, report)
        state.inbox.forget_read(state.round())
        report.messages = state.inbox.messages()[known:]
        state.save()
        return report

    async def _next(self, session: Session) -> list[Batch]:
        """At most 16 rounds of one epoch: the bucket may be another in the next."""
        state = self._state
        start = state.inbox.next_round
        epoch = state.federation.epoch_of(start)
        end = min(start + self._most_rounds, session.info.open_round, state.federation.first_round(epoch + 1))
        bucket = records.bucket_of(state.identity.mailbox, state.federation.governing(epoch).buckets)
        try:
            batches = await session.connection.fetch(bucket, start, end)
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
