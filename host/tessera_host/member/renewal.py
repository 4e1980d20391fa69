"""When a member's program goes to the issuer for the next epoch's tokens: once an epoch, at a random moment.

Owns that moment. The visit is issuer_visit.py's.

The moment is uniform over what is left of the epoch when the program first looks, less a tenth at the end for further
attempts, and is drawn without regard to anything that the member does. One that kept away from the member's own posts
would tell an issuer and a relay who compare notes that whoever renewed at the time of a post did not post it.
"""

import random

from ..errors import NotOnRoster, TesseraError
from .issuer_visit import VisitReport, visit
from .state import MemberState

LAST_PART = 10  # the last tenth of an epoch is for what failed before
LEAST_WAIT_SECONDS = 30.0


class Renewal:
    """Renews the tokens of one member. `due_at` may be asked while the keystore is another's; `run` needs it held."""

    def __init__(self, member: MemberState, dice: random.Random | None = None) -> None:
        self._member = member
        self._dice = dice or random.SystemRandom()
        self._epoch: int | None = None
        self._at: float | None = None

    def due_at(self) -> float | None:
        """The moment (unix seconds) of this epoch's visit to the issuer. None if none is to come: ask again in the next
        epoch."""
        member = self._member
        if member.federation.issuer is None:
            return None
        if self._epoch != member.epoch():
            self._epoch = member.epoch()
            now, end = float(member.now()), self._end()
            self._at = self._dice.uniform(now, max(now, end - self._epoch_seconds() / LAST_PART))
        return self._at

    async def run(self) -> VisitReport:
        """Make the visit. If it fails for now there is another moment in this epoch, later and later; if the issuer
        says no there is none. Raises what failed."""
        self._epoch = self._member.epoch()
        try:
            report = await visit(self._member)
        except NotOnRoster:
            self._at = None
            raise
        except TesseraError:
            self._at = self._later(0)
            raise
        self._at = self._later(report.later.retry_after) if report.later else None
        return report

    def _later(self, least_seconds: float) -> float | None:
        """Somewhere in the first half of what is left of the epoch; None if hardly anything is."""
        earliest = self._member.now() + max(least_seconds, LEAST_WAIT_SECONDS)
        left = self._end() - earliest
        return self._dice.uniform(earliest, earliest + left / 2) if left > 0 else None

    def _end(self) -> float:
        federation = self._member.federation
        return float(federation.round_start(federation.first_round(self._member.epoch() + 1)))

    def _epoch_seconds(self) -> int:
        newest = self._member.federation.newest
        return newest.epoch_rounds * newest.round_seconds
