"""The office of the cluster suite: issuer and service in this program, relays as processes, members in one folder.

Owns what IT does: makes the office, replaces relays that burnt, tells the others. Issuer, service and what is brought
to relays are the product's. Whose relays burn when is play.py's, what members do people.py's.
"""

import asyncio
import os
import random
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tessera_host.agent.engine import Engine
from tessera_host.errors import TesseraError
from tessera_host.issuer.issuer import Issuer
from tessera_host.issuer.service import IssuerServer
from tessera_host.planning import plan
from tessera_host.relay import pushing
from tests.cluster.nodes import Nodes
from tests.cluster.office_loop import OfficeLoop
from tests.cluster.wire_tap import WireTap
from tests.support import quick_keystores
from tests.support.ports import free_ports

PASSPHRASE = "correct horse"
GENESIS = 1_798_761_600  # 1 January 2027, 00:00 UTC
ROUND_SECONDS, EPOCH_ROUNDS, RETENTION_EPOCHS = 3600, 24, 3
_EPOCHS = 60  # 50 burnings take 15; a relay whose schedule ends says so 30 before


@dataclass(frozen=True)
class Setting:
    runtime: str
    topology: str
    copies: int
    nodes: int = 5
    members: int = 24

    @property
    def choice(self) -> plan.Choice:
        """Constant batches; one token for each relay and epoch, of 32 posts."""
        return plan.Choice(
            members=self.members,
            relays=self.nodes,
            topology=self.topology,
            copies=self.copies,
            round_seconds=ROUND_SECONDS,
            epoch_rounds=EPOCH_ROUNDS,
            retention_epochs=RETENTION_EPOCHS,
            allow_small=True,
        )

    def __str__(self) -> str:
        return f"{self.nodes} relays on {self.runtime}, {self.topology}, {self.copies} copies"


class Office:
    """A context manager that kills its relays."""

    def __init__(self, folder: Path, setting: Setting, patch: pytest.MonkeyPatch) -> None:
        quick_keystores.use(patch)
        patch.setattr(os, "fsync", lambda file: None)  # no power fails where this runs
        self.folder, self.setting = folder, setting
        self.loop = OfficeLoop(folder / "time", GENESIS, ROUND_SECONDS)
        patch.setitem(Engine.__init__.__kwdefaults__, "monotonic", self.loop.time)
        self.tap = WireTap(self.loop, patch)
        names = [f"node-{number}" for number in range(1, setting.nodes + 1)]
        self.nodes = Nodes(folder, names, setting.runtime, folder / "time")
        self.loop.seen = self.nodes.seen
        self.reports: list[str] = []
        self._service_port = free_ports(1)
        self._service: asyncio.Task[None] | None = None

    def __enter__(self) -> "Office":
        return self

    def __exit__(self, *_: object) -> None:
        self.nodes.__exit__()
        self.loop.close()

    # -- IT's machine

    async def found(self) -> None:
        made = plan.make(self.setting.choice)
        with Issuer.create(
            self.folder / "issuer", PASSPHRASE, made, "Cluster", epochs=_EPOCHS, genesis=GENESIS, now=self.loop.unix
        ) as issuer:
            issuer.set_service("127.0.0.1", self._service_port)
            for node in self.nodes:
                issuer.add_relay(node.name, "127.0.0.1", node.port, node.directory)
        for node in self.nodes:
            node.start()
        await self.push()
        await self._serve()

    async def _serve(self) -> None:
        server = IssuerServer(Issuer.open(self.folder / "issuer", PASSPHRASE, self.loop.unix))
        ready = asyncio.Event()
        run = server.run("127.0.0.1", self._service_port, ready.set, self.reports.append)
        self._service = asyncio.create_task(run)
        await ready.wait()

    def run(self, course: Coroutine[Any, Any, None]) -> None:
        """From the beginning to its end, and the service's."""

        async def whole() -> None:
            try:
                await course
            finally:
                if self._service:
                    self._service.cancel()
                    await asyncio.gather(self._service, return_exceptions=True)

        self.loop.run_until_complete(whole())

    @contextmanager
    def issuer(self) -> Iterator[Issuer]:
        """IT's commands, beside the service."""
        with Issuer.open(self.folder / "issuer", PASSPHRASE, self.loop.unix) as issuer:
            yield issuer

    async def push(self) -> list[TesseraError]:
        """`tessera relay push` and `tessera relay time`, at those that are on; what was refused."""
        with self.issuer() as issuer:
            operator = issuer.operator()
        on = {node.name for node in self.nodes.on()}
        relays = [relay for relay in operator.relays if relay.name in on]
        outcomes = [*await pushing.push(operator, relays), *await pushing.push_time(operator, relays)]
        return [outcome.refusal for outcome in outcomes if outcome.refusal is not None]

    # -- relays that burn

    def burn(self, names: Sequence[str]) -> None:
        for name in names:
            self.nodes.by_name[name].burn()

    async def replace(self, names: Sequence[str]) -> list[TesseraError]:
        """`tessera relay replace` for each, and the others are told."""
        for name in names:
            node = self.nodes.by_name[name]
            with self.issuer() as issuer:
                issuer.replace_relay(name, node.directory)
            node.start()
        return await self.push()


def relay_key(issuer: Issuer, name: str) -> bytes:
    """The static key of who has this name now."""
    return next(bytes(relay["key"]) for relay in issuer.relays if relay["name"] == name)


def homes(setting: Setting, dice: random.Random) -> list[str]:
    """The home relay of each member: as many on each."""
    names = [f"node-{1 + number % setting.nodes}" for number in range(setting.members)]
    dice.shuffle(names)
    return names
