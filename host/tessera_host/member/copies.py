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
        """As things are now, for parts that are posted in this epoch, by default the open one."""
        return CopiesAt(self._federation, self._contacts, self._epoch() if epoch is None else epoch)


class CopiesAt:
    """At one moment: nothing of it is to be kept."""

    def __init__(self, federation: Federation, contacts: Mapping[str, Contact], epoch: int) -> None:
        self._federation = federation
        self._contacts = contacts
        self._epoch = epoch
        self._keys = {relay.id: relay.key for relay in federation.relays}
        self._relays: dict[str, list[int]] = {}
        self._readers: dict[tuple[str, int], list[int]] = {}

    def relays(self, contact: str) -> list[int]:
        """The numbers of those that are to have what is for a contact, in its order."""
        if contact not in self._relays:
            known = self._contacts[contact]
            self._relays[contact] = self._federation.relays_of(known.mailbox, known.relay, self._epoch)
        return self._relays[contact]

    def alive(self, item: Outgoing) -> list[Place]:
        """Those that have it still."""
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
        return self._wanting(item) == 0

    def targets(self, item: Outgoing) -> list[int]:
        """The numbers of the relays that a part is to be posted to: each that lacks it, until as many have it as are
        to. More may lack it than it has to be on still, after an order has changed; one of them may be away. One that
        IT has taken out of service takes no more, whichever set governs the epoch still."""
        have = {place.relay for place in self.alive(item)}
        lacking = [id_ for id_ in self.relays(item.contact) if id_ in self._keys and id_ not in have]
        return lacking if self._wanting(item) else []

    def records(self, item: Outgoing) -> int:
        """How many records of a part are to be posted still."""
        return min(self._wanting(item), len(self.targets(item)))

    def _wanting(self, item: Outgoing) -> int:
        return max(0, len(self.relays(item.contact)) - len(self.alive(item)))
