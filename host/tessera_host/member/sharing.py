"""One member shared by the tasks of a program that runs for long: its keystore is held only while a task needs it.

Owns when the keystore is taken and given back. In between other commands of the same user do their work.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..threads import finished
from .state import MemberState


class SharedMember:
    """Whoever makes one gives the member to it: it is released at once."""

    def __init__(self, member: MemberState) -> None:
        self._member = member
        self._users = 0
        self._taking = asyncio.Lock()
        member.release()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[MemberState]:
        """The member, with its keystore held. Nothing that was taken from it may be used afterwards.

        Raises KeystoreError if another process has the keystore for longer than a command takes.
        """
        async with self._taking:
            if self._users == 0:
                await finished(self._member.reacquire, undo=lambda _: self._member.release())
            self._users += 1
        try:
            yield self._member
        finally:
            self._users -= 1
            if self._users == 0:
                self._member.release()

    async def close(self) -> None:
        """Once whoever is about to take the keystore has it, or is refused: a thread that opened it later would leave
        it locked."""
        async with self._taking:
            self._member.close()
