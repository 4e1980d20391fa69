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


def next_post(member: MemberState, relay: int, rng: random.Random) -> Wait:
    """Compute how long the next record for the relay of this number has to wait."""
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
    return Wait(member.federation.round_start(free) - now + a_round(member, rng), ROUND)


def earliest(member: MemberState) -> int:
    """Compute the unix time from which something that waits may leave, as far as rounds and a restored backup are
    concerned. The day's budget is asked for apart, because its sum takes time."""
    held = member.hold.ends_at()
    end = member.hold.earliest(member.now()) if held is None else held
    rounds = [_free_round(member, relay) for relay in member.outbox.relays()]
    free = min(rounds, default=member.round())
    return max(member.now(), end, member.federation.round_start(free))


def earliest_of_the_day(member: MemberState) -> Callable[[], int | None]:
    """Prepare the same with the day's budget and each relay's share of it: the result is None if nothing may ever
    leave. Everything that it needs of the member is read now, so another thread may compute the sum."""
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


def cell_taken(member: MemberState, rng: random.Random) -> Wait:
    """Wait for a random part of a round, because the round before is still open at a relay whose clock is a little
    behind."""
    return Wait(a_round(member, rng), ROUND)


def a_round(member: MemberState, rng: random.Random) -> float:
    """Draw a random part of a round, in seconds."""
    return rng.random() * float(member.federation.newest.round_seconds)


def _free_round(member: MemberState, relay: int) -> int:
    """The first round, from the open one on, in which a record of ours may go there."""
    copied = member.federation.copies(member.epoch()) > 1  # the copies of a part leave side by side
    here = member.round() + member.accountant.posted_in_this_round(member.now(), relay if copied else None)
    buckets = member.federation.governing(member.epoch()).buckets
    mailboxes = {member.contacts.get(item.contact).mailbox for item in member.outbox.waiting(relay)}
    cells = [member.ledger.free_from(relay, records.bucket_of(mailbox, buckets)) for mailbox in mailboxes]
    return max(here, min(cells, default=here))


def next_epoch(member: MemberState, rng: random.Random) -> Wait:
    """Wait for a random moment of the first round of the next epoch, for those who do not want to use access in the
    epoch in which it was fetched."""
    following = member.federation.round_start(member.federation.first_round(member.epoch() + 1))
    return Wait(following - member.now() + rng.random() * member.federation.newest.round_seconds, EPOCH)
