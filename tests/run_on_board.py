"""Runs the core tests on an emulated board, several files a boot with a soft reset between them, in deterministic mode.

Usage: python -m tests.run_on_board [-v] [--quick] [--with-core] [--tally FILE] [--jobs N] IMAGE [TEST_FILE...]

The image is the product's: tests and vectors are in a file system at the end of its flash (testvolume.py). --with-core
puts the relay core there too, for an image without one. A test file of what no board has is not run, and said so; a
test that takes more than a board's heap says so itself and counts as skipped. --quick leaves out files whose head says
`# board: long`: minutes of logic that no processor changes, has the others try less of what they try in very many ways,
and does not make a run again that it had before, of the same image and files (support/kept_runs.py). --tally writes the
counts and each test's seconds to FILE (tally.py). Exit status 1 if anything failed.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.support import kept_runs
from tests.tally import Tally, read_lines
from tools.emulator.execution import DONE, EXCEPTION, Execution, execute
from tools.emulator.littlefs_image import write_flash
from tools.emulator.program import EmulatorError
from tools.emulator.testvolume import CORE_TESTS, IN_A_SMALL_HEAP, OFFSET, PROLOGUE, fits, make_test_volume

GUEST_SECONDS = 1800  # a file
FILES_PER_BOOT = 5  # a boot and V8's warming up cost as much as a short file
LONG = "# board: long"
# What only computers have.
COMPUTERS_ONLY = {
    "test_device_ota.py": "its slots are an ESP32's",
    "test_filedevice.py": "a board's devices are its flash, not files",
    "test_ownership.py": "a board has neither other programs nor other users",
    "test_memory.py": "it starts other processes",
    "test_memory_esp32.py": "it starts other processes",
    "test_server.py": "the board has no loopback",
    "test_server_answers.py": "the board has no loopback",
}
CYCLES_PER_SECOND = 125_000_000
# The first program. A start that was interrupted leaves 30 KB in the heap; after the soft reset that comes next all of
# the programs have as much.
SETTLE = b"pass"
BEGIN = "== "  # before a file's output
PROGRAM = (
    "print({begin!r} + {module!r})\n"
    + (PROLOGUE + IN_A_SMALL_HEAP).replace("{", "{{").replace("}", "}}")
    + "check.quick = {quick}\nimport micropython_main\nmicropython_main.run({module!r})\n"
)
BETWEEN = b"\x04"  # programs (script.mjs)


@dataclass(frozen=True)
class Outcome:
    file: Path
    output: str
    tally: Tally
    guest_seconds: float


def why_not(file: Path, quick: bool) -> str | None:
    """Why the file is not run; None if it is."""
    if quick and LONG in file.read_text().splitlines()[:2]:
        return "takes minutes, `make test-board` runs it"
    return COMPUTERS_ONLY.get(file.name)


def run_files(image: Path, files: list[Path], with_core: bool, quick: bool) -> Iterator[Outcome]:
    """A boot; another one for what comes after a file that the board did not survive."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        flash, program = Path(folder, "flash.bin"), Path(folder, "program.py")
        write_flash(flash, OFFSET, make_test_volume(files, with_core))
        programs = (PROGRAM.format(begin=BEGIN, module=file.stem, quick=quick).encode() for file in files)
        program.write_bytes(BETWEEN.join([SETTLE, *programs]))
        run = kept_runs.execute if quick else execute
        execution = run(image, flash, program, guest_seconds=GUEST_SECONDS * len(files))
    pace = (time.monotonic() - start) * CYCLES_PER_SECOND / execution.cycles
    _, *begun = re.split(f"^{BEGIN}.*\n", execution.output, flags=re.MULTILINE)
    begun = begun or [execution.output]  # a board that does not start fails its first file
    for file, output in zip(files, begun, strict=False):
        yield read_outcome(file, output, execution, pace)
    if rest := files[len(begun) :]:
        yield from run_files(image, rest, with_core, quick)


def read_outcome(file: Path, output: str, execution: Execution, pace: float) -> Outcome:
    tally = read_lines(output, file.name)
    if tally is None:
        why = "an exception" if execution.status in (DONE, EXCEPTION) else f"status {execution.status}"
        output = f"{output}{execution.errors}\nFAIL  {file.name} ended with {why}"
        tally = Tally(passed=len(re.findall("^ok ", output, re.MULTILINE)), failed=1)
    elif not tally.tests:
        output = f"FAIL  {file.name} holds no test"
        tally = Tally(failed=1)
    guest_seconds = sum(tally.seconds.values())
    tally.seconds = {test: seconds * pace for test, seconds in tally.seconds.items()}
    return Outcome(file, output, tally, guest_seconds)


def print_outcome(outcome: Outcome, verbose: bool) -> None:
    if verbose or outcome.tally.failed:
        print(outcome.output)
    here = sum(outcome.tally.seconds.values())
    times = f"{outcome.guest_seconds:.1f} s on the board, {here:.1f} s here"
    print(f"{outcome.file.name:36} {outcome.tally}  ({times})", flush=True)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the core tests on an emulated board.")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every test, not only those of failed files")
    parser.add_argument("--with-core", action="store_true", help="the image has no relay core: bring it along")
    parser.add_argument("--quick", action="store_true", help="without the files that take minutes")
    parser.add_argument("--tally", type=Path, help="write counts and times to this file as JSON")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="boards at once (one per processor)")
    parser.add_argument("image", type=Path, help="firmware.uf2")
    parser.add_argument("files", nargs="*", type=Path, help="test files (all of tests/core without)")
    return parser.parse_args()


def deal(files: list[Path], jobs: int, with_core: bool) -> list[list[Path]]:
    """Files of a boot, of one length or nearly so, and no more than find room in a volume."""
    boots = max(-(-len(files) // FILES_PER_BOOT), min(jobs, len(files)))
    by_length = sorted(files, key=lambda file: -file.stat().st_size)
    return [part for first in range(boots) for part in parted(by_length[first::boots], with_core)]


def parted(boot: list[Path], with_core: bool) -> list[list[Path]]:
    """One boot, or as many as it takes."""
    if len(boot) < 2 or fits(boot, with_core):
        return [boot]
    return [*parted(boot[::2], with_core), *parted(boot[1::2], with_core)]


def run(arguments: argparse.Namespace) -> int:
    files: list[Path] = []
    for file in arguments.files or sorted(CORE_TESTS.glob("test_*.py")):
        if reason := why_not(file, arguments.quick):
            print(f"{file.name:36} not run: {reason}")
        else:
            files.append(file)
    total = Tally()

    def run_boot(boot: list[Path]) -> list[Outcome]:
        return list(run_files(arguments.image, boot, arguments.with_core, arguments.quick))

    with ThreadPoolExecutor(arguments.jobs) as pool:
        for boot in as_completed(
            [pool.submit(run_boot, files) for files in deal(files, arguments.jobs, arguments.with_core)]
        ):
            for outcome in boot.result():
                print_outcome(outcome, arguments.verbose)
                total += outcome.tally
    if arguments.tally:
        total.write(arguments.tally)
    print(total)
    return 1 if total.failed or not files else 0


def main() -> int:
    try:
        return run(read_arguments())
    except EmulatorError as error:
        print(f"run_on_board: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
