"""An office with a relay on paper, an issuer on disk and its service in this process, for tests of joining.

Owns how it is set up. The issuer, the service, the connection and the members are the product's.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import quick_keystores
from tessera_host.cli.demo import free_port
from tessera_host.issuer.issuer import Issuer
from tessera_host.issuer.service import IssuerServer, Limits
from tessera_host.member.state import MemberState
from tessera_host.planning import plan
from tessera_host.protocol.federation import Federation, read_card
from tessera_host.protocol.invitation import Invitation
from tessera_host.protocol.issuer_connection import IssuerConnection

PASSPHRASE = "correct horse"
NOW = 1_767_225_607
PLAN = plan.make(
    plan.Choice(plan.decimal_option("epsilon", "1"), plan.decimal_option("delta", "1e-6"), members=3, allow_small=True)
)


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


class Office:
    """An issuer with a relay and a service, in this process, and one member on the roster."""

    def __init__(self, folder: Path, made: plan.Plan = PLAN) -> None:
        self.folder = folder
        self.port = free_port()
        self.clock = Clock()
        self.reports: list[str] = []
        with Issuer.create(folder / "issuer", PASSPHRASE, made, "Office", now=self.clock) as issuer:
            issuer.add_relay("first", "relay.example", 8100, folder / "relay")
            issuer.set_service("127.0.0.1", self.port)
            self.card = issuer.federation_card
            self.member = self.create("ann")
            issuer.admit(self.member.card())
        self.federation = Federation(read_card(self.card))

    def create(self, name: str) -> MemberState:
        return MemberState.create(self.folder / name, name, self.card, PASSPHRASE, self.clock)

    def it(self) -> Issuer:
        """IT's own commands, beside the service."""
        return Issuer.open(self.folder / "issuer", PASSPHRASE, self.clock)

    def invite(self, name: str, **options: Any) -> Invitation:
        with self.it() as issuer:
            return issuer.invite(name, **options)

    @asynccontextmanager
    async def serving(self, **limits: Any) -> AsyncIterator[None]:
        issuer = self.it()
        server = IssuerServer(issuer, Limits(**limits))
        ready = asyncio.Event()
        task = asyncio.create_task(server.run("127.0.0.1", self.port, ready.set, self.reports.append))
        await ready.wait()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            issuer.close()

    async def connect(self, access_key: bytes | None = None, key: bytes | None = None) -> IssuerConnection:
        service = self.federation.issuer
        assert service is not None
        access_key = access_key or self.federation.newest.access_key
        return await IssuerConnection.open(service.host, service.port, key or service.key, access_key, 5)


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """It keeps quick keystores; no service of it may have had anything to report."""
    quick_keystores.use(monkeypatch)
    made = Office(tmp_path)
    yield made
    made.member.close()
    assert made.reports == []
