# record.json: what members send, with the core's hashes and curve and gcm_siv.py, as the core itself knows no record.

import struct

import gcm_siv
from check import raises, unhex, vectors
from damage import changed, changes
from tessera import curve
from tessera.hashes import hkdf_expand, hmac_sha256, tagged
from tessera.runtime import MICROPYTHON

_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_NO_RANDOM = bytes(32)
_NONCE = bytes(12)
_RECORD_BYTES = 240
_TAG_BYTES = 8
_PAYLOAD_BYTES, _LAST_PAYLOAD_BYTES = 208, 136


def _scalar(number):
    return (number % _N).to_bytes(32, "big")


def _is_last(row):
    return row["part"] + 1 == row["parts"]


def _ends():
    return [row for row in vectors("record") if _is_last(row)]


def _padded(data, size):
    return data + bytes(size - len(data))


def _plaintext(row):
    head = struct.pack(">IBBBB", row["message"], row["part"], row["parts"], row["kind"], row["length"])
    payload = unhex(row["payload"])
    if not _is_last(row):
        return head + _padded(payload, _PAYLOAD_BYTES)
    said = struct.pack(">I", row["received"]) + unhex(row["view"])
    return head + said + _padded(payload, _LAST_PAYLOAD_BYTES) + unhex(row["signature"])


def _signed(row):
    """What a message's signature is over."""
    place = struct.pack(">II", row["epoch"], row["index"]) + unhex(row["tag"])
    head = struct.pack(">IBBI", row["message"], row["parts"], row["kind"], row["received"])
    return tagged("record", place, head, unhex(row["view"]), unhex(row["contents"]))


def _contents(payloads):
    return tagged("contents", b"".join(bytes((len(each),)) + each for each in payloads))


def test_chains_are_the_vectors():
    for row in vectors("record"):
        assert hkdf_expand(unhex(row["root"]), b"epoch", 64) == unhex(row["root_next"] + row["chain"]), row["name"]
        chain = unhex(row["chain"])
        for _ in range(row["index"]):
            chain = hkdf_expand(chain, b"step", 104)[72:]
        assert chain == unhex(row["chain_index"]), row["name"]


def test_keys_tags_and_seeds_are_the_vectors():
    for row in vectors("record"):
        step = hkdf_expand(unhex(row["chain_index"]), b"step", 104)
        assert step == unhex(row["key"] + row["tag"] + row["seed"] + row["chain_next"]), row["name"]


def test_blinded_keys_are_the_vectors():
    for row in vectors("record"):
        place = struct.pack(">II", row["epoch"], row["index"])
        tweak = _scalar(int.from_bytes(tagged("blind", unhex(row["seed"]), place), "big"))
        assert tweak == unhex(row["t"]), row["name"]
        blinded = curve.tweak_add(unhex(row["sender_key"]), tweak)
        assert blinded == unhex(row["blinded_point"]) and blinded[1:] == unhex(row["blinded_key"]), row["name"]


def test_blinded_secrets_are_the_vectors():
    for row in vectors("record"):
        secret = int(row["sender_secret"], 16)
        point = curve.public(unhex(row["sender_secret"]))
        assert point[1:] == unhex(row["sender_key"]), row["name"]
        even = secret if point[0] == 2 else _N - secret
        own = _scalar(even + int(row["t"], 16))
        assert own == unhex(row["blinded_secret"]) and curve.public(own) == unhex(row["blinded_point"]), row["name"]


def test_senders_and_blinded_keys_of_both_parities_are_there():
    assert {curve.public(unhex(row["sender_secret"]))[0] for row in vectors("record")} == {2, 3}
    assert {unhex(row["blinded_point"])[0] for row in vectors("record")} == {2, 3}


def test_signatures_are_the_vectors_and_verify():
    for row in _ends():
        message, signature = _signed(row), unhex(row["signature"])
        assert message == unhex(row["signed"]), row["name"]
        assert curve.sign(unhex(row["blinded_secret"]), message, _NO_RANDOM) == signature, row["name"]
        assert curve.verify(signature, message, unhex(row["blinded_key"])) is True, row["name"]
        assert curve.verify(signature, changed(message, 0), unhex(row["blinded_key"])) is False
        assert curve.verify(signature, message, unhex(row["sender_key"])) is False, "the pseudonym is not the sender"


def test_only_last_parts_are_signed():
    for row in vectors("record"):
        assert ("signature" in row) == ("view" in row) == ("contents" in row) == _is_last(row), row["name"]


def test_views_are_the_vectors():
    for row in _ends():
        assert hmac_sha256(unhex(row["seed"]), b"view", unhex(row["digest"]))[:4] == unhex(row["view"]), row["name"]


def test_contents_are_the_vectors():
    for row in _ends():
        if row["parts"] == 1:
            assert _contents([unhex(row["payload"])]) == unhex(row["contents"]), row["name"]
    rows = [row for row in vectors("record") if row["name"] == "long"]
    begun = [unhex(row["payload"]) for row in rows if not _is_last(row)]
    for row in rows[len(begun) :]:
        assert _contents(begun + [unhex(row["payload"])]) == unhex(row["contents"])


def test_plaintexts_are_the_vectors():
    for row in vectors("record"):
        assert _plaintext(row) == unhex(row["plaintext"]) and len(row["plaintext"]) == 2 * 216, row["name"]
        most = _LAST_PAYLOAD_BYTES if _is_last(row) else _PAYLOAD_BYTES
        assert row["length"] == len(row["payload"]) // 2 <= most, row["name"]


def test_records_are_the_vectors():
    for row in vectors("record"):
        tag = unhex(row["tag"])
        record = tag + gcm_siv.seal(unhex(row["key"]), _NONCE, unhex(row["plaintext"]), tag)
        assert record == unhex(row["record"]) and len(record) == _RECORD_BYTES, row["name"]


def test_records_open_to_their_plaintexts():
    for row in vectors("record"):
        record = unhex(row["record"])
        opened = gcm_siv.unseal(unhex(row["key"]), _NONCE, record[_TAG_BYTES:], record[:_TAG_BYTES])
        assert opened == unhex(row["plaintext"]), row["name"]


def test_a_record_with_a_changed_byte_does_not_open():
    row = vectors("record")[0]
    for damaged in changes(unhex(row["record"]), step=7):
        raises(ValueError, gcm_siv.unseal, unhex(row["key"]), _NONCE, damaged[_TAG_BYTES:], damaged[:_TAG_BYTES])


def test_the_parts_of_a_long_message_share_one_chain():
    rows = [row for row in vectors("record") if row["name"] == "long"]
    assert [row["part"] for row in rows] == [0, 1, 2, 2] and len({row["chain"] for row in rows}) == 1
    for before, row in zip(rows, rows[1:]):
        assert row["index"] == before["index"] + 1 and row["chain_index"] == before["chain_next"]
    text = b"".join(unhex(row["payload"]) for row in rows[:3]).decode()
    assert text == "Der Schlüssel liegt unter dem dritten Blumentopf – nicht unter dem zweiten. " * 6


def test_an_end_that_is_sealed_again_is_signed_and_viewed_anew():
    once, again = [row for row in vectors("record") if row["name"] == "long" and _is_last(row)]
    assert once["contents"] == again["contents"] and once["payload"] == again["payload"]
    for field in ("tag", "view", "signed", "signature", "blinded_key"):
        assert once[field] != again[field], field


if not MICROPYTHON:
    from coincurve import PrivateKey, PublicKey, PublicKeyXOnly
    from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

    def test_records_agree_with_cryptography():
        for row in vectors("record"):
            tag = unhex(row["tag"])
            record = tag + AESGCMSIV(unhex(row["key"])).encrypt(_NONCE, unhex(row["plaintext"]), tag)
            assert record == unhex(row["record"]), row["name"]

    def test_blinded_keys_and_signatures_agree_with_coincurve():
        for row in vectors("record"):
            blinded = PublicKey(b"\x02" + unhex(row["sender_key"])).add(unhex(row["t"])).format()
            assert blinded == unhex(row["blinded_point"]), row["name"]
            assert PrivateKey(unhex(row["blinded_secret"])).public_key.format() == blinded
            if _is_last(row):
                assert PublicKeyXOnly(blinded[1:]).verify(unhex(row["signature"]), unhex(row["signed"]))
