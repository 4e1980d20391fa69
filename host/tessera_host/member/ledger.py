"""The client's ledger: one record of this member's at most in a cell, which is a relay, a bucket and a round.

Owns which cells may have one already. An office's promise of a member's day is computed for single records (PROTOCOL
§8): several in one cell would be worth far more than their number, and a relay sees tokens, not members, so that only
the member can count. What is taken is durable before the record is sent, whatever becomes of that: it may be in the
round that the relay named or, if that was sealed on its way, in the next.
"""

from .schema import Cell


class Ledger:
    """A view of the keystore's list of cells: of each bucket of a relay, the last round that may have a record."""

    def __init__(self, cells: list[Cell]) -> None:
        self._cells = cells

    def free_from(self, relay: int, bucket: int) -> int:
        """Find the first round that has no record of this member for this bucket of the relay of this number."""
        return max((cell.last + 1 for cell in self._cells if (cell.relay, cell.bucket) == (relay, bucket)), default=0)

    def take(self, relay: int, bucket: int, open_round: int) -> None:
        """Note that a record is about to leave while this round is open. Save the state before it does."""
        self._set(relay, bucket, max(self.free_from(relay, bucket) - 1, open_round + 1))

    def acknowledged(self, relay: int, bucket: int, open_round: int, round_: int) -> None:
        """Note that the relay has the record in `round_`; it left while `open_round` was open."""
        self._set(relay, bucket, max(open_round, round_))

    def _set(self, relay: int, bucket: int, last: int) -> None:
        others = [cell for cell in self._cells if (cell.relay, cell.bucket) != (relay, bucket)]
        self._cells[:] = [*(cell for cell in others if cell.last >= last - _KEPT_ROUNDS), Cell(relay, bucket, last)]


_KEPT_ROUNDS = 8  # relays' clocks are a round or two apart; what is older says nothing any more
