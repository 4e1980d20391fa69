"""A relay's ledger without a relay, for tests of the audit: checkpoints packed and signed by hand after PROTOCOL §11.

Shares no code with firmware/tessera/ledger.py but the curve and the tagged hash.
"""

import hashlib
import struct
from dataclasses import dataclass, field
from fractions import Fraction

from tessera import curve
from tessera.params import Parameters
from tessera_host.privacy import noise
from tessera_host.protocol.federation import Relay
from tessera_host.protocol.relay_connection import RelayFigures
from tessera_host.relay.ledger import LedgerAnswers

from .fake_federation import EPOCH_ROUNDS, FakeFederation

FIRMWARE = hashlib.sha256(b"the firmware").digest()
EPSILON, DELTA = Fraction("0.1"), Fraction("1e-6")


def tagged(name: str, data: bytes) -> bytes:
    tag = hashlib.sha256(b"tessera/1/" + name.encode()).digest()
    return hashlib.sha256(tag + tag + data).digest()


def table_fields(epsilon: Fraction = EPSILON, delta: Fraction = DELTA) -> dict[str, object]:
    """The fields of a parameter set that a real table fills."""
    table = noise.table(epsilon, delta)
    units = -(-table.exact_delta * 2**64 // 1)
    return {"epsilon": int(epsilon * 10**6), "delta": int(units), "thresholds": table.pack()}


@dataclass
class FakeLedger:
    """A federation with one relay, and what the relay signs: with its only key, as FakeFederation's do."""

    federation: FakeFederation = field(
        default_factory=lambda: FakeFederation(**table_fields(), members=40, log2_buckets=1)
    )
    last: bytes | None = None

    def __post_init__(self) -> None:
        self.parameters = self.federation.parameters

    @property
    def key(self) -> bytes:
        return self.federation.relay_keys[0]

    def make_set(self, serial: int, **changes: object) -> Parameters:
        """A set with a real table that lists the relay and follows the last one made of the serial before."""
        return self.federation.make_set(serial, **(table_fields() | changes))

    def relay(self) -> Relay:
        return self.federation.known().relays[0]

    def sign(self, epoch: int, **changes: object) -> bytes:
        """The checkpoint that follows the last one signed."""
        fields = {
            "federation": self.federation.id,
            "key": self.key,
            "rounds": EPOCH_ROUNDS,
            "digest": self.parameters.digest,
            "cover": tagged("cover-commit", b"cover of %d" % epoch),
            "firmware": FIRMWARE,
            "previous": bytes(32) if self.last is None else tagged("checkpoint-link", self.last),
            "secret": self.federation.relay_secrets[0],
        } | changes
        body = struct.pack(
            ">B16s33sII32s32s32s32s", 1, fields["federation"], fields["key"], epoch, fields["rounds"], fields["digest"],
            fields["cover"], fields["firmware"], fields["previous"],
        )  # fmt: skip
        self.last = body + curve.sign(fields["secret"], tagged("checkpoint", body), bytes(32))
        return self.last

    def chain(self, epochs: range | list[int], **changes: object) -> dict[int, bytes]:
        return {epoch: self.sign(epoch, **changes) for epoch in epochs}

    def answers(self, checkpoints: dict[int, bytes], open_epoch: int) -> LedgerAnswers:
        """What a relay would say that has this ledger."""
        round_ = open_epoch * EPOCH_ROUNDS
        figures = RelayFigures(1, 0x000100, FIRMWARE, 100, 1, self.parameters.serial, round_, 0, "FAKE")
        absent = [epoch for epoch in range(open_epoch) if epoch not in checkpoints]
        copy, digest = self.parameters.copy_for(1), self.parameters.digest
        return LedgerAnswers(open_epoch, round_, copy, digest, digest, figures, dict(checkpoints), absent)
