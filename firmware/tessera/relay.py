# The relay: starts from its flash and answers requests. When a round turns is rounds.py's business, what an epoch has
# epochs.py's, how a connection begins handshakes.py's, what is pushed push.py's. Sockets and delays are server.py's.
#
# Data goes one way: wire reads a frame, this module answers it from the stores, and what the answer confirms is durable
# before the answer leaves.

from . import VERSION, curve, wire
from .admission import OPERATOR, operator_message, read_proof
from .clock import Clock
from .drbg import RelayGenerator
from .epochs import Epochs, most_epochs
from .errors import BadRequest, Busy, Fault, InvalidObject, NotAdmitted, NotReady, TooOld
from .handshakes import Handshakes
from .hashes import equal
from .keyring import KeyRing
from .ledger import Ledger
from .machine import Machine
from .nor import PAGES_PER_SECTOR
from .parameterstore import ParameterStore
from .push import Pushes
from .recordlog import RecordLog
from .rounds import Rounds
from .runtime import const
from .staging import ACTIVATED, WAIT

_SEED_FILE = "seed"
_MOST_RECORDS = const(0xFFFF)  # in a cell, as a frame has 16 bits for the number
_NOTICE_SECONDS = const(30 * 86400)  # before the schedule of epoch keys ends STATUS says so
_BORNE_OUT_SECONDS = const(30)  # after which a member may try again while nothing has borne out the clock


class Identity:
    """Who this relay is: its static and ledger key, from secrets of 32 bytes, the chip id (bytes), the firmware digest
    (32 bytes) and the name of its board (str), which STATUS tells.

    static: (curve.Secret, public key (33 bytes)). ledger_secret: a curve.Secret; ledger_key: 32 bytes.
    """

    def __init__(self, static_secret, ledger_secret, chip_id, firmware_digest, board=""):
        secret = curve.Secret(static_secret)
        self.static = (secret, curve.public(secret))
        self.ledger_secret = curve.Secret(ledger_secret)
        self.ledger_key = curve.public(self.ledger_secret)[1:]
        self.chip_id = chip_id
        self.firmware_digest = firmware_digest
        self.board = board


class Relay:
    """A relay over two block devices and a Directory of small files. start() brings it up.

    ring_device, keyring_device: regions of flash (nor.py). random_source(n) -> bytes: the hardware's source, one of
    three that feed the generator. machine: the figures of what it runs on. staging: where new code goes (a Staging),
    None if this relay takes none in service. InvalidObject if the parameters in the directory cannot be used.
    """

    epochs_class, rounds_class, pushes_class = Epochs, Rounds, Pushes

    def __init__(self, ring_device, keyring_device, directory, identity, random_source, clock=None, machine=Machine):
        self._directory = directory
        self._identity = identity
        self._random_source = random_source
        self.clock = clock or Clock()
        self.machine = machine
        self._log = RecordLog(ring_device, machine)
        self._keyring = KeyRing(keyring_device)
        self.parameters = ParameterStore(directory, identity.static, self._check_capacity, machine)
        self.staging = None

    def _check_capacity(self, head):
        """Raise InvalidObject unless record ring, key ring and heap have room for all that members may do by these
        parameters."""
        # The posts of a round fit into the sectors that a window erases, of which one is left for pages that fail.
        constant = min((self.machine.window_erases - 1) * PAGES_PER_SECTOR, _MOST_RECORDS)
        if head.constant > constant:
            raise InvalidObject("constant batches of {} records, this relay makes {}".format(head.constant, constant))
        head.check_capacity(self._log.pages)
        self._keyring.check_capacity(most_epochs(head), head.members * head.tokens_per_epoch)
        buckets, cell_records = self.machine.buckets, self.machine.cell_records
        if head.buckets > buckets:
            raise InvalidObject("{} buckets, this relay has room for {}".format(head.buckets, buckets))
        if cell_records is not None and head.largest_cell > cell_records:
            raise InvalidObject(
                "cells of {} records, this relay's memory holds {}".format(head.largest_cell, cell_records)
            )

    # -- start

    def start(self):
        """Read or format the flash, seed the generator and find the records. Fault or InvalidObject if that fails.

        The relay serves nothing before the clock is known and turn() has opened a round.
        """
        newest = self.parameters.newest
        keyring = self._keyring
        self._ledger = Ledger(
            self._directory, newest.federation_id, self._identity.static[1], self._identity.ledger_secret
        )
        formatted = keyring.load()
        self._first = not formatted  # the first start of all, before which nobody can have posted
        if not formatted:
            self._take_seed()
        # Keys of an epoch are made only after the seal that opens it.
        if any(epoch > keyring.sealed_next // newest.epoch_rounds for epoch in keyring.epochs):
            raise Fault("the key ring belongs to other parameters: provision the relay anew")
        self._generator = RelayGenerator(keyring.seed, keyring.boots, self._identity.chip_id, self._random_source)
        curve.randomize(self._generator.random(32))
        if not formatted and self.machine.fills:
            self._log.format(self._generator.random)
        self._make_parts()
        ciphers, epoch_rounds = self._epochs.ciphers, newest.epoch_rounds
        next_sector = self._log.recover(ciphers, epoch_rounds, keyring.next_sector)
        keyring.begin_boot(next_sector, self._generator.new_seed())
        self._directory.remove(_SEED_FILE)
        self._log.begin(ciphers, epoch_rounds, self._epochs.first_keyed_round, self.machine.boot_erases)
        self._rounds.bound_clock()

    def _take_seed(self):
        seed = self._directory.read(_SEED_FILE)
        if seed is None or len(seed) != 32:
            raise Fault(
                "the key ring is empty, and this relay has run: start it on the storage it had, or provision it anew"
            )
        self._keyring.begin_life(seed)

    def _make_parts(self):
        parameters, keyring, log = self.parameters, self._keyring, self._log
        self._epochs = self.epochs_class(parameters, keyring, log, self._ledger, self._generator, self._identity)
        self._epochs.batches = self.machine.batches
        self._rounds = self.rounds_class(self.clock, parameters, keyring, log, self._epochs)
        self._handshakes = Handshakes(self._generator, self._identity.static, parameters, self._epochs)
        self._pushes = self.pushes_class(self.clock, parameters, self._rounds, self._epochs)

    @property
    def random(self):
        """random(n) -> bytes, from the relay's only generator."""
        return self._generator.random

    @property
    def unreadable_pages(self):
        """How many pages of both rings this start found torn by a power cut or damaged."""
        return self._log.unreadable + self._keyring.unreadable

    @property
    def on_trial(self):
        """Whether the code that runs is on trial."""
        return self.staging is not None and self.staging.places.on_trial

    @property
    def static_key(self):
        """The relay's static public key (33 bytes)."""
        return self._identity.static[1]

    @property
    def ledger_key(self):
        """The public key that verifies its checkpoints (32 bytes)."""
        return self._identity.ledger_key

    @property
    def boots(self):
        """How often this relay has started since it was provisioned."""
        return self._keyring.boots

    # -- rounds and epochs

    @property
    def open_round(self):
        """The open round; None before the clock is known."""
        return self._rounds.open_round

    @property
    def clock_accepted(self):
        """Whether turn() has opened a round by the clock and no later reading replaces the clock's time."""
        return self.open_round is not None and not self.clock.provisional

    @property
    def epoch(self):
        """The open epoch; None before the clock is known."""
        return self._epochs.epoch

    @property
    def first_round(self):
        """The first round that readers may fetch. It depends on the open round only."""
        return self._epochs.first_round

    def turn(self):
        """Seal the rounds that are over and open the clock's round, durably. True if the open round changed: a window
        for erases follows."""
        return self._rounds.turn()

    def maintain(self):
        """The work of a window: erase expired sectors, tidy the key ring, go on with new code."""
        self._log.erase_ahead(self.machine.window_erases, self._epochs.first_keyed_round)
        self._keyring.tidy()
        if self.staging is not None:
            self.staging.window(self._rounds.served)

    def milliseconds_to_next_round(self):
        """Milliseconds until the clock leaves the open round; 0 if it has."""
        return self._rounds.milliseconds_left()

    # -- commissioning

    def commissioning_key(self):
        """(epoch, cover key (32 bytes)) of an epoch in which nobody posted. With it IT recomputes the epoch's cover.

        It is the newest kept epoch before the open one. If there is none it is the open epoch, and no member is
        admitted until the next one opens (PROTOCOL §8). NotAdmitted once a member was ever admitted.
        """
        self._rounds.require_open()
        self._rounds.accept_clock()
        keyring = self._keyring
        if keyring.admitted:
            raise NotAdmitted("a member was admitted: cover keys are no longer disclosed")
        epoch = max([epoch for epoch in keyring.epochs if epoch < self.epoch], default=self.epoch)
        keyring.disclose(epoch)
        return epoch, self._epochs.cover_key(epoch)

    def commissioning_batch(self, bucket, round_):
        """The Batch of a cell in the epoch whose cover key was disclosed. NotAdmitted for other epochs, BadRequest for
        a bucket that does not exist or a round that is not over."""
        self._rounds.require_open()
        if self._keyring.commissioned != round_ // self.parameters.newest.epoch_rounds:  # NEVER after the first member
            raise NotAdmitted("only rounds of the commissioning epoch, before a member is admitted")
        if bucket >= self.parameters.most_buckets or round_ >= self._rounds.sealed_next:
            raise BadRequest("no such bucket, or the round is not over")
        return self.batch(bucket, round_)

    # -- handshakes

    def nonce(self):
        """16 random bytes, the nonce of a new connection."""
        return self._handshakes.nonce()

    def prepare(self):
        """Do one part of the work that handshakes will need, in advance. False if nothing is left to do."""
        return self._handshakes.prepare()

    def check_hello(self, hello, nonce):
        """The access key (32 bytes) that a hello (81 bytes) was made with; BadFrame if it is none of ours. Costs one or
        two HMACs."""
        return self._handshakes.check_hello(hello, nonce)

    def greet(self, hello, nonce, access_key):
        """Answer a hello that check_hello() accepted: (Session, reply of 65 bytes). BadFrame if the rest is wrong."""
        return self._handshakes.greet(hello, nonce, access_key)

    # -- requests

    def answer(self, session, frame, out):
        """Answer any request but FETCH. frame: its plaintext (255 bytes). The answer's plaintext (255 bytes) is written
        over the start of out. A Refusal is raised, not written."""
        kind, fields = wire.read_request(frame)
        if self._answer_at_any_clock(session, out, kind, fields):
            return
        self._rounds.require_open()
        if kind == wire.INFO:
            self._info(out)
        elif kind == wire.AUTH:
            self._auth(session, out, *fields)
        elif kind == wire.POST:
            self._post(session, out, fields[0], wire.posted_record(frame))
        elif kind == wire.PARAMS:
            self._send_parameters(out, fields[0])
        elif kind == wire.CHECKPOINT:
            wire.answer_checkpoint(out, self._ledger.find(fields[0]))
        else:
            raise BadRequest("not answered here")

    def _answer_at_any_clock(self, session, out, kind, fields):
        """Answer requests that need no clock. False for any other."""
        if kind == wire.VOID:
            wire.answer_void(out)
        elif kind == wire.STATUS:
            self._status(out)
        elif kind == wire.PUSH:
            wire.answer_push(out, self.push(session, *fields))
        elif kind == wire.STAGE:
            self._stage(session, out, *fields)
        elif kind == wire.AUTH and fields[0] == OPERATOR:
            self._operate(session, out, fields[2])
        else:
            return False
        return True

    def _info(self, out):
        flags = wire.PROVISIONAL if self.clock.provisional else 0
        parameters = self.parameters
        governing = parameters.rule(self.epoch)
        wire.answer_info(out, flags, parameters.newest, governing, self.open_round, self.first_round, curve.TIER)

    def _status(self, out):
        """Public figures, also while the relay is not ready. Only the flag DAMAGED depends on what is stored."""
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
            | (wire.ON_TRIAL if self.on_trial else 0)
            | (wire.DAMAGED if self._log.damaged else 0)
            | (wire.ENDING if self.schedule_ending else 0),
            self._identity.board,
        )

    @property
    def schedule_ending(self):
        """Whether the schedule of epoch keys of the newest set ends within 30 days or has ended."""
        return self._rounds.seconds_until(self.parameters.newest.end_epoch) <= _NOTICE_SECONDS

    def _require_admitted(self, session):
        if session.token is None or session.epoch != self.epoch:
            raise NotAdmitted("no token of this epoch")

    def _auth(self, session, out, epoch, key, signature, proof):
        if session.operator:
            raise NotAdmitted("this session belongs to the operator")
        if self.clock.provisional and not self._rounds.bears_out(self.epoch):
            raise NotReady("nothing has borne out the clock yet", _BORNE_OUT_SECONDS)
        if self._keyring.commissioned == self.epoch:
            raise NotReady("commissioning", self._rounds.seconds_until(self.epoch + 1))
        token_id = self._epochs.admission.check(epoch, key, signature, proof, session.channel.handshake_hash)
        if self.clock.provisional:
            self._rounds.accept_clock()  # with another Admission, of the same epoch
        token = self._epochs.admission.admit(token_id)
        self._keyring.note_member()
        secret = self._generator.random(32)
        self._epochs.admission.offer_resumption(token, secret)
        session.epoch, session.token = self.epoch, token
        wire.answer_auth(out, secret, self._epochs.admission.posts_left(token))

    def _operate(self, session, out, signature):
        """Make the session the operator's: it can push parameters and code, and do nothing else."""
        newest, handshake_hash = self.parameters.newest, session.channel.handshake_hash
        if handshake_hash is None:
            raise NotAdmitted("not in a resumed session")
        message = operator_message(newest.federation_id, self.static_key, handshake_hash)
        if not curve.verify(signature, message, newest.root_key):
            raise NotAdmitted("not signed by the root key for this session")
        session.operator, session.token = True, None
        wire.answer_auth(out, bytes(32), 0)

    def _post(self, session, out, bucket, record):
        self._require_admitted(session)
        if bucket >= self.parameters.rule(self.epoch).buckets:
            raise BadRequest("no such bucket")
        prefix = session.prefix(bucket, record)
        if not session.repeats(self.open_round, prefix):
            if self.parameters.rule(self.epoch).constant:
                self._require_place(session.token)
            self._epochs.admission.reserve(session.token)
            session.token.round = self.open_round  # before anything is programmed
            self._log.append(self.open_round, bucket, record, self._epochs.ciphers[self.epoch])
            self._epochs.admission.charge(session.token)
            session.remember(prefix)
        wire.answer_post(out, self.open_round)

    def _require_place(self, token):
        """Busy unless a constant batch has a place for another post of this token in the open round.

        Each token has one place in each round. In the round in which a relay starts it has none, because it is not
        known whether it was used before the start; the first start of all is the exception. What is stored is not
        looked at.
        """
        if token.round == self.open_round or not (self._rounds.served or self._first):
            raise Busy("one record a token and round", self._rounds.seconds_to_next())

    def fetch(self, session, frame):
        """Begin the FETCH in frame (plaintext of 255 bytes): a Delivery. Raises a Refusal if it may not be served."""
        _, (bucket, start, end, proof) = wire.read_request(frame)
        self._rounds.require_open()
        self._require_reader(session, proof)
        if bucket >= self.parameters.most_buckets or not 0 < end - start <= wire.FETCH_ROUNDS:
            raise BadRequest("no such bucket, or not 1 to 16 rounds")
        if start < self.first_round:
            raise TooOld("rounds before the first one kept")
        end = max(start, min(end, self._rounds.sealed_next))
        if session.fetched(self.open_round) + end - start > wire.FETCH_ROUNDS:
            raise Busy("a session fetches 16 rounds in one", self._rounds.seconds_to_next())
        return Delivery(self, session, bucket, start, end)

    def _require_reader(self, session, proof):
        handshake_hash = session.channel.handshake_hash
        if session.operator or handshake_hash is None:
            raise NotAdmitted("not in a resumed session, nor in the operator's")
        if not equal(read_proof(self.parameters.rule(self.epoch).reading_key, handshake_hash), proof):
            raise NotAdmitted("not by the reading key of the open epoch")

    def batch(self, bucket, round_):
        """The Batch of a cell; TooOld if its epoch is no longer kept."""
        return self._epochs.batch(bucket, round_)

    def _send_parameters(self, out, chunk):
        newest = self.parameters.newest
        start = chunk * wire.CHUNK_BYTES
        if start >= newest.length:
            raise BadRequest("no such chunk")
        data = newest.part(start, min(start + wire.CHUNK_BYTES, newest.length))
        wire.answer_params(out, newest.length, chunk, data)

    # -- pushed objects

    def push(self, session, total, chunk, length, data):
        """Take one chunk of a signed object, see Pushes.take(). Whether the object is complete."""
        return self._pushes.take(session, total, chunk, length, data)

    def leave(self, session):
        """Drop what a session was pushing, as its connection ended."""
        self._pushes.leave(session)

    def _stage(self, session, out, step, offset, length, data):
        """Take new code from the operator: a release, a piece of its artifact, or the order to try it."""
        if not session.operator:
            raise NotAdmitted("new code comes from the operator")
        if self.staging is None:
            raise BadRequest("this relay takes no updates")
        if length > wire.CHUNK_BYTES:
            raise BadRequest("a piece has 240 bytes at most")
        if step == wire.BEGIN:
            state, at = self.staging.begin(data[:length], session)
        elif step == wire.PUT:
            state, at = self.staging.put(offset, data[:length], session)
        elif step == wire.ACTIVATE:
            state, at = self.staging.activate()
        else:
            raise BadRequest("no such step")
        wire.answer_stage(out, state, at, self._rounds.seconds_to_next() if state in (WAIT, ACTIVATED) else 0)


def _code_version():
    """VERSION as a number, with one byte for each of its three parts."""
    number = 0
    for part in VERSION.split("."):
        number = number << 8 | int(part)
    return number


class Delivery:
    """A FETCH under way, of the rounds from start up to end. next_frame() fills its frames, of which the last is
    END."""

    def __init__(self, relay, session, bucket, start, end):
        self._relay = relay
        self._session = session
        self._bucket = bucket
        self._round = start
        self._end = end
        self._batch = None
        self._offset = 0

    def next_frame(self, frame):
        """Fill a CellFrame with the next frame. False if it is the last. TooOld if the round is no longer kept."""
        if self._round >= self._end:
            wire.pack_end(frame.buffer, self._round)
            return False
        if self._batch is None:
            self._batch = self._relay.batch(self._bucket, self._round)
            self._session.fetched(self._relay.open_round, 1)
            self._offset = 0
        elif self._round < self._relay.first_round:
            raise TooOld("the epoch ended")
        self._offset += self._batch.fill(frame, self._offset)
        if self._offset >= self._batch.count:
            self._batch = None
            self._round += 1
        return True
