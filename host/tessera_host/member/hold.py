"""The hold on sending after a backup was restored (PROTOCOL §7): no key of an epoch is used that may have been used.

Owns when it ends.
"""

from ..clock import local_time
from ..errors import NotPermitted
from ..protocol.federation import CLOCK_ROUNDS, Federation
from .schema import HoldState

# Of two relays one may be a round back and one ahead of this computer's clock.
RELAYS_APART_ROUNDS = 2 * CLOCK_ROUNDS


class Hold:
    """A view of the keystore's hold; None for a member that never restored a backup."""

    def __init__(self, state: HoldState | None, federation: Federation) -> None:
        self._state = state
        self._federation = federation

    def clock_confirmed(self, open_round: int) -> None:
        """Note that a relay's open round agrees with this computer's clock. The first time after a restore, this sets
        the end of the hold."""
        if self._state and self._state.epoch is None:
            self._state.epoch = self._federation.epoch_of(open_round + RELAYS_APART_ROUNDS) + 1

    def ends_at(self) -> int | None:
        """Compute when the hold ends (unix seconds; in the past if there is no hold); None if no relay was reached
        since the restore."""
        if not self._state:
            return 0
        epoch = self._state.epoch
        if epoch is None:
            return None
        return self._federation.round_start(self._federation.first_round(epoch))

    def earliest(self, now: int) -> int:
        """Compute when the hold ends (unix seconds) if a relay is reached right away."""
        following = self._federation.epoch_of(self._federation.round_at(now) + RELAYS_APART_ROUNDS) + 1
        return self._federation.round_start(self._federation.first_round(following))

    def check(self, epoch: int) -> None:
        """Check that one may send in this epoch. Raises NotPermitted if the lost computer may have sent in it."""
        end = self._state.epoch if self._state else 0
        if end is None or epoch < end:
            since = self.ends_at()
            raise NotPermitted(
                "this keystore was restored from a backup: nothing can be sent before "
                + ("a relay is reached" if since is None else local_time(since)),
                "the lost computer may have used the keys until then; you can read meanwhile",
            )
