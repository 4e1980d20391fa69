# What a board does after power-up: it serves. Ctrl-C on the serial line ends that and leaves MicroPython's prompt,
# unless relay.json closes it; until that was read there is no Ctrl-C. Code on trial that does not even get so far is
# given up.

from micropython import kbd_intr

import slots

kbd_intr(-1)

try:
    from device import service

    service.main()
except Exception:
    slots.fail()
    raise
