"""A fleet whose log is broken goes on in another one: from the gateway that replayed furthest (docs/fleet.md §8, 9).

Owns what has to be so before, and what the first state of the new log is. Leaves to others: finding that a log is
broken (the log and its replay), the gateways that join the new one (storage.join).

The gateway that goes on has all that any of them acknowledged: each answered what it had replayed. It is alone in the
new log, so nobody waits for a view or a key of a gateway that is not there; the others join it anew, with new numbers.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import NotPermitted, Unreachable, UsageError
from ..relay.sqlite_device import Database
from . import engines, storage
from .operated import GatewayStatus, Operated
from .seat import Keys
from .state import State


def check(gateway: Operated, found: Mapping[int, GatewayStatus | None], without: frozenset[int]) -> None:
    """Whether this gateway is the one to go on from. found: how each says it does; without: those that are lost. Raises
    UsageError, Unreachable, NotPermitted."""
    if not gateway.fault:
        raise UsageError("this gateway serves: there is nothing to repair", "tessera fleet status shows which does not")
    state = gateway.state
    if gateway.number not in state.nodes:
        raise UsageError(
            f"gateway {gateway.number} was removed from the fleet, which goes on without it",
            "stop it, and let it join again with a new directory: tessera fleet join",
        )
    for number, status in found.items():
        if number == gateway.number or number in without:
            continue
        if status is None:
            raise Unreachable(
                f"gateway {number} does not answer, and may have replayed more than this one",
                f"start it, or leave it out if it is lost: --without {number}",
            )
        if not status.fault:
            raise UsageError(
                f"gateway {number} serves, so the log is whole",
                f"this gateway alone is at fault: on that one's host, tessera fleet remove DIR {gateway.number}; then "
                "begin here with a new directory: tessera fleet join",
            )
        if status.position > state.position:
            raise UsageError(
                f"gateway {number} has replayed {status.position} entries, and this one {state.position}",
                "type it on that one's host",
            )
        if state.chain_at(status.position) not in (None, status.chain):
            raise NotPermitted(
                f"gateway {number} was shown a log that is not this one",
                "what it acknowledged from there on will be lost; find out which of them the engine lied to, and type "
                f"it on the other one's host with --without {number}",
            )


async def begin_again(directory: Path, database: Database, state: State, keys: Keys, url: str) -> None:
    """Go on alone, in the empty log that `url` names, from a state that is whole. Raises UsageError, LogError."""
    file = storage.FleetFile.read(directory)
    if engines.is_same(url, file.storage):
        raise UsageError("this is the log that is broken", "name another one, whose name was never used")
    file = replace(file, storage=url)
    log = await engines.open_log(file, state.relay_key, state.head)
    try:
        if await log.last():
            raise UsageError(f"{url} has entries already", "name another one, whose name was never used")
    finally:
        await log.close()
    again = state.restarted()
    again.nodes = {file.gateway: state.nodes[file.gateway]}
    storage.keep(database, again, keys)
    database.commit()
    file.write(directory)
