# The relay on a board: what the core must not know of (flash regions, network, clock, LED, serial line). What differs
# from board to board is in boards/<BOARD>: board.py (network and its pins), pins.csv (LED), partitions.csv.

import gc

# The allocator looks for free memory from the heap's start on, past everything that lives: a tenth of a millisecond
# each time. So what lives from the start on is put behind a gap, in which it then finds what requests need.
_ROOM_BYTES = 8192

_room = None


def keep_room():
    """Call before anything is made that stays."""
    global _room
    _room = bytearray(_ROOM_BYTES)


def give_room():
    """Call when the relay stands."""
    global _room
    _room = None
    gc.collect()
