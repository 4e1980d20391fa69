"""Files that go as they are: read before they are sent, written to where the receiver says.

Owns how much of a file fits into a message, and what a sender's name for a file may do here.
"""

from pathlib import Path

from .. import files
from ..errors import InvalidInput, UsageError
from ..member.inbox import Message
from ..protocol.records import MAX_PARTS, MESSAGE_BYTES
from ..text import count, printable

_NAME_CHARACTERS = 100


def read(path: Path) -> tuple[str, bytes]:
    """Name and content of a file that fits into one message. Raises InvalidInput."""
    most = MESSAGE_BYTES - 1 - len(path.name.encode())
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", "check the file's name") from None
    if len(content) > most:
        raise InvalidInput(
            f"{path} is too long: a message carries {most} bytes beside this name, {MAX_PARTS} records in all",
            "send a text with --file, which may take several messages, or hand the file over in another way",
        )
    return path.name, content


def save(folder: Path, message: Message) -> str:
    """Write the file of a message; its path. The sender's name for it is only a part of its name here."""
    assert message.file is not None
    path = folder / f"{message.contact}-{message.message}-{_harmless(message.file)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            files.write(path, message.content)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror}", "name another directory") from None
    return str(path)


def _harmless(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_. " else "_" for c in name)[-_NAME_CHARACTERS:].strip(". ") or "file"


def described(name: str, size: int) -> str:
    """For people: file 'plan.pdf', 1 byte."""
    return f"file '{printable(name)}', {count(size, 'byte')}"
