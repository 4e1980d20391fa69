# The sealed batch of a cell, which is one bucket in one round: real records and dummies, sorted by their bytes, served
# four to a frame. Pages are page.py's business, dummies cover.py's.
#
# A reader must not be able to tell records from dummies by anything that can be observed (PROTOCOL §9). So for every
# record that is served one page is read and decrypted and one dummy is made, and one of the two lands in the frame. The
# work before that depends only on the published count.

from . import native
from .nor import PAGE_BYTES
from .page import RECORD_START_BYTES
from .runtime import const
from .wire import CELL_FRAME_BYTES, CELL_HEADER_BYTES, RECORD_BYTES, RECORDS_PER_FRAME, pack_cell

# An entry of a batch's order is the number of a page or, with bit 28 set, the number of a dummy.
_DUMMY_BIT = const(28)  # native.DUMMY_BIT
_NUMBER = const((1 << 28) - 1)
_LOST = const(1 << 27)  # plus the number of an unreadable page: the number of the dummy that is served in its place


class RecordViews:
    """Two views of the room for one record in a buffer: `record` (240 bytes) for a dummy, `page` (256) for a page.

    A page decrypts to 16 bytes of header in front of its record. They overwrite what stands before the room: the header
    of the frame, or the end of the record before. So the records of a frame are filled in from the last to the first.
    """

    def __init__(self, buffer, at):
        view = memoryview(buffer)
        self.record = view[at : at + RECORD_BYTES]
        self.page = view[at - 16 : at + RECORD_BYTES]


class CellFrame:
    """The buffers from which a connection serves cells, made once for each connection.

    buffer: the frame (1040 bytes). page: a page as it is read from flash (256). There is one more room for a record,
    which takes what is made and not served.
    """

    def __init__(self):
        self.buffer = bytearray(CELL_FRAME_BYTES)
        self.page = bytearray(PAGE_BYTES)
        # As far from a word boundary as the records of the frame: AES is faster on aligned words, and the time must not
        # tell whether a page or a dummy is served.
        unwanted = RecordViews(bytearray(PAGE_BYTES + CELL_HEADER_BYTES % 4), 16 + CELL_HEADER_BYTES % 4)
        starts = [CELL_HEADER_BYTES + place * RECORD_BYTES for place in range(RECORDS_PER_FRAME)]
        wanted = [RecordViews(self.buffer, start) for start in starts]
        # Where the page goes, and where the dummy, for each place of the frame: [place][1 if the dummy is served].
        self.for_page = [(views, unwanted) for views in wanted]
        self.for_dummy = [(unwanted, views) for views in wanted]


class Batch:
    """The sealed batch of (bucket, round), which fill() serves frame by frame.

    log: the RecordLog. cipher, cover: the PageCipher and the EpochCover of the round's epoch. count: how many records
    it has, dummies included.
    """

    def __init__(self, log, cipher, cover, bucket, round_):
        self._log = log
        self._cipher = cipher
        self.round = round_
        self._dummies = cover.dummies(bucket, round_)
        real = log.count_of(bucket, round_)
        noise = cover.noise(bucket, round_, real)
        self.count = real + noise
        # The largest buffer is allocated first, while the heap still has a gap that is long enough.
        heads = bytearray(RECORD_START_BYTES * (self.count + cover.candidates))
        self._order = self._ordered(log.pages_of(bucket, round_, real, noise), real, cover.candidates, heads)

    def _ordered(self, pages, real, candidates, heads):
        """The entries (pages and dummies) sorted by their records' bytes. The work depends on the count only."""
        reads = pages[: self.count]  # room for so many entries; plan() overwrites its content
        native.plan(pages, real, self.count, self._log.pages, reads, pages)
        # So many pages are read and decrypted. The dummies' heads then overwrite those of pages that were not wanted.
        self._log.read_heads(reads, self._cipher, heads)
        self._dummies.heads(candidates, heads, real)
        if self._log.lost:
            self._replace_lost(pages, heads)
        return self._sorted(pages, heads, reads)

    def _replace_lost(self, entries, heads):
        """Replace pages that can no longer be read by dummies, so that the count of the cell stays the same."""
        for page in self._log.lost:
            entry = 1 << _DUMMY_BIT | _LOST | page
            head = self._whole(entry)[:RECORD_START_BYTES]  # made also if the page is not in this cell
            for place in range(self.count):
                if entries[place] == page:
                    entries[place] = entry
                    heads[RECORD_START_BYTES * place : RECORD_START_BYTES * (place + 1)] = head

    def _sorted(self, entries, heads, keys):
        """The entries sorted by their records' bytes. heads holds the first 8 bytes of each record.

        keys is first filled with words to sort (as many bits of the head as fit, then the entry's place) and then with
        the result. One array serves for pages to read, sort keys and result, and the entries overwrite the pages,
        because a large cell takes much of a board's heap.
        """
        count = len(keys)
        place_bits = 1
        while count >> place_bits:
            place_bits += 1
        native.make_keys(heads, count, place_bits, keys)
        native.sort(keys, count)
        index = native.next_tie(keys, 1, count, place_bits)
        while index < count:
            self._sink(keys, index, place_bits, entries, heads)
            index = native.next_tie(keys, index + 1, count, place_bits)
        native.pick(keys, count, (1 << place_bits) - 1, entries, keys)
        return keys

    def _sink(self, keys, index, place_bits, entries, heads):
        """Move keys[index] to its place among the keys before it that have the same head bits (insertion sort)."""
        mask = (1 << place_bits) - 1
        key = keys[index]
        while index and keys[index - 1] >> place_bits == key >> place_bits:
            if not self._before(key & mask, keys[index - 1] & mask, entries, heads):
                break
            keys[index] = keys[index - 1]
            index -= 1
        keys[index] = key

    def _before(self, place, other, entries, heads):
        head = heads[RECORD_START_BYTES * place : RECORD_START_BYTES * (place + 1)]
        other_head = heads[RECORD_START_BYTES * other : RECORD_START_BYTES * (other + 1)]
        if bytes(head) != bytes(other_head):
            return bytes(head) < bytes(other_head)
        return self._whole(entries[place]) < self._whole(entries[other])

    def _whole(self, entry):
        """The whole record (240 bytes) of an entry, which is needed only where the first 8 bytes are equal."""
        views = RecordViews(bytearray(PAGE_BYTES), 16)
        if entry >> _DUMMY_BIT:
            self._dummies.make(entry & _NUMBER, views.record)
        else:
            page = bytearray(PAGE_BYTES)
            self._log.read(entry, page)
            self._cipher.decrypt(page, views.page)
        return bytes(views.record)

    def fill(self, frame, offset):
        """Fill a CellFrame with up to four records, from number `offset` on. Returns how many. Allocates nothing."""
        here = min(RECORDS_PER_FRAME, self.count - offset)
        place = here - 1
        while place >= 0:
            self._fill_place(frame, place, self._order[offset + place], offset + place)
            place -= 1
        pack_cell(frame.buffer, self.round, self.count, offset, here)
        return here

    def _fill_place(self, frame, place, entry, position):
        # The steps are the same for a page and for a dummy, a mask chooses. The one that is not served is made, too.
        is_dummy = entry >> _DUMMY_BIT
        mask = -is_dummy
        page = entry ^ (entry ^ position % self._log.pages) & mask
        number = position ^ (position ^ entry & _NUMBER) & mask
        for_page = frame.for_page[place][is_dummy]
        for_dummy = frame.for_dummy[place][is_dummy]
        self._log.read(page, frame.page)
        self._cipher.decrypt(frame.page, for_page.page)
        self._dummies.make(number, for_dummy.record)
