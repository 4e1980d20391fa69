"""Posting: how what waits in a member's outbox gets to a relay (PROTOCOL §7).

Owns one attempt of one part, in both ways it is made: when somebody posts by hand; and as the one frame that a round
has for it, whether there is a part or not. When which of the two is done, and whether after one attempt there is
another, is `client`'s and `engine`'s business: no relay's answer makes a member post more than they allow.

The bytes of a record are sent once (PROTOCOL §5): whatever another attempt is for, it has a connection of its own and
the part is sealed anew, as it is for each relay that a copy goes to. And no two records are sent into one cell (the
state's ledger), whatever a relay answered to the first.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from ..clock import local_time_of_day
from ..errors import IntegrityError, NotPermitted, RelayRefused
from ..protocol import records, relay_connection
from ..protocol.federation import CLOCK_ROUNDS, Relay
from ..protocol.records import Part
from ..protocol.relay_connection import ErrorFrame
from .fixed_delay import FixedDelay
from .relay_sessions import RelaySessions, Session, TokenChoice
from .schema import Departure, Outgoing, Place, Token
from .state import MemberState
from .wallet import PostsUsedUp, TokenKey


class Posted(NamedTuple):
    """A part that a relay acknowledged, the first that did, and the round it appears in."""

    contact: str
    part: Part
    round: int


class Copied(NamedTuple):
    """A part that one more relay acknowledged; `safe` if by that all have it that are to."""

    contact: str
    part: Part
    round: int
    safe: bool


class RelayBusy(RelayRefused):
    """The relay says that it took no record. Whether it did nobody knows: the part is sealed anew for another round."""


class CellTaken(NamedTuple):
    """By the relay's clock its open round has a record of this member's already, in every bucket that something waits
    for."""

    open_round: int


class Unposted(NamedTuple):
    """A part that waits still after an attempt that counts: its token was used up, or the epoch ended meanwhile."""

    contact: str
    part: Part


class Sender:
    """The posting side of a state. Its parts of the state are asked for anew every time: they may be stale."""

    def __init__(self, state: MemberState, sessions: RelaySessions) -> None:
        self._state = state
        self._sessions = sessions
        # By relay: two tasks that post there would post one part twice; and while a record is on its way there.
        self._posting = defaultdict[int, asyncio.Lock](asyncio.Lock)
        self._flying = defaultdict[int, asyncio.Lock](asyncio.Lock)

    def relays(self) -> list[int]:
        """The numbers of the relays that something is to be posted to: what waits, and what a relay had that is gone
        since."""
        self._put_back()
        return sorted(self._state.outbox.relays())

    async def post_one(self, relay: Relay) -> Posted | Copied | Unposted | CellTaken | None:
        """One attempt to post the first part that waits for a relay and may leave. None if nothing waits."""
        async with self._posting[relay.id]:
            self._put_back()
            while any(self._state.outbox.waiting(relay.id)):
                async with self._session(relay) as session, self._flying[relay.id]:
                    item = self._next(session)
                    if item is None:
                        return CellTaken(session.info.open_round)
                    if session.token.left != 0:  # else the relay says so of a token that had some: take the next one
                        return await self._post(session, item) or Unposted(item.contact, item.part)
        return None

    async def slot(
        self, relay: Relay, choose: TokenChoice, delay: FixedDelay, may_post: bool
    ) -> Posted | Copied | None:
        """The one frame of a round: the first part that waits for a relay, or VOID. Looks the same from outside.

        It leaves a fixed time after the connection is made, which hides how long sealing took. Nothing is asked twice:
        a part that is refused waits for the next slot.
        """
        async with self._posting[relay.id], self._sessions.session(relay, choose) as session:
            delay.begin()
            self._put_back()
            async with self._flying[relay.id]:
                item = self._next(session) if may_post and session.token.left != 0 else None
                record = self._sealed(session, item) if item else None
                await delay.done()
                if item is None or record is None:
                    await session.connection.void()
                    return None
                try:
                    open_round = await session.connection.post(self._bucket_of(item, session), record)
                except ErrorFrame as refusal:
                    if refusal.code == relay_connection.QUOTA:
                        session.token.spent()
                        self._state.save()
                    raise
                return self._acknowledged(session, item, open_round)

    @asynccontextmanager
    async def between_posts(self) -> AsyncIterator[None]:
        """No record is on its way meanwhile."""
        async with AsyncExitStack() as stack:
            for flying in list(self._flying.values()):
                await stack.enter_async_context(flying)
            yield

    def _session(self, relay: Relay) -> AbstractAsyncContextManager[Session]:
        return self._sessions.session(relay, self._token)

    def _put_back(self) -> None:
        """Into the outbox, what was posted to relays that are gone since."""
        if self._state.posted.settle():
            self._state.save()

    def _token(self, key: TokenKey) -> Token:
        """The one to post with. Raises NotPermitted."""
        try:
            return self._state.wallet.for_posting(key)
        except PostsUsedUp as used:
            if self._restarted(key):
                name = self._state.federation.relay_name(key.relay)
                raise PostsUsedUp(
                    f"the relay {name} has restarted, so the posts you had left in the current epoch count as used",
                    used.hint,
                ) from None
            raise

    def _restarted(self, key: TokenKey) -> bool:
        """Whether posts are gone that this member never made: a lease that is open when a relay restarts is used."""
        state = self._state
        since = state.federation.round_start(state.federation.first_round(key.epoch))
        made = state.accountant.posted_since(since, key.relay)
        given = len(state.wallet.of(key)) * state.federation.governing(key.epoch).posts_per_token
        return made is not None and made < given

    def obstacle(self) -> str:
        """Why what waits cannot leave in this epoch, if there is nothing left to post with; else empty."""
        for relay in sorted(self._state.outbox.relays()):
            try:
                self._token(self._state.wallet.key(self._state.epoch(), relay))
            except PostsUsedUp as used:
                return str(used)
            except NotPermitted:
                pass  # no tokens of this epoch: a slot says so
        return ""

    def _next(self, session: Session) -> Outgoing | None:
        """The first part whose cell has no record of ours yet."""
        state, relay, open_round = self._state, session.token.relay, session.info.open_round
        for item in state.outbox.waiting(relay, session.token.epoch):
            if state.ledger.free_from(relay, self._bucket_of(item, session)) <= open_round:
                return item
        return None

    def _sealed(self, session: Session, item: Outgoing) -> bytes | None:
        """The record of a slot; None if none may be sent in this epoch, or the recipient looks for no more."""
        try:
            return self._seal(session, item)
        except NotPermitted:
            return None

    def _seal(self, session: Session, item: Outgoing) -> bytes:
        """Seal under a new index and count it, by the day and by the cell, durably."""
        state, epoch = self._state, session.token.epoch
        state.hold.check(epoch)
        each = session.parameters.tokens_per_epoch * session.parameters.posts_per_token
        limit = state.federation.copies(epoch) * each
        record = state.outbox.seal(item, epoch, limit)
        cell = session.token.relay, self._bucket_of(item, session), session.info.open_round
        state.accountant.spend(Departure(state.now(), *cell, session.parameters.digest))
        state.ledger.take(*cell)
        state.save()
        return record

    async def _post(self, session: Session, item: Outgoing) -> Posted | Copied | None:
        """One attempt: seal under a new index, save, post, save. None if the part still waits."""
        record = self._seal(session, item)
        try:
            open_round = await session.connection.post(self._bucket_of(item, session), record)
        except ErrorFrame as refusal:
            await self._look_into(refusal, session, item)
            return None
        return self._acknowledged(session, item, open_round)

    def _acknowledged(self, session: Session, item: Outgoing, open_round: int) -> Posted | Copied | None:
        """Raises IntegrityError for a round that no time between INFO and now explains; the part waits then."""
        state = self._state
        session.token.posted()
        if abs(open_round - session.info.open_round) > CLOCK_ROUNDS:
            state.save()
            raise IntegrityError(
                f"the relay says that a record is in round {open_round}, but that round "
                f"{session.info.open_round} is open",
                "do not use this relay; tell IT",
            )
        state.ledger.acknowledged(
            session.token.relay, self._bucket_of(item, session), session.info.open_round, open_round
        )
        if state.federation.epoch_of(open_round) != session.token.epoch:
            state.save()
            return None  # it is in a round whose readers look for other tags
        is_first, waited = not item.places, state.outbox.holds(item)
        state.outbox.acknowledged(item, Place(session.relay.id, session.relay.key, open_round))
        state.posted.settle()
        state.history.posted(item.contact, item.part, open_round)
        state.save()
        if is_first:
            return Posted(item.contact, item.part, open_round)
        return Copied(item.contact, item.part, open_round, waited and not state.outbox.holds(item))

    async def _look_into(self, refusal: ErrorFrame, session: Session, item: Outgoing) -> None:
        """Raise it, unless the token is used up or its epoch has just ended: then another token will do."""
        if refusal.code == relay_connection.BUSY:
            state = self._state
            free = state.ledger.free_from(session.token.relay, self._bucket_of(item, session))
            following = max(state.federation.round_start(free), state.now() + refusal.retry_after)
            raise RelayBusy(
                "the relay is busy: it takes no records now",
                f"what waits can leave from {local_time_of_day(following)} on, with the next command "
                "that you type then",
            )
        if refusal.code == relay_connection.QUOTA:
            session.token.spent()
            self._state.save()
        elif refusal.code != relay_connection.NOT_ADMITTED or not await self._epoch_is_over(session):
            raise refusal

    async def _epoch_is_over(self, session: Session) -> bool:
        relay = self._state.federation.relay_with_id(session.token.relay)
        greeted = await self._sessions.greet(session.connection, relay)
        return self._state.federation.epoch_of(greeted.info.open_round) != session.token.epoch

    def _bucket_of(self, item: Outgoing, session: Session) -> int:
        return records.bucket_of(self._state.contacts.get(item.contact).mailbox, session.parameters.buckets)
