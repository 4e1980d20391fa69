"""How many connections to the issuer's service each owner has, and which one is ended when there are too many.

Owns the rooms, and nothing of what is said in them. A connection rises from room to room as it shows who it is, so that
who has shown less never takes the place of who has shown more.
"""

import asyncio
from collections import Counter


class Room:
    """Connections of one standing, oldest first, each with its owner: an address or a member's key.

    There may be `most` of them (this may change), and `each` of one owner. One more ends the oldest: that of its owner,
    if the owner has too many, else that of the owner with the most.
    """

    def __init__(self, most: int, each: int | None = None) -> None:
        self.most = most
        self._each = each
        self._inside: dict[asyncio.Task[None], str | bytes] = {}

    def enter(self, task: asyncio.Task[None], owner: str | bytes) -> None:
        counts = Counter(self._inside.values())
        if self._each is not None and counts[owner] >= self._each:
            self._send_away(owner)
        elif len(self._inside) >= self.most:
            self._send_away(counts.most_common(1)[0][0])  # of several with the same number the one that came first
        self._inside[task] = owner

    def leave(self, task: asyncio.Task[None]) -> None:
        self._inside.pop(task, None)  # it may have been sent away

    def _send_away(self, owner: str | bytes) -> None:
        oldest = next(task for task, whose in self._inside.items() if whose == owner)
        self.leave(oldest)
        oldest.cancel()


class Visit:
    """One connection, which is in one room at a time."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task
        self._place: tuple[Room, str | bytes] | None = None

    def enter(self, room: Room, owner: str | bytes) -> None:
        """Move the connection to this room; nothing if it is there already."""
        if self._place != (room, owner):
            self.leave()
            room.enter(self._task, owner)
            self._place = room, owner

    def leave(self) -> None:
        if self._place:
            self._place[0].leave(self._task)
            self._place = None
