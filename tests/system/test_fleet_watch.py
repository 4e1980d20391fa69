"""`tessera fleet status --watch`, as somebody has it before them while a gateway is killed and comes back: on a
terminal, and into a pipe."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tessera_host.errors import Unreachable
from tessera_host.fleet.storage import FleetFile
from tests.patience import PATIENCE_SECONDS
from tests.support.command_line import CommandLine, Running
from tests.support.office_on_disk import PASSPHRASE
from tests.support.ports import free_ports
from tests.support.server_on_disk import make_server
from tests.support.terminal import Terminal

WATCH = ("fleet", "status", "gate", "--watch")
NOWHERE = "nats://127.0.0.1:1/berlin"
HERE, AWAY = "1 (here)", "no gateway runs in gate"


class Gate:
    """A fleet of one gateway, whose process is killed and started."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.command = CommandLine(folder, PASSPHRASE)
        self._stack = stack
        make_server(folder / "gate", free_ports(1))
        self.command.tessera("fleet", "init", "gate", "--storage", f"sqlite://{folder}/log.db")

    def start(self) -> None:
        self.begin()
        self._process.wait_for("serving")

    def begin(self) -> None:
        self._process = Running(self.command, self.command.words("serve", "gate", "--host", "127.0.0.1"))
        self._stack.callback(self._process.stop, signal.SIGKILL)

    def kill(self) -> None:
        self._process.stop(signal.SIGKILL)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with ExitStack() as stack:
        yield Gate(tmp_path, stack)


def test_on_a_terminal_it_is_renewed_in_place_until_ctrl_c(gate: Gate, tmp_path: Path) -> None:
    window = Terminal(tmp_path)
    window.run(*WATCH)
    window.read("hint: start it: tessera serve gate")  # it is no gateway that was there
    window.done(6)
    gate.start()
    window.run(*WATCH)
    window.read(HERE)
    gate.kill()
    window.read(AWAY)
    gate.start()
    window.read(HERE)
    window.press("c")
    window.done(0)
    assert window.screen().count(HERE) == 1 and AWAY not in window.screen()
    window.close()


def test_a_gateway_that_has_no_engine_yet_says_that_it_waits(gate: Gate, tmp_path: Path) -> None:
    """It runs: nobody is told to start it."""
    FleetFile(1, NOWHERE, "gateway", "password").write(tmp_path / "gate")
    gate.begin()
    status = gate.command.words(*WATCH[:-1])
    end = time.monotonic() + PATIENCE_SECONDS
    while AWAY in (said := gate.command.run(*status, code=Unreachable.exit_code).error):
        assert time.monotonic() < end, said
    assert "the gateway in gate waits for the engine: " in said and "hint: start the engine's nodes" in said


def test_in_a_pipe_one_follows_the_other_as_plain_text(gate: Gate) -> None:
    gate.start()
    watch = Running(gate.command, gate.command.words(*WATCH))
    for _ in range(2):
        watch.wait_for(HERE)
    gate.kill()
    watch.wait_for(AWAY)
    gate.start()
    watch.wait_for(HERE)
    said = watch.stop(signal.SIGINT)
    assert said.code == 0 and said.error == ""
    assert "\x1b" not in "".join([*watch.lines, said.out])
