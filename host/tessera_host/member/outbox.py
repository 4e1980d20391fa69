"""What waits to be sent (PROTOCOL §7): parts in order, each sealed just before it is posted, under an index of its own.

Owns the order, the message numbers and the rule that an index serves one attempt. A part that carries a seal when it
is looked at again was on its way when something went wrong: nobody knows whether the relay has it. It is sealed anew,
and the last part of a message is then signed anew; the recipient drops the second copy. So it is for each relay that a
copy goes to: the order at a relay is that of the parts, and one that is away holds up nobody but itself. Saving between
`seal` and the first byte is the caller's duty.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from ..errors import NotPermitted
from ..protocol import records
from ..protocol.records import Part
from .copies import Copies
from .schema import Contact, Outgoing, Place, Seal
from .views import Views


class Waiting(NamedTuple):
    """A part in the outbox: `sealed` if it was on its way and no relay is known to have it, `relays` how many have."""

    contact: str
    part: Part
    sealed: bool
    relays: int


class Outbox:
    """A view of the keystore's list of parts and of the contacts' sending chains."""

    def __init__(
        self, items: list[Outgoing], contacts: dict[str, Contact], secret: bytes, views: Views, copies: Copies
    ) -> None:
        self._items = items
        self._contacts = contacts
        self._secret = secret
        self._views = views
        self._copies = copies

    def __len__(self) -> int:
        return len(self._items)

    def add(self, name: str, text: str) -> list[Part]:
        """Queue a text for a contact, and return its parts."""
        return self._queue(name, records.split(text, self._contacts[name].next_message))

    def add_file(self, name: str, title: str, content: bytes) -> list[Part]:
        """Queue a file of this title for a contact, and return its parts. Raises InvalidInput if it is too long."""
        return self._queue(name, records.split_file(title, content, self._contacts[name].next_message))

    def _queue(self, name: str, parts: list[Part]) -> list[Part]:
        for _, message in groupby(parts, lambda part: part.message):
            of_one = list(message)
            hashed = records.contents(part.payload for part in of_one)
            self._items += [Outgoing(name, part, hashed) for part in of_one]
        self._contacts[name].next_message = parts[-1].message + 1
        return parts

    def states(self) -> list[Waiting]:
        """List how far each part got, in order."""
        at = self._copies.at()
        return [
            Waiting(item.contact, item.part, bool(item.sealed and not item.places), len(at.alive(item)))
            for item in self._items
        ]

    def records(self) -> int:
        """Count the records that are to be posted; each copy of a part counts by itself."""
        at = self._copies.at()
        return sum(max(1, at.records(item)) for item in self._items)

    def waiting(self, relay: int, epoch: int | None = None) -> Iterator[Outgoing]:
        """Iterate over the parts to post to the relay of this number in an epoch, by default the open one, in order.
        Parts for a blocked contact stay."""
        at = self._copies.at(epoch)
        return (item for item in self._items if self._wanted(item) and relay in at.targets(item))

    def relays(self) -> set[int]:
        """Collect the numbers of the relays that parts wait for."""
        at = self._copies.at()
        return {relay for item in self._items if self._wanted(item) for relay in at.targets(item)}

    def holds(self, item: Outgoing) -> bool:
        """Tell whether the part still has to leave."""
        return any(each is item for each in self._items)

    def _wanted(self, item: Outgoing) -> bool:
        return not self._contacts[item.contact].blocked

    def seal(self, item: Outgoing, epoch: int, limit: int) -> bytes:
        """Seal the record (240 bytes) for this attempt, under the next index. An earlier seal is dropped with its tag.

        Raises NotPermitted if the recipient would not look for another index (`limit` of them) in this epoch.
        """
        chain = self._contacts[item.contact].send
        chain.advance(epoch)
        if chain.index >= limit:
            raise NotPermitted(
                f"no more records can go to {item.contact} in the current epoch",
                "what waits leaves in the next epoch, usually the next day",
            )
        index, step = chain.take()
        digest = self._views.digest_for(epoch)
        record = records.seal(step, epoch, index, self._secret, item.part, item.contents, digest)
        item.sealed = Seal(epoch, index, record)
        return record

    def acknowledged(self, item: Outgoing, place: Place) -> None:
        """Note that the relay has the part. It stays here until it is safe (`posted.settle`)."""
        item.sealed = None
        item.places = [*(known for known in item.places if known.relay != place.relay), place]

    def cancel(self, name: str, messages: list[int]) -> None:
        """Take these messages out."""
        self._items[:] = [item for item in self._items if item.contact != name or item.part.message not in messages]

    def close_gap(self, name: str, messages: list[int]) -> None:
        """Renumber the messages after these, none of which has left, so that the recipient misses none."""
        for item in self._items:
            if item.contact == name and item.part.message > messages[-1]:
                item.part = item.part._replace(message=item.part.message - len(messages))
        self._contacts[name].next_message -= len(messages)

    def drop(self, name: str) -> None:
        """Forget what waits for a contact."""
        self._items[:] = [item for item in self._items if item.contact != name]

    def rename(self, name: str, new: str) -> None:
        """Follow a contact's new name."""
        for item in self._items:
            item.contact = new if item.contact == name else item.contact
