"""A relay that is one of several gateways: the core, where what has to be one for all of them is asked of the log
(docs/fleet.md §5 and §8).

Owns what a member's request becomes in the log, and what an effect of the log does to ring, key ring, parameters and
ledger. Leaves to others: what counts (replay.py), what a gateway writes by itself (duties.py), when entries are written
and answers settled (writer.py), what is durable when (gateway.py).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tessera import wire
from tessera.admission import Admission, Token
from tessera.epochs import Epochs
from tessera.errors import BadRequest, Busy, Fault, InvalidObject, NotAdmitted, NotReady, QuotaSpent, Refusal
from tessera.handshakes import Session
from tessera.nor import ZERO_PAGE
from tessera.params import Head, Parameters
from tessera.push import Pushes
from tessera.rounds import Rounds

from ..relay.sqlite_device import Database
from ..relay.watched_relay import WatchedRelay
from . import frames, replay
from .frames import Frame
from .log import Entry
from .replay import Reason
from .seat import Removed, Seat
from .state import State
from .writer import OfMember, Writer

_SOON_SECONDS = 2
_EMPTY = 0xFFFF  # recordlog's
_LEAST_PAUSE_MS = 20  # between turns, while the log does not follow the clock


class FleetToken(Token):
    """id: H("token-id", A), 32 bytes. key, counted_to, counted: what Seat.posts_left knows of it. place: the hash of
    the token key under which its place in constant batches counted."""

    def __init__(self, id: bytes) -> None:
        super().__init__(id[:8], 0)
        self.id = id
        self.key: object = None
        self.counted_to = -1
        self.counted = 0
        self.place = b""


class FleetAdmission(Admission):
    """Its quotas are counted in the log, so no lease is taken."""

    seat: Seat

    def admit(self, token_id: bytes) -> Token:
        if token_id not in self._tokens:
            self._tokens[token_id] = FleetToken(token_id)
        return self._tokens[token_id]

    def posts_left(self, token: Token) -> int:
        return self.seat.posts_left(token)


class FleetEpochs(Epochs):
    """Whose cover the fleet has in common."""

    admission_class = FleetAdmission
    seat: Seat

    def begin_admission(self, epoch: int) -> None:
        super().begin_admission(epoch)
        self.admission.seat = self.seat

    def _cover_state(self, _state: bytes | None, epoch: int) -> bytes:
        return self.seat.keys.covers[epoch]

    def _close(self, epoch: int) -> None:
        """Its checkpoint is the one that the log takes."""

    @property
    def open_cover_state(self) -> bytes:
        """Of the epoch that is open in the log."""
        state: bytes = self._keyring.epochs[self.seat.state.epoch][1]
        return state

    @property
    def cover_states(self) -> dict[int, bytes]:
        """Of kept epochs."""
        return {epoch: keys[1] for epoch, keys in self._keyring.epochs.items()}


class FleetRounds(Rounds):
    """Rounds that the log turns: this gateway's clock has a vote. open_round is the one that members are told: the
    first that is not served; while nothing bore out the clock, the clock's."""

    seat: Seat
    _clock_round: int | None = None
    _judged = False
    _there = -1  # the newest round that was the clock's and the log's at once
    _sealed = False  # since the last turn

    @property
    def open_round(self) -> int | None:
        if not self._judged:
            return None
        return self._clock_round if self._clock.provisional else self.seat.state.published

    @open_round.setter
    def open_round(self, _: int | None) -> None:
        """The core's; here it follows from the log."""

    @property
    def sealed_next(self) -> int:
        return self.seat.state.published

    @property
    def sealed_epoch(self) -> int:
        return self.seat.state.epoch

    def turn(self) -> bool:
        """Look at the clock; True if a round was sealed since the last look."""
        if not self._clock.known or not self.seat.live:
            return False
        wanted, state = self._wanted(), self.seat.state
        if not self._judged or self._clock.provisional:
            self._look_at_clock(wanted)
        if self._clock.provisional and (self._stated or self._lasted()):
            self.accept_clock()
        if wanted == state.open_round:
            self._there = wanted
        sealed, self._sealed = self._sealed, False
        return sealed

    def _wanted(self) -> int:
        by_clock: int = self._parameters.newest.round_at(self._clock.now_ms() // 1000)
        return max(by_clock, self.seat.state.open_round)

    def _look_at_clock(self, wanted: int) -> None:
        """By PROTOCOL §3, with the log in place of the last seal."""
        self._judged, self._clock_round = True, wanted
        self._clock.provisional = wanted > self.seat.state.open_round + 1
        self._admit(self._epoch_of(wanted) if self._clock.provisional else self.seat.state.epoch)

    def _admit(self, epoch: int) -> None:
        if self._epochs.epoch != epoch:
            self._epochs.begin_admission(epoch)

    def accept_clock(self) -> None:
        if self._clock.provisional:
            self._clock.provisional = False
            self._admit(self.seat.state.epoch)

    def vote(self) -> frames.Seal | None:
        """The SEAL that this gateway's clock asks for: not beyond the first round of the next epoch, unless that one is
        open by the clock."""
        if not self._judged or self._clock.provisional:
            return None
        wanted, state = self._wanted(), self.seat.state
        if wanted == state.open_round:
            self._there = wanted
            return None
        return frames.Seal(state.open_round, self._opens(wanted), int(self._there == state.open_round))

    def _opens(self, wanted: int) -> int:
        epoch, rounds = self.seat.state.epoch, self._parameters.newest.epoch_rounds
        return wanted if wanted < (epoch + 2) * rounds else (epoch + 1) * rounds

    def heard(self, gateway: int) -> None:
        """Another gateway, whose clock was borne out, voted. If this clock says the same, it is borne out, too: what
        bears clocks out may reach one gateway alone, behind a load balancer."""
        vote = self.seat.state.votes.get(gateway)
        if vote is None or not self._judged or not self._clock.provisional:
            return
        if abs(vote.opens - self._opens(self._wanted())) <= 1:
            self.accept_clock()

    def seal(self, opens: int, in_time: bool) -> None:
        """The log sealed the rounds before `opens`."""
        self._log.void_doubtful()
        self.served += in_time
        self._keyring.mark(opens, self._keyring.sealed_count + in_time)
        self._sealed = True
        epoch = self._epoch_of(opens)
        if epoch not in self._keyring.epochs:
            self._epochs.open(epoch)
            self._clock.allow(1000 * self._parameters.newest.round_seconds)

    def milliseconds_left(self) -> int:
        """Until the clock leaves the round that is open in the log."""
        if self._sealed:
            return 0
        parameters = self._parameters.newest
        end = parameters.genesis + (self.seat.state.open_round + 1) * parameters.round_seconds
        left: int = 1000 * end - self._clock.now_ms()
        return max(_LEAST_PAUSE_MS, left)


class FleetPushes(Pushes):
    """A set that was pushed is every gateway's once the log took it."""

    writer: Writer

    def _install(self, slot: Any) -> None:
        blob, slot.data = bytes(slot.data), None
        self._parameters.check_head(blob[: wire.CHUNK_BYTES], len(blob))
        try:
            self._parameters._rule(blob)
        except InvalidObject as error:
            raise BadRequest(str(error)) from None
        self.writer.request_object(frames.PARAMS, blob)


class FleetRelay(WatchedRelay):
    """One gateway's. take() carries out what an entry means."""

    epochs_class, rounds_class, pushes_class = FleetEpochs, FleetRounds, FleetPushes
    _epochs: FleetEpochs
    _rounds: FleetRounds
    _pushes: FleetPushes
    _log: Any
    _keyring: Any
    _ledger: Any
    _identity: Any

    def __init__(self, database: Database, seat: Seat, writer: Writer, *parts: Any, machine: Any) -> None:
        self._database = database
        self.seat = seat
        self.writer = writer
        self._found: dict[tuple[int, int], Counter[bytes]] = {}  # records that the ring had at the start
        self._damaged: set[tuple[int, int]] = set()  # cells of sealed rounds
        self._taking = False  # a set that the log took
        super().__init__(*parts, machine=machine)
        database.failed = self._storage_failed

    # -- start

    def start(self) -> None:
        super().start()
        self.seat.random = self.random
        self._epochs.open(self.seat.state.epoch)

    def _make_parts(self) -> None:
        super()._make_parts()
        self._epochs.seat = self._rounds.seat = self.seat
        self._pushes.writer = self.writer

    def find_records(self, cells: dict[int, bytes]) -> None:
        """Remember what the ring has of rounds that the log goes on with, once the start is over; cells: of its index
        (relay.machine)."""
        log = self._log
        for page in list(log.lost):
            cell = self._cell_of(page)
            if cell[0] < self.seat.state.open_round:
                self._damaged.add(cell)
            else:  # the log has it
                self._give_up(page)
        for packed in [packed for packed in cells if packed >> 16 >= self.seat.state.open_round]:
            found = (log._find(page, self._epochs.ciphers) for page in memoryview(cells[packed]).cast("I"))
            self._found[packed >> 16, packed & 0xFFFF] = Counter(each[2] for each in found if each is not None)

    def _cell_of(self, page: int) -> tuple[int, int]:
        """(round, bucket) of a page that is in the index."""
        entry = self._log._index[page]
        return self._log._first_round[page >> 4] + (entry & 0xFF), entry >> 8

    def _give_up(self, page: int) -> None:
        """Of a page that cannot be read no start is to find anything any more."""
        log = self._log
        log._device.writeblocks(page >> 4, ZERO_PAGE, (page & 15) << 8)
        log._index[page] = _EMPTY
        log.lost.remove(page)

    @property
    def damaged_rounds(self) -> set[int]:
        """Sealed rounds of which another gateway has a record that this one lost."""
        kept = self._epochs.first_keyed_round
        self._damaged = {cell for cell in self._damaged if cell[0] >= kept}
        return {round_ for round_, _ in self._damaged}

    def mend(self, round_: int, theirs: Sequence[tuple[int, int, bytes]]) -> None:
        """Take from all records of a round, (round, bucket, record), that another gateway has what this ring lost; a
        cell that is not otherwise the same stays damaged. Raises OSError."""
        log = self._log
        with self._database.transaction():
            for cell in [cell for cell in self._damaged if cell[0] == round_]:
                pages = log.pages_of(cell[1], round_, log.count_of(cell[1], round_))[:-1]
                lost = [page for page in pages if page in log.lost]
                found = (log._find(page, self._epochs.ciphers) for page in pages if page not in lost)
                ours = Counter(each[2] for each in found if each is not None)
                wanted = Counter(record for r, bucket, record in theirs if (r, bucket) == cell)
                missing = wanted - ours
                if missing.total() != len(lost) or ours - wanted:
                    continue
                for page in lost:
                    self._give_up(page)
                if log._used(log._sector) and round_ < log._first_round[log._sector]:
                    log._open_sector()  # a page names its round by that of its sector's first
                for record in missing.elements():
                    self._append(round_, cell[1], record)
                self._damaged.discard(cell)
        self._epochs.batches.clear()

    def caught_up(self) -> None:
        """All that the log had at the start is replayed."""
        self._found = {}
        self.seat.live = True

    def _check_capacity(self, head: Head) -> None:
        if not self._taking:
            super()._check_capacity(head)

    # -- rounds

    def maintain(self) -> None:
        with self._database.transaction():
            super().maintain()

    def commissioning_key(self) -> tuple[int, bytes]:
        raise NotAdmitted("a gateway of a fleet discloses no cover key")

    # -- requests

    def _answer_at_any_clock(self, session: Session, out: bytearray, kind: int, fields: Any) -> bool:
        if kind == wire.VOID:
            self.writer.void()
            wire.answer_void(out)
            return True
        answered: bool = super()._answer_at_any_clock(session, out, kind, fields)
        return answered

    def _info(self, out: bytearray) -> None:
        if not self.clock.provisional and self.epoch != self._rounds._epoch_of(self.state.published):
            raise Busy("the last round of an epoch is being sealed", 1)
        super()._info(out)

    def _post(self, session: Any, out: bytearray, bucket: int, record: bytes) -> None:
        """One frame, whatever it is answered: what is refused here, or repeats another, leaves a VOID."""
        state = self.seat.state
        wire.answer_post(out, state.open_round)
        try:
            mark = self._mark(session, bucket, record)
            if mark is None:
                self.writer.void()
            else:
                self._write_record(session, bucket, record, mark)
        except Refusal as refusal:
            self.writer.void(refusal)

    def _mark(self, session: Any, bucket: int, record: bytes) -> bytes | None:
        """Of the session's token in the open round; None if the session posted this record in it. Raises Refusal."""
        state = self.seat.state
        self._require_admitted(session)
        if bucket >= state.rule.buckets:
            raise BadRequest("no such bucket")
        if session.repeats(state.open_round, session.prefix(bucket, record)):
            return None
        key = self.seat.token_key
        if key is None or state.open_round < state.posting_from:
            raise Busy("nobody knows yet who has posted in this round", self._rounds.seconds_to_next())
        mark = key.mark(session.token.id, state.open_round)
        if state.has_mark(state.open_round, mark) or self.writer.has_mark(mark):
            raise Busy("one record a token and round", self._rounds.seconds_to_next())
        return mark

    def _write_record(self, session: Any, bucket: int, record: bytes, mark: bytes) -> None:
        state, key, token = self.seat.state, self.seat.token_key, session.token
        assert key is not None
        if state.rule.constant and token.place != key.hash:
            self._ask_for_place(token, Busy("this token had no place yet", _SOON_SECONDS))
            return
        if not self.seat.posts_left(token, mark):
            raise QuotaSpent("this token has no posts left")
        noted = session.prefix(bucket, record)
        frame = frames.Record(self.writer.id(), state.open_round, bucket, bytes(record), key.name, mark)
        self.writer.request(frame, then=lambda: session.remember(noted))

    def _ask_for_place(self, token: Any, outcome: Refusal | None = None) -> None:
        """One of the places of a constant batch, for the epoch."""
        key = self.seat.token_key
        if key is None:
            self.writer.void(outcome)
            return

        def placed() -> None:
            token.place = key.hash

        self.writer.request(frames.Place(self.writer.id(), key.name, key.place(token.id)), outcome, placed)

    def _auth(self, session: Any, out: bytearray, *proofs: Any) -> None:
        """In epochs with constant batches one frame, whatever it is answered."""
        constant = self.seat.state.rule.constant
        try:
            self._admit(session, out, *proofs)
        except Refusal as refusal:
            if not constant:
                raise
            self.writer.void(refusal)
            return
        if constant:
            self._ask_for_place(session.token)

    def _admit(self, session: Any, out: bytearray, epoch: int, key: bytes, signature: bytes, proof: bytes) -> None:
        if session.operator:
            raise NotAdmitted("this session belongs to the operator")
        assert self.epoch is not None
        if self.clock.provisional and not self._rounds.bears_out(self.epoch):
            raise NotReady("nothing has borne out the clock yet", 30)
        if self._keyring.commissioned == self.epoch:
            raise NotReady("commissioning", self._rounds.seconds_until(self.state.epoch + 1))
        token_id = self._epochs.admission.check(epoch, key, signature, proof, session.channel.handshake_hash)
        if self.clock.provisional:
            self._rounds.accept_clock()
            if self.epoch != epoch:
                raise NotReady("the rounds follow the clock", _SOON_SECONDS)
        admission = self._epochs.admission
        token = admission.admit(token_id)
        self.seat.member_came = True
        secret = self.random(32)
        admission.offer_resumption(token, secret)
        session.epoch, session.token = self.epoch, token
        wire.answer_auth(out, secret, admission.posts_left(token))

    def batch(self, bucket: int, round_: int) -> Any:
        if (round_, bucket) in self._damaged:
            raise Fault("a record of this cell cannot be read any more: another gateway has it")
        return super().batch(bucket, round_)

    # -- the log

    @property
    def state(self) -> State:
        return self.seat.state

    def take(self, entry: Entry) -> list[replay.Effect]:
        """Replay the next entry and do what follows. Raises as Replay.take(); Removed; IntegrityError if this gateway
        was given other keys than the others; OSError, Fault if its storage fails: it cannot go on then."""
        effects = self.seat.replay.take(entry)
        mine = self.writer.arrived(entry.id)
        ids = {frame.id for frame in mine if isinstance(frame, OfMember)}
        with self._database.deferred():
            for effect in effects:
                self._carry_out(effect, mine, ids)
        self.writer.settle_rest(mine, BadRequest("the log did not take it: there is a newer one"))
        return effects

    def _carry_out(self, effect: replay.Effect, mine: Sequence[Frame], ids: set[bytes]) -> None:
        match effect:
            case replay.Recorded(id, round_, bucket, record):
                self._store(round_, bucket, record)
                self._settle(id, ids)
            case replay.Voided(id) | replay.Placed(id) | replay.Repeated(id):
                self._settle(id, ids)
            case replay.Refused(id, why):
                self._settle(id, ids, self._refusal(why))
            case replay.Passed():
                self.writer.settle_rest(mine, Busy("the entry came too late", _SOON_SECONDS))
            case replay.Sealed(_, opens, in_time):
                self._rounds.seal(opens, in_time)
                if not self.seat.live:
                    self.maintain_now()
            case replay.Voted(gateway, _) if gateway != self.seat.number:
                self._rounds.heard(gateway)
            case replay.EpochOpened(epoch):
                self.seat.crossed(epoch)
            case replay.EpochGiven(keys):
                self.seat.given(keys, self._epochs.cover_states[keys.epoch - 1])
            case replay.NodeChanged(gateway, None) if gateway == self.seat.number:
                raise Removed(
                    f"gateway {gateway} was removed from the fleet",
                    "stop it, and let it join again with a new directory: tessera fleet join",
                )
            case replay.ParametersTaken(blob, _):
                self._take_set(blob)
            case replay.CheckpointTaken(checkpoint):
                self._ledger.keep(checkpoint)
            case replay.FlagsChanged(flags, commissioned):
                self._keyring._set_flags(flags, commissioned)

    def _settle(self, id: bytes, ids: set[bytes], error: Refusal | None = None) -> None:
        if id in ids:  # of this life of this gateway
            self.writer.settle(id, error)

    def _refusal(self, why: Reason) -> Refusal:
        if why is Reason.BUCKET:
            return BadRequest("no such bucket")
        if why is Reason.FULL:
            return QuotaSpent("as many tokens, or records, as there are places")
        return Busy(why.value, self._rounds.seconds_to_next())

    def _store(self, round_: int, bucket: int, record: bytes) -> None:
        """Append a record, unless the ring had it when this gateway started."""
        found = self._found.get((round_, bucket))
        if found and found[record]:
            found[record] -= 1
            return
        self._append(round_, bucket, record)

    def _append(self, round_: int, bucket: int, record: bytes) -> None:
        cipher = self._epochs.ciphers[round_ // self.parameters.newest.epoch_rounds]
        self._log.append(round_, bucket, record, cipher)

    def maintain_now(self) -> None:
        """The erases of a window, in the transaction that is under way."""
        super().maintain()

    def _take_set(self, blob: bytes) -> None:
        if Parameters(blob).serial > self.parameters.newest.serial:  # or it is in the file since before the start
            self._taking = True
            try:
                self.parameters.install(blob, self.state.epoch, self._rounds.seconds_until)
            finally:
                self._taking = False
            self._epochs.follow_parameters()
        self.writer.settle(frames.object_id(frames.PARAMS, blob))
