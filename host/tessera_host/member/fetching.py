"""Fetching: how a member's own bucket is read from each of its relays (PROTOCOL §5, §7).

Owns the reading up to the open round in one go, and the same in the requests that a round has for it. Each relay is
read by itself: one that does not answer holds up none of the others. Which relays these are, and how far each was read,
is the inbox's business, and so is finding own records in what was read.

A request is a connection: a relay serves 16 rounds on one while a round is open, and asks for no token.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from tessera.params import CONSTANT, Parameters
from tessera.wire import FETCH_ROUNDS

from ..duration import DAY_SECONDS
from ..errors import IntegrityError, RelayRefused, TesseraError, Unreachable
from ..protocol import records
from ..protocol.federation import Relay
from ..protocol.relay_connection import Batch, patiently
from .fixed_delay import FixedDelay
from .inbox import Message
from .relay_sessions import Reading, RelaySessions
from .state import MemberState

# (rounds read, rounds there are to read), of one relay
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Unread:
    """A relay that was not read to its open round, and why."""

    relay: str
    error: TesseraError


@dataclass
class FetchReport:
    """What one call read: (round, published count) of every round of every relay, messages completed, records that were
    ours, how many rounds had expired before they were read, and the relays that could not be read."""

    rounds: list[tuple[int, int]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    records_matched: int = 0
    rounds_expired: int = 0
    unread: list[Unread] = field(default_factory=list)


class Fetcher:
    """The fetching side of a state. Its parts of the state are asked for anew every time: they may be stale."""

    def __init__(self, state: MemberState, sessions: RelaySessions) -> None:
        self._state = state
        self._sessions = sessions
        # By relay: two tasks that fetch there would take the same rounds; and how many rounds a request is for, fewer
        # after one that was cut, so that a slow relay gets on.
        self._fetching = defaultdict[int, asyncio.Lock](asyncio.Lock)
        self._most_rounds = defaultdict[int, int](lambda: FETCH_ROUNDS)

    async def fetch(self, progress: Progress | None = None, take: bool = True) -> FetchReport:
        """Read every relay from where it was left up to its open round. What was read is saved every 16 rounds, so an
        interrupted call loses nothing: its messages come with the next report. With `take` they count as given out.

        Raises what went wrong at the only relay, or the first, if none could be read; and IntegrityError of any.
        """
        state, report = self._state, FetchReport()
        relays = state.inbox.look(state.round())
        await asyncio.gather(*(self._try(relay, report, progress) for relay in relays))
        errors = [unread.error for unread in report.unread]
        if len(errors) == len(relays):
            raise errors[0]
        self._forget_old()
        wrong = next((error for error in errors if isinstance(error, IntegrityError)), None)
        if take and not wrong:
            report.messages = state.inbox.take_unread()
        state.save()
        if wrong:
            raise wrong
        return report

    async def _try(self, relay: Relay, report: FetchReport, progress: Progress | None) -> None:
        try:
            async with self._fetching[relay.id]:
                await self._read_all(relay, report, progress)
        except TesseraError as error:
            report.unread.append(Unread(relay.name, error))

    async def _read_all(self, relay: Relay, report: FetchReport, progress: Progress | None) -> None:
        first: int | None = None
        end = 0

        async def request() -> None:
            nonlocal first, end
            async with self._sessions.reading(relay) as reading:
                if first is None:
                    end = self._expect(reading, report)
                    first = self._next_round(relay)
                if self._next_round(relay) < end:
                    self._read(relay, await self._next(reading, end), report)
                    if progress:
                        progress(self._next_round(relay) - first, end - first)

        while first is None or self._next_round(relay) < end:
            await patiently(request)

    async def slot(self, relay: Relay, delay: FixedDelay, most_requests: int) -> FetchReport:
        """The fetch of a round at a relay: at least one request, also if there is nothing new, and only so many. What
        it brings is not counted as read by a person. Each leaves a fixed time after the answer before it. A relay that
        is busy with other readers is asked again in the next round, as the posts of this one do not wait."""
        state, report = self._state, FetchReport()
        end: int | None = None
        async with self._fetching[relay.id]:
            for _ in range(most_requests):
                async with self._sessions.reading(relay) as reading:
                    delay.begin()
                    if end is None:
                        end = self._expect(reading, report)
                        if state.inbox.pointers.is_current(relay.id):
                            state.inbox.pointers.go_back_to(end - 1, [relay.id])
                    if self._next_round(relay) >= end:
                        break  # nothing was sealed yet
                    await delay.done()
                    batches = await self._next(reading, end)
                delay.begin()
                self._read(relay, batches, report)
                if self._next_round(relay) >= end:
                    break
                await delay.done()
        self._forget_old()
        report.messages = state.inbox.take_fresh()
        state.save()
        return report

    def _next_round(self, relay: Relay) -> int:
        return self._state.inbox.pointers[relay.id].next_round

    def _forget_old(self) -> None:
        """Keys of what was read, and the messages, in and out, that the office does not want kept any longer."""
        state = self._state
        state.inbox.settle()
        state.inbox.forget_read(state.round())
        oldest = state.now() - state.federation.retention_days * DAY_SECONDS
        state.inbox.forget_before(state.federation.round_at(oldest))
        state.history.forget_before(oldest)

    def _expect(self, reading: Reading, report: FetchReport) -> int:
        """Get ready to read what is sealed: the first round that is not to be read."""
        inbox, open_round = self._state.inbox, reading.info.open_round
        report.rounds_expired += inbox.expect(open_round, self._state.round())
        self._note_rule(reading)
        return inbox.pointers.end(reading.relay.id, open_round)

    def _note_rule(self, reading: Reading) -> None:
        """Which set the relay goes by in its open epoch: in which bucket its rounds have what is for this member."""
        federation, rules = self._state.federation, self._state.inbox.pointers[reading.relay.id].rules
        rules[federation.epoch_of(reading.info.open_round)] = reading.parameters.digest
        kept = federation.epoch_of(federation.first_kept(min(reading.info.open_round, self._state.round())))
        for epoch in [epoch for epoch in rules if epoch < kept]:
            del rules[epoch]

    def _named(self, relay: Relay, epoch: int) -> Parameters | None:
        """The set that the relay named for an epoch; None if it was not asked then."""
        digest = self._state.inbox.pointers[relay.id].rules.get(epoch)
        return self._state.federation.with_digest(digest) if digest else None

    def _rule(self, relay: Relay, epoch: int) -> Parameters:
        """The set that the relay goes by in an epoch, as far as is known: the one that is known to govern, if it named
        none."""
        return self._named(relay, epoch) or self._state.federation.governing(epoch)

    async def _next(self, reading: Reading, end: int) -> list[Batch]:
        """At most 16 rounds of one epoch, up to this round: the bucket may be another in the next."""
        state, relay, most = self._state, reading.relay, self._most_rounds[reading.relay.id]
        start = self._next_round(relay)
        epoch = state.federation.epoch_of(start)
        end = min(start + most, end, state.federation.first_round(epoch + 1))
        bucket = records.bucket_of(state.identity.mailbox, self._rule(relay, epoch).buckets)
        try:
            batches = await reading.connection.fetch(bucket, start, end, reading.key)
        except (Unreachable, asyncio.CancelledError):
            self._most_rounds[relay.id] = max(1, most // 2)
            raise
        self._most_rounds[relay.id] = min(FETCH_ROUNDS, 2 * most)
        if not batches:
            raise RelayRefused(
                "the relay does not serve rounds that it says are sealed", "try again; if it recurs, tell IT"
            )
        return batches

    def _read(self, relay: Relay, batches: list[Batch], report: FetchReport) -> None:
        for batch in batches:
            report.records_matched += self._state.inbox.read(batch.round, batch.records, relay.id)
            report.rounds.append((batch.round, len(batch.records)))
        self._state.save()
        for batch in batches:
            self._count(relay, batch)

    def _count(self, relay: Relay, batch: Batch) -> None:
        """Whoever counts records audits constant batches. What was read stays read: another size is the relay's fault,
        not the senders'."""
        named = self._named(relay, self._state.federation.epoch_of(batch.round))
        if named and named.cover == CONSTANT and len(batch.records) != named.constant:
            raise IntegrityError(
                f"{relay.name} served {len(batch.records)} records in round {batch.round}, but every "
                f"round of this office has {named.constant}: others can see how much is posted there",
                "tell IT: the relay does not follow the office's settings; stop posting to it until that is explained",
            )
