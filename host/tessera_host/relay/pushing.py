"""Sets and the time, brought to relays by IT itself (PROTOCOL §5, PUSH): `tessera relay push`, `tessera relay time`.

Owns what is asked first, and what each relay's answer comes to. Leaves to others: how a connection becomes the
operator's (operating.py), what a set is (the issuer).
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ..errors import TesseraError, UsageError
from ..issuer.operator import Operator
from ..protocol.federation import Relay, parsed
from ..protocol.relay_connection import RelayConnection
from . import operating

Work = Callable[[Operator, Relay, RelayConnection], Awaitable[tuple[int, int]]]
Line = tuple[Relay, list[bytes], bytes, operating.Sign]


@dataclass(frozen=True)
class Outcome:
    """The result at one relay: the serial of its newest set before and now, or the error."""

    relay: str
    before: int | None = None
    now: int | None = None
    refusal: TesseraError | None = None


async def push(operator: Operator, relays: Iterable[Relay]) -> list[Outcome]:
    """Bring the newest set to each relay that has an older one; one result a relay, errors included."""
    return [await _settled(operator, relay, _push) for relay in relays]


async def push_time(operator: Operator, relays: Iterable[Relay]) -> list[Outcome]:
    """Bring a signed time statement to each relay; one result a relay, errors included."""
    return [await _settled(operator, relay, _push_time) for relay in relays]


async def newest_sets(operator: Operator, known: Sequence[bytes]) -> list[tuple[Relay, bytes | TesseraError]]:
    """Ask each relay for its newest set (its own copy, as bytes), for an issuer that was restored from a backup.
    known: sets from elsewhere, whose access keys are tried too."""
    access_keys = [*(parsed(blob).access_key for blob in known), *operator.access_keys]
    asking = replace(operator, access_keys=access_keys)
    found: list[tuple[Relay, bytes | TesseraError]] = []
    for relay in asking.relays:
        try:
            async with operating.operator(*_line(asking, relay)) as connection:
                found.append((relay, await connection.params()))
        except TesseraError as error:
            found.append((relay, error))
    return found


async def _settled(operator: Operator, relay: Relay, work: Work) -> Outcome:
    try:
        async with operating.operator(*_line(operator, relay)) as connection:
            before, now = await work(operator, relay, connection)
            return Outcome(relay.name, before, now)
    except TesseraError as error:
        return Outcome(relay.name, refusal=error)


async def _push(operator: Operator, relay: Relay, connection: RelayConnection) -> tuple[int, int]:
    newest, before = operator.parameters, (await connection.status()).serial
    if before > newest.serial:
        raise UsageError(
            f"{relay.name} has parameters of serial {before}, but the newest of this issuer are {newest.serial}",
            "if this keystore was restored from a backup: tessera issuer restored DIR",
        )
    if before < newest.serial:
        await connection.push(newest.copy_for(relay.id))
    return before, (await connection.status()).serial


async def _push_time(operator: Operator, relay: Relay, connection: RelayConnection) -> tuple[int, int]:
    await connection.push(operator.time_statement())
    serial = (await connection.status()).serial
    return serial, serial


def _line(operator: Operator, relay: Relay) -> Line:
    """What operating.operator takes."""
    return relay, operator.access_keys, operator.parameters.federation_id, operator.sign
