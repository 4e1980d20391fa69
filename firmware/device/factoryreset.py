# Factory reset: a board forgets that it was a relay, its keys first. What makes it safe against power cuts is the key
# ring's (tessera/keyring.py): the reset is finished by the next start, whenever the power fails.

from tessera import nor
from tessera.keyring import KeyRing


def begin(keyring_device):
    """Erase the relay's keys; the next start does the rest. Fault if the flash does not erase."""
    KeyRing(keyring_device).condemn()


def finish(keyring_device, files_device):
    """Erase all that a begun reset has left, the whole file system too; False if none was begun."""
    keyring = KeyRing(keyring_device)
    if not keyring.condemned():
        return False
    keyring.forget(lambda: _erase(files_device))
    return True


def _erase(device):
    for sector in range(nor.sectors(device)):
        nor.erase(device, sector)
