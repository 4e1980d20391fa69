"""The issuer's list of invitations: which are open, which were used by whom, which were revoked or have expired.

Owns that list. Leaves to others: what an invitation is (invitation.py), the roster (roster.py), the keystore that holds
all (store.py).

Of a used invitation the key that used it is kept, its secret is not: the same member may show it again (an answer was
lost on its way), nobody else can. Entries go a month after they have expired.
"""

import hmac
import secrets
from collections.abc import Callable
from typing import Any

from ..duration import DAY_SECONDS
from ..errors import InvalidInput, NotPermitted, UsageError
from ..keys.sealed_tables import Table
from ..protocol.invitation import SECRET_BYTES, id_of, proof

KEPT_SECONDS = 30 * DAY_SECONDS
DAYS_MAX = 90

Admit = Callable[[str, bytes], None]


class Invitations:
    """A view of one of the issuer keystore's tables, to be changed within a transaction: by id,
    `{"name", "id", "secret", "home", "made", "until", "key"}`.

    `key` is the member's (32 bytes) once the invitation was used, until then None; then `secret` is None. Who joins is
    looked up; what IT asks reads all of them.
    """

    TABLES = ("invitations",)

    def __init__(self, table: Callable[[str], Table], federation_id: bytes) -> None:
        self._table = table(*self.TABLES)
        self._federation_id = federation_id

    @property
    def _entries(self) -> list[dict[str, Any]]:
        """Oldest first; of those of one second, in the order of names."""
        return sorted(self._table.values(), key=lambda entry: (entry["made"], entry["name"], entry["id"]))

    def _put(self, entry: dict[str, Any]) -> None:
        self._table.put(entry["id"], entry)

    def open(self, now: int) -> list[dict[str, Any]]:
        """Those that somebody can still join with."""
        return [entry for entry in self._entries if entry["key"] is None and entry["until"] >= now]

    def listed(self, now: int) -> list[dict[str, Any]]:
        """For people: name, home relay, the second it ends, and `open`, `used` or `expired`."""
        return [
            {name: entry[name] for name in ("name", "home", "until")} | {"state": _state(entry, now)}
            for entry in self._entries
        ]

    def add(self, name: str, home: str, days: int, now: int) -> tuple[bytes, int]:
        """A new invitation: (its secret, the second it ends). Raises UsageError."""
        if not 1 <= days <= DAYS_MAX:
            raise UsageError(f"{days} days are not in 1 to {DAYS_MAX}", "use --days 7 or the like")
        if any(entry["name"] == name for entry in self.open(now)):
            raise UsageError(
                f"there is an open invitation for '{name}' already",
                f"if it was lost: tessera issuer revoke DIR '{name}', then invite again",
            )
        self._forget(now)
        secret, until = secrets.token_bytes(SECRET_BYTES), now + days * DAY_SECONDS
        for entry in self._entries:
            if entry["name"] == name and not entry["key"]:
                self._table.delete(entry["id"])
        fresh = {"name": name, "id": id_of(secret), "secret": secret, "home": home, "made": now, "until": until}
        self._put(fresh | {"key": None})
        return secret, until

    def revoke(self, name: str) -> None:
        """Nobody joins with it any more. Raises NotPermitted if there is none that could be used."""
        gone = [entry for entry in self._entries if entry["name"] == name and entry["key"] is None]
        if not gone:
            raise NotPermitted(
                f"there is no open invitation for '{name}'",
                "tessera issuer invitations lists them; for who has joined: tessera issuer remove",
            )
        for entry in gone:
            self._table.delete(entry["id"])

    def revoke_all(self, now: int) -> list[str]:
        """Void every open one; whose they were."""
        gone = self.open(now)
        for entry in gone:
            self._table.delete(entry["id"])
        return [str(entry["name"]) for entry in gone]

    def take(self, fields: dict[str, Any], admitted: Callable[[bytes], bool], admit: Admit, now: int) -> bool:
        """Admit the member of a join card, once; False if it was admitted for this invitation before.

        Raises NotPermitted, InvalidInput; a refused card uses nothing up.
        """
        entry = self._entry(fields["invitation"])
        key, name = fields["key"], entry["name"]
        if entry["key"] is not None:
            if entry["key"] == key and admitted(key):
                return False
            raise NotPermitted(
                "this invitation was used already, and works once",
                "if that was not you, tell IT at once; else ask IT for a new invitation",
            )
        expected = proof(entry["secret"], self._federation_id, key, name)
        if not hmac.compare_digest(fields["proof"], expected) or fields["name"] != name:
            raise InvalidInput("this join card does not belong to its invitation", "run tessera join again")
        if entry["until"] < now:
            raise NotPermitted("this invitation has expired", "ask IT for a new one")
        admit(name, key)
        self._put(entry | {"key": key, "secret": None})
        return True

    def _entry(self, id_: bytes) -> dict[str, Any]:
        entry: dict[str, Any] | None = self._table.get(id_)
        if entry is None:
            raise NotPermitted(
                "the issuer does not know this invitation: it was revoked, or expired long ago", "ask IT for a new one"
            )
        return entry

    def _forget(self, now: int) -> None:
        for entry in self._entries:
            if entry["until"] + KEPT_SECONDS < now:
                self._table.delete(entry["id"])


def _state(entry: dict[str, Any], now: int) -> str:
    if entry["key"] is not None:
        return "used"
    return "open" if entry["until"] >= now else "expired"
