"""A federation whose keys a test holds: parameter sets of any content, an issuer without rules, a relay in memory.

Owns the fixed numbers that tests of the members' side count with. For an issuer with its rules: organisation.py.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tessera import curve, hashes
from tessera.params import Parameters, digest, encode
from tessera_host.protocol import blind, cards
from tessera_host.protocol.federation import Federation, read_card
from tessera_host.protocol.identity import Identity

from .clock import Clock
from .memory_relay import MemoryRelay
from .organisation import PASSPHRASE as PASSPHRASE

GENESIS = 1_800_000_000
ROUND_SECONDS = 10
EPOCH_ROUNDS = 6
EPOCH_SECONDS = ROUND_SECONDS * EPOCH_ROUNDS
TOKENS = 6  # more than one request may ask for
POSTS = 16
NOISE = 3  # dummies in every cell: a table that has one outcome


class RoundClock(Clock):
    """At the start of round 0, and moved by rounds and epochs."""

    def __init__(self) -> None:
        super().__init__(GENESIS)

    def next_round(self, rounds: int = 1) -> None:
        self.now += rounds * ROUND_SECONDS

    def to_epoch(self, epoch: int) -> None:
        self.now = GENESIS + epoch * EPOCH_SECONDS


class FakeFederation:
    """Keys, parameter sets and the federation card. A relay's ledger key is its static one."""

    def __init__(self, relays: int = 1, **changes: Any) -> None:
        self.root = blind.even_secret(blind.random_scalar())
        self.master = secrets.token_bytes(32)
        self.id = secrets.token_bytes(16)
        self.access_key = secrets.token_bytes(32)
        self.relay_secrets = [blind.even_secret(blind.random_scalar()) for _ in range(relays)]
        self.relay_keys = [curve.public(secret) for secret in self.relay_secrets]
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
            "thresholds": bytes(8 * NOISE) + b"\xff" * 8,
            "first_epoch": 0,
            "relays": [(key, key[1:]) for key in self.relay_keys],
        } | changes
        first = fields["first_epoch"]
        secrets_ = [blind.epoch_secret(self.master, fields["federation_id"], e) for e in range(first, first + 12)]
        body = encode(fields | {"epoch_keys": b"".join(blind.epoch_key(secret) for secret in secrets_)})
        return Parameters(body + curve.sign(root or self.root, digest(body), bytes(32)))

    def relay(self, now: Callable[[], float], number: int = 0) -> MemoryRelay:
        return MemoryRelay(self.parameters, self.relay_secrets[number], now)

    def known(self) -> Federation:
        """What a member knows of it who has the card."""
        return Federation(read_card(self.card()))

    def card(self, budget: dict[str, str] | None = None) -> str:
        relays = [
            {"name": f"relay-{number}", "key": key, "host": "relay.example", "port": 8100 + number}
            for number, key in enumerate(self.relay_keys)
        ]
        fields = {"name": "Example", "params": self.parameters.blob, "relays": relays}
        return cards.encode(
            "federation", {**fields, "budget": budget or {"epsilon": "2", "delta": "2e-5"}, "issuer": None}
        )


def identity(name: str, number: int | None = None) -> Identity:
    """A member's keys, of this scalar if it is given."""
    secret = blind.even_secret(number or blind.random_scalar())
    return Identity(name, secret, curve.public(secret)[1:], name.encode().ljust(16))


@dataclass
class FakeIssuer:
    """The issuer's side of token cards without any of its rules."""

    federation: FakeFederation
    budget: dict[str, str] | None = None
    bit: int | None = None
    sessions: dict[bytes, tuple[int, list[blind.Nonces]]] = field(default_factory=dict)

    @property
    def federation_card(self) -> str:
        return self.federation.card(self.budget)

    def admit(self, card: str) -> None:
        """Anybody is a member."""

    def close(self) -> None:
        pass

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
