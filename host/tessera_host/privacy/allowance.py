"""How many records of one part a member's program lets leave in any 24 hours: one number, whoever names it.

Owns what bounds it: the office's budget for a member's day, the posts that the tokens have, a round for each record.
Counting what has left is `accountant`'s business.
"""

from fractions import Fraction

from ..duration import DAY_SECONDS
from . import composition


def by_tokens(tokens_per_epoch: int, posts_per_token: int, epoch_seconds: int) -> int:
    """Posts on the tokens of a day; of an epoch that is longer than a day, all of them may be used in one."""
    return tokens_per_epoch * posts_per_token * max(DAY_SECONDS, epoch_seconds) // epoch_seconds


def of_a_day(
    delivery: tuple[Fraction, Fraction], budget: tuple[Fraction, Fraction], tokens: int, round_seconds: int
) -> int:
    """`delivery` and `budget` are (ε, δ) of one delivery and of a day; `tokens` is what `by_tokens` gives."""
    return min(composition.deliveries_within(*delivery, *budget), tokens, DAY_SECONDS // round_seconds)
