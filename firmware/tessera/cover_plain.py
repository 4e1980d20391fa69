# The plain tier of Dummies in cover.py: for MicroPython without the C module mbedcrypto, and for CPython.

from . import native
from .runtime import aes_cbc, aes_ecb, const

_DUMMY_BYTES = const(240)
_BLOCK = const(16)
_CHUNK = const(64)  # counters that are encrypted at once, in a buffer of 1 KiB


class Dummies:
    """The dummies of one cell: dummy j = AES-256-CBC(key, IV = j, 240 zeros)."""

    def __init__(self, key):
        self._key = key
        self._cipher = aes_cbc(key)
        self._input = bytearray(_DUMMY_BYTES)  # zeros, but the first block is the last block of the dummy before

    def make(self, number, out):
        """Write dummy `number` (below 2^28) into out (240 bytes).

        One cipher object makes them all, because a new one would cost a key schedule and 300 bytes of heap for each
        dummy. Its chain runs on from the dummy before; having that dummy's last block in the input cancels this.
        """
        native.add_number(self._input, number)
        self._cipher.encrypt(self._input, out)
        native.copy_block(self._input, memoryview(out)[-_BLOCK:])

    def heads(self, count, out, first):
        """Write the first 8 bytes of each of dummies 0 … count - 1 into out, from byte 8 · first on."""
        cipher = aes_ecb(self._key)
        blocks = bytearray(_CHUNK * _BLOCK)
        for start in range(0, count, _CHUNK):
            here = min(_CHUNK, count - start)
            native.number_blocks(blocks, start, here)
            cipher.encrypt(blocks, blocks)
            native.gather_heads(blocks, here, out, first + start)
