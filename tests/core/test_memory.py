# heap: 192k frozen
# A relay with a full ring of 832 KiB serves four connections from the heap of a board. Its flash and its visitors are
# made by another process (fullrelay.py), so this heap holds the relay and this test only. CPython has no heap to watch.

import asyncio
import gc
import os
import sys

from check import heap_only
from tessera import curve
from tessera.admission import Admission
from tessera.clock import Clock
from tessera.filedevice import FileDevice
from tessera.files import Directory
from tessera.hashes import sha256, tagged
from tessera.relay import Identity, Relay
from tessera.runtime import MICROPYTHON
from tessera.server import Server, Timing
from workfolder import WorkFolder

# fullrelay.py has these too; importing it would fill the heap.
_RING_SECTORS = 208
_KEYRING_SECTORS = 8
_LAST_ROUND = 63
_UNIX_MS = 1000 * (1_000_000 + 600 * _LAST_ROUND)
_TOLERANCE_BYTES = 1024
_PATIENCE_SECONDS = 1200
_TOKEN_BYTES = 600  # of heap, with its leases and resumptions, where an object is twice as large as on a board
_PROGRAM = (__file__.rsplit("/", 1)[0] if "/" in __file__ else ".") + "/fullrelay.py"
_RUNTIME = os.getenv("TESSERA_MICROPYTHON") + " -X heapsize=8m" if MICROPYTHON else sys.executable


def _bytes_in_use():
    gc.collect()
    gc.collect()
    return gc.mem_alloc()


class _Watch:
    """The most heap in use when it looked, after every answer."""

    def __init__(self):
        self.peak_bytes = 0

    def look(self):
        if MICROPYTHON:
            self.peak_bytes = max(self.peak_bytes, gc.mem_alloc())


class _Leases:
    """What Admission needs of a key ring."""

    def __init__(self):
        self.leases = {}

    def lease(self, token_id, leases):
        self.leases[token_id] = leases


def _admit(admission, epoch_secret, number):
    """A member with a new token is admitted, posts and may resume."""
    secret = sha256(number.to_bytes(4, "big"))
    key = curve.public(secret)[1:]
    signature = curve.sign(epoch_secret, tagged("token", bytes(16 + 4 + 33), key), bytes(32))
    proof = curve.sign(secret, tagged("session", bytes(32)), bytes(32))
    token = admission.authenticate(0, key, signature, proof, bytes(32))
    admission.offer_resumption(token, os.urandom(32))
    admission.reserve(token)


class FullRelay:
    """`async with FullRelay() as full:` boots it in a folder of its own and serves it. kind: fullrelay.py's.
    sessions(): how many there are, asked when it stands."""

    def __init__(self, kind="", sessions=lambda: None):
        self._kind = kind
        self._sessions = sessions

    async def __aenter__(self):
        self._folder = WorkFolder()
        self._path = self._folder.__enter__()
        assert os.system("%s %s make %s %s" % (_RUNTIME, _PROGRAM, self._path, self._kind)) == 0
        if MICROPYTHON:
            gc.threshold(8192)  # as relay_unix has it
        self._directory = Directory(self._path)
        relay = self._boot()
        assert relay.clock.known and relay._log.highest_round == _LAST_ROUND - 1
        self.watch = _Watch()
        self.sessions = self._sessions()
        timing = Timing(ack_ms=1, lead_ms=1, tick_ms=1, window_ms=1)
        self.server = Server(relay, timing, self.sessions, observe=self.watch.look)
        self.server._end_idle = lambda: True  # on a busy computer visitors are slow, and are not ended for that
        self._port = 12000 + int.from_bytes(os.urandom(2), "big") % 8000
        ready = asyncio.Event()
        self._task = asyncio.create_task(self.server.run("127.0.0.1", self._port, ready.set))
        await asyncio.wait_for(ready.wait(), _PATIENCE_SECONDS)
        return self

    def _boot(self):
        identity = self._directory.read("identity")
        self._devices = [
            FileDevice(self._path + "/ring", _RING_SECTORS),
            FileDevice(self._path + "/keys", _KEYRING_SECTORS),
        ]
        clock = Clock(lambda: 0, lambda later, earlier: later - earlier)
        identity = Identity(identity[:32], identity[32:64], b"chip", identity[64:])
        relay = Relay(self._devices[0], self._devices[1], self._directory, identity, os.urandom, clock)
        relay.start()
        clock.set(_UNIX_MS)
        return relay

    async def visitors(self, what):
        """Let another process visit; all of it went well, and its connections have ended."""
        self._directory.remove("result")
        os.system("%s %s %s %d %s &" % (_RUNTIME, _PROGRAM, what, self._port, self._path))
        for _ in range(50 * _PATIENCE_SECONDS):
            await asyncio.sleep(0.02)
            if self._directory.size("result") and not self.server._connections:
                break
        assert self._directory.read("result") == b"ok"

    async def __aexit__(self, *_):
        self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            pass
        for device in self._devices:
            device.close()
        self._folder.__exit__()


async def test_a_full_relay_serves_four_readers_at_once_from_a_small_heap():
    async with FullRelay() as full:
        before = _bytes_in_use() if MICROPYTHON else 0
        await full.visitors("read")
        print("heap: %d bytes with nobody there, at most %d with four readers" % (before, full.watch.peak_bytes))


async def test_four_members_get_the_largest_cell_that_is_planned():
    """CELL_RECORDS, which tessera_host.planning holds every board to: all of them posts, and the cover on top."""
    async with FullRelay("large") as full:
        await full.visitors("largest")
        print("heap: at most %d bytes with four readers of the largest cell" % full.watch.peak_bytes)


async def test_fifty_visits_leave_the_heap_as_it_was():
    heap_only()
    async with FullRelay() as full:
        # The collector keeps what looks like a pointer on the C stack, a buffer more or less each time: the level
        # before is the highest of three.
        before = 0
        for _ in range(3):
            await full.visitors("warm")
            before = max(before, _bytes_in_use())
        await full.visitors("visits")
        after = _bytes_in_use()
        print("heap: %d bytes before fifty visits, %d after" % (before, after))
        assert after - before <= _TOLERANCE_BYTES


def test_the_tokens_of_an_office_fit_beside_the_relay():
    heap_only()
    epoch_secret = sha256(b"epoch")
    admission = Admission(_Leases(), 0, curve.public(epoch_secret)[1:], bytes(16), bytes(33), 16)
    _admit(admission, epoch_secret, 0)  # caches are made
    before = _bytes_in_use()
    for number in range(1, 101):
        _admit(admission, epoch_secret, number)
    taken = _bytes_in_use() - before
    print("heap: %d bytes for a hundred tokens" % taken)
    assert len(admission._tokens) == 101 and taken <= 100 * _TOKEN_BYTES
