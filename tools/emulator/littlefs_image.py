"""A littlefs file system as bytes, and its place in the file of a board's flash."""

from pathlib import Path

from littlefs import LittleFS

SECTOR_BYTES = 4096
FLASH_BYTES = 2 << 20
PROGRAM_BYTES = 256
NAME_BYTES = 255  # what MicroPython's driver bears


def make_littlefs(files: dict[str, bytes], size: int) -> bytes:
    """A file system of `size` bytes (whole sectors) with these files by their paths; folders come as needed.

    littlefs.LittleFSError if they do not fit.
    """
    system = LittleFS(
        block_size=SECTOR_BYTES,
        block_count=size // SECTOR_BYTES,
        prog_size=PROGRAM_BYTES,
        name_max=NAME_BYTES,
    )
    for path, content in files.items():
        if "/" in path:
            system.makedirs(path.rpartition("/")[0], exist_ok=True)
        with system.open(path, "wb") as file:
            file.write(content)
    return bytes(system.context.buffer)


def write_flash(flash: Path, offset: int, content: bytes) -> None:
    """Puts bytes into the flash file; what is new in it is blank."""
    if not flash.exists():
        flash.write_bytes(b"\xff" * FLASH_BYTES)
    with flash.open("r+b") as file:
        file.seek(offset)
        file.write(content)
