"""The commands' side of a running agent: the same calls as the client's, answered over its local socket.

Owns the requests as they are sent and how the agent's errors come back as errors here. Their other end is in `server`.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, Self, TypeVar

from .. import errors, typed
from ..errors import InvalidInput, TesseraError, Unreachable
from ..keys import local_socket
from ..keys.local_socket import Connection, Silent
from ..member.accountant import Budget
from ..member.history import Sent
from ..member.inbox import Message, Place
from .interface import Change, Contact, Meeting, State, read_message

T = TypeVar("T")

PURPOSE = "agent"
ANSWER_SECONDS = 30.0  # it may have to wait until another command gives the keystore back


class AgentLink:
    """One conversation with the agent of a home."""

    def __init__(self, home: Path, connection: Connection) -> None:
        """Not for callers: use `find`."""
        self._home = home
        self._connection = connection
        self._asking = asyncio.Lock()  # an answer belongs to the question before it

    @classmethod
    async def find(cls, home: Path) -> Self | None:
        """Connect to the agent of this home; None if none runs."""
        try:
            return cls(home, await local_socket.connect_home(PURPOSE, home))
        except Unreachable:
            return None

    async def close(self) -> None:
        """End the conversation."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def contacts(self) -> list[Contact]:
        return _read(list[Contact], (await self._ask("contacts")).get("contacts"))

    async def meetings(self) -> list[Meeting]:
        return _read(list[Meeting], (await self._ask("contacts")).get("meetings"))

    async def inbox(self, contact: str | None = None, *, new: bool = False, take: bool = True) -> list[Message]:
        answer = await self._ask("messages", contact=contact, new=new, take=take)
        return _understood(lambda: [read_message(fields) for fields in answer["messages"]])

    async def take_expired(self) -> int:
        return _read(int, (await self._ask("take-expired")).get("expired"))

    async def mark_read(self, places: Iterable[Place]) -> None:
        await self._ask("mark-read", places=[list(place) for place in places])

    async def sent(self, contact: str | None = None) -> list[Sent]:
        return _read(list[Sent], (await self._ask("sent", contact=contact)).get("sent"))

    async def queue(self, contact: str, text: str) -> Sent:
        return _read(Sent, (await self._ask("send", contact=contact, text=text)).get("sent"))

    async def queue_file(self, contact: str, name: str, content: bytes) -> Sent:
        coded = base64.b64encode(content).decode()
        return _read(Sent, (await self._ask("send-file", contact=contact, name=name, content=coded)).get("sent"))

    async def cancel(self, contact: str, first: int) -> Sent:
        return _read(Sent, (await self._ask("cancel", contact=contact, first=first)).get("sent"))

    async def budget(self) -> Budget:
        return _read(Budget, (await self._ask("budget")).get("budget"))

    async def state(self) -> State:
        return _read(State, (await self._ask("status")).get("state"))

    async def stop(self) -> None:
        """Ask the agent to end."""
        await self._ask("stop")

    async def changes(self) -> AsyncIterator[Change]:
        """Iterate over what the agent does, from now on, over a connection of its own, until the agent ends."""
        async with await local_socket.connect_home(PURPOSE, self._home) as connection:
            await self._asked(connection, {"do": "subscribe"})
            async for found in connection:
                yield Change(str(found.pop("change", "")), found)

    async def _ask(self, what: str, **fields: Any) -> dict[str, Any]:
        async with self._asking:
            return await self._asked(self._connection, {"do": what, **fields})

    async def _asked(self, connection: Connection, question: dict[str, Any]) -> dict[str, Any]:
        try:
            return _answer(await connection.ask(question, ANSWER_SECONDS))
        except Silent:
            process = local_socket.process_of(PURPOSE, self._home)
            raise Unreachable(
                f"the agent of this home (process {process}) does not answer",
                "if that process is suspended, let it continue or end it; until then no other "
                "command can use this keystore",
            ) from None


def _answer(found: dict[str, Any]) -> dict[str, Any]:
    """Raises what the agent says is wrong, with its exit code."""
    if "error" not in found:
        return found
    kinds = {kind.exit_code: kind for kind in vars(errors).values() if _is_error(kind)}
    code = found.get("exit_code")
    kind = kinds.get(code, TesseraError) if isinstance(code, int) else TesseraError
    raise kind(str(found["error"]), str(found.get("hint", "")))


def _read(kind: type[T], value: Any) -> T:
    """What an answer says, checked. Raises InvalidInput."""
    return _understood(lambda: typed.load(kind, value))


def _understood(read: Callable[[], T]) -> T:
    """Raises InvalidInput for an answer that no agent of this version gives."""
    try:
        return read()
    except (KeyError, TypeError, ValueError):
        raise InvalidInput(
            "this program does not understand the agent's answer",
            "stop the agent and start it again: it may be another version",
        ) from None


def _is_error(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, TesseraError) and kind.__base__ is TesseraError
