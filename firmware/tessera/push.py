# Takes signed objects that are pushed chunk by chunk: parameter sets and time statements (PROTOCOL §2 and §5). Which
# sets are accepted is parameterstore.py's business, what a time statement changes rounds.py's.
#
# Anybody with an access key can push. So a push takes no memory before its signature was verified, and only a few
# signatures are verified.

from . import wire
from .errors import BadRequest, Busy, InvalidObject
from .params import FIRST_BYTES, TIME_BYTES, TimeStatement, is_time_statement
from .runtime import const

_PATIENCE_MS = const(10_000)  # after so long without a chunk another push may take the place of this one
_LONGEST_MS = const(120_000)  # or after its connection's pushes took so long in all


class _Transfer:
    """A set that is being pushed: by which session, and its first `at` bytes in data. Both are None if there is
    none."""

    def __init__(self):
        self.session = None
        self.data = None
        self.at = 0
        self.first_ms = 0  # uptime at the first chunk, minus what the connection's earlier pushes took
        self.last_ms = 0  # uptime at the last chunk


class Pushes:
    """Takes two objects at a time: one from the operator and one from anybody else.

    A session is anything with the attributes operator and pushed_ms (handshakes.Session).
    """

    def __init__(self, clock, parameters, rounds, epochs):
        self._clock = clock
        self._parameters = parameters
        self._rounds = rounds
        self._epochs = epochs
        self._transfers = (_Transfer(), _Transfer())
        self._failed = None  # the last period in which a signature did not verify

    def take(self, session, total, chunk, length, data):
        """Take one chunk from a session. Whether the object is complete; if so it has been put to use.

        total: bytes of the object. chunk: number of the chunk. data: its bytes, of which the first `length` count.
        BadRequest for an object or chunk that is wrong, Busy if the session has to come again later.
        """
        transfer = self._transfers[1 if session.operator else 0]
        try:
            if chunk == 0:
                self.leave(session)
                if is_time_statement(data):
                    self._take_time(session, total, data[:length])
                    return True
                self._begin(transfer, session, total, data[:length])
            else:
                self._go_on(transfer, session, total, chunk, data[:length])
            if transfer.at < total:
                return False
            self._install(transfer)
        except Exception:
            self.leave(session)
            raise
        self.leave(session)
        return True

    def _begin(self, transfer, session, total, data):
        if len(data) != FIRST_BYTES:
            raise BadRequest("a set's first chunk has 240 bytes")
        head = self._parameters.check_head(data, total)
        now_ms = self._clock.uptime_ms()
        if (
            transfer.session is not None
            and now_ms - transfer.last_ms < _PATIENCE_MS
            and now_ms - transfer.first_ms < _LONGEST_MS
        ):
            raise Busy("another push is under way", 10)
        self._verify(session, head.verify)
        if transfer.session is not None:
            self.leave(transfer.session)  # otherwise anybody could hold up IT's parameters by beginning a push
        transfer.data = bytearray(total)
        transfer.session, transfer.first_ms, transfer.at = session, now_ms - session.pushed_ms, 0
        self._keep(transfer, data)

    def _go_on(self, transfer, session, total, chunk, data):
        at = chunk * wire.CHUNK_BYTES
        if transfer.session is not session or at != transfer.at or len(transfer.data) != total:
            raise BadRequest("chunks come in order, from 0")
        if len(data) != min(wire.CHUNK_BYTES, total - at):
            raise BadRequest("a chunk has 240 bytes, the last one the rest")
        self._keep(transfer, data)

    def _keep(self, transfer, data):
        transfer.data[transfer.at : transfer.at + len(data)] = data
        transfer.at += len(data)
        transfer.last_ms = self._clock.uptime_ms()

    def leave(self, session):
        """Drop what a session was pushing, because it is complete or refused, or the connection ended."""
        for transfer in self._transfers:
            if transfer.session is session:
                session.pushed_ms = self._clock.uptime_ms() - transfer.first_ms
                transfer.session = transfer.data = None

    def _verify(self, session, verify):
        """Call verify(); BadRequest if it raises InvalidObject. After one failure in a round, Busy for the rest of the
        round; the operator is exempt."""
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

    def _install(self, transfer):
        data, transfer.data = bytes(transfer.data), None  # so that the heap need not hold both
        self._parameters.install(data, self._rounds.sealed_epoch, self._rounds.seconds_until)
        self._epochs.follow_parameters()

    def _take_time(self, session, total, data):
        newest = self._parameters.newest
        if total != TIME_BYTES or len(data) != TIME_BYTES:
            raise BadRequest("a time statement comes in one chunk")
        statement = TimeStatement(data)
        if statement.federation_id != newest.federation_id:
            raise BadRequest("the time statement is another federation's")
        self._verify(session, lambda: statement.verify(newest.root_key))
        self._rounds.accept_time(statement.unix_seconds)
