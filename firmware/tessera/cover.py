# Cover traffic: how many dummies a cell has and what bytes they are. The epoch's cover key determines both for every
# cell (PROTOCOL §8). How dummies and records become one batch is batch.py's business. The noise table is made by the
# planner on the host.

import struct

from . import native
from .errors import Fault
from .hashes import HmacKey, tagged

# Dummies(key) are those of one cell, key has 32 bytes. Dummy j is AES-256-CBC(key, IV = j, 240 zeros).
#   make(number, out)           writes dummy `number` (below 2^28) into out (240 bytes); allocates nothing
#   heads(count, out, first)    writes the first 8 bytes of dummies 0 … count - 1 each into out, from byte 8 · first on
# There are two tiers: the C module mbedcrypto where the firmware has it, cover_plain.py elsewhere.
try:
    from mbedcrypto import Dummies
except ImportError:
    from .cover_plain import Dummies


def next_state(state, random):
    """The cover state of the next epoch, state_{e+1} (32 bytes), from state_e and 32 fresh random bytes."""
    return tagged("cover-ratchet", state, random)


def cover_key(state):
    """The cover key of an epoch, cover_e (32 bytes), from its cover state state_e."""
    return tagged("cover-key", state)


def commitment(key):
    """The commitment (32 bytes) to a cover key in a checkpoint."""
    return tagged("cover-commit", key)


def sample(thresholds, draw):
    """How many thresholds T_k (8 bytes each, joined) are ≤ draw (8 bytes). All are compared, whatever the draw is."""
    return native.count_not_above(thresholds, len(thresholds) // 8, draw)


class EpochCover:
    """The cover of one epoch.

    key: cover_e (32 bytes). thresholds: the noise table of the parameters that govern the epoch (8 bytes for each
    candidate). constant: the number of records in each cell instead, or 0. candidates: the most dummies of a cell.
    """

    def __init__(self, key, thresholds, constant=0):
        self._key = HmacKey(key)
        self._thresholds = thresholds
        self._constant = constant
        self.candidates = constant or len(thresholds) // 8

    def noise(self, bucket, round_, real=0):
        """N, the number of dummies of a cell with so many real records. Fault if a constant batch has no room for
        them."""
        if not self._constant:
            return sample(self._thresholds, self._cell(b"noise", bucket, round_)[:8])
        if real > self._constant:
            raise Fault("a cell has more records than its constant batch: provision the relay anew")
        return self._constant - real

    def dummies(self, bucket, round_):
        """The Dummies of a cell."""
        return Dummies(self._cell(b"cover", bucket, round_))

    def _cell(self, purpose, bucket, round_):
        return self._key.digest(purpose, struct.pack(">HI", bucket, round_))
