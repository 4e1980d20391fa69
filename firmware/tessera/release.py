# Releases: statements, signed by the federation's root key, that relays may run a piece of code (PROTOCOL §14). No
# other module knows their bytes. staging.py takes the code on a board; the host makes releases.

import struct

from . import curve
from .errors import InvalidObject
from .hashes import tagged
from .runtime import const

# Kinds of artifact
IMAGE = const(1)  # a whole image, which is flashed over a cable
BUNDLE = const(2)  # the relay's modules, which run in place of the frozen ones (RP2)
SLOT = const(3)  # an application image for one of two slots (ESP32)
MAX_BYTES = const(182)
MAX_BOARD_BYTES = const(16)
MIN_BYTES = const(167)
_SIGNATURE_BYTES = const(64)
_BOARD_AT = const(26)
_MAGIC = b"TRL1"
_HEAD = ">4s16sIBB"
_TAIL = ">I32s32s8s"
_TAIL_BYTES = const(76)


class Release:
    """A release, read from its bytes.

    federation_id: 16 bytes. version: int, see version_number(). kind: IMAGE, BUNDLE or SLOT. board: its name (str).
    bytes, sha256 (32 bytes): length and hash of the artifact. firmware_digest: 32 bytes, of the core in it. base: the 8
    bytes that name what a bundle needs to be frozen below it.
    InvalidObject for wrong lengths and values out of range. The signature is checked by verify() only.
    """

    def __init__(self, blob):
        self.blob = bytes(blob)
        if not MIN_BYTES <= len(self.blob) <= MAX_BYTES:
            raise InvalidObject("a release has a wrong length")
        magic, self.federation_id, self.version, self.kind, length = struct.unpack_from(_HEAD, self.blob)
        if magic != _MAGIC:
            raise InvalidObject("this is not a Tessera release of format 1")
        if len(self.blob) != _BOARD_AT + length + _TAIL_BYTES + _SIGNATURE_BYTES:
            raise InvalidObject("a release has a wrong length")
        name = self.blob[_BOARD_AT : _BOARD_AT + length]
        self.bytes, self.sha256, self.firmware_digest, self.base = struct.unpack_from(
            _TAIL, self.blob, _BOARD_AT + length
        )
        _check(self.kind, name, self.bytes)
        self.board = name.decode()

    def verify(self, root_key):
        """Raise InvalidObject unless root_key (32 bytes) signed it."""
        message = tagged("release", self.blob[:-_SIGNATURE_BYTES])
        if not curve.verify(self.blob[-_SIGNATURE_BYTES:], message, root_key):
            raise InvalidObject("the release is not signed by the federation's root key")


def _check(kind, name, length):
    if kind not in (IMAGE, BUNDLE, SLOT):
        raise InvalidObject("a release of unknown kind {}".format(kind))
    if not 1 <= len(name) <= MAX_BOARD_BYTES or any(not 33 <= letter < 127 for letter in name):
        raise InvalidObject("a release names no board")
    if not length:
        raise InvalidObject("a release's artifact is empty")


def encode(fields):
    """(body, message to sign (32 bytes)) of a release, from a dict of the attributes of Release. The release is body ‖
    signature. InvalidObject for values out of range."""
    name = fields["board"].encode()
    _check(fields["kind"], name, fields["bytes"])
    body = struct.pack(_HEAD, _MAGIC, fields["federation_id"], fields["version"], fields["kind"], len(name)) + name
    body += struct.pack(_TAIL, fields["bytes"], fields["sha256"], fields["firmware_digest"], fields["base"])
    return body, tagged("release", body)


def version_number(text):
    """The number of a version like "1.2.3": major << 16 | minor << 8 | patch. ValueError if the text is no version."""
    major, minor, patch = (int(part) for part in text.split("."))
    if not (0 <= major < 0x8000 and 0 <= minor < 256 and 0 <= patch < 256):
        raise ValueError("a version's parts are below 32768, 256 and 256")
    return major << 16 | minor << 8 | patch


def version_text(number):
    """The text of a version's number, like "1.2.3"."""
    return "{}.{}.{}".format(number >> 16, number >> 8 & 255, number & 255)
