# The relay's time: set once, then corrected forward only (PROTOCOL §3). Where the time comes from is the business of
# the program that runs the relay, and whether a clock is accepted that of rounds.py.

import asyncio

from . import runtime
from .runtime import const

_FOLLOW_SECONDS = const(60)  # between two looks at a better clock


class Clock:
    """Unix time in milliseconds that runs on with the processor's ticks. Tests pass ticks of their own.

    provisional: nothing durable rests on the time yet, and a later reading replaces it.
    told_since_ms: the uptime since which it has shown the present time, to a minute.
    """

    def __init__(self, ticks_ms=runtime.ticks_ms, ticks_diff=runtime.ticks_diff):
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._last_ticks = ticks_ms()
        self._uptime_ms = 0
        self._offset_ms = None  # unix time minus uptime
        self._allowance_ms = 0  # by which correct() may still move it
        self._earliest_ms = 0
        self._latest_ms = None
        self.provisional = False
        self.told_since_ms = 0

    @property
    def known(self):
        """Whether the clock was ever set."""
        return self._offset_ms is not None

    def uptime_ms(self):
        """Milliseconds since the start. Call it at least once in 6 days: a board's ticks wrap after that."""
        ticks = self._ticks_ms()
        self._uptime_ms += self._ticks_diff(ticks, self._last_ticks)
        self._last_ticks = ticks
        return self._uptime_ms

    def now_ms(self):
        """Unix time in milliseconds. Call it only if the clock is known."""
        return self.uptime_ms() + self._offset_ms

    def not_before(self, unix_ms):
        """Refuse every earlier time, whoever sends it. After a time that is too early the relay could not reach the
        right one, as corrections are small."""
        self._earliest_ms = max(self._earliest_ms, unix_ms)

    def not_after(self, unix_ms):
        """Refuse every later time."""
        self._latest_ms = unix_ms

    def possible(self, unix_ms):
        """Whether not_before() and not_after() allow a time."""
        return unix_ms >= self._earliest_ms and (self._latest_ms is None or unix_ms <= self._latest_ms)

    def set(self, unix_ms):
        """Take the first time, or one from a signed statement, if it is possible. The clock never goes backward."""
        if self.possible(unix_ms) and (not self.known or unix_ms > self.now_ms()):
            self._start(unix_ms)

    def _start(self, unix_ms):
        """Show this time from now on."""
        offset_ms = unix_ms - self.uptime_ms()
        if not self.known or abs(offset_ms - self._offset_ms) > 1000 * _FOLLOW_SECONDS:
            self.told_since_ms = self._uptime_ms
        self._offset_ms = offset_ms

    def allow(self, milliseconds):
        """By how much correct() may move the clock from now on. Called once for each epoch, with one round."""
        self._allowance_ms = milliseconds

    def correct(self, unix_ms):
        """Take a reading of a network clock; returns by how many milliseconds the clock moved.

        The first possible reading sets the clock. Later ones move it forward only, and within the allowance.
        """
        if not self.possible(unix_ms):
            return 0
        if not self.known or self.provisional:
            self._start(unix_ms)
            return 0
        step = min(max(0, unix_ms - self.now_ms()), self._allowance_ms)
        self._offset_ms += step
        self._allowance_ms -= step
        return step


async def follow(clock, unix_ms):
    """Correct a Clock every minute by a better one. unix_ms() returns its time, None if it does not know it."""
    while True:
        await asyncio.sleep(_FOLLOW_SECONDS)
        now = unix_ms()
        if now is not None:
            clock.correct(now)
