"""Puts a relay's directory, as `tessera relay new` makes it, on a board: over its console, as one would over USB."""

import json
from pathlib import Path
from typing import Any

from tools.emulator.board import Board
from tools.emulator.program import EmulatorError

CONFIGURATION = "relay.json"
FILES = (CONFIGURATION, "seed", "parameters")
CHUNK_BYTES = 512
SERVING = b"\nserving"
NOT_PROVISIONED = b"not provisioned"
FORMAT_SECONDS = 300  # the first start fills the record ring


def provision(board: Board, directory: Path, settings: dict[str, Any] | None = None) -> None:
    """Copies the files and resets the board, which then makes its flash ready and serves: see wait_until_serving().
    settings: what relay.json has on the board besides, such as the network that it joins."""
    contents = {name: read(directory / name) for name in FILES}
    if settings:
        contents[CONFIGURATION] = json.dumps(json.loads(contents[CONFIGURATION]) | settings).encode()
    board.repl.enter()
    for name, content in contents.items():
        board.repl.exec(f"file = open('/{name}', 'wb')")
        for at in range(0, len(content), CHUNK_BYTES):
            board.repl.exec(f"file.write({content[at : at + CHUNK_BYTES]!r})")
        board.repl.exec("file.close()")
    reset(board)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EmulatorError(f"{path}: {error.strerror}. `tessera relay new` makes a relay's directory.") from None


def reset(board: Board) -> None:
    """machine.reset() at the prompt, which whatever runs is interrupted for."""
    board.repl.enter()
    board.repl.start("import machine\nmachine.reset()")


def wait_until_serving(board: Board) -> str:
    """What the board says of itself when it has started."""
    return board.repl.until(SERVING, FORMAT_SECONDS).decode(errors="replace").replace("\r\n", "\n")


def is_provisioned(board: Board) -> bool:
    """Whether a board that was just switched on holds a relay; waits until it serves or says that it does not."""
    said = board.repl.until_one_of((SERVING, NOT_PROVISIONED), FORMAT_SECONDS)
    return said == SERVING
