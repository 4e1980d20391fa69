"""The board's network: a process in a network namespace of its own holds the TUN device, so that boards never collide
with each other or with the host's addresses; a TCP port of the host's 127.0.0.1 leads to one of the board. The board
finds a network clock at the host's end of its line (bridge.LOCAL), and may be asked for its name there.

The process inherits the listening socket, which belongs to the namespace it was made in; `python -m
tools.emulator.network` is that process. A line of its standard input is a name to ask for; it ends with the input. It
says "link up" when the board can be reached, and "NAME is ADDRESS".
"""

import argparse
import asyncio
import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tools.emulator import mdns, timeserver
from tools.emulator.bridge import GUEST, LOCAL, Bridge
from tools.emulator.clock import Clock
from tools.emulator.forward import forward
from tools.emulator.program import EmulatorError
from tools.emulator.tun import DEVICE, switch_on

ROOT = Path(__file__).resolve().parents[2]
# With the right to it, else as the root of a user namespace of one's own.
UNSHARE = (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"])
LINK_UP = b"link up\n"
ASK_SECONDS = 1.0  # of the board, after which a name is asked for again (RFC 6762 §5.2)


class Network:
    """Connects the board's line (the socket of its UART, or of its radio's air) to a namespace; `port` of 127.0.0.1
    leads to the board's `guest_port`."""

    def __init__(
        self, line: Path, guest_port: int, port: int, clock: Clock, *, realtime: bool, radio: bool = False
    ) -> None:
        """Port 0 takes a free one. The network clock there tells the board's own time, with `realtime` this
        computer's. EmulatorError if namespaces or TUN devices are not to be had."""
        self._clock = clock
        listener = socket.create_server(("127.0.0.1", port))
        self.port: int = listener.getsockname()[1]
        options = ["--listener", str(listener.fileno()), "--guest-port", str(guest_port)]
        options += ([] if realtime else ["--clock", str(clock.path)]) + (["--radio"] if radio else [])
        with listener:
            self._process = subprocess.Popen(
                [*namespace_command(), sys.executable, "-m", "tools.emulator.network", str(line), *options],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )
        self._said = b""

    def wait_for_link(self, timeout: float = 60) -> None:
        """Until the link has come up since this was called last (or since the start). TimeoutError after so many
        seconds of the board."""
        if self._clock.wait_for(partial(self._look, LINK_UP), timeout) is None:
            raise TimeoutError(f"the board has not brought its network up in {timeout} s")
        self._said = self._said.replace(LINK_UP, b"")

    def resolve(self, name: str, timeout: float = 10) -> str:
        """The address that the board says is NAME.local's. TimeoutError after so many seconds of the board."""
        assert self._process.stdin
        said = f"{name} is ".encode()
        lines = self._said.splitlines(keepends=True)
        self._said = b"".join(line for line in lines if not line.startswith(said))  # answers to who asked before
        for _ in range(math.ceil(timeout / ASK_SECONDS)):
            self._process.stdin.write(f"{name}\n".encode())
            self._process.stdin.flush()
            if self._clock.wait_for(partial(self._look, said), ASK_SECONDS):
                return self._said.partition(said)[2].partition(b"\n")[0].decode()
        raise TimeoutError(f"nobody answers to {name} in {timeout} s")

    def _look(self, words: bytes, real_seconds: float) -> bool | None:
        """Whether the process has said a line that begins so."""
        assert self._process.stdout
        while words not in self._said[: self._said.rfind(b"\n") + 1]:
            if not select.select([self._process.stdout], [], [], real_seconds)[0]:
                return None
            data = os.read(self._process.stdout.fileno(), 4096)
            if not data:
                raise EmulatorError(f"the network ended with status {self._process.wait()}")
            self._said += data
        return True

    def close(self) -> None:
        self._process.communicate()  # closes its standard input, on which it ends


def namespace_command() -> list[str]:
    for command in UNSHARE:
        if subprocess.run([*command, "true"], stderr=subprocess.DEVNULL).returncode == 0:
            return command
    raise EmulatorError(
        "network namespaces are not permitted here: run as root, or allow user namespaces "
        "(sysctl user.max_user_namespaces)"
    )


def why_impossible() -> str | None:
    """What keeps boards here from having a network, and what to do; None if nothing does."""
    try:
        command = namespace_command()
    except EmulatorError as error:
        return str(error)
    try_it = "from tools.emulator.tun import open_tun; open_tun('attempt', '10.77.0.1')"
    attempt = [*command, sys.executable, "-c", try_it]
    tried = subprocess.run(attempt, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    if tried.returncode == 0:
        return None
    return f"{DEVICE} cannot be used; as root: modprobe tun && chmod 666 {DEVICE}"


async def serve(
    line: Path, radio: bool, listener: socket.socket, guest_port: int, unix_nanos: Callable[[], int]
) -> None:
    bridge = Bridge(radio, up=lambda: print("link up", flush=True))
    tasks = [
        asyncio.create_task(bridge.run(line)),
        asyncio.create_task(forward(listener, GUEST, guest_port)),
        asyncio.create_task(timeserver.serve(LOCAL, unix_nanos)),
        asyncio.create_task(ask_for_names()),
    ]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    os._exit(0)  # at once: what is open ends with the board, and the thread that reads standard input cannot be ended


async def ask_for_names() -> None:
    """Those that standard input names, until it ends."""
    resolver = await mdns.resolver(LOCAL, lambda name, address: print(f"{name} is {address}", flush=True))
    while line := await asyncio.to_thread(sys.stdin.readline):
        resolver.ask(line.strip())


def main() -> None:
    parser = argparse.ArgumentParser(description="The network of one emulated board, inside its namespace.")
    parser.add_argument("line", type=Path, help="Unix socket of the board's UART, or of its radio's air")
    parser.add_argument("--radio", action="store_true", help="it is the latter")
    parser.add_argument("--listener", type=int, required=True, help="descriptor of a listening socket")
    parser.add_argument("--guest-port", type=int, required=True)
    parser.add_argument("--clock", type=Path, help="file with the board's time, which its network clock then tells")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that started the board
    try:
        switch_on("lo")
        unix_nanos = Clock(arguments.clock).nanos if arguments.clock else time.time_ns
        listener = socket.socket(fileno=arguments.listener)
        asyncio.run(serve(arguments.line, arguments.radio, listener, arguments.guest_port, unix_nanos))
    except PermissionError as error:
        sys.exit(f"{DEVICE}: {error.strerror}; as root: chmod 666 {DEVICE}")
    except FileNotFoundError as error:
        sys.exit(f"{error.filename}: not there; as root: modprobe tun")


if __name__ == "__main__":
    main()
