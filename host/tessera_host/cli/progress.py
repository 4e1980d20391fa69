"""Progress on a terminal, and silence elsewhere: of the parts of a message, of the outbox, of rounds to catch up with.

Owns the bars, and the line that names a relay that is waited for. What moves them is told by the client. They are on
standard error: standard output is for results.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from .. import duration
from ..agent.client import SendProgress
from ..member import fetching
from ..member.history import Sent
from ..member.pacing import DAY, Wait
from ..member.sending import Copied, Posted

_FEW_ROUNDS = 32  # less than this is read before a bar would be seen
_ERRORS = Console(stderr=True, highlight=False)


class _Countdown(ProgressColumn):
    """ "next in 4 min", from the field `until` of a task."""

    def render(self, task: Task) -> Text:
        until = task.fields.get("until")
        return Text(f"next in {duration.about(until - time.monotonic())}" if until else "")


def slow(relay: str, console: Console = _ERRORS) -> None:
    """Somebody waits for a relay; above the bar, if there is one."""
    if console.is_terminal:
        console.print(f"Waiting for the relay {relay}, a minute at most.", markup=False, soft_wrap=True)


@contextmanager
def of_parts(sent: Sent, console: Console | None = None) -> Iterator[SendProgress]:
    """A bar over the parts of a message that leave one a round; none for a single part that leaves at once."""
    with _bar("part 0 of", sent.parts, console) as (progress, task):
        yield _telling(progress, task, lambda done: f"part {done} of {sent.parts} posted")


@contextmanager
def of_outbox(waiting: int, console: Console | None = None) -> Iterator[SendProgress]:
    with _bar("outbox", max(1, waiting), console) as (progress, task):
        yield _telling(progress, task, lambda done: f"{done} of {waiting} posted", Copied)


@contextmanager
def of_rounds(console: Console | None = None) -> Iterator[fetching.Progress]:
    """A bar over the rounds since the last fetch, if these are many."""
    with _bar("reading rounds", 1, console, visible=False) as (progress, task):

        def told(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=total > _FEW_ROUNDS)

        yield told


@contextmanager
def _bar(
    description: str, total: int, console: Console | None, visible: bool = True
) -> Iterator[tuple[Progress, TaskID]]:
    console = console or _ERRORS
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), _Countdown())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task(description, total=total, visible=visible, until=None)


def _telling(
    progress: Progress, task: TaskID, words: Callable[[int], str], counted: type[Posted | Copied] = Posted
) -> SendProgress:
    done = 0

    def told(step: Posted | Copied | Wait) -> None:
        nonlocal done
        if isinstance(step, Posted | counted):
            done += 1
            progress.update(task, completed=done, description=words(done), until=None)
        elif isinstance(step, Wait) and step.reason != DAY and step.seconds:
            progress.update(task, until=time.monotonic() + step.seconds)

    return told
