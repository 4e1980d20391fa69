"""Gateways of a fleet as processes, set up as IT does it: `tessera fleet init`, then an invitation and `join` for each
other one. The engine is there already (nats_nodes.py).
"""

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tessera_host.errors import Unreachable
from tests.patience import PATIENCE_SECONDS
from tests.support.nats_nodes import PASSWORD, STARTING, USER, cpu_seconds_of

_TESSERA = (sys.executable, "-m", "tessera_host")


def tessera(*words: object, patience: float = 0.0) -> str:
    """A command as IT types it; what it said. patience: seconds in which it is typed again while
    nodes of the engine do not answer, or do not know each other."""
    end = time.monotonic() + patience
    while True:
        run = subprocess.run([*_TESSERA, *map(str, words)], capture_output=True, text=True)
        waits = run.returncode == Unreachable.exit_code or STARTING in run.stderr
        if not waits or time.monotonic() > end:
            break
    assert run.returncode == 0, f"tessera {' '.join(map(str, words))}: {run.stdout}{run.stderr}"
    return run.stdout


class GatewayProcess:
    """`tessera serve` of one gateway, at an address of its own; alone: of a relay that is in no fleet. options: of the
    command, besides."""

    alone = False
    options: Sequence[object] = ()

    def __init__(self, number: int, directory: Path, host: str, port: int) -> None:
        self.number, self.directory, self.host, self.port = number, directory, host, port
        self._said = directory.parent / f"{directory.name}.said"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def said(self) -> str:
        return self._said.read_text(errors="replace") if self._said.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        assert self._process
        return cpu_seconds_of(self._process)

    def start(self) -> None:
        """It is not waited for: while the engine is off it does not serve."""
        directory = ("--storage", self.directory) if self.alone else (self.directory,)
        words = ("serve", *directory, "--host", self.host, "--port", self.port, *self.options)
        command = [*_TESSERA, *map(str, words)]
        with self._said.open("ab") as said:
            self._process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As a service is stopped."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    async def serves(self) -> None:
        """Until somebody can connect."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(self.host, self.port)
                    writer.close()
                    return
                if not self.is_on:
                    raise AssertionError(f"gateway {self.number} does not run: {self.said}")
                await asyncio.sleep(0.1)


async def grown(gateways: Sequence[GatewayProcess], urls: Sequence[str], *more: object) -> None:
    """The first one's directory is a relay's that never ran; all of them serve then. urls: the log's address, for each.
    Without any: a relay alone. more: options of `fleet init` and `join`."""
    first = gateways[0]
    if not urls:
        first.alone = True
        first.start()
        await first.serves()
        return
    with tempfile.TemporaryDirectory(prefix="tessera-fleet-") as folder:
        password, code = Path(folder, "password"), Path(folder, "code")
        password.write_text(PASSWORD)
        engine = ("--engine-user", USER, "--engine-password-file", password, *more)
        init = ("fleet", "init", first.directory, "--storage", urls[0], *engine)
        await asyncio.to_thread(tessera, *init, patience=PATIENCE_SECONDS)  # nodes that are new choose a leader first
        first.start()
        await first.serves()
        for gateway, url in zip(gateways[1:], urls[1:], strict=True):
            gateway.directory.mkdir()
            for name in ("relay.json", "parameters"):
                shutil.copy(first.directory / name, gateway.directory)
            code.write_text(json.loads(await _tessera("fleet", "invite", first.directory, "--json"))["code"])
            await _tessera("fleet", "join", gateway.directory, "--storage", url, *engine, "--code-file", code)
            gateway.start()
            await gateway.serves()


async def _tessera(*words: object) -> str:
    return await asyncio.to_thread(tessera, *words)
