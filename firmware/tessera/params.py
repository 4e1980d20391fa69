# The signed objects that IT hands out: federation parameters and time statements (PROTOCOL §2). No other module knows
# their bytes. The planner on the host chooses parameters; parameterstore.py keeps them.

import struct
from collections import namedtuple

from . import curve
from .aead import Aead
from .errors import BadFrame, InvalidObject
from .hashes import hkdf, tagged
from .runtime import const

MOST_RELAY_BYTES = const(32768)  # of a set as a relay holds it, with one column
MOST_CARD_BYTES = const(1 << 20)  # of a set with all columns, as a card holds it
FIRST_BYTES = const(240)  # head and signature, which are the first chunk of a push
SPARE_PAGES = const(32)  # of a record ring, which plans do not count on
HEAD_BYTES = const(176)
TIME_BYTES = const(92)

# Kinds of cover (PROTOCOL §8)
DELIVERY = const(1)  # noise with a bound for one delivery
DAY = const(2)  # noise with a bound for a member's day
CONSTANT = const(3)  # batches of a constant number of records

_COHORT_MEMBERS = const(16384)  # that share one epoch key at most (PROTOCOL §6)
_LOG2_COHORTS_MAX = const(6)
RELAY_BYTES = const(163)  # of each relay's entry in the rest
FIXED_REST_BYTES = const(141)  # of the rest, before its lists
_KEY_BYTES = const(32)
_MAGIC = b"TPR2"
_TIME_MAGIC = b"TTM1"

_HEAD = ">4sI16s32s32s32sQHHBBIBHBBHIIQHIIHBBB"
_REST = ">32s32s32sIQ33s"
_RELAY = ">H33s32s32s64s"

RelayEntry = namedtuple("RelayEntry", ("id", "static_key", "ledger_key", "column_hash", "sealed"))


class Head:
    """The first 240 bytes of a parameter set: the head and its signature (64 bytes).

    Every field of the head in PROTOCOL §2 is an attribute of that name. digest (32 bytes) names the set. InvalidObject
    for values out of range. The signature is checked by verify() only.
    """

    def __init__(self, first):
        if len(first) < FIRST_BYTES or bytes(first[:4]) != _MAGIC:
            raise InvalidObject("these are not Tessera parameters of version 2")
        head = bytes(first[:HEAD_BYTES])
        (
            _,
            self.serial,
            self.federation_id,
            self.root_key,
            self.previous,
            self.rest_hash,
            self.genesis,
            self.round_seconds,
            self.epoch_rounds,
            self.retention_epochs,
            self.log2_buckets,
            self.members,
            self.tokens_per_epoch,
            self.posts_per_token,
            self.ahead,
            self.cover,
            self.candidates,
            self.constant,
            self.epsilon,
            self.delta,
            self.deliveries,
            self.generation,
            self.first_epoch,
            self.epochs,
            self.relay_count,
            self.guests,
            self._zero,
        ) = struct.unpack(_HEAD, head)
        self.buckets = 1 << self.log2_buckets
        self.log2_cohorts = log2_cohorts(self.members)
        self.signature = bytes(first[HEAD_BYTES:FIRST_BYTES])
        self._check_ranges()
        self._check_cover()
        self.digest = digest(head)

    def _check_ranges(self):
        for name, value, low, high in (
            ("round_seconds", self.round_seconds, 1, 65535),
            ("epoch_rounds", self.epoch_rounds, 2, 65535),
            ("retention_epochs", self.retention_epochs, 1, 14),
            ("log2_buckets", self.log2_buckets, 0, 16),
            ("members", self.members, 1, 1 << 24),
            ("tokens_per_epoch", self.tokens_per_epoch, 1, 255),
            ("posts_per_token", self.posts_per_token, 4, 1020),
            ("ahead", self.ahead, 1, 32),
            ("cover", self.cover, DELIVERY, CONSTANT),
            ("epochs", self.epochs, 1, 400),
            ("relays", self.relay_count, 0, 64),
            ("guests", self.guests, 0, 3),
            ("reserved", self._zero, 0, 0),
        ):
            if not low <= value <= high:
                raise InvalidObject("parameter {} is {}, not in {} to {}".format(name, value, low, high))
        if self.posts_per_token % 4:
            raise InvalidObject("parameter posts_per_token is {}, not a multiple of 4".format(self.posts_per_token))
        if (self.first_epoch + self.epochs) * self.epoch_rounds >= 0xFFFFFFFF:
            raise InvalidObject("the key schedule ends after the last round number")

    def _check_cover(self):
        """Check that the fields of this kind of cover have values and that those of other kinds are zero."""
        constant = self.cover == CONSTANT
        if constant:
            right = not (self.candidates or self.epsilon or self.delta)
        else:
            right = 1 <= self.candidates <= 2000 and self.epsilon
            if self.cover == DELIVERY:
                right = right and self.candidates % 2 == 0
        if not (
            right
            and self.constant == (self.members * self.tokens_per_epoch if constant else 0)
            and (self.deliveries > 0) == (self.cover == DAY)
        ):
            raise InvalidObject("the fields of cover do not fit its kind, {}".format(self.cover))

    def verify(self):
        """Raise InvalidObject unless the root key in the set signed it."""
        if not curve.verify(self.signature, self.digest, self.root_key):
            raise InvalidObject("the parameters are not signed by their root key")

    @property
    def rest_bytes(self):
        """The length in bytes of what stands between the signature and the columns."""
        return FIXED_REST_BYTES + _KEY_BYTES * self.guests + 8 * self.candidates + RELAY_BYTES * self.relay_count

    def size(self, columns):
        """The length in bytes of the set with so many columns of epoch keys: 1 for a relay, relay_count on a card."""
        return FIRST_BYTES + self.rest_bytes + self.column_bytes * columns

    @property
    def column_bytes(self):
        """The length in bytes of a relay's column: 32 for each cohort and epoch."""
        return _KEY_BYTES * self.epochs << self.log2_cohorts

    @property
    def end_epoch(self):
        """The first epoch after the schedule of epoch keys."""
        return self.first_epoch + self.epochs

    @property
    def posts_per_epoch(self):
        """How many records all members together may post to one relay in an epoch."""
        return self.members * self.tokens_per_epoch * self.posts_per_token

    @property
    def largest_cell(self):
        """From how many records and candidates for cover the largest sealed batch is made."""
        return 2 * self.constant if self.cover == CONSTANT else self.posts_per_epoch + self.candidates

    def check_capacity(self, pages):
        """Raise InvalidObject if members could fill a record ring of so many pages."""
        needed = self.posts_per_epoch * (self.retention_epochs + 1)
        if needed > pages - SPARE_PAGES:
            raise InvalidObject("members could post {} records, the ring keeps {}".format(needed, pages - SPARE_PAGES))

    def round_at(self, unix_seconds):
        """The round at a Unix time in seconds; negative before genesis."""
        return (unix_seconds - self.genesis) // self.round_seconds

    def epoch_of(self, round_):
        """The epoch of a round."""
        return round_ // self.epoch_rounds


class Parameters(Head):
    """A whole parameter set, with the columns of all relays or with one relay's only.

    Every field of the rest in PROTOCOL §2 is an attribute of that name, like those of the head. length: its bytes.
    part(start, end) reads bytes of the set from where they are kept; a relay leaves them on its flash to save heap.
    InvalidObject for wrong lengths, wrong hashes and values out of range. The signature is checked by verify() only.
    """

    def __init__(self, blob):
        blob = bytes(blob)
        super().__init__(memoryview(blob)[:FIRST_BYTES])
        self.length = len(blob)
        self.part = lambda start, end: blob[start:end]
        self._columns_at = FIRST_BYTES + self.rest_bytes
        self._check_length()
        if tagged("params-rest", memoryview(blob)[FIRST_BYTES : self._columns_at]) != self.rest_hash:
            raise InvalidObject("the parameters differ from those that were signed")
        (
            self.access_key,
            self.reading_hash,
            self.card_hash,
            self.day_epsilon,
            self.day_delta,
            self.ephemeral,
        ) = struct.unpack_from(_REST, blob, FIRST_BYTES)
        if (self.day_epsilon > 0) != (self.cover == DAY) or (self.day_delta and self.cover != DAY):
            raise InvalidObject("the fields of cover do not fit its kind, {}".format(self.cover))
        self._thresholds_at = FIRST_BYTES + FIXED_REST_BYTES + _KEY_BYTES * self.guests
        self._relays_at = self._thresholds_at + 8 * self.candidates
        self._check_table()
        self._find_columns()

    def _check_length(self):
        if self.length not in (self.size(min(1, self.relay_count)), self.size(self.relay_count)):
            raise InvalidObject("parameters have a wrong length")
        limit = MOST_RELAY_BYTES if self.length == self.size(1) else MOST_CARD_BYTES
        if self.length > limit:
            raise InvalidObject("parameters have {} bytes, more than {}".format(self.length, limit))

    def _check_table(self):
        last = b""
        for at in range(self._thresholds_at, self._relays_at, 8):
            threshold = self.part(at, at + 8)
            if threshold < last:
                raise InvalidObject("the noise table decreases")
            last = threshold

    def _find_columns(self):
        """Find which relay each column belongs to: _columns is {relay id: where its column begins in the set}."""
        relays = self.relays
        ids, keys = {relay.id for relay in relays}, {relay.static_key for relay in relays}
        if min(len(ids), len(keys)) < len(relays):
            raise InvalidObject("two relays have one id or one key")
        size = self.column_bytes
        starts = range(self._columns_at, self.length, size)
        hashes = [column_hash(self.part(at, at + size)) for at in starts]
        if len(starts) < len(relays):
            relays = [relay for relay in relays if relay.column_hash == hashes[0]]
        if [relay.column_hash for relay in relays] != hashes:
            raise InvalidObject("the epoch keys differ from those that were signed")
        self._columns = {relay.id: at for relay, at in zip(relays, starts)}

    @property
    def blob(self):
        """The whole set as bytes."""
        return self.part(0, self.length)

    @property
    def thresholds(self):
        """The noise table: 8 bytes for each candidate for cover, joined."""
        return self.part(self._thresholds_at, self._relays_at)

    @property
    def guest_access_keys(self):
        """The access keys of guests: a list of up to 3 keys of 32 bytes."""
        starts = range(FIRST_BYTES + FIXED_REST_BYTES, self._thresholds_at, _KEY_BYTES)
        return [self.part(at, at + _KEY_BYTES) for at in starts]

    @property
    def relays(self):
        """The relays of the set: a list of RelayEntry."""
        starts = range(self._relays_at, self._columns_at, RELAY_BYTES)
        return [RelayEntry(*struct.unpack(_RELAY, self.part(at, at + RELAY_BYTES))) for at in starts]

    def relay_with(self, static_key):
        """The RelayEntry of the relay with a static key (33 bytes), None if it is not listed."""
        for relay in self.relays:
            if relay.static_key == static_key:
                return relay
        return None

    def column(self, relay_id):
        """The column of a relay, None if it is not in this copy: epoch keys of 32 bytes, from first_epoch on, for each
        epoch those of all cohorts."""
        at = self._columns.get(relay_id)
        return None if at is None else self.part(at, at + self.column_bytes)

    def epoch_keys(self, relay_id, epoch):
        """K_{e,j,c} of every cohort (32 bytes each, joined). None outside the schedule, and for a relay whose column is
        not in this copy."""
        at = self._columns.get(relay_id)
        if at is None or not self.first_epoch <= epoch < self.end_epoch:
            return None
        size = _KEY_BYTES << self.log2_cohorts
        at += size * (epoch - self.first_epoch)
        return self.part(at, at + size)

    def epoch_key(self, relay_id, epoch, cohort=0):
        """K_{e,j,c} (32 bytes) of one cohort, or None as from epoch_keys()."""
        keys = self.epoch_keys(relay_id, epoch)
        return keys and keys[_KEY_BYTES * cohort : _KEY_BYTES * (cohort + 1)]

    def copy_for(self, relay_id):
        """The set (bytes) as it is pushed to this relay and kept there: with its own column only. InvalidObject if the
        column is not in this copy."""
        column = self.column(relay_id)
        if column is None:
            raise InvalidObject("these parameters have no epoch keys for this relay")
        return self.part(0, self._columns_at) + column

    def reading_key(self, static_secret, relay_id):
        """The reading key (32 bytes), which the set contains sealed to each relay.

        static_secret: the relay's (a curve.Secret or 32 bytes). InvalidObject if the relay is not listed, or if the
        sealed key is not the one whose hash was signed.
        """
        for relay in self.relays:
            if relay.id == relay_id:
                try:
                    aead = _reading_aead(static_secret, self.ephemeral, self.federation_id, self.serial, relay_id)
                    key = aead.open(0, self.reading_hash, relay.sealed)
                    if reading_hash(key) == self.reading_hash:
                        return key
                except (BadFrame, ValueError):  # ValueError: not a point of the curve
                    pass
        raise InvalidObject("the reading key cannot be opened with this relay's key")


def log2_cohorts(members):
    """log2 of the number of cohorts of an organisation with so many members: the fewest cohorts of at most 16,384
    members each, but at most 64 (PROTOCOL §6)."""
    log2 = 0
    while log2 < _LOG2_COHORTS_MAX and members > _COHORT_MEMBERS << log2:
        log2 += 1
    return log2


def digest(head):
    """The digest (32 bytes) that names a set and that the root key signs, from its head (176 bytes)."""
    return tagged("params", head)


def reading_hash(reading_key):
    """The hash (32 bytes) of a reading key (32 bytes) that a set contains."""
    return tagged("reading-key", reading_key)


def column_hash(column):
    """The hash (32 bytes) of a relay's column of epoch keys that a set contains."""
    return tagged("epoch-keys", column)


def _reading_aead(secret, point, federation_id, serial, relay_id):
    info = b"reading-key" + federation_id + struct.pack(">IH", serial, relay_id)
    return Aead(hkdf(b"", curve.dh(secret, point), info, 32))


def seal_reading_key(ephemeral_secret, static_key, federation_id, serial, relay_id, reading_key):
    """A reading key (32 bytes) sealed to a relay's static key (33 bytes) for the set with this serial: 64 bytes.

    ephemeral_secret: 32 bytes, for this set only; its public key is the field `ephemeral` of the set.
    """
    aead = _reading_aead(ephemeral_secret, static_key, federation_id, serial, relay_id)
    return aead.seal(0, reading_hash(reading_key), reading_key)


def encode(fields):
    """(head, rest, columns) of a set, from a dict of fields named as in PROTOCOL §2. The set is head ‖ signature of
    digest(head) ‖ rest ‖ columns.

    thresholds: bytes, 8 for each candidate. guest_access_keys: a list. relays: a list of (id, static_key, ledger_key,
    sealed, column). rest_hash, candidates, epochs, relay_count, guests and the hashes of columns are computed; without
    relays epochs is taken from the dict.
    """
    head_fields = (
        "serial federation_id root_key previous rest_hash genesis round_seconds epoch_rounds retention_epochs "
        "log2_buckets members tokens_per_epoch posts_per_token ahead cover candidates constant epsilon delta "
        "deliveries generation first_epoch epochs relay_count guests"
    ).split()
    rest_fields = "access_key reading_hash card_hash day_epsilon day_delta ephemeral".split()
    columns = [bytes(relay[4]) for relay in fields["relays"]]
    rest = struct.pack(_REST, *[fields[name] for name in rest_fields])
    rest += b"".join(fields["guest_access_keys"]) + bytes(fields["thresholds"])
    for (id_, static_key, ledger_key, sealed, _), column in zip(fields["relays"], columns):
        rest += struct.pack(_RELAY, id_, static_key, ledger_key, column_hash(column), sealed)
    values = dict(fields)
    values["rest_hash"] = tagged("params-rest", rest)
    values["candidates"] = len(fields["thresholds"]) // 8
    values["relay_count"] = len(columns)
    values["guests"] = len(fields["guest_access_keys"])
    if columns:
        values["epochs"] = len(columns[0]) // _KEY_BYTES >> log2_cohorts(fields["members"])
    head = struct.pack(_HEAD, _MAGIC, *([values[name] for name in head_fields] + [0]))
    return head, rest, b"".join(columns)


class TimeStatement:
    """Unix time signed by the root key (92 bytes), which a relay without a clock accepts at once (PROTOCOL §3).

    federation_id: 16 bytes. unix_seconds: int. InvalidObject if the bytes are no time statement.
    """

    def __init__(self, blob):
        self.blob = bytes(blob)
        if len(self.blob) != TIME_BYTES or self.blob[:4] != _TIME_MAGIC:
            raise InvalidObject("this is not a time statement")
        self.federation_id, self.unix_seconds = struct.unpack_from(">16sQ", self.blob, 4)

    def verify(self, root_key):
        """Raise InvalidObject unless root_key (32 bytes) signed it."""
        message = tagged("time", self.blob[:28])
        if not curve.verify(self.blob[28:], message, root_key):
            raise InvalidObject("the time statement is not signed by the root key")


def encode_time(federation_id, unix_seconds):
    """(body, message to sign (32 bytes)) of a time statement, which is body ‖ signature."""
    body = _TIME_MAGIC + struct.pack(">16sQ", federation_id, unix_seconds)
    return body, tagged("time", body)


def is_time_statement(first):
    """Whether an object that begins with these bytes is a time statement."""
    return bytes(first[:4]) == _TIME_MAGIC
