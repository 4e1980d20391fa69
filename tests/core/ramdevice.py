# Flash in memory for tests: MicroPython's extended block-device protocol with the manners of NOR flash, as
# tessera/filedevice.py has them on a file. Reading allocates nothing, so a relay can be served from it under heap_lock.

import io

SECTOR_BYTES = 4096
_BLANK = b"\xff" * SECTOR_BYTES

# ioctl operations of MicroPython's block devices
_COUNT = 4
_SIZE = 5
_ERASE = 6


class RamDevice:
    """So many sectors of 4096 bytes, blank at first. OSError for what a chip would not do at all."""

    def __init__(self, sectors):
        self.sectors = sectors
        self._bytes = sectors * SECTOR_BYTES
        self._flash = io.BytesIO(_BLANK * sectors)

    def readblocks(self, block, buffer, offset=0):
        self._seek(block, offset, len(buffer))
        self._flash.readinto(buffer)

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
        if operation == _COUNT:
            return self.sectors
        if operation == _SIZE:
            return SECTOR_BYTES
        if operation == _ERASE:
            self._erase(argument)
        return 0

    def _erase(self, block):
        self.put(block * SECTOR_BYTES, _BLANK)

    def _seek(self, block, offset, length):
        start = block * SECTOR_BYTES + offset
        if block < 0 or offset < 0 or start + length > self._bytes:
            raise OSError(22)
        self._flash.seek(start)

    # -- what only a test may do

    def get(self, at, length):
        """The bytes from address `at` on."""
        data = bytearray(length)
        self.readblocks(0, data, at)
        return bytes(data)

    def put(self, at, data):
        """Set the bytes from address `at` on, whatever was there."""
        self._seek(0, at, len(data))
        self._flash.write(data)
