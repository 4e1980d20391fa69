# constant.json: batches that have one size whatever is real in them, served from a record log in memory; and the
# dummies in the place of what was damaged.

from check import raises, share, unhex, vectors
from ramdevice import RamDevice
from tessera import wire
from tessera.batch import Batch, CellFrame
from tessera.cover import EpochCover
from tessera.errors import Fault
from tessera.hashes import sha256
from tessera.page import PageCipher
from tessera.recordlog import RecordLog

_PAGE_KEY = b"page key of a test, 32 bytes lon"
_SECTORS = 5


def _rows():
    return vectors("constant")["batches"]


def _records(row):
    return [unhex(vectors("constant")["records"][place]) for place in row["real"]]


def _cover(row):
    return EpochCover(unhex(row["cover_key"]), b"", row["constant"])


def _log(row, records):
    """A log with these records in the row's cell, between those of others."""
    cipher = PageCipher(_PAGE_KEY)
    log = RecordLog(RamDevice(_SECTORS))
    log.erase_ahead(_SECTORS, 0)
    other = bytes(240)
    log.append(row["round"] - 1, row["bucket"], other, cipher)
    for record in records:
        log.append(row["round"], row["bucket"], record, cipher)
        log.append(row["round"], row["bucket"] ^ 1, other, cipher)
    return log, cipher


def _batch(row, records):
    log, cipher = _log(row, records)
    return Batch(log, cipher, _cover(row), row["bucket"], row["round"])


def _served(batch):
    frame, served = CellFrame(), []
    for offset in range(0, batch.count, 4):
        batch.fill(frame, offset)
        served += wire.read_cell(frame.buffer)[4]
    return served


def _dummy(dummies, number):
    out = bytearray(240)
    dummies.make(number, out)
    return bytes(out)


def test_batches_are_the_vectors():
    for row in share(_rows(), 2):
        records = _records(row)
        for posted in (records, records[::-1]):
            batch = _batch(row, posted)
            assert batch.count == row["constant"], row["name"]
            assert sha256(*_served(batch)) == unhex(row["batch"]), row["name"]


def test_every_number_of_real_records_that_matters_is_there():
    for constant in (4, 24):
        found = [len(row["real"]) for row in _rows() if row["constant"] == constant]
        assert {0, 1, constant - 1, constant} <= set(found)


def test_a_cell_with_more_records_than_its_batch_is_a_fault():
    row = _rows()[2]
    records = [unhex(record) for record in vectors("constant")["records"][: row["constant"] + 1]]
    assert _batch(row, records[:-1]).count == row["constant"]
    raises(Fault, _batch, row, records)


def test_the_dummy_in_the_place_of_a_page_is_the_vectors():
    for row in vectors("constant")["replaced"]:
        dummies = EpochCover(unhex(row["cover_key"]), b"", 4).dummies(row["bucket"], row["round"])
        for _ in range(2):  # whatever was made before
            assert _dummy(dummies, (1 << 27) + row["page"]) == unhex(row["dummy"])
            _dummy(dummies, 3)


def test_a_dummy_stands_for_what_was_damaged_and_all_else_stays():
    row = next(row for row in _rows() if row["constant"] == 24 and len(row["real"]) == 23)
    records = _records(row)
    log, cipher = _log(row, records)
    before = _served(Batch(log, cipher, _cover(row), row["bucket"], row["round"]))
    pages = list(log.pages_of(row["bucket"], row["round"], 23)[:23])
    # Two of the cell, one of another bucket.
    log.lost = [pages[0], pages[7], pages[7] + 1]
    after = _served(Batch(log, cipher, _cover(row), row["bucket"], row["round"]))
    assert after == sorted(after) and len(after) == 24
    dummies = _cover(row).dummies(row["bucket"], row["round"])
    expected = [_dummy(dummies, (1 << 27) + page) for page in log.lost[:2]]
    assert sorted(set(before) - set(after)) == sorted([records[0], records[7]])
    assert sorted(set(after) - set(before)) == sorted(expected)
