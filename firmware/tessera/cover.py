# Cover traffic: how many dummies a cell has and what they are, fixed for the cell by the epoch's cover key (PROTOCOL
# §8).
# How dummies and real records become one batch is batch.py's business; the table is made by the planner on the host.

import struct

from . import native
from .errors import Fault
from .hashes import HmacKey, tagged

# The dummies of one cell, Dummies(key), of which dummy j is AES-256-CBC(key, IV = j, 240 zeros):
# make(number, out): write dummy `number` (below 2^28) into out (240 bytes); allocates nothing.
# heads(count, out, first): write the first 8 bytes of dummies 0 … count - 1 to the places from `first` on in out, 8
# bytes each.
# Two tiers: the C module mbedcrypto where the firmware has it, cover_plain.py elsewhere.
try:
    from mbedcrypto import Dummies
except ImportError:
    from .cover_plain import Dummies


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
