"""Two members who have met and hold tokens, and the relay of `sample_federation`: what the tests of talking share.

Its budget is large unless a test says otherwise: most of them are not about it.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from sample_federation import PASSPHRASE, Clock, PaperIssuer, SampleConnection, SampleFederation, SampleRelay

from tessera import hashes
from tessera_host import keystore as keystore_module
from tessera_host import member as member_module
from tessera_host.member import FetchReport, Member

LARGE = {"epsilon": "1000", "delta": "0.5"}


class Office:
    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, budget: dict[str, str] = LARGE, **changes: Any
    ) -> None:
        self.folder = folder
        self.federation = SampleFederation(**changes)
        self._begin(monkeypatch)
        for name in ("Ann", "Bob"):
            card = self.federation.card(budget=budget)
            self.members[name] = Member.create(self.home(name), name, card, PASSPHRASE, self.clock)
        self.bob.accept(self.ann.confirm(self.bob.answer(self.ann.invite("Bob"))))
        for member in self.members.values():
            member.fetch_tokens(self.issuer)

    def _begin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Deriving the key is not what these tests are about.
        monkeypatch.setattr(keystore_module, "_derive", lambda phrase, salt: hashes.sha256(phrase.encode(), salt))
        self.clock = Clock()
        self.issuer = PaperIssuer(self.federation)
        self.relay = SampleRelay(self.federation, self.clock)
        monkeypatch.setattr(member_module, "RelayConnection", self.relay)
        self.members: dict[str, Member] = {}

    @classmethod
    def again(cls, folder: Path, federation: SampleFederation, monkeypatch: pytest.MonkeyPatch) -> Self:
        """The office whose folder was copied here, at the beginning of time, with a relay that knows nobody yet."""
        office = cls.__new__(cls)
        office.folder, office.federation = folder, federation
        office._begin(monkeypatch)
        for name in ("Ann", "Bob"):
            office.members[name] = Member.open(office.home(name), PASSPHRASE, office.clock)
        return office

    def close(self) -> None:
        for member in self.members.values():
            member.close()

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


class Time:
    """A clock with fractions that only sleeping moves, for programs that run for days in a test of a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now = float(clock.now)
        self.suspend_at: float | None = None
        self.suspend_seconds = 0.0
        self.while_asleep: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.suspend_at is not None and self.now >= self.suspend_at:
            self.now += self.suspend_seconds
            self.suspend_at = None
        self._clock.now = int(self.now)
        self.while_asleep()
        await asyncio.sleep(0)


class Wire:
    """What somebody between members and relay sees of them: when a connection begins and of which kind, when which kind
    of frame leaves. A post and a frame that does nothing look the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, time: Time) -> None:
        self.seen: list[tuple[float, str]] = []
        self._time = time
        for name, looks_like in {"info": "small", "auth": "small", "post_once": "small", "void_once": "small"}.items():
            self._watch(monkeypatch, SampleConnection, name, looks_like)
        self._watch(monkeypatch, SampleConnection, "fetch", "fetch")
        self._watch(monkeypatch, SampleRelay, "open", "full handshake")
        self._watch(monkeypatch, SampleRelay, "resume", "resumption")

    def _watch(self, monkeypatch: pytest.MonkeyPatch, of: type, name: str, looks_like: str) -> None:
        real = getattr(of, name)

        async def seen(it: Any, *arguments: Any, **named: Any) -> Any:
            self.seen.append((self._time.now, looks_like))
            return await real(it, *arguments, **named)

        monkeypatch.setattr(of, name, seen)

    def take(self) -> list[tuple[float, str]]:
        taken, self.seen = self.seen, []
        return taken
