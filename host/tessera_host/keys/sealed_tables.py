"""Tables of sealed values in an SQLite database: what is kept under a key, so that a small change writes little.

Owns how a row is named and sealed. Leaves to others: the file, its key, lock and transactions (keystore_database.py),
what is in the tables (whoever opened it).

A row's name in the database is an HMAC of its name, so that nobody without the key sees who is in a table. Its value is
CBOR under AES-256-GCM, with table, name and both numbers as associated data, so that no value passes for another's.
Every row has a key of its own (HKDF-Expand of one block, RFC 5869 §2.3), so that one key seals few values in all its
life, however long an office lives: 96 random bits of nonce are for 2^32. Without the key one sees how many rows a table
has, how long each is, and the two numbers by which rows go: `until`, the epoch or second from which on nobody needs it
(0: for ever), and `part`.
"""

import hmac
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import KeystoreError

NONCE_BYTES = 12

Execute = Callable[..., sqlite3.Cursor]


class Seal:
    """The keystore's key, as rows are named and sealed with it. path: of the database, for errors."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._names = _expand(key, b"row names")
        self._values = _expand(key, b"row values")

    def name(self, table: str, name: bytes) -> bytes:
        """Compute the name of a row in the database (32 bytes, HMAC-SHA256)."""
        return hmac.digest(self._names, table.encode() + b"\0" + name, "sha256")

    def seal(self, table: str, row: bytes, numbers: tuple[int, int], value: Any) -> bytes:
        """Encrypt a value for its place (AES-256-GCM)."""
        about, nonce = _about(table, row, numbers), secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(_expand(self._values, about)).encrypt(nonce, cbor2.dumps(value), about)

    def open(self, table: str, row: bytes, numbers: tuple[int, int], sealed: bytes) -> Any:
        """Decrypt a value. Raises KeystoreError if it was not sealed for this place."""
        about = _about(table, row, numbers)
        try:
            content = AESGCM(_expand(self._values, about)).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
        except (InvalidTag, ValueError):
            raise damaged(self._path) from None
        return cbor2.loads(content)


class Table:
    """Values by their names (bytes) in one table of the database; what is changed is durable when the transaction
    is."""

    def __init__(self, name: str, seal: Seal, execute: Execute) -> None:
        self._name = name
        self._seal = seal
        self._execute = execute

    @staticmethod
    def definition(name: str) -> Iterator[str]:
        """Make the SQL statements that create the table."""
        yield (
            f"CREATE TABLE {name} (name BLOB PRIMARY KEY, until INTEGER NOT NULL, part INTEGER NOT NULL,"
            " value BLOB NOT NULL) WITHOUT ROWID"
        )
        yield f"CREATE INDEX {name}_until ON {name} (until) WHERE until > 0"

    def get(self, name: bytes) -> Any:
        """Read a value; None if there is no such row."""
        row = self._seal.name(self._name, name)
        found = self._execute(f"SELECT until, part, value FROM {self._name} WHERE name = ?", (row,)).fetchone()
        return None if found is None else self._opened(row, *found)

    def put(self, name: bytes, value: Any, until: int = 0, part: int = 0) -> None:
        """Write a value, in place of what is there under this name."""
        row = self._seal.name(self._name, name)
        sealed = self._seal.seal(self._name, row, (until, part), value)
        self._execute(f"REPLACE INTO {self._name} VALUES (?, ?, ?, ?)", (row, until, part, sealed))

    def delete(self, name: bytes) -> None:
        """Delete the row of this name."""
        self._execute(f"DELETE FROM {self._name} WHERE name = ?", (self._seal.name(self._name, name),))

    def values(self, part: int | None = None) -> list[Any]:
        """Iterate over all values, or those of one part, in no order."""
        which, numbers = ("", ()) if part is None else (" WHERE part = ?", (part,))
        rows = self._execute(f"SELECT name, until, part, value FROM {self._name}{which}", numbers).fetchall()
        return [self._opened(*row) for row in rows]

    def latest(self, most: int) -> list[Any]:
        """Of so many rows at most, those that are needed longest, the longest first."""
        query = f"SELECT name, until, part, value FROM {self._name} WHERE until > 0 ORDER BY until DESC LIMIT ?"
        return [self._opened(*row) for row in self._execute(query, (most,)).fetchall()]

    def count_from(self, part: int) -> int:
        """How many rows are of this part or a later one."""
        return int(self._execute(f"SELECT COUNT(*) FROM {self._name} WHERE part >= ?", (part,)).fetchone()[0])

    def __len__(self) -> int:
        return int(self._execute(f"SELECT COUNT(*) FROM {self._name}").fetchone()[0])

    def clear(self) -> None:
        """Delete all rows."""
        self._execute(f"DELETE FROM {self._name}")

    def keep_part(self, part: int) -> None:
        """Delete the rows of all others."""
        self._execute(f"DELETE FROM {self._name} WHERE part <> ?", (part,))

    def forget(self, now: int, most: int) -> None:
        """Delete rows that nobody needs from now on, at most so many."""
        over = f"SELECT name FROM {self._name} WHERE until > 0 AND until <= ? LIMIT ?"
        self._execute(f"DELETE FROM {self._name} WHERE name IN ({over})", (now, most))

    def _opened(self, row: bytes, until: int, part: int, sealed: bytes) -> Any:
        return self._seal.open(self._name, row, (until, part), sealed)


class Values:
    """What is kept once, by its name: a view of one table that reads a value when it is first asked for, and writes
    those that were changed. What it gives may be changed in place."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: dict[str, Any] = {}
        self._stored: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> Any:
        """Raises KeyError."""
        if name not in self._known:
            found = self._table.get(name.encode())
            if found is None:
                raise KeyError(name)
            self._known[name], self._stored[name] = found[0], cbor2.dumps(found)
        return self._known[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._known[name] = value

    def write(self) -> None:
        """Write the values that were changed into the table."""
        for name, value in self._known.items():
            encoded = cbor2.dumps([value])  # in a list, because a row of None is one
            if encoded != self._stored.get(name):
                self._table.put(name.encode(), [value])
                self._stored[name] = encoded

    def forget(self) -> None:
        """Forget what was read, and what was changed and not written."""
        self._known, self._stored = {}, {}


def damaged(path: Path) -> KeystoreError:
    """Make the error for a database that is damaged."""
    return KeystoreError(f"{path} is damaged: it is not what was written", "restore it from a backup")


def _about(table: str, row: bytes, numbers: tuple[int, int]) -> bytes:
    until, part = numbers
    return b"%s\0%s%016x%016x" % (table.encode(), row, until, part)


def _expand(key: bytes, about: bytes) -> bytes:
    return hmac.digest(key, about + b"\1", "sha256")
