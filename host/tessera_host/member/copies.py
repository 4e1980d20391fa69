"""On which relays a part has to be, and on which it is (PROTOCOL §12).

Owns what is safe: as many relays have a part as its contact's mailbox has copies, the contact reads them, and none of
them was replaced or taken out of service since. A relay that was only off has what it had; one that another took the
place of has not.
"""

from collections.abc import Callable, Mapping

from ..protocol.federation import Federation
from .schema import Contact, Outgoing, Place


class Copies:
    """A view of a federation's orders for a member's contacts."""

    def __init__(self, federation: Federation, contacts: Mapping[str, Contact], epoch: Callable[[], int]) -> None:
        """`epoch`: the one that is open by this computer's clock."""
        self._federation = federation
        self._contacts = contacts
        self._epoch = epoch

    def at(self, epoch: int | None = None) -> "CopiesAt":
        """Look at things as they are now, for parts that are posted in this epoch, by default the open one."""
        return CopiesAt(self._federation, self._contacts, self._epoch() if epoch is None else epoch)


class CopiesAt:
    """The copies at one moment: keep nothing of it."""

    def __init__(self, federation: Federation, contacts: Mapping[str, Contact], epoch: int) -> None:
        self._federation = federation
        self._contacts = contacts
        self._epoch = epoch
        self._keys = {relay.id: relay.key for relay in federation.relays}
        self._relays: dict[str, list[int]] = {}
        self._readers: dict[tuple[str, int], list[int]] = {}

    def relays(self, contact: str) -> list[int]:
        """List the numbers of the relays that are to have what is for a contact, in the contact's order."""
        if contact not in self._relays:
            known = self._contacts[contact]
            self._relays[contact] = self._federation.relays_of(known.mailbox, known.relay, self._epoch)
        return self._relays[contact]

    def alive(self, item: Outgoing) -> list[Place]:
        """List the places that still have the part."""
        return [
            place for place in item.places if self._keys.get(place.relay) == place.key and self._is_read(item, place)
        ]

    def _is_read(self, item: Outgoing, place: Place) -> bool:
        """Whether the recipient looks there: who posted it may not have had the card of a set yet that put the copies
        elsewhere."""
        federation, contact = self._federation, self._contacts[item.contact]
        epoch = federation.epoch_of(place.round)
        if epoch < federation.epoch_of(federation.first_kept(federation.first_round(self._epoch))):
            return True  # sets of that time are forgotten, perhaps
        if (item.contact, epoch) not in self._readers:
            found = federation.relays_read(contact.mailbox, contact.relay, epoch)
            self._readers[item.contact, epoch] = found
        return place.relay in self._readers[item.contact, epoch]

    def is_safe(self, item: Outgoing) -> bool:
        """Tell whether as many relays have the part as the office wants."""
        return self._wanting(item) == 0

    def targets(self, item: Outgoing) -> list[int]:
        """List the numbers of the relays to post a part to: each that lacks it, until enough of them have it. After an
        order has changed, more relays may lack it than have to get it; one of them may be away. A relay that IT has
        taken out of service takes nothing more, whichever set still governs the epoch."""
        have = {place.relay for place in self.alive(item)}
        lacking = [id_ for id_ in self.relays(item.contact) if id_ in self._keys and id_ not in have]
        return lacking if self._wanting(item) else []

    def records(self, item: Outgoing) -> int:
        """Count the records of a part that are still to be posted."""
        return min(self._wanting(item), len(self.targets(item)))

    def _wanting(self, item: Outgoing) -> int:
        return max(0, len(self.relays(item.contact)) - len(self.alive(item)))
