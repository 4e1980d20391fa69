"""One board into service: from whatever is plugged in to a relay that serves, was commissioned and is in the inventory.

Owns the order of the steps and what a repeated command may skip. Each step first looks at the board, so that a cable
pulled anywhere costs the step it was pulled in. A relay in service is looked at, never changed.
"""

import hashlib
import json
import secrets
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tessera.params import SPARE_PAGES

from ..errors import (
    BoardSilent,
    CommissioningFailed,
    FlashFailed,
    NotPermitted,
    OtherRelay,
    ProvisioningFailed,
    TesseraError,
    UsageError,
    WrongBoard,
)
from ..planning import boards
from . import commissioning, detection, esp32_image, image, rp2
from .card import RelayCard
from .console import Console
from .desk import Desk
from .detection import Found
from .finder import Finder, Volume
from .image import Image
from .prompt import Prompt
from .serial_line import SAFE
from .settings import Settings, Wifi

BOOT_SECONDS = 90.0
GONE_SECONDS = 20.0  # in which a board that restarts has its port back
BOOT_LOADER_SECONDS = 60.0
START_SECONDS = 420.0  # the first start fills the record ring
CLOCK_SECONDS = 60.0
RESTART_SECONDS = 1.0  # in which the answer leaves and the board resets
CHUNK_BYTES = 384

Confirm = Callable[[str], bool]
Ask = Callable[[str], str | None]


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    confirm(question) -> bool is asked before something else than a relay is overwritten; ask(question) -> text what the
    board needs and nobody said, None if there is nobody to ask.
    """

    settings: Settings
    board: str | None = None
    place: str | None = None
    image: Path | None = None
    every_cell: bool = False
    confirm: Confirm = lambda question: False
    ask: Ask = lambda question: None


@dataclass(frozen=True)
class InService:
    """A relay that serves, with what is known of it."""

    name: str
    board: str
    place: str
    card: RelayCard
    entry: dict[str, Any]
    commissioned: dict[str, Any] | None
    changed: bool


class RelaySetup:
    """The steps for one relay."""

    def __init__(self, desk: Desk, request: Request) -> None:
        self._desk = desk
        self._request = request
        self._settings = request.settings
        self._name = request.settings.name
        self._board = ""
        self._changed = False

    # -- the whole way

    def plan(self) -> dict[str, Any]:
        """What would be done, for --dry-run: everything is checked, nothing touched."""
        found = self._find()
        checked = self._checked_image()
        steps = ["flash the image"] if self._needs_image(found, checked) else []
        if not found.relay and not (found.identity and found.identity["provisioned"]):
            steps += ["let it draw its keys", "list it in the parameters", "hand over parameters and configuration"]
        steps += ["wait until it serves", "recompute its cover", "record it in the inventory"]
        return {
            "relay": self._name,
            "found": str(found),
            "board": self._board,
            "image": str(checked.path),
            "version": checked.version,
            "would": steps,
        }

    def run(self) -> InService:
        """Raises TesseraError; whatever was reached is in the journal."""
        found = self._find()
        checked = self._checked_image()
        found = self._with_firmware(found, checked)
        if not found.relay:
            self._provision(found, checked)
        status = self._wait_until_serving(found)
        commissioned = self._commission(found, status)
        self._agree_on_time(found)
        return self._record(found, status, checked, commissioned)

    # -- before anything is touched

    def _find(self) -> Found:
        """The board, once it is certain that it may become this relay."""
        desk, request = self._desk, self._request
        desk.report.step(f"{self._name}: looking for the board")
        found = detection.identify(detection.choose(desk.finder, request.place, frozenset(desk.finished)))
        self._board = detection.board_for(found, request.board, self._planned_board())
        self._check_name_is_free(found)
        if not self._is_configured(found):
            self._ask_for_network()
            self._settings.check(self._board)
        self._check_capacity()
        desk.report.note(f"found {found}")
        return found

    def _is_configured(self, found: Found) -> bool:
        """Whether the board holds its settings; then those of the command do not count."""
        there = found.identity is not None and found.identity["provisioned"] is not None
        return found.relay is not None or (there and self._desk.journal.did(self._name, "configured"))

    def _ask_for_network(self) -> None:
        """A board with Wi-Fi needs a network; others are not asked for one. A relay that is one has it."""
        if self._settings.wifi is None and boards.board(self._board).network == "wlan":
            with self._desk.report.paused():
                ssid = self._request.ask("Wi-Fi network that the relay joins")
            if ssid:
                self._settings = replace(self._settings, wifi=Wifi(ssid))

    def _planned_board(self) -> str:
        recorded = self._desk.journal.fact(self._name, "board")
        issuer = self._desk.issuer
        return str(recorded or (issuer.summary()["board"] if issuer else "RPI_PICO_W"))

    def _check_name_is_free(self, found: Found) -> None:
        """Raise unless the board is no relay yet, or this one."""
        told = found.relay or found.identity
        name = None if told is None else told.get("name") if found.relay else told["provisioned"]
        if name not in (None, self._name):
            raise OtherRelay(
                f"the board at {found.place} is the relay '{name}', not '{self._name}'",
                f"plug in another board, or erase this one: tessera flash factory-reset --relay {name}",
            )
        if found.identity and found.identity["problem"]:
            raise ProvisioningFailed(
                f"the board's file system is damaged: {found.identity['problem']}",
                "see the README, 'a board that fails'",
            )
        listed = self._listed()
        if listed is None:
            assert self._desk.issuer is not None
            self._desk.issuer.check_relay(
                self._name, self._settings.host, self._settings.port, self._settings.time_server
            )
        elif (listed["host"], listed["port"]) != (self._settings.host, self._settings.port):
            raise UsageError(
                f"'{self._name}' is listed at {listed['host']} port {listed['port']}",
                f"repeat with --host {listed['host']} --relay-port {listed['port']}, or choose another name",
            )

    def _listed(self) -> dict[str, Any] | None:
        issuer = self._desk.issuer
        return next((each for each in issuer.relays if each["name"] == self._name), None) if issuer else None

    def _check_capacity(self) -> None:
        """The parameters were planned for a board; another one may have a smaller ring."""
        needed = self._desk.parameters
        most = needed.members * needed.tokens_per_epoch * needed.posts_per_token * (needed.retention_epochs + 1)
        room = boards.board(self._board).ring_pages - SPARE_PAGES
        if most > room:
            raise WrongBoard(
                f"a {self._board} keeps {room} records, these members may post {most}",
                "use a board with more flash, or plan for this one",
            )

    def _checked_image(self) -> Image:
        self._desk.report.step(f"{self._name}: checking the image")
        parameters = self._desk.parameters
        release = image.find(self._request.image, self._board)
        checked = image.check(release, parameters.federation_id, parameters.root_key, self._board)
        board = boards.board(self._board)
        if board.mcu in rp2.FAMILIES:
            rp2.check_image(checked.content, board.mcu)
        else:
            esp32_image.plan(checked.content, board)
        return checked

    # -- the image

    def _needs_image(self, found: Found, checked: Image) -> bool:
        if found.relay or (found.identity and found.identity["provisioned"]):
            return False  # code in service is updated, not flashed over
        if found.identity:
            ours = found.identity
            return (ours["version"], ours["firmware_digest"]) != (checked.version, checked.firmware_digest)
        return True

    def _with_firmware(self, found: Found, checked: Image) -> Found:
        if not self._needs_image(found, checked):
            return found
        if found.machine:
            self._confirm_overwriting(found)
        self._changed = True
        if boards.board(self._board).mcu in rp2.FAMILIES:
            after = self._flash_pico(found, checked)
        else:
            after = self._flash_esp32(found, checked)
        self._check_it_runs(after, checked)
        self._desk.journal.note(self._name, "flashed", board=self._board)
        return after

    def _confirm_overwriting(self, found: Found) -> None:
        with self._desk.report.paused():
            if not self._request.confirm(f"Overwrite {found}, with all that is on it?"):
                raise NotPermitted(f"{found} is left as it is", "--yes overwrites it")

    def _flash_pico(self, found: Found, checked: Image) -> Found:
        volume = found.volume or self._into_boot_loader(found)
        self._desk.report.step(f"{self._name}: writing the image")
        ports = detection.known_ports(self._desk.finder, found)
        how = rp2.flash(self._desk.finder, volume, checked.content, self._desk.report.advance)
        self._desk.report.note(how)
        self._desk.report.step(f"{self._name}: waiting for the board")
        return detection.wait_for_board(self._desk.finder, found, ports, BOOT_SECONDS)

    def _into_boot_loader(self, found: Found) -> Volume:
        """A Pico at its prompt restarts into BOOTSEL by itself."""
        self._desk.report.step(f"{self._name}: starting the boot loader")
        before = {volume.path for volume in self._desk.finder.volumes()}
        with Prompt(found.place) as prompt:
            prompt.enter_boot_loader()
        end = time.monotonic() + BOOT_LOADER_SECONDS
        while time.monotonic() < end:
            for volume in self._desk.finder.volumes():
                if volume.path not in before:
                    detection.board_for(detection.identify(volume), self._board, self._board)
                    return volume
            time.sleep(0.2)
        disks = self._desk.finder.unmounted()
        raise BoardSilent(
            "the volume of the board's boot loader did not appear",
            f"mount it: udisksctl mount -b {disks[0]}; then repeat the command" if disks else rp2.SAFE,
        )

    def _flash_esp32(self, found: Found, checked: Image) -> Found:
        from . import esp32  # esptool takes long to import, and only these boards need it

        self._desk.report.step(f"{self._name}: writing the image")
        ports = detection.known_ports(self._desk.finder, found)
        esp32.flash(found.place, checked.content, boards.board(self._board), self._desk.report.advance)
        self._desk.report.step(f"{self._name}: waiting for the board")
        return detection.wait_for_board(self._desk.finder, found, ports, BOOT_SECONDS)

    def _check_it_runs(self, found: Found, checked: Image) -> None:
        told = found.identity or found.relay
        if told is None:
            raise FlashFailed(f"the board was flashed, but {found}", "repeat the command")
        if (told["board"], told["version"]) != (checked.board, checked.version):
            raise FlashFailed(
                f"the board runs version {told['version']} for {told['board']}, not the image's {checked.version}",
                "unplug it, plug it in again and repeat the command",
            )
        self._check_name_is_free(found)

    # -- provisioning

    def _provision(self, found: Found, checked: Image) -> None:
        """From a board at its prompt to one that restarts as the relay."""
        with Prompt(found.place) as prompt:
            identity = prompt.call("identify")
            self._check_same_board(identity)
            if not self._is_configured(Found(found.place, identity=identity)):
                self._changed = True
                self._settings = self._complete_settings()
                self._hand_over(prompt, identity)
            self._desk.report.step(f"{self._name}: restarting the board")
            prompt.restart()

    def _complete_settings(self) -> Settings:
        """With the secrets that only now are needed."""
        settings = self._settings
        if settings.wifi is None:
            return settings
        with self._desk.report.paused():
            return replace(settings, wifi=settings.wifi.with_password())

    def _check_same_board(self, identity: dict[str, Any]) -> None:
        begun = self._desk.journal.fact(self._name, "chip_id")
        if begun not in (None, identity["chip_id"]) and self._listed() is not None:
            raise OtherRelay(
                f"'{self._name}' was begun on another board (chip {begun}, this one is {identity['chip_id']})",
                f"plug that one in, or give it up: tessera relay remove {self._name} --issuer {self._desk.directory}",
            )

    def _hand_over(self, prompt: Prompt, identity: dict[str, Any]) -> None:
        desk, name = self._desk, self._name
        desk.report.step(f"{name}: the board draws its keys")
        keys = prompt.call("make_keys", secrets.token_hex(32))
        static_key, ledger_key = bytes.fromhex(keys["key"]), bytes.fromhex(keys["ledger_key"])
        facts = {"chip_id": identity["chip_id"], "board": self._board}
        desk.journal.note(name, "keys", **facts, key=keys["key"], ledger_key=keys["ledger_key"])
        desk.report.step(f"{name}: listing it in the parameters")
        self._list(static_key, ledger_key)
        desk.journal.note(name, "listed")
        parameters = desk.parameters.blob
        desk.report.step(f"{name}: handing over {len(parameters)} bytes of parameters")
        self._put(prompt, "parameters", parameters)
        prompt.call("configure", json.dumps(self._settings.configuration(), ensure_ascii=False))
        desk.report.step(f"{name}: reading everything back")
        self._compare(prompt, parameters, keys)
        desk.journal.note(name, "configured")

    def _list(self, static_key: bytes, ledger_key: bytes) -> None:
        issuer, listed = self._desk.issuer, self._listed()
        assert issuer is not None
        if listed is not None and (listed["key"], listed["ledger"]) != (static_key, ledger_key):
            raise OtherRelay(
                f"'{self._name}' is listed with other keys: another board's, or those of this one before it was reset",
                f"plug that board in, or give it up: tessera relay remove {self._name} --issuer {self._desk.directory}",
            )
        issuer.add_relay_keys(self._name, self._settings.host, self._settings.port, static_key, ledger_key)

    def _put(self, prompt: Prompt, name: str, content: bytes) -> None:
        for at in range(0, len(content), CHUNK_BYTES):
            piece = content[at : at + CHUNK_BYTES]
            prompt.call("put", name, at, b64encode(piece).decode())
            self._desk.report.advance(at + len(piece), len(content))
        prompt.call("finish", name, hashlib.sha256(content).hexdigest())

    def _compare(self, prompt: Prompt, parameters: bytes, keys: dict[str, Any]) -> None:
        """What the board holds must be what it was told."""
        nonce = secrets.token_bytes(16)
        told = prompt.call("readback", nonce.hex())
        wanted = self._settings.configuration()
        if "password" in wanted.get("wifi", {}):
            wanted["wifi"]["password"] = hashlib.sha256(nonce + wanted["wifi"]["password"].encode()).hexdigest()
        right = {
            "configuration": wanted,
            "parameters": hashlib.sha256(parameters).hexdigest(),
            "seed": 32,
            "key": keys["key"],
            "ledger_key": keys["ledger_key"],
        }
        wrong = [field for field, value in right.items() if told.get(field) != value]
        if wrong:
            raise ProvisioningFailed(
                f"the board does not hold what was written: {', '.join(wrong)}",
                "repeat the command; if it fails again, take another board",
            )

    # -- service

    def _wait_until_serving(self, found: Found) -> dict[str, Any]:
        desk = self._desk
        desk.report.step(f"{self._name}: waiting until it serves (a first start fills its record ring)")
        status = wait_for_relay(desk.finder, found, START_SECONDS)
        status = set_clock(found.place, status)
        if status["fault"]:
            raise CommissioningFailed(f"the relay reports a fault: {status['fault']}", commissioning.DO_NOT_USE)
        if status["name"] != self._name:
            raise OtherRelay(f"the board at {found.place} is the relay '{status['name']}'", "plug in the right board")
        check_keys(status, self._listed())
        desk.journal.note(self._name, "serving")
        return status

    def _commission(self, found: Found, status: dict[str, Any]) -> dict[str, Any] | None:
        """What was compared; None if a member uses the relay already."""
        desk = self._desk
        check_self_test(status)
        if desk.journal.did(self._name, "commissioned"):
            known: dict[str, Any] | None = desk.journal.fact(self._name, "commissioned")
            return known
        desk.report.step(f"{self._name}: recomputing its cover")
        with Console(found.place) as console:
            done = commissioning.check(console, desk.parameters, self._request.every_cell, desk.report.advance)
        if done is None:
            desk.report.note("a member uses the relay already: its cover is not disclosed any more")
        told = done.told() if done else None
        desk.journal.note(self._name, "commissioned", commissioned=told)
        return told

    def _agree_on_time(self, found: Found) -> None:
        """Members refuse a relay that is more than a round off. One that fell behind takes the time anew at a start."""
        parameters = self._desk.parameters
        status = ask_status(found.place)
        if rounds_apart(parameters, status) <= 1:
            return
        self._desk.report.step(f"{self._name}: its clock is off; it starts again and takes the time anew")
        with Console(found.place) as console:
            console.ask("restart", attempts=1)
        time.sleep(RESTART_SECONDS)
        status = set_clock(found.place, wait_for_relay(self._desk.finder, found, START_SECONDS))
        check_round(parameters, status)

    def _record(
        self, found: Found, status: dict[str, Any], checked: Image, commissioned: dict[str, Any] | None
    ) -> InService:
        settings, journal = self._settings, self._desk.journal
        key, ledger_key = bytes.fromhex(status["static_key"]), bytes.fromhex(status["ledger_key"])
        card = RelayCard(self._name, settings.host, settings.port, key, ledger_key)
        before = self._desk.inventory.get(self._name) or {}
        entry = self._desk.inventory.record(
            self._name,
            board=status["board"],
            chip_id=journal.fact(self._name, "chip_id") or before.get("chip_id"),
            host=settings.host,
            port=settings.port,
            key=key.hex(),
            ledger_key=ledger_key.hex(),
            words=" ".join(card.words),
            firmware_version=status["version"],
            firmware_digest=status["firmware_digest"],
            parameters_serial=status["serial"],
            repl=status["repl"],
            commissioned=commissioned or before.get("commissioned"),
            in_service_since=before.get("in_service_since") or now(),
            verified=now(),
        )
        journal.note(self._name, "recorded")
        self._desk.finished.add(found.place)
        return InService(self._name, status["board"], found.place, card, entry, commissioned, self._changed)


# -- what looking at a relay in service needs, too


def wait_for_relay(finder: Finder, found: Found, seconds: float) -> dict[str, Any]:
    """The status of a relay that starts, not interrupted. Raises BoardSilent, ProvisioningFailed with its own words."""
    end = time.monotonic() + seconds
    seen = time.monotonic()
    while time.monotonic() < end:
        try:
            status = detection.ask_relay(found.place)
            seen = time.monotonic()
            if status is not None and status.get("state") != "starting":
                return status
        except TesseraError as error:  # it restarts: the port is away
            if time.monotonic() - seen > GONE_SECONDS:
                raise BoardSilent(f"the board at {found.place} went away while it started", SAFE) from error
        time.sleep(0.2)
    raise BoardSilent(
        f"the relay does not serve after {seconds:.0f} s",
        "it may still be filling its record ring; if its light does not show that it serves, " + SAFE,
    )


def set_clock(place: str, status: dict[str, Any]) -> dict[str, Any]:
    """The status with a round open: the time is told to a relay that has none. Raises CommissioningFailed."""
    end = time.monotonic() + CLOCK_SECONDS
    with Console(place) as console:
        while not status["fault"] and status["open_round"] is None:
            if time.monotonic() > end:
                raise CommissioningFailed(
                    "the relay has the time and opens no round",
                    "check this computer's clock, and that the federation's genesis is past",
                )
            if status["clock"] == "unknown":
                console.ask("clock", time.time_ns() // 1_000_000)
            time.sleep(0.3)
            status = console.status()
    return status


def ask_status(place: str) -> dict[str, Any]:
    """The status of a relay that serves."""
    with Console(place) as console:
        return console.status()


def rounds_apart(parameters: Any, status: dict[str, Any]) -> int:
    """How far the relay's round is from the one of this computer's clock."""
    ours: int = parameters.round_at(int(time.time()))
    return abs(ours - int(status["open_round"]))


def check_round(parameters: Any, status: dict[str, Any]) -> None:
    """Raise CommissioningFailed if members whose clock is this computer's would refuse the relay."""
    if rounds_apart(parameters, status) > 1:
        raise CommissioningFailed(
            f"the relay is in round {status['open_round']}, this computer in {parameters.round_at(int(time.time()))}",
            "set this computer's clock, or see why the relay reaches no time server",
        )


def check_keys(status: dict[str, Any], listed: dict[str, Any] | None) -> None:
    """Raise OtherRelay unless the relay holds the keys it is listed with."""
    if listed is None:
        raise OtherRelay(f"'{status['name']}' is a relay, but not of this federation", "check --issuer")
    if (status["static_key"], status["ledger_key"]) != (listed["key"].hex(), listed["ledger"].hex()):
        raise OtherRelay(
            f"this '{status['name']}' has other keys than the one that is listed", "plug in the right board"
        )


def check_self_test(status: dict[str, Any]) -> None:
    """Raise CommissioningFailed unless the relay passed its own test at its start."""
    if status.get("self_test", "passed") != "passed":
        told = status["self_test"] or "it was not run"
        raise CommissioningFailed(f"the relay did not pass its self-test: {told}", commissioning.DO_NOT_USE)


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
