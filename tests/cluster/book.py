"""What was written, said to be safe, burnt and read in a cluster, and what must hold between them. Knows letters,
people, relays by name, rounds; nothing of the product.

A letter may be missing only if it was not safe when relays burnt, and one of them had it. "Safe" is what the sender was
told, so what is not kept then was a false promise; "lost" what the reader was told, so that it is so must be true.
"""

from collections import Counter
from dataclasses import dataclass, field

SLACK_ROUNDS = 4  # from the round that a relay names for a letter until its reader has it: two to be read, two to wait


@dataclass
class Letter:
    """`posted`: the round that a relay named first; `safe`, `given_up`: the round in which the sender was told that all
    relays have it, or that those which lack it get it no more. `excused`: why it may be missing."""

    number: int
    sender: str
    receiver: str
    written: int
    posted: int | None = None
    safe: int | None = None
    given_up: int | None = None
    read: int | None = None
    excused: bool = False


@dataclass
class Burning:
    """Relays that burnt at once, and the letters that were safe and unread then."""

    round: int
    names: list[str]
    safe: list[str]


@dataclass
class Book:
    letters: dict[str, Letter] = field(default_factory=dict)  # by text
    burnings: list[Burning] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    told_lost: Counter[tuple[str, str]] = field(default_factory=Counter)  # by reader and sender
    batches: dict[bytes, tuple[str, int]] = field(default_factory=dict)  # by record: the relay's life and round
    away: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # rounds in which a reader does not read

    def fault(self, text: str) -> None:
        self.wrong.append(text)

    # -- letters

    def wrote(self, sender: str, receiver: str, text: str, round_: int) -> None:
        self.letters[text] = Letter(len(self.letters), sender, receiver, round_)
        self.counts["letters"] += 1

    def told(self, text: str, posted: int | None, safe: bool, round_: int, given_up: bool = False) -> None:
        """How far a letter got, by its sender's own list."""
        letter = self.letters[text]
        if posted is not None and letter.posted is None:
            letter.posted = posted
            self.counts["posted"] += 1
        if safe and letter.safe is None:
            letter.safe = round_
            self.counts["safe"] += 1
        if given_up and letter.given_up is None:
            letter.given_up = round_
            self.counts["given up"] += 1

    def came(self, reader: str, sender: str, text: str, round_: int) -> None:
        letter = self.letters.get(text)
        if letter is None or (letter.sender, letter.receiver) != (sender, reader):
            self.fault(f"{reader} has from {sender} what was not written so: {text[:60]!r}")
        elif letter.read is not None:
            self.fault(f"{reader} is shown twice what {sender} wrote once: {text!r}, in rounds {letter.read}, {round_}")
        else:
            letter.read = round_
            self.counts["read"] += 1

    def lost(self, reader: str, sender: str, number: int) -> None:
        """A reader is told so."""
        self.told_lost[reader, sender] += number
        self.counts["told lost"] += number

    # -- relays

    def burnt(self, names: list[str], round_: int) -> None:
        """All that is not safe yet may be gone; what is, must come."""
        safe = []
        for text, letter in self.letters.items():
            if letter.read is not None:
                continue
            if letter.safe is not None and not letter.excused:
                safe.append(text)
            else:
                letter.excused = True
        self.burnings.append(Burning(round_, names, safe))
        self.counts["relays burnt"] += len(names)
        self.counts["safe and unread when relays burnt"] += len(safe)

    def published(self, life: str, round_: int, batch: list[bytes]) -> None:
        """A batch of one life of a relay was read by somebody."""
        for record in batch:
            where = self.batches.setdefault(record, (life, round_))
            if where != (life, round_):
                self.fault(f"round {round_} of {life} has a record that is in round {where[1]} of {where[0]}")
        self.counts["records compared"] += len(batch)

    # -- at the end

    def waits(self) -> bool:
        """Whether a letter that a relay has is neither safe nor given up."""
        return any(
            letter.posted is not None and letter.safe is None and letter.given_up is None
            for letter in self.letters.values()
        )

    def close(self, end: int, kept_rounds: int) -> None:
        """Everybody has read up to this round, with all relays on. A letter is given up only if a relay had it for as
        long as relays keep anything, which is kept_rounds at least."""
        for text, letter in self.letters.items():
            if letter.read is None and not letter.excused and letter.posted is not None and letter.posted < end:
                self.fault(f"{letter.receiver} never had {text!r}, posted in {letter.posted}, safe in {letter.safe}")
            self._check_safe(text, letter, end, kept_rounds)
            self._check_delay(text, letter)
        missing = Counter((each.receiver, each.sender) for each in self.letters.values() if each.read is None)
        for pair, told in self.told_lost.items():
            if told > missing[pair]:
                self.fault(f"{pair[0]} is told that {told} letters of {pair[1]} are lost, and {missing[pair]} are")
        self.counts["never read"] = missing.total()

    def _check_safe(self, text: str, letter: Letter, end: int, kept_rounds: int) -> None:
        if letter.posted is None or letter.posted >= end or letter.excused or letter.safe is not None:
            return
        if letter.given_up is None:
            self.fault(f"{text!r}, posted in {letter.posted}, was never safe: a relay that came empty does not fill")
        elif letter.given_up < letter.posted + kept_rounds:
            self.fault(f"{text!r}, posted in {letter.posted}, was given up in {letter.given_up} already")

    def _check_delay(self, text: str, letter: Letter) -> None:
        """Delivery never stops: what a relay took is read soon, whatever burns, by whoever reads."""
        if letter.read is None or letter.posted is None or letter.excused:
            return
        present = self._present_from(letter.receiver, letter.posted)
        delay = letter.read - present
        self.counts["most rounds to be read"] = max(self.counts["most rounds to be read"], delay)
        if delay > SLACK_ROUNDS:
            self.fault(f"{text!r} was posted in {letter.posted} and read in {letter.read} only")

    def _present_from(self, reader: str, round_: int) -> int:
        """The first round from this one on in which somebody reads."""
        for first, end in self.away.get(reader, []):
            if first <= round_ < end:
                return end
        return round_
