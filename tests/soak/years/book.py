"""What was written, acknowledged, read and said in the office, and what must hold between them. Knows letters, people,
relays by name and rounds; nothing of the product.

A relay has lives: whoever is put into a stolen one's place begins another. A letter that was acknowledged is kept in a
round of a relay's life, and whoever reads while it is kept there must have it.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

from tests.soak.years.dates import AHEAD_EPOCHS, EPOCH_ROUNDS, first_kept

_MOMENT = re.compile(r"\d\d:\d\d")  # of a day, perhaps with its date

Rounds = tuple[int, int]  # the first and the last one in which something may be


@dataclass
class Letter:
    """`places`: where each part is, once a relay has acknowledged it; in the life of the relay when it did."""

    number: int
    sender: str
    receiver: str
    relay: str
    text: str
    places: list[Rounds | None]
    life: int = 0
    orphaned: int | None = None  # the round in which its relay was stolen, until it is sent again
    excused: str = ""  # why nobody has to have it

    @property
    def kept(self) -> list[Rounds]:
        """Empty until all of it is there."""
        return [place for place in self.places if place] if None not in self.places else []


@dataclass
class _Relay:
    """The rounds that its lives begin with, and the one in which another was put into a stolen one's place."""

    lives: list[int] = field(default_factory=lambda: [0])
    replaced: int = 1 << 30


class Book:
    def __init__(self, tell: bool = False) -> None:
        """tell: print what is wrong as soon as it is found."""
        self._tell = tell
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._letters: dict[str, Letter] = {}  # by text, which says whose and which it is
        self._owed: dict[str, dict[str, Letter]] = {}  # by receiver: what is not read
        self._expired: set[str] = set()  # what its reader was told of
        self._told: dict[str, int] = {}  # by reader: the open round in which they were told last that something expired
        self._waiting: dict[str, dict[str, Letter]] = {}  # by sender: what is not acknowledged whole
        self._relays: dict[str, _Relay] = {}
        self._restored: dict[str, int] = {}  # the last round in which somebody's computer was restored
        self._left: dict[str, int] = {}  # the first round in which somebody is not a member any more
        self._tags: set[bytes] = set()

    def fault(self, text: str) -> None:
        self.wrong.append(text)
        if self._tell:
            print(f"FAIL  {text}", flush=True)

    # -- writing

    def wrote(self, sender: str, receiver: str, relay: str, text: str, parts: int) -> None:
        letter = Letter(len(self._letters), sender, receiver, relay, text, [None] * parts)
        self._letters[text] = letter
        self._owed.setdefault(receiver, {})[text] = letter
        self._waiting.setdefault(sender, {})[text] = letter
        self.counts["letters"] += 1

    def waits(self, sender: str) -> bool:
        """Whether anything of somebody was not acknowledged yet, or is to be sent again."""
        return bool(self._waiting.get(sender))

    def acknowledged(self, sender: str, text: str, rounds: list[int | None]) -> None:
        """How far a letter got, by the sender's own list."""
        letter = self._waiting.get(sender, {}).get(text)
        if letter is None or letter.kept:
            return
        relay = self._relays.setdefault(letter.relay, _Relay())
        letter.places = [(round_, round_) if round_ is not None else None for round_ in rounds]
        if any(round_ is not None and round_ < relay.lives[-1] for round_ in rounds):
            letter.orphaned = relay.lives[-1]  # it was stolen since
        if letter.kept:
            letter.life = len(relay.lives) - 1
            self.counts["acknowledged"] += 1
            if letter.orphaned is None:
                del self._waiting[sender][text]

    def must_leave(self, who: str, left: bool, said: str, round_: int, excuse: str) -> None:
        """Somebody wrote: something of theirs left in the open round, or there is a reason; whoever waits is told until
        when."""
        if left:
            return
        self.counts["times somebody waited to write"] += 1
        if excuse:
            self.counts[f"waited: {excuse}"] += 1
        elif reason := self._reason(who, round_):
            self.counts[f"waited: {reason}"] += 1
            if not _MOMENT.search(said):
                self.fault(f"{who} waits to write in round {round_}, {reason}, and is not told until when: {said}")
        else:
            self.fault(f"{who} waits to write in round {round_}: {said or 'nothing was said'}")

    def _reason(self, who: str, round_: int) -> str:
        """The lost computer may have had all tokens of the epochs ahead; a restored issuer gives none for the open
        epoch."""
        own, office = (self._restored.get(each, -(1 << 30)) for each in (who, "IT"))
        if round_ - own <= (AHEAD_EPOCHS + 2) * EPOCH_ROUNDS:
            return "after a restore"
        if round_ - office <= 2 * EPOCH_ROUNDS:
            return "after the issuer's restore"
        return ""

    # -- relays

    def stolen(self, relay: str, round_: int) -> None:
        """It is gone with all that it has of rounds up to this one."""
        place = self._relays.setdefault(relay, _Relay())
        place.lives.append(round_ + 1)
        place.replaced = 1 << 30
        for owed in self._owed.values():
            for letter in owed.values():
                if letter.relay == relay and letter.kept and letter.orphaned is None:
                    letter.orphaned = round_ + 1
                    self._waiting.setdefault(letter.sender, {})[letter.text] = letter
                    self.counts["letters on stolen relays"] += 1

    def replaced(self, relay: str, round_: int) -> None:
        self._relays[relay].replaced = round_
        self.counts["stolen relays replaced"] += 1

    def reached(self, sender: str, waiting: int, round_: int) -> None:
        """Somebody's program reached the office, an epoch or longer after a theft: it has sent again what the stolen
        relay had and would still keep; `waiting` parts wait in its outbox."""
        for text, letter in list(self._waiting.get(sender, {}).items()):
            stolen = letter.orphaned
            if stolen is None or round_ <= self._relays[letter.relay].replaced + EPOCH_ROUNDS or not letter.kept:
                continue
            if min(first for first, _ in letter.kept) < first_kept(round_):
                letter.excused = "its sender was away for longer than a relay keeps anything"
            elif waiting:
                continue  # one a round
            else:
                letter.places = [(stolen, round_)] * len(letter.places)
                letter.life, letter.orphaned = len(self._relays[letter.relay].lives) - 1, None
                self.counts["letters sent again"] += 1
            del self._waiting[sender][text]

    # -- reading

    def came(self, reader: str, sender: str, text: str) -> None:
        letter = self._letters.get(text)
        if letter is None or (letter.receiver, letter.sender) != (reader, sender):
            self.fault(f"{reader} has something from {sender} that was not written so: {text[:60]!r}")
        elif self._owed.get(reader, {}).pop(text, None) is not None:
            self.counts["read"] += 1
            if letter.orphaned is not None and letter.kept:
                self._waiting.get(letter.sender, {}).pop(text, None)
        elif text in self._expired:  # its sender was away when the relay was stolen, and sent it again
            self._expired.remove(text)
            self.counts["read after it had expired"] += 1
        else:
            if reader not in self._restored and reader not in self._left:
                self.fault(f"{reader} has twice what {sender} wrote once: {text[:60]!r}")
            self.counts["read again"] += 1

    def read(self, reader: str, relay: str, open_round: int, expired: int) -> None:
        """Somebody has read all that their relay has up to the open round, which is said to be open; so many rounds
        were said to have expired unread. (Of a letter in parts one may expire, and be told of, before the last is
        posted.)"""
        if expired:
            self._told[reader] = open_round
        life = len(self._relays.setdefault(relay, _Relay()).lives) - 1
        for text, letter in list(self._owed.get(reader, {}).items()):
            places = letter.kept
            if not places or letter.excused or letter.orphaned is not None or letter.life != life:
                continue
            if max(last for _, last in places) >= open_round:
                continue
            if min(first for first, _ in places) >= first_kept(open_round):
                self.fault(f"{reader} cannot read what {letter.sender} wrote in rounds {places}, in round {open_round}")
            elif min(last for _, last in places) < first_kept(open_round):
                self.counts["expired unread"] += 1
                if first_kept(self._told.get(reader, 0)) <= min(last for _, last in places):
                    self.fault(f"{reader} is not told that what {letter.sender} wrote in {places} expired unread")
                self._expired.add(text)
            else:
                continue
            del self._owed[reader][text]

    def unreadable(self, reader: str, round_: int, said: str) -> None:
        self.fault(f"{reader} cannot read what is kept, in round {round_}: {said}")

    # -- computers and people

    def restored(self, who: str, round_: int) -> None:
        """Somebody's computer, or IT's, is lost, and another one has what its backup says."""
        self.counts["computers restored from a backup"] += 1
        self._restored[who] = round_
        for letter in self._waiting.pop(who, {}).values():  # what it had not posted, or would have sent again
            letter.excused = "the sender's computer was lost"

    def left(self, who: str, round_: int) -> None:
        """Somebody is no member any more when this round opens."""
        self._left[who] = round_
        self._owed.pop(who, None)

    def end(self, who: str) -> int:
        """The first round in which somebody is not a member any more."""
        return self._left[who]

    def leaver(self, who: str, does: str, rounds: list[int], told: int | None) -> None:
        """Somebody who left reads or posts in these rounds at a relay that was told so in that round, None if it was
        not yet. Who is told late goes by it from the next epoch on."""
        if told is None:
            return
        end = self._left[who]
        if told >= end:
            end = (told // EPOCH_ROUNDS + 1) * EPOCH_ROUNDS
        late = [round_ for round_ in rounds if round_ >= end]
        if late:
            self.fault(f"{who} has left, and {does} in rounds {late[0]} to {late[-1]}; the last was {end - 1}")

    # -- relays' records, the office's words

    def posted(self, tag: bytes, round_: int) -> None:
        """A record with this tag (its first bytes) came to a relay."""
        if tag in self._tags:
            self.fault(f"a tag was used twice, the second time in round {round_}: a key has sealed two records")
        self._tags.add(tag)
        self.counts["records"] += 1

    def warned(self, who: str, said: bool, seconds_left: float, day: float) -> None:
        """Whether somebody says that the schedule of keys ends, so long before it does."""
        self.counts["looks at the schedule's end"] += 1
        self.counts["warnings of it"] += said
        if said != (seconds_left <= 30 * 86400):
            words = "says" if said else "does not say"
            left = f"{seconds_left / 86400:.1f} days before, on day {day:.0f}"
            self.fault(f"{who} {words} that the schedule ends, {left}")

    # -- at the end

    def close(self, round_: int) -> None:
        for sender, letters in self._waiting.items():
            old = [each for each in letters.values() if each.orphaned and each.orphaned < round_ - 15 * EPOCH_ROUNDS]
            if old and sender not in self._left:
                self.fault(f"{sender} has not sent again {len(old)} letters that a stolen relay had")
        self.counts["never read"] = sum(map(len, self._owed.values()))
