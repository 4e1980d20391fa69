"""Ports of this computer for programs that tests start, and start again: below those that connections get, of which one
could have a port that is free for a moment.
"""

import random
import socket

_FIRST, _LAST = 20_000, 32_000
_DICE = random.SystemRandom()
_given: set[int] = set()  # whoever got them may not listen there yet


def free_ports(count: int) -> int:
    """The first of so many that are free, one after the other; none of them twice."""
    while True:
        first = _DICE.randrange(_FIRST, _LAST - count)
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
