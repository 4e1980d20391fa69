"""How a relay does, asked from afar: the public figures of STATUS and INFO (PROTOCOL §5), for who looks after it.

Owns the question and what the figures mean. It needs the federation card only: no token, no keystore.
"""

from dataclasses import dataclass

from tessera import wire

from ..errors import ScheduleEnding
from ..protocol import schedule
from ..protocol.federation import Federation, Relay
from ..protocol.relay_connection import RelayConnection


@dataclass(frozen=True)
class RelayStatus:
    """A relay's public figures. `newest_serial` is of the newest set it holds, `serial` of the one that governs the
    open epoch; that and `open_round` are None while it has no clock."""

    relay: str
    board: str
    version: str
    firmware_digest: bytes
    uptime_seconds: int
    boots: int
    newest_serial: int
    serial: int | None
    open_round: int | None
    clock_provisional: bool
    commissioning: bool
    on_trial: bool
    schedule_ending: bool


async def ask(federation: Federation, relay: Relay) -> RelayStatus:
    """Raises Unreachable, ErrorFrame or IntegrityError."""
    access_key = federation.newest.access_key
    async with await RelayConnection.open(relay.host, relay.port, relay.key, access_key) as connection:
        answer = await connection.status()
        has_clock = answer.open_round != wire.NO_ROUND
        serial = (await connection.info()).serial if has_clock else None
    return RelayStatus(
        relay=relay.name,
        board=answer.board,
        version=".".join(str(answer.code >> shift & 255) for shift in (16, 8, 0)),
        firmware_digest=answer.firmware_digest,
        uptime_seconds=answer.uptime_seconds,
        boots=answer.boots,
        newest_serial=answer.serial,
        serial=serial,
        open_round=answer.open_round if has_clock else None,
        clock_provisional=bool(answer.flags & wire.PROVISIONAL),
        commissioning=bool(answer.flags & wire.COMMISSIONING),
        on_trial=bool(answer.flags & wire.ON_TRIAL),
        schedule_ending=bool(answer.flags & wire.ENDING),
    )


def remarks(status: RelayStatus, federation: Federation, own_round: int) -> list[str]:
    """What a person should know of these figures, each with what to do about it; nothing if all is well."""
    found = []
    if status.open_round is None:
        found.append(
            "it has no clock yet: if that stays, check its time server and its network, or give it the time: tessera "
            "relay time"
        )
    elif abs(status.open_round - own_round) > 1:
        found.append(f"its clock is {abs(status.open_round - own_round)} rounds off this computer's: check both")
    if status.clock_provisional:
        found.append("its clock is not borne out yet: a member who comes does that, or tessera relay time")
    if status.commissioning:
        found.append("it was commissioned in this epoch: members are admitted from the next one on")
    if status.on_trial:
        found.append("its code is on trial: it goes back to the one before unless it proves itself")
    newest = federation.newest.serial
    if status.newest_serial < newest:
        found.append(
            f"its newest parameters have serial {status.newest_serial}, the card's {newest}: members bring those, and "
            "so does tessera relay push"
        )
    if status.newest_serial > newest:
        found.append(f"its newest parameters have serial {status.newest_serial}: this card is out of date")
    if status.serial is not None and status.serial < status.newest_serial:
        found.append(f"those in force have serial {status.serial}: the newest begin with a later epoch")
    return found


def ending(status: RelayStatus, federation: Federation, now: float) -> ScheduleEnding | None:
    """What to say if the schedule of keys ends soon: the card's, or only that of the set which the relay holds."""
    found = schedule.warning(federation.newest, now)
    if found is None and status.schedule_ending:
        found = ScheduleEnding(
            f"the schedule of keys that '{status.relay}' holds (serial {status.newest_serial}) ends soon, or has ended",
            "bring it the newest parameters: tessera relay push",
        )
    return found
