# Flash that loses its power in the middle of an operation: NOR cells in memory, and the supply that fails.
#
# An operation is one program of a page of 256 bytes or one erase of a sector of 4096, numbered from 1 over all devices
# of a board. A cut comes in one operation, which is then done in one of these measures:
#   program  0, 1, 16, 128 or 255 of its first bytes; "bits": of the bits it was to clear, each by chance; "wholly"
#   erase    "nothing"; "old": its first half is blank, the rest as it was; "bits": of the bits it was to set, each by
#            chance; "random": anything; "wholly"
# After the cut every operation raises PowerCut. Reading goes on as long as the program does, as on a chip whose supply
# sinks below what a program takes.

from errno import EIO

from dice import Dice
from tessera import nor
from tessera.nor import PAGE_BYTES, SECTOR_BYTES

PROGRAM, ERASE = "program", "erase"
TEARS = {
    PROGRAM: (0, 1, 16, 128, 255, "bits", "wholly"),
    ERASE: ("nothing", "old", "bits", "random", "wholly"),
}
_BLANK = b"\xff" * SECTOR_BYTES


class PowerCut(Exception):
    """The power failed: nothing reaches the flash any more."""


class Power:
    """The supply of a board: counts operations, notes what they were, and fails in one of them if told to."""

    def __init__(self):
        self.kinds = []
        self._cut_at = None
        self._tear = None
        self.failed = False

    def cut(self, operation, tear):
        """Fail in the operation of this number (from 1), which is done as `tear` says."""
        self._cut_at, self._tear = operation, tear

    def begin(self, kind):
        """The measure in which the operation is done: "wholly" with power to spare."""
        if self.failed:
            raise PowerCut
        self.kinds.append(kind)
        if len(self.kinds) != self._cut_at:
            return "wholly"
        self.failed = True
        return self._tear

    def end(self):
        """Raise PowerCut if the operation was the last."""
        if self.failed:
            raise PowerCut

    def dice(self):
        return Dice(b"tear %d" % len(self.kinds))


class Flash:
    """So many sectors as a list of bytes objects, so that a copy of the list is a copy of the flash."""

    def __init__(self, sectors):
        self.sectors = [_BLANK] * sectors

    def __contains__(self, data):
        return data in b"".join(self.sectors)


class PoweredDevice:
    """A Flash behind MicroPython's extended block-device protocol, on a supply."""

    def __init__(self, flash, power):
        self._flash = flash
        self._power = power

    def readblocks(self, block, buffer, offset=0):
        buffer[:] = memoryview(self._flash.sectors[block])[offset : offset + len(buffer)]

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            self.ioctl(nor.ERASE, block)
            offset = 0
        for at in range(0, len(buffer), PAGE_BYTES):
            self._program(block, offset + at, bytes(memoryview(buffer)[at : at + PAGE_BYTES]))

    def _program(self, block, offset, data):
        tear = self._power.begin(PROGRAM)
        if tear == "bits":
            data = _or(data, self._power.dice().bytes(len(data)))
        elif tear != "wholly":
            data = data[:tear]
        sector = self._flash.sectors[block]
        end = offset + len(data)
        if end > SECTOR_BYTES:
            raise OSError(22)
        self._flash.sectors[block] = sector[:offset] + _and(sector[offset:end], data) + sector[end:]
        self._power.end()

    def _erase(self, block):
        tear = self._power.begin(ERASE)
        sector = self._flash.sectors[block]
        half = SECTOR_BYTES // 2
        if tear == "wholly":
            sector = _BLANK
        elif tear == "old":
            sector = _BLANK[:half] + sector[half:]
        elif tear == "bits":
            sector = _or(sector, self._power.dice().bytes(SECTOR_BYTES))
        elif tear == "random":
            sector = self._power.dice().bytes(SECTOR_BYTES)
        self._flash.sectors[block] = sector
        self._power.end()

    def ioctl(self, operation, argument):
        if operation == nor.COUNT:
            return len(self._flash.sectors)
        if operation == nor.SIZE:
            return SECTOR_BYTES
        if operation == nor.ERASE:
            self._erase(argument)
        return 0


class FileSystemDevice(PoweredDevice):
    """For littlefs, which hears of the cut by an error that it can pass on. An exception would leave its C code in the
    middle of what it does, and the collector, whenever it comes to that, would close a file of such a file system."""

    def writeblocks(self, block, buffer, offset=None):
        try:
            return super().writeblocks(block, buffer, offset)
        except PowerCut:
            return -EIO

    def ioctl(self, operation, argument):
        try:
            return super().ioctl(operation, argument)
        except PowerCut:
            return -EIO


def _and(one, other):
    return (int.from_bytes(one, "big") & int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _or(one, other):
    return (int.from_bytes(one, "big") | int.from_bytes(other, "big")).to_bytes(len(one), "big")
