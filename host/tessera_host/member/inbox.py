"""What arrived: sealed rounds in, messages out (PROTOCOL §7, the receiver's side).

Owns the place up to which the bucket was read, finding and opening own records, and putting parts in order. Fetching
is `fetching`'s. Senders post in order and wait for each acknowledgement, and a round is read as a whole. So a part that
is missing when a later message has a part in a round already read will not come any more, and is reported as lost.
"""

import codecs
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import IntegrityError
from ..protocol import records
from ..protocol.federation import Federation
from ..protocol.records import Step
from .schema import Contact, InboxState, Incoming, Received, Stored

CONTINUED_BYTES = 1 << 16  # of a text whose end is not there yet


@dataclass(frozen=True)
class Message:
    """A text from a contact, or a file: then `file` is the name the sender gave it, and `content` what is in it.
    `lost` messages before or inside it never arrived; the text is what did. `restored`: it is the first since the
    contact's device was restored from a backup; nobody knows whether messages from before are missing."""

    contact: str
    message: int
    text: str
    round: int
    lost: int = 0
    file: str | None = None
    content: bytes = b""
    restored: bool = False

    @property
    def place(self) -> "Place":
        """What it is known by. A text without its end and the file after it share theirs: they come together."""
        return self.contact, self.message, self.round


Place = tuple[str, int, int]  # contact, message, round


@dataclass(frozen=True)
class _Expected:
    contact: str
    epoch: int
    index: int
    step: Step


class Inbox:
    """A view of the keystore's messages that arrived and of the contacts' receiving chains."""

    def __init__(self, state: InboxState, contacts: dict[str, Contact], federation: Federation) -> None:
        self._state = state
        self._contacts = contacts
        self._federation = federation
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
        found = [self._open(record) for record in batch if record[: records.TAG_BYTES] in self._expected]
        matched = [name for name in found if name is not None]
        for name in dict.fromkeys(matched):
            self._deliver(name, round_)
        self._state.next_round = round_ + 1
        return len(matched)

    def _open(self, record: bytes) -> str | None:
        """The contact this record is from, None if only its tag fits; then the keys are kept for the true one."""
        tag = record[: records.TAG_BYTES]
        expected = self._expected.get(tag)
        if expected is None:  # the second copy in this round
            return None
        contact = self._contacts[expected.contact]
        try:
            part = records.open_record(expected.step, expected.epoch, expected.index, contact.key, record)
        except IntegrityError:
            return None
        del self._expected[tag]
        contact.receive.erase(expected.epoch, expected.index)
        self._keep(contact.received, part)
        return expected.contact

    def _keep(self, received: Received, part: records.Part) -> None:
        """Store a part unless it, or its whole message, is known."""
        if part.message < received.next:
            return
        message = received.parts.setdefault(part.message, Incoming(part.parts, part.kind))
        if (message.parts, message.kind) == (part.parts, part.kind):
            message.got.setdefault(part.part, part.payload)

    def _deliver(self, name: str, round_: int) -> None:
        """Move what is complete, or will never be, from the parts to the messages, in order."""
        received = self._contacts[name].received
        while received.parts:
            number = received.next
            message = received.parts.get(number)
            complete = message is not None and len(message.got) == message.parts
            if not complete and max(received.parts) == number:
                return  # the newest one: the rest of it is on its way
            if message is not None and complete:
                self._append(name, received, message, round_)
            else:
                self._give_up(name, received, message, round_)

    def _append(self, name: str, received: Received, message: Incoming, round_: int) -> None:
        if message.kind == records.FILE:
            self._store_file(name, received, _joined(message), round_)
        else:
            received.text += _joined(message)
            if message.kind == records.TEXT:
                self._store_text(name, received, round_)
            elif len(received.text) >= CONTINUED_BYTES:
                self._store_so_far(name, received, round_)
        received.resync = False
        del received.parts[received.next]
        received.next += 1

    def _give_up(self, name: str, received: Received, message: Incoming | None, round_: int) -> None:
        """A gap: count what is lost and let what arrived around it be read."""
        following = received.next + 1 if message else min(received.parts)
        self._count_lost(received, following)
        received.text += _joined(message) if message and message.kind != records.FILE else b""
        if received.text:
            self._store_text(name, received, round_)
        received.parts.pop(received.next, None)
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

    def _store_file(self, name: str, received: Received, data: bytes, round_: int) -> None:
        if received.text:  # its end never came
            self._store_text(name, received, round_)
        title, content = records.read_file(data)
        self._store(name, received, round_, "", title, content)

    def _store(
        self, name: str, received: Received, round_: int, text: str, file: str | None = None, content: bytes = b""
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
                unread=True,
            )
        )
        received.lost, received.restored = 0, False

    def forget_read(self, own_round: int) -> None:
        """Erase the keys of epochs that were read to their end, and are over by this computer's clock."""
        epoch = self._federation.epoch_of(min(self.next_round, own_round))
        for contact in self._contacts.values():
            contact.receive.forget_before(epoch)

    def rename(self, name: str, new: str) -> None:
        """A contact is called otherwise now."""
        for entry in self._state.messages:
            entry.contact = new if entry.contact == name else entry.contact

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


def _joined(message: Incoming) -> bytes:
    return b"".join(payload for _, payload in sorted(message.got.items()))


def _message(entry: Stored) -> Message:
    return Message(**{name: value for name, value in vars(entry).items() if name != "unread"})
