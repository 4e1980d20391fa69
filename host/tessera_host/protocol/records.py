"""Records and the chains that key them (PROTOCOL §7): 240 bytes that only the contact can read, and only once.

Owns the record format, the key chains of both directions and how a text is cut into parts. What is sent when is
`outbox`'s business, what arrived `inbox`'s; neither is known here.
"""

import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from coincurve import PrivateKey
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from tessera import curve, hashes

from ..errors import IntegrityError, InvalidInput
from .blind import ORDER, even_secret

TAG_BYTES = 8
SIGNATURE_BYTES = 64
PAYLOAD_BYTES = 144
MAX_PARTS = 16
TEXT = 1
TEXT_CONTINUED = 2
FILE = 3
MESSAGE_BYTES = PAYLOAD_BYTES * MAX_PARTS

GENERATION_MESSAGES = 1 << 18
MAX_MESSAGE = (1 << 32) - 1

_NONCE = bytes(12)  # every key seals one record
_PART = struct.Struct(f">IBBBB{PAYLOAD_BYTES}s")
_STEP = struct.Struct(f"32s{TAG_BYTES}s32s")
_USED = bytes(_STEP.size)


def generation(message: int) -> int:
    """The generation of a message number: it grows when the sender's device is restored from a backup."""
    return message // GENERATION_MESSAGES


class Part(NamedTuple):
    """What one record carries: part `part` of `parts` of message number `message`."""

    message: int
    part: int
    parts: int
    kind: int
    payload: bytes

    def pack(self) -> bytes:
        """The 152 bytes behind the signature."""
        payload = self.payload + bytes(PAYLOAD_BYTES - len(self.payload))
        return _PART.pack(self.message, self.part, self.parts, self.kind, len(self.payload), payload)

    @classmethod
    def unpack(cls, data: bytes) -> "Part":
        """Raises IntegrityError for what no sender of this version makes."""
        message, part, parts, kind, length, payload = _PART.unpack(data)
        if not (part < parts <= MAX_PARTS and kind in (TEXT, TEXT_CONTINUED, FILE) and length <= PAYLOAD_BYTES):
            raise IntegrityError("a record from this contact has fields this program does not know", "update tessera")
        if any(payload[length:]):
            raise IntegrityError("a record from this contact is not zero padded")
        return cls(message, part, parts, kind, payload[:length])


class Step(NamedTuple):
    """The secrets of one record: key and seed 32 bytes each, tag 8."""

    key: bytes
    tag: bytes
    seed: bytes


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + PAYLOAD_BYTES] for at in range(0, len(data), PAYLOAD_BYTES)] or [b""]


def split(text: str, first_message: int) -> list[Part]:
    """The parts of a text in the order they are sent; messages after the first continue it."""
    pieces = _pieces(text.encode())
    groups = [pieces[at : at + MAX_PARTS] for at in range(0, len(pieces), MAX_PARTS)]
    return [
        Part(first_message + number, part, len(group), TEXT if number + 1 == len(groups) else TEXT_CONTINUED, payload)
        for number, group in enumerate(groups)
        for part, payload in enumerate(group)
    ]


def split_file(name: str, content: bytes, message: int) -> list[Part]:
    """The parts of a file: one message. Raises InvalidInput if it does not fit into one."""
    title = name.encode()
    room = MESSAGE_BYTES - 1 - len(title)
    if not title or len(title) > 255:
        raise InvalidInput("the file's name is empty or longer than 255 bytes", "rename it")
    if len(content) > room:
        raise InvalidInput(
            f"{name} has {len(content)} bytes, and a message carries {room} beside this name",
            "send a shorter file, or text, which may take several messages",
        )
    pieces = _pieces(bytes([len(title)]) + title + content)
    return [Part(message, number, len(pieces), FILE, piece) for number, piece in enumerate(pieces)]


def read_file(data: bytes) -> tuple[str, bytes]:
    """(name, content) of a file that arrived. The name is the sender's: never a path to write to."""
    end = 1 + (data[0] if data else 0)
    return data[1:end].decode(errors="replace"), data[end:]


def bucket_of(mailbox: bytes, buckets: int) -> int:
    """The bucket of a mailbox id (16 bytes)."""
    return int.from_bytes(hashes.tagged("bucket", mailbox)[:2], "big") % buckets


def next_epoch(root: bytes) -> tuple[bytes, bytes]:
    """(root of the next epoch, first chain of this one), 32 bytes each."""
    out = hashes.hkdf_expand(root, b"epoch", 64)
    return out[:32], out[32:]


def next_step(chain: bytes) -> tuple[Step, bytes]:
    """(secrets of this index, chain of the next)."""
    out = hashes.hkdf_expand(chain, b"step", _STEP.size + 32)
    return Step(*_STEP.unpack(out[: _STEP.size])), out[_STEP.size :]


def _place(epoch: int, index: int) -> bytes:
    return struct.pack(">II", epoch, index)


def _blinding(step: Step, epoch: int, index: int) -> bytes:
    digest = hashes.tagged("blind", step.seed + _place(epoch, index))
    return (int.from_bytes(digest, "big") % ORDER).to_bytes(32, "big")


def blinded_secret(secret: bytes, step: Step, epoch: int, index: int) -> bytes:
    """x + t_i mod n for the sender's secret (32 bytes)."""
    return PrivateKey(even_secret(int.from_bytes(secret, "big"))).add(_blinding(step, epoch, index)).secret


def blinded_key(key: bytes, step: Step, epoch: int, index: int) -> bytes:
    """x(lift_x(Y) + t_i·G) for the sender's key (32 bytes): what the recipient verifies under."""
    point = curve.tweak_add(key, _blinding(step, epoch, index))
    return point[1:]


def _delivery(step: Step, epoch: int, index: int, body: bytes) -> bytes:
    return hashes.tagged("delivery", _place(epoch, index) + step.tag + body)


def seal(step: Step, epoch: int, index: int, secret: bytes, part: Part, randomness: bytes | None = None) -> bytes:
    """The record (240 bytes). `randomness` (32 bytes, for test vectors) is BIP-340's auxiliary input."""
    body = part.pack()
    signer = blinded_secret(secret, step, epoch, index)
    signature = curve.sign(signer, _delivery(step, epoch, index, body), randomness or secrets.token_bytes(32))
    return step.tag + AESGCMSIV(step.key).encrypt(_NONCE, signature + body, step.tag)


def open_record(step: Step, epoch: int, index: int, key: bytes, record: bytes) -> Part:
    """What a record with this step's tag carries. Raises IntegrityError if it is not from the owner of `key`."""
    try:
        plaintext = AESGCMSIV(step.key).decrypt(_NONCE, record[TAG_BYTES:], step.tag)
    except InvalidTag:
        raise IntegrityError("a record with a known tag does not decrypt") from None
    signature, body = plaintext[:SIGNATURE_BYTES], plaintext[SIGNATURE_BYTES:]
    message = _delivery(step, epoch, index, body)
    if not curve.verify(signature, message, blinded_key(key, step, epoch, index)):
        raise IntegrityError("a record with a known tag is not signed by the contact")
    return Part.unpack(body)


@dataclass
class SendingChain:
    """The sender's place in one direction: `chain` gives index `index` of `epoch`, `root` is the next epoch's.

    What is behind it is gone. Its fields go into the keystore as they are.
    """

    epoch: int
    index: int
    root: Annotated[bytes, 32] = field(repr=False)
    chain: Annotated[bytes, 32] = field(repr=False)

    @classmethod
    def start(cls, epoch: int, root: bytes) -> "SendingChain":
        following, chain = next_epoch(root)
        return cls(epoch, 0, following, chain)

    def advance(self, epoch: int) -> None:
        """Move on to this epoch. Raises InvalidInput for one that is over: its keys are erased."""
        if epoch < self.epoch:
            raise InvalidInput(
                f"epoch {epoch} is over for this contact, epoch {self.epoch} was used", "check this computer's clock"
            )
        while self.epoch < epoch:
            self.root, self.chain = next_epoch(self.root)
            self.epoch, self.index = self.epoch + 1, 0

    def take(self) -> tuple[int, Step]:
        """The next index and its secrets. They are given out once."""
        index = self.index
        step, self.chain = next_step(self.chain)
        self.index += 1
        return index, step


@dataclass
class ReceivingChain:
    """The receiver's side of one direction: the secrets of every record that may still come.

    `steps` holds, an epoch, all its steps side by side (72 bytes each, zeros once used); `root` is that of `epoch`,
    the first not derived yet.
    """

    epoch: int
    root: Annotated[bytes, 32] = field(repr=False)
    steps: dict[int, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError for steps that were cut."""
        if any(len(steps) % _STEP.size for steps in self.steps.values()):
            raise ValueError("its steps are not whole")

    def derive(self, epoch: int, count: int) -> None:
        """Make the `count` steps of the next epoch, which must be `epoch`. The root before is gone."""
        if epoch != self.epoch:
            raise ValueError("epochs are derived in order")
        self.root, chain = next_epoch(self.root)
        steps = bytearray()
        for _ in range(count):
            step, chain = next_step(chain)
            steps += _STEP.pack(*step)
        self.steps[epoch] = bytes(steps)
        self.epoch += 1

    def unused(self) -> Iterator[tuple[int, int, Step]]:
        """(epoch, index, secrets) of every record not received yet."""
        for epoch, steps in self.steps.items():
            for index, fields in enumerate(_STEP.iter_unpack(steps)):
                step = Step(*fields)
                if any(step.key):
                    yield epoch, index, step

    def erase(self, epoch: int, index: int) -> None:
        """Forget the secrets of one record."""
        at = index * _STEP.size
        self.steps[epoch] = self.steps[epoch][:at] + _USED + self.steps[epoch][at + _STEP.size :]

    def forget_before(self, epoch: int) -> None:
        """Forget the epochs before this one, derived or not."""
        for old in [known for known in self.steps if known < epoch]:
            del self.steps[old]
        while self.epoch < epoch:
            self.root, _ = next_epoch(self.root)
            self.epoch += 1
