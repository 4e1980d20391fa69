"""Makes a bundle: the modules of a relay that run in place of those frozen in an RP2 board's image (PROTOCOL §14).

A bundle is a ROMFS image (MicroPython's format, by mpremote's writer) of compiled modules, executed in place from
flash. Owns which modules are in it. What is frozen is the business of boards.py, where it runs that of
firmware/slots.py.
"""

from pathlib import Path

from mpremote.romfs import VfsRomWriter

from tools.build import boards
from tools.build.boards import Board, BoardError

# Tiers for a MicroPython without the C modules, a module that only tests need, and provisioning, which happens on a
# blank board, where no bundle runs.
LEFT_OUT = (
    "aead_plain.py",
    "cover_plain.py",
    "curve_plain.py",
    "hashes_plain.py",
    "page_plain.py",
    "firmware.py",
    "provision.py",
)
PACKAGES = ("device", "tessera")
# Without line numbers, which only tracebacks show, code is a twentieth smaller, which leaves room for later updates.
WITHOUT_LINES = 3
SINGLE = ("board.py", "tessera_build.py")

Module = tuple[str, Path, int]  # name in the image, source, optimisation level


def make(board: Board, modules: list[Module], mpy_cross: Path) -> bytes:
    """The bundle of a board, from the modules that its manifest freezes. BoardError if it does not fit its
    partition."""
    content = pack(
        {
            name: boards.compile_module(name, source, WITHOUT_LINES, board.architecture, mpy_cross)
            for name, source, _ in bundled(modules)
        }
    )
    room = board.partitions[board.bundles[0]].length
    if len(content) > room:
        raise BoardError(
            f"{board.name}: a bundle of {len(content)} bytes, its partition has {room}: shorten code or texts of "
            "firmware/tessera or firmware/device"
        )
    return content


def check_room(board: Board, modules: list[Module], mpy_cross: Path) -> int:
    """How many bytes stay free in a bundle's partition. BoardError if the bundle does not fit."""
    return board.partitions[board.bundles[0]].length - len(make(board, modules, mpy_cross))


def bundled(modules: list[Module]) -> list[Module]:
    """The frozen modules that a bundle replaces, in the order of their names."""
    return sorted(
        module
        for module in modules
        if module[0] in SINGLE
        or (module[0].split("/")[0] in PACKAGES and "/" in module[0] and module[0].split("/")[1] not in LEFT_OUT)
    )


def pack(modules: dict[str, bytes]) -> bytes:
    """A ROMFS image of compiled modules, {name of the source: code}, with one level of folders."""
    writer = VfsRomWriter()
    for name in sorted(name for name in modules if "/" not in name):
        writer.mkfile(_compiled(name), modules[name])
    for package in sorted({name.split("/")[0] for name in modules if "/" in name}):
        writer.opendir(package)
        for name in sorted(name for name in modules if name.startswith(package + "/")):
            writer.mkfile(_compiled(name.split("/")[1]), modules[name])
        writer.closedir()
    return bytes(writer.finalise())


def _compiled(name: str) -> str:
    return name.removesuffix(".py") + ".mpy"
