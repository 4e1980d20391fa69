"""What a fleet's log means: entries in order in, what follows from them out (docs/fleet.md §5).

Owns the rules. No clock, no randomness, no storage and no secret but log keys: equal logs have equal effects on every
gateway. Leaves to others: bytes of frames and entries (frames.py, entry.py), what is known so far (state.py), keys and
marks (keys.py), the log and its errors (log.py), and all that a gateway does with an effect.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from operator import itemgetter

from tessera import curve, ledger
from tessera.errors import InvalidObject
from tessera.keyring import ADMITTED, NEVER
from tessera.params import MOST_RELAY_BYTES, Head, Parameters

from ..errors import TesseraError
from . import frames
from .entry import VERSION, Clear, Contents, entry_id, next_link, unseal
from .frames import Frame, Malformed, Piece
from .keys import EpochKeys, LogKeys, node_name
from .log import Entry, LogBroken
from .state import WINDOW, Closed, NextEpoch, NodeInForce, Rule, State, Vote

_MOST_RECORDS = 0xFFFF  # of a cell: a frame's fields (PROTOCOL §5)
_kind_of = itemgetter(0)
_FIXED = ("federation_id", "root_key", "genesis", "round_seconds", "epoch_rounds", "retention_epochs")


class FleetIsNewer(TesseraError):
    """Other gateways write what this program does not know. Nothing has changed."""


class KeyMissing(TesseraError):
    """This gateway lacks the open epoch's log key: it can go on once it is given it. Nothing has changed."""


class Reason(Enum):
    """Why a frame was refused, and what its member is answered (PROTOCOL §5)."""

    LATE = "the round it was made for is over"  # BUSY
    WAIT = "the token key began in this round"  # BUSY
    KEY = "made under another token key"  # BUSY
    TAKEN = "this token has posted in this round"  # BUSY
    FULL = "as many tokens, or records, as there are places"  # QUOTA
    BUCKET = "no such bucket"  # BAD_REQUEST


# -- effects, in the order in which they are to be carried out


@dataclass(frozen=True)
class Voided:
    id: bytes


@dataclass(frozen=True)
class Placed:
    """A token has its place."""

    id: bytes


@dataclass(frozen=True)
class Recorded:
    """A record belongs to this round: append it to the ring."""

    id: bytes
    round: int
    bucket: int
    record: bytes


@dataclass(frozen=True)
class Repeated:
    """The frame counted before, in this round: answer as then."""

    id: bytes
    round: int


@dataclass(frozen=True)
class Refused:
    id: bytes
    why: Reason


@dataclass(frozen=True)
class Passed:
    """The entry with this id means nothing: whoever waits for an answer to something in it is answered BUSY."""

    id: bytes


@dataclass(frozen=True)
class Voted:
    """A gateway's clock says that the open round is over."""

    gateway: int
    round: int


@dataclass(frozen=True)
class Sealed:
    """Rounds before `opens` are sealed. in_time: the fleet was there when the last one ended."""

    round: int
    opens: int
    in_time: bool


@dataclass(frozen=True)
class EpochOpened:
    """Older log keys are erased before anything else happens."""

    epoch: int


@dataclass(frozen=True)
class Published:
    """Rounds before this one are served."""

    before: int


@dataclass(frozen=True)
class EpochGiven:
    """Keys of the next epoch: open and keep them, instead of others given for it before."""

    keys: EpochKeys


@dataclass(frozen=True)
class NodeChanged:
    """key: None if the gateway was removed."""

    gateway: int
    key: bytes | None


@dataclass(frozen=True)
class TokenKeyChanged:
    """This key is in force, for records from round posting_from on."""

    hash: bytes
    posting_from: int


@dataclass(frozen=True)
class ParametersTaken:
    """A set that governs from epoch `first` on."""

    blob: bytes
    first: int


@dataclass(frozen=True)
class CheckpointTaken:
    checkpoint: bytes


@dataclass(frozen=True)
class FlagsChanged:
    flags: int
    commissioned: int


Effect = (
    Voided
    | Placed
    | Recorded
    | Repeated
    | Refused
    | Passed
    | Voted
    | Sealed
    | EpochOpened
    | Published
    | EpochGiven
    | NodeChanged
    | TokenKeyChanged
    | ParametersTaken
    | CheckpointTaken
    | FlagsChanged
)


class Replay:
    """The machine. `state` is what is known at its position; log_keys are this gateway's, and who carries out effects
    keeps them: EpochGiven, EpochOpened. static_secret and ledger_key (32 bytes) are the relay's, the same on every
    gateway. promised: a position and the chain there, of which a life of this gateway before told the others."""

    def __init__(
        self,
        state: State,
        log_keys: LogKeys,
        static_secret: curve.Secret,
        ledger_key: bytes,
        promised: tuple[int, bytes] = (0, b""),
    ) -> None:
        self.state = state
        self._promised = promised
        self._log_keys = log_keys
        self._static_secret = static_secret
        self._ledger_key = ledger_key
        self._effects: list[Effect] = []

    # -- an entry

    def take(self, entry: Entry) -> list[Effect]:
        """What follows from the next entry of the log. `state` is that behind the entry already.

        Raises LogBroken if the engine lost, doubled, moved or changed something; FleetIsNewer, KeyMissing. Nothing has
        changed then.
        """
        state, position, sealed = self.state, entry.position, entry.entry
        if position != state.position + 1:
            raise LogBroken(f"the engine shows {position} where {state.position + 1} comes next")
        try:
            contents = self._open(entry)
            found = [] if contents is None else [frames.read(frame) for frame in contents.frames]
        except Malformed as error:
            raise LogBroken(f"at {position} stands {error}") from None
        clear = Clear.of(sealed)
        link = next_link(state.chains[-1], position, sealed)
        if position == self._promised[0] and link != self._promised[1]:
            raise LogBroken(f"up to {position} this is not the log that this gateway had before it started")
        self._effects = []
        if contents is not None:
            state.count(clear.gateway, clear.counter)
            state.views[clear.gateway] = max(contents.last, state.views.get(clear.gateway, 0))
        state.position = position
        state.chains.append(link)
        if contents is None:
            self._effects.append(Passed(entry.id))
        else:
            self._take_frames(clear.gateway, found)
        self._publish()
        return self._effects

    def _open(self, entry: Entry) -> Contents | None:
        """What is in an entry; None if it means nothing. Raises as take(), and Malformed."""
        state, position = self.state, entry.position
        if entry.id != entry_id(entry.entry):
            raise Malformed("an entry under another's id")
        clear = Clear.of(entry.entry)
        if clear.epoch < state.epoch or clear.gateway not in state.nodes:
            return None
        if clear.epoch > state.epoch:
            raise Malformed("an entry of an epoch that is not open")
        if clear.version > VERSION:
            raise FleetIsNewer(
                "the other gateways run a newer program, which writes what this one cannot read",
                "update this gateway; its place in the log is kept",
            )
        log_key = self._log_keys.get(state.epoch)
        if log_key is None:
            raise KeyMissing(
                f"this gateway was not given the keys of epoch {state.epoch}", "let it join again: tessera fleet join"
            )
        contents = unseal(log_key, entry.entry)
        if contents.last >= position:
            raise LogBroken(f"the entry at {position} follows {contents.last}: the engine moved or lost entries")
        if state.has_counter(clear.gateway, clear.counter):
            raise LogBroken(f"the entry at {position} stands in the log before: the engine doubled it")
        chain = state.chain_at(contents.last)
        if chain is None or contents.last <= position - 1 - WINDOW or state.is_old(clear.gateway, clear.counter):
            return None
        if chain != contents.chain:
            raise LogBroken(
                f"gateway {clear.gateway} has replayed another log up to {contents.last}: the engine lost, doubled, "
                f"changed or moved entries"
            )
        return contents

    # -- frames

    def _take_frames(self, gateway: int, found: Sequence[Frame]) -> None:
        """By kind, those of one kind in the order in which they stand; objects in that of their first pieces."""
        objects = frames.whole(each for each in found if isinstance(each, Piece))
        whole = ((frame.kind, frame) for frame in found if not isinstance(frame, Piece))
        for kind, each in sorted((*whole, *objects), key=_kind_of):
            if isinstance(each, bytes):
                self._take_object(kind, each)
            else:
                self._take_frame(gateway, each)

    def _take_frame(self, gateway: int, frame: Frame) -> None:
        match frame:
            case frames.Record():
                self._record(frame)
            case frames.Void():
                self._effects.append(Voided(frame.id))
            case frames.Place():
                self._place(frame)
            case frames.Flags():
                self._flags(frame)
            case frames.Checkpoint():
                self._checkpoint(frame.checkpoint)
            case frames.Node():
                self._node(frame)
            case frames.TokenKeyNamed():
                self._token_key(frame)
            case frames.Seal():
                self._seal(gateway, frame)

    def _take_object(self, kind: int, content: bytes) -> None:
        if kind == frames.PARAMS:
            self._parameters(content)
        else:
            self._epoch_keys(content)

    # -- posts

    def _place(self, frame: frames.Place) -> None:
        state, place = self.state, int.from_bytes(frame.place, "big")
        if frame.name != state.token_hash[: frames.MARK_BYTES]:
            self._effects.append(Refused(frame.id, Reason.KEY))
        elif state.rule.constant and place not in state.places and len(state.places) >= state.rule.constant:
            self._effects.append(Refused(frame.id, Reason.FULL))
        else:
            if state.rule.constant:
                state.places.add(place)
            self._effects.append(Placed(frame.id))

    def _record(self, frame: frames.Record) -> None:
        state = self.state
        if frame.id in state.ids:
            self._effects.append(Repeated(frame.id, state.open_round))
            return
        why = self._why_not(frame)
        if why is not None:
            self._effects.append(Refused(frame.id, why))
            return
        state.ids.add(frame.id)
        state.open_marks.add(int.from_bytes(frame.mark, "big"))
        state.posted += 1
        self._effects.append(Recorded(frame.id, frame.round, frame.bucket, frame.record))

    def _why_not(self, frame: frames.Record) -> Reason | None:
        state, rule = self.state, self.state.rule
        if frame.name != state.token_hash[: frames.MARK_BYTES]:
            return Reason.KEY
        if frame.round != state.open_round:
            return Reason.LATE
        if state.open_round < state.posting_from:
            return Reason.WAIT
        if frame.bucket >= rule.buckets:
            return Reason.BUCKET
        if state.has_mark(state.open_round, frame.mark):
            return Reason.TAKEN
        if state.posted >= rule.ceiling or (rule.constant and len(state.open_marks) >= rule.constant):
            return Reason.FULL
        return None

    def _token_key(self, frame: frames.TokenKeyNamed) -> None:
        state = self.state
        if frame.epoch == state.epoch and frame.hash != state.token_hash:
            state.token_hash, state.posting_from = frame.hash, state.open_round + 1
            state.places, state.marks = set(), {}
            self._effects.append(TokenKeyChanged(frame.hash, state.posting_from))
        elif frame.epoch == state.epoch + 1 and not state.next_token_hash:
            state.next_token_hash = frame.hash

    # -- rounds and epochs

    def _seal(self, gateway: int, frame: frames.Seal) -> None:
        state, rounds = self.state, self.state.head.epoch_rounds
        if not frame.closes == state.open_round < frame.opens < (state.epoch + 2) * rounds:
            return
        state.votes[gateway] = Vote(frame.opens, bool(frame.in_time))
        self._effects.append(Voted(gateway, frame.closes))
        votes = [vote for number, vote in state.votes.items() if number in state.nodes]
        if len(votes) < state.quorum:
            return
        opens = sorted((vote.opens for vote in votes), reverse=True)[state.quorum - 1]
        crosses = opens >= (state.epoch + 1) * rounds
        if not crosses or self._ready():
            in_time = any(vote.in_time for vote in votes)
            self._open_round(opens, in_time)
            if crosses:
                self._open_epoch()

    def _ready(self) -> bool:
        """Whether all gateways in force, and no other, have the keys of the next epoch."""
        return self.state.next_epoch is not None and self.state.next_epoch.names == self._names()

    def _names(self) -> dict[int, bytes]:
        return {number: node_name(node.key) for number, node in self.state.nodes.items()}

    def _open_round(self, opens: int, in_time: bool) -> None:
        state = self.state
        self._effects.append(Sealed(state.open_round, opens, in_time))
        state.sealed_count += in_time
        if state.open_marks:
            state.marks[state.open_round] = array("Q", sorted(state.open_marks))
        state.open_marks, state.ids, state.votes = set(), set(), {}
        state.seals.append((state.position, opens))
        state.open_round = opens

    def _open_epoch(self) -> None:
        state, following = self.state, self.state.next_epoch
        assert following is not None
        if state.sealed_count:
            state.closed[state.epoch] = Closed(state.sealed_count, state.rule.digest, state.commitment)
        state.epoch += 1
        state.sealed_count = state.posted = 0
        state.places, state.marks = set(), {}
        state.token_hash, state.next_token_hash = state.next_token_hash, b""
        state.posting_from = state.epoch * state.head.epoch_rounds
        state.commitment, state.next_epoch = following.commitment, None
        kept = max(rule.first for rule in state.rules if rule.first <= state.epoch)
        state.rules = [rule for rule in state.rules if rule.first >= kept]
        self._effects.append(EpochOpened(state.epoch))
        if state.token_hash:
            self._effects.append(TokenKeyChanged(state.token_hash, state.posting_from))

    def _publish(self) -> None:
        """Serve what is sealed, as far as enough gateways say that they replayed the same log up to there."""
        state = self.state
        views = sorted((state.views.get(number, -1) for number in state.nodes), reverse=True)
        while state.seals and state.seals[0][0] <= views[state.quorum - 1]:
            state.published = state.seals.pop(0)[1]
            self._effects.append(Published(state.published))

    def _epoch_keys(self, content: bytes) -> None:
        state = self.state
        try:
            keys = EpochKeys.read(content)
        except Malformed:
            return
        given = state.next_epoch is not None and state.next_epoch.names == keys.names
        if keys.epoch == state.epoch + 1 and keys.names == self._names() and not given:
            state.next_epoch = NextEpoch(keys.names, keys.commitment)
            self._effects.append(EpochGiven(keys))

    # -- gateways

    def _node(self, frame: frames.Node) -> None:
        state, number = self.state, frame.gateway
        if frame.key == frames.REMOVED:
            if number in state.nodes and len(state.nodes) > 1:
                del state.nodes[number]
                state.views.pop(number, None)
                state.votes.pop(number, None)
                self._effects.append(NodeChanged(number, None))
            return
        try:
            curve.Point(frame.key)
        except ValueError:
            return
        node = NodeInForce(frame.versions, frame.key)
        if state.nodes.get(number) != node:
            state.nodes[number] = node
            self._effects.append(NodeChanged(number, frame.key))

    # -- what the relay keeps besides

    def _parameters(self, blob: bytes) -> None:
        state = self.state
        taken = self._accepted(blob)
        if taken is None:
            return
        first = max(taken.first_epoch, state.epoch + 1)
        state.rules = [rule for rule in state.rules if rule.first <= state.epoch] + [Rule.of(taken, first)]
        state.newest = taken.part(0, len(state.newest))
        self._effects.append(ParametersTaken(blob, first))

    def _accepted(self, blob: bytes) -> Parameters | None:
        """The set, if it may follow the newest one (PROTOCOL §2): by what every gateway has, not by what a machine
        bears."""
        newest = self.state.head
        try:
            head = Head(blob)
            same = all(getattr(head, name) == getattr(newest, name) for name in _FIXED)
            if head.serial <= newest.serial or not same or head.constant > _MOST_RECORDS:
                return None
            taken = Parameters(blob)
            place = taken.relay_with(self.state.relay_key)
            if len(blob) != taken.size(1) or len(blob) > MOST_RELAY_BYTES or place is None:
                return None
            if taken.column(place.id) is None:
                return None
            taken.verify()
            taken.reading_key(self._static_secret, place.id)
        except InvalidObject:
            return None
        return taken

    def _checkpoint(self, blob: bytes) -> None:
        state = self.state
        try:
            found = ledger.Checkpoint(blob)
            found.verify(self._ledger_key)
        except InvalidObject:
            return
        closed = state.closed.get(found.epoch)
        said = Closed(found.rounds_sealed, found.parameter_digest, found.cover_commitment)
        ours = found.federation_id == state.head.federation_id and found.relay_key == state.relay_key
        if closed == said and ours and found.previous == state.checkpoint_link:
            state.checkpoint_epoch, state.checkpoint_link = found.epoch, found.link()
            state.closed = {epoch: each for epoch, each in state.closed.items() if epoch > found.epoch}
            self._effects.append(CheckpointTaken(blob))

    def _flags(self, frame: frames.Flags) -> None:
        state = self.state
        flags, commissioned = state.flags, state.commissioned
        if frame.what == frames.ADMITTED:
            flags, commissioned = flags | ADMITTED, NEVER
        elif frame.what == frames.DISCLOSED and not flags & ADMITTED:
            kept = range(max(0, state.epoch - state.head.retention_epochs), state.epoch + 1)
            commissioned = frame.epoch if frame.epoch in kept else commissioned
        if (flags, commissioned) != (state.flags, state.commissioned):
            state.flags, state.commissioned = flags, commissioned
            self._effects.append(FlagsChanged(flags, commissioned))
