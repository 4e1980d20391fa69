"""`make bench-bundle`: what the same code costs as a bundle, beside frozen, on the emulated Raspberry Pi Pico.

Owns the measurement, which is figures and not assertions: heap in use once everything that a relay imports is imported,
and cycles (an ideal Cortex-M0+, as in device.py) from power to the prompt.
"""

import argparse
import hashlib
import json
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tessera.release import version_number
from tools.build import boards, bundle
from tools.emulator.execution import DONE, execute
from tools.emulator.littlefs_image import make_littlefs, write_flash

BOARD = "RPI_PICO"
IMAGE = boards.ROOT / "build" / BOARD / "firmware.uf2"
VERSION = "9.9.9"  # newer than any image, so that it runs
LOOK = """
import gc, slots
from device import service
gc.collect()
print(slots.current.report()["code"], gc.mem_alloc(), gc.mem_alloc() + gc.mem_free())
"""
CYCLES_PER_MS = 125_000


def make_bundle(folder: Path) -> bytes:
    """The tree's code under another version."""
    board = boards.read_board(BOARD)
    manifest = boards.stage(board, folder)
    core = folder / "firmware" / "tessera"
    init = core / "__init__.py"
    init.write_text(init.read_text().replace(f'"{boards.version(core)}"', f'"{VERSION}"'))
    (folder / "firmware" / "tessera_build.py").write_text(boards.build_module(board, core))
    micropython, mpy_cross = boards.programs()
    return bundle.make(board, boards.frozen_modules(board, manifest, micropython), mpy_cross)


def write_board(flash: Path, content: bytes | None) -> None:
    """A board without a relay, with this bundle confirmed."""
    partitions = boards.read_board(BOARD).partitions
    files = {}
    if content is not None:
        write_flash(flash, partitions["bundle_a"].offset, content)
        slot = {"place": 0, "version": version_number(VERSION), "bytes": len(content), "tried": True, "seconds": 0}
        slot["sha256"] = hashlib.sha256(content).hexdigest()
        files["/code"] = json.dumps({"confirmed": slot, "trial": None, "failed": None}).encode()
    littlefs = partitions["littlefs"]
    write_flash(flash, littlefs.offset, make_littlefs(files, littlefs.length))


def measure(flash: Path) -> tuple[str, int, int, int]:
    """(what runs, heap in use, heap, cycles from power to the end of the measurement)"""
    program = flash.with_suffix(".py")
    program.write_text(LOOK)
    done = execute(IMAGE, flash, program, guest_seconds=60)
    if done.status != DONE:
        raise SystemExit(f"bundle_cost: {done.output}{done.errors}")
    name, used, heap = done.output.split()[-3:]
    return name, int(used), int(heap), done.cycles


def main() -> None:
    argparse.ArgumentParser(description="What code costs that runs as a bundle.").parse_args()
    table = Table("code", "heap in use", "of", "power to prompt, with imports")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, content in enumerate((None, make_bundle(folder / "stage"))):
            flash = folder / f"{number}.bin"
            write_board(flash, content)
            code, used, heap, cycles = measure(flash)
            size = "" if content is None else f", {len(content):,} bytes"
            table.add_row(code + size, f"{used:,}", f"{heap:,}", f"{cycles:,} cycles, {cycles / CYCLES_PER_MS:.0f} ms")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
