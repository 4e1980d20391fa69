"""`tessera agent`: the steady engine as a service of the user, with a local socket for the commands.

Owns what the agent is asked over the socket (one JSON object a request, one an answer; after `subscribe` one a change)
and its end. The engine runs whatever is asked. Whoever may connect, which is the user alone, reads and sends without
the passphrase: as with an agent for keys, that is what it is for.

Requests, by their field `do`: status · contacts · messages (contact, new, take) · mark-read (places: contact, message
and round of each) · take-expired · sent (contact) · send (contact, text) · send-file (contact, name, content in base64)
· cancel (contact, first: a message's number) · budget · subscribe · stop. An answer with `error` has `hint` and
`exit_code`, too.
"""

import asyncio
import base64
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import InvalidInput, TesseraError, UsageError
from ..keys import local_socket
from ..keys.local_socket import Connection
from ..member.history import Sent
from ..member.inbox import Place
from .client import Client
from .engine import TokenRenewal
from .interface import Change, message_fields
from .link import PURPOSE

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Agent:
    """An agent that serves one client over a socket. `run` it until it is stopped."""

    def __init__(self, client: Client, home: Path) -> None:
        self._client = client
        self._home = home
        self._stopped = asyncio.Event()
        self._answers: dict[str, Answer] = {
            "status": self._status,
            "contacts": self._contacts,
            "messages": self._messages,
            "mark-read": self._mark_read,
            "take-expired": self._take_expired,
            "sent": self._sent,
            "send": self._send,
            "send-file": self._send_file,
            "cancel": self._cancel,
            "budget": self._budget,
            "stop": self._stop,
        }

    async def run(
        self,
        renewal: TokenRenewal | None = None,
        *,
        early: bool = True,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve until `stop` is asked for, or until cancelled. Raises KeystoreError if an agent already runs for this
        home."""
        async with await local_socket.serve_home(PURPOSE, self._home, self._converse):
            ready()
            engine = asyncio.create_task(self._client.run(renewal, early=early))
            stopped = asyncio.create_task(self._stopped.wait())
            try:
                await asyncio.wait({engine, stopped}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopped.cancel()
                engine.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await engine  # raises what ended it

    def stop(self) -> None:
        """Have `run` end."""
        self._stopped.set()

    async def _converse(self, connection: Connection) -> None:
        async for request in connection:
            if request.get("do") == "subscribe":
                await self._subscription(connection)
                return
            await connection.send(await self._answer(request))

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._answers.get(str(request.get("do")))
            if answer is None:
                raise UsageError(
                    "the agent does not know this request", "stop the agent and start it again: it may be older"
                )
            return await answer(request)
        except (KeyError, TypeError, ValueError):
            error: TesseraError = InvalidInput("the agent cannot read this request", "update tessera")
        except TesseraError as refused:
            error = refused
        return {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}

    async def _subscription(self, connection: Connection) -> None:
        changes = self._client.changes()
        await connection.send({"ok": True})
        forwarding = asyncio.create_task(_forward(changes, connection))
        try:
            while await connection.receive() is not None:
                pass  # nothing more is asked here; the end of the connection ends it
        finally:
            forwarding.cancel()

    # -- requests

    async def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"state": asdict(await self._client.state())}

    async def _contacts(self, _: dict[str, Any]) -> dict[str, Any]:
        contacts, meetings = await self._client.contacts(), await self._client.meetings()
        return {"contacts": [asdict(each) for each in contacts], "meetings": [asdict(each) for each in meetings]}

    async def _messages(self, request: dict[str, Any]) -> dict[str, Any]:
        new, take = bool(request.get("new")), bool(request.get("take", True))
        messages = await self._client.inbox(request.get("contact"), new=new, take=take)
        return {"messages": [message_fields(message) for message in messages]}

    async def _take_expired(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"expired": await self._client.take_expired()}

    async def _mark_read(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._client.mark_read([_place(place) for place in request["places"]])
        return {"ok": True}

    async def _sent(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"sent": [asdict(sent) for sent in await self._client.sent(request.get("contact"))]}

    async def _send(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._queued(await self._client.queue(_text(request, "contact"), _text(request, "text")))

    async def _send_file(self, request: dict[str, Any]) -> dict[str, Any]:
        content = base64.b64decode(_text(request, "content"), validate=True)
        return self._queued(await self._client.queue_file(_text(request, "contact"), _text(request, "name"), content))

    def _queued(self, sent: Sent) -> dict[str, Any]:
        return {"sent": asdict(sent)}

    async def _cancel(self, request: dict[str, Any]) -> dict[str, Any]:
        first = request["first"]
        if type(first) is not int:
            raise TypeError
        return self._queued(await self._client.cancel(_text(request, "contact"), first))

    async def _budget(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"budget": asdict(await self._client.budget())}

    async def _stop(self, _: dict[str, Any]) -> dict[str, Any]:
        asyncio.get_running_loop().call_later(0.1, self.stop)  # the answer goes first
        return {"ok": True}


async def _forward(changes: Any, connection: Connection) -> None:
    change: Change
    async for change in changes:
        await connection.send({"change": change.kind, **change.fields})


def _place(value: Any) -> Place:
    """Raises TypeError or ValueError."""
    contact, message, round_ = value
    if (type(contact), type(message), type(round_)) != (str, int, int):
        raise TypeError
    return contact, message, round_


def _text(request: dict[str, Any], name: str) -> str:
    """Raises TypeError."""
    value = request[name]
    if not isinstance(value, str):
        raise TypeError
    return value
