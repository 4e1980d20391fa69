"""Every target of `make help` starts, with the smallest amount of work that it knows, and so does every program that a
target runs. In `make test` each program at least imports all it needs; what takes minutes runs with the long tests.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LEAST = "LEAST=--least"
SECONDS = 600  # no target takes so long, on any computer

# Run to their end: target -> variables that make its work small.
QUICK = {
    "help": [],
    "demo": [],
    "results": [LEAST],
    "vectors": [LEAST],
    "c-stack": [],
}
# The soak and the bench hold a relay to seconds of the clock on the wall, which a busy computer misses.
SLOW = {
    "fuzz": [LEAST],  # daily: tests/fuzz/test_fuzz.py runs a target under atheris
    "soak": [LEAST],
    "soak-years": [LEAST],
    "mutants": [LEAST],
    "bench": [],
    "test-powercut": [LEAST],
    "test-attacks": [LEAST],
    "test-cluster": [LEAST],
    "test-fleet": [LEAST],
    "test-long": [LEAST],
    "test-board": ["FILES=tests/core/test_files.py"],
    "bench-bundle": [],
}
# Serve until Ctrl-C: target -> what says that they do.
SERVING = {"run": "serving", "serve": "serving"}
SLOW_SERVING = {"emulate": "Ctrl-C switches the board off."}
# Refused where something is missing that no package has: target -> the variable that names it.
NEEDS = {"test-radio": "MICROPY_DIR"}
# Not started here, and why.
NOT_STARTED = {
    "setup": "every other target starts with it",
    "image": "test-powercut and the others that need one start with it",
    "deb": "tests/system/test_debian.py builds the package and installs it; its program answers --help",
    "clean": "it removes what these tests run from",
    "test": "it runs these tests",
    "bench-device": "it builds a second image and measures for minutes; its program answers --help",
    "bench-fleet": "it measures for minutes; its programs answer --help",
    "bench-fields": "it installs compilers and emulators of three processors; its program answers --help",
    "bench-growth": "it measures for half an hour; its programs answer --help",
    "lint": "a step of make test",
    "docs": "steps of make test",
    "types": "a step of make test",
    "test-cpython": "a step of make test",
    "test-micropython": "steps of make test",
    "test-host": "a step of make test",
    "test-system": "a step of make test",
    "test-emulated": "a step of make test",
    "check-boards": "a step of make test",
}
# Programs that know no --help: they do their whole work, which a target above starts or `make test` does.
WITHOUT_HELP = {
    "tools.build.c_stack",
    "tools.build.check_boards",
    "tests.run",
}


def _environment() -> dict[str, str]:
    """As in a terminal: what an outer make told its children is not for this one."""
    inherited = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if name not in inherited}


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", *arguments]
    return subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=SECONDS)


def _targets() -> list[str]:
    return re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


def _programs() -> dict[str, list[str]]:
    """Every program of ours that a target runs: a file, or a module, with the words before it."""
    said = _make("-n", *(target for target in _targets() if target != "clean")).stdout
    found = {}
    for line in said.replace("\\\n", " ").splitlines():
        for command in re.split(r"&&|\|\|", line):
            words = [word for word in shlex.split(command) if word != "exec" and "=" not in word]
            if words[:1] and Path(words[0]).name == "python":
                length = 2 if words[1] == "-m" else 1
                found[words[length]] = words[1 : length + 1]
    return found


def test_every_target_of_the_help_is_known_here() -> None:
    known = [*QUICK, *SLOW, *SERVING, *SLOW_SERVING, *NEEDS, *NOT_STARTED]
    assert sorted(known) == sorted(_targets())


@pytest.mark.parametrize("target", QUICK)
def test_target_runs_to_its_end(target: str) -> None:
    done = _make(target, *QUICK[target])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.long
@pytest.mark.parametrize("target", SLOW)
def test_slow_target_runs_to_its_end(target: str, board_image: Path) -> None:
    done = _make(target, *SLOW[target])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("target", NEEDS)
def test_target_names_what_it_needs(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NEEDS[target], raising=False)
    done = _make(target)
    assert done.returncode != 0 and done.stdout == ""
    assert f"give {NEEDS[target]}=" in done.stderr and "Traceback" not in done.stderr


def _serves(target: str, says: str, *variables: str, **environment: str) -> None:
    command = ["make", target, *variables]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=_environment() | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        said = []
        for line in process.stdout:
            said.append(line)
            if says in line:
                os.killpg(process.pid, signal.SIGINT)
                break
        said += process.stdout
        process.wait(SECONDS)
    assert any(says in line for line in said), "".join(said)
    assert "Traceback" not in "".join(said), "".join(said)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("target", SERVING)
def test_target_serves_until_it_is_stopped(target: str, tmp_path: Path) -> None:
    variables = (f"PORT={_free_port()}", f"STORAGE={tmp_path / 'serve'}")
    # `make run` keeps its organisation in the user's data folder: here in one of the test's own.
    _serves(target, SERVING[target], *variables, XDG_DATA_HOME=str(tmp_path / "data"))


@pytest.mark.long
@pytest.mark.parametrize("target", SLOW_SERVING)
def test_slow_target_serves_until_it_is_stopped(target: str, tmp_path: Path, board_image: Path) -> None:
    options = f"EMULATE=--no-network --console-port {_free_port()}"
    _serves(target, SLOW_SERVING[target], f"PORT={_free_port()}", f"FLASH={tmp_path / 'flash.bin'}", options)


def test_every_program_of_a_target_starts_by_itself() -> None:
    """Without the folders that pytest adds to the path."""
    programs = _programs()
    assert {"tests.powercut.updatecuts", "tests.fuzz.fuzz", "tools.spec.vectors"} <= set(programs)
    assert set(programs) >= WITHOUT_HELP
    failed = {}
    for name in sorted(set(programs) - WITHOUT_HELP):
        command = [sys.executable, *programs[name], "--help"]
        done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=SECONDS)
        if done.returncode != 0 or "usage" not in done.stdout.lower():
            failed[name] = done.stdout[-500:] + done.stderr[-1500:]
    assert failed == {}


def test_steps_that_targets_name_are_steps_of_make_test() -> None:
    said = _make("-n", *(target for target, why in NOT_STARTED.items() if why.startswith(("a step", "steps")))).stdout
    named = {word for line in re.findall(r"-m tests\.run (.+)", said) for word in line.split()}
    listed = subprocess.run(
        [sys.executable, "-m", "tests.run", "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(named) > 5 and named <= set(listed)
    assert "boards" in listed  # what check-boards does
