"""How far each relay of a federation has come on its way into service: what a repeated command goes on from.

Owns flash-journal.json in the issuer's directory. A step is noted when it is done, durably. Nothing in it is secret.
What a board itself says counts more than the journal: it tells which board a name was begun on, and which steps are not
worth doing again.
"""

import json
from pathlib import Path
from typing import Any

from .. import files
from ..errors import InvalidInput

NAME = "flash-journal.json"
VERSION = 1

# In this order. "listed": in the signed parameters; "configured": it is a relay now; "recorded": in the inventory.
STEPS = ("flashed", "keys", "listed", "configured", "serving", "commissioned", "recorded")


class Journal:
    """A view of the file; it is made with the first note."""

    def __init__(self, directory: Path) -> None:
        """Raises InvalidInput for a file that is no journal."""
        self._path = directory / NAME
        self._relays: dict[str, dict[str, Any]] = {}
        if self._path.exists():
            self._relays = _relays(self._path)

    def step(self, relay: str) -> str | None:
        """The last step done, None before the first."""
        step: str | None = self._relays.get(relay, {}).get("step")
        return step

    def did(self, relay: str, step: str) -> bool:
        """Whether a relay has come as far as this step."""
        done = self.step(relay)
        return done is not None and STEPS.index(done) >= STEPS.index(step)

    def fact(self, relay: str, name: str) -> Any:
        """What was noted of a relay: chip_id, key, cells; None if nothing was."""
        return self._relays.get(relay, {}).get(name)

    def note(self, relay: str, step: str, **facts: Any) -> None:
        """Note that a step is done, with facts (for JSON) of the relay. A relay that is past the step stays there."""
        entry = self._relays.setdefault(relay, {})
        if not self.did(relay, step):
            entry["step"] = step
        entry.update(facts)
        self._save()

    def forget(self, relay: str) -> None:
        """Forget a relay whose board was reset, so that it begins anew."""
        if self._relays.pop(relay, None) is not None:
            self._save()

    def _save(self) -> None:
        content = {"version": VERSION, "relays": self._relays}
        files.write(self._path, json.dumps(content, indent=2).encode() + b"\n")


def _relays(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(files.read_text(path))
        relays: dict[str, dict[str, Any]] = content["relays"]
        if content["version"] == VERSION and all(each.get("step") in (None, *STEPS) for each in relays.values()):
            return relays
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise InvalidInput(
        f"{path} is not a journal of this version of tessera", "move it away; boards that are relays stay relays"
    )
