"""Coverage-guided fuzzing of everything that hostile bytes can reach (targets.py), by atheris.

Usage: fuzz.py --minutes N [TARGET...]     every target (or these) for its share of the time, two at once
       fuzz.py --executions N [TARGET...]  every target (or these) N times; those that are quick its `multiple` as often
       fuzz.py --least                     the smallest target, for a second
       fuzz.py --run TARGET FILE...        runs inputs once, without atheris: reproduces a finding

The corpus of a target grows in build/fuzz/TARGET from run to run, and how often it was executed in all of them is added
up in build/fuzz/executions.json; inputs that broke something are kept in build/fuzz/findings. Exit status 1 if there
were any, or if a target did not run.
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

from tests.results import Row, publish

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "build" / "fuzz"
FINDINGS = "findings"
EXECUTIONS = "executions.json"
AT_ONCE = 2
LEAST_SECONDS = 5
LEAST = "answers"
STARTUP_SECONDS = 120  # of a process: instrumenting, seeds, and the end
INPUT_SECONDS = 20  # an input that takes longer is a finding
MEMORY_MB = 2048
# Loops over words, digests and the library of ciphers: tests hold them to vectors, and counting their branches takes
# longer than all the rest of a relay's start.
UNCOUNTED = [f"tessera.{name}" for name in ("native", "hashes", "runtime_cpython", "page", "cover", "drbg")]
ATHERIS = [sys.executable, "-m", "tests.fuzz.fuzz", "--atheris"]  # of this program, in a process of its own
UNCAUGHT = "=== Uncaught Python exception"  # what atheris says before a traceback


@dataclass(frozen=True)
class Limit:
    """How long a target runs: for so many seconds, or so many executions."""

    seconds: int = 0
    executions: int = 0

    def options(self) -> list[str]:
        """Of libFuzzer."""
        return [f"-runs={self.executions}"] if self.executions else [f"-max_total_time={self.seconds}"]

    def process_seconds(self) -> int | None:
        """When the process is given up; None for a number of executions, each of which has a limit of its own."""
        return None if self.executions else self.seconds + STARTUP_SECONDS


@dataclass
class Outcome:
    """What a target's process did; numbers are None if libFuzzer did not say them. `wanted` executions are the least,
    `in_all` are those of every run so far."""

    name: str
    seconds: float
    status: int
    executions: int | None
    edges: int | None
    features: int | None
    corpus: int
    findings: list[Path]
    output: str
    corpus_bytes: int = 0
    wanted: int = 1
    in_all: int = 0

    @property
    def good(self) -> bool:
        return self.status == 0 and not self.findings and (self.executions or 0) >= self.wanted

    def row(self) -> Row:
        numbers = f"{_grouped(self.executions)} executions ({self.in_all:,} in all runs), {_grouped(self.edges)} edges"
        corpus = f"{self.corpus:,} inputs of {self.corpus_bytes:,} bytes kept"
        least = f", ≥ {self.wanted:,} executions" if self.wanted > 1 else ""
        measured = f"{numbers}, {corpus}, {len(self.findings)} findings"
        return Row(self.name, measured, f"0 findings{least}", self.good)

    def line(self) -> str:
        numbers = (self.executions, self.in_all, self.edges, self.features, self.corpus)
        return f"{self.name:18}" + "".join(f"{_grouped(n):>12}" for n in numbers) + f"{len(self.findings):>10}"


def _grouped(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def fuzz(name: str, limit: Limit, folder: Path = FOLDER) -> Outcome:
    """Run one target under atheris in a process of its own; corpus and findings are in the folder."""
    (folder / FINDINGS).mkdir(parents=True, exist_ok=True)
    start = time.time()
    command = [*ATHERIS, name, "--folder", str(folder), "--seconds", str(limit.seconds)]
    command += ["--executions", str(limit.executions)]
    end = limit.process_seconds()
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=end)
        status, output = run.returncode, run.stdout + run.stderr
    except subprocess.TimeoutExpired as expired:
        status, output = 1, f"no end after {end} s\n" + str(expired.stderr or "")
    # libFuzzer writes a file for every finding; those of earlier runs stay.
    found = [path for path in (folder / FINDINGS).glob(f"{name}-*") if path.stat().st_mtime >= start - 1]
    corpus = [path.stat().st_size for path in (folder / name).glob("*")]
    executions = _last(r"stat::number_of_executed_units:\s*(\d+)", output) or _last(r"^#(\d+)\s", output)
    edges, features = _last(r"\bcov: (\d+)", output), _last(r"\bft: (\d+)", output)
    outcome = Outcome(
        name, time.time() - start, status, executions, edges, features, len(corpus), sorted(found), output
    )
    outcome.corpus_bytes, outcome.wanted = sum(corpus), limit.executions or 1
    return outcome


def add_up(outcome: Outcome, folder: Path = FOLDER) -> None:
    """Count the executions of this run with those of the runs before it."""
    file = folder / EXECUTIONS
    totals = json.loads(file.read_text()) if file.exists() else {}
    totals[outcome.name] = outcome.in_all = totals.get(outcome.name, 0) + (outcome.executions or 0)
    written = file.with_name(file.name + ".new")
    written.write_text(json.dumps(totals, indent=2) + "\n")
    written.replace(file)


def _last(pattern: str, output: str) -> int | None:
    """The number in the last match of the pattern."""
    found = re.findall(pattern, output, re.MULTILINE)
    return int(found[-1]) if found else None


def report(outcome: Outcome) -> None:
    print(outcome.line(), flush=True)
    if outcome.good:
        return
    said = outcome.output
    print(said[said.rfind(UNCAUGHT) :] if UNCAUGHT in said else "\n".join(said.splitlines()[-40:]))
    again = f"{sys.executable} -m tests.fuzz.fuzz --run {outcome.name}"
    for path in outcome.findings:
        print(f"finding: {path}\nreproduce: {again} {path}")


def fuzz_all(names: list[str], limits: dict[str, Limit], command: str) -> bool:
    """Whether nothing was found. command: what a person types for this."""
    from tests.fuzz.targets import TARGETS

    start = time.monotonic()
    print(f"{'':18}{'executions':>12}{'in all':>12}{'edges':>12}{'features':>12}{'corpus':>12}{'findings':>10}")
    outcomes = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for outcome in pool.map(lambda name: fuzz(name, limits[name]), names):
            add_up(outcome)
            report(outcome)
            outcomes.append(outcome)
    if len(names) < len(TARGETS):  # not what a page of results is made from
        return all(outcome.good for outcome in outcomes)
    rows = [outcome.row() for outcome in outcomes]
    total, in_all = (sum(numbers) for numbers in zip(*((o.executions or 0, o.in_all) for o in outcomes), strict=True))
    rows.append(Row("all targets", f"{total:,} executions ({in_all:,} in all runs)", "", True))
    return publish("fuzz", command, rows, time.monotonic() - start)


def by_time(names: list[str], minutes: float) -> dict[str, Limit]:
    """Each target's share."""
    from tests.fuzz.targets import TARGETS

    shares = sum(TARGETS[name].share for name in names)
    seconds = {name: int(60 * minutes * AT_ONCE * TARGETS[name].share / shares) for name in names}
    return {name: Limit(seconds=max(LEAST_SECONDS, seconds[name])) for name in names}


def by_number(names: list[str], executions: int) -> dict[str, Limit]:
    """So many of each target, of the quick ones a multiple."""
    from tests.fuzz.targets import TARGETS

    return {name: Limit(executions=executions * TARGETS[name].multiple) for name in names}


def run_under_atheris(name: str, limit: Limit, folder: Path) -> None:
    """Ends the process."""
    import atheris

    os.fsync = lambda descriptor: None  # what targets write is gone with them
    with atheris.instrument_imports(include=["tessera", "tessera_host"], exclude=UNCOUNTED):
        from tests.fuzz import once
        from tests.fuzz.targets import TARGETS
    once.use()
    target = TARGETS[name]()
    corpus = folder / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    options = [
        *limit.options(),
        f"-max_len={max(target.longest, *map(len, target.seeds()))}",
        "-len_control=0",  # inputs as long as the seeds from the start: there are thousands of executions, not millions
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={folder / FINDINGS / name}-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], str(corpus), *options], target.run)
    atheris.Fuzz()


def run_files(name: str, files: list[str]) -> None:
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]()
    for file in files:
        target.run(Path(file).read_bytes())
        print(f"{file}: holds")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--executions", type=int, default=0, metavar="N", help="of every target, in place of a time")
    parser.add_argument("--least", action="store_true", help="only the smallest target, for a second")
    parser.add_argument("--seconds", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--atheris", metavar="TARGET", help=argparse.SUPPRESS)
    parser.add_argument("--run", metavar="TARGET", help="run the inputs in these files once")
    parser.add_argument("names", nargs="*", metavar="TARGET or FILE")
    chosen = parser.parse_args()
    if chosen.atheris:
        run_under_atheris(chosen.atheris, Limit(chosen.seconds, chosen.executions), chosen.folder)
    if chosen.run:
        run_files(chosen.run, chosen.names)
        return 0
    if chosen.least:
        outcome = fuzz(LEAST, Limit(seconds=1))
        report(outcome)
        return 0 if outcome.good else 1
    from tests.fuzz.targets import TARGETS

    names = chosen.names or [*TARGETS]
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no target named {', '.join(unknown)}. Targets: {' '.join(TARGETS)}")
    if chosen.executions:
        limits, command = by_number(names, chosen.executions), f"make fuzz EXECUTIONS={chosen.executions}"
    else:
        limits, command = by_time(names, chosen.minutes), f"make fuzz MINUTES={chosen.minutes:g}"
    return 0 if fuzz_all(names, limits, command) else 1


if __name__ == "__main__":
    sys.exit(main())
