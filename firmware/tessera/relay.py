# The relay: rounds, epochs and what each request does to the stores. Sockets, delays and ticks are server.py's
# business.
#
# Data goes one way: a frame is read by wire, answered here from the stores, and what is written is durable before the
# answer.

from . import VERSION, channel, cover, curve, wire
from .admission import Admission
from .batch import Batch
from .clock import Clock
from .drbg import RelayGenerator
from .errors import BadFrame, BadRequest, Busy, Fault, InvalidObject, NotAdmitted, NotReady, TooOld
from .keyring import ADMITTED, NEVER, KeyRing
from .ledger import Ledger
from .page import PageCipher
from .parameterstore import ParameterStore
from .params import HEADER_BYTES, MAX_BYTES, TimeStatement, is_time_statement
from .recordlog import RecordLog
from .runtime import const
from .staging import ACTIVATED, WAIT

_SEED_FILE = "seed"
_BOOT_ERASES = const(8)  # sectors erased at boot: room for 128 posts before the first window
_WINDOW_ERASES = const(8)  # and in each window after a seal
_MARK_BYTES = const(17)  # bucket and first 16 bytes: what a repeated POST is recognised by
_MARKS = const(16)  # remembered in a session: as many as a lease has
_ROUNDS_OF_A_START = const(1)  # missed by a restart; a clock that is further on after a boot is provisional
_EPHEMERALS = const(4)  # made in advance: one for each session of a Server
_PUSH_PATIENCE_MS = const(10_000)  # without a chunk, then a push gives way to another
_DRAWN_BYTES = const(512)  # random bytes drawn in advance


class Identity:
    """What makes this relay this one: static and ledger key (secrets of 32 bytes), chip id, firmware digest (32),
    and the name of its board, which STATUS tells."""

    def __init__(self, static_secret, ledger_secret, chip_id, firmware_digest, board=""):
        secret = curve.Secret(static_secret)
        self.static = (secret, curve.public(secret))
        self.ledger_secret = curve.Secret(ledger_secret)
        self.ledger_key = curve.public(self.ledger_secret)[1:]
        self.chip_id = chip_id
        self.firmware_digest = firmware_digest
        self.board = board


class Session:
    """What the relay remembers of one connection."""

    def __init__(self, channel_):
        self.channel = channel_
        self.epoch = None  # of the token
        self.token = None
        self.push = None  # object being pushed
        self.push_at = 0
        self._posted_round = None
        self._posts = 0  # in it
        # Made with the session and not post by post: how long collector and allocator take for what stays is seen by
        # all the others.
        self._marks = bytearray(_MARKS * _MARK_BYTES)

    def repeats(self, round_, mark):
        """Whether a POST with this mark (17 bytes) is one of the last 16 of this session, in this open round."""
        if self._posted_round != round_:
            self._posted_round, self._posts = round_, 0
        for at in range(0, min(self._posts, _MARKS) * _MARK_BYTES, _MARK_BYTES):
            if self._marks[at : at + _MARK_BYTES] == mark:
                return True
        return False

    def remember(self, mark):
        """Note a POST that was stored, in the round repeats() was asked for last."""
        at = self._posts % _MARKS * _MARK_BYTES
        self._marks[at : at + _MARK_BYTES] = mark
        self._posts += 1


class Relay:
    """A relay over two block devices and a directory of small files; start() brings it up.

    random_source(n) -> bytes is the hardware's source, one of three that feed the generator.
    """

    def __init__(self, ring_device, keyring_device, directory, identity, random_source, clock=None):
        self._directory = directory
        self._identity = identity
        self._random_source = random_source
        self.clock = clock or Clock()
        self._log = RecordLog(ring_device)
        self._keyring = KeyRing(keyring_device)
        self.parameters = ParameterStore(directory, identity.static[1], self._check_capacity)
        self._ciphers = {}  # epoch -> PageCipher, of every epoch with a key
        self._covers = {}
        self._admission = None
        self._ephemerals = []
        self._believed_ms = None  # uptime at which the clock of this boot is believed without further proof
        self._held_until_ms = None  # soft expiry: uptime before which expired keys are kept
        self._schedule_ended = False
        self._drawn = b""  # random bytes drawn in advance, used up to _drawn_at
        self._drawn_at = 0
        self._pushed_ms = 0  # uptime at its last chunk
        self._pushing = None  # the session that pushes an object: one at a time, as it takes heap
        self.open_round = None
        self.epoch = None
        self.rounds_served = 0  # since the start, each from its beginning or the start's end to its seal
        self.staging = None  # where new code goes, on a board that has a place for it

    def _check_capacity(self, parameters):
        """Raise InvalidObject unless ring and key ring have room for all that members of these parameters may do."""
        parameters.check_capacity(self._log.pages)
        self._keyring.check_capacity(_most_epochs(parameters), parameters.members * parameters.tokens_per_epoch)

    # -- start

    def start(self):
        """Read or format the flash, seed the generator, find the records; Fault or InvalidObject if it cannot.

        Serves nothing until the clock is known and turn() has opened a round.
        """
        newest = self.parameters.newest
        self._ledger = Ledger(
            self._directory, newest.federation_id, self._identity.static[1], self._identity.ledger_secret
        )
        formatted = self._keyring.load()
        if not formatted:
            self._take_seed()
        # An epoch's keys are made after the seal that opens it.
        if any(epoch > self._keyring.sealed_next // newest.epoch_rounds for epoch in self._keyring.epochs):
            raise Fault("the key ring has keys of epochs to come: it does not belong to these parameters")
        self._generator = RelayGenerator(
            self._keyring.seed, self._keyring.boots, self._identity.chip_id, self._random_source
        )
        curve.randomize(self._generator.random(32))
        if not formatted:
            self._log.format(self._generator.random)
        self._ciphers = {epoch: PageCipher(keys[0]) for epoch, keys in self._keyring.epochs.items()}
        self._keyring.next_sector = self._log.recover(self._ciphers, newest.epoch_rounds, self._keyring.next_sector)
        self._keyring.boots += 1
        self._keyring.seed = self._generator.new_seed()
        self._keyring.rewrite()
        self._directory.remove(_SEED_FILE)
        self._log.begin(self._ciphers, newest.epoch_rounds, self._first_keyed_round(), _BOOT_ERASES)

    def _take_seed(self):
        seed = self._directory.read(_SEED_FILE)
        if seed is None or len(seed) != 32:
            raise Fault("the key ring is empty and there is no provisioning seed: provision the relay anew")
        self._keyring.clear()
        self._keyring.seed = seed

    def _first_keyed_round(self):
        """Records from here on have keys; sectors with nothing but older ones may be erased."""
        if not self._keyring.epochs:
            return 0
        return min(self._keyring.epochs) * self.parameters.newest.epoch_rounds

    @property
    def random(self):
        """random(n) -> bytes of the relay's one generator."""
        return self._generator.random

    @property
    def unreadable_pages(self):
        """Pages of both rings that this start found torn by a power cut or damaged."""
        return self._log.unreadable + self._keyring.unreadable

    @property
    def on_trial(self):
        """Whether the code that runs still has to prove itself."""
        return self.staging is not None and self.staging.places.on_trial

    @property
    def static_key(self):
        return self._identity.static[1]

    @property
    def ledger_key(self):
        return self._identity.ledger_key

    @property
    def boots(self):
        """Starts of this relay since it was provisioned."""
        return self._keyring.boots

    # -- rounds and epochs

    def turn(self):
        """Seal what is over and open the round of the clock; True if a round was sealed (a window follows).

        The only place where rounds and epochs change. Durable before it returns.
        """
        if not self.clock.known:
            return False
        parameters = self.parameters.newest
        last = parameters.end_epoch * parameters.epoch_rounds - 1
        clock_round = parameters.round_at(self.clock.now_ms() // 1000)
        self._schedule_ended = clock_round > last
        if clock_round < 0:
            return False
        open_round = max(min(clock_round, last), self._earliest_open_round())
        turned = open_round != self.open_round
        if turned:
            self._judge(open_round)
            if self.clock.provisional:
                self._open_admission(open_round // parameters.epoch_rounds)
            else:
                self._seal(open_round)
            self.open_round = open_round
        self._drop_held()
        return turned

    def _earliest_open_round(self):
        """Rounds never go back: not behind the open one, after a boot not behind the last seal or a record on flash."""
        if self.open_round is not None and not self.clock.provisional:
            return self.open_round
        return max(self._keyring.sealed_next, self._log.highest_round)

    def _judge(self, open_round):
        """After a boot: whether so late a round is to be believed. Until then nothing of it is made durable, so that
        who forges the time of a start gains nothing that a better reading does not undo (PROTOCOL §3)."""
        if self.open_round is None or self.clock.provisional:
            parameters = self.parameters.newest
            known = bool(self._keyring.epochs)
            self.clock.provisional = known and open_round > self._keyring.sealed_next + _ROUNDS_OF_A_START
            if self._believed_ms is None:
                epoch_ms = 1000 * parameters.round_seconds * parameters.epoch_rounds
                self._believed_ms = self.clock.uptime_ms() + epoch_ms
            self.open_round = self.epoch = None
            self._hold_expired(open_round // parameters.epoch_rounds)

    def _settle(self):
        """The clock proved itself: what turn() left undone is made durable."""
        if self.clock.provisional:
            self.clock.provisional = False
            open_round = self.open_round
            self.open_round = self.epoch = None  # as a boot finds them
            self._seal(open_round)
            self.open_round = open_round

    def _seal(self, open_round):
        """Make durable that every round before open_round is sealed, and open its epoch if that is another."""
        if open_round > self._keyring.sealed_next:
            in_time = 0 if self.open_round is None else 1
            self.rounds_served += in_time
            self._keyring.mark(open_round, self._keyring.sealed_count + in_time)
        epoch = open_round // self.parameters.newest.epoch_rounds
        if epoch != self.epoch:
            self._open_epoch(epoch)

    def _open_epoch(self, epoch):
        old_epochs = self._keyring.epochs
        if old_epochs and max(old_epochs) < epoch:
            self._close_epoch(max(old_epochs))
        if epoch not in old_epochs:
            self._renew_keys(epoch)
        self.clock.allow(1000 * self.parameters.governing(epoch).round_seconds)
        if self._keyring.lease_epoch != epoch:
            self._keyring.lease_epoch, self._keyring.leases = epoch, {}
        self._open_admission(epoch)

    def _open_admission(self, epoch):
        self.epoch = epoch
        parameters = self.parameters.governing(epoch)
        self._admission = Admission(
            self._keyring,
            epoch,
            self.parameters.epoch_key(epoch),
            parameters.federation_id,
            self.static_key,
            parameters.posts_per_token,
        )

    def _close_epoch(self, epoch):
        """Sign the checkpoint of an epoch that is over."""
        key = cover.cover_key(self._keyring.epochs[epoch][1])
        self._ledger.append(
            epoch,
            self._keyring.sealed_count,
            self.parameters.governing(epoch).digest,
            cover.commitment(key),
            self._identity.firmware_digest,
            self._generator.random(32),
        )

    def _renew_keys(self, epoch):
        """Keys for every epoch up to this one that has none; those past retention are erased, unless held."""
        keyring = self._keyring
        parameters = self.parameters.newest
        first = max(0, epoch - parameters.retention_epochs)
        newest = max(keyring.epochs) if keyring.epochs else None
        state = keyring.epochs[newest][1] if keyring.epochs else None
        for new in range(first if newest is None else max(first, newest + 1), epoch + 1):
            fresh = self._generator.random(32)
            state = fresh if state is None else cover.next_state(state, fresh)
            keyring.epochs[new] = (self._generator.random(32), state)
            self._ciphers[new] = PageCipher(keyring.epochs[new][0])
        keyring.sealed_count = 0
        keyring.lease_epoch, keyring.leases = epoch, {}
        if self._held_until_ms is None:
            self._drop_before(first)
        else:  # a relay that is restarted again and again while it holds keys must not run out of key ring
            self._drop_before(sorted(keyring.epochs)[-_most_epochs(parameters) :][0])
        keyring.seed = self._generator.new_seed()
        keyring.rewrite()

    def _drop_before(self, first):
        for old in [epoch for epoch in self._keyring.epochs if epoch < first]:
            del self._keyring.epochs[old]
            self._ciphers.pop(old)
            self._covers.pop(old, None)

    def _hold_expired(self, epoch):
        """After a boot far past the last seal: keep expired keys until the clock has proved itself (soft expiry)."""
        parameters = self.parameters.newest
        self._held_until_ms = None
        if not self._keyring.epochs:
            return
        sealed_epoch = self._keyring.sealed_next // parameters.epoch_rounds
        held_before = min(self._keyring.epochs) < sealed_epoch - parameters.retention_epochs
        if epoch > sealed_epoch + 1 or held_before:
            self._held_until_ms = self._believed_ms

    def _drop_held(self):
        """Believe a clock that was right for an epoch; end a soft expiry whose time has come: its keys are erased."""
        if self._believed_ms is not None and self.clock.uptime_ms() >= self._believed_ms:
            self._settle()
        if self._held_until_ms is not None and self.clock.uptime_ms() >= self._held_until_ms:
            self._held_until_ms = None
            self._drop_before(self.epoch - self.parameters.newest.retention_epochs)
            self._keyring.rewrite()

    def maintain(self):
        """The erases of a window: expired sectors, and the key ring's."""
        self._log.erase_ahead(_WINDOW_ERASES, self._first_keyed_round())
        self._keyring.tidy()
        if self.staging is not None:
            self.staging.window(self.rounds_served)

    @property
    def first_round(self):
        """The first round kept, a function of the open round only."""
        parameters = self.parameters.newest
        return max(0, self.epoch - parameters.retention_epochs) * parameters.epoch_rounds

    def milliseconds_to_next_round(self):
        """Until the clock leaves the open round; 0 if it has."""
        parameters = self.parameters.newest
        end = 1000 * (parameters.genesis + (self.open_round + 1) * parameters.round_seconds)
        return max(0, end - self.clock.now_ms())

    # -- commissioning

    def commissioning_key(self):
        """(epoch, cover_e) of an epoch in which nobody posted, for the installer's tool to recompute its cover.

        The newest kept epoch before the open one; the open one if there is none, and then no member is admitted until
        the next opens (PROTOCOL §8). NotAdmitted once a member was admitted.
        """
        self._require_ready()
        self._settle()
        keyring = self._keyring
        if keyring.flags & ADMITTED:
            raise NotAdmitted("a member was admitted: no cover key is disclosed any more")
        epoch = max([epoch for epoch in keyring.epochs if epoch < self.epoch], default=self.epoch)
        if keyring.commissioned != epoch:
            keyring.set_flags(keyring.flags, epoch)
        return epoch, cover.cover_key(keyring.epochs[epoch][1])

    def commissioning_batch(self, bucket, round_):
        """The Batch of a cell of the epoch whose cover key was disclosed; NotAdmitted for any other, or a Refusal."""
        self._require_ready()
        if self._keyring.commissioned != round_ // self.parameters.newest.epoch_rounds:  # NEVER once there was a member
            raise NotAdmitted("only rounds of the commissioning epoch, before a member is admitted")
        if bucket >= self.parameters.most_buckets or round_ >= self.open_round:
            raise BadRequest("no such bucket, or the round is not over")
        return self.batch(bucket, round_)

    # -- handshakes

    def nonce(self):
        """16 random bytes for a connection."""
        return self._drawn_ahead(channel.NONCE_BYTES)

    def _drawn_ahead(self, length):
        """Random bytes for what is sent in the clear; many are drawn at a time, as strangers are to cost little."""
        if len(self._drawn) - self._drawn_at < length:
            self._draw_ahead()
        start = self._drawn_at
        self._drawn_at = start + length
        return self._drawn[start : start + length]

    def _draw_ahead(self):
        self._drawn = self._generator.random(_DRAWN_BYTES)
        self._drawn_at = 0

    def prepare(self):
        """Do a part of what handshakes will need, in advance, if something is left to do; whether there was."""
        if len(self._drawn) - self._drawn_at < _DRAWN_BYTES // 2:
            self._draw_ahead()
        elif len(self._ephemerals) < _EPHEMERALS:
            self._prepare_ephemeral()
        else:
            return self._admission is not None and self._admission.prepare()
        return True

    def _prepare_ephemeral(self):
        secret = curve.Secret(self._generator.random(32))
        self._ephemerals.append((secret, curve.public(secret)))

    def check_hello(self, hello, nonce):
        """The access key a hello was made with; BadFrame if none. Cheap: one or two HMACs."""
        return channel.hello_access_key(hello, nonce, self.parameters.access_keys)

    def greet(self, hello, nonce, access_key):
        """Answer a checked hello: (Session, reply of 65 bytes); BadFrame if it is not right."""
        id_ = channel.resumption_id(hello)
        if id_ is not None:
            return self._resume(hello, nonce, id_)
        if not self._ephemerals:
            self._prepare_ephemeral()
        opened, reply = channel.respond(hello, nonce, access_key, self._identity.static, self._ephemerals.pop())
        return Session(opened), reply

    def _resume(self, hello, nonce, id_):
        found = None if self._admission is None else self._admission.resumable(id_)
        if found is None:
            raise BadFrame("unknown resumption id")
        token, step = found
        opened, reply = channel.resume(hello, nonce, step[1], self._drawn_ahead(channel.RELAY_RANDOM_BYTES))
        self._admission.offer_resumption(token, step[2])  # the one it was resumed with is used up
        session = Session(opened)
        session.epoch, session.token = self.epoch, token
        return session, reply

    # -- requests

    def answer(self, session, frame, out):
        """Any request but FETCH: its plaintext (255 bytes) in, the answer's over the start of out; or a Refusal."""
        kind, fields = wire.read_request(frame)
        if kind == wire.VOID:
            wire.answer_void(out)
            return
        if kind == wire.STATUS:
            self._status(out)
            return
        self._require_ready()
        if kind == wire.INFO:
            parameters = self.parameters.newest
            wire.answer_info(out, parameters.digest, parameters.serial, self.open_round, self.first_round, curve.TIER)
        elif kind == wire.AUTH:
            self._auth(session, out, *fields)
        elif kind == wire.POST:
            self._post(session, out, fields[0], wire.posted_record(frame))
        elif kind == wire.PARAMS:
            self._send_parameters(out, fields[0])
        elif kind == wire.CHECKPOINT:
            wire.answer_checkpoint(out, self._ledger.find(fields[0]))
        elif kind == wire.PUSH:
            self._push(session, out, *fields)
        elif kind == wire.STAGE:
            self._stage(session, out, *fields)
        else:
            raise BadRequest("not answered here")

    def _status(self, out):
        """Public figures, also of a relay that is not ready; none depends on what is stored."""
        open_round = wire.NO_ROUND if self.open_round is None else self.open_round
        commissioning = self.epoch is not None and self._keyring.commissioned == self.epoch
        wire.answer_status(
            out,
            _code_version(),
            self._identity.firmware_digest,
            self.clock.uptime_ms() // 1000,
            self.boots,
            self.parameters.newest.serial,
            open_round,
            (wire.PROVISIONAL if self.clock.provisional else 0)
            | (wire.COMMISSIONING if commissioning else 0)
            | (wire.ON_TRIAL if self.on_trial else 0),
            self._identity.board,
        )

    def _require_ready(self):
        if self.open_round is None:
            raise NotReady("the clock is not known yet", 5)
        if self._schedule_ended:
            raise NotReady("the schedule of epoch keys has ended")

    def _require_admitted(self, session):
        if session.token is None or session.epoch != self.epoch:
            raise NotAdmitted("no token of this epoch")

    def _auth(self, session, out, epoch, key, signature, proof):
        if self._keyring.commissioned == self.epoch:
            raise NotReady("commissioning", self.milliseconds_to_next_epoch() // 1000 + 1)
        token_id = self._admission.check(epoch, key, signature, proof, session.channel.handshake_hash)
        if self.clock.provisional:  # a token is issued in its epoch or the one before, so the clock is right by that
            self._settle()  # with another Admission, of the same epoch
        token = self._admission.admit(token_id)
        if not self._keyring.flags & ADMITTED:
            self._keyring.set_flags(self._keyring.flags | ADMITTED, NEVER)
        secret = self._generator.random(32)
        self._admission.offer_resumption(token, secret)
        session.epoch, session.token = self.epoch, token
        wire.answer_auth(out, secret, self._admission.posts_left(token))

    def milliseconds_to_next_epoch(self):
        parameters = self.parameters.newest
        rounds = (self.epoch + 1) * parameters.epoch_rounds - self.open_round - 1
        return self.milliseconds_to_next_round() + 1000 * rounds * parameters.round_seconds

    def _post(self, session, out, bucket, record):
        self._require_admitted(session)
        if bucket >= self.parameters.governing(self.epoch).buckets:
            raise BadRequest("no such bucket")
        mark = bytes((bucket,)) + record[: _MARK_BYTES - 1]
        if not session.repeats(self.open_round, mark):
            self._admission.reserve(session.token)
            self._log.append(self.open_round, bucket, record, self._ciphers[self.epoch])
            self._admission.charge(session.token)
            session.remember(mark)
        wire.answer_post(out, self.open_round)

    def fetch(self, session, frame):
        """Begin a FETCH: a Delivery. A Refusal otherwise."""
        _, (bucket, start, end) = wire.read_request(frame)
        self._require_ready()
        self._require_admitted(session)
        if bucket >= self.parameters.most_buckets or not 0 < end - start <= wire.FETCH_ROUNDS:
            raise BadRequest("no such bucket, or not 1 to 16 rounds")
        if start < self.first_round:
            raise TooOld("rounds before the first one kept")
        return Delivery(self, bucket, start, min(end, self.open_round))

    def batch(self, bucket, round_):
        """The sealed batch of a cell; TooOld if its epoch was dropped meanwhile."""
        epoch = round_ // self.parameters.newest.epoch_rounds
        if epoch not in self._ciphers or round_ < self.first_round:
            raise TooOld("rounds before the first one kept")
        if epoch not in self._covers:
            key = cover.cover_key(self._keyring.epochs[epoch][1])
            self._covers[epoch] = cover.EpochCover(key, self.parameters.thresholds(epoch))
        return Batch(self._log, self._ciphers[epoch], self._covers[epoch], bucket, round_)

    def _send_parameters(self, out, chunk):
        blob = self.parameters.newest.blob
        start = chunk * wire.CHUNK_BYTES
        if start >= len(blob):
            raise BadRequest("no such chunk")
        wire.answer_params(out, len(blob), chunk, blob[start : start + wire.CHUNK_BYTES])

    # -- pushed objects

    def _push(self, session, out, *chunk):
        try:
            self._require_admitted(session)
        except NotAdmitted:
            self.leave(session)  # what it began in an epoch that is over
            raise
        wire.answer_push(out, self.push(session, *chunk))

    def push(self, session, total, chunk, length, data):
        """Take one chunk for a session (or whatever else has push and push_at); whether the object is complete.

        It is looked at after its first 128 bytes and used when it is complete.
        """
        try:
            self._take_chunk(session, total, chunk, length, data)
            complete = session.push_at == total
            if chunk == 0 and not is_time_statement(data):
                self.parameters.check_head(session.push[:HEADER_BYTES], self.epoch)
            if complete:
                self._install(bytes(session.push))
        except Exception:
            self.leave(session)
            raise
        if complete:
            self.leave(session)
        return complete

    def _take_chunk(self, session, total, chunk, length, data):
        if chunk == 0:
            self._begin_push(session, total)
        at = chunk * wire.CHUNK_BYTES
        if session.push is None or at != session.push_at or len(session.push) != total:
            raise BadRequest("chunks come in order, from 0")
        if length != min(wire.CHUNK_BYTES, total - at):
            raise BadRequest("a chunk has 240 bytes, the last one the rest")
        session.push[at : at + length] = data[:length]
        session.push_at += length
        self._pushed_ms = self.clock.uptime_ms()

    def _begin_push(self, session, total):
        if not 0 < total <= MAX_BYTES:
            raise BadRequest("wrong length")
        if self._pushing not in (None, session):
            if self.clock.uptime_ms() - self._pushed_ms < _PUSH_PATIENCE_MS:
                raise Busy("another push is under way", 10)
            self.leave(self._pushing)  # nobody may hold up IT's parameters by beginning a push
        self._pushing = session
        session.push = bytearray(total)
        session.push_at = 0

    def leave(self, session):
        """Forget what a session was pushing: it is complete, refused, or its connection ended."""
        session.push = None
        if self._pushing is session:
            self._pushing = None

    def _stage(self, session, out, step, offset, length, data):
        """New code: a release, a piece of what it is of, or that it is to be tried."""
        self._require_admitted(session)
        if self.staging is None:
            raise BadRequest("this relay takes no code in service")
        if length > wire.CHUNK_BYTES:
            raise BadRequest("a piece has 240 bytes at most")
        now_ms = self.clock.uptime_ms()
        if step == wire.BEGIN:
            state, at = self.staging.begin(data[:length], self.epoch, now_ms)
        elif step == wire.PUT:
            state, at = self.staging.put(offset, data[:length], now_ms)
        elif step == wire.ACTIVATE:
            state, at = self.staging.activate()
        else:
            raise BadRequest("no such step")
        wire.answer_stage(out, state, at, self._seconds_to_next_round() if state in (WAIT, ACTIVATED) else 0)

    def _seconds_to_next_round(self):
        return self.milliseconds_to_next_round() // 1000 + 1

    def _install(self, blob):
        if not is_time_statement(blob):
            self.parameters.install(blob, self.epoch)
            return
        try:
            statement = TimeStatement(blob)
            if statement.federation_id != self.parameters.newest.federation_id:
                raise InvalidObject("of another federation")
            statement.verify(self.parameters.newest.root_key)
        except InvalidObject as error:
            raise BadRequest(str(error)) from None
        self._believe(statement.unix_seconds)

    def _believe(self, unix_seconds):
        """Take a signed time; it ends a soft expiry if it says the same as the clock."""
        self.clock.set(1000 * unix_seconds)
        if self._held_until_ms is not None and self.parameters.newest.round_at(unix_seconds) >= self.open_round - 1:
            self._held_until_ms = self.clock.uptime_ms()


def _most_epochs(parameters):
    """Epochs with keys at once: those kept and the open one, and as many again while a soft expiry holds old ones."""
    return 2 * (parameters.retention_epochs + 2)


def _code_version():
    """VERSION as a number, one byte for each of its three parts."""
    number = 0
    for part in VERSION.split("."):
        number = number << 8 | int(part)
    return number


class Delivery:
    """A FETCH under way: next_frame() fills one frame after the other, the last is END."""

    def __init__(self, relay, bucket, start, end):
        self._relay = relay
        self._bucket = bucket
        self._round = start
        self._end = max(start, end)
        self._batch = None
        self._offset = 0

    def next_frame(self, frame):
        """Fill a CellFrame; False if it was the last. TooOld if the epoch ended meanwhile."""
        if self._round >= self._end:
            wire.pack_end(frame.buffer, self._round)
            return False
        if self._batch is None:
            self._batch = self._relay.batch(self._bucket, self._round)
            self._offset = 0
        elif self._round < self._relay.first_round:
            raise TooOld("the epoch ended")
        self._offset += self._batch.fill(frame, self._offset)
        if self._offset >= self._batch.count:
            self._batch = None
            self._round += 1
        return True
