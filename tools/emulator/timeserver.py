"""A network clock for the board, in the board's namespace: answers SNTP (RFC 4330)."""

import asyncio
import struct
from collections.abc import Callable
from typing import cast

PORT = 123
PACKET_BYTES = 48
UNIX_SECONDS = 2_208_988_800  # 1970 in the seconds since 1900
ERA_SECONDS = 1 << 32  # the seconds are written without their era, which ends in 2036
VERSION, SERVER, STRATUM = 4, 4, 2


class TimeServer(asyncio.DatagramProtocol):
    """One answer to each question of the right length."""

    def __init__(self, unix_nanos: Callable[[], int]) -> None:
        self._unix_nanos = unix_nanos

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if len(data) == PACKET_BYTES:
            self._transport.sendto(answer(data, self._unix_nanos()), address)


def answer(question: bytes, unix_nanos: int) -> bytes:
    """The packet (48 bytes) that says this time; it repeats the question's transmit timestamp as RFC 4330 asks."""
    seconds, nanos = divmod(unix_nanos, 10**9)
    now = struct.pack(">II", (seconds + UNIX_SECONDS) % ERA_SECONDS, (nanos << 32) // 10**9)
    head = bytes((VERSION << 3 | SERVER, STRATUM)) + bytes(22)
    return head + question[40:48] + now + now


async def serve(address: str, unix_nanos: Callable[[], int]) -> None:
    """Answers on the address with this time until cancelled."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: TimeServer(unix_nanos), local_addr=(address, PORT))
    await asyncio.Event().wait()
