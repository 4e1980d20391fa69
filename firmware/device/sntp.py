# Time from a network clock: SNTP (RFC 4330), one question and one answer.

import socket
from errno import EAGAIN

from tessera.runtime import sleep_ms, ticks_diff, ticks_ms

_PORT = 123
_PACKET_BYTES = 48
_QUESTION = 0x23  # version 4, client
_MODE, _SERVER = 7, 4
_TIMEOUT_MS = 2000
_POLL_MS = 20
_PATIENCE = 8  # questions without an answer, then the name is looked up again
_UNIX_SECONDS = 2_208_988_800  # 1970 in the seconds since 1900
_ERA_SECONDS = 1 << 32  # ends in 2036; a first bit of 0 means the next one (RFC 4330 §3)


def look_up(host):
    """The address of a host (str). OSError if its name cannot be resolved, which keeps everything waiting for long."""
    return socket.getaddrinfo(host, _PORT)[0][-1]


class TimeServer:
    """A network clock by name. Its name is looked up rarely, as nobody gets an answer meanwhile: before the first
    question, and when a few had no answer. look_up(host) gives the address."""

    def __init__(self, host, look_up=look_up):
        self._host = host
        self._look_up = look_up
        self._address = None
        self._failures = 0

    async def unix_ms(self, random):
        """Unix time in milliseconds; None without a right answer within 2 s. random as for ask()."""
        try:
            if self._address is None or self._failures == _PATIENCE:
                self._failures = 0
                self._address = self._look_up(self._host)
        except OSError:
            return None  # the address from before stays
        found = await ask(self._address, random)
        self._failures = self._failures + 1 if found is None else 0
        return found


async def ask(address, random):
    """Unix time in milliseconds that the server at an address (of look_up()) tells; None without a right answer within
    2 s.

    random(n) -> bytes makes the question one that an answer must repeat, so that nobody off the path can forge it.
    """
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        line.setblocking(False)
        line.connect(address)
        nonce = random(8)
        line.send(bytes((_QUESTION,)) + bytes(_PACKET_BYTES - 9) + nonce)
        start = ticks_ms()
        while ticks_diff(ticks_ms(), start) < _TIMEOUT_MS:
            await sleep_ms(_POLL_MS)
            answer = _received(line)
            if answer is not None:
                return read(answer, nonce)
    except OSError:
        pass  # no link, no name server: the clock runs on without
    finally:
        line.close()
    return None


def _received(line):
    try:
        return line.recv(_PACKET_BYTES)
    except OSError as error:
        if error.errno == EAGAIN:
            return None
        raise


def read(answer, nonce):
    """Unix time in milliseconds of a server's packet (48 bytes) to the question with this nonce (8); None if wrong."""
    if len(answer) != _PACKET_BYTES or answer[0] & _MODE != _SERVER or answer[24:32] != nonce:
        return None
    if answer[0] >> 6 == 3 or not 1 <= answer[1] <= 15:
        return None  # not synchronised
    seconds = int.from_bytes(answer[40:44], "big")
    if seconds < _ERA_SECONDS >> 1:
        seconds += _ERA_SECONDS
    return 1000 * (seconds - _UNIX_SECONDS) + (1000 * int.from_bytes(answer[44:48], "big") >> 32)
