"""Encrypted state in rows: a keystore whose content is too large to be written anew at every change.

An SQLite database of sealed values (sealed_tables.py) and one row in the clear, the header: a line of JSON as in a
keystore's file, with a sealed nothing by which a wrong passphrase is told from damage.
Owns the file, its lock, its transactions and copies of it. Leaves to others: what is in the tables.

The lock is the same file beside it as a keystore has, and is held for as long as it is open, or for one request of a
program that lives long: who writes is alone.

Durable means: after a power cut. The journal is a write-ahead log with synchronous=FULL, which is one sync of the disk
a transaction; a rollback journal needs four, and with FULL a power cut could even bring it back, and take a change back
that was told to somebody. The price: while somebody has it open, or after a crash, part of the state is in the file
beside it that ends in -wal; so whoever wants a copy makes it with `copy`, or copies the whole directory when all is
closed. A copy itself is one file. Nobody may open the file past SQLite while it is open here: closing it would give
back SQLite's own locks (sqlite.org/howtocorrupt.html, 2.2).
"""

import hashlib
import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .. import files
from ..errors import KeystoreError, WrongPassphrase
from . import keystore
from .keystore import (
    LOCK_WAIT_SECONDS,
    SALT_BYTES,
    SCRYPT,
    DerivedKey,
    Lock,
    Opened,
    Secret,
    key_of,
    make_directory,
    missing,
)
from .sealed_tables import NONCE_BYTES, Seal, Table, Values, damaged

FORMAT = "tessera-keystore-database"
VERSION = 1
VALUES = "kept"  # the table of what is kept once
_MAGIC = b"SQLite format 3\0"
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "trusted_schema=OFF")
_BUSY_SECONDS = 5.0  # for another program to be done with opening or closing it
_BESIDE = ("-journal", "-wal", "-shm")


class KeystoreDatabase(Opened):
    """An open keystore of rows. `data` has what is kept once, `table` gives the other values; changes to both are made
    within `change`, and are durable when it has ended."""

    def __init__(self, path: Path, kind: str, salt: bytes, key: bytes, lock: Lock | None) -> None:
        """Not for callers: use `create`, `open` or `read_apart`."""
        self.path = path
        self.kind = kind
        self._salt = salt
        self._key: bytes | None = key
        self._lock = lock
        self._apart = lock is None
        self._seal = Seal(path, key)
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # which one the connection has
        self.data = Values(self.table(VALUES))

    @classmethod
    def create(
        cls,
        path: Path,
        passphrase: str,
        kind: str,
        tables: Sequence[str],
        fill: Callable[[Self], None],
        lock_wait_seconds: float = LOCK_WAIT_SECONDS,
    ) -> Self:
        """Create a new file, mode 0600, with these tables and what fill(keystore) puts in; if that fails, no file is
        left. Raises KeystoreError if there is one already: nothing is ever overwritten."""
        if not passphrase:
            raise KeystoreError("the passphrase is empty", "choose one: an empty passphrase protects nothing")
        salt = secrets.token_bytes(SALT_BYTES)
        return cls._create(
            path, DerivedKey(salt, key_of(passphrase, salt, path)), kind, tables, fill, lock_wait_seconds
        )

    @classmethod
    def _create(
        cls,
        path: Path,
        derived: DerivedKey,
        kind: str,
        tables: Sequence[str],
        fill: Callable[[Self], None],
        lock_wait_seconds: float = LOCK_WAIT_SECONDS,
    ) -> Self:
        make_directory(path.parent)
        lock = Lock(path, lock_wait_seconds)
        try:
            if os.path.lexists(path):
                raise KeystoreError(f"{path} exists already and is not overwritten", "choose another place")
            store = cls(path, kind, derived.salt, derived.key, lock)
            store._make(path.with_name(path.name + ".new"), tables, fill)  # by the lock that name is ours
            store._connect()
        except BaseException:
            lock.release()
            raise
        return store

    def _make(self, temporary: Path, tables: Sequence[str], fill: Callable[[Self], None]) -> None:
        """Under another name, then in place."""
        rests = [path.with_name(path.name + end) for path in (temporary, self.path) for end in _BESIDE]
        try:
            for rest in (temporary, *rests):  # of a making that was cut short, or of a file that is gone
                rest.unlink(missing_ok=True)
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            self._connection = _connected(temporary, ())
            with self.change():
                for name in (VALUES, *tables):
                    for statement in Table.definition(name):
                        self._execute(statement)
                self._write_header()
                fill(self)
            self._disconnect()
            files.put_in_place(temporary, self.path)
        except OSError as error:
            raise self._not_written(error.strerror or str(error)) from None
        finally:
            self._disconnect()
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _write_header(self) -> None:
        line = _sealed_header(self.kind, self._salt, self._key or b"")
        self._execute("CREATE TABLE header (line BLOB NOT NULL, digest BLOB NOT NULL)")
        self._execute("INSERT INTO header VALUES (?, ?)", (line, hashlib.sha256(line).digest()))

    @classmethod
    def open(cls, path: Path, secret: Secret, kind: str, lock_wait_seconds: float = LOCK_WAIT_SECONDS) -> Self:
        """Open a file with its passphrase, or with the key that was derived from it. Raises WrongPassphrase, or
        KeystoreError if the file is missing, damaged, of another kind or in use."""
        if not path.exists():
            raise missing(path, kind)
        path = path.resolve()
        lock = Lock(path, lock_wait_seconds)
        try:
            return cls._opened(path, kind, secret, _connected(path), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def read_apart(cls, path: Path, secret: Secret, kind: str) -> Self:
        """Open a file that nobody works in, to read it: no lock is taken, and nothing is written beside it. Raises as
        `open`."""
        if not path.exists():
            raise KeystoreError(f"there is no file {path}", "check its name")
        path = path.resolve()
        return cls._opened(path, kind, secret, _connected(path, apart=True), None)

    @classmethod
    def _opened(cls, path: Path, kind: str, secret: Secret, connection: sqlite3.Connection, lock: Lock | None) -> Self:
        try:
            header = _read_header(path, connection, kind)
            key = key_of(secret, header["salt"], path)
            _check_key(path, key, header)
        except BaseException:
            connection.close()
            raise
        store = cls(path, kind, header["salt"], key, lock)
        store._use(connection)
        return store

    def _connect(self) -> None:
        connection = _connected(self.path)
        try:
            if _read_header(self.path, connection, self.kind)["salt"] != self._salt:
                raise KeystoreError(
                    f"{self.path} was replaced while this program used it", "stop this program and start it again"
                )
        except BaseException:
            connection.close()
            raise
        self._use(connection)

    def _use(self, connection: sqlite3.Connection) -> None:
        self._connection, self._file = connection, _file(self.path)

    def table(self, name: str) -> Table:
        """Give a view of one table."""
        return Table(name, self._seal, self._execute)

    # -- the transaction

    @contextmanager
    def change(self) -> Iterator[None]:
        """Make what the block changes in `data` and in tables durable when it ends, all of it; nothing if it raises, or
        if that cannot be written (KeystoreError)."""
        self._end_reading()
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self.data.write()
            self._commit()
        except BaseException:
            self.data.forget()
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _commit(self) -> None:
        self._run("COMMIT")

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """What is read between two changes is read in one transaction: SQLite takes and gives back its locks once."""
        if self._connection is not None and not self._connection.in_transaction:
            self._run("BEGIN")
        return self._run(statement, values)

    def _end_reading(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            self._run("COMMIT")

    def _run(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        if self._connection is None or not (self._lock or self._apart):
            raise KeystoreError(f"{self.path} is {'closed' if self._key is None else 'not held'}")
        try:
            return self._connection.execute(statement, values)
        except sqlite3.OperationalError as error:  # no room, no permission, a broken disk
            raise self._not_written(str(error)) from None
        except sqlite3.DatabaseError:
            raise damaged(self.path) from None

    def _not_written(self, reason: str) -> KeystoreError:
        hint = "the file is unchanged; make room on the disk and try again"
        return KeystoreError(f"{self.path} cannot be written: {reason}", hint)

    # -- who has it

    def release(self) -> None:
        """Give the lock back and forget what was read, but not the key: other processes may change the file. For
        programs that run for long; `held` takes it for a while. The database stays open: who opens it, or is the last
        to close it, waits for the disk."""
        self.data.forget()
        if self._lock is not None:
            self._end_reading()
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()  # last: from here on another thread of this program may take it

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for a while, in a program that runs without it: what is read is what the file has now. Two
        threads of one program wait for each other like two programs. Raises KeystoreError, also if the passphrase was
        changed."""
        self._take()
        try:
            yield
        finally:
            self.release()

    def _take(self) -> None:
        if self._key is None:
            raise KeystoreError(f"{self.path} is closed")
        lock = Lock(self.path, keystore.LOCK_WAIT_SECONDS)
        try:
            if self._connection is None or _file(self.path) != self._file:
                self._disconnect()
                self._connect()
        except BaseException:
            lock.release()
            raise
        self._lock = lock

    def close(self) -> None:
        """Give the lock back and forget key and data."""
        self._disconnect()
        self.release()
        self._key = None

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __repr__(self) -> str:
        return f"KeystoreDatabase({str(self.path)!r}, kind={self.kind!r})"

    # -- copies

    def copy(self, path: Path, kind: str, tables: Sequence[str], content: "Content") -> None:
        """Create a new keystore under the same key with what `content` takes over. Raises KeystoreError if there is one
        already."""
        KeystoreDatabase._create(path, self.derived_key, kind, tables, content.fill(self)).close()

    def copy_apart(self, path: Path, kind: str, tables: Sequence[str], content: "Content") -> None:
        """Do the same as one file that nobody works in, without a lock beside it."""
        if os.path.lexists(path):
            raise KeystoreError(f"{path} exists already and is not overwritten", "choose another name")
        temporary = path.with_name(f".{secrets.token_hex(8)}.new")
        other = KeystoreDatabase(path, kind, self._salt, self.derived_key.key, None)
        other._make(temporary, tables, content.fill(self))

    def _copy_rows(self, name: str, other: "KeystoreDatabase") -> None:
        """Sealed as they are: the key is the same, and so are table and name."""
        for row in self._execute(f"SELECT name, until, part, value FROM {name}"):
            other._execute(f"INSERT INTO {name} VALUES (?, ?, ?, ?)", row)


@dataclass(frozen=True)
class Content:
    """What a copy contains: the rows of these tables and all values that are kept once, and what change(copy) makes of
    them."""

    tables: Sequence[str]
    change: Callable[[KeystoreDatabase], None]

    def fill(self, source: KeystoreDatabase) -> Callable[[KeystoreDatabase], None]:
        """Make the function that fills a copy from this keystore."""

        def fill(copy: KeystoreDatabase) -> None:
            for name in (VALUES, *self.tables):
                source._copy_rows(name, copy)
            self.change(copy)

        return fill


def salt_of(path: Path) -> bytes | None:
    """Read the salt (16 bytes) of a keystore as it is now, of a file or of rows; None if it cannot be read. Do not call
    it while the keystore is open here."""
    try:
        if not _is_database(path):
            return keystore.salt_of(path)
        connection = _connected(path)
        try:
            salt: bytes = _read_header(path, connection)["salt"]
        finally:
            connection.close()
    except KeystoreError:
        return None
    return salt


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _file(path: Path) -> tuple[int, int] | None:
    """Which file is there, None if none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connected(path: Path, pragmas: Sequence[str] = _PRAGMAS, apart: bool = False) -> sqlite3.Connection:
    """apart: only to be read, and nothing is made beside it. Raises KeystoreError."""
    uri = path.absolute().as_uri() + ("?mode=ro&immutable=1" if apart else "?mode=rw")
    try:
        # Requests are answered in threads, one at a time.
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS, check_same_thread=False
        )
        try:
            for pragma in () if apart else pragmas:
                connection.execute(f"PRAGMA {pragma}").fetchall()
        except BaseException:
            connection.close()
            raise
    except sqlite3.OperationalError as error:
        raise KeystoreError(f"{path} cannot be read: {error}", "check who owns the file") from None
    except sqlite3.DatabaseError:
        raise damaged(path) if _is_database(path) else _no_database(path) from None
    return connection


def _check_key(path: Path, key: bytes, header: dict[str, Any]) -> None:
    """Raises WrongPassphrase."""
    try:
        AESGCM(key).decrypt(header["check"][:NONCE_BYTES], header["check"][NONCE_BYTES:], header["about"])
    except InvalidTag:
        raise WrongPassphrase(f"wrong passphrase for {path}", "try again; the file itself is undamaged") from None


def _read_header(path: Path, connection: sqlite3.Connection, kind: str | None = None) -> dict[str, Any]:
    """Raises KeystoreError unless it is a database of this version, whole as far as its first rows say, of this
    kind."""
    try:
        line, digest = connection.execute("SELECT line, digest FROM header").fetchone()
        whole = hashlib.sha256(line).digest() == digest
    except sqlite3.DatabaseError as error:
        no_database = str(error) == "file is not a database"
        raise _no_database(path) if no_database else damaged(path) from None
    except (TypeError, ValueError):
        raise damaged(path) from None
    if not whole:
        raise damaged(path)
    header = _parsed(line)
    if header is None:
        raise KeystoreError(f"{path} has a format this program does not know", "update tessera")
    if kind not in (None, header["kind"]):
        raise KeystoreError(
            f"{path} is a keystore of kind '{header['kind']}', but '{kind}' is needed here",
            "name another file or directory",
        )
    return header


def _no_database(path: Path) -> KeystoreError:
    try:
        with path.open("rb") as file:
            old = file.read(32).startswith(b'{"format": "%s"' % keystore.FORMAT.encode())
    except OSError as error:
        return KeystoreError(f"{path} cannot be read: {error.strerror}", "check who owns the file")
    if old:
        return KeystoreError(
            f"{path} was made by an older version of tessera, which kept everything in one piece",
            "use that version, or begin anew in another directory; the file is unchanged",
        )
    return KeystoreError(f"{path} is not a Tessera keystore", "name another directory, or restore a backup")


def _sealed_header(kind: str, salt: bytes, key: bytes) -> bytes:
    about, nonce = _header(kind, salt), secrets.token_bytes(NONCE_BYTES)
    check = nonce + AESGCM(key).encrypt(nonce, b"", json.dumps(about).encode())
    return json.dumps(about | {"check": check.hex()}).encode()


def _header(kind: str, salt: bytes) -> dict[str, Any]:
    fields = {"format": FORMAT, "version": VERSION, "kind": kind, "kdf": "scrypt", **SCRYPT}
    return fields | {"salt": salt.hex(), "cipher": "AES-256-GCM"}


def _parsed(line: bytes) -> dict[str, Any] | None:
    """kind, salt, check and what the check is about; None for a header that this version does not write. Anyone can
    make the digest of a planted file right."""
    try:
        found = dict(json.loads(line))
        kind, salt, check = str(found["kind"]), bytes.fromhex(found["salt"]), bytes.fromhex(found.pop("check"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if found != _header(kind, salt) or len(salt) != SALT_BYTES or len(check) != NONCE_BYTES + 16:
        return None
    return {"kind": kind, "salt": salt, "check": check, "about": json.dumps(found).encode()}
