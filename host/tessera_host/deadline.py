"""A limit of time for what a task does at its end, when it may have been cancelled.

`asyncio.timeout` is for everything else. Before Python 3.11.3 (Debian 12 has 3.11.2) a task that is being cancelled has
no TimeoutError from it but CancelledError (CPython issue 102780), so what is to be done after it would not be done.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def within(seconds: float, ending: Coroutine[Any, Any, T]) -> T:
    """What it returns or raises; TimeoutError if that takes longer, and then it is cancelled."""
    task = asyncio.ensure_future(ending)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()
