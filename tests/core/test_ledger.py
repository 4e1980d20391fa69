# The privacy ledger's files: one checkpoint an epoch, mended after a power cut, the older half dropped (PROTOCOL §11).

from check import not_on_a_board, raises
from damage import changes
from office import FEDERATION, LEDGER, LEDGER_KEY, RELAY_KEY, RamDirectory
from tessera import curve
from tessera.errors import InvalidObject, TooOld
from tessera.ledger import CHECKPOINT_BYTES, Checkpoint, Ledger

_FILE_ENTRIES = 256
_DIGESTS = (b"p" * 32, b"c" * 32, b"f" * 32)


def _ledger(directory):
    return Ledger(directory, FEDERATION, RELAY_KEY, LEDGER)


def _append(ledger, epoch, rounds_sealed=6):
    ledger.append(epoch, rounds_sealed, _DIGESTS[0], _DIGESTS[1], _DIGESTS[2], bytes(32))


def _filled(directory, epochs):
    """A ledger file whose last checkpoint is signed; those before it have the form only."""
    not_on_a_board("a ledger file of 64 KB")
    directory.files["ledger"] = b""
    ledger = _ledger(directory)
    _append(ledger, 0)
    blob = directory.files["ledger"]
    blobs = [blob[:50] + epoch.to_bytes(4, "big") + blob[54:] for epoch in range(epochs)]
    directory.files["ledger"] = b"".join(blobs)
    return _ledger(directory)


def test_a_checkpoint_says_what_was_appended():
    ledger = _ledger(RamDirectory())
    assert ledger.last_epoch == -1
    _append(ledger, 4, 5)
    checkpoint = Checkpoint(ledger.find(4))
    checkpoint.verify(LEDGER_KEY)
    assert (checkpoint.epoch, checkpoint.rounds_sealed, checkpoint.previous) == (4, 5, bytes(32))
    assert (checkpoint.federation_id, checkpoint.relay_key) == (FEDERATION, RELAY_KEY)
    assert (checkpoint.parameter_digest, checkpoint.cover_commitment, checkpoint.firmware_digest) == _DIGESTS


def test_an_epoch_is_appended_once():
    directory = RamDirectory()
    ledger = _ledger(directory)
    _append(ledger, 3, 6)
    for again in (ledger, _ledger(directory)):
        _append(again, 3, 2)
        _append(again, 1, 2)
    assert directory.size("ledger") == CHECKPOINT_BYTES
    assert Checkpoint(ledger.find(3)).rounds_sealed == 6
    raises(TooOld, ledger.find, 1)


def test_the_chain_goes_on_after_a_restart():
    directory = RamDirectory()
    for epoch in (0, 1, 5):
        _append(_ledger(directory), epoch)
    ledger = _ledger(directory)
    chain = [Checkpoint(ledger.find(epoch)) for epoch in (0, 1, 5)]
    assert [link.previous for link in chain] == [bytes(32), chain[0].link(), chain[1].link()]
    assert ledger.last_epoch == 5


def test_a_torn_append_is_mended_and_made_again():
    whole = RamDirectory()
    _append(_ledger(whole), 0)
    _append(_ledger(whole), 1)
    for entries in (0, 1):
        for part in (1, 100, CHECKPOINT_BYTES - 1):
            directory = RamDirectory()
            directory.files["ledger"] = whole.files["ledger"][: entries * CHECKPOINT_BYTES + part]
            ledger = _ledger(directory)
            assert ledger.last_epoch == entries - 1
            raises(TooOld, ledger.find, entries)
            for epoch in range(entries, 2):
                _append(ledger, epoch)
            assert directory.files["ledger"] == whole.files["ledger"], (entries, part)


class _Failing(RamDirectory):
    """Fails when the first `part` bytes of what is appended are in the file, and works again."""

    part = None

    def append(self, name, data):
        if self.part is None:
            super().append(name, data)
            return
        part, self.part = self.part, None
        super().append(name, data[:part])
        raise OSError(28)


def test_an_append_that_failed_is_mended_by_the_next():
    whole = RamDirectory()
    for epoch in range(3):
        _append(_ledger(whole), epoch)
    for part in (0, 1, 100, CHECKPOINT_BYTES - 1, CHECKPOINT_BYTES):
        for again in (1, 2):  # it is made again, or the epoch is over meanwhile, as after a clock that was corrected
            directory = _Failing()
            ledger = _ledger(directory)
            _append(ledger, 0)
            directory.part = part
            raises(OSError, _append, ledger, 1)
            for epoch in range(again, 3):
                _append(ledger, epoch)
            chain = [Checkpoint(ledger.find(epoch)) for epoch in (0, 2)]
            if again == 1 or part == CHECKPOINT_BYTES:
                assert directory.files["ledger"] == whole.files["ledger"], (part, again)
            else:
                assert directory.size("ledger") == 2 * CHECKPOINT_BYTES and chain[1].previous == chain[0].link(), part
            assert _ledger(directory).last_epoch == ledger.last_epoch == 2


def test_what_a_failed_append_left_whole_is_durable_when_the_next_returns():
    directory = _Failing()
    ledger = _ledger(directory)
    directory.part = CHECKPOINT_BYTES
    raises(OSError, _append, ledger, 0)
    directory.part = 0
    raises(OSError, _append, ledger, 0)  # not yet
    _append(ledger, 0)
    assert directory.size("ledger") == CHECKPOINT_BYTES and directory.part is None


def test_a_full_file_becomes_the_old_one_and_is_still_searched():
    directory = RamDirectory()
    ledger = _filled(directory, _FILE_ENTRIES)
    last = Checkpoint(ledger.find(_FILE_ENTRIES - 1))
    _append(ledger, _FILE_ENTRIES)
    assert directory.size("ledger") == CHECKPOINT_BYTES
    assert directory.size("ledger.old") == _FILE_ENTRIES * CHECKPOINT_BYTES
    for reader in (ledger, _ledger(directory)):
        for epoch in (0, 100, _FILE_ENTRIES - 1, _FILE_ENTRIES):
            assert Checkpoint(reader.find(epoch)).epoch == epoch
        assert Checkpoint(reader.find(_FILE_ENTRIES)).previous == last.link()
        raises(TooOld, reader.find, _FILE_ENTRIES + 1)
    assert _ledger(directory).last_epoch == _FILE_ENTRIES


def test_a_cut_between_the_change_of_files_and_the_append_loses_nothing():
    directory = RamDirectory()
    ledger = _filled(directory, _FILE_ENTRIES)
    last = Checkpoint(ledger.find(_FILE_ENTRIES - 1))
    for torn in (None, b"", b"torn"):
        directory.files["ledger.old"] = directory.files.get("ledger.old") or directory.files.pop("ledger")
        if torn is not None:
            directory.files["ledger"] = torn
        ledger = _ledger(directory)
        assert ledger.last_epoch == _FILE_ENTRIES - 1
        _append(ledger, _FILE_ENTRIES)
        assert Checkpoint(ledger.find(_FILE_ENTRIES)).previous == last.link()
        assert Checkpoint(ledger.find(0)).epoch == 0


def test_a_changed_or_foreign_checkpoint_is_refused():
    ledger = _ledger(RamDirectory())
    _append(ledger, 0)
    blob = ledger.find(0)
    Checkpoint(blob).verify(LEDGER_KEY)
    raises(InvalidObject, Checkpoint(blob).verify, curve.public(b"\x05" * 32)[1:])
    for damaged in changes(blob[1:], 31):
        raises(InvalidObject, Checkpoint(blob[:1] + damaged).verify, LEDGER_KEY)
    foreign = Ledger(RamDirectory(), FEDERATION, RELAY_KEY, b"\x05" * 32)
    _append(foreign, 0)
    raises(InvalidObject, Checkpoint(foreign.find(0)).verify, LEDGER_KEY)


def test_what_is_not_a_checkpoint_of_version_1_is_refused():
    ledger = _ledger(RamDirectory())
    _append(ledger, 0)
    blob = ledger.find(0)
    for other in (b"", blob[:-1], blob + b"\x00", b"\x02" + blob[1:]):
        raises(InvalidObject, Checkpoint, other)
