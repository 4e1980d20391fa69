"""Files that people keep, on every platform: what Windows needs is tried here with a system that behaves like it."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tessera_host import files
from tessera_host.errors import UsageError


class Busy:
    """os.replace where somebody has the file open for a while."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.replace = os.replace

    def __call__(self, source: Any, target: Any) -> None:
        self.times -= 1
        if self.times >= 0:
            raise PermissionError(13, "Access is denied")
        self.replace(source, target)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made."""
    paused: list[float] = []
    monkeypatch.setattr(files, "REPLACE_PAUSES_SECONDS", (0.1, 0.2))
    monkeypatch.setattr(files.time, "sleep", paused.append)
    monkeypatch.setattr(files.sys, "platform", "win32")
    monkeypatch.delattr(os, "O_DIRECTORY")
    return paused


def test_file_is_replaced_once_nobody_has_it_open(
    windows: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", Busy(2))
    files.write(tmp_path / "x", b"a\nb\r\n")
    assert (tmp_path / "x").read_bytes() == b"a\nb\r\n"
    assert windows == [0.1, 0.2]


def test_file_that_stays_open_is_an_error_and_leaves_nothing_behind(
    windows: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", Busy(3))
    with pytest.raises(UsageError, match="cannot be written"):
        files.write(tmp_path / "x", b"")
    assert list(tmp_path.iterdir()) == []


def test_refusal_is_not_waited_for_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", Busy(1))
    with pytest.raises(UsageError, match="cannot be written"):
        files.write(tmp_path / "x", b"")


def test_file_is_for_its_owner_only_and_written_as_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """O_BINARY is a flag that only Windows has."""
    flags: list[int] = []
    real = os.open
    monkeypatch.setattr(files, "BINARY", os.O_APPEND)  # any flag that changes nothing here
    monkeypatch.setattr(os, "open", lambda path, flag, *mode: flags.append(flag) or real(path, flag, *mode))
    files.write(tmp_path / "x", b"\n")
    assert flags[0] & os.O_APPEND
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


def test_what_is_written_is_synced_before_it_takes_its_place_and_its_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int]] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(file: int) -> None:
        found = os.fstat(file)
        calls.append(("directory", 0) if stat.S_ISDIR(found.st_mode) else ("file", found.st_size))
        real_sync(file)

    def replace(*names: Any) -> None:
        calls.append(("replace", 0))
        real_replace(*names)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    files.write(tmp_path / "x", b"content")
    assert calls == [("file", 7), ("replace", 0), ("directory", 0)]


def test_directory_that_others_may_read_is_made_its_owners(tmp_path: Path) -> None:
    directory = tmp_path / "relay"
    directory.mkdir()
    directory.chmod(0o755)
    files.make_directory(directory)
    assert directory.stat().st_mode & 0o077 == 0
