"""Files that people keep: read with errors a user understands, written whole or not at all, readable by the owner only.

Owns how a file is replaced; what is in it belongs to the caller. Keystores have their own, locked, file format.
"""

import codecs
import os
import re
import secrets
import sys
import time
from pathlib import Path

from .errors import InvalidInput, UsageError

MAX_BYTES = 1 << 22
# What Windows' programs put before a text. Without one it is UTF-8.
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
BINARY: int = getattr(os, "O_BINARY", 0)  # Windows would make two bytes of every line feed
_REST = re.compile(r"\.[0-9a-f]{16}\.new")
# On Windows nobody can replace a file that somebody has open, as virus scanners do for a moment.
REPLACE_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8) if sys.platform == "win32" else ()


def decoded(data: bytes) -> str:
    """The text in these bytes: UTF-8, or UTF-16 if its mark says so; the mark is no part of it. Raises
    UnicodeDecodeError."""
    return data.decode(next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8"))


def read_text(path: Path) -> str:
    """The text of a file of at most 4 MiB, as `decoded` reads it. Raises InvalidInput."""
    try:
        return decoded(read(path))
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not a text file", "check the file's name") from None


def read(path: Path) -> bytes:
    """A file of at most 4 MiB. Raises InvalidInput."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # the second for a name with a zero byte in it
        reason = getattr(error, "strerror", "no file has such a name")
        raise InvalidInput(f"{path} cannot be read: {reason}", "check the file's name") from None
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{path} is longer than {MAX_BYTES} bytes", "check the file's name")
    return data


def write(path: Path, data: bytes) -> None:
    """Replace or make the file, mode 0600; durable when it returns. Raises UsageError."""
    # Not longer than the name, which may be as long as any; _REST knows it again.
    temporary = path.with_name(f".{secrets.token_hex(8)}.new")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o600), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        put_in_place(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {error.strerror}", "choose a directory you may write to") from None


def write_new(path: Path, data: bytes) -> None:
    """As `write`, but nothing is replaced: of several programs that write it at one moment one does, and the others get
    UsageError."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise UsageError(f"{path} exists already and is not overwritten", "choose another name") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", "choose a directory you may write to") from None
    try:
        write(path, data)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def is_rest(path: Path) -> bool:
    """Whether its name is that of what `write` leaves if it is cut short."""
    return _REST.fullmatch(path.name) is not None


def make_directory(path: Path) -> None:
    """Make a directory (mode 0700) that is there and empty afterwards. Raises UsageError if something is in it."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(path.iterdir()):
            raise UsageError(f"{path} is not empty", "name a new directory; nothing is ever overwritten")
        path.chmod(0o700)  # it may have been there
    except OSError as error:
        raise UsageError(f"the directory {path} cannot be made: {error.strerror}", "name another one") from None


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename over what is there, durably. Raises OSError."""
    _give_to_owner(temporary)
    for pause_seconds in REPLACE_PAUSES_SECONDS:
        try:
            os.replace(temporary, path)
            break
        except PermissionError:
            time.sleep(pause_seconds)
    else:
        os.replace(temporary, path)
    sync_directory(path.parent)


def _give_to_owner(temporary: Path) -> None:
    """What root writes into the directory of a service's user is that user's, as SQLite does it: the service goes on
    reading what IT's commands changed."""
    if sys.platform != "win32" and os.geteuid() == 0:
        owner = temporary.parent.stat()
        if owner.st_uid != 0:
            os.chown(temporary, owner.st_uid, owner.st_gid, follow_symlinks=False)


def sync_directory(path: Path) -> None:
    """Make a rename in it durable. Windows does this itself, and opens no directories."""
    if sys.platform == "win32":
        return
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
