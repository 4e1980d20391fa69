"""What gateways ask each other, carried by the engine's nodes: requests and answers of plain NATS, without a stream.

Owns the subjects, the pieces of a long answer, and that a gateway hears what is asked of it whichever node it is
connected to. It needs no port of its own and no quorum of JetStream, as nothing is stored. What is in a message is
exchange's, and is sealed there; how the engine is reached is nats_connection's.
"""

import asyncio
import contextlib
import struct

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from ..errors import TesseraError
from .exchange import MOST_ANSWER_BYTES, Carry, unanswered
from .log import MOST_ENTRY_BYTES, LogError
from .nats_connection import Connection, cancellable, tried

ANSWER_SECONDS = 8.0  # to the next piece of an answer: as long as a member waits
LOOK_SECONDS = 0.5  # after which a gateway that lost its node is heard at another
_AT_ONCE = 16  # questions that are answered at a time; the others wait
_PIECE = struct.Struct(">HH")  # its number, how many there are
_PIECE_BYTES = MOST_ENTRY_BYTES - _PIECE.size
_MOST_PIECES = -(-MOST_ANSWER_BYTES // _PIECE_BYTES)


class NatsTransport:
    """exchange.Transport over the connection of the log with this name."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._hearing: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(_AT_ONCE)

    def _subject(self, gateway: int) -> str:
        return f"tessera.gateway.{self._name}.{gateway}"

    async def ask(self, gateway: int, message: bytes) -> bytes:
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        try:
            client = await self._connection.client()
            inbox = client.new_inbox()
            subscription = await tried(client.subscribe(inbox, cb=arrived.put))
            try:
                await tried(client.publish(self._subject(gateway), message, reply=inbox))
                answer = await _pieces(arrived)
            finally:
                with contextlib.suppress(NatsError, OSError):
                    await cancellable(subscription.unsubscribe())
        except (LogError, TimeoutError):
            answer = None
        if answer is None:
            raise unanswered(gateway)
        return answer

    def answer(self, gateway: int, carry: Carry) -> None:
        self._hearing.add(asyncio.create_task(self._hear(gateway, carry)))

    async def close(self) -> None:
        for task in self._hearing:
            task.cancel()
        await asyncio.gather(*self._hearing, return_exceptions=True)
        self._hearing.clear()

    async def _hear(self, gateway: int, carry: Carry) -> None:
        """At the node that the connection has, and at the next one when it has another."""
        there: Client | None = None
        answering: set[asyncio.Task[None]] = set()

        async def take(message: Msg) -> None:
            task = asyncio.create_task(self._respond(message, carry))
            answering.add(task)
            task.add_done_callback(answering.discard)

        try:
            while True:
                with contextlib.suppress(LogError):
                    client = await self._connection.client()
                    if client is not there:
                        await tried(client.subscribe(self._subject(gateway), cb=take))
                        there = client
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for task in answering:
                task.cancel()

    async def _respond(self, message: Msg, carry: Carry) -> None:
        """Who asks hears of no failure here but that there is no answer."""
        with contextlib.suppress(NatsError, OSError, TesseraError):
            async with self._places:
                answered = await carry(message.data)
            parts = [answered[at : at + _PIECE_BYTES] for at in range(0, len(answered), _PIECE_BYTES)]
            for number, part in enumerate(parts):
                await message.respond(_PIECE.pack(number, len(parts)) + part)


async def _pieces(arrived: asyncio.Queue[Msg]) -> bytes | None:
    """An answer, of pieces that come in order; None if what comes is none, as from an engine that says that nobody
    hears. Raises TimeoutError."""
    found: list[bytes] = []
    while True:
        async with asyncio.timeout(ANSWER_SECONDS):
            data = (await arrived.get()).data
        if len(data) < _PIECE.size:
            return None
        number, count = _PIECE.unpack_from(data)
        if number != len(found) or not number < count <= _MOST_PIECES:
            return None
        found.append(data[_PIECE.size :])
        if len(found) == count:
            return b"".join(found)
