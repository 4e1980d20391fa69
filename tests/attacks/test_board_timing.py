"""A share of the timing attack on the emulated Pico: the work of a FETCH without delays, which shows the most. The rest
needs the many observations of `make test-attacks`. An image takes the same cycles on every computer, whatever else that
does."""

from pathlib import Path

from tests.attacks import board_timing
from tests.attacks.board_timing import FEW, START_CYCLES, UNDELAYED, WORK_CYCLES, Experiment, Slope
from tests.support import kept_runs

ROUNDS = 60

Seen = tuple[dict[int, int], list[board_timing.Observation]]


def _work(seen: Seen) -> dict[str, Slope]:
    return board_timing.fetch_slopes(UNDELAYED + "fetch", *seen)


def _assert_nothing_shows(slopes: dict[str, Slope]) -> None:
    assert all(slope.holds_zero for slope in slopes.values()), slopes
    assert slopes["first frame"].within(WORK_CYCLES), slopes
    assert slopes["frame after frame"].within(WORK_CYCLES), slopes


def test_work_for_a_cell_does_not_depend_on_how_many_of_its_records_are_real(board_image: Path) -> None:
    _assert_nothing_shows(_work(Experiment(ROUNDS, seed=3, kinds=(UNDELAYED,)).run(board_image, kept_runs.execute)))


def test_work_for_a_constant_batch_and_for_a_start_do_not_depend_on_how_many_records_are_real(
    board_image: Path,
) -> None:
    batches = Experiment(ROUNDS, seed=3, constant=True, kinds=(UNDELAYED,)).run(board_image, kept_runs.execute)
    _assert_nothing_shows(_work(batches))
    few = Experiment(ROUNDS, seed=3, constant=True, kinds=(), most=FEW).run(board_image, kept_runs.execute)
    assert abs(board_timing.start_slope([batches, few])) <= START_CYCLES


def test_a_relay_that_makes_dummies_only_where_they_are_wanted_is_found(board_image: Path) -> None:
    slopes = _work(Experiment(16, seed=2, leak=True, kinds=(UNDELAYED,)).run(board_image, kept_runs.execute))
    assert slopes["last frame"].cycles < -slopes["last frame"].margin
