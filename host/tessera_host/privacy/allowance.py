"""How many messages of one part a member's program lets leave in any 24 hours: one number, whoever names it.

Owns what bounds it: the office's budget for a member's day, the posts that the tokens have, a round for each record.
Counting what has left is `accountant`'s business, what records reveal together `composition`'s.
"""

from fractions import Fraction

from ..duration import DAY_SECONDS
from . import composition


def by_tokens(tokens_per_epoch: int, posts_per_token: int, epoch_seconds: int) -> int:
    """Posts on the tokens of a day; of an epoch that is longer than a day, all of them may be used in one."""
    return tokens_per_epoch * posts_per_token * max(DAY_SECONDS, epoch_seconds) // epoch_seconds


def by_rounds(tokens: int, round_seconds: int) -> int:
    """What no privacy limits: `tokens` is what `by_tokens` gives, and in a round one record leaves."""
    return min(tokens, DAY_SECONDS // round_seconds)


def of_a_day(
    thresholds: tuple[int, ...], budget: tuple[Fraction, Fraction], tokens: int, round_seconds: int, copies: int
) -> int:
    """Of an office with this noise table, none (constant batches, which reveal nothing) if it is empty; `budget` is
    the (ε, δ) of a day. Each of a record's `copies`, on as many relays, is a delivery."""
    most = by_rounds(tokens, round_seconds)
    return min(composition.deliveries_within(thresholds, *budget) // copies, most) if thresholds else most
