"""An organisation with its issuer's service in this process, for tests of joining.

Owns the service. organisation.py sets up the rest. Issuer, connection and members are the product's own code.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tessera_host.cli.demo import free_port
from tessera_host.issuer.issuer import Issuer
from tessera_host.issuer.service import IssuerServer, Limits
from tessera_host.planning import plan
from tessera_host.protocol.federation import Federation, read_card
from tessera_host.protocol.identity import Identity
from tessera_host.protocol.invitation import Invitation
from tessera_host.protocol.issuer_connection import IssuerConnection
from tests.support import quick_keystores
from tests.support.clock import Clock
from tests.support.fake_member import FakeMember
from tests.support.organisation import PASSPHRASE as PASSPHRASE
from tests.support.organisation import Listed, Organisation, new_issuer, planned

PLAN = planned(members=3)


class Office(Organisation):
    """One member on the roster; the issuer is closed, so that the service and IT's commands (`it`) can open it."""

    def __init__(self, folder: Path, made: plan.Plan = PLAN) -> None:
        self.port = free_port()
        clock = Clock()
        super().__init__(folder, new_issuer(folder, made, Listed(), clock=clock, service_port=self.port), clock)
        self.reports: list[str] = []
        self.card: str = self.issuer.federation_card
        self.member = self.admit("ann")
        self.issuer.close()
        self.federation = Federation(read_card(self.card))
        self.ann = self.cards_of(self.member.identity)

    @property
    def federation_card(self) -> str:
        return self.card

    def cards_of(self, identity: Identity) -> FakeMember:
        """Of a member only what it signs."""
        return FakeMember(identity.name, self.federation.id, identity.secret)

    def newcomer(self, name: str) -> FakeMember:
        """On no roster yet."""
        return FakeMember(name, self.federation.id)

    def admit_in_the_service(self, name: str) -> FakeMember:
        """On the roster."""
        made = self.newcomer(name)
        with self.it() as issuer:
            issuer.admit(made.card())
        return made

    def issuer_epoch(self) -> int:
        newest = self.federation.newest
        return newest.epoch_of(newest.round_at(self.clock()))

    def request(self, member: FakeMember) -> str:
        """A tokens-request of now, under the federation card that members have."""
        return member.request(self.federation.newest.generation, self.issuer_epoch(), self.clock())

    def it(self) -> Issuer:
        """IT's own commands, beside the service."""
        return self.open_issuer()

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
    made.close()
    assert made.reports == []
