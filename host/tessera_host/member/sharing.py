"""One member shared by the tasks of a program that runs for long: its keystore is held only while a task needs it.

Owns when the keystore is taken and given back. In between other commands of the same user do their work.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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
                await self._take()
            self._users += 1
        try:
            yield self._member
        finally:
            self._users -= 1
            if self._users == 0:
                self._member.release()

    async def _take(self) -> None:
        """In a thread, as it may have to wait. Who is cancelled meanwhile waits for it, too, and gives back what it
        got: nobody else may begin before."""
        taking = asyncio.ensure_future(asyncio.to_thread(self._member.reacquire))
        try:
            await asyncio.shield(taking)
        except asyncio.CancelledError:
            while not taking.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({taking})
            if taking.exception() is None:
                self._member.release()
            raise

    def close(self) -> None:
        self._member.close()
