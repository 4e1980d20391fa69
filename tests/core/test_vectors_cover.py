# cover.json without its batches: draws, cells, dummies and the ratchet of cover states.

import hashlib

from check import share, unhex, vectors
from damage import changed
from tessera import cover_plain
from tessera.cover import Dummies, EpochCover, commitment, cover_key, next_state, sample
from tessera.hashes import hmac_sha256
from tessera.runtime import MICROPYTHON

_DUMMY_BYTES = 240
_HEAD_BYTES = 8


def _table(index):
    return unhex("".join(vectors("noise_table")[index]["thresholds"]))


def _cover(row):
    return EpochCover(unhex(row["cover_key"]), _table(row["table"]))


def _dummy(dummies, number):
    out = bytearray(_DUMMY_BYTES)
    dummies.make(number, out)
    return bytes(out)


def test_draws_give_the_vectors_noise():
    for row in share(vectors("cover")["draws"], 1):
        assert sample(_table(row["table"]), unhex(row["draw"])) == row["noise"], row


def test_cover_keys_are_those_of_the_states():
    for row in share(vectors("cover")["cells"], 1):
        assert cover_key(unhex(row["cover_state"])) == unhex(row["cover_key"])


def test_a_cells_noise_is_that_of_its_draw():
    for row in share(vectors("cover")["cells"], 1):
        bucket, round_ = row["bucket"], row["round"]
        place = bucket.to_bytes(2, "big") + round_.to_bytes(4, "big")
        assert hmac_sha256(unhex(row["cover_key"]), b"noise", place)[:8] == unhex(row["draw"]), (bucket, round_)
        cover = _cover(row)
        assert cover.noise(bucket, round_) == row["noise"], (bucket, round_)
        assert cover.candidates == 2 * vectors("noise_table")[row["table"]]["mu"]


def test_a_cells_dummies_are_the_vectors():
    for row in share(vectors("cover")["cells"], 1):
        dummies = _cover(row).dummies(row["bucket"], row["round"])
        digest = hashlib.sha256()
        for number in range(row["noise"]):
            dummy = _dummy(dummies, number)
            digest.update(dummy)
            assert number or dummy == unhex(row["first_dummy"])
        assert digest.digest() == unhex(row["dummies"]), (row["bucket"], row["round"])
        assert not row["noise"] or dummy == unhex(row["last_dummy"])


def test_dummies_do_not_depend_on_the_order_they_are_made_in():
    row = max(vectors("cover")["cells"], key=lambda row: row["noise"])
    assert row["noise"] > 256, "numbers of two bytes are not met"
    cover = _cover(row)
    dummies = cover.dummies(row["bucket"], row["round"])
    last = row["noise"] - 1
    for number in (last, 0, 0, last, 255, 256, 1, last, 257, 0):
        alone = _dummy(cover.dummies(row["bucket"], row["round"]), number)
        assert _dummy(dummies, number) == alone, number
    assert _dummy(dummies, 0) == unhex(row["first_dummy"]) and _dummy(dummies, last) == unhex(row["last_dummy"])


def test_heads_are_the_first_bytes_of_the_dummies():
    for row in share(vectors("cover")["cells"][::7], 1):
        cover = _cover(row)
        dummies = cover.dummies(row["bucket"], row["round"])
        heads = bytearray(_HEAD_BYTES * (1 + cover.candidates))
        dummies.heads(cover.candidates, heads, 1)
        assert heads[:_HEAD_BYTES] == bytes(_HEAD_BYTES)
        for number in range(cover.candidates):
            head = heads[_HEAD_BYTES * (number + 1) : _HEAD_BYTES * (number + 2)]
            assert head == _dummy(dummies, number)[:_HEAD_BYTES], (row["table"], number)


def test_both_tiers_make_the_same_dummies():
    key = unhex(vectors("cover")["cells"][0]["cover_key"])
    plain, dummies = cover_plain.Dummies(key), Dummies(key)
    for number in (0, 1, 255, 256, 70_000, (1 << 28) - 1, 0):
        assert _dummy(plain, number) == _dummy(dummies, number)
    for count, first in ((0, 0), (1, 3), (65, 0), (130, 2)):
        heads, others = bytearray(_HEAD_BYTES * (count + first)), bytearray(_HEAD_BYTES * (count + first))
        plain.heads(count, heads, first)
        dummies.heads(count, others, first)
        assert heads == others


def test_dummies_of_another_key_bucket_or_round_are_others():
    row = vectors("cover")["cells"][0]
    key, bucket, round_ = unhex(row["cover_key"]), row["bucket"], row["round"]
    first = _dummy(_cover(row).dummies(bucket, round_), 0)
    assert first != _dummy(_cover(row).dummies(bucket + 1, round_), 0)
    assert first != _dummy(_cover(row).dummies(bucket, round_ + 1), 0)
    assert first != _dummy(EpochCover(changed(key, 0), _table(row["table"])).dummies(bucket, round_), 0)


def test_the_ratchet_is_the_vectors():
    state = unhex(vectors("cover")["ratchet"][0]["state"])
    for row in vectors("cover")["ratchet"]:
        assert state == unhex(row["state"])
        key = cover_key(state)
        assert key == unhex(row["cover_key"]) and commitment(key) == unhex(row["commitment"])
        state = next_state(state, unhex(row["random"]))
        assert state == unhex(row["next_state"])


if not MICROPYTHON:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    def test_dummies_agree_with_cryptography():
        for row in vectors("cover")["cells"][::5]:
            place = row["bucket"].to_bytes(2, "big") + row["round"].to_bytes(4, "big")
            key = hmac_sha256(unhex(row["cover_key"]), b"cover" + place)
            dummies = _cover(row).dummies(row["bucket"], row["round"])
            for number in (0, 1, 2, 17, 255, 256, 1999):
                cipher = Cipher(algorithms.AES(key), modes.CBC(number.to_bytes(16, "big")))
                assert cipher.encryptor().update(bytes(_DUMMY_BYTES)) == _dummy(dummies, number)
