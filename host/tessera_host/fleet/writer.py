"""What a gateway has on its way into the log: frames that wait for a tick, entries that were not replayed yet, and who
waits for an answer to one of them (docs/fleet.md §8, 6).

Owns when an answer is settled, and when it is BUSY without one. Leaves to others: which frames are written (relay.py,
duties.py), what an effect means (replay.py), the log itself (gateway.py).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from tessera.errors import Busy

from . import frames
from .entry import MOST_FRAMES, Random
from .frames import ID_BYTES, Frame

MOST_WAITING = 500  # frames; one more is BUSY at once
ANSWER_SECONDS = 8.0
# Longer than the 8 s that a client waits within a connection: whoever is to be admitted would else ask six times, and
# hear after a minute what a post hears at once.
_RETRY_SECONDS = 9
_DRAWN_BYTES = 1 << 14

Then = Callable[[], None]
OfMember = frames.Void | frames.Place | frames.Record


class Drawn:
    """Random bytes of the relay's generator for what is no secret, many at a time: it counts its calls."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._bytes = b""
        self._at = 0

    def __call__(self, length: int) -> bytes:
        if len(self._bytes) - self._at < length:
            self._bytes, self._at = self._random(_DRAWN_BYTES), 0
        self._at += length
        return self._bytes[self._at - length : self._at]


class Answer:
    """An answer that leaves when its frame was replayed; one without a frame need not wait (machine.commits).

    outcome: raised in place of the answer, however the frame is taken. then: called when it was taken as it is.
    over: its frame was taken, or refused.
    """

    def __init__(self, outcome: Exception | None = None, then: Then | None = None) -> None:
        self.over = False
        self._woken = asyncio.Event()  # it is over, or it was waited for long enough
        self._outcome = outcome
        self._then = then
        self._until = asyncio.get_running_loop().time() + ANSWER_SECONDS

    def settle(self, error: Exception | None = None) -> None:
        """The frame was replayed. error: why it was refused."""
        self._outcome = self._outcome or error
        if self._then is not None and error is None:
            self._then()
        self.over = True
        self._woken.set()

    async def wait(self) -> None:
        """Raises a Refusal: the outcome, or Busy after 8 seconds (the frame may count yet)."""
        if not self.over:
            await self._wait_until()
        if self._outcome is not None:
            raise self._outcome

    async def _wait_until(self) -> None:
        """By a timer of its own: asyncio.timeout would be a third of what it costs, and every answer of a busy fleet
        waits."""
        over = asyncio.get_running_loop().call_at(self._until, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            over.cancel()
        if not self.over:
            raise Busy("the log does not answer", _RETRY_SECONDS)


class _Nothing:
    """For an answer without a frame."""

    over = True

    async def wait(self) -> None:
        pass


_NOTHING = _Nothing()


class Writer:
    """Frames in, frames of one entry out. Everything of one group stands in one entry."""

    def __init__(self) -> None:
        self._groups: list[Sequence[Frame]] = []
        self._flying: dict[bytes, list[Frame]] = {}  # by the ids of their entries
        self._answers: dict[bytes, Answer] = {}  # by the ids of frames, and of objects
        self._kinds: Counter[int] = Counter()  # of all that is on its way
        self._marks: set[bytes] = set()  # of records that are
        self._written: Answer | None = None  # for the answer that is being made
        self._draw: Random | None = None

    def begin(self, random: Random) -> None:
        self._draw = random

    # -- what is to be written

    @property
    def waiting(self) -> int:
        """Frames on their way."""
        return self._kinds.total()

    @property
    def flying(self) -> int:
        """Entries that were made and are not replayed yet."""
        return len(self._flying)

    def is_on_its_way(self, kind: int) -> bool:
        return self._kinds[kind] > 0

    def has_mark(self, mark: bytes) -> bool:
        """Whether a record of a token and round with this mark is on its way."""
        return mark in self._marks

    def id(self) -> bytes:
        assert self._draw is not None
        return self._draw(ID_BYTES)

    def add(self, *group: Frame) -> None:
        """What the gateway writes by itself."""
        self._groups.append(group)
        for frame in group:
            self._kinds[frame.kind] += 1
            if isinstance(frame, frames.Record):
                self._marks.add(frame.mark)

    def request(
        self,
        frame: OfMember,
        outcome: Exception | None = None,
        then: Then | None = None,
    ) -> None:
        """The one frame of a member's request, whose answer waits for it. Raises Busy if too many wait."""
        self._hold(frame.id, outcome, then)
        self.add(frame)

    def void(self, outcome: Exception | None = None) -> None:
        """As request(), with a VOID."""
        self.request(frames.Void(self.id()), outcome)

    def request_object(self, kind: int, content: bytes) -> None:
        """An object whose answer waits for it; who carries out effects settles that by its object_id."""
        self._hold(frames.object_id(kind, content), None, None)
        self.add(*frames.pieces(kind, content))

    def _hold(self, id: bytes, outcome: Exception | None, then: Then | None) -> None:
        self._written = None
        if self.waiting >= MOST_WAITING:
            raise Busy("the log is slow", _RETRY_SECONDS)
        if id not in self._answers:  # of an object that two members bring
            self._answers[id] = Answer(outcome, then)
        self._written = self._answers[id]

    def next(self) -> Answer | _Nothing:
        """What the answer that was just made waits for (server.py)."""
        written, self._written = self._written, None
        return written or _NOTHING

    # -- entries

    def take(self) -> list[Frame]:
        """The frames of the next entry; none if there is nothing to write."""
        taken: list[Frame] = []
        while self._groups and len(taken) + len(self._groups[0]) <= MOST_FRAMES:
            taken += self._groups.pop(0)
        return taken

    def sent(self, entry_id: bytes, taken: list[Frame]) -> None:
        """They are in the entry with this id."""
        self._flying[entry_id] = taken

    def arrived(self, entry_id: bytes) -> list[Frame]:
        """An entry is replayed: the frames in it if it is of this life of this gateway."""
        mine = self._flying.pop(entry_id, [])
        for frame in mine:
            self._kinds[frame.kind] -= 1
            if isinstance(frame, frames.Record):
                self._marks.discard(frame.mark)
        return mine

    def settle(self, id: bytes, error: Exception | None = None) -> None:
        """Of a frame, or an object, of this gateway; others are nobody's here."""
        answer = self._answers.pop(id, None)
        if answer is not None:
            answer.settle(error)

    def settle_rest(self, mine: Sequence[Frame], error: Exception) -> None:
        """Whatever of an entry nobody has settled."""
        for frame in mine:
            if isinstance(frame, OfMember):
                self.settle(frame.id, error)
            elif isinstance(frame, frames.Piece):
                self.settle(frame.object, error)
