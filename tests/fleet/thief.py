"""A thief with every disk of a fleet: what of its log he can open, trying every 32 bytes that stand anywhere as a log
key. Whatever else may be a key in an epoch comes sealed by the log: so without a log key there is nothing.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tessera_host.fleet.entry import Clear, unseal
from tessera_host.fleet.frames import Malformed
from tessera_host.fleet.keys import KEY_BYTES
from tessera_host.fleet.log import Entry

_MOST_ZEROS = 8  # in what may be a key: none of a billion has so many


def disks(*folders: Path) -> list[bytes]:
    """Every file as it lies: databases with their free pages and journals, the engine's blocks."""
    return [path.read_bytes() for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


def candidates(contents: Iterable[bytes]) -> set[bytes]:
    found = set()
    for content in contents:
        for at in range(len(content) - KEY_BYTES + 1):
            window = content[at : at + KEY_BYTES]
            if window.count(0) <= _MOST_ZEROS:
                found.add(window)
    return found


def opened_epochs(entries: Sequence[Entry], keys: Iterable[bytes]) -> set[int]:
    """The epochs of which one of the keys opens an entry."""
    shortest: dict[int, bytes] = {}
    for entry in sorted(entries, key=lambda each: -len(each.entry)):
        shortest[Clear.of(entry.entry).epoch] = entry.entry
    return {epoch for epoch, entry in shortest.items() if any(_opens(key, entry) for key in keys)}


def _opens(key: bytes, entry: bytes) -> bool:
    try:
        unseal(key, entry)
    except Malformed:
        return False
    return True
