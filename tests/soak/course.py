"""What all who take part in a soak share: the relay, the dice, the book, counts, and whether the office is open."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from tessera.errors import BadFrame
from tests.soak.book import Book
from tests.soak.fastrelay import FastRelay

# What a client sees of a connection that ended: by the relay, by a power cut, by itself.
LOST: tuple[type[Exception], ...] = (OSError, EOFError, asyncio.TimeoutError, BadFrame)
RETRY_SECONDS = 0.02


@dataclass
class Course:
    relay: FastRelay
    dice: random.Random
    book: Book
    counts: Counter[str] = field(default_factory=Counter)
    doors: asyncio.Event = field(default_factory=asyncio.Event)  # open while members come
    rounds_ahead: int = 0  # that wrong clocks may have put the relay ahead since its last start
    highest_before: int = 0  # the round that may have been open before its last start: it never goes back
    over: bool = False

    def highest_round(self) -> int:
        """The relay's clock cannot have brought it further than this."""
        return max(self.highest_before, self.relay.round() + self.rounds_ahead)

    def clock_starts_anew(self, rounds_ahead: int) -> None:
        """The relay lost its clock, and is about to get one that may be so many rounds ahead."""
        self.highest_before = self.highest_round()
        self.rounds_ahead = rounds_ahead
