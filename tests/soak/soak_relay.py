# The relay of the soak, on MicroPython with the core frozen in: soak_relay.py FOLDER PORT SPEED START_MS ZERO_MS
#
# Everything is the product's but three things: time runs SPEED times as fast (at ZERO_MS of the system's clock it is
# START_MS), the flash counts what is done to it (FOLDER/wear.*), and the heap is looked at every half second
# (FOLDER/heap: milliseconds since the start, tokens in RAM, connections, bytes in use, largest free block, after a
# collection). The network clock reads wrong by what FOLDER/clock_error says, in milliseconds.

import asyncio
import gc
import os
import sys
import time
from array import array

import relay_unix

from tessera import filedevice
from tessera.clock import Clock
from tessera.files import Directory
from tessera.relay import Identity, Relay
from tessera.runtime import ticks_diff, ticks_ms
from tessera.server import Server, Timing

_GC_THRESHOLD_BYTES = 8192
_LOOK_MS = 500
_CORRECT_MS = 300
_ERASE = 6  # ioctl


class CountingDevice(filedevice.FileDevice):
    """Keeps the number of erases of each sector, and of programs in all, in a file that outlives a SIGKILL."""

    def __init__(self, path, sectors, wear_path):
        super().__init__(path, sectors)
        self._wear = array("I", [0] * (sectors + 1))
        try:
            self._file_of_wear = open(wear_path, "r+b", buffering=0)
            self._file_of_wear.readinto(self._wear)
        except OSError:
            self._file_of_wear = open(wear_path, "w+b", buffering=0)
            self._file_of_wear.write(self._wear)

    def _count(self, place):
        self._wear[place] += 1
        self._file_of_wear.seek(4 * place)
        self._file_of_wear.write(self._wear[place : place + 1])

    def writeblocks(self, block, buffer, offset=None):
        self._count(self.sectors)
        super().writeblocks(block, buffer, offset)

    def ioctl(self, operation, argument):
        if operation == _ERASE:
            self._count(argument)
        return super().ioctl(operation, argument)


class FastServer(Server):
    """A server that looks at its clock as often as the fast rounds ask for."""

    speed = 1

    def _pause_ms(self):
        if self._relay.open_round is None:
            return 5
        return self._relay.milliseconds_to_next_round() // self.speed + 1


def largest_free_block():
    """Bytes of the largest block that can be had, by trying."""
    low, high = 0, gc.mem_free()
    while high - low > 256:
        middle = (low + high) // 2
        try:
            bytearray(middle)
            low = middle
        except MemoryError:
            high = middle
    gc.collect()
    return low


async def watch_heap(relay, server, path):
    start = ticks_ms()
    while True:
        await asyncio.sleep_ms(_LOOK_MS)
        gc.collect()
        tokens = 0 if relay._admission is None else len(relay._admission._tokens)
        connections = len(server._connections)
        look = (ticks_diff(ticks_ms(), start), tokens, connections, gc.mem_alloc(), largest_free_block())
        with open(path, "a") as file:
            file.write("{} {} {} {} {}\n".format(*look))


async def correct(clock, now_ms, path):
    """The network clock's answers, right or wrong."""
    while True:
        await asyncio.sleep_ms(_CORRECT_MS)
        try:
            with open(path) as file:
                error = int(file.read() or "0")
        except OSError:
            error = 0
        clock.correct(now_ms() + error)


def open_relay(folder, clock):
    config = relay_unix.json.loads(Directory(folder).read("relay.json"))
    identity = Identity(
        bytes.fromhex(config["static_secret"]), bytes.fromhex(config["ledger_secret"]), b"soak", bytes(32)
    )
    ring = CountingDevice(folder + "/ring.flash", config["ring_sectors"], folder + "/wear.ring")
    keys = CountingDevice(folder + "/keys.flash", config["keyring_sectors"], folder + "/wear.keys")
    return Relay(ring, keys, Directory(folder), identity, os.urandom, clock)


async def serve(relay, port, folder, now_ms):
    server = FastServer(relay, Timing(ack_ms=1, lead_ms=1, tick_ms=1, window_ms=2))
    tasks = [
        asyncio.create_task(watch_heap(relay, server, folder + "/heap")),
        asyncio.create_task(correct(relay.clock, now_ms, folder + "/clock_error")),
    ]
    try:
        await server.run("127.0.0.1", port, lambda: print("serving"))
    finally:
        for task in tasks:
            task.cancel()


def main(folder, port, speed, start_ms, zero_ms):
    gc.threshold(_GC_THRESHOLD_BYTES)
    port, FastServer.speed, start_ms, zero_ms = int(port), int(speed), int(start_ms), int(zero_ms)

    def now_ms():
        return start_ms + (time.time_ns() // 1_000_000 - zero_ms) * FastServer.speed

    clock = Clock(ticks_ms, lambda later, earlier: ticks_diff(later, earlier) * FastServer.speed)
    relay = open_relay(folder, clock)
    relay.start()
    clock.set(now_ms())
    asyncio.run(serve(relay, port, folder, now_ms))


if __name__ == "__main__":
    main(*sys.argv[1:])
