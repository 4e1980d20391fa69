# What differs on Espressif's chips: radio or Ethernet must take its memory before the storage does, random bytes for
# keys are drawn with the radio on, and the number of sessions depends on the memory that is left.
#
# MicroPython's heap begins with 56 or 64 KB there and grows into what ESP-IDF has free, except for the network's share
# (firmware/modules/splitheap). gc.mem_free() counts what the heap may still take.

import gc
import os

from tessera.errors import Error
from tessera.runtime import const

# Measured on MicroPython's unix port, built for 32 bits so that objects have the size of a board's, with a full ring:
# each session takes 8 KB, and making the largest planned cell, one at a time, some 31 KB. With less, that cell could
# never be served (BUSY). Some KB are added because a heap of several areas is less dense.
_SPARE_BYTES = const(36 * 1024)
_SESSION_BYTES = const(8 * 1024)
_LEAST = const(2)  # sessions: readers take at most half of the places, so with two a post finds one


def radio_on():
    """Switch the radio on, without joining a network, and keep it from sleeping."""
    from network import WLAN

    nic = WLAN(WLAN.IF_STA)
    nic.active(True)
    nic.config(pm=WLAN.PM_NONE)


def drawn(length):
    """`length` random bytes (os.urandom), drawn with the radio on. While the radio is off the chip's random numbers are
    pseudo-random (ESP-IDF, "Random Number Generation")."""
    radio_on()
    return os.urandom(length)


def sessions(wanted):
    """How many sessions the free memory bears once the relay has started, at most `wanted`; prints them. Error if there
    is too little memory for a relay."""
    gc.collect()
    free = gc.mem_free()
    bearable = borne(free, wanted)
    print("memory: {} bytes free, room for {} sessions".format(free, bearable))
    return bearable


def borne(free_bytes, wanted):
    """How many sessions so many free bytes of heap bear, at most `wanted`. Error if it is less than two."""
    count = (free_bytes - _SPARE_BYTES) // _SESSION_BYTES
    if count < _LEAST:
        raise Error(
            "too little memory for a relay: {} bytes free, {} needed; flash the earlier image or use another "
            "board".format(free_bytes, _SPARE_BYTES + _LEAST * _SESSION_BYTES)
        )
    return min(count, wanted)
