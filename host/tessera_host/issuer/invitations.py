"""The issuer's list of invitations: which are open, which were used by whom, which were revoked or have expired.

Owns that list. Leaves to others: what an invitation is (invitation.py), the roster (roster.py), the keystore that holds
all (store.py).

What inviting or joining reads does not grow with the office: a hundred thousand people are invited in one week.

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
LATELY = 100  # invitations that are looked at for where people are invited to
FORGOTTEN_AT_ONCE = 4  # entries whose time is over that one invitation deletes: more than it adds

Admit = Callable[[str, bytes], None]


class Invitations:
    """A view of two of the issuer keystore's tables, to be changed within a transaction: `invitations` has, by id,
    `{"name", "id", "secret", "home", "made", "until", "key"}`; `invited` the id by the name, as long as nobody used it,
    in the part that is the second in which it ends.

    `key` is the member's (32 bytes) once the invitation was used, until then None; then `secret` is None. Only what
    lists them or voids them all reads all of them.
    """

    TABLES = ("invitations", "invited")

    def __init__(self, table: Callable[[str], Table], federation_id: bytes) -> None:
        self._table, self._invited = map(table, self.TABLES)
        self._federation_id = federation_id

    @property
    def _entries(self) -> list[dict[str, Any]]:
        """Oldest first; of those of one second, in the order of names."""
        return sorted(self._table.values(), key=lambda entry: (entry["made"], entry["name"], entry["id"]))

    def _put(self, entry: dict[str, Any]) -> None:
        self._table.put(entry["id"], entry, _kept_until(entry["until"]))

    def _delete(self, entry: dict[str, Any]) -> None:
        self._table.delete(entry["id"])
        self._invited.delete(entry["name"].encode())

    def open(self, now: int) -> int:
        """The number of invitations that somebody can still join with. now: unix seconds."""
        return self._invited.count_from(now)

    def homes(self) -> list[str]:
        """The home relays named in the newest invitations (100 at most), the newest first."""
        return [str(entry["home"]) for entry in self._table.latest(LATELY)]

    def listed(self, now: int) -> list[dict[str, Any]]:
        """`{name, home, until, state}` of each, the oldest first: home is a relay's name, until unix seconds, state
        `open`, `used` or `expired`."""
        return [
            {name: entry[name] for name in ("name", "home", "until")} | {"state": _state(entry, now)}
            for entry in self._entries
        ]

    def add(self, name: str, home: str, days: int, now: int) -> tuple[bytes, int]:
        """Make an invitation for `days` days: (its secret, the unix second in which it ends). Raises UsageError."""
        if not 1 <= days <= DAYS_MAX:
            raise UsageError(f"an invitation is valid for 1 to {DAYS_MAX} days, not {days}", "for example: --days 7")
        before = self._unused(name)
        if before is not None and before["until"] >= now:
            raise UsageError(
                f"there is an open invitation for '{name}' already",
                f"if it was lost: tessera issuer revoke DIR '{name}', then invite again",
            )
        if before is not None:
            self._delete(before)
        for table in (self._table, self._invited):
            table.forget(now, FORGOTTEN_AT_ONCE)
        secret, until = secrets.token_bytes(SECRET_BYTES), now + days * DAY_SECONDS
        fresh = {"name": name, "id": id_of(secret), "secret": secret, "home": home, "made": now, "until": until}
        self._put(fresh | {"key": None})
        self._invited.put(name.encode(), fresh["id"], _kept_until(until), until)
        return secret, until

    def _unused(self, name: str) -> dict[str, Any] | None:
        """The entry that nobody of this name has used, be its time over; None if there is none."""
        id_: bytes | None = self._invited.get(name.encode())
        found: dict[str, Any] | None = None if id_ is None else self._table.get(id_)
        return found

    def revoke(self, name: str) -> None:
        """Delete the invitation, so nobody can join with it. Raises NotPermitted if no open one has this name."""
        gone = self._unused(name)
        if gone is None:
            raise NotPermitted(
                f"there is no open invitation for '{name}'",
                "tessera issuer invitations lists them; to remove somebody who has joined: tessera issuer remove",
            )
        self._delete(gone)

    def revoke_all(self, now: int) -> list[str]:
        """Delete every open invitation; the names in them."""
        gone = [entry for entry in self._entries if entry["key"] is None and entry["until"] >= now]
        for entry in gone:
            self._delete(entry)
        return [str(entry["name"]) for entry in gone]

    def take(self, fields: dict[str, Any], admitted: Callable[[bytes], bool], admit: Admit, now: int) -> bool:
        """Admit the member of a join card; False if this invitation admitted it before.

        Raises NotPermitted, InvalidInput; a refused card uses nothing up.
        """
        entry = self._entry(fields["invitation"])
        key, name = fields["key"], entry["name"]
        if entry["key"] is not None:
            if entry["key"] == key and admitted(key):
                return False
            raise NotPermitted(
                "this invitation was already used, and each works only once",
                "if you did not use it, tell IT at once; otherwise ask IT for a new invitation",
            )
        expected = proof(entry["secret"], self._federation_id, key, name)
        if not hmac.compare_digest(fields["proof"], expected) or fields["name"] != name:
            raise InvalidInput("this join card does not belong to its invitation", "run tessera join again")
        if entry["until"] < now:
            raise NotPermitted("this invitation has expired", "ask IT for a new one")
        admit(name, key)
        self._put(entry | {"key": key, "secret": None})
        self._invited.delete(name.encode())
        return True

    def _entry(self, id_: bytes) -> dict[str, Any]:
        entry: dict[str, Any] | None = self._table.get(id_)
        if entry is None:
            raise NotPermitted(
                "the issuer does not know this invitation: it was revoked, or expired long ago", "ask IT for a new one"
            )
        return entry


def _kept_until(until: int) -> int:
    """The second from which on nobody needs an invitation that ends with `until`."""
    return until + KEPT_SECONDS + 1


def _state(entry: dict[str, Any], now: int) -> str:
    if entry["key"] is not None:
        return "used"
    return "open" if entry["until"] >= now else "expired"
