# Known-answer tests of all cryptography, run at each start before the relay serves. They find a build, a processor or a
# flash that computes wrongly before a member trusts it. The test of the random generator is in drbg.py.

from binascii import unhexlify

from . import curve
from .aead import Aead
from .drbg import check_known_answer
from .errors import BadFrame, Fault
from .hashes import hmac_sha256, sha256
from .runtime import aes_cbc, aes_ecb

_COUNTING = bytes(range(32))
_BLOCK = unhexlify("00112233445566778899aabbccddeeff")


def run():
    """Raise a Fault that names the part with a wrong answer, if there is one. Takes 0.4 s on an RP2040."""
    for name, right in _CHECKS:
        if not right():
            raise Fault("the self-test of {} fails: do not use this board with this firmware".format(name))
    check_known_answer()


def _hash():
    """FIPS 180-4, "abc"."""
    return sha256(b"a", b"bc") == unhexlify("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")


def _mac():
    """RFC 4231, test case 2."""
    answer = unhexlify("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    return hmac_sha256(b"Jefe", b"what do ya want ", b"for nothing?") == answer


def _aes():
    """FIPS 197, C.1 and C.3; SP 800-38A, F.2.5, the first block."""
    short, long, chained = bytearray(16), bytearray(16), bytearray(16)
    aes_ecb(_COUNTING[:16]).encrypt(_BLOCK, short)
    aes_ecb(_COUNTING).encrypt(_BLOCK, long)
    key = unhexlify("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    aes_cbc(key, _COUNTING[:16]).encrypt(unhexlify("6bc1bee22e409f96e93d7e117393172a"), chained)
    return (
        short == unhexlify("69c4e0d86a7b0430d8cdb78070b4c55a")
        and long == unhexlify("8ea2b7ca516745bfeafc49904b496089")
        and chained == unhexlify("f58c4c04d6e5f1ba779eabfb5f7bfbd6")
    )


def _aead():
    """tests/vectors/aead.json, made by another implementation; an altered frame does not open."""
    key = unhexlify("2c31b32bb9cac4a703eb2615d5635ec63e8a49b9bf7cdecf68de51606a112141")
    plaintext, aad = unhexlify("b152feeca717d4c21a4b2974a722d7"), unhexlify("")
    answer = unhexlify("81d54acfe125354faadf366910c938a5e0f42606f0023f25b8e030bddf3bc673")
    sealed = Aead(key).seal(0, aad, plaintext)
    if sealed != answer or Aead(key).open(0, aad, sealed) != plaintext:
        return False
    try:
        Aead(key).open(0, aad, bytes((sealed[0] ^ 1,)) + sealed[1:])
    except BadFrame:
        return True
    return False


def _signatures():
    """BIP-340, test vector 0; a signature of another message does not verify."""
    secret, key = bytes(31) + b"\x03", unhexlify("f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9")
    signature = unhexlify(
        "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215"
        "25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0"
    )
    return (
        curve.sign(secret, bytes(32), bytes(32)) == signature
        and curve.verify(signature, bytes(32), key)
        and not curve.verify(signature, bytes(31) + b"\x01", key)
    )


def _agreement():
    """BOLT 8, "transport-initiator successful handshake": es of act one."""
    point = unhexlify("028d7500dd4c12685d1f568b4c2b5048e8534b873319f3a8daa612b469132ec7f7")
    answer = unhexlify("1e2fb3c8fe8fb9f262f649f64d26ecf0f2c0a805a767cf02dc2d77a6ef1fdcc3")
    return curve.dh(b"\x12" * 32, point) == answer


_CHECKS = (
    ("SHA-256", _hash),
    ("HMAC", _mac),
    ("AES", _aes),
    ("the channel's cipher", _aead),
    ("signatures", _signatures),
    ("key agreement", _agreement),
)
