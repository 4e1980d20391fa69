"""The issuer's list of relays: their numbers, names, keys and addresses.

Owns that list, and that a number is never another relay's: who is replaced leaves its number to its successor, who is
removed to nobody. Leaves to others: the parameter set that lists them too (signer.py), what a relay itself has.
"""

from typing import Any

from tessera import curve
from tessera.wire import PORT

from ..errors import InvalidInput, UsageError
from ..protocol import addresses
from ..protocol.limits import check_name
from .signer import ListedRelay


class RelayList:
    """A view of the issuer keystore's map `{"listed", "vacant", "next_id"}`; saves nothing.

    `listed` has `{"id", "name", "key", "ledger", "host", "port"}` (keys of 33 and 32 bytes); `vacant` the numbers by
    the names of relays that were taken out and will be replaced.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state

    @staticmethod
    def empty() -> dict[str, Any]:
        return {"listed": [], "vacant": {}, "next_id": 1}

    @property
    def _entries(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._state["listed"]
        return entries

    def listed(self) -> list[dict[str, Any]]:
        return [dict(entry) for entry in self._entries]

    def vacant(self) -> list[str]:
        """The names of relays that were taken out and will be replaced."""
        return list(self._state["vacant"])

    @property
    def places(self) -> int:
        """The number of relays, including those that will be replaced."""
        return len(self._entries) + len(self._state["vacant"])

    def keys(self) -> list[ListedRelay]:
        """The relays as a parameter set lists them."""
        return [ListedRelay(relay["id"], relay["key"], relay["ledger"]) for relay in self._entries]

    def addresses(self) -> list[dict[str, Any]]:
        """The relays as a federation card lists them: `{id, name, host, port}`."""
        return [{name: relay[name] for name in ("id", "name", "host", "port")} for relay in self._entries]

    def named(self, name: str) -> dict[str, Any]:
        """The relay's entry. Raises UsageError if no relay has that name."""
        for relay in self._entries:
            if relay["name"] == name:
                return dict(relay)
        raise UsageError(f"there is no relay '{name}'", "tessera issuer show lists the office's relays")

    def check(self, name: str, host: str, port: int, time_server: str | None = None) -> None:
        """Raises UsageError unless a relay may be added under this name and address."""
        check_name("the relay's name", name)
        if any(relay["name"] == name for relay in self._entries):
            raise UsageError(
                f"there is already a relay '{name}'",
                f"choose another name; or, to put a new relay in its place: tessera relay replace '{name}'",
            )
        addresses.check(host, port, "--host", PORT)
        if time_server is not None:
            addresses.check_name(time_server, "--time-server pool.ntp.org")

    def add(self, name: str, host: str, port: int, static_key: bytes, ledger_key: bytes) -> bool:
        """List a relay with these keys (33 and 32 bytes). It takes the number of a relay that was vacated under this
        name, if one was. False if it is listed so already. Raises UsageError, InvalidInput for keys that are not
        valid."""
        entry = {"name": name, "key": static_key, "ledger": ledger_key, "host": host, "port": port}
        if any(relay | entry == relay for relay in self._entries):
            return False
        self.check(name, host, port)
        _check_keys(static_key, ledger_key)
        if any(relay["key"] == static_key for relay in self._entries):
            raise UsageError(
                "a relay with these keys is already listed under another name",
                "tessera issuer show lists the office's relays",
            )
        id_ = self._state["vacant"].pop(name, None) or self._fresh_id()
        self._entries.append({"id": id_} | entry)
        self._entries.sort(key=lambda relay: int(relay["id"]))
        return True

    def _fresh_id(self) -> int:
        id_ = int(self._state["next_id"])
        if id_ > 0xFFFF:
            raise UsageError("this federation has used all 65535 relay numbers", "make a new federation")
        self._state["next_id"] = id_ + 1
        return id_

    def remove(self, name: str) -> None:
        """Take a relay out for good: a later relay of this name gets a new number. Raises UsageError if no relay has
        that name."""
        if self._state["vacant"].pop(name, None) is None:
            gone = self.named(name)
            self._entries.remove(gone)

    def vacate(self, name: str) -> dict[str, Any]:
        """Take a relay out and keep its number for the next relay of this name; the entry that was listed. Raises
        UsageError if no relay has that name."""
        gone = self.named(name)
        self._entries.remove(gone)
        self._state["vacant"][name] = gone["id"]
        return gone

    def home(self, name: str | None) -> str:
        """The name of the relay for a new member's mailbox; `name` may be None if there is one relay. Raises
        UsageError."""
        names = [str(relay["name"]) for relay in self._entries]
        if not names:
            raise UsageError("the office has no relay yet", "make one first: tessera relay new, or tessera flash")
        if name is None and len(names) > 1:
            raise UsageError("the office has several relays", f"choose the home relay with --relay: {', '.join(names)}")
        if name is not None and name not in names:
            raise UsageError(f"there is no relay '{name}'", f"choose one of: {', '.join(names)}")
        return name or names[0]


def _check_keys(static_key: bytes, ledger_key: bytes) -> None:
    try:
        for point in (static_key, b"\2" + ledger_key):
            curve.dh(b"\1".rjust(32, b"\0"), point)  # refuses what is no point
    except ValueError:
        raise InvalidInput("the relay's keys are not valid", "flash the board anew, or use another one") from None
