from array import array
from collections.abc import Callable
from typing import Any, Protocol

from .batch import Batch
from .server import Timing

class _Served(Protocol):
    """A sealed batch as it is served."""

    count: int
    def fill(self, frame: Any, offset: int) -> int: ...

class _Batches(Protocol):
    def get(self, bucket: int, round_: int, make: Callable[[], Batch]) -> _Served: ...
    def clear(self) -> None: ...

class _Commit(Protocol):
    @property
    def over(self) -> bool: ...
    async def wait(self) -> None: ...

class _Commits(Protocol):
    def next(self) -> _Commit: ...

class Machine:
    sessions: int
    surplus: int
    strangers: int
    patience_ms: int
    timing: Timing | None
    burst: int
    boot_erases: int
    window_erases: int
    erases_at_once: bool
    fills: bool
    buckets: int
    cell_records: int | None
    tables: int | None
    cells: Callable[[int, array[int]], Any] | None
    batches: _Batches | None
    commits: _Commits | None
