"""A share of the timing attack on the emulated Pico: the work of a FETCH without delays, which shows the most. The rest
needs the many observations of `make test-attacks`."""

from pathlib import Path

from tests.attacks import board_timing
from tests.attacks.board_timing import START_CYCLES, UNDELAYED, WORK_CYCLES, Experiment, Slope


def _work(image: Path, rounds: int, seed: int, leak: bool) -> dict[str, Slope]:
    experiment = Experiment(rounds, seed=seed, leak=leak, kinds=(UNDELAYED,))
    return board_timing.fetch_slopes(UNDELAYED + "fetch", *experiment.run(image))


def test_work_for_a_cell_does_not_depend_on_how_many_of_its_records_are_real(board_image: Path) -> None:
    slopes = _work(board_image, 100, 3, leak=False)
    assert all(slope.holds_zero for slope in slopes.values()), slopes
    assert slopes["first frame"].within(WORK_CYCLES)
    assert slopes["frame after frame"].within(WORK_CYCLES)


def test_work_for_a_constant_batch_and_for_a_start_do_not_depend_on_how_many_records_are_real(
    board_image: Path,
) -> None:
    batches = Experiment(100, seed=4, constant=True, kinds=(UNDELAYED,)).run(board_image)
    slopes = board_timing.fetch_slopes(UNDELAYED + "fetch", *batches)
    assert all(slope.holds_zero for slope in slopes.values()), slopes
    assert slopes["first frame"].within(WORK_CYCLES)
    assert slopes["frame after frame"].within(WORK_CYCLES)
    few = Experiment(4, seed=5, constant=True, kinds=()).run(board_image)
    assert abs(board_timing.start_slope([batches, few])) <= START_CYCLES


def test_a_relay_that_makes_dummies_only_where_they_are_wanted_is_found(board_image: Path) -> None:
    slopes = _work(board_image, 16, 2, leak=True)
    assert slopes["last frame"].cycles < -slopes["last frame"].margin
