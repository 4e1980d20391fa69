"""A node of NATS that lies: a proxy before one, which changes what it shows to readers of the log.

Owns how frames from a node are taken apart and put together again. What is changed is said by a test: a function of one
delivery that returns those which take its place. All are numbered anew for the client, so that its own check of what
arrived finds nothing; unless the network is to blame, which numbers nothing.
"""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

_LAST = b"Nats-Last-Consumer"
_NEWLINE = b"\r\n"
_DELIVERY = b"$JS.ACK."
_STREAM_SEQUENCE, _CONSUMER_SEQUENCE = 5, 6  # tokens of a delivery's reply subject


@dataclass(frozen=True)
class Delivery:
    head: tuple[bytes, ...]  # HMSG SUBJECT SID
    reply: bytes
    sizes: tuple[bytes, ...]
    body: bytes

    @property
    def position(self) -> int:
        return int(self.reply.split(b".")[_STREAM_SEQUENCE])

    def at(self, position: int) -> "Delivery":
        return self._with(_STREAM_SEQUENCE, position)

    def delivered(self, number: int) -> "Delivery":
        return self._with(_CONSUMER_SEQUENCE, number)

    def _with(self, token: int, number: int) -> "Delivery":
        tokens = self.reply.split(b".")
        tokens[token] = b"%d" % number
        return replace(self, reply=b".".join(tokens))

    def frame(self) -> bytes:
        return b" ".join((*self.head, self.reply, *self.sizes)) + _NEWLINE + self.body


Tamper = Callable[[Delivery], list[Delivery]]


@contextlib.asynccontextmanager
async def lying(node: str, tamper: Tamper, numbered_anew: bool = True) -> AsyncIterator[str]:
    """The address (HOST:PORT) of the proxy before the node at that address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = node.split(":")
        from_node, to_node = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass_on(reader, to_node))
                both.create_task(_change(from_node, writer, tamper, numbered_anew))
        writer.close()
        to_node.close()

    async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(BaseExceptionGroup, asyncio.CancelledError):
            await serve(reader, writer)

    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname()[:2])
    finally:
        server.close()


class _Gone(Exception):
    """One side hung up: the other is let go."""


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    raise _Gone


async def _change(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tamper: Tamper, numbered_anew: bool
) -> None:
    delivered: Counter[bytes] = Counter()  # by the client's subscription
    while line := await reader.readuntil(_NEWLINE):
        words = tuple(line.split())
        if not words or words[0] not in (b"MSG", b"HMSG"):
            writer.write(line)
            continue
        body = await reader.readexactly(int(words[-1]) + len(_NEWLINE))
        sizes = 2 if words[0] == b"HMSG" else 1
        if len(words) != 4 + sizes or not words[3].startswith(_DELIVERY):
            changed = numbered_anew and _LAST in body
            writer.write(_believable(words, body, delivered[words[2]]) if changed else line + body)
            continue
        for each in tamper(Delivery(words[:3], words[3], words[4:], body)):
            delivered[words[2]] += 1
            writer.write((each.delivered(delivered[words[2]]) if numbered_anew else each).frame())
        await writer.drain()


def _believable(words: tuple[bytes, ...], body: bytes, delivered: int) -> bytes:
    """A heartbeat (HMSG SUBJECT SID SIZE SIZE) says how many were delivered: as many as arrived."""
    changed = re.sub(_LAST + rb": \d+", _LAST + b": %d" % delivered, body)
    size = b"%d" % (len(changed) - len(_NEWLINE))
    return b" ".join((*words[:-2], size, size)) + _NEWLINE + changed
