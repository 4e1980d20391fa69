"""Commands from a process that has the host package imported: it forks one for each, which starts in milliseconds where
an interpreter takes half a second of a processor.

Owns how such a command is started and what is heard of it. A command has a process, a session, a working directory, an
environment and standard streams of its own, as from a shell. How the program starts by itself is tested where a command
goes on (command_line.Running) and where a test starts it at a terminal (test_unlock.py, test_meeting_terminal.py,
test_readme.py). As a program: the process that forks; it ends
with its standard input.
"""

import atexit
import contextlib
import errno
import fcntl
import gc
import hashlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_SECONDS

REQUEST_BYTES = 1 << 17


class Started:
    """A command that goes on; its streams are whoever's that started it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.pid = int(connection.recv(32))

    def end(self) -> int:
        """Wait for its end; its exit status. By force, if it goes on for long."""
        with self._connection:
            try:
                return int(self._connection.recv(32))
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)
                raise


class Nursery:
    """Starts the process at the first command; ends it with this one, or before."""

    def __init__(self, *modules: str, **environment: str) -> None:
        """Modules that commands load later than at their start; what the process needs that forks, such as a library of
        C's."""
        self._modules, self._environment = modules, environment
        self._folder: str | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, words: Sequence[str], folder: Path, environment: dict[str, str], typed: str) -> tuple[int, str, str]:
        """(exit status, standard output, standard error) of `tessera WORDS…`."""
        with (
            tempfile.TemporaryFile() as stdin,
            tempfile.TemporaryFile() as stdout,
            tempfile.TemporaryFile() as stderr,
        ):
            stdin.write(typed.encode())
            stdin.seek(0)
            started = self.start(words, folder, environment, [file.fileno() for file in (stdin, stdout, stderr)])
            status = started.end()
            for file in (stdout, stderr):
                file.seek(0)
            return status, stdout.read().decode(), stderr.read().decode()

    def start(self, words: Sequence[str], folder: Path, environment: dict[str, str], streams: Sequence[int]) -> Started:
        """`tessera WORDS…` on three streams; if they are a terminal, it is the terminal of its session."""
        request = json.dumps([list(words), str(folder), environment]).encode()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(PATIENCE_SECONDS)
        connection.connect(self._address())
        socket.send_fds(connection, [request], list(streams))
        return Started(connection)

    def _address(self) -> str:
        if self._folder is None:
            self._folder = tempfile.mkdtemp()
            command = [sys.executable, "-m", "tests.support.nursery", self._folder, *self._modules]
            self._process = process = subprocess.Popen(
                command,
                cwd=Path(__file__).parents[2],
                env=os.environ | self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            atexit.register(self.end)
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        return f"{self._folder}/socket"

    def end(self) -> None:
        """What has been started goes on."""
        if self._process is None:
            return
        atexit.unregister(self.end)
        self._process.communicate()
        assert self._folder is not None
        shutil.rmtree(self._folder)
        self._folder = self._process = None


def serve(folder: str, modules: Sequence[str]) -> None:
    import functools
    import importlib

    import typer.main

    from tessera_host import cli

    typer.main.get_command = functools.cache(typer.main.get_command)
    load(typer.main.get_command(cli.app))
    derive_once(Path(folder))
    sleep_past_moments()
    for name in modules:
        importlib.import_module(name)
    gc.freeze()  # or the collector's marks have every fork copy all of it
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{folder}/socket")
    listener.listen(16)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listener, 0], [], [])
        if listener not in ready:
            reap()
            return
        reap()
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            attend(connection)
            os._exit(0)
        connection.close()


def load(command: Any) -> None:
    """Prepare a command, and all commands in a group, so that forked processes need not: typer makes the parser of an
    option when the option is first given."""
    for parameter in command.params:
        parameter.get_runtime_param()
    for each in getattr(command, "commands", {}).values():
        load(each)


def derive_once(folder: Path) -> None:
    """What a passphrase and a salt come to is kept in this folder: scrypt is run by the first command that needs it;
    each of those after it would take a tenth of a second for the same."""
    from tessera_host.keys import keystore

    derive = keystore._derive

    def derived(phrase: str, salt: bytes) -> bytes:
        kept = folder / hashlib.sha256(salt + phrase.encode()).hexdigest()
        if not kept.exists():
            whole = kept.with_suffix(f".{os.getpid()}")
            whole.write_bytes(derive(phrase, salt))
            whole.rename(kept)
        return kept.read_bytes()

    keystore._derive = derived


def reap() -> None:
    """Those who attended to a connection and have ended; what they used of a processor counts as this one's then."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def attend(connection: socket.socket) -> None:
    """Fork the command that is asked for; say its process and, when it ended, its status."""
    request, streams, _, _ = socket.recv_fds(connection, REQUEST_BYTES, 3)
    words, folder, environment = json.loads(request)
    pid = os.fork()
    if pid == 0:
        connection.close()
        be_command(words, folder, environment, streams)
    for stream in streams:
        os.close(stream)
    connection.send(b"%d" % pid)
    _, status = os.waitpid(pid, 0)
    connection.send(b"%d" % os.waitstatus_to_exitcode(status))


def sleep_past_moments() -> None:
    """Under libfaketime a sleep whose end has come before the system is asked raises EINVAL, where a kernel returns:
    on a busy computer every short one may."""
    asleep = time.sleep

    def sleep(seconds: float) -> None:
        try:
            asleep(seconds)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise

    time.sleep = sleep


def take_terminal() -> None:
    """As a program has it that begins there: keys interrupt it, and what it says is shown line by line."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = open(number, "w" if number else "r", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def be_command(words: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> None:
    from tessera_host import cli

    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if os.isatty(0):
        take_terminal()
    sys.argv = ["tessera", *words]
    code = 1
    try:
        code = cli.run(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
