"""The log of one process, in an SQLite database: nothing to install, and nothing to share.

Owns the database and what is committed together: appends that come while a commit runs are the next one's. A thread of
its own does all that touches the disk. What makes a commit durable is what makes a relay's storage so (sqlite_device).
"""

import asyncio
import errno
import functools
import sqlite3
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..relay.sqlite_device import PRAGMAS, number, what_to_do
from .log import EngineNode, EngineStatus, Entry, LogBroken, LogError, LogRefused, LogUnavailable, Order, require_sizes

_APPLICATION = int.from_bytes(b"TESL", "big")  # PRAGMA application_id of a log's database
_TABLES = (
    # AUTOINCREMENT keeps the newest position that there was, when no entry is left.
    "CREATE TABLE entry (position INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB UNIQUE, entry BLOB)",
    "CREATE TABLE owner (relay BLOB)",
    f"PRAGMA application_id={_APPLICATION}",
)
_READ_AT_ONCE = 16
_CLOSED = "the log is closed"
_NOT_NOW = (errno.ENOSPC, errno.EIO)  # what may be otherwise the next time

Answer = TypeVar("Answer")


class SqliteLog:
    """A log (log.Log) that belongs to the relay with this static key (33 bytes).

    Raises LogRefused if the file is another's, in use, or no log; LogUnavailable if the disk is full or broken.
    """

    keeps_all = True

    def __init__(self, path: Path, relay: bytes) -> None:
        self._path = path
        self._orders: set[Order] = set()
        self._waiting: list[tuple[bytes, bytes, asyncio.Future[int]]] = []
        self._committing: asyncio.Task[None] | None = None
        self._news = asyncio.Event()  # set at the next commit, and replaced then
        self._closed = False
        try:
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=1, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise self._failure(error) from None
        try:
            self._open(relay)
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._failure(error) from None
            raise
        self._thread = ThreadPoolExecutor(1, "log")

    def _open(self, relay: bytes) -> None:
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and tables:
            raise LogRefused(f"{self._path} is no log of a relay", "name another file for it")
        for pragma in PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("BEGIN IMMEDIATE")  # takes the lock, which is kept
        if not tables:
            for statement in _TABLES:
                self._connection.execute(statement)
            self._connection.execute("INSERT INTO owner VALUES (?)", (relay,))
        if self._connection.execute("SELECT relay FROM owner").fetchall() != [(relay,)]:
            raise LogRefused(f"{self._path} is the log of another relay", "name the file that this relay ran with")
        self._connection.execute("COMMIT")

    def _failure(self, error: OSError | sqlite3.Error) -> LogError:
        code = (error.errno or errno.EIO) if isinstance(error, OSError) else number(error)
        said = error.strerror if isinstance(error, OSError) else str(error)
        kind = LogUnavailable if code in _NOT_NOW else LogRefused
        return kind(f"the log {self._path} cannot be used: {said}", what_to_do(code))

    async def append(self, entry: bytes, id: bytes) -> None:
        require_sizes(entry, id)
        if self._closed:
            raise LogUnavailable(_CLOSED)
        durable: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((id, entry, durable))
        if self._committing is None:
            self._committing = asyncio.ensure_future(self._commit())
        position = await durable
        for order in self._orders:
            order.promise(position, id)

    async def _commit(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                positions = await self._on_thread(functools.partial(self._write, batch))
                for (_, _, durable), position in zip(batch, positions, strict=True):
                    if not durable.done():  # whoever waited may be gone
                        durable.set_result(position)
                self._wake()
            except Exception as error:  # whoever waits must not wait for ever
                for _, _, durable in batch:
                    if not durable.done():
                        durable.set_exception(error)
        self._committing = None

    def _write(self, batch: list[tuple[bytes, bytes, "asyncio.Future[int]"]]) -> list[int]:
        self._connection.execute("BEGIN IMMEDIATE")
        position = self._last()
        places = []
        for id, entry, _ in batch:
            found = self._connection.execute("SELECT position FROM entry WHERE id = ?", (id,)).fetchone()
            if found is None:
                position += 1
                found = (position,)
                self._connection.execute("INSERT INTO entry VALUES (?, ?, ?)", (position, id, entry))
            places.append(found[0])
        self._connection.execute("COMMIT")
        return places

    async def follow(self, position: int) -> AsyncGenerator[Entry, None]:
        order = Order(position)
        self._orders.add(order)
        try:
            while True:
                news = self._news
                first, last, entries = await self._on_thread(lambda: self._read(order.next))
                order.require_end(last)
                order.pass_over(first)
                if not entries and order.next <= last:
                    raise LogBroken(f"{self._path} lacks its entries {order.next} to {last}")
                for entry in entries:
                    order.take(entry.position, entry.id)
                    yield entry
                if not entries:
                    await news.wait()
        finally:
            self._orders.discard(order)

    def _read(self, position: int) -> tuple[int, int, list[Entry]]:
        """The first position that is kept, the newest that there was, and what comes next."""
        last = self._last()
        (first,) = self._connection.execute("SELECT coalesce(min(position), ?) FROM entry", (last + 1,)).fetchone()
        query = "SELECT position, id, entry FROM entry WHERE position >= ? ORDER BY position LIMIT ?"
        rows = self._connection.execute(query, (position, _READ_AT_ONCE)).fetchall()
        return first, last, [Entry(*row) for row in rows]

    async def trim(self, before: int) -> None:
        def delete() -> None:
            if before > self._last() + 1:
                raise ValueError("what is not there yet cannot be trimmed")
            self._connection.execute("DELETE FROM entry WHERE position < ?", (before,))
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # it would keep them

        await self._on_thread(delete)

    async def last(self) -> int:
        return await self._on_thread(self._last)

    def _last(self) -> int:
        found = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entry'").fetchone()
        return int(found[0]) if found else 0

    async def engine(self) -> EngineStatus:
        name = self._path.name
        return EngineStatus(name, (EngineNode(name, sqlite3.sqlite_version, not self._closed),))

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._wake()
            if self._committing is not None:
                await self._committing
            await asyncio.to_thread(self._thread.shutdown)
            self._connection.close()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _on_thread(self, work: Callable[[], Answer]) -> Answer:
        """Raises LogError."""
        if self._closed and self._committing is None:
            raise LogUnavailable(_CLOSED)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._take_back)
            raise self._failure(error) from None

    def _take_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
