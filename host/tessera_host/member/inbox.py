"""What arrived: sealed rounds in, messages out (PROTOCOL §7, the receiver's side).

Owns finding and opening own records, putting parts together, the rule that only a message whose signature holds is
read, or moves anything, and when a message is lost. `fetching` fetches; `pointers` knows how far each relay was read.

Senders post to every relay in order and wait for each acknowledgement, and a round is read as a whole. So a relay that
has had a later message of a contact's has nothing of those before it any more, but what was read already; when all
relays of the mailbox are past a message that is missing it is lost. While one may have it still, what came after it
waits, for two rounds, or as long as that relay is being caught up with; then it is shown, and the other later if it
comes: once, as late.
"""

import codecs
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..errors import IntegrityError
from ..protocol import records
from ..protocol.federation import CLOCK_ROUNDS, Federation, Relay
from ..protocol.records import Closing, Part, Step
from .pointers import Pointers
from .schema import Contact, InboxState, Incoming, Missing, Received, Stored
from .views import Views

WAIT_ROUNDS = 2  # in which each relay has its slot
CONTINUED_BYTES = 1 << 16  # of a text whose end is not there yet
BEGUN_MESSAGES = 4  # of a contact, of which parts are missing: an older one is waited for no longer


@dataclass(frozen=True)
class Message:
    """A text from a contact, or a file: then `file` is the name the sender gave it, and `content` what is in it.
    `lost` messages before or inside it never arrived; the text is what did. `restored`: it is the first since the
    contact's device was restored from a backup; nobody knows whether messages from before are missing. `newer`: it was
    sent by a newer program, and this one does not know what it says. `late`: others that were written after it came
    first. `missing` messages before it were not there when it was put together, and may come."""

    contact: str
    message: int
    text: str
    round: int
    lost: int = 0
    file: str | None = None
    content: bytes = b""
    restored: bool = False
    newer: bool = False
    late: bool = False
    missing: int = 0

    @property
    def place(self) -> "Place":
        """The key of this message: (contact, message number, round). A text without its end and the file after it share
        one, because they come together."""
        return self.contact, self.message, self.round


@dataclass(frozen=True)
class Arriving:
    """A message of which some parts have arrived. It counts, and is shown, once all parts are here; if they are, an
    earlier message is waited for."""

    contact: str
    got: int
    parts: int


Place = tuple[str, int, int]  # contact, message, round


@dataclass(frozen=True)
class _Expected:
    contact: str
    epoch: int
    index: int
    step: Step


class Inbox:
    """A view of the keystore's messages that arrived and of the contacts' receiving chains."""

    def __init__(
        self,
        state: InboxState,
        contacts: dict[str, Contact],
        federation: Federation,
        views: Views,
        mailbox: bytes,
    ) -> None:
        self._state = state
        self._contacts = contacts
        self._federation = federation
        self._views = views
        self.pointers = Pointers(state, federation, mailbox)
        self._epoch = 0  # in which is read
        self._own_round = 0
        self._expected: dict[bytes, _Expected] = {}
        self._fresh: list[Stored] = []

    @property
    def next_round(self) -> int:
        """The first round that was not yet read at every relay."""
        return self.pointers.next_round

    def go_back_to(self, round_: int) -> None:
        """Read again from this round: a new contact may have written before it was known. Records that were read before
        match nothing."""
        self.pointers.go_back_to(round_)

    def look(self, own_round: int) -> list[Relay]:
        """List the relays to read in this round of this computer's clock. A relay that has taken another's place has
        nothing of what the other had."""
        self._own_round = own_round
        replaced = self.pointers.look(own_round)
        for contact in self._contacts.values():
            for relay in [known for known in contact.received.seen if known in replaced or known not in self.pointers]:
                del contact.received.seen[relay]
        return self.pointers.to_read()

    def expect(self, open_round: int, own_round: int) -> int:
        """Get ready to read sealed rounds of a relay: skip what no relay keeps any more (gives how many rounds that is
        that were read at none), derive the tags of every epoch up to the relay's open round, erase those of epochs
        read. What is skipped or erased is past by this computer's clock, too: a relay that names a later round costs no
        key."""
        self.look(own_round)
        expired = self.pointers.expire(self._federation.first_kept(min(open_round, own_round)))
        last = self._federation.epoch_of(open_round)
        self._epoch = self._federation.epoch_of(max(open_round, own_round))
        self.forget_read(own_round)
        self._derive(last)
        self._expected = {}
        for name, contact in self._contacts.items():
            if contact.blocked:
                continue
            unused = contact.receive.unused()
            self._expected |= {s.tag: _Expected(name, epoch, index, s) for epoch, index, s in unused}
        return expired

    def _derive(self, last_epoch: int) -> None:
        """The keys of every record that may come by now. Whoever posts may have had a set before this member that lets
        an epoch have more of them: then its rounds may have had some that were not looked for."""
        most: dict[int, int] = {}
        grown = set()
        for contact in self._contacts.values():
            chain = contact.receive
            for epoch in [*chain.steps, *range(chain.epoch, last_epoch + 1)]:
                if epoch not in most:
                    most[epoch] = self._federation.records_per_epoch(epoch)
                if chain.derive(epoch, most[epoch]):
                    grown.add(epoch)
        if grown:
            self.pointers.go_back_to(self._federation.first_round(min(grown)), self.pointers.relays())

    def read(self, round_: int, batch: Iterable[bytes], relay: int) -> int:
        """Take one whole sealed round of the relay of this number, and count the records for this member. Save the
        state before the next request."""
        tags = self._expected
        found = [self._open(record, round_, relay) for record in batch if record[: records.TAG_BYTES] in tags]
        matched = [name for name in found if name is not None]
        self.pointers.was_read(relay, round_)
        for name in dict.fromkeys(matched):
            self._deliver(name)
        return len(matched)

    def _open(self, record: bytes, round_: int, relay: int) -> str | None:
        """The contact this record is from, None if only its tag fits; then the keys are kept for the true one."""
        tag = record[: records.TAG_BYTES]
        expected = self._expected.get(tag)
        if expected is None:  # the second copy in this round
            return None
        name = expected.contact
        contact = self._contacts[name]
        try:
            part, closing = records.open_record(expected.step, expected.epoch, expected.index, record)
        except IntegrityError:
            return None
        if closing and part.parts == 1 and not _is_signed(contact, closing, part, [part.payload]):
            return None
        del self._expected[tag]
        contact.receive.erase(expected.epoch, expected.index)
        if part.kind & records.OF_GROUP:
            self._store(name, contact.received, round_, "", newer=True)
        else:
            self._keep(name, part, closing, round_, relay)
        return name

    def _keep(self, name: str, part: Part, closing: Closing | None, round_: int, relay: int) -> None:
        """Store a part unless it, or its whole message, is known."""
        received = self._contacts[name].received
        if part.message < received.next and not _is_missing(received, part.message):
            self._saw(received, relay, part.message)
            return
        message = received.parts.setdefault(part.message, Incoming(part.parts, part.kind))
        if (message.parts, message.kind) != (part.parts, part.kind):
            return
        if relay not in message.relays:
            message.relays.append(relay)
        if _is_whole(message):
            self._saw(received, relay, part.message)
        if part.part in message.got:
            return
        message.got[part.part] = part.payload
        message.round = round_
        message.closing = closing or message.closing
        if len(message.got) == message.parts and message.closing:
            self._prove(name, part, message, message.closing)

    def _prove(self, name: str, part: Part, message: Incoming, closing: Closing) -> None:
        """A message is whole: it counts from here, or is dropped and reported as lost when another one comes."""
        contact = self._contacts[name]
        if part.parts > 1 and not _is_signed(contact, closing, part, _payloads(message)):  # one part was looked at
            del contact.received.parts[part.message]
            return
        message.closing, message.since = None, self._own_round
        self._views.saw(name, closing, self._epoch)
        for relay in message.relays:
            self._saw(contact.received, relay, part.message)

    def _saw(self, received: Received, relay: int, message: int) -> None:
        """Note that a relay had this message of the contact: no earlier one comes from there."""
        if len(self.pointers.relays()) > 1:
            received.seen[relay] = max(message, received.seen.get(relay, 0))

    def settle(self) -> None:
        """Deliver what has waited long enough, and count as lost what no relay can have any more."""
        first_kept = self._federation.first_kept(max(0, self._own_round - CLOCK_ROUNDS))
        for name, contact in self._contacts.items():
            if contact.blocked:
                continue
            self._deliver(name)
            received = contact.received
            for each in list(received.missing):
                expired = each.round < first_kept
                if expired or not self._still_to_come(received, each.end):
                    received.lost += each.counts * (each.end - each.first)
                    each.counts = False  # it is said once; what comes all the same is shown
                if expired:
                    received.missing.remove(each)
                    _drop(received, each.first, each.end)

    def _deliver(self, name: str) -> None:
        """Move what is whole from the parts to the messages, in order, and forget what will never be."""
        received = self._contacts[name].received
        for number in sorted(number for number in received.parts if number < received.next):
            if _is_whole(received.parts[number]):
                self._store_late(name, received, number)
        while whole := [number for number, message in received.parts.items() if _is_whole(message)]:
            number = min(whole)
            if number > received.next:
                if self._is_waited_for(received, number):
                    break
                self._give_up(name, received, number)
            self._append(name, received, received.parts[number])
        begun = sorted(number for number, message in received.parts.items() if not _is_whole(message))
        for number in begun[:-BEGUN_MESSAGES]:
            del received.parts[number]

    def _still_to_come(self, received: Received, following: int) -> list[int]:
        """The numbers of the relays that may have messages still that are missing before this one."""
        relays = self.pointers.relays()
        if len(relays) == 1:
            return []
        return [relay for relay in relays if received.seen.get(relay, -1) < following]

    def _is_waited_for(self, received: Received, following: int) -> bool:
        """Whether this message, which is whole, waits for one before it: every relay has its slot meanwhile, and one
        that answers is caught up with."""
        if received.resync:
            return False
        relays, message = self._still_to_come(received, following), received.parts[following]
        if not relays:
            return False
        if message.since is None:
            message.since = self._own_round
        if self._own_round < message.since + WAIT_ROUNDS:
            return True
        pointers = (self.pointers[relay] for relay in relays)
        return any(each.next_round <= message.round and each.answered + 1 >= self._own_round for each in pointers)

    def _append(self, name: str, received: Received, message: Incoming) -> None:
        round_ = message.round
        data = b"".join(_payloads(message))
        if message.kind in (records.TEXT, records.TEXT_CONTINUED):
            received.text += data
            if message.kind == records.TEXT:
                self._store_text(name, received, round_)
            elif len(received.text) >= CONTINUED_BYTES:
                self._store_so_far(name, received, round_)
        else:
            self._store_text_without_end(name, received, round_)
            self._store(name, received, round_, "", **_no_text(message.kind, data))
        received.resync = False
        del received.parts[received.next]
        received.next += 1

    def _give_up(self, name: str, received: Received, following: int) -> None:
        """A gap: count what is lost and let what came before it be read. What came of a message that is not whole is
        nobody's word; it may become whole while a relay may have the rest. Of several relays one may have it whatever
        the others had: it is shown if it comes, also if it was counted as lost."""
        waited_for = not received.resync and bool(self._still_to_come(received, following))
        counts = self._counts(received, following)
        if waited_for:
            received.skipped += counts * (following - received.next)
        else:
            received.lost += counts * (following - received.next)
        if len(self.pointers.relays()) > 1 and (received.next or not received.resync):  # else the keys are new
            received.missing.append(Missing(received.next, following, self._own_round, counts and waited_for))
        else:
            _drop(received, received.next, following)
        self._store_text_without_end(name, received, received.parts[following].round)
        received.resync, received.next = False, following

    def _counts(self, received: Received, following: int) -> bool:
        """Whether a gap in the numbers stands for messages: it does not where the numbers jumped for another reason."""
        if records.generation(following) > records.generation(received.next):
            received.restored = True
            return False
        return not received.resync

    def _store_late(self, name: str, received: Received, number: int) -> None:
        """A message that was missing: what came after it was shown already."""
        message = received.parts.pop(number)
        data = b"".join(_payloads(message))
        if message.kind in (records.TEXT, records.TEXT_CONTINUED):
            said: dict[str, Any] = {"text": data.decode(errors="replace")}
        else:
            said = _no_text(message.kind, data)
        entry = _stored(name, number, message.round, **said)
        entry.late = True
        self._add(entry)
        around = next(each for each in received.missing if each.first <= number < each.end)
        at = received.missing.index(around)
        rest = [replace(around, end=number), replace(around, first=number + 1)]
        received.missing[at : at + 1] = [each for each in rest if each.first < each.end]

    def _store_text(self, name: str, received: Received, round_: int) -> None:
        text = received.text.decode(errors="replace")
        received.text = b""
        self._store(name, received, round_, text)

    def _store_so_far(self, name: str, received: Received, round_: int) -> None:
        """A text that goes on for ever would fill the keystore, unseen: it is read as it comes."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(received.text)
        self._store(name, received, round_, text)
        received.text = decoder.getstate()[0]  # the first bytes of a character

    def _store_text_without_end(self, name: str, received: Received, round_: int) -> None:
        """Its end never came."""
        if received.text:
            self._store_text(name, received, round_)

    def _store(
        self,
        name: str,
        received: Received,
        round_: int,
        text: str,
        file: str | None = None,
        content: bytes = b"",
        newer: bool = False,
    ) -> None:
        entry = _stored(name, received.next, round_, text, file, content, newer)
        entry.lost, entry.restored, entry.missing = received.lost, received.restored, received.skipped
        self._add(entry)
        received.lost, received.restored, received.skipped = 0, False, 0

    def _add(self, entry: Stored) -> None:
        self._state.messages.append(entry)
        self._fresh.append(entry)

    def forget_read(self, own_round: int) -> None:
        """Erase the keys of epochs that are over by this computer's clock and were read to their end at all relays, or
        that no relay keeps any more."""
        epoch = self.pointers.unread_epoch(own_round)
        for contact in self._contacts.values():
            contact.receive.forget_before(epoch)

    def forget_before(self, round_: int) -> None:
        """Erase the messages of earlier rounds that were shown."""
        self._state.messages[:] = [each for each in self._state.messages if each.unread or each.round >= round_]

    def rename(self, name: str, new: str) -> None:
        """Follow a contact's new name."""
        for entry in self._state.messages:
            entry.contact = new if entry.contact == name else entry.contact

    def take_fresh(self) -> list[Message]:
        """Return what was put together since the last call; it stays unread."""
        taken, self._fresh = self._fresh, []
        return [_message(entry) for entry in taken]

    def arriving(self) -> list[Arriving]:
        """List the messages that are not whole yet, by contact and number."""
        return [
            Arriving(name, len(message.got), message.parts)
            for name, contact in sorted(self._contacts.items())
            for _, message in sorted(contact.received.parts.items())
            if not contact.blocked
        ]

    def messages(self) -> list[Message]:
        """List all messages that are kept, oldest first."""
        return [_message(entry) for entry in self._state.messages]

    def unread(self, contact: str | None = None) -> list[Message]:
        """List the messages that were not shown before, of one contact or of all."""
        return [_message(entry) for entry in self._state.messages if entry.unread and contact in (None, entry.contact)]

    def mark_read(self, places: Iterable[Place]) -> None:
        """Note that these messages were shown."""
        given_out = set(places)
        for entry in self._state.messages:
            entry.unread &= (entry.contact, entry.message, entry.round) not in given_out

    def take_unread(self, contact: str | None = None) -> list[Message]:
        """Return the messages that were not shown before, and mark them as shown. Save the state before showing
        them."""
        taken = self.unread(contact)
        self.mark_read(message.place for message in taken)
        return taken


def _payloads(message: Incoming) -> list[bytes]:
    return [payload for _, payload in sorted(message.got.items())]


def _drop(received: Received, first: int, end: int) -> None:
    """What there is of messages that are waited for no longer."""
    for number in [number for number in received.parts if first <= number < end]:
        del received.parts[number]


def _stored(
    contact: str,
    message: int,
    round_: int,
    text: str = "",
    file: str | None = None,
    content: bytes = b"",
    newer: bool = False,
) -> Stored:
    """As it is if nothing is to be said of those before it."""
    return Stored(contact, message, text, round_, 0, file, content, restored=False, newer=newer, unread=True)


def _no_text(kind: int, data: bytes) -> dict[str, Any]:
    """What is stored of a message that is no text."""
    if kind != records.FILE:
        return {"newer": True}
    file, content = records.read_file(data)
    return {"file": file, "content": content}


def _is_missing(received: Received, number: int) -> bool:
    return any(each.first <= number < each.end for each in received.missing)


def _is_whole(message: Incoming) -> bool:
    """Whether all of it is there and the signature was found to hold."""
    return len(message.got) == message.parts and message.closing is None


def _is_signed(contact: Contact, closing: Closing, part: Part, payloads: list[bytes]) -> bool:
    return records.is_signed(closing, contact.key, part, records.contents(payloads))


def _message(entry: Stored) -> Message:
    return Message(**{name: value for name, value in vars(entry).items() if name != "unread"})
