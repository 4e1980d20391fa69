"""A share of a processor for each of some programs, so that programs which share this computer are as slow as on small
hosts of their own.

Owns Linux's control groups for it, version 1 and 2. Only root can make them; is_possible() says whether they are here.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_ROOTS = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")  # of version 1, and of version 2
_NAME = "tessera-bench"
_PERIOD_US = 10_000  # short, so that a pause is no longer than a tick of a gateway


def is_possible() -> bool:
    root = _root()
    return root is not None and os.access(root, os.W_OK)


@contextmanager
def of_a_processor(share: float, processes: Sequence[int]) -> Iterator[None]:
    """A block in which each of these processes (by pid) has this share of one processor at most. Raises OSError."""
    root = _root()
    assert root is not None
    groups = []
    try:
        for pid in processes:
            group = root / f"{_NAME}-{pid}"
            group.mkdir()
            groups.append(group)
            _limit(group, share)
            (group / "cgroup.procs").write_text(f"{pid}\n")
        yield
    finally:
        for pid, group in zip(processes, groups, strict=False):
            if Path(f"/proc/{pid}").exists():
                (root / "cgroup.procs").write_text(f"{pid}\n")
            group.rmdir()


def _root() -> Path | None:
    first, second = _ROOTS
    if (first / "cgroup.procs").exists():
        return first
    controllers = second / "cgroup.controllers"
    return second if controllers.exists() and "cpu" in controllers.read_text().split() else None


def _limit(group: Path, share: float) -> None:
    microseconds = round(share * _PERIOD_US)
    if group.parent == _ROOTS[0]:
        (group / "cpu.cfs_period_us").write_text(f"{_PERIOD_US}\n")
        (group / "cpu.cfs_quota_us").write_text(f"{microseconds}\n")
    else:
        (group.parent / "cgroup.subtree_control").write_text("+cpu\n")
        (group / "cpu.max").write_text(f"{microseconds} {_PERIOD_US}\n")
