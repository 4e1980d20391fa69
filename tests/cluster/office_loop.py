"""An event loop in which time passes by waiting, and stands still while anybody waits for an answer from a relay.

The relays are processes: they look at the time in a file. Where a round ends, time waits until each of them has seen
that. So a day takes as long as the computer needs for it, and nothing depends on how long that is.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_SECONDS
from tests.support.virtual_time import NothingToWaitFor

_LOOK_SECONDS = 0.002  # of ours


class OfficeLoop(asyncio.SelectorEventLoop):
    """Begins at a moment (unix seconds), which a round begins with. `waiting`: how many wait for an answer. `path`: of
    the file with the time; `seen`: what relays that run have seen of it, in milliseconds."""

    def __init__(self, path: Path, begin: int, round_seconds: int) -> None:
        self.waiting = 0
        self.seen: Callable[[], Iterable[int]] = lambda: ()
        self._now = float(begin)
        self._begin, self._round_seconds = begin, round_seconds
        path.write_bytes(bytes(8))
        self._file = path.open("r+b", buffering=0)
        self._write()
        super().__init__(_Selector(self))
        self._clock_resolution = 1e-6

    def close(self) -> None:
        super().close()
        self._file.close()

    def time(self) -> float:
        return self._now

    def unix(self) -> int:
        return int(self._now)

    def round(self) -> int:
        return int(self._now - self._begin) // self._round_seconds

    def start_of(self, round_: int) -> float:
        return float(self._begin + round_ * self._round_seconds)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *arguments: Any) -> Any:
        """No thread: nothing is to go on while time stands still."""
        future = self.create_future()
        try:
            future.set_result(func(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def pass_time(self, seconds: float) -> None:
        """At most to the end of the round."""
        end = self.start_of(self.round() + 1)
        if self._now + seconds < end:
            self._now += seconds
            self._write()
            return
        self._now = end
        self._write()
        self._until_seen(int(1000 * end))

    def _write(self) -> None:
        self._file.seek(0)
        self._file.write(int(1000 * self._now).to_bytes(8, "little"))

    def _until_seen(self, milliseconds: int) -> None:
        for _ in range(int(PATIENCE_SECONDS / _LOOK_SECONDS)):
            if all(seen >= milliseconds for seen in self.seen()):
                return
            time.sleep(_LOOK_SECONDS)
        raise AssertionError("a relay does not look at its clock")


class _Selector(selectors.DefaultSelector):  # type: ignore[valid-type, misc]
    """Where the loop would wait, time passes, unless an answer is on its way."""

    def __init__(self, loop: OfficeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return list(found)
        if self._loop.waiting:
            found = super().select(PATIENCE_SECONDS)
            assert found, "an answer does not come"
            return list(found)
        if timeout is None:
            raise NothingToWaitFor("every task waits for another one")
        self._loop.pass_time(timeout)
        return []
