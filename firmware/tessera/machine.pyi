from array import array
from collections.abc import Callable
from typing import Any, Protocol

from .batch import Batch
from .server import Timing

class Served(Protocol):
    """A sealed batch as it is served."""

    count: int
    def fill(self, frame: Any, offset: int) -> int: ...

class Batches(Protocol):
    def get(self, bucket: int, round_: int, make: Callable[[], Batch]) -> Served: ...
    def clear(self) -> None: ...

class Commit(Protocol):
    async def wait(self) -> None: ...

class Commits(Protocol):
    def next(self) -> Commit: ...

class Machine:
    sessions: int
    surplus: int
    strangers: int
    patience_ms: int
    timing: Timing | None
    burst: int
    boot_erases: int
    window_erases: int
    fills: bool
    buckets: int
    cell_records: int | None
    cells: Callable[[int, array[int]], Any] | None
    batches: Batches | None
    commits: Commits | None
