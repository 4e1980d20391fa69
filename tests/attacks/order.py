"""The order of a batch. World 1: a record at the adversary's chosen place is one that was posted. It knows which
place of the batch each record has; if real records stood more often at the front (or anywhere), guessing by the place
would pay. Bound: the places of real records are uniform (Kolmogorov-Smirnov, p > 0.001), the best threshold on the
place has no advantage.
"""

from typing import Any

import scipy

from tests.attacks.branch import Branch
from tests.attacks.game import Game
from tests.results import Row


def play(batches: int, seed: object, disorder: Any = None) -> tuple[Game, float]:
    """(game of an adversary who says «real» of the first half, p of the places being uniform)"""
    game, places = Game(), []
    branch = Branch(f"order {seed}")
    for number in range(batches):
        if number % 20 == 19:
            branch = Branch(f"order {seed} {number}")
        member = branch.new_member()
        posted = [branch.record() for _ in range(8)]
        for record in posted:
            member.post(record)
        round_ = branch.relay.open_round
        branch.sleep()
        batch = branch.new_member().cell(round_)
        if disorder:
            batch = disorder(batch, posted)
        for place, record in enumerate(batch):
            where = (place + branch.dice.random()) / len(batch)
            real = record in posted
            if real:
                places.append(where)
            game.hear(real, where < 0.5)
    return game, float(scipy.stats.kstest(places, "uniform").pvalue)


def as_inserted(batch: list[bytes], posted: list[bytes]) -> list[bytes]:
    """The leak for the control: what was posted comes first."""
    return sorted(batch, key=lambda record: record not in posted)


def run(scale: float = 1.0) -> list[Row]:
    game, p = play(int(2000 * scale), "run")
    low, high = game.interval()
    good = low <= 0 <= high and p > 0.001
    return [Row("places of real records in their batch", f"{game}; p = {p:.3f}", "interval holds 0, p > 0.001", good)]
