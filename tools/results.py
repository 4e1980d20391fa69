"""What the long suites found, as a table on the terminal, a file a suite in build/results, and tests/RESULTS.md.

A suite makes Rows and publishes them. `make results` writes tests/RESULTS.md from the files of all suites that ran,
when the figures of whole runs are to be committed.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "results"
PAGE = ROOT / "tests" / "RESULTS.md"
# In the order of the page. A suite's title and what its figures mean.
SUITES = {
    "powercut": ("Power cuts", "tests/powercut"),
    "powercut-board": ("Power cuts of the emulated Pico", "tests/powercut"),
    "powercut-update": ("Power cuts of the emulated Pico during an update", "tests/powercut"),
    "fuzz": ("Hostile input", "tests/fuzz"),
    "attacks": ("Attacks", "tests/attacks"),
    "attacks-board": ("Attacks on the emulated Pico", "tests/attacks"),
    "soak": ("Thirty days", "tests/soak"),
}
INTRODUCTION = """\
# Results of the long suites

What `make test` runs a share of, run as a whole. Every table names the command that made it, the commit it ran at
and how long it took on a virtual machine with 2 cores; `build/results/*.json` holds the same, and `make results` makes
this page of it. What a row means, and what the experiment does, stands at the head of its file in the folder named with
the table.
"""


@dataclass(frozen=True)
class Row:
    """One line of a result: what was tried, what came out, what it had to be, whether it was."""

    what: str
    measured: str
    bound: str = ""
    good: bool = True


def publish(suite: str, command: str, rows: list[Row], seconds: float) -> bool:
    """Prints the rows and keeps them in build/results/SUITE.json; whether all are good."""
    table = Table("", "measured", "must be", "", title=SUITES[suite][0])
    for row in rows:
        table.add_row(row.what, row.measured, row.bound, "" if row.good else "FAILED")
    Console(width=140).print(table)
    FOLDER.mkdir(parents=True, exist_ok=True)
    content = {
        "command": command,
        "commit": _commit(),
        "seconds": round(seconds),
        "rows": [asdict(row) | {"good": bool(row.good)} for row in rows],
    }
    (FOLDER / f"{suite}.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return all(row.good for row in rows)


def _commit() -> str:
    said = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return said.stdout.strip() or "unknown"


def write_page() -> None:
    """tests/RESULTS.md from the files of the suites that ran."""
    parts = [INTRODUCTION]
    for suite, (title, folder) in SUITES.items():
        file = FOLDER / f"{suite}.json"
        if file.exists():
            parts.append(_section(title, folder, json.loads(file.read_text())))
    PAGE.write_text("\n".join(parts))


def _section(title: str, folder: str, result: dict) -> str:
    lines = [f"## {title}", "", f"`{result['command']}` at {result['commit']}: {result['seconds']} s. ({folder})", ""]
    lines += ["| | measured | must be |", "|---|---|---|"]
    for row in result["rows"]:
        failed = "" if row["good"] else " **failed**"
        lines.append(f"| {row['what']} | {row['measured']}{failed} | {row['bound']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_page()
    sys.exit(0)
