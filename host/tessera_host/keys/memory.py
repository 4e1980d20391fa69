"""What others on this computer could see of a process that holds keys in its memory: kept from them."""

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def keep_out_of_dumps() -> None:
    """Forbid core dumps of this process, and other processes to read its memory, where the system can do that. For
    programs that hold keys for longer than a command takes."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
