# Time from a network clock: SNTP (RFC 4330), one question and one answer.

import asyncio
import socket
from errno import EAGAIN

from tessera.runtime import sleep_ms, ticks_diff, ticks_ms

_PORT = 123
_PACKET_BYTES = 48
_QUESTION = 0x23  # version 4, client
_MODE, _SERVER = 7, 4
_TIMEOUT_MS = 2000
_POLL_MS = 20
_NO_LINK_MS = 100  # how often the link is looked at while there is none
_PATIENCE = 8  # questions without an answer, then the name is looked up again
_HOUR_SECONDS = 3600  # between two questions once the clock is good
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 2, 512  # after a question without an answer, each time twice as long
_RATE = b"RATE"
_KISSES = (_RATE, b"DENY", b"RSTR")  # what a server says that wants fewer questions, or none (RFC 4330 §8)
_UNIX_SECONDS = 2_208_988_800  # 1970 in the seconds since 1900
_ERA_SECONDS = 1 << 32  # ends in 2036; a first bit of 0 means the next one (RFC 4330 §3)


def look_up(host):
    """The address of a host (str). OSError if its name cannot be resolved, which keeps everything waiting for long."""
    return socket.getaddrinfo(host, _PORT)[0][-1]


class TimeServer:
    """A network clock by name, or several of that name. It is looked up rarely, as nobody gets an answer meanwhile:
    before the first question, when a few had no answer, and when a server wants no more. look_up(host) gives the
    address.

    heard: whether the last question had an answer, be it one without a time.
    """

    def __init__(self, host, look_up=look_up):
        self._host = host
        self._look_up = look_up
        self._address = None
        self._failures = 0
        self._wait_seconds = 0
        self._unwanted = None  # which of _KISSES the last answer was
        self.heard = False

    async def unix_ms(self, random):
        """Unix time in milliseconds; None without one within 2 s. random as for ask()."""
        self._unwanted = None
        self.heard = False
        try:
            if self._address is None or self._failures == _PATIENCE:
                self._failures = 0
                self._address = self._look_up(self._host)
        except OSError:
            return None  # the address from before stays
        found = await ask(self._address, random)
        self.heard = found is not None
        self._failures = 0 if self.heard else self._failures + 1
        if found not in _KISSES:
            return found
        self._unwanted = found
        if found != _RATE:
            self._address = None  # another of that name may want them
        return None

    def next_wait_seconds(self, content):
        """How long to wait before the next question; content: whether the clock is good now, and no later time may
        replace it. Until then twice as long each time, and for a server that has too many questions the longest."""
        if content and self.heard:
            self._wait_seconds = 0
            return _HOUR_SECONDS
        self._wait_seconds = min(max(2 * self._wait_seconds, _FIRST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)
        if self._unwanted == _RATE:
            self._wait_seconds = _LONGEST_WAIT_SECONDS
        return self._wait_seconds


async def follow(server, relay, keeper):
    """Correct a started relay's clock by a TimeServer again and again, while the link's keeper has an address; the
    answers also tell it that the network lives, so it is asked sooner when nobody else was heard for long."""
    while True:
        while keeper.address is None:
            await sleep_ms(_NO_LINK_MS)
        now = await server.unix_ms(relay.random)
        if server.heard:
            keeper.heard()
        else:
            keeper.silent()
        if now is not None:
            relay.clock.correct(now)
        for _ in range(server.next_wait_seconds(relay.clock_accepted)):
            await asyncio.sleep(1)
            if now is not None and keeper.quiet:
                break


async def ask(address, random):
    """Unix time in milliseconds that the server at an address (of look_up()) tells, or which of _KISSES it says; None
    without a right answer within 2 s.

    random(n) -> bytes makes the question one that an answer must repeat, so that nobody off the path can forge it, nor
    end it with an answer that is wrong.
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
                found = read(answer, nonce)
                if found is not None:
                    return found
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
    """Unix time in milliseconds of a server's packet (48 bytes) to the question with this nonce (8), or which of
    _KISSES it says; None if it is wrong."""
    if len(answer) != _PACKET_BYTES or answer[0] & _MODE != _SERVER or answer[24:32] != nonce:
        return None
    if not answer[1]:
        kiss = bytes(answer[12:16])
        return kiss if kiss in _KISSES else None
    if answer[0] >> 6 == 3 or answer[1] > 15:
        return None  # not synchronised
    seconds = int.from_bytes(answer[40:44], "big")
    fraction = int.from_bytes(answer[44:48], "big")
    if not seconds:
        return None  # what a server sends that does not know the time, be it with the fraction that its clock has
    if seconds < _ERA_SECONDS >> 1:
        seconds += _ERA_SECONDS
    return 1000 * (seconds - _UNIX_SECONDS) + (1000 * fraction >> 32)
