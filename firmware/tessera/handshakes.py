# How a connection begins: the nonce, the hello that shows an access key, a full handshake or a resumption; the Session
# that comes of it (PROTOCOL §4). The bytes are channel.py's business, what a session may do relay.py's.

from . import channel, curve
from .errors import BadFrame
from .runtime import const

_MARK_BYTES = const(18)  # bucket and first 16 bytes of a POST
_MARKS = const(16)  # remembered in a session
_EPHEMERALS = const(4)  # made in advance: one for each session of a Server
_DRAWN_BYTES = const(512)  # random bytes drawn in advance


class Session:
    """What the relay remembers of one connection."""

    def __init__(self, channel_):
        self.channel = channel_
        self.epoch = None  # of the token
        self.token = None
        self.operator = False  # it is IT's: for pushes and code, for nothing else
        self.pushed_ms = 0  # what its pushes took
        self._fetched_round = None
        self._fetched = 0  # rounds, while that one was open
        self._posted_round = None
        self._posts = 0  # in it
        # Made with the session and not post by post: how long collector and allocator take for what stays is seen by
        # all the others.
        self._marks = bytearray(_MARKS * _MARK_BYTES)

    def mark(self, bucket, record):
        """What a repeated POST is recognised by: 18 bytes."""
        return bucket.to_bytes(2, "big") + record[: _MARK_BYTES - 2]

    def repeats(self, round_, mark):
        """Whether a POST with this mark (18 bytes) is one of the last 16 of this session, in this open round."""
        if self._posted_round != round_:
            self._posted_round, self._posts = round_, 0
        for at in range(0, min(self._posts, _MARKS) * _MARK_BYTES, _MARK_BYTES):
            if self._marks[at : at + _MARK_BYTES] == mark:
                return True
        return False

    def remember(self, mark):
        """Note a POST that was stored, in the round repeats() was asked for last."""
        at = self._posts % _MARKS * _MARK_BYTES
        self._marks[at : at + _MARK_BYTES] = mark
        self._posts += 1

    def fetched(self, round_, more=0):
        """How many rounds it fetched while this one is open, with so many more."""
        if self._fetched_round != round_:
            self._fetched_round, self._fetched = round_, 0
        self._fetched += more
        return self._fetched


class Handshakes:
    """The relay's side of every connection's beginning; static: its (curve.Secret, public key)."""

    def __init__(self, generator, static, parameters, epochs):
        self._generator = generator
        self._static = static
        self._parameters = parameters
        self._epochs = epochs
        self._ephemerals = []
        self._drawn = b""  # random bytes drawn in advance, used up to _drawn_at
        self._drawn_at = 0

    def nonce(self):
        """16 random bytes for a connection."""
        return self._drawn_ahead(channel.NONCE_BYTES)

    def _drawn_ahead(self, length):
        """Random bytes for what is sent in the clear; many are drawn at a time, as strangers are to cost little."""
        if len(self._drawn) - self._drawn_at < length:
            self._draw_ahead()
        start = self._drawn_at
        self._drawn_at = start + length
        return self._drawn[start : start + length]

    def _draw_ahead(self):
        self._drawn = self._generator.random(_DRAWN_BYTES)
        self._drawn_at = 0

    def prepare(self):
        """Do a part of what handshakes will need, in advance, if something is left to do; whether there was."""
        if len(self._drawn) - self._drawn_at < _DRAWN_BYTES // 2:
            self._draw_ahead()
        elif len(self._ephemerals) < _EPHEMERALS:
            self._prepare_ephemeral()
        else:
            return self._epochs.admission is not None and self._epochs.admission.prepare()
        return True

    def _prepare_ephemeral(self):
        secret = curve.Secret(self._generator.random(32))
        self._ephemerals.append((secret, curve.public(secret)))

    def check_hello(self, hello, nonce):
        """The access key a hello was made with; BadFrame if none. Cheap: one or two HMACs."""
        return channel.hello_access_key(hello, nonce, self._parameters.access_keys)

    def greet(self, hello, nonce, access_key):
        """Answer a checked hello: (Session, reply of 65 bytes); BadFrame if it is not right."""
        id_ = channel.resumption_id(hello)
        if id_ is not None:
            return self._resume(hello, nonce, id_)
        if not self._ephemerals:
            self._prepare_ephemeral()
        opened, reply = channel.respond(hello, nonce, access_key, self._static, self._ephemerals.pop())
        return Session(opened), reply

    def _resume(self, hello, nonce, id_):
        found = None if self._epochs.admission is None else self._epochs.admission.resumable(id_)
        if found is None:
            raise BadFrame("unknown resumption id")
        token, step = found
        opened, reply = channel.resume(hello, nonce, step[1], self._drawn_ahead(channel.RELAY_RANDOM_BYTES))
        self._epochs.admission.offer_resumption(token, step[2])  # the one it was resumed with is used up
        session = Session(opened)
        session.epoch, session.token = self._epochs.epoch, token
        return session, reply
