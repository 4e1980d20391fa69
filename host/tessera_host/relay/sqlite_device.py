"""Flash in an SQLite database: MicroPython's extended block-device protocol for a relay on a server.

Owns the database, whose it is, and what a failure of it is called. The manners are those of NOR flash, so the relay
core is the same: a program only clears bits, an erase sets a whole sector. Every program is durable when it returns; an
erase is as good as the file system lets it be.
"""

import errno
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tessera.nor import BLANK_PAGE, COUNT, ERASE, PAGE_BYTES, PAGES_PER_SECTOR, SECTOR_BYTES, SIZE

_APPLICATION = int.from_bytes(b"TESR", "big")  # PRAGMA application_id of a relay's database
_PRAGMAS = (
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
    errno.ENOSPC: "make room, and start it again: what it acknowledged is kept",
    errno.EROFS: "it is mounted read-only, or is another user's: mend that, and start it again: what it acknowledged is"
    " kept",
    errno.EBUSY: "another program has it open: end that one first",
    errno.EACCES: "look at its rights and those of its directory",
    errno.EINVAL: "it is something else: name the database that the relay ran with",
}


class NotThisRelays(Exception):
    """The database is another relay's, or none of a relay."""


class Database:
    """The file with all regions of one relay, whose static key (33 bytes) is in it from its first day on.

    Raises sqlite3.Error if it cannot be used, NotThisRelays if it is another's; it is as it was then.
    `committed`, if it is set, is called after every commit with the seconds that it took.
    """

    def __init__(self, path: Path, static_key: bytes) -> None:
        path.touch(mode=0o600)  # page keys are in it
        self.path = path
        self.committed: Callable[[float], None] | None = None
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=1)
        try:
            self._check_kind()
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute("BEGIN IMMEDIATE")  # takes the lock, which is kept
            self._check_owner(static_key)
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.close()
            raise

    def _check_kind(self) -> None:
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and tables:
            raise NotThisRelays("it is no database of a relay")

    def _check_owner(self, static_key: bytes) -> None:
        if not self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _TABLES:
                self._connection.execute(statement)
            self._connection.execute("INSERT INTO owner VALUES (?)", (static_key,))
        if self._connection.execute("SELECT static_key FROM owner").fetchall() != [(static_key,)]:
            raise NotThisRelays("it is the storage of another relay")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside becomes durable together, or not at all."""
        _execute(self._connection, "BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself ends it when the disk is full
                _execute(self._connection, "ROLLBACK")
            raise
        with self._timed():
            _execute(self._connection, "COMMIT")
        self._write_back()

    def region(self, name: str, sectors: int) -> "SqliteDevice":
        return SqliteDevice(self, name, sectors)

    def execute(self, statement: str, values: tuple[str | int | bytes, ...] = ()) -> sqlite3.Cursor:
        """One statement, durable when it returns unless it is in a transaction. Raises OSError."""
        if self._connection.in_transaction or statement.startswith("SELECT"):
            return _execute(self._connection, statement, values)
        with self._timed():
            return _execute(self._connection, statement, values)

    def wipe(self, statement: str, values: tuple[str | int | bytes, ...]) -> None:
        """A statement that removes something, and with it what the log of changes keeps of it. Raises OSError."""
        self.execute(statement, values)
        if not self._connection.in_transaction:
            self._write_back()

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        if self.committed:
            self.committed(time.perf_counter() - began)

    def _write_back(self) -> None:
        """The log of changes would keep what was erased: write it back and cut it off."""
        _execute(self._connection, "PRAGMA wal_checkpoint(TRUNCATE)")

    def sizes(self) -> dict[str, int]:
        """Bytes of its files: the database, and the log of changes."""
        log = self.path.with_name(self.path.name + "-wal")
        return {"database": self.path.stat().st_size, "log": log.stat().st_size if log.exists() else 0}

    def close(self) -> None:
        self._connection.close()


class SqliteDevice:
    """One region of a Database: so many sectors of 4096 bytes; a page without a row is blank."""

    def __init__(self, database: Database, name: str, sectors: int) -> None:
        self._database = database
        self._name = name
        self.sectors = sectors

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
        return 0

    def _page(self, number: int) -> bytes:
        query = "SELECT data FROM page WHERE region = ? AND number = ?"
        row = self._database.execute(query, (self._name, number)).fetchone()
        return BLANK_PAGE if row is None else bytes(row[0])

    def _program(self, number: int, data: bytes) -> None:
        old = int.from_bytes(self._page(number), "big")
        programmed = (old & int.from_bytes(data, "big")).to_bytes(PAGE_BYTES, "big")
        self._database.execute("INSERT OR REPLACE INTO page VALUES (?, ?, ?)", (self._name, number, programmed))

    def _erase(self, sector: int) -> None:
        pages = (self._name, sector * PAGES_PER_SECTOR, (sector + 1) * PAGES_PER_SECTOR)
        self._database.wipe("DELETE FROM page WHERE region = ? AND number >= ? AND number < ?", pages)


def _execute(
    connection: sqlite3.Connection, statement: str, values: tuple[str | int | bytes, ...] = ()
) -> sqlite3.Cursor:
    """What a block device raises: OSError, if the disk is full or broken."""
    try:
        return connection.execute(statement, values)
    except sqlite3.DatabaseError as error:
        raise OSError(number(error), str(error)) from None


def number(error: sqlite3.Error) -> int:
    """The errno of an error of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0)  # an error of Python's own module has none
    return _ERRNO.get(code & 0xFF, errno.EIO)


def what_to_do(number: int) -> str:
    """A hint for an errno."""
    return _HINTS.get(number, "look at the disk and its file system; its records are kept")
