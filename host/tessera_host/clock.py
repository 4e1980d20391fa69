"""The time of day as the rest of the package sees it: whole unix seconds, from a function that tests replace."""

import time
from collections.abc import Callable

Clock = Callable[[], int]


def unix_now() -> int:
    return int(time.time())
