"""What a published count, or a loss, does to a suspicion.

Leaves to others: what several deliveries add up to, the table (noise.py).
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from . import noise


def posterior(prior: float, loss: float) -> float:
    """What a suspicion of this probability becomes under a loss; under ε it is the most it can become, up to δ."""
    if loss < 0:
        odds = prior / (1 - prior) * math.exp(loss)
        return odds / (1 + odds)
    return 1 / (1 + (1 - prior) / prior * math.exp(-loss))


def losses_by_count(thresholds: Sequence[int]) -> list[float]:
    """For each count 0 … n + 1 that can be published: ln P(count | a record more) / P(count); ±inf at the ends."""
    padded = [0, *noise.weights(list(thresholds)), 0]
    return [_ratio(before, here) for before, here in pairwise(padded)]


def _ratio(with_record: int, without: int) -> float:
    if not with_record:
        return -math.inf
    return math.log(with_record) - math.log(without) if without else math.inf
