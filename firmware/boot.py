# Before main.py: what is frozen comes before files of the same name, so that a file on flash cannot stand in for a part
# of the core whose digest the relay signs; a bundle, which was verified, comes before what is frozen.

import gc
import sys

from micropython import kbd_intr

import device
import slots

kbd_intr(-1)  # main.py decides whether Ctrl-C gives a prompt

# Collect early: what is in use never exceeds what lives by more than this, and what lives lies close together.
_GC_THRESHOLD_BYTES = 16384

sys.path.remove(".frozen")
sys.path.insert(0, ".frozen")
gc.threshold(_GC_THRESHOLD_BYTES)
device.keep_room()
if slots.start():
    device.give_room()
    import device  # the bundle's

    device.keep_room()
