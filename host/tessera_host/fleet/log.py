"""The log that makes several gateways one relay: what a back end of it does, and what one that fails is called.

Owns the interface, the errors, and how a follower notices that an engine lost, doubled or swapped an entry. How entries
are kept is each back end's (sqlite_log, nats_log), what is in them entry's. What a back end has to promise is what
tests/fleet/conformance.py holds; docs/fleet-log.md says what another one would take.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

from ..errors import IntegrityError, TesseraError, Unreachable, UsageError

ID_BYTES = 16
MOST_ENTRY_BYTES = 1 << 19  # 500 frames of 300 bytes and their header are 150 kB
_REMEMBERED = 1 << 14  # entries whose ids a follower knows: minutes of a busy fleet, 3 MB
_LEAVE_IT = "leave the engine's disks as they are and start no gateway anew: each still has what it replayed"


class LogError(TesseraError):
    """A log that cannot do what it is there for."""


class LogUnavailable(LogError):
    """Not now. Of an entry that was being appended nothing is known: append it again, under the same id."""

    exit_code = Unreachable.exit_code


class LogBroken(LogError):
    """The engine lost, doubled or swapped what it had acknowledged or shown: no gateway may go on with it."""

    exit_code = IntegrityError.exit_code

    def __init__(self, message: str) -> None:
        super().__init__(message, _LEAVE_IT)


class LogRefused(LogError):
    """The engine is set up in a way that does not keep what it acknowledges; the hint is what to write where."""

    exit_code = UsageError.exit_code


class NodesMissing(LogRefused):
    """The engine has too few nodes for a log. So it is for some seconds after they start, too."""


class NobodyAnswers(LogUnavailable):
    """No node of the engine is there at all."""


class Entry(NamedTuple):
    """`position` is the engine's: 1 for the first entry of a log, one more for each that follows."""

    position: int
    id: bytes  # ID_BYTES
    entry: bytes  # MOST_ENTRY_BYTES at most


class EngineNode(NamedTuple):
    """One of those that keep the log. is_current: it answers, and has all that there is."""

    name: str
    version: str
    is_current: bool


class EngineStatus(NamedTuple):
    """How the engine does, for people. leader: the node that orders entries now; empty while there is none, and then
    nothing is appended. refusal: why nothing is appended although there is one: what a LogRefused says."""

    leader: str
    nodes: tuple[EngineNode, ...]
    refusal: str = ""


class Log(Protocol):
    """Entries in one order, the same for whoever reads them. Each call raises LogError and nothing else. keeps_all:
    whether nothing leaves it but by trim()."""

    keeps_all: bool

    async def append(self, entry: bytes, id: bytes) -> None:
        """Return when the entry is durable, wherever the engine keeps it. Under an id that the log has it means nothing
        new. Raises LogUnavailable in bounded time, ValueError if a size is wrong."""

    def follow(self, position: int) -> AsyncGenerator[Entry, None]:
        """What stands at this position and behind it, in order and without a gap; then whatever comes, for ever.

        What was trimmed before the first entry was handed over is passed over. Goes on by itself when the engine is
        back after it was away. Raises LogBroken, also if the log ends before position - 1: what was there is lost.
        """

    async def trim(self, before: int) -> None:
        """Forget what stands before this position, which is last() + 1 at most (ValueError)."""

    async def last(self) -> int:
        """The position of the newest entry that was ever appended; 0: there was none."""

    async def engine(self) -> EngineStatus:
        """As far as it can be asked. Raises LogUnavailable if nothing of it answers."""

    async def close(self) -> None:
        """Followers end with LogUnavailable. Nothing is raised."""


def require_sizes(entry: bytes, id: bytes) -> None:
    """Raises ValueError."""
    if len(id) != ID_BYTES or not 0 < len(entry) <= MOST_ENTRY_BYTES:
        raise ValueError(f"an entry has an id of {ID_BYTES} bytes and 1 to {MOST_ENTRY_BYTES} bytes")


class Order:
    """What one follower was shown, and what it was promised: an engine that breaks its word is noticed here.

    `next` is the position that it is to be shown next.
    """

    def __init__(self, position: int) -> None:
        self.next = max(position, 1)
        self._began = False
        self._places: OrderedDict[bytes, int] = OrderedDict()  # of the newest entries that were shown, without a gap
        self._promised: dict[int, bytes] = {}  # acknowledged, not shown yet

    def require_end(self, last: int) -> None:
        """The engine says that this is the newest position."""
        if last < self.next - 1:
            raise LogBroken(f"the log ends at {last}, and {self.next - 1} was in it: the engine lost its end")

    def pass_over(self, first: int) -> None:
        """The engine says that what stood before this position was trimmed."""
        if first <= self.next:
            return
        if self._began:
            raise LogBroken(f"the log begins at {first}, and {self.next} was not read yet: it was trimmed too early")
        self.next = first
        self._promised = {position: id for position, id in self._promised.items() if position >= first}

    def take(self, position: int, id: bytes) -> None:
        """The engine shows this entry next."""
        if position != self.next:
            raise LogBroken(f"the engine shows {position} where {self.next} comes next: it lost or moved entries")
        if len(id) != ID_BYTES:
            raise LogBroken(f"what stands at {position} was appended by no gateway")
        if id in self._places:
            raise LogBroken(f"the entry at {self._places[id]} stands at {position} again: the engine doubled it")
        if self._promised.pop(position, id) != id:
            raise LogBroken(f"the entry at {position} differs from the one that was acknowledged there")
        self._began = True
        self.next = position + 1
        self._places[id] = position
        if len(self._places) > _REMEMBERED:
            self._places.popitem(last=False)

    def promise(self, position: int, id: bytes) -> None:
        """The engine acknowledged an entry at this position."""
        if position >= self.next:
            if self._promised.setdefault(position, id) != id:
                raise LogBroken(f"the engine acknowledged two entries at {position}")
        elif position >= self.next - len(self._places) and self._places.get(id) != position:
            raise LogBroken(f"the entry at {position} differs from the one that is acknowledged there")
