# heap: 16m
# board: long
# Pushed sets, over the channel: what is looked at before anything is kept, who may hold a place, what everybody sees of
# a new set, and who reads and posts under which (PROTOCOL §2 and §5).

from check import board_step, raises
from office import (
    ACCESS_KEY,
    EPOCH_ROUNDS,
    GENESIS,
    READING_KEY,
    RELAY_KEY,
    RETENTION,
    ROUND_SECONDS,
    Cable,
    Connection,
    Office,
    Token,
    epoch_keys,
    epoch_secret,
    fields,
    parameters,
    records,
    relay_fields,
    signed,
    table,
    time_statement,
)
from tessera import curve, params, wire
from tessera.errors import BadFrame, BadRequest, Refused
from tessera.machine import Machine

LONGER = table() + 240 * table()[-8:]  # a table that takes eight chunks more


def refused(name, function, *arguments):
    error = raises(Refused, function, *arguments)
    assert error.name == name, error.name
    return error


def chunk(blob, number):
    return wire.push(len(blob), number, blob[240 * number : 240 * (number + 1)])


def another_column():
    return epoch_keys()[32:] + epoch_keys()[:32]


def short():
    """A set of three epochs, so that there are fewer bytes to try."""
    return parameters(serial=2, first_epoch=1, epoch_keys=epoch_keys()[: 32 * 3])


class Anybody:
    """A session with the channel only, without the cost of one."""

    operator = False
    pushed_ms = 0


def give(office, session, total, number, data):
    """A chunk as relay.answer() hands it on, whose data is always 240 bytes."""
    return office.relay.push(session, total, number, len(data), data + bytes(240 - len(data)))


def memory(office):
    """What the relay holds of sets that are on their way."""
    return [transfer.data for transfer in office.relay._pushes._transfers]


# -- before anything is kept


def test_a_sets_first_chunk_is_verified_before_anything_of_it_is_kept():
    blob = parameters(serial=2, first_epoch=1)
    forged = signed(fields(serial=2, first_epoch=1), root=b"\x05" * 32)
    altered = blob[:150] + bytes((blob[150] ^ 1,)) + blob[151:]
    own_root = signed(fields(serial=2, root_key=curve.public(b"\x05" * 32)[1:]), root=b"\x05" * 32)
    for wrong in (
        forged,
        altered,
        own_root,
        parameters(serial=1),
        parameters(serial=2, round_seconds=11),
        parameters(serial=2, members=200),
        b"TPR1" + blob[4:],
    ):
        office = Office()
        refused("BAD_REQUEST", Connection(office.relay).call, chunk(wrong, 0))
        assert memory(office) == [None, None]
    office = Office()
    Connection(office.relay).call(chunk(blob, 0))
    assert [data and len(data) for data in memory(office)] == [len(blob), None]


def test_the_first_chunk_has_240_bytes_and_its_total_follows_from_them():
    office = Office()
    connection = Connection(office.relay)
    blob, statement = parameters(serial=2, first_epoch=1), time_statement(office.unix_ms // 1000)
    for start in (statement, blob[:240], b"x" * 240, statement[:4], blob[:100], blob[:239], b""):
        for total in (0, 32768, 65535, len(statement) + 1, len(blob) + 16, len(blob) - 1, len(start)):
            if total != len(statement) or start != statement:
                refused("BAD_REQUEST", connection.call, wire.push(total, 0, start))
                assert memory(office) == [None, None]
    assert connection.push(statement) and connection.push(blob)


def test_one_signature_a_round_may_fail():
    blob = parameters(serial=2, first_epoch=1)
    altered = blob[:239] + bytes((blob[239] ^ 1,)) + blob[240:]
    office = Office()
    one, other, operator = Connection(office.relay), Connection(office.relay), Connection(office.relay)
    operator.operate()
    refused("BAD_REQUEST", one.call, chunk(altered, 0))
    for connection in (one, other):
        for _ in range(2):
            error = refused("BUSY", connection.call, chunk(blob, 0))
            assert 0 < error.retry_after <= ROUND_SECONDS
    for _ in range(2):
        refused("BAD_REQUEST", operator.call, chunk(altered, 0))
    office.sleep()
    assert other.push(blob)
    assert operator.push(parameters(serial=3, first_epoch=1))


def test_without_a_clock_one_signature_fails_in_the_seconds_of_a_round():
    blob = parameters(serial=2, first_epoch=1)
    altered = blob[:239] + bytes((blob[239] ^ 1,)) + blob[240:]
    office = Office(clock_known=False)
    connection = Connection(office.relay)
    refused("BAD_REQUEST", connection.call, chunk(altered, 0))
    assert refused("BUSY", connection.call, chunk(blob, 0)).retry_after == ROUND_SECONDS
    office.ticks += 1000 * ROUND_SECONDS
    assert connection.push(blob)


# -- bad input


def test_a_push_cut_at_any_byte_leaves_everything_as_it_was():
    blob = short()
    office = Office()
    files = dict(office.directory.files)
    session = Anybody()
    for length in range(0, len(blob), board_step(97)):
        for number in range(length // 240):
            assert not give(office, session, len(blob), number, blob[240 * number : 240 * (number + 1)])
        raises(BadRequest, give, office, session, len(blob), length // 240, blob[length // 240 * 240 : length])
        assert memory(office) == [None, None] and office.directory.files == files
    give(office, session, len(blob), 0, blob[:240])
    office.relay.leave(session)  # the connection ends there
    assert memory(office) == [None, None]
    assert Connection(office.relay).push(blob)


def test_a_set_that_ends_early_is_refused_whole():
    """Pushed as an object of its own, of the length that is left."""
    blob = short()
    office = Office()
    for length in range(1, len(blob), board_step(97)):
        raises(BadRequest, give, office, Anybody(), length, 0, blob[: min(240, length)])
    assert memory(office) == [None, None] and office.relay.parameters.newest.serial == 1


def test_a_set_with_any_byte_changed_is_refused_and_changes_nothing():
    blob = short()
    office = Office()
    files = dict(office.directory.files)
    for at in range(0, len(blob), board_step(97)):
        altered = blob[:at] + bytes((blob[at] ^ (1 << at % 8),)) + blob[at + 1 :]
        cable = Cable()
        try:
            for number in range((len(blob) + 239) // 240):
                give(office, cable, len(blob), number, altered[240 * number : 240 * (number + 1)])
        except BadRequest:
            pass
        else:
            raise AssertionError("byte {} may be changed".format(at))
        assert office.directory.files == files and memory(office) == [None, None]
    assert Connection(office.relay).call(wire.info())[3] == 1


def test_chunks_that_break_the_rules_forget_the_push_and_keep_nobody_waiting():
    blob = parameters(serial=2, first_epoch=1)
    for wrong in (
        wire.push(len(blob), 2, blob[480:720]),
        wire.push(len(blob), 0xFFFF, b""),
        wire.push(len(blob), 1, blob[240:479]),
        wire.push(len(blob) - 1, 1, blob[240:480]),
        wire.push(0, 0, b""),
    ):
        office = Office()
        one, other = Connection(office.relay), Connection(office.relay)
        refused("BAD_REQUEST", one.call, chunk(blob, 1))
        one.call(chunk(blob, 0))
        refused("BAD_REQUEST", one.call, wrong)
        assert memory(office) == [None, None]
        assert other.call(chunk(blob, 0))[1] == 0
        refused("BAD_REQUEST", one.call, chunk(blob, 1))


def test_what_may_not_follow_is_refused_with_the_reason_and_changes_nothing():
    office = Office(serial=5)
    decreasing = parameters(serial=6, thresholds=table()[8:16] + table()[:8])
    refused("BAD_REQUEST", Connection(office.relay).push, decreasing)
    other = curve.public(b"\x05" * 32)
    two = [relay_fields(6), relay_fields(6, static_key=other, relay_id=2, column=another_column())]
    whole = params.Parameters(signed(fields(serial=6, relays=two)))
    for blob in (
        parameters(serial=4, first_epoch=1),  # replayed old sets
        parameters(serial=5),
        whole.blob,
        parameters(serial=6, relays=[two[1]]),
        parameters(serial=6, reading_key=b"x" * 32, reading_hash=params.reading_hash(READING_KEY)),
        parameters(serial=6, log2_buckets=9),
    ):
        params.Parameters(blob).verify()
        files = dict(office.directory.files)
        refused("BAD_REQUEST", Connection(office.relay).push, blob)
        assert office.directory.files == files
    assert Connection(office.relay).call(wire.info())[3] == 5
    assert Connection(office.relay).push(whole.copy_for(1))


def test_a_cell_that_the_memory_has_no_room_for_is_refused():
    blob = parameters(serial=2, first_epoch=1)
    largest = params.Parameters(blob).largest_cell
    assert largest == 2 * 2 * 16 + len(table()) // 8
    for records_, taken in ((largest, True), (largest - 1, False)):
        office = Office()
        office.relay.machine = Machine()
        office.relay.machine.cell_records = records_
        if taken:
            assert Connection(office.relay).push(blob)
        else:
            refused("BAD_REQUEST", Connection(office.relay).call, chunk(blob, 0))


# -- who holds a place


def test_one_set_at_a_time_and_the_operators_beside_it():
    office = Office()
    one, other, operator = Connection(office.relay), Connection(office.relay), Connection(office.relay)
    operator.operate()
    blob = parameters(serial=2, first_epoch=1)
    one.call(chunk(blob, 0))
    assert refused("BUSY", other.call, chunk(blob, 0)).retry_after == 10
    newer = parameters(serial=3, first_epoch=1)
    operator.call(chunk(newer, 0))
    assert all(data is not None for data in memory(office))
    office.relay.leave(one.session)
    assert other.push(blob)
    for number in range(1, (len(newer) + 239) // 240):
        operator.call(chunk(newer, number))
    assert one.call(wire.info())[3] == 3


def test_of_two_sets_at_once_the_older_one_is_refused_when_the_newer_is_there():
    office = Office()
    member, operator = Connection(office.relay), Connection(office.relay)
    operator.operate()
    older, newer = parameters(serial=2, first_epoch=1), parameters(serial=3, first_epoch=1)
    last = (len(older) + 239) // 240 - 1
    for number in range(last):
        member.call(chunk(older, number))
    assert operator.push(newer)
    refused("BAD_REQUEST", member.call, chunk(older, last))
    assert office.relay.parameters.newest.serial == 3


def test_a_push_that_stalls_gives_way_to_another():
    office = Office()
    blob = parameters(serial=2, first_epoch=1)
    stalled, other = Connection(office.relay), Connection(office.relay)
    stalled.call(chunk(blob, 0))
    refused("BUSY", other.push, blob)
    office.pass_time(9_000)
    refused("BUSY", other.push, blob)
    office.pass_time(1_000)
    assert other.push(blob)
    refused("BAD_REQUEST", stalled.call, chunk(blob, 1))


def test_a_push_that_trickles_gives_way_after_two_minutes():
    office = Office()
    blob = parameters(serial=2, first_epoch=1, thresholds=LONGER)
    assert len(blob) > 14 * 240
    trickle, other = Connection(office.relay), Connection(office.relay)
    started, number = office.ticks, 0
    while office.ticks - started < 120_000:
        trickle.call(chunk(blob, number))
        refused("BUSY", other.push, blob)
        office.pass_time(9_000)
        number += 1
    assert other.push(blob)


def test_a_push_that_begins_again_and_again_gives_way_after_two_minutes():
    office = Office()
    blob = parameters(serial=2, first_epoch=30)
    holder, other = Connection(office.relay), Connection(office.relay)
    for _ in range(12):
        holder.call(chunk(blob, 0))
        refused("BUSY", other.call, chunk(blob, 0))
        office.pass_time(9_000)
        holder.call(chunk(blob, 1))
        office.pass_time(1_000)
    holder.call(chunk(blob, 0))  # nobody else wants the place
    other.call(chunk(blob, 0))
    refused("BUSY", holder.call, chunk(blob, 0))
    assert other.push(blob)


def test_a_push_goes_on_while_its_epoch_ends_and_takes_effect_in_the_next():
    office = Office()
    blob = parameters(serial=2, first_epoch=1)
    connection = Connection(office.relay)
    last = (len(blob) + 239) // 240 - 1
    for number in range(last):
        connection.call(chunk(blob, number))
    office.sleep(EPOCH_ROUNDS)
    assert connection.call(chunk(blob, last))[1] == 1
    assert [office.relay.parameters.rule(epoch).serial for epoch in (1, 2)] == [1, 2]


# -- what is seen of a set


def read_parameters(connection):
    _, total, _, data = connection.call(wire.params(0))
    number = 0
    while len(data) < total:
        number += 1
        data += connection.call(wire.params(number))[3]
    return data


def test_parameters_are_served_as_they_were_signed_with_the_relays_own_column():
    office = Office()
    connection = Connection(office.relay)
    assert read_parameters(connection) == parameters()
    refused("BAD_REQUEST", connection.call, wire.params(1000))
    other = curve.public(b"\x05" * 32)
    two = [relay_fields(2, static_key=other, relay_id=2, column=another_column()), relay_fields(2)]
    whole = params.Parameters(signed(fields(serial=2, relays=two)))
    assert connection.push(whole.copy_for(1))
    for _ in range(2):
        assert read_parameters(Connection(office.relay)) == whole.copy_for(1)
        office.boot()


def named(office):
    """(newest serial, newest digest, serial, digest of the set in force) as INFO tells them."""
    return Connection(office.relay).call(wire.info())[3:7]


def test_info_names_the_newest_set_and_the_one_in_force():
    office = Office()
    blobs = [parameters(), parameters(serial=2, first_epoch=1), parameters(serial=9, first_epoch=3)]
    first, second, third = [(one.serial, one.digest) for one in map(params.Parameters, blobs)]
    assert named(office) == first + first
    Connection(office.relay).push(blobs[1])
    assert named(office) == second + first
    office.sleep(EPOCH_ROUNDS)
    assert named(office) == second + second
    Connection(office.relay).push(blobs[2])
    for _ in range(2):
        assert named(office) == third + second
        office.sleep(EPOCH_ROUNDS)
    assert named(office) == third + third
    office.boot()
    assert named(office) == third + third


def test_pushed_parameters_take_effect_with_their_epoch_and_keep_served_cover():
    office = Office()
    office.sleep()
    before = Connection(office.relay).fetch(0, 1)
    changes = {"thresholds": LONGER, "access_key": b"\x42" * 32, "reading_key": b"\x43" * 32}
    assert office.member(1).push(parameters(serial=2, first_epoch=1, **changes))
    assert Connection(office.relay).fetch(0, 1) == before
    office.sleep(EPOCH_ROUNDS + 3)
    for _ in range(2):
        member = Connection(office.relay, access_key=b"\x42" * 32)
        member.authenticate(Token(0, office.relay.epoch))
        assert member.fetch(0, 1, 0, b"\x43" * 32) == before
        assert member.post(records(1)[0]) == office.relay.open_round
        office.boot()


def test_checkpoints_name_the_set_that_governed_their_epoch():
    from tessera.ledger import Checkpoint

    office = Office()
    digests = [params.Parameters(parameters()).digest]
    for epoch in range(1, 5):
        blob = parameters(serial=epoch + 1, first_epoch=epoch)
        digests.append(params.Parameters(blob).digest)
        Connection(office.relay).push(blob)
        office.sleep(EPOCH_ROUNDS)
    for epoch in range(4):
        checkpoint = Checkpoint(Connection(office.relay).call(wire.checkpoint(epoch))[1])
        assert checkpoint.parameter_digest == digests[epoch]


def test_more_buckets_come_and_go_with_their_sets():
    office = Office()
    record = records(1)[0]
    for serial, log2_buckets, in_force in ((2, 8, 1), (3, 0, 8)):
        Connection(office.relay).push(parameters(serial=serial, first_epoch=serial - 1, log2_buckets=log2_buckets))
        refused("BAD_REQUEST", office.member().post, record, 1 << in_force)
        posted = office.member(1).post(record, (1 << in_force) - 1)
        office.sleep(EPOCH_ROUNDS)
        for _ in range(2):
            assert Connection(office.relay).cell(posted, (1 << in_force) - 1).count(record) == 1
            office.boot()
    refused("BAD_REQUEST", office.member().post, record, 1)


def test_a_third_table_is_busy_until_the_time_that_was_said():
    office = Office()
    tables = [table() + 2 * number * table()[-8:] for number in range(3)]
    Connection(office.relay).push(parameters(serial=2, first_epoch=1, thresholds=tables[1]))
    office.sleep(EPOCH_ROUNDS + 2)
    third = parameters(serial=3, first_epoch=2, thresholds=tables[2])
    retry_after = refused("BUSY", Connection(office.relay).push, third).retry_after
    assert (retry_after, memory(office)) == ((RETENTION * EPOCH_ROUNDS - 2) * ROUND_SECONDS, [None, None])
    office.sleep(retry_after // ROUND_SECONDS - 1)
    refused("BUSY", Connection(office.relay).push, third)
    office.sleep()
    assert Connection(office.relay).push(third)
    assert Connection(office.relay).push(parameters(serial=4, first_epoch=2, thresholds=tables[1]))


# -- who reads and posts


def test_who_was_removed_reads_and_posts_nothing_sealed_after_its_last_epoch():
    """With everything it ever held, and any number of rotations later."""
    office = Office()
    record = records(1)[0]
    office.sleep(2)
    leaver = office.member(0)
    keys = [bytes((number,)) * 32 for number in range(1, 4)]
    tokens = [Token(0, epoch) for epoch in range(9)]  # ahead, of the generation before
    for number, key in enumerate(keys):
        changes = {"access_key": key, "reading_key": key, "generation": number + 1}
        column = b"".join([curve.public(_secret_of(number, epoch))[1:] for epoch in range(9)])
        blob = parameters(serial=number + 2, first_epoch=number + 1, epoch_keys=column, **changes)
        assert leaver.push(blob)  # whoever brings it
        if number == 0:
            assert leaver.fetch(0, 1)[1] == 1  # to the end of the epoch
        office.sleep(EPOCH_ROUNDS)
        refused("NOT_ADMITTED", leaver.fetch, 0, 1)
        refused("NOT_ADMITTED", leaver.post, record)
        epoch = office.relay.epoch
        refused("NOT_ADMITTED", Connection(office.relay, access_key=key).authenticate, tokens[epoch])
        if number >= 1:
            raises(BadFrame, Connection, office.relay)  # two newer access keys came
        member = Connection(office.relay, access_key=key)
        member.authenticate(Token(1, epoch, secret=_secret_of(number, epoch - number - 1)))
        sealed = office.relay.open_round - 1
        assert member.fetch(sealed, sealed + 1, 0, key)[1] == sealed + 1
        assert member.post(record) == sealed + 1
    assert office.relay.parameters.access_keys == [keys[2], keys[1]]


def _secret_of(generation, place):
    return epoch_secret(100 * (generation + 1) + place)


def test_members_with_the_access_key_before_are_let_in_until_two_newer_ones_came():
    office = Office()
    for serial, key in ((2, b"\x41" * 32), (3, b"\x41" * 32), (4, b"\x42" * 32)):
        Connection(office.relay).push(parameters(serial=serial, first_epoch=serial - 1, access_key=key))
        if serial < 4:
            office.sleep(EPOCH_ROUNDS)
    Connection(office.relay, access_key=b"\x41" * 32)
    raises(BadFrame, Connection, office.relay, ACCESS_KEY)


def test_the_set_is_found_with_its_moment_of_effect_after_a_restart():
    office = Office()
    office.sleep(3 * EPOCH_ROUNDS)
    late = parameters(serial=2, first_epoch=1, log2_buckets=0)
    Connection(office.relay).push(late)
    office.boot()
    assert [office.relay.parameters.rule(epoch).buckets for epoch in (2, 3, 4)] == [2, 2, 1]
    office.sleep(EPOCH_ROUNDS)
    office.boot()
    assert [office.relay.parameters.rule(epoch).buckets for epoch in (2, 3, 4)] == [2, 2, 1]
    assert office.relay.parameters.newest.genesis == GENESIS and office.relay.static_key == RELAY_KEY
