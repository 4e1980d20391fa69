"""The organisation's inventory: every relay that was put into service, and on which board.

Owns inventory.json in the issuer's directory. Public facts only: whoever reads it learns what a notice board could say.
"""

import json
from pathlib import Path
from typing import Any

from .. import files
from ..errors import InvalidInput
from ..issuer.store import INVENTORY

VERSION = 1
FIELDS = (
    *("name", "board", "chip_id", "host", "port", "key", "ledger_key", "words", "firmware_version", "firmware_digest"),
    *("release_version", "parameters_serial", "repl", "commissioned", "in_service_since", "verified"),
)


class Inventory:
    """A view of the file."""

    def __init__(self, directory: Path) -> None:
        """Read inventory.json of the issuer's directory, if there is one. Raises InvalidInput."""
        self.path = directory / INVENTORY
        self._relays: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            self._relays = _relays(self.path)

    def get(self, name: str) -> dict[str, Any] | None:
        """What is recorded of a relay, by FIELDS; None if nothing is."""
        found = self._relays.get(name)
        return dict(found) if found else None

    def record(self, name: str, **facts: Any) -> dict[str, Any]:
        """Add or change what is recorded of a relay; its whole entry. Raises ValueError for an unknown field."""
        entry = {**self._relays.get(name, {"name": name}), **facts}
        unknown = [field for field in entry if field not in FIELDS]
        if unknown:
            raise ValueError(f"the inventory has no fields {unknown}")
        self._relays[name] = {field: entry[field] for field in FIELDS if field in entry}
        self._save()
        return dict(self._relays[name])

    def remove(self, name: str) -> None:
        """Remove a relay that was taken out of service; nothing if it is not recorded."""
        if self._relays.pop(name, None) is not None:
            self._save()

    def _save(self) -> None:
        content = {"version": VERSION, "relays": [self._relays[name] for name in sorted(self._relays)]}
        files.write(self.path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")


def _relays(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(files.read_text(path))
        if content["version"] == VERSION:
            return {relay["name"]: relay for relay in content["relays"]}
    except (ValueError, KeyError, TypeError):
        pass
    raise InvalidInput(
        f"{path} is not an inventory of this version of tessera",
        "move it away; `tessera flash verify` makes a new one",
    )
