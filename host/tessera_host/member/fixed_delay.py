"""A fixed time between an answer and the frame after it, so that what a program does in between does not show.

Owns nothing but that time. Whoever uses it sees to it that the work is shorter.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

Sleep = Callable[[float], Awaitable[None]]


class FixedDelay:
    """A pause of fixed length: call `begin` when an answer came, and `await done()` before the next frame."""

    def __init__(
        self, seconds: float, monotonic: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._sleep = sleep
        self._end = 0.0

    def begin(self) -> None:
        """Start the pause."""
        self._end = self._monotonic() + self._seconds

    async def done(self) -> None:
        """Wait until the pause is over."""
        await self._sleep(max(0.0, self._end - self._monotonic()))
