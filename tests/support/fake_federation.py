"""A federation whose keys a test holds: parameter sets of any content, an issuer without rules, a relay in memory.

Owns the fixed numbers that tests of the members' side count with. For an issuer with its rules: organisation.py.
"""

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tessera import curve, hashes
from tessera.params import (
    DELIVERY,
    Parameters,
    digest,
    encode,
    encode_time,
    log2_cohorts,
    reading_hash,
    seal_reading_key,
)
from tessera_host.privacy import noise
from tessera_host.protocol import blind, cards
from tessera_host.protocol.federation import DEFAULT_RETENTION_DAYS, Federation, read_card
from tessera_host.protocol.identity import Identity
from tessera_host.protocol.limits import OPEN_SESSIONS_PER_KEY
from tessera_host.protocol.sets_beside import SetBeside, SetsBeside
from tessera_host.protocol.welcome import Welcome

from .clock import Clock
from .memory_relay import MemoryRelay
from .organisation import PASSPHRASE as PASSPHRASE

GENESIS = 1_800_000_000
ROUND_SECONDS = 10
EPOCH_ROUNDS = 6
EPOCH_SECONDS = ROUND_SECONDS * EPOCH_ROUNDS
TOKENS = 6  # more than one request may ask for
POSTS = 16
EPOCHS = 12
AHEAD = 3
NOISE = noise.table(Fraction(1), Fraction("3e-4"))  # few dummies: three records are within ε = 3, δ = 1e-3
LARGE = {"epsilon": "50", "delta": "0.5"}  # a day's budget, for the many tests that are not about it


class RoundClock(Clock):
    """At the start of round 0, and moved by rounds and epochs."""

    def __init__(self) -> None:
        super().__init__(GENESIS)

    def next_round(self, rounds: int = 1) -> None:
        self.now += rounds * ROUND_SECONDS

    def to_epoch(self, epoch: int) -> None:
        self.now = GENESIS + epoch * EPOCH_SECONDS


class FakeFederation:
    """Keys, parameter sets and the federation card. A relay's ledger key is its static one; the first one's number is
    1."""

    def __init__(self, relays: int = 1, **changes: Any) -> None:
        """changes: of the first set, as make_set takes them."""
        self.root = blind.even_secret(blind.random_scalar())
        self.master = secrets.token_bytes(32)
        self.id = secrets.token_bytes(16)
        self.access_key = secrets.token_bytes(32)
        self.reading_key = secrets.token_bytes(32)
        self.relay_secrets = [blind.even_secret(blind.random_scalar()) for _ in range(relays)]
        self.relay_keys = [curve.public(secret) for secret in self.relay_secrets]
        self.reading_keys: dict[bytes, bytes] = {}  # by hash
        self.digests: dict[int, bytes] = {0: bytes(32)}  # of the set last made of each serial
        self._said: dict[bytes, bytes] = {}
        self.parameters = self.make_set(1, **changes)

    def make_set(
        self, serial: int, root: bytes | None = None, said: dict[str, Any] | None = None, **changes: Any
    ) -> Parameters:
        """A signed parameter set, whole; `said` are changes of what the card says beside it, `reading_key` is the key
        itself."""
        beside = self.said(said or {})
        fields: dict[str, Any] = {
            "serial": serial,
            "federation_id": self.id,
            "root_key": curve.public(root or self.root)[1:],
            "previous": self.digests.get(serial - 1, serial.to_bytes(32, "big")),
            "access_key": self.access_key,
            "reading_key": self.reading_key,
            "card_hash": cards.said_hash(beside),
            "genesis": GENESIS,
            "round_seconds": ROUND_SECONDS,
            "epoch_rounds": EPOCH_ROUNDS,
            "retention_epochs": 2,
            "log2_buckets": 2,
            "members": 8,
            "tokens_per_epoch": TOKENS,
            "posts_per_token": POSTS,
            "ahead": AHEAD,
            "cover": DELIVERY,
            "constant": 0,
            "epsilon": int(NOISE.epsilon * 10**6),
            "delta": -(-NOISE.exact_delta * noise.DRAWS // 1),
            "deliveries": 0,
            "day_epsilon": 0,
            "day_delta": 0,
            "guest_access_keys": [],
            "thresholds": NOISE.pack(),
            "generation": 1,
            "first_epoch": 0,
            "epochs": EPOCHS,
            "relay_keys": dict(enumerate(self.relay_keys, 1)),
        } | changes
        self.reading_keys[reading_hash(fields["reading_key"])] = fields["reading_key"]
        made = self._signed(fields, root or self.root)
        self.digests[serial] = made.digest
        self._said[made.digest] = beside
        return made

    def _signed(self, fields: dict[str, Any], root: bytes) -> Parameters:
        ephemeral = blind.random_scalar().to_bytes(32, "big")
        reading_key = fields["reading_key"]
        of_set = fields["federation_id"], fields["serial"]
        relays = [
            (
                id_,
                key,
                key[1:],
                seal_reading_key(ephemeral, key, *of_set, id_, reading_key),
                self._column(fields, id_, key),
            )
            for id_, key in fields["relay_keys"].items()
        ]
        more = {"relays": relays, "ephemeral": curve.public(ephemeral), "reading_hash": reading_hash(reading_key)}
        head, rest, columns = encode(fields | more)
        return Parameters(head + curve.sign(root, digest(head), bytes(32)) + rest + columns)

    def _column(self, fields: dict[str, Any], relay_id: int, static_key: bytes) -> bytes:
        epochs = range(fields["first_epoch"], fields["first_epoch"] + fields["epochs"])
        secrets_ = (
            blind.epoch_secret(
                self.master, fields["federation_id"], fields["generation"], epoch, relay_id, static_key, cohort
            )
            for epoch in epochs
            for cohort in range(1 << log2_cohorts(fields["members"]))
        )
        return b"".join(map(blind.epoch_key, secrets_))

    def said(self, changes: dict[str, Any]) -> bytes:
        """What a card says beside its set."""
        relays = [
            {"id": number, "name": f"relay-{number - 1}", "host": "relay.example", "port": 8099 + number}
            for number in range(1, len(self.relay_keys) + 1)
        ]
        fields = {
            "name": "Example",
            "relays": relays,
            "budget": LARGE,
            "issuer": None,
            "retention_days": DEFAULT_RETENTION_DAYS,
            "partners": [],
            "topology": None,
        }
        return cards.said(fields | changes)

    def time(self, unix_seconds: int) -> bytes:
        """A time statement."""
        body, message = encode_time(self.id, unix_seconds)
        return body + curve.sign(self.root, message, bytes(32))

    def relay(self, now: Callable[[], float], number: int = 0) -> MemoryRelay:
        return MemoryRelay(self.parameters, self.relay_secrets[number], now)

    def known(self) -> Federation:
        """What a member knows of it who has the card."""
        return Federation(read_card(self.card()))

    def card(self, parameters: Parameters | None = None) -> str:
        """The federation card of a set, of the first one if it is not given."""
        parameters = parameters or self.parameters
        return cards.encode("federation", {"params": parameters.blob, "said": self._said[parameters.digest]})


def identity(name: str, number: int | None = None) -> Identity:
    """A member's keys, of this scalar if it is given."""
    secret = blind.even_secret(number or blind.random_scalar())
    return Identity(name, secret, curve.public(secret)[1:], name.encode().ljust(16))


@dataclass
class FakeIssuer:
    """The issuer's side of token cards, with one of its rules: what was offered to a member is not offered again."""

    federation: FakeFederation
    bit: int | None = None
    parameters: Parameters | None = None  # the newest, if it is not the federation's first set
    before: Parameters | None = None  # the one in force, if it is another
    now: Callable[[], int] = lambda: GENESIS
    sessions: dict[bytes, list[tuple[int, int, int, blind.Nonces]]] = field(default_factory=dict)
    charged: Counter[tuple[int, int, int, bytes]] = field(default_factory=Counter)

    @property
    def newest(self) -> Parameters:
        return self.parameters or self.federation.parameters

    @property
    def federation_card(self) -> str:
        return self.federation.card(self.newest)

    def welcome(self, member: bytes) -> Welcome:
        newest, before, now = self.newest, [], self.newest.epoch_of(self.newest.round_at(self.now()))
        if self.before:
            before = [SetBeside(self.before.first_epoch, self.before.blob)]
        since = max(newest.first_epoch, now + 1) if before else newest.first_epoch
        keys = [self.federation.reading_keys[known.reading_hash] for known in (newest, self.before) if known]
        sets = SetsBeside(newest.digest, since, before)
        return Welcome(self.federation_card, sets, list(dict.fromkeys(keys)), self.federation.time(self.now()))

    def admit(self, card: str) -> None:
        """Anybody is a member."""

    def close(self) -> None:
        pass

    def offer(self, request: str) -> str:
        card = cards.decode(request, "tokens-request")
        fields, newest = card.fields, self.newest
        signed = hashes.tagged("tokens-request", cards.without_signature(fields))
        assert curve.verify(fields["sig"], signed, fields["member"])
        generation, made = fields["generation"], newest
        epochs = range(fields["epoch"], fields["epoch"] + newest.ahead + 1)
        if generation != newest.generation:
            made = self.before or newest
            epochs = range(epochs.start, newest.first_epoch)
        assert generation == made.generation
        offers = []
        for epoch in epochs:
            for relay in made.relays if made.first_epoch <= epoch < made.end_epoch else ():
                key = generation, epoch, relay.id, fields["member"]
                count = min(OPEN_SESSIONS_PER_KEY, made.tokens_per_epoch - self.charged[key])
                self.charged[key] += count
                offers += [(generation, epoch, relay.id, blind.Nonces.fresh()) for _ in range(count)]
        session = secrets.token_bytes(16)
        self.sessions[session] = offers
        listed = [[epoch, relay, *nonces.offer()] for _, epoch, relay, nonces in offers]
        request_digest = hashes.tagged("request", card.payload)
        head = {"request": request_digest, "session": session, "generation": generation}
        return cards.encode("tokens-offer", {**head, "offers": listed})

    def answer(self, challenge: str) -> str:
        fields = cards.decode(challenge, "tokens-challenge").fields
        signed = hashes.tagged("tokens-challenge", cards.without_signature(fields))
        assert curve.verify(fields["sig"], signed, fields["member"])
        parts = zip(self.sessions.pop(fields["session"]), fields["challenges"], strict=True)
        answers = [
            list(blind.answer(self._secret(fields["member"], *key), nonces, (c0, c1), self.bit))
            for (*key, nonces), (c0, c1) in parts
        ]
        return cards.encode("tokens-answer", {"session": fields["session"], "answers": answers})

    def _secret(self, member: bytes, generation: int, epoch: int, relay: int) -> bytes:
        static_key = next(each.static_key for each in self.newest.relays if each.id == relay)
        place = generation, epoch, relay, static_key, blind.cohort(self.newest, member)
        return blind.epoch_secret(self.federation.master, self.federation.id, *place)
