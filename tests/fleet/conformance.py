"""What every back end of the log promises, whichever engine keeps it; log.Log says it in words.

A back end's file has a class of its own, derived from Conformance, and a fixture `engine` that says how a log of it is
opened (again) and killed. A third back end needs no more than that.
"""

import asyncio
import contextlib
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tessera_host.fleet.log import ID_BYTES, MOST_ENTRY_BYTES, Entry, Log, LogBroken, LogRefused, LogUnavailable
from tests.fleet.logs import RELAY, entry_of, id_of, open_log, read, read_all

ROOT = Path(__file__).resolve().parents[2]
MANY_AND_LARGE = 40
KILLED_AFTER = 100  # acknowledged entries


class Engine(ABC):
    """One engine with one log, which is empty at first."""

    @abstractmethod
    def said(self, relay: bytes = RELAY) -> str:
        """The log, for open_log(), as the relay with this static key wants it."""

    async def open(self, said: str = "") -> Log:
        """As said(), or in another way."""
        return await open_log(said or self.said())


@contextlib.asynccontextmanager
async def opened(engine: Engine, said: str = "") -> AsyncIterator[Log]:
    log = await engine.open(said)
    try:
        yield log
    finally:
        await log.close()


async def fill_at_once(log: Log, first: int, behind: int) -> None:
    await asyncio.gather(*(log.append(entry_of(number), id_of(number)) for number in range(first, behind)))


async def fill(log: Log, first: int, behind: int) -> None:
    """One after the other."""
    for number in range(first, behind):
        await log.append(entry_of(number), id_of(number))


def numbered(first: int, behind: int) -> list[Entry]:
    """What fill() leaves in a log that was empty."""
    return [Entry(1 + number, id_of(number), entry_of(number)) for number in range(first, behind)]


async def _read_until(entries: AsyncIterator[Entry], position: int) -> None:
    async for entry in entries:
        if entry.position == position:
            return


class Conformance:
    # -- order

    async def test_log_that_is_new_is_empty(self, engine: Engine) -> None:
        async with opened(engine) as log:
            assert await log.last() == 0
            assert await read_all(log) == []

    async def test_entries_come_back_in_order_from_any_position(self, engine: Engine) -> None:
        async with opened(engine) as log:
            await fill(log, 0, 9)
            assert await log.last() == 9
            for position in (0, 1, 2, 9):
                assert await read(log, position, 10 - max(position, 1)) == numbered(max(position, 1) - 1, 9)

    async def test_entries_outlive_the_client(self, engine: Engine) -> None:
        async with opened(engine) as log:
            await fill(log, 0, 3)
        async with opened(engine) as log:
            await fill(log, 3, 5)
            assert await read_all(log) == numbered(0, 5)

    async def test_follower_is_handed_what_comes_later(self, engine: Engine) -> None:
        async with opened(engine) as log:
            await fill(log, 0, 2)
            early, late = (asyncio.create_task(read(log, position, 5)) for position in (1, 3))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(early), 0.1)
            await fill(log, 2, 7)
            assert await early == numbered(0, 5)
            assert await late == numbered(2, 7)

    async def test_many_at_once_have_one_order_for_all_followers(self, engine: Engine) -> None:
        async with opened(engine) as log:
            reads = [asyncio.create_task(read(log, 1, 300)) for _ in range(2)]
            await fill_at_once(log, 0, 300)
            first, second = await asyncio.gather(*reads)
            assert first == second == await read_all(log)
            assert [entry.position for entry in first] == list(range(1, 301))
            assert {entry.id for entry in first} == set(map(id_of, range(300)))
            assert all(entry.entry == entry_of(int.from_bytes(entry.id, "big")) for entry in first)

    # -- ids

    async def test_the_same_id_again_means_nothing_new(self, engine: Engine) -> None:
        async with opened(engine) as log:
            await fill(log, 0, 3)
            await fill(log, 0, 3)
            await log.append(b"something else", id_of(1))
            assert await read_all(log) == numbered(0, 3)
        async with opened(engine) as log:
            await fill(log, 0, 4)
            assert await read_all(log) == numbered(0, 4)

    async def test_the_same_id_at_once_is_appended_once(self, engine: Engine) -> None:
        async with opened(engine) as log:
            await asyncio.gather(*(log.append(entry_of(0), id_of(0)) for _ in range(10)))
            await fill(log, 1, 2)
            assert await read_all(log) == numbered(0, 2)

    async def test_append_that_was_cancelled_can_be_tried_again(self, engine: Engine) -> None:
        async with opened(engine) as log:
            for number in range(20):
                appending = asyncio.create_task(log.append(entry_of(number), id_of(number)))
                for _ in range(number % 5):
                    await asyncio.sleep(0)
                appending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await appending
                await log.append(entry_of(number), id_of(number))
            assert await read_all(log) == numbered(0, 20)

    # -- sizes

    async def test_the_largest_entry_is_kept_and_a_larger_one_refused(self, engine: Engine) -> None:
        async with opened(engine) as log:
            large = bytes(range(256)) * (MOST_ENTRY_BYTES // 256)
            await log.append(large, id_of(0))
            assert await read_all(log) == [Entry(1, id_of(0), large)]
            for entry, id in ((large + b"x", id_of(1)), (b"", id_of(1)), (b"x", bytes(ID_BYTES - 1))):
                with pytest.raises(ValueError, match="an entry has"):
                    await log.append(entry, id)
            assert await log.last() == 1

    # -- trimming, and what is lost

    async def test_what_is_trimmed_is_passed_over_and_positions_go_on(self, engine: Engine) -> None:
        async with opened(engine) as log:
            await fill(log, 0, 5)
            for before in (0, 1, 4, 4):
                await log.trim(before)
            assert await log.last() == 5
            assert await read(log, 1, 2) == numbered(3, 5)
            with pytest.raises(ValueError, match="not there yet"):
                await log.trim(7)
            await log.trim(6)
            assert await log.last() == 5
        async with opened(engine) as log:
            assert await log.last() == 5
            await fill(log, 5, 6)
            assert await read(log, 1, 1) == numbered(5, 6)

    async def test_follower_whose_next_entry_was_trimmed_is_told(self, engine: Engine) -> None:
        """More than an engine sends ahead is trimmed while the follower looks at one entry."""
        async with opened(engine) as log:
            for number in range(MANY_AND_LARGE):
                await log.append(bytes(MOST_ENTRY_BYTES // 2), id_of(number))
            async with contextlib.aclosing(log.follow(1)) as entries:
                await anext(entries)
                await log.trim(MANY_AND_LARGE + 1)
                await fill(log, MANY_AND_LARGE, MANY_AND_LARGE + 1)
                with pytest.raises(LogBroken, match=f"begins at {MANY_AND_LARGE + 1}, and .* trimmed too early"):
                    await _read_until(entries, MANY_AND_LARGE + 1)

    async def test_log_that_ends_before_what_was_read_is_broken(self, engine: Engine, short_patience: None) -> None:
        async with opened(engine) as log:
            await fill(log, 0, 3)
            waiting = asyncio.create_task(read(log, 4, 1))
            with pytest.raises(LogBroken, match="ends at 3, and 4 was in it"):
                await read(log, 5, 1)
            await fill(log, 3, 4)
            assert await waiting == numbered(3, 4)

    # -- whose it is, and its end

    async def test_log_of_another_relay_is_refused(self, engine: Engine) -> None:
        async with opened(engine) as log:
            await fill(log, 0, 1)
        with pytest.raises(LogRefused, match="of another relay") as refused:
            await open_log(engine.said(bytes(33)))
        assert refused.value.hint
        async with opened(engine) as log:
            assert await read_all(log) == numbered(0, 1)

    async def test_log_that_is_closed_says_so(self, engine: Engine) -> None:
        log = await engine.open()
        await fill(log, 0, 1)
        waiting = asyncio.create_task(read(log, 1, 2))
        assert await read(log, 1, 1) == numbered(0, 1)
        await log.close()
        for what in (waiting, log.append(entry_of(1), id_of(1)), read(log, 1, 1)):
            with pytest.raises(LogUnavailable, match="closed"):
                await what
        await log.close()

    # -- kill -9

    async def test_nothing_acknowledged_is_lost_when_the_client_is_killed(self, engine: Engine) -> None:
        acknowledged: set[int] = set()
        for _ in range(3):
            said = engine.said()
            command = (sys.executable, "-m", "tests.fleet.appender", said, str(max(acknowledged, default=-1) + 1))
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as client:
                assert client.stdout
                for line, _ in zip(client.stdout, range(KILLED_AFTER), strict=False):
                    acknowledged.add(int(line))
                client.kill()
                acknowledged |= {int(line) for line in client.stdout if line.endswith(b"\n")}
            async with opened(engine) as log:
                found = await read_all(log)
                assert [entry.position for entry in found] == list(range(1, len(found) + 1))
                ids = [entry.id for entry in found]
                assert len(ids) == len(set(ids))
                assert set(map(id_of, acknowledged)) <= set(ids)
                assert all(entry.entry == entry_of(int.from_bytes(entry.id, "big")) for entry in found)
                # Whoever does not know what became of an entry sends it again.
                await fill_at_once(log, max(0, max(acknowledged) - 20), max(acknowledged) + 20)
                again = [entry.id for entry in await read_all(log)]
                assert len(again) == len(set(again))
                acknowledged |= set(range(max(acknowledged) + 20))
                assert set(map(id_of, acknowledged)) <= set(again)
