"""Somebody who was removed. IT pushes one set after the other, each with another access key, reading key and generation
of epoch keys: in time, late, or replaced before it is in force; the relay is restarted between. The adversary is a
former member that kept everything up to its removal, all reading keys and tokens for every epoch ahead, and it has the
access keys of all times, as whoever has the channel reads the next one in PARAMS. In every round it asks for cells with
each reading key and shows each token. Bound: from the epoch on in which the set without it is in force it reads no cell
and posts no record, whatever comes after; and whoever stays reads and posts in every round.
"""

from collections import Counter
from contextlib import suppress
from typing import Any

from office import Connection, Token, parameters
from tessera import curve
from tessera.errors import Refused
from tessera.hashes import sha256
from tests.attacks.branch import Branch
from tests.results import Row

AHEAD = 8
ROTATIONS = 5
STAYED_FOR = 2  # rotations that the adversary was still there for


class Rotation:
    """The keys of one set."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.access_key = sha256(b"access key", bytes((number,)))
        self.reading_key = sha256(b"reading key", bytes((number,)))
        self.first: int | None = None  # the epoch in which it came into force

    def secret(self, epoch: int) -> bytes:
        made: bytes = sha256(b"epoch of a rotation", bytes((self.number,)), epoch.to_bytes(4, "big"))
        return made

    def changes(self, first_epoch: int) -> dict[str, Any]:
        """The fields of its set that are not the office's."""
        epochs = range(first_epoch, first_epoch + AHEAD + 4)
        column = b"".join(curve.public(self.secret(epoch))[1:] for epoch in epochs)
        keys = {"access_key": self.access_key, "reading_key": self.reading_key, "epoch_keys": column}
        return {**keys, "epochs": len(epochs), "serial": 1 + self.number, "first_epoch": first_epoch}

    def token(self, number: int, epoch: int) -> Token:
        return Token(number, epoch, secret=self.secret(epoch))


class Renewed(Branch):
    """A relay that gets one set after the other."""

    def __init__(self, seed: object) -> None:
        self.rotations = [Rotation(number) for number in range(ROTATIONS + 1)]
        super().__init__(f"removal {seed}", **self.rotations[0].changes(0))
        self.rotations[0].first = 0
        self.pushed = 0

    def renew(self) -> None:
        """Push the next set: for an epoch to come, the next one, or one that is over."""
        self.pushed += 1
        first_epoch = max(0, self.relay.epoch + self.dice.choice((-1, 0, 1, 1, 2)))
        blob = parameters(generation=self.pushed, **self.rotations[self.pushed].changes(first_epoch))
        assert Connection(self.relay, self.relay.parameters.access_keys[0]).push(blob)

    def in_force(self) -> Rotation:
        """The rotation whose set governs the open epoch."""
        rotation = self.rotations[self.relay.parameters.rule(self.relay.epoch).serial - 1]
        if rotation.first is None:
            rotation.first = self.relay.epoch
        return rotation

    def connection(self, access_key: bytes | None = None) -> Connection:
        return Connection(self.relay, access_key or self.relay.parameters.access_keys[0])


def read(branch: Renewed, rotation: Rotation, round_: int) -> bool:
    with suppress(Refused):
        branch.connection().fetch(round_, round_ + 1, 0, rotation.reading_key)
        return True
    return False


def post(branch: Renewed, rotation: Rotation, number: int) -> bool:
    connection = branch.connection()
    with suppress(Refused):
        connection.authenticate(rotation.token(number, branch.relay.epoch))
        connection.post(branch.record())
        return True
    return False


def play(rounds: int, seed: object, patch: Any = None) -> Counter[str]:
    """What the adversary and a member who stays got in so many rounds, before and after the removal."""
    branch, found = Renewed(seed), Counter[str]()
    for _ in range(rounds):
        if branch.pushed < ROTATIONS and branch.dice.random() < 0.25:
            branch.renew()
        if branch.dice.random() < 0.1:
            branch.boot()
        branch.sleep()
        if patch:
            patch(branch)
        now, sealed = branch.in_force(), branch.relay.open_round - 1
        when = "after" if now.number > STAYED_FOR else "before"
        oldest = min(branch.relay.first_round, sealed)
        for rotation in branch.rotations[: STAYED_FOR + 1]:
            found[f"cells read {when}"] += sum(read(branch, rotation, round_) for round_ in (oldest, sealed))
            found[f"posts {when}"] += post(branch, rotation, 1)
            found[f"attempts {when}"] += 3
        found["rounds"] += 1
        found["rounds of who stays"] += read(branch, now, sealed) and post(branch, now, 0)
    return found


def any_reading_key(branch: Renewed) -> None:
    """The leak for the control: a relay that goes on taking the keys it once had."""
    relay = branch.relay
    known = [rotation.reading_key for rotation in branch.rotations[: branch.pushed + 1]]
    honest = type(relay)._require_reader

    def lenient(session: Any, proof: bytes) -> None:
        rule = relay.parameters.rule(relay.epoch)
        own = rule.reading_key
        for rule.reading_key in known:
            with suppress(Exception):
                honest(relay, session, proof)
                rule.reading_key = own
                return
        rule.reading_key = own
        honest(relay, session, proof)

    relay._require_reader = lenient


def run(scale: float = 1.0) -> list[Row]:
    found = sum((play(60, seed) for seed in range(max(2, round(40 * scale)))), Counter[str]())
    attempts = f"of {found['attempts after']:,} attempts"
    before = f"before its removal {found['cells read before']:,} cells, {found['posts before']:,} posts"
    able = found["cells read before"] > 0 < found["posts before"]
    cells, posts = found["cells read after"], found["posts after"]
    stays = f"{found['rounds of who stays']:,} of {found['rounds']:,} rounds"
    return [
        Row("cells that a removed member reads", f"{cells} {attempts}; {before}", "0", cells == 0 and able),
        Row("records that a removed member posts", f"{posts} {attempts}", "0", posts == 0),
        Row("who stays reads and posts", stays, "all", found["rounds of who stays"] == found["rounds"]),
    ]
