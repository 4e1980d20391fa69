"""The commands as a person runs them: every one a process of its own (nursery.py), and everything it says is kept.

Owns how a command is run and what holds for all of them: the exit status that was expected, no traceback, with --json
exactly one JSON object. What a command should say is the test's business.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tessera_host.issuer.store import TABLES
from tessera_host.keys.keystore import Keystore
from tessera_host.keys.keystore_database import KeystoreDatabase
from tessera_host.protocol import cards
from tests.patience import PATIENCE_SECONDS
from tests.support.nursery import Nursery
from tools.emulator.clock import Clock

TESSERA = Path(sys.executable).with_name("tessera")
NURSERY = Nursery()
ROOT = Path(__file__).resolve().parents[2]


def python_module(name: str, *arguments: object) -> list[str]:
    """The command that runs a module of the host package."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def run_program(command: list[str], folder: Path, environment: dict[str, str], typed: str) -> tuple[int, str, str]:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    return done.returncode, done.stdout, done.stderr


@dataclass(frozen=True)
class Said:
    out: str
    error: str
    code: int


class CommandLine:
    """Commands in a folder, with the passphrase in a file that the environment names.

    With a clock they live in the time of an emulated board (tools.emulator.hostprogram)."""

    def __init__(self, folder: Path, passphrase: str, clock: Clock | None = None, nursery: Nursery = NURSERY) -> None:
        self.folder = folder
        self._clock, self._nursery = clock, nursery
        self.passphrase_file = folder / "passphrase"
        self.passphrase_file.write_text(passphrase + "\n")
        self.transcript: list[str] = []
        own = {"HOME": str(folder), "TESSERA_PASSPHRASE_FILE": str(self.passphrase_file)}
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")} | own
        if clock:
            self.environment["PYTHONPATH"] = str(ROOT)

    def module(self, name: str, *arguments: object) -> list[str]:
        """The command that runs a module."""
        if self._clock:
            return python_module("tools.emulator.hostprogram", self._clock.path, name, *arguments)
        return python_module(name, *arguments)

    def words(self, *arguments: object) -> list[str]:
        """The command `tessera …`."""
        return self.module("tessera_host", *arguments) if self._clock else [str(TESSERA), *map(str, arguments)]

    def run(
        self, *command: object, code: int | tuple[int, ...] = 0, typed: str | None = None, **environment: str
    ) -> Said:
        """Run a program that ends with this exit status, or one of these. `typed` comes from its standard input,
        `environment` is added to it."""
        program, *words = (str(word) for word in command)
        whole = self.environment | environment
        if program == str(TESSERA):
            status, out, error = self._nursery.run(words, self.folder, whole, typed or "")
        else:
            status, out, error = run_program([program, *words], self.folder, whole, typed or "")
        said = Said(out, error, status)
        self.transcript += [said.out, said.error]
        assert "Traceback" not in said.error + said.out, said
        assert said.code in (code if isinstance(code, tuple) else (code,)), (command, said)
        return said

    def tessera(self, *arguments: object, **options: Any) -> str:
        """What `tessera …` printed."""
        return self.run(*self.words(*arguments), **options).out

    def json(self, *arguments: object, **options: Any) -> dict[str, Any]:
        """The one object that `tessera … --json` printed."""
        return one_object(self.run(*self.words(*arguments, "--json"), **options))

    def refused(self, code: int, *arguments: object, **options: Any) -> str:
        """The two lines on standard error of a command that fails with this exit status; the object says the same."""
        said = self.run(*self.words(*arguments, "--json"), code=code, **options)
        answer = one_object(said)
        assert said.error.startswith("error: ") and said.error.count("\n") == 2, said
        assert answer["error"] in said.error and answer["hint"] in said.error
        assert answer["exit_code"] == code
        return said.error

    def everything_said(self) -> bytes:
        """All output of all commands so far, and once more the payload of every card in it."""
        text = "\n".join(self.transcript)
        payloads = [cards.decode(word).payload for word in text.replace('"', " ").split() if is_card(word)]
        return text.encode() + b"".join(payloads)


def one_object(said: Said) -> dict[str, Any]:
    assert said.out.count("\n") == 1, said
    found = json.loads(said.out)
    assert isinstance(found, dict)
    return found


def is_card(word: str) -> bool:
    return word.startswith("tessera:") and word.count(":") == 2


@contextmanager
def running(command: CommandLine, *words: object, until: str) -> Iterator["Running"]:
    """A command that goes on: from the line of its output that is `until`, to the end of the block."""
    started = Running(command, [str(word) for word in words])
    try:
        started.wait_for(until)
        yield started
    finally:
        started.stop(signal.SIGTERM)


class Running:
    """A process that was started; its standard output line by line."""

    def __init__(self, command: CommandLine, words: list[str]) -> None:
        self._command = command
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            words,
            cwd=command.folder,
            env=command.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, wanted: str) -> str:
        """Read until a line has `wanted` in it; that line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if wanted in line:
                return self.lines[-1]
        raise AssertionError(f"ended without {wanted!r}: {self.lines}, {self.end()}")

    def stop(self, number: int) -> Said:
        """Send a signal and wait for the end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.end()

    def end(self) -> Said:
        """What it said from the last line read to its end; by force if it goes on for long."""
        if self.process.stdout is None or self.process.stdout.closed:
            return Said("", "", self.process.returncode)
        try:
            out, error = self.process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, error = self.process.communicate()
        self._command.transcript += [*self.lines, out, error]
        assert "Traceback" not in error + out, error
        return Said(out, error, self.process.returncode)


def descendants(pid: int) -> list[int]:
    """A process and all it has started that still run."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def visible_to_others(pid: int) -> bytes:
    """What `ps` shows of a process, and its environment, if it may be read at all."""
    process = Path(f"/proc/{pid}")
    with suppress(PermissionError):  # kept out of dumps: its environment is closed to others, too
        return process.joinpath("cmdline").read_bytes() + process.joinpath("environ").read_bytes()
    return process.joinpath("cmdline").read_bytes()


def leaves_no_dump(pid: int) -> bool:
    """Whether no core dump of a process is made, whatever its user says."""
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (line,) = [line for line in limits if line.startswith("Max core file size")]
    return line.split()[4:6] == ["0", "0"]


def secrets_of_keystore(path: Path, passphrase: str, kind: str) -> list[bytes]:
    """Every secret of 32 bytes in a keystore that is known as one by its name."""
    if kind == "issuer":
        return _secrets_of_issuer(path, passphrase)
    with Keystore.open(path, passphrase, kind) as store:
        return [*_named_secrets(store.data)]


def _secrets_of_issuer(path: Path, passphrase: str) -> list[bytes]:
    """Its tables, and what of that which is kept once has secrets: its names are not in the file."""
    with KeystoreDatabase.open(path, passphrase, "issuer") as store:
        kept = {name: store.data[name] for name in ("root_secret", "master", "service", "sets")}
        return [*_named_secrets([kept, *(row for name in TABLES for row in store.table(name).values())])]


SECRET_NAMES = {"secret", "master", "root_secret", "resume", "x", "root", "chain"}


def _named_secrets(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in SECRET_NAMES and isinstance(inner, bytes) and len(inner) == 32:
                yield inner
            yield from _named_secrets(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named_secrets(inner)


def secrets_of_relay(directory: Path) -> list[bytes]:
    configuration = json.loads((directory / "relay.json").read_text())
    return [bytes.fromhex(configuration[name]) for name in ("static_secret", "ledger_secret")]


def assert_absent(secrets: list[bytes], said: bytes) -> None:
    """None of the secrets is in what was said, as bytes or as hex."""
    assert secrets
    for secret in secrets:
        assert secret not in said
        assert secret.hex().encode() not in said.lower()
