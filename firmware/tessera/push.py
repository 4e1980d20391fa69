# Objects that are pushed chunk by chunk: signed parameter sets, and a signed time (PROTOCOL §2 and §5). What a set must
# be is parameterstore.py's business, what a time does rounds.py's.
#
# Whoever has the channel may push, so nothing of it takes memory before a signature was verified, and few are.

from . import wire
from .errors import BadRequest, Busy, InvalidObject
from .params import FIRST_BYTES, TIME_BYTES, TimeStatement, is_time_statement
from .runtime import const

_PATIENCE_MS = const(10_000)  # without a chunk, then a push gives way to another
_LONGEST_MS = const(120_000)  # when its connection's pushes took that long, then too


class _Slot:
    """One set on its way: whose it is, and its first `at` bytes in data. Both are None if there is none."""

    def __init__(self):
        self.session = None
        self.data = None
        self.at = 0
        self.first_ms = 0  # uptime at the first chunk, so much earlier as the connection's other pushes took
        self.last_ms = 0  # and at the last


class Pushes:
    """Two objects at a time: the operator's and somebody else's. A session has operator and pushed_ms."""

    def __init__(self, clock, parameters, rounds, epochs):
        self._clock = clock
        self._parameters = parameters
        self._rounds = rounds
        self._epochs = epochs
        self._slots = (_Slot(), _Slot())
        self._failed = None  # the period in which a signature did not verify

    def take(self, session, total, chunk, length, data):
        """Take one chunk for a session; whether the object is complete. It is used when it is."""
        slot = self._slots[1 if session.operator else 0]
        try:
            if chunk == 0:
                self.leave(session)
                if is_time_statement(data):
                    self._take_time(session, total, data[:length])
                    return True
                self._begin(slot, session, total, data[:length])
            else:
                self._go_on(slot, session, total, chunk, data[:length])
            if slot.at < total:
                return False
            self._install(slot)
        except Exception:
            self.leave(session)
            raise
        self.leave(session)
        return True

    def _begin(self, slot, session, total, data):
        if len(data) != FIRST_BYTES:
            raise BadRequest("a set's first chunk has 240 bytes")
        head = self._parameters.check_head(data, total)
        now_ms = self._clock.uptime_ms()
        if slot.session is not None and now_ms - slot.last_ms < _PATIENCE_MS and now_ms - slot.first_ms < _LONGEST_MS:
            raise Busy("another push is under way", 10)
        self._verify(session, head.verify)
        if slot.session is not None:
            self.leave(slot.session)  # nobody may hold up IT's parameters by beginning a push
        slot.data = bytearray(total)
        slot.session, slot.first_ms, slot.at = session, now_ms - session.pushed_ms, 0
        self._keep(slot, data)

    def _go_on(self, slot, session, total, chunk, data):
        at = chunk * wire.CHUNK_BYTES
        if slot.session is not session or at != slot.at or len(slot.data) != total:
            raise BadRequest("chunks come in order, from 0")
        if len(data) != min(wire.CHUNK_BYTES, total - at):
            raise BadRequest("a chunk has 240 bytes, the last one the rest")
        self._keep(slot, data)

    def _keep(self, slot, data):
        slot.data[slot.at : slot.at + len(data)] = data
        slot.at += len(data)
        slot.last_ms = self._clock.uptime_ms()

    def leave(self, session):
        """Forget what a session was pushing: it is complete, refused, or its connection ended."""
        for slot in self._slots:
            if slot.session is session:
                session.pushed_ms = self._clock.uptime_ms() - slot.first_ms
                slot.session = slot.data = None

    def _verify(self, session, verify):
        """verify(), BadRequest if that raises InvalidObject. One signature a round may fail, but for the operator."""
        period = self._rounds.open_round
        if period is None:
            period = -1 - self._clock.uptime_ms() // (1000 * self._parameters.newest.round_seconds)
        if period == self._failed and not session.operator:
            raise Busy("a signature did not verify in this round", self._rounds.seconds_to_next())
        try:
            verify()
        except InvalidObject as error:
            self._failed = period
            raise BadRequest(str(error)) from None

    def _install(self, slot):
        data, slot.data = bytes(slot.data), None  # not both, where the heap is small
        self._parameters.install(data, self._rounds.sealed_epoch, self._rounds.seconds_until)
        self._epochs.follow_parameters()

    def _take_time(self, session, total, data):
        newest = self._parameters.newest
        if total != TIME_BYTES or len(data) != TIME_BYTES:
            raise BadRequest("a time statement comes in one chunk")
        statement = TimeStatement(data)
        if statement.federation_id != newest.federation_id:
            raise BadRequest("of another federation")
        self._verify(session, lambda: statement.verify(newest.root_key))
        self._rounds.accept_time(statement.unix_seconds)
