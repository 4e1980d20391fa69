"""Flashing a Pico: its boot ROM shows a volume, and a UF2 file that is copied there is written to flash.

Owns the copying and what can be verified of it. The ROM takes each block as it comes and restarts into the image after
the last one: the volume then goes away, which is how success looks, often as an error of the copying program.
"""

import os
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import BoardSilent, FlashFailed, ImageRejected, PortDenied, WrongBoard
from .finder import Finder, Volume, read_volume
from .serial_line import how_to_get_permission

CHIPS = {"RPI-RP2": "rp2040", "RP2350": "rp2350"}
FAMILIES = {"rp2040": 0xE48BFF56, "rp2350": 0xE48BFF59}
SAFE = (
    "it is safe to unplug the board, as a Pico's boot loader cannot be overwritten; hold BOOTSEL while you plug it in, "
    "and repeat the command"
)

_BLOCK_BYTES = 512
_MAGIC = (0x0A324655, 0x9E5D5157)
_END_MAGIC = 0x0AB16F30
_CHUNK_BYTES = 64 * 1024
_GONE_SECONDS = 30.0
_PICOTOOL_SECONDS = 300

Advance = Callable[[int, int], None]


def chip_of(volume: Volume) -> str:
    """The chip of a BOOTSEL volume, as boards name it. Raises WrongBoard for a volume of another maker's board."""
    try:
        return CHIPS[volume.board_id]
    except KeyError:
        raise WrongBoard(f"{volume.path} is a {volume.board_id}, not a Raspberry Pi Pico", "plug in a Pico") from None


def check_image(content: bytes, chip: str) -> None:
    """Raise unless every block of a UF2 file is sound and for this chip: a ROM passes over what is not for it.

    ImageRejected, WrongBoard.
    """
    blocks = len(content) // _BLOCK_BYTES
    if not blocks or len(content) % _BLOCK_BYTES:
        raise ImageRejected("the image is not a UF2 file; nothing was written", "build it again")
    families = set()
    for number in range(blocks):
        block = content[number * _BLOCK_BYTES : (number + 1) * _BLOCK_BYTES]
        *magic, _, _, size, place, count, family = struct.unpack_from("<8I", block)
        if tuple(magic) != _MAGIC or struct.unpack_from("<I", block, 508)[0] != _END_MAGIC or size > 476:
            raise ImageRejected(f"block {number} of the UF2 file is damaged; nothing was written", "build it again")
        if (place, count) != (number, blocks):
            raise ImageRejected("the UF2 file lacks blocks; nothing was written", "build it again")
        families.add(family)
    if families != {FAMILIES[chip]}:
        other = next((name for name, family in FAMILIES.items() if families == {family}), "another chip")
        raise WrongBoard(
            f"the image is for {other}, but the board that is plugged in has an {chip}; nothing was written",
            "plug in the other board, or choose with --board",
        )


def flash(finder: Finder, volume: Volume, content: bytes, advance: Advance) -> str:
    """Write a UF2 image; the words for how it was written. Raises FlashFailed, PortDenied, BoardSilent.

    With picotool installed it is written and read back by that; otherwise, or if that finds no board, by copying.
    """
    picotool = finder.picotool()
    if picotool and _by_picotool(picotool, content, volume):
        return "picotool, read back"
    copy(volume.path, content, advance)
    _wait_until_gone(volume.path)
    return "copied to the volume"


def _by_picotool(program: str, content: bytes, volume: Volume) -> bool:
    """False if picotool was not let at the board: then the volume has to do."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "firmware.uf2")
        path.write_bytes(content)
        command = [program, "load", "--verify", "--execute", str(path)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_PICOTOOL_SECONDS, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired):
            return False
    if done.returncode and read_volume(volume.path) is None:
        raise FlashFailed("picotool stopped while it wrote the image", SAFE)
    return done.returncode == 0


def copy(folder: Path, content: bytes, advance: Advance) -> None:
    """Copy an image to the volume, block after block, and check that all of it arrived. Raises FlashFailed,
    PortDenied."""
    path, sent = folder / "firmware.uf2", 0
    try:
        with open(path, "wb", buffering=0) as file:
            while sent < len(content):
                sent += file.write(content[sent : sent + _CHUNK_BYTES])
                os.fsync(file.fileno())
                advance(sent, len(content))
    except OSError as error:
        # After the last block the board restarts and takes the volume with it, before the file is closed; what the
        # system has read of the volume can be read for a while longer.
        if sent == len(content) and _is_gone(folder):
            return
        raise _why_not_written(folder, sent, len(content), error) from None
    _compare(path, content)


def _compare(path: Path, content: bytes) -> None:
    """The volume is no disk: while it is still there it must at least not contradict what was written."""
    try:
        there = path.stat().st_size
    except OSError:
        return  # taken, and gone
    if there < len(content):
        raise FlashFailed(f"only {there} of {len(content)} bytes arrived on the volume", SAFE)


def _why_not_written(folder: Path, sent: int, total: int, error: OSError) -> Exception:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FlashFailed(
            f"the volume {folder} is full", "delete the files on it, or hold BOOTSEL and plug the board in again"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        if error.errno == errno.EROFS:
            return PortDenied(f"the volume {folder} is mounted read-only", "mount it so that this user may write to it")
        return PortDenied(f"this user may not write to {folder}", how_to_get_permission(folder))
    if not folder_is_there(folder):
        return FlashFailed(f"the board went away after {sent} of {total} bytes", SAFE)
    return FlashFailed(f"writing to {folder} failed after {sent} of {total} bytes: {error.strerror}", SAFE)


def folder_is_there(folder: Path) -> bool:
    return read_volume(folder) is not None


def _wait_until_gone(folder: Path) -> None:
    """The ROM restarts into the image when it has all of it."""
    if not _is_gone(folder):
        raise BoardSilent("the board did not restart after the image was copied", SAFE)


def _is_gone(folder: Path) -> bool:
    """Whether the volume goes away within the time that a restart takes."""
    end = time.monotonic() + _GONE_SECONDS
    while folder_is_there(folder):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
