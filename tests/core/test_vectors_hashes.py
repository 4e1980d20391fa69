# hmac.json, hkdf.json and bucket.json: HMAC, HKDF and the tagged hash.

from binascii import hexlify

from check import raises, unhex, vectors
from damage import changes
from tessera import hashes_plain
from tessera.hashes import (
    HmacKey,
    equal,
    hkdf,
    hkdf_expand,
    hmac_sha256,
    sha256,
    tag_prefix,
    tagged,
)
from tessera.runtime import MICROPYTHON


def test_hmac_gives_the_published_macs():
    for row in vectors("hmac"):
        key, message, mac = unhex(row["key"]), unhex(row["message"]), unhex(row["mac"])
        assert hmac_sha256(key, message) == mac, row["source"]


def test_hmac_of_parts_is_that_of_their_join():
    for row in vectors("hmac"):
        message, mac = unhex(row["message"]), unhex(row["mac"])
        key = HmacKey(unhex(row["key"]))
        for cut in (0, 1, len(message) // 2, len(message)):
            assert key.digest(message[:cut], memoryview(message)[cut:]) == mac, (row["source"], cut)


def test_both_tiers_of_hmac_agree_on_every_length_of_key_and_message():
    for length in list(range(0, 140, 9)) + [63, 64, 65]:
        key, message = bytes(range(length)), bytes(3 * length)
        for part in (0, length // 2):
            parts = (message[:part], message[part:])
            assert HmacKey(key).digest(*parts) == hashes_plain.HmacKey(key).digest(*parts), length
    assert HmacKey(b"key").digest() == hashes_plain.HmacKey(b"key").digest() == hmac_sha256(b"key", b"")


def test_both_tiers_agree_on_hashes_and_on_keys_of_every_length():
    data = bytes(range(200))
    for length in list(range(0, 140, 9)) + [32, 55, 56, 63, 64, 65]:
        part = memoryview(data)[:length]
        assert sha256(part, b"", data[length:]) == hashes_plain.sha256(data)
        assert sha256(part) == hashes_plain.sha256(part)
        assert hmac_sha256(part, data, part) == hashes_plain.hmac_sha256(part, data, part)
        assert hkdf_expand(data[:32], part, length) == hashes_plain.hkdf_expand(data[:32], part, length)
        assert hkdf(part, data, part, 3 * length) == hashes_plain.hkdf(part, data, part, 3 * length)


def test_tags_of_every_length_are_written_and_verified():
    for kind in (HmacKey, hashes_plain.HmacKey):
        key = kind(b"key")
        digest = key.digest(b"message")
        for length in range(1, 33):
            out = bytearray(b"\xaa" * 34)
            key.digest_into(memoryview(out)[1 : 1 + length], b"mess", b"age")
            assert bytes(out) == b"\xaa" + digest[:length] + b"\xaa" * (33 - length)
            assert key.verify(out[1 : 1 + length], b"message")
            assert not key.verify(out[1 : 1 + length], b"massage") or length < 2
        for wrong in changes(digest):
            assert not key.verify(wrong, b"message")
        for length in (0, 33):
            raises(ValueError, key.verify, bytes(length), b"message")
            raises(ValueError, key.digest_into, bytearray(length), b"message")


def test_hkdf_gives_the_vectors_keys():
    for row in vectors("hkdf"):
        ikm, salt, info, okm = unhex(row["ikm"]), unhex(row["salt"]), unhex(row["info"]), unhex(row["okm"])
        assert hmac_sha256(salt, ikm) == unhex(row["prk"]), row["source"]
        assert hkdf_expand(unhex(row["prk"]), info, row["length"]) == okm, row["source"]
        assert hkdf(salt, ikm, info, row["length"]) == okm, row["source"]
        assert len(okm) == row["length"]


def test_hkdf_output_of_any_length_begins_the_same():
    row = vectors("hkdf")[0]
    prk, info, okm = unhex(row["prk"]), unhex(row["info"]), unhex(row["okm"])
    for length in range(len(okm) + 1):
        assert hkdf_expand(prk, info, length) == okm[:length]


def test_tagged_hash_gives_the_vectors_buckets():
    for row in vectors("bucket"):
        digest = tagged("bucket", unhex(row["mailbox_id"]))
        assert int.from_bytes(digest[:2], "big") % row["buckets"] == row["bucket"], row


def test_tagged_hash_is_bip_340s_with_the_protocols_prefix():
    tag = sha256(b"tessera/1/bucket")
    assert tagged("bucket", b"mail", b"box") == sha256(tag + tag + b"mailbox")
    assert tag_prefix(b"tessera/1/bucket") == tag + tag


def test_equal_sees_every_changed_byte_and_every_length():
    left = unhex(vectors("hmac")[0]["mac"])
    for same in (equal, hashes_plain.equal):
        assert same(left, bytearray(left)) and same(b"", b"")
        for right in changes(left):
            assert not same(left, right)
        for length in range(len(left)):
            assert not same(left, left[:length]) and not same(left[:length], left)


if not MICROPYTHON:
    import hashlib
    import hmac

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    def _bytes(label, length):
        return hashlib.shake_128(label.encode()).digest(length)

    def test_hmac_agrees_with_pythons_at_every_key_length():
        for length in range(140):
            key, message = _bytes("key", length), _bytes("message %d" % length, length)
            assert hmac_sha256(key, message) == hmac.digest(key, message, "sha256"), hexlify(key)

    def test_hkdf_agrees_with_cryptography_at_every_length():
        for length in range(1, 260):
            salt, ikm, info = _bytes("salt", length % 70), _bytes("ikm", length), _bytes("info", length % 90)
            theirs = HKDF(hashes.SHA256(), length, salt, info).derive(ikm)
            assert hkdf(salt, ikm, info, length) == theirs, length
        longest = HKDF(hashes.SHA256(), 8160, b"", b"").derive(b"ikm")
        assert hkdf(b"", b"ikm", b"", 8160) == longest
