# The self-test passes here, and finds each part that answers wrongly.

from check import raises
from tessera import selftest
from tessera.errors import Fault


def test_everything_the_relay_uses_gives_its_known_answer():
    selftest.run()


def test_a_part_that_answers_wrongly_is_named():
    wrong = {
        "SHA-256": ("sha256", lambda *parts: bytes(32)),
        "HMAC": ("hmac_sha256", lambda *parts: bytes(32)),
        "AES": ("aes_ecb", _Wrong),
        "the channel's cipher": ("Aead", _Wrong),
        "signatures": ("curve", _Wrong),
        "key agreement": ("curve", _Wrong),
    }
    assert sorted(wrong) == sorted(name for name, _ in selftest._CHECKS)
    for name in wrong:
        attribute, fake = wrong[name]
        real = getattr(selftest, attribute)
        setattr(selftest, attribute, fake if fake is not _Wrong else _Wrong(real))
        try:
            right = dict(selftest._CHECKS)[name]()
        finally:
            setattr(selftest, attribute, real)
        assert not right, name


def test_a_failure_is_a_fault():
    checks = selftest._CHECKS
    selftest._CHECKS = (("the moon", lambda: False),)
    try:
        assert "the moon" in str(raises(Fault, selftest.run))
    finally:
        selftest._CHECKS = checks


class _Wrong:
    """A cipher, an AEAD or a curve that is another in one bit."""

    def __init__(self, real):
        self._real = real

    def __call__(self, key, *rest):
        return self._real(bytes((key[0] ^ 1,)) + key[1:], *rest)

    def sign(self, secret, message, random):
        return self._real.sign(secret, message, b"\x01" + random[1:])

    def verify(self, *arguments):
        return True

    def dh(self, secret, point):
        return self._real.dh(secret[:31] + b"\x11", point)
