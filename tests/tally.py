"""What a test run came to: tests passed, failed and skipped, and how long each took. Every runner hands one on as JSON;
run.py adds them up."""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: dict[str, float] = field(default_factory=dict)  # by test, "test_file.py::test_name"

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
            self.seconds | other.seconds,
        )

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"

    @property
    def tests(self) -> int:
        return self.passed + self.failed + self.skipped

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))


def read_tally(path: Path) -> Tally:
    return Tally(**json.loads(path.read_text()))


TEST_LINE = re.compile(r"ok +(\w+) \((\d+) ms\)")


def read_lines(output: str, file: str) -> Tally | None:
    """What core/micropython_main.py printed of a test file; None if it did not come to its last line, the counts."""
    lines = output.splitlines()
    if not lines or not lines[-1].startswith("counts: "):
        return None
    tally = Tally(**json.loads(lines[-1].removeprefix("counts: ")))
    for line in lines:
        if match := TEST_LINE.match(line):
            tally.seconds[f"{file}::{match[1]}"] = int(match[2]) / 1000
    return tally


def slowest(seconds: dict[str, float], number: int) -> str:
    """The tests that took the most time, a line each."""
    longest = sorted(seconds.items(), key=lambda item: -item[1])[:number]
    return "\n".join(f"{duration:8.1f} s  {test}" for test, duration in longest)
