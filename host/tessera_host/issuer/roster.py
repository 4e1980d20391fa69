"""The issuer's roster: who is a member, under which name and key, and for how many more there is room.

Owns that list and what a member card has to prove. Leaves to others: invitations (invitations.py), tokens
(issuance.py), the keystore (store.py).
"""

from collections.abc import Callable
from typing import Any

from tessera import curve, hashes
from tessera.params import Parameters

from ..errors import InvalidInput, NotOnRoster, NotPermitted
from ..keys.sealed_tables import Table
from ..protocol.limits import check_name


def not_on_roster() -> NotOnRoster:
    """The refusal of a key (or of a name) that is no member's."""
    return NotOnRoster("this member is not on the roster", "IT can add somebody: tessera issuer invite DIR NAME")


class Roster:
    """A view of two of the issuer keystore's tables, to be changed within a transaction: `roster` has, by key (32
    bytes), `{"name", "key", "number"}`, `roster_names` the key by the name. Members have numbers in the order in which
    they came. `counts` is `{"members", "ever"}`: how many there are, and were in all.
    """

    TABLES = ("roster", "roster_names")

    def __init__(self, counts: dict[str, int], table: Callable[[str], Table], parameters: Parameters) -> None:
        """parameters: the newest set."""
        self._counts = counts
        self._members, self._names = map(table, self.TABLES)
        self._parameters = parameters

    @staticmethod
    def empty() -> dict[str, int]:
        return {"members": 0, "ever": 0}

    def __len__(self) -> int:
        return self._counts["members"]

    def listed(self) -> list[dict[str, Any]]:
        """`{"name", "key"}` of all members, in the order in which they joined. It reads the whole table."""
        entries = sorted(self._members.values(), key=lambda member: int(member["number"]))
        return [{"name": member["name"], "key": member["key"]} for member in entries]

    def is_member(self, key: bytes) -> bool:
        return self._members.get(key) is not None

    def check_card(self, fields: dict[str, Any]) -> None:
        """Raises InvalidInput unless the owner of the card's key signed the card's name for this federation."""
        key, name = fields["key"], fields["name"]
        message = hashes.tagged("member", self._parameters.federation_id + key + name.encode())
        if not curve.verify(fields["sig"], message, key):
            raise InvalidInput(
                "this member card was not signed for this federation",
                "the member makes a new one, with this office's federation.card",
            )
        check_name("the member's name", name)

    def check_new(self, name: str, invited: int) -> None:
        """Raises NotPermitted unless a member of this name may be added. invited: the number of open invitations."""
        if self._names.get(name.encode()) is not None:
            raise NotPermitted(
                f"there is already a member '{name}'", "choose another name, or first: tessera issuer remove"
            )
        most = self._parameters.members
        if len(self) + invited >= most:
            waiting = f", {invited} of them by open invitations" if invited else ""
            raise NotPermitted(
                f"the roster is full: all {most} places are taken{waiting}",
                "make room: tessera issuer renew DIR --members N; or remove someone, or revoke an invitation",
            )

    def add(self, name: str, key: bytes) -> None:
        """Add a member with this key (32 bytes). Raises NotPermitted."""
        if (known := self._members.get(key)) is not None:
            raise NotPermitted(f"this key is on the roster already, as '{known['name']}'", "nothing to do")
        self.check_new(name, 0)
        self._counts["members"] += 1
        self._counts["ever"] += 1
        self._members.put(key, {"name": name, "key": key, "number": self._counts["ever"]})
        self._names.put(name.encode(), key)

    def remove(self, name: str) -> bytes:
        """Remove a member; its key (32 bytes). Raises NotPermitted if nobody has that name."""
        key: bytes | None = self._names.get(name.encode())
        if key is None:
            raise NotPermitted(f"there is no member '{name}'", "tessera issuer show lists them")
        self._counts["members"] -= 1
        self._names.delete(name.encode())
        self._members.delete(key)
        return key
