# The board that several files talk to, and its organisation. How files share the processors is tests/conftest.py's.

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.office_on_disk import OfficeOnDisk
from tests.support.ready_board import ReadyRelay, make_ready
from tools.emulator.board import Board
from tools.emulator.bridge import LOCAL
from tools.emulator.clock import Clock
from tools.emulator.provision import wait_until_serving


@pytest.fixture
def office(tmp_path: Path) -> Iterator[OfficeOnDisk]:
    """An organisation in the time of a board, which its relay finds on its network."""
    clock = Clock(tmp_path / "clock")
    choice = {"round_seconds": 12, "posts_per_token": 64, "board": "RPI_PICO"}
    with OfficeOnDisk(tmp_path, time_server=LOCAL, clock=clock, **choice) as office:
        yield office


@pytest.fixture
def ready(office: OfficeOnDisk, board_image: Path) -> ReadyRelay:
    return make_ready(board_image, office)


@pytest.fixture
def board(ready: ReadyRelay, tmp_path: Path, board_network: None) -> Iterator[Board]:
    """Of the organisation's relay: switched on, serving and on the network."""
    port = ready.office.port
    with ready.board(tmp_path / "board.bin", guest_port=port, port=port) as board:
        wait_until_serving(board)
        board.wait_for_link(120)
        yield board
