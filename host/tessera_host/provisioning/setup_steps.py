"""The steps from a board on a cable to a relay in service, in their order.

Owns what each step does and when it need not be done. A dry run asks the same `done()` that a run asks before it takes
a step, so the two differ only by what an earlier step brings to light. Whether the board may be touched at all is
eligibility's business, and was asked before.
"""

import hashlib
import json
import secrets
import time
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from ..clock import utc_now
from ..errors import NotPermitted, OtherRelay, ProvisioningFailed
from ..planning import boards
from . import commissioning, eligibility, flashing, serving
from .card import RelayCard
from .console import Console
from .desk import Desk
from .detection import Found
from .image import Image
from .prompt import Prompt
from .settings import Settings, as_read_back

START_SECONDS = 420.0  # the first start fills the record ring
RESTART_SECONDS = 1.0  # in which the answer leaves and the board resets
CHUNK_BYTES = 384

Confirm = Callable[[str], bool]
Ask = Callable[[str], str | None]


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    confirm(question) -> bool is asked before anything but a relay's firmware is overwritten; ask(question) gives a text
    that the board needs and no option gave, or None if nobody can be asked.
    """

    settings: Settings
    board: str | None = None
    place: str | None = None
    image: Path | None = None
    every_cell: bool = False
    confirm: Confirm = lambda question: False
    ask: Ask = lambda question: None


@dataclass
class Work:
    """What the steps for one relay share: what was asked for, the board as it is now, what was learned on the way."""

    desk: Desk
    request: Request
    settings: Settings
    board: str
    image: Image
    found: Found
    keys: dict[str, Any] | None = None  # what the board answered when it drew them
    status: dict[str, Any] | None = None  # once it serves
    entry: dict[str, Any] | None = None  # of the inventory
    trouble: str | None = None  # what keeps it from its network, in its words
    _prompt: Prompt | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def configured(self) -> bool:
        return eligibility.is_configured(self.desk, self.name, self.found)

    @property
    def serving(self) -> dict[str, Any]:
        """The status of the relay, once one serves."""
        assert self.status is not None
        return self.status

    @property
    def card(self) -> RelayCard:
        key, ledger_key = (bytes.fromhex(self.serving[name]) for name in ("static_key", "ledger_key"))
        return RelayCard(self.name, self.settings.host, self.settings.port, key, ledger_key)

    def say(self, what: str) -> None:
        self.desk.report.step(f"{self.name}: {what}")

    def prompt(self) -> Prompt:
        """The board's prompt, open from the first step that needs it until the board restarts."""
        if self._prompt is None:
            self._prompt = Prompt(self.found.place)
            self.found = replace(self.found, identity=self._prompt.call("identify"))
            eligibility.check_same_board(self.desk, self.name, self.found.identity or {})
        return self._prompt

    def leave_prompt(self) -> None:
        if self._prompt is not None:
            self._prompt.close()
            self._prompt = None


class SetupStep(ABC):
    """One step from a board to a relay in service. `words` name it in a dry run; `changes` is true for a step that no
    relay in service needs."""

    words: ClassVar[str]
    changes: ClassVar[bool] = False

    def __init__(self, work: Work) -> None:
        self.work = work

    @abstractmethod
    def done(self) -> bool:
        """Whether the board or the journal shows that the step is not needed. Changes nothing."""

    @abstractmethod
    def run(self) -> None:
        """Do the step. Raises TesseraError; the journal has how far it came."""


class FlashImage(SetupStep):
    words = "flash the image"
    changes = True

    def done(self) -> bool:
        found, image = self.work.found, self.work.image
        if found.relay or (found.identity and found.identity["provisioned"]):
            return True  # code in service is updated, not flashed over
        told = found.identity
        return told is not None and (told["version"], told["firmware_digest"]) == (image.version, image.firmware_digest)

    def run(self) -> None:
        work = self.work
        if work.found.machine:
            self._confirm_overwriting()
        work.found = flashing.flash(work.desk, work.name, work.board, work.found, work.image)
        eligibility.check_name(work.desk, work.settings, work.found)
        work.desk.journal.note(work.name, "flashed", board=work.board)

    def _confirm_overwriting(self) -> None:
        found = self.work.found
        with self.work.desk.report.paused():
            if not self.work.request.confirm(f"Overwrite {found}, with all that is on it?"):
                raise NotPermitted(f"{found} is left as it is", "to overwrite it without a question: --yes")


class GetPassword(SetupStep):
    """Only now, when it is certain that it is needed."""

    words = "get the password of its Wi-Fi network"

    def done(self) -> bool:
        wifi = self.work.settings.wifi
        return self.work.configured or wifi is None or wifi.password is not None

    def run(self) -> None:
        wifi = self.work.settings.wifi
        assert wifi is not None
        with self.work.desk.report.paused():
            self.work.settings = replace(self.work.settings, wifi=wifi.with_password())


class DrawKeys(SetupStep):
    """The board draws them once, and answers the same ones however often it is asked."""

    words = "let it draw its keys"
    changes = True

    def done(self) -> bool:
        return self.work.configured

    def run(self) -> None:
        work = self.work
        prompt = work.prompt()
        work.say("the board draws its keys")
        keys = work.keys = prompt.call("make_keys", secrets.token_hex(32))
        assert work.found.identity is not None
        facts = {"chip_id": work.found.identity["chip_id"], "board": work.board}
        work.desk.journal.note(work.name, "keys", **facts, key=keys["key"], ledger_key=keys["ledger_key"])
        eligibility.check_keys_drawn(work.desk, work.name, *_key_pair(keys))


class ListKeys(SetupStep):
    words = "list it in the parameters"
    changes = True

    def done(self) -> bool:
        return self.work.configured or eligibility.listed(self.work.desk, self.work.name) is not None

    def run(self) -> None:
        work, settings = self.work, self.work.settings
        assert work.desk.issuer is not None and work.keys is not None
        work.say("listing it in the parameters")
        work.desk.issuer.add_relay_keys(work.name, settings.host, settings.port, *_key_pair(work.keys))
        work.desk.journal.note(work.name, "listed")


class HandOver(SetupStep):
    words = "hand over parameters and configuration"
    changes = True

    def done(self) -> bool:
        return self.work.configured

    def run(self) -> None:
        work = self.work
        prompt, parameters = work.prompt(), self._own_copy()
        work.say(f"handing over {len(parameters)} bytes of parameters")
        self._put(prompt, "parameters", parameters)
        prompt.call("configure", json.dumps(work.settings.configuration(), ensure_ascii=False))
        work.say("reading everything back")
        self._compare(prompt, parameters)
        work.desk.journal.note(work.name, "configured")

    def _own_copy(self) -> bytes:
        """The set that it begins with, with the epoch keys of this relay; what it reads with is sealed to its key in
        it."""
        assert self.work.keys is not None
        issuer, key = self.work.desk.issuer, bytes.fromhex(self.work.keys["key"])
        if issuer is not None:
            return issuer.first_set_for(key)
        parameters = self.work.desk.parameters
        listed = parameters.relay_with(key)
        if listed is None:
            raise ProvisioningFailed(f"'{self.work.name}' is not in the newest parameters", "repeat the command")
        return parameters.copy_for(listed.id)

    def _put(self, prompt: Prompt, name: str, content: bytes) -> None:
        for at in range(0, len(content), CHUNK_BYTES):
            piece = content[at : at + CHUNK_BYTES]
            prompt.call("put", name, at, b64encode(piece).decode())
            self.work.desk.report.advance(at + len(piece), len(content))
        prompt.call("finish", name, hashlib.sha256(content).hexdigest())

    def _compare(self, prompt: Prompt, parameters: bytes) -> None:
        """What the board holds must be what it was told."""
        assert self.work.keys is not None
        nonce = secrets.token_bytes(16)
        told = prompt.call("readback", nonce.hex())
        right = {
            "configuration": as_read_back(self.work.settings.configuration(), nonce),
            "parameters": hashlib.sha256(parameters).hexdigest(),
            "seed": 32,
            "key": self.work.keys["key"],
            "ledger_key": self.work.keys["ledger_key"],
        }
        wrong = [field for field, value in right.items() if told.get(field) != value]
        if wrong:
            raise ProvisioningFailed(
                f"the board did not keep what was written to it: {', '.join(wrong)}",
                "repeat the command; if it fails again, use another board",
            )


class Restart(SetupStep):
    words = "restart it as a relay"

    def done(self) -> bool:
        return self.work.found.relay is not None

    def run(self) -> None:
        prompt = self.work.prompt()
        self.work.say("restarting the board")
        prompt.restart()
        self.work.leave_prompt()


class WaitUntilServing(SetupStep):
    words = "wait until it serves"

    def done(self) -> bool:
        return False  # a relay in service is looked at again

    def run(self) -> None:
        work, place = self.work, self.work.found.place
        work.say("waiting until it serves (a first start prepares its flash)")
        status = serving.set_clock(place, serving.wait_for_relay(place, START_SECONDS))
        serving.check_no_fault(status)
        serving.check_radio(status)
        if status["name"] != work.name:
            raise OtherRelay(
                f"the board at {place} is the relay '{status['name']}', not '{work.name}'", "plug in the right board"
            )
        serving.check_keys(status, eligibility.listed(work.desk, work.name))
        work.desk.journal.note(work.name, "serving")
        serving.check_self_test(status)
        work.status = status


class Commission(SetupStep):
    words = "recompute its cover"

    def done(self) -> bool:
        return self.work.desk.journal.did(self.work.name, "commissioned")

    def run(self) -> None:
        work, desk = self.work, self.work.desk
        work.say("recomputing its cover")
        with Console(work.found.place) as console:
            compared = commissioning.check(console, desk.set_named, work.request.every_cell, desk.report.advance)
        if compared is None:
            desk.report.note("members already use the relay, so it no longer discloses its cover")
        desk.journal.note(work.name, "commissioned", commissioned=compared.told() if compared else None)


class AgreeOnTime(SetupStep):
    """Members refuse a relay that is more than a round off. One that fell behind takes the time anew at a start."""

    words = "restart it, because its clock is off"

    def done(self) -> bool:
        work = self.work
        if work.status is None and work.found.relay is None:
            return True  # a relay that is not there yet takes the time when it starts
        status = serving.ask_status(work.found.place)
        return status.get("open_round") is None or serving.rounds_apart(work.desk.parameters, status) <= 1

    def run(self) -> None:
        work, place = self.work, self.work.found.place
        work.say("its clock is off; it starts again and takes the time anew")
        with Console(place) as console:
            console.ask("restart", attempts=1)
        time.sleep(RESTART_SECONDS)
        status = serving.set_clock(place, serving.wait_for_relay(place, START_SECONDS))
        serving.check_round(work.desk.parameters, status)


class Record(SetupStep):
    words = "record it in the inventory"

    def done(self) -> bool:
        return False  # when it was looked at last is recorded, too

    def run(self) -> None:
        work, status, card = self.work, self.work.serving, self.work.card
        journal, inventory = work.desk.journal, work.desk.inventory
        before = inventory.get(work.name) or {}
        work.entry = inventory.record(
            work.name,
            board=status["board"],
            chip_id=journal.fact(work.name, "chip_id") or before.get("chip_id"),
            host=card.host,
            port=card.port,
            key=card.static_key.hex(),
            ledger_key=card.ledger_key.hex(),
            words=" ".join(card.words),
            firmware_version=status["version"],
            firmware_digest=status["firmware_digest"],
            parameters_serial=status["serial"],
            repl=status["repl"],
            commissioned=journal.fact(work.name, "commissioned") or before.get("commissioned"),
            in_service_since=before.get("in_service_since") or utc_now(),
            verified=utc_now(),
        )
        journal.note(work.name, "recorded")
        work.desk.finished.add(work.found.place)


class SeeNetwork(SetupStep):
    """A cable may be plugged in later; a Wi-Fi network is there, or was named wrongly."""

    words = "see that it joins its network"

    def done(self) -> bool:
        return boards.board(self.work.board).network != "wlan"

    def run(self) -> None:
        self.work.say("waiting until it is on its network")
        self.work.trouble = serving.trouble(serving.wait_for_network(self.work.found.place))


STEPS: tuple[type[SetupStep], ...] = (
    *(FlashImage, GetPassword, DrawKeys, ListKeys, HandOver, Restart),
    *(WaitUntilServing, Commission, AgreeOnTime, Record, SeeNetwork),
)


def _key_pair(keys: dict[str, Any]) -> tuple[bytes, bytes]:
    return bytes.fromhex(keys["key"]), bytes.fromhex(keys["ledger_key"])
