"""What a task does at its end has a limit of time, whether the task was cancelled or not."""

import asyncio

import pytest

from tessera_host.deadline import within


async def _waits_for_ever(told: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        told.append("cancelled")
        raise


async def _ends(told: list[str], limit: float) -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        try:
            await within(limit, _waits_for_ever(told))
        except TimeoutError:
            told.append("too long")


async def test_what_it_returns_or_raises_comes_out() -> None:
    async def returns() -> int:
        return 7

    async def raises() -> None:
        raise OSError("gone")

    assert await within(3600, returns()) == 7
    with pytest.raises(OSError, match="gone"):
        await within(3600, raises())


async def test_who_is_cancelled_gives_up_waiting_at_its_end_and_goes_on() -> None:
    told: list[str] = []
    task = asyncio.create_task(_ends(told, 0.01))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(told) == ["cancelled", "too long"]


async def test_who_is_cancelled_again_cancels_what_it_waits_for() -> None:
    told: list[str] = []
    task = asyncio.create_task(_ends(told, 3600))
    for _ in range(2):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["cancelled"]
