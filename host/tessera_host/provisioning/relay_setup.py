"""One board into service: from whatever is plugged in to a relay that serves, was commissioned and is in the inventory.

Owns what is looked at before anything is touched, and the walk through the steps. What a step does is setup_steps'
business. Each step first looks at the board, so that a cable pulled anywhere costs the step it was pulled in.
"""

from dataclasses import dataclass, replace
from typing import Any

from ..planning import boards
from . import detection, eligibility, esp32_image, image, rp2
from .card import RelayCard
from .desk import Desk
from .image import Image
from .settings import Settings, Wifi
from .setup_steps import STEPS, Request, SetupStep, Work


@dataclass(frozen=True)
class InService:
    """A relay that serves, with what is known of it; `did` names the steps that were taken."""

    name: str
    board: str
    place: str
    card: RelayCard
    entry: dict[str, Any]
    commissioned: dict[str, Any] | None
    changed: bool
    did: list[str]
    trouble: str | None = None  # what keeps it from its Wi-Fi network, in its words


class RelaySetup:
    """The way of one relay."""

    def __init__(self, desk: Desk, request: Request) -> None:
        self._desk = desk
        self._request = request
        self._name = request.settings.name

    def plan(self) -> dict[str, Any]:
        """What would be done, for --dry-run: everything is checked, nothing touched."""
        work = self._look()
        return {
            "relay": self._name,
            "found": str(work.found),
            "board": work.board,
            "image": str(work.image.path),
            "version": work.image.version,
            "would": [step.words for step in _steps(work) if not step.done()],
        }

    def run(self) -> InService:
        """Raises TesseraError; whatever was reached is in the journal."""
        work, taken = self._look(), []
        try:
            for step in _steps(work):
                if not step.done():
                    step.run()
                    taken.append(step)
        finally:
            work.leave_prompt()
        assert work.entry is not None
        return InService(
            self._name,
            work.serving["board"],
            work.found.place,
            work.card,
            work.entry,
            self._desk.journal.fact(self._name, "commissioned"),
            any(step.changes for step in taken),
            [step.words for step in taken],
            work.trouble,
        )

    # -- before anything is touched

    def _look(self) -> Work:
        """The board and its image, once it is certain that it may become this relay."""
        desk, request = self._desk, self._request
        desk.report.step(f"{self._name}: looking for the board")
        found = detection.identify(detection.choose(desk.finder, request.place, frozenset(desk.finished)))
        board = detection.board_for(found, request.board, self._planned_board())
        settings = request.settings
        eligibility.check_name(desk, settings, found)
        if not eligibility.is_configured(desk, self._name, found):
            settings = self._with_network(settings, board)
            settings.check(board)
        eligibility.check_capacity(desk, board)
        desk.report.note(f"found {found}")
        return Work(desk, request, settings, board, self._checked_image(board), found)

    def _planned_board(self) -> str:
        recorded = self._desk.journal.fact(self._name, "board")
        issuer = self._desk.issuer
        return str(recorded or (issuer.summary()["board"] if issuer else "RPI_PICO_W"))

    def _with_network(self, settings: Settings, board: str) -> Settings:
        """A board with Wi-Fi needs a network; others are not asked for one."""
        wifi = settings.wifi or Wifi("")
        if wifi.ssid or boards.board(board).network != "wlan":
            return settings
        with self._desk.report.paused():
            ssid = self._request.ask("Wi-Fi network that the relay joins")
        return replace(settings, wifi=replace(wifi, ssid=ssid) if ssid else None)

    def _checked_image(self, board: str) -> Image:
        self._desk.report.step(f"{self._name}: checking the image")
        parameters = self._desk.parameters
        release = image.find(self._request.image, board)
        checked = image.check(release, parameters.federation_id, parameters.root_key, board)
        built_for = boards.board(board)
        if built_for.mcu in rp2.FAMILIES:
            rp2.check_image(checked.content, built_for.mcu)
        else:
            esp32_image.plan(checked.content, built_for)
        return checked


def _steps(work: Work) -> list[SetupStep]:
    return [step(work) for step in STEPS]
