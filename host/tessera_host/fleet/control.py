"""How the commands of IT reach the gateway that runs on this host: over a socket in its directory.

Owns what a running gateway is asked there and how its errors come back. Whoever may write in the gateway's directory
may ask: its own user and root, nobody over a network. The commands are cli/fleet.py's, what a gateway does with a
request operated.py's.

Requests, by their field `do`: status · invite · drain · remove (gateway) · repair (storage, without). An answer with
`error` has `hint` and `exit_code`, too.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from .. import errors
from ..errors import InvalidInput, TesseraError, Unreachable, UsageError
from ..keys import local_socket
from ..keys.local_socket import Connection, Server
from . import operated, repair, storage
from .join_codes import GOOD_SECONDS
from .operated import GatewayStatus, Looking, Operated

PURPOSE = "gateway"
ANSWER_SECONDS = 30.0  # the others may have to be asked first, and the log to take something

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class _Answering(ABC):
    """An asynchronous context manager, inside of which requests at a gateway's directory are answered."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        """Raises KeystoreError if another process answers there."""
        self._server = await local_socket.serve_beside(PURPOSE, self._directory, self._converse)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await self._server.close()

    async def _converse(self, connection: Connection) -> None:
        async for request in connection:
            await connection.send(await self._answer(request))

    @abstractmethod
    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]: ...


class Control(_Answering):
    """For a gateway that runs."""

    def __init__(self, gateway: Operated, looking: Looking, directory: Path) -> None:
        super().__init__(directory)
        self._gateway = gateway
        self._looking = looking
        self._answers: dict[str, Answer] = {
            "status": self._status,
            "invite": self._invite,
            "drain": self._drain,
            "remove": self._remove,
            "repair": self._repair,
        }

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._answers.get(str(request.get("do")))
            if answer is None:
                raise UsageError("the gateway does not know this request", "it may be older: start it again")
            return await answer(request)
        except (KeyError, TypeError, ValueError):
            error: TesseraError = InvalidInput("the gateway cannot read this request", "update tessera")
        except TesseraError as refused:
            error = refused
        return _refusal(error)

    async def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        found = await self._looking.all()
        state, engine = self._gateway.state, self._looking.engine
        shown = {number: status and _shown(status) for number, status in found.items()}
        told = None if engine is None else {"leader": engine.leader, "nodes": [each._asdict() for each in engine.nodes]}
        notes = [asdict(each) for each in operated.remarks(state, found, engine)]
        views = {number: state.views.get(number, 0) for number in state.nodes}
        about = {"gateway": self._gateway.number, "quorum": state.quorum, "epoch": state.epoch}
        return about | {"gateways": shown, "views": views, "engine": told, "remarks": notes}

    async def _invite(self, _: dict[str, Any]) -> dict[str, Any]:
        if self._gateway.fault:
            raise UsageError(
                "this gateway has stopped serving, so nobody can join here", "see why: tessera fleet status DIR"
            )
        return {"code": str(self._gateway.codes.make()), "good_seconds": int(GOOD_SECONDS)}

    async def _drain(self, _: dict[str, Any]) -> dict[str, Any]:
        """Asked again it says how far that is."""
        self._gateway.door.close()
        return {"sessions": self._gateway.sessions, "waiting": self._gateway.waiting}

    async def _remove(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._gateway.remove(int(request["gateway"]))
        return {"removed": int(request["gateway"]), "gateways": sorted(self._gateway.state.nodes)}

    async def _repair(self, request: dict[str, Any]) -> dict[str, Any]:
        url, without = str(request["storage"]), frozenset(map(int, request["without"]))
        found = await self._looking.all()
        repair.check(self._gateway, found, without)
        await repair.begin_again(self._directory, *self._gateway.parts, url)
        self._gateway.fault = operated.REPAIRED
        left = [number for number in found if number != self._gateway.number]
        return {"storage": url, "gateway": self._gateway.number, "position": self._gateway.state.position, "left": left}


class Waiting(_Answering):
    """For a gateway that started and has no engine yet: whatever it is asked, it answers that it waits, and why."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.why = "it has not answered yet"

    async def _answer(self, _: dict[str, Any]) -> dict[str, Any]:
        waits = f"the gateway in {self._directory} waits for the engine: {self.why}"
        return _refusal(Unreachable(waits, "start the engine's nodes; it goes on by itself then"))


def _refusal(error: TesseraError) -> dict[str, Any]:
    return {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}


def _shown(status: GatewayStatus) -> dict[str, Any]:
    return asdict(status) | {"chain": status.chain.hex(), "state": status.state.hex()}


async def ask(directory: Path, what: str, **fields: Any) -> dict[str, Any]:
    """What the gateway of this directory answers. Raises UsageError if it is no gateway's, Unreachable if none runs,
    and what the gateway says is wrong."""
    storage.require_gateway(directory)
    try:
        connection = await local_socket.connect_home(PURPOSE, directory, root=True)
    except Unreachable:
        raise Unreachable(
            f"no gateway runs in {directory}", f"start it: tessera serve {directory}, or systemctl start its unit"
        ) from None
    async with connection:
        found = await connection.ask({"do": what, **fields}, ANSWER_SECONDS)
    if "error" not in found:
        return found
    kinds = {
        kind.exit_code: kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, TesseraError) and kind.__base__ is TesseraError
    }
    kind = kinds.get(found.get("exit_code", 1), TesseraError)
    raise kind(str(found["error"]), str(found.get("hint", "")))


async def drained(directory: Path, tell: Callable[[int], None], pause_seconds: float = 0.5) -> None:
    """Have a gateway take no more members; returns when the last one has left. tell(sessions): of those that are still
    there. Raises Unreachable."""
    while True:
        found = await ask(directory, "drain")
        if not found["sessions"] and not found["waiting"]:
            return
        tell(int(found["sessions"]))
        await asyncio.sleep(pause_seconds)
