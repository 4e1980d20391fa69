"""A share of the timing attack on the emulated Pico: the work of a FETCH without delays, which shows the most. The rest
needs the many observations of `make test-attacks`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks import board_timing
from tests.attacks.board_timing import START_CYCLES, UNDELAYED, WORK_CYCLES, Experiment, Slope

pytestmark = pytest.mark.long  # the first frame's spread is wider on a busy computer: to be found out

Seen = tuple[dict[int, int], list[board_timing.Observation]]


def _observed(experiments: list[Experiment], image: Path, enough: Callable[[dict[str, Slope]], bool]) -> Seen:
    """What the first of these experiments saw that is precise enough, whatever its slopes are; else the last one:
    what else the board does meanwhile makes some of them ten times as wide as others."""
    for experiment in experiments:
        seen = experiment.run(image)
        if enough(_work(seen)):
            break
    return seen


def _work(seen: Seen) -> dict[str, Slope]:
    return board_timing.fetch_slopes(UNDELAYED + "fetch", *seen)


def _precise(slopes: dict[str, Slope]) -> bool:
    return all(slopes[name].margin < 0.8 * WORK_CYCLES for name in ("first frame", "frame after frame"))


def _tries(constant: bool) -> list[Experiment]:
    return [Experiment(100, seed=seed, constant=constant, kinds=(UNDELAYED,)) for seed in (3, 13, 23, 33)]


def test_work_for_a_cell_does_not_depend_on_how_many_of_its_records_are_real(board_image: Path) -> None:
    slopes = _work(_observed(_tries(constant=False), board_image, _precise))
    assert all(slope.holds_zero for slope in slopes.values()), slopes
    assert slopes["first frame"].within(WORK_CYCLES)
    assert slopes["frame after frame"].within(WORK_CYCLES)


def test_work_for_a_constant_batch_and_for_a_start_do_not_depend_on_how_many_records_are_real(
    board_image: Path,
) -> None:
    batches = _observed(_tries(constant=True), board_image, _precise)
    slopes = _work(batches)
    assert all(slope.holds_zero for slope in slopes.values()), slopes
    assert slopes["first frame"].within(WORK_CYCLES)
    assert slopes["frame after frame"].within(WORK_CYCLES)
    few = Experiment(4, seed=5, constant=True, kinds=()).run(board_image)
    assert abs(board_timing.start_slope([batches, few])) <= START_CYCLES


def test_a_relay_that_makes_dummies_only_where_they_are_wanted_is_found(board_image: Path) -> None:
    tries = [Experiment(rounds, seed=2, leak=True, kinds=(UNDELAYED,)) for rounds in (16, 32, 64)]
    slopes = _work(_observed(tries, board_image, lambda found: not found["last frame"].holds_zero))
    assert slopes["last frame"].cycles < -slopes["last frame"].margin
