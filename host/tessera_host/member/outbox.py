"""What waits to be sent (PROTOCOL §7): parts in order, each sealed just before it is posted, under an index of its own.

Owns the order, the message numbers and the rule that an index serves one attempt. A part that carries a seal when it
is looked at again was on its way when something went wrong: nobody knows whether the relay has it. It is sealed anew,
and the last part of a message is then signed anew; the recipient drops the second copy. Saving between `seal` and the
first byte is the caller's duty.
"""

from collections.abc import Iterator
from itertools import groupby

from ..errors import NotPermitted
from ..protocol import records
from ..protocol.records import Part
from .schema import Contact, Outgoing, Seal
from .views import Views


class Outbox:
    """A view of the keystore's list of parts and of the contacts' sending chains."""

    def __init__(self, items: list[Outgoing], contacts: dict[str, Contact], secret: bytes, views: Views) -> None:
        self._items = items
        self._contacts = contacts
        self._secret = secret
        self._views = views

    def __len__(self) -> int:
        return len(self._items)

    def add(self, name: str, text: str) -> list[Part]:
        """Queue a text for a contact; gives its parts."""
        return self._queue(name, records.split(text, self._contacts[name].next_message))

    def add_file(self, name: str, title: str, content: bytes) -> list[Part]:
        """Queue a file of this title. Raises InvalidInput if it is too long."""
        return self._queue(name, records.split_file(title, content, self._contacts[name].next_message))

    def _queue(self, name: str, parts: list[Part]) -> list[Part]:
        for _, message in groupby(parts, lambda part: part.message):
            of_one = list(message)
            hashed = records.contents(part.payload for part in of_one)
            self._items += [Outgoing(name, part, hashed) for part in of_one]
        self._contacts[name].next_message = parts[-1].message + 1
        return parts

    def sealed(self) -> Iterator[tuple[str, int]]:
        """Contact and message of every part that was sealed and not acknowledged."""
        return ((item.contact, item.part.message) for item in self._items if item.sealed)

    def waiting(self, relay: int) -> Iterator[Outgoing]:
        """The parts for contacts on the relay of this number, in order; those for a blocked contact stay."""
        return (item for item in self._items if self._wanted(item) and self._contacts[item.contact].relay == relay)

    def relays(self) -> set[int]:
        """The numbers of the relays that something waits for."""
        return {self._contacts[item.contact].relay for item in self._items if self._wanted(item)}

    def _wanted(self, item: Outgoing) -> bool:
        return not self._contacts[item.contact].blocked

    def seal(self, item: Outgoing, epoch: int, limit: int) -> bytes:
        """The record for this attempt, under the next index. An earlier seal is dropped with its tag.

        Raises NotPermitted if the recipient would not look for another index (`limit` of them) in this epoch.
        """
        chain = self._contacts[item.contact].send
        chain.advance(epoch)
        if chain.index >= limit:
            raise NotPermitted(
                f"no more records to {item.contact} in epoch {epoch}", "what waits can be sent in the next epoch"
            )
        index, step = chain.take()
        digest = self._views.digest_for(epoch)
        record = records.seal(step, epoch, index, self._secret, item.part, item.contents, digest)
        item.sealed = Seal(epoch, index, record)
        return record

    def posted(self, item: Outgoing) -> None:
        """The relay acknowledged the record of this part."""
        self._items.remove(item)

    def cancel(self, name: str, messages: list[int]) -> None:
        """Take these messages out."""
        self._items[:] = [item for item in self._items if item.contact != name or item.part.message not in messages]

    def close_gap(self, name: str, messages: list[int]) -> None:
        """Nothing of these has left, nor of those after them, as all leave in order: those take their numbers, and the
        recipient misses none."""
        for item in self._items:
            if item.contact == name and item.part.message > messages[-1]:
                item.part = item.part._replace(message=item.part.message - len(messages))
        self._contacts[name].next_message -= len(messages)

    def drop(self, name: str) -> None:
        """Forget what waits for a contact."""
        self._items[:] = [item for item in self._items if item.contact != name]

    def rename(self, name: str, new: str) -> None:
        """A contact is called otherwise now."""
        for item in self._items:
            item.contact = new if item.contact == name else item.contact
