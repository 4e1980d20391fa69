# heap: 8m
# board: long
# The parameter sets a relay holds: which one governs which epoch, what is kept of those before, and what a power cut
# leaves (PROTOCOL §2).

from check import raises
from office import (
    ACCESS_KEY,
    EPHEMERAL,
    EPOCH_ROUNDS,
    FEDERATION,
    GENESIS,
    LEDGER_KEY,
    READING_KEY,
    RELAY_ID,
    RELAY_KEY,
    RETENTION,
    RING_SECTORS,
    ROOT,
    ROUND_SECONDS,
    STATIC,
    RamDirectory,
    epoch_keys,
    fields,
    parameters,
    relay_fields,
    signed,
    table,
)
from tessera import curve, params
from tessera.errors import BadRequest, Busy, InvalidObject
from tessera.parameterstore import ParameterStore

_PAGES = 16 * RING_SECTORS
_STATIC = curve.Secret(STATIC), RELAY_KEY
_TABLES = [table(), table() + 2 * table()[-8:], table() + 4 * table()[-8:], table() + 6 * table()[-8:]]


def _store(directory):
    return ParameterStore(directory, _STATIC, lambda head: head.check_capacity(_PAGES))


def _directory(**changes):
    directory = RamDirectory()
    directory.replace("parameters", parameters(**changes))
    return directory


def _install(store, blob, open_epoch):
    store.install(blob, open_epoch, lambda epoch: 1000 * epoch)


class _PowerCut(Exception):
    pass


class _CutDirectory(RamDirectory):
    """Power fails before the file is replaced."""

    def __init__(self, files):
        super().__init__()
        self.files = dict(files)
        self.power = False

    def replace(self, name, *parts):
        if not self.power:
            raise _PowerCut
        super().replace(name, *parts)


def _serials(store, epochs):
    return [store.rule(epoch).serial for epoch in epochs]


# -- which one governs


def test_each_set_governs_its_own_epochs():
    directory = _directory()
    before = _store(directory)
    _install(before, parameters(serial=2, first_epoch=3), 1)
    for store in (before, _store(directory)):
        assert _serials(store, range(6)) == [1, 1, 1, 2, 2, 2]
        assert store.rule(2).epoch_keys(2) == epoch_keys()[64:96]
        assert store.rule(3).epoch_keys(3) == epoch_keys()[96:128]
        assert store.rule(60).epoch_keys(60) is None


def test_a_late_set_takes_effect_with_the_next_epoch():
    for first_epoch, expected in ((0, 6), (5, 6), (6, 6), (7, 7), (9, 9)):
        directory = _directory()
        before = _store(directory)
        _install(before, parameters(serial=2, first_epoch=first_epoch), 5)
        for store in (before, _store(directory)):
            assert _serials(store, range(4, 10)) == [1] * (expected - 4) + [2] * (10 - expected)
            assert store.newest.serial == 2 and store.rule(5).parameters.serial == 1


def test_a_set_not_yet_in_force_is_replaced_and_the_one_in_force_stays():
    directory = _directory()
    for serial, first_epoch in ((2, 3), (3, 5), (4, 2)):
        _install(_store(directory), parameters(serial=serial, first_epoch=first_epoch), 1)
        expected = [1] * first_epoch + [serial] * (8 - first_epoch)
        assert _serials(_store(directory), range(8)) == expected
    assert sorted(directory.files) == ["parameters"]


def test_the_rules_of_all_kept_epochs_are_kept_and_no_others():
    """A set an epoch, for eleven epochs, under one table: what governed an epoch is known until it is not kept."""
    directory = _directory()
    store = _store(directory)
    for epoch in range(11):
        _install(store, parameters(serial=epoch + 2, first_epoch=epoch + 1, log2_buckets=epoch % 5), epoch)
        if epoch % 3 == 0:
            store = _store(directory)  # a restart
        store.drop_unneeded(epoch + 1)
        for kept in range(max(0, epoch + 1 - RETENTION), epoch + 2):
            assert store.rule(kept).serial == kept + 1
            assert store.rule(kept).log2_buckets == (kept - 1) % 5 if kept else 1
        assert len(store._rules) <= RETENTION + 1
    assert store.most_buckets == 16


def test_the_digest_of_the_set_that_governed_a_kept_epoch_is_known_after_many_more():
    directory = _directory()
    digests = {0: params.Parameters(parameters()).digest}
    for epoch in range(1, 6):
        blob = parameters(serial=epoch + 1, first_epoch=epoch, members=1)
        digests[epoch] = params.Parameters(blob).digest
        _install(_store(directory), blob, epoch - 1)
        store = _store(directory)
        for kept in range(max(0, epoch - 1 - RETENTION), epoch + 1):
            assert store.rule(kept).digest == digests[kept]


# -- tables


def test_equal_tables_are_kept_once():
    store = _store(_directory())
    for serial in (2, 3):
        _install(store, parameters(serial=serial, first_epoch=serial), serial - 1)
        store.drop_unneeded(serial)
    tables = [store.rule(epoch).thresholds for epoch in (1, 2, 3)]
    assert tables[0] is tables[1] is tables[2]
    assert store.rule(1).parameters is None and store.rule(3).parameters is store.newest


def test_the_bytes_of_the_sets_are_left_to_the_file():
    directory = _directory()
    blobs = (
        parameters(),
        parameters(serial=2, first_epoch=3, thresholds=_TABLES[1]),
        parameters(serial=3, first_epoch=3),
    )
    store = _store(directory)
    for newest in (1, 2):
        _install(store, blobs[newest], 1)
        for one in (store, _store(directory)):
            directory.reads = []
            assert one.newest.blob == blobs[newest] and one.rule(1).parameters.blob == blobs[0]
            assert one.rule(4).epoch_keys(4) == one.rule(1).epoch_keys(4) == epoch_keys()[128:160]
            lengths = [length for _, length in directory.reads]
            assert lengths == [len(blobs[newest]), len(blobs[0]), 32, 32]


def test_a_third_table_waits_until_the_first_is_not_kept_any_more():
    directory = _directory()
    store = _store(directory)
    _install(store, parameters(serial=2, first_epoch=3, thresholds=_TABLES[1]), 1)
    third = parameters(serial=3, first_epoch=9, thresholds=_TABLES[2])
    for open_epoch in (3, 4):  # epoch 2 is kept until epoch 5 opens
        for one in (store, _store(directory)):
            files = dict(directory.files)
            assert raises(Busy, _install, one, third, open_epoch).retry_after == 5000
            assert directory.files == files
    same = parameters(serial=3, first_epoch=4, thresholds=_TABLES[0])
    _install(_store(RamDirectoryOf(directory)), same, 3)  # it is the first one's table again
    _install(store, third, 5)
    assert _serials(_store(directory), range(3, 12)) == [2] * 6 + [3] * 3
    for epoch in (5, 8):
        assert bytes(_store(directory).rule(epoch).thresholds) == _TABLES[1]


def RamDirectoryOf(other):
    directory = RamDirectory()
    directory.files = dict(other.files)
    return directory


def test_a_pending_sets_table_is_in_nobodys_way():
    store = _store(_directory())
    for serial in (2, 3, 4):
        _install(store, parameters(serial=serial, first_epoch=9, thresholds=_TABLES[serial - 1]), 1)
    assert bytes(store.newest.thresholds) == _TABLES[3]


# -- keys


def test_the_newest_access_key_and_the_one_before_are_accepted_and_one_is_listed_once():
    directory = _directory()
    second, third, fourth = [bytes((number,)) * 32 for number in (2, 3, 4)]
    for serial, key, open_epoch, accepted in (
        (2, ACCESS_KEY, 0, [ACCESS_KEY]),  # a renewal
        (3, second, 2, [second, ACCESS_KEY]),
        (4, second, 4, [second, ACCESS_KEY]),  # a renewal does not end the one before
        (5, third, 6, [third, second]),
        (6, fourth, 6, [fourth, second]),  # in place of one that was not in force yet
        (7, ACCESS_KEY, 8, [ACCESS_KEY, fourth]),
    ):
        store = _store(directory)
        _install(store, parameters(serial=serial, first_epoch=open_epoch + 1, access_key=key), open_epoch)
        for _ in range(2):
            assert store.access_keys == accepted
            store.drop_unneeded(open_epoch + 1)
            assert store.access_keys == accepted
            store = _store(directory)


def test_the_reading_key_is_that_of_the_set_in_force():
    directory = _directory()
    other = b"the reading key after a removal."
    _install(_store(directory), parameters(serial=2, first_epoch=3, reading_key=other), 1)
    store = _store(directory)
    assert [store.rule(epoch).reading_key for epoch in (1, 2, 3, 4)] == [READING_KEY, READING_KEY, other, other]
    store.drop_unneeded(3)
    assert store.rule(3).reading_key == other and store.rule(2).reading_key is None


# -- power cuts


def test_a_cut_leaves_the_sets_as_they_were():
    new = parameters(serial=2, first_epoch=3)
    directory = _CutDirectory(_directory().files)
    store = _store(directory)
    raises(_PowerCut, _install, store, new, 1)
    for one in (store, _store(directory)):
        assert _serials(one, range(6)) == [1] * 6 and one.access_keys == [ACCESS_KEY]
    directory.power = True
    _install(store, new, 1)  # as after an error that passes
    for one in (store, _store(directory)):
        assert _serials(one, range(6)) == [1, 1, 1, 2, 2, 2]


def test_a_cut_while_a_later_change_is_stored_keeps_what_kept_rounds_need():
    directory = _directory()
    _install(_store(directory), parameters(serial=2, first_epoch=3), 1)
    for open_epoch in (1, 4):
        cut = _CutDirectory(directory.files)
        raises(_PowerCut, _install, _store(cut), parameters(serial=3, first_epoch=9), open_epoch)
        assert cut.files == directory.files
        assert _serials(_store(cut), range(2, 12)) == [1] + [2] * 9


# -- what is refused


def test_a_file_that_cannot_be_used_is_refused_at_the_start():
    blob = parameters()
    pushed = _directory()
    _install(_store(pushed), parameters(serial=2, first_epoch=3, thresholds=_TABLES[1]), 1)
    state = pushed.files["parameters"]
    files = [b"", b"x", blob[:100], blob[:-1], blob + b"x", blob[:-1] + bytes((blob[-1] ^ 1,)), parameters(members=200)]
    files += [state[:-1], state + b"x", state[: len(blob) + 60], state[:-1] + bytes((state[-1] ^ 1,))]
    for broken in files:
        directory = RamDirectory()
        directory.replace("parameters", broken)
        raises(InvalidObject, _store, directory)


def _refused(blob, words, store=None):
    """A set that is not taken, for a reason with these words; nothing has changed."""
    directory = _directory()
    store = store or _store(directory)
    files = dict(directory.files)
    error = raises(BadRequest, _install, store, blob, 1)
    assert words in str(error), str(error)
    assert directory.files == files and store.newest.serial == 1


def test_what_rounds_and_trust_rest_on_is_never_changed_by_a_push():
    other = b"\x00" * 31 + b"\x0a"  # another root key, which signs for itself
    for name, value, root in (
        ("federation_id", b"another office!!", ROOT),
        ("root_key", curve.public(other)[1:], other),
        ("genesis", GENESIS + ROUND_SECONDS, ROOT),
        ("round_seconds", ROUND_SECONDS + 1, ROOT),
        ("epoch_rounds", EPOCH_ROUNDS + 1, ROOT),
        ("retention_epochs", RETENTION - 1, ROOT),
    ):
        changes = {"serial": 2, "first_epoch": 3, name: value}
        blob = signed(fields(**changes), root)
        params.Parameters(blob).verify()
        _refused(blob, name)


def test_an_old_set_and_the_same_again_are_refused():
    directory = _directory(serial=7)
    store = _store(directory)
    for serial in (0, 6, 7):
        assert "not newer" in str(raises(BadRequest, _install, store, parameters(serial=serial, first_epoch=3), 1))
    assert store.newest.serial == 7


def test_a_set_without_the_relays_own_columns_is_refused():
    other = curve.public(b"\x05" * 32)
    own, others = (
        relay_fields(2),
        relay_fields(2, static_key=other, relay_id=2, column=epoch_keys()[32:] + epoch_keys()[:32]),
    )
    whole = params.Parameters(signed(fields(serial=2, relays=[own, others])))
    assert len(whole.copy_for(1)) == len(whole.copy_for(2)) == len(whole.blob) - len(epoch_keys())
    _refused(whole.copy_for(2), "its own epoch keys")
    _refused(whole.blob, "wrong length")
    wrong = bytearray(whole.copy_for(1))
    wrong[-1] ^= 1
    _refused(bytes(wrong), "differ from those that were signed")
    store = _store(_directory())
    _install(store, whole.copy_for(1), 1)
    assert store.rule(2).epoch_keys(2) == epoch_keys()[64:96]
    _refused(parameters(serial=2, relays=[], epochs=60), "wrong length")
    _refused(parameters(serial=2, relays=[others]), "do not list this relay")


def test_a_reading_key_that_does_not_open_or_is_not_the_one_of_the_hash_is_refused():
    wrong_key = relay_fields(2, b"another than that of the hash...")
    wrong_serial = relay_fields(3)
    for relay in (wrong_key, wrong_serial):
        _refused(parameters(serial=2, relays=[relay]), "reading key")
    _refused(parameters(serial=2, ephemeral=b"\x02" + b"\xff" * 32), "reading key")
    to_another_id = params.seal_reading_key(EPHEMERAL, RELAY_KEY, FEDERATION, 2, 9, READING_KEY)
    aead = params._reading_aead(EPHEMERAL, RELAY_KEY, FEDERATION, 2, RELAY_ID)
    another = aead.seal(0, params.reading_hash(READING_KEY), b"sealed under the hash of another")
    for sealed in (to_another_id, another):
        relay = RELAY_ID, RELAY_KEY, LEDGER_KEY, sealed, epoch_keys()
        _refused(parameters(serial=2, relays=[relay]), "reading key")


def test_a_set_that_is_not_signed_or_altered_behind_its_signature_is_refused():
    blob = parameters(serial=2, first_epoch=3)
    for at, words in ((200, "not signed"), (250, "signed"), (len(blob) - 1, "signed")):
        altered = bytearray(blob)
        altered[at] ^= 1
        _refused(bytes(altered), words)
    _refused(signed(fields(serial=2), root=b"\x05" * 32), "not signed")


def test_tables_of_the_wrong_order_or_number_are_refused():
    _refused(parameters(serial=2, thresholds=table()[8:16] + table()[:8]), "decreases")
    for thresholds in (table()[:8], b"", table()[:8] * 2002):
        _refused(parameters(serial=2, thresholds=thresholds), "cover")


def test_more_posts_than_the_ring_keeps_are_refused():
    _refused(parameters(serial=2, members=3), "members could post 288 records, the ring keeps 224")


def test_the_predecessor_is_no_relays_business():
    """It may have missed sets in between; members and auditors look at it."""
    store = _store(_directory())
    _install(store, parameters(serial=9, first_epoch=3, previous=b"\x33" * 32), 1)
    assert store.newest.previous == b"\x33" * 32
