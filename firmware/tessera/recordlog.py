# The ring of records on flash (PROTOCOL §10): where the next page goes, which pages a cell has, and what is recovered
# after a power cut. The bytes of a page are page.py's business, which epochs are kept epochs.py's.
#
# The ring is used sector by sector. Each sector in use has a number, one more than the sector used before it; the seq
# of a page is this number and the page's place in the sector. A boot never programs a sector that an earlier boot
# opened, unless all it holds is a copy: a page whose programming was interrupted may read as blank and yet not be.

from array import array

from . import native, nor
from .errors import Busy, Fault
from .machine import Machine
from .nor import BLANK_PAGE, PAGE_BYTES, PAGES_PER_SECTOR, ZERO_PAGE
from .page import BUCKET_AT, LAST_SEQ, RECORD_START_BYTES, ROUND_AT, PageBuffer, search
from .runtime import aes_cbc, const

_EMPTY = const(0xFFFF)  # in the index: no record in this page
_UNUSED = const(0x3FFFFFFF)  # first round of a sector without records; a small integer on every board
_LONGEST_SPAN = const(254)  # rounds from the first to the last record of a sector, as the index has one byte for it
_LAST_NUMBER = LAST_SEQ >> 4  # of a sector, in the order of use
_PROGRAM_TRIES = const(4)  # pages that are tried for one record


class RecordLog:
    """Records by cell (bucket, round), over a block device with sectors of 4096 bytes.

    The index takes 2 bytes of RAM for each page and 8 for each sector: 8.3 KB for the 832 KiB ring of a Pico W. A
    machine may have another index, which finds a cell without a search.

    highest_round: the highest round with a record, -1 without records. unreadable: pages that a boot found torn by a
    power cut or damaged. damaged: those of them that were intact once, as later pages were written. lost: the pages in
    the index that can no longer be read; dummies are served in their place (batch.py).
    """

    def __init__(self, device, machine=Machine):
        self._device = device
        self.sectors = nor.sectors(device)
        self.pages = self.sectors * PAGES_PER_SECTOR
        # One place more than the ring has, where recover() puts its results for pages that are no record.
        self._first_round = array("I", [_UNUSED] * (self.sectors + 1))
        self._last_round = array("I", bytes(4 * (self.sectors + 1)))
        if machine.cells is None:
            self._index = array("H", b"\xff\xff" * (self.pages + 1))  # bucket << 8 | round - first round of the sector
            self._find_pages = native.find_pages
        else:
            self._index = machine.cells(self.pages, self._first_round)
            self._find_pages = self._index.find_pages
        self._buckets = machine.buckets
        self._erases_at_once = machine.erases_at_once
        self._sector = self.sectors - 1  # that is being filled
        self._place = PAGES_PER_SECTOR  # of the next page in it
        self._number = 0  # of that sector, in the order of use
        self._opened = False  # whether this boot opened a sector
        self._blank_ahead = 0  # erased sectors in front of it
        self._first_kept_round = 0
        self.highest_round = -1
        self._doubtful = None  # a page that may have been programmed and is not in the index
        self._buffer = PageBuffer()
        self.unreadable = 0
        self.damaged = 0
        self.lost = []

    # -- device

    def format(self, random):
        """Fill the ring with random pages, so that unused pages look like used ones. random(n) -> bytes.

        AES-CBC under a random key makes the pages, 20 times as fast as the generator itself.
        """
        cipher = aes_cbc(random(32), random(16))
        zeros = bytes(PAGE_BYTES)
        for page in range(self.pages):
            if page & 15 == 0:
                nor.erase(self._device, page >> 4)
            cipher.encrypt(zeros, self._buffer.page)
            self._device.writeblocks(page >> 4, self._buffer.page, (page & 15) << 8)
        nor.sync(self._device)

    def read(self, page, buffer):
        """Read the first bytes of a page into buffer, as they are on flash."""
        self._device.readblocks(page >> 4, buffer, (page & 15) << 8)

    # -- reading cells

    def count_of(self, bucket, round_):
        """How many records a cell has."""
        return self._search(bucket, round_, array("I", (0,)), 0)

    def pages_of(self, bucket, round_, count, dummies=0):
        """The pages of a cell with `count` records: an array of u32, in no promised order, with unused entries behind.

        Time and memory depend only on count + dummies, which is published. Readers could otherwise tell the number of
        records from the time at which the garbage collector runs. So the whole index is searched here once more.
        """
        pages = array("I", bytes(4 * (count + dummies + 1)))
        self._search(bucket, round_, pages, count)
        return pages

    def _search(self, bucket, round_, found, room):
        return self._find_pages(self._index, self._first_round, self.sectors, bucket, round_, found, room)

    def read_heads(self, pages, cipher, heads):
        """Write the first 8 bytes of each page's record to heads, in the order of the pages."""
        readblocks, decrypt = self._device.readblocks, cipher.decrypt
        head, plain, start = self._buffer.head, self._buffer.plain, self._buffer.record_start
        at = 0
        for page in pages:
            readblocks(page >> 4, head, (page & 15) << 8)
            decrypt(head, plain)
            heads[at : at + RECORD_START_BYTES] = start
            at += RECORD_START_BYTES

    # -- writing

    def append(self, round_, bucket, record, cipher, is_copy=False):
        """Program a record (240 bytes), read it back and enter it in the index. Returns its page.

        cipher: the PageCipher of the round's epoch. Busy if no sector was erased yet, Fault if the ring is full or the
        flash does not keep what is written.
        """
        written, read_back = self._buffer.page, self._buffer.plain
        for _ in range(_PROGRAM_TRIES):
            self.void_doubtful()
            page = self._next_page(round_)
            cipher.seal(page, self._number << 4 | page & 15, round_, bucket, record, written, is_copy)
            self._doubtful = page
            self._device.writeblocks(page >> 4, written, (page & 15) << 8)
            nor.sync(self._device)
            self._device.readblocks(page >> 4, read_back, (page & 15) << 8)
            if read_back == written:
                self._enter(page, round_, bucket)
                self._doubtful = None
                return page
            self.void_doubtful()  # the record goes to the next page
        raise _unkept()

    def void_doubtful(self):
        """Make a page unreadable that read back wrong or that an exception kept out of the index.

        This happens before the next record is stored and before the round is sealed. Otherwise a later boot might find
        the page intact, and the sealed batch would change.
        """
        page = self._doubtful
        if page is not None:
            self._device.writeblocks(page >> 4, ZERO_PAGE, (page & 15) << 8)
            nor.sync(self._device)
            self._doubtful = None

    def _next_page(self, round_):
        full = self._place == PAGES_PER_SECTOR
        if full or (self._used(self._sector) and round_ - self._first_round[self._sector] > _LONGEST_SPAN):
            self._open_sector()
        page = self._sector << 4 | self._place
        self._place += 1
        return page

    def _open_sector(self):
        if self._opened and not self._used(self._sector):
            # A boot skips the number of one sector that holds nothing, so there must not be two of them.
            raise _unkept()
        if self._number >= _LAST_NUMBER:
            raise Fault("the record ring's numbers are used up: provision the relay anew")
        following = (self._sector + 1) % self.sectors
        if not self._blank_ahead:
            if self._live(following):
                raise Fault("the record ring is full: members posted more than the parameters allow")
            raise Busy("no erased sector until the next window", 1)
        self._sector = following
        self._opened = True
        self._blank_ahead -= 1
        self._number += 1
        self._place = 0

    def _enter(self, page, round_, bucket):
        sector = page >> 4
        if not self._used(sector):
            self._first_round[sector] = round_
        self._index[page] = bucket << 8 | (round_ - self._first_round[sector])
        self._last_round[sector] = round_
        self.highest_round = max(self.highest_round, round_)

    def _live(self, sector):
        return self._used(sector) and self._last_round[sector] >= self._first_kept_round

    def _used(self, sector):
        return self._first_round[sector] != _UNUSED

    def erase_ahead(self, limit, first_kept_round, wanted=_UNUSED):
        """Erase up to `limit` sectors in front of the open one whose records are all older than first_kept_round.

        Stops as soon as `wanted` sectors are erased, with those that were before. Returns how many it erased now.
        """
        self._first_kept_round = first_kept_round
        erased = 0
        while erased < limit and self._blank_ahead < min(wanted, self.sectors - 1):
            sector = (self._sector + 1 + self._blank_ahead) % self.sectors
            if self._used(sector):
                if self._live(sector):
                    break
                for page in range(sector << 4, (sector + 1) << 4):
                    self._index[page] = _EMPTY
                self._first_round[sector] = _UNUSED
                self.lost = [page for page in self.lost if page >> 4 != sector]
            if not self._was_erased(sector):
                nor.erase(self._device, sector)
                erased += 1
            self._blank_ahead += 1
        return erased

    def _was_erased(self, sector):
        """Whether the next sector in front of the erased ones is blank already, so that it need not be erased.

        A sector whose erasing was interrupted by a power cut may read as blank and yet not keep data for long. It can
        only be the first one in front of the open sector or the last one that reads as blank, so these two are erased
        in any case.
        """
        following = (sector + 1) % self.sectors
        if self._erases_at_once or not self._blank_ahead or following == self._sector:
            return False
        return nor.is_blank(self._device, sector) and nor.is_blank(self._device, following)

    @property
    def room(self):
        """How many pages can be written before the next erase."""
        return PAGES_PER_SECTOR - self._place + PAGES_PER_SECTOR * self._blank_ahead

    # -- recovery

    def recover(self, ciphers, epoch_rounds, next_number):
        """Rebuild the index after a boot. Returns the number of the first sector that this boot may open.

        ciphers: {epoch: PageCipher}. next_number: the result of the boot before. The caller makes the result durable,
        then calls begin().
        """
        numbers = array("I", bytes(4 * (self.sectors + 1)))
        copies = []
        # Every page of the ring is decrypted and checked here while members wait, so attributes are looked up once. A
        # page that is no record takes the same work, otherwise the time of a start would tell how many records there
        # are.
        buffer, readblocks, read_u32 = self._buffer, self._device.readblocks, native.read_u32
        index, first_rounds, last_rounds = self._index, self._first_round, self._last_round
        page_bytes, pages, buckets = buffer.page, self.pages, self._buckets
        is_record = search(ciphers, epoch_rounds, buffer) if ciphers else None
        found, none = buffer.header, bytes(BUCKET_AT + 2)  # none: for pages that are no record, at index `pages`
        programmed = nor.programmed(self._device)
        for page in programmed if ciphers else ():
            readblocks(page >> 4, page_bytes, (page & 15) << 8)
            header, at = (found, page) if is_record(page) else (none, pages)
            seq, round_ = read_u32(header, 0), read_u32(header, ROUND_AT)
            bucket = header[BUCKET_AT] << 8 | header[BUCKET_AT + 1]
            if bucket >= buckets:
                continue
            sector = at >> 4
            first = first_rounds[sector]
            if first == _UNUSED:
                first_rounds[sector] = first = round_
            elif not 0 <= round_ - first <= _LONGEST_SPAN:
                continue
            index[at] = bucket << 8 | (round_ - first)
            last_rounds[sector] = round_
            numbers[sector] = (seq & LAST_SEQ) >> 4
            if seq > LAST_SEQ:
                copies.append(at)
        self.highest_round = max(
            [last_rounds[sector] for sector in range(self.sectors) if self._used(sector)], default=-1
        )
        self._look_at_unreadable(programmed, numbers, ciphers, epoch_rounds)
        originals = {page: self._drop_original(page, numbers, ciphers) for page in copies}
        newest = max(range(self.sectors), key=lambda sector: numbers[sector])
        if numbers[newest]:
            self._sector = newest
            self._give_back(newest << 4, originals.get(newest << 4))
        # Skip one number: a sector that holds only torn pages is not seen, and no seq may be used twice.
        self._number = max(numbers[newest] + 2, next_number + 1) - 1
        return self._number + 1

    def _look_at_unreadable(self, programmed, numbers, ciphers, epoch_rounds):
        """Count the pages that were programmed and cannot be read, in sectors with other records. Those that were
        intact once stay in the index, because the count of a sealed cell must not change.

        Expired pages do not count. If there are any, they are in the oldest sector, before all readable ones.
        """
        some_expired = min(ciphers, default=0) > 0
        oldest = min([number for number in numbers if number], default=0)
        buffer = self._buffer
        sector, expired = -1, False
        for page in programmed:
            if page >> 4 != sector:
                sector = page >> 4
                expired = some_expired and numbers[sector] == oldest
            if self._index[page] != _EMPTY or not numbers[sector]:
                expired = False
                continue
            self.read(page, buffer.page)
            if buffer.page in (BLANK_PAGE, ZERO_PAGE):
                continue
            was_whole = page < self._newest_page(sector) or numbers[sector] + 1 in list(numbers)
            lost = was_whole and self._enter_lost(page, numbers[sector], ciphers, epoch_rounds)
            if lost or not expired:
                self.unreadable += 1
                self.damaged += was_whole

    def _enter_lost(self, page, number, ciphers, epoch_rounds):
        """Enter the page in the buffer in the index by its header alone. False if the header is damaged, too.

        A page was intact once if the same boot programmed another one after it, in the same sector or the next: only
        the last page of a boot can be torn, and a copy is made of that page. A copy is left out, as its original is
        there.
        """
        sector = page >> 4
        for epoch in ciphers:
            buffer = self._buffer
            ciphers[epoch].open(page, buffer)  # returns False, but decrypts the header
            round_, first, last = buffer.round, self._first_round[sector], self._last_round[sector]
            if buffer.is_copy or buffer.seq != (number << 4 | page & 15) or round_ // epoch_rounds != epoch:
                continue
            if last - _LONGEST_SPAN <= round_ <= last and buffer.bucket < self._buckets:
                for other in range(sector << 4, (sector + 1) << 4):
                    if round_ < first and self._index[other] != _EMPTY:
                        self._index[other] += first - round_
                self._first_round[sector] = min(first, round_)
                self._index[page] = buffer.bucket << 8 | (round_ - self._first_round[sector])
                self.lost.append(page)
                return True
        return False

    def begin(self, ciphers, epoch_rounds, first_kept_round, erase):
        """Erase up to `erase` sectors ahead and copy the newest record, whose programming a power cut may have
        weakened."""
        newest = self._newest_page(self._sector)
        self.erase_ahead(erase, first_kept_round, erase)
        if newest is None or not self._blank_ahead:
            return
        found = self._find(newest, ciphers)
        if found is None or found[0] < first_kept_round:
            return
        round_, bucket, record = found
        self.append(round_, bucket, record, ciphers[round_ // epoch_rounds], is_copy=True)
        self._index[newest] = _EMPTY

    def _newest_page(self, sector):
        """The last page of a sector that is in the index, or None."""
        for page in range((sector << 4) + 15, (sector << 4) - 1, -1):
            if self._index[page] != _EMPTY:
                return page
        return None

    def _opened_by(self, page, ciphers):
        """The epoch whose cipher opens the page in the buffer, or None."""
        for epoch in ciphers:
            if ciphers[epoch].open(page, self._buffer):
                return epoch
        return None

    def _find(self, page, ciphers):
        """(round, bucket, record (240 bytes)) of a page in the index; None if it can no longer be read."""
        buffer = self._buffer
        self._device.readblocks(page >> 4, buffer.page, (page & 15) << 8)
        if self._opened_by(page, ciphers) is None:
            return None
        return buffer.round, buffer.bucket, bytes(buffer.record)

    def _drop_original(self, copy_page, numbers, ciphers):
        """Take the original of copy_page out of the index and return it; None if it can no longer be read."""
        before = self._sector_before(numbers, numbers[copy_page >> 4])
        original = None if before is None else self._newest_page(before)
        if original is None:
            return None
        if self._find(copy_page, ciphers) != self._find(original, ciphers):
            return None
        self._index[original] = _EMPTY
        return original

    def _give_back(self, copy_page, original):
        """Go back to the sector before, if a copy is all that the last boot's sector holds, and use this one again.

        Otherwise a relay that restarts over and over would fill the ring with copies.
        """
        sector = copy_page >> 4
        if original is None or self._newest_page(sector) != copy_page or copy_page & 15:
            return
        round_ = self._last_round[sector]
        self._index[copy_page], bucket = _EMPTY, self._index[copy_page] >> 8
        self._first_round[sector] = _UNUSED
        self._sector = original >> 4
        self._index[original] = bucket << 8 | (round_ - self._first_round[self._sector])

    def _sector_before(self, numbers, number):
        """The sector that was used last before the one with this number, or None."""
        before = None
        for sector in range(self.sectors):
            if 0 < numbers[sector] < number and (before is None or numbers[sector] > numbers[before]):
                before = sector
        return before


def _unkept():
    return Fault("the record ring does not keep data: restart the relay; if that stays, replace its flash")
