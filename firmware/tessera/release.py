# Releases: what the federation's root key says about a piece of code that relays may run (PROTOCOL §14). The only
# module that knows their bytes. Staging and starting the code is the device's business, making a release the host's.

import struct

from . import curve
from .errors import InvalidObject
from .hashes import tagged
from .runtime import const

IMAGE = const(1)  # a whole image: what is flashed over a cable
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
    """A release over its bytes: federation_id(16), version (int), kind, board (str), bytes, sha256(32) of the artifact,
    firmware_digest(32) of the core in it, base(8) that a bundle runs on.

    Raises InvalidObject for wrong lengths and values out of range. The signature is checked by verify().
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
        raise InvalidObject("a release's board has no name")
    if not length:
        raise InvalidObject("a release of nothing")


def encode(fields):
    """(body, message to sign) of a release from a dict of Release's attributes; the release is body ‖ signature."""
    name = fields["board"].encode()
    _check(fields["kind"], name, fields["bytes"])
    body = struct.pack(_HEAD, _MAGIC, fields["federation_id"], fields["version"], fields["kind"], len(name)) + name
    body += struct.pack(_TAIL, fields["bytes"], fields["sha256"], fields["firmware_digest"], fields["base"])
    return body, tagged("release", body)


def version_number(text):
    """The number of a version like "1.2.3": major << 16 | minor << 8 | patch. ValueError if it is none."""
    major, minor, patch = (int(part) for part in text.split("."))
    if not (0 <= major < 0x8000 and 0 <= minor < 256 and 0 <= patch < 256):
        raise ValueError("a version's parts are below 32768, 256 and 256")
    return major << 16 | minor << 8 | patch


def version_text(number):
    """Like "1.2.3"."""
    return "{}.{}.{}".format(number >> 16, number >> 8 & 255, number & 255)
