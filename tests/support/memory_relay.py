"""A relay in memory, for tests of the members' side: the real core on flash in RAM, behind the product's own
connection.

Owns how a connection reaches the core without a socket, and the faults and lies that a test can ask for. All rules
(tokens, quotas, epochs, resumption, rounds, batches) are in the core; handshake and frames are the product's own code
on both ends. The relay's time is the members' clock.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from office import RamDirectory, served
from ramdevice import RamDevice
from tessera import channel, curve, wire
from tessera.admission import LEASE_POSTS
from tessera.clock import Clock
from tessera.cover import EpochCover
from tessera.errors import BadFrame, Busy, Refusal
from tessera.hashes import sha256
from tessera.params import SPARE_PAGES, Parameters
from tessera.relay import Identity, Relay
from tessera_host.errors import TesseraError, Unreachable
from tessera_host.protocol.relay_connection import RelayConnection

KEYRING_SECTORS = 8
PAGES_PER_SECTOR = 16
_NO_RECORD = 0xFFFF  # in the core's index of pages


class MemoryRelay:
    """A relay of the parameters' capacity. `serve` has every RelayConnection of a test come here.

    fail_before_store, fail_after_store: so many posts from now on are cut off before, or after, the core has them.
    busy_after_store: so many posts are stored and answered with BUSY, as if they were not.
    busy_readers: so many fetches find no reader's place: BUSY, and the connection ends.
    fail_fetch: the FETCH of that number from now on is cut off. away: raised instead of connecting.
    rounds_fast, claimed: the round (against the members' clock) and the parameter set that it claims to be at.
    takes_pushes: whether it takes what is pushed; `pushed` are the first bytes of what was.
    first_round: the first round kept, if it claims another. ack_rounds_off: of every round it acknowledges.
    """

    def __init__(
        self,
        parameters: Parameters,
        secret: bytes,
        now: Callable[[], float],
        ledger_secret: bytes | None = None,
        ring_sectors: int | None = None,
    ) -> None:
        """secret: of its static key (32 bytes) and, if ledger_secret does not say another, of its ledger: then of an
        even key. ring_sectors: what the parameters need if it is not given."""
        self.key = curve.public(secret)
        self._first = parameters
        self._secret = secret
        self._ledger_secret = ledger_secret or secret
        pages = parameters.posts_per_epoch * (parameters.retention_epochs + 1) + SPARE_PAGES
        self._ring_sectors = ring_sectors or -(-pages // PAGES_PER_SECTOR)
        self._now = now
        self._latest_ms = 0
        self._core: Relay | None = None
        self._pages: list[int] = []
        self.posted: list[tuple[int, int, bytes]] = []  # (round, bucket, record), every one that was stored
        self.fetches: list[tuple[int, int, int]] = []  # (bucket, start, end)
        self.takes_pushes = True
        self.pushed: list[bytes] = []
        self.handshakes: list[str] = []
        self.fail_before_store = self.fail_after_store = self.fail_fetch = self.busy_after_store = 0
        self.busy_readers = 0
        self.away: TesseraError | None = None
        self.rounds_fast = 0
        self.claimed: Parameters | None = None
        self.first_round: int | None = None
        self.ack_rounds_off = 0

    def serve(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def connect(cls: Any, host: str, port: int, handshake: Any, timeout_seconds: float) -> Any:
            if self.away:
                raise self.away
            connection = cls(*self.connected(), timeout_seconds)
            await connection._shake_hands(handshake)
            return connection

        monkeypatch.setattr(RelayConnection, "_connect", classmethod(connect))

    def connected(self) -> tuple[Any, Any]:
        """The two streams of a new connection."""
        line = _Line(self)
        return line, line

    # -- the core

    @property
    def core(self) -> Relay:
        """As it is at this moment; switched on when it is first asked for."""
        if self._core is None:
            self._core = self._switched_on()
        if self._core.turn():
            self._core.maintain()
        return self._core

    def restart(self) -> None:
        """Switch it on again: only what is on flash and in files counts, and the clock, which is right, has to be borne
        out."""
        self._core = self._booted()

    def _switched_on(self) -> Relay:
        """For the first time."""
        self._files = RamDirectory()
        self._ring, self._keys = RamDevice(self._ring_sectors), RamDevice(KEYRING_SECTORS)
        entry = self._first.relay_with(self.key)
        assert entry is not None, "the set does not list this relay"
        self._files.replace("parameters", self._first.copy_for(entry.id))
        self._files.replace("seed", sha256(b"provisioned seed"))
        core = self._booted()
        core._rounds.accept_clock()  # it was commissioned
        return core

    def _booted(self) -> Relay:
        clock = Clock(self._ticks_ms, lambda later, earlier: later - earlier)
        identity = Identity(self._secret, self._ledger_secret, b"chip", sha256(b"firmware"))
        core = Relay(self._ring, self._keys, self._files, identity, os.urandom, clock)
        core.start()
        clock.set(self._ticks_ms())
        core.turn()
        self._watch(core._log)
        return core

    def _ticks_ms(self) -> int:
        """Members' clocks may be set back, this one is not."""
        self._latest_ms = max(self._latest_ms, int(1000 * self._now()))
        return self._latest_ms

    def _watch(self, log: Any) -> None:
        append = log.append

        def watched(round_: int, bucket: int, record: Any, *rest: Any) -> int:
            page: int = append(round_, bucket, record, *rest)
            self._pages.append(page)
            self.posted.append((round_, bucket, bytes(record)))
            return page

        log.append = watched

    # -- what a test may know of it

    @property
    def parameters(self) -> Parameters:
        """What it names and hands out."""
        return self.claimed or self.core.parameters.newest

    @property
    def open_round(self) -> int:
        return int(self.core.open_round)

    @property
    def records(self) -> list[bytes]:
        return [record for _, _, record in self.posted]

    @property
    def used(self) -> dict[bytes, int]:
        """Posts by token (its id), of tokens that posted in this epoch."""
        return {id_: token.used for id_, token in self._tokens().items() if token.used}

    @property
    def sessions(self) -> dict[bytes, bytes]:
        """Resumption secrets and whose they are (a token's id)."""
        return {token.secret: id_ for id_, token in self._tokens().items() if token.marks}

    def _tokens(self) -> dict[bytes, Any]:
        tokens: dict[bytes, Any] = self.core._epochs.admission._tokens
        return tokens

    def cover(self, bucket: int, round_: int) -> int:
        """Dummies in a cell."""
        core = self.core
        epoch = core.parameters.newest.epoch_of(round_)
        table = core.parameters.rule(epoch).thresholds
        return int(EpochCover(core._epochs.cover_key(epoch), table).noise(bucket, round_))

    # -- what a test may do to it

    def install(self, parameters: Parameters) -> None:
        """A newer set, as by PUSH."""
        entry = parameters.relay_with(self.key)
        assert entry is not None, "the set does not list this relay"
        core = self.core
        core.parameters.install(parameters.copy_for(entry.id), core.epoch, core._rounds.seconds_until)

    def doubt_clock(self) -> None:
        """As after a start that was long after the last seal."""
        core = self.core
        core.clock.provisional, core._rounds._stated = True, False

    def forget_sessions(self) -> None:
        self.core._epochs.admission._resumable.clear()
        for token in self._tokens().values():
            token.marks = ()

    def use_up_leases(self) -> None:
        """As after a restart: what a token had open counts as used."""
        for token in self._tokens().values():
            token.used = token.leases * LEASE_POSTS

    def put(self, bucket: int, record: bytes) -> int:
        """Store what somebody else posts: the round."""
        core = self.core
        core._log.append(core.open_round, bucket, record, core._epochs.ciphers[core.epoch])
        return int(core.open_round)

    def lose(self, number: int) -> None:
        """The record stored as that number vanishes from the relay."""
        self.core._log._index[self._pages[number]] = _NO_RECORD


class _Line:
    """A connection's two streams, and the relay's end of it: bytes in, the core's answer out."""

    def __init__(self, relay: MemoryRelay) -> None:
        self._relay = relay
        self._nonce = relay.core.nonce()
        self._out = bytearray(self._nonce)
        self._broken: TesseraError | None = None
        self._ended = False
        self.session: Any = None

    # -- what EncryptedConnection asks of its streams

    def write(self, data: bytes) -> None:
        if self._ended:
            self._broken = Unreachable("the relay ended this connection")
        elif self.session is None:
            self._greet(data)
        else:
            self._take(data)

    async def drain(self) -> None:
        await asyncio.sleep(0)

    async def readexactly(self, length: int) -> bytes:
        if self._broken:
            raise self._broken
        if len(self._out) < length:
            raise asyncio.IncompleteReadError(bytes(self._out), length)
        data = bytes(self._out[:length])
        del self._out[:length]
        return data

    def close(self) -> None:
        if self.session is not None:
            self._relay.core.leave(self.session)

    async def wait_closed(self) -> None:
        pass

    # -- the relay's end, as server.py has it

    def _greet(self, hello: bytes) -> None:
        core = self._relay.core
        try:
            self.session, reply = core.greet(hello, self._nonce, core.check_hello(hello, self._nonce))
        except BadFrame:
            return  # it closes the connection
        resumed = channel.resumption_id(hello) is not None
        self._relay.handshakes.append("resumed" if resumed else "full")
        self._out += reply

    def _take(self, sealed: bytes) -> None:
        frame = self.session.channel.open(sealed)
        if frame[0] == wire.FETCH:
            self._serve_fetch(frame)
        else:
            self._serve(frame)

    def _serve(self, frame: bytes) -> None:
        relay, posting = self._relay, frame[0] == wire.POST
        if posting and relay.fail_before_store:
            relay.fail_before_store -= 1
            raise Unreachable("cut before the record arrived")
        out = bytearray(wire.CLIENT_FRAME_BYTES)
        if frame[0] == wire.PUSH:
            relay.pushed.append(bytes(frame[6:10]))
        try:
            if frame[0] == wire.PUSH and not relay.takes_pushes:
                raise Busy("another is pushing", 5)
            if not self._lies(frame, out):
                relay.core.answer(self.session, frame, out)
        except Refusal as refusal:
            wire.answer_error(out, refusal)
        if posting and out[0] == wire.ACK and relay.ack_rounds_off:
            wire.answer_post(out, wire.read_answer(bytes(out))[1] + relay.ack_rounds_off)
        if posting and out[0] == wire.ACK and relay.busy_after_store:
            relay.busy_after_store -= 1
            wire.answer_error(out, Busy("no erased sector", 1))
        if posting and out[0] == wire.ACK and relay.fail_after_store:
            relay.fail_after_store -= 1
            self._broken = Unreachable("cut before the answer arrived")
        self.session.channel.seal_in_place(out)
        self._out += out

    def _lies(self, frame: bytes, out: bytearray) -> bool:
        """Answer INFO or PARAMS with what the test has the relay claim, if that is not the truth."""
        relay, (kind, fields) = self._relay, wire.read_request(frame)
        if kind == wire.INFO and (relay.rounds_fast or relay.claimed or relay.first_round is not None):
            named, newest = relay.parameters, relay.core.parameters.newest
            round_ = newest.round_at(int(relay._now())) + relay.rounds_fast
            first = max(0, newest.epoch_of(round_) - newest.retention_epochs) * newest.epoch_rounds
            first = first if relay.first_round is None else relay.first_round
            wire.answer_info(out, 0, named, named, round_, first, curve.TIER)
            return True
        if kind == wire.PARAMS and relay.claimed:
            at = fields[0] * wire.CHUNK_BYTES
            blob = relay.claimed.blob
            wire.answer_params(out, len(blob), fields[0], blob[at : at + wire.CHUNK_BYTES])
            return True
        return False

    def _serve_fetch(self, frame: bytes) -> None:
        relay = self._relay
        if relay.busy_readers:
            relay.busy_readers -= 1
            out = bytearray(wire.CELL_FRAME_BYTES)
            wire.answer_error(out, Busy("no place for another reader", 5))
            self.session.channel.seal_in_place(out)
            self._out += out
            self._ended = True
            return
        if relay.fail_fetch:
            relay.fail_fetch -= 1
            if not relay.fail_fetch:
                raise Unreachable("cut in a fetch")
        bucket, start, end, _ = wire.read_request(frame)[1]
        relay.fetches.append((bucket, start, end))
        for sealed in served(relay.core, self.session, frame):
            self._out += sealed
