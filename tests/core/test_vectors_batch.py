# The batches of cover.json, served from a record log in memory; and that nothing but the count of a batch decides what
# work a relay does for it (PROTOCOL §9).

from check import share, unhex, vectors
from ramdevice import RamDevice
from tessera import wire
from tessera.batch import Batch, CellFrame
from tessera.cover import EpochCover
from tessera.hashes import sha256
from tessera.page import PageCipher
from tessera.recordlog import RecordLog
from tessera.runtime import MICROPYTHON

_SECTORS = 8
_PAGE_KEY = b"page key of a test, 32 bytes lon"
_NEVER = b"\xff" * 8  # a threshold that (almost) no draw meets
_ALWAYS = bytes(8)


def _batches():
    return vectors("cover")["batches"]


def _some_batches():
    """For what holds of every batch: a board in a hurry builds two of the six, as the largest takes it 2 s."""
    return share(_batches(), 1)


def _table(index):
    return unhex("".join(vectors("noise_table")[index]["thresholds"]))


def _cover(row):
    return EpochCover(unhex(row["cover_key"]), _table(row["table"]))


def _real(row):
    return [unhex(record) for record in row["real"]]


def _other(number):
    """A record of no vector."""
    return b"".join(sha256(b"other", bytes((number, part))) for part in range(8))[:240]


def _log(cells, device=None):
    """A log with these (round, bucket, record), and its cipher."""
    cipher = PageCipher(_PAGE_KEY)
    log = RecordLog(device or RamDevice(_SECTORS))
    log.erase_ahead(_SECTORS, 0)
    for round_, bucket, record in cells:
        log.append(round_, bucket, record, cipher)
    return log, cipher


def _cells_around(row, records):
    """The batch's records among those of other buckets and rounds."""
    bucket, round_ = row["bucket"], row["round"]
    yield round_ - 1, bucket, _other(0)
    for place, record in enumerate(records):
        yield round_, bucket, record
        if place % 5 == 0:
            yield round_, bucket ^ 1, _other(1 + place)
    yield round_ + 1, bucket, _other(100)


def _batch(row):
    log, cipher = _log(_cells_around(row, _real(row)))
    return Batch(log, cipher, _cover(row), row["bucket"], row["round"])


def _frames(batch, frame):
    """The frames of a batch as a client reads them."""
    offset = 0
    while offset < max(1, batch.count):
        batch.fill(frame, offset)
        yield wire.read_cell(frame.buffer)
        offset += 4


def _records(batch, frame=None):
    served = []
    for _, _, _, _, records in _frames(batch, frame or CellFrame()):
        served += records
    return served


def test_batches_are_the_vectors():
    for row in _batches():
        batch = _batch(row)
        served = _records(batch)
        assert batch.count == row["count"] == len(served), row["name"]
        assert served == sorted(served), row["name"]
        assert sha256(*served) == unhex(row["batch"]), row["name"]


def test_every_real_record_is_served_as_often_as_it_was_posted():
    for row in _some_batches():
        served, real = _records(_batch(row)), _real(row)
        for record in real:
            assert served.count(record) == real.count(record), row["name"]
        assert row["count"] == row["noise"] + len(real)


def test_batches_do_not_depend_on_the_order_of_posts():
    for row in _some_batches():
        log, cipher = _log(_cells_around(row, list(reversed(_real(row)))))
        batch = Batch(log, cipher, _cover(row), row["bucket"], row["round"])
        assert sha256(*_records(batch)) == unhex(row["batch"]), row["name"]


def test_any_frame_can_be_filled_at_any_time():
    # As readers do who share nothing but the batch: from the end, twice, with a frame that held another batch.
    frame = CellFrame()
    for row in _some_batches():
        batch = _batch(row)
        served = _records(batch)
        for offset in list(range(0, batch.count, 4))[::-1] + [0, 0]:
            here = batch.fill(frame, offset)
            expected = (wire.CELL, row["round"], row["count"], offset, served[offset : offset + 4])
            assert here == len(expected[4]) and wire.read_cell(frame.buffer) == expected, row["name"]


def test_an_empty_batch_is_one_frame_without_records():
    cover = EpochCover(bytes(32), _NEVER * 4)
    log, cipher = _log([(6, 0, _other(0))])
    batch = Batch(log, cipher, cover, 0, 7)
    assert list(_frames(batch, CellFrame())) == [(wire.CELL, 7, 0, 0, [])]


def test_a_record_in_a_reused_sector_is_served():
    # The ring twice over: pages of expired rounds give way to the newest.
    row = _batches()[2]
    log, cipher = _log([])
    for round_ in range(3 * _SECTORS * 2):
        log.erase_ahead(2, round_)
        for place in range(8):
            log.append(round_, row["bucket"], _other(place), cipher)
    log.erase_ahead(2, row["round"])
    for record in _real(row):
        log.append(row["round"], row["bucket"], record, cipher)
    batch = Batch(log, cipher, _cover(row), row["bucket"], row["round"])
    assert sha256(*_records(batch)) == unhex(row["batch"])


def test_what_a_frame_does_not_fill_is_zeros():
    # PROTOCOL §5: n records ‖ zeros. A relay seals frames in place, so a buffer holds the frame before.
    frame = CellFrame()
    for row in _some_batches():
        batch = _batch(row)
        for offset in range(0, batch.count, 4):
            here = batch.fill(frame, offset)
            end = wire.CELL_HEADER_BYTES + here * wire.RECORD_BYTES
            padding = frame.buffer[end : wire.CELL_BYTES]
            assert frame.buffer[10 : wire.CELL_HEADER_BYTES] == bytes(wire.CELL_HEADER_BYTES - 10), row["name"]
            assert padding == bytes(len(padding)), row["name"]
            for at in range(len(frame.buffer)):
                frame.buffer[at] = 0xAA


# -- the work


class _Watched:
    """Device, cipher and cover in front of the real ones: notes what is asked of them, and of which size."""

    def __init__(self, device, cipher, cover):
        self.notes = []
        self._device = device
        self._cipher = cipher
        self._cover = cover
        self.candidates = cover.candidates

    # device

    def readblocks(self, block, buffer, offset=0):
        self.notes.append("read %d" % len(buffer))
        self._device.readblocks(block, buffer, offset)

    def writeblocks(self, block, buffer, offset=None):
        self._device.writeblocks(block, buffer, offset)

    def ioctl(self, operation, argument):
        return self._device.ioctl(operation, argument)

    # cipher

    def decrypt(self, data, out):
        self.notes.append("decrypt %d" % len(data))
        self._cipher.decrypt(data, out)

    # cover and its dummies

    def noise(self, bucket, round_, real):
        self.notes.append("noise")
        return self._cover.noise(bucket, round_, real)

    def dummies(self, bucket, round_):
        self.notes.append("dummies")
        self._dummies = self._cover.dummies(bucket, round_)
        return self

    def make(self, number, out):
        self.notes.append("make %d" % len(out))
        self._dummies.make(number, out)

    def heads(self, count, out, first):
        self.notes.append("heads %d" % count)
        self._dummies.heads(count, out, first)

    def take_notes(self):
        notes, self.notes = self.notes, []
        return notes


def _tabled(noise, candidates):
    """A cover by which every cell has this noise."""
    return EpochCover(b"cover key of a test, 32 bytes lo", _ALWAYS * noise + _NEVER * (candidates - noise))


def _constant(size):
    """That of constant batches."""
    return EpochCover(b"cover key of a test, 32 bytes lo", b"", size)


def _watched_batch(real, cover):
    """A batch with so many real records, and what was asked for until it stood."""
    cipher = PageCipher(_PAGE_KEY)
    watched = _Watched(RamDevice(_SECTORS), cipher, cover)
    log = RecordLog(watched)
    log.erase_ahead(_SECTORS, 0)
    for number in range(real):
        log.append(7, 0, _other(number), cipher)
    watched.take_notes()
    return Batch(log, watched, watched, 0, 7), watched


def test_the_work_for_a_batchs_order_depends_on_its_count_alone():
    traces = []
    for real in share(range(23), 1):
        batch, watched = _watched_batch(real, _tabled(22 - real, 30))
        assert batch.count == 22
        traces.append(watched.take_notes())
    assert traces[0].count("read 32") == traces[0].count("decrypt 32") == 22
    assert traces[0].count("heads 30") == traces[0].count("noise") == 1
    assert len(traces[0]) == 2 * 22 + 3  # and the dummies of the cell
    for trace in traces:
        assert trace == traces[0]


def test_the_work_for_a_constant_batchs_order_is_the_same_whatever_is_real():
    traces = []
    for real in share(range(23), 1):
        batch, watched = _watched_batch(real, _constant(22))
        assert batch.count == 22
        traces.append(watched.take_notes())
    assert traces[0].count("read 32") == traces[0].count("decrypt 32") == traces[0].count("heads 22") * 22 == 22
    for trace in traces:
        assert trace == traces[0]


def test_each_record_served_costs_one_page_one_decryption_and_one_dummy():
    for real in share(range(23), 1):
        for cover in (_tabled(22 - real, 30), _constant(22)):
            batch, watched = _watched_batch(real, cover)
            watched.take_notes()
            frame = CellFrame()
            for offset in range(0, batch.count, 4):
                here = batch.fill(frame, offset)
                assert watched.take_notes() == ["read 256", "decrypt 256", "make 240"] * here, (real, offset)


def test_the_vectors_batches_cost_the_same_work_a_record():
    for row in _some_batches():
        cover = _cover(row)
        cipher = PageCipher(_PAGE_KEY)
        watched = _Watched(RamDevice(_SECTORS), cipher, cover)
        log, _ = _log(_cells_around(row, _real(row)), watched)
        batch = Batch(log, watched, watched, row["bucket"], row["round"])
        watched.take_notes()
        records = _records(batch)
        assert watched.take_notes() == ["read 256", "decrypt 256", "make 240"] * len(records), row["name"]


if MICROPYTHON:
    import micropython
    from uctypes import addressof

    def test_filling_a_frame_allocates_nothing():
        for row in _some_batches():
            batch = _batch(row)
            frame = CellFrame()
            batch.fill(frame, 0)
            assert _fill_locked(batch, frame), row["name"]

    def test_places_of_a_frame_begin_at_words_as_the_place_for_what_is_not_wanted():
        """AES takes longer where no word begins, and which of the two is wanted is nobody's business."""
        frame = CellFrame()
        for places in frame.for_page + frame.for_dummy:
            assert len({addressof(place.page) % 4 for place in places}) == 1

    def _fill_locked(batch, frame):
        """Fill all frames with the heap locked: an allocation raises MemoryError."""
        offset = 0
        micropython.heap_lock()
        try:
            while offset < batch.count:
                batch.fill(frame, offset)
                offset += 4
        finally:
            micropython.heap_unlock()
        return offset >= batch.count

    def test_an_allocation_under_the_lock_would_be_noticed():
        micropython.heap_lock()
        try:
            bytearray(1000)
            noticed = False
        except MemoryError:
            noticed = True
        micropython.heap_unlock()
        assert noticed
