# What the timing attack runs on the emulated Pico, at the raw prompt of the shipped image: a relay on the board's own
# flash behind the product's Server, and a member on streams in memory, which notes the cycle each frame is handed over
# at. Prints a line of JSON an observation; board_timing.py makes the flash and looks for a slope.

import asyncio
import gc
import json
import os

from device import flash
from machine import mem32

import office
from tessera import batch, wire
from tessera.clock import Clock
from tessera.files import Directory
from tessera.hashes import sha256
from tessera.relay import Identity, Relay
from tessera.server import Server

_CYCLES = 0x40070000  # tools/emulator/probe.mjs
_QUIET_MS = 40  # without a frame: the answer is complete
_POSTS = 32


class Wire:
    """Both ends' streams of one connection: the cycle of each frame that is written, and the first frame of an answer.

    The others are not kept, as copies of them would bring the collector into the middle of an answer.
    """

    def __init__(self):
        self._sent = b""
        self._arrived = asyncio.Event()
        self.frames = []

    # -- the server's side

    async def readexactly(self, length):
        while len(self._sent) < length:
            self._arrived.clear()
            await self._arrived.wait()
        data, self._sent = self._sent[:length], self._sent[length:]
        return data

    def write(self, data):
        self.frames.append((mem32[_CYCLES], None if self.frames else bytes(data)))

    async def drain(self):
        await asyncio.sleep(0)

    def close(self):
        pass

    async def wait_closed(self):
        pass

    # -- the member's side

    def send(self, data):
        """The cycle at which it was sent."""
        self._sent += data
        start = mem32[_CYCLES]
        self._arrived.set()
        return start

    async def answer(self, quiet_ms=_QUIET_MS):
        """The frames that come until nothing came for a while."""
        seen = -1
        while seen < len(self.frames):
            seen = len(self.frames)
            await asyncio.sleep_ms(quiet_ms)
        frames, self.frames = self.frames, []
        return frames


class Member:
    def __init__(self, server):
        self._wire = Wire()
        self.task = asyncio.create_task(server._connected(self._wire, self._wire))

    async def admit(self, number, epoch):
        ((_, nonce),) = await self._wire.answer()
        side = office.channel.Initiator(nonce, office.RELAY_KEY, office.ACCESS_KEY, os.urandom(32))
        self._wire.send(side.hello())
        ((_, reply),) = await self._wire.answer(400)
        self.channel = side.finish(reply)
        _, ((_, answer),) = await self.ask(office.Token(number, epoch).request(self.channel.handshake_hash), 600)
        assert wire.read_answer(self.channel.open(answer))[0] == wire.ADMITTED

    async def ask(self, request, quiet_ms=_QUIET_MS):
        """(cycle of the request, [(cycle, frame), …]); sent at no fixed phase of the millisecond."""
        sealed = self.channel.seal(request)
        gc.collect()
        await asyncio.sleep_ms(2)
        for _ in range(os.urandom(1)[0]):
            pass
        start = self._wire.send(sealed)
        return start, await self._wire.answer(quiet_ms)


def boot(config):
    identity = Identity(
        bytes.fromhex(config["static_secret"]), bytes.fromhex(config["ledger_secret"]), b"board", bytes(32)
    )
    clock = Clock(lambda: 0, lambda later, earlier: later - earlier)
    relay = Relay(flash.region("ring"), flash.region("keyring"), Directory("/"), identity, os.urandom, clock)
    relay.start()
    clock.set(config["now_ms"])
    relay.turn()
    relay.maintain()
    return relay


def leak():
    """What a relay would do that checks a page with a record once more when it is fetched."""
    fill_place = batch.Batch._fill_place

    def checked(self, frame, place, entry, position):
        fill_place(self, frame, place, entry, position)
        if not entry >> 28:
            for _ in range(3):
                self._cipher.decrypt(frame.page, frame.page)

    batch.Batch._fill_place = checked


def work(relay, session, request):
    """Cycles of the relay's work for each frame of a FETCH, without delays and without the channel."""
    cells = batch.CellFrame()
    delivery = relay.fetch(session, request)
    cycles = []
    more = True
    while more:
        gc.collect()
        start = mem32[_CYCLES]
        more = delivery.next_frame(cells)
        cycles.append(mem32[_CYCLES] - start & 0xFFFFFFFF)
    return cycles


async def fetches(relay, member, session, rounds):
    """Each round once through the server, once the work alone; the first round once before, for what is made once."""
    _, frames = await member.ask(wire.fetch(0, rounds[0], rounds[0] + 1), 60)
    member.channel._received += len(frames)
    for round_ in rounds:
        request = wire.fetch(0, round_, round_ + 1)
        start, frames = await member.ask(request, 60)
        times = [cycle - start & 0xFFFFFFFF for cycle, _ in frames]
        cell = wire.read_cell(member.channel.open(frames[0][1]))
        member.channel._received += len(frames) - 1
        print(json.dumps({"fetch": round_, "count": cell[2], "times": times, "work": work(relay, session, request)}))


async def pings(members):
    """POST, VOID and INFO, while the open round fills."""
    for number in range(_POSTS):
        member = members[number * len(members) // _POSTS]
        record = b"".join([sha256(bytes((number, part))) for part in range(8)])[:240]
        for name, request in (("post", wire.post(0, record)), ("void", wire.void()), ("info", wire.info())):
            start, ((cycle, frame),) = await member.ask(request)
            assert wire.read_answer(member.channel.open(frame))
            print(json.dumps({name: number, "times": [cycle - start & 0xFFFFFFFF]}))


async def attack(config):
    relay = boot(config)
    server = Server(relay)
    server._gate.set()
    members = [Member(server), Member(server)]
    for number, member in enumerate(members):
        await member.admit(number, relay.epoch)
    session = server._connections[0].session
    await fetches(relay, members[0], session, config["rounds"])
    if not config["leak"]:
        await pings(members)
    for member in members:
        member.task.cancel()


def main():
    with open("/attack.json") as file:
        config = json.load(file)
    if config["leak"]:
        leak()
    asyncio.run(attack(config))
