"""New code for a relay, brought by a member (PROTOCOL §5, STAGE): IT's office works from anywhere.

Owns the waiting between two visits and what a refusal means here. The pieces are `staging`'s.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from tessera.release import Release
from tessera.staging import ACTIVATED, STAGED

from ..errors import RelayRefused
from ..protocol import relay_connection, staging
from ..protocol.relay_connection import ErrorFrame
from .relay_sessions import RelaySessions
from .state import MemberState


async def update(
    state: MemberState, relay_name: str, release: Release, artifact: bytes, advance: staging.Advance
) -> int:
    """Bring new code to a relay on a fetching token; seconds until it is tried. Goes on where an earlier one ended.

    A relay has to erase before it takes any, which it does after seals: then this waits, without a connection.
    Raises RelayRefused if it does not take this release.
    """
    relay, sessions = state.federation.relay_named(relay_name), RelaySessions(state)
    while True:
        async with sessions.session(relay, state.wallet.for_fetching) as session:
            with _explained():
                step = await staging.stage(session.connection, release, artifact, advance)
                if step.state == STAGED:
                    step = await session.connection.activate_stage()
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
            "it has to be newer than what runs, for the relay's own board, and made for its base: compare them with "
            "what `tessera relay status` says, or flash the whole image",
        ) from None
