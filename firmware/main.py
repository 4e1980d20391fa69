# What a board does after power-up: it serves. Ctrl-C on the serial line ends that and leaves MicroPython's prompt; so
# does anything that keeps the relay from starting, after it was said there. Code on trial that does not even get so far
# is given up.

import slots

try:
    from device import service

    service.main()
except Exception:
    slots.fail()
    raise
