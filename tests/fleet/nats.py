"""How tests open a log that nodes of NATS keep."""

import asyncio
import contextlib
from typing import Any

from tessera_host.fleet.log import LogUnavailable, NodesMissing
from tessera_host.fleet.nats_configuration import Address
from tessera_host.fleet.nats_log import NatsLog
from tests.patience import PATIENCE_SECONDS
from tests.support.nats_nodes import PASSWORD, USER

_KEEP_SECONDS = 30 * 86_400


async def open_nats(nodes: list[str], name: str, relay: bytes, **settings: Any) -> NatsLog:
    settings = {"user": USER, "password": PASSWORD, "keep_seconds": _KEEP_SECONDS} | settings
    return await NatsLog.open(Address(tuple(nodes), name), relay, **settings)


async def open_when_led(nodes: list[str], name: str, relay: bytes, **settings: Any) -> NatsLog:
    """As soon as a majority has a leader."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(LogUnavailable, NodesMissing):
                return await open_nats(nodes, name, relay, **settings)
            await asyncio.sleep(0.2)
