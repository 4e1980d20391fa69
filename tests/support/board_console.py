"""The console of a relay on an emulated board, for tests: a command and its answer."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.office_on_disk import OfficeOnDisk
from tools.emulator.board import Board
from tools.emulator.provision import provision, wait_until_serving

PATIENCE_SECONDS = 120


class RefusedCommand(Exception):
    """The board answered that it does not do this."""


@contextmanager
def serving_board(image: Path, office: OfficeOnDisk) -> Iterator[Board]:
    """A board that is switched on, provisioned and serving, without a network."""
    with Board(image, office.folder / "flash.bin") as board:
        provision(board, office.relay.directory)
        wait_until_serving(board)
        yield board


def ask(board: Board, line: str) -> tuple[list[str], dict[str, Any]]:
    """The data lines of a command and the figures of its answer."""
    name = line.split()[0]
    board.repl.send(line.encode() + b"\n")
    lines: list[str] = []
    while True:
        said = board.repl.until(b"\r\n", PATIENCE_SECONDS).decode(errors="replace")
        if said.startswith(f"-{name} "):
            lines.append(said.removeprefix(f"-{name} "))
        elif said.startswith(f"={name} "):
            return lines, json.loads(said.removeprefix(f"={name} "))
        elif said.startswith("!"):
            raise RefusedCommand(said)


def status(board: Board) -> dict[str, Any]:
    return ask(board, "status")[1]


def until_state(board: Board, state: str) -> None:
    """Waits until the relay is in this state: no-network, no-time, serving, fault."""
    end = time.monotonic() + PATIENCE_SECONDS
    while (seen := status(board)["state"]) != state:
        assert time.monotonic() < end, f"still {seen}"
        time.sleep(0.3)
