"""Where a relay or the issuer's service is: as people type it, as cards say it, as it is shown (PROTOCOL §4, §12).

Owns that form. A place is a host and a port. The host is a name, an address (IPv6 without brackets), or the URL of a
WebSocket without its port, like wss://relay.example.org/berlin. `dialling` makes a connection.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Self

from tessera import announcement

from ..errors import UsageError

_NAME = re.compile(r"[0-9A-Za-z]([0-9A-Za-z._-]{0,251}[0-9A-Za-z.])?")
_PATH = re.compile(r"(/[0-9A-Za-z._~!$&'()*+,;=:@%-]*)*")
_TYPED = re.compile(
    r"(wss?://)?(\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[0-9A-Za-z._-]+)?\]|[^/\[\]:]+)(?::([0-9]{1,5}))?(/.*)?"
)
_URL_PORTS = {"ws": 80, "wss": 443}
HOST_CHARACTERS = 255  # what a card has room for


@dataclass(frozen=True)
class Address:
    """What an address means to the network. `scheme` is ws or wss for a WebSocket, and "" for TCP; `path` is the URL's,
    "" or with a slash first."""

    name: str
    port: int
    scheme: str = ""
    path: str = ""

    @classmethod
    def of(cls, host: str, port: int) -> Self:
        """Read a card's two fields. Raises ValueError for a host that no card has."""
        scheme, name, path = _split(host)
        if not _is_name(name) or len(host) > HOST_CHARACTERS:
            raise ValueError
        return cls(name, port, scheme, path)

    def __str__(self) -> str:
        """Like relay.example.org:8100, [::1]:8100, wss://relay.example.org/berlin."""
        if not self.scheme:
            return str(announcement.address(self.name, self.port))
        place = f"[{self.name}]" if ":" in self.name else self.name
        port = "" if self.port == _URL_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{place}{port}{self.path}"


def shown(host: str, port: int) -> str:
    """Write a card's two fields as one text, for people, who may type it."""
    try:
        return str(Address.of(host, port))
    except ValueError:  # a later program's
        return f"{host} port {port}"


def is_host(host: str) -> bool:
    """Tell whether a card may name this host."""
    try:
        Address.of(host, 1)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Tell whether the host is this computer itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def is_websocket(host: str) -> bool:
    """Tell whether the host of a card is the URL of a WebSocket."""
    return "://" in host


def typed(text: str, port: int | None, usual_port: int, option: str = "--host") -> tuple[str, int]:
    """Read the host and port for a card from what somebody typed, as one text and perhaps a port besides: a name, an
    address, either with :PORT (IPv6 in brackets then), ws://NAME[:PORT][/PATH] or wss://… . Raises UsageError."""
    host, said = _parted(text)
    if not is_host(host):
        raise _no_host(text, option)
    if said is not None and port is not None and said != port:
        raise UsageError(f"'{text[:40]}' names a port, and a different port is given as well", "give the port once")
    scheme = _split(host)[0]
    chosen = next(each for each in (said, port, _URL_PORTS.get(scheme, usual_port)) if each is not None)
    check_port(chosen, f"the usual port is {usual_port}")
    return host, chosen


def check(host: str, port: int, option: str, usual_port: int) -> None:
    """Check a host and port before a card names them. Raises UsageError."""
    if not is_host(host):
        raise _no_host(host, option)
    check_port(port, f"the usual port is {usual_port}")


def check_port(port: int, hint: str) -> None:
    """Check that a port is 1 to 65535. Raises UsageError with this hint."""
    if not 1 <= port <= 65535:
        raise UsageError(f"port {port} is out of range: ports are 1 to 65535", hint)


def check_name(name: str, option: str) -> None:
    """Check that this is a host name or an address. Raises UsageError."""
    if not _is_name(name):
        raise UsageError(f"'{name[:40]}' is not a host name or address", f"use {option} or the like")


def listening(text: str, usual_host: str) -> tuple[str, int]:
    """Read where to listen, from PORT or HOST:PORT. Raises UsageError."""
    host, port = (usual_host, int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else _parted(text)
    if not _is_name(host) or port is None or not 0 < port < 65536:
        raise UsageError(
            f"'{text[:40]}' is not a port to listen on", "write it like 8180, 127.0.0.1:8180 or [::1]:8180"
        )
    return host, port


def _no_host(text: str, option: str) -> UsageError:
    usable = f"{option} relay.example.org, 10.0.0.7:8100, [::1]:8100 or wss://relay.example.org/berlin"
    return UsageError(f"'{text[:40]}' is not a host name or address", f"write it like {usable}")


def _parted(text: str) -> tuple[str, int | None]:
    """What was typed without its port, and the port if there is one."""
    found = _TYPED.fullmatch(text)
    if not found:
        return text, None  # an IPv6 address without brackets, or nothing that there is
    scheme, place, digits, path = found.groups(default="")
    host = f"{scheme}{place}{'' if path == '/' else path}" if scheme else place.strip("[]") + path
    return host, int(digits) if digits else None


def _split(host: str) -> tuple[str, str, str]:
    """Scheme, name, path of what a card says. Raises ValueError for what it does not say."""
    scheme, mark, rest = host.partition("://")
    if not mark:
        return "", host, ""
    place, slash, path = rest.partition("/")
    if scheme not in _URL_PORTS or not _PATH.fullmatch(slash + path):
        raise ValueError
    if place.startswith("[") and place.endswith("]") and ":" in place:
        place = place[1:-1]
    elif ":" in place:
        raise ValueError
    return scheme, place, slash + path


def _is_name(name: str) -> bool:
    if ":" not in name:
        return bool(_NAME.fullmatch(name))
    try:
        ipaddress.IPv6Address(name)
    except ValueError:
        return False
    return True
