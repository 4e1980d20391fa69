"""A relay on MicroPython's unix port as a process of this program: start, wait until it serves, stop, kill.

Owns the process. Leaves to others: the relay's directory (host/tessera_host/issuer/relay_directory.py), what the relay
does (the core), building the binary (tools/build/setup.sh; `make` says where it is in the variable
TESSERA_MICROPYTHON_FROZEN), many processes at once (cluster/).
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tessera.announcement import READY

from ..errors import TesseraError, Unreachable, UsageError

BINARY_VARIABLE = "TESSERA_MICROPYTHON_FROZEN"
BINARY = "micropython-tessera"
HEAP_KIB = 192
START_SECONDS = 60
STOP_SECONDS = 10


def binary() -> Path:
    """Find MicroPython with the core frozen in: the one that the set-up names, or `micropython-tessera` on the path.
    Raises UsageError."""
    named = os.environ.get(BINARY_VARIABLE)
    path = Path(named) if named and Path(named).exists() else shutil.which(BINARY)
    if path is None:
        raise UsageError(
            "MicroPython with the relay in it is not built",
            "in a clone of the repository: `make setup`, then "
            'export PATH="$(tools/build/setup.sh --where)/bin:$PATH"; or let `make run` or `make demo` do it',
        )
    return Path(path)


def command(directory: Path, port: int, heap_kib: int = HEAP_KIB) -> list[str]:
    """The command line that runs a relay on MicroPython with a heap of heap_kib KiB. Raises UsageError if it is not
    built."""
    relay = ["-m", "relay_unix", str(directory), "--port", str(port), "--report"]
    return [str(binary()), "-X", f"heapsize={heap_kib}k", *relay]


def check_free(port: int, hint: str, name: str = "") -> None:
    """Raises Unreachable, with this hint, if this port cannot be listened at. name: of what will listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a relay does: what has ended is no program
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            what = f"{port} of this computer" + (f", for {name}," if name else "")
            raise Unreachable(f"port {what} cannot be used: {error.strerror}", hint) from None


class RelayProcess:
    """A relay under a 192 KiB heap; a context manager that stops it. `lines` are what it printed so far."""

    def __init__(self, directory: Path, port: int, heap_kib: int = HEAP_KIB) -> None:
        self.directory = directory
        self.port = port
        self.lines: list[str] = []
        self._heap_kib = heap_kib
        self._serving = threading.Event()
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Start the relay and wait until it serves. Raises Unreachable, with its last line, if it does not."""
        self.lines.clear()
        self._serving.clear()
        process = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is for this program, which then stops the relay in order
        )
        reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        reader.start()
        self._process, self._reader = process, reader  # whoever ends it from another thread finds both
        if not self._serving.wait(START_SECONDS) or not self.started:
            self.kill()
            said = self.lines[-1] if self.lines else "it printed nothing"
            raise Unreachable(
                f"the relay did not start at port {self.port}: {said}",
                "if another program uses this port, choose another one: --port",
            )
        return self

    def _command(self) -> list[str]:
        return command(self.directory, self.port, self._heap_kib)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))
            if self.lines[-1] == READY:
                self._serving.set()
        self._serving.set()  # it ended: whoever waits need not wait longer

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def started(self) -> bool:
        """Whether it has begun to serve."""
        return READY in self.lines

    def wait(self) -> None:
        """Wait until it ends by itself."""
        if self._process is not None:
            self._process.wait()
            self._reader.join()

    def stop(self) -> dict[str, Any]:
        """Stop it with SIGINT; its closing report: runtime, curve_tier, heap_peak_bytes. Raises TesseraError if it has
        none."""
        self._end(signal.SIGINT)
        try:
            report: dict[str, Any] = json.loads(self.lines[-1])
        except (IndexError, ValueError):
            raise TesseraError(
                "the relay did not stop cleanly; start it again",
                "its last lines were: " + " / ".join(self.lines[-3:]),
            ) from None
        return report

    def kill(self) -> None:
        """End it at once, as a power cut would (SIGKILL)."""
        if sys.platform == "win32":
            self._end(signal.SIGTERM)  # as hard, there
        else:
            self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.kill()
