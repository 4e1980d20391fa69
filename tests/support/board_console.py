"""The console of a relay on an emulated board, for tests: a command and its answer."""

import contextlib
import json
from typing import Any

from tools.emulator.board import Board

PATIENCE_SECONDS = 120  # of the board
_ATTEMPTS = 3


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
    """The radio's driver prints in C, perhaps into an answer: it is asked for again, as the product does."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(json.JSONDecodeError):
            return ask(board, "status")[1]
    return ask(board, "status")[1]


def until_state(board: Board, state: str) -> None:
    """Waits until the relay is in this state: no-network, no-time, serving, fault."""
    until(board, state=state)


def until(board: Board, seconds: float = PATIENCE_SECONDS, **wanted: Any) -> dict[str, Any]:
    """Waits until the figures of `status` are as wanted, for so many seconds of the board; the figures."""
    end = board.clock.seconds() + seconds
    while not (seen := status(board)).items() >= wanted.items():
        assert board.clock.seconds() < end, f"still {[seen[name] for name in wanted]}"
        board.sleep(0.3)
    return seen
