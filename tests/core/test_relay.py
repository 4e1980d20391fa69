# heap: 16m
# board: long
# What a relay promises its members, on flash in memory and without sockets: records, rounds, epochs, restarts.

import gc

from check import heap_only, raises
from office import (
    EPOCH_ROUNDS,
    FIRMWARE_DIGEST,
    KEYRING_SECTORS,
    LEDGER_KEY,
    RELAY_KEY,
    RETENTION,
    ROUND_SECONDS,
    Connection,
    Office,
    Token,
    epoch_keys,
    epoch_secret,
    parameters,
    records,
)
from ramdevice import RamDevice, fingerprint, holds
from tessera import VERSION, curve, params, wire
from tessera.cover import EpochCover, next_state
from tessera.errors import BadFrame, BadRequest, Fault, InvalidObject, NotAdmitted, QuotaSpent, Refused
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
    for record in records(6):
        member.post(record)
    assert Connection(office.relay).authenticate(Token(0, 0)) == 10
    office.boot()
    again = Connection(office.relay)
    assert again.authenticate(Token(0, 0)) == 8  # the lease of 4 that was open counts as used
    for record in records(8, b"after it"):
        again.post(record)
    refused("QUOTA", again.post, records(1)[0])
    assert office.member(1).post(records(1)[0]) == 0


def test_the_first_post_of_a_lease_has_taken_it():
    office = Office(members=1, posts_per_token=8)
    for left in (4, 0):
        office.member().post(records(1)[0])
        office.boot()
        assert Connection(office.relay).authenticate(Token(0, 0)) == left


def test_a_token_has_as_many_posts_as_its_largest_number_of_leases():
    """255 leases of 4, which is what one byte of the key ring counts to."""
    from tessera.admission import LEASE_POSTS, Admission

    office = Office()
    key = curve.public(epoch_secret(0))[1:]
    admission = Admission(office.relay._keyring, 0, key, b"a small office!!", RELAY_KEY, 1020)
    token = admission.admit(sha256(b"a token"))
    for _ in range(1020):
        admission.reserve(token)
        admission.charge(token)
        office.relay._keyring.tidy()
    assert (token.leases, LEASE_POSTS, admission.posts_left(token)) == (255, 4, 0)
    raises(QuotaSpent, admission.reserve, token)


def test_nobody_posts_without_a_token_nor_reads_without_the_reading_key():
    office = Office()
    office.sleep()
    stranger = Connection(office.relay)
    refused("NOT_ADMITTED", stranger.post, records(1)[0])
    refused("NOT_ADMITTED", stranger.call, wire.stage(wire.BEGIN, 0, b"x"))
    for wrong in (b"another reading key of an office", bytes(32)):
        refused("NOT_ADMITTED", stranger.fetch, 0, 1, 0, wrong)
    assert stranger.call(wire.info())[7] == 1
    assert stranger.call(wire.void()) == (wire.VOIDED,)
    assert len(stranger.cell(0)) > 0


def test_a_proof_of_the_reading_key_is_good_on_its_own_channel_only():
    office = Office()
    office.sleep()
    one, other = Connection(office.relay), Connection(office.relay)
    one.channel.handshake_hash = other.channel.handshake_hash
    refused("NOT_ADMITTED", one.fetch, 0, 1)
    assert other.cell(0) == Connection(office.relay).cell(0)


def test_a_session_fetches_sixteen_rounds_in_one_and_another_sixteen_in_the_next():
    office = Office(epoch_rounds=60)
    office.sleep(20)
    reader = Connection(office.relay)
    assert reader.fetch(0, 10)[1] == 10
    error = refused("BUSY", reader.fetch, 10, 17)
    assert 0 < error.retry_after <= ROUND_SECONDS
    assert reader.fetch(10, 16)[1] == 16
    refused("BUSY", reader.fetch, 16, 17)
    assert reader.fetch(20, 30) == ({}, 20)  # what is not sealed is not counted
    assert Connection(office.relay).fetch(4, 20)[1] == 20
    office.sleep()
    assert reader.fetch(5, 21)[1] == 21


def test_tokens_and_resumptions_end_with_their_epoch():
    office = Office()
    member = office.member()
    office.sleep(EPOCH_ROUNDS)
    refused("NOT_ADMITTED", member.post, records(1)[0])
    refused("NOT_ADMITTED", Connection(office.relay).authenticate, Token(0, 0))
    assert member.fetch(0, 1)[1] == 1  # reading needs none
    assert office.member(0).post(records(1)[0]) == EPOCH_ROUNDS


def test_the_operator_pushes_and_brings_code_and_does_nothing_else():
    office = Office()
    office.sleep()
    operator = Connection(office.relay)
    refused("NOT_ADMITTED", operator.operate, b"\x05" * 32)
    assert operator.operate() == (wire.ADMITTED, bytes(32), 0)
    refused("NOT_ADMITTED", operator.post, records(1)[0])
    refused("NOT_ADMITTED", operator.fetch, 0, 1)
    refused("NOT_ADMITTED", operator.authenticate, Token(0, 0))
    refused("BAD_REQUEST", operator.call, wire.stage(wire.BEGIN, 0, b"x"))  # a computer takes no code
    assert operator.push(parameters(serial=2, first_epoch=1))
    member = office.member()
    member.operate()  # the token is given up
    refused("NOT_ADMITTED", member.post, records(1)[0])
    refused("NOT_ADMITTED", Connection(office.relay, resumption=member.secret).operate)


def test_an_operators_signature_is_good_for_its_own_channel_only():
    office = Office()
    one, other = Connection(office.relay), Connection(office.relay)
    one.channel.handshake_hash = other.channel.handshake_hash
    refused("NOT_ADMITTED", one.operate)
    other.operate()


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
    refused("NOT_ADMITTED", again.fetch, 0, 1)  # a resumption would tell who reads
    assert [Connection(office.relay).cell(0).count(record) for record in records(3)] == [1] * 3


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


def test_nothing_is_answered_before_the_clock_is_known():
    office = Office()
    office.boot(clock_known=False)
    connection = Connection(office.relay)
    for request in (wire.info(), wire.params(0), wire.checkpoint(0), Token(0, 0).request(bytes(32))):
        refused("NOT_READY", connection.call, request)


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
    assert (seen["open_round"], seen["uptime_s"], seen["flags"] & wire.PROVISIONAL) == (3, 30, 0)


def flags(office):
    return status(office)["flags"] & ~wire.ENDING  # a schedule of an hour always ends soon


def test_status_flags_a_provisional_clock_commissioning_and_code_on_trial():
    office = Office()
    office.relay.commissioning_key()
    assert flags(office) == wire.COMMISSIONING
    office.relay.staging = _OnTrial()
    assert flags(office) == wire.COMMISSIONING | wire.ON_TRIAL
    office.pass_time(1000 * ROUND_SECONDS * EPOCH_ROUNDS)
    office.boot()
    assert flags(office) == wire.PROVISIONAL


def test_status_says_that_the_schedule_ends_from_thirty_days_before():
    day_rounds = 86400 // 3600
    office = Office(round_seconds=3600, epoch_rounds=day_rounds, epoch_keys=epoch_keys()[: 32 * 40])
    for days in range(40 + 2):
        assert status(office)["flags"] == (wire.ENDING if days >= 40 - 30 else 0)
        office.pass_time(1000 * 86400)
        office.turn()


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
    seen = EpochCover(key, office.relay.parameters.rule(0).thresholds)
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
    raises(InvalidObject, Office, relay_key=curve.public(b"\x05" * 32))


def test_parameters_too_large_for_the_ring_are_refused():
    raises(InvalidObject, Office, members=3)  # 3·2·16·3 = 288 records in a ring that keeps 224
