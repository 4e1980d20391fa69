# The channel's AEAD: AEAD_AES_128_CBC_HMAC_SHA_256 (RFC 7518 §5.2.3) with the implicit IV of PROTOCOL §1.
# Counters and what they mean are the channel's business.

from .errors import BadFrame
from .hashes import HmacKey
from .runtime import aes_cbc, aes_ecb, const

TAG_BYTES = const(16)
_BLOCK = const(16)
_COUNTER_BITS = b"\0\0\0\0\0\0\0\x40"


class Aead:
    """One key (32 bytes: MAC half, encryption half), one direction."""

    def __init__(self, key):
        self._mac = HmacKey(key[:16])
        self._encryption_key = bytes(key[16:32])
        self._iv_cipher = aes_ecb(self._encryption_key)

    def seal_in_place(self, counter, aad, frame):
        """Seal the plaintext in frame, a bytearray of plaintext n ‖ padding ‖ 16 bytes for the tag.

        n mod 16 must be 15, so that the padding is the single byte 01; all frames of PROTOCOL §5 are like that.
        """
        iv = self._iv(counter)
        body = memoryview(frame)[:-TAG_BYTES]
        body[len(body) - 1] = 1
        aes_cbc(self._encryption_key, iv).encrypt(body, body)
        frame[-TAG_BYTES:] = self._tag(aad, iv, body)

    def seal(self, counter, aad, plaintext):
        """E ‖ T for a plaintext of any length."""
        padding = _BLOCK - len(plaintext) % _BLOCK
        iv = self._iv(counter)
        body = aes_cbc(self._encryption_key, iv).encrypt(bytes(plaintext) + bytes((padding,)) * padding)
        return body + self._tag(aad, iv, body)

    def open(self, counter, aad, sealed):
        """The plaintext of E ‖ T; BadFrame if it was not sealed with this key, counter and aad."""
        if len(sealed) < 2 * _BLOCK or len(sealed) % _BLOCK:
            raise BadFrame("wrong length")
        iv = self._iv(counter)
        view = memoryview(sealed)
        body = view[:-TAG_BYTES]
        if not self._mac.verify(view[-TAG_BYTES:], aad, iv, body, _bit_length(aad)):
            raise BadFrame("not sealed with this key")
        plaintext = aes_cbc(self._encryption_key, iv).decrypt(body)
        padding = plaintext[-1]
        if not 1 <= padding <= _BLOCK or plaintext[-padding:] != bytes((padding,)) * padding:
            raise BadFrame("wrong padding")
        return plaintext[:-padding]

    def _iv(self, counter):
        return self._iv_cipher.encrypt(counter.to_bytes(_BLOCK, "big"))

    def _tag(self, aad, iv, body):
        return self._mac.digest(aad, iv, body, _bit_length(aad))[:TAG_BYTES]


def _bit_length(aad):
    """AL of the RFC; a frame's aad is its counter."""
    return _COUNTER_BITS if len(aad) == 8 else (8 * len(aad)).to_bytes(8, "big")
