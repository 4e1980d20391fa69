"""Two members who have met, and an office of several relays in memory: each is killed, burned and replaced by a word.

Owns how the relays are reached, the ways of killing one, and a record of what was sent to each. The members' side is
the product's own code.
"""

import asyncio
import random
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tessera import curve, hashes
from tessera_host.agent.engine import Engine, Event, TokenRenewal
from tessera_host.errors import Unreachable
from tessera_host.member import token_exchange
from tessera_host.member.fetching import FetchReport
from tessera_host.member.sharing import SharedMember
from tessera_host.member.state import MemberState
from tessera_host.protocol import blind
from tessera_host.protocol.relay_connection import RelayConnection
from tests.support import correspondence, quick_keystores
from tests.support.fake_federation import LARGE, FakeFederation, FakeIssuer, RoundClock
from tests.support.memory_relay import MemoryRelay
from tests.support.organisation import Organisation
from tests.support.virtual_time import VirtualTimeLoop

_PREPARED = TemporaryDirectory(prefix="tessera-cluster-")
_issuers: dict[str, FakeIssuer] = {}


class _Clock(RoundClock):
    """With the time of a loop on top, once there is one."""

    loop: VirtualTimeLoop | None = None

    def exactly(self) -> float:
        return self.now + (self.loop.time() if self.loop else 0.0)

    def __call__(self) -> int:
        return int(self.exactly())


class Cluster(Organisation):
    """Ann and Bob, and relays by their numbers, from 1. Made once for each choice, and copied: tokens take their
    time."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        relays: int = 3,
        copies: int = 2,
        kind: str = "ring",
        budget: dict[str, str] = LARGE,
        **changes: Any,
    ) -> None:
        quick_keystores.use(monkeypatch)
        said = {"budget": budget, "topology": {"kind": kind, "copies": copies}}
        chosen = relays, said, changes
        name = hashes.sha256(repr(chosen).encode()).hex()[:16]
        if name not in _issuers:
            _issuers[name] = _prepare(Path(_PREPARED.name, name), *chosen)
        shutil.copytree(Path(_PREPARED.name, name), folder, dirs_exist_ok=True)
        self.federation, charged = _issuers[name].federation, _issuers[name].charged.copy()
        self.federation.digests = {0: bytes(32), 1: self.federation.parameters.digest}
        clock = _Clock()
        super().__init__(folder, FakeIssuer(self.federation, now=clock, charged=charged), clock)
        self.clock: _Clock = clock
        self._said, self._changes = said, changes
        self._keys = dict(enumerate(self.federation.relay_keys, 1))
        self.relays = {id_: self.federation.relay(self.clock, id_ - 1) for id_ in self._keys}
        self.down: set[int] = set()
        self.silent: set[int] = set()  # a connection hangs until it is given up
        self.frames: list[tuple[int, str]] = []  # of which kind left for which relay, in order
        self._serve(monkeypatch)
        self.open("Ann")
        self.open("Bob")

    @property
    def ann(self) -> MemberState:
        return self.members["Ann"]

    @property
    def bob(self) -> MemberState:
        return self.members["Bob"]

    # -- the network

    def _serve(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def connect(cls: Any, host: str, port: int, handshake: Any, timeout_seconds: float) -> Any:
            id_ = port - 8099
            self.frames.append((id_, "connect"))
            if id_ in self.silent:
                await asyncio.sleep(timeout_seconds)
            if id_ in self.down | self.silent:
                raise Unreachable(f"relay {id_} is away")
            connection = cls(*self.relays[id_].connected(), timeout_seconds)
            connection.relay_of_test = id_
            await connection._shake_hands(handshake)
            return connection

        monkeypatch.setattr(RelayConnection, "_connect", classmethod(connect))
        for name, looks_like in {"post": "frame", "void": "frame", "fetch": "fetch"}.items():
            self._watch(monkeypatch, name, looks_like)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, name: str, looks_like: str) -> None:
        real = getattr(RelayConnection, name)

        async def seen(it: Any, *arguments: Any, **named: Any) -> Any:
            self.frames.append((it.relay_of_test, looks_like))
            return await real(it, *arguments, **named)

        monkeypatch.setattr(RelayConnection, name, seen)

    # -- IT

    def burn(self, id_: int) -> None:
        """The relay is gone for good, with all that it had."""
        self.down.add(id_)

    def replace(self, id_: int) -> None:
        """IT puts a new relay, which has nothing, into the place of one that burned."""
        secret = blind.even_secret(blind.random_scalar())
        made = self._renew(self._keys | {id_: curve.public(secret)})
        for key in [key for key in self.issuer.charged if key[2] == id_]:
            del self.issuer.charged[key]  # of keys that are new nobody has had any
        self.relays[id_] = MemoryRelay(made, secret, self.clock)
        self.down.discard(id_)

    def remove(self, id_: int) -> None:
        """IT takes a relay out of service."""
        self.burn(id_)
        self._renew({known: key for known, key in self._keys.items() if known != id_}, first_epoch=self._epoch() + 1)

    def _epoch(self) -> int:
        epoch: int = self.issuer.newest.epoch_of(self.issuer.newest.round_at(self.clock()))
        return epoch

    def _renew(self, keys: dict[int, bytes], **changes: Any) -> Any:
        self._keys = keys
        listed = [
            {"id": id_, "name": f"relay-{id_ - 1}", "host": "relay.example", "port": 8099 + id_} for id_ in self._keys
        ]
        fields: dict[str, Any] = {"relay_keys": keys, "first_epoch": self._epoch()} | self._changes | changes
        made = self.federation.make_set(self.issuer.newest.serial + 1, said=self._said | {"relays": listed}, **fields)
        self.issuer.before, self.issuer.parameters = self.issuer.newest, made
        return made

    def renew(self, *names: str) -> None:
        """Members visit the issuer: all if none is named."""
        for name in names or self.members:
            self.members[name].reacquire()
            token_exchange.fetch(self.members[name], self.issuer)
            self.members[name].save()

    # -- by hand

    def send(self, text: str) -> correspondence.SendReport:
        """To all relays that answer; what one lacks waits."""
        return asyncio.run(correspondence.send(self.ann, "Bob", text))

    def resend(self) -> None:
        asyncio.run(correspondence.resend(self.ann))

    def fetch(self, name: str = "Bob") -> FetchReport:
        """A fetch after the open round was sealed."""
        self.clock.next_round()
        return asyncio.run(correspondence.fetch(self.members[name]))

    def texts(self) -> list[str]:
        """What is new to Bob."""
        return [message.text for message in self.fetch().messages]


def _prepare(folder: Path, relays: int, said: dict[str, Any], changes: dict[str, Any]) -> FakeIssuer:
    issuer = FakeIssuer(FakeFederation(relays, said=said, **changes))
    with Organisation(folder, issuer, RoundClock()) as prepared:
        prepared.two_who_met("Ann", "Bob")
    return issuer


class Running:
    """A cluster whose members' agents run, in time that only waiting lets pass; they have no issuer on a network but
    with `visiting`, what a member does who goes there."""

    def __init__(
        self, cluster: Cluster, seed: int = 1, visiting: Callable[[MemberState], TokenRenewal] | None = None
    ) -> None:
        self.cluster = cluster
        self.loop = cluster.clock.loop = VirtualTimeLoop()
        self.events: dict[str, list[Event]] = {name: [] for name in cluster.members}
        self._visiting = visiting
        self._dice = {name: random.Random(f"{seed} {name}") for name in cluster.members}

    def run(self, script: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """The script, with the agents beside it."""

        async def beside() -> None:
            engines = [asyncio.create_task(self._engine(name).run()) for name in self.cluster.members]
            try:
                await script()
                for engine in engines:
                    if engine.done():
                        engine.result()
            finally:
                for engine in engines:
                    engine.cancel()
                await asyncio.gather(*engines, return_exceptions=True)

        self.loop.run_until_complete(beside())

    def _engine(self, name: str) -> Engine:
        member = self.cluster.members[name]
        engine = Engine(
            SharedMember(member),
            correspondence.sender(member),
            correspondence.fetcher(member),
            self._visiting(member) if self._visiting else None,
            at_once=True,
            rng=self._dice[name],
            now=self.cluster.clock.exactly,
            monotonic=self.loop.time,
        )
        engine.listeners.add(self.events[name].append)
        return engine

    def of(self, name: str, kind: type[Any]) -> list[Any]:
        return [event for event in self.events[name] if isinstance(event, kind)]

    async def rounds(self, number: float) -> None:
        """So many go by."""
        await asyncio.sleep(number * self.cluster.federation.parameters.round_seconds)

    def close(self) -> None:
        self.loop.close()
