"""Runs the core tests on MicroPython's unix port, one process a file; pytest runs the same files on CPython.

Usage: python -m tests.run_micropython [-v] [--small] [--kept] [--tally FILE] [--jobs N] [TEST_FILE...]

TESSERA_MICROPYTHON names the plain binary, which compiles core and tests from source in a heap of 2 MB. A test file
may say otherwise in its first three lines:
    # heap: 192k            another heap
    # heap: 192k frozen     and the binary with the core frozen in (TESSERA_MICROPYTHON_FROZEN), as on a device
    # kept                  with --kept, what a run printed is taken from before while binary, sources and vectors are
                            the same (support/kept_runs.py): nothing that it does rests on chance or time
--small runs what `make test-board` runs, as it does (run_on_board.py): compiled tests, the core frozen in, vectors read
row by row, flash that is not memory, a board's share of what is tried in very many ways; and a heap of SMALL_HEAP. So a
test that needs more memory than a board has is noticed in seconds, whatever the board's own share leaves out.
--tally writes the counts and each test's seconds to FILE (tally.py). Exit status 1 if anything failed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.run_on_board import COMPUTERS_ONLY
from tests.support import kept_runs
from tests.tally import Tally, read_lines
from tools.emulator.testvolume import CORE_TESTS, FIRMWARE, IN_A_SMALL_HEAP, VECTORS, files_for, modules_in

MAIN = CORE_TESTS / "micropython_main.py"
DEFAULT_HEAP = "2m"
TIMEOUT_SECONDS = 1800  # an overall limit, no measure
HEAP_LINE = re.compile(r"# heap: (\d+[km])( frozen)?\s*$")
KEPT = "# kept"

# What the largest test needs, and a little. A board has 187,588 bytes, where many an object is half as large. A test
# that does not fit here any more may not fit there: `make test-board FILES=…` says.
SMALL_HEAP = "224k"
SECTORS = 128  # of a board's flash, that tests have
SMALL = """
import gc, sys
gc.threshold(32768)  # twice a board's (firmware/boot.py)
from tessera.filedevice import FileDevice
_folder = sys.path[0] = {folder!r}
_flash = FileDevice("{folder}/flash-{module}", {sectors})
{settings}
import micropython_main
sys.exit(1 if micropython_main.run({module!r}) else 0)
"""

Command = Callable[[Path], list[str | Path]]


@dataclass
class Outcome:
    file: Path
    output: str
    seconds: float
    tally: Tally


def program(variable: str) -> str:
    path = os.environ.get(variable, "")
    if not os.access(path, os.X_OK):
        sys.exit(f"{variable} must name a MicroPython binary (it is {path!r}). `make test-micropython` sets it.")
    return path


def choose_runtime(file: Path) -> tuple[str, str]:
    """The binary and the heap size that a test file asks for."""
    for line in file.read_text().splitlines()[:3]:
        if match := HEAP_LINE.match(line):
            return program("TESSERA_MICROPYTHON_FROZEN" if match[2] else "TESSERA_MICROPYTHON"), match[1]
    return program("TESSERA_MICROPYTHON"), DEFAULT_HEAP


def from_source(file: Path) -> list[str | Path]:
    """The command that runs a test file."""
    binary, heap = choose_runtime(file)
    return [binary, "-X", f"heapsize={heap}", MAIN, file]


def prepare(files: list[Path], folder: Path) -> Command:
    """Put into the folder what a board's file system has, and what is frozen in beside the core; the commands then."""
    device = modules_in(FIRMWARE / "device") | {"slots.py": FIRMWARE / "slots.py"}
    for path, content in files_for(files, device).items():
        folder.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(path).write_bytes(content)

    def command(file: Path) -> list[str | Path]:
        text = SMALL.format(folder=str(folder), module=file.stem, sectors=SECTORS, settings=IN_A_SMALL_HEAP)
        return [program("TESSERA_MICROPYTHON_FROZEN"), "-X", f"heapsize={SMALL_HEAP}", "-c", text]

    return command


def run_program(command: list[str | Path]) -> tuple[str, str]:
    """(what it printed, how it ended)."""
    try:
        process = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_SECONDS,
        )
        output, ended = process.stdout, f"exit status {process.returncode}"
    except subprocess.TimeoutExpired as error:
        output, ended = error.stdout or b"", f"no end after {TIMEOUT_SECONDS} s"
    return output.decode(errors="replace"), ended


def run_or_read(file: Path) -> tuple[str, str]:
    """The same from source, now or before."""
    binary, heap = choose_runtime(file)
    inputs = [Path(binary).read_bytes(), heap, file.read_bytes()]
    inputs.append(kept_runs.sources(CORE_TESTS, FIRMWARE / "tessera", VECTORS))
    outcome = kept_runs.kept(
        ["core on MicroPython", *inputs],
        lambda: json.dumps(run_program(from_source(file))).encode(),
        keeps=lambda outcome: json.loads(outcome)[1] == "exit status 0",
    )
    text, ended = json.loads(outcome)
    return text, ended


def run_file(file: Path, command: Command, kept: bool) -> Outcome:
    start = time.monotonic()
    if kept and KEPT in file.read_text().splitlines()[:3]:
        text, status = run_or_read(file)
    else:
        text, status = run_program(command(file))
    seconds = time.monotonic() - start
    tally = read_lines(text, file.name)
    if tally is None:
        text += f"FAIL  {file.name} ended without a count: {status}\n"
        tally = Tally(passed=len(re.findall("^ok ", text, re.MULTILINE)), failed=1)
    elif not tally.tests:
        text += f"FAIL  {file.name} holds no test\n"
        tally.failed = 1
    pace = min(1, seconds / (sum(tally.seconds.values()) or 1))  # what was kept took its time before
    tally.seconds = {test: took * pace for test, took in tally.seconds.items()}
    return Outcome(file, text, seconds, tally)


def print_outcome(outcome: Outcome, verbose: bool) -> None:
    if verbose or outcome.tally.failed:
        print(outcome.output, end="")
    print(f"{outcome.file.name:36} {outcome.tally}  ({outcome.seconds:.1f} s)", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the core tests on MicroPython.")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every test, not only those of failed files")
    parser.add_argument("--small", action="store_true", help="as `make test-board`, in a heap like a board's")
    parser.add_argument("--kept", action="store_true", help="take what is the same as before from there")
    parser.add_argument("--tally", type=Path, help="write counts and times to this file as JSON")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="files at once (one per processor)")
    parser.add_argument("files", nargs="*", type=Path, help="test files (all of tests/core without)")
    arguments = parser.parse_args()
    files = arguments.files or sorted(CORE_TESTS.glob("test_*.py"))
    if arguments.small:
        files = [file for file in files if file.name not in COMPUTERS_ONLY]
    if not files:
        sys.exit(f"no test_*.py in {CORE_TESTS}")

    total = Tally()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        command = prepare(files, Path(folder)) if arguments.small else from_source
        kept = arguments.kept and not arguments.small
        for outcome in pool.map(partial(run_file, command=command, kept=kept), files):
            print_outcome(outcome, arguments.verbose)
            total += outcome.tally
    if arguments.tally:
        total.write(arguments.tally)
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
