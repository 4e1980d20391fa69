# Runs before main.py and decides where imports find modules. Frozen modules come before files of the same name, so that
# no file on flash can replace a part of the core, whose digest the relay signs. A bundle, which was verified, comes
# before the frozen modules.

import gc
import sys

from micropython import kbd_intr

import device
import slots

kbd_intr(-1)  # device/service.py decides whether Ctrl-C gives a prompt

# Garbage that is allowed before a collection. A small amount keeps the heap small and live objects close together.
_GC_THRESHOLD_BYTES = 16384

sys.path.remove(".frozen")
sys.path.insert(0, ".frozen")
gc.threshold(_GC_THRESHOLD_BYTES)
device.keep_room()
if slots.start():
    device.give_room()
    import device  # the bundle's

    device.keep_room()
