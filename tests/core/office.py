# A small office for tests: an issuer, a relay on flash in memory, and members that talk to it without sockets.
# Keys are fixed and in the open here; nothing in firmware/ or host/ imports this.

import os

from check import unhex, vectors
from ramdevice import RamDevice
from tessera import channel, curve, params, wire
from tessera.admission import OPERATOR, operator_message, read_proof
from tessera.batch import CellFrame
from tessera.clock import Clock
from tessera.errors import Refusal
from tessera.hashes import sha256, tagged
from tessera.machine import Machine
from tessera.relay import Identity, Relay

ROUND_SECONDS = 10
EPOCH_ROUNDS = 6
RETENTION = 2
RING_SECTORS = 16
KEYRING_SECTORS = 4
GENESIS = 1_000_000
EPOCHS = 60
FEDERATION = b"a small office!!"
ACCESS_KEY = b"access key of the small office.."
READING_KEY = b"reading key of the small office."

ROOT = b"\x00" * 31 + b"\x07"
STATIC = b"\x00" * 31 + b"\x08"
LEDGER = b"\x00" * 31 + b"\x09"
EPHEMERAL = b"\x00" * 31 + b"\x0b"
RELAY_ID = 1
RELAY_KEY = curve.public(STATIC)
LEDGER_KEY = curve.public(LEDGER)[1:]
FIRMWARE_DIGEST = sha256(b"firmware")

_epoch_keys = []


def epoch_secret(epoch):
    return sha256(b"epoch", epoch.to_bytes(4, "big"))


def epoch_keys():
    """The schedule's keys, made once a process: 60 multiplications."""
    if not _epoch_keys:
        for epoch in range(EPOCHS):
            _epoch_keys.append(curve.public(epoch_secret(epoch))[1:])
    return b"".join(_epoch_keys)


def table():
    """The smallest noise table of the vectors: ε = 2, δ = 1e-6."""
    return unhex("".join(vectors("noise_table")[10]["thresholds"]))


def fields(**changes):
    """The fields of the office's parameters. reading_key, epoch_keys and relay_key: of its one relay's; its column goes
    on to the last of the office's epochs, whatever the first is."""
    reading_key = changes.pop("reading_key", READING_KEY)
    column = changes.pop("epoch_keys", None) or epoch_keys()[32 * changes.get("first_epoch", 0) :]
    static_key = changes.pop("relay_key", RELAY_KEY)
    result = {
        "serial": 1,
        "federation_id": FEDERATION,
        "root_key": curve.public(ROOT)[1:],
        "previous": bytes(32),
        "access_key": ACCESS_KEY,
        "reading_hash": params.reading_hash(reading_key),
        "card_hash": bytes(32),
        "day_epsilon": 0,
        "day_delta": 0,
        "ephemeral": curve.public(EPHEMERAL),
        "guest_access_keys": [],
        "genesis": GENESIS,
        "round_seconds": ROUND_SECONDS,
        "epoch_rounds": EPOCH_ROUNDS,
        "retention_epochs": RETENTION,
        "log2_buckets": 1,
        "members": 2,
        "tokens_per_epoch": 2,
        "posts_per_token": 16,
        "ahead": 8,
        "cover": params.DELIVERY,
        "constant": 0,
        "deliveries": 0,
        "generation": 0,
        "epsilon": 2_000_000,
        "delta": 1 << 40,
        "thresholds": table(),
        "first_epoch": 0,
    }
    result.update(changes)
    if "relays" not in changes:
        result["relays"] = [relay_fields(result["serial"], reading_key, column, static_key)]
    return result


def relay_fields(serial, reading_key=READING_KEY, column=None, static_key=RELAY_KEY, relay_id=RELAY_ID):
    """A relay of the field `relays`."""
    sealed = params.seal_reading_key(EPHEMERAL, static_key, FEDERATION, serial, relay_id, reading_key)
    return relay_id, static_key, LEDGER_KEY, sealed, epoch_keys() if column is None else column


def parameters(**changes):
    """A signed parameter set."""
    return signed(fields(**changes))


def signed(values, root=ROOT):
    """The set of these fields, with all columns, signed by a root key."""
    head, rest, columns = params.encode(values)
    return b"".join((head, curve.sign(root, params.digest(head), bytes(32)), rest, columns))  # once: a board's heap


def time_statement(unix_seconds, root=ROOT, federation_id=FEDERATION):
    """A signed time."""
    body, message = params.encode_time(federation_id, unix_seconds)
    return body + curve.sign(root, message, bytes(32))


class RamDirectory:
    """The files of tessera.files.Directory in memory."""

    def __init__(self):
        self.files = {}
        self.reads = None  # a list that a test puts here takes (offset, length) of what is read at a place

    def read(self, name):
        return self.files.get(name)

    def read_at(self, name, offset, length):
        if self.reads is not None:
            self.reads.append((offset, length))
        return self.files[name][offset : offset + length]

    def size(self, name):
        return len(self.files.get(name, b""))

    def replace(self, name, *parts):
        self.files[name] = b"".join([bytes(part) for part in parts])

    def append(self, name, data):
        self.files[name] = self.files.get(name, b"") + bytes(data)

    def rename(self, name, new_name):
        self.files[new_name] = self.files.pop(name)

    def remove(self, name):
        self.files.pop(name, None)


class Office:
    """A relay that can be switched off and on; time is what the test says it is."""

    machine = Machine  # that it runs on, made anew for each boot

    def __init__(self, clock_known=True, **changes):
        self.ring = RamDevice(RING_SECTORS)
        self.keys = RamDevice(KEYRING_SECTORS)
        self.directory = RamDirectory()
        self.directory.replace("parameters", parameters(**changes))
        self.directory.replace("seed", sha256(b"provisioned seed"))
        self.ticks = 0
        self.unix_ms = 1000 * GENESIS + 500
        self.boot(clock_known)
        if clock_known:
            self.state_time()

    def state_time(self):
        """IT says what time it is: the clock is borne out."""
        self.relay.push(Cable(), params.TIME_BYTES, 0, params.TIME_BYTES, time_statement(self.unix_ms // 1000))
        self.turn()

    def boot(self, clock_known=True):
        """Switch the relay on (again): nothing but flash and files survives."""
        clock = Clock(lambda: self.ticks, lambda later, earlier: later - earlier)
        identity = Identity(STATIC, LEDGER, b"chip", FIRMWARE_DIGEST)
        self.relay = Relay(self.ring, self.keys, self.directory, identity, self.random_source(), clock, self.machine())
        self.relay.start()
        if clock_known:
            clock.set(self.unix_ms)
            self.turn()
        return self.relay

    def random_source(self):
        """The hardware's, for one boot."""
        return os.urandom

    def turn(self):
        if self.relay.turn():
            self.relay.maintain()

    def sleep(self, rounds=1):
        """Let rounds pass, one by one, with the relay running."""
        for _ in range(rounds):
            self.pass_time(ROUND_SECONDS * 1000)
            self.turn()

    def pass_time(self, milliseconds):
        self.ticks += milliseconds
        self.unix_ms += milliseconds

    def member(self, number=0, epoch=None):
        """A connection with a token of the open epoch, admitted."""
        connection = Connection(self.relay)
        connection.authenticate(Token(number, self.relay.epoch if epoch is None else epoch))
        return connection


class Cable:
    """The operator without a channel, as on a board's serial line."""

    operator = True
    pushed_ms = 0


class Token:
    """Token `number` of an epoch, as the issuer would have signed it."""

    def __init__(self, number, epoch, relay_key=RELAY_KEY, secret=None):
        self.epoch = epoch
        self.secret = sha256(b"token", number.to_bytes(4, "big"), epoch.to_bytes(4, "big"))
        self.key = curve.public(self.secret)[1:]
        message = tagged("token", FEDERATION, epoch.to_bytes(4, "big"), relay_key, self.key)
        self.signature = curve.sign(secret or epoch_secret(epoch), message, bytes(32))

    def request(self, handshake_hash):
        proof = curve.sign(self.secret, tagged("session", handshake_hash), bytes(32))
        return wire.auth(self.epoch, self.key, self.signature, proof)


class Connection:
    """The client's end and the relay's session of one connection, joined without a network."""

    def __init__(self, relay, access_key=ACCESS_KEY, resumption=None):
        self.relay = relay
        nonce = relay.nonce()
        if resumption is None:
            self._client = channel.Initiator(nonce, RELAY_KEY, access_key, os.urandom(32))
        else:
            self._client = channel.Resumption(nonce, access_key, resumption, os.urandom(16))
        hello = self._client.hello()
        self.session, reply = relay.greet(hello, nonce, relay.check_hello(hello, nonce))
        self.channel = self._client.finish(reply)
        self.secret = self._client.next_secret if resumption else None

    def call(self, request):
        """The answer to a request, as wire.read_answer gives it; Refused for an error."""
        frame = self.session.channel.open(self.channel.seal(request))
        out = bytearray(wire.CLIENT_FRAME_BYTES)
        try:
            self.relay.answer(self.session, frame, out)
        except Refusal as error:
            wire.answer_error(out, error)
        self.session.channel.seal_in_place(out)
        return wire.read_answer(self.channel.open(out))

    def authenticate(self, token):
        """The posts left."""
        _, self.secret, posts_left = self.call(token.request(self.channel.handshake_hash))
        return posts_left

    def post(self, record, bucket=0):
        """The round the record will appear in."""
        return self.call(wire.post(bucket, record))[1]

    def operate(self, root=ROOT):
        """Be the operator: IT's root key signs for this session."""
        message = operator_message(FEDERATION, RELAY_KEY, self.channel.handshake_hash or bytes(32))
        return self.call(wire.auth(OPERATOR, bytes(32), curve.sign(root, message, bytes(32)), bytes(64)))

    def push(self, blob):
        """Whether an object that was pushed whole is complete; Refused for an error."""
        for chunk in range((len(blob) + 239) // 240):
            answer = self.call(wire.push(len(blob), chunk, blob[240 * chunk : 240 * (chunk + 1)]))
        return answer[1] == 1

    def fetch(self, start, end, bucket=0, reading_key=READING_KEY):
        """({round: records}, next) of a whole FETCH; Refused for an error."""
        proof = read_proof(reading_key, self.channel.handshake_hash or bytes(32))
        frame = self.session.channel.open(self.channel.seal(wire.fetch(bucket, start, end, proof)))
        rounds = {}
        for sealed in served(self.relay, self.session, frame):
            answer = wire.read_cell(self.channel.open(sealed))
            if answer[0] == wire.CELL:
                _, round_, count, offset, records = answer
                batch = rounds.setdefault(round_, [])
                assert offset == len(batch), "frames out of order"
                batch.extend(records)
                assert len(batch) == count or len(records) == wire.RECORDS_PER_FRAME
        return rounds, answer[1]

    def cell(self, round_, bucket=0):
        """The sealed batch of one cell."""
        return self.fetch(round_, round_ + 1, bucket)[0][round_]


def served(relay, session, frame):
    """The sealed frames that answer a FETCH, one by one; its plaintext is frame."""
    cells = CellFrame()
    delivery = None
    more = True
    while more:
        try:
            delivery = delivery or relay.fetch(session, frame)
            more = delivery.next_frame(cells)
        except Refusal as error:
            wire.answer_fetch_error(cells.buffer, error)
            more = False
        session.channel.seal_in_place(cells.buffer)
        yield bytes(cells.buffer)


def records(count, label=b"record"):
    """Records that look random and are the same in every run."""
    made = []
    for number in range(count):
        blocks = [sha256(label, bytes((number, part))) for part in range(8)]
        made.append(b"".join(blocks)[:240])
    return made
