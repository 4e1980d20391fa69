"""The relays of the cluster suite: processes that are started, killed with SIGKILL, their directories deleted."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tessera_host.relay import process
from tests.patience import PATIENCE_SECONDS
from tests.support.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
CPYTHON, MICROPYTHON = "cpython", "micropython"
_PROGRAM = Path(__file__).with_name("node.py")


class NodeProcess:
    """One relay at its port. Its directory is there when it is started, or it is not started."""

    def __init__(self, name: str, folder: Path, port: int, runtime: str, time_file: Path) -> None:
        self.name, self.directory, self.port = name, folder / name, port
        self._runtime, self._time = runtime, time_file
        self._said = folder / f"{name}.said"
        self._seen = folder / f"{name}.seen"
        self._process: subprocess.Popen[bytes] | None = None
        self.complaints: list[str] = []

    def _command(self) -> tuple[list[str], Mapping[str, str]]:
        arguments = [str(_PROGRAM), str(self.directory), str(self.port), str(self._time)]
        if self._runtime == MICROPYTHON:
            return [str(process.binary()), "-X", f"heapsize={process.HEAP_KIB}k", *arguments], os.environ
        return [sys.executable, *arguments], os.environ | {"PYTHONPATH": str(ROOT / "firmware")}

    def start(self) -> None:
        """Until it serves."""
        command, environment = self._command()
        self._seen.write_bytes(bytes(8))
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        for _ in range(100 * PATIENCE_SECONDS):
            if b"serving\n" in self._said.read_bytes():
                return
            assert self.is_on, f"{self.name} did not start: {self._said.read_text(errors='replace')}"
            time.sleep(0.01)
        raise AssertionError(f"{self.name} does not start")

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def seen(self) -> int:
        """What it saw of the time before its last turn, in milliseconds."""
        return int.from_bytes(self._seen.read_bytes(), "little")

    def kill(self) -> None:
        """SIGKILL; what it said besides that it serves is a complaint."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None
        said = self._said.read_text(errors="replace").splitlines()
        self.complaints += [line for line in said if line != "serving"]

    def burn(self) -> None:
        """Killed, and its directory is gone."""
        self.kill()
        shutil.rmtree(self.directory)


class Nodes:
    """All of them, by name; a context manager that kills them."""

    def __init__(self, folder: Path, names: list[str], runtime: str, time_file: Path) -> None:
        first = free_ports(len(names))
        self.by_name = {
            name: NodeProcess(name, folder, first + number, runtime, time_file) for number, name in enumerate(names)
        }

    def __iter__(self) -> Iterator[NodeProcess]:
        return iter(self.by_name.values())

    def on(self) -> list[NodeProcess]:
        return [node for node in self if node.is_on]

    def seen(self) -> Iterator[int]:
        """Of those that run."""
        return (node.seen for node in self if node.is_on)

    def __enter__(self) -> "Nodes":
        return self

    def __exit__(self, *_: object) -> None:
        for node in self:
            node.kill()
