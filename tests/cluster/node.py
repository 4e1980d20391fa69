# A relay of the cluster suite, on MicroPython with the core frozen in, or on CPython: node.py FOLDER PORT TIME
#
# Everything is the product's but the clock: it is what the file TIME says (unix milliseconds, 8 bytes), which stands
# still while anybody waits for an answer. FOLDER.seen is written with the time that was known before the last turn of
# rounds: who let time pass sees that the round was sealed.

import asyncio
import gc
import os
import sys

import relay_unix
from tessera import ownership
from tessera.clock import Clock
from tessera.filedevice import FileDevice
from tessera.files import Directory
from tessera.relay import Identity, Relay
from tessera.runtime import MICROPYTHON
from tessera.server import Server, Timing

_GC_THRESHOLD_BYTES = 8192
_LOOK_MS = 20  # of ours: 50 looks a second, of each relay


class OfficeTime:
    """Unix milliseconds."""

    def __init__(self, path):
        self._file = open(path, "rb", buffering=0)
        self._read = bytearray(8)

    def ms(self):
        self._file.seek(0)
        self._file.readinto(self._read)
        return int.from_bytes(self._read, "little")


class OfficeServer(Server):
    """Looks at its clock all the time, and tells what it saw."""

    time = None
    seen = None
    _looked = 0

    def _pause_ms(self):
        self.seen.seek(0)
        self.seen.write(self._looked.to_bytes(8, "little"))
        self._looked = self.time.ms()
        return _LOOK_MS


def open_relay(folder, clock):
    config = relay_unix.json.loads(Directory(folder).read("relay.json"))
    secrets = bytes.fromhex(config["static_secret"]), bytes.fromhex(config["ledger_secret"])
    ring = FileDevice(folder + "/ring.flash", config["ring_sectors"], True)
    keys = FileDevice(folder + "/keys.flash", config["keyring_sectors"], True)
    return Relay(ring, keys, Directory(folder), Identity(*secrets, b"node", bytes(32)), os.urandom, clock)


def main(folder, port, time):
    if MICROPYTHON:
        gc.threshold(_GC_THRESHOLD_BYTES)
    held = ownership.take(folder)
    OfficeServer.time = office_time = OfficeTime(time)
    OfficeServer.seen = open(folder + ".seen", "w+b", buffering=0)
    relay = open_relay(folder, Clock(office_time.ms, lambda later, earlier: later - earlier))
    relay.start()
    relay.clock.set(office_time.ms())
    server = OfficeServer(relay, Timing(ack_ms=1, lead_ms=1, tick_ms=1, window_ms=1))
    asyncio.run(server.run("127.0.0.1", int(port), lambda: print("serving")))
    held.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
