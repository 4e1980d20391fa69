"""Ports of this computer for programs that tests start and start again. They lie below the ports that the system gives
to outgoing connections, which could otherwise take a port while it is free for a moment.
"""

import random
import socket

_FIRST, _LAST = 20_000, 32_000
_RNG = random.SystemRandom()
_given: set[int] = set()  # to programs that may not listen there yet


def free_ports(count: int) -> int:
    """The first of `count` consecutive free ports, none of which was given before."""
    while True:
        first = _RNG.randrange(_FIRST, _LAST - count)
        ports = range(first, first + count)
        if _given.isdisjoint(ports) and all(map(_is_free, ports)):
            _given.update(ports)
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
