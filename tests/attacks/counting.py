"""The published count. The adversary inserted all other records of the cell, knows how many they are, and asks
whether the one member it is after delivered one more (world 1): it says yes if the count is at least a threshold. The
bound is that of (ε, δ)-differential privacy, TP ≤ e^ε·FP + δ; the best that any adversary can do against this very
table is computed exactly from its integers.
"""

from fractions import Fraction
from itertools import pairwise
from typing import Any

from check import unhex, vectors
from office import Connection
from tessera import wire
from tests.attacks.branch import PICO_W_SECTORS, Branch, published_count
from tests.attacks.game import Game, coin
from tests.results import Row

TABLE = 2  # of noise_table.json: ε = 0.1, δ = 10^-6
BUCKETS = 128
SHAPE: dict[str, Any] = {
    "log2_buckets": BUCKETS.bit_length() - 1,
    "epoch_rounds": 16,
    "retention_epochs": 1,
    "members": 20,
    "tokens_per_epoch": 5,
    "posts_per_token": 16,
}
OTHERS = 30  # inserted by the adversary, spread over the cells of a round


def weights(thresholds: list[str]) -> list[int]:
    """P(N = k) in units of 2^-64, from the table's integers."""
    cumulative = [0, *(int(each, 16) for each in thresholds), 1 << 64]
    return [high - low for low, high in pairwise(cumulative)]


def exact_advantage(thresholds: list[str]) -> Fraction:
    """max over sets of counts of P(N + 1 in S) - P(N in S): the total variation distance."""
    probability = weights(thresholds)
    shifted = [0, *probability]
    return Fraction(sum(max(0, a - b) for a, b in zip(shifted, [*probability, 0], strict=True)), 1 << 64)


def play(cells: int, seed: object, noisy: bool = True, table: int = TABLE) -> dict[int, Game]:
    """Games by threshold (of the noise that is left when the adversary's own records are taken off)."""
    row = vectors("noise_table")[table]
    thresholds = unhex("".join(row["thresholds"]))
    branch = Branch(
        f"counting {seed}",
        PICO_W_SECTORS,
        thresholds=thresholds,
        epsilon=int(Fraction(row["epsilon"]) * 10**6),
        **SHAPE,
    )
    mu = row["mu"]
    games = {mu + offset: Game() for offset in (-20, -5, 0, 1, 2, 5, 20)}
    for _ in range(cells // BUCKETS):
        if branch.relay.open_round % SHAPE["epoch_rounds"] == 0:
            branch._token = 0
        round_ = branch.relay.open_round
        targets = [coin(branch.dice) for _ in range(BUCKETS)]
        inserted = [0] * BUCKETS
        for _ in range(OTHERS):
            inserted[branch.dice.randrange(BUCKETS)] += 1
        deliver(branch, [targets[bucket] + inserted[bucket] for bucket in range(BUCKETS)])
        branch.sleep()
        for bucket in range(BUCKETS):
            if bucket % wire.FETCH_ROUNDS == 0:  # as many cells as a connection gets in a round
                reader = Connection(branch.relay)
            count = published_count(reader, bucket, round_) - inserted[bucket]
            if not noisy:
                count -= branch.relay._epochs._covers[round_ // SHAPE["epoch_rounds"]].noise(bucket, round_) - mu
            for threshold, game in games.items():
                game.hear(targets[bucket], count >= threshold)
    return games


def deliver(branch: Branch, wanted: list[int]) -> None:
    """Post so many records to each bucket, through as few tokens as their quota takes."""
    member, left = branch.new_member(), 16
    for bucket, count in enumerate(wanted):
        for _ in range(count):
            if not left:
                member, left = branch.new_member(), 16
            member.post(branch.record(), bucket)
            left -= 1


def rows(games: dict[int, Game], table: int = TABLE) -> list[Row]:
    row = vectors("noise_table")[table]
    exact = float(exact_advantage(row["thresholds"]))
    epsilon, delta = float(row["epsilon"]), float(row["delta"])
    limit = (2.718281828459045**epsilon - 1 + 2 * delta) / (2.718281828459045**epsilon + 1)
    found = []
    for threshold, game in games.items():
        low, _ = game.interval()
        text = f"{game}; the table allows {exact:.5f}, (ε, δ) {limit:.5f}"
        found.append(
            Row(f"one delivery more, count ≥ {threshold}", text, "interval's low end ≤ both", low <= min(exact, limit))
        )
    return found


def run(scale: float = 1.0, shard: int = 0) -> dict[int, Game]:
    return play(int(50_000 * scale), f"run {shard}")
