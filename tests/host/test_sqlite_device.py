"""Flash in an SQLite database: what is durable when, what one commit takes with it and what is left when that fails;
what was erased is in none of its files, and they are their owner's.
"""

import asyncio
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tessera import nor
from ramdevice import RamDevice
from tessera.nor import BLANK_PAGE, PAGE_BYTES, SECTOR_BYTES
from tessera_host.relay import sqlite_device
from tessera_host.relay.sqlite_device import Database, SqliteDevice

SECRET = b"a page key that is to be gone..." * 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "storage.sqlite"


def everything(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize("together", [False, True])
def test_what_was_erased_is_nowhere(path: Path, together: bool) -> None:
    database = Database(path)
    device = database.region("keys", 4)
    device.writeblocks(1, SECRET, 0)
    nor.sync(device)
    assert SECRET in everything(path)
    if together:
        with database.held():
            nor.erase(device, 1)
    else:
        nor.erase(device, 1)
        nor.sync(device)
    assert SECRET not in everything(path)
    assert nor.is_blank(device, 1)
    database.close()


def test_sync_is_understood_and_every_file_is_its_owners(path: Path) -> None:
    database = Database(path)
    device = database.region("keys", 4)
    device.writeblocks(0, bytes(SECTOR_BYTES), 0)
    nor.sync(device)
    assert len(list(path.parent.iterdir())) > 1
    assert not any(file.stat().st_mode & 0o077 for file in path.parent.iterdir())
    database.close()


def on_disk(path: Path) -> dict[tuple[str, int], bytes]:
    """What another program finds in the file now: what a stop at this moment leaves."""
    connection = sqlite3.connect(path)
    try:
        return {(region, number): data for region, number, data in connection.execute("SELECT * FROM page")}
    finally:
        connection.close()


def programmed(number: int) -> bytes:
    return bytes([number]) * PAGE_BYTES


def test_what_was_programmed_is_on_the_disk_when_a_sync_returns(path: Path) -> None:
    """In this mode of SQLite the log of changes is written before a change counts, and synced at each (2: FULL)."""
    database = Database(path)
    asked = ("journal_mode", "synchronous", "secure_delete")
    found = [database._writer.execute(f"PRAGMA {name}").fetchone()[0] for name in asked]
    assert found == ["wal", 2, 1]
    device = database.region("keys", 4)
    device.writeblocks(0, programmed(1), 0)
    assert read(device, 0) == programmed(1)
    nor.sync(device)
    assert on_disk(path) == {("keys", 0): programmed(1)}
    database.close()


def read(device: SqliteDevice, number: int) -> bytes:
    page = bytearray(PAGE_BYTES)
    device.readblocks(number // 16, page, number % 16 * PAGE_BYTES)
    return bytes(page)


def test_a_device_is_flash_whatever_was_made_durable_and_when(path: Path) -> None:
    dice = random.Random(18)
    database, model = Database(path), RamDevice(8)
    device = database.region("ring", 8)
    other = database.region("keys", 8)
    other.writeblocks(3, programmed(7), 0)
    for step in range(1200):
        page = dice.randrange(128)
        what = dice.randrange(12)
        if what < 6:
            data = dice.randbytes(PAGE_BYTES)
            for each in (device, model):
                each.writeblocks(page // 16, data, page % 16 * PAGE_BYTES)
        elif what < 8:
            for each in (device, model):
                nor.erase(each, page // 16)
        elif what == 8:
            nor.sync(device)
        elif what == 9 and step % 5 == 0:
            with database.held():
                nor.erase(device, 0)
            nor.erase(model, 0)
        elif what == 10 and step % 20 == 0:
            nor.sync(device)
            database.close()
            database = Database(path)
            device = database.region("ring", 8)
        found = bytearray(600)
        device.readblocks(page // 16, found, 100)
        assert found == model.get(page // 16 * SECTOR_BYTES + 100, 600), step
    nor.sync(device)
    whole = model.get(0, 8 * SECTOR_BYTES)
    kept = {number: data for (region, number), data in on_disk(path).items() if region == "ring"}
    for number in range(128):
        assert kept.get(number, BLANK_PAGE) == whole[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]
    assert set(device.programmed()) == set(kept)
    assert on_disk(path)["keys", 48] == programmed(7)
    database.close()


async def answered(database: Database, device: SqliteDevice, number: int | None) -> None:
    """As a server does: write, if there is something to be written, and wait for the commit."""
    if number is not None:
        with database.deferred():
            device.writeblocks(0, programmed(number), number * PAGE_BYTES)
            nor.sync(device)
    await database.next().wait()
    if number is not None:
        assert read(device, number) == programmed(number)


async def test_the_answers_of_a_tick_wait_for_one_commit_which_has_all_of_them(path: Path) -> None:
    database = Database(path)
    device = database.region("ring", 4)
    tasks = [asyncio.create_task(answered(database, device, number)) for number in range(10)]
    await asyncio.sleep(0)
    assert on_disk(path) == {} and [read(device, number) for number in range(10)] == [*map(programmed, range(10))]
    await asyncio.gather(*tasks)
    assert on_disk(path) == {("ring", number): programmed(number) for number in range(10)}
    assert database.commits == 1
    database.close()


async def test_answers_for_which_nothing_is_stored_wait_as_long_and_have_as_much_written_for_them(path: Path) -> None:
    written = []
    for stored in (3, 1, 0):
        database = Database(path.with_name(f"{stored}.sqlite"))
        device = database.region("ring", 4)
        await asyncio.gather(*(answered(database, device, number if number < stored else None) for number in range(3)))
        written.append(sum(len(data) for data in on_disk(path.with_name(f"{stored}.sqlite")).values()))
        assert database.commits == 1
        database.close()
    assert written == [3 * PAGE_BYTES] * 3


async def test_a_seal_in_the_middle_of_a_commit_finds_its_pages_and_both_are_durable(path: Path) -> None:
    database = Database(path)
    device = database.region("ring", 4)
    tasks = [asyncio.create_task(answered(database, device, number)) for number in range(3)]
    while database._running is None:
        await asyncio.sleep(0)
    assert [read(device, number) for number in range(4)] == [*map(programmed, range(3)), BLANK_PAGE]
    device.writeblocks(1, programmed(9), 0)
    with database.deferred():
        device.writeblocks(1, programmed(8), PAGE_BYTES)
    nor.sync(device)
    assert set(on_disk(path)) == {("ring", number) for number in (0, 1, 2, 16, 17)}
    await asyncio.gather(*tasks)
    database.close()


class Failing:
    """A connection on which COMMIT or all writing fails while `why` is set."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.why: str | None = None

    def execute(self, statement: str, *values: Any) -> Any:
        if statement == self.why:
            raise sqlite3.OperationalError("database or disk is full")
        return self._connection.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize("why", ["COMMIT", "BEGIN IMMEDIATE"])
async def test_a_commit_that_fails_is_told_to_all_of_its_tick_and_what_it_had_is_in_the_next(
    path: Path, why: str
) -> None:
    database = Database(path)
    device = database.region("ring", 4)
    await answered(database, device, 0)
    database._writer = failing = Failing(database._writer)  # type: ignore[assignment]
    failing.why = why
    tasks = [answered(database, device, number) for number in (1, 2, None)]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, OSError) and "disk is full" in str(each) for each in found)
    assert [number for region, number in on_disk(path) if region == "ring"] == [0]
    assert read(device, 1) == programmed(1)
    with pytest.raises(OSError, match="disk is full"):
        database.require()
    with pytest.raises(OSError, match="disk is full"):
        nor.sync(device)
    failing.why = None
    await answered(database, device, None)
    database.require()
    assert [number for region, number in on_disk(path) if region == "ring"] == [0, 1, 2]
    database.close()


async def test_what_was_erased_goes_with_the_commit_of_a_tick_too(path: Path) -> None:
    database = Database(path)
    device = database.region("keys", 4)
    device.writeblocks(1, SECRET, 0)
    nor.sync(device)
    with database.deferred():
        nor.erase(device, 1)
    await database.next().wait()
    assert SECRET not in everything(path)
    database.close()


def test_ranges_of_erased_sectors_are_one_where_they_touch() -> None:
    changes = sqlite_device._Changes()
    for region, sector in (("ring", 3), ("keys", 1), ("ring", 1), ("ring", 2), ("ring", 7), ("keys", 0)):
        changes.erase(region, sector)
    assert list(changes.ranges()) == [("keys", 0, 32), ("ring", 16, 64), ("ring", 112, 128)]
