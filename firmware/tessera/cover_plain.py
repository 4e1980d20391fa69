# The plain tier of cover.py's Dummies: for a MicroPython without the C module mbedcrypto, and for CPython.

from . import native
from .runtime import aes_cbc, aes_ecb, const

_DUMMY_BYTES = const(240)
_BLOCK = const(16)
_CHUNK = const(64)  # counters encrypted at once: 1 KiB of buffer instead of 32·mu bytes


class Dummies:
    """The dummies of one cell: dummy j = AES-256-CBC(key, IV = j, 240 zeros)."""

    def __init__(self, key):
        self._key = key
        self._cipher = aes_cbc(key)
        self._input = bytearray(_DUMMY_BYTES)  # between two dummies its first block is the last one's last block

    def make(self, number, out):
        """Write dummy `number` (below 2^28) into out (240 bytes).

        One cipher makes them all, as a new one would cost a key schedule and 300 bytes of heap a dummy: its chain goes
        on from the dummy before, which is cancelled by adding that dummy's last block to the first block of input.
        """
        native.add_number(self._input, number)
        self._cipher.encrypt(self._input, out)
        native.copy_block(self._input, memoryview(out)[-_BLOCK:])

    def heads(self, count, out, first):
        """Write the first 8 bytes of dummies 0 … count - 1 to the places from `first` on in out, 8 bytes each."""
        cipher = aes_ecb(self._key)
        blocks = bytearray(_CHUNK * _BLOCK)
        for start in range(0, count, _CHUNK):
            here = min(_CHUNK, count - start)
            native.number_blocks(blocks, start, here)
            cipher.encrypt(blocks, blocks)
            native.gather_heads(blocks, here, out, first + start)
