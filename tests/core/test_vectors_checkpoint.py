# checkpoint.json: the chain of checkpoints, read and written, and the firmware digest in it.

from check import raises, unhex, vectors
from damage import changed, changes
from office import RamDirectory
from tessera.cover import commitment
from tessera.errors import InvalidObject, TooOld
from tessera.firmware import digest_of_files
from tessera.ledger import Checkpoint, Ledger
from workfolder import WorkFolder

_FIELDS = (
    ("federation_id", "federation_id"),
    ("relay_key", "relay_key"),
    ("parameter_digest", "digest"),
    ("cover_commitment", "cover_commitment"),
    ("firmware_digest", "firmware_digest"),
    ("previous", "previous"),
)
_NO_RANDOM = bytes(32)


def _rows():
    return vectors("checkpoint")["checkpoints"]


def _ledger(directory):
    row = _rows()[0]
    return Ledger(directory, unhex(row["federation_id"]), unhex(row["relay_key"]), unhex(row["ledger_secret"]))


def _append(ledger, row):
    digest, firmware = unhex(row["digest"]), unhex(row["firmware_digest"])
    cover = commitment(unhex(row["cover_key"]))
    ledger.append(row["epoch"], row["rounds_sealed"], digest, cover, firmware, _NO_RANDOM)


def test_checkpoints_have_the_vectors_fields():
    for row in _rows():
        checkpoint = Checkpoint(unhex(row["checkpoint"]))
        checkpoint.verify(unhex(row["ledger_key"]))
        assert checkpoint.epoch == row["epoch"] and checkpoint.rounds_sealed == row["rounds_sealed"]
        for attribute, name in _FIELDS:
            assert getattr(checkpoint, attribute) == unhex(row[name]), (row["epoch"], name)


def test_commitments_are_to_the_vectors_cover_keys():
    for row in _rows():
        assert commitment(unhex(row["cover_key"])) == unhex(row["cover_commitment"])


def test_each_checkpoint_links_to_the_one_before():
    link = bytes(32)
    for row in _rows():
        checkpoint = Checkpoint(unhex(row["checkpoint"]))
        assert checkpoint.previous == link
        link = checkpoint.link()
        assert link == unhex(row["link"])


def test_a_ledger_writes_the_vectors_chain():
    directory = RamDirectory()
    ledger = _ledger(directory)
    assert ledger.last_epoch == -1
    for row in _rows():
        _append(ledger, row)
        assert ledger.last_epoch == row["epoch"]
        assert ledger.find(row["epoch"]) == unhex(row["checkpoint"])
        # After a boot, which may have met an append that power cut off.
        directory.append("ledger", bytes(100))
        ledger = _ledger(directory)
        assert ledger.last_epoch == row["epoch"]
    for row in _rows():
        _append(ledger, row)
        assert ledger.find(row["epoch"]) == unhex(row["checkpoint"])
    raises(TooOld, ledger.find, 29)
    raises(TooOld, ledger.find, 33)


def test_a_changed_byte_is_refused():
    row = _rows()[1]
    blob, key = unhex(row["checkpoint"]), unhex(row["ledger_key"])
    raises(InvalidObject, Checkpoint, changed(blob, 0))
    for damaged in changes(blob[1:], step=5):
        raises(InvalidObject, Checkpoint(blob[:1] + damaged).verify, key)
    raises(InvalidObject, Checkpoint(blob).verify, unhex(row["relay_key"])[1:])


def test_a_changed_byte_changes_the_link():
    # The signature is part of the link: a checkpoint signed twice is two checkpoints.
    blob, link = unhex(_rows()[0]["checkpoint"]), unhex(_rows()[0]["link"])
    for damaged in changes(blob[1:]):
        assert Checkpoint(blob[:1] + damaged).link() != link


def test_every_other_length_is_refused():
    blob = unhex(_rows()[0]["checkpoint"])
    for length in range(len(blob)):
        raises(InvalidObject, Checkpoint, blob[:length])
    raises(InvalidObject, Checkpoint, blob + b"\x00")


def test_firmware_digest_is_that_of_the_files_in_order():
    for row in vectors("checkpoint")["firmware"]:
        with WorkFolder() as folder:
            for file in row["files"]:
                with open(folder + "/" + file["name"], "wb") as out:
                    out.write(unhex(file["content"]))
            with open(folder + "/not code.txt", "wb") as out:
                out.write(b"not counted")
            assert digest_of_files(folder) == unhex(row["firmware_digest"])
