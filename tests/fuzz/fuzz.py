"""Coverage-guided fuzzing of everything that hostile bytes can reach (targets.py), by atheris.

Usage: fuzz.py --minutes N [TARGET...]     every target (or these) for its share of the time, two at once
       fuzz.py --least                     the smallest target, for a second
       fuzz.py --run TARGET FILE...        runs inputs once, without atheris: reproduces a finding

The corpus of a target grows in build/fuzz/TARGET from run to run; inputs that broke something are kept in
build/fuzz/findings. Exit status 1 if there were any, or if a target did not run.
"""

import argparse
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
AT_ONCE = 2
LEAST_SECONDS = 5
LEAST = "answers"
STARTUP_SECONDS = 120  # of a process: instrumenting, seeds, and the end
INPUT_SECONDS = 20  # an input that takes longer is a finding
MEMORY_MB = 2048
UNCAUGHT = "=== Uncaught Python exception"  # what atheris says before a traceback


@dataclass
class Outcome:
    """What a target's process did; numbers are None if libFuzzer did not say them."""

    name: str
    seconds: float
    status: int
    executions: int | None
    edges: int | None
    features: int | None
    corpus: int
    findings: list[Path]
    output: str

    @property
    def good(self) -> bool:
        return self.status == 0 and not self.findings and bool(self.executions)

    def row(self) -> Row:
        numbers = f"{_grouped(self.executions)} executions, {_grouped(self.edges)} edges, {self.corpus} inputs kept"
        return Row(self.name, f"{numbers}, {len(self.findings)} findings", "0 findings", self.good)

    def line(self) -> str:
        numbers = (self.executions, self.edges, self.features, self.corpus)
        return f"{self.name:18}" + "".join(f"{_grouped(n):>12}" for n in numbers) + f"{len(self.findings):>10}"


def _grouped(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def fuzz(name: str, seconds: int, folder: Path = FOLDER) -> Outcome:
    """Run one target under atheris in a process of its own; corpus and findings are in the folder."""
    (folder / FINDINGS).mkdir(parents=True, exist_ok=True)
    start = time.time()
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.fuzz",
        "--atheris",
        name,
        "--seconds",
        str(seconds),
        "--folder",
        str(folder),
    ]
    try:
        limit = seconds + STARTUP_SECONDS
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=limit)
        status, output = run.returncode, run.stdout + run.stderr
    except subprocess.TimeoutExpired as expired:
        status, output = 1, f"no end after {limit} s\n" + str(expired.stderr or "")
    # libFuzzer writes a file for every finding; those of earlier runs stay.
    found = [path for path in (folder / FINDINGS).glob(f"{name}-*") if path.stat().st_mtime >= start - 1]
    corpus = sum(1 for _ in (folder / name).glob("*"))
    executions = _last(r"stat::number_of_executed_units:\s*(\d+)", output) or _last(r"^#(\d+)\s", output)
    edges, features = _last(r"\bcov: (\d+)", output), _last(r"\bft: (\d+)", output)
    return Outcome(name, time.time() - start, status, executions, edges, features, corpus, sorted(found), output)


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


def fuzz_all(names: list[str], minutes: float) -> bool:
    """Whether nothing was found."""
    from tests.fuzz.targets import TARGETS

    start = time.monotonic()
    total_shares = sum(TARGETS[name].share for name in names)
    seconds = {
        name: max(LEAST_SECONDS, int(60 * minutes * AT_ONCE * TARGETS[name].share / total_shares)) for name in names
    }
    print(f"{len(names)} targets, {min(seconds.values())} to {max(seconds.values())} s each, {AT_ONCE} at once")
    print(f"{'':18}{'executions':>12}{'edges':>12}{'features':>12}{'corpus':>12}{'findings':>10}")
    outcomes = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for outcome in pool.map(lambda name: fuzz(name, seconds[name]), names):
            report(outcome)
            outcomes.append(outcome)
    if len(names) < len(TARGETS):  # not what a page of results is made from
        return all(outcome.good for outcome in outcomes)
    rows = [outcome.row() for outcome in outcomes]
    total = sum(outcome.executions or 0 for outcome in outcomes)
    rows.append(Row("all targets", f"{total:,} executions", "", True))
    return publish("fuzz", f"make fuzz MINUTES={minutes:g}", rows, time.monotonic() - start)


def run_under_atheris(name: str, seconds: int, folder: Path) -> None:
    """Ends the process."""
    import atheris

    with atheris.instrument_imports(include=["tessera", "tessera_host"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]()
    corpus = folder / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={max(target.longest, *map(len, target.seeds()))}",
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
    parser.add_argument("--least", action="store_true", help="only the smallest target, for a second")
    parser.add_argument("--seconds", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--atheris", metavar="TARGET", help=argparse.SUPPRESS)
    parser.add_argument("--run", metavar="TARGET", help="run the inputs in these files once")
    parser.add_argument("names", nargs="*", metavar="TARGET or FILE")
    chosen = parser.parse_args()
    if chosen.atheris:
        run_under_atheris(chosen.atheris, chosen.seconds, chosen.folder)
    if chosen.run:
        run_files(chosen.run, chosen.names)
        return 0
    if chosen.least:
        outcome = fuzz(LEAST, 1)
        report(outcome)
        return 0 if outcome.good else 1
    from tests.fuzz.targets import TARGETS

    unknown = [name for name in chosen.names if name not in TARGETS]
    if unknown:
        parser.error(f"no target named {', '.join(unknown)}. Targets: {' '.join(TARGETS)}")
    return 0 if fuzz_all(chosen.names or [*TARGETS], chosen.minutes) else 1


if __name__ == "__main__":
    sys.exit(main())
