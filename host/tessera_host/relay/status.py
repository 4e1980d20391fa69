"""How a relay does, asked from afar: the public figures of STATUS (PROTOCOL §5), for who looks after it.

Owns the question and what the figures mean. It needs the federation card only: no token, no keystore.
"""

from dataclasses import dataclass

from tessera import wire

from ..protocol.federation import Federation, Relay
from ..protocol.relay_connection import RelayConnection


@dataclass(frozen=True)
class RelayStatus:
    """A relay's public figures; open_round is None while it has no clock."""

    relay: str
    board: str
    version: str
    firmware_digest: bytes
    uptime_seconds: int
    boots: int
    serial: int
    open_round: int | None
    clock_provisional: bool
    commissioning: bool
    on_trial: bool


async def ask(federation: Federation, relay: Relay) -> RelayStatus:
    """Raises Unreachable, ErrorFrame or IntegrityError."""
    access_key = federation.newest.access_key
    async with await RelayConnection.open(relay.host, relay.port, relay.key, access_key) as connection:
        answer = await connection.status()
    return RelayStatus(
        relay=relay.name,
        board=answer.board,
        version=".".join(str(answer.code >> shift & 255) for shift in (16, 8, 0)),
        firmware_digest=answer.firmware_digest,
        uptime_seconds=answer.uptime_seconds,
        boots=answer.boots,
        serial=answer.serial,
        open_round=None if answer.open_round == wire.NO_ROUND else answer.open_round,
        clock_provisional=bool(answer.flags & wire.PROVISIONAL),
        commissioning=bool(answer.flags & wire.COMMISSIONING),
        on_trial=bool(answer.flags & wire.ON_TRIAL),
    )


def remarks(status: RelayStatus, federation: Federation, own_round: int) -> list[str]:
    """What a person should know of these figures, each with what to do about it; nothing if all is well."""
    found = []
    if status.open_round is None:
        found.append("it has no clock yet: if that stays, check its time server and its network")
    elif abs(status.open_round - own_round) > 1:
        found.append(f"its clock is {abs(status.open_round - own_round)} rounds off this computer's: check both")
    if status.clock_provisional:
        found.append("its clock proves itself when the first member comes")
    if status.commissioning:
        found.append("it was commissioned in this epoch: members are admitted from the next one on")
    if status.on_trial:
        found.append("its code is on trial: it goes back to the one before unless it proves itself")
    if status.serial < federation.newest.serial:
        found.append(f"its parameters have serial {status.serial}, the card's {federation.newest.serial}: push them")
    if status.serial > federation.newest.serial:
        found.append(f"its parameters have serial {status.serial}: this card is out of date")
    return found
