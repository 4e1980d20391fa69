# Cover traffic: how many dummies a cell has and what they are, fixed for the cell by the epoch's cover key (PROTOCOL
# §8).
# How dummies and real records become one batch is batch.py's business; the table is made by the planner on the host.

import struct

from . import native
from .errors import Fault
from .hashes import HmacKey, tagged
from .runtime import aes_cbc, aes_ecb, const

_DUMMY_BYTES = const(240)
_BLOCK = const(16)
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
    return native.count_not_above(thresholds, len(thresholds) // 8, draw)


class EpochCover:
    """The cover of one epoch: cover_e (32 bytes) and, of the parameters that govern it, the noise table (bytes) or C,
    the constant size of its cells."""

    def __init__(self, key, thresholds, constant=0):
        self._key = HmacKey(key)
        self._thresholds = thresholds
        self._constant = constant
        self.candidates = constant or len(thresholds) // 8  # the most dummies a cell can have

    def noise(self, bucket, round_, real=0):
        """N, the number of dummies of a cell that has so many real records; Fault if they are more than a constant
        batch can have."""
        if not self._constant:
            return sample(self._thresholds, self._cell(b"noise", bucket, round_)[:8])
        if real > self._constant:
            raise Fault("a cell has more records than its constant batch: erase the relay and provision it anew")
        return self._constant - real

    def dummies(self, bucket, round_):
        return Dummies(self._cell(b"cover", bucket, round_))

    def _cell(self, purpose, bucket, round_):
        return self._key.digest(purpose, struct.pack(">HI", bucket, round_))


class Dummies:
    """The dummies of one cell: dummy j = AES-256-CBC(key, IV = j, 240 zeros)."""

    def __init__(self, key):
        self._key = key
        self._cipher = aes_cbc(key)
        self._input = bytearray(_DUMMY_BYTES)  # between two dummies its first block is the last one's last block

    def make(self, number, out, out_tail):
        """Write dummy `number` (below 2^28) into out (240 bytes); out_tail views its last 16. Allocates nothing.

        One cipher makes them all, as a new one would cost a key schedule and 300 bytes of heap a dummy: its chain goes
        on from the dummy before, which is cancelled by adding that dummy's last block to the first block of input.
        """
        native.add_number(self._input, number)
        self._cipher.encrypt(self._input, out)
        native.copy_block(self._input, out_tail)

    def heads(self, count, out, first):
        """Write the first 8 bytes of dummies 0 … count - 1 to the places from `first` on in out, 8 bytes each."""
        cipher = aes_ecb(self._key)
        blocks = bytearray(_CHUNK * _BLOCK)
        for start in range(0, count, _CHUNK):
            here = min(_CHUNK, count - start)
            native.number_blocks(blocks, start, here)
            cipher.encrypt(blocks, blocks)
            native.gather_heads(blocks, here, out, first + start)
