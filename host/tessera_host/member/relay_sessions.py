"""A member's connections to relays: which relay is believed, and which token a connection uses (PROTOCOL §4, §6).

Owns the check of what a relay says of itself, taking up a token's earlier session, and admission with a token. A
resumption secret is saved before it is shown: an id is used once. What is asked on a session is `sending`'s,
`fetching`'s and `relay_update`'s business; the frames are `relay_connection`'s.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..errors import ClockOff, IntegrityError, NotPermitted
from ..protocol import relay_connection
from ..protocol.federation import CLOCK_ROUNDS, Relay
from ..protocol.relay_connection import ErrorFrame, Info, RelayConnection, SessionForgotten
from .schema import Token
from .state import MemberState
from .wallet import proof

# (epoch, relay's static key) → the token to use; raises NotPermitted if there is none.
TokenChoice = Callable[[int, bytes], Token]


@dataclass(frozen=True)
class Status:
    """A relay as this member sees it. `rounds_apart` is the relay's open round less this computer's."""

    relay: str
    info: Info
    own_round: int
    rounds_apart: int
    epoch: int


@dataclass(frozen=True)
class Session:
    """An admitted connection: the token it runs on, what the relay said of itself when it began."""

    connection: RelayConnection
    token: Token
    info: Info


class RelaySessions:
    """The connections of one member. Its parts of the state are asked for anew every time: they may be stale."""

    def __init__(self, state: MemberState) -> None:
        self._state = state

    async def status(self, relay_name: str | None = None) -> Status:
        """What a relay, by default the home relay, says of itself. Raises IntegrityError if it is not to be used,
        ClockOff if the clocks do not agree."""
        state = self._state
        relay = state.federation.relay_named(relay_name) if relay_name else state.federation.home
        async with await self._connect(relay) as connection:
            info = await self.checked_info(connection)
        state.save()
        apart = info.open_round - state.round()
        return Status(relay.name, info, state.round(), apart, state.federation.epoch_of(info.open_round))

    @asynccontextmanager
    async def session(self, relay: Relay, choose: TokenChoice) -> AsyncIterator[Session]:
        """An admitted connection: a token's earlier session taken up, or a full handshake and AUTH."""
        session = await self._resumed(relay, choose) or await self._admitted(relay, choose)
        async with session.connection:
            yield session

    # -- what a relay says of itself

    async def checked_info(self, connection: RelayConnection) -> Info:
        """INFO, once its parameters are the newest this member believes, its open round fits the clock, and the first
        round kept is the one that follows from it."""
        federation = self._state.federation
        info = await connection.info()
        if info.digest != federation.digest:
            blob = await connection.params()
            if federation.lags(blob, info.digest):
                self._check_rounds(info)
                return info
            federation.adopt(blob)
            self._state.save()
            info = await connection.info()
        if info.digest != federation.digest:
            raise IntegrityError("the relay names other parameters than it hands out", "do not use it; tell IT")
        self._check_rounds(info)
        return info

    def _check_rounds(self, info: Info) -> None:
        open_round, own = info.open_round, self._state.round()
        if abs(open_round - own) > CLOCK_ROUNDS:
            raise self._clock_off(open_round, own)
        if info.first_round != self._state.federation.first_kept(open_round):
            raise IntegrityError(
                f"the relay says it keeps rounds from {info.first_round} on, which does not follow from its open round",
                "do not use it; tell IT",
            )
        self._state.round_confirmed(open_round)

    def _clock_off(self, open_round: int, own: int) -> ClockOff:
        """Rounds never go back: a side that is behind what was seen before is the one that is wrong."""
        seen, seconds = self._state.newest_round, self._state.federation.newest.round_seconds
        apart = f"{abs(open_round - own)} rounds of {seconds} s"
        rounds = f"the open round is {own} by this computer, {open_round} by the relay"
        relays_side = "behind" if open_round < own else "ahead of"
        if own < seen - CLOCK_ROUNDS:
            side = "ahead of" if open_round < own else "behind"
            message = f"this computer's clock is wrong: it is {apart} {side} the relay's, and behind earlier contacts"
            return ClockOff(message, f"set this computer's clock; {rounds}")
        if open_round < seen:
            message = f"the relay's clock is wrong: it is {apart} {relays_side} this computer's, and behind what it was"
            return ClockOff(message, f"tell IT; {rounds}")
        message = f"the relay's clock is {apart} {relays_side} this computer's, and either may be wrong"
        return ClockOff(message, f"check this computer's clock; if it is right, tell IT; {rounds}")

    # -- how a session begins

    async def _connect(self, relay: Relay) -> RelayConnection:
        access_key = self._state.federation.newest.access_key
        return await RelayConnection.open(relay.host, relay.port, relay.key, access_key)

    async def _resumed(self, relay: Relay, choose: TokenChoice) -> Session | None:
        """None if there is nothing to resume, the relay has forgotten it, or its epoch is over."""
        try:
            token = choose(self._state.epoch(), relay.key)
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
            info = await self.checked_info(connection)
        if self._state.federation.epoch_of(info.open_round) == token.epoch:
            return Session(connection, token, info)
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
        connection = await self._connect(relay)
        async with _closed_on_error(connection):
            info = await self.checked_info(connection)
            epoch = self._state.federation.epoch_of(info.open_round)
            self._state.wallet.forget_before(min(epoch, self._state.epoch()))  # a relay may be an epoch ahead
            token = choose(epoch, relay.key)
            shown = proof(token, connection.handshake_hash)
            token.admitted(*self._checked(epoch, *await connection.auth(epoch, token.key, token.signature, shown)))
            self._state.save()
        return Session(connection, token, info)

    def _checked(self, epoch: int, secret: bytes, posts_left: int) -> tuple[bytes, int]:
        """The answer to AUTH, unless it gives more than a token has."""
        if posts_left > self._state.federation.governing(epoch).posts_per_token:
            raise IntegrityError("the relay says a token has more posts than there are on it", "do not use it; tell IT")
        return secret, posts_left


@asynccontextmanager
async def _closed_on_error(connection: RelayConnection) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        await connection.close()
        raise
