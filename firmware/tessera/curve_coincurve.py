# The curve tier for CPython: libsecp256k1 through the library coincurve. curve.py describes the interface.

from coincurve import GLOBAL_CONTEXT, PrivateKey, PublicKey, PublicKeyXOnly

TIER = "libsecp256k1 (coincurve)"


class Secret:
    def __init__(self, secret):
        self._private = _private(bytes(secret))


class Point:
    def __init__(self, point):
        self._data = _point(point).format()


class PreparedKey:
    def __init__(self, key):
        if len(key) != 32:
            raise ValueError("not a key")
        self._key = PublicKeyXOnly(bytes(key))


def verify(signature, message, key):
    if len(signature) != 64 or len(message) != 32:
        return False
    try:
        prepared = key if isinstance(key, PreparedKey) else PreparedKey(key)
        return prepared._key.verify(bytes(signature), bytes(message))
    except ValueError:
        return False


def sign(secret, message, random):
    if len(message) != 32 or len(random) != 32:
        raise ValueError("a message and a random value have 32 bytes")
    return _private(secret).sign_schnorr(bytes(message), bytes(random))


def public(secret):
    return _private(secret).public_key.format()


def dh(secret, point):
    parsed = point if isinstance(point, Point) else Point(point)
    return _private(secret).ecdh(parsed._data)


def tweak_add(key, tweak):
    if len(tweak) != 32:
        raise ValueError("not a scalar")
    return _point(b"\x02" + bytes(key)).add(bytes(tweak)).format()


def randomize(seed):
    if len(seed) != 32:
        raise ValueError("a seed has 32 bytes")
    GLOBAL_CONTEXT.reseed(bytes(seed))


def _private(secret):
    if isinstance(secret, Secret):
        return secret._private
    if len(secret) != 32 or not any(secret):
        raise ValueError("not a secret key")
    return PrivateKey(bytes(secret))


def _point(data):
    if len(data) != 33 or data[0] not in (2, 3):
        raise ValueError("not a compressed point")
    return PublicKey(bytes(data))
