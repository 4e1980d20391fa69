# The encrypted channel (PROTOCOL §4): a Noise NKpsk0 handshake with a cheap check before any curve work, resumption,
# and the frames after either. What frames mean is wire.py's business, which resumptions are accepted admission.py's.

from struct import pack_into

from . import curve
from .aead import TAG_BYTES, Aead
from .errors import BadFrame
from .hashes import HmacKey, equal, hkdf, hkdf_expand, hmac_sha256, sha256
from .runtime import const

NONCE_BYTES = const(16)
HELLO_BYTES = const(81)
REPLY_BYTES = const(65)
RELAY_RANDOM_BYTES = const(33)  # in the reply to a resumption

_NAME = b"Noise_NKpsk0_secp256k1_AES128CBCHMAC_SHA256"
_CHECK_END = const(49)  # a hello has 33 bytes of client data, 16 bytes of HMAC, 32 bytes of proof


class Channel:
    """Sealed frames in both directions, each with its own counter, after a full handshake or a resumption.

    send_key, receive_key: 32 bytes each. handshake_hash: 32 bytes that proofs are bound to, None after a resumption.
    """

    def __init__(self, send_key, receive_key, handshake_hash=None):
        self.handshake_hash = handshake_hash
        self._send = Aead(send_key)
        self._receive = Aead(receive_key)
        self._sent = 0
        self._sent_bytes = bytearray(8)  # the same as bytes; made once, as allocating it costs time at every frame
        self._received = 0

    def seal_in_place(self, frame):
        """Seal the plaintext (255 or 1023 bytes) at the start of frame, a bytearray that is 17 bytes longer."""
        pack_into(">Q", self._sent_bytes, 0, self._sent)
        self._send.seal_in_place(self._sent, self._sent_bytes, frame)
        self._sent += 1

    def seal(self, plaintext):
        """The sealed frame (272 or 1040 bytes) for a plaintext of 255 or 1023 bytes."""
        frame = bytearray(len(plaintext) + 1 + TAG_BYTES)
        frame[: len(plaintext)] = plaintext
        self.seal_in_place(frame)
        return bytes(frame)

    def open(self, frame):
        """The plaintext of a received frame. BadFrame if it is not the next frame of the peer: the channel is over."""
        plaintext = self._receive.open(self._received, self._received.to_bytes(8, "big"), frame)
        if len(plaintext) != len(frame) - 1 - TAG_BYTES:
            raise BadFrame("wrong padding")
        self._received += 1
        return plaintext


class _Noise:
    """The SymmetricState of the Noise protocol (revision 34, §5.2) for this pattern. A new one has mixed the prologue
    and the relay's static key, which is the pre-message."""

    def __init__(self, nonce, relay_key):
        self._h = self._ck = sha256(_NAME)
        self._mix_hash(b"tessera/1" + bytes(nonce))
        self._mix_hash(relay_key)

    def _mix_hash(self, data):
        self._h = sha256(self._h, data)

    def _mix_key(self, material):
        mixed = hkdf(self._ck, material, b"", 64)
        self._ck, self._key = mixed[:32], mixed[32:]

    def psk(self, psk):
        mixed = hkdf(self._ck, psk, b"", 96)
        self._ck = mixed[:32]
        self._mix_hash(mixed[32:64])
        self._key = mixed[64:]

    def ephemeral(self, point):
        self._mix_hash(point)
        self._mix_key(point)

    def shared(self, secret, point):
        self._mix_key(curve.dh(secret, point))

    # Each key seals one payload only, so Noise's nonce is always 0.

    def seal_empty(self):
        sealed = Aead(self._key).seal(0, self._h, b"")
        self._mix_hash(sealed)
        return sealed

    def open_empty(self, sealed):
        if Aead(self._key).open(0, self._h, sealed):
            raise BadFrame("the payload is not empty")
        self._mix_hash(sealed)

    def split(self, initiator):
        keys = hkdf(self._ck, b"", b"", 64)
        ours, theirs = (keys[:32], keys[32:]) if initiator else (keys[32:], keys[:32])
        return Channel(ours, theirs, self._h)


def _check(access_key, nonce, start):
    return hmac_sha256(access_key, b"hello", nonce, start)[:16]


def resumption_step(secret):
    """(id (16 bytes), key (32), next secret (32)) of a resumption secret (32 bytes)."""
    out = hkdf_expand(secret, b"resume", 80)
    return out[:16], out[16:48], out[48:]


def _resumed_keys(nonce, key, start, relay_random):
    keys = hkdf(nonce, key, b"keys" + bytes(start) + bytes(relay_random), 64)
    return keys[:32], keys[32:]


# -- relay side


def hello_access_key(hello, nonce, access_keys):
    """The one of the access keys (32 bytes each) that this hello (81 bytes) was made with; BadFrame if it is none.

    Does no curve work and keeps no state of the connection. Every stranger can make the relay do this much, so the
    HMAC pads of the access keys are kept.
    """
    view = memoryview(hello)
    start, check = view[:33], view[33:_CHECK_END]
    for access_key in access_keys:
        if _hello_key(access_key).verify(check, b"hello", nonce, start):
            return access_key
    raise BadFrame("hello check failed")


_hello_keys = {}  # access key -> HmacKey, for the newest set and the one before


def _hello_key(access_key):
    key = _hello_keys.get(access_key)
    if key is None:
        if len(_hello_keys) > 1:
            _hello_keys.clear()
        key = _hello_keys[access_key] = HmacKey(access_key)
    return key


def resumption_id(hello):
    """The id (16 bytes) in the hello of a resumption; None for the hello of a full handshake."""
    return bytes(hello[1:17]) if hello[0] == 0 else None


def respond(hello, nonce, access_key, static, ephemeral):
    """Answer a full handshake: (Channel, reply of 65 bytes). BadFrame if the hello (81 bytes) is invalid.

    static, ephemeral: (curve.Secret, point (33 bytes)) of the relay. Use an ephemeral for one handshake only.
    """
    client_data = bytes(hello[:33])
    noise = _Noise(nonce, static[1])
    noise.psk(access_key)
    noise.ephemeral(client_data)
    try:
        client_point = curve.Point(client_data)
        noise.shared(static[0], client_point)
        noise.open_empty(hello[_CHECK_END:])
        noise.ephemeral(ephemeral[1])
        noise.shared(ephemeral[0], client_point)
    except ValueError:
        raise BadFrame("not a point of the curve") from None
    reply = ephemeral[1] + noise.seal_empty()
    return noise.split(False), reply


def resume(hello, nonce, key, relay_random):
    """Answer a resumption: (Channel, reply of 65 bytes). BadFrame if the client does not hold the key.

    key: 32 bytes, the one that the id in the hello stands for. relay_random: 33 fresh random bytes.
    """
    start = bytes(hello[:33])
    if not equal(hmac_sha256(key, b"proof", nonce, start), hello[_CHECK_END:]):
        raise BadFrame("resumption proof failed")
    receive_key, send_key = _resumed_keys(nonce, key, start, relay_random)
    accept = hmac_sha256(key, b"accept", nonce, start, relay_random)
    return Channel(send_key, receive_key), relay_random + accept


# -- client side


class Initiator:
    """The client's side of a full handshake: send hello() (81 bytes), then finish(reply) returns the Channel.

    nonce: the relay's 16 bytes. relay_key: its static key (33). access_key (32). ephemeral_secret: 32 random bytes.
    BadFrame from finish() if the reply is not this relay's.
    """

    def __init__(self, nonce, relay_key, access_key, ephemeral_secret):
        self._secret = curve.Secret(ephemeral_secret)
        self._noise = _Noise(nonce, relay_key)
        point = curve.public(self._secret)
        self._noise.psk(access_key)
        self._noise.ephemeral(point)
        self._noise.shared(self._secret, relay_key)
        self._hello = point + _check(access_key, nonce, point) + self._noise.seal_empty()

    def hello(self):
        return self._hello

    def finish(self, reply):
        point = bytes(reply[:33])
        self._noise.ephemeral(point)
        try:
            self._noise.shared(self._secret, point)
        except ValueError:
            raise BadFrame("not a point of the curve") from None
        self._noise.open_empty(reply[33:])
        return self._noise.split(True)


class Resumption:
    """The client's side of a resumption: send hello() (81 bytes), then finish(reply) returns the Channel.

    secret: 32 bytes. client_random: 16 fresh random bytes. As soon as hello() was sent, next_secret replaces secret.
    BadFrame from finish() if the relay does not hold the key.
    """

    def __init__(self, nonce, access_key, secret, client_random):
        id_, self._key, self.next_secret = resumption_step(secret)
        self._nonce = bytes(nonce)
        self._start = b"\x00" + id_ + bytes(client_random)
        proof = hmac_sha256(self._key, b"proof", self._nonce, self._start)
        self._hello = self._start + _check(access_key, self._nonce, self._start) + proof

    def hello(self):
        return self._hello

    def finish(self, reply):
        relay_random = bytes(reply[:33])
        if not equal(hmac_sha256(self._key, b"accept", self._nonce, self._start, relay_random), reply[33:]):
            raise BadFrame("the relay does not hold the resumption key")
        send_key, receive_key = _resumed_keys(self._nonce, self._key, self._start, relay_random)
        return Channel(send_key, receive_key)
