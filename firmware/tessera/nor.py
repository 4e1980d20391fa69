# NOR flash as MicroPython's extended block devices give it: its sizes, the operations of ioctl(), and what several
# modules do with a whole sector or region. What is in a page is its owner's business (page, keyring, staging).

from hashlib import sha256

from .runtime import const

PAGE_BYTES = const(256)  # programmed at once: bits go from 1 to 0
SECTOR_BYTES = const(4096)  # erased at once: all bits are 1
PAGES_PER_SECTOR = const(16)
COUNT = const(4)  # ioctl: how many sectors there are
SYNC = const(3)  # ioctl: make durable what was programmed and erased; flash does that at once, a computer's file not
SIZE = const(5)  # ioctl: bytes of one
ERASE = const(6)  # ioctl: erase one
BLANK_PAGE = b"\xff" * PAGE_BYTES
ZERO_PAGE = bytes(PAGE_BYTES)  # what no writer leaves: over a page that is to be read by nobody
_PIECE_BYTES = const(512)


def sectors(device):
    """How many there are in a device."""
    return device.ioctl(COUNT, 0)


def programmed(device):
    """The numbers of the pages that may hold something, in order: all, unless the device says which were programmed."""
    known = getattr(device, "programmed", None)
    return range(sectors(device) * PAGES_PER_SECTOR) if known is None else known()


def erase(device, sector):
    """Erase a sector. Whether it is blank then is_blank() tells."""
    device.ioctl(ERASE, sector)


def sync(device):
    """What was programmed and erased so far survives a power cut from now on."""
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
    """SHA-256 (32 bytes) of the first length bytes of a device."""
    hashed = sha256(b"")
    buffer = bytearray(_PIECE_BYTES)
    for at in range(0, length, _PIECE_BYTES):
        device.readblocks(at // SECTOR_BYTES, buffer, at % SECTOR_BYTES)
        hashed.update(memoryview(buffer)[: min(_PIECE_BYTES, length - at)])
    return hashed.digest()
