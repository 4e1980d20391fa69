# board: long
# params.json: parameter sets and time statements, the right ones and the wrong ones.

import check
from check import raises, share, unhex, vectors
from damage import changes
from office import RamDirectory
from ramdevice import RamDevice
from tessera import curve, params
from tessera.errors import BadRequest, InvalidObject
from tessera.hashes import tagged
from tessera.params import FIRST_BYTES, Head, Parameters, TimeStatement
from tessera.relay import Identity, Relay

_NUMBERS = (
    "serial genesis round_seconds epoch_rounds retention_epochs log2_buckets members tokens_per_epoch posts_per_token "
    "ahead cover constant epsilon delta deliveries generation first_epoch epochs"
).split()
_NAMES = ("federation_id", "root_key", "previous", "rest_hash")
_REST_NUMBERS = ("day_epsilon", "day_delta")
_REST_NAMES = ("access_key", "reading_hash", "card_hash", "ephemeral")
_ENTRY = ("static_key", "ledger_key", "column_hash", "sealed")
_NO_RANDOM = bytes(32)
_PAGES = 4096 // 256 * 24  # of a ring that has room for the small set


def _read(blob):
    """What anybody does with a set that is shown; the set, InvalidObject if it is not right."""
    found = Parameters(blob)
    found.verify()
    return found


def _read_time(blob, row):
    """The same for a time statement; None if it is right but another federation's."""
    statement = TimeStatement(blob)
    statement.verify(unhex(row["root_key"]))
    return statement if statement.federation_id == unhex(row["federation_id"]) else None


def _sets():
    return vectors("params")["sets"]


def _set_named(name):
    return next(unhex(row["blob"]) for row in _sets() if row["name"] == name)  # no row stays: a board's heap


def _copies():
    return vectors("params")["copies"]


def _small():
    return next(row for row in _sets() if row["name"] == "small")


def _small_copy():
    return next(row for row in _copies() if row["name"] == "small")


def _relay(blob, static_secret):
    """A relay that was provisioned with a set."""
    directory = RamDirectory()
    directory.replace("parameters", blob)
    identity = Identity(static_secret, b"\x01" * 32, b"chip", bytes(32))
    return Relay(RamDevice(_PAGES // 16), RamDevice(8), directory, identity, bytes)


# -- parameter sets


def test_sets_have_the_vectors_fields():
    for row in _sets():
        found = _read(unhex(row["blob"]))
        for name in tuple(_NUMBERS) + _REST_NUMBERS:
            assert getattr(found, name) == row[name], (row["name"], name)
        for name in _NAMES + _REST_NAMES:
            assert getattr(found, name) == unhex(row[name]), (row["name"], name)
        assert found.buckets == 1 << row["log2_buckets"], row["name"]
        assert bytes(found.thresholds) == unhex(row["thresholds"]), row["name"]
        assert found.guest_access_keys == [unhex(key) for key in row["guest_access_keys"]], row["name"]
        assert found.digest == unhex(row["digest"]), row["name"]
        assert found.blob == unhex(row["blob"]), row["name"]


def test_the_relays_of_a_set_are_the_vectors():
    for row in _sets():
        found = Parameters(unhex(row["blob"]))
        assert len(found.relays) == len(row["relays"]), row["name"]
        for entry, relay in zip(found.relays, row["relays"]):
            assert entry.id == relay["id"], row["name"]
            for name in _ENTRY:
                assert getattr(entry, name) == unhex(relay[name]), (row["name"], name)
            assert found.relay_with(entry.static_key) == entry
        assert found.relay_with(b"\x02" * 33) is None


def test_a_head_has_the_vectors_fields_without_the_rest():
    for row in _sets():
        first = unhex(row["blob"])[:FIRST_BYTES]
        head = Head(first)
        head.verify()
        assert first[:176] == unhex(row["head"]) and head.digest == unhex(row["digest"]), row["name"]
        for name in _NUMBERS:
            assert getattr(head, name) == row[name], (row["name"], name)
        for name in _NAMES:
            assert getattr(head, name) == unhex(row[name]), (row["name"], name)
        assert head.size(len(row["relays"])) == len(row["blob"]) // 2, row["name"]
        assert head.largest_cell == row["largest_cell"], row["name"]


def test_hashes_in_a_set_are_those_of_what_they_name():
    for row in _sets():
        assert tagged("federation-card", unhex(row["said"])) == unhex(row["card_hash"]), row["name"]
        assert params.reading_hash(unhex(row["reading_key"])) == unhex(row["reading_hash"]), row["name"]
        for relay in row["relays"]:
            assert params.column_hash(unhex(relay["column"])) == unhex(relay["column_hash"]), row["name"]
    digests = {row["name"]: row["digest"] for row in _sets()}
    assert _small()["previous"] == digests["minimal"], "a set names the one before it"


def test_epoch_keys_are_those_of_the_schedule_and_no_others():
    for row in _sets():
        found = Parameters(unhex(row["blob"]))
        end = row["first_epoch"] + row["epochs"]
        assert found.end_epoch == end
        for relay in row["relays"]:
            keys = [found.epoch_keys(relay["id"], epoch) for epoch in range(row["first_epoch"], end)]
            assert b"".join(keys) == unhex(relay["column"]), row["name"]
            for epoch in (row["first_epoch"] - 1, end, end + 1, -1, 0xFFFFFFFF):
                assert found.epoch_keys(relay["id"], epoch) is None, (row["name"], epoch)
                assert found.epoch_key(relay["id"], epoch) is None, (row["name"], epoch)
        assert found.epoch_key(77, row["first_epoch"]) is None, "a relay that is not listed"


def test_each_cohort_has_a_key_of_its_own_in_every_epoch():
    row = next(row for row in _sets() if row["name"] == "cohorts")
    found, relay = Parameters(unhex(row["blob"])), row["relays"][0]
    assert 1 << found.log2_cohorts == 64
    column = unhex(relay["column"])
    assert len(column) == found.column_bytes == 64 * 2 * 32
    for epoch in (0, 1):
        for cohort in (0, 1, 63):
            at = 32 * (64 * epoch + cohort)
            assert found.epoch_key(relay["id"], found.first_epoch + epoch, cohort) == column[at : at + 32]


def test_cohorts_are_those_that_the_vectors_say():
    for row in vectors("admission")["cohorts"]:
        assert 1 << params.log2_cohorts(row["members"]) == row["cohorts"], row["members"]


def test_a_set_needs_the_pages_that_the_vectors_say():
    for row in _sets():
        found = Parameters(unhex(row["blob"]))
        found.check_capacity(row["pages_needed"])
        raises(InvalidObject, found.check_capacity, row["pages_needed"] - 1)


def test_rounds_and_epochs_begin_at_genesis():
    for row in _sets():
        found = Parameters(unhex(row["blob"]))
        genesis, seconds, rounds = row["genesis"], row["round_seconds"], row["epoch_rounds"]
        assert [found.round_at(genesis + step) for step in (-1, 0, seconds - 1, seconds)] == [-1, 0, 0, 1]
        assert [found.epoch_of(round_) for round_ in (0, rounds - 1, rounds, 3 * rounds)] == [0, 0, 1, 3]


def test_encoding_gives_the_vectors_bytes():
    for row in _sets():
        fields = {name: row[name] for name in tuple(_NUMBERS) + _REST_NUMBERS}
        fields.update({name: unhex(row[name]) for name in _NAMES + _REST_NAMES})
        fields["thresholds"] = unhex(row["thresholds"])
        fields["guest_access_keys"] = [unhex(key) for key in row["guest_access_keys"]]
        names = ("static_key", "ledger_key", "sealed", "column")
        fields["relays"] = [(relay["id"],) + tuple([unhex(relay[name]) for name in names]) for relay in row["relays"]]
        head, rest, columns = params.encode(fields)
        blob = unhex(row["blob"])
        assert head == blob[:176] and rest + columns == blob[FIRST_BYTES:], row["name"]
        assert params.digest(head) == unhex(row["digest"]), row["name"]


def test_signing_gives_the_vectors_signatures():
    for row in _sets():
        signature = curve.sign(unhex(row["root_secret"]), unhex(row["digest"]), _NO_RANDOM)
        assert signature == unhex(row["blob"])[176:FIRST_BYTES], row["name"]


# -- a relay's copy


def test_copies_are_the_vectors_and_are_read_like_the_whole_set():
    for row in _copies():
        whole, copy = Parameters(_set_named(row["name"])), unhex(row["blob"])
        assert whole.copy_for(row["relay_id"]) == copy, row["name"]
        found = _read(copy)
        assert found.digest == whole.digest and found.relays == whole.relays, row["name"]
        assert found.column(row["relay_id"]) == unhex(row["column"]), row["name"]
        assert found.copy_for(row["relay_id"]) == copy, row["name"]
        assert len(copy) == found.size(1), row["name"]


def test_a_copy_has_no_epoch_keys_of_other_relays():
    for row in _copies():
        found = Parameters(unhex(row["blob"]))
        for relay in found.relays:
            if relay.id != row["relay_id"]:
                assert found.column(relay.id) is None, row["name"]
                assert found.epoch_key(relay.id, found.first_epoch) is None, row["name"]
                raises(InvalidObject, found.copy_for, relay.id)


def test_the_reading_key_opens_with_each_relays_key_alone():
    for row in _copies():
        found = Parameters(unhex(row["blob"]))
        secret = curve.Secret(unhex(row["static_secret"]))
        assert found.reading_key(secret, row["relay_id"]) == unhex(row["reading_key"]), row["name"]
        for relay in found.relays:
            if relay.id != row["relay_id"]:
                raises(InvalidObject, found.reading_key, secret, relay.id)
        raises(InvalidObject, found.reading_key, secret, 77)


def test_sealing_gives_the_vectors_bytes():
    for row in _sets():
        serial, reading_key = row["serial"], unhex(row["reading_key"])
        for relay in row["relays"]:
            place = unhex(relay["static_key"]), unhex(row["federation_id"]), serial, relay["id"]
            sealed = params.seal_reading_key(unhex(row["ephemeral_secret"]), *(place + (reading_key,)))
            assert sealed == unhex(relay["sealed"]), row["name"]


# -- wrong ones


def test_invalid_sets_are_refused():
    for row in share(vectors("params")["invalid"], 1):
        raises(InvalidObject, _read, unhex(row["blob"]))


def test_what_is_wrong_with_a_head_is_seen_in_its_first_chunk_before_its_signature():
    # A push must not get as far as memory, or curve work, with what its first 240 bytes already forbid.
    found = {"head": 0, "signature": 0, "rest": 0}
    for row in share(vectors("params")["invalid"], 1):
        first = unhex(row["blob"][: 2 * FIRST_BYTES])
        found[row["where"]] += 1
        if row["where"] == "head":
            raises(InvalidObject, Head, first)
        elif row["where"] == "signature":
            raises(InvalidObject, Head(first).verify)
        else:
            Head(first).verify()
    assert min(found.values()), found


def test_sets_are_refused_for_their_form_before_their_signature():
    for row in share(vectors("params")["invalid"], 1):
        if row["where"] == "signature":
            Parameters(unhex(row["blob"]))
        else:
            raises(InvalidObject, Parameters, unhex(row["blob"]))


def test_a_changed_byte_is_refused():
    blob = unhex(_small()["blob"])
    for damaged in changes(blob, step=11):
        raises(InvalidObject, _read, damaged)


def test_every_other_length_is_refused():
    blob, copy = unhex(_small()["blob"]), len(_small_copy()["blob"]) // 2
    for length in share(range(len(blob)), 1):
        if length == copy:  # the first column comes first: this is the copy of its relay
            assert blob[:length] == unhex(_small_copy()["blob"])
        else:
            raises(InvalidObject, Parameters, blob[:length])
    for more in (1, 8, 16, 32, 64, 65, 8000 if check.board else 40000):
        raises(InvalidObject, Parameters, blob + bytes(more))


# -- on a relay


def test_a_relay_takes_what_is_valid_on_it_and_nothing_else():
    row = _small_copy()
    relay = _relay(unhex(row["blob"]), unhex(row["static_secret"]))
    assert relay.parameters.newest.digest == unhex(_small()["digest"])
    for row in vectors("params")["unfit"]:
        raises(InvalidObject, _relay, unhex(row["blob"]), unhex(row["static_secret"]))
    raises(InvalidObject, _relay, unhex(_small()["blob"]), unhex(row["static_secret"]))  # all columns: a card's


def test_successors_are_taken_or_refused_as_the_vectors_say():
    held = _small_copy()
    for row in vectors("params")["successors"]:
        store = _relay(unhex(held["blob"]), unhex(held["static_secret"])).parameters
        new, old = unhex(row["blob"]), store.newest.digest
        arguments = new, row["open_epoch"], int
        if not row["taken"]:
            raises(BadRequest, store.install, *arguments)
            assert store.newest.digest == old, row["name"]
            continue
        store.install(*arguments)
        assert store.newest.blob == new, row["name"]
        assert store.rule(row["takes_effect"]).digest == store.newest.digest, row["name"]
        assert store.rule(row["takes_effect"] - 1).digest == old, row["name"]


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
