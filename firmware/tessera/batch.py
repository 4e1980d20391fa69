# The sealed batch of a cell: real records and dummies in the order of their bytes, served four to a frame.
#
# Real and cover must not differ in anything observable (PROTOCOL §9): for every record served one page is read and
# decrypted and one dummy is made, and the one that is wanted lands in the frame; the work before that depends on the
# count alone.

from . import native
from .nor import PAGE_BYTES
from .page import RECORD_START_BYTES
from .runtime import const
from .wire import CELL_FRAME_BYTES, CELL_HEADER_BYTES, RECORD_BYTES, RECORDS_PER_FRAME, pack_cell

_DUMMY_BIT = const(28)  # native.DUMMY_BIT: marks an entry of the order as a dummy's number; other entries are pages
_NUMBER = const((1 << 28) - 1)
_LOST = const(1 << 27)  # added to the number of a page that cannot be read: the dummy's that is served for it


class Slot:
    """Views of one place for a record: as a dummy's output (240 bytes), or as a decrypted page's (256).

    A page decrypts to 16 bytes of header in front of its record, so those go over whatever stands before the slot:
    the header of the frame, or the end of the slot before. Slots are therefore filled from the last to the first.
    """

    def __init__(self, buffer, at):
        view = memoryview(buffer)
        self.record = view[at : at + RECORD_BYTES]
        self.page = view[at - 16 : at + RECORD_BYTES]


class CellFrame:
    """The buffers a connection serves cells from: one frame, and one place for what is made and not wanted."""

    def __init__(self):
        self.buffer = bytearray(CELL_FRAME_BYTES)
        self.page = bytearray(PAGE_BYTES)
        # As far from a word's boundary as places of the frame are: AES is faster where words are aligned, and whether a
        # page or a dummy is wanted may not show.
        unwanted = Slot(bytearray(PAGE_BYTES + CELL_HEADER_BYTES % 4), 16 + CELL_HEADER_BYTES % 4)
        starts = [CELL_HEADER_BYTES + place * RECORD_BYTES for place in range(RECORDS_PER_FRAME)]
        slots = [Slot(self.buffer, start) for start in starts]
        # For each place where a page goes and where a dummy: wanted is the page (0) or the dummy (1).
        self.for_page = [(slot, unwanted) for slot in slots]
        self.for_dummy = [(unwanted, slot) for slot in slots]


class Batch:
    """The sealed batch of (bucket, round), to be served frame by frame."""

    def __init__(self, log, cipher, cover, bucket, round_):
        self._log = log
        self._cipher = cipher
        self.round = round_
        self._dummies = cover.dummies(bucket, round_)
        real = log.count_of(bucket, round_)
        noise = cover.noise(bucket, round_, real)
        self.count = real + noise
        # The largest first: the others would take the room between what stays, and in a full heap none be left for it.
        heads = bytearray(RECORD_START_BYTES * (self.count + cover.candidates))
        self._order = self._ordered(log.pages_of(bucket, round_, real, noise), real, cover.candidates, heads)

    def _ordered(self, pages, real, candidates, heads):
        """Pages and dummy numbers in the order of their records' bytes. The work depends on the count only."""
        reads = pages[: self.count]  # room for as many; what is in it is written over
        native.plan(pages, real, self.count, self._log.pages, reads, pages)
        # All are read and opened; the dummies' heads then lie over those that were not wanted.
        self._log.read_heads(reads, self._cipher, heads)
        self._dummies.heads(candidates, heads, real)
        if self._log.lost:
            self._replace_lost(pages, heads)
        return self._sorted(pages, heads, reads)

    def _replace_lost(self, entries, heads):
        """Have dummies stand for the pages that cannot be read any more: the count of a cell stays."""
        for page in self._log.lost:
            entry = 1 << _DUMMY_BIT | _LOST | page
            head = self._whole(entry)[:RECORD_START_BYTES]  # whether the page is in this cell or not
            for place in range(self.count):
                if entries[place] == page:
                    entries[place] = entry
                    heads[RECORD_START_BYTES * place : RECORD_START_BYTES * (place + 1)] = head

    def _sorted(self, entries, heads, keys):
        """The entries by the bytes of their records, of which heads holds the first 8 each; in keys, which is room for
        words to sort before: as many bits of the head as fit, and the entry's place.

        One array serves three times, and the entries lie over the pages: a large cell takes much of the heap.
        """
        count = len(keys)
        place_bits = 1
        while count >> place_bits:
            place_bits += 1
        native.make_keys(heads, count, place_bits, keys)
        native.sort(keys, count)
        index = native.next_tie(keys, 1, count, place_bits)
        while index < count:
            self._settle(keys, index, place_bits, entries, heads)
            index = native.next_tie(keys, index + 1, count, place_bits)
        native.pick(keys, count, (1 << place_bits) - 1, entries, keys)
        return keys

    def _settle(self, keys, index, place_bits, entries, heads):
        """Sink keys[index] to its place among those before it that have the same head bits (insertion sort)."""
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
        """The whole record of an entry: for ties of the first 8 bytes only."""
        slot = Slot(bytearray(PAGE_BYTES), 16)
        if entry >> _DUMMY_BIT:
            self._dummies.make(entry & _NUMBER, slot.record)
        else:
            page = bytearray(PAGE_BYTES)
            self._log.read(entry, page)
            self._cipher.decrypt(page, slot.page)
        return bytes(slot.record)

    def fill(self, frame, offset):
        """Fill a frame with the records from offset on; how many there are in it. Allocates nothing."""
        here = min(RECORDS_PER_FRAME, self.count - offset)
        place = here - 1
        while place >= 0:
            self._fill_place(frame, place, self._order[offset + place], offset + place)
            place -= 1
        pack_cell(frame.buffer, self.round, self.count, offset, here)
        return here

    def _fill_place(self, frame, place, entry, position):
        # The same steps for a page and for a dummy: a mask chooses. What is not wanted has a number, too.
        is_dummy = entry >> _DUMMY_BIT
        mask = -is_dummy
        page = entry ^ (entry ^ position % self._log.pages) & mask
        number = position ^ (position ^ entry & _NUMBER) & mask
        for_page = frame.for_page[place][is_dummy]
        for_dummy = frame.for_dummy[place][is_dummy]
        self._log.read(page, frame.page)
        self._cipher.decrypt(frame.page, for_page.page)
        self._dummies.make(number, for_dummy.record)
