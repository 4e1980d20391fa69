"""A share of the power cuts: some operations of every workload, in every measure; all of it is `make test-powercut`."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from broken import BROKEN
from tests.powercut.powercut import cut, flip, total, workloads

STEP = 5  # every fifth operation, at depth 1
DEEP_STEP = 120
FLIPS = 200


@pytest.fixture
def pool(micropython_frozen: Path, monkeypatch: pytest.MonkeyPatch) -> ThreadPoolExecutor:
    monkeypatch.setitem(os.environ, "TESSERA_MICROPYTHON_FROZEN", str(micropython_frozen))
    return ThreadPoolExecutor(1)  # pytest-xdist runs tests side by side already


@pytest.mark.parametrize("workload", workloads())
def test_every_promise_survives_cuts_in_the_operations_of(workload: str, pool: ThreadPoolExecutor) -> None:
    counts = total(cut(workload, 1, STEP, 1, pool))
    assert counts["failures"] == 0
    assert counts["operations"] >= 15 and counts["cuts"] > counts["cases"] > 5


@pytest.mark.parametrize("workload", [pytest.param("change of epoch", marks=pytest.mark.long), "push parameters"])
def test_every_promise_survives_a_cut_recovery_from_a_cut(workload: str, pool: ThreadPoolExecutor) -> None:
    counts = total(cut(workload, 2, DEEP_STEP, 1, pool))
    assert counts["failures"] == 0
    assert counts["deep_cuts"] > 5 * counts["cuts"] > 0


def test_flipped_bits_cost_at_most_their_record_and_are_reported(pool: ThreadPoolExecutor) -> None:
    counts = total(flip(FLIPS, 1, pool))
    assert counts["failures"] == 0
    assert counts["reported"] == counts["trials"] == 0.75 * FLIPS
    assert 0 < counts["faults"] < counts["keyring_trials"]


@pytest.mark.parametrize("broken", BROKEN)
def test_cuts_show_a_relay_with(broken: str, pool: ThreadPoolExecutor) -> None:
    _, workload, step, says = BROKEN[broken]
    (outcome,) = cut(workload, 1, step, 1, pool, broken)
    assert outcome.counts["cuts"] > 15, outcome.failures  # it did not die on the way, of what is broken
    found = re.findall("^AssertionError: (.*)", outcome.failures, re.MULTILINE)
    assert found and all(says in text for text in found), outcome.failures


def test_a_program_that_dies_says_of_what(pool: ThreadPoolExecutor) -> None:
    (outcome,) = cut("no such workload", 1, 1, 1, pool)
    assert outcome.counts == {"failures": 1}
    assert "died, exit status 1" in outcome.failures and "KeyError: no such workload" in outcome.failures
