"""What the long suites found, as a table on the terminal, a file a suite in build/results, and tests/RESULTS.md.

Usage: results.py        puts the tables of the last whole runs into tests/RESULTS.md

A suite makes Rows and publishes them. Owns the line and the table under a suite's heading, and of these only what
another run has made since; every other line of the page is written by hand and stays. Writes nothing if a run was of a
tree with uncommitted changes.
"""

import argparse
import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "results"
PAGE = ROOT / "tests" / "RESULTS.md"
# In the order of the page. A suite's title and the folder whose files say what its figures mean.
SUITES = {
    "powercut": ("Power cuts", "tests/powercut"),
    "powercut-board": ("Power cuts of the emulated Pico", "tests/powercut"),
    "powercut-update": ("Power cuts of the emulated Pico during an update", "tests/powercut"),
    "fuzz": ("Hostile input", "tests/fuzz"),
    "attacks": ("Attacks", "tests/attacks"),
    "attacks-board": ("Attacks on the emulated Pico", "tests/attacks"),
    "cluster": ("A cluster whose relays burn", "tests/cluster"),
    "fleet": ("A fleet whose processes are killed and cut off", "tests/fleet"),
    "soak": ("Thirty days", "tests/soak"),
    "soak-years": ("Three years", "tests/soak"),
    "mutants": ("Mutants", "tests/mutants"),
    "radio": ("A Pico W over its radio", "tests/radio"),
}
HEADING = "## "
# The lines that a run owns: what ran, where and how long; and its table.
_RUN = re.compile(r"^`[^`]+` at (?P<commit>[^ :]+): (?P<seconds>\d+) s\b.*$", re.MULTILINE)
_TABLE = re.compile(r"^\| \| measured \| must be \|\n(?:\|.*\n?)+", re.MULTILINE)


class Refused(Exception):
    """The page stays as it is; the text says why and what to do."""


@dataclass(frozen=True)
class Row:
    """One line of a result: what was tried, what came out, what it had to be, whether it was."""

    what: str
    measured: str
    bound: str = ""
    good: bool = True


@dataclass(frozen=True)
class Part:
    """Of a run that takes hours: the rows of one of its settings, and how long after the beginning they were there."""

    rows: list[Row]
    seconds: float


def keep_part(suite: str, name: str, part: Part) -> None:
    """For a run of the same commit that goes on where this one was stopped."""
    path = _part(suite, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"commit": _commit(), "seconds": part.seconds, "rows": [asdict(row) for row in part.rows]}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def kept_part(suite: str, name: str) -> Part | None:
    """None if there is none of this commit, if it is of a tree with uncommitted changes, or if something failed."""
    path, commit = _part(suite, name), _commit()
    content = json.loads(path.read_text()) if path.exists() else {}
    if content.get("commit") != commit or commit.endswith("-dirty") or commit == "unknown":
        return None
    rows = [Row(**row) for row in content["rows"]]
    return Part(rows, content["seconds"]) if all(row.good for row in rows) else None


def _part(suite: str, name: str) -> Path:
    return FOLDER / suite / f"{re.sub('[^a-z0-9]+', '-', name)}.json"


def publish(suite: str, command: str, rows: list[Row], seconds: float, *, whole: bool = True) -> bool:
    """Prints the rows and keeps those of a whole run in build/results/SUITE.json; whether all are good."""
    table = Table("", "measured", "must be", "", title=SUITES[suite][0])
    for row in rows:
        table.add_row(row.what, row.measured, row.bound, "" if row.good else "FAILED")
    Console(width=140).print(table)
    if whole:
        FOLDER.mkdir(parents=True, exist_ok=True)
        content = {
            "command": command,
            "commit": _commit(),
            "seconds": round(seconds),
            "rows": [asdict(row) | {"good": bool(row.good)} for row in rows],
        }
        (FOLDER / f"{suite}.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return bool(rows) and all(row.good for row in rows)


def _commit() -> str:
    said = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return said.stdout.strip() or "unknown"


def read_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """The last whole run of each suite that ran. Raises Refused for one that no commit stands for."""
    runs = {suite: json.loads(file.read_text()) for suite in SUITES if (file := folder / f"{suite}.json").exists()}
    for suite, run in runs.items():
        if run["commit"].endswith("-dirty") or run["commit"] == "unknown":
            raise Refused(
                f"{folder.name}/{suite}.json is of a tree with uncommitted changes ({run['commit']}).\n"
                f"Commit, then run `{run['command']}` again; or remove the file."
            )
    return runs


def merged(page: str, runs: dict[str, dict[str, Any]]) -> str:
    """The page with the tables of these runs. Raises Refused rather than drop a section."""
    head, *parts = re.split(f"^(?={HEADING})", page, flags=re.MULTILINE)
    sections = {part.partition("\n")[0].removeprefix(HEADING): part for part in parts}
    if len(sections) != len(parts):
        raise Refused("the page has two sections of one name. Rename one of them.")
    before = set(sections)
    for suite, run in runs.items():
        title, folder = SUITES[suite]
        if title in sections:
            sections[title] = _renewed(sections[title], folder, run)
        else:
            sections = _inserted(sections, suite, f"{HEADING}{title}\n\n{_generated(folder, run)}")
    if not before <= set(sections):
        raise Refused(f"sections would be lost: {', '.join(sorted(before - set(sections)))}")
    return "\n\n".join(part.strip("\n") for part in (head, *sections.values())) + "\n"


def _renewed(section: str, folder: str, run: dict[str, Any]) -> str:
    """The section with the run's line and table in place of those of an earlier one."""
    line, table = _RUN.search(section), _TABLE.search(section)
    if line is None or table is None or line.start() > table.start():
        title = section.partition("\n")[0]
        raise Refused(f"no line and table of a run were found under '{title}'. Put back what a run wrote there.")
    if (line["commit"], int(line["seconds"])) == (run["commit"], run["seconds"]):
        return section  # this run's, with what was written into it since
    between = section[line.end() : table.start()].strip("\n")
    kept = f"{between}\n\n" if between else ""
    said = f"{_line(folder, run)}\n\n{kept}{_table(run)}\n"
    return section[: line.start()] + said + section[table.end() :]


def _inserted(sections: dict[str, str], suite: str, section: str) -> dict[str, str]:
    """With a new section behind those of the suites before it."""
    names, titles = list(SUITES), list(sections)
    earlier = [SUITES[name][0] for name in names[: names.index(suite)]]
    at = max((titles.index(title) + 1 for title in earlier if title in titles), default=0)
    items = list(sections.items())
    items.insert(at, (SUITES[suite][0], section))
    return dict(items)


def _generated(folder: str, run: dict[str, Any]) -> str:
    return f"{_line(folder, run)}\n\n{_table(run)}\n"


def _line(folder: str, run: dict[str, Any]) -> str:
    return f"`{run['command']}` at {run['commit']}: {run['seconds']} s. ({folder})"


def _table(run: dict[str, Any]) -> str:
    lines = ["| | measured | must be |", "|---|---|---|"]
    for row in run["rows"]:
        failed = "" if row["good"] else " **failed**"
        lines.append(f"| {row['what']} | {row['measured']}{failed} | {row['bound']} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    dry = parser.parse_args().dry_run
    try:
        page = merged(PAGE.read_text(), read_runs(FOLDER))
    except Refused as refused:
        print(f"results: {refused}", file=sys.stderr)
        return 1
    if not dry:
        PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
