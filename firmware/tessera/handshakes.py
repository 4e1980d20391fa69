# How a connection begins (PROTOCOL §4): a nonce, a hello that proves knowledge of an access key, then a full handshake
# or a resumption, and the Session that results. The bytes are channel.py's business, what a session may do relay.py's.

from . import channel, curve
from .errors import BadFrame
from .runtime import const

_PREFIX_BYTES = const(18)  # bucket and first 16 bytes of a POST's record, by which a repeated POST is recognised
_PREFIXES = const(16)  # remembered in a session
_EPHEMERALS = const(4)  # key pairs made in advance: one for each session of a board
_DRAWN_BYTES = const(512)  # random bytes drawn in advance


class Session:
    """What the relay remembers of one connection.

    channel: its Channel. token: the Token that AUTH showed, or None; epoch: the token's. operator: it is the operator's
    session, which pushes parameters and code and does nothing else. pushed_ms: how long its pushes took so far.
    """

    def __init__(self, channel_):
        self.channel = channel_
        self.epoch = None
        self.token = None
        self.operator = False
        self.pushed_ms = 0
        self._fetched_round = None
        self._fetched = 0  # rounds that it fetched while _fetched_round was open
        self._posted_round = None
        self._posts = 0  # in _posted_round
        # Made with the session and not post by post: GC and allocator time would otherwise grow with the number of
        # posts, which other sessions can measure.
        self._prefixes = bytearray(_PREFIXES * _PREFIX_BYTES)

    def prefix(self, bucket, record):
        """The 18 bytes by which a repeated POST is recognised."""
        return bucket.to_bytes(2, "big") + record[: _PREFIX_BYTES - 2]

    def repeats(self, round_, prefix):
        """Whether one of the last 16 posts of this session in this open round had this prefix (18 bytes)."""
        if self._posted_round != round_:
            self._posted_round, self._posts = round_, 0
        for at in range(0, min(self._posts, _PREFIXES) * _PREFIX_BYTES, _PREFIX_BYTES):
            if self._prefixes[at : at + _PREFIX_BYTES] == prefix:
                return True
        return False

    def remember(self, prefix):
        """Note the prefix of a POST that was stored, in the round of the last call of repeats()."""
        at = self._posts % _PREFIXES * _PREFIX_BYTES
        self._prefixes[at : at + _PREFIX_BYTES] = prefix
        self._posts += 1

    def fetched(self, round_, more=0):
        """Count `more` fetched rounds. Returns how many the session has fetched while this round is open."""
        if self._fetched_round != round_:
            self._fetched_round, self._fetched = round_, 0
        self._fetched += more
        return self._fetched


class Handshakes:
    """Begins connections. static: the relay's (curve.Secret, public key (33 bytes))."""

    def __init__(self, generator, static, parameters, epochs):
        self._generator = generator
        self._static = static
        self._parameters = parameters
        self._epochs = epochs
        self._ephemerals = []
        self._drawn = b""  # random bytes drawn in advance, used up to _drawn_at
        self._drawn_at = 0

    def nonce(self):
        """16 random bytes, the relay's nonce for a new connection."""
        return self._drawn_ahead(channel.NONCE_BYTES)

    def _drawn_ahead(self, length):
        """Random bytes for what is sent in the clear. Many are drawn at a time, so that strangers cost little."""
        if len(self._drawn) - self._drawn_at < length:
            self._draw_ahead()
        start = self._drawn_at
        self._drawn_at = start + length
        return self._drawn[start : start + length]

    def _draw_ahead(self):
        self._drawn = self._generator.random(_DRAWN_BYTES)
        self._drawn_at = 0

    def prepare(self):
        """Do one part of the work that handshakes will need, in advance. False if nothing is left to do.

        MemoryError if the heap has no room for it.
        """
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
        """The access key (32 bytes) that a hello (81 bytes) was made with; BadFrame if it is none of ours. Costs one or
        two HMACs."""
        return channel.hello_access_key(hello, nonce, self._parameters.access_keys)

    def greet(self, hello, nonce, access_key):
        """Answer a hello that check_hello() accepted: (Session, reply of 65 bytes). BadFrame if the rest is wrong."""
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
        self._epochs.admission.offer_resumption(token, step[2])  # the secret of this resumption is used up
        session = Session(opened)
        session.epoch, session.token = self._epochs.epoch, token
        return session, reply
