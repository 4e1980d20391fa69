"""The rules of docs/fleet.md §5 a second time, as plainly as they can be written: all entries ever are kept and looked
through again for every question. It reads frames with second_reader.py and shares nothing with replay.py.

Beyond that it knows what replay does not: which token each record is of.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import second_reader


@dataclass
class Model:
    """nodes: {gateway: node key} at the start; constant: C; what() gives the log key of an epoch."""

    relay_key: bytes
    nodes: dict[int, bytes]
    log_key: Callable[[int], bytes]
    rounds: int  # an epoch
    open_round: int
    published: int
    constant: int
    buckets: int
    ceiling: int
    entries: list[bytes] = field(default_factory=list)
    counted: list[dict[str, Any]] = field(default_factory=list)  # records, with the round that they are in
    outcomes: dict[bytes, str] = field(default_factory=dict)  # of frames, by id: the first time
    places: list[bytes] = field(default_factory=list)
    token_hash: bytes = b""
    next_hash: bytes = b""
    posting_from: int = 0
    votes: dict[int, int] = field(default_factory=dict)
    given: dict[int, bytes] | None = None  # names of the EPOCH for the next epoch
    views: dict[int, int] = field(default_factory=dict)
    seals: list[tuple[int, int]] = field(default_factory=list)  # (position, round opened)

    @property
    def epoch(self) -> int:
        return self.open_round // self.rounds

    @property
    def quorum(self) -> int:
        return 1 if len(self.nodes) in (1, 2) else len(self.nodes) // 2 + 1

    @property
    def names(self) -> dict[int, bytes]:
        return {number: second_reader.node_name(key) for number, key in self.nodes.items()}

    def _publish(self) -> None:
        """Up to the last seal that a quorum has read."""
        for position, opened in self.seals:
            if sum(self.views.get(number, -1) >= position for number in self.nodes) >= self.quorum:
                self.published = max(self.published, opened)

    def take(self, sealed: bytes) -> None:
        self.entries.append(sealed)
        self._take(sealed)
        self._publish()

    def _take(self, sealed: bytes) -> None:
        epoch, gateway = int.from_bytes(sealed[1:5], "big"), int.from_bytes(sealed[5:7], "big")
        if epoch != self.epoch or gateway not in self.nodes:
            return
        found = second_reader.entry(self.log_key(epoch), sealed, quick=True)
        assert found.chain == second_reader.chain(self.relay_key, self.entries[: found.last])
        self.views[gateway] = max(found.last, self.views.get(gateway, -1))
        for kind in second_reader.KINDS:
            here = [each for each in found.frames if each["kind"] == kind]
            if kind == "EPOCH":
                for content in second_reader.objects(kind, here):
                    self._epoch(content)
            elif kind not in ("EPOCH", "PARAMS"):
                for each in here:
                    getattr(self, "_" + kind.lower())(gateway, each)

    def _void(self, _gateway: int, frame: dict[str, Any]) -> None:
        self.outcomes[frame["id"]] = "void"

    def _place(self, _gateway: int, frame: dict[str, Any]) -> None:
        if frame["name"] != self.token_hash[:8]:
            outcome = "KEY"
        elif frame["place"] not in self.places and len(self.places) == self.constant:
            outcome = "FULL"
        else:
            outcome = "placed"
            self.places = [*(each for each in self.places if each != frame["place"]), frame["place"]]
        self.outcomes[frame["id"]] = outcome

    def _record(self, _gateway: int, frame: dict[str, Any]) -> None:
        in_round = [each for each in self.counted if each["round"] == self.open_round]
        in_epoch = [each for each in self.counted if each["round"] // self.rounds == self.epoch]
        if frame["id"] in [each["id"] for each in in_round]:
            return
        outcome = "recorded"
        if frame["name"] != self.token_hash[:8]:
            outcome = "KEY"
        elif frame["round"] != self.open_round:
            outcome = "LATE"
        elif self.open_round < self.posting_from:
            outcome = "WAIT"
        elif frame["bucket"] >= self.buckets:
            outcome = "BUCKET"
        elif frame["mark"] in [each["mark"] for each in in_round]:
            outcome = "TAKEN"
        elif len(in_round) >= self.constant or len(in_epoch) >= self.ceiling:
            outcome = "FULL"
        else:
            self.counted.append(frame)
        self.outcomes[frame["id"]] = outcome

    def _flags(self, _gateway: int, _frame: dict[str, Any]) -> None:
        pass

    _checkpoint = _flags

    def _epoch(self, content: bytes) -> None:
        names = {}
        for at in range(103, len(content), 114):
            names[int.from_bytes(content[at : at + 2], "big")] = content[at + 2 : at + 18]
        if int.from_bytes(content[:4], "big") == self.epoch + 1 and names == self.names:
            self.given = names

    def _node(self, _gateway: int, frame: dict[str, Any]) -> None:
        if any(frame["key"]):
            self.nodes[frame["gateway"]] = frame["key"]
        elif frame["gateway"] in self.nodes and len(self.nodes) > 1:
            for each in (self.nodes, self.views, self.votes):
                each.pop(frame["gateway"], None)

    def _tokenkey(self, _gateway: int, frame: dict[str, Any]) -> None:
        if frame["epoch"] == self.epoch and frame["hash"] != self.token_hash:
            self.token_hash, self.posting_from, self.places = frame["hash"], self.open_round + 1, []
        elif frame["epoch"] == self.epoch + 1:
            self.next_hash = self.next_hash or frame["hash"]

    def _seal(self, gateway: int, frame: dict[str, Any]) -> None:
        if frame["closes"] != self.open_round or not self.open_round < frame["opens"] < (self.epoch + 2) * self.rounds:
            return
        self.votes[gateway] = frame["opens"]
        if len(self.votes) < self.quorum:
            return
        opens = max(
            each for each in self.votes.values() if sum(other >= each for other in self.votes.values()) >= self.quorum
        )
        crosses = opens // self.rounds > self.epoch
        if crosses and self.given != self.names:
            return
        self.seals.append((len(self.entries), opens))
        self.open_round, self.votes = opens, {}
        if crosses:
            self.token_hash, self.next_hash, self.given, self.places = self.next_hash, b"", None, []
            self.posting_from = self.epoch * self.rounds
