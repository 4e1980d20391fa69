"""What comes over the network to a relay: hello, raw streams, frames of strangers and frames of members."""

import asyncio
import contextlib
from collections import Counter
from unittest import mock

from office import (
    ACCESS_KEY,
    EPOCH_ROUNDS,
    FEDERATION,
    GENESIS,
    RELAY_KEY,
    ROOT,
    ROUND_SECONDS,
    Connection,
    Token,
    records,
)
from tessera import channel, curve, curve_coincurve, curve_plain, params, server, wire
from tessera.admission import OPERATOR, operator_message
from tessera.batch import CellFrame
from tessera.errors import BadFrame, BadRequest, Busy, Fault, Refusal, Refused
from tessera.hashes import hmac_sha256
from tests.fuzz.smalloffice import SmallOffice, admissions, lived, settings, sign_set, signed
from tests.fuzz.target import Intake, Target, must

NONCE = bytes(range(16))
EPHEMERAL = bytes(31) + b"\x11"
SECRET = b"resumption secret of the fuzzers"
CLIENT_RANDOM = b"client's random "
_LAST_SECOND = GENESIS + 0x3FFFFFFE * ROUND_SECONDS  # of which there is a round


def admitted_token(relay):
    """The token whose session can be resumed with SECRET."""
    connection = Connection(relay)
    connection.authenticate(Token(1, relay.epoch))
    relay._epochs.admission.offer_resumption(connection.session.token, SECRET)
    return connection.session.token


class Hello(Target):
    """81 bytes in front of a session. A stranger's leave no trace; without the secrets nobody gets in."""

    name = "hello"
    runs = 1500
    multiple = 4
    longest = 1 + channel.HELLO_BYTES

    # First byte of an input: the bytes behind it as they are, or with the check of the access key put in.
    RAW, CHECKED = 0, 1

    def __init__(self) -> None:
        self._office = SmallOffice(lived())
        self._token = admitted_token(self._office.relay)
        self._full = channel.Initiator(NONCE, RELAY_KEY, ACCESS_KEY, EPHEMERAL).hello()
        following = channel.resumption_step(SECRET)[2]
        self._resumptions = [
            channel.Resumption(NONCE, ACCESS_KEY, secret, CLIENT_RANDOM).hello()
            for secret in (SECRET, following, channel.resumption_step(following)[2])
        ]

    def seeds(self) -> list[bytes]:
        hellos = [self._full, *self._resumptions, bytes(81), b"\x02" + b"\xff" * 80, b"\x04" + self._full[1:]]
        return [bytes((mode,)) + hello for mode in (self.RAW, self.CHECKED) for hello in hellos]

    def run(self, data: bytes) -> None:
        relay = self._office.relay
        relay._epochs.admission.offer_resumption(self._token, SECRET)
        while relay.prepare():
            pass
        intake = Intake(data)
        mode, hello = intake.number(1), bytearray(intake.bytes(channel.HELLO_BYTES))
        if mode % 2 == self.CHECKED:
            hello[33:49] = hmac_sha256(ACCESS_KEY, b"hello", NONCE, hello[:33])[:16]
        hello = bytes(hello)
        before = self._office.changes, admissions(relay)
        prepared = len(relay._handshakes._ephemerals), len(relay._handshakes._drawn)
        try:
            access_key = relay.check_hello(hello, NONCE)
        except BadFrame:
            must(
                prepared == (len(relay._handshakes._ephemerals), len(relay._handshakes._drawn)),
                "a stranger's hello used something up",
            )
            must(before == (self._office.changes, admissions(relay)), "a stranger's hello changed the relay")
            return
        try:
            session, reply = relay.greet(hello, NONCE, access_key)
        except BadFrame:
            must(before == (self._office.changes, admissions(relay)), "a stranger's hello changed the relay")
            return
        must(before[0] == self._office.changes, "a handshake wrote to flash")
        must(len(reply) == channel.REPLY_BYTES, "a reply of another length")
        # Nobody can make another hello that holds: these are the ones their owners made.
        must(hello in (self._full, *self._resumptions[:2]), "let in without the secrets")
        must((session.token is None) == (hello == self._full), "a session that is and is not resumed")


async def _at_once(_) -> None:
    """In place of waiting for a moment to send: time stands still."""


class _Writer:
    """What a stream's writer is to a server; hands what is written to `heard`."""

    def __init__(self, heard) -> None:
        self._heard = heard
        self.closed = False

    def write(self, data: bytes) -> None:
        self._heard(bytes(data))

    async def drain(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    async def wait_closed(self) -> None:
        pass


class Stream(Target):
    """A whole connection to a Server by someone who is no member, from the nonce to the end.

    Modes: bytes as they are; the handshake of someone who has the access key, then bytes as they are; or then frames
    that are sealed, every one intact or broken.
    """

    name = "stream"
    runs = 300
    share = 2
    longest = 1 + 6 * wire.CLIENT_FRAME_BYTES
    RAW, AFTER_HANDSHAKE, FRAMES = 0, 1, 2

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._uncaught)
        self._office = SmallOffice(lived())
        self._office.relay.nonce = lambda: NONCE
        self._errors = []

    def _uncaught(self, _, context) -> None:
        self._errors.append(context)

    def seeds(self) -> list[bytes]:
        requests = [wire.void(), wire.info(), wire.status(), wire.params(1), wire.checkpoint(0), b"\x09"]
        requests += [wire.fetch(0, 6, 14, bytes(16)), wire.post(0, bytes(240)), wire.push(92, 0, bytes(92))]
        requests += [wire.auth(OPERATOR, bytes(32), bytes(64), bytes(64)), wire.push(2000, 0, lived_set()[:40])]
        frames = b"".join(bytes((2, 0, 40)) + bytes(request[:40]) for request in requests)
        hello = channel.Initiator(NONCE, RELAY_KEY, ACCESS_KEY, EPHEMERAL).hello()
        broken = bytes((2, 0, 1, 1)) + b"\x01\x05\x01\x01"
        return [bytes(81), b"\0" + hello, b"\0" + hello + bytes(272), b"\x01" + bytes(300), frames, broken]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        mode = intake.number(1) % 3
        before = self._office.changes, admissions(self._office.relay)
        peer = _Peer(mode, intake)
        with mock.patch.object(server, "ticks_ms", return_value=0), mock.patch.object(server, "sleep_ms", _at_once):
            self._loop.run_until_complete(self._connect(peer))
        must(not self._errors, self._errors)
        must(peer.writer.closed, "the connection stays open")
        must(before == (self._office.changes, admissions(self._office.relay)), "a stranger changed the relay")
        peer.judge()

    async def _connect(self, peer: "_Peer") -> None:
        serving = server.Server(self._office.relay)
        serving._gate.set()
        peer.reader = asyncio.StreamReader()
        await serving._connected(peer.reader, peer.writer)
        must(
            not serving._connections and not serving._deliveries and not serving._handshake.locked(),
            "the server keeps something of a connection that is over",
        )


class _Peer:
    """The other end of a Stream: makes of an input what is sent, and judges what came back."""

    # What needs the channel only (PROTOCOL §5).
    _PUBLIC = (wire.VOIDED, wire.INFO_ANSWER, wire.PARAMS_ANSWER, wire.CHECKPOINT_ANSWER, wire.STATUS_ANSWER)

    def __init__(self, mode: int, intake: Intake) -> None:
        self._mode = mode
        self._intake = intake
        self._side = channel.Initiator(NONCE, RELAY_KEY, ACCESS_KEY, EPHEMERAL)
        self._channel = None
        self._broken = False
        self._fetching = False
        self._answers = 0
        self.reader = None
        self.writer = _Writer(self._heard)

    def _heard(self, data: bytes) -> None:
        if data == NONCE:
            self._greet()
        elif self._mode == Stream.RAW:
            must(len(data) == channel.REPLY_BYTES, "an answer without a handshake")
        elif self._channel is None:
            self._channel = self._side.finish(data)
            self._speak()
        else:
            self._listen(data)

    def _greet(self) -> None:
        if self._mode == Stream.RAW:
            self._feed(self._intake.rest(), end=True)
        else:
            self._feed(self._side.hello())

    def _speak(self) -> None:
        if self._mode == Stream.AFTER_HANDSHAKE or not self._intake:
            self._broken = True
            self._feed(self._intake.rest(), end=True)
        else:
            self._feed(self._frame())

    def _frame(self) -> bytes:
        """The next frame of the input: a number to break its seal by (0: intact), a length, so many bytes."""
        damage, length = self._intake.number(1), self._intake.number(1)
        plaintext = self._intake.bytes(length)[: wire.SMALL_BYTES].ljust(wire.SMALL_BYTES, b"\0")
        self._fetching = plaintext[0] == wire.FETCH
        sealed = bytearray(self._channel.seal(plaintext))
        if damage:
            self._broken = True
            sealed[damage % len(sealed)] ^= damage
        return bytes(sealed)

    def _listen(self, data: bytes) -> None:
        must(not self._broken, "an answer to a frame that does not verify")
        plaintext = self._channel.open(data)
        try:
            answer = (wire.read_cell if self._fetching else wire.read_answer)(plaintext)
            must(
                answer[0] in self._PUBLIC,
                "a stranger was served",
            )
        except Refused as refused:
            if refused.name == "BAD_FRAME":
                self._broken = True  # the relay hangs up
        self._speak()

    def _feed(self, data: bytes, end: bool = False) -> None:
        self.reader.feed_data(data)
        if end or self._broken:
            self.reader.feed_eof()

    def judge(self) -> None:
        if self._mode != Stream.RAW:
            must(self._channel is not None, "a good handshake was refused")


def lived_set() -> bytes:
    """The newest set of the relay that has lived."""
    return SmallOffice(lived()).relay.parameters.newest.blob


# The fields of a parameter set that an input may change, and how many bytes it gives for them.
_FIELDS = (
    ("serial", 4),
    ("first_epoch", 4),
    ("epoch_rounds", 2),
    ("retention_epochs", 1),
    ("log2_buckets", 1),
    ("members", 4),
    ("tokens_per_epoch", 1),
    ("posts_per_token", 2),
    ("genesis", 8),
    ("round_seconds", 2),
    ("epsilon", 4),
    ("delta", 8),
    ("thresholds", 3),
    ("epoch_keys", 2),
    ("relays", 1),
    ("federation_id", 1),
    ("access_key", 1),
    ("root_key", 1),
    ("reading_key", 1),
    ("cover", 1),
    ("constant", 4),
    ("deliveries", 2),
    ("ahead", 1),
    ("generation", 4),
    ("guest_access_keys", 1),
    ("reading_hash", 1),
    ("ephemeral", 1),
    ("previous", 1),
)


def fuzzed_set(intake: Intake, serial: int, first_epoch: int) -> bytes:
    """A set that follows (serial, first_epoch), signed by the root key, with some fields changed by the input; what is
    sealed in it is so for what it says."""
    changes = {"serial": serial, "first_epoch": min(first_epoch, 50)}
    usual = settings(**changes)
    changes |= {"first_epoch": first_epoch, "epoch_keys": usual["relays"][0][4]}
    entries = 1
    for _ in range(intake.number(1) % 5):
        name, width = _FIELDS[intake.number(1) % len(_FIELDS)]
        value = intake.bytes(width)
        if name == "thresholds":
            changes[name] = value[:2].ljust(8, b"\0") * 2 * (1 + value[2] % 4)
        elif name == "epoch_keys":
            changes[name] = changes[name][: 32 * value[0]] + value[1:] * 32
        elif name == "relays":
            entries = value[0] % 3
        elif name == "guest_access_keys":
            changes[name] = [bytes(32)] * (value[0] % 5)
        elif name == "reading_key":
            changes[name] = value * 32
        elif isinstance(usual[name], bytes):
            changes[name] = value * len(usual[name])
        else:
            changes[name] = int.from_bytes(value, "big")
    chosen = settings(**changes)
    chosen["relays"] *= entries
    return sign_set({"epochs": 1} | chosen)


class Requests(Target):
    """Frames of two connections, of strangers and of members, over rounds and restarts.

    Only refusals come out, and a refused request changed nothing. What was acknowledged is stored exactly as often as
    it was, before and after a restart; what was pushed is in force byte for byte, or forgotten.
    """

    name = "requests"
    runs = 400
    share = 6
    longest = 512
    _MOST_STEPS = 40

    def seeds(self) -> list[bytes]:
        auth, post, fetch = b"\x03\0\0", b"\x01\0\x01", b"\x02\0\0\x06\x08"
        push, time = b"\x04\0\0", b"\x05\x00\x00\x00\x00\x00\x00"
        operate, head = b"\x0e\0", b"\x0f\0\0\0"
        small = b"\x04\0\x02\x0c\x80\0\0\x0d\x01\x07"  # another table, fewer epochs
        return [
            b"\x00\x05" + b"\x01" * 5,
            auth + post + post + fetch,
            auth + b"".join(b"\x01\x00%c" % n for n in (0x80, 0xC0, 0xC4, 0xC8, 0x84, 0xFC, 0xF8, 0xC0)) + b"\x07\x01",
            auth + b"".join(b"\x01%c%c" % (n % 2, n) for n in range(16)) + b"\x07\x02" + fetch,
            auth + push + b"\x07\x07" + b"\x0b\0\x05" + push + b"\x08" + fetch,
            auth + small + b"\x07\x06" + post + b"\x09" + auth + post,
            auth + time + time + b"\x0c\0\x01",
            auth + b"\x0a" + post + b"\x0a" + post + b"\x0d" + b"\x0a",
            auth + b"\x06\x01\0\0\0\xf0TPR2" + b"\x06\x01\0\0\1\xf0abcd" + b"\x06\x01\0\0\5\xf0abcd",
            auth + b"\x83\1\0" + push + b"\x84\0\1" + b"\x04\0\2" + b"\x87\x01",
            auth + b"\x05\x00\x00\x00\x01\x00\x00" + post + b"\x08" + auth + post + b"\x07\x03",
            operate + push + time + post + fetch + auth + b"\x07\x03" + b"\x0e\x05",
            head + b"\x0f\0\0\xf1" + b"\x8f\0\0\0" + b"\x84\0\0" + push + b"\x0f\0\0\x05",
            fetch * 2 + b"\x02\0\1\x06\x08" + push + b"\x07\x07" + fetch + b"\x04\0\1\x12\7" + b"\x07\x07" + fetch,
        ]

    def run(self, data: bytes) -> None:
        self._intake = Intake(data)
        self._office = SmallOffice(lived())
        self._connections = [None, None]
        self._acknowledged = Counter()
        self._sent = set()  # what would be a repetition, by connection
        steps = (
            *(self._raw, self._post, self._fetch, self._auth, self._push_set, self._push_time, self._push_chunk),
            *(self._pass_rounds, self._restart, self._connect, self._resume, self._parameters, self._checkpoint),
            *(self._leave, self._operate, self._push_head),
        )
        for _ in range(self._MOST_STEPS):
            if not self._intake:
                break
            choice = self._intake.number(1)
            self._which = choice >> 7
            steps[(choice & 127) % len(steps)]()
        self._judge()

    # -- steps

    def _connection(self) -> Connection:
        if self._connections[self._which] is None:
            self._connect()
        return self._connections[self._which]

    def _connect(self) -> None:
        self._leave()
        self._connections[self._which] = Connection(self._office.relay, self._office.relay.parameters.access_keys[0])

    def _leave(self) -> None:
        connection = self._connections[self._which]
        if connection is not None:
            self._office.relay.leave(connection.session)
            must(not self._pushing(connection.session), "a push outlives its connection")
        self._connections[self._which] = None
        self._sent = {mark for mark in self._sent if mark[0] != self._which}

    def _resume(self) -> None:
        secret = self._connection().secret
        if secret is None:
            return
        self._leave()
        # Refused if it is of an epoch that is over, of an earlier boot, or under an access key that was replaced.
        with contextlib.suppress(BadFrame):
            self._connections[self._which] = Connection(self._office.relay, resumption=secret)

    def _raw(self) -> None:
        length = self._intake.number(1)
        self._ask(self._intake.bytes(length)[: wire.SMALL_BYTES].ljust(wire.SMALL_BYTES, b"\0"))

    def _post(self) -> None:
        bucket, number = self._intake.number(1), self._intake.number(1)
        record = records(1, bytes((number,)))[0]
        if number & 128:  # the order of a batch is then decided behind the first bytes
            alike = 8 if number & 64 else 20
            record = records(1, bytes((number & 3,)))[0][:alike] + record[alike:]
        self._ask(wire.post(bucket, record))

    def _pushing(self, session) -> bool:
        return any(transfer.session is session for transfer in self._office.relay._pushes._transfers)

    def _reading_proof(self) -> bytes | None:
        """What FETCH has to show in this session; None if nothing does."""
        connection, relay = self._connection(), self._office.relay
        if connection.session.operator or connection.channel.handshake_hash is None:
            return None
        key = relay.parameters.rule(relay.epoch).reading_key
        return hmac_sha256(key, b"read", connection.channel.handshake_hash)[:16]

    def _fetch(self) -> None:
        bucket, flaw, start, count = (self._intake.number(1) for _ in range(4))
        proof = bytearray(self._reading_proof() or bytes(16))
        proof[flaw % 16] ^= flaw
        self._ask(wire.fetch(bucket, start, start + count, proof))

    def _operate(self) -> None:
        """AUTH of the operator; damage 0 is IT's."""
        damage = self._intake.number(1)
        connection = self._connection()
        handshake_hash = connection.channel.handshake_hash
        message = operator_message(FEDERATION, RELAY_KEY, handshake_hash or bytes(32))
        signature = bytearray(curve.sign(ROOT, message, bytes(32)))
        signature[damage % 64] ^= damage
        if self._ask(wire.auth(OPERATOR, bytes(32), signature, bytes(64))) is not None:
            must(not damage and handshake_hash, "somebody who is not IT became the operator")

    def _push_head(self) -> None:
        """The first chunk of a good set alone, damaged at a place."""
        damage, at = self._intake.number(1), self._intake.number(2)
        blob = signed(serial=self._office.relay.parameters.newest.serial + 1, first_epoch=50)
        first = bytearray(blob[: wire.CHUNK_BYTES])
        first[at % len(first)] ^= damage
        session = self._connection().session
        answer = self._ask(wire.push(len(blob), 0, first))
        must(answer is None or not damage, "a damaged head was taken")
        must(self._pushing(session) == (answer is not None), "a push is kept that was not taken")

    def _auth(self) -> None:
        number, damage = self._intake.number(1), self._intake.number(1)
        connection = self._connection()
        epoch = self._office.relay.epoch
        handshake_hash = connection.channel.handshake_hash or bytes(32)
        request = bytearray(Token(number % 2, epoch).request(handshake_hash))
        at = 1 + damage % 164
        request[at] ^= damage
        known = len(self._office.relay._epochs.admission._tokens)
        answer = self._ask(bytes(request))
        if answer is not None:
            # The issuer's signature (bytes 37 to 100) is looked at once an epoch.
            seen = 37 <= at < 101 and known == len(self._office.relay._epochs.admission._tokens)
            must(not damage or seen, "a damaged token or proof was admitted")
            connection.secret = answer[1]

    def _push_set(self) -> None:
        order = self._intake.number(1)
        newest = self._office.relay.parameters.newest
        blob = fuzzed_set(self._intake, newest.serial + 1, self._office.relay.epoch + 1)
        if self._push(blob, order):
            must(self._office.relay.parameters.newest.blob == blob, "what was pushed is not in force")
            must(self._office.directory.read("parameters").startswith(blob), "what was pushed is not stored")

    def _push_time(self) -> None:
        order, foreign = self._intake.number(1), self._intake.number(1)
        seconds = self._office.unix_ms // 1000 + self._intake.number(5) - self._intake.number(1)
        body, message = params.encode_time(b"another office!!" if foreign else FEDERATION, max(0, seconds))
        if self._push(body + curve.sign(ROOT, message, bytes(32)), order):
            must(not foreign, "another office's time was taken")
            if seconds > _LAST_SECOND:
                must(self._office.relay.clock.now_ms() < 1000 * seconds, "a time was taken that no round is of")
                return
            must(self._office.relay.clock.now_ms() >= 1000 * seconds, "the time that was pushed is not in force")
            # It is that time now: a start with an earlier one, after a seal, would be refused.
            self._office.unix_ms = max(self._office.unix_ms, 1000 * seconds)
            self._office.turn()

    def _push(self, blob: bytes, order: int) -> bool:
        """Whether the relay took it. order: 0 sends the chunks as they should be, others leave one out or repeat it."""
        chunks = list(range(0, len(blob), wire.CHUNK_BYTES))
        if order & 1 and chunks[1:]:
            chunks.pop(order % len(chunks))
        if order & 2:
            chunks.insert(0, chunks[order % len(chunks)])
        complete = None
        for at in chunks:
            answer = self._ask(wire.push(len(blob), at // wire.CHUNK_BYTES, blob[at : at + wire.CHUNK_BYTES]))
            if answer is None:
                return False
            complete = answer[1]
        return complete == 1

    def _push_chunk(self) -> None:
        total, chunk, length = (self._intake.number(width) for width in (2, 2, 1))
        content = self._intake.bytes(4).ljust(wire.CHUNK_BYTES, b"\0")
        frame = wire.push(total, chunk, content)
        frame[5] = length
        self._ask(frame)

    def _parameters(self) -> None:
        self._ask(wire.params(self._intake.number(2)))

    def _checkpoint(self) -> None:
        self._ask(wire.checkpoint(self._intake.number(2)))

    def _pass_rounds(self) -> None:
        self._office.sleep(self._intake.number(1) % (2 * EPOCH_ROUNDS))

    def _restart(self) -> None:
        self._office.boot()
        self._connections = [None, None]
        self._sent = set()

    # -- what must hold

    def _ask(self, request: bytes):
        """The answer, None for a refusal."""
        connection = self._connection()
        relay, session = self._office.relay, connection.session
        proof = self._reading_proof()
        before = self._office.changes, self._state()
        try:
            answer = self._answer(connection, bytes(request))
        except Refusal as refusal:
            self._judge_refusal(refusal, request, session, before)
            return None
        if request[0] not in (wire.AUTH, wire.POST, wire.PUSH):
            must(before == (self._office.changes, self._state()), "a question changed the relay")
        if request[0] == wire.POST:
            must(session.token is not None and session.epoch == relay.epoch, "served without admission")
        if request[0] == wire.STAGE:
            must(session.operator, "code was taken that the operator did not bring")
        if request[0] == wire.FETCH:
            must(request[11:27] == proof, "cells were served without the reading key")
        if request[0] == wire.POST:
            self._count(request, answer)
        return answer

    def _answer(self, connection: Connection, request: bytes):
        relay = self._office.relay
        if request[0] == wire.FETCH:
            delivery, frame = relay.fetch(connection.session, request), CellFrame()
            while delivery.next_frame(frame):
                wire.read_cell(frame.buffer[: wire.CELL_BYTES])
            return wire.read_cell(frame.buffer[: wire.CELL_BYTES])
        out = bytearray(wire.CLIENT_FRAME_BYTES)
        relay.answer(connection.session, request, out)
        return wire.read_answer(bytes(out[: wire.SMALL_BYTES]))

    def _judge_refusal(self, refusal: Refusal, request: bytes, session, before) -> None:
        must(str(refusal), "a refusal without a text")
        wire.answer_error(bytearray(wire.CLIENT_FRAME_BYTES), refusal)
        if request[0] == wire.POST and isinstance(refusal, (Busy, Fault)):
            return  # the lease is durable before there is no room for the record
        if request[0] == wire.PUSH and isinstance(refusal, BadRequest):
            must(not self._pushing(session), "not forgotten")
        must(before == (self._office.changes, self._state()), "a refused request changed the relay")

    def _state(self):
        tokens, resumable, _, epoch, open_round = admissions(self._office.relay)
        return tokens, resumable, epoch, open_round, self._office.relay.parameters.newest.blob

    def _count(self, request: bytes, answer) -> None:
        round_, bucket, record = answer[1], request[1] << 8 | request[2], bytes(request[3 : 3 + wire.RECORD_BYTES])
        must(round_ == self._office.relay.open_round, "acknowledged for another round")
        mark = self._which, round_, bucket, record[:16]
        if mark not in self._sent:
            self._acknowledged[bucket, round_, record] += 1
        self._sent.add(mark)

    def _judge(self) -> None:
        if self._office.relay.open_round is None:
            return
        self._office.sleep()
        self._judge_stored()
        self._office.boot()
        self._judge_stored()

    def _judge_stored(self) -> None:
        relay = self._office.relay
        for (bucket, round_, record), count in self._acknowledged.items():
            if relay.first_round <= round_ < relay.open_round:
                found = self._office.stored(bucket, round_, round_ + 1)[round_]
                must(found.count(record) == count, f"stored {found.count(record)} times, not {count}")


class CurveTiers(Target):
    """Points, keys and signatures of strangers: both tiers on CPython say the same, ValueError or False included.

    The first byte is the function, the rest its arguments.
    """

    name = "curve"
    runs = 60
    longest = 129
    _SCALAR = bytes(31) + b"\x0b"

    def seeds(self) -> list[bytes]:
        key, message = curve.public(self._SCALAR), bytes(range(32))
        signature = curve.sign(self._SCALAR, message, bytes(32))
        order = bytes.fromhex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
        prime = bytes.fromhex("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f")
        points = [
            key,
            b"\x02" + prime,
            b"\x03" + bytes(32),
            b"\x04" + key[1:],
            b"\x02" + bytes(31) + b"\x05",
            bytes(33),
        ]
        wrong = [signature[:32] + order, prime + signature[32:], bytes(64), b"\xff" * 64]
        return [
            *(b"\0" + made + message + key[1:] for made in (signature, *wrong)),
            *(b"\0" + signature + message + x for x in (prime, bytes(32), b"\xff" * 32)),
            *(b"\1" + self._SCALAR + point for point in points),
            *(b"\1" + scalar + key for scalar in (order, bytes(32), b"\xff" * 32)),
            *(b"\2" + key[1:] + scalar for scalar in (order, bytes(32), self._SCALAR)),
            *(b"\3" + scalar for scalar in (order, bytes(32), self._SCALAR, b"\xff" * 32)),
        ]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        name, lengths = (("verify", (64, 32, 32)), ("dh", (32, 33)), ("tweak_add", (32, 32)), ("public", (32,)))[
            intake.number(1) % 4
        ]
        arguments = [intake.bytes(length) for length in lengths]
        one, other = (self._said(getattr(tier, name), arguments) for tier in (curve_coincurve, curve_plain))
        must(one == other, f"{name}: {one} and {other}")

    def _said(self, function, arguments):
        try:
            return function(*arguments)
        except ValueError:
            return ValueError


TARGETS = (Hello, Stream, Requests, CurveTiers)
