"""What a relay may find on its flash when it is switched on: key ring, record ring, ledger, parameters; and signed
objects on their own.

A relay that finds anything at all either does not start, with a Fault or InvalidObject that says why, or it works:
it posts and serves, or refuses with a typed error, and starts again.
"""

import struct
from collections.abc import Callable
from dataclasses import replace

from office import EPOCH_ROUNDS, FEDERATION, LEDGER_KEY, ROOT, Connection
from tessera import curve, keyring, params, wire
from tessera.errors import Fault, InvalidObject, Refused
from tessera.hashes import tagged
from tessera.ledger import CHECKPOINT_BYTES, Checkpoint
from tessera.nor import PAGE_BYTES
from tessera.page import PageBuffer, PageCipher
from tessera.params import FIRST_BYTES, Head, Parameters, TimeStatement
from tests.fuzz.relay_targets import fuzzed_set
from tests.fuzz.smalloffice import (
    EPOCH,
    KEYRING_SECTORS,
    RING_SECTORS,
    ROUND,
    Flash,
    SmallOffice,
    lived,
    new,
    serves,
    signed,
)
from tests.fuzz.target import Intake, Target, allowed, must

RING_PAGES = 16 * RING_SECTORS
KEYRING_PAGES = 16 * KEYRING_SECTORS
COPY = 1 << 31  # of seq: the page is a copy
# The fields that are read as they are written.
SET_NAMES = (
    *("serial", "federation_id", "root_key", "previous", "genesis", "round_seconds", "epoch_rounds"),
    *("retention_epochs", "log2_buckets", "members", "tokens_per_epoch", "posts_per_token", "ahead", "cover"),
    *("constant", "epsilon", "delta", "deliveries", "generation", "first_epoch", "epochs", "access_key"),
    *("reading_hash", "card_hash", "day_epsilon", "day_delta", "ephemeral", "guest_access_keys"),
)


def boots(flash: Flash, judge: Callable[[SmallOffice], None] = lambda office: None) -> SmallOffice | None:
    """The office on this flash, which is judged and then works, or None if it does not start and says why."""
    office = allowed((Fault, InvalidObject), lambda: SmallOffice(flash))
    if not isinstance(office, SmallOffice):
        return None
    judge(office)
    serves(office)
    return office


def overwritten(content: bytes, intake: Intake) -> bytes:
    """The content with pieces of the input over it: u16 page, u8 offset, u8 length, so many bytes."""
    changed = bytearray(content)
    for _ in range(32):
        if not intake:
            break
        at = intake.number(2) % (len(content) // PAGE_BYTES) * PAGE_BYTES + intake.number(1)
        piece = intake.bytes(intake.number(1))
        changed[at : at + len(piece)] = piece
    return bytes(changed[: len(content)])


class KeyringFlash(Target):
    """Key ring: bytes as no relay wrote them."""

    name = "keyring-flash"
    runs = 300

    def __init__(self) -> None:
        self._drawn = dict(SmallOffice(lived()).relay._keyring.epochs)

    def seeds(self) -> list[bytes]:
        keys = lived().keys
        pages = [keys[at : at + PAGE_BYTES] for at in range(0, len(keys), PAGE_BYTES)]
        used = [(number, page) for number, page in enumerate(pages) if page != b"\xff" * PAGE_BYTES]
        copies = [struct.pack(">HBB", number, 0, 255) + page[:255] for number, page in used[:4]]
        moved = [struct.pack(">HBB", 16, 0, 255) + page[:255] + b"\0\x10\xff\x01" + page[255:] for _, page in used[:2]]
        return [*copies, *moved, b"\0\0\0\1\0", b"\0\0\4\1\2" + b"\0\1\4\1\2", b"".join(copies)]

    def run(self, data: bytes) -> None:
        office = boots(replace(lived(), keys=overwritten(lived().keys, Intake(data))))
        if office is not None:
            kept = office.relay._keyring.epochs
            must(all(self._drawn.get(epoch) == keys for epoch, keys in kept.items()), "keys that no relay drew")


def keyring_page(index: int, generation: int, kind: int, length: int, body: bytes) -> bytes:
    """A page that the key ring takes for whole, whatever is in it."""
    page = struct.pack(">IBBH232s", generation, kind, length, 0, body)
    return page + keyring._digest(index, page)


class KeyringPages(Target):
    """Key ring: whole pages with any content. The digest of a page is no secret.

    An input is pages: u8 place, u8 generation (0: that of the key ring), u8 kind, u8 length, u8 bytes given of the
    body, these bytes.
    """

    name = "keyring-pages"
    share = 2
    runs = 600

    def seeds(self) -> list[bytes]:
        keys = lived().keys
        seeds = []
        for number in range(KEYRING_PAGES):
            page = keys[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]
            if page != b"\xff" * PAGE_BYTES:
                kind, length = page[4], page[5]
                seeds.append(bytes((number, 0, kind, length, length)) + page[8 : 8 + length])
        first = lived_bank() * 16
        last = bytes((first + 15, 0))
        seeds += [last + b"\x04\x08\x08" + struct.pack(">II", *pair) for pair in ((ROUND, 5), (ROUND + 200, 9))]
        seeds += [last + b"\x06\x05\x05\x01" + struct.pack(">I", EPOCH), last + b"\x05\x0d\x0d" + bytes(13)]
        return [*seeds, b"".join(seeds)]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        keys = bytearray(lived().keys)
        generation = max(struct.unpack_from(">I", keys, at)[0] for at in bank_heads(keys))
        for _ in range(KEYRING_PAGES):
            if not intake:
                break
            place, later, kind, length, given = (intake.number(1) for _ in range(5))
            place %= KEYRING_PAGES
            number = 0xFFFFFFFF if later == 255 else generation + later
            page = keyring_page(place, number, kind, length, intake.bytes(given))
            keys[place * PAGE_BYTES : (place + 1) * PAGE_BYTES] = page
        boots(replace(lived(), keys=bytes(keys)))


def bank_heads(keys: bytes) -> list[int]:
    """Addresses of the first pages of the banks in use."""
    bank = len(keys) // 2
    return [at for at in (0, bank) if keys[at : at + 4] != b"\xff" * 4]


def lived_bank() -> int:
    return 1 if bank_heads(lived().keys) == [len(lived().keys) // 2] else 0


class RingFlash(Target):
    """Record ring: bytes as no relay wrote them. Whole records of kept rounds that they do not touch stay."""

    name = "ring-flash"
    runs = 200

    def __init__(self) -> None:
        # Page → (bucket, round, record) of all that is kept.
        self._kept = {}
        office, buffer = SmallOffice(lived()), PageBuffer()
        for page in range(RING_PAGES):
            for cipher in office.relay._epochs.ciphers.values():
                buffer.page[:] = lived().ring[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]
                if cipher.open(page, buffer):
                    self._kept[page] = buffer.bucket, buffer.round, bytes(buffer.record)
        assert len(self._kept) > 6

    def seeds(self) -> list[bytes]:
        ring = lived().ring
        pages = [ring[at : at + PAGE_BYTES] for at in range(0, 4 * PAGE_BYTES, PAGE_BYTES)]
        copies = [struct.pack(">HBB", number + 16, 0, 255) + page[:255] for number, page in enumerate(pages)]
        return [b"\0\0\0\x10" + bytes(16), b"\0\1\0\xff" + b"\xff" * 255, *copies, b"".join(copies)]

    def run(self, data: bytes) -> None:
        ring = overwritten(lived().ring, Intake(data))
        office = boots(replace(lived(), ring=ring))
        must(office, "torn pages stopped the relay")
        office.sleep()
        for page, (bucket, round_, record) in self._kept.items():
            at = page * PAGE_BYTES
            if ring[at : at + PAGE_BYTES] == lived().ring[at : at + PAGE_BYTES]:
                must(record in office.stored(bucket, round_, round_ + 1)[round_], "an intact record is lost")


class RingPages(Target):
    """Record ring: pages under the relay's own keys, with any header.

    An input is pages: u8 place, u8 epoch, u32 seq, u32 round, u16 bucket, u8 what the record is filled with.
    The first byte of all says whether seq is made to fit the place.
    """

    name = "ring-pages"
    share = 2
    runs = 300
    longest = 1 + 13 * RING_PAGES

    def __init__(self) -> None:
        office = SmallOffice(lived())
        self._ciphers = [PageCipher(keys[0]) for _, keys in sorted(office.relay._keyring.epochs.items())]
        # Keys stay over restarts, so these are the keys of lived() as well.

    def seeds(self) -> list[bytes]:
        def page(place: int, epoch: int, seq: int, round_: int, bucket: int) -> bytes:
            return struct.pack(">BBIIHB", place, epoch, seq, round_, bucket, place)

        order = [page(place, 1, 800 + place, ROUND, place % 2) for place in range(20)]
        copies = [page(16 * n, 1, COPY | 16 * (60 + n), ROUND, 0) for n in range(6)]
        extremes = [
            page(31, 1, 0x7FFFFFF0, ROUND, 0),
            page(63, 1, 0x7FFFFFF0, ROUND, 0),  # the last number, and a sector that can be opened behind it
            page(0, 1, 0xFFFFFFF0, ROUND, 0),
            page(5, 1, 0x105, 0xFFFFFFFF, 0),
            page(95, 0, 0xFFFFFFFF, EPOCH_ROUNDS, 65535),
            page(3, 1, COPY | 3, EPOCH * EPOCH_ROUNDS, 256),
        ]
        return [b"\1" + b"".join(order), b"\1" + b"".join(copies), *(b"\1" + e for e in extremes), b"\0" + extremes[3]]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        fit = intake.number(1)
        ring = bytearray(lived().ring)
        page = bytearray(PAGE_BYTES)
        for _ in range(RING_PAGES):
            if not intake:
                break
            place, epoch = intake.number(1) % RING_PAGES, intake.number(1)
            seq, round_, bucket, filler = struct.unpack(">IIHB", intake.bytes(11))
            seq = seq & ~15 | place & 15 if fit else seq
            cipher = self._ciphers[epoch % len(self._ciphers)]
            cipher.seal(place, seq, round_, bucket, bytes((filler,)) * wire.RECORD_BYTES, page)
            ring[place * PAGE_BYTES : (place + 1) * PAGE_BYTES] = page
        boots(replace(lived(), ring=bytes(ring)), self._judge)

    def _judge(self, office: SmallOffice) -> None:
        log = office.relay._log
        last = log._number << 4 | 15 if log._opened else 0
        must(last < COPY, "a sector's number reaches into what says that a page is a copy")


class LedgerFile(Target):
    """The ledger's two files with anything in them: questions are answered or refused, the next entry is whole.

    An input is u16 length of the older file, then both.
    """

    name = "ledger"
    runs = 300
    longest = 4 * CHECKPOINT_BYTES

    def seeds(self) -> list[bytes]:
        ledger = lived().files["ledger"]
        entry = ledger[:CHECKPOINT_BYTES]
        old = struct.pack(">H", len(entry)) + entry
        return [
            *(b"\0\0" + ledger[:length] for length in (0, 1, 249, 250, 251, 500)),
            *(old + ledger[CHECKPOINT_BYTES:], old + ledger + bytes(99)),
            *(b"\0\0" + bytes(250) + ledger[250:], b"\0\0" + ledger[:250] + b"\x02" + ledger[251:]),
            b"\0\0" + ledger[:300] + bytes(200),
        ]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        old = intake.bytes(intake.number(2) % len(data)) if data else b""
        flash = lived().with_file("ledger", intake.rest())
        if old:
            flash = flash.with_file("ledger.old", old)
        office = boots(flash)
        if office is None:
            return
        connection = Connection(office.relay)
        for epoch in range(EPOCH + 1):
            allowed(Refused, lambda epoch=epoch: connection.call(wire.checkpoint(epoch)))
        ending = office.relay.epoch
        before = office.directory.read("ledger") or b""
        office.sleep(EPOCH_ROUNDS)
        after = office.directory.read("ledger")
        must(len(after) % CHECKPOINT_BYTES == 0, "the ledger holds a piece of an entry")
        must(after.startswith(before), "an entry of the ledger is gone")
        if after != before:
            last = Checkpoint(connection.call(wire.checkpoint(ending))[1])
            last.verify(LEDGER_KEY)
            must(last.epoch == ending, "the last entry is of another epoch")
            if before:
                must(
                    last.previous == Checkpoint(before[-CHECKPOINT_BYTES:]).link(), "the chain of checkpoints is broken"
                )


class ParameterFiles(Target):
    """The file of parameters: as bytes, or signed by the root key with any fields, also before a first start; or the
    newest set with anything behind it, where rules and the set in force are.

    An input is u8 flags, then the set, or what is behind it.
    """

    name = "parameter-files"
    share = 2
    runs = 300
    longest = 3000
    NEVER_RAN, BEHIND, FIELDS, UNSIGNED = 1, 2, 4, 8

    def __init__(self) -> None:
        content = lived().files["parameters"]
        at = Head(content).size(1)
        self._newest, self._behind = content[:at], content[at:]

    def seeds(self) -> list[bytes]:
        small = signed(epoch_keys=bytes(range(64)), thresholds=bytes(range(16)))
        fields = [b"\4\1" + bytes((number,)) + b"\xff" * 8 for number in range(28)]
        behind = b"\2" + self._behind
        state = behind[:48]  # epochs, former access key, how many rules and tables there are
        whole = [behind, b"\3" + self._behind, behind[:-1], behind + small, state, behind[:45] + b"\xff\xff" + state]
        whole += [bytes((flags,)) + small for flags in (0, 1, 8, 9)]
        whole += [bytes((flags,)) + small[:-1] + b"\0" for flags in (8, 9)]
        return [*whole, b"\0", b"\2", b"\0" + small[:-1], b"\5\0", b"\6\0", *fields]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        flags = intake.number(1)
        if flags & self.FIELDS:
            blob = fuzzed_set(intake, 2, 1)
        else:
            blob = self._newest if flags & self.BEHIND else b""
            blob += intake.rest() if flags & (self.UNSIGNED | self.BEHIND) else resigned(intake.rest())
        flash = new() if flags & self.NEVER_RAN else lived()
        office = boots(flash.with_file("parameters", blob))
        if office is not None:
            for rule in office.relay.parameters._rules:
                if rule.parameters is not None:
                    must(_is_signed(rule.parameters.blob), "parameters that the root key did not sign govern")


def _is_signed(blob: bytes) -> bool:
    """Whether the root key that the set names signed it, and what its head names the hash of is in it."""
    found = Parameters(blob)
    hashed = found.rest_hash == tagged("params-rest", blob[FIRST_BYTES : FIRST_BYTES + found.rest_bytes])
    return hashed and curve.verify(blob[176:240], params.digest(blob[:176]), found.root_key)


def resigned(blob: bytes) -> bytes:
    """The blob as the root key would have signed it, with the hashes of its rest and columns, if it is long enough."""
    if len(blob) < FIRST_BYTES:
        return blob
    (thresholds,), (epochs, relays, guests) = struct.unpack_from(">H", blob, 143), struct.unpack_from(">HBB", blob, 171)
    size = 32 * epochs << params.log2_cohorts(int.from_bytes(blob[134:138], "big"))
    relays_at = FIRST_BYTES + 141 + 32 * guests + 8 * thresholds
    end = relays_at + 163 * relays
    rest, columns = bytearray(blob[FIRST_BYTES:end]), blob[end:]
    for number in range(relays):
        at = relays_at - FIRST_BYTES + 163 * number + 67
        column = columns[size * number : size * (number + 1)]
        rest[at : at + 32] = params.column_hash(column)[: max(0, len(rest) - at)]
    head = blob[:24] + curve.public(ROOT)[1:] + blob[56:88] + tagged("params-rest", rest) + blob[120:176]
    return head + curve.sign(ROOT, params.digest(head), bytes(32)) + bytes(rest) + columns


class SignedObjects(Target):
    """Parameters, time statements and checkpoints on their own: what is taken is the one encoding of its fields.

    The first byte says which, and whether it is signed.
    """

    name = "signed-objects"
    runs = 1500
    multiple = 4
    longest = 4000

    def seeds(self) -> list[bytes]:
        body, message = params.encode_time(FEDERATION, 1_700_000_000)
        statement = body + curve.sign(ROOT, message, bytes(32))
        checkpoint = lived().files["ledger"][:CHECKPOINT_BYTES]
        small = signed(epoch_keys=bytes(range(64)), thresholds=bytes(range(32)))
        return [b"\0" + small, b"\1" + small, b"\0" + signed(), b"\2" + statement, b"\4" + checkpoint, b"\0", b"\2"]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        which = intake.number(1)
        blob = intake.rest()
        if which // 2 % 3 == 0:
            self._parameters(resigned(blob) if which & 1 else blob)
        elif which // 2 % 3 == 1:
            self._time(blob)
        else:
            self._checkpoint(blob)

    def _parameters(self, blob: bytes) -> None:
        found = allowed(InvalidObject, lambda: Parameters(blob))
        if not isinstance(found, Parameters):
            return
        columns = [found.column(relay.id) for relay in found.relays]
        if None in columns:
            there = [relay.id for relay in found.relays if found.column(relay.id) is not None]
            must(len(there) == 1 and found.copy_for(there[0]) == blob, "a copy was taken that is no relay's")
        else:
            chosen = {name: getattr(found, name) for name in SET_NAMES} | {"thresholds": bytes(found.thresholds)}
            pairs = zip(found.relays, columns, strict=True)
            chosen["relays"] = [(each.id, each.static_key, each.ledger_key, each.sealed, keys) for each, keys in pairs]
            head, rest, keys = params.encode(chosen)
            must(head + blob[176:240] + rest + keys == blob, "parameters were taken that are encoded otherwise")
        for relay in found.relays:
            must(found.epoch_key(relay.id, found.end_epoch) is None, "a key is given for an epoch without one")
        self._verified(found.verify, blob[176:240], params.digest(blob[:176]), found.root_key)
        must(Head(blob[:FIRST_BYTES]).digest == found.digest, "a head says something else than its set")
        allowed(InvalidObject, lambda: found.check_capacity(RING_PAGES))

    def _time(self, blob: bytes) -> None:
        found = allowed(InvalidObject, lambda: TimeStatement(blob))
        if isinstance(found, TimeStatement):
            must(
                params.encode_time(found.federation_id, found.unix_seconds)[0] == blob[:28],
                "a time statement was taken that is encoded otherwise",
            )
            root = curve.public(ROOT)[1:]
            message = params.encode_time(found.federation_id, found.unix_seconds)[1]
            self._verified(lambda: found.verify(root), blob[28:], message, root)

    def _checkpoint(self, blob: bytes) -> None:
        found = allowed(InvalidObject, lambda: Checkpoint(blob))
        if isinstance(found, Checkpoint):
            numbers = struct.pack(">II", found.epoch, found.rounds_sealed)
            digests = found.parameter_digest + found.cover_commitment + found.firmware_digest + found.previous
            must(
                b"\1" + found.federation_id + found.relay_key + numbers + digests == blob[:186],
                "a checkpoint was taken that is encoded otherwise",
            )
            message = tagged("checkpoint", blob[:186])
            self._verified(lambda: found.verify(LEDGER_KEY), blob[186:], message, LEDGER_KEY)

    def _verified(self, verify: Callable[[], None], signature: bytes, message: bytes, key: bytes) -> None:
        said = allowed(InvalidObject, verify)
        holds = curve.verify(signature, message, key)
        must(holds == (said is None), "a signature that does not hold was taken, or one that holds was not")


TARGETS = (KeyringFlash, KeyringPages, RingFlash, RingPages, LedgerFile, ParameterFiles, SignedObjects)
