"""What a relay is to be: name, address, clock, network. From options or from a row of a CSV file; for the board as the
JSON that it keeps as relay.json.

Owns names and checks of these settings. Secrets come from files or prompts and are in nothing that is printed.
"""

import csv
import hashlib
import ipaddress
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tessera.wire import PORT

from .. import files
from ..errors import InvalidInput, UsageError
from ..keys import passphrase
from ..planning import boards
from ..protocol.addresses import is_websocket, typed

TIME_SERVER = "pool.ntp.org"
_SSID_BYTES = 32
_SECURITY = ("wpa3", "wpa2-wpa3")  # what the board names to its radio; without one, WPA2
_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
NETWORK_KEYS = ("wifi", "address", "hostname")  # of the configuration, that tell how it gets onto its network
COLUMNS = (
    *("relay", "host", "port", "board", "device", "time_server", "ssid", "wifi_password_file", "country"),
    *("security", "address", "gateway", "dns", "hostname", "repl", "mhz"),
)


@dataclass(frozen=True)
class Wifi:
    """A network to join. What a board cannot choose is None: an ESP32 goes by what the access point tells."""

    ssid: str
    country: str | None = None  # without one, the channels that are allowed everywhere
    security: str | None = None  # one of _SECURITY; without one, WPA2, or none if there is no password
    password_file: Path | None = None
    password: str | None = field(default=None, repr=False)

    def check(self, board: str) -> None:
        """Raise UsageError unless a board can join it."""
        if not 0 < len(self.ssid.encode()) <= _SSID_BYTES:
            raise UsageError("the name of a Wi-Fi network has 1 to 32 bytes", "check the name that --ssid gives")
        if boards.board(board).mcu.startswith("esp32"):
            if self.country:
                raise UsageError(f"an {board} takes the country from its access point", "leave out --country")
            if self.security:
                raise UsageError(
                    f"an {board} takes the security that its access point offers, WPA3 too", "leave out --security"
                )
        if self.country and not re.fullmatch(r"[A-Z]{2}", self.country):
            raise UsageError(f"'{self.country}' is not a country", "write two letters, like --country DE")
        if self.security and self.security not in _SECURITY:
            raise UsageError(
                f"'{self.security}' is not a security of Wi-Fi that tessera knows",
                f"choose {' or '.join(_SECURITY)}; leave --security out for WPA2",
            )

    def with_password(self) -> "Wifi":
        """Asks for it if no file has it. Raises UsageError."""
        if self.password is not None:
            return self
        password = passphrase.wifi_password(self.ssid, self.password_file)
        if password and not 8 <= len(password.encode()) <= 63:
            raise UsageError("a Wi-Fi password has 8 to 63 bytes", "for an open network leave it empty")
        if not password and self.security:
            raise UsageError("an open Wi-Fi network has no security", "leave out --security, or give its password")
        return replace(self, password=password)


@dataclass(frozen=True)
class Settings:
    """One relay. host and port are where members reach it; address a fixed one of its own (by default DHCP); mhz the
    clock of its processor, None for the board's."""

    name: str
    host: str
    port: int = PORT
    time_server: str | None = TIME_SERVER
    wifi: Wifi | None = None
    address: dict[str, str] | None = None
    hostname: str | None = None
    repl: str = "open"
    mhz: int | None = None

    def check(self, board: str) -> None:
        """Raise UsageError unless these settings fit the board."""
        network = boards.board(board).network
        if network == "wlan" and self.wifi is None:
            raise UsageError(f"a {board} needs a Wi-Fi network", "name it with --ssid")
        if network != "wlan" and self.wifi is not None:
            raise UsageError(f"a {board} has no Wi-Fi", "leave out --ssid, or choose another --board")
        if network == "ppp" and self.address is not None:
            raise UsageError(f"a {board} gets its address over its serial line", "leave out --address")
        if self.wifi:
            self.wifi.check(board)
        if is_websocket(self.host):
            raise UsageError(
                "a board serves TCP only, not WebSockets", "give a plain host name, like --host relay.example.org"
            )
        if self.hostname and not _HOSTNAME.fullmatch(self.hostname):
            raise UsageError(f"'{self.hostname}' is not a host name", "use letters a to z, digits and hyphens")
        if self.repl not in ("open", "closed"):
            raise UsageError(f"repl cannot be '{self.repl}'", "write open or closed")
        clocks = boards.board(board).mhz
        if self.mhz is not None and self.mhz not in clocks:
            offered = f"choose --mhz {' or '.join(map(str, clocks))}" if clocks else "leave out --mhz"
            raise UsageError(f"a {board} has no clock of {self.mhz} MHz", offered)

    def configuration(self) -> dict[str, Any]:
        """For the board; with the Wi-Fi password if there is one."""
        found: dict[str, Any] = {"name": self.name, "host": self.host, "port": self.port, "repl": self.repl}
        if self.time_server:
            found["sntp"] = self.time_server
        if self.mhz is not None:
            found["mhz"] = self.mhz
        return {**found, **self.network()}

    def network(self) -> dict[str, Any]:
        """What the configuration has of NETWORK_KEYS."""
        found: dict[str, Any] = {}
        if self.wifi:
            wifi = {name: getattr(self.wifi, name) for name in ("ssid", "password", "country", "security")}
            found["wifi"] = {name: value for name, value in wifi.items() if value}  # an open network has no password
        if self.address:
            found["address"] = dict(self.address)
        if self.hostname:
            found["hostname"] = self.hostname
        return found


def as_read_back(configuration: dict[str, Any], nonce: bytes) -> dict[str, Any]:
    """A configuration as the board tells it: instead of the Wi-Fi password SHA-256 of nonce and password."""
    wifi = dict(configuration.get("wifi", {}))
    if "password" not in wifi:
        return configuration
    wifi["password"] = hashlib.sha256(nonce + wifi["password"].encode()).hexdigest()
    return {**configuration, "wifi": wifi}


def fixed_address(address: str | None, gateway: str | None, dns: str | None) -> dict[str, str] | None:
    """{"ip", "netmask", "gateway", "dns"} of options like 10.0.0.7/24, None without any. Raises UsageError."""
    if address is None:
        if gateway or dns:
            raise UsageError("--gateway and --dns need an --address", "write --address 10.0.0.7/24 --gateway 10.0.0.1")
        return None
    try:
        interface = ipaddress.IPv4Interface(address)
        if "/" not in address or gateway is None:
            raise ValueError
        first = ipaddress.IPv4Address(gateway)
        name_server = ipaddress.IPv4Address(dns or gateway)
    except ValueError:
        raise UsageError(
            f"'{address}' is not an address with its network and gateway",
            "write --address 10.0.0.7/24 --gateway 10.0.0.1",
        ) from None
    if first not in interface.network:
        raise UsageError(f"the gateway {first} is not in the network of {interface}", "check --address and --gateway")
    return {"ip": str(interface.ip), "netmask": str(interface.netmask), "gateway": str(first), "dns": str(name_server)}


@dataclass(frozen=True)
class Row:
    """A line of a batch: the relay, the board, and where it is plugged in if that is fixed."""

    settings: Settings
    board: str | None = None
    device: str | None = None


def read_batch(path: Path) -> list[Row]:
    """The rows of a CSV file with a head line. Raises InvalidInput that names the line."""
    lines = files.read_text(path).splitlines()
    reader = csv.DictReader(lines, skipinitialspace=True)
    unknown = [name for name in reader.fieldnames or () if name not in COLUMNS]
    if unknown or "relay" not in (reader.fieldnames or ()) or "host" not in (reader.fieldnames or ()):
        wrong = f"has a column '{unknown[0]}'" if unknown else "lacks the column relay or host"
        raise InvalidInput(f"{path} {wrong}", f"columns are {', '.join(COLUMNS)}")
    rows = []
    for cells in reader:
        try:
            rows.append(_row(cells, path.parent))
        except (UsageError, ValueError) as error:
            text = error.message if isinstance(error, UsageError) else "a cell is missing or malformed"
            raise InvalidInput(f"{path}, line {reader.line_num}: {text}", "correct the line") from None
    names = [row.settings.name for row in rows]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise InvalidInput(f"{path} has two relays '{doubled}'", "give each relay its own name")
    if not rows:
        raise InvalidInput(f"{path} names no relay", "add a line for each relay")
    return rows


def _row(cells: dict[str, Any], folder: Path) -> Row:
    cell = {name: (value or "").strip() or None for name, value in cells.items() if name in COLUMNS}
    if None in cells or not cell["relay"] or not cell["host"]:
        raise ValueError
    wifi = None
    if ssid := cell.get("ssid"):
        file = cell.get("wifi_password_file")
        wifi = Wifi(ssid, cell.get("country"), cell.get("security"), folder / file if file else None)
    port = cell.get("port")
    host, at = typed(cell["host"], int(port) if port else None, PORT)
    settings = Settings(
        name=cell["relay"],
        host=host,
        port=at,
        time_server=time_server(cell.get("time_server")),
        wifi=wifi,
        address=fixed_address(cell.get("address"), cell.get("gateway"), cell.get("dns")),
        hostname=cell.get("hostname"),
        repl=cell.get("repl") or "open",
        mhz=int(mhz) if (mhz := cell.get("mhz")) else None,
    )
    return Row(settings, cell.get("board"), cell.get("device"))


def time_server(text: str | None) -> str | None:
    """A batch or an option says `none` for a board that gets its time over the cable."""
    return TIME_SERVER if text is None else None if text == "none" else text
