# heap: 16m
# board: long
# What time it is for a relay: what it believes after a start, what bears that out, and that whoever forges a time gains
# nothing that lasts (PROTOCOL §3).

import gc

from check import raises
from faultydevice import FaultyDevice
from office import (
    EPOCH_ROUNDS,
    GENESIS,
    KEYRING_SECTORS,
    RETENTION,
    ROUND_SECONDS,
    Connection,
    Office,
    Token,
    epoch_keys,
    epoch_secret,
    parameters,
    records,
    time_statement,
)
from ramdevice import fingerprint, holds
from tessera import wire
from tessera.errors import Refused
from tessera.ledger import Checkpoint

EPOCH_MS = 1000 * ROUND_SECONDS * EPOCH_ROUNDS


def refused(name, function, *arguments):
    error = raises(Refused, function, *arguments)
    assert error.name == name, error.name
    return error


def reading(office, unix_ms):
    """A network clock answers."""
    office.relay.clock.correct(unix_ms)
    office.turn()


def booted_at(office, unix_ms):
    """Boot with a clock that is forged; the true time stays in the office. The state on flash afterwards."""
    true_ms, office.unix_ms = office.unix_ms, unix_ms
    office.boot()
    office.unix_ms = true_ms
    return fingerprint(office.keys)


def bear_witness(office, epoch, number=0):
    """What the relay says to a token of this epoch: None or a Refused."""
    try:
        Connection(office.relay).authenticate(Token(number, epoch))
    except Refused as error:
        return error
    return None


# -- times that are refused


def test_rounds_never_go_back():
    office = Office()
    office.sleep(5)
    office.unix_ms -= 10_000  # a clock that led by a round; one that is earlier is refused
    office.boot()
    assert office.relay.open_round == 5
    office.member().post(records(1)[0])
    office.unix_ms -= 400
    office.boot()
    assert office.relay.open_round == 5
    office.unix_ms -= 10_000
    office.boot()
    assert office.relay.open_round is None
    reading(office, office.unix_ms + 10_000)
    assert office.relay.open_round == 5


def test_a_clock_before_genesis_or_before_the_last_seal_is_refused_wherever_it_is_set():
    office = Office()
    office.boot(clock_known=False)
    clock = office.relay.clock
    for early in (0, 1000 * GENESIS - 1):
        clock.set(early)
        clock.correct(early)
        office.turn()
        assert not clock.known and office.relay.open_round is None
    clock.set(office.unix_ms)
    office.turn()
    office.sleep(5)
    right = office.unix_ms
    office.boot(clock_known=False)
    clock = office.relay.clock
    for set_clock in (clock.set, clock.correct):
        set_clock(right - 3 * 1000 * ROUND_SECONDS)
        assert not clock.known
    clock.correct(right)  # it is the first that is possible, and so taken as it is
    office.turn()
    assert office.relay.open_round == 5 and clock.now_ms() == right


def test_a_time_whose_round_the_record_log_cannot_keep_is_refused():
    office = Office(clock_known=False)
    last = 0x3FFFFFFE
    for unix_seconds, known in ((GENESIS + ROUND_SECONDS * last + 1, False), (GENESIS + ROUND_SECONDS * last, True)):
        reading(office, 1000 * unix_seconds)
        assert office.relay.clock.known == known
    assert office.relay.open_round == last and office.relay.clock.provisional


# -- what bears a time out


def test_a_relay_that_never_sealed_makes_nothing_durable_before_its_time_is_borne_out():
    for bears_out in ("a token", "a statement", "an epoch", "the console"):
        office = Office(clock_known=False)
        keys = fingerprint(office.keys)
        reading(office, office.unix_ms)
        office.sleep(2)
        assert office.relay.clock.provisional and fingerprint(office.keys) == keys
        if bears_out == "a token":
            office.member().post(records(1)[0])
        elif bears_out == "a statement":
            office.state_time()
        elif bears_out == "an epoch":
            office.sleep(EPOCH_ROUNDS)
        else:
            office.relay.commissioning_key()
        assert not office.relay.clock.provisional and fingerprint(office.keys) != keys


def test_a_relay_that_never_sealed_is_borne_out_in_the_epoch_after_its_first_one_at_the_latest():
    for ahead in (0, 1, 2, 8):
        office = Office(clock_known=False, first_epoch=3)
        reading(office, office.unix_ms + EPOCH_MS * (3 + ahead))
        error = bear_witness(office, 3 + ahead)
        assert (error is None) == (ahead <= 1), ahead
        assert error is None or (error.name, error.retry_after) == ("NOT_READY", 30)


def test_a_start_within_a_round_of_the_last_seal_is_not_provisional():
    for rounds in (1, 2):
        office = Office()
        office.sleep(3)
        office.pass_time(1000 * ROUND_SECONDS * rounds)
        office.boot()
        assert office.relay.clock.provisional == (rounds == 2)


def test_a_token_of_the_next_epoch_bears_out_a_clock_and_none_that_was_issued_further_ahead():
    for ahead in range(1, 9):
        office = Office()
        office.sleep()
        office.pass_time(EPOCH_MS * ahead)
        office.boot()
        keys = fingerprint(office.keys)
        error = bear_witness(office, ahead)
        if ahead == 1:
            assert error is None and not office.relay.clock.provisional
            assert office.member(1).post(records(1)[0]) == EPOCH_ROUNDS + 1
        else:
            assert (error.name, error.retry_after) == ("NOT_READY", 30)
            assert office.relay.clock.provisional and fingerprint(office.keys) == keys


def test_start_after_start_takes_no_relay_from_epoch_to_epoch():
    # Each start under a time one epoch further, each with a token of that epoch, as members have them for eight: only
    # an epoch in which the relay was for an eighth of its rounds is one that the next may follow.
    office = Office()
    office.sleep()
    for epoch in range(1, 9):
        booted_at(office, office.unix_ms + EPOCH_MS * epoch)
        error = bear_witness(office, epoch)
        assert (error is None) == (epoch == 1), epoch
    assert office.relay._keyring.sealed_next == EPOCH_ROUNDS + 1
    office.pass_time(EPOCH_MS)  # the epoch has come, and passes
    office.boot()
    office.sleep()
    office.pass_time(EPOCH_MS)
    office.boot()
    assert office.relay.clock.provisional and bear_witness(office, 2) is None


def test_a_token_of_the_last_seals_epoch_bears_out_a_clock_however_short_the_relay_was_there():
    office = Office()
    office.pass_time(3 * ROUND_SECONDS * 1000)
    office.boot()
    assert office.relay.clock.provisional and bear_witness(office, 0) is None
    assert office.relay.clock_accepted


def test_a_time_statement_bears_out_a_clock_that_it_is_behind_of_by_an_epoch_at_most():
    for late_seconds, believed in ((0, True), (EPOCH_MS // 1000, True), (EPOCH_MS // 1000 + 1, False)):
        office = Office()
        office.pass_time(20 * EPOCH_MS)
        keys = booted_at(office, office.unix_ms)
        statement = time_statement(office.unix_ms // 1000 - late_seconds)
        assert Connection(office.relay).push(statement)
        assert office.relay.clock.provisional != believed
        assert office.relay.clock.now_ms() == office.unix_ms
        assert (fingerprint(office.keys) == keys) != believed
        assert bear_witness(office, 20) is None or not believed


def test_a_clock_becomes_a_later_statements_and_is_borne_out():
    for known in (False, True):
        office = Office()
        office.pass_time(20 * EPOCH_MS)
        booted_at(office, office.unix_ms - 10 * EPOCH_MS)
        if not known:
            office.boot(clock_known=False)
        assert Connection(office.relay).push(time_statement(office.unix_ms // 1000))
        assert office.relay.clock.now_ms() == office.unix_ms // 1000 * 1000
        assert office.relay.epoch == 20 and not office.relay.clock.provisional
        assert office.member().post(records(1)[0]) == 20 * EPOCH_ROUNDS


def test_a_statement_that_is_over_is_taken_and_changes_nothing():
    office = Office()
    office.sleep(5)
    for known in (True, False):
        office.boot(known)
        now_ms = office.relay.clock.now_ms() if known else None
        assert Connection(office.relay).push(time_statement(GENESIS + ROUND_SECONDS))
        assert (office.relay.clock.now_ms() if known else None) == now_ms
        assert office.relay.clock.known == known


def test_a_statement_of_another_root_key_or_federation_is_refused():
    office = Office()
    later = office.unix_ms // 1000 + 5 * ROUND_SECONDS
    for wrong in (time_statement(later, federation_id=b"another office!!"), time_statement(later, root=b"\x05" * 32)):
        refused("BAD_REQUEST", Connection(office.relay).push, wrong)
        assert office.relay.clock.now_ms() == office.unix_ms
    refused("BUSY", Connection(office.relay).push, time_statement(later))  # one signature a round may fail
    office.sleep()
    assert Connection(office.relay).push(time_statement(later))
    assert office.relay.clock.now_ms() == 1000 * later


def test_a_clock_far_ahead_is_believed_after_an_epoch_of_uptime():
    office = Office()
    office.pass_time(20 * EPOCH_MS)
    office.boot()
    office.sleep(EPOCH_ROUNDS - 1)
    assert office.relay.clock.provisional
    office.sleep(2)
    office.boot()
    assert office.relay.open_round == 21 * EPOCH_ROUNDS + 1
    assert not office.relay.clock.provisional


def test_an_epoch_of_uptime_is_counted_from_the_reading_that_moved_the_clock():
    office = Office()
    office.pass_time(3 * EPOCH_MS)
    office.boot()
    office.sleep(EPOCH_ROUNDS - 1)
    reading(office, office.unix_ms + 17 * EPOCH_MS)
    office.sleep(2)
    assert office.relay.clock.provisional
    for _ in range(EPOCH_ROUNDS):
        office.sleep()
        reading(office, office.unix_ms + 17 * EPOCH_MS + 400)  # as a network clock says it
    assert not office.relay.clock.provisional


def test_keys_past_retention_go_when_the_clock_is_borne_out_and_not_before():
    office = Office()
    office.member().post(records(1)[0])
    office.sleep()
    page_key = office.relay._keyring.epochs[0][0]
    office.pass_time(20 * EPOCH_MS)
    for _ in range(2):  # a power cut does not shorten it
        office.boot()
        refused("TOO_OLD", Connection(office.relay).fetch, 0, 1)
        office.sleep(EPOCH_ROUNDS - 1)
        assert holds(office.keys, page_key)
    office.sleep(2)
    assert not holds(office.keys, page_key)


# -- a provisional clock


def test_under_a_provisional_clock_sealed_rounds_are_served_and_nothing_new_is_sealed():
    office = Office()
    record = records(1)[0]
    office.member().post(record)
    office.sleep(2)
    cell = Connection(office.relay).cell(0)
    keys = booted_at(office, office.unix_ms + EPOCH_MS * RETENTION)
    for _ in range(EPOCH_ROUNDS - 2):
        reader = Connection(office.relay)
        assert reader.call(wire.info())[2] == wire.PROVISIONAL
        assert reader.call(wire.info())[7] == office.relay.open_round > 2
        rounds, following = reader.fetch(0, 16)
        assert (sorted(rounds), following, rounds[0]) == ([0, 1], 2, cell)
        refused("NOT_ADMITTED", reader.post, record)
        assert reader.call(wire.params(0))[1] == len(parameters())
        refused("TOO_OLD", reader.call, wire.checkpoint(0))
        office.sleep()
    assert fingerprint(office.keys) == keys


# -- the games


def test_a_forged_time_writes_nothing_and_gives_way_to_the_true_one():
    record = records(1)[0]
    for heal in ("a later answer", "a reboot", "a statement"):
        for rounds in (3, 120):
            office = Office()
            office.member().post(record)
            office.sleep()
            keys = booted_at(office, office.unix_ms + 1000 * ROUND_SECONDS * rounds)
            for helper in range(9):  # with tokens of every epoch that the issuer gives any
                error = bear_witness(office, helper, helper)
                assert error is not None or rounds == 3
            if rounds == 3:
                continue  # in the epoch of the last seal: its tokens are taken, see below
            assert office.relay.open_round == rounds + 1
            assert fingerprint(office.keys) == keys
            if heal == "a reboot":
                office.boot()
            elif heal == "a statement":
                Connection(office.relay).push(time_statement(office.unix_ms // 1000))
                assert office.relay.clock.provisional  # it is too old for a clock that far ahead
                reading(office, office.unix_ms)
            else:
                reading(office, office.unix_ms)
            assert office.relay.open_round == 1 and not office.relay.clock.provisional
            assert office.member(3).cell(0).count(record) == 1


def test_a_forged_time_ahead_wins_an_epoch_at_most_with_a_members_help():
    """Whatever token it has: what is kept is what an epoch later would be kept, and after it all is as it would be."""
    for ahead in range(1, 9):
        office = Office()
        office.sleep(2)
        booted_at(office, office.unix_ms + EPOCH_MS * ahead)
        bear_witness(office, ahead)
        assert office.relay._keyring.sealed_next <= 2 * EPOCH_ROUNDS
        office.boot()
        for _ in range(2 * EPOCH_ROUNDS):
            office.sleep()
            reading(office, office.unix_ms)
        assert office.relay.open_round == 2 + 2 * EPOCH_ROUNDS and not office.relay.clock.provisional
        assert office.member(1).post(records(1)[0]) == office.relay.open_round


def test_a_forged_time_behind_with_a_members_help_ends_with_the_first_statement():
    """Whoever has a token left over from the epoch of the last seal bears out a clock that was held back."""
    office = Office()
    office.sleep(2)
    office.pass_time(9 * EPOCH_MS)
    booted_at(office, office.unix_ms - 9 * EPOCH_MS + 20_000)
    assert office.relay.clock.provisional and bear_witness(office, 0) is None
    assert office.relay.clock_accepted and office.relay.epoch == 0
    reading(office, office.unix_ms)
    assert office.relay.epoch == 0  # a network clock moves it by a round an epoch
    assert Connection(office.relay).push(time_statement(office.unix_ms // 1000))
    assert office.relay.epoch == 9
    assert office.member(1).post(records(1)[0]) == 9 * EPOCH_ROUNDS + 2


def test_a_clock_that_was_held_back_gives_way_to_a_better_reading():
    office = Office()
    office.sleep(2)
    office.pass_time(9 * EPOCH_MS)
    keys = booted_at(office, office.unix_ms - 5 * EPOCH_MS)
    reading(office, office.unix_ms)
    assert office.relay.epoch == 9 and fingerprint(office.keys) == keys


def test_a_time_forged_after_a_clock_was_accepted_moves_it_by_a_round_an_epoch():
    office = Office()
    office.sleep(2)
    for _ in range(5):
        reading(office, office.unix_ms + 9 * EPOCH_MS)
        reading(office, office.unix_ms - EPOCH_MS)
    assert office.relay.clock.now_ms() == office.unix_ms + 1000 * ROUND_SECONDS


# -- without a clock


def test_without_a_clock_only_what_needs_none_is_answered():
    office = Office()
    office.boot(clock_known=False)
    connection = Connection(office.relay)
    for request in (wire.info(), wire.params(0), wire.checkpoint(0), Token(0, 0).request(bytes(32))):
        refused("NOT_READY", connection.call, request)
    refused("NOT_READY", connection.fetch, 0, 1)
    connection.operate()
    assert connection.push(parameters(serial=2, first_epoch=0))
    assert connection.push(time_statement(office.unix_ms // 1000))
    assert Connection(office.relay).call(wire.info())[3] == 2


def test_a_set_that_came_without_a_clock_governs_no_round_that_was_served():
    office = Office()
    office.sleep(EPOCH_ROUNDS + 2)
    cell = Connection(office.relay).cell(EPOCH_ROUNDS)
    office.boot(clock_known=False)
    assert Connection(office.relay).push(parameters(serial=2, first_epoch=0, log2_buckets=0))
    office.relay.clock.set(office.unix_ms)
    office.turn()
    assert [office.relay.parameters.rule(epoch).serial for epoch in range(4)] == [1, 1, 2, 2]
    assert Connection(office.relay).cell(EPOCH_ROUNDS) == cell


def test_a_set_that_came_under_a_provisional_clock_admits_its_own_tokens():
    office = Office()
    office.sleep()
    office.pass_time(EPOCH_MS)
    office.boot()
    shifted = parameters(serial=2, first_epoch=0, epoch_keys=epoch_keys()[32:])
    assert office.relay.clock.provisional and Connection(office.relay).push(shifted)
    assert bear_witness(office, 1).name == "NOT_ADMITTED"
    Connection(office.relay).authenticate(Token(0, 1, secret=epoch_secret(2)))
    assert office.relay.clock_accepted


# -- the end of a schedule


def test_after_the_schedule_rounds_are_sealed_and_served_and_nobody_is_admitted():
    office = Office(epoch_keys=epoch_keys()[: 32 * 2])
    office.sleep(2 * EPOCH_ROUNDS - 1)
    record = records(1)[0]
    posted = office.member().post(record)
    office.sleep(2)
    for boots in range(3):
        error = bear_witness(office, office.relay.epoch)
        assert error.name == "NOT_ADMITTED"
        reader = Connection(office.relay)
        assert reader.cell(posted).count(record) == 1
        assert reader.call(wire.info())[7] == office.relay.open_round == 2 * EPOCH_ROUNDS + 1 + boots
        office.pass_time(1000 * ROUND_SECONDS)
        office.boot()
    office.sleep(EPOCH_ROUNDS)
    assert Checkpoint(Connection(office.relay).call(wire.checkpoint(2))[1]).epoch == 2


def test_a_set_that_comes_after_the_schedule_admits_from_the_next_epoch_on():
    office = Office(epoch_keys=epoch_keys()[: 32 * 2])
    office.sleep(4 * EPOCH_ROUNDS + 2)
    assert Connection(office.relay).push(parameters(serial=2, first_epoch=2))
    assert bear_witness(office, 4).name == "NOT_ADMITTED"
    office.sleep(EPOCH_ROUNDS)
    assert office.member().post(records(1)[0]) == office.relay.open_round


# -- flash that fails while a clock is borne out


def test_an_epoch_whose_keys_did_not_reach_the_flash_is_not_served():
    for pages in (range(KEYRING_SECTORS * 16), range(32, 64), range(32)):  # of both banks, or of one
        serves_no_epoch_without_keys(pages)  # one relay at a time finds room on a board
        gc.collect()


def serves_no_epoch_without_keys(pages):
    record = records(1)[0]
    office = Office()
    office.sleep()
    office.keys = FaultyDevice(office.keys)
    office.pass_time(EPOCH_MS)
    office.boot()
    office.keys.worn = pages
    member = Connection(office.relay)
    try:
        member.authenticate(Token(0, 1))  # settles the clock: a mark, then a rewrite with the epoch's keys
    except Refused as refusal:
        assert refusal.name == "FAULT"
    office.keys.worn = ()
    office.turn()
    round_ = office.member().post(record)
    office.sleep()
    served = office.member().cell(round_)
    assert served.count(record) == 1
    office.boot()
    assert office.member().cell(round_) == served


def test_an_epoch_that_opened_though_the_old_keys_do_not_erase_is_served_when_they_do():
    record = records(1)[0]
    office = Office()
    office.sleep(RETENTION * EPOCH_ROUNDS + 1)
    old = office.relay._keyring.epochs[0][0]
    office.keys = FaultyDevice(office.keys)
    office.pass_time(EPOCH_MS)
    office.boot()
    office.keys.erases = False
    refused("FAULT", office.member)
    office.keys.erases = True
    office.turn()
    assert sorted(office.relay._epochs.ciphers) == sorted(office.relay._keyring.epochs)
    round_ = office.member().post(record)
    office.sleep()
    assert office.member().cell(round_).count(record) == 1
    office.sleep(EPOCH_ROUNDS)
    assert not holds(office.keys._device, old)
