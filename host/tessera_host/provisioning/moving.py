"""A relay in service gets onto another network: Wi-Fi, address, name in it. Its keys and records stay.

Owns what `tessera flash network` does. The board takes the whole configuration anew (firmware/device/provision.py), so
what it does not show, the Wi-Fi password, is told again.
"""

import json
import secrets
import time
from dataclasses import replace
from typing import Any

from ..errors import NotPermitted, ProvisioningFailed
from . import service, serving
from .desk import Desk
from .prompt import Prompt
from .settings import NETWORK_KEYS, Settings, as_read_back
from .setup_steps import RESTART_SECONDS, START_SECONDS


def move(desk: Desk, place: str | None, settings: Settings) -> dict[str, Any]:
    """Write the network of these settings to the relay that is plugged in, and restart it; the relay's status.

    Raises UsageError, OtherRelay, NotPermitted, ProvisioningFailed, BoardSilent.
    """
    found, status = service.find(desk, place, settings.name)
    settings.check(status["board"])
    if status["repl"] == "closed":
        raise NotPermitted(
            f"'{settings.name}' has no Python prompt (--closed), so its network cannot be changed",
            f"erase it and flash it anew: tessera flash factory-reset --relay {settings.name}",
        )
    if settings.wifi is not None:
        with desk.report.paused():
            settings = replace(settings, wifi=settings.wifi.with_password())
    desk.report.step("telling it its network")
    with Prompt(found.place) as prompt:
        prompt.leave_bundle()
        _tell(prompt, settings.network())
        prompt.restart()
    desk.report.step("waiting until it serves")
    time.sleep(RESTART_SECONDS)
    status = serving.wait_for_relay(found.place, START_SECONDS)
    if settings.wifi is not None:
        desk.report.step("waiting until it is on its network")
        status = serving.wait_for_network(found.place)
    return status


def _tell(prompt: Prompt, network: dict[str, Any]) -> None:
    nonce = secrets.token_bytes(16)
    before = prompt.call("readback", nonce.hex())["configuration"]
    kept = {name: value for name, value in before.items() if name not in NETWORK_KEYS}
    configuration = {**kept, **network}
    prompt.call("configure", json.dumps(configuration, ensure_ascii=False))
    if prompt.call("readback", nonce.hex())["configuration"] != as_read_back(configuration, nonce):
        raise ProvisioningFailed("the board did not keep what was written to it", "repeat the command")
