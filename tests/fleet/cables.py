"""Cables between the processes of a play: a process of its own that passes on what comes, until one of them is cut.

    python -m tests.fleet.cables '{"NAME": ["LISTEN", "TARGET", ...], ...}'      addresses HOST:PORT

On stdin `cut NAME` and `mend NAME`; on stdout `ready`, and each line again once it is done. On a cable that is cut
nothing moves and nobody is told, as where every packet is lost: what was on its way arrives when it is mended. With
several targets a connection goes to any that takes it, as behind a balancer.

Owns the process and what a test does with it (Cables).
"""

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Cables:
    """The process, from outside. cables: of each its address and what is at the other end."""

    def __init__(self, cables: dict[str, tuple[str, ...]]) -> None:
        command = [sys.executable, "-m", "tests.fleet.cables", json.dumps(cables)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._expect("ready")

    def cut(self, *names: str) -> None:
        for name in names:
            self._do(f"cut {name}")

    def mend(self, *names: str) -> None:
        for name in names:
            self._do(f"mend {name}")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()

    def _do(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._expect(line)

    def _expect(self, line: str) -> None:
        assert self._process.stdout
        said = self._process.stdout.readline().rstrip("\n")
        assert said == line, f"the cables say {said!r} instead of {line!r}"


# -- the process


class _Cable:
    def __init__(self, targets: list[str]) -> None:
        self._targets = [(host, int(port)) for host, _, port in (each.rpartition(":") for each in targets)]
        self.ends: set[_End] = set()
        self.whole = asyncio.Event()
        self.whole.set()
        self._joining: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        self.whole.clear()
        for end in self.ends:
            end.transport.pause_reading()

    def mend(self) -> None:
        self.whole.set()
        for end in self.ends:
            end.go_on()

    def join(self, end: "_End") -> None:
        task = asyncio.create_task(self._join(end))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    async def _join(self, end: "_End") -> None:
        await self.whole.wait()
        for host, port in random.sample(self._targets, len(self._targets)):
            try:
                _, other = await asyncio.get_running_loop().create_connection(lambda: _End(self), host, port)
            except OSError:
                continue
            end.other, other.other = other, end
            for each in (end, other):
                each.go_on()
            return
        end.transport.abort()


class _End(asyncio.Protocol):
    """Of a connection through a cable: the one that came, or the one that was made for it."""

    transport: Any

    def __init__(self, cable: _Cable, came: bool = False) -> None:
        self._cable, self._came = cable, came
        self.other: _End | None = None
        self._full = False  # nothing more can be written to it for now

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.pause_reading()
        self._cable.ends.add(self)
        if self._came:
            self._cable.join(self)

    def go_on(self) -> None:
        if self._cable.whole.is_set() and self.other is not None and not self.other._full:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        self._full = True
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        if self.other is not None:
            self.other.go_on()

    def connection_lost(self, error: Exception | None) -> None:
        self._cable.ends.discard(self)
        if self.other is not None:
            self.other.transport.close()


async def _run(said: dict[str, list[str]]) -> None:
    loop = asyncio.get_running_loop()
    cables = {}
    for name, (listen, *targets) in said.items():
        cables[name] = cable = _Cable(targets)
        host, _, port = listen.rpartition(":")
        await loop.create_server(lambda cable=cable: _End(cable, came=True), host, int(port))
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        what, name = line.split()
        getattr(cables[name], what)()
        print(line, end="", flush=True)


if __name__ == "__main__":
    asyncio.run(_run(json.loads(sys.argv[1])))
