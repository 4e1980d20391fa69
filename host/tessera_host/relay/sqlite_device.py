"""Flash in an SQLite database: MicroPython's extended block-device protocol for a relay on a server.

Owns the database, and what is written together. The manners are those of NOR flash, so the relay core is the same: a
program only clears bits, an erase sets a whole sector, and both are durable from the next ioctl(SYNC) on. Where that
may wait, as in the answers of one tick, one commit makes all of it durable, on a thread of its own; until then it is in
memory, where whoever reads finds it.
"""

import asyncio
import errno
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from tessera.nor import BLANK_PAGE, COUNT, ERASE, PAGE_BYTES, PAGES_PER_SECTOR, SECTOR_BYTES, SIZE, SYNC

GATHER_SECONDS = 0.004  # what comes in the meantime is committed together
_VOIDS = "void"  # the region of answers that stored nothing


class _Changes:
    """What was programmed and erased since a commit began."""

    def __init__(self) -> None:
        self.pages: dict[tuple[str, int], bytes] = {}
        self.erased: set[tuple[str, int]] = set()  # sectors, before the pages were programmed

    def __bool__(self) -> bool:
        return bool(self.pages or self.erased)

    def erase(self, region: str, sector: int) -> None:
        for number in range(sector * PAGES_PER_SECTOR, (sector + 1) * PAGES_PER_SECTOR):
            self.pages.pop((region, number), None)
        self.erased.add((region, sector))

    def add(self, later: "_Changes") -> None:
        for region, sector in later.erased:
            self.erase(region, sector)
        self.pages |= later.pages

    def find(self, region: str, number: int) -> bytes | None:
        """A page as it is from now on, None if it is as it was."""
        page = self.pages.get((region, number))
        if page is None and (region, number // PAGES_PER_SECTOR) in self.erased:
            return BLANK_PAGE
        return page

    def ranges(self) -> Iterator[tuple[str, int, int]]:
        """(region, first page, page after the last) of the sectors that were erased."""
        numbered = enumerate(sorted(self.erased))
        for (region, _), run in groupby(numbered, lambda each: (each[1][0], each[1][1] - each[0])):
            sectors = [sector for _, (_, sector) in run]
            yield region, sectors[0] * PAGES_PER_SECTOR, (sectors[-1] + 1) * PAGES_PER_SECTOR


class Tick:
    """Answers that wait for one commit: wait() returns when all that was programmed for them is durable."""

    def __init__(self) -> None:
        self.answers = 0
        self.done = asyncio.Event()
        self.error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Raises OSError if it could not be written."""
        await self.done.wait()
        if self.error is not None:
            raise self.error


class Database:
    """The file with all regions of one relay. Raises sqlite3.Error if it cannot be used.

    commits, commit_seconds: how many there were since it was opened, and how long the last one took.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)  # page keys are in it
        self._writer = sqlite3.connect(path, isolation_level=None, timeout=1, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            self._writer.execute(f"PRAGMA {pragma}")
        self._writer.execute(
            "CREATE TABLE IF NOT EXISTS page (region TEXT, number INTEGER, data BLOB, PRIMARY KEY (region, number))"
            " WITHOUT ROWID"
        )
        self._reader = sqlite3.connect(path, isolation_level=None, timeout=1)
        self._thread = ThreadPoolExecutor(1, "commit")
        self._pending = _Changes()
        self._committing = _Changes()
        self._running: Future[None] | None = None  # a commit on the thread
        self._last: Tick | None = None  # of the newest commit that began
        self._next: Tick | None = None  # of the one that is to begin
        self._holding = 0
        self._asked = False  # for durability, while it was held back
        self._failure: OSError | None = None  # of the last commit
        self._unchecked = False  # the log of changes may have what was erased
        self.commits = 0
        self.commit_seconds = 0.0

    def region(self, name: str, sectors: int) -> "SqliteDevice":
        return SqliteDevice(self, name, sectors)

    def close(self) -> None:
        self._thread.shutdown()
        self._reader.close()
        self._writer.close()

    # -- what is durable when

    @contextmanager
    def held(self) -> Iterator[None]:
        """Everything inside becomes durable together at the end, or not at all. Raises OSError."""
        self._asked = False
        with self.deferred():
            yield
        if self._asked or self._pending.erased:
            self.commit()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """What is programmed inside is durable when the tick of next() is over, or with the next commit()."""
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1

    def sync(self) -> None:
        if self._holding:
            self._asked = True
        else:
            self.commit()

    def require(self) -> None:
        """Raise OSError if the last commit failed: what is programmed now may wait in vain."""
        if self._failure is not None:
            raise self._failure

    def commit(self) -> None:
        """Make everything durable now. Raises OSError; what was to be written is written by the next one, then."""
        if self._running is not None:
            self._settle(self._running)
        self._asked = False
        if self._pending:
            self._begin()
            self._running = Future()
            self._end(self._running)
            self._settle(self._running)
            self.require()

    def next(self) -> Tick:
        """The tick of the next commit, which makes all durable that was programmed until now; one serves all.

        An answer for which nothing was programmed waits as long as others, and as many bytes are written for it.
        """
        if self._next is None:
            self._next = Tick()
            self._next.task = asyncio.ensure_future(self._commit_soon(self._next, self._last))
        self._next.answers += 1
        return self._next

    async def _commit_soon(self, tick: Tick, before: Tick | None) -> None:
        try:
            await asyncio.sleep(GATHER_SECONDS)
            if before is not None:
                await before.done.wait()
            self._last, self._next = tick, None
            records = sum(region != _VOIDS for region, _ in self._pending.pages)
            for number in range(tick.answers - records):
                self._pending.pages[_VOIDS, number] = bytes(PAGE_BYTES)
            if self._running is not None:
                self._settle(self._running)
            self._begin()
            self._running = running = Future[None]()
            self._thread.submit(self._end, running)
            await asyncio.wait((asyncio.wrap_future(running),))
            self._settle(running)
            tick.error = running.exception()
        except OSError as error:
            tick.error = error
        finally:
            tick.done.set()

    def _begin(self) -> None:
        """Hand all changes to SQLite. Raises OSError."""
        self._committing, self._pending = self._pending, _Changes()
        changes = self._committing
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            query = "DELETE FROM page WHERE region = ? AND number >= ? AND number < ?"
            self._writer.executemany(query, changes.ranges())
            rows = ((region, number, data) for (region, number), data in changes.pages.items())
            self._writer.executemany("INSERT OR REPLACE INTO page VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise self._take_back(error) from None

    def _end(self, done: "Future[None]") -> None:
        """COMMIT, on any thread."""
        start = time.monotonic()
        try:
            self._writer.execute("COMMIT")
            self._write_back()
        except sqlite3.Error as error:
            done.set_exception(OSError(errno.EIO, str(error)))
        else:
            done.set_result(None)
        self.commit_seconds = time.monotonic() - start

    def _write_back(self) -> None:
        """The log of changes would keep what was erased: write it back and cut it off, now or with the next commit."""
        self._unchecked = self._unchecked or bool(self._committing.erased)
        if self._unchecked:
            self._unchecked = bool(self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])

    def _settle(self, running: "Future[None]") -> None:
        """Wait for a commit and take note of how it ended, once."""
        error = running.exception()
        if self._running is not running:
            return
        self._running = None
        if error is not None:
            self._take_back(error)
            return
        self._committing, self._failure = _Changes(), None
        self.commits += 1

    def _take_back(self, error: BaseException) -> OSError:
        """Keep what was not written for the next commit; why it was not."""
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")
        self._committing.add(self._pending)
        self._pending, self._committing = self._committing, _Changes()
        self._failure = OSError(errno.EIO, str(error))
        return self._failure

    # -- pages

    def page(self, region: str, number: int) -> bytes:
        """Raises OSError if the disk is broken."""
        for changes in (self._pending, self._committing):
            found = changes.find(region, number)
            if found is not None:
                return found
        query = "SELECT data FROM page WHERE region = ? AND number = ?"
        try:
            row = self._reader.execute(query, (region, number)).fetchone()
        except sqlite3.Error as error:
            raise OSError(errno.EIO, str(error)) from None
        return BLANK_PAGE if row is None else bytes(row[0])

    def numbers(self, region: str) -> list[int]:
        """The pages of a region that a commit wrote, in order."""
        query = "SELECT number FROM page WHERE region = ? ORDER BY number"
        return [number for (number,) in self._reader.execute(query, (region,))]

    def program(self, region: str, number: int, data: bytes) -> None:
        self._pending.pages[region, number] = data

    def erase(self, region: str, sector: int) -> None:
        self._pending.erase(region, sector)


class SqliteDevice:
    """One region of a Database: so many sectors of 4096 bytes; a page without a row is blank."""

    def __init__(self, database: Database, name: str, sectors: int) -> None:
        self._database = database
        self._name = name
        self.sectors = sectors
        self._programmed = bytearray(sectors)  # whether a sector has rows
        for number in database.numbers(name):
            if number < sectors * PAGES_PER_SECTOR:
                self._programmed[number // PAGES_PER_SECTOR] = 1

    def programmed(self) -> list[int]:
        """The numbers of the pages that are not blank, of a device that was just opened."""
        return [number for number in self._database.numbers(self._name) if number < self.sectors * PAGES_PER_SECTOR]

    def readblocks(self, block: int, buffer: bytearray | memoryview, offset: int = 0) -> None:
        view = memoryview(buffer)
        at = 0
        while at < len(view):
            page, start = divmod(block * SECTOR_BYTES + offset + at, PAGE_BYTES)
            part = self._page(page)[start : start + len(view) - at]
            view[at : at + len(part)] = part
            at += len(part)

    def writeblocks(self, block: int, buffer: bytes | bytearray | memoryview, offset: int | None = None) -> None:
        """Program whole pages; without an offset the protocol asks for an erase first."""
        if offset is None:
            self._erase(block)
        first = (block * SECTOR_BYTES + (offset or 0)) // PAGE_BYTES
        data = bytes(buffer)
        if (offset or 0) % PAGE_BYTES or len(data) % PAGE_BYTES:
            raise ValueError("this device programs whole pages of 256 bytes")
        for number in range(len(data) // PAGE_BYTES):
            self._program(first + number, data[number * PAGE_BYTES : (number + 1) * PAGE_BYTES])

    def ioctl(self, operation: int, argument: int) -> int:
        if operation == COUNT:
            return self.sectors
        if operation == SIZE:
            return int(SECTOR_BYTES)
        if operation == ERASE:
            self._erase(argument)
        elif operation == SYNC:
            self._database.sync()
        return 0

    def _page(self, number: int) -> bytes:
        if not self._programmed[number // PAGES_PER_SECTOR]:
            return BLANK_PAGE
        return self._database.page(self._name, number)

    def _program(self, number: int, data: bytes) -> None:
        old = self._page(number)
        if old != BLANK_PAGE:
            programmed = int.from_bytes(old, "big") & int.from_bytes(data, "big")
            data = programmed.to_bytes(PAGE_BYTES, "big")
        self._database.program(self._name, number, data)
        self._programmed[number // PAGES_PER_SECTOR] = 1

    def _erase(self, sector: int) -> None:
        if self._programmed[sector]:
            self._database.erase(self._name, sector)
            self._programmed[sector] = 0
