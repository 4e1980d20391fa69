"""What arrived: sealed rounds in, messages out (PROTOCOL §7, the receiver's side).

Owns the place up to which the bucket was read, finding and opening own records, putting parts together and the rule
that only a message whose signature holds is read, or moves anything. Fetching is `fetching`'s. Senders post in order
and wait for each acknowledgement, and a round is read as a whole. So what is missing of a message when a later one is
whole in a round already read will not come any more, and is reported as lost.
"""

import codecs
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import IntegrityError
from ..protocol import records
from ..protocol.federation import Federation
from ..protocol.records import Closing, Part, Step
from .schema import Contact, InboxState, Incoming, Received, Stored
from .views import Views

CONTINUED_BYTES = 1 << 16  # of a text whose end is not there yet
BEGUN_MESSAGES = 4  # of a contact, of which parts are missing: an older one is waited for no longer


@dataclass(frozen=True)
class Message:
    """A text from a contact, or a file: then `file` is the name the sender gave it, and `content` what is in it.
    `lost` messages before or inside it never arrived; the text is what did. `restored`: it is the first since the
    contact's device was restored from a backup; nobody knows whether messages from before are missing. `newer`: it was
    sent by a newer program, and this one does not know what it says."""

    contact: str
    message: int
    text: str
    round: int
    lost: int = 0
    file: str | None = None
    content: bytes = b""
    restored: bool = False
    newer: bool = False

    @property
    def place(self) -> "Place":
        """What it is known by. A text without its end and the file after it share theirs: they come together."""
        return self.contact, self.message, self.round


@dataclass(frozen=True)
class Arriving:
    """A message from a contact of which some parts are there. What it says counts, and is shown, once all are."""

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

    def __init__(self, state: InboxState, contacts: dict[str, Contact], federation: Federation, views: Views) -> None:
        self._state = state
        self._contacts = contacts
        self._federation = federation
        self._views = views
        self._epoch = 0  # in which is read
        self._expected: dict[bytes, _Expected] = {}

    @property
    def next_round(self) -> int:
        """The first round not read yet."""
        return self._state.next_round

    def go_back_to(self, round_: int) -> None:
        """Read again from here: a new contact may have written before it was known. What was read matches nothing."""
        self._state.next_round = max(0, min(self.next_round, round_))

    def expect(self, open_round: int, own_round: int) -> int:
        """Get ready to read sealed rounds: skip what no relay keeps any more (gives how many rounds that is), derive
        the tags of every epoch up to the relay's open round, erase those of epochs read. What is skipped or erased is
        past by this computer's clock, too: a relay that names a later round costs no key."""
        expired = max(0, self._federation.first_kept(min(open_round, own_round)) - self.next_round)
        self._state.next_round += expired
        last = self._federation.epoch_of(open_round)
        self._epoch = self._federation.epoch_of(max(open_round, own_round))
        self.forget_read(own_round)
        self._expected = {}
        for name, contact in self._contacts.items():
            self._derive(contact, last)
            if contact.blocked:
                continue
            unused = contact.receive.unused()
            self._expected |= {s.tag: _Expected(name, epoch, index, s) for epoch, index, s in unused}
        return expired

    def _derive(self, contact: Contact, last_epoch: int) -> None:
        chain = contact.receive
        for epoch in range(chain.epoch, last_epoch + 1):
            chain.derive(epoch, self._federation.records_per_epoch(epoch))

    def read(self, round_: int, batch: Iterable[bytes]) -> int:
        """Take one whole sealed round: how many records were for this member. To be saved before the next request."""
        found = [self._open(record, round_) for record in batch if record[: records.TAG_BYTES] in self._expected]
        matched = [name for name in found if name is not None]
        for name in dict.fromkeys(matched):
            self._deliver(name, round_)
        self._state.next_round = round_ + 1
        return len(matched)

    def _open(self, record: bytes, round_: int) -> str | None:
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
            self._keep(name, part, closing)
        return name

    def _keep(self, name: str, part: Part, closing: Closing | None) -> None:
        """Store a part unless it, or its whole message, is known."""
        contact = self._contacts[name]
        begun = contact.received.parts
        if part.message < contact.received.next:
            return
        message = begun.setdefault(part.message, Incoming(part.parts, part.kind))
        if (message.parts, message.kind) != (part.parts, part.kind) or part.part in message.got:
            return
        message.got[part.part] = part.payload
        message.closing = closing or message.closing
        if len(message.got) == message.parts and message.closing:
            self._prove(name, part, message, message.closing)

    def _prove(self, name: str, part: Part, message: Incoming, closing: Closing) -> None:
        """A message is whole: it counts from here, or is dropped and reported as lost when another one comes."""
        contact = self._contacts[name]
        if part.parts > 1 and not _is_signed(contact, closing, part, _payloads(message)):  # one part was looked at
            del contact.received.parts[part.message]
            return
        message.closing = None
        self._views.saw(name, closing, self._epoch)

    def _deliver(self, name: str, round_: int) -> None:
        """Move what is whole from the parts to the messages, in order, and forget what will never be."""
        received = self._contacts[name].received
        while whole := [number for number, message in received.parts.items() if _is_whole(message)]:
            number = min(whole)
            if number > received.next:
                self._give_up(name, received, number, round_)
            self._append(name, received, received.parts[number], round_)
        for number in sorted(received.parts)[:-BEGUN_MESSAGES]:
            del received.parts[number]

    def _append(self, name: str, received: Received, message: Incoming, round_: int) -> None:
        data = b"".join(_payloads(message))
        if message.kind in (records.TEXT, records.TEXT_CONTINUED):
            received.text += data
            if message.kind == records.TEXT:
                self._store_text(name, received, round_)
            elif len(received.text) >= CONTINUED_BYTES:
                self._store_so_far(name, received, round_)
        else:
            self._store_text_without_end(name, received, round_)
            if message.kind == records.FILE:
                self._store(name, received, round_, "", *records.read_file(data))
            else:
                self._store(name, received, round_, "", newer=True)
        received.resync = False
        del received.parts[received.next]
        received.next += 1

    def _give_up(self, name: str, received: Received, following: int, round_: int) -> None:
        """A gap: count what is lost and let what came before it be read. What came of a message that is not whole is
        nobody's word."""
        self._count_lost(received, following)
        self._store_text_without_end(name, received, round_)
        received.parts = {number: begun for number, begun in received.parts.items() if number >= following}
        received.next = following

    def _count_lost(self, received: Received, following: int) -> None:
        """How many messages a gap in the numbers stands for: none where the numbers jumped for another reason."""
        if records.generation(following) > records.generation(received.next):
            received.restored = True
            return
        if not received.resync:
            received.lost += following - received.next
        received.resync = False

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
        self._state.messages.append(
            Stored(
                contact=name,
                message=received.next,
                text=text,
                round=round_,
                lost=received.lost,
                file=file,
                content=content,
                restored=received.restored,
                newer=newer,
                unread=True,
            )
        )
        received.lost, received.restored = 0, False

    def forget_read(self, own_round: int) -> None:
        """Erase the keys of epochs that were read to their end, and are over by this computer's clock."""
        epoch = self._federation.epoch_of(min(self.next_round, own_round))
        for contact in self._contacts.values():
            contact.receive.forget_before(epoch)

    def forget_before(self, round_: int) -> None:
        """Erase the messages of earlier rounds that were given out."""
        self._state.messages[:] = [each for each in self._state.messages if each.unread or each.round >= round_]

    def rename(self, name: str, new: str) -> None:
        """A contact is called otherwise now."""
        for entry in self._state.messages:
            entry.contact = new if entry.contact == name else entry.contact

    def arriving(self) -> list[Arriving]:
        """Messages that are not whole yet, by contact and number."""
        return [
            Arriving(name, len(message.got), message.parts)
            for name, contact in sorted(self._contacts.items())
            for _, message in sorted(contact.received.parts.items())
            if not contact.blocked
        ]

    def messages(self) -> list[Message]:
        """All that is kept, oldest first."""
        return [_message(entry) for entry in self._state.messages]

    def unread(self, contact: str | None = None) -> list[Message]:
        """What was not given out before, of one contact or of all."""
        return [_message(entry) for entry in self._state.messages if entry.unread and contact in (None, entry.contact)]

    def mark_read(self, places: Iterable[Place]) -> None:
        """These were given out: whoever was to read them has them."""
        given_out = set(places)
        for entry in self._state.messages:
            entry.unread &= (entry.contact, entry.message, entry.round) not in given_out

    def take_unread(self, contact: str | None = None) -> list[Message]:
        """What was not given out before, and is now. To be saved before it is given out."""
        taken = self.unread(contact)
        self.mark_read(message.place for message in taken)
        return taken


def _payloads(message: Incoming) -> list[bytes]:
    return [payload for _, payload in sorted(message.got.items())]


def _is_whole(message: Incoming) -> bool:
    """Whether all of it is there and the signature was found to hold."""
    return len(message.got) == message.parts and message.closing is None


def _is_signed(contact: Contact, closing: Closing, part: Part, payloads: list[bytes]) -> bool:
    return records.is_signed(closing, contact.key, part, records.contents(payloads))


def _message(entry: Stored) -> Message:
    return Message(**{name: value for name, value in vars(entry).items() if name != "unread"})
