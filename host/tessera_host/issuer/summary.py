"""What an issuer's directory holds, for people and --json: everything that is not secret."""

from typing import Any

from tessera.params import Parameters

from ..kinds_of_cover import kind_of
from ..protocol import schedule
from .store import IssuerStore


def summary(store: IssuerStore, epoch: int, now: int) -> dict[str, Any]:
    """What an issuer holds, without secrets, for JSON. epoch: the open one; now: unix seconds."""
    parameters, issuance, service = store.parameters, store.issuance, store.service
    warning = schedule.warning(parameters, now)
    return {
        "name": store.data["name"],
        "federation_id": parameters.federation_id.hex(),
        "root_key": parameters.root_key.hex(),
        "serial": parameters.serial,
        "digest": parameters.digest.hex(),
        "previous": parameters.previous.hex(),
        "generation": parameters.generation,
        "generation_begins": _epoch_start(parameters, store.data["generation"]["first_epoch"]),
        "genesis": parameters.genesis,
        "round_seconds": parameters.round_seconds,
        "epoch_rounds": parameters.epoch_rounds,
        "current_epoch": epoch,
        "first_epoch": parameters.first_epoch,
        "last_epoch": parameters.end_epoch - 1,
        "schedule_ends": schedule.end(parameters),
        "warning": str(warning) if warning else None,
        "board": store.data["board"],
        "cover": kind_of(parameters),
        "budget": store.budget,
        "retention_days": store.data["retention_days"],
        "topology": store.topology.kind,
        "copies": store.topology.copies,
        "members_max": parameters.members,
        "members": [
            {
                "name": member["name"],
                "key": member["key"].hex(),
                "tokens_this_epoch": this,
                "tokens_next_epoch": following,
            }
            for member in store.roster.listed()
            for this, following in [issuance.charged(member["key"], epoch, epoch + 1)]
        ],
        "relays": [
            relay | {"key": relay["key"].hex(), "ledger": relay["ledger"].hex()} for relay in store.relays.listed()
        ],
        "relays_to_be_replaced": store.relays.vacant(),
        "tokens_per_epoch": parameters.tokens_per_epoch,
        "ahead": parameters.ahead,
        "open_sessions": issuance.open_sessions(),
        "service": {"host": service.host, "port": service.port} if service else None,
        "invitations": store.invitations.listed(now),
        "sets": [
            place | {"digest": place["digest"].hex(), "previous": place["previous"].hex()} for place in store.sets.chain
        ],
    }


def _epoch_start(parameters: Parameters, epoch: int) -> int:
    """Unix seconds."""
    return int(parameters.genesis + epoch * parameters.epoch_rounds * parameters.round_seconds)
