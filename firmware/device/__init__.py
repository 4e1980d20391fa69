# The relay on a board: everything that the core must not know (flash regions, network, clock, LED, serial line). What
# differs from board to board is in boards/<BOARD>: board.py (network and its pins), pins.csv (LED), partitions.csv.
#
# Reading order: service (from power-up to serving, and with a fault), appliance (the board as a whole: state, faults,
# restarts), then the parts: flash and factoryreset, link with wlan, lan or ppp, sntp, led, button, log, starts,
# watchdog, faultpage; console with commands, update and explain; provision, which makes a relay of a blank board. ota
# and the modules in _esp32 are for Espressif's chips only.

import gc

# The allocator searches for free memory from the start of the heap, past all live objects, which takes a tenth of a
# millisecond each time. So objects that live from the start on are placed behind a gap, and requests then use the gap.
_ROOM_BYTES = 8192

_room = None


def keep_room():
    """Reserve the gap. Call it before any object is made that stays."""
    global _room
    _room = bytearray(_ROOM_BYTES)


def give_room():
    """Free the gap. Call it when the relay has started."""
    global _room
    _room = None
    gc.collect()
