"""The issuer's list of relays: their names, keys and addresses, and what an address may look like.

Owns that list. Leaves to others: the parameter set that lists them too (signer.py), a relay's own directory
(relay_directory.py).
"""

import re
from typing import Any

from tessera import curve
from tessera.wire import PORT

from ..errors import InvalidInput, UsageError
from ..protocol.limits import check_name

_HOST = re.compile(r"[0-9A-Za-z][0-9A-Za-z.:_%-]{0,252}|:[0-9A-Fa-f:.]{1,44}")


class RelayList:
    """A view of the issuer keystore's list of `{"name", "key", "ledger", "host", "port"}` (keys of 33 and 32 bytes);
    saves nothing."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._entries = entries

    def listed(self) -> list[dict[str, Any]]:
        return [dict(entry) for entry in self._entries]

    def keys(self) -> list[tuple[bytes, bytes]]:
        """(static key, ledger key) of each: what a parameter set says."""
        return [(relay["key"], relay["ledger"]) for relay in self._entries]

    def addresses(self) -> list[dict[str, Any]]:
        """What a federation card says."""
        return [{name: relay[name] for name in ("name", "key", "host", "port")} for relay in self._entries]

    def check(self, name: str, host: str, port: int, time_server: str | None = None) -> None:
        """Raises UsageError unless a relay may be added under this name and address."""
        check_name("the relay's name", name)
        if any(relay["name"] == name for relay in self._entries):
            raise UsageError(f"there is a relay '{name}' already", "choose another name")
        check_host(host, "--host relay.example.org")
        check_port(port, f"a relay's usual port is {PORT}")
        if time_server is not None:
            check_host(time_server, "--time-server pool.ntp.org")

    def add(self, entry: dict[str, Any]) -> bool:
        """False if it is listed so already. Raises UsageError, InvalidInput for what are no keys."""
        if entry in self._entries:
            return False
        self.check(entry["name"], entry["host"], entry["port"])
        _check_keys(entry["key"], entry["ledger"])
        if any(relay["key"] == entry["key"] for relay in self._entries):
            raise UsageError("this board's relay is listed under another name", "tessera issuer show lists them")
        self._entries.append(entry)
        return True

    def remove(self, name: str) -> None:
        """Raises UsageError if there is none of that name."""
        gone = [relay for relay in self._entries if relay["name"] == name]
        if not gone:
            raise UsageError(f"there is no relay '{name}'", "tessera issuer show lists them")
        self._entries.remove(gone[0])

    def home(self, name: str | None) -> str:
        """The relay on which a new member's mailbox is; `name` may be None if there is only one. Raises UsageError."""
        names = [str(relay["name"]) for relay in self._entries]
        if not names:
            raise UsageError("the office has no relay yet", "make one first: tessera relay new, or tessera flash")
        if name is None and len(names) > 1:
            raise UsageError("the office has several relays", f"say whose with --relay: {', '.join(names)}")
        if name is not None and name not in names:
            raise UsageError(f"there is no relay '{name}'", f"known: {', '.join(names)}")
        return name or names[0]


def check_host(host: str, example: str) -> None:
    """Raises UsageError."""
    if not _HOST.fullmatch(host):
        raise UsageError(f"'{host[:40]}' is not a host name or address", f"use {example} or the like")


def check_port(port: int, hint: str) -> None:
    """Raises UsageError."""
    if not 1 <= port <= 65535:
        raise UsageError(f"port {port} is not in 1 to 65535", hint)


def _check_keys(static_key: bytes, ledger_key: bytes) -> None:
    try:
        for point in (static_key, b"\2" + ledger_key):
            curve.dh(b"\1".rjust(32, b"\0"), point)  # refuses what is no point
    except ValueError:
        raise InvalidInput("the board named keys that are none", "flash it anew, or take another board") from None
