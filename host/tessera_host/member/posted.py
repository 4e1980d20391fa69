"""What relays took and may still have: parts that are sent again if IT puts another relay into one's place, or none.

Owns how long a part is kept, and that it goes back into the outbox once, in its order. What is in the outbox is
`outbox`'s business, what is safe `copies`'. A recipient drops what it has already (PROTOCOL §7), so that sending again
costs a record and loses nothing.
"""

from .copies import Copies
from .schema import Outgoing


class PostedParts:
    """A view of the keystore's list of parts that are on all relays that are to have them, oldest first."""

    def __init__(self, items: list[Outgoing], outbox: list[Outgoing], copies: Copies) -> None:
        self._items = items
        self._outbox = outbox
        self._copies = copies

    def forget_before(self, round_: int) -> list[Outgoing]:
        """Forget the parts of earlier rounds, which no relay keeps any more, and return those that were never on all
        their relays. A part that was posted was there for as long as any relay keeps one; it is not brought to a relay
        that was away all that time."""
        given_up = [each for each in self._outbox if each.places and all(p.round < round_ for p in each.places)]
        for items in (self._items, self._outbox):
            items[:] = [each for each in items if not each.places or any(p.round >= round_ for p in each.places)]
        return given_up

    def settle(self) -> bool:
        """Forget the places that are gone, and tell whether anything changed. Parts that are not safe without those
        places go back into the outbox, before all that waits; parts that need no more copies leave the outbox."""
        at, lost = self._copies.at(), set[int]()
        for each in (*self._items, *self._outbox):
            alive = at.alive(each)
            if len(alive) < len(each.places):
                each.places = alive
                lost.add(id(each))
        back = [each for each in self._items if id(each) in lost and not at.is_safe(each)]
        done = [each for each in self._outbox if each.places and at.is_safe(each)]
        if back or done:
            moved = {id(each) for each in (*back, *done)}
            self._items[:] = [*(each for each in self._items if id(each) not in moved), *done]
            self._outbox[:] = _in_order([*back, *(each for each in self._outbox if id(each) not in moved)])
        return bool(lost or done)

    def take_new_keys(self, contact: str) -> list[Outgoing]:
        """Nobody opens any more what this contact was sent under the keys before. A message that was posted whole has
        left under those, perhaps it was read: it is not sent again. Of one that was not, nothing was shown: all of it
        is. Gives the parts that were not on all relays yet, and do not wait for that any longer."""
        here, there = self._of(self._items, contact), self._of(self._outbox, contact)
        unfinished = {each.part.message for each in there if not each.places}
        again = [each for each in here if each.part.message in unfinished]
        given_up = [each for each in there if each.part.message not in unfinished]
        for each in (*again, *there):
            each.places = []
        gone = {id(each) for each in here}
        gone |= {id(each) for each in there if each.part.message not in unfinished}
        self._items[:] = [each for each in self._items if id(each) not in gone]
        self._outbox[:] = _in_order([*again, *(each for each in self._outbox if id(each) not in gone)])
        return given_up

    def _of(self, items: list[Outgoing], contact: str) -> list[Outgoing]:
        return [each for each in items if each.contact == contact]

    def drop(self, contact: str) -> None:
        """Forget what was sent to a contact."""
        self._items[:] = [each for each in self._items if each.contact != contact]

    def rename(self, old: str, new: str) -> None:
        """Follow a contact's new name."""
        for each in self._items:
            if each.contact == old:
                each.contact = new


def _in_order(items: list[Outgoing]) -> list[Outgoing]:
    """The parts for each contact by their numbers, in the places that there are for this contact."""
    sorted_ = {
        contact: iter(sorted((each for each in items if each.contact == contact), key=_number))
        for contact in {each.contact for each in items}
    }
    return [next(sorted_[each.contact]) for each in items]


def _number(item: Outgoing) -> tuple[int, int]:
    return item.part.message, item.part.part
