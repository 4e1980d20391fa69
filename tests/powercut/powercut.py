"""`make test-powercut`: every power cut, in every measure, and flipped bits, on MicroPython over simulated NOR flash.

Owns how the work is divided and shown. What is cut is in workloads.py, what must hold in world.py, how flash fails in
power.py; cuts_main.py and flips_main.py are the programs that run on MicroPython. Exit status 1 if a promise broke.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.results import Row, publish

FOLDER = Path(__file__).resolve().parent


HEAP = "64m"
SHARDS = 16  # of each workload: equal parts of unequal length keep all processors busy to the end
FLIP_SHARDS = 4
FLIPS = 1000  # trials of each
LEAST = ("seal a round",), 10, 8  # workloads, from cut to cut, flips: what shows that all of it runs
TIMEOUT_SECONDS = 3600


@dataclass(frozen=True)
class Outcome:
    """Counts of a share, and what it printed about failures. `died`: the program, before it counted."""

    counts: Counter[str]
    failures: str
    died: bool = False


def micropython(program: str, *arguments: object) -> Outcome:
    """Runs one of the programs beside this file; it ends with a line of JSON."""
    binary = os.environ["TESSERA_MICROPYTHON_FROZEN"]
    command = [binary, "-X", f"heapsize={HEAP}", str(FOLDER / program), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS)
    text = run.stdout.decode(errors="replace")
    *_, last = ["", *text.splitlines()]
    if run.returncode or not last.startswith("{"):
        said = f"{text}{run.stderr.decode(errors='replace')}"
        return Outcome(
            Counter(failures=1), f"{program} {arguments} died, exit status {run.returncode}:\n{said}\n", True
        )
    counts = json.loads(last)
    return Outcome(Counter(counts), text if counts["failures"] else "")


def workloads() -> list[str]:
    """The names in workloads.py, which this Python cannot import."""
    return re.findall(r'^    "(.+)": Workload', (FOLDER / "workloads.py").read_text(), re.MULTILINE)


def cut(
    workload: str,
    depth: int,
    step: int,
    shards: int,
    pool: ThreadPoolExecutor,
    broken: str = "",
    run: Callable[..., Outcome] = micropython,
) -> list[Outcome]:
    """Every step-th operation of a workload, divided into shards."""
    jobs = [
        pool.submit(run, "cuts_main.py", workload, depth, shard, shards, step, *([broken] if broken else []))
        for shard in range(shards)
    ]
    return [job.result() for job in jobs]


def flip(
    trials: int, shards: int, pool: ThreadPoolExecutor, run: Callable[..., Outcome] = micropython
) -> list[Outcome]:
    jobs = [pool.submit(run, "flips_main.py", trials, f"flips {shard}") for shard in range(shards)]
    return [job.result() for job in jobs]


def total(outcomes: list[Outcome]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.counts)
        print(outcome.failures, end="")
    return counts


def cut_row(workload: str, outcomes: list[Outcome]) -> Row:
    counts = total(outcomes)
    operations = max(outcome.counts["operations"] for outcome in outcomes)
    text = (
        f"{operations} operations; {counts['cuts']:,} cuts, {counts['deep_cuts']:,} of the recovery; "
        f"{counts['cases']:,} different cases; {counts['failures']} broken promises"
    )
    return Row(workload, text, "0 broken", counts["failures"] == 0)


def flip_rows(outcomes: list[Outcome]) -> list[Row]:
    counts = total(outcomes)
    good = counts["failures"] == 0
    record = f"{counts['trials']:,} pages: {counts['lost']:,} records lost, {counts['reported']:,} damages reported"
    keyring = f"{counts['keyring_trials']:,} pages: {counts['faults']:,} clear faults, else served as before"
    return [
        Row("1 to 8 flipped bits in a page of the record ring", record, "at most that record, reported", good),
        Row("1 to 8 flipped bits in a page of the key ring", keyring, "as before or a fault", good),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Cut the power at every flash operation.")
    parser.add_argument("--workload", action="append", help="only this one (may be repeated)")
    parser.add_argument("--depth", type=int, default=2, choices=(1, 2), help="2: cut the recovery, too")
    parser.add_argument("--step", type=int, default=1, help="only every step-th operation")
    parser.add_argument("--least", action="store_true", help="only what shows that all of it runs")
    arguments = parser.parse_args()
    chosen, depth, step = arguments.workload or workloads(), arguments.depth, arguments.step
    shards, flips, flip_shards = SHARDS, FLIPS, FLIP_SHARDS
    if arguments.least:
        (chosen, step, flips), depth, shards, flip_shards = LEAST, 1, 1, 1
    start = time.monotonic()
    rows = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for workload in chosen:
            rows.append(cut_row(workload, cut(workload, depth, step, shards, pool)))
            print(f"{time.monotonic() - start:6.0f} s  {rows[-1].what}: {rows[-1].measured}", flush=True)
        rows += flip_rows(flip(flips, flip_shards, pool))
    whole = (list(chosen), depth, step) == (workloads(), 2, 1)
    good = publish("powercut", "make test-powercut", rows, time.monotonic() - start, whole=whole)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
