"""The radio of an emulated Pico W and the Wi-Fi that is in its reach, from the host's side: what there is, what goes
wrong and when, and what became of it. The model is JavaScript: radio/ beside this file.

    radio = Radio(ssid="Office", password="a pass phrase").after(30, in_reach=False).after(60, in_reach=True)
    with Board(image, flash, guest_port=8100, radio=radio) as board:
        board.wait_for_link()
        board.wifi.change(dhcp_seconds=None)
        board.wifi.status().address

All times are the board's; nothing here depends on this computer's.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

# How the chip finds that the access point went away: it is told so, and says DISASSOC or DEAUTH_IND; it misses the
# beacons, and says LINK down and no more; or it says nothing, and frames are lost.
DISASSOCIATED, DEAUTHENTICATED, LINK_DOWN, SILENCE = "disassociated", "deauthenticated", "link-down", "silence"
PARTINGS = (DISASSOCIATED, DEAUTHENTICATED, LINK_DOWN, SILENCE)
SECURITIES = ("open", "wpa2", "wpa3", "wpa2-wpa3")


@dataclass(frozen=True)
class Radio:
    """A radio and its surroundings. Every field can be changed while the board is on: by after(), or Wifi.change()."""

    ssid: str = "Office"
    password: str = "correct horse battery"
    security: str = "wpa2"  # one of SECURITIES; an open network asks for no password
    rssi: int = -55  # dBm
    in_reach: bool = True  # whether there is an access point at all
    parting: str = DISASSOCIATED  # what the chip says when it goes out of reach
    join_seconds: float = 1.5  # from a request to join until the chip says how it ended
    leave_seconds: float = 0.005  # from a request to leave until it says that it has
    dhcp_seconds: float | None = 0.02  # until the DHCP server answers; None: there is none
    dead: bool = False  # the chip answers nothing on its bus, whatever is done to it
    hung: bool = False  # the firmware that runs on it does nothing any more; False again when the chip is switched on
    lose_each: int = 0  # each n-th frame is lost, of both directions together; 0: none is
    lose_share: float = 0.0  # this share of the frames is lost, by a generator that begins with the board's seed
    schedule: tuple[tuple[float, dict[str, Any]], ...] = ()  # see after()

    def __post_init__(self) -> None:
        for each in [dataclasses.asdict(self), *(changes for _, changes in self.schedule)]:
            _check(each)

    def after(self, seconds: float, **changes: Any) -> Self:
        """The same radio, of which these fields change so many seconds after the board is switched on."""
        return dataclasses.replace(self, schedule=(*self.schedule, (seconds, changes)))

    @classmethod
    def named(cls, wifi: dict[str, str]) -> Self:
        """What relay.json names as its network is in reach."""
        password = wifi.get("password", "")
        return cls(wifi["ssid"], password, wifi.get("security", "wpa2" if password else "open"))

    def name(self) -> dict[str, str]:
        """As relay.json names it."""
        found = {"ssid": self.ssid}
        if self.security != "open":
            found["password"] = self.password
        if self.security not in ("open", "wpa2"):
            found["security"] = self.security
        return found

    def options(self) -> list[str]:
        """Of emulator.mjs."""
        return ["--radio", json.dumps(dataclasses.asdict(self))]


@dataclass(frozen=True)
class Status:
    """How the radio does. Counts are since the board was switched on; a reset of the board goes on with them."""

    powered: bool  # whether the board has it on
    powered_on: int  # how often it was switched on
    firmware: str | None  # the version that the firmware which was loaded has in it, once it runs
    joined: bool
    ssid: str | None  # of the network that it is on
    security: str | None  # how it joined: open, wpa2 or wpa3
    mac: str
    address: str | None  # the IPv4 address that the board uses there
    hostname: str | None  # what the board told the DHCP server
    attempts: int  # requests to join
    joins: int  # of which so many succeeded,
    refused: int  # so many had the wrong password,
    unanswered: int  # and for so many there was no such network
    sent: int  # Ethernet frames of the board,
    received: int  # for the board,
    lost: int  # and lost on the way
    transfers: int  # on the chip's bus
    ioctls: int
    stalled: int  # frames that came without a credit: the driver is at fault


@dataclass(frozen=True)
class Happening:
    """powered on, powered off; attempted, joined, refused, none (no such network), left (ssid); asked for an address;
    has the address (address); changed (fields)."""

    seconds: float
    what: str
    details: tuple[Any, ...]


class Wifi:
    """The radio of a board that is on."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        """ask(what, **details): the board's control socket."""
        self._ask = ask

    def change(self, **changes: Any) -> None:
        """Changes fields of the Radio, now."""
        _check(changes)
        self._ask("radio", change=changes)

    def status(self) -> Status:
        return Status(**self._ask("radio"))

    def happenings(self) -> list[Happening]:
        """What happened since this was asked last, with the board's seconds since it was switched on."""
        return [Happening(seconds, what, tuple(details)) for seconds, what, *details in self._ask("happenings")]


def _check(fields: dict[str, Any]) -> None:
    """ValueError for what no Radio has."""
    known = {field.name for field in dataclasses.fields(Radio)}
    if unknown := sorted(fields.keys() - known):
        raise ValueError(f"a Radio has no {', '.join(unknown)}: {', '.join(sorted(known))}")
    if fields.get("security", SECURITIES[0]) not in SECURITIES:
        raise ValueError(f"security is one of {', '.join(SECURITIES)}")
    if fields.get("parting", SILENCE) not in PARTINGS:
        raise ValueError(f"parting is one of {', '.join(PARTINGS)}")
