# board: long
# The ring of records on flash that fails (PROTOCOL §10): what was acknowledged is found once, whatever happened.

from cachingdevice import CachingDevice
from check import raises, share
from dice import Dice
from faultydevice import WHOLE, FaultyDevice, PowerCut
from ramdevice import RamDevice
from tessera.errors import Busy, Fault
from tessera.hashes import sha256
from tessera.nor import BLANK_PAGE, ERASE, PAGE_BYTES, SYNC
from tessera.page import PageCipher
from tessera.recordlog import RecordLog

_EPOCH_ROUNDS = 1000
_DONE = (0, 1, 17, 255, WHOLE)  # bytes of a page that were programmed when power failed


class _NotingCipher(PageCipher):
    """Notes every seq it seals a page with."""

    def __init__(self, page_key):
        super().__init__(page_key)
        self.sealed = []

    def seal(self, page_index, seq, round_, bucket, record, out, is_copy=False):
        assert seq & 15 == page_index & 15
        self.sealed.append(seq)
        super().seal(page_index, seq, round_, bucket, record, out, is_copy)


class _Ring:
    """Flash with a record log that is booted over and over, as Relay.start() does it."""

    def __init__(self, sectors, epoch_rounds=_EPOCH_ROUNDS):
        self.flash = RamDevice(sectors)
        self.epoch_rounds = epoch_rounds
        self.ciphers = {0: _NotingCipher(b"page key of epoch 0, 32 bytes...")}
        self.next_sector = 0
        RecordLog(self.flash).format(Dice(b"format").bytes)
        self._start = self.flash.get(0, sectors * 4096)

    def format(self):
        """The state it was made with."""
        self.flash.put(0, self._start)
        self.next_sector = 0

    def boot(self, device=None, first_kept_round=0):
        log = RecordLog(device or self.flash)
        self.next_sector = log.recover(self.ciphers, self.epoch_rounds, self.next_sector)
        log.begin(self.ciphers, self.epoch_rounds, first_kept_round, 8)
        return log

    def append(self, log, number, round_=0, bucket=0):
        """The page that record `number` was stored in."""
        return log.append(round_, bucket, _record(number), self.ciphers[round_ // self.epoch_rounds])

    def found(self, log, round_=0, bucket=0):
        """The records of a cell as the log has them, sorted."""
        return _read(self.ciphers[round_ // self.epoch_rounds], log, _pages(log, bucket, round_))


def _pages(log, bucket=0, round_=0):
    count = log.count_of(bucket, round_)
    return list(log.pages_of(bucket, round_, count)[:count])


def _read(cipher, log, pages):
    """The records of pages, sorted."""
    page, plain, found = bytearray(PAGE_BYTES), bytearray(PAGE_BYTES), []
    for number in pages:
        log.read(number, page)
        cipher.decrypt(page, plain)
        found.append(bytes(plain[16:]))
    return sorted(found)


def _record(number):
    return b"".join(sha256(b"record", number.to_bytes(4, "big"), bytes((part,))) for part in range(8))[:240]


def _records(numbers):
    return sorted(_record(number) for number in numbers)


def _append_until_cut(ring, log, numbers):
    """How many were stored before power failed."""
    stored = 0
    try:
        for number in numbers:
            ring.append(log, number)
            stored += 1
    except PowerCut:
        pass
    return stored


def _assert_stored(ring, log, acknowledged, unacknowledged):
    """Acknowledged numbers are there once, the unacknowledged one at most once, and nothing else."""
    found = ring.found(log)
    assert found in (_records(acknowledged), _records(acknowledged + [unacknowledged])), (len(found), acknowledged)
    return acknowledged + [unacknowledged] if len(found) > len(acknowledged) else acknowledged


def test_a_record_that_was_stored_outlives_a_cut_that_loses_all_that_was_not_synced():
    ring = _Ring(8)
    device = CachingDevice(ring.flash)
    for number in range(4):
        ring.append(ring.boot(device), number)
        device.cut()
    assert ring.found(ring.boot()) == _records(range(4))


class _Failing(CachingDevice):
    """Fails once in the operation named: after what it does, as a bus or a disk does."""

    def __init__(self, device, where):
        super().__init__(device)
        self.where = where

    def _fail(self, where):
        if self.where == where:
            self.where = None
            raise OSError(5)

    def writeblocks(self, block, buffer, offset=0):
        super().writeblocks(block, buffer, offset)
        self._fail("program")

    def readblocks(self, block, buffer, offset=0):
        super().readblocks(block, buffer, offset)
        self._fail("read")

    def ioctl(self, operation, argument):
        answer = super().ioctl(operation, argument)
        if operation == SYNC:
            self._fail("sync")
        return answer


def test_a_page_that_an_exception_kept_out_of_the_index_is_never_found():
    for where in ("program", "sync", "read"):
        ring = _Ring(4)
        device = _Failing(ring.flash, None)
        log = ring.boot(device)
        ring.append(log, 0)
        device.where = where
        raises(OSError, ring.append, log, 1)
        log.void_doubtful()  # as before a seal
        served = ring.found(log)
        assert served == _records([0])
        device.cut()
        assert ring.found(ring.boot()) == served, where


def test_a_record_after_an_exception_is_stored_and_the_other_is_not():
    ring = _Ring(8)
    device = _Failing(ring.flash, None)
    log = ring.boot(device)
    device.where = "read"
    raises(OSError, ring.append, log, 1)
    ring.append(log, 2)
    device.cut()
    assert ring.found(log) == ring.found(ring.boot()) == _records([2])


def test_a_ring_that_was_filled_stays_so_whatever_the_cache_loses():
    device = CachingDevice(RamDevice(4))
    RecordLog(device).format(Dice(b"format").bytes)
    device.cut()
    page = bytearray(PAGE_BYTES)
    for place in range(4 * 16):
        device.readblocks(place >> 4, page, (place & 15) << 8)
        assert page != BLANK_PAGE


def test_acked_record_survives_cut_in_every_program():
    ring = _Ring(8)
    for operation in share(range(1, 36), 8):  # across two borders of sectors
        for done in share(_DONE, 2):
            ring.format()
            device = FaultyDevice(ring.flash)
            log = ring.boot(device)
            device.cut(device.operations + operation, done)
            stored = _append_until_cut(ring, log, range(40))
            assert stored == operation - 1
            log = ring.boot()
            there = _assert_stored(ring, log, list(range(stored)), stored)
            ring.append(log, 100)
            log = ring.boot()
            assert ring.found(log) == _records(there + [100]), (operation, done)


def test_acked_record_survives_cut_in_every_operation_of_the_next_boot():
    ring = _Ring(6)
    for stored in share((1, 5, 16, 21), 3):
        for done in share((0, 1, 255, 300, WHOLE), 3):  # of a page; 300: of a sector, in its second page
            operation = 0
            cut = True
            while cut:
                operation += 1
                ring.format()
                _append_until_cut(ring, ring.boot(), range(stored))
                device = FaultyDevice(ring.flash)
                device.cut(operation, done)
                try:
                    ring.boot(device)
                    cut = False
                except PowerCut:
                    pass
                log = ring.boot()
                assert ring.found(log) == _records(range(stored)), (stored, operation, done)
                ring.append(log, 100)
                assert ring.found(ring.boot()) == _records(list(range(stored)) + [100])
            assert operation > 2, "no erase and copy was cut"


def test_power_that_fails_in_boot_after_boot_costs_neither_records_nor_room():
    ring = _Ring(4)
    dice = Dice(b"boots")
    _append_until_cut(ring, ring.boot(), range(10))
    room = ring.boot().room
    for _ in range(60):
        device = FaultyDevice(ring.flash)
        device.cut(1 + dice.below(4), _DONE[dice.below(5)])
        try:
            ring.boot(device)
        except PowerCut:
            pass
    log = ring.boot()
    assert ring.found(log) == _records(range(10))
    assert log.room == room


def test_boots_without_posts_use_up_no_sectors():
    ring = _Ring(4)
    _append_until_cut(ring, ring.boot(), range(20))
    room = ring.boot().room
    for _ in range(30):
        log = ring.boot()
        assert log.room == room
        assert ring.found(log) == _records(range(20))


def test_a_copy_replaces_its_original_and_outlives_it():
    ring = _Ring(4)
    log = ring.boot()
    pages = [ring.append(log, number) for number in range(3)]
    log = ring.boot()
    copy = [page for page in _pages(log) if page not in pages]
    assert len(copy) == 1 and copy[0] & 15 == 0, "the newest record has a copy in a fresh sector"
    assert sorted(_pages(log)) == sorted(pages[:2] + copy)
    ring.flash.put(pages[2] * PAGE_BYTES, bytes(PAGE_BYTES))
    assert ring.found(ring.boot()) == _records(range(3))


def test_equal_records_are_kept_as_often_as_they_were_posted():
    ring = _Ring(6)
    log = ring.boot()
    for _ in range(3):
        ring.append(log, 7)
    for posted in range(3, 6):
        log = ring.boot()
        assert ring.found(log) == _records([7] * posted)
        ring.append(log, 7)


def test_a_page_that_does_not_read_back_is_skipped_and_never_found():
    for fault in ("lost", "flipped", "misread"):
        ring = _Ring(4)
        device = FaultyDevice(ring.flash)
        log = ring.boot(device)
        first = ring.append(log, 0)
        if fault == "lost":
            device.lost = (device.operations + 1,)
        elif fault == "flipped":
            device.flipped = {device.operations + 1: 77}
        else:
            device.misread = 1
        assert ring.append(log, 1) == first + 2, fault
        assert ring.flash.get((first + 1) * PAGE_BYTES, PAGE_BYTES) == bytes(PAGE_BYTES), fault
        for _ in range(2):
            assert ring.found(log) == _records(range(2)), fault
            log = ring.boot()


def test_a_cut_before_a_bad_page_is_blotted_out_leaves_nothing_to_find():
    ring = _Ring(4)
    for done in _DONE:
        ring.format()
        device = FaultyDevice(ring.flash)
        log = ring.boot(device)
        ring.append(log, 0)
        device.flipped = {device.operations + 1: 77}
        device.cut(device.operations + 2, done)
        raises(PowerCut, ring.append, log, 1)
        assert ring.found(ring.boot()) == _records([0]), done


def test_flash_that_keeps_nothing_is_a_fault():
    ring = _Ring(4)
    device = FaultyDevice(ring.flash)
    log = ring.boot(device)
    ring.append(log, 0)
    device.worn = range(4 * 16)
    raises(Fault, ring.append, log, 1)
    device.worn = ()
    ring.append(log, 2)
    assert ring.found(log) == _records([0, 2]) == ring.found(ring.boot())


def test_sectors_are_used_again_after_expiry_and_kept_rounds_are_never_touched():
    ring = _Ring(5, epoch_rounds=4)
    log = ring.boot()
    dice = Dice(b"wrap")
    used = set()
    posted = {}
    for round_ in range(60):
        epoch = round_ // 4
        first = max(0, epoch - 2) * 4
        ring.ciphers.setdefault(epoch, PageCipher(sha256(b"page key", bytes((epoch,)))))
        for old in [old for old in ring.ciphers if old * 4 < first]:
            del ring.ciphers[old]
        if round_ % 11 == 10:
            log = ring.boot(first_kept_round=first)
        log.erase_ahead(2, first)
        posted[round_] = [100 * round_ + place for place in range(dice.below(5))]
        for number in posted[round_]:
            used.add(ring.append(log, number, round_, number & 1) >> 4)
        for kept in range(first, round_ + 1):
            for bucket in (0, 1):
                expected = [number for number in posted[kept] if number & 1 == bucket]
                assert ring.found(log, kept, bucket) == _records(expected), (round_, kept)
    assert used == {0, 1, 2, 3, 4} and sum(len(numbers) for numbers in posted.values()) > 80


def test_a_full_ring_is_a_fault_and_changes_nothing():
    ring = _Ring(4)
    log = ring.boot()
    for number in range(4 * 16):
        log.erase_ahead(8, 0)
        ring.append(log, number)
    flash = ring.flash.get(0, 4 * 4096)
    assert log.erase_ahead(8, 0) == 0
    raises(Fault, ring.append, log, 1000)
    assert ring.flash.get(0, 4 * 4096) == flash
    assert ring.found(log) == _records(range(4 * 16)) == ring.found(ring.boot())


def test_sectors_that_were_erased_are_not_erased_again_but_for_those_that_may_be_half_erased():
    ring = _Ring(8)
    log = ring.boot()  # all are erased now but the last, in which the log begins
    ring.append(log, 1)
    erased = []
    ioctl = ring.flash.ioctl

    def noting(operation, argument):
        if operation == ERASE:
            erased.append(argument)
        return ioctl(operation, argument)

    ring.flash.ioctl = noting
    log = ring.boot()
    assert erased == [1, 6, 7]  # the first ahead of the open one, 0; the last that is blank; what is not
    assert log.erase_ahead(8, 0) == 0 and log.room == 16 * 7 - 1
    del erased[:]
    ring.flash.put(4 * 4096, b"\x00")  # as if power had failed in the erasing of the fifth
    log = ring.boot()
    assert erased == [1, 3, 4, 7]
    assert ring.found(log) == _records([1])


def test_no_erased_sector_is_busy_until_the_next_window():
    ring = _Ring(4)
    log = ring.boot()
    for number in range(log.room):
        ring.append(log, number)
    assert log.erase_ahead(0, 1) == 0  # the records have expired, the window has not come
    assert raises(Busy, ring.append, log, 1000, 1).retry_after > 0
    assert log.erase_ahead(1, 1) == 1
    ring.append(log, 1000, 1)
    assert ring.found(log, 1) == _records([1000])


def test_no_seq_is_used_twice_under_a_key_whatever_is_torn():
    ring = _Ring(4)
    dice = Dice(b"seq")
    for round_ in share(range(150), 6):
        device = FaultyDevice(ring.flash)
        device.cut(1 + dice.below(30), _DONE[dice.below(5)])
        try:
            log = ring.boot(device, round_)
            for number in range(40):
                ring.append(log, number, round_)
                if number & 15 == 15:
                    log.erase_ahead(1, round_)
        except (PowerCut, Busy, Fault):
            pass
    sealed = ring.ciphers[0].sealed
    assert len(sealed) > 7 * len(share(range(150), 6))
    assert len(sealed) == len(set(sealed))


def test_no_seq_is_used_twice_after_a_sector_that_keeps_nothing():
    # A boot skips the number of one such sector, so the log must not go on to another after it.
    ring = _Ring(6)
    device = FaultyDevice(ring.flash)
    log = ring.boot(device)
    ring.append(log, 0)
    device.worn = range(1, 2 * 16)
    for number in range(1, 1 + 32 // 4):
        raises(Fault, ring.append, log, number)
    device.worn = ()
    raises(Fault, ring.append, log, 100)
    ring.append(ring.boot(), 101)
    sealed = ring.ciphers[0].sealed
    assert len(sealed) == len(set(sealed))


def test_a_gap_of_more_than_254_rounds_opens_a_new_sector():
    ring = _Ring(4)
    log = ring.boot()
    pages = [ring.append(log, round_, round_) for round_ in (3, 257, 258, 600)]
    assert [page >> 4 for page in pages] == [0, 0, 1, 2]
    for _ in range(2):
        assert [ring.found(log, round_) for round_ in (3, 257, 258, 600)] == [
            _records([number]) for number in (3, 257, 258, 600)
        ]
        assert log.highest_round == 600
        log = ring.boot()


def test_a_flipped_bit_costs_that_record_only_and_the_cell_keeps_its_count():
    ring = _Ring(4)
    log = ring.boot()
    pages = [ring.append(log, number) for number in range(20)]
    flash = ring.flash.get(0, 4 * 4096)
    assert ring.boot().unreadable == 0
    ring.flash.put(0, flash)
    for at in range(0, PAGE_BYTES, 5):
        number = at % 19  # the newest has a copy
        page = bytearray(ring.flash.get(pages[number] * PAGE_BYTES, PAGE_BYTES))
        page[at] ^= 1 << at % 8
        ring.flash.put(pages[number] * PAGE_BYTES, page)
        log = ring.boot()
        told = at >= 16  # by the header, which of the 16 bytes none may be another
        assert log.lost == ([pages[number]] if told else []), at
        left = [page for page in _pages(log) if page not in log.lost]
        assert len(left) == 19 and log.count_of(0, 0) == (20 if told else 19), at
        assert _read(ring.ciphers[0], log, left) == _records([other for other in range(20) if other != number]), at
        assert (log.unreadable, log.damaged) == (1, 1)
        ring.flash.put(0, flash)


def test_a_lost_page_keeps_its_place_whatever_its_sector_has_besides():
    # The first of its sector, whose round the others are told from; the last, with the same boot's next sector behind.
    ring = _Ring(4)
    log = ring.boot()
    rounds = [5, 5, 7, 7, 7] + [9] * 13 + [260, 260]
    pages = [ring.append(log, number, round_) for number, round_ in enumerate(rounds)]
    flash = ring.flash.get(0, 4 * 4096)
    for number in (0, 1, 2, 15, 16):
        _damage(ring, pages[number])
        log = ring.boot()
        assert log.lost == [pages[number]]
        for round_ in (5, 7, 9, 260):
            assert log.count_of(0, round_) == rounds.count(round_), (number, round_)
            assert log.count_of(1, round_) == 0
        ring.flash.put(0, flash)


def test_the_last_page_of_a_boot_may_be_torn_and_is_no_record():
    ring = _Ring(6)
    log = ring.boot()
    pages = [ring.append(log, number) for number in range(5)]
    ring.boot()  # which copies the newest
    _damage(ring, pages[4])
    log = ring.boot()
    assert log.lost == [] and (log.unreadable, log.damaged) == (1, 0)
    assert log.count_of(0, 0) == 5


def test_a_lost_copy_leaves_the_count_to_its_original():
    ring = _Ring(6)
    log = ring.boot()
    for number in range(5):
        ring.append(log, number)
    log = ring.boot()
    copy = max(_pages(log))
    ring.append(log, 5)
    _damage(ring, copy)
    log = ring.boot()
    assert log.lost == [] and log.damaged == 1
    assert ring.found(log) == _records(range(6))


def test_lost_pages_go_with_their_sector():
    ring = _Ring(4)
    log = ring.boot()
    pages = [ring.append(log, number, round_=number) for number in range(20)]
    _damage(ring, pages[3])
    log = ring.boot()
    assert log.lost == [pages[3]]
    log.erase_ahead(4, 18)
    assert log.lost == [] and log.count_of(0, 3) == 0


def _damage(ring, page):
    """Flip a bit of a page's record."""
    content = bytearray(ring.flash.get(page * PAGE_BYTES, PAGE_BYTES))
    content[100] ^= 4
    ring.flash.put(page * PAGE_BYTES, content)


def test_room_for_a_cell_depends_on_its_published_count_only():
    ring = _Ring(8)
    log = ring.boot()
    for number in range(61):
        ring.append(log, number, round_=0 if number < 20 else 1 if number < 60 else 2)
    rooms = []
    for round_, real in ((0, 20), (1, 40), (2, 1), (3, 0)):
        assert log.count_of(0, round_) == real
        rooms.append(len(log.pages_of(0, round_, real, 50 - real)))
    assert rooms == [51] * 4
