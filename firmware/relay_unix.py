# The relay on a computer, on MicroPython's unix port (frozen into micropython-tessera) or on CPython. Its flash is two
# files in the relay's directory, its clock is the system's. Boards have main.py instead.
#
#   micropython-tessera -X heapsize=192k -m relay_unix DIRECTORY [--port N] [--host ADDRESS] [--report]
#
# --report prints one line of JSON at the end: runtime, curve tier, heap. It says nothing about what was stored.

import asyncio
import gc
import json
import os
import sys
import time

from tessera import RELEASED, curve, ownership
from tessera.announcement import READY, address, announcement, runtime_name
from tessera.clock import follow
from tessera.errors import Error
from tessera.filedevice import FileDevice
from tessera.files import Directory
from tessera.firmware import digest_of_files
from tessera.relay import Identity, Relay
from tessera.runtime import MICROPYTHON
from tessera.server import Server, Timing
from tessera.wire import PORT

if MICROPYTHON:
    import micropython

_GC_THRESHOLD_BYTES = 8192  # garbage that is allowed before a collection, so that the heap stays small
_SECTOR_HEAP_BYTES = 72  # that the record log's index takes for each sector: 40 stay, and 32 while it is made
_GATEWAYS = "storage.sqlite"  # in which `tessera serve` keeps what is in ring.flash and keys.flash here
_USAGE = "usage: relay_unix DIRECTORY [--host ADDRESS] [--port N] [--report]"


class HeapWatch:
    """The most heap that was in use whenever look() was called, with up to 8 KiB of garbage."""

    def __init__(self):
        self.peak_bytes = 0

    def look(self):
        if MICROPYTHON:
            self.peak_bytes = max(self.peak_bytes, gc.mem_alloc())


def unix_ms():
    """The time of the system's clock: Unix time in milliseconds, computed without floating point."""
    return time.time_ns() // 1_000_000


def firmware_digest(directory):
    """The digest of the frozen core (PROTOCOL §11), or of the core's files in a directory if it is not frozen."""
    try:
        from tessera_build import FIRMWARE_DIGEST

        return FIRMWARE_DIGEST
    except ImportError:
        return digest_of_files(directory)


def open_relay(path):
    """(a Relay that start() brings up, its configuration) from a directory that `tessera relay new` made and that this
    program has locked (ownership.take). If it raises Error no file was made."""
    directory = Directory(path)
    core = __file__.rsplit("/", 1)[0] + "/tessera" if "/" in __file__ else "tessera"
    try:
        config = json.loads(directory.read("relay.json") or "")
        secrets = bytes.fromhex(config["static_secret"]), bytes.fromhex(config["ledger_secret"])
        sectors = config["ring_sectors"], config["keyring_sectors"]
        if not all(isinstance(count, int) and count > 0 for count in sectors):
            raise ValueError
        identity = Identity(*secrets, b"unix", firmware_digest(core), "COMPUTER")
    except (ValueError, KeyError, TypeError):
        raise Error("{}/relay.json cannot be read: it is not what `tessera relay new` wrote".format(path)) from None
    if directory.size(_GATEWAYS) and not directory.size("seed") and not directory.size("keys.flash"):
        raise Error("{} is a relay of `tessera serve`: start that".format(path))
    if MICROPYTHON:
        gc.collect()
        if sectors[0] * _SECTOR_HEAP_BYTES > gc.mem_free():
            raise Error("the record ring of this relay is too large for this program: start `tessera serve`")
    new = directory.read("seed") is not None  # the first start removes it
    ring = FileDevice(path + "/ring.flash", sectors[0], new)
    keys = FileDevice(path + "/keys.flash", sectors[1], new)
    return Relay(ring, keys, directory, identity, os.urandom), config


def start(relay):
    relay.start()
    relay.clock.not_before(1000 * RELEASED)
    relay.clock.set(unix_ms())
    if not relay.clock.known:
        print("this computer's clock is too early: set it; the relay looks at it every minute")


def report(watch):
    figures = {"runtime": runtime_name(), "curve_tier": curve.TIER, "heap_peak_bytes": watch.peak_bytes}
    print(json.dumps(figures))


async def serve(relay, config, host, port, watch):
    server = Server(relay, Timing(**config.get("timing", {})), config.get("sessions"), watch.look)
    where = address(host, port)
    began = []

    def begin():
        began.append(asyncio.create_task(follow(relay.clock, unix_ms)))
        start(relay)

    try:
        await server.run(host, port, lambda: announce(relay, where), begin)
    except OSError as error:
        if began:
            raise
        raise Error("cannot listen at {}: {}; nothing was changed".format(where, error)) from None
    finally:
        for clock in began:
            clock.cancel()


def announce(relay, where):
    for line in announcement(relay, where):
        print(line)
    print(READY)


def options(arguments):
    """{name: value} of the command line: a directory and --name value pairs."""
    found = {"host": "127.0.0.1", "port": PORT, "report": False}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--report":
            found["report"] = True
        elif word in ("--host", "--port") and rest:
            found[word[2:]] = rest.pop(0)
        elif not word.startswith("--") and "directory" not in found:
            found["directory"] = word
        else:
            raise Error(_USAGE)
    if "directory" not in found:
        raise Error(_USAGE)
    found["port"] = _port(found["port"])
    if MICROPYTHON and ":" in found["host"]:  # its asyncio makes IPv4 sockets only
        raise Error("MicroPython listens at IPv4 addresses only, not at {}: use `tessera serve`".format(found["host"]))
    return found


def _port(text):
    try:
        port = int(text)
    except ValueError:
        port = 0
    if not 0 < port < 65536:
        raise Error("{} is not a port: `--port N` takes a number from 1 to 65535".format(text))
    return port


def main(arguments):
    if MICROPYTHON:
        gc.threshold(_GC_THRESHOLD_BYTES)
        micropython.kbd_intr(3)  # with -m the port leaves SIGINT to the system, which would end us without a report
    watch = HeapWatch()
    held = None
    try:
        chosen = options(arguments)
        held = ownership.take(chosen["directory"])
        relay, config = open_relay(chosen["directory"])
        asyncio.run(serve(relay, config, chosen["host"], chosen["port"], watch))
    except KeyboardInterrupt:
        if chosen["report"]:
            report(watch)
    except (Error, OSError) as error:
        print("tessera relay: {}".format(error or type(error).__name__))
        return 1
    except MemoryError:
        print("tessera relay: the heap is too small: start it with more (`-X heapsize=`), or start `tessera serve`")
        return 1
    finally:
        if held is not None:
            held.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
