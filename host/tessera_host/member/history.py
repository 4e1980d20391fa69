"""What this member sent, and how far each part of it got: waiting, sealed, posted in a round.

Owns the list that `tessera sent` shows. There is no state after "posted": nobody tells who has read what. The parts
that still have to go are the outbox's; a file's content is not kept here, only its name and size.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..protocol.records import MAX_PARTS, Part
from .schema import SentEntry

KEPT = 1000  # messages that are posted; what waits is always kept

WAITING, SEALED, POSTED = "waiting", "sealed", "posted"


@dataclass(frozen=True)
class Sent:
    """A text or file to a contact. `rounds` has, a part, the round it was posted in, or None; `sealed` is how many of
    the others were sealed once and wait for another attempt. `queued` is in unix seconds."""

    contact: str
    messages: list[int]
    text: str
    file: str | None
    bytes: int
    queued: int
    rounds: list[int | None]
    sealed: int

    @property
    def parts(self) -> int:
        return len(self.rounds)

    @property
    def posted(self) -> int:
        """Parts that a relay acknowledged."""
        return sum(round_ is not None for round_ in self.rounds)

    @property
    def state(self) -> str:
        """Of the whole message: `posted` once all of it is."""
        if self.posted == self.parts:
            return POSTED
        return SEALED if self.sealed else WAITING

    def describe(self) -> str:
        """How far it got, for people."""
        last = max((round_ for round_ in self.rounds if round_ is not None), default=None)
        if self.state == POSTED:
            return f"posted in round {last}"
        if self.posted:
            return f"part {self.posted} of {self.parts} posted in round {last}, the rest waits"
        return "sealed, not posted yet" if self.state == SEALED else "waiting"


class History:
    """A view of the keystore's list of sent messages, oldest first."""

    def __init__(self, entries: list[SentEntry]) -> None:
        self._entries = entries

    def add(self, contact: str, parts: list[Part], now: int, text: str, file: str | None = None, size: int = 0) -> None:
        """`parts` of one or, for a long text, several messages."""
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
        finished = [entry for entry in self._entries if None not in entry.rounds]
        for entry in finished[:-KEPT]:
            self._entries.remove(entry)

    def posted(self, contact: str, part: Part, round_: int) -> None:
        """A relay acknowledged this part. One that was queued by an earlier version is in no entry."""
        for entry in reversed(self._entries):
            place = (part.message - entry.first) * MAX_PARTS + part.part
            if entry.contact == contact and 0 <= place < len(entry.rounds) and entry.rounds[place] is None:
                entry.rounds[place] = round_
                return

    def drop(self, contact: str) -> None:
        """Forget what was sent to a contact."""
        self._entries[:] = [entry for entry in self._entries if entry.contact != contact]

    def rename(self, old: str, new: str) -> None:
        for entry in self._entries:
            if entry.contact == old:
                entry.contact = new

    def entries(self, sealed: Iterable[tuple[str, int]], contact: str | None = None) -> list[Sent]:
        """All that is kept, oldest first. `sealed`: contact and message of every part in the outbox with a seal."""
        again = list(sealed)
        return [_sent(entry, again) for entry in self._entries if contact in (None, entry.contact)]


def _sent(entry: SentEntry, sealed: list[tuple[str, int]]) -> Sent:
    count = -(-len(entry.rounds) // MAX_PARTS)
    messages = list(range(entry.first, entry.first + count))
    again = sum(contact == entry.contact and message in messages for contact, message in sealed)
    return Sent(
        contact=entry.contact,
        messages=messages,
        text=entry.text,
        file=entry.file,
        bytes=entry.bytes,
        queued=entry.queued,
        rounds=entry.rounds,
        sealed=again if None in entry.rounds else 0,
    )
