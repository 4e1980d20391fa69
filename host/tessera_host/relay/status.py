"""The state of relays, asked over the network: the public figures of STATUS and INFO (PROTOCOL §5), for operators.

Owns the question, and what the figures mean: remarks, each with a code that scripts can rely on. It needs the
federation card only: no token, no keystore.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tessera import wire

from .. import duration
from ..clock import local_time
from ..errors import IntegrityError, RelayRefused, TesseraError, Unreachable
from ..protocol import schedule
from ..protocol.federation import Federation, Relay
from ..protocol.relay_connection import HelloRefused, RelayConnection

# What a remark is about; in `--json`. Those of a relay that nobody has to look at have none.
CLOCK = "clock"
PARAMETERS_BEHIND = "parameters-behind"
CARD_BEHIND = "card-behind"
SCHEDULE_ENDS = "schedule-ends"
UNREACHABLE = "unreachable"
REFUSED = "refused"
INTEGRITY = "integrity"
COMMISSIONING = "commissioning"
ON_TRIAL = "on-trial"
DAMAGED = "damaged"

_FAILURES = ((Unreachable, UNREACHABLE), (RelayRefused, REFUSED), (IntegrityError, INTEGRITY))


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
    damaged: bool


@dataclass(frozen=True)
class Remark:
    """What a person should know, and what to do about it. Without a code: nobody has to do anything."""

    text: str
    code: str | None = None


async def ask_all(
    federation: Federation, relays: Sequence[Relay], now: int
) -> list[tuple[Relay, RelayStatus | None, list[Remark]]]:
    """Ask all relays at once; each with its figures (None if it did not answer) and remarks. now: unix seconds."""

    async def one(relay: Relay) -> tuple[Relay, RelayStatus | None, list[Remark]]:
        try:
            status = await ask(federation, relay)
        except TesseraError as error:
            return relay, None, [_failure(error)]
        return relay, status, remarks(status, federation, now)

    return await asyncio.gather(*map(one, relays))


def _failure(error: TesseraError) -> Remark:
    code = next(code for kind, code in _FAILURES if isinstance(error, kind))
    hint = error.hint
    if isinstance(error, HelloRefused):
        hint = (
            "if it is busy, try again later; if it was away for long, its access key is old: tessera relay push; if "
            "another relay runs there, for example the one that it replaced, stop that one and start the new one"
        )
    return Remark(f"{error.message}; {hint}", code)


async def ask(federation: Federation, relay: Relay) -> RelayStatus:
    """Ask one relay for its figures. Raises Unreachable, ErrorFrame or IntegrityError."""
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
        damaged=bool(answer.flags & wire.DAMAGED),
    )


def remarks(status: RelayStatus, federation: Federation, now: int) -> list[Remark]:
    """What a person should know of a relay's figures; empty if all is well. now: unix seconds."""
    found = [*_of_the_schedule(status, federation, now), *_of_the_clock(status, federation, now)]
    if status.commissioning:
        found.append(Remark("it was commissioned in this epoch and admits members from the next one on", COMMISSIONING))
    if status.on_trial:
        found.append(
            Remark("its new code is on trial: if it does not serve a round, the relay returns to the old one", ON_TRIAL)
        )
    if status.damaged:
        text = (
            "it can no longer read a record that it kept: if this note comes again, its flash is worn out, so replace "
            "the relay: tessera relay replace"
        )
        found.append(Remark(text, DAMAGED))
    return [*found, *_of_the_parameters(status, federation)]


def _of_the_schedule(status: RelayStatus, federation: Federation, now: int) -> list[Remark]:
    """The card's schedule, or only that of the set which the relay holds."""
    if warning := schedule.warning(federation.newest, now):
        return [Remark(f"{warning.message}. {warning.hint}", SCHEDULE_ENDS)]
    if status.schedule_ending:
        text = f"the schedule of keys in its parameters (serial {status.newest_serial}) ends soon or has ended: bring"
        return [Remark(f"{text} the newest to it: tessera relay push", SCHEDULE_ENDS)]
    return []


def _of_the_clock(status: RelayStatus, federation: Federation, now: int) -> list[Remark]:
    """Where a schedule is over no member can bear a clock out: that is not the clock's fault."""
    own = federation.round_at(now)
    if status.open_round is None:
        text = "it does not know the time yet: if that stays so, check its time server and its network, or tell it"
        return [Remark(f"{text}: tessera relay time", CLOCK)]
    found, rounds = [], status.open_round - own
    if abs(rounds) > 1:
        length = duration.about(abs(rounds) * federation.newest.round_seconds)
        side = "ahead of" if rounds > 0 else "behind"
        text = f"its clock is about {length} {side} this computer's, which says {local_time(now)}: check both"
        found.append(Remark(text, CLOCK))
    if status.clock_provisional and not _may_be_over(status, federation, now):
        text = "nothing has confirmed its clock yet: the next member who connects does, or: tessera relay time"
        found.append(Remark(text, CLOCK))
    return found


def _may_be_over(status: RelayStatus, federation: Federation, now: int) -> bool:
    """Whether the schedule that the relay goes by has ended, for all that is known here."""
    if status.newest_serial == federation.newest.serial:
        return now >= schedule.end(federation.newest)
    return status.schedule_ending


def _of_the_parameters(status: RelayStatus, federation: Federation) -> list[Remark]:
    newest = federation.newest.serial
    found = []
    if status.newest_serial < newest:
        text = f"its newest parameters have serial {status.newest_serial}, the card's {newest}: members bring it those"
        found.append(Remark(f"{text}, or at once: tessera relay push", PARAMETERS_BEHIND))
    if status.newest_serial > newest:
        text = (
            f"its newest parameters have serial {status.newest_serial}: this card, of serial {newest}, is out of date, "
            "so use IT's newest"
        )
        found.append(Remark(text, CARD_BEHIND))
    if status.serial is not None and status.serial < status.newest_serial:
        found.append(Remark(f"serial {status.serial} is in force: the newest parameters begin with a later epoch"))
    return found
