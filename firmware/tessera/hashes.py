# SHA-256 and what is built on it: tagged hash (BIP-340), HMAC (RFC 2104), HKDF (RFC 5869), comparison.
#
# All but the tagged hash have two tiers: the C module mbedcrypto where the firmware has it, plain Python elsewhere.

from hashlib import sha256 as _sha256

from .runtime import const

_BLOCK = const(64)
_INNER = int.from_bytes(b"\x36" * _BLOCK, "big")
_OUTER = int.from_bytes(b"\x5c" * _BLOCK, "big")

_tags = {}


def plain_sha256(*parts):
    """SHA-256 of the parts joined (at least one), 32 bytes."""
    digest = _sha256(parts[0])
    for part in parts[1:]:
        digest.update(part)
    return digest.digest()


def tag_prefix(tag):
    """SHA256(tag) twice, 64 bytes: what a BIP-340 tagged hash begins with. tag is bytes."""
    digest = sha256(tag)
    return digest + digest


def tagged(name, *parts):
    """H(name, parts joined) of PROTOCOL §1, 32 bytes. name is a str without the prefix "tessera/1/"."""
    prefix = _tags.get(name)
    if prefix is None:
        prefix = _tags[name] = tag_prefix(("tessera/1/" + name).encode())
    return sha256(prefix, *parts)


class PlainHmacKey:
    """HMAC-SHA-256 under one key of any length; the pads are made once."""

    def __init__(self, key):
        if len(key) > _BLOCK:
            key = plain_sha256(key)
        # One big integer instead of 64 byte operations: 20 times faster on MicroPython.
        number = int.from_bytes(bytes(key) + bytes(_BLOCK - len(key)), "big")
        self._inner = (number ^ _INNER).to_bytes(_BLOCK, "big")
        self._outer = (number ^ _OUTER).to_bytes(_BLOCK, "big")

    def digest(self, *parts):
        """HMAC of the parts joined, 32 bytes."""
        return plain_sha256(self._outer, plain_sha256(self._inner, *parts))

    def digest_into(self, out, *parts):
        """Write the first bytes of the HMAC over out (1 to 32 bytes, else ValueError)."""
        _check_length(out)
        out[:] = self.digest(*parts)[: len(out)]

    def verify(self, tag, *parts):
        """Whether the HMAC of the parts begins with tag (1 to 32 bytes, else ValueError)."""
        _check_length(tag)
        return plain_equal(self.digest(*parts)[: len(tag)], tag)


def _check_length(tag):
    if not 1 <= len(tag) <= 32:
        raise ValueError("a tag has 1 to 32 bytes")


def plain_equal(left, right):
    """True if two byte strings are the same; the time depends on their length only."""
    if len(left) != len(right):
        return False
    difference = 0
    for index in range(len(left)):
        difference |= left[index] ^ right[index]
    return difference == 0


def plain_hmac_sha256(key, *parts):
    """HMAC-SHA-256 of the parts joined, 32 bytes."""
    return PlainHmacKey(key).digest(*parts)


def plain_hkdf_expand(prk, info, length):
    """HKDF-Expand (RFC 5869): length bytes, at most 8160. info is bytes."""
    key = PlainHmacKey(prk)
    block = output = b""
    counter = 0
    while len(output) < length:
        counter += 1
        block = key.digest(block, info, bytes((counter,)))
        output += block
    return output[:length]


def plain_hkdf(salt, ikm, info, length):
    """HKDF (RFC 5869): length bytes. An empty salt is the RFC's string of zeros."""
    return plain_hkdf_expand(plain_hmac_sha256(salt, ikm), info, length)


try:
    from mbedcrypto import HmacKey, equal, hkdf, hkdf_expand, hmac_sha256, sha256
except ImportError:
    HmacKey, equal, sha256 = PlainHmacKey, plain_equal, plain_sha256
    hmac_sha256, hkdf_expand, hkdf = plain_hmac_sha256, plain_hkdf_expand, plain_hkdf
