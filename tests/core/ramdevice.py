# Flash in memory for tests: MicroPython's extended block-device protocol with the manners of NOR flash, as
# tessera/filedevice.py has them on a file. Reading allocates nothing, so a relay can be served from it under heap_lock.

import io

from tessera.hashes import sha256
from tessera.nor import COUNT, ERASE, SECTOR_BYTES, SIZE

_BLANK = b"\xff" * SECTOR_BYTES


class RamDevice:
    """So many sectors of 4096 bytes, blank at first. OSError for what a chip would not do at all.

    A sector that was not written takes no memory: a board's heap has room for a few.
    """

    def __init__(self, sectors):
        self.sectors = sectors
        self._sectors = [io.BytesIO(_BLANK) for _ in range(sectors)]

    def readblocks(self, block, buffer, offset=0):
        sector = self._sector(block, offset, len(buffer))
        sector.seek(offset)
        sector.readinto(buffer)

    def writeblocks(self, block, buffer, offset=None):
        """Program: bits only go from 1 to 0. Without an offset the protocol asks for an erase first."""
        if offset is None:
            self._erase(block)
            offset = 0
        old = bytearray(len(buffer))
        self.readblocks(block, old, offset)
        programmed = int.from_bytes(old, "big") & int.from_bytes(bytes(buffer), "big")
        self.put(block * SECTOR_BYTES + offset, programmed.to_bytes(len(buffer), "big"))

    def ioctl(self, operation, argument):
        if operation == COUNT:
            return self.sectors
        if operation == SIZE:
            return SECTOR_BYTES
        if operation == ERASE:
            self._erase(argument)
        return 0

    def _erase(self, block):
        self._sector(block, 0, SECTOR_BYTES)
        self._sectors[block] = io.BytesIO(_BLANK)

    def _sector(self, block, offset, length):
        if not 0 <= block < self.sectors or offset < 0 or offset + length > SECTOR_BYTES:
            raise OSError(22)
        return self._sectors[block]

    # -- what only a test may do

    def get(self, at, length):
        """The bytes from address `at` on."""
        data = bytearray(length)
        view = memoryview(data)
        for block, offset, start, end in _pieces(at, length):
            self.readblocks(block, view[start:end], offset)
        return bytes(data)

    def put(self, at, data):
        """Set the bytes from address `at` on, whatever was there."""
        view = memoryview(data)
        for block, offset, start, end in _pieces(at, len(data)):
            sector = self._sector(block, offset, end - start)
            sector.seek(offset)
            sector.write(view[start:end])


def _pieces(at, length):
    """(sector, offset in it, from, to) of the parts of a range of addresses that lie in one sector each."""
    start = 0
    while start < length:
        block, offset = divmod(at + start, SECTOR_BYTES)
        end = min(length, start + SECTOR_BYTES - offset)
        yield block, offset, start, end
        start = end


# -- what is on any such device


def _sectors(device):
    """The content of a flash device, sector by sector: a board's heap does not hold it all."""
    for sector in range(device.sectors):
        yield device.get(sector * SECTOR_BYTES, SECTOR_BYTES)


def copy(source, target):
    """Make a flash device's content that of another."""
    for number, sector in enumerate(_sectors(source)):
        target.put(number * SECTOR_BYTES, sector)


def fingerprint(device):
    """A digest of all that is on a flash device."""
    digest = b""
    for sector in _sectors(device):
        digest = sha256(digest, sector)
    return digest


def holds(device, secret):
    """Whether these bytes are anywhere on a flash device."""
    end = b""
    for sector in _sectors(device):
        if secret in end + sector:
            return True
        end = sector[-len(secret) :]
    return False
