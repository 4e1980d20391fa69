# Runs after boot.py: the board serves. Ctrl-C on the serial line ends that and gives MicroPython's prompt, unless
# relay.json closes it; before relay.json was read Ctrl-C does nothing. If this start itself fails, a trial of new code
# ends at once.

from micropython import kbd_intr

import slots

kbd_intr(-1)

try:
    from device import service

    service.main()
except Exception:
    slots.fail()
    raise
