"""A relay's directory is one program's: whatever is started on it besides changes nothing and says why."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tessera_host.cli.demo import free_port
from tessera_host.relay.process import RelayProcess
from tests.patience import PATIENCE_SECONDS
from tests.support.command_line import TESSERA
from tests.support.office_on_disk import OfficeOnDisk, RelayOnCPython, admitted

RUNS = "another relay runs on this directory"
UNREACHABLE = 6


@pytest.fixture
def office(tmp_path: Path, micropython_frozen: Path) -> Iterator[OfficeOnDisk]:
    with OfficeOnDisk(tmp_path, round_seconds=3600, epoch_rounds=24) as office:
        yield office


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def started(words: list[str]) -> tuple[int, str]:
    said = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    return said.returncode, said.stdout + said.stderr


def starts(directory: Path, port: int) -> dict[str, list[str]]:
    """Every program that serves a relay directory, as it is started."""
    return {
        "micropython": RelayProcess(directory, port)._command(),
        "cpython": RelayOnCPython(directory, port)._command(),
        "serve": [str(TESSERA), "serve", "--port", str(port), "--storage", str(directory)],
    }


async def test_a_second_program_leaves_a_running_relay_as_it_is(office: OfficeOnDisk) -> None:
    member = office.two_who_met("alice", "bob")[0]
    directory = office.relay.directory
    for first in (office.relay, RelayOnCPython(directory, office.port)):
        with first.start():
            before = contents(directory)
            for name, words in starts(directory, free_port()).items():
                code, said = started(words)
                assert code and RUNS in said, name
                assert contents(directory) == before, name
            async with admitted(member) as connection:
                assert (await connection.info()).open_round >= 0


def test_a_port_that_is_taken_changes_nothing(office: OfficeOnDisk) -> None:
    directory = office.relay.directory
    with office.relay.start():
        pass
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for name in ("micropython", "cpython"):
            before = contents(directory)
            code, said = started(starts(directory, port)[name])
            assert code == 1 and f"cannot listen at 127.0.0.1:{port}" in said, name
            assert contents(directory) == before, name


def test_serve_changes_nothing_if_its_port_is_taken(office: OfficeOnDisk) -> None:
    directory = office.relay.directory
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = started(starts(directory, port)["serve"])
    assert code == UNREACHABLE and f"cannot listen at 127.0.0.1:{port}" in said
    assert (directory / "seed").exists()  # it goes with the first start that is durable


def test_a_directory_that_others_may_read_is_taken_from_them(office: OfficeOnDisk) -> None:
    directory = office.relay.directory
    for path in (directory, *directory.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with office.relay.start():
        pass
    assert {path.name for path in directory.iterdir()} >= {"ring.flash", "keys.flash", "relay.json"}
    assert not any(path.stat().st_mode & 0o077 for path in (directory, *directory.iterdir()))
