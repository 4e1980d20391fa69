# SHA-256 and what is built on it: tagged hash (BIP-340), HMAC (RFC 2104), HKDF (RFC 5869), comparison.
#
# All but the tagged hash have two tiers: the C module mbedcrypto where the firmware has it, hashes_plain.py elsewhere.
#
#   sha256(*parts) -> bytes32                    hash of the joined parts, at least one
#   HmacKey(key)                                 HMAC-SHA-256 under one key of any length, whose pads are made once:
#     .digest(*parts) -> bytes32                   MAC of the joined parts
#     .digest_into(out, *parts)                    the MAC's first bytes over out (1 to 32 bytes, else ValueError)
#     .verify(tag, *parts) -> bool                 whether the MAC begins with tag (1 to 32 bytes, else ValueError)
#   hmac_sha256(key, *parts) -> bytes32          MAC of the joined parts
#   hkdf_expand(prk, info, length) -> bytes      HKDF-Expand: `length` bytes, at most 8160
#   hkdf(salt, ikm, info, length) -> bytes       HKDF; an empty salt stands for 32 zeros, as in the RFC
#   equal(left, right) -> bool                   comparison in a time that depends only on the lengths

try:
    from mbedcrypto import HmacKey, equal, hkdf, hkdf_expand, hmac_sha256, sha256
except ImportError:
    from .hashes_plain import HmacKey, equal, hkdf, hkdf_expand, hmac_sha256, sha256

__all__ = ("HmacKey", "equal", "hkdf", "hkdf_expand", "hmac_sha256", "sha256", "tag_prefix", "tagged")

_tags = {}


def tag_prefix(tag):
    """SHA256(tag) twice (64 bytes), which the input of a BIP-340 tagged hash begins with. tag: bytes."""
    digest = sha256(tag)
    return digest + digest


def tagged(name, *parts):
    """H(name, joined parts) of PROTOCOL §1 (32 bytes). name: a str without the prefix "tessera/1/"."""
    prefix = _tags.get(name)
    if prefix is None:
        prefix = _tags[name] = tag_prefix(("tessera/1/" + name).encode())
    return sha256(prefix, *parts)
