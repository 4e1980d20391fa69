"""`tessera flash` as it is, on a computer that an emulated Pico (tools.emulator.pico) is plugged into and nothing else.

Usage: python -m tests.support.flash_emulated FOLDER[:FOLDER...] [argument of `tessera` ...]
"""

import sys
from pathlib import Path

from tessera_host import cli
from tessera_host.cli import flash
from tessera_host.provisioning.finder import Finder, Port, Volume, read_volume


class EmulatedFinder(Finder):
    """Sees the Picos of some folders."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders

    def ports(self) -> list[Port]:
        consoles = [folder / "ttyACM0" for folder in self._folders]
        return [Port(str(console), "emulated Pico") for console in consoles if console.exists()]

    def volumes(self) -> list[Volume]:
        paths = [path for folder in self._folders for path in sorted(folder.glob("volumes/*"))]
        return [volume for volume in map(read_volume, paths) if volume]

    def unmounted(self) -> list[Path]:
        return []

    def picotool(self) -> str | None:
        return None


if __name__ == "__main__":
    flash.finder = EmulatedFinder([Path(folder) for folder in sys.argv[1].split(":")])
    sys.exit(cli.run(sys.argv[2:]))
