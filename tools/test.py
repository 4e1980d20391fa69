"""Everything that must hold before a commit, in order: checks, then the tests of each runtime.

Usage: test.py [STEP...]    (all without arguments; --list names them)

Every step runs even if an earlier one failed. The last line is `N passed, N failed` (`, N skipped`); a check counts as
one. Exit status 1 if anything failed. Run it with the virtual environment's Python (`make test` does).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
PYTHON_FOLDERS = ("firmware", "boards", "host", "tools", "tests")
ARCHITECTURES = ("x64", "armv6m", "armv7emsp", "xtensawin", "rv32imc")
STEP_TIMEOUT_SECONDS = 3600

# What a pytest or MicroPython run needs from the set-up; setup.sh puts the programs beside the virtual environment.
PROGRAMS = {
    "TESSERA_MICROPYTHON": "micropython",
    "TESSERA_MICROPYTHON_FROZEN": "micropython-tessera",
    "TESSERA_MPY_CROSS": "mpy-cross",
    "TESSERA_EMULATOR": "../emulator/source/emulator.mjs",
}
IMAGE = ROOT / "build" / "RPI_PICO" / "firmware.uf2"  # `make image` makes it


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
            self.seconds + other.seconds,
        )

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


@dataclass
class Step:
    name: str
    row: str  # the line of the closing table that its counts belong to
    run: Callable[[], Counts]


def run_command(*command: str | Path) -> int:
    """Runs a command in the tree with its output on ours; returns its exit status."""
    sys.stdout.flush()
    try:
        return subprocess.run(command, cwd=ROOT, timeout=STEP_TIMEOUT_SECONDS).returncode
    except subprocess.TimeoutExpired:
        print(f"no end after {STEP_TIMEOUT_SECONDS} s: {command[0]}")
        return 1


def check(*command: str | Path) -> Callable[[], Counts]:
    """A step that is right or wrong as a whole."""
    return lambda: Counts(passed=1) if run_command(sys.executable, *command) == 0 else Counts(failed=1)


def types() -> Counts:
    """mypy as it is set up, the host package once more as the other platforms see it, and the stubs of the core."""
    others = (("mypy", "--platform", platform, "host/tessera_host") for platform in ("win32", "darwin"))
    stubs = sorted(f"tessera.{stub.stem}" for stub in (ROOT / "firmware" / "tessera").glob("[!_]*.pyi"))
    stubtest = ("mypy.stubtest", "--concise", "--mypy-config-file", "pyproject.toml", *stubs)
    status = [run_command(sys.executable, "-m", *command) for command in (("mypy",), *others, stubtest)]
    return Counts(passed=1) if not any(status) else Counts(failed=1)


def compile_core() -> Counts:
    """mpy-cross compiles every file of the device's code for the architecture of every board."""
    good = True
    for source in sorted((ROOT / "firmware").rglob("*.py")):
        if source.name.startswith("manifest") or "modules" in source.parts:  # run by the build
            continue
        for architecture in ARCHITECTURES:
            command = (os.environ["TESSERA_MPY_CROSS"], f"-march={architecture}", "-o", "/dev/null", source)
            good &= run_command(*command) == 0
    return Counts(passed=1) if good else Counts(failed=1)


def pytest(folder: str, *options: str) -> Callable[[], Counts]:
    """A pytest run; its counts come from the report file, so a run that dies before it reports has failed."""

    def run() -> Counts:
        with tempfile.TemporaryDirectory() as scratch:
            report = Path(scratch, "report.xml")
            command = ("-m", "pytest", "-q", "-m", "not long", f"--junitxml={report}", *options, folder)
            status = run_command(sys.executable, *command)
            counts = read_junit(report) if report.exists() else Counts()
        return at_least_one_failure(counts, status)

    return run


def read_junit(report: Path) -> Counts:
    counts = Counts()
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            counts.failed += 1
        elif case.find("skipped") is not None:
            counts.skipped += 1
        else:
            counts.passed += 1
    return counts


def counted(*command: str | Path) -> Callable[[], Counts]:
    """A runner of ours: it takes --counts FILE."""

    def run() -> Counts:
        with tempfile.TemporaryDirectory() as scratch:
            report = Path(scratch, "counts.json")
            status = run_command(sys.executable, command[0], "--counts", report, *command[1:])
            counts = Counts(**json.loads(report.read_text())) if report.exists() else Counts()
        return at_least_one_failure(counts, status)

    return run


def at_least_one_failure(counts: Counts, status: int) -> Counts:
    """No tests, a crash of the runner or an error outside a test never counts as success."""
    if status != 0 and counts.failed == 0:
        counts.failed = 1
    return counts


STEPS = (
    Step("lint", "checks", check("-m", "ruff", "check", *PYTHON_FOLDERS)),
    Step("format", "checks", check("-m", "ruff", "format", "--check", *PYTHON_FOLDERS)),
    Step("types", "checks", types),
    Step("vectors", "checks", check("-m", "tools.spec.vectors", "--check")),
    Step("mpy-cross", "checks", compile_core),
    Step("c-stack", "checks", check("-m", "tools.build.c_stack", Path(sys.prefix).parent / "callgraph")),
    Step("boards", "checks", check("-m", "tools.build.check_boards")),
    Step("cpython", "core on CPython", pytest("tests/core", "-n", "2")),
    Step("micropython", "core on MicroPython", counted("tests/run_micropython.py")),
    Step("board", "core on the RP2040", counted("tools/run_on_board.py", "--quick", IMAGE)),
    Step("field", "field of the curve", pytest("tests/field", "-n", "2")),
    Step("host", "host", pytest("tests/host", "-n", "2")),
    Step("powercut", "power cuts", pytest("tests/powercut", "-n", "2")),
    Step("fuzz", "hostile input", pytest("tests/fuzz", "-n", "2")),
    Step("attacks", "attacks", pytest("tests/attacks", "-n", "2")),
    Step("soak", "soak", pytest("tests/soak", "-n", "2")),
    Step("emulated", "image and emulator", pytest("tests/emulated", "-n", "2")),
    Step("system", "system", pytest("tests/system", "-n", "3", "--dist", "loadgroup")),
)


def emphasise(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def print_table(rows: dict[str, Counts]) -> None:
    print(f"\n{'':22}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for name, counts in rows.items():
        print(f"{name:22}{counts.passed:8}{counts.failed:8}{counts.skipped:9}{counts.seconds:9.1f}")


def set_programs() -> None:
    folder = Path(sys.prefix).parent / "bin"
    for variable, program in PROGRAMS.items():
        path = os.environ.setdefault(variable, str(folder / program))
        if not os.access(path, os.X_OK):
            sys.exit(f"{variable}: no program at {path}. `make test` sets up what it needs.")


def choose_steps(names: list[str]) -> list[Step]:
    known = [step.name for step in STEPS]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no step named {', '.join(unknown)}. Steps: {' '.join(known)}")
    return [step for step in STEPS if step.name in names or not names]


def main() -> int:
    names = sys.argv[1:]
    if names == ["--list"]:
        print("\n".join(step.name for step in STEPS))
        return 0
    steps = choose_steps(names)
    set_programs()
    rows: dict[str, Counts] = {}
    failed_steps = []
    for step in steps:
        print(emphasise(f"\n== {step.name}"))
        start = time.monotonic()
        counts = step.run()
        counts.seconds = time.monotonic() - start
        rows[step.row] = rows.get(step.row, Counts()) + counts
        if counts.failed:
            failed_steps.append(step.name)
    print_table(rows)
    if failed_steps:
        print(emphasise(f"failed: {', '.join(failed_steps)}"))
    total = sum(rows.values(), Counts())
    print(f"\n{total}")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
