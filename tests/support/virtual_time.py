"""An event loop whose time passes only by waiting: years of programs that sleep go by in minutes.

Owns the loop's time, and sees that nothing happens outside it: work for a thread is done at once, and a loop with
nothing left to wait for raises an error instead of standing still. Its user decides what date it is.
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

_RESOLUTION_SECONDS = 1e-6


class NothingToWaitFor(Exception):
    """Every task waits for another: time would stand still for ever."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Begins at 0 seconds."""

    def __init__(self) -> None:
        self._seconds = 0.0
        super().__init__(_Selector(self))
        self._clock_resolution = _RESOLUTION_SECONDS

    def time(self) -> float:
        return self._seconds

    def pass_time(self, seconds: float) -> None:
        self._seconds += seconds

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *arguments: Any) -> Any:
        """No thread: nothing is to go on while the loop's time stands still."""
        future = self.create_future()
        try:
            future.set_result(func(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


class _Selector(selectors.DefaultSelector):  # type: ignore[valid-type, misc]
    """Where the loop would wait for files, time passes."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise NothingToWaitFor("every task waits for another one")
        if timeout > 0:
            self._loop.pass_time(timeout)
        return []
