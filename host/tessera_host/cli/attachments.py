"""Files that go as they are: read before they are sent, written to where the receiver says.

Owns how much of a file fits into a message, and what a sender's name for a file may do here.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .. import files
from ..errors import InvalidInput, UsageError
from ..member.inbox import Message
from ..protocol.records import MAX_PARTS, MESSAGE_BYTES
from ..text import count, one_line

# Of the 255 that a file system lets a name have: two names, a number, and what tells several apart.
_CONTACT_BYTES = 80
_NAME_BYTES = 100
_MOST_OF_A_NAME = 1000


def read(path: Path) -> tuple[str, bytes]:
    """Name and content of a file that fits into one message. Raises InvalidInput."""
    name = os.fsencode(path.name).decode(errors="replace")
    most = MESSAGE_BYTES - 1 - len(name.encode())
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidInput(f"{path} is not an ordinary file", "name a file; send a text with --file")
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", "check the file's name") from None
    if len(content) > most:
        raise InvalidInput(
            f"{path} is too long: beside a name of this length a message carries at most {most} bytes "
            f"({MAX_PARTS} records)",
            "send a text with --file, which may take several messages, or hand the file over in another way",
        )
    return name, content


def save(folder: Path, message: Message) -> str:
    """Write the file of a message; its path. Names that other people chose are only parts of its name here, and what is
    there already stays. Raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = next(path for path in _places(folder, message) if not _is_taken(path, message.content))
        if not path.exists():
            files.write(path, message.content)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror}", "name another directory") from None
    except StopIteration:
        raise UsageError(f"{folder} has too many files of this name", "name another directory") from None
    return str(path)


def _places(folder: Path, message: Message) -> Iterator[Path]:
    """Where the file may lie: directly in the folder, whatever the names are."""
    contact = _harmless(message.contact, _CONTACT_BYTES)
    name = Path(_harmless(message.file or "", _NAME_BYTES))
    for number in range(1, _MOST_OF_A_NAME):
        again = f" ({number})" if number > 1 else ""
        path = folder / f"{contact}-{message.message}-{name.stem}{again}{name.suffix}"
        if path.parent == folder and path.name not in ("", ".", ".."):
            yield path


def _is_taken(path: Path, content: bytes) -> bool:
    """Whether something else is there."""
    if not os.path.lexists(path):
        return False
    if path.is_symlink() or not path.is_file():
        return True
    with path.open("rb") as stream:
        return stream.read(len(content) + 1) != content


def _harmless(name: str, most_bytes: int) -> str:
    """A name without what leads elsewhere or acts on anything; of a long one its end, which says what kind it is."""
    plain = "".join(c if c.isalnum() or c in "-_. " else "_" for c in name)
    return plain.encode()[-most_bytes:].decode(errors="ignore").strip(". ") or "file"


def described(name: str, size: int) -> str:
    """For people: file 'plan.pdf', 1 byte."""
    return f"file '{one_line(name)}', {count(size, 'byte')}"
