"""What a connection costs a server by TCP, by WebSocket and by WebSocket in TLS: memory, and processor a round trip.

    python -m tools.bench.websocket [--connections 200] [--trips 50]

The server answers 272 bytes with 272, as a relay does, and does nothing else; its clients are in another process.
"""

import argparse
import asyncio
import os
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tessera_host.protocol import dialling
from tessera_host.protocol.listening import Place, ServerCertificate, at
from tests.support.certificate import make_certificate

FRAME_BYTES = 272


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--trips", type=int, default=50)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(Path(folder), "DNS:localhost")
        os.environ["SSL_CERT_FILE"] = str(certificate[0])
        for scheme in ("", "ws", "wss"):
            kilobytes, microseconds = _measured(scheme, certificate, chosen.connections, chosen.trips)
            print(f"{scheme or 'tcp':4} {kilobytes:6.0f} KB a connection   {microseconds:5.0f} µs a round trip")


def _measured(scheme: str, certificate: tuple[Path, Path], connections: int, trips: int) -> tuple[float, float]:
    here, there = get_context("spawn").Pipe()
    server = get_context("spawn").Process(target=_serve, args=(there, scheme, certificate))
    server.start()
    port = here.recv()
    asyncio.run(_come(f"{scheme}://localhost" if scheme else "localhost", port, connections, trips, here))
    found: tuple[float, float] = here.recv()
    server.join()
    return found


async def _come(host: str, port: int, connections: int, trips: int, server: Connection) -> None:
    ends = [await dialling.way(host, port).dial() for _ in range(connections)]
    await _trip(*ends[0])  # whatever is loaded at the first is loaded
    server.send(connections)
    await asyncio.to_thread(server.recv)
    for _ in range(trips):
        for reader, writer in ends:
            await _trip(reader, writer)
    server.send(connections * trips)
    await asyncio.to_thread(server.poll, None)
    for _, writer in ends:
        writer.close()


async def _trip(reader: Any, writer: Any) -> None:
    writer.write(bytes(FRAME_BYTES))
    await writer.drain()
    await reader.readexactly(FRAME_BYTES)


def _serve(pipe: Connection, scheme: str, certificate: tuple[Path, Path]) -> None:
    asyncio.run(_serving(pipe, scheme, certificate))


async def _serving(pipe: Connection, scheme: str, certificate: tuple[Path, Path]) -> None:
    place = Place(
        "localhost", 0, websocket=bool(scheme), tls=ServerCertificate(*certificate) if scheme == "wss" else None
    )
    listeners = await at([place])(_answer, "", 0)
    _load(scheme)
    before = _memory_kb()
    pipe.send(listeners._servers[0].sockets[0].getsockname()[1])
    connections = await asyncio.to_thread(pipe.recv)
    memory = (_memory_kb() - before) / connections
    start = time.process_time()
    pipe.send(None)
    trips = await asyncio.to_thread(pipe.recv)
    pipe.send((memory, (time.process_time() - start) / trips * 1e6))
    listeners.close()


async def _answer(reader: Any, writer: Any) -> None:
    try:
        await writer.drain()  # the opening handshake
        while True:
            writer.write(await reader.readexactly(FRAME_BYTES))
            await writer.drain()
    except (EOFError, OSError, asyncio.CancelledError):
        writer.close()


def _load(scheme: str) -> None:
    """What the first connection would."""
    if scheme:
        import tessera_host.protocol.websocket  # noqa: F401


def _memory_kb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") // 1024


if __name__ == "__main__":
    main()
