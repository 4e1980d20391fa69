# What a board does after power-up: it serves. Ctrl-C on the serial line ends that and leaves MicroPython's prompt,
# unless relay.json closes it; until that was read there is no Ctrl-C.

from micropython import kbd_intr

kbd_intr(-1)

from device import service  # noqa: E402

service.main()
