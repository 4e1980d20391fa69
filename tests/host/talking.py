"""Two members who have met and hold tokens, and the relay of `sample_federation`: what the tests of talking share.

Its budget is large unless a test says otherwise: most of them are not about it.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sample_federation import PASSPHRASE, Clock, PaperIssuer, SampleFederation, SampleRelay

from tessera import hashes
from tessera_host import keystore as keystore_module
from tessera_host import member as member_module
from tessera_host.member import FetchReport, Member

LARGE = {"epsilon": "1000", "delta": "0.5"}


class Office:
    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, budget: dict[str, str] = LARGE, **changes: Any
    ) -> None:
        # Deriving the key is not what these tests are about.
        monkeypatch.setattr(keystore_module, "_derive", lambda phrase, salt: hashes.sha256(phrase.encode(), salt))
        self.folder = folder
        self.clock = Clock()
        self.federation = SampleFederation(**changes)
        self.issuer = PaperIssuer(self.federation)
        self.relay = SampleRelay(self.federation, self.clock)
        monkeypatch.setattr(member_module, "RelayConnection", self.relay)
        self.members: dict[str, Member] = {}
        for name in ("Ann", "Bob"):
            card = self.federation.card(budget=budget)
            self.members[name] = Member.create(self.home(name), name, card, PASSPHRASE, self.clock)
        self.bob.accept(self.ann.confirm(self.bob.answer(self.ann.invite("Bob"))))
        for member in self.members.values():
            member.fetch_tokens(self.issuer)

    @property
    def ann(self) -> Member:
        return self.members["Ann"]

    @property
    def bob(self) -> Member:
        return self.members["Bob"]

    def home(self, name: str) -> Path:
        return self.folder / name.lower()

    def reopen(self, name: str) -> Member:
        """As after a crash: only what is on the disk counts."""
        self.members[name].close()
        self.members[name] = Member.open(self.home(name), PASSPHRASE, self.clock)
        return self.members[name]

    def fetch(self, name: str) -> FetchReport:
        """A fetch after the open round was sealed."""
        self.clock.next_round()
        return asyncio.run(self.members[name].fetch())
