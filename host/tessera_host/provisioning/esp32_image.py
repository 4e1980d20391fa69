"""What of an ESP32's combined image is written to the flash, and where: never where a relay keeps something.

MicroPython's build joins boot loader, partition table and application into one file, filled with 0xFF in between
(ports/esp32/makeimg.py). Written as one piece it would also blank `nvs` and `phy_init`, which lie between table and
application. So it is taken apart by the table that it carries, and only code and the choice of the code slot are
written. Owns that and the table's format; the chip is esp32.py's, whose image it is the release's.

Formats: ESP-IDF's "Partition Tables" (32 bytes an entry, then the MD5 of them) and "App Image Format" (its header).
"""

import hashlib
import struct
from dataclasses import dataclass

from tessera.nor import SECTOR_BYTES

from ..errors import ImageRejected
from ..planning.boards import Board

TABLE_OFFSET = 0x8000  # CONFIG_PARTITION_TABLE_OFFSET, which no board changes
TABLE_BYTES = 0xC00
BLANK = b"\xff"

_ENTRY = struct.Struct("<2sBBII16sI")
_ENTRY_MAGIC = b"\xaa\x50"
_DIGEST_MAGIC = b"\xeb\xeb" + BLANK * 14
_APP, _DATA, _DATA_OTA = 0, 1, 0
_IMAGE_MAGIC = 0xE9
_HEADER = struct.Struct("<12x H x HH 5x")  # of its 24 bytes: chip, its oldest and its newest revision
_ANY_REVISION = 0xFFFF
# The chip that an image is for, as its header says (ESP-IDF's esp_chip_id_t).
_CHIP_IDS = {"esp32": 0, "esp32c3": 5, "esp32s3": 9}
# What a relay cannot lose; a board whose table has them elsewhere would lose them.
KEPT = ("littlefs", "keyring", "ring")


@dataclass(frozen=True)
class Partition:
    """An entry of a partition table; offset and length in bytes."""

    name: str
    kind: int
    subtype: int
    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length

    @property
    def is_code(self) -> bool:
        return self.kind == _APP

    @property
    def chooses_code(self) -> bool:
        """Whether this is otadata: blank, it makes the boot loader start the first code slot."""
        return self.kind == _DATA and self.subtype == _DATA_OTA


@dataclass(frozen=True)
class Segment:
    """Bytes that belong at one place of the flash, a sector's beginning."""

    name: str
    offset: int
    content: bytes

    @property
    def end(self) -> int:
        """Where erasing for it stops: sectors are erased whole."""
        return int(self.offset + -(-len(self.content) // SECTOR_BYTES) * SECTOR_BYTES)


@dataclass(frozen=True)
class Plan:
    """What flashing an image means: these segments, in this order, under this table, on a chip of these revisions.

    Revisions as ESP-IDF counts them: 301 is v3.1.
    """

    partitions: dict[str, Partition]
    segments: tuple[Segment, ...]
    oldest_chip: int
    newest_chip: int


@dataclass(frozen=True)
class _Header:
    """The chip revisions that a boot loader or an application starts on."""

    oldest_chip: int
    newest_chip: int


def read_table(content: bytes) -> list[Partition]:
    """The partitions of a table as it lies in the flash; ValueError if it is none or its MD5 is wrong."""
    partitions: list[Partition] = []
    for start in range(0, min(len(content), TABLE_BYTES) - _ENTRY.size + 1, _ENTRY.size):
        entry = content[start : start + _ENTRY.size]
        if entry.startswith(_DIGEST_MAGIC):
            if entry[16:] != hashlib.md5(content[:start]).digest():
                raise ValueError("the MD5 of the partition table is wrong")
            return partitions
        magic, kind, subtype, offset, length, name, _flags = _ENTRY.unpack(entry)
        if magic != _ENTRY_MAGIC:
            break
        partitions.append(Partition(name.rstrip(b"\0").decode("ascii", "replace"), kind, subtype, offset, length))
    raise ValueError("there is no partition table")


def plan(image: bytes, board: Board) -> Plan:
    """Take an image apart; ImageRejected, with the reason, unless it is a whole and harmless one for this board."""
    table_at = TABLE_OFFSET - board.image_offset
    try:
        partitions = {partition.name: partition for partition in read_table(image[table_at:])}
    except ValueError as error:
        raise _rejected(board, str(error)) from None
    code = _first_code(partitions, board)
    headers = [
        _read_header(image, board, 0, "boot loader"),
        _read_header(image, board, code.offset - board.image_offset, "application"),
    ]
    if board.image_offset + len(image) > code.end:
        raise _rejected(board, f"it is longer than the partition '{code.name}'")
    _check_kept(partitions, board)
    for partition in partitions.values():
        content = image[max(0, partition.offset - board.image_offset) : max(0, partition.end - board.image_offset)]
        if not partition.is_code and content.strip(BLANK):
            raise _rejected(board, f"it would overwrite the partition '{partition.name}'")
    return Plan(
        partitions,
        tuple(_segments(image, partitions, code, board.image_offset)),
        oldest_chip=max(header.oldest_chip for header in headers),
        newest_chip=min(header.newest_chip for header in headers),
    )


def _segments(image: bytes, partitions: dict[str, Partition], code: Partition, first: int) -> list[Segment]:
    """Application before boot loader, and the choice of the slot last: a relay that runs from the other slot keeps
    starting until all the rest is in place."""
    at = code.offset - first
    table_at = TABLE_OFFSET - first
    return [
        Segment("application", code.offset, image[at:]),
        Segment("boot loader", first, image[:table_at]),
        Segment("partition table", TABLE_OFFSET, image[table_at : table_at + SECTOR_BYTES]),
        *(
            Segment("choice of the code", partition.offset, BLANK * partition.length)
            for partition in partitions.values()
            if partition.chooses_code
        ),
    ]


def _first_code(partitions: dict[str, Partition], board: Board) -> Partition:
    for partition in partitions.values():
        if partition.is_code:
            return partition
    raise _rejected(board, "its partition table has no partition for code")


def _read_header(image: bytes, board: Board, at: int, what: str) -> _Header:
    if len(image) < at + _HEADER.size or image[at] != _IMAGE_MAGIC:
        raise _rejected(board, f"there is no {what} in it")
    chip, oldest, newest = _HEADER.unpack_from(image, at)
    if chip != _CHIP_IDS[board.mcu]:
        name = next((name for name, number in _CHIP_IDS.items() if number == chip), f"chip {chip}")
        raise _rejected(board, f"its {what} is for the chip {name}, but the board has {board.mcu}")
    return _Header(oldest, newest or _ANY_REVISION)


def _check_kept(partitions: dict[str, Partition], board: Board) -> None:
    sectors = {"keyring": board.keyring_sectors, "ring": board.ring_sectors}
    for name in KEPT:
        if name not in partitions:
            raise _rejected(board, f"its partition table lacks the partition '{name}'")
        length = partitions[name].length
        if length != sectors.get(name, length // SECTOR_BYTES) * SECTOR_BYTES:
            raise _rejected(board, f"its partition '{name}' has the wrong length, {length} bytes")
        if partitions[name].end > board.flash_bytes:
            raise _rejected(board, f"its partition '{name}' ends after the end of the flash")


def _rejected(board: Board, reason: str) -> ImageRejected:
    return ImageRejected(
        f"this is not an image for {board.name}: {reason}",
        f"nothing was written; use the firmware.bin that `make image BOARD={board.name}` makes, approved by the issuer",
    )
