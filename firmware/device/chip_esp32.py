# What a chip of Espressif asks of a relay that no other does. Its radio, or its Ethernet, takes memory before the
# storage does; random bytes for keys are drawn with the radio on; and there are as many sessions as the rest bears.
#
# MicroPython's heap begins there with 56 or 64 KB and grows into what ESP-IDF has free, but for the network's share
# (firmware/modules/splitheap). gc.mem_free() counts what it may still take.

import gc
import os

from tessera.errors import Error
from tessera.runtime import const

# Measured where objects have a board's size (MicroPython's unix port built for 32 bits, a full ring), beside what
# stands: each member that is there takes 8 KB, and the largest cell that is planned some 31 as it is made, one at a
# time. With less nobody gets it, ever: BUSY. A little more here, as a heap of several areas is not as dense.
_SPARE_BYTES = const(36 * 1024)
_SESSION_BYTES = const(8 * 1024)
_LEAST = const(2)  # one of two readers' places at most, so that posts find one


def radio_on():
    """Switch the radio on, without joining a network, and keep it from sleeping."""
    from network import WLAN

    nic = WLAN(WLAN.IF_STA)
    nic.active(True)
    nic.config(pm=WLAN.PM_NONE)


def drawn(length):
    """Random bytes (os.urandom) drawn with the radio on: while it is off the chip's numbers are pseudo-random (ESP-IDF,
    "Random Number Generation")."""
    radio_on()
    return os.urandom(length)


def sessions(wanted):
    """As many as are wanted, or fewer, once the relay stands; says which. Error if the memory bears no relay."""
    gc.collect()
    free = gc.mem_free()
    bearable = borne(free, wanted)
    print("memory: {} bytes are left, for {} sessions".format(free, bearable))
    return bearable


def borne(free_bytes, wanted):
    """How many sessions so many bytes of heap bear, at most those wanted; Error if that is not even two."""
    count = (free_bytes - _SPARE_BYTES) // _SESSION_BYTES
    if count < _LEAST:
        raise Error(
            "this board has too little memory for a relay: {} bytes are left, {} are needed; "
            "go back to the image before, or take another board".format(
                free_bytes, _SPARE_BYTES + _LEAST * _SESSION_BYTES
            )
        )
    return min(count, wanted)
