"""How many messages of one part a member's program sends in any 24 hours at most. All programs and reports take the
number from here.

Owns its three bounds: the office's privacy budget for a member's day, the posts of the tokens, and one record in each
round. `accountant` counts what was sent; `composition` computes what records reveal together.
"""

from fractions import Fraction

from ..duration import DAY_SECONDS
from . import composition


def by_tokens(tokens_per_epoch: int, posts_per_token: int, epoch_seconds: int) -> int:
    """How many posts the tokens of a day have. If an epoch is longer than a day, all its posts may be used in one."""
    return tokens_per_epoch * posts_per_token * max(DAY_SECONDS, epoch_seconds) // epoch_seconds


def by_rounds(tokens: int, round_seconds: int) -> int:
    """The limit without privacy: one record leaves in each round. tokens: the result of by_tokens()."""
    return min(tokens, DAY_SECONDS // round_seconds)


def of_a_day(
    thresholds: tuple[int, ...], budget: tuple[Fraction, Fraction], tokens: int, round_seconds: int, copies: int
) -> int:
    """The number of messages for an office with this noise table.

    thresholds: empty for constant batches, which reveal nothing. budget: the (ε, δ) of a day. copies: of each record,
    on as many relays; each is a delivery.
    """
    most = by_rounds(tokens, round_seconds)
    return min(composition.deliveries_within(thresholds, *budget) // copies, most) if thresholds else most
