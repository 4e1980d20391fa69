# The curve interface: picks the best of three tiers once. All tiers offer the same functions and pass the same vectors:
#
#   verify(signature64, message32, key32) -> bool      BIP-340; any malformed input is False
#   sign(secret32, message32, random32) -> signature64 BIP-340
#   public(secret32) -> point33                        compressed
#   dh(secret32, point33) -> bytes32                   SHA-256 of the compressed product (BOLT 8)
#   tweak_add(key32, tweak32) -> point33               lift_x(key) + tweak·G
#   randomize(seed32)                                  blinds public() and sign() from now on where it can
#
# ValueError: a wrong length, a secret that is 0 or not below n, a point that is not on the curve, a sum at infinity.

try:
    from secp256k1 import TIER, dh, public, randomize, sign, tweak_add, verify  # C module in the image
except ImportError:
    try:
        from .curve_coincurve import TIER, dh, public, randomize, sign, tweak_add, verify
    except ImportError:
        from .curve_plain import TIER, dh, public, randomize, sign, tweak_add, verify

__all__ = ("TIER", "dh", "public", "randomize", "sign", "tweak_add", "verify")
