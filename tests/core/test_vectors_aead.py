# aead.json: the channel's AEAD, with RFC 7518's own IV and with the protocol's.

from check import raises, share, unhex, vectors
from damage import changed, changes
from tessera import aead_plain
from tessera.aead import Aead
from tessera.errors import BadFrame
from tessera.hashes import hmac_sha256
from tessera.runtime import MICROPYTHON, aes_cbc, aes_ecb

_BLOCK = 16


class _GivenIv(aead_plain.Aead):
    """The AEAD with an IV that is said, as in RFC 7518, not computed."""

    def __init__(self, key, iv):
        super().__init__(key)
        self._given = iv

    def _set_iv(self, counter):
        self._iv[:] = self._given


def _rows():
    """(Aead, counter, aad, plaintext, sealed) of every row."""
    for row in vectors("aead")["published"]:
        yield _GivenIv(unhex(row["key"]), unhex(row["iv"])), 0, row, row["ciphertext"] + row["tag"]
    for kind in (Aead, aead_plain.Aead):
        for row in vectors("aead")["seal"]:
            yield kind(unhex(row["key"])), int(row["counter"], 16), row, row["sealed"]


def test_sealing_gives_the_vectors_bytes():
    for aead, counter, row, sealed in _rows():
        assert aead.seal(counter, unhex(row["aad"]), unhex(row["plaintext"])) == unhex(sealed), row


def test_opening_gives_the_plaintext_back():
    for aead, counter, row, sealed in _rows():
        assert aead.open(counter, unhex(row["aad"]), unhex(sealed)) == unhex(row["plaintext"]), row


def test_one_object_seals_or_opens_again_and_again():
    # Nothing of a frame before may show: each row three times, then frames of other lengths and refused ones between.
    for (opener, counter, row, sealed), (sealer, _, _, _) in zip(_rows(), _rows()):
        aad, plaintext = unhex(row["aad"]), unhex(row["plaintext"])
        for _ in range(3):
            assert opener.open(counter, aad, unhex(sealed)) == plaintext, row
            raises(BadFrame, opener.open, counter, aad + b"\x00", unhex(sealed))
            assert sealer.seal(counter, aad, plaintext) == unhex(sealed), row
            sealer.seal(counter, aad, bytes(len(plaintext) + 5))
            sealer.seal_in_place(counter, aad, bytearray(48))


def test_iv_is_the_encrypted_counter():
    for row in vectors("aead")["seal"]:
        counter = int(row["counter"], 16).to_bytes(_BLOCK, "big")
        assert aes_ecb(unhex(row["key"])[16:]).encrypt(counter) == unhex(row["iv"])


def test_sealing_in_place_gives_the_vectors_bytes():
    rows = [row for row in vectors("aead")["seal"] if len(row["plaintext"]) // 2 % _BLOCK == _BLOCK - 1]
    assert len(rows) == 12
    for row in rows:
        for kind in (Aead, aead_plain.Aead):
            frame = bytearray(unhex(row["plaintext"])) + b"\xaa" * 17
            kind(unhex(row["key"])).seal_in_place(int(row["counter"], 16), unhex(row["aad"]), frame)
            assert frame == unhex(row["sealed"])


def test_a_changed_byte_is_refused():
    for aead, counter, row, sealed in _rows():
        aad = unhex(row["aad"])
        for damaged in changes(unhex(sealed)):
            raises(BadFrame, aead.open, counter, aad, damaged)
        for damaged in changes(aad):
            raises(BadFrame, aead.open, counter, damaged, unhex(sealed))


def test_another_counter_key_or_aad_is_refused():
    for row in vectors("aead")["seal"]:
        key, counter, aad, sealed = unhex(row["key"]), int(row["counter"], 16), unhex(row["aad"]), unhex(row["sealed"])
        raises(BadFrame, Aead(key).open, counter ^ 1, aad, sealed)
        raises(BadFrame, Aead(key).open, counter, aad + b"\x00", sealed)
        raises(BadFrame, Aead(changed(key, 0)).open, counter, aad, sealed)
        raises(BadFrame, Aead(changed(key, 31)).open, counter, aad, sealed)


def test_every_other_length_is_refused():
    for aead, counter, row, sealed in _rows():
        aad = unhex(row["aad"])
        for length in share(range(len(sealed) // 2), 1):
            raises(BadFrame, aead.open, counter, aad, unhex(sealed)[:length])
        raises(BadFrame, aead.open, counter, aad, unhex(sealed) + b"\x00")
        raises(BadFrame, aead.open, counter, aad, unhex(sealed) + bytes(_BLOCK))


def test_padding_that_is_not_pkcs_7_is_refused_though_its_tag_is_right():
    row = vectors("aead")["published"][0]
    key, iv, aad = unhex(row["key"]), unhex(row["iv"]), unhex(row["aad"])
    endings = (b"\x00", b"\x11", b"\x01\x02", b"\x02\x03\x03", b"\x00" + b"\x10" * 15, b"\xff" * 16, b"\x11" * 17)
    for ending in endings:
        body = aes_cbc(key[16:], iv).encrypt(bytes(2 * _BLOCK - len(ending)) + ending)
        tag = hmac_sha256(key[:16], aad, iv, body, (8 * len(aad)).to_bytes(8, "big"))[:16]
        raises(BadFrame, _GivenIv(key, iv).open, 0, aad, body + tag)


if not MICROPYTHON:
    from cryptography.hazmat.primitives import padding
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.hmac import HMAC

    def _sealed_by_cryptography(key, iv, aad, plaintext):
        padder = padding.PKCS7(128).padder()
        encryptor = Cipher(algorithms.AES(key[16:]), modes.CBC(iv)).encryptor()
        body = encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()
        mac = HMAC(key[:16], SHA256())
        mac.update(aad + iv + body + (8 * len(aad)).to_bytes(8, "big"))
        return body + mac.finalize()[:16]

    def test_sealing_agrees_with_cryptography_at_every_length():
        row = vectors("aead")["seal"][-1]
        key, counter, plaintext = unhex(row["key"]), int(row["counter"], 16), unhex(row["plaintext"])
        for length in range(len(plaintext) + 1):
            aad = plaintext[: length % 50]
            theirs = _sealed_by_cryptography(key, unhex(row["iv"]), aad, plaintext[:length])
            assert Aead(key).seal(counter, aad, plaintext[:length]) == theirs
