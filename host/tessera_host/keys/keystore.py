"""Encrypted state files: everything secret that this package keeps is in one of these.

File: one line of JSON (the header), the AES-256-GCM ciphertext of a CBOR map with the header line as associated data,
and the SHA-256 of all that. The digest is no protection, the GCM tag is: it tells damage from a wrong passphrase.
Owns the file format, its atomic replacement and its lock. What is in the map belongs to whoever opens the keystore.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cbor2
import filelock
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from .. import files
from ..errors import KeystoreError, WrongPassphrase

FORMAT = "tessera-keystore"
VERSION = 1
# Only these are read: parameters taken from the file would let a planted file ask for any amount of memory.
SCRYPT = {"n": 1 << 15, "r": 8, "p": 1}
SALT_BYTES = 16
KEY_BYTES = 32
NONCE_BYTES = 12
DIGEST_BYTES = 32
# How one comes to have a keystore of a kind, for who has none.
_BEGINNINGS = {
    "member": "join your office first: tessera join INVITATION; or name the directory with --home",
    "issuer": "make one with tessera issuer init, or name its directory",
}
LOCK_WAIT_SECONDS = 10.0
LOCK_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class DerivedKey:
    """The key that scrypt makes of a passphrase and one keystore file's salt, so that scrypt need not run again."""

    salt: bytes
    key: bytes = field(repr=False)


Secret = str | DerivedKey


def missing(path: Path, kind: str) -> KeystoreError:
    """Make the error for a keystore that does not exist."""
    return KeystoreError(f"there is no {kind}'s keystore in {path.parent}", _BEGINNINGS.get(kind, "check its name"))


class Lock:
    """An exclusive lock on a file beside the keystore (the keystore itself is replaced at every save)."""

    def __init__(self, path: Path, wait_seconds: float) -> None:
        beside = path.with_name(path.name + ".lock")
        self._lock = filelock.FileLock(beside, timeout=wait_seconds, mode=0o600, thread_local=False)
        try:
            self._lock.acquire(poll_interval=LOCK_POLL_SECONDS)
        except filelock.Timeout:
            raise KeystoreError(f"{path} is in use by another process", "wait for it to end, then try again") from None
        except OSError as error:
            raise KeystoreError(f"{path.parent} cannot be written to: {error.strerror}", "check who owns it") from None

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()


class Opened:
    """What every open keystore has, in one file or in rows: path, key and lock. A context manager."""

    path: Path
    _salt: bytes
    _key: bytes | None
    _lock: Lock | None

    @property
    def derived_key(self) -> DerivedKey:
        """The key that opens this file for as long as its passphrase stays the same. Raises KeystoreError if it is
        closed."""
        if self._key is None:
            raise KeystoreError(f"{self.path} is closed")
        return DerivedKey(self._salt, self._key)

    @property
    def is_held(self) -> bool:
        """Whether this process holds the lock."""
        return self._lock is not None

    def close(self) -> None:
        """Give the lock back and forget the key."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Keystore(Opened):
    """An open keystore. `data` is the decrypted map; changes to it last once `save()` has returned."""

    def __init__(self, path: Path, kind: str, salt: bytes, key: bytes, data: dict[str, Any], lock: Lock) -> None:
        """Not for callers: use `create` or `open`."""
        self.path = path
        self.kind = kind
        self.data = data
        self._salt = salt
        self._key: bytes | None = key
        self._lock: Lock | None = lock

    @classmethod
    def create(
        cls, path: Path, passphrase: str, kind: str, data: dict[str, Any], lock_wait_seconds: float = LOCK_WAIT_SECONDS
    ) -> Self:
        """Create a new file, mode 0600. Raises KeystoreError if there is one already: nothing is ever overwritten."""
        if not passphrase:
            raise KeystoreError("the passphrase is empty", "choose one: an empty passphrase protects nothing")
        make_directory(path.parent)
        lock = Lock(path, lock_wait_seconds)
        try:
            if os.path.lexists(path):
                raise KeystoreError(f"{path} exists already and is not overwritten", "choose another place")
            salt = secrets.token_bytes(SALT_BYTES)
            store = cls(path, kind, salt, _derive(passphrase, salt), data, lock)
            store.save()
        except BaseException:
            lock.release()
            raise
        return store

    @classmethod
    def open(cls, path: Path, secret: Secret, kind: str, lock_wait_seconds: float = LOCK_WAIT_SECONDS) -> Self:
        """Open a file with its passphrase, or with the key that was derived from it. Raises WrongPassphrase, or
        KeystoreError if the file is missing, damaged, of another kind or in use."""
        if not path.exists():
            raise missing(path, kind)
        path = path.resolve()  # behind a symbolic link: what is replaced is the file, not the link to it
        lock = Lock(path, lock_wait_seconds)
        try:
            line, header, body = _read(path)
            _check_kind(path, header, kind)
            salt = header["salt"]
            key = key_of(secret, salt, path)
            data = _decrypt(path, key, header, line, body)
        except BaseException:
            lock.release()
            raise
        return cls(path, kind, salt, key, data, lock)

    def save(self) -> None:
        """Replace the file with the present `data`, atomically; it is durable on return. Raises KeystoreError, also for
        empty `data`, which is what a keystore has while nobody holds its lock."""
        if self._key is None or self._lock is None:
            raise KeystoreError(f"{self.path} is {'closed' if self._key is None else 'not held'}")
        if not self.data:
            raise KeystoreError(
                f"saving would erase all that is in {self.path}",
                "the file is unchanged; stop this program and start it again",
            )
        content = _sealed(self.kind, self._salt, self._key, self.data)
        try:
            _replace(self.path, content)
        except OSError as error:
            raise KeystoreError(
                f"{self.path} cannot be written: {error.strerror}",
                "the file is unchanged; make room on the disk and try again",
            ) from None

    def release(self) -> None:
        """Give the lock back and forget the data, but not the key: other processes may change the file. Does not save.

        For programs that run for long. `reacquire` continues; whatever was taken from `data` before is stale then.
        """
        lock, self._lock = self._lock, None
        if lock is not None:
            self.data = {}
            lock.release()  # last: from here on another thread of this program may take it

    def reacquire(self, lock_wait_seconds: float = LOCK_WAIT_SECONDS) -> None:
        """Take the lock again and read the file anew, without the passphrase. `data` is a new map. Changes nothing if
        the lock is held. Raises KeystoreError, also if the file is in use or its passphrase was changed."""
        if self._lock is None:
            self._take(lock_wait_seconds)

    def _take(self, lock_wait_seconds: float) -> None:
        if self._key is None:
            raise KeystoreError(f"{self.path} is closed")
        lock = Lock(self.path, lock_wait_seconds)
        try:
            self.data = self._read_anew(self._key)
        except BaseException:
            lock.release()
            raise
        self._lock = lock

    def _read_anew(self, key: bytes) -> dict[str, Any]:
        line, header, body = _read(self.path)
        _check_kind(self.path, header, self.kind)
        if header["salt"] != self._salt:
            raise KeystoreError(
                f"{self.path} was replaced while this program used it", "stop this program and start it again"
            )
        return _decrypt(self.path, key, header, line, body)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for a while, in a program that runs without it: `data` is what the file has now. Two threads of
        one program wait for each other like two programs. Raises KeystoreError."""
        self._take(LOCK_WAIT_SECONDS)
        try:
            yield
        finally:
            self.release()

    def close(self) -> None:
        """Give the lock back and forget key and data. Does not save."""
        self.release()
        self._key = None

    def __repr__(self) -> str:
        return f"Keystore({str(self.path)!r}, kind={self.kind!r})"


def write_apart(path: Path, secret: Secret, kind: str, data: dict[str, Any]) -> None:
    """Write a file of this format that nobody works in: whole, mode 0600, without a lock. Raises KeystoreError if there
    is one already."""
    if os.path.lexists(path):
        raise KeystoreError(f"{path} exists already and is not overwritten", "choose another name")
    salt = secrets.token_bytes(SALT_BYTES) if isinstance(secret, str) else secret.salt
    content = _sealed(kind, salt, key_of(secret, salt, path), data)
    files.write(path, content)


def read_apart(path: Path, secret: Secret, kind: str) -> dict[str, Any]:
    """Read what `write_apart` wrote. Raises WrongPassphrase or KeystoreError."""
    if not path.exists():
        raise KeystoreError(f"there is no file {path}", "check its name")
    line, header, body = _read(path)
    _check_kind(path, header, kind)
    return _decrypt(path, key_of(secret, header["salt"], path), header, line, body)


def salt_of(path: Path) -> bytes | None:
    """Read the salt (16 bytes) of the file as it is now; None if it cannot be read."""
    try:
        salt: bytes = _read(path)[1]["salt"]
    except KeystoreError:
        return None
    return salt


def key_of(secret: Secret, salt: bytes, path: Path) -> bytes:
    """Derive the key (32 bytes) for a keystore with this salt. Raises WrongPassphrase for a key that was derived with
    another salt."""
    if isinstance(secret, str):
        return _derive(secret, salt)
    if secret.salt != salt:
        raise WrongPassphrase(f"the passphrase of {path} was changed", "unlock it again: tessera unlock")
    return secret.key


def _derive(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=KEY_BYTES, **SCRYPT).derive(passphrase.encode())


def _sealed(kind: str, salt: bytes, key: bytes, data: dict[str, Any]) -> bytes:
    """The whole file."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    line = _header(kind, salt, nonce)
    content = line + AESGCM(key).encrypt(nonce, cbor2.dumps(data), line)
    return content + hashlib.sha256(content).digest()


def _header(kind: str, salt: bytes, nonce: bytes) -> bytes:
    fields = {"format": FORMAT, "version": VERSION, "kind": kind, "kdf": "scrypt", **SCRYPT}
    fields |= {"salt": salt.hex(), "cipher": "AES-256-GCM", "nonce": nonce.hex()}
    return json.dumps(fields).encode() + b"\n"


def _read(path: Path) -> tuple[bytes, dict[str, Any], bytes]:
    """Header line, header (salt and nonce as bytes) and ciphertext, once the digest says they are what was written."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise KeystoreError(f"{path} cannot be read: {error.strerror}", "check who owns the file") from None
    content, digest = raw[:-DIGEST_BYTES], raw[-DIGEST_BYTES:]
    line, newline, body = content.partition(b"\n")
    if not line.startswith(b'{"format": "%s"' % FORMAT.encode()):
        raise KeystoreError(f"{path} is not a Tessera keystore", "name another directory, or restore a backup")
    if hashlib.sha256(content).digest() != digest:
        raise KeystoreError(f"{path} is damaged: it is not what was written", "restore it from a backup")
    header = _parsed(line)
    if header is None:
        raise KeystoreError(f"{path} has a format this program does not know", "update tessera")
    return line + newline, header, body


def _parsed(line: bytes) -> dict[str, Any] | None:
    """None for a header that this version does not write. Anyone can make the digest of a planted file right."""
    try:
        header = dict(json.loads(line))
        header |= {name: bytes.fromhex(header[name]) for name in ("salt", "nonce")}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    lengths = len(header["salt"]), len(header["nonce"])
    expected = {"version": VERSION, **SCRYPT}
    known = lengths == (SALT_BYTES, NONCE_BYTES) and all(header.get(name) == expected[name] for name in expected)
    return header if known else None


def _check_kind(path: Path, header: dict[str, Any], kind: str) -> None:
    if header.get("kind") != kind:
        raise KeystoreError(
            f"{path} is a keystore of kind '{header.get('kind')}', but '{kind}' is needed here",
            "name another directory",
        )


def _decrypt(path: Path, key: bytes, header: dict[str, Any], line: bytes, body: bytes) -> dict[str, Any]:
    try:
        plaintext = AESGCM(key).decrypt(header["nonce"], body, line)
    except InvalidTag:
        raise WrongPassphrase(f"wrong passphrase for {path}", "try again; the file itself is undamaged") from None
    data: dict[str, Any] = cbor2.loads(plaintext)
    return data


def make_directory(path: Path) -> None:
    """Make a keystore's directory, mode 0700, if it is not there. Raises KeystoreError."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise KeystoreError(f"the directory {path} cannot be made: {error.strerror}", "name another one") from None


def _replace(path: Path, content: bytes) -> None:
    """Write beside, sync, rename, sync the directory. The lock makes the temporary name ours."""
    temporary = path.with_name(path.name + ".new")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | files.BINARY, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    files.put_in_place(temporary, path)
