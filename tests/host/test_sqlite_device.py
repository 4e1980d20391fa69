"""Flash in an SQLite database: what is durable when, what one commit takes with it and what is left when that fails; it
outlives a cut at any byte, what was erased is in none of its files, they are their owner's, and of one relay."""

import asyncio
import errno
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ramdevice import RamDevice
from tessera import nor
from tessera.nor import BLANK_PAGE, PAGE_BYTES, SECTOR_BYTES
from tessera_host.relay import sqlite_device
from tessera_host.relay.sqlite_device import Database, NotThisRelays, SqliteDevice

KEY, OTHER = b"\x02" + bytes(32), b"\x03" + bytes(32)  # static keys of two relays
SECRET = b"a page key that is to be gone..." * 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "storage.sqlite"


def everything(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def page(number: int) -> bytes:
    return number.to_bytes(4, "big") * (PAGE_BYTES // 4)


def read(device: SqliteDevice, number: int) -> bytes:
    buffer = bytearray(PAGE_BYTES)
    device.readblocks(0, buffer, number * PAGE_BYTES)
    return bytes(buffer)


@pytest.mark.parametrize("together", [False, True])
def test_what_was_erased_is_nowhere(path: Path, together: bool) -> None:
    database = Database(path, KEY)
    device = database.region("keys", 4)
    device.writeblocks(1, SECRET, 0)
    nor.sync(device)
    assert SECRET in everything(path)
    if together:
        with database.transaction():
            nor.erase(device, 1)
    else:
        nor.erase(device, 1)
        nor.sync(device)
    assert SECRET not in everything(path)
    assert nor.is_blank(device, 1)
    database.close()


def test_sync_is_understood_and_every_file_is_its_owners(path: Path) -> None:
    database = Database(path, KEY)
    device = database.region("keys", 4)
    device.writeblocks(0, bytes(SECTOR_BYTES), 0)
    nor.sync(device)
    assert len(list(path.parent.iterdir())) > 1
    assert not any(file.stat().st_mode & 0o077 for file in path.parent.iterdir())
    database.close()


def on_disk(path: Path) -> dict[tuple[str, int], bytes]:
    """What another program finds in the files now: what a stop at this moment leaves."""
    with TemporaryDirectory() as folder:
        for file in path.parent.glob(path.name + "*"):
            shutil.copy(file, folder)
        connection = sqlite3.connect(Path(folder) / path.name)
        rows = connection.execute("SELECT * FROM page").fetchall()
        connection.close()
    return {(region, number): data for region, number, data in rows}


def programmed(path: Path) -> dict[tuple[str, int], bytes]:
    """Of what is on the disk that which a device has."""
    return {place: data for place, data in on_disk(path).items() if place[0] != "void"}


def test_what_was_programmed_is_on_the_disk_when_a_sync_returns(path: Path) -> None:
    """In this mode of SQLite the log of changes is written before a change counts, and synced at each (2: FULL)."""
    database = Database(path, KEY)
    asked = ("journal_mode", "synchronous", "secure_delete")
    found = [database._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in asked]
    assert found == ["wal", 2, 1]
    device = database.region("keys", 4)
    device.writeblocks(0, page(1), 0)
    assert read(device, 0) == page(1)
    nor.sync(device)
    assert on_disk(path) == {("keys", 0): page(1)}
    database.close()


def test_a_device_is_flash_whatever_was_made_durable_and_when(path: Path) -> None:
    dice = random.Random(18)
    database, model = Database(path, KEY), RamDevice(8)
    device = database.region("ring", 8)
    other = database.region("keys", 8)
    other.writeblocks(3, page(7), 0)
    for step in range(1200):
        place = dice.randrange(128)
        what = dice.randrange(12)
        if what < 6:
            data = dice.randbytes(PAGE_BYTES)
            for each in (device, model):
                each.writeblocks(place // 16, data, place % 16 * PAGE_BYTES)
        elif what < 8:
            for each in (device, model):
                nor.erase(each, place // 16)
        elif what == 8:
            nor.sync(device)
        elif what == 9 and step % 5 == 0:
            with database.held():
                nor.erase(device, 0)
            nor.erase(model, 0)
        elif what == 10 and step % 20 == 0:
            nor.sync(device)
            database.close()
            database = Database(path, KEY)
            device = database.region("ring", 8)
        found = bytearray(600)
        device.readblocks(place // 16, found, 100)
        assert found == model.get(place // 16 * SECTOR_BYTES + 100, 600), step
    nor.sync(device)
    whole = model.get(0, 8 * SECTOR_BYTES)
    kept = {number: data for (region, number), data in on_disk(path).items() if region == "ring"}
    for number in range(128):
        assert kept.get(number, BLANK_PAGE) == whole[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]
    assert set(device.programmed()) == set(kept)
    assert on_disk(path)["keys", 48] == page(7)
    database.close()


async def answered(database: Database, device: SqliteDevice, number: int | None) -> None:
    """As a server does: write, if there is something to be written, and wait for the commit."""
    if number is not None:
        with database.deferred():
            device.writeblocks(0, page(number), number * PAGE_BYTES)
            nor.sync(device)
    await database.next().wait()
    if number is not None:
        assert read(device, number) == page(number)


async def test_the_answers_of_a_tick_wait_for_one_commit_which_has_all_of_them(path: Path) -> None:
    database = Database(path, KEY)
    device = database.region("ring", 4)
    commits: list[float] = []
    database.committed = commits.append
    tasks = [asyncio.create_task(answered(database, device, number)) for number in range(10)]
    await asyncio.sleep(0)
    assert on_disk(path) == {} and [read(device, number) for number in range(10)] == [*map(page, range(10))]
    await asyncio.gather(*tasks)
    assert programmed(path) == {("ring", number): page(number) for number in range(10)}
    assert len(commits) == 1
    database.close()


async def test_answers_for_which_nothing_is_stored_wait_as_long_and_have_as_much_written_for_them(path: Path) -> None:
    """A record, one with the lease that covers it, or nothing."""
    written = []
    for stored in ("001", "012", "222", "000"):
        database = Database(path.with_name(f"{stored}.sqlite"), KEY)
        ring, keys = database.region("ring", 4), database.region("keys", 4)
        commits: list[float] = []
        database.committed = commits.append
        for number, pages in enumerate(map(int, stored)):
            with database.deferred():
                for device in (ring, keys)[:pages]:
                    device.writeblocks(0, page(number), number * PAGE_BYTES)
                    nor.sync(device)
        await asyncio.gather(*(database.next().wait() for _ in stored))
        written.append(sum(len(data) for data in on_disk(path.with_name(f"{stored}.sqlite")).values()))
        assert len(commits) == 1
        database.close()
    assert written == [3 * sqlite_device.ANSWER_PAGES * PAGE_BYTES] * 4


async def test_a_seal_in_the_middle_of_a_commit_finds_its_pages_and_both_are_durable(path: Path) -> None:
    database = Database(path, KEY)
    device = database.region("ring", 4)
    tasks = [asyncio.create_task(answered(database, device, number)) for number in range(3)]
    while database._running is None:
        await asyncio.sleep(0)
    assert [read(device, number) for number in range(4)] == [*map(page, range(3)), BLANK_PAGE]
    device.writeblocks(1, page(9), 0)
    with database.deferred():
        device.writeblocks(1, page(8), PAGE_BYTES)
    nor.sync(device)
    assert set(programmed(path)) == {("ring", number) for number in (0, 1, 2, 16, 17)}
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
    database = Database(path, KEY)
    device = database.region("ring", 4)
    await answered(database, device, 0)
    database._connection = failing = Failing(database._connection)  # type: ignore[assignment]
    failing.why = why
    tasks = [answered(database, device, number) for number in (1, 2, None)]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, OSError) and "disk is full" in str(each) for each in found)
    assert [number for region, number in on_disk(path) if region == "ring"] == [0]
    assert read(device, 1) == page(1)
    with pytest.raises(OSError, match="disk is full"):
        database.require()
    with pytest.raises(OSError, match="disk is full"):
        nor.sync(device)
    failing.why = None
    await answered(database, device, None)
    database.require()
    assert [number for region, number in on_disk(path) if region == "ring"] == [0, 1, 2]
    database.close()


async def test_what_came_while_a_commit_failed_is_in_the_next_with_it(path: Path) -> None:
    database = Database(path, KEY)
    device = database.region("ring", 4)
    database._connection = failing = Failing(database._connection)  # type: ignore[assignment]
    failing.why = "COMMIT"
    task = asyncio.create_task(answered(database, device, 1))
    while database._running is None:
        await asyncio.sleep(0)
    with database.deferred():
        device.writeblocks(0, page(2), 2 * PAGE_BYTES)
    with pytest.raises(OSError, match="disk is full"):
        await task
    assert [read(device, number) for number in (1, 2)] == [page(1), page(2)]
    failing.why = None
    database.commit()
    assert [number for region, number in on_disk(path) if region == "ring"] == [1, 2]
    database.close()


async def test_what_was_erased_goes_with_the_commit_of_a_tick_too(path: Path) -> None:
    database = Database(path, KEY)
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


def test_every_commit_is_timed_and_nothing_else(path: Path) -> None:
    database = Database(path, KEY)
    seconds: list[float] = []
    database.committed = seconds.append
    device = database.region("ring", 4)
    with database.transaction():
        for page in range(3):
            device.writeblocks(0, SECRET, page * PAGE_BYTES)
    assert len(seconds) == 1
    device.writeblocks(1, SECRET, 0)
    nor.sync(device)
    nor.erase(device, 1)
    nor.sync(device)
    nor.sync(device)
    assert nor.is_blank(device, 1)
    assert len(seconds) == 3 and min(seconds) > 0
    database.close()


# -- cuts


def test_a_log_of_changes_torn_at_any_byte_loses_nothing_that_was_programmed_before(path: Path, tmp_path: Path) -> None:
    """What a power cut leaves: the log was synced up to the last program that returned, of the next one a part."""
    database = Database(path, KEY)
    device = database.region("ring", 4)
    log = path.with_name(path.name + "-wal")
    lengths = []
    for number in range(4):
        device.writeblocks(0, page(number), number * PAGE_BYTES)
        nor.sync(device)
        lengths.append(log.stat().st_size)
    assert lengths == sorted(set(lengths))
    there, content = path.read_bytes(), log.read_bytes()
    database.close()
    cuts = {*lengths, *(length + more for length in lengths[:-1] for more in (1, 23, 24, 25, 2000))}
    for cut in sorted(cuts):
        for rest in (b"", os.urandom(lengths[-1] - cut)):
            torn = tmp_path / f"torn{cut}-{len(rest)}" / path.name
            torn.parent.mkdir(exist_ok=True)
            torn.write_bytes(there)
            torn.with_name(log.name).write_bytes(content[:cut] + rest)
            again = Database(torn, KEY)
            found = [read(again.region("ring", 4), number) for number in range(4)]
            whole = sum(length <= cut for length in lengths)
            assert found == [page(number) if number < whole else BLANK_PAGE for number in range(4)], (cut, len(rest))
            again.close()


_WRITER = """
import sys
from pathlib import Path
from tessera import nor
from tessera_host.relay.sqlite_device import Database
device = Database(Path(sys.argv[1]), bytes.fromhex(sys.argv[2])).region("ring", 64)
for number in range(1024):
    device.writeblocks(0, number.to_bytes(4, "big") * 64, number * 256)
    nor.sync(device)
    print(number, flush=True)
"""


def test_a_program_that_is_killed_loses_nothing_that_it_said_was_written(path: Path) -> None:
    """As every ACK of a relay is said: after the program returned. What it went on with is whole or not at all."""
    for said_before in (1, 3, 40):
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), KEY.hex()], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout
        for _ in range(said_before):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        said = said_before + len(writer.stdout.read().splitlines())
        writer.wait()
        writer.stdout.close()
        database = Database(path, KEY)
        device = database.region("ring", 64)
        assert [read(device, number) for number in range(said)] == list(map(page, range(said)))
        assert read(device, said) in (page(said), BLANK_PAGE)
        assert read(device, said + 1) == BLANK_PAGE
        database.close()


# -- whose it is, and what may be wrong with it


def test_the_storage_of_another_relay_is_refused_and_left_as_it_is(path: Path) -> None:
    Database(path, KEY).close()
    before = path.read_bytes()
    with pytest.raises(NotThisRelays, match="to another relay"):
        Database(path, OTHER)
    assert path.read_bytes() == before
    Database(path, KEY).close()


def test_somebody_else_s_database_is_refused_and_left_as_it_is(path: Path) -> None:
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE letters (text)")
    foreign.commit()
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(NotThisRelays, match="not a relay's database"):
        Database(path, KEY)
    path.write_bytes(b"a letter" * 1000)
    with pytest.raises(sqlite3.DatabaseError) as damaged:
        Database(path, KEY)
    assert sqlite_device.number(damaged.value) == errno.EINVAL
    path.write_bytes(before)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_database_is_one_program_s_at_a_time(path: Path) -> None:
    database = Database(path, KEY)
    with pytest.raises(sqlite3.OperationalError) as locked:
        Database(path, KEY)
    assert sqlite_device.number(locked.value) == errno.EBUSY
    assert "stop the program that has it open" in sqlite_device.what_to_do(errno.EBUSY)
    database.close()


def test_a_full_disk_refuses_the_program_and_keeps_what_was_there(path: Path) -> None:
    database = Database(path, KEY)
    device = database.region("ring", 64)
    device.writeblocks(0, page(0), 0)
    nor.sync(device)
    (pages,) = database._connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count={pages}")
    for together in (False, True):
        with pytest.raises(OSError, match="full") as full:
            fill(database, device, together)
        assert full.value.errno == errno.ENOSPC
        assert not database._connection.in_transaction
    assert read(device, 1) == bytes(PAGE_BYTES), "what could not be written is in memory"
    database._connection.execute("PRAGMA max_page_count=100000")
    nor.sync(device)  # there is room again, and it goes on
    assert len(on_disk(path)) == 64 * 16
    database.close()


def fill(database: Database, device: sqlite_device.SqliteDevice, together: bool) -> None:
    if together:
        with database.transaction():
            fill(database, device, False)
    else:
        for block in range(64):
            device.writeblocks(block, bytes(SECTOR_BYTES), 0)
        nor.sync(device)


def test_storage_that_may_only_be_read_says_so(path: Path) -> None:
    Database(path, KEY).close()
    database = Database(path, KEY)
    database._connection.execute("PRAGMA query_only=ON")
    database.region("ring", 4).writeblocks(0, page(0), 0)
    with pytest.raises(OSError, match="readonly") as refused:
        database.commit()
    assert refused.value.errno == errno.EROFS
    assert "read-only" in sqlite_device.what_to_do(errno.EROFS)
    database.close()


def test_damage_is_a_failing_disk_to_the_core(path: Path) -> None:
    database = Database(path, KEY)
    fill(database, database.region("ring", 64), True)
    database.close()
    content = bytearray(path.read_bytes())
    content[-40 * 4096 :] = bytes(40 * 4096)
    path.write_bytes(content)
    database = Database(path, KEY)
    with pytest.raises(OSError, match="malformed") as failing:
        fill(database, database.region("ring", 64), False)
    assert failing.value.errno == errno.EIO
    database.close()
