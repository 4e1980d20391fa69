"""The board's time for programs on the host: what they wait for passes at once, what they do takes as long as it takes.

Owns the file that clock.mjs describes, from the host's side. Whoever reads the time here cannot be apart from the
board, however slow the computer is; whoever waits here says so, and the board's idle time passes meanwhile. Leaves to
others: how fast it passes otherwise (pace.mjs), and which programs live in it (hostprogram.py, the tests).
"""

import asyncio
import mmap
import selectors
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import monotonic_ns, sleep, time_ns
from typing import Any, TypeVar

FILE_BYTES = 24
NOW, OFF, UNTIL = 0, 8, 16
POLL_SECONDS = 0.005  # of this computer; a longer one costs time, a shorter one the processor
# How far the board may go until the one who waits has looked again. Who only sleeps misses nothing; who waits for an
# answer shares the way to the board with threads and processes that the computer lets run when it likes: so time passes
# four times as fast as the host's at most, and a limit of N seconds ends after 50 N looks at least.
SLEEP_NANOS = 200_000_000
ANSWER_NANOS = 20_000_000

Found = TypeVar("Found")


class Clock:
    """A file that a board is given as its clock, by one board at a time. It goes on with this computer while none is
    on."""

    def __init__(self, path: Path, unix_nanos: int | None = None) -> None:
        """Made, with this time (or this computer's), if it is not there."""
        self.path = path
        if not path.exists():
            start = time_ns() if unix_nanos is None else unix_nanos
            path.write_bytes(struct.pack("<3q", start, monotonic_ns(), 0))
        with path.open("r+b") as file:
            self._words = mmap.mmap(file.fileno(), FILE_BYTES)

    def nanos(self) -> int:
        """Nanoseconds since 1970."""
        while True:
            off, now = self._read(OFF), self._read(NOW)
            if off == self._read(OFF):  # else the board went on or off between the two
                return now + monotonic_ns() - off if off else now

    def seconds(self) -> float:
        return self.nanos() / 1e9

    def unix(self) -> int:
        """Whole seconds, as tessera_host.clock has them."""
        return self.nanos() // 10**9

    def switched_off(self) -> None:
        """A board that was killed could not say so."""
        if not self._read(OFF):
            self._write(OFF, monotonic_ns())

    def sleep(self, seconds: float) -> None:
        self.wait_for(sleep, seconds, SLEEP_NANOS)

    def run(self, coroutine: Coroutine[Any, Any, Found]) -> Found:
        """What asyncio.run() does, in this time."""
        with asyncio.Runner(loop_factory=lambda: EventLoop(self)) as runner:
            return runner.run(coroutine)

    def wait_for(
        self, look: Callable[[float], Found | None], seconds: float | None, stride_nanos: int = ANSWER_NANOS
    ) -> Found | None:
        """What look(POLL_SECONDS of this computer to wait for it) finds, asked again and again; None if it found
        nothing in so many seconds. Who waits for ever (None) waits for no time to pass."""
        end = None if seconds is None else self.nanos() + int(1e9 * max(0.0, seconds))
        if (found := look(0)) is not None:
            return found
        try:
            while end is None or self.nanos() < end:
                if end is not None:
                    self._write(UNTIL, min(self.nanos() + stride_nanos, end))
                if (found := look(POLL_SECONDS)) is not None:
                    return found
            return look(0)
        finally:
            self._write(UNTIL, 0)

    def _read(self, at: int) -> int:
        return int(struct.unpack_from("<q", self._words, at)[0])

    def _write(self, at: int, value: int) -> None:
        struct.pack_into("<q", self._words, at, value)


class _Selector(selectors.DefaultSelector):
    """Waits for sockets in the board's time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        wait = super().select
        return self._clock.wait_for(lambda real: wait(real) or None, timeout) or []


class EventLoop(asyncio.SelectorEventLoop):
    """Sleeps and timeouts of asyncio, in the board's time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(_Selector(clock))
        self._clock = clock

    def time(self) -> float:
        return self._clock.seconds()


class EventLoopPolicy(asyncio.DefaultEventLoopPolicy):
    """Makes such loops."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def new_event_loop(self) -> EventLoop:
        return EventLoop(self._clock)
