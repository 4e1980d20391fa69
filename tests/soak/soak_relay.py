# The relay of the soak, on MicroPython with the core frozen in: soak_relay.py FOLDER PORT SPEED START_MS
#
# Everything is the product's but three things: time runs SPEED times as fast as FOLDER/time says (at 0 it is START_MS;
# FOLDER/beat tells that it was looked at), the flash counts what is done to it (FOLDER/wear.*), and the heap is looked
# at ten times a second, after a collection: a line "look", milliseconds since the start, epoch, tokens in RAM,
# connections, then what MicroPython says of the heap. The network clock is wrong by what FOLDER/clock_error says, in
# milliseconds, at the start too.

import asyncio
import gc
import os
import struct
import sys
from array import array

import micropython

import relay_unix
from tessera import filedevice
from tessera.clock import Clock
from tessera.files import Directory
from tessera.relay import Identity, Relay
from tessera.runtime import ticks_diff, ticks_ms
from tessera.server import Server, Timing

_GC_THRESHOLD_BYTES = 8192
_LOOK_MS = 100
_CORRECT_MS = 100
_LOOK_AT_CLOCK_MS = 5
_OVERWRITTEN_LEVELS = 30


class OfficeTime:
    """Milliseconds since the office opened, as office_time.py lets them pass."""

    def __init__(self, folder):
        self._now = open(folder + "/time", "rb", buffering=0)
        self._beat = open(folder + "/beat", "r+b", buffering=0)
        self._read, self._beats = bytearray(8), bytearray(4)

    def ms(self):
        self._now.seek(0)
        self._now.readinto(self._read)
        return int.from_bytes(self._read, "little")

    def beat(self):
        """Tell that the relay is awake: time waits for it."""
        struct.pack_into("<I", self._beats, 0, (struct.unpack_from("<I", self._beats)[0] + 1) & 0xFFFFFFFF)
        self._beat.seek(0)
        self._beat.write(self._beats)


class CountingDevice(filedevice.FileDevice):
    """Keeps the erases of each sector, then the programs of each, in a file that outlives a SIGKILL."""

    def __init__(self, path, sectors, wear_path):
        super().__init__(path, sectors)
        self._wear = array("I", [0] * (2 * sectors))
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
        self._count(self.sectors + block)
        super().writeblocks(block, buffer, offset)

    def ioctl(self, operation, argument):
        if operation == filedevice.ERASE:
            self._count(argument)
        return super().ioctl(operation, argument)


class FastServer(Server):
    """A server that looks at its clock as often as the fast rounds ask for."""

    speed = 1
    time = None

    def _pause_ms(self):
        self.time.beat()
        if self._relay.open_round is None:
            return _LOOK_AT_CLOCK_MS
        return min(_LOOK_AT_CLOCK_MS, self._relay.milliseconds_to_next_round() // self.speed + 1)


def overwrite_stack(levels):
    """The collector keeps what an old word on the C stack happens to point to: leave none of those below."""
    return overwrite_stack(levels - 1) if levels else 0


async def watch_heap(relay, server):
    start = ticks_ms()
    while True:
        await asyncio.sleep_ms(_LOOK_MS)
        tokens = 0 if relay._epochs.admission is None else len(relay._epochs.admission._tokens)
        print("look", ticks_diff(ticks_ms(), start), relay.epoch, tokens, len(server._connections))
        overwrite_stack(_OVERWRITTEN_LEVELS)
        gc.collect()
        micropython.mem_info()


def clock_error(folder):
    """By how much the network clock is wrong at this moment, in milliseconds."""
    try:
        with open(folder + "/clock_error") as file:
            return int(file.read() or "0")
    except OSError:
        return 0


async def correct(clock, network_ms):
    """The network clock's answers, right or wrong."""
    while True:
        await asyncio.sleep_ms(_CORRECT_MS)
        clock.correct(network_ms())


def open_relay(folder, clock):
    config = relay_unix.json.loads(Directory(folder).read("relay.json"))
    identity = Identity(
        bytes.fromhex(config["static_secret"]), bytes.fromhex(config["ledger_secret"]), b"soak", bytes(32)
    )
    ring = CountingDevice(folder + "/ring.flash", config["ring_sectors"], folder + "/wear.ring")
    keys = CountingDevice(folder + "/keys.flash", config["keyring_sectors"], folder + "/wear.keys")
    return Relay(ring, keys, Directory(folder), identity, os.urandom, clock)


async def serve(relay, port, network_ms):
    server = FastServer(relay, Timing(ack_ms=1, lead_ms=1, tick_ms=1, window_ms=2))
    tasks = [asyncio.create_task(watch_heap(relay, server)), asyncio.create_task(correct(relay.clock, network_ms))]
    try:
        await server.run("127.0.0.1", port, lambda: print("serving"))
    finally:
        for task in tasks:
            task.cancel()


def main(folder, port, speed, start_ms):
    gc.threshold(_GC_THRESHOLD_BYTES)
    port, FastServer.speed, start_ms = int(port), int(speed), int(start_ms)
    FastServer.time = office_time = OfficeTime(folder)

    def network_ms():
        return start_ms + office_time.ms() * FastServer.speed + clock_error(folder)

    clock = Clock(office_time.ms, lambda later, earlier: (later - earlier) * FastServer.speed)
    relay = open_relay(folder, clock)
    relay.start()
    clock.set(network_ms())
    asyncio.run(serve(relay, port, network_ms))


if __name__ == "__main__":
    main(*sys.argv[1:])
