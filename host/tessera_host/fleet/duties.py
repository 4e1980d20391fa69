"""What a gateway writes into the log by itself, when it is due: votes, keys of gateways, epochs and tokens, checkpoints
(docs/fleet.md §6 to §8).

Owns when. Every duty follows from the state alone and is done again until the state says that it is done; of one kind
one frame is on its way at a time. What all of them may do, the one with the lowest number does first: the next one a
second later, if it is not done by then. Leaves to others: what becomes of it (replay.py), entries (gateway.py).
"""

from collections.abc import Hashable

from . import frames
from .entry import VERSION
from .keys import EpochKeys, TokenKey
from .relay import FleetRelay
from .state import Vote

RANK_MS = 1000
SILENT_MS = 15_000  # a gateway that neither answers nor writes for so long is taken for dead
_EARLY = 4  # the part of an epoch, at its end, in which the keys of the next one are given


class Duties:
    def __init__(self, relay: FleetRelay) -> None:
        self._relay = relay
        self._seat = relay.seat
        self._writer = relay.writer
        self._since: dict[Hashable, int] = {}  # uptime at which a duty was seen that any gateway may do
        self._voted_ready = False
        self.lost: set[int] = set()  # gateways that were found not to have the token key in force
        self.changed = False  # a node key was made, which has to be durable before it is announced

    def write(self) -> None:
        """Add to the writer what is due now."""
        self._renew()
        self._announce()
        self._give_epoch()
        self._name_token_key()
        self._sign()
        self._admitted()
        self._vote()

    def _may(self, duty: Hashable, kind: int) -> bool:
        """Whether this gateway does now what any of them may do."""
        if self._writer.is_on_its_way(kind):
            return False
        now = self._relay.clock.uptime_ms()
        return now - self._since.setdefault(duty, now) >= RANK_MS * self._seat.rank

    def _done(self, name: str) -> None:
        for duty in [duty for duty in self._since if isinstance(duty, tuple) and duty[0] == name]:
            del self._since[duty]

    @property
    def _is_late(self) -> bool:
        """Whether the next epoch is near, or has begun by the clock."""
        state = self._seat.state
        rounds = state.head.epoch_rounds
        vote = self._relay._rounds.vote()
        newest = max(state.open_round, vote.opens if vote else 0)
        return newest >= (state.epoch + 1) * rounds - max(1, rounds // _EARLY)

    # -- keys of gateways

    def _renew(self) -> None:
        if self._seat.keys.renewed < self._seat.state.epoch:
            self._seat.renew(self._relay.random)
            self.changed = True

    def _announce(self) -> None:
        seat, node = self._seat, self._seat.state.nodes[self._seat.number]
        if (node.key, node.versions) != (seat.node_key, VERSION) and not self._writer.is_on_its_way(frames.NODE):
            self._writer.add(frames.Node(seat.number, VERSION, seat.node_key))

    # -- keys of the next epoch

    def _give_epoch(self) -> None:
        seat, state = self._seat, self._seat.state
        if seat.is_ready or not self._is_late:
            self._done("epoch")
        elif self._may(("epoch", tuple(sorted(seat.nodes.items()))), frames.EPOCH):
            cover_state = self._relay._epochs.open_cover_state
            keys = EpochKeys.compose(state.epoch + 1, seat.nodes, cover_state, self._relay.random)
            self._writer.add(*frames.pieces(frames.EPOCH, keys.pack()))

    def _name_token_key(self) -> None:
        state = self._seat.state
        nobody = state.token_hash not in self._seat.token_keys and self.lost >= set(self._seat.others)
        if (not state.token_hash or nobody) and self._may(("key", state.epoch, state.token_hash), frames.TOKENKEY):
            self._name(state.epoch)
        elif not state.next_token_hash and self._is_late and self._may(("key", state.epoch + 1), frames.TOKENKEY):
            self._name(state.epoch + 1)

    def _name(self, epoch: int) -> None:
        key = TokenKey(self._relay.random(32))
        self._seat.token_keys[key.hash] = key
        self._writer.add(frames.TokenKeyNamed(epoch, key.hash))

    # -- rounds, checkpoints, flags

    def _vote(self) -> None:
        """Again when the keys of the next epoch are there for which a vote had to wait (rule 18)."""
        vote, ready = self._relay._rounds.vote(), self._seat.is_ready
        if vote is None or self._writer.is_on_its_way(frames.SEAL):
            return
        stands = self._seat.state.votes.get(self._seat.number) == Vote(vote.opens, bool(vote.in_time))
        if not stands or ready != self._voted_ready:
            self._voted_ready = ready
            self._writer.add(vote)

    def _sign(self) -> None:
        closed = self._seat.state.closed
        if not closed:
            return
        epoch = min(closed)
        if self._may(("checkpoint", epoch), frames.CHECKPOINT):
            said, relay = closed[epoch], self._relay
            digest, random = relay._identity.firmware_digest, relay.random(32)
            signed = relay._ledger.signed(epoch, said.sealed_count, said.digest, said.commitment, digest, random)
            self._writer.add(frames.Checkpoint(signed))

    def _admitted(self) -> None:
        if (
            self._seat.member_came
            and not self._relay._keyring.admitted
            and not self._writer.is_on_its_way(frames.FLAGS)
        ):
            self._writer.add(frames.Flags(frames.ADMITTED, 0))
