"""How gateways of one relay ask each other for what is not in the log: the token key, what a new gateway begins with.

Owns the interface, and an exchange in memory. What is asked and answered, and that nobody on the way can read or forge
it, is questions.py's; the way itself (nats_exchange) sees ciphertext.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from ..errors import Unreachable

Handler = Callable[[bytes], Awaitable[bytes]]


class Exchange(Protocol):
    """Of one gateway, by the numbers that gateways have in the log."""

    async def ask(self, gateway: int, request: bytes) -> bytes:
        """The whole answer of that gateway, however long. Raises Unreachable in bounded time if there is none; nothing
        is asked again by itself."""

    def answer(self, handler: Handler) -> None:
        """From now on questions for this gateway are answered so; before, by nobody. Several may be answered at once.
        Whoever asks hears nothing of what handler raises but that there is no answer."""

    async def close(self) -> None:
        """Nothing is raised."""


class MemoryExchange:
    """Of a gateway in this process. others: those of all gateways, by number, which close() leaves."""

    def __init__(self, number: int, others: "dict[int, MemoryExchange]") -> None:
        self._number = number
        self._others = others
        self._handler: Handler | None = None
        others[number] = self

    async def ask(self, gateway: int, request: bytes) -> bytes:
        asked = self._others.get(gateway)
        if asked is None or asked._handler is None:
            raise Unreachable(f"gateway {gateway} does not answer", "start it")
        return await asked._handler(request)

    def answer(self, handler: Handler) -> None:
        self._handler = handler

    async def close(self) -> None:
        if self._others.get(self._number) is self:
            del self._others[self._number]
