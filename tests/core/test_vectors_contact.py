# contact.json: cards and enrolment. The core reads no card; what is replayed is what its hashes and curve have to say
# in them: checksums, signatures, seals, transcripts, roots, the tokens of an exchange, and frames of the service. Words
# are looked up on CPython only.

import hashlib
import struct
from binascii import a2b_base64

from check import raises, unhex, vectors
from damage import changed
from tessera import curve
from tessera.aead import Aead
from tessera.errors import BadFrame
from tessera.hashes import hkdf, hmac_sha256, tagged
from tessera.params import Parameters, TimeStatement, reading_hash
from tessera.runtime import MICROPYTHON

_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


# -- as much CBOR (RFC 8949) as cards have: numbers, byte strings, texts, lists and maps of fewer than 24 entries


def _read(data, at=0):
    """(value, end) of the item at a place."""
    kind, size, at = _read_head(data, at)
    if kind == 0:
        return size, at
    if kind in (2, 3):
        value = bytes(data[at : at + size])
        return (value.decode() if kind == 3 else value), at + size
    if kind == 4:
        items = []
        for _ in range(size):
            item, at = _read(data, at)
            items.append(item)
        return items, at
    if kind == 7 and data[at - 1] == 0xF6:
        return None, at
    assert kind == 5
    fields = {}
    for name, _, start, end in _entries(data, at, size):
        fields[name] = _read(data, start)[0]
        at = end
    return fields, at


def _read_head(data, at):
    """(major type, number, end) of an item's head."""
    kind, size = data[at] >> 5, data[at] & 31
    if size < 24:
        return kind, size, at + 1
    length = 1 << (size - 24)
    return kind, int.from_bytes(data[at + 1 : at + 1 + length], "big"), at + 1 + length


def _entries(data, at, count):
    """(name, begin, begin of the value, end) of a map's entries."""
    for _ in range(count):
        begin = at
        name, at = _read(data, at)
        start = at
        _, at = _read(data, at)
        yield name, begin, start, at


def _fields(card):
    payload = unhex(card["payload"])
    fields, end = _read(payload)
    assert end == len(payload)
    return fields


def _without_sig(card):
    """The canonical payload without its entry "sig": the others stay as and where they are."""
    payload = unhex(card["payload"])
    kind, count, at = _read_head(payload, 0)
    assert kind == 5 and count < 24
    kept = [payload[begin:end] for name, begin, _, end in _entries(payload, at, count) if name != "sig"]
    assert len(kept) == count - 1
    return bytes((0xA0 | count - 1,)) + b"".join(kept)


def _federation_id():
    return unhex(vectors("params")["sets"][0]["federation_id"])


def _enrolments():
    return vectors("contact")["enrolments"]


def _exchanges():
    return vectors("contact")["token_exchanges"]


def _cards():
    found = vectors("contact")["federation_cards"] + vectors("contact")["member_cards"]
    for row in vectors("contact")["joinings"]:
        found = found + [row["invitation"], row["join"]]
    for row in _enrolments():
        found = found + [row["invite"], row["answer"], row["confirm"]]
    for row in _exchanges():
        found = found + [row["request"], row["offer"], row["challenge"], row["answer"]]
    return found + list(vectors("contact")["reading_cards"])


# -- cards


def test_cards_carry_their_payload_and_its_checksum():
    assert len({card["kind"] for card in _cards()}) == 12
    for card in _cards():
        start, kind, text = card["text"].split(":")
        assert start == "tessera" and kind == card["kind"]
        data = a2b_base64((text + "=" * (-len(text) % 4)).replace("-", "+").replace("_", "/"))
        payload = unhex(card["payload"])
        assert data == payload + tagged("card", kind.encode(), payload)[:4], kind
        assert tagged("card", kind.encode(), changed(payload, 0))[:4] != data[-4:]


def test_the_federation_card_carries_a_valid_parameter_set_that_covers_all_it_says():
    for card in vectors("contact")["federation_cards"]:
        fields = _fields(card)
        assert sorted(fields) == ["params", "said", "v"] and fields["v"] == 2
        found = Parameters(fields["params"])
        found.verify()
        assert found.digest == unhex(card["digest"])
        assert tagged("federation-card", fields["said"]) == found.card_hash == unhex(card["card_hash"])
        assert fields["said"] == unhex(card["said"])
        said, end = _read(fields["said"])
        assert end == len(fields["said"])
        assert [relay["id"] for relay in said["relays"]] == [relay.id for relay in found.relays]


def test_a_federation_card_may_say_more_than_is_known():
    known, later = [_read(unhex(card["said"]))[0] for card in vectors("contact")["federation_cards"]]
    assert sorted(set(later) - set(known)) == ["archive", "motto"]
    assert known.pop("topology") is None and later["topology"] == {"kind": "mesh", "copies": 2}
    for name in known:
        assert later[name] == known[name], name


# -- reading keys


def test_reading_cards_open_with_the_members_key():
    for card in vectors("contact")["reading_cards"]:
        fields, secret = _fields(card), unhex(card["member_secret"])
        public = curve.public(secret)
        assert public[1:] == fields["member"]
        if public[0] == 3:  # the card is for the point with even y
            secret = (_N - int.from_bytes(secret, "big")).to_bytes(32, "big")
        info = b"reading-key" + unhex(card["federation_id"]) + fields["member"]
        key = hkdf(b"", curve.dh(secret, fields["e"]), info, 32)
        assert len(fields["sealed"]) == len(card["reading_keys"]) == len(card["reading_hashes"])
        for place, sealed in enumerate(fields["sealed"]):
            digest = unhex(card["reading_hashes"][place])
            opened = Aead(key).open(place, digest, sealed)
            assert opened == unhex(card["reading_keys"][place]) and reading_hash(opened) == digest
            raises(BadFrame, Aead(key).open, place + 1, digest, sealed)
            raises(BadFrame, Aead(key).open, place, changed(digest, 0), sealed)
        raises(BadFrame, Aead(changed(key, 31)).open, 0, digest, fields["sealed"][0])
    odd = [curve.public(unhex(card["member_secret"]))[0] for card in vectors("contact")["reading_cards"]]
    assert set(odd) == {2, 3}


# -- the issuer's service


def test_welcomes_say_card_reading_keys_time_and_the_sets_beside_its_own():
    card = vectors("contact")["federation_cards"][0]
    digest = Parameters(_fields(card)["params"]).reading_hash
    for row in vectors("contact")["welcomes"]:
        fields, end = _read(unhex(row["message"]))
        assert end == len(row["message"]) // 2
        assert sorted(fields) == ["before", "card", "digest", "reading", "since", "time"]
        assert fields["digest"] == unhex(row["digest"]) == Parameters(_fields(card)["params"]).digest
        assert fields["since"] == row["since"]
        assert fields["before"] == [[each["since"], unhex(each["set"])] for each in row["before"]]
        for _, blob in fields["before"]:
            Parameters(blob).verify()
        in_a_file = _fields(row["sets"])
        assert [in_a_file[name] for name in ("digest", "since", "before")] == [
            fields[name] for name in ("digest", "since", "before")
        ]
        assert fields["card"] == card["text"]
        assert fields["reading"] == [unhex(key) for key in row["reading_keys"]]
        assert reading_hash(fields["reading"][-1]) == digest
        TimeStatement(fields["time"]).verify(Parameters(_fields(card)["params"]).root_key)


def test_a_welcome_is_padded_and_cut_into_frames():
    for row in vectors("contact")["welcomes"]:
        message = unhex(row["message"])
        padded = (len(message) + 4095) // 4096 * 4096
        assert row["padded"] == padded
        message += bytes(padded - len(message))
        digest = hashlib.sha256()
        for number in range(row["frames"]):
            piece = message[240 * number : 240 * number + 240]
            frame = struct.pack(">BIHB240s7s", 0xA3, padded, number, len(piece), piece, b"")
            digest.update(frame)
            assert number or frame == unhex(row["first_frame"])
        assert frame == unhex(row["last_frame"]) and 240 * row["frames"] >= padded > 240 * (row["frames"] - 1)
        assert digest.digest() == unhex(row["frames_digest"])


def test_a_members_channel_is_signed_for():
    for row in vectors("admission")["sessions"]:
        key, place = unhex(row["member_key"]), (unhex(row["federation_id"]), unhex(row["handshake_hash"]))
        message = tagged("member-channel", *(place + (key,)))
        assert message == unhex(row["member_message"])
        assert curve.verify(unhex(row["member_signature"]), message, key) is True
        assert curve.public(unhex(row["member_secret"]))[1:] == key


def test_join_cards_prove_their_invitation():
    for row in vectors("contact")["joinings"]:
        invitation, join = _fields(row["invitation"]), _fields(row["join"])
        federation_id, key, name = invitation["federation"], join["key"], join["name"].encode()
        assert federation_id == _federation_id() and join["name"] == invitation["name"]
        assert tagged("invitation", invitation["secret"])[:16] == join["invitation"]
        assert hmac_sha256(invitation["secret"], b"join", federation_id, key, name) == join["proof"]
        assert curve.verify(join["sig"], tagged("member", federation_id, key, name), key) is True


def test_member_cards_are_signed_by_their_member():
    for card in vectors("contact")["member_cards"]:
        fields = _fields(card)
        key, name = fields["key"], fields["name"].encode()
        assert curve.public(unhex(card["member_secret"]))[1:] == key
        assert curve.verify(fields["sig"], tagged("member", _federation_id(), key, name), key) is True
        assert curve.verify(fields["sig"], tagged("member", _federation_id(), key, b"Eve"), key) is False
        assert curve.verify(fields["sig"], tagged("member", bytes(16), key, name), key) is False


# -- enrolment


def test_invites_commit_to_a_key_and_a_nonce():
    for row in _enrolments():
        confirm = _fields(row["confirm"])
        assert confirm["nonce"] == unhex(row["nonce"])
        commit = tagged("contact-commit", confirm["x"], confirm["nonce"])
        assert _fields(row["invite"])["commit"] == commit
        assert tagged("contact-commit", changed(confirm["x"], 0), confirm["nonce"]) != commit


def test_each_card_names_the_one_before():
    for row in _enrolments():
        assert _fields(row["answer"])["invite"] == tagged("invite", unhex(row["invite"]["payload"]))
        assert _fields(row["confirm"])["answer"] == tagged("answer", unhex(row["answer"]["payload"]))


def test_transcripts_are_the_vectors_and_signed():
    for row in _enrolments():
        invite, answer, confirm = _fields(row["invite"]), _fields(row["answer"]), _fields(row["confirm"])
        t1 = tagged("contact-answer", unhex(row["invite"]["payload"]), _without_sig(row["answer"]))
        assert t1 == unhex(row["t1"])
        assert curve.verify(answer["sig"], t1, answer["key"]) is True
        t2 = tagged("contact-confirm", t1, answer["sig"], confirm["x"], confirm["nonce"])
        assert t2 == unhex(row["t2"])
        assert curve.verify(confirm["sig"], t2, invite["key"]) is True
        assert curve.verify(confirm["sig"], t2, answer["key"]) is False
        assert curve.public(unhex(row["member_secret_a"]))[1:] == invite["key"]
        assert curve.public(unhex(row["member_secret_b"]))[1:] == answer["key"]


def test_roots_are_the_vectors():
    for row in _enrolments():
        roots = hkdf(unhex(row["t2"]), unhex(row["shared"]), b"roots", 64)
        assert roots == unhex(row["root_a_to_b"] + row["root_b_to_a"])


# -- token cards


def test_token_cards_are_signed_by_the_member():
    for row in _exchanges():
        for kind in ("request", "challenge"):
            card = row[kind]
            fields = _fields(card)
            assert fields["member"] == curve.public(unhex(row["member_secret"]))[1:]
            assert curve.verify(fields["sig"], tagged(card["kind"], _without_sig(card)), fields["member"]) is True
            assert curve.verify(fields["sig"], tagged("tokens-offer", _without_sig(card)), fields["member"]) is False
    requests = [tagged("request", unhex(row["request"]["payload"])) for row in _exchanges()]
    named = [_fields(row["offer"])["request"] for row in _exchanges()]
    assert named == [requests[0], bytes(32), requests[2]], "an offer names its request; zeros: it answers none"


def test_requests_say_nothing_of_what_the_member_has():
    request = _fields(_exchanges()[0]["request"])
    assert sorted(request) == ["epoch", "generation", "member", "sig", "time", "v"] and request["v"] == 2
    sizes = {len(row["request"]["payload"]) for row in _exchanges()}
    assert len(sizes) == 1 and len(_exchanges()) == 3


def test_token_cards_carry_the_exchange_and_its_tokens_verify():
    for row in _exchanges():
        offers, challenges = _fields(row["offer"])["offers"], _fields(row["challenge"])["challenges"]
        answers = _fields(row["answer"])["answers"]
        assert len(row["tokens"]) == len(offers) == len(challenges) == len(answers)
        assert _fields(row["offer"])["generation"] == _fields(row["request"])["generation"]
        for token, offer, blinded, (b, s) in zip(row["tokens"], offers, challenges, answers):
            points = [unhex(clause["nonce_point"]) for clause in token["clauses"]]
            assert offer == [token["epoch"], token["relay_id"]] + points
            assert _fields(row["offer"])["generation"] == token["generation"]
            assert blinded == [unhex(clause["challenge"]) for clause in token["clauses"]]
            assert (b, s) == (token["b"], unhex(token["s"]))
            clause = token["clauses"][b]
            unblinded = (int.from_bytes(s, "big") + int(clause["alpha"], 16)) % _N
            signature = unhex(clause["blinded_nonce"])[1:] + unblinded.to_bytes(32, "big")
            assert signature == unhex(token["signature"])
            epoch = token["epoch"].to_bytes(4, "big")
            place = unhex(token["federation_id"]), epoch, unhex(token["relay_key"]), unhex(token["token_key"])
            assert curve.verify(signature, tagged("token", *place), unhex(token["epoch_key"])) is True


if not MICROPYTHON:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from mnemonic import Mnemonic

    def test_shared_secrets_agree_with_cryptography():
        for row in _enrolments():
            own = X25519PrivateKey.from_private_bytes(unhex(row["x_secret_a"]))
            assert own.public_key().public_bytes_raw() == _fields(row["confirm"])["x"]
            other = X25519PublicKey.from_public_bytes(_fields(row["answer"])["x"])
            assert own.exchange(other) == unhex(row["shared"])

    def test_words_are_those_of_the_bip_39_list():
        wordlist = Mnemonic("english").wordlist
        for row in _enrolments():
            bits = int.from_bytes(tagged("contact-words", unhex(row["t2"]), unhex(row["digest"])), "big") >> 190
            assert [wordlist[bits >> shift & 2047] for shift in (55, 44, 33, 22, 11, 0)] == row["words"]
