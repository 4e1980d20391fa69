"""One member shared by tasks: held while one of them needs it, free otherwise, whoever is cancelled when."""

import asyncio
import random
import time
from typing import Any

import pytest

from tessera_host.errors import KeystoreError
from tessera_host.member.sharing import SharedMember


class FakeMember:
    """A keystore that takes its time to be had, and notices misuse."""

    def __init__(self) -> None:
        self.is_held = True
        self.taken = 0
        self.delay = 0.0
        self.refuse = False

    def reacquire(self) -> None:
        time.sleep(self.delay)
        if self.refuse:
            raise KeystoreError("in use by another process", "wait")
        assert not self.is_held, "taken twice"
        self.is_held = True
        self.taken += 1

    def release(self) -> None:
        self.is_held = False

    close = release


def made() -> tuple[FakeMember, SharedMember]:
    member: Any = FakeMember()
    return member, SharedMember(member)


async def test_it_is_free_at_first_held_inside_and_free_afterwards() -> None:
    member, shared = made()
    assert not member.is_held
    async with shared.held():
        assert member.is_held
        async with shared.held():
            assert member.is_held
        assert member.is_held
    assert (member.is_held, member.taken) == (False, 1)


async def test_a_refusal_leaves_nothing_held() -> None:
    member, shared = made()
    member.refuse = True
    with pytest.raises(KeystoreError):
        async with shared.held():
            pass
    member.refuse = False
    async with shared.held():
        assert member.is_held


async def test_who_is_cancelled_while_waiting_leaves_it_free_for_the_next() -> None:
    member, shared = made()
    member.delay = 0.05

    async def hold() -> None:
        async with shared.held():
            pytest.fail("was cancelled before")

    waiting = asyncio.create_task(hold())
    await asyncio.sleep(0.01)
    waiting.cancel()
    async with shared.held():
        await asyncio.sleep(0.02)
        assert member.is_held
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not member.is_held


async def test_closing_waits_for_who_is_about_to_take_it() -> None:
    member, shared = made()
    member.delay = 0.05

    async def hold() -> None:
        async with shared.held():
            pass

    taking = asyncio.create_task(hold())
    await asyncio.sleep(0)
    await shared.close()
    assert member.taken == 1
    await taking
    assert not member.is_held


@pytest.mark.parametrize("seed", range(8))
async def test_whoever_is_cancelled_when_holders_hold_and_the_end_is_free(seed: int) -> None:
    member, shared = made()
    dice = random.Random(seed)

    async def work() -> None:
        for _ in range(3):
            async with shared.held():
                assert member.is_held
                await asyncio.sleep(dice.random() / 200)
                assert member.is_held
            await asyncio.sleep(dice.random() / 200)

    tasks = [asyncio.create_task(work()) for _ in range(8)]
    for task in tasks[::2]:
        member.delay = dice.random() / 300
        await asyncio.sleep(dice.random() / 200)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
    assert not member.is_held
