"""What the federation's two secrets sign: parameter sets with their schedule of epoch keys, and releases (DESIGN §6).

Owns which fields a set takes from a plan and which a later set keeps. Leaves to others: where the secrets are kept
(store.py), which numbers are good (plan.py), what a release says (releases.py). Nothing here reads or writes a file.

A relay added later needs a set with a larger serial that lists it. Before any relay runs, first_epoch may stay as it
is and the file is simply copied; a relay that runs takes a set by PUSH, and only if first_epoch lies ahead (PROTOCOL
§2): renewing the set of running relays is a job of its own, with a new first_epoch.
"""

import secrets
import struct
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

from tessera import curve
from tessera.errors import InvalidObject
from tessera.params import Parameters, digest, encode

from ..errors import UsageError
from ..planning.plan import Plan
from ..privacy import noise
from ..protocol import blind

EPOCHS_MAX = 400

# Fields of PROTOCOL §2 that a plan decides, and those that a set with another list of relays takes over.
_PLANNED_FIELDS = (
    "round_seconds",
    "epoch_rounds",
    "retention_epochs",
    "buckets",
    "members",
    "tokens_per_epoch",
    "posts_per_token",
)
_KEPT_FIELDS = (
    "federation_id",
    "root_key",
    "access_key",
    "genesis",
    *_PLANNED_FIELDS,
    "epsilon",
    "delta",
    "first_epoch",
)


class ParameterSigner:
    """root_secret signs (32 bytes, of an even key); from master (32 bytes) every epoch's secret follows."""

    def __init__(self, root_secret: bytes, master: bytes) -> None:
        self.root_secret = root_secret
        self.master = master

    @classmethod
    def fresh(cls) -> Self:
        """The secrets of a new federation."""
        return cls(blind.even_secret(blind.random_scalar()), secrets.token_bytes(32))

    def sign(self, message: bytes) -> bytes:
        """BIP-340 over a digest of 32 bytes, by the root key: 64 bytes."""
        signature: bytes = curve.sign(self.root_secret, message, secrets.token_bytes(32))
        return signature

    def epoch_secret(self, federation_id: bytes, epoch: int) -> bytes:
        """k_e: what the tokens of an epoch are signed with."""
        return blind.epoch_secret(self.master, federation_id, epoch)

    def first_set(self, plan: Plan, genesis: int, first_epoch: int, epochs: int) -> bytes:
        """A new federation's set: serial 1, no relays, keys for so many epochs. Raises UsageError."""
        federation_id = secrets.token_bytes(16)
        return self._signed(
            _fields_of_plan(plan)
            | {
                "serial": 1,
                "federation_id": federation_id,
                "root_key": curve.public(self.root_secret)[1:],
                "access_key": secrets.token_bytes(32),
                "genesis": genesis,
                "first_epoch": first_epoch,
                "epoch_keys": self._schedule(federation_id, first_epoch, epochs),
                "relays": [],
            }
        )

    def next_set(self, present: Any, relays: list[tuple[bytes, bytes]]) -> bytes:
        """The set after `present` (tessera.params.Parameters): the next serial, and these relays as (static key of 33
        bytes, ledger key of 32). Raises UsageError."""
        fields = {name: getattr(present, name) for name in _KEPT_FIELDS}
        keys = b"".join(present.epoch_key(epoch) for epoch in range(present.first_epoch, present.end_epoch))
        changed = {"serial": present.serial + 1, "relays": relays}
        return self._signed(fields | {"thresholds": bytes(present.thresholds), "epoch_keys": keys} | changed)

    def _schedule(self, federation_id: bytes, first_epoch: int, epochs: int) -> bytes:
        """K_e of every epoch of the schedule, 32 bytes each. Raises UsageError."""
        if not 1 <= epochs <= EPOCHS_MAX:
            raise UsageError(
                f"a schedule of {epochs} epochs is not in 1 to {EPOCHS_MAX}",
                f"use --epochs {1 if epochs < 1 else EPOCHS_MAX}",
            )
        all_epochs = range(first_epoch, first_epoch + epochs)
        return b"".join(blind.epoch_key(self.epoch_secret(federation_id, epoch)) for epoch in all_epochs)

    def _signed(self, fields: Mapping[str, Any]) -> bytes:
        """A parameter set that a relay will take. Raises UsageError if it would not."""
        try:
            body: bytes = encode(dict(fields))
            parameters = Parameters(body + self.sign(digest(body)))
            parameters.verify()
        except (InvalidObject, ValueError, struct.error) as error:
            raise UsageError(
                f"these are not valid parameters: {error}", "plan for less, or shorten the schedule"
            ) from None
        blob: bytes = parameters.blob
        return blob


def _fields_of_plan(plan: Plan) -> dict[str, Any]:
    choice = asdict(plan.choice)
    return {name: choice[name] for name in _PLANNED_FIELDS} | {
        "epsilon": int(plan.choice.epsilon / noise.EPSILON_UNIT),
        "delta": -(-plan.table.exact_delta * noise.DRAWS // 1),
        "thresholds": plan.table.pack(),
    }
