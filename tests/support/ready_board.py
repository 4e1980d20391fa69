"""A relay on a board that has had its first start, and boards with copies of its flash.

Owns what a test does not wait for again: provisioning, and the first start, which fills the record ring. The way there
is tested by test_flash.py.
"""

import functools
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.board_console import status
from tests.support.office_on_disk import OfficeOnDisk
from tools.emulator.board import Board
from tools.emulator.provision import provision, wait_until_serving

FLASH = "flash.bin"


@dataclass
class ReadyRelay:
    """An organisation, its relay's flash after the first start, and what that start said."""

    office: OfficeOnDisk
    image: Path
    said: str

    @property
    def flash(self) -> Path:
        return self.office.folder / FLASH

    def board(self, flash: Path, **network: Any) -> Board:
        """A board with a copy of the flash at this path, off."""
        shutil.copyfile(self.flash, flash)
        return Board(self.image, flash, clock=self.office.board_clock, **network)


def make_ready(image: Path, office: OfficeOnDisk, **network: Any) -> ReadyRelay:
    with Board(image, office.folder / FLASH, clock=office.board_clock, **network) as board:
        provision(board, office.relay.directory)
        said = wait_until_serving(board)
        assert status(board)["boots"] == 1
    return ReadyRelay(office, image, said)


def in_board_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test whose sleeps and time limits are in the time of its `board`."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        fixtures["board"].clock.run(test(**fixtures))

    return run
