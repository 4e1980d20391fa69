"""Unlocked keystores: who gets a key, for how long, and that no file or prompt comes before what was asked for."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest

from tessera_host import config
from tessera_host.errors import InvalidInput, WrongPassphrase
from tessera_host.keys import passphrase, unlocking
from tessera_host.keys.keystore import DerivedKey, Keystore
from tessera_host.keys.unlocking import Keys
from tests.patience import PATIENCE_SECONDS

KEY = {"salt": "00" * 16, "key": "11" * 32}


class Clocks:
    """The time of day, and one that stands still while the computer sleeps."""

    def __init__(self) -> None:
        self.day = self.awake = 1000.0

    def pair(self) -> Keys:
        return Keys((lambda: self.day, lambda: self.awake))


def keep(keys: Keys, keystore: str, seconds: int) -> None:
    keys.answer({"ask": "keep", "keystore": keystore, "seconds": seconds, **KEY})


def test_key_is_kept_for_its_time_by_either_clock() -> None:
    clocks = Clocks()
    keys = clocks.pair()
    keep(keys, "/a", 60)
    assert keys.answer({"ask": "key", "keystore": "/a"}) == KEY
    assert keys.answer({"ask": "key", "keystore": "/b"}) == {}
    clocks.day += 59
    assert keys.answer({"ask": "key", "keystore": "/a"}) == KEY
    clocks.day += 1  # asleep
    assert keys.answer({"ask": "key", "keystore": "/a"}) == {}
    keep(keys, "/a", 60)
    clocks.day -= 10_000  # put back
    clocks.awake += 60
    assert keys.answer({"ask": "key", "keystore": "/a"}) == {}
    assert len(keys) == 0


def test_lock_forgets_one_or_all() -> None:
    keys = Clocks().pair()
    for name in ("/a", "/b", "/c"):
        keep(keys, name, 60)
    assert keys.answer({"ask": "lock", "keystore": "/a"}) == {"locked": True}
    assert keys.answer({"ask": "lock", "keystore": "/a"}) == {"locked": False}
    assert keys.answer({"ask": "lock", "keystore": None}) == {"locked": True}
    assert len(keys) == 0


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"ask": "key"},
        {"ask": "keep", "keystore": "/a", "seconds": 1},
        {"ask": "keep", **KEY, "keystore": "/a", "seconds": "x"},
    ],
)
def test_request_that_makes_no_sense_changes_nothing(message: dict[str, object]) -> None:
    keys = Clocks().pair()
    with pytest.raises((KeyError, ValueError)):
        keys.answer(message)
    assert len(keys) == 0


# -- with the process


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's session: a runtime directory, and what was unlocked is locked at its end."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        monkeypatch.delenv(passphrase.ENVIRONMENT, raising=False)
        yield Path(directory)
        unlocking.forget()


def made(tmp_path: Path, phrase: str = "phrase") -> Path:
    path = tmp_path / "x.keystore"
    path.unlink(missing_ok=True)
    Keystore.create(path, phrase, "test", {"a": 1}).close()
    return path


def derived(path: Path, phrase: str = "phrase") -> DerivedKey:
    with Keystore.open(path, phrase, "test") as store:
        return store.derived_key


def test_unlocked_keystore_opens_without_its_passphrase(session: Path, tmp_path: Path) -> None:
    path = made(tmp_path)
    assert unlocking.key_for(path) is None
    assert unlocking.forget() is False
    unlocking.keep(path, derived(path), 60)
    found = passphrase.secret_for(path, None)
    assert isinstance(found, DerivedKey)
    assert found.key.hex() not in repr(found)
    with Keystore.open(path, found, "test") as store:
        assert store.data == {"a": 1}
    assert unlocking.forget() is True
    assert unlocking.key_for(path) is None


async def test_an_unlocked_keystore_opens_inside_an_event_loop(session: Path, tmp_path: Path) -> None:
    """As `send`, `inbox` and `chat` open it."""
    path = made(tmp_path)
    unlocking.keep(path, derived(path), 60)
    assert isinstance(passphrase.secret_for(path, None), DerivedKey)
    assert unlocking.forget() is True


def test_process_ends_when_it_is_locked_or_the_user_logs_out(session: Path, tmp_path: Path) -> None:
    path = made(tmp_path)
    for end in (lambda: unlocking.forget(), lambda: unlocking.address().unlink()):
        unlocking.keep(path, derived(path), 60)
        assert serving()
        end()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while serving() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not serving()


def serving() -> bool:
    """Whether a process holds the lock that whoever serves keys has."""
    lock = filelock.FileLock(unlocking.address().with_name(unlocking.address().name + ".lock"), timeout=0)
    try:
        with lock:
            return False
    except filelock.Timeout:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_memory_of_the_process_is_closed_to_others(session: Path, tmp_path: Path) -> None:
    code = (
        "import ctypes, resource; from tessera_host.keys import memory; memory.keep_out_of_dumps();"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == [
        "0",
        "0",
        "0",
    ]


def test_key_of_a_keystore_that_was_replaced_is_of_no_use(session: Path, tmp_path: Path) -> None:
    path = made(tmp_path)
    old = derived(path)
    unlocking.keep(path, old, 60)
    made(tmp_path, "another")
    assert unlocking.key_for(path) is None
    with pytest.raises(WrongPassphrase, match="was changed; unlock it again"):
        Keystore.open(path, old, "test")


def test_file_comes_before_what_is_unlocked_and_that_before_the_prompt(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path)
    monkeypatch.setattr(passphrase, "_prompt", lambda _: "typed")
    assert passphrase.secret_for(path, None) == "typed"
    unlocking.keep(path, derived(path), 60)
    assert isinstance(passphrase.secret_for(path, None), DerivedKey)
    (tmp_path / "file").write_text("in the file\n")
    assert passphrase.secret_for(path, tmp_path / "file") == "in the file"
    monkeypatch.setenv(passphrase.ENVIRONMENT, str(tmp_path / "file"))
    assert passphrase.secret_for(path, None) == "in the file"


async def test_process_without_a_key_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unlocking, "START_SECONDS", 0.05)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await unlocking.serve(tmp_path / "s", Keys())


# -- settings


def test_settings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv(config.ENVIRONMENT, str(file))
    file.write_text("home = '/srv/t'\npassphrase_file = '~/p'\nunlock = '30m'\n")
    found = config.load()
    assert found == config.Config(Path("/srv/t"), Path.home() / "p", 1800)
    assert config.home() == Path("/srv/t")


def test_no_settings_are_no_error(tmp_path: Path) -> None:
    assert config.load(tmp_path / "none") == config.Config()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_settings_may_come_from_notepad(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes("unlock = '30m'\r\n".encode(encoding))
    assert config.load(file).unlock_seconds == 1800


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("hmoe = '/x'", "an unknown setting 'hmoe'; the settings are: home, passphrase_file, proxy, unlock"),
        ("unlock = 8", "for example: unlock = '8h'"),
        ("unlock = '8 hours'", "for example: unlock"),
        ("home = 3", "for example: home"),
        ("home = ", "is not TOML"),
        ("\udcff", "cannot be read"),
    ],
)
def test_settings_nobody_understands_are_explained(tmp_path: Path, text: str, match: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(os.fsencode(text))
    with pytest.raises(InvalidInput, match=match):
        config.load(file)


def test_settings_file_that_was_named_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.ENVIRONMENT, str(tmp_path / "none"))
    with pytest.raises(InvalidInput, match="TESSERA_CONFIG names it"):
        config.load()
