"""What is at a port: a relay in service, MicroPython at its prompt (with the relay's firmware or without), an ESP32's
ROM loader, a Pico in BOOTSEL, or something that does not answer.

Owns the questions that tell these apart, from the gentlest on: a relay in service is not interrupted.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import BoardNotFound, BoardSilent, RelayRefused, SeveralBoards, TesseraError, WrongBoard
from ..planning import boards
from . import rp2
from .console import AtPrompt, Console
from .finder import Finder, Port, Volume, read_volume
from .prompt import NotOurs, Prompt
from .serial_line import BoardGone

PLUG_IN = "plug it in over USB; hold the BOOTSEL button of a Pico while you plug it in"
STATUS_SECONDS = 1.5
PATIENCE_SECONDS = 4.5
GONE_SECONDS = 30.0  # in which a board that was flashed has a port
BOOT_PATIENCE_SECONDS = 30.0  # a first start makes the file system


@dataclass(frozen=True)
class Found:
    """A board. Exactly one of: volume (BOOTSEL), relay (its status), identity (its prompt), machine (a MicroPython of
    another kind, in its words), chip alone (ESP32 ROM loader)."""

    place: str
    port: Port | None = None
    volume: Volume | None = None
    relay: dict[str, Any] | None = None
    identity: dict[str, Any] | None = None
    machine: str | None = None
    chip: str | None = None

    @property
    def board(self) -> str | None:
        """The board's name if it is certain: its own firmware says so."""
        told = self.relay or self.identity
        return str(told["board"]) if told else None

    def __str__(self) -> str:
        if self.volume:
            return f"a Pico in BOOTSEL ({self.chip}) at {self.place}"
        if self.relay:
            return f"the relay '{self.relay.get('name')}' ({self.board}), in service, at {self.place}"
        if self.identity:
            name = self.identity["provisioned"]
            what = f"the relay '{name}'" if name else "a board with the relay's firmware, not provisioned"
            return f"{what} ({self.board}) at {self.place}"
        if self.machine:
            return f"MicroPython on a {self.machine} at {self.place}"
        return f"an {self.chip} in its boot loader at {self.place}"


def candidates(finder: Finder) -> list[Port | Volume]:
    """All ports and volumes of this computer that may be boards."""
    return [*finder.volumes(), *finder.ports()]


def choose(finder: Finder, place: str | None, ignored: frozenset[str] = frozenset()) -> Port | Volume:
    """The port or volume at `place` (a device or a volume's path), or the only one that is plugged in.

    ignored: places of boards that this command has finished. Raises BoardNotFound, SeveralBoards.
    """
    there = candidates(finder)
    if place is not None:
        named = [each for each in there if place in (place_of(each), str(each))]
        if named:
            return named[0]
        if volume := read_volume(Path(place)):
            return volume
        return Port(place, "named with --port", may_be_esp32=True)
    there = [each for each in there if place_of(each) not in ignored]
    if len(there) > 1:
        listed = ", ".join(map(str, there))
        raise SeveralBoards(f"{len(there)} boards are plugged in: {listed}", "choose one with --port, or unplug others")
    if there:
        return there[0]
    if disks := finder.unmounted():
        raise BoardNotFound(
            f"a Pico in BOOTSEL is plugged in, but its volume {disks[0]} is not mounted",
            f"mount it: udisksctl mount -b {disks[0]}",
        )
    raise BoardNotFound("no board is plugged in", PLUG_IN)


def place_of(each: Port | Volume) -> str:
    """The place of a port or volume as --port takes it."""
    return each.device if isinstance(each, Port) else str(each.path)


def identify(each: Port | Volume, patience_seconds: float = PATIENCE_SECONDS) -> Found:
    """Ask a board what it is. What does not answer within patience_seconds is interrupted. Raises
    BoardSilent, PortDenied."""
    if isinstance(each, Volume):
        return Found(str(each.path), volume=each, chip=rp2.chip_of(each))
    relay = ask_relay(each.device, patience_seconds)
    if relay is not None:
        return Found(each.device, port=each, relay=relay)
    try:
        with Prompt(each.device) as prompt:
            try:
                return Found(each.device, port=each, identity=prompt.call("identify"))
            except NotOurs as machine:
                return Found(each.device, port=each, machine=str(machine))
    except BoardSilent:
        if not each.may_be_esp32:
            raise
    return Found(each.device, port=each, chip=_esp32_chip(each.device))


def ask_relay(device: str, patience_seconds: float = PATIENCE_SECONDS) -> dict[str, Any] | None:
    """The status of a relay in service at this device, without interrupting it; None if no relay answers within
    patience_seconds, or at once if MicroPython's prompt answers."""
    with Console(device) as console:
        try:
            attempts = max(1, round(patience_seconds / STATUS_SECONDS))
            return console.status(STATUS_SECONDS, attempts)
        except (RelayRefused, AtPrompt):
            return None
        except BoardGone:
            raise
        except BoardSilent:
            return None


def _esp32_chip(device: str) -> str:
    """The chip that its ROM loader names. Raises BoardSilent."""
    from . import esp32  # esptool takes long to import, and only these boards need it

    return esp32.detect(device).mcu


def known_ports(finder: Finder, board: Found) -> frozenset[str]:
    """Ports that are there and not this board's: what comes back is behind another."""
    return frozenset(port.device for port in finder.ports()) - {board.place}


def wait_for_board(finder: Finder, before: Found, known: frozenset[str], seconds: float) -> Found:
    """The board after it was flashed: at its own port, or at one that is not among those known before.

    Raises BoardSilent.
    """
    end, seen = time.monotonic() + seconds, time.monotonic()
    words = ""
    while time.monotonic() < end and time.monotonic() - seen < GONE_SECONDS:
        ports = [port for port in finder.ports() if port.device not in known]
        if before.port and not ports and Path(before.place).exists():  # a port that was named, and has no USB identity
            ports = [before.port]
        for port in ports:
            seen = time.monotonic()
            try:
                # Without asking an ESP32's ROM loader: that would stop a board that only takes its time to start.
                return identify(replace(port, may_be_esp32=False), BOOT_PATIENCE_SECONDS)
            except TesseraError as error:
                words = f" ({error.message})"
        time.sleep(0.2)
    raise BoardSilent(
        f"the board did not come back{words}",
        "it is safe to unplug it; plug it in again (a Pico with BOOTSEL held) and repeat the command",
    )


def board_for(found: Found, wanted: str | None, planned: str) -> str:
    """The board to flash: the one asked for, else what is there if that is certain, else the one of the plan.

    Raises WrongBoard, naming what is there.
    """
    name = wanted or found.board or planned
    board = boards.board(name)
    if found.board and found.board != name:
        raise WrongBoard(f"{found} is a {found.board}, not a {name}", f"use --board {found.board}, or plug in a {name}")
    chip = chip_in(found.chip or found.machine or "")
    if chip and chip != board.mcu:
        fitting = ", ".join(each.name for each in boards.BOARDS.values() if each.mcu == chip) or "no board"
        raise WrongBoard(
            f"a {name} has the chip {board.mcu}, but {found} has {chip}",
            f"plug in a {name}, or choose with --board: {fitting}",
        )
    if found.machine and "Pico" in found.machine and ("Pico W" in found.machine) != board.name.endswith("_W"):
        raise WrongBoard(f"{found} is not a {name}", "plug in the other board, or choose with --board")
    return name


def chip_in(machine: str) -> str | None:
    """The chip in a name like "Raspberry Pi Pico W with RP2040" (MicroPython) or "ESP32-S3 (revision v0.2)" (ROM)."""
    name = machine.rpartition(" with ")[2].lower().replace("-", "")
    known = sorted({board.mcu for board in boards.BOARDS.values() if board.mcu}, key=len, reverse=True)
    return next((chip for chip in known if name.startswith(chip)), None)
