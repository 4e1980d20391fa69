"""Runs the core tests on MicroPython's unix port, one process a file; pytest runs the same files on CPython.

Usage: run_micropython.py [-v] [--counts FILE] [TEST_FILE...]

TESSERA_MICROPYTHON names the plain binary, which compiles core and tests from source in a heap of 2 MB. A test file
may say otherwise in its first three lines:
    # heap: 192k            another heap
    # heap: 192k frozen     and the binary with the core frozen in (TESSERA_MICROPYTHON_FROZEN), as on a device
--counts writes {"passed": n, "failed": n, "skipped": n} to FILE. Exit status 1 if anything failed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CORE_TESTS = Path(__file__).resolve().parent / "core"
MAIN = CORE_TESTS / "micropython_main.py"
DEFAULT_HEAP = "2m"
TIMEOUT_SECONDS = 300
HEAP_LINE = re.compile(r"# heap: (\d+[km])( frozen)?\s*$")


@dataclass
class Outcome:
    file: Path
    output: str
    seconds: float
    counts: dict[str, int]


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


def run_file(file: Path) -> Outcome:
    binary, heap = choose_runtime(file)
    start = time.monotonic()
    try:
        process = subprocess.run(
            [binary, "-X", f"heapsize={heap}", MAIN, file],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_SECONDS,
        )
        output, status = process.stdout, f"exit status {process.returncode}"
    except subprocess.TimeoutExpired as error:
        output, status = error.stdout or b"", f"no end after {TIMEOUT_SECONDS} s"
    text = output.decode(errors="replace")
    counts = read_counts(text)
    if counts is None:
        text += f"FAIL  {file.name} ended without a count: {status}\n"
        counts = {"passed": len(re.findall("^ok ", text, re.MULTILINE)), "failed": 1, "skipped": 0}
    elif not sum(counts.values()):
        text += f"FAIL  {file.name} holds no test\n"
        counts["failed"] = 1
    return Outcome(file, text, time.monotonic() - start, counts)


def read_counts(text: str) -> dict[str, int] | None:
    """The shim's last line, if the process came that far."""
    lines = text.splitlines()
    return json.loads(lines[-1].removeprefix("counts: ")) if lines and lines[-1].startswith("counts: ") else None


def print_outcome(outcome: Outcome, verbose: bool) -> None:
    if verbose or outcome.counts["failed"]:
        print(outcome.output, end="")
    counts = ", ".join(f"{number} {name}" for name, number in outcome.counts.items() if number)
    print(f"{outcome.file.name:36} {counts}  ({outcome.seconds:.1f} s)", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the core tests on MicroPython.")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every test, not only those of failed files")
    parser.add_argument("--counts", type=Path, help="write the counts to this file as JSON")
    parser.add_argument("files", nargs="*", type=Path, help="test files (all of tests/core without)")
    arguments = parser.parse_args()
    files = arguments.files or sorted(CORE_TESTS.glob("test_*.py"))
    if not files:
        sys.exit(f"no test_*.py in {CORE_TESTS}")

    total = {"passed": 0, "failed": 0, "skipped": 0}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for outcome in pool.map(run_file, files):
            print_outcome(outcome, arguments.verbose)
            for name in total:
                total[name] += outcome.counts[name]
    if arguments.counts:
        arguments.counts.write_text(json.dumps(total))
    print(", ".join(f"{number} {name}" for name, number in total.items()))
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
