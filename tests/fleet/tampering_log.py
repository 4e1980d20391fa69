"""A log in front of another that lies to its readers in a way that is consistent in itself: positions without a gap,
each id its entry's own. So nothing but the chain that entries carry can tell (docs/fleet.md §5). A proxy that lies with
the engine's own frames is tampering.py.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable

from tessera_host.fleet.entry import entry_id
from tessera_host.fleet.log import Entry, Log

Tamper = Callable[[Entry], Iterable[bytes]]  # of an entry, what stands in its place


class TamperingLog:
    """From position `begins` on. What is appended goes to the log behind it, unchanged."""

    keeps_all = False

    def __init__(self, log: Log, tamper: Tamper, begins: int = 0) -> None:
        self._log, self._tamper, self.begins = log, tamper, begins

    async def append(self, entry: bytes, id: bytes) -> None:
        await self._log.append(entry, id)

    async def follow(self, position: int) -> AsyncGenerator[Entry, None]:
        at = position
        async with contextlib.aclosing(self._log.follow(position)) as entries:
            async for entry in entries:
                shown = self._tamper(entry) if entry.position >= self.begins else (entry.entry,)
                for each in shown:
                    yield Entry(at, entry_id(each), each)
                    at += 1

    async def trim(self, before: int) -> None:
        await self._log.trim(before)

    async def last(self) -> int:
        return await self._log.last()

    async def close(self) -> None:
        """The log behind it is another's to close."""


def lost(entry: Entry) -> Iterable[bytes]:
    return () if entry.position % 7 == 0 else (entry.entry,)


def doubled(entry: Entry) -> Iterable[bytes]:
    return (entry.entry,) * (2 if entry.position % 7 == 0 else 1)


def changed(entry: Entry) -> Iterable[bytes]:
    """A byte of what is sealed."""
    if entry.position % 7:
        return (entry.entry,)
    return (entry.entry[:-1] + bytes((entry.entry[-1] ^ 1,)),)


def of_another_gateway(entry: Entry) -> Iterable[bytes]:
    """What can be read of it says so."""
    if entry.position % 7:
        return (entry.entry,)
    return (entry.entry[:6] + bytes((entry.entry[6] ^ 3,)) + entry.entry[7:],)


class Swapped:
    """Every seventh comes behind the one after it."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def __call__(self, entry: Entry) -> Iterable[bytes]:
        if entry.position % 7 == 0:
            self._held = [entry.entry]
            return ()
        held, self._held = self._held, []
        return (entry.entry, *held)


class Forked:
    """Two logs: this reader is shown what one gateway wrote, and nothing of the others'."""

    def __init__(self, gateway: int) -> None:
        self._gateway = gateway.to_bytes(2, "big")

    def __call__(self, entry: Entry) -> Iterable[bytes]:
        return (entry.entry,) if entry.entry[5:7] == self._gateway else ()
