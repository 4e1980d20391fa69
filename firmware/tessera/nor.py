# NOR flash behind MicroPython's extended block-device protocol: its sizes, the operations of ioctl(), and what several
# modules do with a sector or a region. The content of pages is the business of page.py, keyring.py and staging.py.

from hashlib import sha256

from .runtime import const

PAGE_BYTES = const(256)  # the unit of programming, which turns bits from 1 to 0
SECTOR_BYTES = const(4096)  # the unit of erasing, which turns all bits to 1
PAGES_PER_SECTOR = const(16)
COUNT = const(4)  # ioctl: the number of sectors
SYNC = const(3)  # ioctl: make durable what was programmed and erased; a computer's file needs it, flash does not
SIZE = const(5)  # ioctl: the bytes of a sector
ERASE = const(6)  # ioctl: erase a sector
BLANK_PAGE = b"\xff" * PAGE_BYTES
ZERO_PAGE = bytes(PAGE_BYTES)  # programmed over a page that nobody shall read; no other writer leaves zeros
_PIECE_BYTES = const(512)


def sectors(device):
    """The number of sectors of a device."""
    return device.ioctl(COUNT, 0)


def programmed(device):
    """The numbers of the pages that may hold something, in order: all pages, unless the device knows which ones."""
    known = getattr(device, "programmed", None)
    return range(sectors(device) * PAGES_PER_SECTOR) if known is None else known()


def erase(device, sector):
    """Erase a sector. Ask is_blank() afterwards: a worn sector reports no error."""
    device.ioctl(ERASE, sector)


def sync(device):
    """Make what was programmed and erased so far survive a power cut."""
    device.ioctl(SYNC, 0)


def is_blank(device, sector):
    """Whether every page of a sector reads as erased."""
    page = bytearray(PAGE_BYTES)
    for offset in range(0, SECTOR_BYTES, PAGE_BYTES):
        device.readblocks(sector, page, offset)
        if page != BLANK_PAGE:
            return False
    return True


def digest(device, length):
    """SHA-256 (32 bytes) of the first `length` bytes of a device."""
    hashed = sha256(b"")
    buffer = bytearray(_PIECE_BYTES)
    for at in range(0, length, _PIECE_BYTES):
        device.readblocks(at // SECTOR_BYTES, buffer, at % SECTOR_BYTES)
        hashed.update(memoryview(buffer)[: min(_PIECE_BYTES, length - at)])
    return hashed.digest()
