"""How far a member's bucket was read at each of its relays (PROTOCOL §7, §12).

Owns which relays are read and up to which round: all that have the mailbox in an epoch that is kept, each from the
first epoch in which it has to the last one, whatever the others do. One that took another's place under the same number
has nothing of what that had, and perhaps posts of rounds that were read from that already: it is read from the first
epoch on in which it can have taken any.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import RelayRefused
from ..protocol.federation import CLOCK_ROUNDS, Federation, Relay
from .schema import InboxState, Pointer


@dataclass(frozen=True)
class _Read:
    """A relay that has the mailbox in an epoch that is kept: the first and the last of them."""

    relay: Relay
    first: int
    last: int


class Pointers:
    """A view of the keystore's pointers by the relays' numbers."""

    def __init__(self, state: InboxState, federation: Federation, mailbox: bytes) -> None:
        self._state = state
        self._federation = federation
        self._mailbox = mailbox
        self._own_round = 0
        self._read: dict[int, _Read] = {}  # in the mailbox's order

    def __getitem__(self, relay: int) -> Pointer:
        """Raises RelayRefused for a relay that was being read when the last epoch in which it is was kept no more."""
        if relay not in self._state.pointers:
            raise RelayRefused("this relay no longer keeps anything for you", "nothing to do: it is not asked again")
        return self._state.pointers[relay]

    def __contains__(self, relay: int) -> bool:
        return relay in self._state.pointers

    def look(self, own_round: int) -> set[int]:
        """Find which relays to read in this round of this computer's clock, and return the numbers of those that took
        another's place since the last call. Call it before anything else."""
        self._own_round = own_round
        self._read = self._reads(self._kept_epochs(own_round))
        for id_, read in self._read.items():
            self._state.pointers.setdefault(id_, Pointer(self._start(read), read.relay.key))
        for id_ in self._state.pointers.keys() - self._read.keys():
            del self._state.pointers[id_]
        return {id_ for id_, read in self._read.items() if self._is_replaced(self[id_], read.relay)}

    def _reads(self, kept: range) -> dict[int, _Read]:
        federation = self._federation
        orders = {epoch: federation.relays_read(self._mailbox, federation.home_id, epoch) for epoch in reversed(kept)}
        found = {}
        for id_ in dict.fromkeys(id_ for order in orders.values() for id_ in order):
            epochs = [epoch for epoch, order in orders.items() if id_ in order]
            relay = federation.relay_known(id_)
            if relay is not None:
                found[id_] = _Read(relay, min(epochs), max(epochs))
        return found

    def _kept_epochs(self, own_round: int) -> range:
        """A relay's clock may be a round behind."""
        federation = self._federation
        first = federation.first_kept(max(0, own_round - CLOCK_ROUNDS))
        return range(federation.epoch_of(first), federation.epoch_of(own_round) + 1)

    def _start(self, read: _Read) -> int:
        joined = read.first if read.first > self._kept_epochs(self._own_round).start else 0
        return max(self._state.first_round, self._federation.first_round(joined))

    def _is_replaced(self, pointer: Pointer, relay: Relay) -> bool:
        if pointer.key == relay.key:
            return False
        listing = [known.first_epoch for known in self._federation.sets if known.relay_with(relay.key)]
        pointer.next_round = min(pointer.next_round, self._federation.first_round(min(listing)))
        pointer.key = relay.key
        return True

    # -- what is to be read

    def relays(self) -> list[int]:
        """List the numbers of all relays that may still have something for this member; before the first look, of all
        known ones."""
        return [id_ for id_ in self._read or self._state.pointers if not self._is_done(id_)]

    def to_read(self) -> list[Relay]:
        """List the relays to read in this round, in order: first those that have the mailbox now, then those that had
        it and were not read to the end of that."""
        return [self._read[id_].relay for id_ in self.relays()]

    def is_current(self, relay: int) -> bool:
        """Tell whether the relay has the mailbox in the open epoch."""
        return relay not in self._read or self._read[relay].last == self._federation.epoch_of(self._own_round)

    def end(self, relay: int, open_round: int) -> int:
        """Compute up to which round to read a relay whose open round this is."""
        if self.is_current(relay):
            return open_round
        return min(open_round, self._federation.first_round(self._read[relay].last + 1))

    def _is_done(self, relay: int) -> bool:
        if self.is_current(relay):
            return False
        return self[relay].next_round >= self._federation.first_round(self._read[relay].last + 1)

    # -- where it was left

    @property
    def next_round(self) -> int:
        """The first round that was not read at every relay."""
        return min((self[id_].next_round for id_ in self.relays()), default=self._state.first_round)

    @property
    def reached(self) -> int:
        """The first round that was read at no relay."""
        return max((self[id_].next_round for id_ in self.relays()), default=self._state.first_round)

    def was_read(self, relay: int, round_: int) -> None:
        """Note that a round of this relay was read."""
        if pointer := self._state.pointers.get(relay):  # else it is none of this mailbox's any more
            pointer.next_round, pointer.answered = round_ + 1, self._own_round

    def go_back_to(self, round_: int, relays: Iterable[int] | None = None) -> None:
        """Read again from this round, at the relays of these numbers or at all."""
        for id_ in self._state.pointers if relays is None else relays:
            self[id_].next_round = max(0, min(self[id_].next_round, round_))
        if relays is None:
            self._state.first_round = max(0, min(self._state.first_round, round_))

    def expire(self, first_kept: int) -> int:
        """Skip the rounds that no relay keeps any more, and count those that were read at no relay."""
        expired = max(0, first_kept - self.reached)
        for pointer in self._state.pointers.values():
            pointer.next_round = max(pointer.next_round, first_kept)
        return expired

    def unread_epoch(self, own_round: int) -> int:
        """Find the first epoch that some relay was not read to the end of and still keeps; the open one, by this
        computer's clock, if no earlier epoch is such."""
        federation, kept = self._federation, self._kept_epochs(own_round)
        for epoch in kept[:-1]:
            end = federation.first_round(epoch + 1)
            if any(self[id_].next_round < end for id_, read in self._read.items() if read.first <= epoch <= read.last):
                return epoch
        return kept[-1]
