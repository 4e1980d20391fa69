"""A member's day under a table for a day (PROTOCOL §8). The adversary knows every other record of the cells in which
the member posts, if it does (world 1: one record in each; world 0: none), takes them off the published counts, and asks
whether the member had its day: it adds up the logarithms of how much likelier each count is in world 1, which no test
is better than (Neyman, Pearson 1933). Only those cells run through a relay. Bound: the interval of the advantage begins
below the exact one of any adversary, which is the δ at ε = 0 of all cells together, from the table's integers.

The table is any: weights as the fourth power of a cosine, as a planner's are nearly. The control leaves the noise out.
With constant batches every count is C, whatever happened: constant.py.
"""

from fractions import Fraction
from functools import cache
from itertools import accumulate
from math import cos, inf, log, pi
from typing import Any

from office import Connection
from tessera import params, wire
from tessera_host.privacy import composition, noise
from tests.attacks import counting
from tests.attacks.branch import PICO_W_SECTORS, Branch, published_count
from tests.attacks.game import Game, coin
from tests.results import Row

DELIVERIES = 8  # a day
MIDDLE = 32
OTHERS = 30
DAY = Fraction(2), Fraction("2e-5")
LIMITS = (0.0, 1.0, 2.0)  # of the sum, from which on the adversary says yes
SHAPE: dict[str, Any] = counting.SHAPE | {"cover": params.DAY, "deliveries": DELIVERIES, "epsilon": 1_000_000}


@cache
def thresholds() -> tuple[int, ...]:
    wide = MIDDLE + 1
    weights = [cos(pi * (k - MIDDLE) / 2 / wide) ** 4 for k in range(2 * MIDDLE + 1)]
    sums = list(accumulate(int(weight / sum(weights) * noise.DRAWS) for weight in weights))
    return tuple(sums[:-1])


@cache
def exact() -> dict[str, float]:
    """What any adversary can reach, by the table's integers."""
    day = [composition.Part(thresholds(), 1, DELIVERIES)]
    return {
        "advantage": float(composition.delta_of(day, Fraction(0))),
        "delta": float(composition.delta_of(day, DAY[0])),
    }


def likelihoods() -> list[float]:
    """ln(P(N + 1 = c) / P(N = c)) of a count c, from 0 on."""
    weights = noise.weights(thresholds())
    pairs = zip([0, *weights], [*weights, 0], strict=True)
    return [-inf if not one else inf if not none else log(one / none) for one, none in pairs]


def play(days: int, seed: object, noisy: bool = True) -> dict[float, Game]:
    """Games by limit; a day is a bucket through so many rounds as there are deliveries."""
    table = b"".join(each.to_bytes(8, "big") for each in thresholds())
    branch = Branch(f"days {seed}", PICO_W_SECTORS, thresholds=table, day_epsilon=2_000_000, **SHAPE)
    of_count, games = likelihoods(), {limit: Game() for limit in LIMITS}
    for _ in range(days // counting.BUCKETS):
        worlds = [coin(branch.dice) for _ in range(counting.BUCKETS)]
        sums = [0.0] * counting.BUCKETS
        for _ in range(DELIVERIES):
            for bucket, count in enumerate(_round(branch, worlds, noisy)):
                sums[bucket] += of_count[count] if 0 <= count < len(of_count) else 0
        for limit, game in games.items():
            for world, found in zip(worlds, sums, strict=True):
                game.hear(world, found > limit)
    return games


def _round(branch: Branch, worlds: list[bool], noisy: bool) -> list[int]:
    """The counts of a round's cells, what the adversary posted there taken off."""
    if branch.relay.open_round % SHAPE["epoch_rounds"] == 0:
        branch._token = 0
    round_, inserted, counts = branch.relay.open_round, [0] * counting.BUCKETS, []
    for _ in range(OTHERS):
        inserted[branch.dice.randrange(counting.BUCKETS)] += 1
    counting.deliver(branch, [world + more for world, more in zip(worlds, inserted, strict=True)])
    branch.sleep()
    for bucket in range(counting.BUCKETS):
        if bucket % wire.FETCH_ROUNDS == 0:  # as many cells as a connection gets in a round
            reader = Connection(branch.relay)
        count = published_count(reader, bucket, round_) - inserted[bucket]
        if not noisy:
            count -= branch.relay._epochs._covers[round_ // SHAPE["epoch_rounds"]].noise(bucket, round_) - MIDDLE
        counts.append(count)
    return counts


def rows(games: dict[float, Game]) -> list[Row]:
    most, found = exact()["advantage"], []
    for limit, game in games.items():
        low, _ = game.interval()
        text = f"{game}; the table allows {most:.5f}"
        found.append(Row(f"a day of {DELIVERIES} records, likelier by e^{limit:g}", text, "low end ≤ it", low <= most))
    text = f"δ = {exact()['delta']:.2e} at ε = {DAY[0]}, by exact sums"
    good = exact()["delta"] <= DAY[1]
    return [*found, Row(f"a day of {DELIVERIES} records, beyond ε", text, f"≤ {float(DAY[1]):g}", good)]
