"""`make test-attacks`: every attack at full size. Each file beside this one is an experiment: its head states the game,
what the adversary sees, and the bound. Exit status 1 if a bound is missed.
"""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from tests.attacks import (
    constant,
    counting,
    days,
    engine,
    exhaustion,
    issuing,
    moments,
    noise,
    order,
    probing,
    removal,
    reposting,
    timeforging,
    tokens,
    views,
    wires,
)
from tests.results import Row, publish

ROOT = Path(__file__).resolve().parent.parent.parent


SHARDS = 4
CELLS = 102_400  # whose published count an adversary thresholds
NOISE_CELLS = 1_000_000
TOKEN_GAMES = 10_000
DAYS = 10_240  # of members, under a table for a day
WHOLE: tuple[Any, ...] = (
    reposting,
    views,
    order,
    probing,
    wires,
    issuing,
    timeforging,
    removal,
    constant,
    moments,
    engine,
)


def count_cells(shard: int) -> dict[int, Any]:
    return counting.play(CELLS // SHARDS, f"shard {shard}")


def sample_noise(shard: int) -> tuple[Counter[int], int]:
    cells = NOISE_CELLS // SHARDS
    return noise.play(shard * cells // noise.BUCKETS, cells)


def guess_days(shard: int) -> dict[float, Any]:
    return days.play(DAYS // SHARDS, f"shard {shard}")


def link_tokens(shard: int) -> tuple[dict[str, Any], int, int]:
    return tokens.play(TOKEN_GAMES // SHARDS, f"shard {shard}")


def run_whole(number: int) -> list[Row]:
    rows: list[Row] = WHOLE[number].run()
    return rows


def sum_of_games(parts: list[dict[Any, Any]]) -> dict[Any, Any]:
    return {name: reduce(add, (part[name] for part in parts)) for name in parts[0]}


def everything(pool: ProcessPoolExecutor) -> list[Row]:
    counted = [pool.submit(count_cells, shard) for shard in range(SHARDS)]
    guessed = [pool.submit(guess_days, shard) for shard in range(SHARDS)]
    linked = [pool.submit(link_tokens, shard) for shard in range(SHARDS)]
    sampled = [pool.submit(sample_noise, shard) for shard in range(SHARDS)]
    whole = [pool.submit(run_whole, number) for number in range(len(WHOLE))]
    rows = counting.rows(sum_of_games([job.result() for job in counted]))
    rows += days.rows(sum_of_games([job.result() for job in guessed]))
    tallies = [job.result() for job in sampled]
    rows += noise.rows(sum((tally for tally, _ in tallies), Counter()), sum(different for _, different in tallies))
    games = [job.result() for job in linked]
    fitting, pairs = sum(part[1] for part in games), sum(part[2] for part in games)
    rows += tokens.rows(sum_of_games([part[0] for part in games]), fitting, pairs)
    for job in whole:
        rows += job.result()
    return rows + exhaustion.run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--least", action="store_true", help="only one attack, at small size")
    least = parser.parse_args().least
    start = time.monotonic()
    with ProcessPoolExecutor() as pool:
        rows = wires.run(0.05) if least else everything(pool)
    return 0 if publish("attacks", "make test-attacks", rows, time.monotonic() - start, whole=not least) else 1


if __name__ == "__main__":
    sys.exit(main())
