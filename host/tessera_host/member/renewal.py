"""When a member's program goes to the issuer: at a random moment of the epoch after the last visit, or at once without
what one needs to talk.

Owns that moment, which is kept with the member: commands that end at once share it with the agent. The visit is
issuer_visit.py's.

The moment is drawn without regard to anything that the member does. One that kept away from the member's own posts
would tell an issuer and a relay who compare notes that whoever renewed at the time of a post did not post it. When a
relay has a set whose card did not come, which may put copies elsewhere, the visit is at some moment before it governs:
everybody hears of a set at the same time, as everybody reads every round.
"""

import random

from ..errors import NotOnRoster, TesseraError
from . import news
from .issuer_visit import VisitReport, visit
from .state import MemberState

LEAST_WAIT_SECONDS = 30.0  # after a visit that failed; twice as long after each that follows
LAST_PART = 4  # and no longer than this part of an epoch
OUTDATED = (
    "Your office has newer settings than your program. Until your program has them, it may write to "
    "the wrong relays. Ask IT for your file, then type: tessera renew FILE"
)
HASTENED_PART = 24  # of an epoch: no visit that a relay caused comes sooner after another, nor is drawn from less


class Renewal:
    """The visits of one member to the issuer. Hold its keystore meanwhile, except for `hasten`."""

    def __init__(self, member: MemberState, rng: random.Random | None = None) -> None:
        self._member = member
        self._rng = rng or random.SystemRandom()
        self._hastened = False

    def due_at(self) -> float | None:
        """Compute the unix time of the next visit to the issuer, perhaps past; None if the issuer is not on a
        network."""
        if not self.is_possible():
            return None
        due = self._drawn()
        return float(min(due, self._member.now()) if self._hurries() or self.is_urgent() else due)

    def _drawn(self) -> int:
        """The moment that stands. Once for each set that came without its card there is one before that governs."""
        member, kept = self._member, self._member.data.renewal
        now, due, before = member.now(), kept.due, (kept.due, kept.heard)
        if due is None:
            due = int(self._rng.uniform(now, now + self._epoch_seconds()))
        if lacks_a_card(member) and member.federation.heard_of.serial > kept.heard:
            following = member.federation.round_start(member.federation.first_round(member.epoch() + 1))
            end = max(following, now + self._epoch_seconds() // HASTENED_PART)
            due, kept.heard = min(due, int(self._rng.uniform(now, end))), int(member.federation.heard_of.serial)
        kept.due = due
        if (kept.due, kept.heard) != before:
            member.save()
        return due

    def hasten(self) -> None:
        """Make a visit due, unless there was one just now: a relay did not accept what the member has."""
        self._hastened = True

    def _hurries(self) -> bool:
        kept, pause = self._member.data.renewal, self._epoch_seconds() / HASTENED_PART
        return self._hastened and not kept.failures and (kept.visited or 0) + pause <= self._member.now()

    def is_possible(self) -> bool:
        """Tell whether the office's issuer is on a network."""
        return self._member.federation.issuer is not None

    def is_outdated(self) -> bool:
        """Tell whether a relay has a newer set whose card only IT can give, because the issuer is not on a network."""
        return lacks_a_card(self._member) and not self.is_possible()

    def is_due(self) -> bool:
        """Tell whether a visit is due now."""
        due = self.due_at()
        return due is not None and due <= self._member.now()

    def is_urgent(self) -> bool:
        """Tell whether there is no token, or no reading key, for the open epoch, and no visit of this epoch has shown
        that none can be had."""
        member, kept = self._member, self._member.data.renewal
        epoch = member.epoch()
        if kept.visited is not None and member.federation.epoch_of(member.federation.round_at(kept.visited)) == epoch:
            return False
        if kept.failures and kept.due is not None and kept.due > member.now():
            return False
        return lacks(member, epoch)

    async def run(self) -> VisitReport:
        """Visit the issuer. A failed visit is repeated soon, then later and later; a member whom the issuer does not
        know comes again in an epoch. Raises what failed."""
        try:
            report = await visit(self._member)
        except NotOnRoster:
            self.answered()
            raise
        except TesseraError:
            self._failed()
            raise
        self.answered()
        if report.later:
            self._member.data.renewal.due = self._member.now() + report.later.retry_after + self._jitter()
        self._member.save()
        return report

    def answered(self) -> None:
        """Note that the issuer was visited just now: the next visit is at a random moment of the epoch from here on."""
        kept, now = self._member.data.renewal, self._member.now()
        kept.visited, kept.failures, self._hastened = now, 0, False
        kept.due = int(self._rng.uniform(now, now + self._epoch_seconds()))
        self._member.save()

    def _failed(self) -> None:
        kept = self._member.data.renewal
        most = min(self._epoch_seconds() / LAST_PART, LEAST_WAIT_SECONDS * 2.0**kept.failures)
        kept.failures += 1
        kept.due = self._member.now() + int(max(LEAST_WAIT_SECONDS, self._rng.uniform(most / 2, most)))
        self._member.save()

    def _jitter(self) -> int:
        return int(self._rng.uniform(0, LEAST_WAIT_SECONDS))

    def _epoch_seconds(self) -> int:
        return news.epoch_seconds(self._member.federation)


def lacks_a_card(member: MemberState) -> bool:
    """Tell whether a relay has a newer set than that of the newest card."""
    return bool(member.federation.heard_of.serial > member.federation.newest.serial)


def lacks(member: MemberState, epoch: int) -> bool:
    """Tell whether this member lacks what it needs to write or to read in an epoch."""
    governing = member.federation.governing(epoch)
    return not member.wallet.for_epoch(epoch) or member.federation.reading_key(governing) is None
