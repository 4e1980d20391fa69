"""Gateways of one relay in memory, on an engine that keeps entries in whatever order it likes: what a gateway does with
the log, without sockets, rings or clocks. Nothing here decides what counts: that is replay's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import office
from dice import Dice
from tessera import cover, curve, params
from tessera.hashes import tagged
from tessera.params import Parameters
from tessera_host.fleet import frames, replay
from tessera_host.fleet.entry import VERSION, Clear, Contents, entry_id, seal
from tessera_host.fleet.keys import EpochKeys, LogKeys, NodeSecrets, TokenKey, Welcome
from tessera_host.fleet.log import Entry
from tessera_host.fleet.replay import Reason, Replay
from tessera_host.fleet.state import NodeInForce, State

ROUNDS = office.EPOCH_ROUNDS
FIRST = 2 * ROUNDS  # the open round at the start: that of epoch 2
POSTS = 4
BUCKETS = 2
STATIC = curve.Secret(office.STATIC)


def constant_set(members: int = 3, **changes: Any) -> bytes:
    """A signed set with constant batches of one token a member, of 4 posts."""
    kind = {"cover": params.CONSTANT, "constant": members, "epsilon": 0, "delta": 0, "thresholds": b""}
    sizes = {"members": members, "tokens_per_epoch": 1, "posts_per_token": POSTS}
    return office.parameters(**(kind | sizes | changes))


def token_id(number: int, epoch: int) -> bytes:
    return tagged("token-id", bytes((number, epoch)))


@dataclass
class Engine:
    """`log` is in its order; what is in `flying` was handed over and is nowhere yet."""

    log: list[Entry] = field(default_factory=list)
    flying: list[bytes] = field(default_factory=list)

    def land(self, number: int = 0) -> None:
        """Take an entry in."""
        sealed = self.flying.pop(number)
        self.log.append(Entry(len(self.log) + 1, entry_id(sealed), sealed))


class Gateway:
    """One of them. answers: what became of each frame, by its id; ring: records by (round, bucket); served: rounds
    before this one."""

    def __init__(
        self, number: int, engine: Engine, state: State, welcome: Welcome, secrets: NodeSecrets, starts: int = 1
    ) -> None:
        self.number = number
        self.starts = starts
        self.engine = engine
        self.dice = Dice(b"gateway" + bytes((number,)))
        self.secrets = secrets
        self.log_keys = LogKeys(dict(welcome.log_keys))
        self.covers = dict(welcome.cover_states)
        self.token_key: TokenKey | None = None
        self.next_token_key: TokenKey | None = None
        self.replay = Replay(state, self.log_keys, STATIC, office.LEDGER_KEY)
        self.pending: list[frames.Frame] = []
        self.waiting: dict[bytes, list[frames.Frame]] = {}  # of entries that were not replayed yet, by their ids
        self.counter = state.first_counter(number, self.starts, self.starts - 1)
        self.answers: dict[bytes, replay.Effect] = {}
        self.ring: dict[tuple[int, int], list[bytes]] = {}
        self.effects: list[replay.Effect] = []
        self.served = state.published

    @property
    def state(self) -> State:
        return self.replay.state

    # -- what it writes

    def id(self) -> bytes:
        return self.dice.bytes(16)

    def void(self) -> bytes:
        return self._add(frames.Void(self.id()))

    def post(self, token: bytes, record: bytes, bucket: int = 0) -> bytes | Reason:
        """The frame's id; or why not, and then a VOID stands where the record would."""
        key, state = self.token_key, self.state
        why = None
        if key is None or key.hash != state.token_hash:
            why = Reason.KEY
        elif self.outstanding(key.mark(token, state.open_round)):
            why = Reason.TAKEN
        elif not key.posts_left(token, state):
            why = Reason.FULL
        if why is not None or key is None:
            self.void()
            return why or Reason.KEY
        mark = key.mark(token, state.open_round)
        return self._add(frames.Record(self.id(), state.open_round, bucket, record, key.name, mark))

    def outstanding(self, mark: bytes) -> bool:
        entries = [self.pending, *self.waiting.values()]
        return any(isinstance(each, frames.Record) and each.mark == mark for entry in entries for each in entry)

    def place(self, token: bytes) -> bytes:
        key = self.token_key
        assert key is not None
        return self._add(frames.Place(self.id(), key.name, key.place(token)))

    def vote(self, rounds: int = 1) -> None:
        """SEAL: not beyond the first round of the next epoch, as the keys of one epoch are there at a time."""
        opens = min(self.state.open_round + rounds, (self.state.epoch + 1) * ROUNDS)
        self.pending.append(frames.Seal(self.state.open_round, opens, 1))

    def give_epoch(self) -> None:
        nodes = {number: node.key for number, node in self.state.nodes.items()}
        keys = EpochKeys.compose(self.state.epoch + 1, nodes, self.covers[self.state.epoch], self.dice.bytes)
        self.pending += frames.pieces(frames.EPOCH, keys.pack())

    def renew(self) -> None:
        self.pending.append(frames.Node(self.number, VERSION, self.secrets.renew(self.dice.bytes)))

    def name_token_key(self, next_epoch: bool = False) -> TokenKey:
        key = TokenKey(self.dice.bytes(32))
        self.pending.append(frames.TokenKeyNamed(self.state.epoch + next_epoch, key.hash))
        return key

    def sign(self, epoch: int) -> None:
        """The checkpoint of an epoch that is over."""
        closed = self.state.closed[epoch]
        body = b"\1" + office.FEDERATION + office.RELAY_KEY + epoch.to_bytes(4, "big")
        body += closed.sealed_count.to_bytes(4, "big") + closed.digest + closed.commitment + office.FIRMWARE_DIGEST
        body += self.state.checkpoint_link
        signature = curve.sign(office.LEDGER, tagged("checkpoint", body), self.dice.bytes(32))
        self.pending.append(frames.Checkpoint(body + signature))

    def _add(self, frame: frames.Void | frames.Place | frames.Record) -> bytes:
        self.pending.append(frame)
        return frame.id

    def tick(self) -> bytes:
        """Hand an entry with all that is pending to the engine; its id."""
        state = self.state
        clear = Clear(state.version, state.epoch, self.number, self.counter)
        contents = Contents(state.position, state.chains[-1], [frame.pack() for frame in self.pending])
        sealed = seal(self.log_keys.keys[state.epoch], clear, contents, self.dice.bytes)
        self.counter += 1
        self.waiting[entry_id(sealed)], self.pending = self.pending, []
        self.engine.flying.append(sealed)
        return entry_id(sealed)

    # -- what it reads

    def follow(self, entries: int | None = None) -> None:
        """Replay so many entries more, or all."""
        log = self.engine.log
        end = len(log) if entries is None else min(len(log), self.state.position + entries)
        for entry in log[self.state.position : end]:
            self.take(entry)

    def take(self, entry: Entry) -> list[replay.Effect]:
        effects = self.replay.take(entry)
        mine = self.waiting.pop(entry.id, [])
        for effect in effects:
            self._carry_out(effect, mine)
        self.effects += effects
        return effects

    def _carry_out(self, effect: replay.Effect, mine: list[frames.Frame]) -> None:
        match effect:
            case replay.Recorded(id, round_, bucket, record):
                self.ring.setdefault((round_, bucket), []).append(record)
                self._answer(id, effect, mine)
            case replay.Voided(id) | replay.Placed(id) | replay.Repeated(id) | replay.Refused(id):
                self._answer(id, effect, mine)
            case replay.Passed():
                self.answers |= {each.id: effect for each in mine if isinstance(each, frames.Record | frames.Void)}
            case replay.EpochGiven(keys):
                name = keys.names[self.number]
                secret = self.secrets.secret(name)
                assert secret is not None
                state, log_key = keys.open(self.number, secret, self.covers[keys.epoch - 1])
                self.covers[keys.epoch] = state
                self.log_keys.keep(keys.epoch, log_key)
                self.secrets.sealed_to(name)
            case replay.EpochOpened(epoch):
                self.log_keys.crossed(epoch)
                self.covers = {each: state for each, state in self.covers.items() if each >= epoch - office.RETENTION}
                self.token_key, self.next_token_key = self.next_token_key, None
            case replay.Published(before):
                self.served = before

    def _answer(self, id: bytes, effect: replay.Effect, mine: list[frames.Frame]) -> None:
        if any(isinstance(each, frames.Record | frames.Void | frames.Place) and each.id == id for each in mine):
            self.answers[id] = effect

    # -- starting

    def restarted(self) -> "Gateway":
        """After a kill: its disk is what it was, its memory is gone, and it has read the log to its end."""
        welcome = Welcome(self.log_keys.keys, self.covers)
        state = State.decoded(self.state.encoded())
        again = Gateway(self.number, self.engine, state, welcome, self.secrets, self.starts + 1)
        again.dice = Dice(b"again" + self.dice.bytes(16))
        again.ring = {cell: list(records) for cell, records in self.ring.items()}
        again.served = self.served
        again.answers = self.answers
        again.follow()
        again.counter = again.state.first_counter(again.number, again.starts, self.starts)
        return again


class Fleet:
    """Gateways 1 to n from the first entry on; `spare` node keys are there for one more."""

    def __init__(self, gateways: int, parameters: bytes | None = None, **more: Any) -> None:
        self.dice = Dice(b"fleet")
        self.engine = Engine()
        self.secrets = {number: NodeSecrets() for number in range(1, gateways + 2)}
        keys = {number: each.renew(self.dice.bytes) for number, each in self.secrets.items()}
        nodes = {number: NodeInForce(VERSION, key) for number, key in keys.items() if number <= gateways}
        state_2 = self.dice.bytes(32)
        commitment = cover.commitment(cover.cover_key(state_2))
        self.first = State.fresh(
            office.RELAY_KEY, Parameters(parameters or constant_set()), FIRST, commitment, nodes=nodes, **more
        )
        self.welcome = Welcome({2: self.dice.bytes(32)}, {2: state_2})
        self.gateways = {number: self._gateway(number) for number in nodes}

    def _gateway(self, number: int) -> Gateway:
        state = State.decoded(self.first.encoded())
        return Gateway(number, self.engine, state, self.welcome, NodeSecrets(list(self.secrets[number].secrets)))

    def __getitem__(self, number: int) -> Gateway:
        return self.gateways[number]

    def __iter__(self) -> Iterator[Gateway]:
        return iter(self.gateways.values())

    def settle(self) -> None:
        """Every gateway writes what it has pending, and reads all; twice, so that what was sealed is published."""
        for _ in range(2):
            for gateway in self:
                gateway.tick()
            while self.engine.flying:
                self.engine.land()
            for gateway in self:
                gateway.follow()

    def share_token_key(self, owner: Gateway, next_epoch: bool = False) -> None:
        """Name a token key and hand it to all, in memory."""
        key = owner.name_token_key(next_epoch)
        for gateway in self:
            if next_epoch:
                gateway.next_token_key = key
            else:
                gateway.token_key = key
        self.settle()

    def next_round(self, rounds: int = 1) -> None:
        """All clocks say that the open round is over; the keys of the next epoch are there when it comes."""
        first = next(iter(self))
        if first.state.open_round + rounds >= (first.state.epoch + 1) * ROUNDS:
            first.give_epoch()
            self.settle()
        for gateway in self:
            gateway.vote(rounds)
        self.settle()
