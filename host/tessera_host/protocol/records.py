"""Records and the chains that key them (PROTOCOL §7): 240 bytes that only the contact can read, and only once.

Owns the record format, what the signature of a message is over, the key chains of both directions, and how much a
message carries and how it is cut into parts. What is sent when is `outbox`'s business, what arrived `inbox`'s; neither
is known here. Which settings a `view` is of is `views`'.
"""

import secrets
import struct
from collections.abc import Iterable, Iterator
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
VIEW_BYTES = 4
PAYLOAD_BYTES = 208  # of a part that is not the last
LAST_PAYLOAD_BYTES = 136  # the rest of the last one is for the message as a whole
MAX_PARTS = 16
MESSAGE_BYTES = PAYLOAD_BYTES * (MAX_PARTS - 1) + LAST_PAYLOAD_BYTES

TEXT = 1
TEXT_CONTINUED = 2
FILE = 3
KINDS = (TEXT, TEXT_CONTINUED, FILE)
# Bits of a kind that later versions give a meaning to: the payload begins with a share of 32 bytes; the record is a
# group's, and laid out otherwise.
WITH_SHARE = 128
OF_GROUP = 64

NOT_RECEIVED = (1 << 32) - 1  # `received` of who says nothing of what arrived

GENERATION_MESSAGES = 1 << 18
MAX_MESSAGE = (1 << 32) - 1

_NONCE = bytes(12)  # every key seals one record
_HEAD = struct.Struct(">IBBBB")
_SAID = struct.Struct(f">I{VIEW_BYTES}s")
_STEP = struct.Struct(f"32s{TAG_BYTES}s32s")
_USED = bytes(_STEP.size)


def generation(message: int) -> int:
    """Compute the generation of a message number: it grows when the sender's device is restored from a backup."""
    return message // GENERATION_MESSAGES


class Part(NamedTuple):
    """What one record carries: part `part` of `parts` of message number `message`."""

    message: int
    part: int
    parts: int
    kind: int
    payload: bytes

    @property
    def is_last(self) -> bool:
        """Whether this is the last part, which carries the signature."""
        return self.part + 1 == self.parts

    @property
    def is_known(self) -> bool:
        """Whether this version can read such a message; if not, a newer version made it."""
        return self.kind in KINDS

    @property
    def room(self) -> int:
        """How many bytes of payload such a part carries at most."""
        return LAST_PAYLOAD_BYTES if self.is_last else PAYLOAD_BYTES

    def pack(self) -> bytes:
        """Write the head (8 bytes) and the payload, zero padded: the beginning of a plaintext."""
        head = _HEAD.pack(self.message, self.part, self.parts, self.kind, len(self.payload))
        return head + self.payload.ljust(self.room, b"\0")


@dataclass(frozen=True)
class Closing:
    """What the last part of a message says of the message as a whole, and the record that said it: its place, tag and
    seed. `received` is kept for receipts, which there are none of yet. A claim, until `is_signed`."""

    epoch: int
    index: int
    tag: Annotated[bytes, TAG_BYTES]
    seed: Annotated[bytes, 32] = field(repr=False)
    received: int
    view: Annotated[bytes, VIEW_BYTES]
    signature: Annotated[bytes, SIGNATURE_BYTES]


class Step(NamedTuple):
    """The secrets of one record: key and seed 32 bytes each, tag 8."""

    key: bytes
    tag: bytes
    seed: bytes


def records_of(size: int) -> int:
    """Count the records of a text of so many bytes: one for 136 bytes, one more for each further 208, and 16 for a
    message that is continued in the next."""
    messages, rest = divmod(max(0, size - 1), MESSAGE_BYTES)
    return messages * MAX_PARTS + 1 + -(-max(0, rest + 1 - LAST_PAYLOAD_BYTES) // PAYLOAD_BYTES)


def _pieces(data: bytes) -> list[bytes]:
    """Of one message: as much as fits into each part, in order; little or nothing may be left for the last."""
    return [data[at : at + PAYLOAD_BYTES] for at in range(0, records_of(len(data)) * PAYLOAD_BYTES, PAYLOAD_BYTES)]


def _parts(data: bytes, message: int, kind: int) -> list[Part]:
    pieces = _pieces(data)
    return [Part(message, number, len(pieces), kind, piece) for number, piece in enumerate(pieces)]


def split(text: str, first_message: int) -> list[Part]:
    """Cut a text into parts in the order they are sent; messages after the first continue it."""
    data = text.encode()
    *continued, last = [data[at : at + MESSAGE_BYTES] for at in range(0, max(1, len(data)), MESSAGE_BYTES)]
    made = [part for n, each in enumerate(continued) for part in _parts(each, first_message + n, TEXT_CONTINUED)]
    return made + _parts(last, first_message + len(continued), TEXT)


def split_file(name: str, content: bytes, message: int) -> list[Part]:
    """Cut a file into the parts of one message. Raises InvalidInput if it does not fit into one."""
    title = name.encode()
    room = MESSAGE_BYTES - 1 - len(title)
    if not title or len(title) > 255:
        raise InvalidInput("the file's name is empty or longer than 255 bytes", "rename it")
    if len(content) > room:
        raise InvalidInput(
            f"{name} has {len(content)} bytes; beside a name of this length a message carries at most {room}",
            "send a shorter file, or a text with --file, which may take several messages",
        )
    return _parts(bytes([len(title)]) + title + content, message, FILE)


def read_file(data: bytes) -> tuple[str, bytes]:
    """Read (name, content) of a file that arrived. The sender chose the name: never use it as a path to write to."""
    end = 1 + (data[0] if data else 0)
    return data[1:end].decode(errors="replace"), data[end:]


def bucket_of(mailbox: bytes, buckets: int) -> int:
    """Compute the bucket of a mailbox id (16 bytes)."""
    return int.from_bytes(hashes.tagged("bucket", mailbox)[:2], "big") % buckets


def next_epoch(root: bytes) -> tuple[bytes, bytes]:
    """Derive (root of the next epoch, first chain of this one), 32 bytes each."""
    out = hashes.hkdf_expand(root, b"epoch", 64)
    return out[:32], out[32:]


def next_step(chain: bytes) -> tuple[Step, bytes]:
    """Derive (secrets of this index, chain of the next)."""
    out = hashes.hkdf_expand(chain, b"step", _STEP.size + 32)
    return Step(*_STEP.unpack(out[: _STEP.size])), out[_STEP.size :]


def _place(epoch: int, index: int) -> bytes:
    return struct.pack(">II", epoch, index)


def _blinding(step: Step, epoch: int, index: int) -> bytes:
    digest = hashes.tagged("blind", step.seed + _place(epoch, index))
    return (int.from_bytes(digest, "big") % ORDER).to_bytes(32, "big")


def blinded_secret(secret: bytes, step: Step, epoch: int, index: int) -> bytes:
    """Compute x + t_i mod n for the sender's secret (32 bytes)."""
    return PrivateKey(even_secret(int.from_bytes(secret, "big"))).add(_blinding(step, epoch, index)).secret


def blinded_key(key: bytes, step: Step, epoch: int, index: int) -> bytes:
    """Compute x(lift_x(Y) + t_i·G) for the sender's key (32 bytes): what the recipient verifies under."""
    point = curve.tweak_add(key, _blinding(step, epoch, index))
    return point[1:]


def contents(payloads: Iterable[bytes]) -> bytes:
    """Hash (32 bytes) all that a message carries: its payloads, in order, with their lengths."""
    return hashes.tagged("contents", b"".join(bytes([len(payload)]) + payload for payload in payloads))


def view(seed: bytes, digest: bytes) -> bytes:
    """Compute what the last record of a message says (4 bytes) of the settings, by their digest (32 bytes), that its
    sender holds for the record's epoch. The seed belongs to the record: nobody else can make a view, or tell what it is
    of."""
    return hashes.hmac_sha256(seed, b"view", digest)[:VIEW_BYTES]


def _signed(closing: Closing, part: Part, hashed: bytes) -> bytes:
    """What the signature of a message is over: 62 bytes that its last part has, and the hash of all parts."""
    place = _place(closing.epoch, closing.index) + closing.tag
    head = struct.pack(">IBB", part.message, part.parts, part.kind)
    return hashes.tagged("record", place + head + _SAID.pack(closing.received, closing.view) + hashed)


def seal(
    step: Step,
    epoch: int,
    index: int,
    secret: bytes,
    part: Part,
    hashed: bytes,
    digest: bytes,
    randomness: bytes | None = None,
) -> bytes:
    """Seal a record (240 bytes). `hashed` are the message's `contents`, `digest` (32 bytes) names the settings that
    govern the epoch; only the last part says anything of them. `randomness` (32 bytes, for test vectors) is BIP-340's
    auxiliary input."""
    plaintext = part.pack()
    if part.is_last:
        said = NOT_RECEIVED, view(step.seed, digest)
        closing = Closing(epoch, index, step.tag, step.seed, *said, bytes(SIGNATURE_BYTES))
        signer = blinded_secret(secret, step, epoch, index)
        signature = curve.sign(signer, _signed(closing, part, hashed), randomness or secrets.token_bytes(32))
        plaintext = plaintext[: _HEAD.size] + _SAID.pack(*said) + plaintext[_HEAD.size :] + signature
    return step.tag + AESGCMSIV(step.key).encrypt(_NONCE, plaintext, step.tag)


def open_record(step: Step, epoch: int, index: int, record: bytes) -> tuple[Part, Closing | None]:
    """Open a record with this step's tag: what it carries and, of a last part, what it says of its message.

    Only the two contacts have the keys, so it is from the contact or from a thief of the keys; only a message whose
    parts are all there is proved to be the contact's (`is_signed`). Raises IntegrityError for what does not decrypt,
    or what no version makes. Of a group's record nothing but the head is read.
    """
    try:
        plaintext = AESGCMSIV(step.key).decrypt(_NONCE, record[TAG_BYTES:], step.tag)
    except InvalidTag:
        raise IntegrityError("a record with a known tag does not decrypt") from None
    message, number, parts, kind, length = _HEAD.unpack_from(plaintext)
    part = Part(message, number, parts, kind, b"")
    if not part.part < part.parts <= MAX_PARTS:
        raise IntegrityError("a record from this contact has an impossible part number", "update tessera")
    if part.kind & OF_GROUP:
        return part, None
    rest, closing = plaintext[_HEAD.size :], None
    if part.is_last:
        received, seen = _SAID.unpack_from(rest)
        signature = rest[-SIGNATURE_BYTES:]
        closing = Closing(epoch, index, step.tag, step.seed, received, seen, signature)
        rest = rest[_SAID.size : -SIGNATURE_BYTES]
    if length > len(rest) or any(rest[length:]):
        raise IntegrityError("a record from this contact is not zero padded")
    return part._replace(payload=rest[:length]), closing


def is_signed(closing: Closing, key: bytes, part: Part, hashed: bytes) -> bool:
    """Verify that the owner of `key` (32 bytes) signed the message: its number, parts and kind are those of `part`, any
    of its parts; its `contents` are `hashed`."""
    step = Step(b"", closing.tag, closing.seed)
    signer = blinded_key(key, step, closing.epoch, closing.index)
    return bool(curve.verify(closing.signature, _signed(closing, part, hashed), signer))


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
        """Begin a chain at this epoch, from its root (32 bytes)."""
        following, chain = next_epoch(root)
        return cls(epoch, 0, following, chain)

    def advance(self, epoch: int) -> None:
        """Move on to this epoch. Raises InvalidInput for one that is over: its keys are erased."""
        if epoch < self.epoch:
            raise InvalidInput(
                f"this computer's clock went back: it says epoch {epoch}, and you wrote to this "
                f"contact in epoch {self.epoch}",
                "set this computer's clock",
            )
        while self.epoch < epoch:
            self.root, self.chain = next_epoch(self.root)
            self.epoch, self.index = self.epoch + 1, 0

    def take(self) -> tuple[int, Step]:
        """Return the next index and its secrets. They are given out once."""
        index = self.index
        step, self.chain = next_step(self.chain)
        self.index += 1
        return index, step


@dataclass
class ReceivingChain:
    """The receiver's side of one direction: the secrets of every record that may still come.

    `steps` holds, an epoch, all its steps side by side (72 bytes each, zeros once used), `ends` what those after them
    would follow from; `root` is that of `epoch`, the first not derived yet.
    """

    epoch: int
    root: Annotated[bytes, 32] = field(repr=False)
    steps: dict[int, bytes] = field(default_factory=dict, repr=False)
    ends: dict[int, Annotated[bytes, 32]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError for steps that were cut."""
        if any(len(steps) % _STEP.size for steps in self.steps.values()):
            raise ValueError("its steps are not whole")
        if self.steps.keys() != self.ends.keys():
            raise ValueError("its steps have no end")

    def derive(self, epoch: int, count: int) -> bool:
        """Make the steps of an epoch, the next one or one whose steps are there, up to `count`. Whether there were any
        and are more now. The root before is gone."""
        is_next = epoch == self.epoch
        if is_next:
            self.root, self.ends[epoch] = next_epoch(self.root)
            self.steps[epoch] = b""
            self.epoch += 1
        elif epoch not in self.steps:
            raise ValueError("epochs are derived in order")
        missing, steps, chain = count - len(self.steps[epoch]) // _STEP.size, bytearray(), self.ends[epoch]
        for _ in range(missing):
            step, chain = next_step(chain)
            steps += _STEP.pack(*step)
        self.steps[epoch] += bytes(steps)
        self.ends[epoch] = chain
        return missing > 0 and not is_next

    def unused(self) -> Iterator[tuple[int, int, Step]]:
        """Iterate over (epoch, index, secrets) of every record that was not received yet."""
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
            del self.steps[old], self.ends[old]
        while self.epoch < epoch:
            self.root, _ = next_epoch(self.root)
            self.epoch += 1
