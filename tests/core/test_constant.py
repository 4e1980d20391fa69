# board: long
# Constant batches at a relay (PROTOCOL §6, §8): every cell has C records whatever was posted, and no answer tells how
# many were.

from check import raises, share
from covering import cover_records
from office import (
    EPOCH_ROUNDS,
    FIRMWARE_DIGEST,
    LEDGER,
    ROUND_SECONDS,
    STATIC,
    Connection,
    Office,
    RamDirectory,
    Token,
    parameters,
    records,
    table,
)
from tessera import params, wire
from tessera.cover import EpochCover
from tessera.errors import InvalidObject, Refused
from tessera.relay import Identity, Relay

C = 4  # 2 members, 2 tokens each
CONSTANT = {"cover": params.CONSTANT, "constant": C, "thresholds": b"", "epsilon": 0, "delta": 0}
DELIVERY = {"cover": params.DELIVERY, "thresholds": table(), "epsilon": 2_000_000, "delta": 1 << 40}
DAY = dict(DELIVERY, cover=params.DAY, thresholds=table()[:56], deliveries=8, day_epsilon=2_000_000, day_delta=1)


def office(**changes):
    """An office with constant batches whose relay posts since the round before."""
    made = Office(**dict(CONSTANT, **changes))
    made.sleep()
    return made


def refused(name, function, *arguments):
    error = raises(Refused, function, *arguments)
    assert error.name == name, error.name
    return error


def busy(connection, record, bucket=0):
    """Seconds that a refused POST is told to wait."""
    return refused("BUSY", connection.post, record, bucket).retry_after


def batch(made, round_, bucket=0):
    return Connection(made.relay).cell(round_, bucket)


def dummies(made, round_, count, bucket=0):
    """The first dummies of a cell."""
    epochs = made.relay._epochs
    cover = EpochCover(epochs.cover_key(round_ // EPOCH_ROUNDS), b"", count)
    return cover_records(cover, bucket, round_)


def test_every_number_of_records_makes_the_same_number():
    made, posted = office(), {}
    for count in list(range(C + 1)) + [0, C]:
        round_ = made.relay.open_round
        posted[round_] = records(count, b"round %d" % round_)
        for number, record in enumerate(posted[round_]):
            assert made.member(number).post(record, bucket=number % 2) == round_
        made.sleep()
    for round_ in posted:
        for bucket in (0, 1):
            real = posted[round_][bucket::2]
            assert batch(made, round_, bucket) == sorted(real + dummies(made, round_, C - len(real), bucket))


def test_a_token_posts_once_a_round_whatever_its_sessions_and_buckets():
    made = office()
    one, another, third = records(3)
    connection = made.member()
    round_ = connection.post(one)
    assert connection.post(one) == round_  # its repetition is answered again, and not stored
    made.pass_time(2500)
    left = ROUND_SECONDS - 3 + 1  # three seconds of the round are over
    for again, bucket in ((another, 0), (another, 1), (one, 1)):
        assert busy(connection, again, bucket) == left
    second = made.member()  # the same token in another session
    assert busy(second, another) == left
    resumed = Connection(made.relay, resumption=second.secret)
    assert busy(resumed, one) == left  # which has no marks of the other session
    made.member(1).post(third)
    made.sleep()
    assert [record for record in batch(made, round_) if record in (one, another, third)] == sorted([one, third])
    assert connection.post(another) == round_ + 1
    assert busy(resumed, one) == left


def test_refused_posts_cost_no_quota():
    made = office(posts_per_token=8)
    connection = made.member()
    for number, record in enumerate(records(4)):
        connection.post(record)
        busy(connection, records(1, b"too soon")[0])
        assert made.member().authenticate(Token(0, 0)) == 7 - number
        made.sleep()


def test_the_second_post_is_answered_alike_whatever_is_stored():
    answers = []
    for others in range(C):
        made = office()
        connection = made.member()
        connection.post(records(1)[0])
        for number in range(others):
            made.member(1 + number).post(records(1, b"other")[0])
        answers.append(busy(connection, records(1, b"second")[0]))
    assert answers == answers[:1] * C


def test_a_post_that_the_storage_lost_has_had_its_round():
    # The mark comes before the page: what may be on flash is counted.
    made = office()
    connection = made.member()
    program = made.ring.writeblocks

    def fail(*arguments):
        raise OSError(5)

    made.ring.writeblocks = fail
    raises(OSError, connection.post, records(1)[0])
    made.ring.writeblocks = program
    busy(connection, records(1)[0])
    made.sleep()
    connection.post(records(1)[0])


def test_in_the_round_of_the_very_first_start_everybody_may_post_and_of_the_next_nobody():
    made = Office(**CONSTANT)
    for number in range(C):
        made.member(number).post(records(1, b"%d" % number)[0])
        busy(made.member(number), records(1)[0])
    made.boot()
    for number in range(C):
        busy(made.member(number), records(1)[0])


def test_nobody_posts_in_the_round_of_a_start_whatever_was_posted_in_it():
    answers = []
    for posts in range(C + 1):
        made = office()
        round_ = made.relay.open_round
        for number in range(posts):
            made.member(number).post(records(1, b"%d" % number)[0])
        made.pass_time(3500)
        for _ in range(2):
            made.boot()
            assert made.relay.open_round == round_
            answers.append([busy(made.member(number), records(1)[0]) for number in range(C)])
        made.sleep()
        assert len(batch(made, round_)) == C
        made.member().post(records(1)[0])
    assert answers == [[ROUND_SECONDS - 4 + 1] * C] * 2 * (C + 1)


def test_the_seal_of_rounds_that_were_missed_ends_no_wait():
    made = office()
    made.pass_time(1000 * ROUND_SECONDS)
    made.boot()  # and the round before it is sealed by the start itself
    busy(made.member(), records(1)[0])
    made.sleep()
    made.member().post(records(1)[0])


def test_a_clock_that_was_borne_out_late_opens_no_round_for_posts():
    made = office()
    made.pass_time(1000 * ROUND_SECONDS * 3)
    made.boot()
    assert made.relay.clock.provisional
    connection = made.member()  # its token bears the clock out
    assert not made.relay.clock.provisional
    busy(connection, records(1)[0])
    made.sleep()
    connection.post(records(1)[0])


def test_no_more_tokens_than_places_have_leases_in_an_epoch():
    made = office()
    for number in range(C):
        made.member(number).post(records(1, b"%d" % number)[0])
    fifth = made.member(C)  # an issuer signed one too many
    refused("QUOTA", fifth.post, records(1)[0])
    refused("QUOTA", fifth.post, records(1)[0])  # not marked
    made.sleep()
    refused("QUOTA", fifth.post, records(1)[0])
    made.boot()
    made.sleep()
    refused("QUOTA", made.member(C).post, records(1)[0])
    for number in range(C):  # whose second leases are no first ones
        made.member(number).post(records(1, b"%d" % number)[0])
    made.sleep(EPOCH_ROUNDS)
    made.member(C).post(records(1)[0])


def test_with_a_table_a_token_posts_as_often_as_it_likes_and_from_the_start_on():
    for changes in (DELIVERY, DAY):
        made = Office(**changes)
        for number in range(C + 1):
            connection = made.member(number)
            for record in records(2, b"%d" % number):
                connection.post(record)
        made.boot()
        made.member(0).post(records(1, b"again")[0])


def test_a_cell_with_more_records_than_places_is_a_fault_and_not_served():
    made = office()
    round_ = made.relay.open_round
    for number in range(C + 1):  # as no relay stores them
        made.relay._log.append(round_, 0, records(1, b"%d" % number)[0], made.relay._epochs.ciphers[0])
    made.sleep()
    reader = Connection(made.relay)
    refused("FAULT", reader.cell, round_)
    assert len(reader.cell(round_, bucket=1)) == len(reader.cell(round_ - 1)) == C


def test_the_kind_changes_from_one_set_to_the_next_and_kept_cells_stay():
    made, expected = Office(**DELIVERY), {}
    kinds = [DELIVERY, CONSTANT, DAY, CONSTANT]
    for epoch, changes in enumerate(kinds):
        if epoch + 1 < len(kinds):
            blob = parameters(serial=epoch + 2, first_epoch=epoch + 1, **kinds[epoch + 1])
            assert Connection(made.relay).push(blob)
        made.sleep()
        round_ = made.relay.open_round
        posts = [made.member(number).post(records(1, b"%d" % number)[0]) for number in range(2)]
        assert posts == [round_, round_]
        made.sleep()
        expected[round_] = batch(made, round_)
        assert (len(expected[round_]) == C) == (changes is CONSTANT), epoch
        for kept in share(list(expected), 1):
            if kept >= made.relay.first_round:
                assert batch(made, kept) == expected[kept], (epoch, kept)
        made.boot()
        assert batch(made, round_) == expected[round_]
        made.sleep(EPOCH_ROUNDS - 2)
    assert len(expected) == 4


def test_commissioning_shows_batches_of_dummies():
    made = Office(**CONSTANT)
    epoch, key = made.relay.commissioning_key()
    made.sleep()
    shown = made.relay.commissioning_batch(1, 0)
    assert epoch == 0 and shown.count == C
    assert Connection(made.relay).cell(0, 1) == sorted(cover_records(EpochCover(key, b"", C), 1, 0))


def test_a_damaged_record_leaves_a_batch_its_size_and_status_says_so():
    made = office()
    round_ = made.relay.open_round
    for number in range(3):
        made.member(number).post(records(1, b"%d" % number)[0])
    made.sleep()
    before = batch(made, round_)
    page = made.relay._log.pages_of(0, round_, 3)[0]
    assert not status_flags(made) & wire.DAMAGED
    content = bytearray(made.ring.get(page * 256, 256))
    content[99] ^= 1
    made.ring.put(page * 256, content)
    made.boot()
    after = batch(made, round_)
    assert len(after) == C and len(set(before) & set(after)) == C - 1
    assert status_flags(made) & wire.DAMAGED
    made.boot()
    assert batch(made, round_) == after


def status_flags(made):
    return Connection(made.relay).call(wire.status())[8]


class _Flash:
    """Sectors enough for these parameters, none of which is read."""

    def ioctl(self, operation, argument):
        return 96


def test_more_places_than_a_window_makes_room_for_are_refused():
    directory, identity = RamDirectory(), Identity(STATIC, LEDGER, b"chip", FIRMWARE_DIGEST)
    for members, fits in ((56, True), (57, False)):
        changes = dict(CONSTANT, members=members, constant=2 * members, posts_per_token=4)
        directory.replace("parameters", parameters(**changes))
        made = _Flash(), _Flash(), directory, identity, bytes
        if fits:
            assert Relay(*made).parameters.newest.constant == 112
        else:
            assert "112" in str(raises(InvalidObject, Relay, *made))
