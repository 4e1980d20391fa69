"""What the federation's two secrets sign: parameter sets with their keys, time statements, releases, and that IT is IT
(DESIGN §6).

Owns which fields a set takes from a plan, and that every set can be taken by the relays it lists. Leaves to others:
where the secrets are kept (store.py), when there is a new set and what is in it (renewal.py), which numbers are good
(plan.py), what a release says (releases.py). Nothing here reads or writes a file.
"""

import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

from tessera import curve, hashes, params
from tessera.errors import InvalidObject
from tessera.params import Parameters, digest, encode, encode_time, reading_hash, seal_reading_key

from ..errors import UsageError
from ..kinds_of_cover import DAY, NUMBERS
from ..planning.plan import Plan
from ..privacy import noise
from ..protocol import blind, cards

EPOCHS_MAX = 400
AHEAD = 8  # epochs that members have tokens for beside the open one

# Fields of PROTOCOL §2 that a plan decides: for life, and until the next plan.
LIFELONG = ("round_seconds", "epoch_rounds", "retention_epochs")
_PLANNED = ("members", "tokens_per_epoch", "posts_per_token")

_KEPT = (
    "federation_id",
    "root_key",
    "genesis",
    "log2_buckets",
    "ahead",
    "cover",
    "constant",
    "epsilon",
    "delta",
    "deliveries",
    "day_epsilon",
    "day_delta",
    "guest_access_keys",
    *LIFELONG,
    *_PLANNED,
)


@dataclass(frozen=True)
class ListedRelay:
    """A relay as a set lists it: its number, its static key (33 bytes) and its ledger key (32)."""

    id: int
    key: bytes
    ledger: bytes


@dataclass(frozen=True)
class Content:
    """All of a set that is not a rule: what differs from one to the next."""

    serial: int
    previous: bytes  # digest of the set before, zeros for the first
    generation: int
    first_epoch: int
    epochs: int
    access_key: bytes
    reading_key: bytes
    said: bytes  # what the card says beside the set
    relays: list[ListedRelay]


class ParameterSigner:
    """Signs with root_secret (32 bytes, of a public key with even y); derives all other keys from master (32 bytes)."""

    def __init__(self, root_secret: bytes, master: bytes) -> None:
        self.root_secret = root_secret
        self.master = master

    @classmethod
    def fresh(cls) -> Self:
        """The secrets of a new federation."""
        return cls(blind.even_secret(blind.random_scalar()), secrets.token_bytes(32))

    @property
    def root_key(self) -> bytes:
        """x-only, 32 bytes."""
        return curve.public(self.root_secret)[1:]

    def sign(self, message: bytes) -> bytes:
        """BIP-340 over a digest of 32 bytes, by the root key: 64 bytes."""
        signature: bytes = curve.sign(self.root_secret, message, secrets.token_bytes(32))
        return signature

    def time_statement(self, federation_id: bytes, unix_seconds: int) -> bytes:
        """The signed statement of the time (92 bytes, PROTOCOL §2) by which a relay without a clock sets its clock."""
        body, message = encode_time(federation_id, unix_seconds)
        return body + self.sign(message)

    def epoch_secret(
        self, federation_id: bytes, generation: int, epoch: int, relay_id: int, static_key: bytes, cohort: int = 0
    ) -> bytes:
        """The secret k_{e,j,c} (PROTOCOL §6) that signs the tokens of one epoch, relay and cohort."""
        return blind.epoch_secret(self.master, federation_id, generation, epoch, relay_id, static_key, cohort)

    def access_key(self, federation_id: bytes, number: int) -> bytes:
        """The access key (32 bytes) of this number, from 1 on (PROTOCOL §2). It follows from the master secret, so an
        issuer that was restored from a backup knows those that were given out since."""
        return self._key_of_rotation(b"access-key", federation_id, number)

    def reading_key(self, federation_id: bytes, number: int) -> bytes:
        """The reading key (32 bytes) of this number, from 1 on (PROTOCOL §2)."""
        return self._key_of_rotation(b"reading-key", federation_id, number)

    def _key_of_rotation(self, label: bytes, federation_id: bytes, number: int) -> bytes:
        key: bytes = hashes.hkdf(b"", self.master, label + federation_id + struct.pack(">I", number), 32)
        return key

    def first_rules(self, plan: Plan, genesis: int) -> dict[str, Any]:
        """The rules of a new federation."""
        identity = {"federation_id": secrets.token_bytes(16), "root_key": self.root_key, "genesis": genesis}
        lifelong = {name: getattr(plan.choice, name) for name in LIFELONG}
        return identity | lifelong | {"ahead": AHEAD, "guest_access_keys": []} | planned_rules(plan)

    def signed(self, rules: Mapping[str, Any], content: Content) -> bytes:
        """Sign a whole parameter set, after checking that every relay in it can take it. Raises UsageError."""
        if not 1 <= content.epochs <= EPOCHS_MAX:
            raise UsageError(
                f"a schedule of keys has 1 to {EPOCHS_MAX} epochs, not {content.epochs}",
                f"use --epochs {1 if content.epochs < 1 else EPOCHS_MAX}",
            )
        try:
            head, rest, columns = encode(self._fields(rules, content))
            parameters = Parameters(head + self.sign(digest(head)) + rest + columns)
            parameters.verify()
            if parameters.size(1) > params.MOST_RELAY_BYTES:
                raise InvalidObject(f"they have {parameters.size(1)} bytes, a relay has room for 32768")
        except (InvalidObject, ValueError, struct.error) as error:
            raise UsageError(
                f"these rules make no valid parameters: {error}",
                "plan for fewer members or tokens, or shorten the schedule with --epochs",
            ) from None
        blob: bytes = parameters.blob
        return blob

    def _fields(self, rules: Mapping[str, Any], content: Content) -> dict[str, Any]:
        federation_id, ephemeral = rules["federation_id"], blind.random_scalar().to_bytes(32, "big")
        relays = [
            (
                relay.id,
                relay.key,
                relay.ledger,
                seal_reading_key(ephemeral, relay.key, federation_id, content.serial, relay.id, content.reading_key),
                self._column(federation_id, content, relay, 1 << params.log2_cohorts(rules["members"])),
            )
            for relay in content.relays
        ]
        return dict(rules) | {
            "serial": content.serial,
            "previous": content.previous,
            "generation": content.generation,
            "first_epoch": content.first_epoch,
            "epochs": content.epochs,
            "access_key": content.access_key,
            "reading_hash": reading_hash(content.reading_key),
            "card_hash": cards.said_hash(content.said),
            "ephemeral": curve.public(ephemeral),
            "relays": relays,
        }

    def _column(self, federation_id: bytes, content: Content, relay: ListedRelay, count: int) -> bytes:
        """K_{e,j,c} of every epoch of the schedule and each of so many cohorts for one relay, 32 bytes each."""
        epochs = range(content.first_epoch, content.first_epoch + content.epochs)
        each = (
            self.epoch_secret(federation_id, content.generation, epoch, relay.id, relay.key, cohort)
            for epoch in epochs
            for cohort in range(count)
        )
        return b"".join(map(blind.epoch_key, each))


def schedule(rules: Mapping[str, Any], wanted: int, relays: int) -> int:
    """For how many epochs a set has keys: as many as are wanted; in an office of several cohorts, whose keys differ, no
    more than fit into a relay's copy."""
    cohorts = 1 << params.log2_cohorts(rules["members"])
    if cohorts == 1:
        return wanted
    lists = 32 * len(rules["guest_access_keys"]) + len(rules["thresholds"]) + params.RELAY_BYTES * relays
    rest = params.FIRST_BYTES + params.FIXED_REST_BYTES + lists
    return max(1, min(wanted, (params.MOST_RELAY_BYTES - rest) // (32 * cohorts)))


def rules_of(present: Parameters) -> dict[str, Any]:
    """The rules that a set has, for the set after it."""
    kept = {name: getattr(present, name) for name in _KEPT}
    return kept | {"thresholds": bytes(present.thresholds)}


def planned_rules(plan: Plan) -> dict[str, Any]:
    """The rules that a plan decides, without those that never change (LIFELONG)."""
    choice, (epsilon, delta) = plan.choice, plan.delivery
    day = (choice.day_epsilon, choice.day_delta) if choice.cover == DAY else (Fraction(0), Fraction(0))
    return {name: getattr(choice, name) for name in _PLANNED} | {
        "log2_buckets": choice.buckets.bit_length() - 1,
        "cover": NUMBERS[choice.cover],
        "constant": plan.constant,
        "epsilon": int(epsilon / noise.EPSILON_UNIT),
        "delta": _units(delta),
        "deliveries": choice.deliveries,
        "day_epsilon": int(day[0] / noise.EPSILON_UNIT),
        "day_delta": _units(day[1]),
        "thresholds": plan.table.pack() if plan.table else b"",
    }


def _units(delta: Fraction) -> int:
    """In units of 2^-64, rounded up."""
    return -(-delta * noise.DRAWS // 1)
