"""Reads and checks the folder of each board before anything is built for it.

Owns the reading of boards/<BOARD>/: partitions.csv (ESP-IDF's format, also on RP2 boards), mpconfigboard.*,
manifest.py. Leaves to others: the image (image.py), ring sizes in plans (tessera_host.planning.boards, which is
compared here). Only frozen_modules() and compile_module() need the MicroPython of the set-up.
"""

import csv
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType

from tessera.firmware import digest_of_files
from tessera.release import version_number
from tessera_host.planning import boards as host_boards
from tessera_host.provisioning.esp32_image import TABLE_OFFSET

ROOT = Path(__file__).resolve().parents[2]
SECTOR_BYTES = 4096
ESP32_APP_BYTES = 65536  # what the ESP32 maps its code by
STORAGE = ("littlefs", "keyring", "ring")
BUNDLES = ("bundle_a", "bundle_b")  # of RP2 boards
UNDER_A_BUNDLE = ("_boot.py", "boot.py", "main.py", "slots.py")  # frozen and never replaced by one

# By the board's "mcu" (board.json): what mpy-cross compiles for, and the target of ESP-IDF.
ARCHITECTURES = {
    "rp2040": "armv6m",
    "rp2350": "armv7emsp",
    "esp32": "xtensawin",
    "esp32s3": "xtensawin",
    "esp32c3": "rv32imc",
}

# MicroPython with its libraries and C modules, nothing frozen, in bytes: check_room() adds the frozen modules to it.
# RP2 boards: measured (an image without the compiled modules that were frozen into it) and rounded up, 505,069 bytes
# for the Pico, 711,668 for the Pico W and 686,750 for the Pico 2 W, both of a checkout of MicroPython 1.25 with its
# submodules, as no package has their driver. ESP32 chips: reckoned. MicroPython ships partitions-4MiB-ota.csv, whose
# slots hold its own image with TLS and Bluetooth at optimisation for size, of which Bluetooth is left out here; the
# S3's is optimised for speed.
INTERPRETER_BYTES = {
    "RPI_PICO": 508_000,
    "RPI_PICO_W": 715_000,
    "RPI_PICO2_W": 690_000,
    "ESP32_GENERIC": 1_400_000,
    "ESP32_GENERIC_C3": 1_400_000,
    "OLIMEX_ESP32_POE": 1_400_000,
    "ESP32_GENERIC_S3": 1_700_000,
}


class BoardError(Exception):
    """A board folder that says something wrong or contradicts itself: one line that says what."""


@dataclass(frozen=True)
class Partition:
    """A row of a partition table; offset and length in bytes."""

    name: str
    kind: str
    subtype: str
    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True)
class Board:
    """One folder of boards/; image_offset is the byte of the flash at which its image begins."""

    name: str
    folder: Path
    mcu: str
    partitions: dict[str, Partition]
    image_offset: int = 0

    @property
    def port(self) -> str:
        return "rp2" if self.mcu.startswith("rp2") else "esp32"

    @property
    def architecture(self) -> str:
        return ARCHITECTURES[self.mcu]

    @property
    def bundles(self) -> tuple[str, ...]:
        """The partitions that a bundle can be written to."""
        return BUNDLES if self.port == "rp2" else ()

    @property
    def code(self) -> Partition:
        """The partition that an image is flashed into."""
        return next(partition for partition in self.partitions.values() if partition.kind == "app")

    @property
    def flash_bytes(self) -> int:
        return host_boards.board(self.name).flash_bytes


# --- Reading ---------------------------------------------------------------------------------------------------------


def names(folder: Path = ROOT / "boards") -> list[str]:
    return sorted(path.parent.name for path in folder.glob("*/mpconfigboard.cmake"))


def read_board(name: str, folder: Path = ROOT / "boards") -> Board:
    """The board of this name; BoardError if there is none or its files cannot be read."""
    if name not in names(folder):
        raise BoardError(f"there is no board '{name}': choose one of {', '.join(names(folder))}")
    described = json.loads((folder / name / "board.json").read_text())
    mcu = described["mcu"]
    if mcu not in ARCHITECTURES:
        raise BoardError(f"{name}: board.json names the unknown mcu '{mcu}'")
    partitions = read_partitions(folder / name / "partitions.csv")
    offset = read_size(described.get("deploy_options", {}).get("flash_offset", "0"))
    return Board(name, folder / name, mcu, {partition.name: partition for partition in partitions}, offset)


def read_partitions(path: Path) -> list[Partition]:
    """The rows of a table in ESP-IDF's format, every offset written out. BoardError names the line that is wrong."""
    partitions = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in next(csv.reader([line]))]
        try:
            name, kind, subtype, offset, length = cells
            partitions.append(Partition(name, kind, subtype, read_size(offset), read_size(length)))
        except ValueError:
            raise BoardError(
                f"{path.parent.name}: partitions.csv, line {number}: not name,type,subtype,offset,size"
            ) from None
    return partitions


def read_size(text: str) -> int:
    """Bytes, in decimal or hexadecimal, or with K or M behind."""
    if match := re.fullmatch(r"(\d+)([KM])", text):
        return int(match[1]) * {"K": 1024, "M": 1024 * 1024}[match[2]]
    return int(text, 0)


# --- Checks ----------------------------------------------------------------------------------------------------------


def check_partitions(board: Board) -> None:
    """BoardError unless the partition table is sound and agrees with planning.boards and the board's own settings."""
    partitions = list(board.partitions.values())
    if len(partitions) != len([*read_partitions(board.folder / "partitions.csv")]):
        raise BoardError(f"{board.name}: two partitions have the same name")
    for name in (*board.bundles, *STORAGE):
        if name not in board.partitions:
            raise BoardError(f"{board.name}: no partition '{name}'")
    for partition in partitions:
        unit = ESP32_APP_BYTES if board.port == "esp32" and partition.kind == "app" else SECTOR_BYTES
        if partition.offset % unit or partition.length % SECTOR_BYTES or not partition.length:
            raise BoardError(f"{board.name}: partition '{partition.name}' is not in whole units of {unit} bytes")
    for before, after in pairwise(partitions):
        if after.offset < before.end:
            raise BoardError(f"{board.name}: partition '{after.name}' begins before '{before.name}' ends")
    if partitions[-1].end > board.flash_bytes:
        raise BoardError(f"{board.name}: partition '{partitions[-1].name}' ends behind the flash")
    _check_rings(board)
    _check_flashing(board)
    if board.port == "rp2":
        _check_rp2_storage(board)
    else:
        _check_esp32_flash(board)


def _check_rings(board: Board) -> None:
    planned = host_boards.board(board.name)
    for name, sectors in (("ring", planned.ring_sectors), ("keyring", planned.keyring_sectors)):
        length = board.partitions[name].length
        if length != sectors * SECTOR_BYTES:
            here = length // SECTOR_BYTES
            raise BoardError(f"{board.name}: partition '{name}' has {here} sectors, planning.boards says {sectors}")


def _check_flashing(board: Board) -> None:
    """BoardError unless planning.boards, by which `tessera flash` recognises the board, agrees with its folder."""
    planned = host_boards.board(board.name)
    if planned.mcu != board.mcu:
        raise BoardError(f"{board.name}: mcu is '{board.mcu}' in board.json, '{planned.mcu}' in planning.boards")
    if planned.image_offset != board.image_offset:
        here, there = hex(board.image_offset), hex(planned.image_offset)
        raise BoardError(f"{board.name}: flash_offset is {here} in board.json, {there} in planning.boards")


def _check_rp2_storage(board: Board) -> None:
    """The port's storage (from which rp2.Flash counts) has to be bundles, littlefs, key ring and ring, to the end."""
    storage = [board.partitions[name] for name in (*BUNDLES, *STORAGE)]
    ends = [partition.end for partition in storage]
    if [partition.offset for partition in storage[1:]] + [board.flash_bytes] != ends:
        raise BoardError(
            f"{board.name}: bundle_a, bundle_b, littlefs, keyring and ring do not follow each other to the flash's end"
        )
    if storage[0].length != storage[1].length:
        raise BoardError(f"{board.name}: bundle_a and bundle_b differ in size")
    text = (board.folder / "mpconfigboard.h").read_text()
    match = re.search(r"MICROPY_HW_FLASH_STORAGE_BYTES\s+\((\d+) \* 1024\)", text)
    if not match or int(match[1]) * 1024 != board.flash_bytes - storage[0].offset:
        wanted = (board.flash_bytes - storage[0].offset) // 1024
        raise BoardError(f"{board.name}: mpconfigboard.h must set MICROPY_HW_FLASH_STORAGE_BYTES to ({wanted} * 1024)")


def _check_esp32_flash(board: Board) -> None:
    megabytes = board.flash_bytes // 1024 // 1024
    if f"CONFIG_ESPTOOLPY_FLASHSIZE_{megabytes}MB=y\n" not in (board.folder / "sdkconfig.board").read_text():
        raise BoardError(f"{board.name}: sdkconfig.board does not set a flash of {megabytes} MB")
    if min(partition.offset for partition in board.partitions.values()) < TABLE_OFFSET + SECTOR_BYTES:
        raise BoardError(f"{board.name}: a partition overlaps the boot loader or the partition table")
    # Flashing writes the first code slot and blanks otadata, so that this is the slot that starts.
    slots = [partition.subtype for partition in board.partitions.values() if partition.kind == "app"]
    if slots != ["ota_0", "ota_1"] or not any(p.subtype == "ota" for p in board.partitions.values()):
        raise BoardError(f"{board.name}: partitions.csv must have otadata and two code slots, ota_0 before ota_1")


def check_room(board: Board, frozen_bytes: int) -> int:
    """An estimate of the bytes that stay free in the code partition. BoardError if the image would not fit."""
    free = board.code.length - INTERPRETER_BYTES[board.name] - frozen_bytes
    if free < 0:
        raise BoardError(
            f"{board.name}: the image is some {-free} bytes too large for partition '{board.code.name}': freeze less "
            "code, or enlarge the partition in partitions.csv"
        )
    return free


# --- What is frozen --------------------------------------------------------------------------------------------------


def stage(board: Board, folder: Path) -> Path:
    """Copy what is frozen (boards/ and firmware/ side by side) into a folder and add tessera_build.py; the manifest.

    Builds read the copy, so what is frozen, what is digested and what image.json says are one and the same content. In
    a copy that is there already only what differs is written, so that a build does over only what is affected.
    """
    wanted = {path.relative_to(ROOT): path.read_bytes() for path in _sources(ROOT / "firmware")}
    for path in [*_sources(board.folder), *sorted(board.folder.parent.glob("*.*"))]:
        wanted[Path("boards") / path.relative_to(board.folder.parent)] = path.read_bytes()
    wanted[Path("firmware", "tessera_build.py")] = build_module(board, ROOT / "firmware" / "tessera").encode()
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder) not in wanted:
            path.unlink()
    for name, content in wanted.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return folder / "boards" / board.name / "manifest.py"


def _sources(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(path for path in found if not any(part.endswith(".egg-info") for part in path.parts))


def build_module(board: Board, core: Path) -> str:
    """The text of tessera_build.py: what the firmware in core's parent folder knows of its own build."""
    partitions = {
        name: (board.partitions[name].offset, board.partitions[name].length) for name in (*board.bundles, *STORAGE)
    }
    return (
        "# Generated by tools/build/boards.py.\n"
        f"BOARD = {board.name!r}\n"
        f"VERSION = {version_number(version(core))}\n"
        f"FIRMWARE_DIGEST = {digest_of_files(str(core))!r}\n"
        f"BASE = {base(board, core.parent)!r}  # what a bundle for this image was made against\n"
        f"PARTITIONS = {partitions!r}  # name: (offset in the flash, bytes)\n"
    )


def version(core: Path) -> str:
    """The relay's version, like "0.1.0"."""
    match = re.search(r'^VERSION = "([0-9.]+)"$', (core / "__init__.py").read_text(), re.MULTILINE)
    if not match:
        raise BoardError(f"{core}: __init__.py has no VERSION")
    return match[1]


def base(board: Board, firmware: Path) -> bytes:
    """A digest (8 bytes) of everything below a bundle that a bundle cannot replace: partitions, MicroPython, C modules,
    and the files that start it. A board refuses a bundle with another base; it then needs the whole image."""
    digest = hashlib.sha256(repr([*board.partitions.values()]).encode())
    digest.update(micropython_version().encode())
    files = [path for path in _sources(firmware / "modules") if path.suffix in (".c", ".h", ".cmake", ".py")]
    for path in [*files, *(firmware / name for name in UNDER_A_BUNDLE)]:
        name = path.relative_to(firmware).as_posix().encode()
        digest.update(b"%d %s %d " % (len(name), name, path.stat().st_size) + path.read_bytes())
    return digest.digest()[:8]


def micropython_version() -> str:
    """The version of the MicroPython that is built from packages. A checkout for other boards must have the same."""
    match = re.search(r"^version=(\S+)$", (Path(__file__).with_name("micropython.sh")).read_text(), re.MULTILINE)
    assert match
    return match[1]


def frozen_modules(board: Board, manifest: Path, micropython: Path) -> list[tuple[str, Path, int]]:
    """What the manifest freezes, in its order: (name in the image, source, optimisation level).

    micropython: MicroPython's source tree, whose own reader of manifests is used. BoardError if it refuses this one.
    """
    reader = _load(micropython / "tools" / "manifestfile.py")
    variables = {
        "MPY_DIR": str(micropython),
        "MPY_LIB_DIR": str(micropython / "lib" / "micropython-lib"),
        "PORT_DIR": str(micropython / "ports" / board.port),
        "BOARD_DIR": str(manifest.parent),
    }
    found = reader.ManifestFile(reader.MODE_FREEZE, variables)
    try:
        found.execute(str(manifest))
    except reader.ManifestFileError as error:
        raise BoardError(f"{board.name}: {error}") from None
    return [(file.target_path, Path(file.full_path), file.opt or 0) for file in found.files()]


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compile_module(name: str, source: Path, level: int, architecture: str, mpy_cross: Path) -> bytes:
    """A module as it is frozen (.mpy); BoardError with the compiler's words."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "out.mpy")
        command = [mpy_cross, f"-march={architecture}", f"-O{level}", "-s", name, "-o", output, source]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise BoardError(f"{name} does not compile for {architecture}: {done.stderr.strip()}")
        return output.read_bytes()


def programs() -> tuple[Path, Path]:
    """MicroPython's source tree and mpy-cross, as the set-up made them."""
    mpy_cross = Path(os.environ.get("TESSERA_MPY_CROSS") or Path(sys.prefix).parent / "bin" / "mpy-cross")
    if not os.access(mpy_cross, os.X_OK):
        sys.exit(f"no mpy-cross at {mpy_cross}: run `make setup`, or use `make check-boards`")
    return mpy_cross.resolve().parent.parent / "source", mpy_cross
