# What a board does after power-up: it serves. Ctrl-C on the serial line ends that and leaves MicroPython's prompt; so
# does anything that keeps the relay from starting, after it was said there.

from device import service

service.main()
