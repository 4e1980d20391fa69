# Flash for tests on a board: RamDevice's interface over sectors of the real chip, as a board's heap has room for a few
# only. What NOR cells do is then the chip's business. tools/emulator/testvolume.py names the sectors.

from _rp2 import Flash

from tessera import nor
from tessera.nor import COUNT, ERASE, SECTOR_BYTES, SIZE

_pool = None  # a device of all the sectors there are
_sectors = 0
_free = 0  # the first that is not in use yet


def use(start, length):
    """Take sectors from this range of bytes of the flash, which counts from the start of the image's storage."""
    global _pool, _sectors
    _pool, _sectors = Flash(start=start, len=length), length // SECTOR_BYTES


class FlashDevice:
    """So many sectors, blank at first. They are another device's when the pool has gone round once more."""

    def __init__(self, sectors):
        global _free
        if _free + sectors > _sectors:
            _free = 0
        self.sectors = sectors
        self._first = _free
        _free += sectors
        for sector in range(sectors):
            if not nor.is_blank(self, sector):
                nor.erase(self, sector)

    def readblocks(self, block, buffer, offset=0):
        self._check(block, offset, len(buffer))
        _pool.readblocks(self._first + block, buffer, offset)

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            self.ioctl(ERASE, block)
            offset = 0
        self._check(block, offset, len(buffer))
        _pool.writeblocks(self._first + block, buffer, offset)

    def ioctl(self, operation, argument):
        if operation == COUNT:
            return self.sectors
        if operation == SIZE:
            return SECTOR_BYTES
        if operation == ERASE:
            self._check(argument, 0, SECTOR_BYTES)
            _pool.ioctl(ERASE, self._first + argument)
        return 0

    def _check(self, block, offset, length):
        if not 0 <= block < self.sectors or offset < 0 or offset + length > SECTOR_BYTES:
            raise OSError(22)

    # -- what only a test may do

    def get(self, at, length):
        """The bytes from address `at` on."""
        data = bytearray(length)
        view = memoryview(data)
        done = 0
        while done < length:
            block, offset = divmod(at + done, SECTOR_BYTES)
            here = min(length - done, SECTOR_BYTES - offset)
            self.readblocks(block, view[done : done + here], offset)
            done += here
        return bytes(data)

    def put(self, at, data):
        """Set the bytes from address `at` on, whatever was there: the sectors are erased and written anew."""
        done = 0
        while done < len(data):
            block, offset = divmod(at + done, SECTOR_BYTES)
            here = min(len(data) - done, SECTOR_BYTES - offset)
            sector = bytearray(self.get(block * SECTOR_BYTES, SECTOR_BYTES))
            sector[offset : offset + here] = data[done : done + here]
            self.ioctl(ERASE, block)
            self.writeblocks(block, sector, 0)
            done += here
