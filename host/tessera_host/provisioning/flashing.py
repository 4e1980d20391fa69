"""An image onto the board that is plugged in, by the way its chip takes, and the board back at its port.

Owns the way from a board to its boot loader and back. What is written where is rp2's and esp32's business.
"""

import time

from ..errors import BoardSilent, FlashFailed
from ..planning import boards
from . import detection, rp2
from .desk import Desk
from .detection import Found
from .finder import Volume
from .image import Image
from .prompt import Prompt

BOOT_SECONDS = 90.0
BOOT_LOADER_SECONDS = 60.0


def flash(desk: Desk, name: str, board: str, found: Found, image: Image) -> Found:
    """Write the image and wait for the board; the board with the image running on it. Raises FlashFailed, BoardSilent
    and what rp2 and esp32 raise."""
    by_volume = boards.board(board).mcu in rp2.FAMILIES
    after = _pico(desk, name, board, found, image) if by_volume else _esp32(desk, name, board, found, image)
    told = after.identity or after.relay
    if told is None:
        raise FlashFailed(f"the board was flashed, but now there is {after}", "repeat the command")
    if (told["board"], told["version"]) != (image.board, image.version):
        raise FlashFailed(
            f"the board runs version {told['version']} for {told['board']}, but the image is {image.version} for "
            f"{image.board}",
            "unplug it, plug it in again and repeat the command",
        )
    return after


def _pico(desk: Desk, name: str, board: str, found: Found, image: Image) -> Found:
    volume = found.volume or _boot_loader(desk, name, board, found)
    desk.report.step(f"{name}: writing the image")
    ports = detection.known_ports(desk.finder, found)
    how = rp2.flash(desk.finder, volume, image.content, desk.report.advance)
    desk.report.note(how)
    desk.report.step(f"{name}: waiting for the board")
    return detection.wait_for_board(desk.finder, found, ports, BOOT_SECONDS)


def _boot_loader(desk: Desk, name: str, board: str, found: Found) -> Volume:
    """A Pico at its prompt restarts into BOOTSEL by itself."""
    desk.report.step(f"{name}: starting the boot loader")
    before = {volume.path for volume in desk.finder.volumes()}
    with Prompt(found.place) as prompt:
        prompt.enter_boot_loader()
    end = time.monotonic() + BOOT_LOADER_SECONDS
    while time.monotonic() < end:
        for volume in desk.finder.volumes():
            if volume.path not in before:
                detection.board_for(detection.identify(volume), board, board)
                return volume
        time.sleep(0.2)
    disks = desk.finder.unmounted()
    raise BoardSilent(
        "the volume of the board's boot loader did not appear",
        f"mount it: udisksctl mount -b {disks[0]}; then repeat the command" if disks else rp2.SAFE,
    )


def _esp32(desk: Desk, name: str, board: str, found: Found, image: Image) -> Found:
    from . import esp32  # esptool takes long to import, and only these boards need it

    desk.report.step(f"{name}: writing the image")
    ports = detection.known_ports(desk.finder, found)
    esp32.flash(found.place, image.content, boards.board(board), desk.report.advance)
    desk.report.step(f"{name}: waiting for the board")
    return detection.wait_for_board(desk.finder, found, ports, BOOT_SECONDS)
