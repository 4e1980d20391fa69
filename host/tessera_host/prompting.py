"""Asking a person inside a command that runs an event loop: Ctrl-C ends it, as at any prompt.

An event loop takes Ctrl-C as a wish to end its task, and the task cannot end before the answer is typed.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[None]:
    """While somebody is asked, Ctrl-C raises KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)
