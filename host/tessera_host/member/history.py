"""What this member sent, and how far each part of it got: waiting, sealed, posted in a round, or taken back.

Owns the list that `tessera sent` shows. There is no state after "posted", and after "safe" where there are copies:
there are no read receipts. The outbox keeps the parts that still have to leave; of a file only name and size are kept
here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..protocol.records import MAX_PARTS, Part
from .outbox import Waiting
from .schema import Outgoing, SentEntry

KEPT = 1000  # messages that are posted; what waits is always kept

WAITING, SEALED, POSTED, CANCELLED = "waiting", "sealed", "posted", "cancelled"


@dataclass(frozen=True)
class Sent:
    """A text or file to a contact. `rounds` has, a part, the round it was posted in, or None; `sealed` is how many of
    the others were sealed once and wait for another attempt. `queued` is in unix seconds. `cancelled`: no part leaves
    any more. `copies` is on how many relays each part is to be; `unsafe` are the parts posted that are on fewer still,
    one of them on no more than `relays`; `given_up` those that were never on all, and go to no more."""

    contact: str
    messages: list[int]
    text: str
    file: str | None
    bytes: int
    queued: int
    rounds: list[int | None]
    sealed: int
    cancelled: bool = False
    copies: int = 1
    unsafe: int = 0
    relays: int = 1
    given_up: int = 0

    @property
    def parts(self) -> int:
        """How many parts the message has."""
        return len(self.rounds)

    @property
    def posted(self) -> int:
        """How many parts a relay acknowledged."""
        return sum(round_ is not None for round_ in self.rounds)

    @property
    def state(self) -> str:
        """The state of the whole message: `posted` once all of it is."""
        if self.posted == self.parts:
            return POSTED
        if self.cancelled:
            return CANCELLED
        return SEALED if self.sealed else WAITING

    @property
    def is_safe(self) -> bool:
        """Whether all of it is on all relays that are to have it, or was while relays kept it."""
        return self.state == POSTED and not self.unsafe and not self.given_up

    @property
    def waiting(self) -> int:
        """How many parts are still to leave."""
        return 0 if self.cancelled else self.parts - self.posted

    @property
    def last_round(self) -> int | None:
        """The last round that a part was posted in."""
        return max((round_ for round_ in self.rounds if round_ is not None), default=None)


class History:
    """A view of the keystore's list of sent messages, oldest first."""

    def __init__(self, entries: list[SentEntry]) -> None:
        self._entries = entries

    def add(self, contact: str, parts: list[Part], now: int, text: str, file: str | None = None, size: int = 0) -> None:
        """Add a message of these parts; a long text may be several messages."""
        self._entries.append(
            SentEntry(
                contact=contact,
                first=parts[0].message,
                rounds=[None] * len(parts),
                queued=now,
                text=text,
                file=file,
                bytes=size or len(text.encode()),
            )
        )
        self._forget_old()

    def _forget_old(self) -> None:
        finished = [entry for entry in self._entries if _is_finished(entry)]
        for entry in finished[:-KEPT]:
            self._entries.remove(entry)

    def forget_before(self, moment: int) -> None:
        """Erase messages that were written before `moment` (unix seconds), except those that still have to leave."""
        self._entries[:] = [entry for entry in self._entries if entry.queued >= moment or not _is_finished(entry)]

    def posted(self, contact: str, part: Part, round_: int) -> None:
        """Note that a relay acknowledged this part. A part that an earlier version queued is in no entry."""
        for entry in self._of(contact, part):
            place = _place(entry, part)
            if not entry.cancelled and entry.rounds[place] is None:
                entry.rounds[place] = round_
                return

    def gave_up(self, parts: Iterable[Outgoing]) -> None:
        """Note that these parts were posted, but never to all relays that were to have them, and no longer wait."""
        for item in parts:
            for entry in self._of(item.contact, item.part):
                entry.given_up += 1
                break

    def _of(self, contact: str, part: Part) -> Iterator[SentEntry]:
        """The entries that a part may be of, newest first: numbers begin anew with new keys, perhaps."""
        for entry in reversed(self._entries):
            if entry.contact == contact and 0 <= _place(entry, part) < len(entry.rounds):
                yield entry

    def cancel(self, contact: str, first: int) -> None:
        """Note that nothing more of the message of this number leaves; what has left stays in the list."""
        self._find(contact, first).cancelled = True

    def take_out(self, contact: str, first: int, messages: int) -> None:
        """Remove a message of which nothing has left. The messages after it, which have not left either, take its
        numbers."""
        self._entries.remove(self._find(contact, first))
        for entry in self._entries:
            if entry.contact == contact and entry.first > first and not entry.cancelled and None in entry.rounds:
                entry.first -= messages

    def _find(self, contact: str, first: int) -> SentEntry:
        return next(each for each in reversed(self._entries) if (each.contact, each.first) == (contact, first))

    def drop(self, contact: str) -> None:
        """Forget what was sent to a contact."""
        self._entries[:] = [entry for entry in self._entries if entry.contact != contact]

    def rename(self, old: str, new: str) -> None:
        """Follow a contact's new name."""
        for entry in self._entries:
            if entry.contact == old:
                entry.contact = new

    def entries(
        self, waiting: Sequence[Waiting], contact: str | None = None, copies: Callable[[str], int] = lambda _: 1
    ) -> list[Sent]:
        """List all that is kept, oldest first. `waiting` is what is in the outbox, `copies` gives on how many relays a
        contact's parts are to be."""
        return [
            _sent(entry, [each for each in waiting if each.contact == entry.contact], copies(entry.contact))
            for entry in self._entries
            if contact in (None, entry.contact)
        ]


def _is_finished(entry: SentEntry) -> bool:
    return entry.cancelled or None not in entry.rounds


def _sent(entry: SentEntry, waiting: list[Waiting], copies: int) -> Sent:
    count = -(-len(entry.rounds) // MAX_PARTS)
    messages = list(range(entry.first, entry.first + count))
    parts = [each for each in waiting if each.part.message in messages]
    unsafe = [each for each in parts if entry.rounds[_place(entry, each.part)] is not None]
    return Sent(
        contact=entry.contact,
        messages=messages,
        text=entry.text,
        file=entry.file,
        bytes=entry.bytes,
        queued=entry.queued,
        rounds=entry.rounds,
        sealed=sum(each.sealed for each in parts) if None in entry.rounds else 0,
        cancelled=entry.cancelled,
        copies=copies,
        unsafe=len(unsafe),
        relays=min((each.relays for each in unsafe), default=copies),
        given_up=entry.given_up,
    )


def _place(entry: SentEntry, part: Part) -> int:
    """Where a part is in an entry's rounds, if it is of it."""
    return (part.message - entry.first) * MAX_PARTS + part.part
