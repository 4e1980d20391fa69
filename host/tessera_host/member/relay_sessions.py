"""A member's connections to relays: which relay is accepted, and how a connection begins (PROTOCOL §3, §4, §6).

Owns the check of what a relay says of itself, what this member tells it besides (newer settings, the time), taking up a
token's earlier session, and admission with a token. A resumption secret is saved before it is shown: an id is used
once. `sending` and `fetching` ask on a session; `relay_connection` has the frames.

A session that posts continues its token's earlier one; one that reads has no token, and is a full handshake every time:
whatever it continued would say whose it is.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from tessera.params import Parameters

from .. import duration
from ..errors import ClockOff, IntegrityError, NotPermitted, OutOfDate, RelayRefused
from ..protocol import relay_connection
from ..protocol.federation import CLOCK_ROUNDS, Relay, parsed
from ..protocol.relay_connection import ErrorFrame, HelloRefused, Info, RelayConnection, SessionForgotten
from . import news
from .schema import Token
from .state import MemberState
from .wallet import EARLY, TokenKey, key_of, proof

# The token to use of those that are good here; raises NotPermitted if there is none.
TokenChoice = Callable[[TokenKey], Token]

SLOW_SECONDS = 5.0  # from then on whoever waits is told for whom


@dataclass(frozen=True)
class Status:
    """A relay as this member sees it. `rounds_apart` is the relay's open round less this computer's."""

    relay: str
    info: Info
    own_round: int
    rounds_apart: int
    epoch: int


@dataclass(frozen=True)
class Greeted:
    """A connection to a relay that is accepted: what it says of itself, and the set that governs its open epoch."""

    relay: Relay
    connection: RelayConnection
    info: Info
    parameters: Parameters


@dataclass(frozen=True)
class Session(Greeted):
    """An admitted connection: the token it runs on."""

    token: Token


@dataclass(frozen=True)
class Reading(Greeted):
    """A connection to read from: the key (32 bytes) that says that a member reads."""

    key: bytes


class RelaySessions:
    """The connections of one member. Its parts of the state are asked for anew every time: they may be stale."""

    def __init__(self, state: MemberState, slow: Callable[[str], None] | None = None) -> None:
        """`slow` is told the name of a relay that takes long to do what it was asked."""
        self._state = state
        self._slow = slow

    async def status(self, relay_name: str | None = None) -> Status:
        """Ask a relay, by default the home relay, about itself. Raises IntegrityError if it is not to be used, ClockOff
        if the clocks differ."""
        state = self._state
        relay = state.federation.relay_named(relay_name) if relay_name else state.federation.home
        async with await self._connect(relay) as connection:
            info = await self._accepted_info(connection, relay)
        state.save()
        apart = info.open_round - state.round()
        return Status(relay.name, info, state.round(), apart, state.federation.epoch_of(info.open_round))

    @asynccontextmanager
    async def session(self, relay: Relay, choose: TokenChoice) -> AsyncIterator[Session]:
        """Open an admitted connection: resume a token's earlier session, or make a full handshake and AUTH."""
        with self._watched(relay):
            session = await self._resumed(relay, choose) or await self._admitted(relay, choose)
            async with session.connection:
                yield session

    @asynccontextmanager
    async def reading(self, relay: Relay) -> AsyncIterator[Reading]:
        """Open a connection to read from. Raises OutOfDate without the reading key in force."""
        with self._watched(relay):
            async with await self._connect(relay) as connection:
                greeted = await self.greet(connection, relay)
                key = self._state.federation.reading_key(greeted.parameters)
                if key is None:
                    raise OutOfDate("your program does not have the office's current reading key", "tessera renew")
                yield Reading(relay, connection, greeted.info, greeted.parameters, key)

    @contextmanager
    def _watched(self, relay: Relay) -> Iterator[None]:
        if self._slow is None:
            yield
            return
        timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._slow, relay.name)
        try:
            yield
        finally:
            timer.cancel()

    # -- what a relay says of itself

    async def greet(self, connection: RelayConnection, relay: Relay) -> Greeted:
        """Ask the relay about itself, and check the answer. Raises OutOfDate if this member does not have the set in
        force there."""
        info = await self._accepted_info(connection, relay)
        federation = self._state.federation
        parameters = federation.with_digest(info.digest)
        if parameters is None:
            raise OutOfDate(
                f"the relay {relay.name} uses settings of the office that your program does not have",
                "get them: tessera renew; if that does not help, tell IT",
            )
        federation.seen_in_force(info.digest, federation.epoch_of(info.open_round))
        return Greeted(relay, connection, info, parameters)

    async def _accepted_info(self, connection: RelayConnection, relay: Relay) -> Info:
        """INFO, once its open round fits the clock, the first round kept follows from it, and its newest set is one of
        the office's. A relay with older settings, or without the time, is told on the way."""
        info = await self._info_in_time(connection)
        self._check_rounds(info)
        if self._state.federation.with_digest(info.newest_digest) is None:
            await self._take_newer(connection, info)
        if info.newest_serial < self._state.federation.newest.serial and await self._push_newest(connection, relay):
            info = await connection.info()
            self._check_rounds(info)
        return info

    async def _info_in_time(self, connection: RelayConnection) -> Info:
        """INFO; a relay that does not know the time, or is behind, gets the office's word for it first, if this member
        has one that is fresh."""
        try:
            info = await connection.info()
        except ErrorFrame as refusal:
            if refusal.code != relay_connection.NOT_READY or not await self._push_time(connection):
                raise
            return await connection.info()
        behind = info.open_round < self._state.round() - CLOCK_ROUNDS
        if (info.provisional or behind) and await self._push_time(connection):
            return await connection.info()
        return info

    async def _push_time(self, connection: RelayConnection) -> bool:
        statement = news.fresh_time(self._state)
        return statement is not None and await _pushed(connection, statement)

    async def _push_newest(self, connection: RelayConnection, relay: Relay) -> bool:
        """The newest set, with the relay's own column of epoch keys; whether the relay took it. Others do so, too."""
        newest = self._state.federation.newest
        return newest.relay_with(relay.key) is not None and await _pushed(connection, newest.copy_for(relay.id))

    async def _take_newer(self, connection: RelayConnection, info: Info) -> None:
        blob = await connection.params()
        if parsed(blob, "do not use this relay; tell IT").digest != info.newest_digest:
            raise IntegrityError(
                "the relay hands out different settings from those that it names", "do not use it; tell IT"
            )
        news.take_set(self._state, blob)
        self._state.save()

    def _check_rounds(self, info: Info) -> None:
        open_round, own = info.open_round, self._state.round()
        if abs(open_round - own) > CLOCK_ROUNDS:
            raise self._clock_off(open_round, own)
        if info.first_round != self._state.federation.first_kept(open_round):
            raise IntegrityError(
                f"the relay says that it keeps rounds from {info.first_round} on, which contradicts its open round",
                "do not use it; tell IT",
            )
        self._state.round_confirmed(open_round)

    def _clock_off(self, open_round: int, own: int) -> ClockOff:
        """Rounds never go back: a side that is behind what was seen before is the one that is wrong."""
        seen, seconds = self._state.newest_round, self._state.federation.newest.round_seconds
        apart = f"about {duration.about(abs(open_round - own) * seconds)}"
        rounds = f"(the open round is {own} by this computer, {open_round} by the relay)"
        relays_side, own_side = ("behind", "ahead of") if open_round < own else ("ahead of", "behind")
        if own < seen - CLOCK_ROUNDS:
            return ClockOff(
                f"this computer's clock is wrong: it is {apart} {own_side} the relay's, and behind the time of an "
                f"earlier connection {rounds}",
                "set this computer's clock",
            )
        if open_round < seen:
            return ClockOff(
                f"the relay's clock is wrong: it is {apart} {relays_side} this computer's, and behind the time that it "
                f"showed before {rounds}",
                "tell IT",
            )
        return ClockOff(
            f"the relay's clock is {apart} {relays_side} this computer's, and either may be wrong {rounds}",
            "check this computer's clock; if it is right, tell IT",
        )

    # -- how a session begins

    async def _connect(self, relay: Relay) -> RelayConnection:
        """A full handshake. A relay may have the access key of an earlier set still, or of a later one already."""
        newest_first = [known.access_key for known in reversed(self._state.federation.sets)]
        for access_key in dict.fromkeys(newest_first):
            try:
                return await RelayConnection.open(relay.host, relay.port, relay.key, access_key)
            except HelloRefused as refused:
                refusal = refused
        raise refusal

    async def _resumed(self, relay: Relay, choose: TokenChoice) -> Session | None:
        """None if there is nothing to resume, the relay has forgotten it, or its epoch is over."""
        state = self._state
        try:
            token = choose(state.wallet.key(state.epoch(), relay.id))
        except NotPermitted:
            return None  # the relay may be a round, and so an epoch, ahead
        if token.resume is None:
            return None
        try:
            connection = await self._resume(relay, token, token.resume)
        except SessionForgotten:
            token.resumed(None)
            return None
        async with _closed_on_error(connection):
            greeted = await self.greet(connection, relay)
            self._check_settings(greeted.info, relay)
        if key_of(token) == self._key(greeted, relay):
            return Session(relay, connection, greeted.info, greeted.parameters, token)
        await connection.close()
        return None

    async def _resume(self, relay: Relay, token: Token, secret: bytes) -> RelayConnection:
        def using(following: bytes) -> None:
            token.resumed(following)
            self._state.save()

        access_key = self._state.federation.newest.access_key
        return await RelayConnection.resume(relay.host, relay.port, access_key, secret, using)

    async def _admitted(self, relay: Relay, choose: TokenChoice) -> Session:
        try:
            return await self._admit(relay, choose)
        except ErrorFrame as refusal:
            if refusal.code != relay_connection.NOT_ADMITTED:
                raise
            return await self._admit(relay, choose)  # the epoch may have ended between INFO and AUTH

    async def _admit(self, relay: Relay, choose: TokenChoice) -> Session:
        state = self._state
        connection = await self._connect(relay)
        async with _closed_on_error(connection):
            greeted = await self.greet(connection, relay)
            self._check_settings(greeted.info, relay)
            key = self._key(greeted, relay)
            self._forget_before(min(key.epoch, state.epoch()))  # a relay may be an epoch ahead
            token = choose(key)
            if token.left is None and token.early:
                state.remark(EARLY)
            shown = proof(token, connection.handshake_hash)
            admitted = await connection.auth(key.epoch, token.key, token.signature, shown)
            token.admitted(*_checked(greeted.parameters, *admitted))
            state.save()
        return Session(relay, connection, greeted.info, greeted.parameters, token)

    def _key(self, greeted: Greeted, relay: Relay) -> TokenKey:
        """What a token has to be good for to be admitted there."""
        epoch = self._state.federation.epoch_of(greeted.info.open_round)
        return TokenKey(greeted.parameters.generation, epoch, relay.id)

    def _check_settings(self, info: Info, relay: Relay) -> None:
        """Raises RelayRefused for a relay that has had an epoch's time to take the settings in force and has not: what
        is posted there would be covered as the office does not want it any more."""
        federation = self._state.federation
        if info.newest_serial < federation.expected(federation.epoch_of(info.open_round)).serial:
            raise RelayRefused(
                f"the relay {relay.name} still has old settings of the office, so nothing is posted to it",
                f"what waits leaves once it has the new ones; ask IT to type: tessera relay push {relay.name}",
            )

    def _forget_before(self, epoch: int) -> None:
        """What belongs to epochs that are over by both clocks."""
        state, federation = self._state, self._state.federation
        first = federation.first_kept(federation.first_round(epoch))
        state.wallet.forget_before(epoch)
        federation.forget_before(federation.epoch_of(first))
        state.history.gave_up(state.posted.forget_before(first))


def _checked(parameters: Parameters, secret: bytes, posts_left: int) -> tuple[bytes, int]:
    """The answer to AUTH, unless it gives more than a token has."""
    if posts_left > parameters.posts_per_token:
        raise IntegrityError(
            "the relay says that a token has more posts than the office allows", "do not use it; tell IT"
        )
    return secret, posts_left


async def _pushed(connection: RelayConnection, blob: bytes) -> bool:
    """Whether the relay took it. That it did not is no trouble of this member's: it is busy with another's, or needs
    IT."""
    try:
        return await connection.push(blob, patient=False)
    except ErrorFrame:
        return False


@asynccontextmanager
async def _closed_on_error(connection: RelayConnection) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        await connection.close()
        raise
