"""Flash in an SQLite database: MicroPython's extended block-device protocol for a relay on a server.

Owns the database. The manners are those of NOR flash, so the relay core is the same: a program only clears bits, an
erase sets a whole sector. Every program is durable when it returns; an erase is as good as the file system lets it be.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tessera.nor import BLANK_PAGE, COUNT, ERASE, PAGE_BYTES, PAGES_PER_SECTOR, SECTOR_BYTES, SIZE


class Database:
    """The file with all regions of one relay. Raises sqlite3.Error if it cannot be used."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)  # page keys are in it
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=1)
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS page (region TEXT, number INTEGER, data BLOB, PRIMARY KEY (region, number))"
            " WITHOUT ROWID"
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside becomes durable together, or not at all."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        _write_back(self._connection)

    def region(self, name: str, sectors: int) -> "SqliteDevice":
        return SqliteDevice(self._connection, name, sectors)

    def close(self) -> None:
        self._connection.close()


class SqliteDevice:
    """One region of a Database: so many sectors of 4096 bytes; a page without a row is blank."""

    def __init__(self, connection: sqlite3.Connection, name: str, sectors: int) -> None:
        self._connection = connection
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
        row = _execute(self._connection, query, (self._name, number)).fetchone()
        return BLANK_PAGE if row is None else bytes(row[0])

    def _program(self, number: int, data: bytes) -> None:
        old = int.from_bytes(self._page(number), "big")
        programmed = (old & int.from_bytes(data, "big")).to_bytes(PAGE_BYTES, "big")
        _execute(self._connection, "INSERT OR REPLACE INTO page VALUES (?, ?, ?)", (self._name, number, programmed))

    def _erase(self, sector: int) -> None:
        pages = (self._name, sector * PAGES_PER_SECTOR, (sector + 1) * PAGES_PER_SECTOR)
        _execute(self._connection, "DELETE FROM page WHERE region = ? AND number >= ? AND number < ?", pages)
        if not self._connection.in_transaction:
            _write_back(self._connection)


def _execute(
    connection: sqlite3.Connection, statement: str, values: tuple[str | int | bytes, ...] = ()
) -> sqlite3.Cursor:
    """What a block device raises: OSError, if the disk is full or broken."""
    try:
        return connection.execute(statement, values)
    except sqlite3.OperationalError as error:
        raise OSError(errno.EIO, str(error)) from None


def _write_back(connection: sqlite3.Connection) -> None:
    """The log of changes would keep what was erased: write it back and cut it off."""
    _execute(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
