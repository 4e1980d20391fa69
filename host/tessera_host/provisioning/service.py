"""A relay that is in service already, at the cable: is it what the inventory says, its log, its end.

Owns what `tessera flash verify`, `export-log` and `factory-reset` do.
"""

import time
from typing import Any

from tessera.params import Parameters

from ..clock import utc_now
from ..errors import BoardNotFound, CommissioningFailed, OtherRelay, UsageError
from . import commissioning, detection, serving
from .console import Console
from .desk import Desk
from .detection import Found

RESET_SECONDS = 180.0


def find(desk: Desk, place: str | None, name: str | None) -> tuple[Found, dict[str, Any]]:
    """Find the relay in service that is plugged in; it and its status. Raises BoardNotFound; OtherRelay if it does not
    have this name."""
    found = detection.identify(detection.choose(desk.finder, place))
    if found.relay is None:
        raise BoardNotFound(
            f"at {found.place} is no relay in service, but {found}",
            "a relay that was just plugged in takes a while to start; to make one: tessera flash --relay NAME",
        )
    if name is not None and found.relay["name"] != name:
        raise OtherRelay(
            f"the board at {found.place} is the relay '{found.relay['name']}', not '{name}'",
            "plug in the right board, or name its port with --port",
        )
    return found, found.relay


def verify(desk: Desk, place: str | None, name: str | None, every_cell: bool) -> dict[str, Any]:
    """Compare a relay with the parameters, the inventory and, as long as it discloses it, its cover.

    Raises CommissioningFailed, OtherRelay.
    """
    desk.report.step("looking at the relay")
    found, status = find(desk, place, name)
    serving.check_no_fault(status)
    parameters, name = desk.parameters, str(status["name"])
    serving.check_keys(status, _listed(parameters, status))
    serving.check_self_test(status)
    entry = desk.inventory.get(name)
    if entry and (entry["key"], entry["ledger_key"]) != (status["static_key"], status["ledger_key"]):
        raise OtherRelay(
            f"this '{name}' has other keys than the board in the inventory", "plug in the board that is listed"
        )
    status = serving.set_clock(found.place, status)
    serving.check_round(parameters, status)
    current = status["parameter_digest"] == parameters.digest.hex()
    desk.report.step("recomputing its cover")
    with Console(found.place) as console:
        done = commissioning.check(console, desk.set_named, every_cell, desk.report.advance)
    if entry:
        told = {"commissioned": done.told()} if done else {}
        desk.inventory.record(name, verified=utc_now(), **told)
    return {
        "relay": name,
        "place": found.place,
        "status": status,
        "in_inventory": entry is not None,
        "newest_parameters": current,
        "cells_compared": done.cells if done else 0,
        "records_compared": done.records if done else 0,
        "cover_disclosed": done is not None,
    }


def _listed(parameters: Parameters, status: dict[str, Any]) -> dict[str, Any] | None:
    entry = parameters.relay_with(bytes.fromhex(status["static_key"]))
    return {"key": entry.static_key, "ledger": entry.ledger_key} if entry else None


def log(desk: Desk, place: str | None, name: str | None) -> tuple[str, list[str]]:
    """Read the log of the relay that is plugged in; the relay's name and the lines."""
    found, status = find(desk, place, name)
    with Console(found.place) as console:
        lines = console.ask("log").lines
    return str(status["name"]), [line.decode(errors="replace") for line in lines]


def factory_reset(desk: Desk, place: str | None, name: str) -> Found:
    """Erase a relay, its keys first, so that its board is like one that was never a relay; what is there afterwards.
    Raises UsageError, BoardSilent."""
    found, _ = find(desk, place, name)
    if " " in name:
        raise UsageError(
            "a relay whose name has spaces can only be reset with its button", "hold the button while you plug it in"
        )
    ports = detection.known_ports(desk.finder, found)
    desk.report.step(f"erasing '{name}'")
    with Console(found.place) as console:
        console.ask("factory-reset", name, attempts=1)
    desk.journal.forget(name)
    desk.inventory.remove(name)
    desk.report.step("waiting for the board")
    end = time.monotonic() + RESET_SECONDS
    while True:
        after = detection.wait_for_board(desk.finder, found, ports, RESET_SECONDS)
        if not after.relay and not (after.identity and after.identity["provisioned"]):
            return after
        if time.monotonic() > end:
            raise CommissioningFailed(f"after its reset there is {after}", "repeat the command")
        time.sleep(0.2)  # its answer leaves before it restarts
