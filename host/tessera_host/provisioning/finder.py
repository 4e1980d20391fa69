"""What is plugged into this computer: serial ports that may be boards, and the volumes of Picos in BOOTSEL.

Owns where a system keeps them. Leaves to others: what answers behind a port (detection.py). A `Finder` is passed to
everything that looks for boards, so that tests put in one that sees other things.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

INFO = "INFO_UF2.TXT"
LABELS = ("RPI-RP2", "RP2350")
_LINUX_LABELS = Path("/dev/disk/by-label")
_LINUX_MOUNTS = Path("/proc/self/mounts")

# USB identities of what relays are made of: (vendor, product) -> what it is. A product of None stands for any.
BOARDS: dict[tuple[int, int | None], str] = {
    (0x2E8A, None): "Raspberry Pi Pico",
    (0x303A, None): "ESP32 with USB of its own",
    (0x10C4, 0xEA60): "USB bridge CP210x, as on many ESP32 boards",
    (0x1A86, 0x7523): "USB bridge CH340, as on many ESP32 boards",
    (0x1A86, 0x55D4): "USB bridge CH9102, as on many ESP32 boards",
    (0x0403, 0x6001): "USB bridge FT232, as on some ESP32 boards",
    (0x0403, 0x6010): "USB bridge FT2232, as on some ESP32 boards",
    (0x0403, 0x6015): "USB bridge FT231X, as on some ESP32 boards",
    (0x067B, 0x2303): "USB bridge PL2303, as on some ESP32 boards",
}


@dataclass(frozen=True)
class Port:
    """A serial port: its device and what USB says of it."""

    device: str
    description: str
    serial_number: str | None = None
    may_be_esp32: bool = False

    def __str__(self) -> str:
        return f"{self.device} ({self.description})"


@dataclass(frozen=True)
class Volume:
    """The volume of a Pico in BOOTSEL; board_id is that of INFO_UF2.TXT."""

    path: Path
    board_id: str

    def __str__(self) -> str:
        return f"{self.path} (BOOTSEL volume, {self.board_id})"


class Finder:
    """This computer's ports and volumes."""

    def ports(self) -> list[Port]:
        """Serial ports with the USB identity of a board, in order of device."""
        found = [(port, kind_of(port.vid, port.pid)) for port in list_ports.comports()]
        return sorted(
            (Port(port.device, kind, port.serial_number, port.vid != 0x2E8A) for port, kind in found if kind),
            key=lambda port: port.device,
        )

    def volumes(self) -> list[Volume]:
        """Mounted volumes of boards in BOOTSEL."""
        found = (read_volume(path) for path in mount_points())
        return [volume for volume in found if volume]

    def unmounted(self) -> list[Path]:
        """Disks of boards in BOOTSEL that nothing has mounted (Linux)."""
        if self.volumes():
            return []
        return [_LINUX_LABELS / label for label in LABELS if (_LINUX_LABELS / label).exists()]

    def picotool(self) -> str | None:
        """The program picotool, if it is installed."""
        return shutil.which("picotool")


def kind_of(vendor: int | None, product: int | None) -> str | None:
    """What a USB identity stands for; None if no board has it."""
    if vendor is None:
        return None
    return BOARDS.get((vendor, product)) or BOARDS.get((vendor, None))


def read_volume(path: Path) -> Volume | None:
    """The BOOTSEL volume at this path; None if it is none."""
    try:
        text = (path / INFO).read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    match = re.search(r"^Board-ID:\s*(\S+)", text, re.MULTILINE)
    return Volume(path, match[1]) if match else None


def mount_points() -> Iterator[Path]:
    """Where volumes of USB disks are mounted on this system."""
    if sys.platform == "darwin":
        yield from Path("/Volumes").iterdir()
    elif os.name == "nt":
        yield from (Path(f"{letter}:/") for letter in "DEFGHIJKLMNOPQRSTUVWXYZ")
    else:
        yield from linux_mount_points(_LINUX_MOUNTS)


def linux_mount_points(table: Path) -> Iterator[Path]:
    """Those with a FAT file system; the kernel writes blanks in paths as octal numbers."""
    for line in table.read_text(errors="replace").splitlines():
        _, path, kind, *_ = line.split(" ")
        if kind in ("vfat", "msdos"):
            yield Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path))
