# The time from a network clock by SNTP (RFC 4330), with one question and one answer. What the relay makes of the time
# is the business of the core.

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
_NO_LINK_MS = 100  # between two looks whether there is a link
_PATIENCE = 8  # questions without an answer, after which the name is looked up again
_HOUR_SECONDS = 3600  # between two questions once the clock is good
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 2, 512  # after a question without an answer, twice as long each time
_RATE = b"RATE"
_KISSES = (_RATE, b"DENY", b"RSTR")  # from a server that wants fewer questions or none (RFC 4330 §8)
_UNIX_SECONDS = 2_208_988_800  # from 1900 to 1970
_ERA_SECONDS = 1 << 32  # the era ends in 2036; a first bit of 0 means the next era (RFC 4330 §3)


def look_up(host):
    """The address of a host (str). OSError if the name cannot be resolved. No other task runs meanwhile, which may take
    many seconds."""
    return socket.getaddrinfo(host, _PORT)[0][-1]


class TimeServer:
    """A network clock, by its name (host).

    The name is looked up rarely, because the relay answers nobody meanwhile: before the first question, after eight
    questions without an answer, and when a server wants no more questions. look_up(host) returns the address.
    heard: whether the last question had an answer, even one without a time.
    """

    def __init__(self, host, look_up=look_up):
        self._host = host
        self._look_up = look_up
        self._address = None
        self._failures = 0
        self._wait_seconds = 0
        self._unwanted = None  # the last answer, if it was one of _KISSES
        self.heard = False

    async def unix_ms(self, random):
        """Ask for the Unix time in milliseconds; None if it does not come within 2 s. random: see ask()."""
        self._unwanted = None
        self.heard = False
        try:
            if self._address is None or self._failures == _PATIENCE:
                self._failures = 0
                self._address = self._look_up(self._host)
        except OSError:
            return None  # and keep the former address
        found = await ask(self._address, random)
        self.heard = found is not None
        self._failures = 0 if self.heard else self._failures + 1
        if found not in _KISSES:
            return found
        self._unwanted = found
        if found != _RATE:
            self._address = None  # the name may have another address, whose server answers
        return None

    def next_wait_seconds(self, content):
        """How long to wait before the next question: an hour once the clock is good, until then twice as long each
        time. If the server said RATE, the longest wait.

        content: whether the clock is good, so that no later time may replace it.
        """
        if content and self.heard:
            self._wait_seconds = 0
            return _HOUR_SECONDS
        self._wait_seconds = min(max(2 * self._wait_seconds, _FIRST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)
        if self._unwanted == _RATE:
            self._wait_seconds = _LONGEST_WAIT_SECONDS
        return self._wait_seconds


async def follow(server, relay, keeper):
    """Correct the clock of a started relay by a TimeServer, for ever, whenever the link's Keeper has an address.

    Answers also tell the Keeper that the network lives. So the server is asked earlier if nobody else was heard for
    long.
    """
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
    """Ask the server at an address (from look_up()). Returns its Unix time in milliseconds, one of _KISSES, or None
    without a valid answer within 2 s.

    random(n) -> bytes makes a nonce that the answer must repeat. So an attacker who does not see the question cannot
    forge an answer, and wrong answers are ignored.
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
        pass  # no link or no route: the clock runs on by itself
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
    """The Unix time in milliseconds in a server's packet (48 bytes), or one of _KISSES; None if it is no valid answer
    to the question with this nonce (8 bytes)."""
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
        return None  # the server does not know the time, even if its clock has a fraction
    if seconds < _ERA_SECONDS >> 1:
        seconds += _ERA_SECONDS
    return 1000 * (seconds - _UNIX_SECONDS) + (1000 * fraction >> 32)
