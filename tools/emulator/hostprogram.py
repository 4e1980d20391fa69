"""A Python program of the host in the time of an emulated board: what it sleeps, waits and reads the time by.

    python -m tools.emulator.hostprogram CLOCK module [argument ...]

For tests: no program of the product takes its time from elsewhere than the computer. The module must not be imported
before, as a name that it took from `time` would stay.
"""

import asyncio
import runpy
import select
import sys
import time
from pathlib import Path
from typing import Any

from tools.emulator.clock import Clock, EventLoopPolicy

_select = select.select


def live_in(clock: Clock) -> None:
    """From now on this process has the board's time."""

    def select_in_time(
        reading: Any, writing: Any, failing: Any, timeout: float | None = None
    ) -> tuple[list[Any], list[Any], list[Any]]:
        def look(real: float) -> tuple[list[Any], list[Any], list[Any]] | None:
            found = _select(reading, writing, failing, real)
            return found if any(found) else None

        return clock.wait_for(look, timeout) or ([], [], [])

    time.time, time.time_ns = clock.seconds, clock.nanos
    time.monotonic, time.monotonic_ns = clock.seconds, clock.nanos
    time.sleep = clock.sleep  # type: ignore[assignment]
    select.select = select_in_time
    asyncio.set_event_loop_policy(EventLoopPolicy(clock))


if __name__ == "__main__":
    live_in(Clock(Path(sys.argv[1])))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
