"""A whole organisation on disk: issuer, a relay in a process of its own, members who reach it over TCP.

Owns how the system tests set one up. Nothing is simulated: keys, tokens, cards and keystores are the product's own.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from tessera_host.cli.demo import free_port
from tessera_host.clock import unix_now
from tessera_host.member.state import MemberState
from tessera_host.member.wallet import proof
from tessera_host.protocol.relay_connection import RelayConnection
from tessera_host.relay.process import RelayProcess
from tests.support.organisation import Listed, Organisation, new_issuer, planned
from tools.emulator.clock import Clock

PASSPHRASE = "a passphrase that appears nowhere else"
ROOT = Path(__file__).resolve().parents[2]
# Short rounds, epochs longer than a test, and little cover traffic, so that reading a round takes little time.
QUICK: dict[str, Any] = {
    "round_seconds": 1,
    "epoch_rounds": 600,
    "retention_epochs": 2,
    "posts_per_token": 32,
}
# Tests talk more in a minute than a member does in a day, at an ε that no office would choose.
ALL_DAY_LONG = {"epsilon": "99", "delta": "0.5"}


class RelayOnCPython(RelayProcess):
    """The same relay directory, served by firmware/relay_unix.py on CPython."""

    def _command(self) -> list[str]:
        script = ROOT / "firmware" / "relay_unix.py"
        return [sys.executable, str(script), str(self.directory), "--port", str(self.port), "--report"]


class OfficeOnDisk(Organisation):
    """An issuer, a relay (not started) and its members in a folder; a context manager that closes and ends it all."""

    def __init__(
        self,
        folder: Path,
        genesis: int | None = None,
        time_server: str | None = None,
        epochs: int = 30,
        clock: Clock | None = None,
        **choice: Any,
    ) -> None:
        """With a clock it lives in the time of an emulated board."""
        self.board_clock = clock
        now = clock.unix if clock else unix_now
        self.port = free_port()
        relay = Listed("relay", "127.0.0.1", self.port, time_server)
        day = {f"day_{name}": Fraction(value) for name, value in ALL_DAY_LONG.items()}
        settings: dict[str, Any] = {"epochs": epochs, "genesis": genesis, "clock": now}
        issuer = new_issuer(folder, planned(**QUICK | day | choice), relay, passphrase=PASSPHRASE, **settings)
        super().__init__(folder, issuer, now, PASSPHRASE)
        self.relay = RelayProcess(folder / "relay", self.port)

    def close(self) -> None:
        self.relay.kill()
        super().close()


@asynccontextmanager
async def admitted(member: MemberState, connections: type[RelayConnection] = RelayConnection) -> AsyncIterator[Any]:
    """A connection of its own on a member's token, to ask the relay what the member would not."""
    relay = member.federation.home
    async with await connections.open(relay.host, relay.port, relay.key, member.federation.newest.access_key) as found:
        epoch = member.federation.epoch_of((await found.info()).open_round)
        token = member.wallet.for_posting(member.wallet.key(epoch, relay.id))
        key, signature = token.key, token.signature
        await found.auth(epoch, key, signature, proof(token, found.handshake_hash))
        yield found


async def read_all(
    member: MemberState,
    end: int | None = None,
    bucket: int = 0,
    connections: type[RelayConnection] = RelayConnection,
) -> dict[int, list[bytes]]:
    """The sealed batches of every round the home relay keeps, up to `end` if it is given: a connection for every 16."""
    async with await _connected(member, connections) as connection:
        info = await connection.info()
    parameters = member.federation.with_digest(info.digest)
    key = member.federation.reading_key(parameters) if parameters else None
    assert key is not None, "the member is not up to date"
    end = info.open_round if end is None else end
    batches: dict[int, list[bytes]] = {}
    for start in range(info.first_round, end, 16):
        async with await _connected(member, connections) as connection:
            found = await connection.fetch(bucket, start, min(start + 16, end), key)
        batches |= {batch.round: batch.records for batch in found}
    assert sorted(batches) == list(range(info.first_round, end))
    return batches


async def _connected(member: MemberState, connections: type[RelayConnection]) -> RelayConnection:
    relay = member.federation.home
    return await connections.open(relay.host, relay.port, relay.key, member.federation.newest.access_key)
