# The watchdog: the board restarts if nobody feeds it for eight seconds. Once the relay serves it is fed only when both
# the seal task and the server reported since it was fed last, so that a hang of either restarts the board.
#
# It cannot be stopped (RP2), so it is held where nobody reports: during the start, which has no turns to report in,
# and at MicroPython's prompt a timer feeds it. A soft reset ends that timer, and the start that follows holds it again.

from tessera.runtime import const
from tessera.server import SEAL, SERVE

_TIMEOUT_MS = const(8000)  # the RP2040 has no more than 8388
_HOLD_MS = const(125)  # led.STEP_MS
_ALL = 1 << SEAL | 1 << SERVE


def begin():
    """The board's watchdog, started."""
    from machine import WDT

    return WDT(timeout=_TIMEOUT_MS)


def ticker(period_ms, callback):
    """A timer that calls callback(timer) between two instructions of Python, until its deinit(). Who does not keep it
    loses it to the garbage collector."""
    from machine import Timer

    try:
        timer = Timer(-1)
    except ValueError:  # ESP32: hardware timers only, of which a trial of new code takes the first (slots.py)
        timer = Timer(1)
    timer.init(period=period_ms, callback=callback)
    return timer


_holder = None  # outlives the program that ended at the prompt


class Watchdog:
    """Over a machine.WDT. begin and ticker are those above, or what stands for them in a test."""

    def __init__(self, begin=begin, ticker=ticker):
        self._begin = begin
        self._ticker = ticker
        self._wdt = None
        self._beside = None
        self._reported = 0

    def start(self):
        """From now on the board restarts when nothing feeds it; held at first."""
        self.release()
        self._wdt = self._begin()
        self.hold()

    def hold(self, beside=None):
        """Feed it by a timer, whatever the program does, and call beside() as often; nothing if it was not started."""
        global _holder
        self._beside = beside
        if _holder is None and self._wdt is not None:
            self._wdt.feed()
            _holder = self._ticker(_HOLD_MS, self._tick)

    def _tick(self, timer):
        self._wdt.feed()
        if self._beside is not None:
            self._beside()

    def release(self):
        """Let go: from now on it takes reports."""
        global _holder
        if _holder is not None:
            _holder.deinit()
            _holder = None
        self._reported = 0

    def during(self, function, *arguments):
        """What the function gives. It is held meanwhile, for what may keep everything waiting longer than it waits."""
        held = _holder is not None
        if not held:
            self.hold()
        try:
            return function(*arguments)
        finally:
            if not held:
                self.release()

    def report(self, who):
        """SEAL or SERVE made progress; it is fed when both did. Server's `alive`."""
        self._reported |= 1 << who
        if self._reported == _ALL and self._wdt is not None:
            self._reported = 0
            self._wdt.feed()
