"""Work that waits for a disk or a lock, in a thread of its own: nobody who asked for it leaves it behind.

A thread cannot be cancelled, so a task that is gives up only once its thread has ended: a keystore that the task's
successor takes is then no thread's any more. What nobody else touches may go to `asyncio.to_thread` as well.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def finished(work: Callable[[], Result], undo: Callable[[Result], object] | None = None) -> Result:
    """Run `work` in a thread, and return or raise what it does. A caller that is cancelled meanwhile waits for its end,
    too, and is cancelled then: `undo` gets what `work` returned and nobody will have."""
    running = asyncio.get_running_loop().run_in_executor(None, work)  # a future: the end of a program cancels tasks
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({running})
        if running.exception() is None and undo:
            undo(running.result())
        raise
