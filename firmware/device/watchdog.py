# The watchdog restarts the board if it is not fed for eight seconds. While the relay serves it is fed only when both
# the seal task and the server have reported since it was last fed, so that a hang of either restarts the board.
#
# On RP2 boards it cannot be stopped. During a start and at MicroPython's prompt nobody reports, so a timer feeds it: it
# is held. A soft reset ends that timer, and the start that follows holds it again.

from tessera.runtime import const
from tessera.server import SEAL, SERVE

_TIMEOUT_MS = const(8000)  # the RP2040 allows 8388 at most
_HOLD_MS = const(125)  # led.STEP_MS
_ALL = 1 << SEAL | 1 << SERVE


def begin():
    """The board's machine.WDT, started."""
    from machine import WDT

    return WDT(timeout=_TIMEOUT_MS)


def ticker(period_ms, callback):
    """A timer that calls callback(timer) between two bytecodes, until its deinit(). Keep a reference: otherwise the
    garbage collector ends it."""
    from machine import Timer

    try:
        timer = Timer(-1)
    except ValueError:  # an ESP32 has hardware timers only, of which a trial of new code takes the first (slots.py)
        timer = Timer(1)
    timer.init(period=period_ms, callback=callback)
    return timer


_holder = None  # the timer that holds the watchdog; global so that it runs on at the prompt


class Watchdog:
    """Feeds a machine.WDT by reports, or by a timer while it is held. Tests pass a begin and a ticker of their own."""

    def __init__(self, begin=begin, ticker=ticker):
        self._begin = begin
        self._ticker = ticker
        self._wdt = None
        self._beside = None
        self._reported = 0

    def start(self):
        """Start the watchdog, held at first."""
        self.release()
        self._wdt = self._begin()
        self.hold()

    def hold(self, beside=None):
        """Feed it by a timer from now on, and call beside() as often. Does nothing before start()."""
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
        """End the holding: from now on it is fed by reports."""
        global _holder
        if _holder is not None:
            _holder.deinit()
            _holder = None
        self._reported = 0

    def during(self, function, *arguments):
        """Call the function and return its result, and hold the watchdog meanwhile. For functions that may block all
        tasks for more than eight seconds."""
        held = _holder is not None
        if not held:
            self.hold()
        try:
            return function(*arguments)
        finally:
            if not held:
                self.release()

    def report(self, who):
        """Report progress of SEAL or SERVE; when both did it is fed. This is Server's alive()."""
        self._reported |= 1 << who
        if self._reported == _ALL and self._wdt is not None:
            self._reported = 0
            self._wdt.feed()
