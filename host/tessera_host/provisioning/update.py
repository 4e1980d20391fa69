"""New code for a relay on a cable: staged beside the running one, tried once, confirmed by a round that it served.

Owns the wait for the outcome. Leaves to others: the dialog (staging.py), what may be staged (releases.py; the relay
checks again), going back if the new code does not serve (the relay).
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tessera.release import Release, version_number, version_text
from tessera.staging import STAGED, WAIT

from ..clock import utc_now
from ..errors import BoardSilent, FlashFailed, ImageRejected, IntegrityError, InvalidInput, TesseraError
from ..protocol import releases
from ..protocol.staging import ConsoleLine, stage
from . import detection, service, serving
from .console import CommandRefused, Console
from .desk import Desk

RELEASES = ("bundle.release", "slot.release")
STAGE_SECONDS = 3600.0  # a place is erased in windows after seals
TRIAL_SECONDS = 1200.0
SAFE = "it is safe to unplug the board: the relay keeps the code it has"


@dataclass(frozen=True)
class Updated:
    """The result of an update: the versions before and after, and whether they differ."""

    name: str
    before: str
    version: str
    changed: bool


def update_relay(desk: Desk, place: str | None, name: str | None, named: Path | None) -> Updated:
    """Bring the approved code to the relay that is plugged in. Raises ImageRejected, FlashFailed, BoardSilent."""
    desk.report.step("looking at the relay")
    found, status = service.find(desk, place, name)
    release_path = _find(named, status["board"])
    release, artifact = _checked(desk, release_path, status["board"])
    relay, before, version = str(status["name"]), str(status["version"]), str(version_text(release.version))
    if version_number(before) >= release.version:
        return Updated(relay, before, before, changed=False)
    with Console(found.place) as console:
        _stage(desk, console, release, artifact, version)
        parameters = desk.parameters
        desk.report.step(f"version {version} is on the board; restarting it")
        console.ask("activate")
    after = _outcome(desk, found.place, version, int(status["boots"]), 3.0 * parameters.round_seconds)
    if desk.inventory.get(relay):
        desk.inventory.record(
            relay, firmware_version=after["version"], firmware_digest=after["firmware_digest"], verified=utc_now()
        )
    return Updated(relay, before, str(after["version"]), changed=True)


def _find(named: Path | None, board: str) -> Path:
    folders = [named] if named else [Path("build", board), Path(__file__).resolve().parents[3] / "build" / board]
    for folder in folders:
        if folder.is_file() and folder.suffix == ".release":
            return folder
        for name in RELEASES:
            if ((folder if folder.is_dir() else folder.parent) / name).is_file():
                return (folder if folder.is_dir() else folder.parent) / name
    raise ImageRejected(
        f"there is no approved code for {board}",
        f"approve it: tessera issuer approve ISSUER build/{board}; or name its folder with --image",
    )


def _checked(desk: Desk, path: Path, board: str) -> tuple[Release, bytes]:
    parameters = desk.parameters
    try:
        release = releases.load(path)
        artifact = releases.read_artifact(releases.artifact_of(path, release))
        releases.check(release, artifact, parameters.federation_id, parameters.root_key, board)
    except (InvalidInput, IntegrityError) as error:
        raise ImageRejected(f"{error.message}; nothing was written", error.hint) from None
    return release, artifact


def _stage(desk: Desk, console: Console, release: Release, artifact: bytes, version: str) -> None:
    desk.report.step(f"staging version {version} beside the running one")
    line = ConsoleLine(lambda name, *arguments: console.ask(name, *arguments).result)
    end = time.monotonic() + STAGE_SECONDS
    while True:
        try:
            step = asyncio.run(stage(line, release, artifact, desk.report.advance))
        except CommandRefused as refusal:
            raise FlashFailed(refusal.message, f"{SAFE}; repeat the command to go on") from None
        if step.state == STAGED:
            return
        if step.state != WAIT or time.monotonic() > end:
            raise FlashFailed("the relay does not take the code", f"{SAFE}; repeat the command to go on")
        desk.report.note(f"the relay erases the place for it; going on in {step.wait_seconds} s")
        time.sleep(min(step.wait_seconds + 1, max(1.0, end - time.monotonic())))


def _outcome(desk: Desk, place: str, version: str, boots: int, serving_seconds: float) -> dict[str, Any]:
    """The status once the trial is over; boots is how often the relay had started before. It serves meanwhile."""
    desk.report.step(f"version {version} is on trial: it has to serve a round")
    end = time.monotonic() + TRIAL_SECONDS + serving_seconds
    while time.monotonic() < end:
        time.sleep(1.0)
        try:
            status = detection.ask_relay(place)
        except TesseraError:  # it restarts
            continue
        if status is None or status.get("state") == "starting" or status.get("boots", boots) == boots:
            continue
        status = serving.set_clock(place, status)
        on_trial = status.get("trial") or status.get("on_trial")
        if status["version"] == version and not on_trial and not status["fault"]:
            return status
        if status["version"] != version:
            raise FlashFailed(
                f"version {version} did not serve a round; the relay went back to {status['version']} by itself",
                "its records and keys are as they were; for what it logged: tessera flash export-log",
            )
    raise BoardSilent(f"the relay did not report whether version {version} serves", SAFE)
