"""An event loop that wakes when something is due. Python's own on Linux waits for whole milliseconds from the moment it
begins to wait, so that an answer that is due at a fixed moment leaves the later, the longer the work before it took:
a POST would be told from a VOID by the clock of whoever sent it.

Owns that and nothing else. Elsewhere than on Linux it is Python's own loop, which waits as exactly as its system does.
"""

import asyncio
import ctypes
import os
import select
import selectors
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
_CLOCK_MONOTONIC = 1
_WHOLE_MS = 0.002  # that the wait in whole milliseconds is longer: it is there for what fails only


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """As asyncio.run()."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)


def new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "linux":
        return asyncio.SelectorEventLoop(_Selector())
    return asyncio.new_event_loop()


if sys.platform == "linux":

    class _Moment(ctypes.Structure):
        """timespec"""

        _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))

    class _Setting(ctypes.Structure):
        """itimerspec"""

        _fields_ = (("interval", _Moment), ("value", _Moment))

    class _Selector(selectors.EpollSelector):
        """It is woken by a timer of the system's that is as fine as its clock, timerfd_create(2)."""

        def __init__(self) -> None:
            super().__init__()
            libc = ctypes.CDLL(None, use_errno=True)
            self._timer = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
            if self._timer < 0:
                super().close()
                raise OSError(ctypes.get_errno(), "timerfd_create failed")
            self._set_time = libc.timerfd_settime
            self._setting = _Setting()
            self._set = False
            # Not registered as files are: nobody is told of it.
            self._selector.register(self._timer, select.EPOLLIN)  # type: ignore[attr-defined]

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0:
                self._wake_after(timeout)
                timeout += _WHOLE_MS
            elif timeout is None and self._set:
                self._wake_after(0)  # never
            return super().select(timeout)

        def _wake_after(self, seconds: float) -> None:
            whole = int(seconds)
            value = self._setting.value
            value.seconds, value.nanoseconds = whole, int((seconds - whole) * 1e9) + (seconds > 0)
            self._set = seconds > 0
            self._set_time(self._timer, 0, ctypes.byref(self._setting), None)

        def close(self) -> None:
            super().close()
            if self._timer >= 0:
                os.close(self._timer)
                self._timer = -1
