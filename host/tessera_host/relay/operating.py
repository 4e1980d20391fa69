"""What IT brings to relays over the network, as itself (PROTOCOL §5, AUTH of the operator): sets, the time, new code.

Owns how a connection becomes the operator's, the waiting between two visits, and what a refusal means here. Who can
sign for it, and what is brought, is the issuer's; the pieces of new code are `staging`'s.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from tessera.release import Release
from tessera.staging import ACTIVATED, STAGED

from ..errors import RelayRefused
from ..protocol import addresses, relay_connection, staging
from ..protocol.federation import Relay
from ..protocol.relay_connection import ErrorFrame, HelloRefused, RelayConnection

Sign = Callable[[bytes], bytes]  # the root key's signature (64 bytes) over a message of 32


@asynccontextmanager
async def operator(
    relay: Relay, access_keys: Sequence[bytes], federation_id: bytes, sign: Sign
) -> AsyncIterator[RelayConnection]:
    """Open a connection to a relay as its operator (PROTOCOL §5). access_keys: those that the relay may have, the
    likeliest first; sign: by the root key. Raises Unreachable, RelayRefused or IntegrityError."""
    async with await _connected(relay, access_keys) as connection:
        await connection.operate(federation_id, relay.key, sign)
        yield connection


async def _connected(relay: Relay, access_keys: Sequence[bytes]) -> RelayConnection:
    for access_key in dict.fromkeys(access_keys):
        try:
            return await RelayConnection.open(relay.host, relay.port, relay.key, access_key)
        except HelloRefused as refused:
            refusal = refused
    raise HelloRefused(
        refusal.message,
        f"if it is busy, try again later; if another relay runs at {addresses.shown(relay.host, relay.port)}, for "
        f"example the one that '{relay.name}' replaced, stop that one, start '{relay.name}' there and try again",
    )


async def update(
    relay: Relay,
    access_keys: Sequence[bytes],
    federation_id: bytes,
    sign: Sign,
    release: Release,
    artifact: bytes,
    advance: staging.Advance,
) -> int:
    """Bring new code to a relay; the seconds until the relay tries it. An update that was cut short is continued.

    A relay has to erase before it takes any, which it does after seals: then this waits, without a connection.
    Raises RelayRefused if it does not take this release.
    """
    while True:
        async with operator(relay, access_keys, federation_id, sign) as connection:
            with _explained():
                step = await staging.stage(connection, release, artifact, advance)
                if step.state == STAGED:
                    step = await connection.activate_stage()
        if step.state == ACTIVATED:
            return step.wait_seconds
        await asyncio.sleep(step.wait_seconds)


@contextmanager
def _explained() -> Iterator[None]:
    """A relay gives no reasons; these are all it can have for a release that is signed."""
    try:
        yield
    except ErrorFrame as refusal:
        if refusal.code != relay_connection.BAD_REQUEST:
            raise
        raise RelayRefused(
            "the relay does not take this release",
            "a release has to be newer than the code that runs, for the relay's board, and made for its base: compare "
            "it with what `tessera relay status` shows, or flash the whole image",
        ) from None
