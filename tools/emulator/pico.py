"""An emulated Pico on a USB cable: its BOOTSEL volume and its console come and go in a folder as they do on a computer.

    python -m tools.emulator.pico FOLDER [--port 8100]     a blank one with BOOTSEL held, until Ctrl-C

    FOLDER/volumes/RPI-RP2   while its boot ROM waits for an image: INFO_UF2.TXT, and whatever is copied there
    FOLDER/ttyACM0           while an image runs: a link to the pseudo-terminal of its console
    FOLDER/flash.bin         the flash

As the ROM does, it takes the blocks of a UF2 file as they come, restarts when it has all of them, and keeps what it has
when the cable is pulled.
"""

import argparse
import contextlib
import functools
import shutil
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.emulator.board import Board
from tools.emulator.clock import Clock
from tools.emulator.program import EmulatorError
from tools.emulator.terminal import Terminal
from tools.emulator.wifi import Radio

BOARD_ID = "RPI-RP2"
INFO = "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n"
FLASH_BYTES = 2 << 20
BLOCK_BYTES = 512
BOOTSEL_STATUS = 78
POLL_SECONDS = 0.05
_MAGIC = (0x0A324655, 0x9E5D5157)
_FLASH_BASE = 0x10000000


class Pico:
    """A Pico that is plugged in and pulled out; a context manager that pulls it out in the end."""

    def __init__(
        self,
        folder: Path,
        *,
        guest_port: int | None = None,
        port: int = 0,
        clock: Clock | None = None,
        realtime: bool = False,
        radio: Radio | None = None,
    ) -> None:
        """A blank one, unless the folder has its flash. The others are as of a Board."""
        self.volume = folder / "volumes" / BOARD_ID
        self.console = folder / "ttyACM0"
        self.flash = folder / "flash.bin"
        self._image = folder / "image.uf2"
        self._make = functools.partial(
            Board, guest_port=guest_port, port=port, clock=clock, realtime=realtime, radio=radio
        )
        self._board: Board | None = None
        self._terminal: Terminal | None = None
        self._lock = threading.RLock()
        self._plugged = threading.Event()
        self._thread: threading.Thread | None = None
        folder.mkdir(parents=True, exist_ok=True)
        if not self.flash.exists():
            self.flash.write_bytes(b"\xff" * FLASH_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()

    @property
    def board(self) -> Board:
        """The board that runs. EmulatorError if none does."""
        if self._board is None:
            raise EmulatorError("the Pico runs no image")
        return self._board

    def plug_in(self, bootsel: bool = False) -> None:
        """With BOOTSEL held, or without any image on its flash, the volume appears; else the image runs."""
        if bootsel or not self._image.exists():
            self._show_volume()
        else:
            self._run()
        self._plugged.set()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Pull the cable, whatever is under way."""
        self._plugged.clear()
        with self._lock:
            self._take_console_away()
            if self._board:
                self._board.kill()
                self._board = None
            if self.volume.exists():
                self._keep(*self._arrived())
                shutil.rmtree(self.volume)
        if self._thread:
            self._thread.join()

    # -- the boot ROM

    def _show_volume(self) -> None:
        self.volume.mkdir(parents=True)
        (self.volume / "INDEX.HTM").write_text("<html></html>\n")
        (self.volume / "INFO_UF2.TXT").write_text(INFO)

    def _arrived(self) -> tuple[list[bytes], int]:
        """The blocks of an image that are on the volume, and how many it has."""
        blocks: dict[int, bytes] = {}
        total = 0
        for path in self.volume.glob("*.[uU][fF]2"):
            content = path.read_bytes()
            for at in range(0, len(content) - BLOCK_BYTES + 1, BLOCK_BYTES):
                block = content[at : at + BLOCK_BYTES]
                *magic, _, _, _, number, count, _ = struct.unpack_from("<8I", block)
                if tuple(magic) == _MAGIC:
                    blocks[number], total = block, count
        return list(blocks.values()), total

    def _keep(self, blocks: list[bytes], total: int) -> None:
        """Lay blocks on the flash; all of an image's are one that can run."""
        if not blocks:
            return
        self._image.unlink(missing_ok=True)
        with self.flash.open("r+b") as file:
            for block in blocks:
                address, size = struct.unpack_from("<2I", block, 12)
                file.seek(address - _FLASH_BASE)
                file.write(block[32 : 32 + size])
        if len(blocks) == total:
            self._image.write_bytes(b"".join(blocks))

    # -- an image

    def _run(self) -> None:
        self._board = self._make(self._image, self.flash)
        self._board.start()
        self._terminal = self._board.terminal(self.console)

    def _take_console_away(self) -> None:
        if self._terminal:
            with contextlib.suppress(OSError):
                self._terminal.close()
            self._terminal = None

    # -- what happens by itself

    def _watch(self) -> None:
        while self._plugged.is_set():
            with self._lock:
                if self._plugged.is_set():
                    self._look()
            time.sleep(POLL_SECONDS)

    def _look(self) -> None:
        if self._board is None:
            blocks, total = self._arrived()
            if blocks and len(blocks) == total:
                self._keep(blocks, total)
                shutil.rmtree(self.volume)
                self._run()
        elif (status := self._board.ended()) is not None:
            self._take_console_away()
            self._board.stop()
            self._board = None
            if status != BOOTSEL_STATUS:
                self._plugged.clear()
                print(f"the Pico went off: status {status}", file=sys.stderr)
                return
            self._show_volume()


@contextlib.contextmanager
def plugged_in(folder: Path, port: int) -> Iterator[Pico]:
    """A blank Pico with BOOTSEL held, for a person: its clock follows this computer's."""
    with Pico(folder, guest_port=port, port=port, realtime=True) as pico:
        pico.plug_in(bootsel=True)
        yield pico


def main() -> int:
    parser = argparse.ArgumentParser(prog="emulator.pico", description="An emulated Pico on a cable, BOOTSEL held.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8100, help="TCP port of the relay, and of 127.0.0.1 (8100)")
    arguments = parser.parse_args()
    try:
        with plugged_in(arguments.folder, arguments.port) as pico:
            print(
                f"volume  {pico.volume}\nconsole {pico.console}, when an image runs\nCtrl-C pulls the cable.",
                flush=True,
            )
            threading.Event().wait()
    except KeyboardInterrupt:
        return 130
    except EmulatorError as error:
        print(f"pico: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
