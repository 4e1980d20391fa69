# board: long
# The parameter sets a relay holds: which one governs, and what a power cut between two files leaves (PROTOCOL §2).

from check import raises
from office import (
    EPOCH_ROUNDS,
    GENESIS,
    RELAY_KEY,
    RETENTION,
    RING_SECTORS,
    ROOT,
    ROUND_SECONDS,
    RamDirectory,
    fields,
    parameters,
)
from tessera import curve, params
from tessera.errors import BadRequest, Busy, InvalidObject
from tessera.parameterstore import ParameterStore

_PAGES = 16 * RING_SECTORS


def _store(directory):
    return ParameterStore(directory, RELAY_KEY, lambda parameters: parameters.check_capacity(_PAGES))


def _directory():
    directory = RamDirectory()
    directory.replace("parameters", parameters())
    return directory


class _PowerCut(Exception):
    pass


class _CutDirectory(RamDirectory):
    """Power fails before the last of so many replacements."""

    def __init__(self, files, replacements):
        super().__init__()
        self.files = dict(files)
        self._left = replacements

    def replace(self, name, data):
        self._left -= 1
        if not self._left:
            raise _PowerCut
        super().replace(name, data)


def _serials(store, epochs):
    return [store.governing(epoch).serial for epoch in epochs]


def test_each_set_governs_its_own_epochs():
    directory = _directory()
    _store(directory).install(parameters(serial=2, first_epoch=3), 1)
    store = _store(directory)
    assert _serials(store, range(6)) == [1, 1, 1, 2, 2, 2]
    assert store.epoch_key(2) == store.governing(0).epoch_key(2)
    assert store.epoch_key(3) == store.newest.epoch_key(3) == store.governing(0).epoch_key(0)
    assert store.epoch_key(3 + 60) is None


def test_a_cut_between_the_two_files_leaves_the_set_in_force():
    new = parameters(serial=2, first_epoch=3)
    for replacements in (1, 2):
        directory = _CutDirectory(_directory().files, replacements)
        raises(_PowerCut, _store(directory).install, new, 1)
        store = _store(directory)
        assert _serials(store, range(6)) == [1] * 6
        assert store.access_keys == [store.newest.access_key]
        directory = _CutDirectory(directory.files, 0)
        _store(directory).install(new, 1)
        assert _serials(_store(directory), range(6)) == [1, 1, 1, 2, 2, 2]


def test_a_change_that_failed_is_made_by_the_next_push():
    new = parameters(serial=2, first_epoch=3)
    for replacements in (1, 2):
        store = _store(_CutDirectory(_directory().files, replacements))
        raises(_PowerCut, store.install, new, 1)  # as an error that passes
        assert _serials(store, range(6)) == [1] * 6
        store.install(new, 1)
        assert _serials(store, range(6)) == [1, 1, 1, 2, 2, 2]


def test_a_cut_while_a_second_change_is_stored_keeps_what_kept_rounds_need():
    directory = _directory()
    _store(directory).install(parameters(serial=2, first_epoch=3), 1)
    for replacements in (1, 2):
        cut = _CutDirectory(directory.files, replacements)
        raises(_PowerCut, _store(cut).install, parameters(serial=3, first_epoch=9), 5)
        assert _serials(_store(cut), range(3, 12)) == [2] * 9


def test_a_set_not_yet_in_force_is_replaced_and_the_one_in_force_stays():
    directory = _directory()
    for serial, first_epoch in ((2, 3), (3, 5), (4, 2)):
        _store(directory).install(parameters(serial=serial, first_epoch=first_epoch), 1)
        store = _store(directory)
        expected = [1] * first_epoch + [serial] * (8 - first_epoch)
        assert _serials(store, range(8)) == expected
    assert len(directory.files) == 2


def test_a_cut_while_a_pending_set_is_replaced_leaves_it():
    directory = _directory()
    _store(directory).install(parameters(serial=2, first_epoch=3), 1)
    cut = _CutDirectory(directory.files, 1)
    raises(_PowerCut, _store(cut).install, parameters(serial=3, first_epoch=5), 1)
    assert cut.files == directory.files


def test_a_third_set_waits_for_the_last_round_of_the_first():
    directory = _directory()
    store = _store(directory)
    store.install(parameters(serial=2, first_epoch=3), 1)
    third = parameters(serial=3, first_epoch=9)
    for open_epoch in (3, 4):  # epoch 2 is kept until epoch 5 opens
        assert raises(Busy, store.install, third, open_epoch).retry_after > 0
    store.install(third, 5)
    assert _serials(_store(directory), range(3, 12)) == [2] * 6 + [3] * 3


def test_both_access_keys_are_accepted_and_one_key_is_listed_once():
    directory = _directory()
    store = _store(directory)
    old = store.newest.access_key
    store.install(parameters(serial=2, first_epoch=3), 1)
    assert store.access_keys == [old]
    store.install(parameters(serial=3, first_epoch=3, access_key=b"\x42" * 32), 1)
    assert store.access_keys == [b"\x42" * 32, old] == _store(directory).access_keys


def test_a_head_is_refused_by_its_serial_before_anything_else_is_read():
    store = _store(_directory())
    raises(BadRequest, store.check_head, parameters(first_epoch=3)[:128], 1)
    raises(BadRequest, store.check_head, parameters(serial=2, first_epoch=3)[:127], 1)
    store.check_head(parameters(serial=2, first_epoch=3)[:128], 1)


def test_files_that_cannot_be_used_are_refused_at_the_start():
    blob = parameters()
    for broken in (b"", blob[:-1], blob[:-1] + bytes((blob[-1] ^ 1,)), parameters(members=200)):
        directory = RamDirectory()
        directory.replace("parameters", broken)
        raises(InvalidObject, _store, directory)


def test_what_rounds_and_trust_rest_on_is_never_changed_by_a_push():
    directory = _directory()
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
        body = params.encode(fields(**changes))
        blob = body + curve.sign(root, params.digest(body), bytes(32))
        params.Parameters(blob).verify()
        files = dict(directory.files)
        assert name in str(raises(BadRequest, _store(directory).install, blob, 1))
        assert directory.files == files
