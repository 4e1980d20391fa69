# token.json: the issuer's and the member's arithmetic, and what a relay's admission makes of the token.

import struct

from check import raises, unhex, vectors
from damage import changed, changes
from tessera import curve
from tessera.admission import Admission
from tessera.errors import NotAdmitted
from tessera.hashes import hkdf, sha256, tagged

_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_NO_RANDOM = bytes(32)
_POSTS = 48


class _KeyRing:
    """The part of a KeyRing that admission knows."""

    def __init__(self):
        self.leases = {}

    def lease(self, token_id, leases):
        self.leases[token_id] = leases


def _number(text):
    return int(text, 16)


def _scalar(number):
    return (number % _N).to_bytes(32, "big")


def _admission(row, keyring=None, epoch=None, relay_key=None):
    epoch = row["epoch"] if epoch is None else epoch
    relay_key = relay_key or unhex(row["relay_key"])
    federation = unhex(row["federation_id"])
    return Admission(keyring or _KeyRing(), epoch, unhex(row["epoch_key"]), federation, relay_key, _POSTS)


def _credentials(row):
    """What AUTH says, and the session it is said in."""
    key, signature, proof = unhex(row["token_key"]), unhex(row["signature"]), unhex(row["proof"])
    return [row["epoch"], key, signature, proof, unhex(row["handshake_hash"])]


def _assert_refused(row, admission, credentials):
    """Refused, and nothing left behind: with a right proof but a forged signature the key is still a stranger's."""
    raises(NotAdmitted, admission.authenticate, *credentials)
    epoch, key, signature, proof, handshake_hash = _credentials(row)
    raises(NotAdmitted, admission.authenticate, epoch, key, changed(signature, 0), proof, handshake_hash)


# -- issuing


def test_epoch_keys_are_derived_and_made_even():
    for row in vectors("token") + vectors("admission")["epoch_keys"]:
        info = unhex(row["federation_id"]) + struct.pack(">IIH", row["generation"], row["epoch"], row["relay_id"])
        info += unhex(row["relay_key"]) + (bytes([row["cohort"]]) if row["cohort"] else b"")
        raw = int.from_bytes(hkdf(b"", unhex(row["master"]), info, 48), "big") % _N
        assert raw == _number(row["raw_epoch_secret"]), row["epoch"]
        odd = curve.public(_scalar(raw))[0] == 3
        assert odd is row["negated"]
        own = _scalar(-raw if odd else raw)
        assert own == unhex(row["epoch_secret"]) and curve.public(own) == b"\x02" + unhex(row["epoch_key"])


def test_token_messages_and_ids_are_the_vectors():
    for row in vectors("token"):
        key = unhex(row["token_key"])
        assert curve.public(unhex(row["token_secret"]))[1:] == key
        start = unhex(row["federation_id"]) + row["epoch"].to_bytes(4, "big")
        assert tagged("token", start, unhex(row["relay_key"]), key) == unhex(row["message"]), row["name"]
        assert tagged("token-id", key)[:8] == unhex(row["token_id"]), row["name"]


def test_blinded_challenges_are_the_vectors():
    # R' = R + α·G + β·K, computed in the exponent, as the vectors say every secret.
    tag = sha256(b"BIP0340/challenge")
    for row in vectors("token"):
        epoch_secret, epoch_key = _number(row["epoch_secret"]), unhex(row["epoch_key"])
        for clause in row["clauses"]:
            alpha, beta = _number(clause["alpha"]), _number(clause["beta"])
            assert curve.public(unhex(clause["nonce"])) == unhex(clause["nonce_point"])
            blinded = curve.public(_scalar(_number(clause["nonce"]) + alpha + beta * epoch_secret))
            assert blinded == unhex(clause["blinded_nonce"]) and blinded[0] == 2
            digest = sha256(tag, tag, blinded[1:], epoch_key, unhex(row["message"]))
            inner = int.from_bytes(digest, "big") % _N
            assert inner == _number(clause["inner_challenge"])
            assert _scalar(inner + beta) == unhex(clause["challenge"])


def test_the_issuers_answer_unblinds_to_the_tokens_signature():
    for row in vectors("token"):
        clause = row["clauses"][row["b"]]
        s = _number(clause["nonce"]) + _number(clause["challenge"]) * _number(row["epoch_secret"])
        assert _scalar(s) == unhex(row["s"]), row["name"]
        signature = unhex(clause["blinded_nonce"])[1:] + _scalar(s + _number(clause["alpha"]))
        assert signature == unhex(row["signature"]), row["name"]
        assert curve.verify(signature, unhex(row["message"]), unhex(row["epoch_key"]))
        other = row["clauses"][1 - row["b"]]
        assert not curve.verify(
            unhex(other["blinded_nonce"])[1:] + signature[32:], unhex(row["message"]), unhex(row["epoch_key"])
        )


def test_proofs_are_the_vectors():
    for row in vectors("token"):
        message = tagged("session", unhex(row["handshake_hash"]))
        assert message == unhex(row["session_message"])
        assert curve.sign(unhex(row["token_secret"]), message, _NO_RANDOM) == unhex(row["proof"]), row["name"]


# -- admission


def test_tokens_are_admitted():
    for row in vectors("token"):
        keyring = _KeyRing()
        admission = _admission(row, keyring)
        token = admission.authenticate(*_credentials(row))
        assert token.ring_id == unhex(row["token_id"]) and admission.posts_left(token) == _POSTS, row["name"]
        assert keyring.leases == {}, "being admitted takes no lease"
        assert admission.authenticate(*_credentials(row)) is token, "a second session has the same token"


def test_the_channels_token_is_admitted_to_its_session():
    federation = unhex(vectors("token")[0]["federation_id"])
    for session in vectors("channel")["handshakes"]:
        if "token" in session:
            row = session["token"]
            admission = Admission(
                _KeyRing(), row["epoch"], unhex(row["epoch_key"]), federation, unhex(session["relay_key"]), _POSTS
            )
            key, signature, proof = unhex(row["token_key"]), unhex(row["signature"]), unhex(row["proof"])
            handshake_hash = unhex(session["handshake_hash"])
            assert tagged("session", handshake_hash) == unhex(row["session_message"])
            admission.authenticate(row["epoch"], key, signature, proof, handshake_hash)
            raises(NotAdmitted, admission.authenticate, row["epoch"], key, signature, proof, changed(handshake_hash, 0))


def test_a_token_starts_with_the_leases_the_ring_remembers():
    for row in vectors("token"):
        for leases, left in ((1, 44), (2, 40), (11, 4), (12, 0), (13, 0)):
            keyring = _KeyRing()
            keyring.leases[unhex(row["token_id"])] = leases
            admission = _admission(row, keyring)
            assert admission.posts_left(admission.authenticate(*_credentials(row))) == left


def test_another_epoch_is_refused():
    for row in vectors("token"):
        credentials = _credentials(row)
        # The token's epoch is not the open one, and the epoch it claims is not the token's.
        _assert_refused(row, _admission(row, epoch=row["epoch"] + 1), credentials)
        claimed = [row["epoch"] + 1] + credentials[1:]
        _assert_refused(row, _admission(row), claimed)
        _assert_refused(row, _admission(row, epoch=row["epoch"] + 1), claimed)


def test_a_token_for_another_relay_is_refused():
    relays = {row["relay_key"] for row in vectors("token")}
    assert len(relays) == 2
    for row in vectors("token"):
        for relay in relays:
            if relay != row["relay_key"]:
                _assert_refused(row, _admission(row, relay_key=unhex(relay)), _credentials(row))


def test_a_token_of_another_federation_or_issuer_is_refused():
    row = vectors("token")[0]
    federation, key, relay = unhex(row["federation_id"]), unhex(row["epoch_key"]), unhex(row["relay_key"])
    others = [other for other in vectors("token") if other["epoch_key"] != row["epoch_key"]]
    for arguments in ((key, changed(federation, 15)), (unhex(others[0]["epoch_key"]), federation), (None, federation)):
        admission = Admission(_KeyRing(), row["epoch"], arguments[0], arguments[1], relay, _POSTS)
        _assert_refused(row, admission, _credentials(row))


def test_a_changed_byte_of_key_signature_or_proof_is_refused():
    row = vectors("token")[3]
    for place in (1, 2, 3, 4):
        admission = _admission(row)
        credentials = _credentials(row)
        for damaged in changes(credentials[place], step=9):
            _assert_refused(row, admission, credentials[:place] + [damaged] + credentials[place + 1 :])


def test_a_proof_for_another_session_or_by_another_key_is_refused():
    rows = vectors("token")
    for row, other in zip(rows, rows[1:] + rows[:1]):
        admission = _admission(row)
        credentials = _credentials(row)
        _assert_refused(row, admission, credentials[:4] + [unhex(other["handshake_hash"])])
        _assert_refused(row, admission, credentials[:3] + _credentials(other)[3:])
        by_another = curve.sign(unhex(other["token_secret"]), unhex(row["session_message"]), _NO_RANDOM)
        _assert_refused(row, admission, credentials[:3] + [by_another, credentials[4]])
        _assert_refused(row, admission, credentials[:4] + [None])


def test_an_admitted_token_still_needs_a_proof_for_each_session():
    row = vectors("token")[0]
    admission = _admission(row)
    credentials = _credentials(row)
    token = admission.authenticate(*credentials)
    other = tagged("session", changed(credentials[4], 0))
    raises(NotAdmitted, admission.authenticate, *(credentials[:4] + [changed(credentials[4], 0)]))
    raises(NotAdmitted, admission.authenticate, *(credentials[:3] + [changed(credentials[3], 0), credentials[4]]))
    proof = curve.sign(unhex(row["token_secret"]), other, _NO_RANDOM)
    assert admission.authenticate(*(credentials[:3] + [proof, changed(credentials[4], 0)])) is token


def test_a_forged_token_is_refused_after_a_right_one_too():
    row, other = vectors("token")[0], vectors("token")[2]
    admission = _admission(row)
    credentials = _credentials(row)
    admission.authenticate(*credentials)
    # A key of the forger's own, with its own proof and the signature of the token that was admitted.
    proof = curve.sign(unhex(other["token_secret"]), unhex(row["session_message"]), _NO_RANDOM)
    forged = [row["epoch"], unhex(other["token_key"]), credentials[2], proof, credentials[4]]
    raises(NotAdmitted, admission.authenticate, *forged)
    raises(NotAdmitted, admission.authenticate, *forged)


def test_another_members_token_is_another_token():
    rows = [row for row in vectors("token") if row["relay_key"] == vectors("token")[0]["relay_key"]]
    rows = [row for row in rows if row["epoch"] == rows[0]["epoch"]]
    keys = {row["token_key"] for row in rows}
    admission = _admission(rows[0])
    tokens = [admission.authenticate(*_credentials(row)) for row in rows]
    assert len({token.ring_id for token in tokens}) == len(keys)
