# The plain tier of aead.py, which describes the interface: for MicroPython without the C module mbedcrypto, and for
# CPython.

from . import native
from .errors import BadFrame
from .hashes import HmacKey
from .runtime import aes_cbc, aes_ecb, const

TAG_BYTES = const(16)
_BLOCK = const(16)
_COUNTER_BITS = b"\0\0\0\0\0\0\0\x40"


class Aead:
    """One key (32 bytes: MAC half, encryption half) for one direction: an object either seals or opens.

    One CBC cipher object serves all frames, because a new one would cost a key schedule and 300 bytes of heap for each
    frame. Its chain runs on from the frame before. XORing that frame's last block of ciphertext into the first block
    cancels this.
    """

    def __init__(self, key):
        self._mac = HmacKey(key[:16])
        encryption_key = bytes(key[16:32])
        self._iv_cipher = aes_ecb(encryption_key)
        self._cipher = aes_cbc(encryption_key)
        self._iv = bytearray(_BLOCK)
        self._chained = bytearray(_BLOCK)
        self._frame = None

    def seal_in_place(self, counter, aad, frame):
        """Seal the plaintext in frame, a bytearray of plaintext (n bytes) ‖ 1 byte of padding ‖ 16 bytes for the tag.

        n mod 16 must be 15, as in all frames of PROTOCOL §5. Sealing in the same bytearray again allocates nothing.
        """
        if frame is not self._frame:
            self._frame = frame
            view = memoryview(frame)
            self._body, self._tag = view[:-TAG_BYTES], view[-TAG_BYTES:]
            self._last = self._body[-_BLOCK:]
        body = self._body
        body[-1] = 1
        self._encrypt(counter, body, self._last)
        self._mac.digest_into(self._tag, aad, self._iv, body, _bit_length(aad))

    def seal(self, counter, aad, plaintext):
        """E ‖ T for a plaintext of any length."""
        padding = _BLOCK - len(plaintext) % _BLOCK
        body = bytearray(plaintext) + bytes((padding,)) * padding
        self._encrypt(counter, body, memoryview(body)[-_BLOCK:])
        return bytes(body) + self._mac.digest(aad, self._iv, body, _bit_length(aad))[:TAG_BYTES]

    def open(self, counter, aad, sealed):
        """The plaintext of sealed, E ‖ T; BadFrame if it was not sealed with this key, counter and aad."""
        if len(sealed) < 2 * _BLOCK or len(sealed) % _BLOCK:
            raise BadFrame("wrong length")
        self._set_iv(counter)
        view = memoryview(sealed)
        body = view[:-TAG_BYTES]
        if not self._mac.verify(view[-TAG_BYTES:], aad, self._iv, body, _bit_length(aad)):
            raise BadFrame("not sealed with this key")
        plaintext = bytearray(len(body))
        self._cipher.decrypt(body, plaintext)
        native.add_blocks(plaintext, self._iv, self._chained)
        native.copy_block(self._chained, body[-_BLOCK:])
        padding = plaintext[-1]
        if not 1 <= padding <= _BLOCK or plaintext[-padding:] != bytes((padding,)) * padding:
            raise BadFrame("wrong padding")
        return bytes(memoryview(plaintext)[:-padding])

    def _encrypt(self, counter, body, last):
        """Encrypt body in place. last: a memoryview of its last block."""
        self._set_iv(counter)
        native.add_blocks(body, self._iv, self._chained)
        self._cipher.encrypt(body, body)
        native.copy_block(self._chained, last)

    def _set_iv(self, counter):
        self._iv_cipher.encrypt(counter.to_bytes(_BLOCK, "big"), self._iv)


def _bit_length(aad):
    """AL of RFC 7518: the length of aad in bits, 8 bytes. The aad of a frame is its counter (8 bytes)."""
    return _COUNTER_BITS if len(aad) == 8 else (8 * len(aad)).to_bytes(8, "big")
