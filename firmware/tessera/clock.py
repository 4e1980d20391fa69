# The relay's time: set once, corrected forward only (PROTOCOL §3). Where time comes from is the entry script's
# business, what a round means the relay's.

import asyncio

from . import runtime
from .runtime import const

_FOLLOW_SECONDS = const(60)


class Clock:
    """Unix time that runs on with the processor's ticks; both are injectable for tests."""

    def __init__(self, ticks_ms=runtime.ticks_ms, ticks_diff=runtime.ticks_diff):
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._last_ticks = ticks_ms()
        self._uptime_ms = 0
        self._offset_ms = None  # unix time less uptime
        self._allowance_ms = 0
        self._earliest_ms = 0
        self._latest_ms = None
        self.provisional = False  # nothing rests on it yet: a later reading replaces it
        self.told_since_ms = 0  # uptime since which it tells the time it tells, to a minute

    @property
    def known(self):
        return self._offset_ms is not None

    def uptime_ms(self):
        """Milliseconds since the start. Ticks wrap (after 6 days on a board), so call it more often than that."""
        ticks = self._ticks_ms()
        self._uptime_ms += self._ticks_diff(ticks, self._last_ticks)
        self._last_ticks = ticks
        return self._uptime_ms

    def now_ms(self):
        """Unix time in milliseconds; only once known."""
        return self.uptime_ms() + self._offset_ms

    def not_before(self, unix_ms):
        """Refuse every time before this one, from whomever it comes: one that is too early would keep the relay from
        the right one, as corrections are small."""
        self._earliest_ms = max(self._earliest_ms, unix_ms)

    def not_after(self, unix_ms):
        """Refuse every time after this one."""
        self._latest_ms = unix_ms

    def possible(self, unix_ms):
        """Whether a time is not refused by not_before() or not_after()."""
        return unix_ms >= self._earliest_ms and (self._latest_ms is None or unix_ms <= self._latest_ms)

    def set(self, unix_ms):
        """The first time, or one from a signed statement: taken as it is if it is possible, but never backward."""
        if self.possible(unix_ms) and (not self.known or unix_ms > self.now_ms()):
            self._start(unix_ms)

    def _start(self, unix_ms):
        """Tell another time from now on."""
        offset_ms = unix_ms - self.uptime_ms()
        if not self.known or abs(offset_ms - self._offset_ms) > 1000 * _FOLLOW_SECONDS:
            self.told_since_ms = self._uptime_ms
        self._offset_ms = offset_ms

    def allow(self, milliseconds):
        """Start a new allowance for corrections: one round an epoch."""
        self._allowance_ms = milliseconds

    def correct(self, unix_ms):
        """A reading of a network clock: the first one that is possible, later forward only and within the allowance; by
        how much it moved."""
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
    """Correct the clock every minute by a better one: unix_ms() -> milliseconds, None if it does not know."""
    while True:
        await asyncio.sleep(_FOLLOW_SECONDS)
        now = unix_ms()
        if now is not None:
            clock.correct(now)
