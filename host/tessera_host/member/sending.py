"""Posting: how what waits in a member's outbox gets to a relay (PROTOCOL §7).

Owns one attempt of one part, in both ways it is made: at once, as often as it takes; and as the one frame that a round
has for it, whether there is a part or not. When which of the two is done is `client`'s and `engine`'s business.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from ..errors import NotPermitted
from ..protocol import records, relay_connection
from ..protocol.federation import Relay
from ..protocol.records import Part
from ..protocol.relay_connection import ErrorFrame
from .fixed_delay import Settling
from .relay_sessions import RelaySessions, Session, TokenChoice
from .schema import Outgoing
from .state import MemberState


class Posted(NamedTuple):
    """A part that a relay acknowledged, and the round it appears in."""

    contact: str
    part: Part
    round: int


class Sender:
    """The posting side of a state. Its parts of the state are asked for anew every time: they may be stale."""

    def __init__(self, state: MemberState, sessions: RelaySessions) -> None:
        self._state = state
        self._sessions = sessions
        self._posting = asyncio.Lock()  # two tasks that post would use one index twice

    async def post_one(self, relay: Relay) -> Posted | None:
        """Post the first part that waits for a relay, on as many tokens as it takes. None if nothing waits."""
        async with self._posting:
            while item := self._next(relay):
                async with self._session(relay) as session:
                    if session.token.left != 0 and (posted := await self._post(session, item)):
                        return posted
        return None

    async def slot(self, relay: Relay, choose: TokenChoice, settling: Settling, may_post: bool) -> Posted | None:
        """The one frame of a round: the first part that waits for a relay, or VOID. Looks the same from outside.

        It leaves a fixed time after the connection is made, which hides how long sealing took. Nothing is asked twice:
        a part that is refused waits for the next slot.
        """
        async with self._posting, self._sessions.session(relay, choose) as session:
            settling.begin()
            item = self._next(relay) if may_post and session.token.left != 0 else None
            record = self._sealed(session, item) if item else None
            await settling.done()
            if item is None or record is None:
                await session.connection.void_once()
                return None
            try:
                open_round = await session.connection.post_once(self._bucket_of(item, session.token.epoch), record)
            except ErrorFrame as refusal:
                if refusal.code == relay_connection.QUOTA:
                    session.token.spent()
                    self._state.save()
                raise
        return self._acknowledged(session, item, open_round)

    def _session(self, relay: Relay) -> AbstractAsyncContextManager[Session]:
        return self._sessions.session(relay, self._state.wallet.for_posting)

    def _next(self, relay: Relay) -> Outgoing | None:
        return next(self._state.outbox.waiting(relay.key), None)

    def _sealed(self, session: Session, item: Outgoing) -> bytes | None:
        """The record of a slot; None if none may be sent in this epoch, or the recipient looks for no more."""
        try:
            return self._seal(session, item)
        except NotPermitted:
            return None

    def _seal(self, session: Session, item: Outgoing) -> bytes:
        """Seal under a new index and count it, durably."""
        state, epoch = self._state, session.token.epoch
        state.hold.check(epoch)
        record = state.outbox.seal(item, epoch, state.federation.records_per_epoch(epoch))
        state.accountant.spend(state.now())
        state.save()
        return record

    async def _post(self, session: Session, item: Outgoing) -> Posted | None:
        """One attempt: seal under a new index, save, post, save. None if the part still waits."""
        record = self._seal(session, item)
        try:
            open_round = await session.connection.post(self._bucket_of(item, session.token.epoch), record)
        except ErrorFrame as refusal:
            await self._look_into(refusal, session)
            return None
        return self._acknowledged(session, item, open_round)

    def _acknowledged(self, session: Session, item: Outgoing, open_round: int) -> Posted | None:
        state = self._state
        session.token.posted()
        if state.federation.epoch_of(open_round) != session.token.epoch:
            state.save()
            return None  # it is in a round whose readers look for other tags
        state.outbox.posted(item)
        state.history.posted(item.contact, item.part, open_round)
        state.save()
        return Posted(item.contact, item.part, open_round)

    async def _look_into(self, refusal: ErrorFrame, session: Session) -> None:
        """Raise it, unless the token is used up or its epoch has just ended: then another token will do."""
        if refusal.code == relay_connection.QUOTA:
            session.token.spent()
            self._state.save()
        elif refusal.code != relay_connection.NOT_ADMITTED or not await self._epoch_is_over(session):
            raise refusal

    async def _epoch_is_over(self, session: Session) -> bool:
        info = await self._sessions.checked_info(session.connection)
        return self._state.federation.epoch_of(info.open_round) != session.token.epoch

    def _bucket_of(self, item: Outgoing, epoch: int) -> int:
        mailbox = self._state.contacts.get(item.contact).mailbox
        return records.bucket_of(mailbox, self._state.federation.governing(epoch).buckets)
