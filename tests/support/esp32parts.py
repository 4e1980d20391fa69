"""What an ESP32's flash holds, made for tests, as no image of these boards can be built here.

Boot loader and application have the header, the segments, the checksum and the SHA-256 that the chip's ROM and
ESP-IDF's boot loader check (ESP-IDF, "App Image Format"); what would be code in them is arbitrary. The partition table
is made from boards/*/partitions.csv as ESP-IDF's documentation lays it out ("Partition Tables"), the whole file as
MicroPython's ports/esp32/makeimg.py joins it. `slot_that_starts` is what the boot loader would do with a flash, by
esptool's own reading of images.
"""

import hashlib
import random
import struct
import zlib

TABLE_AT = 0x8000
CHIP_IDS = {"esp32": 0, "esp32c3": 5, "esp32s3": 9}
CHIP_LOADER_AT = {"esp32": 0x1000, "esp32c3": 0, "esp32s3": 0}  # where the ROM looks for it: the reference manuals
KINDS = {"app": 0, "data": 1}
SUBTYPES = {"factory": 0x00, "ota_0": 0x10, "ota_1": 0x11, "ota": 0x00, "phy": 0x01, "nvs": 0x02}


def program(mcu, seed, code_bytes, load_address=0x40080000):
    """A boot loader or an application: one segment of noise, one that compresses."""
    noise = random.Random(f"{mcu} {seed}").randbytes(code_bytes // 2 // 4 * 4)
    segments = [(0x3FFF0000, noise), (load_address, seed.encode().ljust(16) * (code_bytes // 32))]
    header = struct.pack("<BBBBIB3sHBHH4sB", 0xE9, 2, 2, 0x20, load_address, 0xEE, b"", CHIP_IDS[mcu], 0, 0, 0, b"", 1)
    body = header + b"".join(struct.pack("<II", address, len(data)) + data for address, data in segments)
    checksum = 0xEF
    for _, data in segments:
        for byte in data:
            checksum ^= byte
    body += b"\0" * (15 - len(body) % 16) + bytes([checksum])
    return body + hashlib.sha256(body).digest()


def partition_table(rows):
    """The table as it lies in the flash: rows have name, kind, subtype, offset and length, as partitions.csv has."""
    entries = b"".join(
        struct.pack(
            "<2sBBII16sI",
            b"\xaa\x50",
            number(KINDS, row.kind),
            number(SUBTYPES, row.subtype),
            row.offset,
            row.length,
            row.name.encode(),
            0,
        )
        for row in rows
    )
    return (entries + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(entries).digest()).ljust(0xC00, b"\xff")


def number(names, text):
    return names[text] if text in names else int(text, 0)


def combined_image(board, seed="version 1", app_bytes=96 * 1024):
    """firmware.bin of a board (as tools/build/boards.py reads it): from where its boot loader begins."""
    parts = {
        board.image_offset: program(board.mcu, f"boot loader of {seed}", 16 * 1024),
        TABLE_AT: partition_table(board.partitions.values()),
        board.code.offset: program(board.mcu, seed, app_bytes),
    }
    image = b""
    for offset, content in parts.items():
        image = image.ljust(offset - board.image_offset, b"\xff") + content
    return image


def choose(slot):
    """otadata (8 KiB) that names one of two code slots, as after the first update by air or the second."""
    counted = struct.pack("<I", slot + 1)
    entry = counted + b"\xff" * 20 + struct.pack("<II", 2, zlib.crc32(counted, 0xFFFFFFFF))
    return (b"\xff" * 4096 * slot + entry).ljust(8192, b"\xff")


def slot_that_starts(flash, board):
    """The name of the code partition that the boot loader in this flash starts; None if there is no whole one."""
    loader = flash[CHIP_LOADER_AT[board.mcu] : TABLE_AT]
    table = partition_table(board.partitions.values())
    if not is_whole(loader, board.mcu) or flash[TABLE_AT : TABLE_AT + len(table)] != table:
        return None
    otadata = board.partitions["otadata"]
    sequence = 1
    for at in (otadata.offset, otadata.offset + 4096):
        found, checksum = struct.unpack("<I", flash[at : at + 4])[0], struct.unpack("<I", flash[at + 28 : at + 32])[0]
        if checksum == zlib.crc32(struct.pack("<I", found), 0xFFFFFFFF):
            sequence = max(sequence, found)
    slots = [partition for partition in board.partitions.values() if partition.kind == "app"]
    slot = slots[(sequence - 1) % len(slots)]
    return slot.name if is_whole(flash[slot.offset : slot.end], board.mcu) else None


def is_whole(content, mcu):
    """Whether there is a program for this chip, every byte of it as it was built."""
    from esptool.bin_image import LoadFirmwareImage
    from esptool.util import FatalError

    try:
        found = LoadFirmwareImage(mcu, bytes(content))
    except (FatalError, struct.error):
        return False
    return found.checksum == found.calculate_checksum() and found.stored_digest == found.calc_digest
