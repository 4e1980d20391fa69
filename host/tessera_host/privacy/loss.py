"""How a published count, or a privacy loss, changes the probability of a suspicion.

Leaves to others: the composition of several deliveries, the noise table (noise.py).
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from . import noise


def posterior(prior: float, loss: float) -> float:
    """The probability of a suspicion after a loss, from the probability before. With ε as the loss it is the highest
    possible one, except with probability δ."""
    if loss < 0:
        odds = prior / (1 - prior) * math.exp(loss)
        return odds / (1 + odds)
    return 1 / (1 + (1 - prior) / prior * math.exp(-loss))


def losses_by_count(thresholds: Sequence[int]) -> list[float]:
    """For each count 0 … n + 1 that can be published: ln(P(count | one more record) / P(count)); ±inf at the ends."""
    padded = [0, *noise.weights(list(thresholds)), 0]
    return [_ratio(before, here) for before, here in pairwise(padded)]


def _ratio(with_record: int, without: int) -> float:
    if not with_record:
        return -math.inf
    return math.log(with_record) - math.log(without) if without else math.inf
