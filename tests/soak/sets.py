"""What the soak's IT signs: one set after the other, each with a reading key of its own and a schedule of a few days,
so that nobody posts for long where none is brought. Who brings them, and what relays make of them, is not known here.
"""

from dataclasses import dataclass, field
from typing import Any

import office
from tessera.hashes import sha256
from tessera.params import Parameters

SCHEDULE_EPOCHS = 12


@dataclass(frozen=True)
class SignedSet:
    """`epoch` was open when it was signed, and is its first."""

    parameters: Parameters
    epoch: int
    reading_key: bytes


@dataclass
class OfficeSets:
    """`shape` are fields that all sets have; the first is signed in epoch 0."""

    shape: dict[str, Any]
    signed: dict[bytes, SignedSet] = field(default_factory=dict)  # by digest, oldest first

    def __post_init__(self) -> None:
        self.sign(0)

    @property
    def newest(self) -> SignedSet:
        return list(self.signed.values())[-1]

    def sign(self, epoch: int) -> SignedSet:
        serial = len(self.signed) + 1
        reading_key = sha256(b"reading key", serial.to_bytes(4, "big"))
        column = office.epoch_keys()[32 * epoch : 32 * (epoch + SCHEDULE_EPOCHS)]
        previous = self.newest.parameters.digest if self.signed else bytes(32)
        place = {"serial": serial, "previous": previous, "first_epoch": epoch}
        blob = office.parameters(reading_key=reading_key, epoch_keys=column, **place, **self.shape)
        made = SignedSet(Parameters(blob), epoch, reading_key)
        self.signed[made.parameters.digest] = made
        return made
