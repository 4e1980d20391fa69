# Replaces the port's _boot.py, which would make a file system of all the flash it finds, record ring included.

from device import flash

flash.mount()
