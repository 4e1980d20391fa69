"""The flash of a board that holds a relay: its directory, with programs beside it, as littlefs, and its rings.

Owns how a relay directory of a computer (issuer.relay_directory) becomes the flash file of an emulated board.
"""

from pathlib import Path

from tools.emulator.littlefs_image import make_littlefs, write_flash
from tools.emulator.testvolume import compile_module

RINGS = {"ring": "ring.flash", "keyring": "keys.flash"}  # partition and file


def write_relay(
    flash: Path, directory: Path, partitions: dict[str, tuple[int, int]], programs: dict[str, Path | bytes]
) -> None:
    """partitions: (offset, length) by name. programs: modules by name, a path (compiled) or the text as bytes; what is
    not a module has an ending."""
    files = {f"/{path.name}": path.read_bytes() for path in sorted(directory.iterdir()) if path.suffix != ".flash"}
    for name, content in programs.items():
        if isinstance(content, Path):
            files[f"/{name}.mpy"] = compile_module(f"{name}.py", content)
        else:
            files[f"/{name}"] = content
    offset, length = partitions["littlefs"]
    write_flash(flash, offset, make_littlefs(files, length))
    for name, file in RINGS.items():
        if (directory / file).exists():
            write_flash(flash, partitions[name][0], (directory / file).read_bytes())
