"""The smallest relay that has lived through all there is, and quick copies of it for fuzz targets.

It is in its third epoch, has records in kept rounds, two checkpoints, a parameter set that followed another, and tokens
with leases. Its randomness is a counter: what it does is the same in every process.
"""

from dataclasses import dataclass, replace
from functools import cache

from dice import Dice
from office import EPOCH_ROUNDS, GENESIS, Connection, Office, RamDirectory, Token, epoch_keys, fields, records
from office import signed as sign_set
from ramdevice import RamDevice
from tessera import wire
from tessera.batch import CellFrame
from tessera.errors import Fault, Refused
from tessera.handshakes import Session
from tessera.hashes import sha256
from tessera.nor import SECTOR_BYTES
from tessera.relay import Delivery, Relay
from tests.fuzz.target import allowed, must

RING_SECTORS = 6
KEYRING_SECTORS = 2
TOKENS = 2
EPOCH = 2  # the open one
ROUND = EPOCH * EPOCH_ROUNDS + 2
_TABLE = b"".join((at << 62).to_bytes(8, "big") for at in (1, 3))  # none, one or two dummies: a cell is quick to serve
_SETTINGS = {"members": 1, "tokens_per_epoch": TOKENS, "retention_epochs": 1, "thresholds": _TABLE}
_UNUSED_TOKEN = 9  # the others have leases that a restart uses up
_PROBE = records(1, b"probe")[0]


def settings(**changes):
    """The fields of the small office's parameters; the keys of its schedule are those of their epochs."""
    keys = epoch_keys()[32 * changes.get("first_epoch", 0) :]
    return fields(**({"epoch_keys": keys} | _SETTINGS | changes))


def signed(**changes) -> bytes:
    """A parameter set of the small office, signed by its root key."""
    return sign_set(settings(**changes))


class WatchedDevice(RamDevice):
    """Counts programs and erases."""

    def __init__(self, sectors: int, content: bytes = b"") -> None:
        super().__init__(sectors)
        self.changes = 0
        self.put(0, content)

    def writeblocks(self, block, buffer, offset=None):
        self.changes += 1
        super().writeblocks(block, buffer, offset)

    def _erase(self, block):
        self.changes += 1
        super()._erase(block)

    def content(self) -> bytes:
        return self.get(0, self.sectors * SECTOR_BYTES)


class WatchedDirectory(RamDirectory):
    """Counts writes."""

    def __init__(self, files=None) -> None:
        super().__init__()
        self.files = dict(files or {})
        self.changes = 0

    def replace(self, name, *parts):
        self.changes += 1
        super().replace(name, *parts)

    def append(self, name, data):
        self.changes += 1
        super().append(name, data)

    def rename(self, name, new_name):
        self.changes += 1
        super().rename(name, new_name)

    def remove(self, name):
        self.changes += name in self.files
        super().remove(name)


@dataclass(frozen=True)
class Flash:
    """All of a relay that survives a power cut, and the time it is."""

    ring: bytes
    keys: bytes
    files: dict[str, bytes]
    unix_ms: int

    def with_file(self, name: str, content: bytes) -> "Flash":
        return replace(self, files=self.files | {name: content})


class SmallOffice(Office):
    """An office on this flash, switched on."""

    def __init__(self, flash: Flash) -> None:
        self.ring = WatchedDevice(RING_SECTORS, flash.ring)
        self.keys = WatchedDevice(KEYRING_SECTORS, flash.keys)
        self.directory = WatchedDirectory(flash.files)
        self.ticks = 0
        self.unix_ms = flash.unix_ms
        self._boots = 0
        self.boot()

    def random_source(self):
        self._boots += 1
        return Dice(b"hardware %d" % (self._boots - 1)).bytes

    def flash(self) -> Flash:
        return Flash(self.ring.content(), self.keys.content(), dict(self.directory.files), self.unix_ms)

    @property
    def changes(self) -> tuple[int, int, int]:
        """Writes so far to ring, key ring and files."""
        return self.ring.changes, self.keys.changes, self.directory.changes

    def stored(self, bucket: int, start: int, end: int) -> dict[int, list[bytes]]:
        """What the relay serves of sealed rounds, as every member would get it."""
        start, end = max(start, self.relay.first_round), min(end, self.relay._rounds.sealed_next)
        delivery, frame, rounds = Delivery(self.relay, Session(None), bucket, start, end), CellFrame(), {}
        while delivery.next_frame(frame):
            _, round_, count, offset, found = wire.read_cell(frame.buffer[: wire.CELL_BYTES])
            batch = rounds.setdefault(round_, [])
            must(offset == len(batch) < max(1, count), "frames of a batch out of order")
            batch += found
        return rounds


def admissions(relay) -> tuple:
    """What the relay remembers of members and pushes: an outsider must not change it."""
    admission = relay._epochs.admission
    tokens = {key: (token.leases, token.used, token.secret, token.marks) for key, token in admission._tokens.items()}
    pushed = [(transfer.session, transfer.at) for transfer in relay._pushes._transfers]
    return tokens, sorted(admission._resumable), pushed, relay.epoch, relay.open_round


def serves(office: SmallOffice) -> bool:
    """A relay that came up does its work: it answers typed refusals only, and what it acknowledged can be fetched, also
    after another start. Whether a record was stored and fetched."""
    relay = office.relay
    if relay.open_round is None:
        return False  # a clock before genesis: NOT_READY
    round_ = allowed(Refused, lambda: _post_probe(relay))
    if isinstance(round_, Refused):
        return False
    must(round_ == relay.open_round, "acknowledged for another round")
    office.sleep()
    if relay.open_round <= round_:
        return False  # its last seal is ahead of the clock
    must(_PROBE in office.stored(0, round_, round_ + 1)[round_], "an acknowledged record is not served")
    fault = allowed(Fault, office.boot)
    if isinstance(fault, Fault):
        must(
            "numbers are used up" in str(fault), "a relay that started does not start again"
        )  # planted ones: no relay lives to reach them
        return False
    must(_PROBE in office.stored(0, round_, round_ + 1)[round_], "an acknowledged record is gone after a start")
    return True


def _post_probe(relay: Relay) -> int:
    member = Connection(relay, relay.parameters.access_keys[0])
    member.authenticate(Token(_UNUSED_TOKEN, relay.epoch))
    return member.post(_PROBE)


@cache
def new() -> Flash:
    """A relay that never ran."""
    files = {"parameters": signed(), "seed": sha256(b"provisioned seed")}
    blank = b"\xff" * SECTOR_BYTES
    return Flash(RING_SECTORS * blank, KEYRING_SECTORS * blank, files, 1000 * GENESIS + 500)


@cache
def lived() -> Flash:
    """The relay of the first lines, its power cut."""
    office = SmallOffice(new())
    posted = iter(records(20))
    for epoch in range(EPOCH + 1):
        member = office.member(0)
        if epoch == 0:
            member.push(signed(serial=2, first_epoch=1))
        for bucket in (0, 1, 0):
            member.post(next(posted), bucket)
            office.sleep()
        if epoch < EPOCH:
            office.sleep(EPOCH_ROUNDS - 3)
        else:
            office.member(1).post(next(posted), 1)
    assert (office.relay.epoch, office.relay.open_round) == (EPOCH, ROUND + 1)
    return office.flash()
