# The board's flash: its partitions as block devices, and the file system on one of them. boards/<BOARD>/partitions.csv
# says where they lie; the build of an image turns it into tessera_build.PARTITIONS.

from tessera_build import PARTITIONS
from vfs import VfsLfs2
from vfs import mount as _mount

from device import factoryreset
from tessera.errors import Fault
from tessera.keyring import KeyRing

_PROGRAM_BYTES = 256  # the unit in which the RP2040's flash is programmed; other flash takes it, too


def region(name):
    """The partition of this name: a block device of the extended protocol, in sectors of 4096 bytes."""
    offset, length = PARTITIONS[name]
    try:
        from _rp2 import Flash  # the same as rp2.Flash, without the rest of rp2, which costs RAM
    except ImportError:
        from esp32 import Partition

        return Partition.find(Partition.TYPE_DATA, label=name)[0]
    # The port counts from the start of its storage, in which the bundles come first (build/boards.py checks that).
    return Flash(start=offset - PARTITIONS["bundle_a"][0], len=length)


def mount():
    """Mount the file system. Returns None, or in words why that is not possible.

    A file system is made if there is none, but never on a board whose key ring was in use.
    """
    device = region("littlefs")
    factoryreset.finish(region("keyring"), device)
    try:
        _mount(VfsLfs2(device, progsize=_PROGRAM_BYTES), "/")
    except OSError as error:
        if _was_a_relay():
            return "the relay's file system cannot be read ({}): reset the board and provision it anew".format(error)
        VfsLfs2.mkfs(device, progsize=_PROGRAM_BYTES)
        _mount(VfsLfs2(device, progsize=_PROGRAM_BYTES), "/")
    return None


def _was_a_relay():
    try:
        return KeyRing(region("keyring")).load()
    except Fault:  # written by another version
        return True
