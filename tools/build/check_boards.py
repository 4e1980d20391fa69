"""Checks partitions, manifests, frozen modules and bundles of every board: `make check-boards`.

Usage: python -m tools.build.check_boards [--list]    --list prints the names of the boards, one in each line

Owns the order of the checks and what is printed. Reading a board is the business of boards.py, bundles of bundle.py.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tessera_host.planning import boards as planned
from tools.build import bundle
from tools.build.boards import (
    BoardError,
    check_partitions,
    check_room,
    compile_module,
    frozen_modules,
    names,
    programs,
    read_board,
    stage,
)


def check_board(name: str, micropython: Path, mpy_cross: Path) -> str:
    """Do all checks of one board. Returns a line about it."""
    board = read_board(name)
    check_partitions(board)
    with tempfile.TemporaryDirectory() as scratch:
        modules = frozen_modules(board, stage(board, Path(scratch, "stage")), micropython)
        frozen = sum(len(compile_module(*module, board.architecture, mpy_cross)) for module in modules)
        room = bundle.check_room(board, modules, mpy_cross) if board.bundles else None
    free = check_room(board, frozen)
    ring = board.partitions["ring"].length // 1024
    made = f"{len(modules)} modules, {frozen} bytes for {board.architecture}"
    in_bundle = "" if room is None else f", {room} bytes free in a bundle"
    return f"{name:18} {made:42} ring {ring:4} KiB, some {free // 1024} KiB free{in_bundle}"


def check_all() -> Iterator[str]:
    micropython, mpy_cross = programs()
    missing = set(names()) ^ (set(planned.BOARDS) - {"GATEWAY"})
    if missing:
        raise BoardError(f"{', '.join(sorted(missing))}: every board must be both in boards/ and in planning.boards")
    for name in names():
        yield check_board(name, micropython, mpy_cross)


def main() -> int:
    if sys.argv[1:] == ["--list"]:
        print("\n".join(names()))
        return 0
    try:
        for line in check_all():
            print(line)
    except BoardError as error:
        print(f"check-boards: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
