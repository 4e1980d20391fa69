"""A share of the power cuts: some operations of every workload, in every measure; all of it is `make test-powercut`."""

import json
import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from broken import BROKEN
from tests.powercut import powercut
from tests.powercut.powercut import Outcome, micropython, total, workloads
from tests.support.kept_runs import kept, sources

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("tests/powercut", "tests/core", "tests/vectors", "firmware", "firmware/tessera", "firmware/device")
STEP = 5  # every fifth operation, at depth 1
DEEP_STEP = 120
FLIPS = 200


def run(program: str, *arguments: object) -> Outcome:
    """The program's, whose numbers are from seeds but for what members draw, of which no flash sees anything: where
    nothing changed of it and of what it imports, what it came to before."""
    binary = Path(os.environ["TESSERA_MICROPYTHON_FROZEN"]).read_bytes()
    files = sources(*(ROOT / folder for folder in SOURCES))

    def anew() -> bytes:
        outcome = micropython(program, *arguments)
        return json.dumps([outcome.counts, outcome.failures, outcome.died]).encode()

    inputs = ["powercut", binary, files, program, json.dumps(arguments)]
    counts, failures, died = json.loads(kept(inputs, anew, keeps=lambda outcome: not json.loads(outcome)[2]))
    return Outcome(Counter(counts), failures, died)


def cut(workload: str, depth: int, step: int, pool: ThreadPoolExecutor, broken: str = "") -> list[Outcome]:
    return powercut.cut(workload, depth, step, 1, pool, broken, run)


@pytest.fixture
def pool(micropython_frozen: Path, monkeypatch: pytest.MonkeyPatch) -> ThreadPoolExecutor:
    monkeypatch.setitem(os.environ, "TESSERA_MICROPYTHON_FROZEN", str(micropython_frozen))
    return ThreadPoolExecutor(1)  # pytest-xdist runs tests side by side already


@pytest.mark.parametrize("workload", workloads())
def test_every_promise_survives_cuts_in_the_operations_of(workload: str, pool: ThreadPoolExecutor) -> None:
    counts = total(cut(workload, 1, STEP, pool))
    assert counts["failures"] == 0
    assert counts["operations"] >= 11 and counts["cuts"] > counts["cases"] > 5


@pytest.mark.parametrize("workload", [pytest.param("change of epoch", marks=pytest.mark.long), "push parameters"])
def test_every_promise_survives_a_cut_recovery_from_a_cut(workload: str, pool: ThreadPoolExecutor) -> None:
    counts = total(cut(workload, 2, DEEP_STEP, pool))
    assert counts["failures"] == 0
    assert counts["deep_cuts"] > 5 * counts["cuts"] > 0


def test_flipped_bits_cost_at_most_their_record_and_are_reported(pool: ThreadPoolExecutor) -> None:
    counts = total(powercut.flip(FLIPS, 1, pool, run))
    assert counts["failures"] == 0
    assert counts["reported"] == counts["trials"] == 0.75 * FLIPS
    assert 0 < counts["faults"] < counts["keyring_trials"]


@pytest.mark.parametrize("broken", BROKEN)
def test_cuts_show_a_relay_with(broken: str, pool: ThreadPoolExecutor) -> None:
    _, workload, step, says = BROKEN[broken]
    (outcome,) = cut(workload, 1, step, pool, broken)
    assert outcome.counts["cuts"] > 15, outcome.failures  # it did not die on the way, of what is broken
    found = re.findall("^AssertionError: (.*)", outcome.failures, re.MULTILINE)
    assert found and all(says in text for text in found), outcome.failures


def test_a_program_that_dies_says_of_what(pool: ThreadPoolExecutor) -> None:
    (outcome,) = cut("no such workload", 1, 1, pool)
    assert outcome.died and outcome.counts == {"failures": 1}
    assert "died, exit status 1" in outcome.failures and "KeyError: no such workload" in outcome.failures
