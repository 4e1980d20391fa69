"""A relay's directory and its database: what does not belong together is refused before anything is changed."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from tessera_host.errors import InvalidInput, Unreachable
from tessera_host.relay.server_relay import ServerRelay
from tessera_host.relay.sqlite_device import Database
from tests.support import quick_keystores
from tests.support.organisation import Listed, new_issuer, planned


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two relays of one office, as `tessera relay new` makes them."""
    folder = tmp_path_factory.mktemp("relays")
    with pytest.MonkeyPatch.context() as patch:
        quick_keystores.use(patch)
        relays = Listed("berlin", "127.0.0.1", 8200), Listed("munich", "127.0.0.1", 8201)
        new_issuer(folder, planned(board="GATEWAY"), *relays).close()
    return folder


@pytest.fixture
def relays(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "relays"))


def ran(relay: Path) -> None:
    """As if it had started once: its seed is gone."""
    ServerRelay(relay).close()
    (relay / "seed").unlink()


def test_the_storage_of_another_relay_is_refused_and_left_as_it_is(relays: Path) -> None:
    for name in ("berlin", "munich"):
        ServerRelay(relays / name).close()
    foreign = relays / "munich" / "storage.sqlite"
    before = foreign.read_bytes()
    with pytest.raises(InvalidInput, match="belongs to another relay") as refused:
        ServerRelay(relays / "berlin", foreign)
    assert "name the database that this relay ran with" in refused.value.hint
    assert foreign.read_bytes() == before
    ServerRelay(relays / "munich").close()
    ServerRelay(relays / "berlin").close()  # nothing is held any more


def test_a_relay_that_ran_gets_no_new_storage(relays: Path) -> None:
    berlin = relays / "berlin"
    ran(berlin)
    ServerRelay(berlin).close()
    with pytest.raises(InvalidInput, match="is missing, although this relay has already run") as refused:
        ServerRelay(berlin, berlin / "relay.db")
    assert "--storage sqlite:///DIR/NAME" in refused.value.hint
    assert not (berlin / "relay.db").exists()


def test_a_storage_is_one_program_s_even_if_the_directories_are_two(relays: Path) -> None:
    berlin = relays / "berlin"
    first = ServerRelay(berlin)
    copy = Path(shutil.copytree(berlin, relays / "copy"))
    with pytest.raises(Unreachable, match="database is locked") as refused:
        ServerRelay(copy, first.database_path)
    assert "stop the program that has it open" in refused.value.hint
    first.close()


def test_what_is_no_database_or_cannot_be_made_is_said(relays: Path) -> None:
    berlin = relays / "berlin"
    (berlin / "storage.sqlite").write_bytes(b"a letter " * 1000)
    with pytest.raises(InvalidInput, match="cannot be opened: file is not a database") as refused:
        ServerRelay(berlin)
    assert "name the database that the relay ran with" in refused.value.hint
    with pytest.raises(InvalidInput, match="cannot be opened: No such file") as refused:
        ServerRelay(berlin, relays / "nowhere" / "relay.db")
    assert "make its directory first" in refused.value.hint
    (berlin / "storage.sqlite").unlink()
    ServerRelay(berlin).close()


def test_storage_that_may_only_be_read_says_so(relays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def touch(path: Path, mode: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "touch", touch)
    with pytest.raises(InvalidInput, match="cannot be opened: Read-only file system") as refused:
        ServerRelay(relays / "berlin")
    assert "on a read-only disk" in refused.value.hint


def test_a_database_of_another_name_is_the_same(relays: Path) -> None:
    berlin = relays / "berlin"
    opened = ServerRelay(berlin, relays / "relay.db")
    opened.start()
    assert opened.relay.boots == 1
    opened.close()
    again = ServerRelay(berlin, relays / "relay.db")
    again.start()
    assert again.relay.boots == 2
    again.close()
    Database(relays / "relay.db", again.relay.static_key).close()
