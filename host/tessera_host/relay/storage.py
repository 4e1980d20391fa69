"""Where a relay on a server keeps everything: what `--storage` means.

Owns the two forms, DIR and sqlite:///DIR/NAME. What lies in the directory is relay_directory's and server_relay's,
what is in the database sqlite_device's.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError

DATABASE = "storage.sqlite"  # if none is named
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # of two letters or more: C: is a drive
_SQLITE = "sqlite:///"
_FORMS = "write --storage DIR, or --storage sqlite:///DIR/NAME.db with the whole path, like {}"


@dataclass(frozen=True)
class Storage:
    """A directory, and the database in it; None: the one that a relay's directory has by itself."""

    directory: Path
    named: Path | None = None

    def __str__(self) -> str:
        """As it is typed."""
        return f"{_SQLITE}{self.named.as_posix().removeprefix('/')}" if self.named else str(self.directory)

    def absolute(self) -> "Storage":
        return Storage(self.directory.absolute(), self.named)

    def database(self, relay: Path) -> Path:
        """That of the relay in this directory."""
        return self.named or relay / DATABASE


def read(text: str) -> Storage:
    """The storage that somebody typed. Raises UsageError."""
    found = _SCHEME.match(text)
    if found is None:
        return Storage(Path(text))
    scheme = found[1].lower()
    forms = _FORMS.format(f"{_SQLITE}var/lib/tessera/relay.db")
    if scheme != "sqlite":
        raise UsageError(
            f"tessera knows no storage of the kind '{scheme}:', only sqlite:",
            f"{forms}; for a folder of that name: ./{text}",
        )
    path = text[len(found[0]) :]
    if not path.startswith("///") or not path.strip("/") or path.endswith("/") or "?" in path or "#" in path:
        raise UsageError(f"'{text}' names no database", forms)
    named = _path(path[2:])
    if named.is_dir():
        raise UsageError(f"{named} is a directory, not a database", f"write --storage {named}, or name a file in it")
    return Storage(named.parent, named)


def _path(text: str) -> Path:
    """The path of a URL, on Windows with a drive behind its first slash."""
    whole = text.lstrip("/")
    return Path(whole if sys.platform == "win32" and re.match("[A-Za-z]:", whole) else f"/{whole}")
