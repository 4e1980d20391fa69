"""When the next record may leave: one a round, at a random moment of it, and as many a day as the accountant allows.

Owns that moment for whoever posts by hand; the steady agent (`engine`) has slots of its own. A burst of records in one
round shows everyone on the network how long a message is; `at_once` does that for those who ask for it.
"""

import random
from dataclasses import dataclass

from .state import MemberState

ROUND, DAY, EPOCH = "round", "day", "epoch"


@dataclass(frozen=True)
class Wait:
    """Seconds until the next record may leave, 0 for now, and what is waited for: the next "round", the next "epoch",
    or the "day" whose budget is used up (None seconds if it never suffices)."""

    seconds: float | None = 0.0
    reason: str = ""


def next_post(member: MemberState, at_once: bool, dice: random.Random) -> Wait:
    now = member.now()
    budget = member.accountant.budget(now)
    if budget.next_at is None:
        return Wait(None, DAY)
    if budget.next_at > now:
        return Wait(budget.next_at - now, DAY)
    if at_once or not member.accountant.posted_in_this_round(now):
        return Wait()
    following = member.federation.round_start(member.round() + 1)
    return Wait(following - now + dice.random() * member.federation.newest.round_seconds, ROUND)


def next_epoch(member: MemberState, dice: random.Random) -> Wait:
    """For who does not want to use access of the epoch in which it was fetched: a random moment of the next epoch's
    first round."""
    following = member.federation.round_start(member.federation.first_round(member.epoch() + 1))
    return Wait(following - member.now() + dice.random() * member.federation.newest.round_seconds, EPOCH)
