# Flash in a file has the manners of NOR flash and keeps its content, as the device in memory does that tests run on.

import os

from check import raises
from dice import Dice
from ramdevice import RamDevice
from tessera import filedevice
from tessera.errors import Error
from tessera.filedevice import FileDevice
from tessera.nor import COUNT, ERASE, SECTOR_BYTES, SIZE, SYNC
from workfolder import WorkFolder

_SECTORS = 3
_BLANK = b"\xff" * SECTOR_BYTES


def _read(device, block, length=SECTOR_BYTES, offset=0):
    buffer = bytearray(length)
    device.readblocks(block, buffer, offset)
    return bytes(buffer)


def _new(path):
    return FileDevice(path + "/flash", _SECTORS)


def test_a_new_file_is_blank_and_as_large_as_was_asked():
    with WorkFolder() as path:
        device = _new(path)
        assert [_read(device, block) for block in range(_SECTORS)] == [_BLANK] * _SECTORS
        assert device.ioctl(COUNT, 0) == _SECTORS and device.ioctl(SIZE, 0) == SECTOR_BYTES
        assert os.stat(path + "/flash")[6] == _SECTORS * SECTOR_BYTES
        device.close()


def test_a_program_only_clears_bits():
    with WorkFolder() as path:
        device = _new(path)
        device.writeblocks(1, b"\xf0\x0f\xaa\x00", 5)
        device.writeblocks(1, b"\x3c\xff\x55\xff", 5)
        assert _read(device, 1, 6, 4) == b"\xff\x30\x0f\x00\x00\xff"
        assert _read(device, 0) == _read(device, 2) == _BLANK
        device.close()


def test_an_erase_sets_the_bits_of_one_sector():
    with WorkFolder() as path:
        device = _new(path)
        for block in range(_SECTORS):
            device.writeblocks(block, bytes(SECTOR_BYTES), 0)
        assert device.ioctl(ERASE, 1) == 0
        assert [_read(device, block) for block in range(_SECTORS)] == [bytes(SECTOR_BYTES), _BLANK, bytes(SECTOR_BYTES)]
        device.close()


def test_a_write_without_an_offset_erases_first():
    with WorkFolder() as path:
        device = _new(path)
        device.writeblocks(0, bytes(SECTOR_BYTES), 0)
        device.writeblocks(0, b"\x5a" * SECTOR_BYTES)
        assert _read(device, 0) == b"\x5a" * SECTOR_BYTES
        device.close()


def test_content_outlives_the_device():
    with WorkFolder() as path:
        device = _new(path)
        device.writeblocks(2, b"kept", 4092)
        device.close()
        device = _new(path)
        assert _read(device, 2, 4, 4092) == b"kept"
        device.close()


def test_what_was_programmed_is_in_the_file_at_once():
    # A process that is killed loses nothing that the relay has acknowledged.
    with WorkFolder() as path:
        device = _new(path)
        device.writeblocks(1, b"durable", 16)
        with open(path + "/flash", "rb") as file:
            file.seek(SECTOR_BYTES + 16)
            assert file.read(7) == b"durable"
        device.close()


def test_a_sync_reaches_the_disk():
    synced = []
    real = filedevice.sync

    def noting(file):
        synced.append(file)
        real(file)

    with WorkFolder() as path:
        filedevice.sync = noting
        try:
            device = _new(path)
            assert len(synced) == 1  # the blank file, before it gets its name
            assert device.ioctl(SYNC, 0) == 0
            assert synced[1:] == [device._file]
            device.close()
        finally:
            filedevice.sync = real


def test_a_file_of_another_size_is_refused_and_left_alone():
    with WorkFolder() as path:
        _new(path).close()
        for sectors in (_SECTORS - 1, _SECTORS + 1):
            raises(Error, FileDevice, path + "/flash", sectors)
        assert os.stat(path + "/flash")[6] == _SECTORS * SECTOR_BYTES


def test_it_behaves_as_the_device_in_memory():
    dice = Dice(b"devices")
    with WorkFolder() as path:
        device, memory = _new(path), RamDevice(_SECTORS)
        for _ in range(200):
            block, offset = dice.below(_SECTORS), 256 * dice.below(16)
            data = dice.bytes(1 + dice.below(256))
            for flash in (device, memory):
                if data[0] < 20:
                    flash.ioctl(ERASE, block)
                else:
                    flash.writeblocks(block, data, offset)
        for block in range(_SECTORS):
            assert _read(device, block) == _read(memory, block)
        device.close()


def test_a_file_that_cannot_be_opened_is_no_missing_one():
    """Made anew, it would take all keys and records with it."""
    with WorkFolder() as path:
        os.mkdir(path + "/flash")
        raises(Error, _new, path)
        assert os.listdir(path) == ["flash"]
        os.rmdir(path + "/flash")


def test_a_missing_file_of_a_relay_that_has_run_is_not_made():
    with WorkFolder() as path:
        raises(Error, FileDevice, path + "/flash", _SECTORS, False)
        assert os.listdir(path) == []
