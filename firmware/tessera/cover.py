# Cover traffic: how many dummies a cell has and what they are, fixed for the cell by the epoch's cover key (PROTOCOL
# §8).
# How dummies and real records become one batch is batch.py's business; the table is made by the planner on the host.

import struct

from .hashes import HmacKey, tagged
from .runtime import aes_cbc, aes_ecb, const, copy_block

_DUMMY_BYTES = const(240)
_BLOCK = const(16)
_HEAD_BYTES = const(8)
_CHUNK = const(64)  # counters encrypted at once: 1 KiB of buffer instead of 32·mu bytes


def next_state(state, random):
    """state_{e+1} from state_e and 32 fresh random bytes."""
    return tagged("cover-ratchet", state, random)


def cover_key(state):
    """cover_e of state_e."""
    return tagged("cover-key", state)


def commitment(key):
    """What a checkpoint says of cover_e."""
    return tagged("cover-commit", key)


def sample(thresholds, draw):
    """#{k : T_k ≤ draw}: thresholds are bytes, 8 each, draw is 8 bytes. All are compared, whatever the draw."""
    count = 0
    for at in range(0, len(thresholds), 8):
        count += thresholds[at : at + 8] <= draw
    return count


class EpochCover:
    """The cover of one epoch: cover_e (32 bytes) and the noise table of the parameters that govern it (bytes)."""

    def __init__(self, key, thresholds):
        self._key = HmacKey(key)
        self._thresholds = thresholds
        self.candidates = len(thresholds) // 8  # 2·mu, the most dummies a cell can have

    def noise(self, bucket, round_):
        """N, the number of dummies of a cell."""
        return sample(self._thresholds, self._cell(b"noise", bucket, round_)[:8])

    def dummies(self, bucket, round_):
        return Dummies(self._cell(b"cover", bucket, round_))

    def _cell(self, purpose, bucket, round_):
        return self._key.digest(purpose, struct.pack(">BI", bucket, round_))


class Dummies:
    """The dummies of one cell: dummy j = AES-256-CBC(key, IV = j, 240 zeros)."""

    def __init__(self, key):
        self._key = key
        self._cipher = aes_cbc(key)
        self._input = bytearray(_DUMMY_BYTES)
        self._chained = bytearray(_BLOCK)

    def make(self, number, out, out_tail):
        """Write dummy `number` into out (240 bytes); out_tail views its last 16 bytes. Allocates nothing.

        One cipher makes them all, as a new one would cost a key schedule and 300 bytes of heap a dummy: its chain goes
        on from the dummy before, which is cancelled by adding that dummy's last block to the first block of input.
        """
        copy_block(self._input, self._chained)
        self._input[14] ^= number >> 8
        self._input[15] ^= number & 255
        self._cipher.encrypt(self._input, out)
        copy_block(self._chained, out_tail)

    def heads(self, count, out):
        """Write the first 8 bytes of dummies 0 … count - 1 to out, one after the other."""
        cipher = aes_ecb(self._key)
        blocks = bytearray(_CHUNK * _BLOCK)
        view = memoryview(blocks)
        for start in range(0, count, _CHUNK):
            here = min(_CHUNK, count - start)
            for place in range(here):
                struct.pack_into(">QII", blocks, place * _BLOCK, 0, 0, start + place)
            cipher.encrypt(view[: here * _BLOCK], view[: here * _BLOCK])
            for place in range(here):
                at = (start + place) * _HEAD_BYTES
                out[at : at + _HEAD_BYTES] = view[place * _BLOCK : place * _BLOCK + _HEAD_BYTES]
