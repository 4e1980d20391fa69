"""When the next record may leave: one a round, at a random moment of it, and as many a day as the accountant allows.

Owns that moment for whoever posts by hand; the steady agent (`engine`) has slots of its own. A burst of records in one
round would show everyone on the network how long a message is.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol import records
from .accountant import share_at
from .state import MemberState

ROUND, DAY, EPOCH = "round", "day", "epoch"


@dataclass(frozen=True)
class Wait:
    """Seconds until the next record may leave, 0 for now, and what is waited for: the next "round", the next "epoch",
    or the "day" whose budget is used up (None seconds if it never suffices)."""

    seconds: float | None = 0.0
    reason: str = ""


def next_post(member: MemberState, relay: int, dice: random.Random) -> Wait:
    """For the relay of this number."""
    now = member.now()
    budget = member.accountant.budget(now)
    if budget.next_at is None:
        return Wait(None, DAY)
    following = max(budget.next_at, member.accountant.share_at(budget, now, relay))
    if following > now:
        return Wait(following - now, DAY)
    free = _free_round(member, relay)
    if free <= member.round():
        return Wait()
    return Wait(member.federation.round_start(free) - now + a_round(member, dice), ROUND)


def earliest(member: MemberState) -> int:
    """Unix seconds from which something that waits may leave, as far as rounds and a restored backup are concerned:
    now, or later. The day's budget is asked for apart: its sum takes time."""
    held = member.hold.ends_at()
    end = member.hold.earliest(member.now()) if held is None else held
    rounds = [_free_round(member, relay) for relay in member.outbox.relays()]
    free = min(rounds, default=member.round())
    return max(member.now(), end, member.federation.round_start(free))


def earliest_of_the_day(member: MemberState) -> Callable[[], int | None]:
    """Asks for the same, with the day's budget, and what a relay may have of it; None if never. All that it takes from
    the member is taken now: the sum may be done in another thread."""
    now, at_all, weigh = member.now(), earliest(member), member.accountant.weighed(member.now())
    start, times = member.federation.round_start, member.accountant.times
    relays = [(start(_free_round(member, relay)), times(relay)) for relay in member.outbox.relays()]

    def asked() -> int | None:
        budget = weigh()
        if budget.next_at is None:
            return None
        moments = (max(free, share_at(budget, now, spent)) for free, spent in relays)
        return max(at_all, budget.next_at, min(moments, default=at_all))

    return asked


def cell_taken(member: MemberState, dice: random.Random) -> Wait:
    """By a relay whose clock is a little behind this computer's the round before is open still."""
    return Wait(a_round(member, dice), ROUND)


def a_round(member: MemberState, dice: random.Random) -> float:
    """Any part of one, in seconds."""
    return dice.random() * float(member.federation.newest.round_seconds)


def _free_round(member: MemberState, relay: int) -> int:
    """The first round, from the open one on, in which a record of ours may go there."""
    copied = member.federation.copies(member.epoch()) > 1  # the copies of a part leave side by side
    here = member.round() + member.accountant.posted_in_this_round(member.now(), relay if copied else None)
    buckets = member.federation.governing(member.epoch()).buckets
    mailboxes = {member.contacts.get(item.contact).mailbox for item in member.outbox.waiting(relay)}
    cells = [member.ledger.free_from(relay, records.bucket_of(mailbox, buckets)) for mailbox in mailboxes]
    return max(here, min(cells, default=here))


def next_epoch(member: MemberState, dice: random.Random) -> Wait:
    """For who does not want to use access of the epoch in which it was fetched: a random moment of the next epoch's
    first round."""
    following = member.federation.round_start(member.federation.first_round(member.epoch() + 1))
    return Wait(following - member.now() + dice.random() * member.federation.newest.round_seconds, EPOCH)
