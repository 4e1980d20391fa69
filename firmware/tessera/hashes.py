# SHA-256 and what is built on it: tagged hash (BIP-340), HMAC (RFC 2104), HKDF (RFC 5869), comparison.
#
# All but the tagged hash has two tiers: the C module mbedcrypto where the firmware has it, hashes_plain.py elsewhere.
#
#   sha256(*parts) -> bytes32                    of the parts joined, at least one
#   HmacKey(key)                                 HMAC-SHA-256 under one key of any length, whose pads are made once:
#     .digest(*parts) -> bytes32                   of the parts joined
#     .digest_into(out, *parts)                    its first bytes over out (1 to 32 bytes, else ValueError)
#     .verify(tag, *parts) -> bool                 whether it begins with the tag (1 to 32 bytes, else ValueError)
#   hmac_sha256(key, *parts) -> bytes32
#   hkdf_expand(prk, info, length) -> bytes      RFC 5869: length bytes, at most 8160
#   hkdf(salt, ikm, info, length) -> bytes       the same; an empty salt is the RFC's string of zeros
#   equal(left, right) -> bool                   the time depends on the lengths only

try:
    from mbedcrypto import HmacKey, equal, hkdf, hkdf_expand, hmac_sha256, sha256
except ImportError:
    from .hashes_plain import HmacKey, equal, hkdf, hkdf_expand, hmac_sha256, sha256

__all__ = ("HmacKey", "equal", "hkdf", "hkdf_expand", "hmac_sha256", "sha256", "tag_prefix", "tagged")

_tags = {}


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
