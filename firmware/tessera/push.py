# Objects that are pushed chunk by chunk: signed parameter sets, and a signed time (PROTOCOL §2 and §5). Who may push is
# relay.py's business, what a set must be parameterstore.py's.

from . import wire
from .errors import BadRequest, Busy, InvalidObject
from .params import HEADER_BYTES, MAX_BYTES, TimeStatement, is_time_statement, whole_bytes
from .runtime import const

_PATIENCE_MS = const(10_000)  # without a chunk, then a push gives way to another
_LONGEST_MS = const(120_000)  # when its token's pushes took that long in this epoch, then too


class Pushes:
    """One object at a time, as it takes heap; from a Session, or whatever else has token, push and push_at."""

    def __init__(self, clock, parameters, rounds, epochs):
        self._clock = clock
        self._parameters = parameters
        self._rounds = rounds
        self._epochs = epochs
        self._first_ms = 0  # uptime at the first chunk, so much earlier as its token's other pushes took
        self._last_ms = 0  # and at the last
        self.session = None  # whose object it is
        self._token = None  # and by which token
        self._epoch = None
        self._taken_ms = {}  # {token: what its pushes took in this epoch}, of those who pushed

    def take(self, session, total, chunk, length, data):
        """Take one chunk for a session; whether the object is complete.

        Its first 128 bytes are looked at before it takes any heap; it is used when it is complete.
        """
        try:
            if chunk == 0:
                self._check_first(total, data[:length])
                self._begin(session, total)
            self._take_chunk(session, total, chunk, length, data)
            complete = session.push_at == total
            if complete:
                self._install(bytes(session.push))
        except Exception:
            self.leave(session)
            raise
        if complete:
            self.leave(session)
        return complete

    def _check_first(self, total, data):
        if total != whole_bytes(data) or total > MAX_BYTES:
            raise BadRequest("not an object of this length")
        if not is_time_statement(data):
            self._parameters.check_head(data[:HEADER_BYTES], self._epochs.epoch)

    def _take_chunk(self, session, total, chunk, length, data):
        at = chunk * wire.CHUNK_BYTES
        if session.push is None or at != session.push_at or len(session.push) != total:
            raise BadRequest("chunks come in order, from 0")
        if length != min(wire.CHUNK_BYTES, total - at):
            raise BadRequest("a chunk has 240 bytes, the last one the rest")
        session.push[at : at + length] = data[:length]
        session.push_at += length
        self._last_ms = self._clock.uptime_ms()

    def _begin(self, session, total):
        if self.session is not session:
            now_ms = self._clock.uptime_ms()
            if self.session is not None:
                if now_ms - self._last_ms < _PATIENCE_MS and now_ms - self._first_ms < _LONGEST_MS:
                    raise Busy("another push is under way", 10)
                self.leave(self.session)  # nobody may hold up IT's parameters by beginning a push
            if self._epoch != self._epochs.epoch:
                self._epoch, self._taken_ms = self._epochs.epoch, {}
            self.session, self._token = session, session.token
            self._first_ms = now_ms - self._taken_ms.get(self._token, 0)
        session.push = bytearray(total)
        session.push_at = 0

    def leave(self, session):
        """Forget what a session was pushing: it is complete, refused, or its connection ended."""
        session.push = None
        if self.session is session:
            self._taken_ms[self._token] = self._clock.uptime_ms() - self._first_ms
            self.session = None

    def _install(self, blob):
        if not is_time_statement(blob):
            self._parameters.install(blob, self._epochs.epoch)
            return
        try:
            statement = TimeStatement(blob)
            if statement.federation_id != self._parameters.newest.federation_id:
                raise InvalidObject("of another federation")
            statement.verify(self._parameters.newest.root_key)
        except InvalidObject as error:
            raise BadRequest(str(error)) from None
        self._rounds.accept_time(statement.unix_seconds)
