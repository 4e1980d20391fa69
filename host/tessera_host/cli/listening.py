"""Where a server of this computer listens: at the address that members were told, or elsewhere if that is said.

Owns the two options, what is to be done if that address is not this computer's, and the units that start such a server
with the computer. What the servers do is `serve`'s and `issuer`'s.
"""

import ipaddress
import socket
from collections.abc import Callable
from typing import Annotated

import typer

from .. import systemd
from ..errors import Unreachable, UsageError
from ..systemd import Unit
from .output import say_wrong, show

ListenHost = Annotated[
    str | None,
    typer.Option(
        "--host",
        help="The address to listen at, if it is not the one that members were told: behind a NAT, say; 0.0.0.0 and :: "
        "are all.",
    ),
]
ListenPort = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="The TCP port to listen at, if it is not the one members were told."),
]
Install = Annotated[
    bool, typer.Option("--install", help="Have systemd start it with this computer, as a user of its own, hardened.")
]
PrintUnit = Annotated[bool, typer.Option("--print", help="Show the unit that --install would write.")]


def cannot_listen(host: str, port: int, error: OSError, told: bool) -> Unreachable:
    """`told`: it is the address that members were told."""
    hint = "another program uses the port, or the address is not this computer's: use --port or --host"
    if told:
        hint = (
            "another program uses the port, or this is the address of a NAT or proxy that members come through: --host "
            "says where to listen then, 0.0.0.0 at all addresses"
        )
    return Unreachable(f"cannot listen at {host}, port {port}: {error.strerror}", hint)


def warn_if_nobody_else_comes(host: str) -> None:
    """Many computers know their own name as an address that only they can reach."""
    if host == "localhost" or _is_loopback(host):
        return  # whoever said so meant it
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return  # listening will fail, too, and say so
    if found and all(map(_is_loopback, found)):
        nobody = f"on this computer {host} is {min(found)}, which no other computer reaches"
        say_wrong(nobody, "see /etc/hosts, or use --host", "warning")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


# -- with the computer


def given(host: str | None, port: int | None) -> list[str]:
    """The options again, as they were given."""
    return [*(["--host", host] if host else []), *(["--port", str(port)] if port else [])]


def check_choice(install: bool, print_unit: bool) -> bool:
    """Whether it is about a unit. Raises UsageError."""
    if install and print_unit:
        raise UsageError("--install and --print do not go together", "give one of them")
    return install or print_unit


def unit(made: Callable[[], Unit], install: bool, as_json: bool) -> None:
    """Write it and put it into service, or show it."""
    if install:
        systemd.check_visible()
    found = made()
    missing = None
    if install:
        systemd.write(found)
        missing = systemd.enable(found)
    result = {"path": str(found.path), "text": found.text, "start": found.start, "written": install}
    show(result | {"running": install and missing is None}, _said(found, install, missing), as_json)


def _said(found: Unit, install: bool, missing: str | None) -> str:
    if not install:
        return f"{found.text}\n# Its place: {found.path}. Start it with: {found.start}"
    if missing:
        return f"{found.path} written. It does not run yet: {missing}. Start it with:\n  {found.start}"
    return f"{found.path} written. It runs, and starts with this computer: systemctl status {found.name}"
