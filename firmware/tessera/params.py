# The signed objects IT hands out: federation parameters and time statements (PROTOCOL §2). The only module that knows
# their bytes. Choosing good parameters is the planner's business (host), keeping them that of parameterstore.

import struct

from . import curve
from .errors import InvalidObject
from .hashes import tagged
from .runtime import const

MAX_BYTES = const(32768)
HEADER_BYTES = const(128)
SPARE_PAGES = const(32)
_SIGNATURE_BYTES = const(64)
_RELAY_BYTES = const(65)
_TIME_BYTES = const(92)
_MAGIC = b"TPR1"
_TIME_MAGIC = b"TTM1"

_HEADER = ">4sI16s32s32sQHHBBHBHIQHIHB"


class Parameters:
    """One parameter set over its bytes; every field of PROTOCOL §2 is an attribute of that name.

    Raises InvalidObject for wrong lengths and values out of range. The signature is checked by verify().
    """

    def __init__(self, blob):
        self.blob = bytes(blob)
        if not HEADER_BYTES + _SIGNATURE_BYTES <= len(self.blob) <= MAX_BYTES:
            raise InvalidObject("parameters have a wrong length")
        self._read_header()
        self._check_ranges()
        self._thresholds_end = HEADER_BYTES + 16 * self.mu
        self._keys_end = self._thresholds_end + 32 * self.epochs
        if len(self.blob) != self._keys_end + _RELAY_BYTES * self._relay_count + _SIGNATURE_BYTES:
            raise InvalidObject("parameters have a wrong length")
        self._check_table()
        self.digest = digest(memoryview(self.blob)[:-_SIGNATURE_BYTES])

    def _read_header(self):
        (
            magic,
            self.serial,
            self.federation_id,
            self.root_key,
            self.access_key,
            self.genesis,
            self.round_seconds,
            self.epoch_rounds,
            self.retention_epochs,
            self.buckets,
            self.members,
            self.tokens_per_epoch,
            self.posts_per_token,
            self.epsilon,
            self.delta,
            self.mu,
            self.first_epoch,
            self.epochs,
            self._relay_count,
        ) = struct.unpack_from(_HEADER, self.blob)
        if magic != _MAGIC:
            raise InvalidObject("these are not Tessera parameters of version 1")

    def _check_ranges(self):
        for name, value, low, high in (
            ("round_seconds", self.round_seconds, 1, 65535),
            ("epoch_rounds", self.epoch_rounds, 2, 65535),
            ("retention_epochs", self.retention_epochs, 1, 14),
            ("buckets", self.buckets, 1, 128),
            ("members", self.members, 1, 65535),
            ("tokens_per_epoch", self.tokens_per_epoch, 2, 255),
            ("posts_per_token", self.posts_per_token, 16, 4080),
            ("epsilon", self.epsilon, 1, 0xFFFFFFFF),
            ("mu", self.mu, 1, 1000),
            ("epochs", self.epochs, 1, 400),
            ("relays", self._relay_count, 0, 64),
        ):
            if not low <= value <= high:
                raise InvalidObject("parameter {} is {}, not in {} to {}".format(name, value, low, high))
        if self.buckets & (self.buckets - 1):
            raise InvalidObject("parameter buckets is {}, not a power of two".format(self.buckets))
        if self.posts_per_token % 16:
            raise InvalidObject("parameter posts_per_token is {}, not a multiple of 16".format(self.posts_per_token))
        if (self.first_epoch + self.epochs) * self.epoch_rounds >= 0xFFFFFFFF:
            raise InvalidObject("the key schedule ends after the last round number")

    def _check_table(self):
        last = b""
        for at in range(HEADER_BYTES, self._thresholds_end, 8):
            threshold = self.blob[at : at + 8]
            if threshold < last:
                raise InvalidObject("the noise table decreases")
            last = threshold

    @property
    def thresholds(self):
        """The noise table, 2·mu thresholds of 8 bytes."""
        return memoryview(self.blob)[HEADER_BYTES : self._thresholds_end]

    @property
    def relays(self):
        """List of (static key(33), ledger key(32))."""
        keys = []
        for at in range(self._keys_end, len(self.blob) - _SIGNATURE_BYTES, _RELAY_BYTES):
            keys.append((self.blob[at : at + 33], self.blob[at + 33 : at + 65]))
        return keys

    @property
    def end_epoch(self):
        """The first epoch the schedule has no key for."""
        return self.first_epoch + self.epochs

    def verify(self):
        """Raise InvalidObject unless the root key named inside signed this set."""
        if not curve.verify(self.blob[-_SIGNATURE_BYTES:], self.digest, self.root_key):
            raise InvalidObject("the parameters are not signed by their root key")

    def check_capacity(self, pages):
        """Raise InvalidObject if members could fill a ring of so many pages."""
        needed = self.members * self.tokens_per_epoch * self.posts_per_token * (self.retention_epochs + 1)
        if needed > pages - SPARE_PAGES:
            raise InvalidObject("members could post {} records, the ring keeps {}".format(needed, pages - SPARE_PAGES))

    def epoch_key(self, epoch):
        """K_e (32 bytes) for an epoch of the schedule, None for any other."""
        if not self.first_epoch <= epoch < self.end_epoch:
            return None
        at = self._thresholds_end + 32 * (epoch - self.first_epoch)
        return self.blob[at : at + 32]

    def round_at(self, unix_seconds):
        """The round a moment falls in; negative before genesis."""
        return (unix_seconds - self.genesis) // self.round_seconds

    def epoch_of(self, round_):
        return round_ // self.epoch_rounds


def digest(body):
    """The digest that names and signs a set; body is everything before the signature."""
    return tagged("params", body)


def encode(fields):
    """The body (all but the signature) of a set from a dict of fields named as in PROTOCOL §2.

    thresholds: bytes, 16·mu of them; epoch_keys: bytes, 32 an epoch; relays: list of (static 33, ledger 32).
    mu and epochs follow from the lengths.
    """
    names = (
        "serial federation_id root_key access_key genesis round_seconds epoch_rounds retention_epochs buckets "
        "members tokens_per_epoch posts_per_token epsilon delta"
    ).split()
    values = [fields[name] for name in names]
    values.append(len(fields["thresholds"]) // 16)
    values.append(fields["first_epoch"])
    values.append(len(fields["epoch_keys"]) // 32)
    values.append(len(fields["relays"]))
    relays = b"".join(bytes(static) + bytes(ledger) for static, ledger in fields["relays"])
    return struct.pack(_HEADER, _MAGIC, *values) + fields["thresholds"] + fields["epoch_keys"] + relays


class TimeStatement:
    """Unix time under the root key: what a relay that lost its clock believes at once."""

    def __init__(self, blob):
        self.blob = bytes(blob)
        if len(self.blob) != _TIME_BYTES or self.blob[:4] != _TIME_MAGIC:
            raise InvalidObject("this is not a time statement")
        self.federation_id, self.unix_seconds = struct.unpack_from(">16sQ", self.blob, 4)

    def verify(self, root_key):
        message = tagged("time", self.blob[:28])
        if not curve.verify(self.blob[28:], message, root_key):
            raise InvalidObject("the time statement is not signed by the root key")


def encode_time(federation_id, unix_seconds):
    """(body, message to sign) of a time statement; the statement is body ‖ signature."""
    body = _TIME_MAGIC + struct.pack(">16sQ", federation_id, unix_seconds)
    return body, tagged("time", body)


def whole_bytes(head):
    """The length of the object that begins with these bytes (128 of a set), 0 if it is none."""
    if is_time_statement(head):
        return _TIME_BYTES
    if len(head) < HEADER_BYTES or bytes(head[:4]) != _MAGIC:
        return 0
    *_, mu, _, epochs, relays = struct.unpack_from(_HEADER, head)
    return HEADER_BYTES + 16 * mu + 32 * epochs + _RELAY_BYTES * relays + _SIGNATURE_BYTES


def is_time_statement(head):
    """Whether an object that begins with these bytes is a time statement."""
    return bytes(head[:4]) == _TIME_MAGIC
