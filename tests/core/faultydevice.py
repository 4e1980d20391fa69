# Flash that fails, in front of a RamDevice that works: power cuts, programs that are lost or come out wrong, pages that
# are worn, sectors that do not erase. Programs and erases are numbered from 1 as they come.

from tessera.nor import ERASE, SECTOR_BYTES

WHOLE = -1  # the operation was just done when power failed


class PowerCut(Exception):
    """Power failed: nothing reaches the flash any more."""


class FaultyDevice:
    """The faults are attributes a test sets: lost, flipped, worn, misread, erases; and cut()."""

    def __init__(self, device):
        self._device = device
        self.operations = 0
        self.lost = ()  # numbers of the programs that do nothing
        self.flipped = {}  # number of a program: the byte of it whose bits come out inverted
        self.worn = ()  # pages of 256 bytes that keep no program
        self.misread = 0  # so many reads from now on come with a wrong bit
        self.erases = True
        self._cut_at = None
        self._cut_done = WHOLE
        self._off = False

    def cut(self, operation, done=WHOLE):
        """Power fails in the operation of this number, when its first `done` bytes are programmed or erased."""
        self._cut_at, self._cut_done = operation, done

    def readblocks(self, block, buffer, offset=0):
        self._device.readblocks(block, buffer, offset)
        if self.misread:
            self.misread -= 1
            buffer[len(buffer) // 2] ^= 1

    def writeblocks(self, block, buffer, offset=0):
        done = self._begin(len(buffer))
        data = bytearray(buffer)
        if self.operations in self.flipped:
            data[self.flipped[self.operations]] ^= 0xFF
        if self.operations not in self.lost and block << 4 | offset >> 8 not in self.worn:
            self._device.writeblocks(block, data[:done], offset)
        self._end()

    def ioctl(self, operation, argument):
        if operation != ERASE:
            return self._device.ioctl(operation, argument)
        done = self._begin(SECTOR_BYTES)
        if self.erases:
            self._device.put(argument * SECTOR_BYTES, b"\xff" * done)
        self._end()
        return 0

    def _begin(self, length):
        """How many bytes of the next operation are done."""
        if self._off:
            raise PowerCut
        self.operations += 1
        if self.operations != self._cut_at or self._cut_done == WHOLE:
            return length
        return min(length, self._cut_done)

    def _end(self):
        if self.operations == self._cut_at:
            self._off = True
            raise PowerCut
