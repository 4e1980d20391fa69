# secp256k1: picks the best of three tiers, once. All tiers have the same names and pass the same vectors. The number
# after a name is its length in bytes.
#
# On secrets, in constant time where the tier can; a secret is a Secret, or 32 bytes:
#
#   Secret(secret32)                                   a secret that functions on public data refuse: TypeError
#   sign(secret, message32, random32) -> signature64   BIP-340
#   public(secret) -> point33                          compressed
#   dh(secret, point) -> bytes32                       SHA-256 of the compressed product (BOLT 8)
#   randomize(seed32)                                  blinds public() and sign() from now on where it can
#
# On public data, in a time that depends on it:
#
#   verify(signature64, message32, key) -> bool        BIP-340; any malformed bytes are False
#   tweak_add(key32, tweak32) -> point33               lift_x(key) + tweak·G
#   PreparedKey(key32)                                 for verify() in place of key32: a table, worth its time from two
#                                                      calls on
#   Point(point33)                                     for dh() in place of point33: takes the square root once
#
# ValueError: a wrong length, a secret that is 0 or not below n, a point that is not on the curve, a sum at infinity.

try:
    # The C module in the image.
    from secp256k1 import TIER, Point, PreparedKey, Secret, dh, public, randomize, sign, tweak_add, verify
except ImportError:
    try:
        from .curve_coincurve import TIER, Point, PreparedKey, Secret, dh, public, randomize, sign, tweak_add, verify
    except ImportError:
        from .curve_plain import TIER, Point, PreparedKey, Secret, dh, public, randomize, sign, tweak_add, verify

__all__ = ("TIER", "Point", "PreparedKey", "Secret", "dh", "public", "randomize", "sign", "tweak_add", "verify")
