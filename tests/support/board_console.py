"""The console of a relay on an emulated board, for tests: a command and its answer."""

import json
from typing import Any

from tools.emulator.board import Board

PATIENCE_SECONDS = 120  # of the board


class RefusedCommand(Exception):
    """The board answered that it does not do this."""


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
    end = board.clock.seconds() + PATIENCE_SECONDS
    while (seen := status(board)["state"]) != state:
        assert board.clock.seconds() < end, f"still {seen}"
        board.sleep(0.3)
