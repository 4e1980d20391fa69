# The curve tier that runs anywhere: secp256k1 in plain integers. curve.py describes the interface.
#
# Verification: Strauss' trick over the GLV endomorphism with wNAF (Guide to Elliptic Curve Cryptography, 3.3 and 3.5).
# Secrets: a fixed pattern of 256 doublings and 64 additions without skipped digits. Python's integers are not constant
# time all the same, so images have the C tier, and a relay says at its start which tier it uses.

from .hashes import sha256, tag_prefix
from .runtime import const

TIER = "plain integers"

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
GX = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798
GY = 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8

# The endomorphism (x, y) -> (BETA·x, y) multiplies by LAMBDA; the short basis of its lattice (GLV 2001).
BETA = 0x7AE96A2B657C07106E64479EAC3434E99CF0497512F58995C1396C28719501EE
LAMBDA = 0x5363AD4CC05C30E0A5261C028812645A122E22EA20816678DF02967C1B23BD72
_A1 = 0x3086D221A7D46BCDE86C90E49284EB15
_B1 = -0xE4437ED6010E88286F547FA90ABFE4C3
_A2 = 0x114CA50F7A8E2F3F657C1108D9D44CFD8
_B2 = _A1

_HALF_BITS = const(130)
_OFFSET = int.from_bytes(b"\x11" * 32, "big")  # 1 in each of 64 digits of 4 bits

_CHALLENGE = tag_prefix(b"BIP0340/challenge")
_AUX = tag_prefix(b"BIP0340/aux")
_NONCE = tag_prefix(b"BIP0340/nonce")

_table_of_g = None


class Secret:
    def __init__(self, secret):
        self._number = _scalar(bytes(secret))


class Point:
    def __init__(self, point):
        self._xy = _parse(point)


class PreparedKey:
    def __init__(self, key):
        self._data = bytes(key)
        self._table = _multiples(*_parse(b"\x02" + self._data), 8, 2)


def verify(signature, message, key):
    if len(signature) != 64 or len(message) != 32:
        return False
    r = int.from_bytes(bytes(signature[:32]), "big")
    s = int.from_bytes(bytes(signature[32:]), "big")
    if r >= P or s >= N:
        return False
    try:
        prepared = key if isinstance(key, PreparedKey) else PreparedKey(key)
    except ValueError:
        return False
    e = _challenge(signature[:32], prepared._data, message)
    point = _affine(_combine(s, (N - e) % N, prepared._table))
    return point is not None and not point[1] & 1 and point[0] == r


def sign(secret, message, random):
    d = _scalar(secret)
    if len(message) != 32 or len(random) != 32:
        raise ValueError("a message and a random value have 32 bytes")
    x, y = _affine(_multiply(d, GX, GY))
    if y & 1:
        d = N - d
    key = _bytes(x)
    masked = _bytes(d ^ int.from_bytes(sha256(_AUX, random), "big"))
    k = int.from_bytes(sha256(_NONCE, masked, key, message), "big") % N
    if k == 0:
        raise ValueError("the nonce is zero")
    rx, ry = _affine(_multiply(k, GX, GY))
    if ry & 1:
        k = N - k
    r = _bytes(rx)
    return r + _bytes((k + _challenge(r, key, message) * d) % N)


def public(secret):
    return _compressed(_affine(_multiply(_scalar(secret), GX, GY)))


def dh(secret, point):
    x, y = point._xy if isinstance(point, Point) else _parse(point)
    return sha256(_compressed(_affine(_multiply(_scalar(secret), x, y))))


def tweak_add(key, tweak):
    x, y = _parse(b"\x02" + bytes(key))
    t = int.from_bytes(bytes(tweak), "big")
    if len(tweak) != 32 or t >= N:
        raise ValueError("not a scalar")
    point = (x, y, 1)
    if t:
        point = _add(_multiply(t, GX, GY), x, y)
    return _compressed(_affine(point))


def randomize(seed):
    if len(seed) != 32:
        raise ValueError("a seed has 32 bytes")  # and nothing else: these integers do not run in constant time anyway


# -- bytes and numbers


def _bytes(number):
    return number.to_bytes(32, "big")


def _scalar(secret):
    if isinstance(secret, Secret):
        return secret._number
    number = int.from_bytes(bytes(secret), "big")
    if len(secret) != 32 or not 0 < number < N:
        raise ValueError("not a secret key")
    return number


def _even_y(x):
    """The even y of the point with this x (BIP-340's lift_x); None if the curve has no such point."""
    if x >= P:
        return None
    square = (x * x % P * x + 7) % P
    y = pow(square, (P + 1) // 4, P)
    if y * y % P != square:
        return None
    return P - y if y & 1 else y


def _parse(data):
    if len(data) != 33 or data[0] not in (2, 3):
        raise ValueError("not a compressed point")
    x = int.from_bytes(bytes(data[1:]), "big")
    y = _even_y(x)
    if y is None:
        raise ValueError("not a point of the curve")
    return x, (P - y if data[0] == 3 else y)


def _compressed(point):
    if point is None:
        raise ValueError("the point at infinity")
    return bytes((2 + (point[1] & 1),)) + _bytes(point[0])


def _challenge(r, key, message):
    return int.from_bytes(sha256(_CHALLENGE, r, key, message), "big") % N


# -- points: (X, Y, Z) Jacobian, Z = 0 at infinity; a = 0 formulas


def _double(point):
    x, y, z = point
    if not z:
        return point
    yy = y * y % P
    s = 4 * x * yy % P
    m = 3 * x * x % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add(point, x2, y2):
    """The sum of a Jacobian point and an affine one."""
    x1, y1, z1 = point
    if not z1:
        return x2, y2, 1
    zz = z1 * z1 % P
    h = (x2 * zz - x1) % P
    r = (y2 * zz % P * z1 - y1) % P
    if not h:
        return _double(point) if not r else (1, 1, 0)
    hh = h * h % P
    hhh = hh * h % P
    v = x1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y1 * hhh) % P, z1 * h % P


def _affine(point):
    """(x, y) of a Jacobian point; None at infinity."""
    x, y, z = point
    if not z:
        return None
    inverse = pow(z, P - 2, P)
    square = inverse * inverse % P
    return x * square % P, y * square % P * inverse % P


def _all_affine(points):
    """Affine forms of finite points for the price of one inversion (Montgomery's trick)."""
    products = []
    product = 1
    for point in points:
        products.append(product)
        product = product * point[2] % P
    inverse = pow(product, P - 2, P)
    result = [None] * len(points)
    for index in range(len(points) - 1, -1, -1):
        x, y, z = points[index]
        own = inverse * products[index] % P
        inverse = inverse * z % P
        square = own * own % P
        result[index] = (x * square % P, y * square % P * own % P)
    return result


def _multiples(x, y, count, step):
    """The points 1, 1 + step, … times (x, y), count of them, affine; step is 1 or 2."""
    sx, sy = (x, y) if step == 1 else _affine(_double((x, y, 1)))
    points = [(x, y, 1)]
    while len(points) < count:
        points.append(_add(points[-1], sx, sy))
    return _all_affine(points)


# -- multiplication


def _multiply(k, x, y):
    """k·(x, y) for a secret k, which is written as 64 digits from 1 to 16, so that all steps are the same."""
    table = _multiples(x, y, 16, 1)
    digits = _bytes((k - _OFFSET) % N)
    result = (1, 1, 0)
    for byte in digits:
        for digit in (byte >> 4, byte & 15):
            result = _double(_double(_double(_double(result))))
            px, py = table[digit]
            result = _add(result, px, py)
    return result


def _split(k):
    """(k1, k2), half as long as k, with k = k1 + k2·LAMBDA mod N; both may be negative."""
    c1 = (_B2 * k + N // 2) // N
    c2 = (-_B1 * k + N // 2) // N
    return k - c1 * _A1 - c2 * _A2, -c1 * _B1 - c2 * _B2


def _wnaf(k):
    """Digits of k, lowest first: zero, or odd and between -16 and 16 (8 points in a table). k may be negative."""
    sign = -1 if k < 0 else 1
    k = abs(k)
    digits = []
    while k:
        digit = 0
        if k & 1:
            digit = k & 31
            if digit > 15:
                digit -= 32
            k -= digit
        digits.append(sign * digit)
        k >>= 1
    return digits


def _combine(s, e, table):
    """s·G + e·P for public s and e. table: the first eight odd multiples of P."""
    global _table_of_g
    if _table_of_g is None:
        _table_of_g = _multiples(GX, GY, 8, 2)
    terms = []
    for scalar, points in ((s, _table_of_g), (e, table)):
        k1, k2 = _split(scalar)
        terms.append((_wnaf(k1), points, 1))
        terms.append((_wnaf(k2), points, BETA))
    result = (1, 1, 0)
    for place in range(_HALF_BITS - 1, -1, -1):
        result = _double(result)
        for digits, points, factor in terms:
            if place < len(digits) and digits[place]:
                px, py = points[abs(digits[place]) >> 1]
                result = _add(result, px * factor % P, py if digits[place] > 0 else P - py)
    return result
