# What the emulated Pico does while its power fails, and after: workload() and inspect(), stage(), try_it() and
# inspect_code(), all at now_ms. They print what a member would know, a line an event; boardcuts.py and updatecuts.py
# cut, read and compare. Runs at the raw prompt of the shipped image, over the board's own flash and littlefs.

import json
import os

import office
import slots
import tessera
from device import flash
from tessera import wire
from tessera.clock import Clock
from tessera.errors import Refused
from tessera.files import Directory
from tessera.hashes import sha256
from tessera.relay import Identity, Relay
from tessera.staging import STAGED, Staging

ROUND_MS = 1000 * office.ROUND_SECONDS
EPOCH_ROUNDS = 3
POSTS = 18  # across a sector's end, under more than one lease
_BUCKETS = 2
_UNUSED = 8  # a token that is not used before the cut


def record(number):
    """Record `number`, 240 bytes."""
    return b"".join([sha256(b"board", number.to_bytes(2, "big"), bytes((part,))) for part in range(8)])[:240]


class _Board:
    def __init__(self, now_ms):
        self._ticks = 0
        config = json.loads(Directory("/").read("office.json"))
        identity = Identity(
            bytes.fromhex(config["static_secret"]), bytes.fromhex(config["ledger_secret"]), b"board", bytes(32)
        )
        clock = Clock(lambda: self._ticks, lambda later, earlier: later - earlier)
        self._now_ms = now_ms
        self.relay = Relay(flash.region("ring"), flash.region("keyring"), Directory("/"), identity, os.urandom, clock)
        self.relay.start()
        clock.set(now_ms)
        self.turn()

    def turn(self):
        if self.relay.turn():
            self.relay.maintain()
        print("open", self.relay.open_round, self._now_ms)

    def pass_round(self):
        self._ticks += ROUND_MS
        self._now_ms += ROUND_MS
        self.turn()

    def member(self, number):
        connection = office.Connection(self.relay)
        left = connection.authenticate(office.Token(number, self.relay.epoch))
        print("left", self.relay.epoch, number, left)
        return connection

    def post(self, member, token, number):
        print("try", number, number % _BUCKETS)
        round_ = member.post(record(number), number % _BUCKETS)
        print("ack", number, round_, self.relay.epoch, token)

    def show_cells(self, member):
        relay = self.relay
        for bucket in range(_BUCKETS):
            for round_ in range(relay.first_round, relay.open_round):
                batch = member.cell(round_, bucket)
                noise = relay._epochs._covers[round_ // EPOCH_ROUNDS].noise(bucket, round_)
                print("cell", bucket, round_, noise, " ".join([sha256(each)[:6].hex() for each in batch]))


def workload(now_ms):
    """A boot, posts across a sector's end, the seals of an epoch's rest and the change of epoch, a post in the next."""
    board = _Board(now_ms)
    members = [board.member(token) for token in range(2)]
    for number in range(POSTS):
        board.post(members[number & 1], number & 1, number)
    board.pass_round()
    board.show_cells(members[0])
    for _ in range(EPOCH_ROUNDS - 1):
        board.pass_round()
    board.post(board.member(2), 2, POSTS)


def inspect(now_ms):
    """A boot after the cut; everything that is kept, then a post that works as ever."""
    board = _Board(now_ms)
    for number in range(3):
        board.member(number)
    member = board.member(_UNUSED)  # the cut may have cost the others what their open leases had left
    board.show_cells(member)
    try:
        board.post(member, _UNUSED, 1000)
    except Refused as error:
        print("refused", error.name)
    board.pass_round()
    member = board.member(9)
    board.show_cells(member)
    for secrets in board.relay._keyring.epochs.values():
        print("keys", *[secret.hex() for secret in secrets])


# -- new code


def _code_board(now_ms):
    board = _Board(now_ms)
    board.relay.staging = Staging(slots.current, board.relay.parameters)
    tell_code()
    return board


def tell_code():
    """What runs: its version, and whether it is being tried."""
    print("code", slots.current.version, "tried" if slots.current.on_trial else "kept", tessera.__file__)


def stage(now_ms):
    """Posts, and in between a bundle (files release and bundle.bin) is staged; the seal restarts the board into it."""
    board = _code_board(now_ms)
    member, operator = board.member(0), office.Connection(board.relay)
    operator.operate()
    with open("/release", "rb") as file:
        operator.call(wire.stage(wire.BEGIN, 0, file.read()))
    at = 0
    with open("/bundle.bin", "rb") as file:
        for number in range(4):
            board.post(member, 0, number)
        while piece := file.read(wire.CHUNK_BYTES):
            state = operator.call(wire.stage(wire.PUT, at, piece))[1]
            at += len(piece)
    assert state == STAGED
    print("staged")
    operator.call(wire.stage(wire.ACTIVATE))
    board.pass_round()


def try_it(now_ms):
    """The start after the restart (in the round that was opened for it), a post, and the seal that the new code is kept
    for."""
    board = _code_board(now_ms + ROUND_MS)
    board.post(board.member(1), 1, 4)
    board.pass_round()
    tell_code()


def inspect_code(now_ms):
    """A boot after the cut, of whatever code."""
    tell_code()
    inspect(now_ms)
