"""Which board may become a relay of parameters that were planned for another."""

from types import SimpleNamespace
from typing import Any

import pytest

from tessera_host.errors import WrongBoard
from tessera_host.planning.boards import CELL_RECORDS
from tessera_host.provisioning import eligibility


def desk(posts: int, candidates: int = 218, retention_epochs: int = 1) -> Any:
    """Of an issuer whose members may post so much in an epoch."""
    sizes = {"posts_per_epoch": posts, "largest_cell": posts + candidates, "retention_epochs": retention_epochs}
    return SimpleNamespace(parameters=SimpleNamespace(**sizes))


def test_a_board_takes_what_its_ring_and_its_heap_hold():
    eligibility.check_capacity(desk(CELL_RECORDS - 218), "RPI_PICO_W")
    eligibility.check_capacity(desk(824, retention_epochs=3), "RPI_PICO_W")  # 3296 of 3328 - 32


def test_a_ring_that_is_too_small_is_refused_with_numbers():
    with pytest.raises(WrongBoard, match="room for 3296 records, and this office's members may post 3300"):
        eligibility.check_capacity(desk(825, retention_epochs=3), "RPI_PICO_W")


def test_a_heap_that_is_too_small_is_refused_with_numbers():
    with pytest.raises(WrongBoard, match="room for 1120 records of one cell, and this office's cells may have 1121"):
        eligibility.check_capacity(desk(CELL_RECORDS - 217), "RPI_PICO_W")
    eligibility.check_capacity(desk(4000), "GATEWAY")
