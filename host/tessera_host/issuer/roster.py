"""The issuer's roster: who is a member, under which name and key, and for how many more there is room.

Owns that list and what a member card has to prove. Leaves to others: invitations (invitations.py), tokens
(issuance.py), the keystore (store.py).
"""

from typing import Any

from tessera import curve, hashes
from tessera.params import Parameters

from ..errors import InvalidInput, NotPermitted
from ..protocol.limits import check_name


class Roster:
    """A view of the issuer keystore's list of `{"name", "key"}` (key of 32 bytes); saves nothing."""

    def __init__(self, entries: list[dict[str, Any]], parameters: Parameters) -> None:
        """parameters: the newest set."""
        self._entries = entries
        self._parameters = parameters

    def listed(self) -> list[dict[str, Any]]:
        return [dict(entry) for entry in self._entries]

    def is_member(self, key: bytes) -> bool:
        return any(member["key"] == key for member in self._entries)

    def check_card(self, fields: dict[str, Any]) -> None:
        """Raises InvalidInput unless the owner of the key signed its name for this federation."""
        key, name = fields["key"], fields["name"]
        message = hashes.tagged("member", self._parameters.federation_id + key + name.encode())
        if not curve.verify(fields["sig"], message, key):
            raise InvalidInput(
                "the member card's signature does not hold for this federation", "make it with this federation.card"
            )
        check_name("the member's name", name)

    def check_new(self, name: str, invited: int) -> None:
        """Raises NotPermitted unless a member of this name may be added beside those who were invited."""
        if any(member["name"] == name for member in self._entries):
            raise NotPermitted(f"there is another member '{name}'", "choose another name, or remove the old entry")
        most = self._parameters.members
        if len(self._entries) + invited >= most:
            waiting = f", {invited} of them for open invitations" if invited else ""
            raise NotPermitted(
                f"the roster is full: all {most} places of the parameters are taken{waiting}",
                "make room: tessera issuer renew DIR --members N; or remove someone, or revoke an invitation",
            )

    def add(self, name: str, key: bytes) -> None:
        """Raises NotPermitted."""
        for member in self._entries:
            if member["key"] == key:
                raise NotPermitted(f"this key is on the roster already, as '{member['name']}'", "nothing to do")
        self.check_new(name, 0)
        self._entries.append({"name": name, "key": key})

    def remove(self, name: str) -> bytes:
        """The key (32 bytes) of the member that was removed. Raises NotPermitted if there is none of that name."""
        for member in self._entries:
            if member["name"] == name:
                self._entries.remove(member)
                key: bytes = member["key"]
                return key
        raise NotPermitted(f"there is no member '{name}'", "tessera issuer show lists them")
