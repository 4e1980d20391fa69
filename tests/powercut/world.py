# A relay on flash that loses its power, and what its members know of it. Everything a board keeps is here: record ring,
# key ring, and littlefs with configuration, parameters and ledger; everything it said is in a Testimony, which holds it
# to its word. Runs on MicroPython, whose littlefs this is.

import json
import struct

import vfs

import office
import releasing
from covering import cover_records
from dice import Dice
from power import FileSystemDevice, Flash, Power, PowerCut, PoweredDevice
from tessera import cover, epochs, nor, page, wire
from tessera.clock import Clock
from tessera.errors import Refused
from tessera.files import Directory
from tessera.hashes import sha256
from tessera.relay import Identity, Relay
from tessera.staging import ACTIVATED, SEND, STAGED, Staging

EPOCH_ROUNDS = 3
RETENTION = 1
BUCKETS = 2
POSTS_PER_TOKEN = 16
ROUND_MS = 1000 * office.ROUND_SECONDS
RING_SECTORS = 10  # 160 pages for 2 · 2 · 16 · 2 records and 32 to spare
KEYRING_SECTORS = 2
FILE_SECTORS = 40
CODE_SECTORS = 2  # of each place for new code
_MOUNT = "/board"
_SAMPLED = 16
_SETTINGS = {"epoch_rounds": EPOCH_ROUNDS, "retention_epochs": RETENTION, "log2_buckets": BUCKETS >> 1}
_CONFIGURATION = {"static_secret": office.STATIC.hex(), "ledger_secret": office.LEDGER.hex()}


class Testimony:
    """What was seen of a relay, whatever became of it since."""

    def __init__(self):
        self.open_round = 0
        self.attempted = {}  # record -> bucket
        self.acknowledged = {}  # record -> round
        self.batches = {}  # (bucket, round) -> records, as served
        self.posted = {}  # token (epoch, number) -> acknowledged posts
        self.secrets = {}  # page keys and cover states -> epoch
        self.sealed = {}  # (page key, seq) of every page that was ever sealed -> its header, the MAC left out
        self.checkpoints = {}  # epoch -> blob
        self.governed = {}  # epoch that was open, with a round served or not -> digest of the set
        self.serial = 1  # of the newest parameters whose push was acknowledged
        self.confirmed = releasing.VERSION  # of the newest code that was seen to be kept
        self.activated = []  # versions that may be tried
        self.tried = []  # and those that were

    def copy(self):
        other = Testimony()
        for name, value in self.__dict__.items():
            setattr(other, name, value.copy() if hasattr(value, "copy") else value)
        return other

    def forget(self, record, instead):
        """A record that damage took: it is in no batch from now on; instead (a list) is what is there."""
        self.acknowledged.pop(record)
        for cell, batch in self.batches.items():
            if record in batch:
                self.batches[cell] = sorted([other for other in batch if other != record] + instead)

    def signature(self):
        """Two moments with this and the flash alike are one case."""
        seen = len(self.attempted), len(self.acknowledged), len(self.batches), self.open_round, self.serial
        return seen, self.confirmed, len(self.activated), len(self.tried)


class _NotingCipher(page.PageCipher):
    """Holds that no seq is used twice under a page key: its first block would be a nonce used twice."""

    testimony = None

    def __init__(self, page_key):
        super().__init__(page_key)
        self._key = bytes(page_key)

    def seal(self, page_index, seq, round_, bucket, record, out, is_copy=False):
        used = (self._key, seq)
        assert used not in self.testimony.sealed, "seq {} is used twice under one key".format(seq)
        self.testimony.sealed[used] = struct.pack(">IIH", seq | is_copy << 31, round_, bucket)
        super().seal(page_index, seq, round_, bucket, record, out, is_copy)


epochs.PageCipher = _NotingCipher


class _Files(Directory):
    """What the power's failing ends is ended by PowerCut, once littlefs has closed its files."""

    def __init__(self, path, power):
        super().__init__(path)
        self._power = power


def _ended_by_the_cut(method):
    def with_power(self, *arguments):
        try:
            return method(self, *arguments)
        finally:
            if self._power.failed:
                raise PowerCut

    return with_power


for _name in ("read", "read_at", "size", "replace", "append", "rename", "remove"):
    setattr(_Files, _name, _ended_by_the_cut(getattr(Directory, _name)))


class World:
    """A provisioned board that is off, and its members. Time stands still unless it is told to pass."""

    def __init__(self, ring_sectors=RING_SECTORS, **changes):
        self.ring, self.keys, self.files = Flash(ring_sectors), Flash(KEYRING_SECTORS), Flash(FILE_SECTORS)
        self.code = [Flash(CODE_SECTORS), Flash(CODE_SECTORS)]
        self._flashes = [self.ring, self.keys, self.files] + self.code
        self.power = Power()
        self.testimony = Testimony()
        self.ticks = 0
        self.unix_ms = 1000 * office.GENESIS + 500
        self._throws = 0
        self.states_time = True  # IT tells a relay whose clock is provisional the time
        self.relay = None
        self._mounted = False
        settings = dict(_SETTINGS)
        settings.update(changes)
        self._provision(office.parameters(**settings))

    def _provision(self, parameters):
        device = FileSystemDevice(self.files, self.power)
        vfs.VfsLfs2.mkfs(device, progsize=256)
        directory = self._mount()
        directory.replace("relay.json", json.dumps(_CONFIGURATION).encode())
        directory.replace("parameters", parameters)
        directory.replace("seed", sha256(b"provisioned seed"))

    # -- copies

    def save(self):
        """All that a board and its members keep, to go back to."""
        flashes = [flash.sectors[:] for flash in self._flashes]
        return flashes, self.testimony.copy(), self.ticks, self.unix_ms, self._throws

    def restore(self, saved):
        """The moment of save(), with the power off."""
        flashes, testimony, self.ticks, self.unix_ms, self._throws = saved
        for flash, sectors in zip(self._flashes, flashes):
            flash.sectors = sectors[:]
        self.testimony = testimony.copy()
        self.power = Power()
        self.relay = None

    def fingerprint(self):
        """A digest of all flash, with the testimony's signature."""
        digest = b""
        for flash in self._flashes:
            digest = sha256(digest, *flash.sectors)
        return digest, self.testimony.signature()

    # -- power

    def boot(self, clock_known=True):
        """Switch the board on: nothing but its flash survives."""
        directory = self._mount()
        self._choose_code(directory)
        config = json.loads(directory.read("relay.json"))
        identity = Identity(
            bytes.fromhex(config["static_secret"]), bytes.fromhex(config["ledger_secret"]), b"chip", sha256(b"firmware")
        )
        _NotingCipher.testimony = self.testimony
        ring, keys = PoweredDevice(self.ring, self.power), PoweredDevice(self.keys, self.power)
        clock = Clock(lambda: self.ticks, lambda later, earlier: later - earlier)
        self.relay = Relay(ring, keys, directory, identity, self._random, clock)
        self.relay.start()
        self.relay.staging = Staging(self.places, self.relay.parameters)
        if clock_known:
            clock.set(self.unix_ms)
            self.turn()
            if clock.provisional and self.states_time:
                self.state_time()
        return self.relay

    def state_time(self):
        """IT says what time it is: the clock is borne out."""
        statement = office.time_statement(self.unix_ms // 1000)
        self.relay.push(office.Cable(), len(statement), 0, len(statement), statement)
        self.note()

    def _choose_code(self, directory):
        """What boot.py does; what runs is the code before an update or the whole code after it."""
        seen = self.testimony
        self.places = releasing.Places(directory, [PoweredDevice(flash, self.power) for flash in self.code])
        device = self.places.choose()
        version = self.places.version
        assert version == seen.confirmed or version in seen.activated, "code runs that nobody activated"
        assert version >= seen.confirmed, "code that was kept is gone"
        if device is not None:
            content = code(version)
            assert nor.digest(device, len(content)) == sha256(content), "the code that runs is damaged"
        if self.places.on_trial:
            assert version not in seen.tried, "code is tried twice"
            seen.tried.append(version)

    def _mount(self):
        self.unmount()
        vfs.mount(vfs.VfsLfs2(FileSystemDevice(self.files, self.power), progsize=256), _MOUNT)
        self._mounted = True
        return _Files(_MOUNT, self.power)

    def unmount(self):
        """Needed before another World is made."""
        if self._mounted:
            vfs.umount(_MOUNT)
            self._mounted = False

    def _random(self, length):
        self._throws += 1
        return Dice(b"hardware %d" % self._throws).bytes(length)

    # -- time

    def turn(self):
        if self.relay.turn():
            self.relay.maintain()
        self.note()

    def pass_rounds(self, rounds=1):
        """Let rounds pass, one by one, with the relay running."""
        for _ in range(rounds):
            self.ticks += ROUND_MS
            self.unix_ms += ROUND_MS
            self.turn()

    def skip(self, rounds):
        """Let rounds pass with the power off."""
        self.ticks += rounds * ROUND_MS
        self.unix_ms += rounds * ROUND_MS

    def note(self):
        """Hear what the relay says of rounds, keys and checkpoints now."""
        seen, relay = self.testimony, self.relay
        if not self.places.on_trial:
            seen.confirmed = max(seen.confirmed, self.places.version)
        if relay.open_round is None:
            return
        assert relay.open_round >= seen.open_round, "the open round went back"
        seen.open_round = relay.open_round
        for epoch, secrets in relay._keyring.epochs.items():
            for secret in secrets:
                seen.secrets[secret] = epoch
        if relay.clock_accepted:
            for epoch in range(max(0, relay.epoch - RETENTION), relay.epoch + 1):
                digest = relay.parameters.rule(epoch).digest
                assert seen.governed.get(epoch, digest) == digest, "another set governs an epoch that was open"
                seen.governed[epoch] = digest
        last = relay._ledger.last_epoch
        if last >= 0 and last not in seen.checkpoints:
            seen.checkpoints[last] = relay._ledger.find(last)

    # -- members

    def member(self, number):
        """A connection with token `number` of the open epoch, held to its quota."""
        connection = office.Connection(self.relay)
        left = connection.authenticate(office.Token(number, self.relay.epoch))
        assert left + self.testimony.posted.get((self.relay.epoch, number), 0) <= POSTS_PER_TOKEN, "quota came back"
        connection.number = number
        return connection

    def operator(self):
        """A connection that is IT's."""
        connection = office.Connection(self.relay)
        connection.operate()
        return connection

    def post(self, member, record, bucket=0):
        seen = self.testimony
        token = (self.relay.epoch, member.number)
        seen.attempted[record] = bucket
        round_ = member.post(record, bucket)
        assert round_ >= seen.open_round, "acknowledged for a round that is over"
        seen.acknowledged[record] = round_
        seen.posted[token] = seen.posted.get(token, 0) + 1

    def records(self, count):
        """Records that no other call gives."""
        start = len(self.testimony.attempted)
        return [_record(b"record %d" % number) for number in range(start, start + count)]

    def push(self, member, blob):
        """Push a signed object; the last answer of a parameter set's push is remembered."""
        chunk = complete = 0
        while not complete:
            data = blob[240 * chunk : 240 * chunk + 240]
            complete = member.call(wire.push(len(blob), chunk, data))[1]
            chunk += 1

    def stage(self, member, version):
        """Stage new code and activate it; it is tried after the next seal."""
        content = code(version)
        assert member.call(wire.stage(wire.BEGIN, 0, releasing.release(version, content)))[1] == SEND
        for at in range(0, len(content), wire.CHUNK_BYTES):
            answer = member.call(wire.stage(wire.PUT, at, content[at : at + wire.CHUNK_BYTES]))
        assert answer[1] == STAGED
        self.testimony.activated.append(version)
        assert member.call(wire.stage(wire.ACTIVATE))[1] == ACTIVATED

    def read_all(self, member):
        """Fetch every kept cell and hold it against the testimony and the relay's own cover."""
        relay = self.relay
        for bucket in range(BUCKETS):
            for start in range(relay.first_round, relay.open_round, wire.FETCH_ROUNDS):
                end = min(start + wire.FETCH_ROUNDS, relay.open_round)
                rounds, following = member.fetch(start, end, bucket)
                assert following == end and sorted(rounds) == list(range(start, end))
                for round_, batch in rounds.items():
                    self._check_batch(bucket, round_, batch)

    def _check_batch(self, bucket, round_, batch):
        seen = self.testimony
        known = seen.batches.get((bucket, round_))
        assert known is None or known == batch, "a served round changed"
        seen.batches[bucket, round_] = batch
        assert batch == sorted(batch)
        real = [record for record in batch if record in seen.attempted]
        assert len(set(real)) == len(real), "a record twice"
        for record in real:
            assert seen.attempted[record] == bucket, "a record in another bucket"
            assert seen.acknowledged.get(record, round_) == round_, "a record in another round"
        rest = [record for record in batch if record not in seen.attempted]
        assert rest == self._cover(bucket, round_), "a record that nobody posted, or other cover"
        for record, when in seen.acknowledged.items():
            if when == round_ and seen.attempted[record] == bucket:
                assert record in real, "an acknowledged record is lost"

    def _cover(self, bucket, round_):
        return sorted(cover_records(self._epoch_cover(round_), bucket, round_, self.lost(bucket, round_)))

    def _epoch_cover(self, round_):
        epoch = round_ // EPOCH_ROUNDS
        key = cover.cover_key(self.relay._keyring.epochs[epoch][1])
        return cover.EpochCover(key, self.relay.parameters.rule(epoch).thresholds)

    def lost(self, bucket, round_):
        """The pages of a cell that cannot be read any more."""
        log = self.relay._log
        count = log.count_of(bucket, round_)
        return [page for page in log.pages_of(bucket, round_, count)[:count] if page in log.lost]

    def replacements(self, bucket, round_):
        """What a cell has in their place."""
        lost = self.lost(bucket, round_)
        made = cover_records(self._epoch_cover(round_), bucket, round_, lost)
        return made[len(made) - len(lost) :]

    # -- promises

    def check(self):
        """After a boot: everything that must hold, whatever happened before. AssertionError says what does not."""
        self._check_erased()
        if self.relay.clock.provisional:
            self.state_time()
        while self.relay._keyring.commissioned == self.relay.epoch:
            self.pass_rounds()  # AUTH has to wait
        for epoch, number in list(self.testimony.posted):
            if epoch == self.relay.epoch:
                self.member(number)  # holds it to its quota
        member = self.member(200 + self._throws % 50)
        self.read_all(member)
        for record, bucket in zip(self.records(2), range(BUCKETS)):
            self.post(member, record, bucket)
        self.pass_rounds()
        if self.relay.epoch != member.session.epoch:
            member = self.member(251)
        self.read_all(member)
        self._check_ledger(member)
        self._check_parameters(member)
        self._check_erased()
        self._check_encrypted()
        twice = {}
        for cell, batch in self.testimony.batches.items():
            for record in batch:
                if record in self.testimony.attempted:
                    assert record not in twice, "a record in two cells"
                    twice[record] = cell

    def _check_erased(self):
        """Keys that are no longer in force are nowhere on the raw flash."""
        kept = set()
        for secrets in self.relay._keyring.epochs.values():
            kept.update(secrets)
        raw = b"".join(self.keys.sectors + self.files.sectors + self.ring.sectors)
        for secret in self.testimony.secrets:
            assert secret in kept or secret not in raw, "an erased key is still on the flash"

    def _check_encrypted(self):
        """Records and headers are nowhere on the raw flash in the clear: every case looks for some of them."""
        raw = b"".join(self.keys.sectors + self.files.sectors + self.ring.sectors)
        plain = [record[:16] for record in self.testimony.attempted] + list(self.testimony.sealed.values())
        for part in plain[self._throws % _SAMPLED :: _SAMPLED]:
            assert part not in raw, "a record or a header stands on the flash in the clear"

    def _check_ledger(self, member):
        for epoch, blob in self.testimony.checkpoints.items():
            try:
                assert member.call(wire.checkpoint(epoch))[1] == blob, "a checkpoint changed"
            except Refused:
                raise AssertionError("a checkpoint is lost") from None

    def _check_parameters(self, member):
        assert member.call(wire.info())[3] >= self.testimony.serial, "acknowledged parameters are lost"


def code(version):
    """A bundle's bytes: more than a sector."""
    return _record(b"code %d" % version) * 20


def _record(label):
    blocks = [sha256(label, bytes((part,))) for part in range(8)]
    return b"".join(blocks)[: wire.RECORD_BYTES]
