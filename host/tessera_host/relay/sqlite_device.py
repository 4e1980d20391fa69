"""Flash in an SQLite database: MicroPython's extended block-device protocol for a relay on a server.

Owns the database, whose it is, what is written together, and what a failure of it is called. The manners are those of
NOR flash, so the relay core is the same: a program only clears bits, an erase sets a whole sector, and both are durable
from the next ioctl(SYNC) on. Where that may wait, as in the answers of one tick, one commit makes all of it durable, on
a thread of its own; until then it is in memory, where whoever reads finds it.
"""

import asyncio
import errno
import sqlite3
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from tessera.nor import BLANK_PAGE, COUNT, ERASE, PAGE_BYTES, PAGES_PER_SECTOR, SECTOR_BYTES, SIZE, SYNC

GATHER_SECONDS = 0.004  # what comes in the meantime is committed together
ANSWER_PAGES = 2  # the most that one answer writes: a record, and the lease that covers it
_VOIDS = "void"  # the region of what answers wrote less
_APPLICATION = int.from_bytes(b"TESR", "big")  # PRAGMA application_id of a relay's database
PRAGMAS = (
    "locking_mode=EXCLUSIVE",
    "journal_mode=WAL",
    "synchronous=FULL",
    "fullfsync=ON",  # on macOS fsync() alone is not durable
    "checkpoint_fullfsync=ON",
    "secure_delete=ON",
)
_TABLES = (
    "CREATE TABLE page (region TEXT, number INTEGER, data BLOB, PRIMARY KEY (region, number)) WITHOUT ROWID",
    "CREATE TABLE owner (static_key BLOB)",
    "CREATE TABLE value (name TEXT PRIMARY KEY, data BLOB) WITHOUT ROWID",
    f"PRAGMA application_id={_APPLICATION}",
)
# What is said besides "the storage fails": SQLite's primary result codes, of which the low byte is one.
_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_NOTADB: errno.EINVAL,
}
_HINTS = {
    errno.ENOSPC: "make room on the disk and start it again; what it acknowledged is kept",
    errno.EROFS: "it is on a read-only disk, or belongs to another user: change that and start it again; what it "
    "acknowledged is kept",
    errno.EBUSY: "stop the program that has it open, then try again",
    errno.EACCES: "check the access rights of the file and of its directory",
    errno.ENOENT: "make its directory first, or name another place",
    errno.EINVAL: "it is another kind of file: name the database that the relay ran with",
}


class NotThisRelays(Exception):
    """The file is the database of another relay, or not a relay's database."""


class _Changes:
    """What was programmed and erased since a commit began."""

    def __init__(self) -> None:
        self.pages: dict[tuple[str, int], bytes] = {}
        self.values: dict[str, bytes] = {}
        self.erased: set[tuple[str, int]] = set()  # sectors, before the pages were programmed

    def __bool__(self) -> bool:
        return bool(self.pages or self.erased or self.values)

    @property
    def erases(self) -> bool:
        """Whether something goes that the log of changes would keep: it is written back then, and cut off."""
        return bool(self.erased or self.values)

    def erase(self, region: str, sector: int) -> None:
        for number in range(sector * PAGES_PER_SECTOR, (sector + 1) * PAGES_PER_SECTOR):
            self.pages.pop((region, number), None)
        self.erased.add((region, sector))

    def add(self, later: "_Changes") -> None:
        for region, sector in later.erased:
            self.erase(region, sector)
        self.pages |= later.pages
        self.values |= later.values

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
        self.error: BaseException | None = OSError(errno.EIO, "it was not tried")
        self.task: asyncio.Task[None] | None = None

    @property
    def over(self) -> bool:
        return self.done.is_set()

    async def wait(self) -> None:
        """Wait until the commit is done. Raises OSError if it failed."""
        await self.done.wait()
        if self.error is not None:
            raise self.error


class Database:
    """The file with all regions of one relay, whose static key (33 bytes) is in it from its first day on.

    Raises sqlite3.Error if it cannot be used, NotThisRelays if it is another's; it is as it was then.
    `committed`, if it is set, is called after every commit with the seconds that it took; `failed` after one that
    failed for the answers of a tick; `prepare` before one begins, to keep() what belongs to it.
    """

    def __init__(self, path: Path, static_key: bytes) -> None:
        path.touch(mode=0o600)  # page keys are in it
        self.path = path
        self.committed: Callable[[float], None] | None = None
        self.failed: Callable[[], None] | None = None
        self.prepare: Callable[[], None] | None = None
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=1, check_same_thread=False)
        try:
            self._check_kind()
            for pragma in PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute("BEGIN IMMEDIATE")  # takes the lock, which is kept
            self._check_owner(static_key)
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.close()
            raise
        self._thread = ThreadPoolExecutor(1, "commit")
        self._pending = _Changes()
        self._committing = _Changes()
        self._running: Future[float] | None = None  # a commit under way
        self._last: Tick | None = None  # of the newest commit that began
        self._next: Tick | None = None  # of the one that is to begin
        self._holding = 0
        self._asked = False  # for durability, while it was held back
        self._failure: OSError | None = None  # of the last commit

    def _check_kind(self) -> None:
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and tables:
            raise NotThisRelays("it is not a relay's database")

    def _check_owner(self, static_key: bytes) -> None:
        if not self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _TABLES:
                self._connection.execute(statement)
            self._connection.execute("INSERT INTO owner VALUES (?)", (static_key,))
        if self._connection.execute("SELECT static_key FROM owner").fetchall() != [(static_key,)]:
            raise NotThisRelays("it belongs to another relay")

    def region(self, name: str, sectors: int, blank_is_public: bool = False) -> "SqliteDevice":
        """A block device for one region of so many sectors. blank_is_public: whether the time of a read may tell that a
        page was never programmed. Raises OSError if the file is damaged."""
        return SqliteDevice(self, name, sectors, blank_is_public)

    def sizes(self) -> dict[str, int]:
        """The sizes of its files in bytes: of the database, and of its log of changes."""
        log = self.path.with_name(self.path.name + "-wal")
        return {"database": self.path.stat().st_size, "log": log.stat().st_size if log.exists() else 0}

    def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()

    # -- what is durable when

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A block whose changes become durable together at its end, or not at all. Raises OSError."""
        with self.deferred():
            yield
        self.commit()

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block in which sync() waits: all that was to be durable becomes so at its end, together. Raises OSError."""
        self._asked = False
        with self.deferred():
            yield
        if self._asked:
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
        """Raises OSError if the last commit failed, as what is programmed now may never become durable."""
        if self._failure is not None:
            raise self._failure

    def commit(self) -> None:
        """Make everything durable now. Raises OSError; then the next commit writes what this one could not."""
        if self._running is not None:
            self._settle(self._running)
        if self.prepare:
            self.prepare()
        self._asked = False
        if self._pending:
            self._begin()
            self._running = Future()
            self._end(self._running)
            self._settle(self._running)
            self.require()

    def next(self) -> Tick:
        """The tick of the next commit, which makes all durable that was programmed until now; one serves all.

        An answer for which nothing was programmed waits as long as others, and as many pages are written for it.
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
            written = sum(region != _VOIDS for region, _ in self._pending.pages)
            for number in range(ANSWER_PAGES * tick.answers - written):
                self._pending.pages[_VOIDS, number] = bytes(PAGE_BYTES)
            if self._running is not None:
                self._settle(self._running)
            if self.prepare:
                self.prepare()
            self._begin()
            self._running = running = Future[float]()
            self._thread.submit(self._end, running)
            finished = asyncio.wrap_future(running)
            await asyncio.wait((finished,))
            tick.error = finished.exception()
            self._settle(running)
        except OSError as error:
            tick.error = error
        finally:
            tick.done.set()
            if tick.error is not None and self.failed:
                self.failed()

    def _begin(self) -> None:
        """Hand all changes to SQLite. Raises OSError."""
        self._committing, self._pending = self._pending, _Changes()
        changes = self._committing
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            query = "DELETE FROM page WHERE region = ? AND number >= ? AND number < ?"
            self._connection.executemany(query, changes.ranges())
            rows = ((region, number, data) for (region, number), data in changes.pages.items())
            self._connection.executemany("INSERT OR REPLACE INTO page VALUES (?, ?, ?)", rows)
            self._connection.executemany("INSERT OR REPLACE INTO value VALUES (?, ?)", changes.values.items())
        except sqlite3.Error as error:
            raise self._take_back(failure(error)) from None

    def _end(self, done: "Future[float]") -> None:
        """COMMIT, on any thread."""
        start = time.perf_counter()
        try:
            self._connection.execute("COMMIT")
            seconds = time.perf_counter() - start
            if self._committing.erases:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            done.set_result(seconds)
        except sqlite3.Error as error:
            done.set_exception(failure(error))
        except BaseException as error:  # whoever waits must not wait for ever
            done.set_exception(error)

    def _settle(self, running: "Future[float]") -> None:
        """Wait for a commit and take note of how it ended, once."""
        error = running.exception()
        if self._running is not running:
            return
        self._running = None
        if error is not None:
            self._take_back(error)
            return
        self._committing, self._failure = _Changes(), None
        if self.committed:
            self.committed(running.result())

    def _take_back(self, error: BaseException) -> OSError:
        """Keep what was not written for the next commit; the OSError that says why it was not."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._committing.add(self._pending)
        self._pending, self._committing = self._committing, _Changes()
        self._failure = error if isinstance(error, OSError) else OSError(errno.EIO, str(error))
        return self._failure

    # -- values

    def keep(self, name: str, value: bytes) -> None:
        """Set a value, in place of an earlier one, which is erased. Durable with the next commit."""
        self._pending.values[name] = value

    def kept(self, name: str) -> bytes | None:
        """The value of this name, None if there is none. Raises OSError."""
        for changes in (self._pending, self._committing):
            if name in changes.values:
                return changes.values[name]
        found = self._execute("SELECT data FROM value WHERE name = ?", (name,)).fetchone()
        return None if found is None else bytes(found[0])

    # -- pages

    def page(self, region: str, number: int) -> bytes:
        """A page of a region, 256 bytes; blank if it was never programmed. Raises OSError if the disk is broken."""
        for changes in (self._pending, self._committing):
            found = changes.find(region, number)
            if found is not None:
                return found
        query = "SELECT coalesce((SELECT data FROM page WHERE region = ? AND number = ?), ?)"
        data: bytes = self._execute(query, (region, number, BLANK_PAGE)).fetchone()[0]
        return data

    def numbers(self, region: str) -> list[int]:
        """The pages of a region that commits wrote, in order. Raises OSError."""
        query = "SELECT number FROM page WHERE region = ? ORDER BY number"
        try:
            return [number for (number,) in self._execute(query, (region,))]
        except sqlite3.DatabaseError as error:
            raise failure(error) from None

    def _execute(self, statement: str, values: tuple[str | int | bytes, ...] = ()) -> sqlite3.Cursor:
        """What a block device raises: OSError, if the disk is full or broken."""
        try:
            return self._connection.execute(statement, values)
        except sqlite3.DatabaseError as error:
            raise failure(error) from None

    def program(self, region: str, number: int, data: bytes) -> None:
        self._pending.pages[region, number] = data

    def erase(self, region: str, sector: int) -> None:
        self._pending.erase(region, sector)


class SqliteDevice:
    """One region of a Database: so many sectors of 4096 bytes; a page without a row is blank."""

    def __init__(self, database: Database, name: str, sectors: int, blank_is_public: bool) -> None:
        self._database = database
        self._name = name
        self._blank_is_public = blank_is_public
        self.sectors = sectors
        self._programmed = array("H", bytes(2 * sectors))  # a bit for each page of a sector that is not blank
        for number in database.numbers(name):
            if number < sectors * PAGES_PER_SECTOR:
                self._programmed[number // PAGES_PER_SECTOR] |= 1 << number % PAGES_PER_SECTOR

    def programmed(self) -> list[int]:
        """The numbers of the pages that are not blank, of a device that was just opened."""
        return [number for number in self._database.numbers(self._name) if number < self.sectors * PAGES_PER_SECTOR]

    def readblocks(self, block: int, buffer: bytearray | memoryview, offset: int = 0) -> None:
        """In the ring a page that was never programmed is looked for as others are: a batch reads pages in place of
        dummies, and how long that takes must not tell how many the ring has."""
        view = memoryview(buffer)
        at = 0
        while at < len(view):
            page, start = divmod(block * SECTOR_BYTES + offset + at, PAGE_BYTES)
            known = self._blank_is_public and not self._is_programmed(page)
            found = BLANK_PAGE if known else self._database.page(self._name, page)
            part = found[start : start + len(view) - at]
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

    def _is_programmed(self, number: int) -> bool:
        return bool(self._programmed[number // PAGES_PER_SECTOR] >> number % PAGES_PER_SECTOR & 1)

    def _program(self, number: int, data: bytes) -> None:
        if self._is_programmed(number):
            old = self._database.page(self._name, number)
            data = (int.from_bytes(old, "big") & int.from_bytes(data, "big")).to_bytes(PAGE_BYTES, "big")
        self._database.program(self._name, number, data)
        self._programmed[number // PAGES_PER_SECTOR] |= 1 << number % PAGES_PER_SECTOR

    def _erase(self, sector: int) -> None:
        if self._programmed[sector]:
            self._database.erase(self._name, sector)
            self._programmed[sector] = 0


def failure(error: sqlite3.Error) -> OSError:
    """The OSError that a block device raises for this SQLite error."""
    return OSError(number(error), str(error))


def number(error: sqlite3.Error) -> int:
    """The errno that stands for this SQLite error."""
    code = getattr(error, "sqlite_errorcode", 0)  # an error of Python's own module has none
    return _ERRNO.get(code & 0xFF, errno.EIO)


def what_to_do(number: int) -> str:
    """What to do about an errno of the storage, as a hint."""
    return _HINTS.get(number, "check the disk and its file system; what it acknowledged is kept")
