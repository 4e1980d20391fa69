"""Where a server of this computer listens: at the address that members were told, or elsewhere if that is said.

Owns the options, what is to be done if that address is not this computer's, and the units that start such a server
with the computer. What the servers do is `serve`'s and `issuer`'s.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .. import systemd
from ..errors import Unreachable, UsageError
from ..protocol import addresses
from ..protocol.addresses import Address
from ..protocol.listening import CannotListen, Place, ServerCertificate
from ..systemd import Credential, Unit
from .output import say_wrong, show

CERTIFICATE_VARIABLE, CERTIFICATE_KEY_VARIABLE = "TESSERA_CERTIFICATE", "TESSERA_CERTIFICATE_KEY"

ListenHost = Annotated[
    str | None,
    typer.Option(
        "--host",
        help="Address to listen at, if it is not the one that members were told, for example behind a NAT. 0.0.0.0 and "
        ":: are all addresses.",
    ),
]
ListenPort = Annotated[
    int | None,
    typer.Option(
        "--port", min=1, max=65535, help="TCP port to listen at, if it is not the one that members were told."
    ),
]
ListenWebSocket = Annotated[
    str | None,
    typer.Option(
        "--websocket",
        metavar="[HOST:]PORT",
        help="Serve WebSockets there, for networks that let only HTTP pass. Without HOST and --certificate: at "
        "127.0.0.1, for a reverse proxy on this computer.",
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        envvar=CERTIFICATE_VARIABLE,
        help="For wss:// without a reverse proxy: file with the certificate and its chain, PEM.",
    ),
]
CertificateKey = Annotated[
    Path | None,
    typer.Option(
        envvar=CERTIFICATE_KEY_VARIABLE, help="The certificate's key, if it is in another file. PEM, no passphrase."
    ),
]
Install = Annotated[
    bool, typer.Option("--install", help="Have systemd start it with this computer, hardened, as a user of its own.")
]
PrintUnit = Annotated[bool, typer.Option("--print", help="Show the unit that --install would write.")]


@dataclass(frozen=True)
class Listening:
    """Where a server is to listen, by its options, if it is not where members were told that it is."""

    host: str | None = None
    port: int | None = None
    websocket: str | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None

    def places(self, told: Address, warn: Callable[[str, str], None] | None = None) -> list[Place]:
        """warn(message, hint): of a certificate that was renewed and is of no use. Raises UsageError."""
        tcp, websocket = self._tcp(told), self._websocket(told, warn or _warned)
        if not websocket and (self.certificate or self.certificate_key):
            raise UsageError(
                "--certificate is for WebSockets, and none are served", "give their port, for example: --websocket 443"
            )
        return [*tcp, *websocket]

    def _tcp(self, told: Address) -> list[Place]:
        if told.scheme and self.port is None:
            return []
        return [Place(self.host or told.name, self.port or told.port)]

    def _websocket(self, told: Address, warn: Callable[[str, str], None]) -> list[Place]:
        if self.websocket is None and not told.scheme:
            return []

        def not_renewed(error: UsageError) -> None:
            warn(
                f"{error.message}: the old certificate stays in use", "replace these files; a restart is not necessary"
            )

        tls = ServerCertificate(self.certificate, self.certificate_key, not_renewed) if self.certificate else None
        if self.websocket is not None:
            usual = self.host or (told.name if tls else "127.0.0.1")
            return [Place(*addresses.listening(self.websocket, usual), websocket=True, tls=tls)]
        if told.scheme == "wss" and tls is None:
            raise UsageError(
                f"members were told {told}, which needs TLS",
                "with a reverse proxy on this computer: --websocket 8180; without one: --certificate FILE",
            )
        return [Place(self.host or told.name, told.port, websocket=True, tls=tls)]

    def words(self) -> list[str]:
        """The options again, as they were given, but for files: a unit has those handed over."""
        given = (("--host", self.host), ("--port", self.port), ("--websocket", self.websocket))
        return [str(word) for option, value in given if value is not None for word in (option, value)]

    def credentials(self) -> list[Credential]:
        """The files that a unit's service is handed."""
        files = (
            ("certificate", self.certificate, CERTIFICATE_VARIABLE),
            ("certificate-key", self.certificate_key, CERTIFICATE_KEY_VARIABLE),
        )
        return [Credential(name, file, variable) for name, file, variable in files if file is not None]


def _warned(message: str, hint: str) -> None:
    say_wrong(message, hint, "warning")


def cannot_listen(error: CannotListen, told: Address) -> Unreachable:
    """`told`: what members were told."""
    place = error.place
    hint = (
        "if another program uses the port, stop it or choose another with --port or --websocket; if the address is not "
        "this computer's, choose another with --host"
    )
    if (place.host, place.port) == (told.name, told.port):
        hint = (
            "if another program uses the port, stop it; if this is the address of a NAT or proxy, say with --host "
            "where to listen (0.0.0.0 is all addresses)"
        )
    return Unreachable(f"cannot listen at {place}: {error.strerror}", hint)


def warn_if_nobody_else_comes(places: list[Place], told: Address) -> None:
    """Many computers know their own name as an address that only they can reach."""
    host = told.name
    if all(place.host != host for place in places) or addresses.is_loopback(host):
        return  # whoever said so meant it
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return  # listening will fail, too, and say so
    if found and all(map(addresses.is_loopback, found)):
        nobody = f"on this computer {host} is {min(found)}, which no other computer reaches"
        say_wrong(nobody, "correct /etc/hosts, or say with --host where to listen", "warning")


# -- with the computer


def check_choice(install: bool, print_unit: bool) -> bool:
    """Whether it is about a unit. Raises UsageError."""
    if install and print_unit:
        raise UsageError("--install and --print cannot be used together", "give one of them")
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
        return f"{found.text}\n# Save it as {found.path}. Start it with: {found.start}"
    if missing:
        return f"{found.path} written. The service does not run yet: {missing}. Start it with:\n  {found.start}"
    return f"{found.path} written. The service runs and starts with this computer: systemctl status {found.name}"
