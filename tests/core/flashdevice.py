# Flash for tests in a board's heap, which has room for a few sectors: RamDevice's interface over those of the chip.
# What NOR cells do is then the chip's business. tools/emulator/testvolume.py names the sectors; where
# tests/run_micropython.py has a heap as small, a file stands for the chip.

from tessera import nor
from tessera.nor import COUNT, ERASE, SECTOR_BYTES, SIZE

_pool = None  # a device of all the sectors there are
_sectors = 0
_given = 0  # to devices, since the boot; the pool goes round


def use(device):
    """Take sectors from this block device."""
    global _pool, _sectors
    _pool, _sectors = device, device.ioctl(COUNT, 0)


class FlashDevice:
    """So many sectors, blank at first. They are other devices' when the pool has gone round once more: a test makes
    what it copies from each time anew, as it made it the first time."""

    def __init__(self, sectors):
        global _given
        first = _given % _sectors
        if first + sectors > _sectors:
            _given += _sectors - first
            first = 0
        self.sectors = sectors
        self._first = first
        self._gone_at = _given + _sectors
        _given += sectors
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
            self._erase(argument)
        return 0

    def _erase(self, block):
        self._check(block, 0, SECTOR_BYTES)
        _pool.ioctl(ERASE, self._first + block)

    def _check(self, block, offset, length):
        assert _given <= self._gone_at, "these sectors are another device's by now: the test has made too many since"
        if not 0 <= block < self.sectors or offset < 0 or offset + length > SECTOR_BYTES:
            raise OSError(22)

    # -- what only a test may do

    def get(self, at, length):
        """The bytes from address `at` on."""
        parts, end = [], at + length
        while at < end:
            block, offset = divmod(at, SECTOR_BYTES)
            part = bytearray(min(end - at, SECTOR_BYTES - offset))
            self.readblocks(block, part, offset)
            parts.append(bytes(part))
            at += len(part)
        return b"".join(parts)

    def put(self, at, data):
        """Set the bytes from address `at` on, whatever was there: the sectors are erased and written anew."""
        done = 0
        while done < len(data):
            block, offset = divmod(at + done, SECTOR_BYTES)
            here = min(len(data) - done, SECTOR_BYTES - offset)
            sector = bytearray(self.get(block * SECTOR_BYTES, SECTOR_BYTES))
            sector[offset : offset + here] = data[done : done + here]
            self._erase(block)  # not what a test put in ioctl's place
            self.writeblocks(block, sector, 0)
            done += here
