# Flash on a computer: a file behind MicroPython's extended block-device protocol that behaves like NOR flash.
# Programming only clears bits, and only erasing a whole sector sets them. A board has rp2.Flash or esp32.Partition
# instead. What was programmed or erased survives the end of the process at once, and a power cut after the next
# ioctl(SYNC).

import os
from errno import ENOENT

from .errors import Error
from .nor import COUNT, ERASE, SECTOR_BYTES, SIZE, SYNC
from .runtime import sync, sync_directory

_BLANK = b"\xff" * SECTOR_BYTES


def _make_blank(path, sectors):
    """Make the file, whole or not at all: FileDevice refuses a file of another size."""
    with open(path + ".new", "wb") as file:
        for _ in range(sectors):
            file.write(_BLANK)
        sync(file)
    os.rename(path + ".new", path)
    sync_directory(path.rsplit("/", 1)[0])


class FileDevice:
    """A region of `sectors` sectors of 4096 bytes in the file at path.

    If the file is missing it is made, blank, but only if `new`: a relay that has run would have lost its state. Error
    if the file is missing and may not be made, cannot be opened or has another size; nothing was changed then.
    """

    def __init__(self, path, sectors, new=True):
        self.sectors = sectors
        try:
            self._file = open(path, "r+b", buffering=0)
        except OSError as error:
            if error.errno != ENOENT:
                raise Error("{} cannot be opened: {}".format(path, error)) from None
            if not new:
                raise Error(
                    "{} is missing, and this relay has run: put the file back, or replace the relay".format(path)
                ) from None
            _make_blank(path, sectors)
            self._file = open(path, "r+b", buffering=0)
        if self._file.seek(0, 2) != sectors * SECTOR_BYTES:
            self._file.close()
            raise Error("{} has the wrong size: put the right file back, or replace the relay".format(path))

    def readblocks(self, block, buffer, offset=0):
        self._seek(block, offset, len(buffer))
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=None):
        """Program the buffer. Without an offset the sector is erased first, as the protocol demands."""
        if offset is None:
            self._erase(block)
            offset = 0
        old = bytearray(len(buffer))
        self.readblocks(block, old, offset)
        programmed = int.from_bytes(old, "big") & int.from_bytes(buffer, "big")
        self._seek(block, offset, len(buffer))
        self._file.write(programmed.to_bytes(len(buffer), "big"))

    def ioctl(self, operation, argument):
        if operation == COUNT:
            return self.sectors
        if operation == SIZE:
            return SECTOR_BYTES
        if operation == ERASE:
            self._erase(argument)
        elif operation == SYNC:
            sync(self._file)
        return 0

    def _erase(self, block):
        self._seek(block, 0, SECTOR_BYTES)
        self._file.write(_BLANK)

    def _seek(self, block, offset, length):
        start = block * SECTOR_BYTES + offset
        if block < 0 or offset < 0 or start + length > self.sectors * SECTOR_BYTES:
            raise OSError(22)
        self._file.seek(start)

    def close(self):
        self._file.close()
