"""Bundles of other versions than the tree's, working and broken, and boards that hold one.

Owns how tests make them: the product's own build, over a copy of the sources with a few lines changed.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tessera.release import version_number
from tools.build import boards, bundle
from tools.emulator.littlefs_image import make_littlefs, write_flash

BOARD = "RPI_PICO"

# (file, what is put at its end) of each kind of new code.
ADDITIONS = {
    "good": ("device/service.py", ""),
    "raises at import": ("device/service.py", "raise ValueError('broken at import')\n"),
    "raises when it starts": ("device/service.py", "def open_relay():\n    raise OSError(5)\n"),
    "hangs at import": ("device/__init__.py", "while True:\n    pass\n"),
}


@cache
def make(version: str, kind: str = "good", name: str = BOARD) -> bytes:
    """A bundle of this version for a board."""
    board = boards.read_board(name)
    micropython, mpy_cross = boards.programs()
    with TemporaryDirectory() as folder:
        stage = Path(folder)
        manifest = boards.stage(board, stage)
        core = stage / "firmware" / "tessera"
        init = (core / "__init__.py").read_text()
        (core / "__init__.py").write_text(init.replace(f'"{boards.version(core)}"', f'"{version}"'))
        file, addition = ADDITIONS[kind]
        with (stage / "firmware" / file).open("a") as source:
            source.write(addition)
        (stage / "firmware" / "tessera_build.py").write_text(boards.build_module(board, core))
        return bundle.make(board, boards.frozen_modules(board, manifest, micropython), mpy_cross)


def image_folder(folder: Path, version: str, kind: str = "good", name: str = BOARD) -> Path:
    """What `make image` would leave of this version: a bundle and image.json, to be approved."""
    content = make(version, kind, name)
    board = boards.read_board(name)
    described = {
        "board": name,
        "development": False,
        "version": version,
        "firmware_digest": "00" * 32,
        "base": boards.base(board, boards.ROOT / "firmware").hex(),
        "image": {"bundle.bin": {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}},
    }
    folder.mkdir()
    (folder / "bundle.bin").write_bytes(content)
    (folder / "image.json").write_text(json.dumps(described))
    return folder


def write_board(flash: Path, content: bytes, version: str, state: str, seconds: int = 600) -> None:
    """A board, not provisioned, with a bundle in its first place that is "trial" or "confirmed"."""
    partitions = boards.read_board(BOARD).partitions
    slot = {
        "place": 0,
        "version": version_number(version),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "tried": False,
        "seconds": seconds,
    }
    code = {"confirmed": None, "trial": None, "failed": None} | {state: slot}
    write_flash(flash, partitions["bundle_a"].offset, content)
    littlefs = partitions["littlefs"]
    write_flash(flash, littlefs.offset, make_littlefs({"/code": json.dumps(code).encode()}, littlefs.length))
