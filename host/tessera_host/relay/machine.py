"""What a server bears, for the relay core that boards run too (tessera.machine), and the two parts it has memory for:
an index that finds cells without a search, and the sealed batches of the last rounds.
"""

import mmap
import sys
from array import array
from collections import OrderedDict
from collections.abc import Callable

from tessera.batch import Batch, CellFrame
from tessera.machine import Machine
from tessera.server import Timing
from tessera.wire import CELL_FRAME_BYTES, RECORDS_PER_FRAME

from ..errors import UsageError

SESSIONS = 1024
BATCH_BYTES = 64 << 20  # of batches that are kept
_OTHER_FILES = 64  # the storage's, and who asks for figures
_EMPTY = 0xFFFF  # recordlog's
_ENTRY_BYTES = 4
_KEPT_BYTES = 4096  # a batch beside its frames
_FRAME_BYTES = CELL_FRAME_BYTES + 48  # an object of Python's


def allow_connections(machine: "ServerMachine") -> None:
    """Raise this process's limit of open files to what the machine's connections need. Raises UsageError if the system
    does not allow that."""
    if sys.platform == "win32":  # no such limit there
        return
    import resource

    needed = machine.sessions + machine.surplus + machine.strangers + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageError(
            f"{machine.sessions} sessions need {needed} open files, and this system allows {hard}",
            "use fewer sessions (--sessions), or allow more open files (ulimit -Hn, or LimitNOFILE= in the unit)",
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class ServerMachine(Machine):
    """`sessions` members at once, half as many strangers, and a sixteenth to be told that there is no place; buckets as
    many as the page format tells apart; everything that expired is erased at once."""

    patience_ms = 0
    timing = Timing(tick_ms=8)
    burst = 8
    boot_erases = window_erases = 1 << 30
    erases_at_once = True
    fills = False
    buckets = 1 << 16
    tables = None

    def __init__(self, sessions: int = SESSIONS) -> None:
        self.sessions = sessions
        self.strangers = max(64, sessions // 2)
        self.surplus = max(16, sessions // 16)
        self.batches = KeptBatches(BATCH_BYTES)

    def cells(self, pages: int, first_rounds: "array[int]") -> "CellIndex":
        self.index = CellIndex(pages, first_rounds)
        return self.index


class CellIndex:
    """The index of a RecordLog: an entry by the number of its page, as in the array of a board, and beside that the
    pages of every cell. Memory depends on the pages in use, not on the ring."""

    def __init__(self, pages: int, first_rounds: "array[int]") -> None:
        # Zeros of the system's take no memory before they are written over, so an entry is kept as its difference.
        self._entries = memoryview(mmap.mmap(-1, _ENTRY_BYTES * (pages + 1))).cast("I")
        self._pages = pages
        self._first_rounds = first_rounds
        self._cells: dict[int, bytes] | None = None  # round << 16 | bucket -> numbers of pages, u32 each
        self._entered: list[int] = []  # before there were cells

    def __getitem__(self, page: int) -> int:
        return self._entries[page] ^ _EMPTY

    def __setitem__(self, page: int, entry: int) -> None:
        if self._cells is None:  # a start enters pages, and may move the first round of their sector afterwards
            self._entries[page] = entry ^ _EMPTY
            self._entered.append(page)
            return
        before = self[page]
        if before != _EMPTY:
            self._leave(self._cells, self._cell(page, before), page)
        self._entries[page] = entry ^ _EMPTY
        if entry != _EMPTY:
            self._enter(self._cells, self._cell(page, entry), page)

    def _cell(self, page: int, entry: int) -> int:
        return self._first_rounds[page >> 4] + (entry & 255) << 16 | entry >> 8

    def _enter(self, cells: dict[int, bytes], cell: int, page: int) -> None:
        cells[cell] = cells.get(cell, b"") + page.to_bytes(_ENTRY_BYTES, "little")

    def _leave(self, cells: dict[int, bytes], cell: int, page: int) -> None:
        pages = memoryview(cells[cell]).cast("I").tolist()
        pages.remove(page)
        if pages:
            cells[cell] = array("I", pages).tobytes()
        else:
            del cells[cell]

    def find_pages(
        self,
        _index: "CellIndex",
        _first_rounds: "array[int]",
        _sectors: int,
        bucket: int,
        round_: int,
        found: "array[int]",
        room: int,
    ) -> int:
        """As native.find_pages, which says what the arguments are. The work depends on the length of `found` alone."""
        pages = self.cells().get(round_ << 16 | bucket, b"")
        memoryview(found).cast("B")[:] = pages[: _ENTRY_BYTES * room].ljust(_ENTRY_BYTES * len(found), b"\0")
        return len(pages) // _ENTRY_BYTES

    def cells(self) -> dict[int, bytes]:
        """The pages of each cell; made at the end of a start."""
        if self._cells is None:
            cells: dict[int, bytes] = {}
            for page in sorted(set(self._entered)):
                if page < self._pages and self[page] != _EMPTY:
                    self._enter(cells, self._cell(page, self[page]), page)
            self._cells, self._entered = cells, []
        return self._cells


class _KeptBatch:
    """A sealed batch whose frames are made when somebody asks for them first, and kept as bytes for the others."""

    def __init__(self, batch: Batch) -> None:
        self.count = batch.count
        self._batch = batch
        self._frames: list[bytes | None] = [None] * max(1, -(-batch.count // RECORDS_PER_FRAME))

    @property
    def size(self) -> int:
        """Bytes it may take."""
        return _KEPT_BYTES + _FRAME_BYTES * len(self._frames)

    def forget(self) -> None:
        """Keep nothing: who reads it yet has its frames made."""
        self._frames = []

    def fill(self, frame: CellFrame, offset: int) -> int:
        """As Batch.fill()."""
        number = offset // RECORDS_PER_FRAME
        made = self._frames[number] if self._frames else None
        if made is None:
            here = self._batch.fill(frame, offset)
            if self._frames:
                self._frames[number] = bytes(frame.buffer)
            return here
        frame.buffer[:] = made
        return min(RECORDS_PER_FRAME, self.count - offset)


class KeptBatches:
    """The sealed batches that were asked for last, of this epoch: each is made once for all who read it. What is kept
    depends on what was fetched, which whoever watches the network sees, and on the published counts alone."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[int, int], _KeptBatch] = OrderedDict()
        self.bytes = 0

    def get(self, bucket: int, round_: int, make: Callable[[], Batch]) -> _KeptBatch:
        """The batch of a cell of a sealed round; make() makes it if it is not kept."""
        kept = self._kept.get((bucket, round_))
        if kept is None:
            kept = self._kept[bucket, round_] = _KeptBatch(make())
            self.bytes += kept.size
            while self.bytes > self._most_bytes:
                self._drop(next(iter(self._kept)))
        else:
            self._kept.move_to_end((bucket, round_))
        return kept

    def _drop(self, cell: tuple[int, int]) -> None:
        kept = self._kept.pop(cell)
        self.bytes -= kept.size
        kept.forget()

    def clear(self) -> None:
        """Drop all batches, because an epoch begins and others expire."""
        for cell in list(self._kept):
            self._drop(cell)
