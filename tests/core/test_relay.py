# heap: 16m
# board: long
# What a relay promises its members, on flash in memory and without sockets: records, rounds, epochs, restarts.

import gc

from check import heap_only, raises
from faultydevice import FaultyDevice
from office import (
    EPOCH_ROUNDS,
    FIRMWARE_DIGEST,
    GENESIS,
    KEYRING_SECTORS,
    LEDGER_KEY,
    RETENTION,
    ROOT,
    ROUND_SECONDS,
    Connection,
    Office,
    Token,
    epoch_keys,
    parameters,
    records,
    table,
)
from ramdevice import RamDevice, fingerprint, holds
from tessera import VERSION, curve, params, wire
from tessera.cover import EpochCover, next_state
from tessera.errors import BadFrame, BadRequest, Fault, InvalidObject, NotAdmitted, Refused
from tessera.hashes import sha256, tagged
from tessera.keyring import KeyRing
from tessera.ledger import Checkpoint


def refused(name, function, *arguments):
    error = raises(Refused, function, *arguments)
    assert error.name == name, error.name
    return error


def test_posted_records_appear_once_in_the_round_the_ack_named():
    office = Office()
    member = office.member()
    posted = records(5)
    assert [member.post(record) for record in posted] == [0] * 5
    office.sleep()
    assert [member.post(record) for record in records(2, b"later")] == [1] * 2
    office.sleep()
    batch = member.cell(0)
    assert [batch.count(record) for record in posted] == [1] * 5
    assert not [record for record in member.cell(1) if record in posted]


def test_a_batch_is_sorted_and_the_same_for_every_reader():
    office = Office()
    first, second = office.member(0), office.member(1)
    for record in records(9):
        first.post(record, 1)
    office.sleep()
    batch = first.cell(0, 1)
    assert batch == sorted(batch)
    assert batch == second.cell(0, 1) == first.cell(0, 1)


def test_the_open_round_is_not_served():
    office = Office()
    member = office.member()
    member.post(records(1)[0])
    assert member.fetch(0, 5) == ({}, 0)
    office.sleep()
    rounds, following = member.fetch(0, 5)
    assert (sorted(rounds), following) == ([0], 1)


def test_a_served_round_never_changes():
    office = Office()
    member = office.member()
    member.post(records(1)[0])
    office.sleep()
    before = member.cell(0)
    for record in records(3, b"more"):
        assert member.post(record) == 1
    assert member.cell(0) == before
    office.boot()
    assert office.member(1).cell(0) == before


def test_acknowledged_records_survive_a_restart_in_the_open_round():
    office = Office()
    posted = records(20)
    for number in range(2):
        member = office.member(number)
        for record in posted[10 * number : 10 * number + 10]:
            member.post(record)
        office.boot()
    office.sleep()
    batch = office.member(2).cell(0)
    assert [batch.count(record) for record in posted] == [1] * 20


def test_many_restarts_neither_lose_nor_repeat_a_record():
    office = Office()
    posted = records(12)
    for number, record in enumerate(posted):
        office.member(number).post(record)
        office.boot()
        office.boot()
    office.sleep()
    batch = office.member(20).cell(0)
    assert [batch.count(record) for record in posted] == [1] * 12


def test_cover_of_a_cell_is_the_same_after_a_restart():
    office = Office()
    office.sleep(3)
    before = office.member(0).fetch(0, 3)
    office.boot()
    assert office.member(1).fetch(0, 3) == before


def test_rounds_the_relay_was_off_for_have_cover_too():
    office = Office()
    office.pass_time(4 * 10_000)
    office.boot()
    rounds, following = office.member().fetch(0, 5)
    assert sorted(rounds) == [0, 1, 2, 3] and following == 4
    assert sum(len(batch) for batch in rounds.values()) > 0


def test_a_repeated_post_counts_once_in_its_session_and_round_only():
    office = Office()
    member, other = office.member(0), office.member(1)
    record = records(1)[0]
    for _ in range(3):
        assert member.post(record) == 0
    other.post(record)
    office.sleep()
    member.post(record)
    office.sleep()
    assert member.cell(0).count(record) == 2
    assert member.cell(1).count(record) == 1


def test_the_last_16_posts_of_a_session_are_known_again():
    office = Office(members=1, posts_per_token=32)
    member = office.member()
    posted = records(17)
    for record in posted:
        member.post(record)
    for record in posted[::-1]:
        member.post(record)
    assert Connection(office.relay).authenticate(Token(0, 0)) == 32 - 18
    office.sleep()
    batch = member.cell(0)
    assert [batch.count(record) for record in posted] == [2] + [1] * 16


def test_remembering_posts_takes_no_memory():
    heap_only()
    office = Office()
    member = office.member()
    made = records(8)
    in_use = [0] * len(made)
    for number, record in enumerate(made):
        member.post(record)
        gc.collect()
        in_use[number] = gc.mem_alloc()
    assert len(set(in_use[2:])) == 1, in_use


def test_quota_is_per_token_across_sessions_and_restarts():
    office = Office()
    member = office.member()
    for record in records(10):
        member.post(record)
    assert Connection(office.relay).authenticate(Token(0, 0)) == 6
    office.boot()
    again = Connection(office.relay)
    assert again.authenticate(Token(0, 0)) == 0  # the lease of 16 that was open counts as used
    refused("QUOTA", again.post, records(1)[0])
    assert office.member(1).post(records(1)[0]) == 0


def test_a_refused_post_stores_nothing():
    office = Office()
    member = office.member()
    for record in records(16):
        member.post(record)
    flash = fingerprint(office.ring)
    refused("QUOTA", member.post, records(17)[16])
    refused("BAD_REQUEST", office.member(1).call, wire.post(2, records(1)[0]))
    refused("NOT_ADMITTED", Connection(office.relay).post, records(1)[0])
    assert fingerprint(office.ring) == flash


def test_the_first_post_of_a_lease_has_taken_it():
    office = Office(members=1, posts_per_token=32)
    for left in (16, 0):
        office.member().post(records(1)[0])
        office.boot()
        assert Connection(office.relay).authenticate(Token(0, 0)) == left


class _Unread:
    """Flash that is read once in vain: a program before that stays without an entry in the index."""

    def __init__(self, device):
        self._device = device
        self.readblocks = self._fail
        self.writeblocks = device.writeblocks
        self.ioctl = device.ioctl

    def _fail(self, *_):
        self.readblocks = self._device.readblocks
        raise OSError(5)


def test_a_record_that_an_error_left_on_flash_is_in_no_batch_of_its_round():
    office = Office()
    member = office.member()
    member.post(records(1)[0])
    office.relay._log._device = _Unread(office.ring)
    raises(OSError, member.post, records(2)[1])
    office.sleep()
    batch = office.member(1).cell(0)
    assert records(2)[1] not in batch
    office.boot()
    assert office.member(2).cell(0) == batch


def test_nobody_reads_or_posts_without_a_token():
    office = Office()
    office.sleep()
    stranger = Connection(office.relay)
    refused("NOT_ADMITTED", stranger.fetch, 0, 1)
    refused("NOT_ADMITTED", stranger.call, wire.push(500, 0, b"x" * 240))
    assert stranger.call(wire.info())[4] == 1
    assert stranger.call(wire.void()) == (wire.VOIDED,)


def test_forged_foreign_and_stale_tokens_are_refused_without_a_trace():
    office = Office()
    keys = fingerprint(office.keys)
    forged = Token(0, 0, secret=sha256(b"not the issuer"))
    foreign = Token(0, 0, relay_key=curve.public(b"\x05" * 32))
    early = Token(0, 1)
    truncated = Token(0, 0)
    truncated.signature = truncated.signature[:32] + bytes(32)
    for token in (forged, foreign, early, truncated):
        connection = Connection(office.relay)
        refused("NOT_ADMITTED", connection.authenticate, token)
        refused("NOT_ADMITTED", connection.post, records(1)[0])
    assert fingerprint(office.keys) == keys


def test_an_auth_frame_cannot_be_replayed_in_another_session():
    office = Office()
    connection = Connection(office.relay)
    request = Token(0, 0).request(connection.channel.handshake_hash)
    connection.call(request)
    refused("NOT_ADMITTED", Connection(office.relay).call, request)


def test_tokens_and_sessions_end_with_their_epoch():
    office = Office()
    member = office.member()
    office.sleep(EPOCH_ROUNDS)
    refused("NOT_ADMITTED", member.post, records(1)[0])
    refused("NOT_ADMITTED", member.fetch, 0, 1)
    refused("NOT_ADMITTED", Connection(office.relay).authenticate, Token(0, 0))
    assert office.member(0).post(records(1)[0]) == EPOCH_ROUNDS


def test_resumption_takes_the_token_along_and_an_id_is_used_once():
    office = Office()
    member = office.member()
    member.post(records(1)[0])
    secret = member.secret
    resumed = Connection(office.relay, resumption=secret)
    assert resumed.post(records(2)[1]) == 0
    raises(BadFrame, Connection, office.relay, resumption=secret)
    again = Connection(office.relay, resumption=resumed.secret)
    assert again.post(records(3)[2]) == 0
    office.sleep()
    assert [again.cell(0).count(record) for record in records(3)] == [1] * 3


def test_resumption_accepts_the_next_id_after_a_lost_answer_but_not_the_one_after():
    from tessera.channel import resumption_step

    office = Office()
    secret = office.member().secret
    following = resumption_step(secret)[2]
    raises(BadFrame, Connection, office.relay, resumption=resumption_step(following)[2])
    resumed = Connection(office.relay, resumption=following)
    raises(BadFrame, Connection, office.relay, resumption=secret)
    Connection(office.relay, resumption=resumed.secret)


def test_resumption_dies_with_the_epoch_and_with_the_power():
    office = Office()
    secret = office.member().secret
    office.boot()
    raises(BadFrame, Connection, office.relay, resumption=secret)
    secret = office.member(1).secret
    office.sleep(EPOCH_ROUNDS)
    raises(BadFrame, Connection, office.relay, resumption=secret)


def test_an_admitted_resumption_cannot_authenticate_anew():
    office = Office()
    resumed = Connection(office.relay, resumption=office.member().secret)
    refused("NOT_ADMITTED", resumed.call, Token(1, 0).request(bytes(32)))
    assert resumed.post(records(1)[0]) == 0


def test_a_hello_with_another_access_key_is_refused_before_any_curve_work():
    office = Office()
    raises(BadFrame, Connection, office.relay, b"another key" + bytes(21))


def test_fetch_arguments_are_checked():
    office = Office()
    member = office.member()
    refused("BAD_REQUEST", member.fetch, 0, 17)
    refused("BAD_REQUEST", member.fetch, 3, 3)
    refused("BAD_REQUEST", member.fetch, 4, 3)
    refused("BAD_REQUEST", member.fetch, 0, 1, 2)
    assert member.fetch(5, 9) == ({}, 5)


def test_an_unknown_request_is_a_bad_frame():
    office = Office()
    member = office.member()
    frame = bytearray(255)
    frame[0] = 99
    refused("BAD_FRAME", member.call, frame)


def test_expired_epochs_are_not_served_and_their_keys_are_gone_from_flash():
    office = Office()
    office.member().post(records(1)[0])
    page_key, cover_state = office.relay._keyring.epochs[0]
    assert holds(office.keys, page_key)
    office.sleep(EPOCH_ROUNDS * (RETENTION + 1))
    assert not holds(office.keys, page_key) and not holds(office.keys, cover_state)
    assert sorted(office.relay._epochs.ciphers) == [1, 2, 3], "a key is in memory that is not on flash"
    member = office.member()
    first = office.relay.first_round
    assert first == EPOCH_ROUNDS
    refused("TOO_OLD", member.fetch, first - 1, first)
    assert sorted(member.fetch(first, first + 2)[0]) == [first, first + 1]


def test_the_seed_changes_at_every_boot_and_the_old_one_is_erased():
    office = Office()
    seeds = []
    for _ in range(3):
        seed = office.relay._keyring.seed
        assert seed not in seeds and holds(office.keys, seed)
        for old in seeds:
            assert not holds(office.keys, old)
        seeds.append(seed)
        office.boot()
    assert office.directory.read("seed") is None


def test_the_provisioned_seed_goes_once_the_key_ring_has_its_own():
    office = Office()
    office.keys = RamDevice(KEYRING_SECTORS)
    office.directory.replace("seed", sha256(b"provisioned seed"))
    remove, there = office.directory.remove, []

    def noting(name):
        there.append(KeyRing(office.keys).load())
        remove(name)

    office.directory.remove = noting
    office.boot()
    assert there == [True] and office.directory.read("seed") is None


def test_an_epochs_cover_follows_from_the_one_before_and_from_fresh_randomness():
    office = Office()
    generator, drawn = office.relay._generator, []
    draw = generator.random

    def noting(length):
        drawn.append(draw(length))
        return drawn[-1]

    generator.random = noting
    states, keys = [office.relay._keyring.epochs[0][1]], {office.relay._keyring.epochs[0][0]}
    for epoch in (1, 2):
        del drawn[:]
        office.sleep(EPOCH_ROUNDS)
        key, state = office.relay._keyring.epochs[epoch]
        assert state in [next_state(states[-1], fresh) for fresh in drawn]
        assert key in drawn
        states.append(state)
        keys.add(key)
    assert len(keys) == 3


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
    office.relay.clock.correct(office.unix_ms + 10_000)
    office.turn()
    assert office.relay.open_round == 5


def test_nothing_is_answered_before_the_clock_is_known():
    office = Office()
    office.boot(clock_known=False)
    connection = Connection(office.relay)
    for request in (wire.info(), wire.params(0), wire.checkpoint(0), Token(0, 0).request(bytes(32))):
        refused("NOT_READY", connection.call, request)


def test_nothing_is_answered_after_the_schedule():
    office = Office(epoch_keys=parameters_keys(2))
    office.sleep(2 * EPOCH_ROUNDS - 1)
    connection = Connection(office.relay)
    connection.call(wire.info())
    office.sleep(2)
    refused("NOT_READY", connection.call, wire.info())
    assert office.relay.open_round == 2 * EPOCH_ROUNDS - 1


def _heal(office, how):
    """Another start, or a better reading of the clock."""
    if how == "a reboot":
        office.boot()
    else:
        office.relay.clock.correct(office.unix_ms)
        office.turn()


def test_a_first_time_after_the_schedule_leaves_nothing_behind():
    for heal in ("a later answer", "a later answer after an epoch of uptime", "a reboot"):
        office = Office(epoch_keys=parameters_keys(2), clock_known=False)
        keys = fingerprint(office.keys)
        office.relay.clock.correct(office.unix_ms + 10**12)
        office.turn()
        refused("NOT_READY", Connection(office.relay).call, wire.info())
        assert not office.relay.clock_accepted
        if heal.endswith("uptime"):
            office.sleep(EPOCH_ROUNDS + 1)
        assert fingerprint(office.keys) == keys
        _heal(office, heal)
        assert office.relay.clock_accepted and office.relay.epoch == int(heal.endswith("uptime"))
        office.member(epoch=office.relay.epoch).post(records(1)[0])


def parameters_keys(epochs):
    from office import epoch_keys

    return epoch_keys()[: 32 * epochs]


def test_a_clock_far_ahead_at_boot_hides_expired_records_but_keeps_their_keys():
    office = Office()
    office.member().post(records(1)[0])
    office.sleep()
    page_key = office.relay._keyring.epochs[0][0]
    office.pass_time(10_000 * EPOCH_ROUNDS * 20)
    office.boot()
    refused("TOO_OLD", office.member().fetch, 0, 1)
    assert holds(office.keys, page_key)
    office.boot()  # a power cut does not shorten it
    assert holds(office.keys, page_key)
    office.sleep(EPOCH_ROUNDS - 1)
    assert holds(office.keys, page_key)
    office.sleep(2)
    assert not holds(office.keys, page_key)


def _far_ahead(office, rounds):
    """Boot with a clock that is forged; the true time stays in the office."""
    true_ms = office.unix_ms
    office.unix_ms += 10_000 * rounds
    office.boot()
    office.unix_ms = true_ms


def test_a_forged_time_at_boot_writes_nothing_and_gives_way_to_the_true_one():
    office = Office()
    record = records(1)[0]
    office.member().post(record)
    office.sleep()
    for heal, rounds in (("a later answer", 120), ("a reboot", 120), ("a later answer", 3), ("a reboot", 3)):
        _far_ahead(office, rounds)
        keys = fingerprint(office.keys)
        office.turn()
        assert Connection(office.relay).call(wire.info())[4] == rounds + 1
        assert fingerprint(office.keys) == keys
        _heal(office, heal)
        assert office.relay.open_round == 1
        assert office.member(3).cell(0).count(record) == 1


def test_a_clock_that_was_corrected_is_not_provisional_any_more():
    office = Office()
    _far_ahead(office, 120)
    office.relay.clock.correct(office.unix_ms)
    office.turn()
    office.relay.clock.correct(office.unix_ms + 10_000 * EPOCH_ROUNDS * 20)
    office.turn()
    assert office.relay.open_round <= 1


def test_a_token_of_its_epoch_bears_out_a_clock_far_ahead():
    office = Office()
    office.pass_time(10_000 * EPOCH_ROUNDS * 20)
    office.boot()
    keys = fingerprint(office.keys)
    member = office.member()
    assert fingerprint(office.keys) != keys
    assert member.post(records(1)[0]) == 20 * EPOCH_ROUNDS
    office.sleep()
    assert len(member.cell(20 * EPOCH_ROUNDS)) > 0
    office.boot()
    assert office.relay.open_round == 20 * EPOCH_ROUNDS + 1
    assert office.relay._keyring.sealed_count == 1  # the rounds it was off for were not sealed


def test_an_epoch_whose_keys_did_not_reach_the_flash_is_not_served():
    record = records(1)[0]
    for pages in (range(KEYRING_SECTORS * 16), range(32, 64), range(32)):  # of both banks, or of one
        office = Office()
        office.keys = FaultyDevice(office.keys)
        office.pass_time(10_000 * EPOCH_ROUNDS * 20)
        office.boot()
        office.keys.worn = pages
        member = Connection(office.relay)
        try:
            member.authenticate(Token(0, 20))  # settles the clock: a mark, then a rewrite with the epoch's keys
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
    office.sleep()
    old = office.relay._keyring.epochs[0][0]
    office.keys = FaultyDevice(office.keys)
    office.pass_time(10_000 * EPOCH_ROUNDS * 20)
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


def test_a_clock_far_ahead_is_believed_after_an_epoch_of_uptime():
    office = Office()
    office.pass_time(10_000 * EPOCH_ROUNDS * 20)
    office.boot()
    office.sleep(EPOCH_ROUNDS + 1)
    office.boot()
    assert office.relay.open_round == 21 * EPOCH_ROUNDS + 1
    assert not office.relay.clock.provisional


def test_a_signed_time_ends_the_soft_expiry():
    office = Office()
    page_key = office.relay._keyring.epochs[0][0]
    office.pass_time(10_000 * EPOCH_ROUNDS * 20)
    office.boot()
    member = office.member()
    body, message = params.encode_time(b"a small office!!", office.unix_ms // 1000)
    forged = body + curve.sign(b"\x05" * 32, message, bytes(32))
    refused("BAD_REQUEST", push, member, forged)
    office.turn()
    assert holds(office.keys, page_key)
    assert push(member, body + curve.sign(ROOT, message, bytes(32))) == 1
    office.turn()
    assert not holds(office.keys, page_key)


def push(member, blob):
    """Push a signed object chunk by chunk; the last answer's `complete`."""
    for chunk, at in enumerate(range(0, len(blob), 240)):
        complete = member.call(wire.push(len(blob), chunk, blob[at : at + 240]))[1]
    return complete


def test_a_push_that_stalls_gives_way_to_another():
    office = Office()
    blob = parameters(serial=2, first_epoch=1, epoch_keys=epoch_keys()[32:])
    stalled, member = office.member(0), office.member(1)
    stalled.call(wire.push(len(blob), 0, blob[:240]))
    refused("BUSY", push, member, blob)
    office.pass_time(9_000)
    refused("BUSY", push, member, blob)
    office.pass_time(1_000)
    assert push(member, blob) == 1
    refused("BAD_REQUEST", stalled.call, wire.push(len(blob), 1, blob[240:480]))


def test_an_object_of_another_length_than_it_says_holds_no_place():
    office = Office()
    first, second = office.member(0), office.member(1)
    blob = parameters(serial=2, first_epoch=1)
    statement, message = params.encode_time(b"a small office!!", office.unix_ms // 1000)
    statement += curve.sign(ROOT, message, bytes(32))
    for start in (statement, blob[:240], b"x" * 240, statement[:4], blob[:100]):
        for total in (32768, len(statement) + 1, len(blob) + 16, len(start)):
            if total != len(statement) or start != statement:
                refused("BAD_REQUEST", first.call, wire.push(total, 0, start))
                assert first.session.push is None
    assert params.whole_bytes(blob[:128]) == len(blob) and params.whole_bytes(statement) == len(statement)
    assert push(second, blob) == 1


def test_a_push_that_trickles_gives_way_after_two_minutes():
    office = Office()
    blob = parameters(serial=2, first_epoch=1, thresholds=table() + 240 * table()[-8:])  # 18 chunks
    trickle, member = office.member(0), office.member(1)
    started, chunk = office.ticks, 0
    while office.ticks - started < 120_000:
        trickle.call(wire.push(len(blob), chunk, blob[240 * chunk : 240 * (chunk + 1)]))
        refused("BUSY", push, member, blob)
        office.pass_time(9_000)
        chunk += 1
    assert push(member, blob) == 1


def test_a_push_that_begins_again_and_again_gives_way_after_two_minutes():
    blob, newer = [parameters(serial=serial, first_epoch=30, round_seconds=600) for serial in (2, 3)]
    for reconnects in (False, True):
        office = Office(round_seconds=600)
        holder, member = office.member(0), office.member(1)
        for _ in range(12):
            holder.call(wire.push(len(blob), 0, blob[:240]))
            refused("BUSY", member.call, wire.push(len(blob), 0, blob[:240]))
            office.pass_time(9_000)
            holder.call(wire.push(len(blob), 1, blob[240:480]))
            office.pass_time(1_000)
            if reconnects:
                office.relay.leave(holder.session)
                holder = office.member(0)
        holder.call(wire.push(len(blob), 0, blob[:240]))  # nobody else wants the place
        member.call(wire.push(len(blob), 0, blob[:240]))
        refused("BUSY", holder.call, wire.push(len(blob), 0, blob[:240]))
        assert push(member, blob) == 1
        office.pass_time(1_000 * EPOCH_ROUNDS * 600)
        office.turn()
        holder, member = office.member(0), office.member(1)
        holder.call(wire.push(len(newer), 0, newer[:240]))
        refused("BUSY", push, member, newer)  # another epoch, other tokens


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


def test_a_signed_time_that_is_over_is_refused():
    office = Office()
    office.sleep(5)
    office.boot()
    member = office.member()
    body, message = params.encode_time(b"a small office!!", GENESIS + ROUND_SECONDS)
    refused("BAD_REQUEST", push, member, body + curve.sign(ROOT, message, bytes(32)))


def test_a_signed_time_of_another_federation_is_refused():
    office = Office()
    member = office.member()
    later = office.unix_ms // 1000 + 5 * ROUND_SECONDS
    body, message = params.encode_time(b"another office!!", later)
    refused("BAD_REQUEST", push, member, body + curve.sign(ROOT, message, bytes(32)))
    assert office.relay.clock.now_ms() == office.unix_ms
    body, message = params.encode_time(b"a small office!!", later)
    assert push(member, body + curve.sign(ROOT, message, bytes(32))) == 1
    assert office.relay.clock.now_ms() == 1000 * later


def read_parameters(member):
    _, total, _, data = member.call(wire.params(0))
    chunk = 0
    while len(data) < total:
        chunk += 1
        data += member.call(wire.params(chunk))[3]
    return data


def test_parameters_are_served_as_they_were_signed():
    office = Office()
    member = Connection(office.relay)
    blob = read_parameters(member)
    params.Parameters(blob).verify()
    assert blob == parameters()
    refused("BAD_REQUEST", member.call, wire.params(1000))


def test_pushed_parameters_take_effect_with_their_epoch_and_keep_served_cover():
    office = Office()
    office.sleep()
    before = office.member().fetch(0, 1)
    bigger = vectors_table(8)  # ε = 1: more noise
    new = parameters(serial=2, first_epoch=1, thresholds=bigger, access_key=b"\x42" * 32)
    assert push(office.member(1), new) == 1
    assert office.member(2).fetch(0, 1) == before
    office.sleep(EPOCH_ROUNDS + 3)
    member = Connection(office.relay, access_key=b"\x42" * 32)
    member.authenticate(Token(0, office.relay.epoch, secret=epoch_secret_of(new, office.relay.epoch)))
    assert member.fetch(0, 1) == before
    office.boot()
    member = Connection(office.relay, access_key=b"\x42" * 32)
    member.authenticate(Token(0, office.relay.epoch, secret=epoch_secret_of(new, office.relay.epoch)))
    assert member.fetch(0, 1) == before
    assert member.call(wire.info())[3] == 2


def epoch_secret_of(_blob, epoch):
    """first_epoch moved by one, so the schedule's keys did too."""
    from office import epoch_secret

    return epoch_secret(epoch - 1)


def vectors_table(index):
    from check import unhex, vectors

    return unhex("".join(vectors("noise_table")[index]["thresholds"]))


def test_a_third_parameter_set_waits_until_the_first_has_expired():
    office = Office()
    push(office.member(), parameters(serial=2, first_epoch=1))
    push(office.member(1), parameters(serial=3, first_epoch=1))  # replaces the one not yet in force
    office.sleep(EPOCH_ROUNDS)
    member = Connection(office.relay)
    member.authenticate(Token(0, 1, secret=epoch_secret_of(None, 1)))
    refused("BUSY", push, member, parameters(serial=4, first_epoch=9))
    assert member.call(wire.info())[3] == 3


def test_parameters_that_may_not_follow_are_refused_and_change_nothing():
    office = Office()
    member = office.member()
    broken = bytearray(parameters(serial=2, first_epoch=1))
    broken[-1] ^= 1
    for blob in (
        parameters(serial=1, first_epoch=1),
        parameters(serial=2, first_epoch=0),
        parameters(serial=2, first_epoch=1, round_seconds=11),
        parameters(serial=2, first_epoch=1, federation_id=b"another office!!"),
        parameters(serial=2, first_epoch=1, relays=[]),
        parameters(serial=2, first_epoch=1, members=200),
        bytes(broken),
        b"TPR1" + bytes(60),
    ):
        files = dict(office.directory.files)
        refused("BAD_REQUEST", push, member, blob)
        assert office.directory.files == files
    assert member.call(wire.info())[3] == 1


def test_chunks_of_a_push_come_in_order():
    office = Office()
    member = office.member()
    blob = parameters(serial=2, first_epoch=1)
    refused("BAD_REQUEST", member.call, wire.push(len(blob), 1, blob[240:480]))
    member.call(wire.push(len(blob), 0, blob[:240]))
    refused("BAD_REQUEST", member.call, wire.push(len(blob), 2, blob[480:720]))
    refused("BAD_REQUEST", member.call, wire.push(0, 0, b""))
    refused("BAD_REQUEST", member.call, wire.push(65535, 0, blob[:240]))


def test_one_push_at_a_time():
    office = Office()
    first, second = office.member(0), office.member(1)
    blob = parameters(serial=2, first_epoch=1)
    first.call(wire.push(len(blob), 0, blob[:240]))
    refused("BUSY", second.call, wire.push(len(blob), 0, blob[:240]))
    office.relay.leave(first.session)
    assert push(second, blob) == 1
    assert push(first, parameters(serial=3, first_epoch=1)) == 1


def test_checkpoints_are_signed_and_chained_one_an_epoch():
    office = Office()
    member = Connection(office.relay)
    refused("TOO_OLD", member.call, wire.checkpoint(0))
    covers = [cover_commitment(office, 0)]
    office.sleep(EPOCH_ROUNDS)
    covers.append(cover_commitment(office, 1))
    office.boot()
    office.sleep(EPOCH_ROUNDS)
    member = Connection(office.relay)
    first, second = [Checkpoint(member.call(wire.checkpoint(epoch))[1]) for epoch in (0, 1)]
    for checkpoint in (first, second):
        checkpoint.verify(LEDGER_KEY)
        assert checkpoint.rounds_sealed == EPOCH_ROUNDS
        assert checkpoint.parameter_digest == params.Parameters(parameters()).digest
    assert [first.cover_commitment, second.cover_commitment] == covers
    assert first.previous == bytes(32) and second.previous == first.link()
    refused("TOO_OLD", member.call, wire.checkpoint(2))


def cover_commitment(office, epoch):
    state = office.relay._keyring.epochs[epoch][1]
    return tagged("cover-commit", tagged("cover-key", state))


def test_rounds_missed_while_off_are_not_counted_as_sealed():
    office = Office()
    office.sleep(2)
    office.pass_time(10_000 * 3)
    office.boot()
    office.member()  # whose token bears out the clock
    office.sleep(EPOCH_ROUNDS - 5)
    checkpoint = Checkpoint(Connection(office.relay).call(wire.checkpoint(0))[1])
    assert checkpoint.rounds_sealed == EPOCH_ROUNDS - 3


def status(office):
    """The figures of STATUS by name."""
    names = "kind version code firmware_digest uptime_s boots serial open_round flags board".split()
    return dict(zip(names, Connection(office.relay).call(wire.status())))


def test_status_tells_the_public_figures_also_before_the_clock_is_known():
    office = Office()
    office.boot(clock_known=False)
    seen = status(office)
    assert (seen["version"], seen["boots"], seen["serial"], seen["open_round"]) == (1, 2, 1, wire.NO_ROUND)
    assert seen["firmware_digest"] == FIRMWARE_DIGEST
    assert ".".join(str(seen["code"] >> shift & 255) for shift in (16, 8, 0)) == VERSION
    office.relay.clock.set(office.unix_ms)
    office.turn()
    office.sleep(3)
    seen = status(office)
    assert (seen["open_round"], seen["uptime_s"], seen["flags"]) == (3, 30, 0)


def test_status_flags_a_provisional_clock_commissioning_and_code_on_trial():
    office = Office()
    office.relay.commissioning_key()
    assert status(office)["flags"] == wire.COMMISSIONING
    office.relay.staging = _OnTrial()
    assert status(office)["flags"] == wire.COMMISSIONING | wire.ON_TRIAL
    office.pass_time(1000 * ROUND_SECONDS * EPOCH_ROUNDS)
    office.boot()
    assert status(office)["flags"] == wire.PROVISIONAL


class _OnTrial:
    """What stands for the place of code that is on trial."""

    on_trial = True

    @property
    def places(self):
        return self


def test_status_is_the_same_whatever_is_stored_and_whoever_is_there():
    quiet, busy = Office(), Office()
    member = busy.member()
    for record in records(16):
        member.post(record)
    for office in (quiet, busy):
        office.sleep(2)
    member.fetch(0, 2)
    assert status(quiet) == status(busy)


def test_in_the_first_epoch_the_commissioning_key_is_its_own_and_keeps_members_out():
    office = Office()
    assert office.relay.commissioning_key() == (0, cover_key(office, 0))
    error = refused("NOT_READY", Connection(office.relay).authenticate, Token(0, 0))
    assert 0 < error.retry_after <= 10 * EPOCH_ROUNDS + 1
    office.boot()
    refused("NOT_READY", Connection(office.relay).authenticate, Token(0, 0))
    office.sleep(EPOCH_ROUNDS)
    office.member()
    raises(NotAdmitted, office.relay.commissioning_key)
    office.boot()
    raises(NotAdmitted, office.relay.commissioning_key)


def test_the_commissioning_key_of_an_earlier_epoch_keeps_nobody_out_and_admission_ends_it():
    office = Office()
    office.sleep(2 * EPOCH_ROUNDS)
    for _ in range(2):
        assert office.relay.commissioning_key() == (1, cover_key(office, 1))
        office.boot()
    office.member()
    raises(NotAdmitted, office.relay.commissioning_key)
    raises(NotAdmitted, office.relay.commissioning_batch, 0, EPOCH_ROUNDS)


def test_a_relay_that_never_ran_before_has_an_epoch_to_commission_by():
    office = Office()
    office.keys, office.unix_ms = RamDevice(KEYRING_SECTORS), office.unix_ms + 1000 * ROUND_SECONDS * EPOCH_ROUNDS
    office.directory.replace("seed", sha256(b"provisioned seed"))
    office.boot()
    assert office.relay.commissioning_key() == (0, cover_key(office, 0))
    office.member()


def test_batches_of_the_commissioning_epoch_alone_are_shown_before_a_member_comes():
    office = Office()
    office.sleep(EPOCH_ROUNDS + 1)
    raises(NotAdmitted, office.relay.commissioning_batch, 0, 0)
    _, key = office.relay.commissioning_key()
    seen = EpochCover(key, office.relay.parameters.thresholds(0))
    for bucket, round_ in ((0, 0), (1, EPOCH_ROUNDS - 1)):
        assert office.relay.commissioning_batch(bucket, round_).count == seen.noise(bucket, round_)
    raises(NotAdmitted, office.relay.commissioning_batch, 0, EPOCH_ROUNDS)
    raises(BadRequest, office.relay.commissioning_batch, 2, 0)


def test_the_open_round_is_not_shown_for_commissioning():
    office = Office()
    office.relay.commissioning_key()
    raises(BadRequest, office.relay.commissioning_batch, 0, 0)
    office.sleep()
    assert office.relay.commissioning_batch(0, 0)


def cover_key(office, epoch):
    return tagged("cover-key", office.relay._keyring.epochs[epoch][1])


def test_a_relay_without_parameters_or_seed_does_not_start():
    office = Office()
    office.directory.remove("parameters")
    raises(InvalidObject, office.boot)
    office.directory.replace("parameters", parameters())
    office.keys.put(0, b"\xff" * 4 * 4096)
    raises(Fault, office.boot)


def test_a_relay_that_is_not_in_the_parameters_does_not_start():
    raises(InvalidObject, Office, relays=[(curve.public(b"\x05" * 32), LEDGER_KEY)])


def test_parameters_too_large_for_the_ring_are_refused():
    raises(InvalidObject, Office, members=3)  # 3·2·16·3 = 288 records in a ring that keeps 224
