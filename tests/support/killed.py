"""Kills a process at the n-th statement of its keystore's database.

Owns how the statements are counted. A system call that has ended survives the process, so the states of the disk
between two statements are all that a kill can leave. Power cuts are covered by SQLite and its own tests.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

from tessera_host.keys.keystore_database import KeystoreDatabase


def killed_at(statement: int, work: Callable[[], Any]) -> bool:
    """Do the work in a process of its own that is killed before it runs a statement, the 0th, 1st, …; whether it was
    killed, and did not come to its end before. What the work raises ends it."""
    child = os.fork()
    if child == 0:
        run, count = KeystoreDatabase._run, iter(range(1 << 30))

        def counted(self: KeystoreDatabase, *arguments: Any) -> Any:
            if next(count) == statement:
                os.kill(os.getpid(), signal.SIGKILL)
            return run(self, *arguments)

        KeystoreDatabase._run = counted  # type: ignore[method-assign]
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
