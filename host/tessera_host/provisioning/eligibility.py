"""Whether the board on the cable may become the relay that is asked for. Looks, and changes nothing.

Owns the refusals that keep a relay from being made another one, a name from being given to two boards, and a plan from
a board that is too small for it.
"""

from typing import Any

from tessera.params import SPARE_PAGES

from ..errors import OtherRelay, ProvisioningFailed, UsageError, WrongBoard
from ..planning import boards
from ..protocol import addresses
from .desk import Desk
from .detection import Found
from .settings import Settings


def is_configured(desk: Desk, name: str, found: Found) -> bool:
    """Whether the board holds its settings; then those of the command do not count."""
    there = found.identity is not None and found.identity["provisioned"] is not None
    return found.relay is not None or (there and desk.journal.did(name, "configured"))


def listed(desk: Desk, name: str) -> dict[str, Any] | None:
    """What the issuer lists under this name."""
    issuer = desk.issuer
    return next((each for each in issuer.relays if each["name"] == name), None) if issuer else None


def check_name(desk: Desk, settings: Settings, found: Found) -> None:
    """Raise unless the board is no relay yet, or this one, and the address is this relay's or free."""
    told = found.relay or found.identity
    name = None if told is None else told.get("name") if found.relay else told["provisioned"]
    if name not in (None, settings.name):
        raise OtherRelay(
            f"the board at {found.place} is the relay '{name}', not '{settings.name}'",
            f"plug in another board, or erase this one: tessera flash factory-reset --relay {name}",
        )
    if found.identity and found.identity["problem"]:
        raise ProvisioningFailed(
            f"the board's file system is damaged: {found.identity['problem']}",
            "see docs/it/recovery.md, 'A board fails'",
        )
    entry = listed(desk, settings.name)
    if entry is None:
        assert desk.issuer is not None
        desk.issuer.check_relay(settings.name, settings.host, settings.port, settings.time_server)
    elif (entry["host"], entry["port"]) != (settings.host, settings.port):
        raise UsageError(
            f"'{settings.name}' is listed with the address {addresses.shown(entry['host'], entry['port'])}",
            f"repeat with --host {addresses.shown(entry['host'], entry['port'])}, or choose another name",
        )


def check_capacity(desk: Desk, board: str) -> None:
    """The parameters were planned for a board; another one may have a smaller ring, or a smaller heap. Raises
    WrongBoard."""
    needed, chosen = desk.parameters, boards.board(board)
    most = needed.posts_per_epoch * (needed.retention_epochs + 1)
    room = chosen.ring_pages - SPARE_PAGES
    if most > room:
        raise WrongBoard(
            f"a {board} has room for {room} records, and this office's members may post {most}",
            f"use a board with more flash, or make a plan for this one: tessera plan --board {board}",
        )
    if chosen.cell_records is not None and needed.largest_cell > chosen.cell_records:
        raise WrongBoard(
            f"the heap of a {board} has room for {chosen.cell_records} records of one cell, and this office's cells "
            f"may have {needed.largest_cell}",
            f"make a plan for this board: tessera plan --board {board}; or use a relay on a computer: tessera relay "
            "new",
        )


def check_same_board(desk: Desk, name: str, identity: dict[str, Any]) -> None:
    """Raise OtherRelay if the relay was begun on another board and is listed with the keys of that one."""
    begun = desk.journal.fact(name, "chip_id")
    if begun not in (None, identity["chip_id"]) and listed(desk, name) is not None:
        raise OtherRelay(
            f"the set-up of '{name}' began on another board (chip {begun}; this one is {identity['chip_id']})",
            f"plug that board in, or give it up: tessera relay remove {name} --issuer {desk.directory}",
        )


def check_keys_drawn(desk: Desk, name: str, static_key: bytes, ledger_key: bytes) -> None:
    """Raise OtherRelay if the relay is listed, and not with these keys."""
    entry = listed(desk, name)
    if entry is not None and (entry["key"], entry["ledger"]) != (static_key, ledger_key):
        raise OtherRelay(
            f"'{name}' is listed with other keys: this is another board, or the board was reset since",
            f"plug in the board with those keys, or give it up: tessera relay remove {name} --issuer {desk.directory}",
        )
