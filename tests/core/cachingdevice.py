# Flash behind a write cache, as a computer's file is one: what was not synced is gone when power fails.

from tessera.nor import ERASE, SECTOR_BYTES, SYNC


class CachingDevice:
    """In front of a RamDevice; cut() is the power cut that a cache makes the worst of."""

    def __init__(self, device):
        self._device = device
        self._durable = {}  # sector: its content at the last sync, if it changed since

    def readblocks(self, block, buffer, offset=0):
        self._device.readblocks(block, buffer, offset)

    def writeblocks(self, block, buffer, offset=0):
        self._touch(block)
        self._device.writeblocks(block, buffer, offset)

    def ioctl(self, operation, argument):
        if operation == SYNC:
            self._durable.clear()
        elif operation == ERASE:
            self._touch(argument)
        return self._device.ioctl(operation, argument)

    def _touch(self, block):
        if block not in self._durable:
            self._durable[block] = self._device.get(block * SECTOR_BYTES, SECTOR_BYTES)

    def cut(self):
        """Nothing that was not synced reached the flash."""
        for block in self._durable:
            self._device.put(block * SECTOR_BYTES, self._durable[block])
        self._durable.clear()
