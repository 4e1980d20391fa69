# Releases and a place for them, for tests of updates: signed with the small office's root key.

from office import FEDERATION, ROOT
from slots import Slots
from tessera import curve
from tessera.hashes import sha256
from tessera.release import BUNDLE, encode

BOARD = "RPI_PICO"
BASE = b"the base"
VERSION = 256  # of what is frozen
CONTENT = b"".join([sha256(b"bundle", bytes((number,))) for number in range(160)])[:5000]  # more than a sector


def release(version=VERSION + 1, content=CONTENT, root=ROOT, **changes):
    """A signed release (bytes)."""
    fields = {
        "federation_id": FEDERATION,
        "version": version,
        "kind": BUNDLE,
        "board": BOARD,
        "bytes": len(content),
        "sha256": sha256(content),
        "firmware_digest": sha256(b"firmware"),
        "base": BASE,
    }
    fields.update(changes)
    body, message = encode(fields)
    return body + curve.sign(root, message, bytes(32))


class Restarted(Exception):
    """The board restarted here."""


class Places(Slots):
    """Slots whose board says that it restarts."""

    def __init__(self, directory, devices, version=VERSION):
        super().__init__(directory, devices, BOARD, version, BASE)

    def restart(self):
        raise Restarted
