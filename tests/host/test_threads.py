"""Work in a thread: whoever is cancelled has left none behind when it ends."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from tessera_host.threads import finished
from tests.patience import PATIENCE_SECONDS


class Work:
    """Goes on until it is let go."""

    def __init__(self, fails: bool = False) -> None:
        self.begun, self.go, self.ended = threading.Event(), threading.Event(), threading.Event()
        self._fails = fails

    def __call__(self) -> str:
        self.begun.set()
        assert self.go.wait(PATIENCE_SECONDS)
        self.ended.set()
        if self._fails:
            raise OSError("no disk")
        return "done"

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, PATIENCE_SECONDS)


async def test_it_gives_what_the_work_gives_and_raises_what_it_raises() -> None:
    for fails in (False, True):
        work = Work(fails)
        work.go.set()
        if fails:
            with pytest.raises(OSError, match="no disk"):
                await finished(work)
        else:
            assert await finished(work) == "done"


@pytest.mark.parametrize("fails", [False, True])
async def test_who_is_cancelled_again_and_again_ends_after_the_thread(fails: bool) -> None:
    work, undone = Work(fails), []
    task = asyncio.create_task(finished(work, undo=undone.append))
    await work.until_begun()
    for _ in range(3):
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
    assert not task.done()
    work.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.ended.is_set()
    assert undone == ([] if fails else ["done"])


def test_a_program_that_ends_waits_for_the_thread_too() -> None:
    """`asyncio.run` cancels every task that there is, those that nobody waits for among them."""
    work, undone = Work(), []

    async def main() -> None:
        task = asyncio.create_task(finished(work, undo=undone.append))
        await work.until_begun()
        _later(work.go.set)
        assert not task.done()

    asyncio.run(main())
    assert work.ended.is_set() and undone == ["done"]


def _later(call: Callable[[], None]) -> None:
    """While the program is on its way out."""
    threading.Timer(0.1, call).start()
