# params.json: parameter sets and time statements, the right ones and the wrong ones.

from check import raises, share, unhex, vectors
from damage import changes
from tessera import curve, params
from tessera.errors import InvalidObject
from tessera.params import Parameters, TimeStatement

_NUMBERS = (
    "serial genesis round_seconds epoch_rounds retention_epochs buckets members tokens_per_epoch posts_per_token "
    "epsilon delta mu first_epoch epochs"
).split()
_NAMES = ("federation_id", "root_key", "access_key")
_NO_RANDOM = bytes(32)


def _read(blob):
    """What a relay does with a set it is given; the set, InvalidObject if it is not right."""
    found = Parameters(blob)
    found.verify()
    return found


def _read_time(blob, row):
    """The same for a time statement; None if it is right but another federation's."""
    statement = TimeStatement(blob)
    statement.verify(unhex(row["root_key"]))
    return statement if statement.federation_id == unhex(row["federation_id"]) else None


def _thresholds(row):
    return unhex("".join(vectors("noise_table")[row["table"]]["thresholds"]))


def _relays(row):
    return [(unhex(relay["static_key"]), unhex(relay["ledger_key"])) for relay in row["relays"]]


def _small():
    return next(row for row in vectors("params")["sets"] if row["name"] == "small")


# -- parameter sets


def test_sets_have_the_vectors_fields():
    for row in vectors("params")["sets"]:
        found = _read(unhex(row["blob"]))
        for name in _NUMBERS:
            assert getattr(found, name) == row[name], (row["name"], name)
        for name in _NAMES:
            assert getattr(found, name) == unhex(row[name]), (row["name"], name)
        assert bytes(found.thresholds) == _thresholds(row), row["name"]
        assert found.relays == _relays(row), row["name"]
        assert found.digest == unhex(row["digest"]), row["name"]
        assert found.blob == unhex(row["blob"]), row["name"]


def test_epoch_keys_are_those_of_the_schedule_and_no_others():
    for row in vectors("params")["sets"]:
        found = Parameters(unhex(row["blob"]))
        end = row["first_epoch"] + row["epochs"]
        keys = [found.epoch_key(epoch) for epoch in range(row["first_epoch"], end)]
        assert keys == [unhex(key) for key in row["epoch_keys"]], row["name"]
        assert found.end_epoch == end
        for epoch in (row["first_epoch"] - 1, end, end + 1, -1, 0xFFFFFFFF):
            assert found.epoch_key(epoch) is None, (row["name"], epoch)


def test_a_set_needs_the_pages_that_the_vectors_say():
    for row in vectors("params")["sets"]:
        found = Parameters(unhex(row["blob"]))
        found.check_capacity(row["pages_needed"])
        raises(InvalidObject, found.check_capacity, row["pages_needed"] - 1)


def test_rounds_and_epochs_begin_at_genesis():
    for row in vectors("params")["sets"]:
        found = Parameters(unhex(row["blob"]))
        genesis, seconds, rounds = row["genesis"], row["round_seconds"], row["epoch_rounds"]
        assert [found.round_at(genesis + step) for step in (-1, 0, seconds - 1, seconds)] == [-1, 0, 0, 1]
        assert [found.epoch_of(round_) for round_ in (0, rounds - 1, rounds, 3 * rounds)] == [0, 0, 1, 3]


def test_encoding_gives_the_vectors_bytes():
    for row in vectors("params")["sets"]:
        fields = {name: row[name] for name in _NUMBERS}
        fields.update({name: unhex(row[name]) for name in _NAMES})
        keys = unhex("".join(row["epoch_keys"]))
        fields.update({"thresholds": _thresholds(row), "epoch_keys": keys, "relays": _relays(row)})
        body = params.encode(fields)
        assert body == unhex(row["blob"])[:-64], row["name"]
        assert params.digest(body) == unhex(row["digest"]), row["name"]


def test_signing_gives_the_vectors_signatures():
    for row in vectors("params")["sets"]:
        signature = curve.sign(unhex(row["root_secret"]), unhex(row["digest"]), _NO_RANDOM)
        assert signature == unhex(row["blob"])[-64:], row["name"]


def test_invalid_sets_are_refused():
    for row in share(vectors("params")["invalid"], 1):
        raises(InvalidObject, _read, unhex(row["blob"]))


def test_sets_out_of_range_are_refused_before_their_signature():
    # The vectors whose signature is good: a set must not get as far as curve work.
    unsigned = ("signature bit", "content bit", "other signer")
    count = 0
    for row in vectors("params")["invalid"]:
        if row["name"] not in unsigned:
            raises(InvalidObject, Parameters, unhex(row["blob"]))
            count += 1
    assert count == 25


def test_a_changed_byte_is_refused():
    blob = unhex(_small()["blob"])
    for damaged in changes(blob, step=11):
        raises(InvalidObject, _read, damaged)


def test_every_other_length_is_refused():
    blob = unhex(_small()["blob"])
    for length in share(range(len(blob)), 1):
        raises(InvalidObject, Parameters, blob[:length])
    for more in (1, 8, 16, 32, 64, 65, 40000):
        raises(InvalidObject, Parameters, blob + bytes(more))


# -- time statements


def test_time_statements_have_the_vectors_fields():
    for row in vectors("params")["time_statements"]:
        statement = _read_time(unhex(row["blob"]), row)
        assert statement.unix_seconds == row["unix"] and statement.federation_id == unhex(row["federation_id"])
        assert params.is_time_statement(statement.blob)


def test_encoding_a_time_statement_gives_the_vectors_bytes():
    for row in vectors("params")["time_statements"]:
        body, message = params.encode_time(unhex(row["federation_id"]), row["unix"])
        assert body + curve.sign(unhex(row["root_secret"]), message, _NO_RANDOM) == unhex(row["blob"])


def test_invalid_time_statements_are_refused():
    right = vectors("params")["time_statements"][1]
    for row in vectors("params")["invalid_time_statements"]:
        if row["name"] == "other federation":
            assert _read_time(unhex(row["blob"]), right) is None
        else:
            raises(InvalidObject, _read_time, unhex(row["blob"]), right)


def test_a_changed_byte_of_a_time_statement_is_refused():
    row = vectors("params")["time_statements"][1]
    for damaged in changes(unhex(row["blob"]), step=3):
        raises(InvalidObject, _read_time, damaged, row)


def test_a_parameter_set_is_no_time_statement_and_the_other_way_round():
    blob, time = unhex(_small()["blob"]), unhex(vectors("params")["time_statements"][0]["blob"])
    assert params.is_time_statement(time) and not params.is_time_statement(blob)
    assert not params.is_time_statement(b"") and not params.is_time_statement(time[:3])
    raises(InvalidObject, TimeStatement, blob)
    raises(InvalidObject, Parameters, time)
