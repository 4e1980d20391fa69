"""What relays took and may still have: the parts that are sent again if IT puts another relay into one's place.

Owns how long a part is kept, and that it goes back into the outbox once. What is in the outbox is `outbox`'s business.
A recipient drops what it has already (PROTOCOL §7), so that sending again costs a record and loses nothing.
"""

from collections.abc import Callable

from .schema import Outgoing, PostedPart


class PostedParts:
    """A view of the keystore's list of parts that a relay acknowledged, oldest first."""

    def __init__(self, items: list[PostedPart], outbox: list[Outgoing]) -> None:
        self._items = items
        self._outbox = outbox

    def add(self, item: Outgoing, relay: bytes, round_: int) -> None:
        """The relay of this static key has the part in this round."""
        item.sealed = None
        self._items.append(PostedPart(item, relay, round_))

    def forget_before(self, round_: int) -> None:
        """No relay has anything of earlier rounds any more."""
        self._items[:] = [each for each in self._items if each.round >= round_]

    def send_again(self, present: Callable[[str], bytes | None]) -> int:
        """Put the parts back whose relay was replaced, before all that waits: how many. present: the static key of the
        relay that a contact is on now, None if it is on none."""
        gone = [each for each in self._items if present(each.item.contact) not in (None, each.relay)]
        self._items[:] = [each for each in self._items if each not in gone]
        self._outbox[:0] = [each.item for each in gone]
        return len(gone)

    def drop(self, contact: str) -> None:
        """Forget what was sent to a contact."""
        self._items[:] = [each for each in self._items if each.item.contact != contact]

    def rename(self, old: str, new: str) -> None:
        for each in self._items:
            if each.item.contact == old:
                each.item.contact = new
