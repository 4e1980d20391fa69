"""Makes a bundle: the modules of a relay that run in place of those frozen in an RP2 board's image (PROTOCOL §14).

A ROMFS image (MicroPython's format, by mpremote's writer) of compiled modules, executed in place from flash. Owns which
modules are in it; what is frozen is boards.py's, where it runs firmware/slots.py's.
"""

from pathlib import Path

from mpremote.romfs import VfsRomWriter

from tools.build import boards
from tools.build.boards import Board, BoardError

# The tiers of a MicroPython without the C modules, what tests want of the core, and what works on a board that is no
# relay yet, where no bundle runs.
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
# The numbers of lines, which only tracebacks show, are a twentieth of the code: room for what an update adds.
WITHOUT_LINES = 3
SINGLE = ("board.py", "tessera_build.py")

Module = tuple[str, Path, int]  # name in the image, source, optimisation level


def make(board: Board, modules: list[Module], mpy_cross: Path) -> bytes:
    """The bundle of a board from what its manifest freezes. BoardError if it is larger than its partition."""
    content = pack(
        {
            name: boards.compile_module(name, source, WITHOUT_LINES, board.architecture, mpy_cross)
            for name, source, _ in bundled(modules)
        }
    )
    room = board.partitions[board.bundles[0]].length
    if len(content) > room:
        raise BoardError(f"{board.name}: a bundle of {len(content)} bytes, its partition has {room}")
    return content


def check_room(board: Board, modules: list[Module], mpy_cross: Path) -> int:
    """Bytes that stay free in a bundle's partition; BoardError if there are none."""
    return board.partitions[board.bundles[0]].length - len(make(board, modules, mpy_cross))


def bundled(modules: list[Module]) -> list[Module]:
    """Those of the frozen modules that a bundle replaces, in order of name."""
    return sorted(
        module
        for module in modules
        if module[0] in SINGLE
        or (module[0].split("/")[0] in PACKAGES and "/" in module[0] and module[0].split("/")[1] not in LEFT_OUT)
    )


def pack(modules: dict[str, bytes]) -> bytes:
    """A ROMFS image of compiled modules by the names of their sources, with folders one deep."""
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
