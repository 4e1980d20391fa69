"""`make run`'s program as a newcomer uses it: what it prints, the commands it proposes, stopping and starting again."""

import os
import shlex
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tessera_host.cli.demo import free_port
from tests.patience import PATIENCE_SECONDS
from tests.support.command_line import (
    CommandLine,
    Running,
    Said,
    assert_absent,
    descendants,
    python_module,
    running,
    secrets_of_keystore,
    secrets_of_relay,
    visible_to_others,
)

LAST_LINE = "Ctrl-C stops the relay."
ROUND_SECONDS = 60


@pytest.fixture
def command(tmp_path: Path, micropython_frozen: Path) -> CommandLine:
    """A shell of a newcomer: nothing but what `run` prints says where the commands and the passphrase are."""
    command = CommandLine(tmp_path, "the passphrase of somebody else")
    del command.environment["TESSERA_PASSPHRASE_FILE"]
    command.environment["PATH"] = os.defpath
    return command


@contextmanager
def relay_of(command: CommandLine, directory: Path, port: int) -> Iterator[Running]:
    run = python_module("tessera_host.cli.demo", "run", "--directory", directory, "--port", port)
    with running(command, *run, until=LAST_LINE) as relay:
        yield relay


def proposed(relay: Running) -> list[str]:
    """The commands to type in another terminal, as they are printed."""
    start = next(number for number, line in enumerate(relay.lines) if line.startswith("In another terminal"))
    return [line.strip() for line in relay.lines[start:] if line.startswith("  ")]


def test_proposed_commands_lead_to_a_message_also_if_the_relay_is_started_anew(command: CommandLine) -> None:
    directory, port = command.folder / "demonstration", free_port()
    with relay_of(command, directory, port) as relay:
        assert_introduces_itself(relay, port)
        commands = proposed(relay)
        prepare, (send, fetch) = commands[0], commands[-2:]
        assert prepare.startswith("export ") and " send " in send and "--follow" in fetch
        for line in commands[1:-1]:
            shell(command, prepare, line)
        sent_at = time.monotonic()
        assert_secrets_are_invisible(command, directory, relay)
        said = relay.stop(signal.SIGINT)
        assert (said.code, said.error) == (0, "")
        assert "Stopped" in said.out
    with relay_of(command, directory, port) as relay:
        assert proposed(relay) == commands
        assert followed_until(command, prepare, fetch, "Hello Bob").startswith("alice: ")
        assert time.monotonic() - sent_at < ROUND_SECONDS + PATIENCE_SECONDS
        said = relay.stop(signal.SIGTERM)
        assert (said.code, said.error) == (0, "")
    everything = secrets_of(directory)
    assert_absent(everything, command.everything_said())


def assert_introduces_itself(relay: Running, port: int) -> None:
    text = "\n".join(relay.lines)
    for wanted in ("micropython 1.25", f"127.0.0.1:{port}", "relay key", "constant, ", "curve tier"):
        assert wanted in text


def shell(command: CommandLine, *lines: str) -> Said:
    return command.run("bash", "-euc", "\n".join(lines))


def followed_until(command: CommandLine, prepare: str, fetch: str, wanted: str) -> str:
    """The line with what was waited for; then the command, which would go on, is interrupted."""
    with running(command, "bash", "-euc", f"{prepare}\n{fetch}", until=wanted) as following:
        for pid in descendants(following.process.pid)[1:]:
            os.kill(pid, signal.SIGINT)
        return following.lines[-1]


def secrets_of(directory: Path) -> list[bytes]:
    passphrase = directory.joinpath("passphrase").read_text().strip()
    found = [*secrets_of_relay(directory / "relay"), passphrase.encode()]
    for home, kind in (("alice", "member"), ("bob", "member"), ("issuer", "issuer")):
        found += secrets_of_keystore(directory / home / f"{kind}.keystore", passphrase, kind)
    return found


def assert_secrets_are_invisible(command: CommandLine, directory: Path, relay: Running) -> None:
    """Neither in the arguments nor in the environment of any process of ours."""
    processes = descendants(relay.process.pid)
    assert len(processes) == 2
    assert_absent(secrets_of(directory), b"".join(map(visible_to_others, processes)))


def test_proposed_commands_are_good_in_a_shell_whatever_the_directory_is_called(command: CommandLine) -> None:
    """As a whole line is copied: blanks and the like in a name, remarks behind a command."""
    directory = command.folder / "it's a (demonstration)"
    with relay_of(command, directory, free_port()) as relay:
        commands = proposed(relay)
    shell(command, "set -n", *commands)
    assert shlex.split(commands[0])[-2:] == ["cd", str(directory)]
    for line in commands[1:]:
        assert shlex.split(line, comments=True)[0] == "tessera"


def test_relay_that_ends_by_itself_is_an_error(command: CommandLine) -> None:
    with relay_of(command, command.folder / "demonstration", free_port()) as relay:
        os.kill(descendants(relay.process.pid)[1], signal.SIGKILL)
        said = relay.end()
    assert said.code == 1
    assert said.error.startswith("error: the relay ended") and said.error.count("\n") == 2


def test_a_port_in_use_is_named_with_the_way_out_before_anything_is_made(command: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        run = python_module("tessera_host.cli.demo", "run", "--port", port, "--directory")
        said = command.run(*run, command.folder / "two", code=6)
    assert said.error.startswith(f"error: port {port} of this computer") and said.error.count("\n") == 2
    assert "Address already in use" in said.error and "make run PORT=" in said.error
    assert not (command.folder / "two").exists() and said.out == ""
