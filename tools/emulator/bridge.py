"""The host's end of the board's network: a TUN device on one side, the board's packets on the other, by PPP over a
UART's socket, or as they are from the access point of its radio."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from tools.emulator.packets import Packets
from tools.emulator.ppp import Ppp
from tools.emulator.tun import open_tun

LOCAL, GUEST = "10.77.0.1", "10.77.0.2"
TUN_NAME = "board"
PACKET_BYTES = 65536
QUEUE_BYTES = 262144  # that wait for the board, above which packets are dropped: TCP then slows down
TICK_SECONDS = 0.2


class Bridge:
    """Carries packets until the emulator closes the socket."""

    def __init__(self, radio: bool, up: Callable[[], None]) -> None:
        """`up` is called each time the link has come up: at the start, and again after the board restarted."""
        self._tun = open_tun(TUN_NAME, LOCAL)
        link = Packets if radio else partial(Ppp, LOCAL, GUEST)
        self._link = link(send=self._send, deliver=self._deliver, up=up)
        self._writer: asyncio.StreamWriter | None = None

    async def run(self, line: Path) -> None:
        reader, self._writer = await asyncio.open_unix_connection(line)
        asyncio.get_running_loop().add_reader(self._tun, self._take_packet)
        ticking = asyncio.create_task(self._tick())
        try:
            while data := await reader.read(PACKET_BYTES):
                self._link.feed(data)
        finally:
            ticking.cancel()
            asyncio.get_running_loop().remove_reader(self._tun)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._link.tick()

    def _take_packet(self) -> None:
        packet = os.read(self._tun, PACKET_BYTES)
        assert self._writer
        ipv4 = packet[0] >> 4 == 4
        if ipv4 and self._writer.transport.get_write_buffer_size() < QUEUE_BYTES:
            self._link.send_ip(packet)

    def _send(self, data: bytes) -> None:
        assert self._writer
        self._writer.write(data)

    def _deliver(self, packet: bytes) -> None:
        with suppress(OSError):  # the kernel refuses what is no IP packet
            os.write(self._tun, packet)
