"""A small federation for the tests of the members' side: parameters, an issuer on paper and a relay made of dicts.

The relay checks what a relay checks (token, proof, quota, epoch, resumption) and keeps rounds apart. It has no wire
format: a real relay is in tests/system.
"""

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Any

from tessera import curve, hashes
from tessera.params import Parameters, digest, encode
from tessera_host.errors import Unreachable
from tessera_host.protocol import blind, cards
from tessera_host.protocol.relay_connection import Batch, Info, Refusal, ResumptionRefused

GENESIS = 1_800_000_000
ROUND_SECONDS = 10
EPOCH_ROUNDS = 6
EPOCH_SECONDS = ROUND_SECONDS * EPOCH_ROUNDS
TOKENS = 6  # more than one request may ask for
POSTS = 16
PASSPHRASE = "correct horse"


class Clock:
    """A clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = GENESIS

    def __call__(self) -> int:
        return self.now

    def next_round(self, rounds: int = 1) -> None:
        self.now += rounds * ROUND_SECONDS

    def to_epoch(self, epoch: int) -> None:
        self.now = GENESIS + epoch * EPOCH_SECONDS


class SampleFederation:
    """Keys, parameter sets and the federation card."""

    def __init__(self, relays: int = 1, **changes: Any) -> None:
        self.root = blind.even_secret(blind.random_scalar())
        self.master = secrets.token_bytes(32)
        self.id = secrets.token_bytes(16)
        self.access_key = secrets.token_bytes(32)
        self.relay_keys = [curve.public(blind.even_secret(blind.random_scalar())) for _ in range(relays)]
        self.parameters = self.make_set(1, **changes)

    def make_set(self, serial: int, root: bytes | None = None, **changes: Any) -> Parameters:
        """A signed parameter set."""
        fields: dict[str, Any] = {
            "serial": serial,
            "federation_id": self.id,
            "root_key": curve.public(root or self.root)[1:],
            "access_key": self.access_key,
            "genesis": GENESIS,
            "round_seconds": ROUND_SECONDS,
            "epoch_rounds": EPOCH_ROUNDS,
            "retention_epochs": 2,
            "buckets": 4,
            "members": 8,
            "tokens_per_epoch": TOKENS,
            "posts_per_token": POSTS,
            "epsilon": 1_000_000,
            "delta": 1,
            "thresholds": (1 << 62).to_bytes(8, "big") + (1 << 63).to_bytes(8, "big"),
            "first_epoch": 0,
            "relays": [(key, key[1:]) for key in self.relay_keys],
        } | changes
        first = fields["first_epoch"]
        secrets_ = [blind.epoch_secret(self.master, fields["federation_id"], e) for e in range(first, first + 12)]
        body = encode(fields | {"epoch_keys": b"".join(blind.epoch_key(secret) for secret in secrets_)})
        return Parameters(body + curve.sign(root or self.root, digest(body), bytes(32)))

    def card(self, budget: dict[str, str] | None = None) -> str:
        relays = [
            {"name": f"relay-{number}", "key": key, "host": "relay.example", "port": 8100 + number}
            for number, key in enumerate(self.relay_keys)
        ]
        fields = {"name": "Example", "params": self.parameters.blob, "relays": relays}
        return cards.encode(
            "federation", {**fields, "budget": budget or {"epsilon": "2", "delta": "2e-5"}, "issuer": None}
        )


@dataclass
class PaperIssuer:
    """The issuer's side of token cards without any of its rules."""

    federation: SampleFederation
    bit: int | None = None
    sessions: dict[bytes, tuple[int, list[blind.Nonces]]] = field(default_factory=dict)

    def offer(self, request: str) -> str:
        card = cards.decode(request, "tokens-request")
        signed = hashes.tagged("tokens-request", cards.without_signature(card.fields))
        assert curve.verify(card.fields["sig"], signed, card.fields["member"])
        nonces = [blind.Nonces.fresh() for _ in range(card.fields["count"])]
        session = secrets.token_bytes(16)
        self.sessions[session] = card.fields["epoch"], nonces
        fields = {"request": hashes.tagged("request", card.payload), "session": session, "epoch": card.fields["epoch"]}
        return cards.encode("tokens-offer", {**fields, "offers": [list(pair.offer()) for pair in nonces]})

    def answer(self, challenge: str) -> str:
        fields = cards.decode(challenge, "tokens-challenge").fields
        signed = hashes.tagged("tokens-challenge", cards.without_signature(fields))
        assert curve.verify(fields["sig"], signed, fields["member"])
        epoch, nonces = self.sessions.pop(fields["session"])
        secret = blind.epoch_secret(self.federation.master, self.federation.id, epoch)
        pairs = zip(nonces, fields["challenges"], strict=True)
        answers = [list(blind.answer(secret, pair, (c0, c1), self.bit)) for pair, (c0, c1) in pairs]
        return cards.encode("tokens-answer", {"session": fields["session"], "answers": answers})


@dataclass(eq=False)
class _Refused(Exception):
    code: int
    retry_after: int = 0


class SampleRelay:
    """Stands in for `RelayConnection` in the module `relay_sessions`: `open` and `resume` give connections to it."""

    def __init__(self, federation: SampleFederation, clock: Clock, number: int = 0) -> None:
        self.federation = federation
        self.key = federation.relay_keys[number]
        self.clock = clock
        self.parameters = federation.parameters
        self.rounds_fast = 0
        self.posted: list[tuple[int, int, bytes]] = []  # (round, bucket, record), every one that was stored
        self.used: dict[bytes, int] = {}  # posts by token
        self.sessions: dict[bytes, tuple[int, bytes]] = {}  # resumption secret -> epoch, token
        self.handshakes: list[str] = []
        self.fail_before_store = self.fail_after_store = self.fail_fetch = 0
        self.fetches: list[tuple[int, int, int]] = []

    @property
    def open_round(self) -> int:
        return (self.clock() - GENESIS) // ROUND_SECONDS + self.rounds_fast

    @property
    def epoch(self) -> int:
        return self.open_round // EPOCH_ROUNDS

    @property
    def records(self) -> list[bytes]:
        return [record for _, _, record in self.posted]

    async def open(self, host: str, port: int, relay_key: bytes, access_key: bytes) -> "SampleConnection":
        assert (relay_key, access_key) == (self.key, self.parameters.access_key)
        self.handshakes.append("full")
        return SampleConnection(self, None)

    async def resume(self, host: str, port: int, access_key: bytes, secret: bytes, using: Any) -> "SampleConnection":
        using(hashes.sha256(b"next", secret))
        epoch, token = self.sessions.pop(secret, (-1, b""))
        if epoch != self.epoch:
            raise ResumptionRefused("forgotten")
        self.sessions[hashes.sha256(b"next", secret)] = epoch, token
        self.handshakes.append("resumed")
        return SampleConnection(self, token)


class SampleConnection:
    def __init__(self, relay: SampleRelay, token: bytes | None) -> None:
        self.relay = relay
        self.token = token
        self.epoch = relay.epoch
        self.handshake_hash = secrets.token_bytes(32)
        self.closed = False

    async def __aenter__(self) -> "SampleConnection":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self.closed = True

    async def info(self) -> Info:
        await asyncio.sleep(0)
        first = max(0, self.relay.epoch - 2) * EPOCH_ROUNDS
        parameters = self.relay.parameters
        return Info(1, parameters.digest, parameters.serial, self.relay.open_round, first, "sample")

    async def params(self) -> bytes:
        return self.relay.parameters.blob

    async def auth(self, epoch: int, key: bytes, signature: bytes, proof: bytes) -> tuple[bytes, int]:
        relay = self.relay
        message = blind.token_message(relay.federation.id, epoch, relay.key, key)
        good = curve.verify(signature, message, relay.federation.parameters.epoch_key(epoch))
        good = good and curve.verify(proof, hashes.tagged("session", self.handshake_hash), key)
        if epoch != relay.epoch or not good:
            raise Refusal(_Refused(3))
        self.token, self.epoch = key, epoch
        secret = secrets.token_bytes(32)
        relay.sessions[secret] = epoch, key
        return secret, POSTS - relay.used.get(key, 0)

    async def void_once(self) -> None:
        await asyncio.sleep(0)
        if self.token is None or self.epoch != self.relay.epoch:
            raise Refusal(_Refused(3))

    async def post_once(self, bucket: int, record: bytes) -> int:
        return await self.post(bucket, record)

    async def post(self, bucket: int, record: bytes) -> int:
        await asyncio.sleep(0)
        relay = self.relay
        if relay.fail_before_store:
            relay.fail_before_store -= 1
            raise Unreachable("cut before the record arrived")
        if self.token is None or self.epoch != relay.epoch:
            raise Refusal(_Refused(3))
        if relay.used.get(self.token, 0) >= POSTS:
            raise Refusal(_Refused(4))
        assert len(record) == 240
        relay.used[self.token] = relay.used.get(self.token, 0) + 1
        relay.posted.append((relay.open_round, bucket, record))
        if relay.fail_after_store:
            relay.fail_after_store -= 1
            raise Unreachable("cut before the answer arrived")
        return relay.open_round

    async def fetch(self, bucket: int, start: int, end: int) -> list[Batch]:
        relay = self.relay
        assert self.token is not None
        assert end - start <= 16
        if relay.fail_fetch:
            relay.fail_fetch -= 1
            if not relay.fail_fetch:
                raise Unreachable("cut in a fetch")
        relay.fetches.append((bucket, start, end))
        return [self._batch(bucket, round_) for round_ in range(start, min(end, relay.open_round))]

    def _batch(self, bucket: int, round_: int) -> Batch:
        real = [record for at, to, record in self.relay.posted if (at, to) == (round_, bucket)]
        return Batch(round_, sorted([*real, *(secrets.token_bytes(240) for _ in range(3))]))
