# How the files share the processors, and the board that two of them talk to.
#
# `--dist loadgroup` keeps a file on one worker, so that what its fixtures make is made once; the files with emulated
# boards take longest and begin first. How many run at once is not limited: a board's time is its own.

from collections.abc import Iterator
from pathlib import Path

import pytest
from office_on_disk import OfficeOnDisk
from ready_board import ReadyRelay, make_ready

from emulator.board import Board
from emulator.bridge import LOCAL
from emulator.clock import Clock
from emulator.provision import wait_until_serving

BOARDS = (
    "test_appliance.py",
    "test_flash.py",
    "test_readme.py",
    "test_update.py",
    "test_board.py",
    "test_console.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    ours = [item for item in items if item.path.parent == here]
    for item in ours:
        item.add_marker(pytest.mark.xdist_group(item.path.name))
    places = {name: place for place, name in enumerate(BOARDS)}
    ours.sort(key=lambda item: places.get(item.path.name, len(BOARDS)))
    items[:] = [item for item in items if item.path.parent != here] + ours


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
