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
