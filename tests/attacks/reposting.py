"""The repost oracle. A member takes a record of an old batch, of which it does not know whether somebody posted it or
the relay made it up, and posts it once more: in another session, in its own, twice. World 1: it was posted. The
adversary sees every answer, the next batch, the old batch again, and its quota; bound: nothing differs, advantage 0.
"""

from collections import Counter
from typing import Any

from office import records
from tessera.errors import Refused
from tests.attacks.branch import Branch
from tests.attacks.game import Game, coin
from tests.results import Row

Seen = tuple[Any, ...]


def observe(branch: Branch, record: bytes, old: list[bytes], round_: int) -> Seen:
    """All that re-posting shows: open round by the answers relative to the first, copies in the next batch, quota."""
    member = branch.new_member()
    answers: list[object] = []
    for _ in range(2):
        try:
            answers.append(member.post(record) - branch.relay.open_round)
        except Refused as refused:
            answers.append(refused.name)
    branch.sleep()
    batch = member.cell(round_ + 1)
    again = member.cell(round_)
    left = branch.relay._epochs.admission.posts_left(member.session.token)
    return (*answers, batch.count(record), again == old, left)


def play(games: int, seed: object, relay_patch: Any = None) -> tuple[Game, Counter[tuple[bool, Seen]]]:
    game, seen = Game(), Counter[tuple[bool, Seen]]()
    branch = Branch(seed)
    if relay_patch:
        relay_patch(branch)
    for number in range(games):
        if number % 20 == 19:  # tokens of an epoch are few, keys of the schedule too
            branch = Branch(f"{seed} {number}")
            if relay_patch:
                relay_patch(branch)
        author = branch.new_member()
        posted = records(2, branch.record()[:16])
        for record in posted:
            author.post(record)
        round_ = branch.relay.open_round
        branch.sleep()
        old = author.cell(round_) if branch.relay.epoch == author.session.epoch else branch.new_member().cell(round_)
        cover = [record for record in old if record not in posted]
        world = coin(branch.dice) or not cover
        target = branch.dice.choice(posted if world else cover)
        what = observe(branch, target, old, round_) if round_ % 6 < 4 else None
        if what is None:  # the epoch ends: its session would, too
            branch.sleep()
            continue
        seen[world, what] += 1
        game.hear(world, what != (0, 0, 1, True, 15))
    return game, seen


def remember_records(branch: Branch) -> None:
    """The leak for the control: a relay that knows its own records and does not store one twice."""
    relay, log = branch.relay, branch.relay._log
    append, stored = log.append, set()

    def once(round_: int, bucket: int, record: Any, cipher: Any, *kind: Any) -> Any:
        if bytes(record) in stored:
            return None
        stored.add(bytes(record))
        return append(round_, bucket, record, cipher, *kind)

    log.append = once
    assert relay


def run(scale: float = 1.0) -> list[Row]:
    game, seen = play(int(4000 * scale), "repost")
    kinds = len({what for _, what in seen})
    good = kinds == 1 and game.advantage == 0
    return [Row("re-posting records of old batches", f"{game}; {kinds} kind of outcome", "1 kind, advantage 0", good)]
