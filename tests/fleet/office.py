"""The office of a fleet's plays: issuer and service in this program, engine, gateways and the balancer before them as
processes on addresses of their own, members in one folder. Time is this computer's, rounds are short.

Owns how one is set up, as IT does it, and the processes of gateways. Which of them are killed or cut off when is
play.py's, what members do members.py's.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tessera_host.clock import unix_now
from tessera_host.issuer.issuer import Issuer
from tessera_host.issuer.service import IssuerServer
from tessera_host.planning import plan
from tests.fleet.cabled_engine import CabledEngine
from tests.support.fleet_on_disk import GatewayProcess, grown
from tests.support.ports import free_ports

PASSPHRASE = "correct horse"
NAME = "berlin"
_EPOCHS = 60


@dataclass(frozen=True)
class Setting:
    """Rounds and epochs are shorter than an office's; a token has fewer posts than an epoch has rounds."""

    gateways: int = 3
    members: int = 24
    round_seconds: int = 4
    epoch_rounds: int = 24
    retention_epochs: int = 2
    buckets: int = 1  # constant batches
    posts_per_token: int = 16
    copies: int = 1

    @property
    def choice(self) -> plan.Choice:
        return plan.Choice(
            members=self.members,
            round_seconds=self.round_seconds,
            epoch_rounds=self.epoch_rounds,
            retention_epochs=self.retention_epochs,
            buckets=self.buckets,
            posts_per_token=self.posts_per_token,
            board="GATEWAY",
            allow_small=True,
        )


class OfficeClock:
    """This computer's, by rounds."""

    def __init__(self, genesis: int, round_seconds: int) -> None:
        self._genesis, self._round_seconds = genesis, round_seconds

    def time(self) -> float:
        return time.time()

    def unix(self) -> int:
        return unix_now()

    def round(self) -> int:
        return int((self.time() - self._genesis) // self._round_seconds)

    def start_of(self, round_: int) -> float:
        return float(self._genesis + round_ * self._round_seconds)

    async def next_round(self) -> None:
        await asyncio.sleep(self.start_of(self.round() + 1) - self.time())


class Office:
    """A context manager that ends its processes."""

    def __init__(self, folder: Path, setting: Setting) -> None:
        self.folder, self.setting = folder, setting
        self.loop = OfficeClock(unix_now() - setting.round_seconds // 2, setting.round_seconds)
        first = free_ports(setting.gateways + 2)
        self.port, self._service_port = first + setting.gateways, first + setting.gateways + 1
        self.gateways = {
            number: GatewayProcess(number, folder / f"gateway-{number}", f"127.0.0.{10 + number}", first + number - 1)
            for number in range(1, setting.gateways + 1)
        }
        ends = tuple(f"{each.host}:{each.port}" for each in self.gateways.values())
        self.engine = CabledEngine(
            folder / "engine", tuple(self.gateways), {"members": (f"127.0.0.1:{self.port}", *ends)}
        )
        self.reports: list[str] = []
        self._service: asyncio.Task[None] | None = None

    def __enter__(self) -> "Office":
        return self

    def __exit__(self, *_: object) -> None:
        for gateway in self.gateways.values():
            gateway.kill()
        self.engine.stop()

    @contextmanager
    def issuer(self) -> Iterator[Issuer]:
        with Issuer.open(self.folder / "issuer", PASSPHRASE, unix_now) as issuer:
            yield issuer

    @contextlib.asynccontextmanager
    async def founded(self) -> AsyncIterator[None]:
        """Until the end of the context the issuer's service runs; the fleet is there."""
        made = plan.make(self.setting.choice)
        genesis = int(self.loop.start_of(0))
        with Issuer.create(
            self.folder / "issuer", PASSPHRASE, made, "Fleet", epochs=_EPOCHS, genesis=genesis, now=unix_now
        ) as issuer:
            issuer.set_service("127.0.0.1", self._service_port)
            issuer.add_relay("fleet", "127.0.0.1", self.port, self.gateways[1].directory)
        await asyncio.to_thread(self.engine.nodes.start)
        await grown(list(self.gateways.values()), [self.storage(number) for number in self.gateways])
        server = IssuerServer(Issuer.open(self.folder / "issuer", PASSPHRASE, unix_now))
        ready = asyncio.Event()
        serving = asyncio.create_task(server.run("127.0.0.1", self._service_port, ready.set, self.reports.append))
        try:
            await ready.wait()
            yield
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    def storage(self, gateway: int) -> str:
        """The address of the log, for a gateway."""
        address = self.engine.address(gateway, NAME)
        return f"nats://{','.join(address.nodes)}/{address.name}"
