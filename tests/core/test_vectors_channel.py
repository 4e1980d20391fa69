# channel.json: handshakes, resumptions and their frames, byte for byte from both ends, and the plaintexts by wire.py.

from check import not_on_a_board, raises, share, unhex, vectors
from damage import changed, changes
from tessera import curve, wire
from tessera.admission import OPERATOR, operator_message, read_proof
from tessera.aead import Aead
from tessera.channel import (
    Channel,
    Initiator,
    Resumption,
    hello_access_key,
    respond,
    resume,
    resumption_id,
    resumption_step,
)
from tessera.errors import BadFrame, BadRequest, Busy, NotAdmitted, Refused

_CHECK = 33  # where in a hello the access key's HMAC begins
_PROOF = 49  # and where the handshake's own proof does
_GARBAGE = b"\xaa"


def _handshakes():
    return vectors("channel")["handshakes"]


def _resumptions():
    return vectors("channel")["resumptions"]


def _handshakes_and_resumptions():
    """One after the other: a row is as much as a board has room for."""
    _forget_plaintexts()
    yield from _handshakes()
    yield from _resumptions()


def _initiator(row):
    nonce, relay_key, access_key = unhex(row["nonce"]), unhex(row["relay_key"]), unhex(row["access_key"])
    return Initiator(nonce, relay_key, access_key, unhex(row["client_ephemeral_secret"]))


def _respond(row, hello=None, **changed_fields):
    """The relay's (channel, reply) for a hello, with other values for some fields of the row."""
    row = dict(row)
    row.update(changed_fields)
    static = unhex(row["relay_secret"]), unhex(row["relay_key"])
    ephemeral = unhex(row["relay_ephemeral_secret"]), unhex(row["relay_ephemeral_key"])
    return respond(hello or unhex(row["message_1"]), unhex(row["nonce"]), unhex(row["access_key"]), static, ephemeral)


def _resuming(row):
    nonce, access_key = unhex(row["nonce"]), unhex(row["access_key"])
    return Resumption(nonce, access_key, unhex(row["secret"]), unhex(row["client_random"]))


def _resume(row, hello=None):
    return resume(hello or unhex(row["message_1"]), unhex(row["nonce"]), unhex(row["key"]), unhex(row["relay_random"]))


def _sessions():
    """(name, frames, client's channel, relay's channel) of all sessions in the file, freshly opened."""
    _forget_plaintexts()
    for row in _handshakes():
        yield row["name"], row["frames"], _initiator(row).finish(unhex(row["message_2"])), _respond(row)[0]
    for row in _resumptions():
        client = _resuming(row).finish(unhex(row["message_2"]))
        yield "resumption %d" % row["j"], row["frames"], client, _resume(row)[0]


def _ends(frame, client, relay):
    """(sender, receiver) of a frame."""
    return (client, relay) if frame["from"] == "client" else (relay, client)


# -- full handshake


def test_hellos_are_the_vectors():
    for row in _handshakes():
        assert _initiator(row).hello() == unhex(row["message_1"]), row["name"]


def test_replies_are_the_vectors():
    for row in _handshakes():
        channel, reply = _respond(row)
        assert reply == unhex(row["message_2"]), row["name"]
        assert channel.handshake_hash == unhex(row["handshake_hash"]), row["name"]


def test_both_ends_have_the_vectors_handshake_hash():
    for row in _handshakes():
        channel = _initiator(row).finish(unhex(row["message_2"]))
        assert channel.handshake_hash == unhex(row["handshake_hash"]), row["name"]


def test_the_hello_check_finds_the_access_key():
    for row in _handshakes_and_resumptions():
        hello, nonce, key = unhex(row["message_1"]), unhex(row["nonce"]), unhex(row["access_key"])
        other = changed(key, 0)
        for keys in ((key,), (key, other), (other, key), [other, key, other]):
            assert hello_access_key(hello, nonce, keys) == key
            assert hello_access_key(memoryview(hello), nonce, keys) == key
        for keys in ((), (other,), (other, changed(key, 31))):
            raises(BadFrame, hello_access_key, hello, nonce, keys)
        raises(BadFrame, hello_access_key, hello, changed(nonce, 15), (key,))


def test_a_changed_byte_of_a_hellos_start_fails_the_check_before_curve_work():
    for row in _handshakes_and_resumptions():
        hello, nonce, key = unhex(row["message_1"]), unhex(row["nonce"]), unhex(row["access_key"])
        for at in share(range(_PROOF), 1):
            raises(BadFrame, hello_access_key, changed(hello, at), nonce, (key,))


def test_a_changed_byte_of_a_hellos_proof_is_refused():
    row = _handshakes()[0]
    hello = unhex(row["message_1"])
    for at in share(range(_PROOF, len(hello)), 1):
        raises(BadFrame, _respond, row, changed(hello, at))


def test_an_insider_who_changes_the_hellos_key_is_refused():
    # With the access key the check can be made for any point, or for none.
    row = _handshakes()[0]
    hello = unhex(row["message_1"])
    for at in share(range(0, _CHECK, 4), 1):
        raises(BadFrame, _respond, row, changed(hello, at))
    for start in (b"\x02" + bytes(32), b"\x04" + hello[1:33], b"\x01" * 33, b"\x02" + b"\xff" * 32):
        raises(BadFrame, _respond, row, start + hello[_CHECK:])


def test_a_hello_for_another_nonce_access_key_or_relay_is_refused():
    row, other, _ = _handshakes()
    raises(BadFrame, _respond, row, nonce=other["nonce"])
    raises(BadFrame, _respond, row, access_key=other["nonce"] * 2)
    raises(BadFrame, _respond, row, relay_secret=row["client_ephemeral_secret"], relay_key=row["client_ephemeral_key"])


def test_a_changed_byte_of_a_reply_is_refused():
    row = _handshakes()[0]
    reply = unhex(row["message_2"])
    for damaged in changes(reply, step=3):
        raises(BadFrame, _initiator(row).finish, damaged)
    for wrong in (b"", reply[:33], reply[:-1], reply + b"\x00", b"\x02" + bytes(32) + reply[33:]):
        raises(BadFrame, _initiator(row).finish, wrong)


def test_a_reply_of_another_session_is_refused():
    row, other, _ = _handshakes()
    raises(BadFrame, _initiator(row).finish, unhex(other["message_2"]))


# -- resumption


def test_resumption_secrets_are_the_vectors():
    for row in _resumptions():
        step = unhex(row["id"]), unhex(row["key"]), unhex(row["secret_next"])
        assert resumption_step(unhex(row["secret"])) == step
        assert _resuming(row).next_secret == step[2]
    first, second = _resumptions()
    assert second["secret"] == first["secret_next"]
    assert first["secret"] == _handshakes()[0]["secret_0"]


def test_resumption_messages_are_the_vectors():
    for row in _resumptions():
        assert _resuming(row).hello() == unhex(row["message_1"]), row["j"]
        assert _resume(row)[1] == unhex(row["message_2"]), row["j"]


def test_a_resumed_session_has_no_handshake_hash():
    # So that no AUTH can be made in it: a proof is over the hash of a full handshake.
    for row in _resumptions():
        assert _resume(row)[0].handshake_hash is None
        assert _resuming(row).finish(unhex(row["message_2"])).handshake_hash is None


def test_hellos_tell_resumptions_from_handshakes():
    for row in _handshakes():
        assert resumption_id(unhex(row["message_1"])) is None
    for row in _resumptions():
        assert resumption_id(unhex(row["message_1"])) == unhex(row["id"])


def test_a_changed_byte_of_a_resumption_is_refused():
    for row in _resumptions():
        hello, reply = unhex(row["message_1"]), unhex(row["message_2"])
        for at in share(range(len(hello)), 1):
            if not _CHECK <= at < _PROOF:  # those are the hello check's
                raises(BadFrame, _resume, row, changed(hello, at))
        for damaged in changes(reply):
            raises(BadFrame, _resuming(row).finish, damaged)
        for wrong in (b"", reply[:33], reply[:-1], reply + b"\x00"):
            raises(BadFrame, _resuming(row).finish, wrong)


def test_a_resumption_with_another_key_or_nonce_is_refused():
    first, second = _resumptions()
    hello, random = unhex(first["message_1"]), unhex(first["relay_random"])
    raises(BadFrame, resume, hello, unhex(first["nonce"]), unhex(second["key"]), random)
    raises(BadFrame, resume, hello, unhex(second["nonce"]), unhex(first["key"]), random)
    raises(BadFrame, _resuming(first).finish, unhex(second["message_2"]))


# -- transport


def test_sealed_frames_are_the_vectors():
    for name, frames, client, relay in _sessions():
        for frame in frames:
            sender, _ = _ends(frame, client, relay)
            assert sender.seal(unhex(frame["plaintext"])) == unhex(frame["sealed"]), (
                name,
                frame["name"],
                frame["number"],
            )


def test_frames_sealed_in_place_are_the_vectors():
    for name, frames, client, relay in _sessions():
        for frame in frames:
            sender, _ = _ends(frame, client, relay)
            plaintext = unhex(frame["plaintext"])
            buffer = bytearray(plaintext + _GARBAGE * 17)
            sender.seal_in_place(buffer)
            assert buffer == unhex(frame["sealed"]), (name, frame["name"], frame["number"])


def test_opened_frames_are_the_vectors():
    for name, frames, client, relay in _sessions():
        for frame in frames:
            _, receiver = _ends(frame, client, relay)
            assert receiver.open(unhex(frame["sealed"])) == unhex(frame["plaintext"]), (
                name,
                frame["name"],
                frame["number"],
            )


def test_transport_keys_are_the_vectors():
    for row in _handshakes_and_resumptions():
        client, relay = Channel(unhex(row["k1"]), unhex(row["k2"])), Channel(unhex(row["k2"]), unhex(row["k1"]))
        for frame in row["frames"]:
            sender, receiver = _ends(frame, client, relay)
            assert sender.seal(unhex(frame["plaintext"])) == unhex(frame["sealed"])
            assert receiver.open(unhex(frame["sealed"])) == unhex(frame["plaintext"])


def test_a_changed_byte_of_a_frame_is_refused():
    for name, frames, client, relay in _sessions():
        for frame in frames:
            _, receiver = _ends(frame, client, relay)
            sealed = unhex(frame["sealed"])
            for damaged in changes(sealed):
                raises(BadFrame, receiver.open, damaged)
            assert receiver.open(sealed) == unhex(frame["plaintext"]), (name, "refusing changed nothing")


def test_a_frame_of_another_length_is_refused():
    for _, frames, client, relay in _sessions():
        for frame in frames:
            _, receiver = _ends(frame, client, relay)
            sealed = unhex(frame["sealed"])
            for length in share(range(0, len(sealed), 8), 1):
                raises(BadFrame, receiver.open, sealed[:length])
            raises(BadFrame, receiver.open, sealed + b"\x00")
            raises(BadFrame, receiver.open, sealed + bytes(16))
            receiver.open(sealed)


def test_a_frame_again_too_early_or_reflected_is_refused():
    for _, frames, client, relay in _sessions():
        for frame in frames:
            sender, receiver = _ends(frame, client, relay)
            sealed = unhex(frame["sealed"])
            raises(BadFrame, sender.open, sealed)
            for other in frames:
                if other["from"] == frame["from"] and other["number"] > frame["number"]:
                    raises(BadFrame, receiver.open, unhex(other["sealed"]))
            receiver.open(sealed)
            raises(BadFrame, receiver.open, sealed)


def test_a_frame_of_another_session_is_refused():
    first, second, _ = _handshakes()
    relay = _respond(second)[0]
    raises(BadFrame, relay.open, unhex(first["frames"][0]["sealed"]))


def test_a_frame_of_the_right_size_with_longer_padding_is_refused():
    # Every frame's plaintext has one length, so that a well sealed frame of another one is none of the protocol's.
    row = _handshakes()[0]
    for length in range(240, 255):
        sealed = Aead(unhex(row["k1"])).seal(0, bytes(8), bytes(length))
        assert len(sealed) == 272
        raises(BadFrame, _respond(row)[0].open, sealed)
    assert _respond(row)[0].open(Aead(unhex(row["k1"])).seal(0, bytes(8), bytes(255))) == bytes(255)


# -- plaintexts. What they say is written down here a second time; the vectors come from PROTOCOL §5.


_plaintexts = None, {}  # of the session that was last asked for: a board reads its row in 0.2 s


def _forget_plaintexts():
    global _plaintexts
    _plaintexts = None, {}


def _plaintext(session, sender, number):
    global _plaintexts
    if _plaintexts[0] != session:
        _forget_plaintexts()
        named = ("admitted", "stranger", "operator")
        row = _handshakes()[named.index(session)] if session in named else _resumptions()[session]
        _plaintexts = session, {(f["from"], f["number"]): unhex(f["plaintext"]) for f in row["frames"]}
    return _plaintexts[1][(sender, number)]


def _small():
    return next(row for row in vectors("params")["sets"] if row["name"] == "small")


def _typical():
    return next(row for row in vectors("params")["sets"] if row["name"] == "typical")


def _small_copy():
    return unhex(next(row for row in vectors("params")["copies"] if row["name"] == "small")["blob"])


class _Named:
    """What INFO says of a set."""

    def __init__(self, row):
        self.serial, self.digest = row["serial"], unhex(row["digest"])


def _time_statement():
    return unhex(vectors("params")["time_statements"][1]["blob"])


def _requests():
    """(plaintext, builder's bytes, what a relay reads) of every request in the file."""
    token = _handshakes()[0]["token"]
    auth = (token["epoch"], unhex(token["token_key"]), unhex(token["signature"]), unhex(token["proof"]))
    record = _plaintext("admitted", "client", 1)[3:243]
    again = _plaintext(0, "client", 0)[3:243]
    time, proof = _time_statement(), unhex(_handshakes()[0]["reading_proof"])
    yield _plaintext("admitted", "client", 0), wire.auth(*auth), (wire.AUTH, auth)
    yield _plaintext("admitted", "client", 1), wire.post(258, record), (wire.POST, (258,))
    yield _plaintext("admitted", "client", 2), wire.fetch(258, 40, 43, proof), (wire.FETCH, (258, 40, 43, proof))
    yield _plaintext("admitted", "client", 3), wire.void(), (wire.VOID, ())
    yield _plaintext("stranger", "client", 0), wire.info(), (wire.INFO, ())
    yield _plaintext("stranger", "client", 1), wire.params(1), (wire.PARAMS, (1,))
    yield _plaintext("stranger", "client", 2), wire.checkpoint(30), (wire.CHECKPOINT, (30,))
    yield _plaintext("stranger", "client", 3), wire.post(0, bytes(240)), (wire.POST, (0,))
    yield _plaintext("stranger", "client", 4), wire.fetch(0, 0, 0, bytes(16)), (wire.FETCH, (0, 0, 0, bytes(16)))
    yield _plaintext("stranger", "client", 5), wire.status(), (wire.STATUS, ())
    copy = _small_copy()
    first = wire.PUSH, (len(copy), 0, 240, copy[:240])
    yield _plaintext("stranger", "client", 6), wire.push(len(copy), 0, copy[:240]), first
    yield _plaintext(0, "client", 0), wire.post(0, again), (wire.POST, (0,))
    yield _plaintext(1, "client", 0), wire.post(0, bytes(240)), (wire.POST, (0,))
    yield _plaintext(1, "client", 1), wire.fetch(0, 0, 0, bytes(16)), (wire.FETCH, (0, 0, 0, bytes(16)))
    signature = unhex(_handshakes()[2]["operator"]["signature"])
    auth = OPERATOR, bytes(32), signature, bytes(64)
    yield _plaintext("operator", "client", 0), wire.auth(*auth), (wire.AUTH, auth)
    pushed = wire.PUSH, (len(time), 0, len(time), time + bytes(240 - len(time)))
    yield _plaintext("operator", "client", 1), wire.push(len(time), 0, time), pushed
    row = vectors("release")[0]
    blob, piece = unhex(row["release"]), unhex(row["artifact"])[240:]
    begin, put = (wire.BEGIN, 0, blob), (wire.PUT, 240, piece)
    for number, (step, offset, data) in enumerate((begin, put, (wire.ACTIVATE, 0, b""))):
        read = wire.STAGE, (step, offset, len(data), data + bytes(240 - len(data)))
        yield _plaintext("operator", "client", 2 + number), wire.stage(step, offset, data), read


def test_requests_are_built_and_read_as_in_the_vectors():
    for plaintext, built, read in _requests():
        assert built == plaintext, read[0]
        assert wire.read_request(plaintext) == read
        if read[0] == wire.POST:
            assert wire.posted_record(plaintext) == plaintext[3:243]


def test_a_readers_proof_is_the_vectors():
    row = _handshakes()[0]
    reading_key, handshake_hash = unhex(row["reading_key"]), unhex(row["handshake_hash"])
    assert read_proof(reading_key, handshake_hash) == unhex(row["reading_proof"])
    for row in vectors("admission")["sessions"]:
        reading_key, handshake_hash = unhex(row["reading_key"]), unhex(row["handshake_hash"])
        assert read_proof(reading_key, handshake_hash) == unhex(row["reading_proof"])
        assert read_proof(changed(reading_key, 31), handshake_hash) != unhex(row["reading_proof"])
        assert read_proof(reading_key, changed(handshake_hash, 0)) != unhex(row["reading_proof"])


def test_the_operators_signature_is_the_vectors():
    session = _handshakes()[2]
    operator, place = session["operator"], (session["relay_key"], session["handshake_hash"])
    rows = [(operator, "message", "signature") + place]
    for row in vectors("admission")["sessions"]:
        rows.append((row, "operator_message", "operator_signature", row["relay_key"], row["handshake_hash"]))
    for row, name, signature, relay_key, handshake_hash in rows:
        message = operator_message(unhex(row["federation_id"]), unhex(relay_key), unhex(handshake_hash))
        assert message == unhex(row[name])
        assert curve.sign(unhex(row["root_secret"]), message, bytes(32)) == unhex(row[signature])
        assert curve.verify(unhex(row[signature]), message, unhex(row["root_key"]))


def test_all_requests_of_the_vectors_are_looked_at():
    not_on_a_board("it holds all frames of the vectors at once")
    sent = [f for row in _handshakes_and_resumptions() for f in row["frames"] if f["from"] == "client"]
    assert len(list(_requests())) == len(sent) - 1, "all but the unknown one"


def test_an_unknown_request_is_a_bad_frame():
    raises(BadFrame, wire.read_request, _plaintext("stranger", "client", 7))
    for kind in range(10, 256):
        raises(BadFrame, wire.read_request, bytes((kind,)) + bytes(254))


def _answers():
    """(plaintext, builder, its arguments, what a client reads) of every small answer that is no error."""
    newest, small, blob = _Named(_typical()), _Named(_small()), _small_copy()
    secret, checkpoint = (
        unhex(_handshakes()[0]["secret_0"]),
        unhex(vectors("checkpoint")["checkpoints"][0]["checkpoint"]),
    )
    info = wire.PROVISIONAL, newest, small, 42, 0, "plain integers"
    told = 2, wire.PROVISIONAL, newest.serial, newest.digest, small.serial, small.digest, 42, 0, "plain integers"
    chunk = len(blob), 1, blob[240:480]
    yield _plaintext("admitted", "relay", 0), wire.answer_auth, (secret, 48), (wire.ADMITTED, secret, 48)
    yield _plaintext("admitted", "relay", 1), wire.answer_post, (42,), (wire.ACK, 42)
    yield _plaintext("admitted", "relay", 6), wire.answer_void, (), (wire.VOIDED,)
    yield _plaintext("stranger", "relay", 0), wire.answer_info, info, (wire.INFO_ANSWER,) + told
    yield _plaintext("stranger", "relay", 1), wire.answer_params, chunk, (wire.PARAMS_ANSWER,) + chunk
    yield (
        _plaintext("stranger", "relay", 2),
        wire.answer_checkpoint,
        (checkpoint,),
        (wire.CHECKPOINT_ANSWER, checkpoint),
    )
    status = _plaintext("stranger", "relay", 5)
    flags = wire.COMMISSIONING | wire.ON_TRIAL | wire.ENDING
    figures = 0x010203, status[6:38], 86461, 7, newest.serial, 42, flags, "RPI_PICO_W"
    yield status, wire.answer_status, figures, (wire.STATUS_ANSWER, 1) + figures
    yield _plaintext(0, "relay", 0), wire.answer_post, (43,), (wire.ACK, 43)
    yield _plaintext("stranger", "relay", 6), wire.answer_push, (False,), (wire.PUSHED, 0)
    yield _plaintext("operator", "relay", 0), wire.answer_auth, (bytes(32), 0), (wire.ADMITTED, bytes(32), 0)
    yield _plaintext("operator", "relay", 1), wire.answer_push, (True,), (wire.PUSHED, 1)
    for number, fields in enumerate(((0, 0, 17), (2, 300, 0), (3, 300, 9))):
        yield _plaintext("operator", "relay", 2 + number), wire.answer_stage, fields, (wire.STAGE_ANSWER,) + fields


def _errors():
    """(plaintext, error, code, name) of every ERROR answer; a size of 1023 is an answer to FETCH."""
    yield _plaintext("stranger", "relay", 3), NotAdmitted("no token"), 3, "NOT_ADMITTED"
    yield _plaintext("stranger", "relay", 4), NotAdmitted("no token"), 3, "NOT_ADMITTED"
    yield _plaintext("stranger", "relay", 7), BadFrame("unknown"), 1, "BAD_FRAME"
    yield _plaintext(1, "relay", 0), Busy("come back", 30), 6, "BUSY"
    yield _plaintext(1, "relay", 1), NotAdmitted("resumed"), 3, "NOT_ADMITTED"


def test_answers_are_built_and_read_as_in_the_vectors():
    for plaintext, build, arguments, read in _answers():
        buffer = bytearray(_GARBAGE * 272)  # what stood in it must not show
        build(buffer, *arguments)
        assert buffer == plaintext + _GARBAGE * 17, read[0]
        assert wire.read_answer(plaintext) == read


def test_errors_are_built_and_read_as_in_the_vectors():
    for plaintext, error, code, name in _errors():
        small = len(plaintext) == 255
        build, read = (wire.answer_error, wire.read_answer) if small else (wire.answer_fetch_error, wire.read_cell)
        buffer = bytearray(_GARBAGE * (len(plaintext) + 17))
        build(buffer, error)
        assert buffer == plaintext + _GARBAGE * 17, name
        refused = raises(Refused, read, plaintext)
        assert (refused.code, refused.name, refused.retry_after) == (code, name, error.retry_after)
    assert {len(row[0]) for row in _errors()} == {255, 1023}


def test_a_refusal_the_vectors_lack_has_its_code_too():
    buffer = bytearray(272)
    wire.answer_error(buffer, BadRequest("no such bucket"))
    assert buffer[:6] == b"\xff\x02\x00\x00\x00\x00"


def _cells():
    """(plaintext, round, count, offset, n) of the CELL frames."""
    yield _plaintext("admitted", "relay", 2), 40, 5, 0, 4
    yield _plaintext("admitted", "relay", 3), 40, 5, 4, 1
    yield _plaintext("admitted", "relay", 4), 41, 0, 0, 0


def test_cells_are_built_and_read_as_in_the_vectors():
    served = []
    for plaintext, round_, count, offset, here in _cells():
        records = [plaintext[63 + 240 * place : 303 + 240 * place] for place in range(here)]
        assert wire.read_cell(plaintext) == (wire.CELL, round_, count, offset, records)
        buffer = bytearray(_GARBAGE * 1040)
        wire.pack_cell(buffer, round_, count, offset, here)
        unfilled = bytes(240 * (4 - here))
        assert buffer == plaintext[:63] + _GARBAGE * (240 * here) + unfilled + _GARBAGE * 17
        served += records
    assert served == sorted(served) and len(set(served)) == 5


def test_the_end_of_a_fetch_is_built_and_read_as_in_the_vectors():
    plaintext = _plaintext("admitted", "relay", 5)
    buffer = bytearray(_GARBAGE * 1040)
    wire.pack_end(buffer, 42)
    assert buffer == plaintext + _GARBAGE * 17
    assert wire.read_cell(plaintext) == (wire.END, 42)


def test_all_answers_of_the_vectors_are_looked_at():
    not_on_a_board("it holds all frames of the vectors at once")
    sent = [f for row in _handshakes_and_resumptions() for f in row["frames"] if f["from"] == "relay"]
    assert len(list(_answers())) + len(list(_errors())) + len(list(_cells())) + 1 == len(sent)


def test_a_cell_of_more_records_than_fit_and_unknown_answers_are_bad_frames():
    plaintext = bytearray(_plaintext("admitted", "relay", 2))
    plaintext[9] = 5
    raises(BadFrame, wire.read_cell, bytes(plaintext))
    for kind in (0, 3, 0x7F, 0x8A, 0x93, 0xFE):
        raises(BadFrame, wire.read_cell, bytes((kind,)) + bytes(1022))
        raises(BadFrame, wire.read_answer, bytes((kind,)) + bytes(254))
    # Either reader knows its own answers only.
    raises(BadFrame, wire.read_answer, _plaintext("admitted", "relay", 5))
    raises(BadFrame, wire.read_cell, _plaintext("admitted", "relay", 1))
