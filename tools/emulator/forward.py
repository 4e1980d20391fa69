"""Carries TCP connections from one listening socket to the board.

The socket may be of another network namespace than this process: a socket stays where it was made. A connection that
the board refuses or breaks is broken for the client too.
"""

import asyncio
import socket
from contextlib import suppress

CHUNK_BYTES = 16384


async def forward(listener: socket.socket, host: str, port: int) -> None:
    """Serves until cancelled."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            guest_reader, guest_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()
            return
        await join((reader, writer), (guest_reader, guest_writer))

    server = await asyncio.start_server(serve, sock=listener)
    async with server:
        await server.serve_forever()


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def join(client: Ends, guest: Ends) -> None:
    """Copies both ways; the end of one direction leaves the other open."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(copy(client[0], guest[1]))
            group.create_task(copy(guest[0], client[1]))
    except* OSError:
        for _, writer in (client, guest):
            writer.transport.abort()
    finally:
        for _, writer in (client, guest):
            writer.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()
