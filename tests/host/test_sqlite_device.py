"""Flash in an SQLite database: what was programmed outlives a cut at any byte, what was erased is in none of its files,
they are their owner's, and of one relay."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tessera import nor
from tessera.nor import BLANK_PAGE, PAGE_BYTES, SECTOR_BYTES
from tessera_host.relay import sqlite_device
from tessera_host.relay.sqlite_device import Database, NotThisRelays

KEY, OTHER = b"\x02" + bytes(32), b"\x03" + bytes(32)  # static keys of two relays
SECRET = b"a page key that is to be gone..." * 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "storage.sqlite"


def everything(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize("together", [False, True])
def test_what_was_erased_is_nowhere(path: Path, together: bool) -> None:
    database = Database(path, KEY)
    device = database.region("keys", 4)
    device.writeblocks(1, SECRET, 0)
    assert SECRET in everything(path)
    if together:
        with database.transaction():
            nor.erase(device, 1)
    else:
        nor.erase(device, 1)
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


def test_every_program_is_on_the_disk_when_it_returns(path: Path) -> None:
    """In this mode of SQLite the log of changes is written before a change counts, and synced at each (2: FULL)."""
    database = Database(path, KEY)
    asked = ("journal_mode", "synchronous", "secure_delete")
    found = [database._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in asked]
    assert found == ["wal", 2, 1]
    assert not database._connection.in_transaction
    database.region("keys", 4).writeblocks(0, SECRET, 0)
    assert not database._connection.in_transaction, "it waits for somebody to commit"
    database.close()


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
    nor.erase(device, 1)
    assert nor.is_blank(device, 1)
    assert len(seconds) == 3 and min(seconds) > 0
    database.close()


# -- cuts


def page(number: int) -> bytes:
    return number.to_bytes(4, "big") * (PAGE_BYTES // 4)


def read(device: sqlite_device.SqliteDevice, number: int) -> bytes:
    buffer = bytearray(PAGE_BYTES)
    device.readblocks(0, buffer, number * PAGE_BYTES)
    return bytes(buffer)


def test_a_log_of_changes_torn_at_any_byte_loses_nothing_that_was_programmed_before(path: Path, tmp_path: Path) -> None:
    """What a power cut leaves: the log was synced up to the last program that returned, of the next one a part."""
    database = Database(path, KEY)
    device = database.region("ring", 4)
    log = path.with_name(path.name + "-wal")
    lengths = []
    for number in range(4):
        device.writeblocks(0, page(number), number * PAGE_BYTES)
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
from tessera_host.relay.sqlite_device import Database
device = Database(Path(sys.argv[1]), bytes.fromhex(sys.argv[2])).region("ring", 64)
for number in range(1024):
    device.writeblocks(0, number.to_bytes(4, "big") * 64, number * 256)
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
    with pytest.raises(NotThisRelays, match="of another relay"):
        Database(path, OTHER)
    assert path.read_bytes() == before
    Database(path, KEY).close()


def test_somebody_else_s_database_is_refused_and_left_as_it_is(path: Path) -> None:
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE letters (text)")
    foreign.commit()
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(NotThisRelays, match="no database of a relay"):
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
    assert "end that one first" in sqlite_device.what_to_do(errno.EBUSY)
    database.close()


def test_a_full_disk_refuses_the_program_and_keeps_what_was_there(path: Path) -> None:
    database = Database(path, KEY)
    device = database.region("ring", 64)
    device.writeblocks(0, page(0), 0)
    (pages,) = database._connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count={pages}")
    for together in (False, True):
        with pytest.raises(OSError, match="full") as full:
            fill(database, device, together)
        assert full.value.errno == errno.ENOSPC
        assert not database._connection.in_transaction
    assert read(device, 0) == page(0)
    database._connection.execute("PRAGMA max_page_count=100000")
    device.writeblocks(63, page(0), 0)  # there is room again, and it goes on
    database.close()


def fill(database: Database, device: sqlite_device.SqliteDevice, together: bool) -> None:
    if together:
        with database.transaction():
            fill(database, device, False)
    else:
        for block in range(1, 64):
            device.writeblocks(block, bytes(SECTOR_BYTES), 0)


def test_storage_that_may_only_be_read_says_so(path: Path) -> None:
    Database(path, KEY).close()
    database = Database(path, KEY)
    database._connection.execute("PRAGMA query_only=ON")
    with pytest.raises(OSError, match="readonly") as refused:
        database.region("ring", 4).writeblocks(0, page(0), 0)
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
