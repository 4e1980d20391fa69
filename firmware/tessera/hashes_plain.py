# The plain tier of hashes.py, which describes the interface: for MicroPython without the C module mbedcrypto, and for
# CPython.

from hashlib import sha256 as _sha256

from .runtime import const

_BLOCK = const(64)
_INNER = int.from_bytes(b"\x36" * _BLOCK, "big")
_OUTER = int.from_bytes(b"\x5c" * _BLOCK, "big")


def sha256(*parts):
    """SHA-256 (32 bytes) of the joined parts, at least one."""
    digest = _sha256(parts[0])
    for part in parts[1:]:
        digest.update(part)
    return digest.digest()


class HmacKey:
    """HMAC-SHA-256 under one key of any length; the pads are made once."""

    def __init__(self, key):
        if len(key) > _BLOCK:
            key = sha256(key)
        # One XOR of big integers instead of 64 of bytes: 20 times as fast on MicroPython.
        number = int.from_bytes(bytes(key) + bytes(_BLOCK - len(key)), "big")
        self._inner = (number ^ _INNER).to_bytes(_BLOCK, "big")
        self._outer = (number ^ _OUTER).to_bytes(_BLOCK, "big")

    def digest(self, *parts):
        """HMAC (32 bytes) of the joined parts."""
        return sha256(self._outer, sha256(self._inner, *parts))

    def digest_into(self, out, *parts):
        """Write the first bytes of the HMAC over out (1 to 32 bytes, else ValueError)."""
        _check_length(out)
        out[:] = self.digest(*parts)[: len(out)]

    def verify(self, tag, *parts):
        """Whether the HMAC of the parts begins with tag (1 to 32 bytes, else ValueError)."""
        _check_length(tag)
        return equal(self.digest(*parts)[: len(tag)], tag)


def _check_length(tag):
    if not 1 <= len(tag) <= 32:
        raise ValueError("a tag has 1 to 32 bytes")


def equal(left, right):
    """Whether two byte strings are equal. The time depends only on their lengths."""
    if len(left) != len(right):
        return False
    difference = 0
    for index in range(len(left)):
        difference |= left[index] ^ right[index]
    return difference == 0


def hmac_sha256(key, *parts):
    """HMAC-SHA-256 (32 bytes) of the joined parts."""
    return HmacKey(key).digest(*parts)


def hkdf_expand(prk, info, length):
    """HKDF-Expand (RFC 5869): `length` bytes, at most 8160."""
    key = HmacKey(prk)
    block = output = b""
    counter = 0
    while len(output) < length:
        counter += 1
        block = key.digest(block, info, bytes((counter,)))
        output += block
    return output[:length]


def hkdf(salt, ikm, info, length):
    """HKDF (RFC 5869): `length` bytes, at most 8160. An empty salt stands for 32 zeros, as in the RFC."""
    return hkdf_expand(hmac_sha256(salt, ikm), info, length)
