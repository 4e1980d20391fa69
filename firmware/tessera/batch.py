# The sealed batch of a cell: real records and dummies in the order of their bytes, served four to a frame.
#
# Real and cover must not differ in anything observable (PROTOCOL §9): for every record served one page is read and
# decrypted and one dummy is made, and the one that is wanted lands in the frame; the work before that depends on the
# count alone.

from array import array

from .page import PAGE_BYTES
from .runtime import const
from .wire import CELL_FRAME_BYTES, CELL_HEADER_BYTES, RECORD_BYTES, RECORDS_PER_FRAME, pack_cell

_DUMMY = const(1 << 28)  # marks an entry of the order as a dummy's number; other entries are pages
_KEY_BITS = const(30)  # of a small integer on a 32-bit MicroPython
_HEAD_BYTES = const(8)


class Slot:
    """Views of one place for a record: as a dummy's output (240 bytes and its last 16), or as a decrypted page's (256).

    A page decrypts to 16 bytes of header in front of its record, so those go over whatever stands before the slot:
    the header of the frame, or the end of the slot before. Slots are therefore filled from the last to the first.
    """

    def __init__(self, buffer, at):
        view = memoryview(buffer)
        self.record = view[at : at + RECORD_BYTES]
        self.tail = view[at + RECORD_BYTES - 16 : at + RECORD_BYTES]
        self.page = view[at - 16 : at + RECORD_BYTES]


class CellFrame:
    """The buffers a connection serves cells from: one frame, and one place for what is made and not wanted."""

    def __init__(self):
        self.buffer = bytearray(CELL_FRAME_BYTES)
        starts = [CELL_HEADER_BYTES + place * RECORD_BYTES for place in range(RECORDS_PER_FRAME)]
        self.slots = [Slot(self.buffer, start) for start in starts]
        self.unwanted = Slot(bytearray(PAGE_BYTES), 16)
        self.page = bytearray(PAGE_BYTES)


class Batch:
    """The sealed batch of (bucket, round), to be served frame by frame."""

    def __init__(self, log, cipher, cover, bucket, round_):
        self._log = log
        self._cipher = cipher
        self.round = round_
        self._dummies = cover.dummies(bucket, round_)
        pages = log.pages_of(bucket, round_)
        self.count = len(pages) + cover.noise(bucket, round_)
        self._order = self._ordered(pages, cover.candidates)

    def _ordered(self, pages, candidates):
        """Pages and dummy numbers in the order of their records' bytes."""
        heads = bytearray(_HEAD_BYTES * (len(pages) + candidates))
        view = memoryview(heads)
        self._dummies.heads(candidates, view[_HEAD_BYTES * len(pages) :])
        self._read_heads(pages, heads)
        entries = array("I", pages)
        for number in range(self.count - len(pages)):
            entries.append(_DUMMY | number)
        return self._sorted(entries, heads)

    def _read_heads(self, pages, heads):
        # As many reads as the batch has records: those beyond the real ones are read for the time they take.
        log = self._log
        for place in range(self.count):
            if place < len(pages):
                log.read_head(pages[place], self._cipher)
                heads[_HEAD_BYTES * place : _HEAD_BYTES * (place + 1)] = log.head_record
            else:
                log.read_head(place % log.pages, self._cipher)

    def _sorted(self, entries, heads):
        """The entries by the bytes of their records, of which heads holds the first 8 each.

        Small integers sort without allocating: as many bits of the head as fit, and the entry's place.
        """
        place_bits = 1
        while len(entries) >> place_bits:
            place_bits += 1
        head_bits = _KEY_BITS - place_bits
        keys = []
        for place in range(len(entries)):
            at = _HEAD_BYTES * place
            head = heads[at] << 22 | heads[at + 1] << 14 | heads[at + 2] << 6 | heads[at + 3] >> 2
            keys.append(head >> (_KEY_BITS - head_bits) << place_bits | place)
        keys.sort()
        mask = (1 << place_bits) - 1
        for index in range(1, len(keys)):
            if keys[index] >> place_bits == keys[index - 1] >> place_bits:
                self._settle(keys, index, place_bits, entries, heads)
        order = array("I")
        for key in keys:
            order.append(entries[key & mask])
        return order

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
        head = heads[_HEAD_BYTES * place : _HEAD_BYTES * (place + 1)]
        other_head = heads[_HEAD_BYTES * other : _HEAD_BYTES * (other + 1)]
        if bytes(head) != bytes(other_head):
            return bytes(head) < bytes(other_head)
        return self._whole(entries[place]) < self._whole(entries[other])

    def _whole(self, entry):
        """The whole record of an entry: for ties of the first 8 bytes only."""
        slot = Slot(bytearray(PAGE_BYTES), 16)
        if entry & _DUMMY:
            self._dummies.make(entry & ~_DUMMY, slot.record, slot.tail)
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
            self._fill_slot(frame, frame.slots[place], self._order[offset + place], offset + place)
            place -= 1
        pack_cell(frame.buffer, self.round, self.count, offset, here)
        return here

    def _fill_slot(self, frame, slot, entry, position):
        # Assigned in pairs: MicroPython builds a tuple, on the heap, for more than three.
        if entry & _DUMMY:
            page, number = position % self._log.pages, entry & (_DUMMY - 1)
            for_page, for_dummy = frame.unwanted, slot
        else:
            page, number = entry, position
            for_page, for_dummy = slot, frame.unwanted
        self._log.read(page, frame.page)
        self._cipher.decrypt(frame.page, for_page.page)
        self._dummies.make(number, for_dummy.record, for_dummy.tail)
