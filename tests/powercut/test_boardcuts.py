"""A cut of the emulated Pico, and a few more in `make test-long`; one in every operation is `make test-powercut`."""

from pathlib import Path

import pytest

from tests.powercut import updatecuts
from tests.powercut.boardcuts import EARLIER, Cuts, Said, cut_all, every_operation
from tests.powercut.updatecuts import UpdateCuts
from tests.support import kept_runs

CASES = 4


@pytest.mark.parametrize("cases_tried", [1, pytest.param(CASES, marks=pytest.mark.long)])
def test_every_promise_survives_cuts_of_the_emulated_board(board_image: Path, tmp_path: Path, cases_tried: int) -> None:
    """Every day all operations of every workload are cut on MicroPython (test_powercut)."""
    cuts = Cuts(board_image, tmp_path, kept_runs.execute)
    cases = every_operation(cuts)
    assert len(cases) > 60
    assert not cut_all(cuts, cases[5 :: len(cases) // cases_tried])


@pytest.mark.long
def test_every_promise_survives_cuts_of_an_update_of_the_emulated_board(board_image: Path, tmp_path: Path) -> None:
    cuts = UpdateCuts(board_image, tmp_path)
    cases = dict(cuts.cases())
    assert len(cases) > 60
    # Amid the bundle's pages, as it is activated, as its trial begins, and as it is kept.
    last = cuts.staging_operations
    chosen = [sorted(cases)[30], last - 1, last + 1, cuts.operations - 1]
    assert not updatecuts.cut_all(cuts, [(operation, cases[operation]) for operation in chosen])


def test_what_a_board_says_is_held_against_what_it_said_before() -> None:
    said = Said()
    said.hear("open 4 1000\nleft 1 0 16\ntry 0 0\nack 0 4 1 0\nopen 3 2000\nleft 1 0 16\ncell 0 4 0\ncell 0 4 0 00")
    assert [wrong.partition(" ")[0] for wrong in said.wrong] == [
        "round",
        "quota",
        "acknowledged",
        "served",
        "(0,",
        "acknowledged",
    ]
    assert len(said.acknowledged) == len(EARLIER) + 1
