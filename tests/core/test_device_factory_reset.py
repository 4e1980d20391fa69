# board: long
# A factory reset ends as a board without a relay, or does not begin, whenever the power fails.

from check import share
from device import factoryreset
from faultydevice import WHOLE, FaultyDevice, PowerCut
from ramdevice import RamDevice
from tessera.keyring import KeyRing
from tessera.nor import SECTOR_BYTES

_KEY_SECTORS, _FILE_SECTORS = 4, 3
_BLANK = b"\xff" * SECTOR_BYTES
_SECRET = b"a secret in a file of the relay."


class _Flash:
    """Key ring and file system of a relay behind one count of operations."""

    def __init__(self):
        self.cells = RamDevice(_KEY_SECTORS + _FILE_SECTORS)
        self.keys = _Part(self.cells, 0, _KEY_SECTORS)
        ring = KeyRing(self.keys)
        ring.seed = bytes(range(32))
        for epoch in range(3):
            ring.epochs[epoch] = (bytes(32), bytes((epoch,)) * 32)
        ring.rewrite()
        ring.rewrite(erase_old=False)  # so that both banks hold a state, the older one in the first
        for sector in range(_FILE_SECTORS):
            self.cells.put((_KEY_SECTORS + sector) * SECTOR_BYTES + 100, _SECRET)

    def power(self, operation=None, done=WHOLE):
        """(device of the keys, of the files) that fail in an operation."""
        device = FaultyDevice(self.cells)
        if operation is not None:
            device.cut(operation, done)
        return _Part(device, 0, _KEY_SECTORS), _Part(device, _KEY_SECTORS, _FILE_SECTORS)

    def blank(self):
        return all(self.cells.get(sector * SECTOR_BYTES, SECTOR_BYTES) == _BLANK for sector in range(7))

    def files_blank(self):
        return all(self.cells.get(sector * SECTOR_BYTES, SECTOR_BYTES) == _BLANK for sector in range(_KEY_SECTORS, 7))

    def keys_blank(self):
        return all(self.cells.get(sector * SECTOR_BYTES + 256, 3840) == _BLANK[256:] for sector in range(_KEY_SECTORS))


class _Part:
    """So many sectors of a device, from one on."""

    def __init__(self, device, first, sectors):
        self._device, self._first, self._sectors = device, first, sectors

    def readblocks(self, block, buffer, offset=0):
        self._device.readblocks(self._first + block, buffer, offset)

    def writeblocks(self, block, buffer, offset=0):
        self._device.writeblocks(self._first + block, buffer, offset)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._sectors
        return self._device.ioctl(operation, self._first + argument)


def _reset(keys, files):
    factoryreset.begin(keys)
    factoryreset.finish(keys, files)


def test_a_factory_reset_leaves_nothing():
    flash = _Flash()
    _reset(*flash.power())
    assert flash.blank()


def test_the_keys_are_gone_before_the_files_are_touched():
    flash = _Flash()
    factoryreset.begin(flash.power()[0])
    assert flash.keys_blank() and flash.cells.get(_KEY_SECTORS * SECTOR_BYTES + 100, 32) == _SECRET


def test_a_board_that_was_not_reset_is_left_alone():
    flash = _Flash()
    before = flash.cells.get(0, 7 * SECTOR_BYTES)
    assert not factoryreset.finish(*flash.power())
    assert flash.cells.get(0, 7 * SECTOR_BYTES) == before


def test_a_power_cut_in_any_operation_leaves_the_relay_whole_or_a_reset_that_the_next_start_finishes():
    whole = _Flash()
    keys, files = whole.power()
    _reset(keys, files)
    operations = keys._device.operations
    seen = set()
    for operation in range(1, operations + 1):
        for done in share((0, 1, 13, 255, 256, 4095, WHOLE), 3):
            flash = _Flash()
            ring = KeyRing(flash.keys)
            ring.load()
            epochs, generation = ring.epochs, ring._generation
            try:
                _reset(*flash.power(operation, done))
            except PowerCut:
                pass
            if factoryreset.finish(*flash.power()):
                assert flash.blank()
                seen.add("reset")
                continue
            ring = KeyRing(flash.keys)
            if ring.load():
                assert ring.epochs == epochs and ring._generation == generation
                assert flash.cells.get(_KEY_SECTORS * SECTOR_BYTES + 100, 32) == _SECRET
                seen.add("relay")
            else:
                assert flash.files_blank()
    assert seen == {"reset", "relay"}


def test_a_power_cut_while_a_reset_is_finished_changes_nothing_of_its_end():
    for operation in range(1, 9):
        flash = _Flash()
        factoryreset.begin(flash.power()[0])
        try:
            factoryreset.finish(*flash.power(operation, 1000))
        except PowerCut:
            pass
        factoryreset.finish(*flash.power())
        assert flash.files_blank() and not KeyRing(flash.keys).load()


def test_a_reset_that_is_begun_twice_is_one():
    flash = _Flash()
    factoryreset.begin(flash.power()[0])
    factoryreset.begin(flash.power()[0])
    factoryreset.finish(*flash.power())
    assert flash.blank()
