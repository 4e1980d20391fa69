# The relay's only source of random bytes: HMAC_DRBG (NIST SP 800-90A, 10.1.2) with SHA-256, and its health tests.
# Where the seed is kept is the business of keyring.py.

from binascii import unhexlify

from .errors import Fault
from .hashes import HmacKey
from .runtime import const

_BLOCK = const(32)
_RESEED_INTERVAL = const(1 << 20)  # calls; the standard allows 2^48
_SAMPLE_BYTES = const(32)
_SAMPLES = const(8)
_LONGEST_RUN = const(21)  # SP 800-90B 4.4.1 repetition count: 1 + 20 / 1 for one bit of entropy a byte

# NIST CAVP, HMAC_DRBG, SHA-256, no prediction resistance, no reseed, COUNT = 0: the known answer of the boot test.
_KNOWN_ENTROPY = unhexlify("ca851911349384bffe89de1cbdc46e6831e44d34a4fb935ee285dd14b71a7488")
_KNOWN_NONCE = unhexlify("659ba96c601dc69fc902940805ec0ca8")
_KNOWN_OUTPUT = unhexlify("e528e9abf2dece54d47c7e75e5fe3021")  # the first 16 of the second 128 bytes


class HmacDrbg:
    """HMAC_DRBG with SHA-256: 256 bits of strength, no prediction resistance.

    entropy, nonce, personalization: bytes of any length, as SP 800-90A names them.
    """

    def __init__(self, entropy, nonce=b"", personalization=b""):
        self._mac = HmacKey(bytes(32))
        self._value = bytearray(b"\x01" * _BLOCK)
        self._calls = 0
        self._update(entropy, nonce, personalization)

    def _update(self, *provided):
        self._rekey(b"\x00", *provided)
        if any(len(part) for part in provided):
            self._rekey(b"\x01", *provided)

    def _rekey(self, *parts):
        self._mac = HmacKey(self._mac.digest(self._value, *parts))
        self._mac.digest_into(self._value, self._value)

    def reseed(self, entropy):
        """Mix in fresh entropy (bytes)."""
        self._update(entropy)
        self._calls = 0

    def generate(self, length):
        """`length` random bytes, at most 65536. Fault after 2^20 calls without a reseed."""
        if self._calls >= _RESEED_INTERVAL:
            raise Fault("the random generator was not reseeded in time: restart the relay")
        self._calls += 1
        output = bytearray(length + -length % _BLOCK)
        for at in range(0, length, _BLOCK):
            self._mac.digest_into(self._value, self._value)
            output[at : at + _BLOCK] = self._value
        self._update()
        return bytes(memoryview(output)[:length])


def check_known_answer():
    """Raise Fault unless the generator gives the answer of NIST's test vector."""
    generator = HmacDrbg(_KNOWN_ENTROPY, _KNOWN_NONCE)
    generator.generate(128)
    if generator.generate(128)[:16] != _KNOWN_OUTPUT:
        raise Fault("the random generator fails its known-answer test: do not use this build")


def check_source(source):
    """Raise Fault if source(n) -> bytes looks dead: a run of equal bytes (SP 800-90B 4.4.1), or a repeated sample."""
    seen = []
    run = 0
    last = -1
    for _ in range(_SAMPLES):
        sample = source(_SAMPLE_BYTES)
        for byte in sample:
            run = run + 1 if byte == last else 1
            last = byte
            if run >= _LONGEST_RUN:
                raise Fault("the hardware random source repeats itself: replace the board")
        if sample in seen:
            raise Fault("the hardware random source repeats itself: replace the board")
        seen.append(sample)


class RelayGenerator:
    """The generator of one boot, tested and seeded from all sources (PROTOCOL §1). Fault if a test fails."""

    def __init__(self, seed, boots, chip_id, source):
        """seed: 32 bytes from the key ring. boots: how many there were (u32). chip_id: bytes. source: os.urandom."""
        check_known_answer()
        check_source(source)
        self._source = source
        nonce = boots.to_bytes(4, "big") + chip_id
        self._drbg = HmacDrbg(bytes(seed) + source(32), nonce, b"tessera/1/drbg")

    def random(self, length):
        """`length` random bytes, at most 65536."""
        return self._drbg.generate(length)

    def new_seed(self):
        """Reseed from the hardware; returns 32 bytes to keep as the seed of the next start."""
        self._drbg.reseed(self._source(32))
        return self._drbg.generate(32)
