# What modules do with a whole sector or region of flash.

from ramdevice import RamDevice
from tessera import nor
from tessera.hashes import sha256


def test_a_sector_is_blank_until_a_bit_of_it_is_programmed_and_once_it_is_erased():
    device = RamDevice(2)
    for at in (0, 255, 256, 4095):
        assert nor.is_blank(device, 1)
        device.writeblocks(1, b"\x7f", at)
        assert not nor.is_blank(device, 1) and nor.is_blank(device, 0)
        nor.erase(device, 1)
    assert nor.sectors(device) == 2


def test_the_digest_is_of_the_bytes_and_nothing_behind_them():
    device = RamDevice(2)
    content = bytes(range(256)) * 17  # over a sector's end
    device.put(0, content + b"behind")
    for length in (1, 511, 512, 513, 4096, len(content)):
        assert nor.digest(device, length) == sha256(content[:length])
