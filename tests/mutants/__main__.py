"""Changes of the code that tests have to notice, one after the other, each against its own tests.

Usage: python -m tests.mutants [--list] [--only NAME ...] [--least]

A mutant is killed if one of its tests fails. The run is good if all are killed, but those whose list says why no test
can notice them. Before that the tests of all mutants have to pass in the unchanged tree.
"""

import argparse
import queue
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from tests import results
from tests.mutants import lists, mutant
from tests.mutants.mutant import AREAS, Mutant
from tests.mutants.trial import Copy, Outcome, Verdict

AT_ONCE = 2
WHOLE_SECONDS = 1800  # of the tests of one file in the unchanged tree

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_copies(copies: "queue.Queue[Copy]", work: Callable[[Copy, Item], Made], items: Iterable[Item]) -> list[Made]:
    """work(copy, item) for each, as many at once as there are copies; in the order of the items."""

    def one(item: Item) -> Made:
        copy = copies.get()
        try:
            return work(copy, item)
        finally:
            copies.put(copy)

    pool = ThreadPoolExecutor(copies.qsize())
    try:
        return list(pool.map(one, items))
    finally:
        pool.shutdown(cancel_futures=True)  # by Ctrl-C: no further one is begun


def unchanged_faults(copies: "queue.Queue[Copy]", mutants: list[Mutant]) -> list[str]:
    """Which tests do not pass without any change: whatever they say of a mutant means nothing."""
    files: dict[str, set[str]] = defaultdict(set)
    for test in {test for each in mutants for test in each.tests}:
        files[test.partition("::")[0]].add(test)

    def run(copy: Copy, file: str) -> list[str]:
        tests = sorted(files[file])
        tests = [file] if file in tests else tests
        ended = copy.run(tests, first_only=False, seconds=WHOLE_SECONDS)
        if ended.status != 0:
            return [f"{file} without any change: {ended.output.strip()[-1500:]}"]
        named = [test for test in tests if "::" in test] or list(ended.tests)
        return [f"{test} {ended.tests.get(test, 'did not run')}" for test in named if ended.tests.get(test) != "passed"]

    return [fault for found in in_copies(copies, run, sorted(files)) for fault in found]


def try_out(copy: Copy, each: Mutant) -> Outcome:
    outcome = copy.try_out(each)
    by = outcome.by.replace("\n", "\n    ")
    mark = "  " if outcome.as_listed else "! "
    print(f"{mark}{each.area:7} {each.name}: {outcome.verdict.value}: {by}", flush=True)
    return outcome


def rows(outcomes: list[Outcome]) -> list[results.Row]:
    """A line an area; one for each mutant that no test killed."""
    made = []
    for area in AREAS:
        of_area = [outcome for outcome in outcomes if outcome.mutant.area == area]
        if not of_area:
            continue
        counts = {verdict: sum(outcome.verdict is verdict for outcome in of_area) for verdict in Verdict}
        said = [f"{counts[Verdict.KILLED]} of {len(of_area)} killed"]
        others = (Verdict.TIMEOUT, Verdict.ALIVE, Verdict.BROKEN)
        said += [f"{counts[verdict]} {verdict.value}" for verdict in others if counts[verdict]]
        good = all(outcome.as_listed for outcome in of_area)
        made.append(results.Row(area, ", ".join(said), "all, but for those listed with a reason", good))
    for outcome in outcomes:
        if outcome.verdict is not Verdict.KILLED:
            reason = outcome.mutant.change.alive or ("" if outcome.as_listed else "no reason is listed")
            what = f"{outcome.mutant.name} ({outcome.mutant.file})"
            made.append(results.Row(what, outcome.verdict.value, reason, outcome.as_listed))
    return made


def chosen(arguments: argparse.Namespace) -> list[Mutant]:
    mutants = lists.everything()
    if arguments.least:
        return [next(each for each in mutants if each.area == area) for area in AREAS]
    unknown = set(arguments.only) - {each.name for each in mutants}
    if unknown:
        sys.exit(f"no mutant named {', '.join(sorted(unknown))}: --list names them")
    return [each for each in mutants if not arguments.only or each.name in arguments.only]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="name all of them, and do nothing")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these mutants")
    parser.add_argument("--least", action="store_true", help="one of each list")
    arguments = parser.parse_args()
    mutants = chosen(arguments)
    if arguments.list:
        for each in mutants:
            alive = f"  (alive: {each.change.alive})" if each.change.alive else ""
            print(f"{each.area:7} {each.name}  {each.file}{alive}")
        return 0
    if wrong := mutant.faults(mutants):
        print("\n".join(wrong), file=sys.stderr)
        return 1
    start = time.monotonic()
    copies: queue.Queue[Copy] = queue.Queue()
    with ExitStack() as stack:
        for _ in range(AT_ONCE):
            copies.put(stack.enter_context(Copy()))
        if wrong := unchanged_faults(copies, mutants):
            print("\n".join(wrong), file=sys.stderr)
            return 1
        print(f"the tests pass without any change ({time.monotonic() - start:.0f} s)", flush=True)
        outcomes = in_copies(copies, try_out, mutants)
    whole = not (arguments.only or arguments.least)
    good = results.publish("mutants", "make mutants", rows(outcomes), time.monotonic() - start, whole=whole)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
