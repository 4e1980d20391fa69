"""Flash in an SQLite database: what was erased is in none of its files, and they are their owner's."""

from pathlib import Path

import pytest

from tessera import nor
from tessera.nor import SECTOR_BYTES
from tessera_host.relay.sqlite_device import Database

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
    database = Database(path)
    device = database.region("keys", 4)
    device.writeblocks(0, bytes(SECTOR_BYTES), 0)
    nor.sync(device)
    assert len(list(path.parent.iterdir())) > 1
    assert not any(file.stat().st_mode & 0o077 for file in path.parent.iterdir())
    database.close()


def test_every_program_is_on_the_disk_when_it_returns(path: Path) -> None:
    """In this mode of SQLite the log of changes is written before a change counts, and synced at each (2: FULL)."""
    database = Database(path)
    asked = ("journal_mode", "synchronous", "secure_delete")
    found = [database._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in asked]
    assert found == ["wal", 2, 1]
    assert not database._connection.in_transaction
    database.region("keys", 4).writeblocks(0, SECRET, 0)
    assert not database._connection.in_transaction, "it waits for somebody to commit"
    database.close()
