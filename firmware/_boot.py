# Mounts the file system. Replaces the port's _boot.py, which would make a file system of all flash, record ring
# included.

import slots
from device import flash

slots.problem = flash.mount()  # kept in slots, which no bundle replaces
