"""Everything that must hold before a commit: checks, and the tests of each runtime.

Usage: python -m tests.run [STEP...]    (all without arguments; --list names them)

The test folders of the chosen steps make one pytest session, its files spread over three workers more than there
are processors (many tests wait). The other steps run beside it, one after the other. Every step runs even if another
failed. At the end: a table of counts by row (its seconds are the tests' own, which overlap), the twenty slowest tests
of all runtimes, and as the last line `N passed, N failed` (`, N skipped`); a check counts as one. Exit status 1 if
anything failed. Run it with the virtual environment's Python (`make test` does). README.md beside this file says how
the suites are laid out.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.tally import Tally, read_tally, slowest

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
PYTHON_FOLDERS = ("firmware", "boards", "host", "tools", "tests")
ARCHITECTURES = ("x64", "armv6m", "armv7emsp", "xtensawin", "rv32imc")
PLATFORMS = ("linux", "win32", "darwin")
PROCESSORS = os.cpu_count() or 1
TIMEOUT_SECONDS = 3600  # for a whole program; it measures nothing
SLOWEST = 20
CHECKS = "checks"  # the row of the table for lint, types and the like
WAITING = 3  # about so many workers wait for a round or a relay at any time

# What a pytest or MicroPython run needs from the set-up; setup.sh puts the programs beside the virtual environment.
PROGRAMS = {
    "TESSERA_MICROPYTHON": "micropython",
    "TESSERA_MICROPYTHON_FROZEN": "micropython-tessera",
    "TESSERA_MPY_CROSS": "mpy-cross",
    "TESSERA_EMULATOR": "../emulator/source/emulator.mjs",
}
IMAGE = ROOT / "build" / "RPI_PICO" / "firmware.uf2"  # `make image` makes it

# Where tests have their files, if there is room and programs may be run from there: they replace and sync thousands.
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 << 30  # far above what they make

_output = threading.Lock()
_stopped = threading.Event()  # by Ctrl-C: no further program is started


@dataclass(frozen=True)
class Ended:
    status: int
    output: str


@dataclass(frozen=True)
class Folder:
    """A folder of pytest's."""

    name: str
    row: str  # the line of the closing table that its counts belong to
    path: str


@dataclass(frozen=True)
class Beside:
    """A step that is not pytest's. `alone`: no pytest session shares the processors with it."""

    name: str
    row: str
    run: Callable[[bool], Tally]


def say(text: str) -> None:
    """Prints whole lines; steps run side by side."""
    with _output:
        print(text, flush=True)


def emphasise(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def run_program(*command: str | Path, hear: Callable[[str], None] | None = None) -> Ended:
    """Runs a program in the tree to its end; hear gets each line of its output as it comes."""
    if _stopped.is_set():
        return Ended(1, "stopped")
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    overtime = threading.Timer(TIMEOUT_SECONDS, process.kill)
    overtime.start()
    lines = []
    try:
        for line in process.stdout or ():
            lines.append(line)
            if hear:
                hear(line.rstrip("\n"))
        status = process.wait()
    finally:
        overtime.cancel()
    return Ended(status, "".join(lines))


# --- Checks ----------------------------------------------------------------------------------------------------------


def check(name: str, *commands: tuple[str | Path, ...]) -> Beside:
    """Python programs that are right or wrong as a whole; what they print is shown if they are wrong."""
    return programs(name, [(sys.executable, *command) for command in commands])


def programs(name: str, commands: list[tuple[str | Path, ...]]) -> Beside:
    """Programs that run side by side where nothing else does."""

    def run(alone: bool) -> Tally:
        start = time.monotonic()
        with ThreadPoolExecutor(PROCESSORS if alone else 1) as pool:
            ended = list(pool.map(lambda command: run_program(*command), commands))
        seconds = time.monotonic() - start
        wrong = [end for end in ended if end.status]
        if wrong:
            say(emphasise(f"== {name}: failed") + "\n" + "".join(end.output for end in wrong))
        else:
            say(f"== {name}: passed ({seconds:.1f} s)")
        return Tally(passed=not wrong, failed=bool(wrong), seconds={name: seconds})

    return Beside(name, CHECKS, run)


def types() -> Beside:
    """mypy as it is set up, the host package once more as other platforms see it, the stubs of the core, and calls in
    what runs seldom. A cache each: mypy forgets what it knew of a module when the platform changes."""
    mypy = ("-m", "mypy", "--no-error-summary")
    as_here, *others = (
        (*mypy, "--platform", platform, "--cache-dir", f".mypy_cache/{platform}") for platform in PLATFORMS
    )
    stubs = sorted(f"tessera.{stub.stem}" for stub in (ROOT / "firmware" / "tessera").glob("[!_]*.pyi"))
    stubtest = ("-m", "mypy.stubtest", "--concise", "--mypy-config-file", "pyproject.toml", *stubs)
    calls = ("-m", "tests.calls")
    return check("types", as_here, *((*command, "host/tessera_host") for command in others), stubtest, calls)


def mpy_cross() -> Beside:
    """mpy-cross compiles every file of the device's code for the architecture of every board."""
    compiler = Path(sys.prefix).parent / "bin" / PROGRAMS["TESSERA_MPY_CROSS"]
    sources = [
        source
        for source in sorted((ROOT / "firmware").rglob("*.py"))
        if not source.name.startswith("manifest") and "modules" not in source.parts  # run by the build
    ]
    return programs(
        "mpy-cross",
        [
            (os.environ.get("TESSERA_MPY_CROSS", compiler), f"-march={architecture}", "-o", "/dev/null", source)
            for source in sources
            for architecture in ARCHITECTURES
        ],
    )


# --- Runners of ours -------------------------------------------------------------------------------------------------


def runner(name: str, row: str, module: str, *arguments: str | Path) -> Beside:
    """A program that takes --tally FILE and --jobs N."""

    def run(alone: bool) -> Tally:
        say(emphasise(f"== {name}"))
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "tally.json")
            options = ("--tally", report, "--jobs", str(PROCESSORS if alone else 1))
            status = run_program(sys.executable, "-m", module, *options, *arguments, hear=say).status
            tally = read_tally(report) if report.exists() else Tally()
        return at_least_one_failure(name, tally, status)

    return Beside(name, row, run)


def at_least_one_failure(name: str, tally: Tally, status: int) -> Tally:
    """No tests, a crash of the runner or an error outside a test never counts as success."""
    if tally.failed or (status == 0 and tally.passed):
        return tally
    say(f"{name}: " + (f"exit status {status} without a failed test" if tally.passed else "no test passed"))
    return tally + Tally(failed=1)


# --- pytest ----------------------------------------------------------------------------------------------------------


def run_pytest(folders: list[Folder]) -> dict[str, Tally]:
    """One session over the folders: their tallies by row. They come from the report file, so a run that dies before it
    reports has failed."""
    say(emphasise(f"== {' '.join(folder.name for folder in folders)}"))
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.xml")
        spread = ("-n", str(PROCESSORS + WAITING), "--dist", "loadfile", "--no-loadscope-reorder")
        options = ("-q", "-m", "not long", *spread, f"--junitxml={report}", *own_folder())
        paths = [folder.path for folder in folders]
        status = run_program(sys.executable, "-m", "pytest", *options, *paths, hear=say).status
        rows = read_junit(report, folders) if report.exists() else {folder.row: Tally() for folder in folders}
    if any(tally.failed for tally in rows.values()):
        status = 0  # it is accounted for
    first, *others = rows
    ended = {first: at_least_one_failure(first, rows[first], status)}
    return ended | {row: at_least_one_failure(row, rows[row], 0) for row in others}


def read_junit(report: Path, folders: list[Folder]) -> dict[str, Tally]:
    """An error outside the folders (of pytest itself) is the first one's."""
    rows = {folder.row: Tally() for folder in folders}
    prefixes = {folder.path.replace("/", ".") + ".": folder.row for folder in folders}
    for case in ElementTree.parse(report).iter("testcase"):
        module, name = case.get("classname", ""), case.get("name", "")
        where = module or name  # a file that could not be imported has no class name
        row = next((row for prefix, row in prefixes.items() if where.startswith(prefix)), folders[0].row)
        file = module.replace(".", "/") + ".py"
        rows[row] += Tally(seconds={f"{file}::{name}": float(case.get("time", 0))})
        if case.find("failure") is not None or case.find("error") is not None:
            rows[row].failed += 1
        elif case.find("skipped") is not None:
            rows[row].skipped += 1
        else:
            rows[row].passed += 1
    return rows


# --- The steps -------------------------------------------------------------------------------------------------------

STEPS: tuple[Folder | Beside, ...] = (
    check("lint", ("-m", "ruff", "check", *PYTHON_FOLDERS)),
    check("spelling", ("-m", "codespell_lib", *PAGES, "docs", *PYTHON_FOLDERS)),
    check("words", ("-m", "tools.docs.words")),
    check("format", ("-m", "ruff", "format", "--check", *PYTHON_FOLDERS)),
    types(),
    check("vectors", ("-m", "tools.spec.vectors", "--check")),
    check("documents", ("-m", "tools.docs", "--check")),
    check("site", ("-m", "mkdocs", "build", "--strict")),
    mpy_cross(),
    check("c-stack", ("-m", "tools.build.c_stack", Path(sys.prefix).parent / "callgraph")),
    check("boards", ("-m", "tools.build.check_boards")),
    Folder("cpython", "core on CPython", "tests/core"),
    runner("micropython", "core on MicroPython", "tests.run_micropython", "--kept"),
    runner("small-heap", "core in a small heap", "tests.run_micropython", "--small"),
    runner("board", "core on the RP2040", "tests.run_on_board", "--quick", IMAGE),
    Folder("field", "field of the curve", "tests/field"),
    Folder("host", "host", "tests/host"),
    Folder("powercut", "power cuts", "tests/powercut"),
    Folder("fuzz", "hostile input", "tests/fuzz"),
    Folder("attacks", "attacks", "tests/attacks"),
    Folder("soak", "soak", "tests/soak"),
    Folder("cluster", "cluster", "tests/cluster"),
    Folder("fleet", "fleet", "tests/fleet"),
    Folder("mutants", "mutants", "tests/mutants"),
    Folder("emulated", "image and emulator", "tests/emulated"),
    Folder("system", "system", "tests/system"),
    Folder("radio", "Pico W", "tests/radio"),
)
# What needs more than packages have, and what to give for it.
NEEDS = {"radio": ("MICROPY_DIR", "a Pico W in the emulator: make test-radio MICROPY_DIR=… (docs/it/install.md)")}


def run_steps(steps: list[Folder | Beside]) -> dict[str, Tally]:
    """The tallies by row, in the order of the steps."""
    folders = [step for step in steps if isinstance(step, Folder)]
    others = [step for step in steps if isinstance(step, Beside)]
    rows = {step.row: Tally() for step in steps}
    with ThreadPoolExecutor(1) as pool:
        session = pool.submit(run_pytest, folders) if folders else None
        try:
            for step in others:
                rows[step.row] += step.run(not session or session.done())
            for row, tally in session.result().items() if session else ():
                rows[row] += tally
        except KeyboardInterrupt:
            _stopped.set()  # what runs has been interrupted too
            raise
    return rows


def print_table(rows: dict[str, Tally]) -> None:
    print(f"\n{'':22}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for name, tally in rows.items():
        print(f"{name:22}{tally.passed:8}{tally.failed:8}{tally.skipped:9}{sum(tally.seconds.values()):9.1f}")


@contextlib.contextmanager
def files_in_memory() -> Iterator[None]:
    """What is temporary lies in memory, if there is such a place; it goes at the end."""
    usable = os.access(MEMORY, os.W_OK) and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    if not usable or shutil.disk_usage(MEMORY).free < MEMORY_BYTES:
        yield
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="t-", ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        yield
        del os.environ["TMPDIR"]
        tempfile.tempdir = None


def own_folder() -> Iterator[str]:
    """The option of pytest for short paths there: sockets lie in them, whose names have a hundred bytes at most."""
    if Path(tempfile.gettempdir()).is_relative_to(MEMORY):
        yield f"--basetemp={tempfile.gettempdir()}/p"


def set_programs(checks_only: bool) -> None:
    """Checks need what every set-up makes; the emulator is asked for by those who need it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as in the Makefile: tests start thousands of interpreters
    folder = Path(sys.prefix).parent / "bin"
    for variable, program in PROGRAMS.items():
        path = os.environ.setdefault(variable, str(folder / program))
        if not os.access(path, os.X_OK) and not (checks_only and program == PROGRAMS["TESSERA_EMULATOR"]):
            sys.exit(f"{variable}: no program at {path}. `make test` sets up what it needs.")


def choose_steps(names: list[str]) -> list[Folder | Beside]:
    known = [step.name for step in STEPS]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no step named {', '.join(unknown)}. Steps: {' '.join(known)}")
    return [step for step in STEPS if step.name in names or (not names and step.name not in left_out())]


def left_out() -> dict[str, str]:
    """Steps that are not run unless they are asked for, each with what it is and how to run it."""
    return {name: text for name, (variable, text) in NEEDS.items() if not os.environ.get(variable)}


def main() -> int:
    names = sys.argv[1:]
    if names == ["--list"]:
        print("\n".join(step.name for step in STEPS))
        return 0
    steps = choose_steps(names)
    set_programs(all(step.row == CHECKS for step in steps))
    start = time.monotonic()
    with files_in_memory():
        rows = run_steps(steps)
    print_table(rows)
    times = {f"{row}: {test}": duration for row, tally in rows.items() for test, duration in tally.seconds.items()}
    print(f"\nslowest, of {time.monotonic() - start:.0f} s in all:\n{slowest(times, SLOWEST)}")
    if failed := [row for row, tally in rows.items() if tally.failed]:
        print(emphasise(f"\nfailed: {', '.join(failed)}"))
    for name, text in left_out().items() if not names else ():
        print(f"\nnot run: {name}, {text}")
    total = sum(rows.values(), Tally())
    print(f"\n{total}")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
