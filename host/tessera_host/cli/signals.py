"""How a program that serves until it is stopped hears that it is."""

import asyncio
import contextlib
import signal
from collections.abc import Callable


def stopped_by_signals(stop: Callable[[], object], *besides: str) -> None:
    """Call it at SIGINT and SIGTERM, and at what is named besides. On Windows only Ctrl-C ends a program: it cancels
    what `asyncio.run` runs."""
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", *besides):
        with contextlib.suppress(NotImplementedError, AttributeError):
            loop.add_signal_handler(getattr(signal, name), stop)
