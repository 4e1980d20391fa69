"""A share of the timing attack on the emulated Pico: that it runs, and that it finds a leak; its bounds need the many
observations of `make test-attacks`."""

from pathlib import Path

import board_timing


def test_a_relay_that_does_more_for_real_records_is_found(board_image: Path) -> None:
    slopes = board_timing.fetch_slopes(*board_timing.observe(board_image, 10, 2, leak=True))
    work = slopes["FETCH, work for all frames"]
    assert work.cycles > work.margin


def test_the_relay_is_not(board_image: Path) -> None:
    slopes = board_timing.fetch_slopes(*board_timing.observe(board_image, 8, 3, leak=False))
    assert slopes["FETCH, work for all frames"].holds_zero
    assert slopes["FETCH, first frame leaves"].holds_zero
