"""Two members who have met and hold tokens, and a relay in memory, for the tests of sending and fetching.

The privacy budget is large unless a test says otherwise, as most tests are not about it.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tessera import hashes
from tessera_host.member.fetching import FetchReport
from tessera_host.member.state import MemberState
from tessera_host.protocol.relay_connection import RelayConnection
from tests.support import correspondence, quick_keystores
from tests.support.fake_federation import LARGE, FakeFederation, FakeIssuer, RoundClock
from tests.support.organisation import Organisation

_PREPARED = TemporaryDirectory(prefix="tessera-office-")
_issuers: dict[str, FakeIssuer] = {}


class Office(Organisation):
    """Made once for each budget and change of parameters, and copied: tokens take their time."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, budget: dict[str, str] = LARGE, **changes: Any
    ) -> None:
        # Deriving the key is not what these tests are about.
        quick_keystores.use(monkeypatch)
        name = hashes.sha256(repr((budget, changes)).encode()).hex()[:16]
        prepared = Path(_PREPARED.name, name)
        if name not in _issuers:
            _issuers[name] = _prepare(prepared, budget, changes)
        shutil.copytree(prepared, folder, dirs_exist_ok=True)
        self.federation, charged = _issuers[name].federation, _issuers[name].charged.copy()
        clock = RoundClock()
        self.federation.digests = {0: bytes(32), 1: self.federation.parameters.digest}
        super().__init__(folder, FakeIssuer(self.federation, now=clock, charged=charged), clock)
        self.relay = self.federation.relay(self.clock)
        self.relay.serve(monkeypatch)
        self.open("Ann")
        self.open("Bob")

    @property
    def ann(self) -> MemberState:
        return self.members["Ann"]

    @property
    def bob(self) -> MemberState:
        return self.members["Bob"]

    def fetch(self, name: str) -> FetchReport:
        """A fetch after the open round was sealed."""
        self.clock.next_round()
        return asyncio.run(correspondence.fetch(self.members[name]))


def _prepare(folder: Path, budget: dict[str, str], changes: dict[str, Any]) -> FakeIssuer:
    issuer = FakeIssuer(FakeFederation(said={"budget": budget}, **changes))
    with Organisation(folder, issuer, RoundClock()) as prepared:
        prepared.two_who_met("Ann", "Bob")
    return issuer


class Time:
    """A clock with fractions that only sleeping moves, for programs that run for days in a test of a second."""

    def __init__(self, clock: RoundClock) -> None:
        self._clock = clock
        self.now = float(clock.now)
        self.last = float("inf")  # here it stands still
        self.suspend_at: float | None = None
        self.suspend_seconds = 0.0
        self.while_asleep: Callable[[], None] = lambda: None
        self.deadline: asyncio.Timeout | None = None  # the one that is open
        self.deadline_seconds: list[float] = []

    def __call__(self) -> float:
        return self.now

    @contextlib.asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """A deadline that comes when a test says so (`expire`): no work takes time here."""
        self.deadline_seconds.append(seconds)
        async with asyncio.timeout(None) as self.deadline:
            yield
        self.deadline = None

    def expire(self) -> None:
        """The time of what goes on now is over."""
        assert self.deadline is not None, "it has no deadline"
        self.deadline.reschedule(0)

    async def sleep(self, seconds: float) -> None:
        if self.now + seconds > self.last:
            await asyncio.sleep(0.001)
            return
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
        for name, looks_like in {"info": "small", "auth": "small", "post": "small", "void": "small"}.items():
            self._watch(monkeypatch, RelayConnection, name, looks_like)
        self._watch(monkeypatch, RelayConnection, "fetch", "fetch")
        self._watch(monkeypatch, RelayConnection, "open", "full handshake")
        self._watch(monkeypatch, RelayConnection, "resume", "resumption")

    def _watch(self, monkeypatch: pytest.MonkeyPatch, of: type, name: str, looks_like: str) -> None:
        real = getattr(of, name)

        async def seen(it: Any, *arguments: Any, **named: Any) -> Any:
            self.seen.append((self._time.now, looks_like))
            return await real(it, *arguments, **named)

        monkeypatch.setattr(of, name, seen)

    def take(self) -> list[tuple[float, str]]:
        taken, self.seen = self.seen, []
        return taken
