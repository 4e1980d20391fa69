"""What is shown while a board is worked on: bars on a terminal, plain lines otherwise, nothing with --json. On standard
error, so that standard output has the result only.
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Report(Protocol):
    """One line a step; a step may have a measure."""

    def step(self, text: str) -> None:
        """A new step begins."""

    def advance(self, done: int, total: int) -> None:
        """How far it has come."""

    def note(self, text: str) -> None:
        """Something to know that is no step."""

    def paused(self) -> AbstractContextManager[None]:
        """While it lasts, a question can be asked on the terminal."""


class Silent:
    """For --json and for tests."""

    def step(self, text: str) -> None:
        pass

    def advance(self, done: int, total: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()


class Lines:
    """For a log file or a pipe."""

    def step(self, text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    def advance(self, done: int, total: int) -> None:
        if done == total:
            print(f"    {done} of {total}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        print(f"  note: {text}", file=sys.stderr, flush=True)

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()


class Bars:
    """For a terminal; a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=self._console)
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()
        self._progress.stop()

    def step(self, text: str) -> None:
        self._finish()
        self._task = self._progress.add_task(text, total=None)

    def advance(self, done: int, total: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def note(self, text: str) -> None:
        self._progress.console.print(f"note: {text}", markup=False)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, total=1, completed=1)
            self._progress.stop_task(self._task)
