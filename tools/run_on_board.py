"""Runs the core tests on an emulated board, one boot a file, in deterministic mode.

Usage: run_on_board.py [-v] [--quick] [--with-core] [--counts FILE] IMAGE [TEST_FILE...]

The image is the product's: tests and vectors are in a file system at the end of its flash (testvolume.py). --with-core
puts the relay core there too, for an image without one. A test file of what no board has is not run, and said so; a
test that takes more than a board's heap says so itself and counts as skipped. --quick leaves out files whose head says
`# board: long`: minutes of logic that no processor changes, and has the others try
less of what they try in very many ways. --counts writes
{"passed": n, "failed": n, "skipped": n} to FILE. Exit status 1 if anything failed.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tools.emulator.execution import DONE, EXCEPTION, Execution, execute
from tools.emulator.littlefs_image import write_flash
from tools.emulator.program import EmulatorError
from tools.emulator.testvolume import CORE_TESTS, OFFSET, PROLOGUE, make_test_volume

GUEST_SECONDS = 1800
LONG = "# board: long"
# What only computers have.
COMPUTERS_ONLY = {
    "test_device_ota.py": "its slots are an ESP32's",
    "test_filedevice.py": "a board's devices are its flash, not files",
    "test_memory.py": "it starts other processes",
    "test_server.py": "the board has no loopback",
    "test_server_answers.py": "the board has no loopback",
}
CYCLES_PER_SECOND = 125_000_000
PROGRAM = PROLOGUE + "check.quick = {quick}\nimport micropython_main\nmicropython_main.run({module!r})\n"


@dataclass(frozen=True)
class Outcome:
    file: Path
    output: str
    counts: dict[str, int]
    guest_seconds: float
    host_seconds: float


def why_not(file: Path, quick: bool) -> str | None:
    """Why the file is not run; None if it is."""
    if quick and LONG in file.read_text().splitlines()[:2]:
        return "takes minutes, `make test-board` runs it"
    return COMPUTERS_ONLY.get(file.name)


def run_file(image: Path, file: Path, with_core: bool, quick: bool) -> Outcome:
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        flash, program = Path(folder, "flash.bin"), Path(folder, "program.py")
        write_flash(flash, OFFSET, make_test_volume(file, with_core))
        program.write_text(PROGRAM.format(module=file.stem, quick=quick))
        execution = execute(image, flash, program, guest_seconds=GUEST_SECONDS)
    counts, output = read_counts(file, execution)
    return Outcome(file, output, counts, execution.cycles / CYCLES_PER_SECOND, time.monotonic() - start)


def read_counts(file: Path, execution: Execution) -> tuple[dict[str, int], str]:
    """The shim's last line, if the run came that far; what it printed besides."""
    *lines, last = execution.output.rstrip("\n").split("\n")
    if execution.status == DONE and last.startswith("counts: "):
        counts = json.loads(last.removeprefix("counts: "))
        if sum(counts.values()):
            return counts, "\n".join(lines)
        return {"passed": 0, "failed": 1, "skipped": 0}, f"FAIL  {file.name} holds no test"
    why = "an exception" if execution.status == EXCEPTION else f"status {execution.status}"
    passed = len(re.findall("^ok ", execution.output, re.MULTILINE))
    text = f"{execution.output}{execution.errors}\nFAIL  {file.name} ended with {why}"
    return {"passed": passed, "failed": 1, "skipped": 0}, text


def print_outcome(outcome: Outcome, verbose: bool) -> None:
    if verbose or outcome.counts["failed"]:
        print(outcome.output)
    counts = ", ".join(f"{number} {name}" for name, number in outcome.counts.items() if number)
    seconds = f"{outcome.guest_seconds:.1f} s on the board, {outcome.host_seconds:.1f} s here"
    print(f"{outcome.file.name:36} {counts}  ({seconds})", flush=True)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the core tests on an emulated board.")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every test, not only those of failed files")
    parser.add_argument("--with-core", action="store_true", help="the image has no relay core: bring it along")
    parser.add_argument("--quick", action="store_true", help="without the files that take minutes")
    parser.add_argument("--counts", type=Path, help="write the counts to this file as JSON")
    parser.add_argument("image", type=Path, help="firmware.uf2")
    parser.add_argument("files", nargs="*", type=Path, help="test files (all of tests/core without)")
    return parser.parse_args()


def run_files(arguments: argparse.Namespace) -> int:
    files: list[Path] = []
    for file in arguments.files or sorted(CORE_TESTS.glob("test_*.py")):
        if reason := why_not(file, arguments.quick):
            print(f"{file.name:36} not run: {reason}")
        else:
            files.append(file)
    total = {"passed": 0, "failed": 0, "skipped": 0}
    files.sort(key=lambda file: -file.stat().st_size)  # long ones first: at the end no processor waits for one of them
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [pool.submit(run_file, arguments.image, file, arguments.with_core, arguments.quick) for file in files]
        for run in as_completed(runs):
            outcome = run.result()
            print_outcome(outcome, arguments.verbose)
            for name in total:
                total[name] += outcome.counts[name]
    if arguments.counts:
        arguments.counts.write_text(json.dumps(total))
    print(", ".join(f"{number} {name}" for name, number in total.items()))
    return 1 if total["failed"] or not files else 0


def main() -> int:
    try:
        return run_files(read_arguments())
    except EmulatorError as error:
        print(f"run_on_board: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
