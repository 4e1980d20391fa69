# Factory reset: erases everything on a board, its keys first. tessera/keyring.py makes it safe against power cuts: the
# next start finishes a reset that was begun.

from tessera import nor
from tessera.keyring import KeyRing


def begin(keyring_device):
    """Erase the relay's keys; the next start erases the rest. Fault if the flash cannot be erased."""
    KeyRing(keyring_device).condemn()


def finish(keyring_device, files_device):
    """Finish a reset that was begun: erase the rest of the keys and the whole file system. False if none was begun."""
    keyring = KeyRing(keyring_device)
    if not keyring.condemned():
        return False
    keyring.forget(lambda: _erase(files_device))
    return True


def _erase(device):
    for sector in range(nor.sectors(device)):
        nor.erase(device, sector)
