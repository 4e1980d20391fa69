"""The noise itself. The relay's own sampler against an independent one (hmac, integers and bisection of the standard
library) in every cell, and its distribution against the exact probabilities of the table (chi-square; the key is
fixed, so the outcome is, too).
"""

import hmac
from bisect import bisect_right
from collections import Counter

import scipy

from check import unhex, vectors
from tessera.cover import EpochCover
from tests.attacks.counting import weights
from tests.results import Row

TABLE = 2
KEY = b"a cover key of thirty-two bytes."
BUCKETS = 128
SMALLEST_CLASS = 20  # expected; rarer counts are put together


def play(first_round: int, cells: int) -> tuple[Counter[int], int]:
    """(how often each count came, cells in which the independent sampler says something else)"""
    thresholds = vectors("noise_table")[TABLE]["thresholds"]
    integers = [int(each, 16) for each in thresholds]
    cover = EpochCover(KEY, unhex("".join(thresholds)))
    counts, different = Counter[int](), 0
    for cell in range(cells):
        bucket, round_ = cell % BUCKETS, first_round + cell // BUCKETS
        noise = cover.noise(bucket, round_)
        draw = hmac.digest(KEY, b"noise" + bucket.to_bytes(2, "big") + round_.to_bytes(4, "big"), "sha256")[:8]
        different += noise != bisect_right(integers, int.from_bytes(draw, "big"))
        counts[noise] += 1
    return counts, different


def chi_square(counts: Counter[int]) -> float:
    """p of the counts under the table."""
    probability = weights(vectors("noise_table")[TABLE]["thresholds"])
    total = sum(counts.values())
    observed, expected = [0.0], [0.0]
    for count, weight in enumerate(probability):
        observed[-1] += counts[count]
        expected[-1] += total * (weight / 2**64)
        if expected[-1] >= SMALLEST_CLASS:
            observed.append(0.0)
            expected.append(0.0)
    observed[-2] += observed.pop()
    expected[-2] += expected.pop()
    scale = sum(observed) / sum(expected)
    return float(scipy.stats.chisquare(observed, [each * scale for each in expected]).pvalue)


def rows(counts: Counter[int], different: int) -> list[Row]:
    cells, p = sum(counts.values()), chi_square(counts)
    return [
        Row("noise of cells against an independent sampler", f"{different} of {cells:,} differ", "0", different == 0),
        Row("distribution of the noise, chi-square", f"p = {p:.3f} over {cells:,} cells", "p > 0.001", p > 0.001),
    ]
