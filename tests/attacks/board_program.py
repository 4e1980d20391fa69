# What the timing attack runs on the emulated Pico, at the raw prompt of the shipped image: a relay on the board's own
# flash behind the product's Server, and two members on streams in memory, which note the cycle each frame is handed
# over at. Prints a line of JSON an observation; board_timing.py makes the flash and looks for a slope.
#
# The attacker is given more than a network leaves of it: cycles, a request at the same phase of the relay's millisecond
# every time, and a heap in the same state. Where the allocator finds room shows in the times, so nothing that is noted
# makes an object, what stays of the attack is made before the relay gives room to requests, and nothing of an
# observation, whose numbers are never the same, is there in the next one.

import asyncio
import gc
import json
import os
from array import array

import micropython

import office
from device import flash, give_room
from tessera import batch, handshakes, wire
from tessera.admission import read_proof
from tessera.clock import Clock
from tessera.errors import Refused
from tessera.files import Directory
from tessera.hashes import sha256
from tessera.relay import Identity, Relay
from tessera.runtime import ticks_ms
from tessera.server import Server, Timing

_QUIET_MS = 40  # without a frame: the answer is complete
_MOST_FRAMES = 64


@micropython.viper
def note(times: ptr32, at: int):
    """times[at] = the counter of cycles, of which tools/emulator/probe.mjs tells; makes no object."""
    times[at] = ptr32(0x40070000)[0]


@micropython.viper
def count_from(times: ptr32, count: int, start: ptr32):
    """Turn so many times into cycles since start[0]: numbers that are no objects."""
    for at in range(count):
        times[at] = times[at] - start[0]


class Wire:
    """Both ends' streams of one connection: the cycle of each frame that is written, and the first frame of an answer.

    The others are not kept, as copies of them would bring the collector into the middle of an answer.
    """

    def __init__(self):
        self._sent = b""
        self._arrived = asyncio.Event()
        self._times = array("I", bytes(4 * _MOST_FRAMES))
        self._first = bytearray(2048)
        self._start = array("I", [0])
        self._length = 0
        self._count = 0

    # -- the server's side

    async def readexactly(self, length):
        while len(self._sent) < length:
            self._arrived.clear()
            await self._arrived.wait()
        data, self._sent = self._sent[:length], self._sent[length:]
        return data

    def write(self, data):
        note(self._times, self._count)
        if self._count == 0:
            self._length = len(data)
            self._first[: len(data)] = data
        self._count += 1

    async def drain(self):
        await asyncio.sleep(0)

    def close(self):
        pass

    async def wait_closed(self):
        pass

    # -- the member's side

    def send(self, data):
        self._sent += data
        note(self._start, 0)
        self._arrived.set()

    async def answer(self, quiet_ms=_QUIET_MS):
        """(first frame, cycles of all since the last was sent) of the frames that come until nothing came for a
        while."""
        seen = -1
        while seen < self._count or not seen:
            seen = self._count
            await asyncio.sleep_ms(quiet_ms)
        self._count = 0
        count_from(self._times, seen, self._start)
        return bytes(self._first[: self._length]), list(self._times[:seen])


class Member:
    def __init__(self, server, wire_):
        self._wire = wire_
        self.task = asyncio.create_task(server._connected(self._wire, self._wire))

    async def admit(self, number, epoch):
        nonce, _ = await self._wire.answer()
        side = office.channel.Initiator(nonce, office.RELAY_KEY, office.ACCESS_KEY, os.urandom(32))
        self._wire.send(side.hello())
        reply, _ = await self._wire.answer()
        self.channel = side.finish(reply)
        answer, _ = await self.ask(office.Token(number, epoch).request(self.channel.handshake_hash))
        assert answer[0] == wire.ADMITTED

    def fetch(self, round_):
        """The request for one round; its proof is this connection's."""
        return wire.fetch(0, round_, round_ + 1, read_proof(office.READING_KEY, self.channel.handshake_hash))

    async def ask(self, request, beside=None):
        """(answer to a request, None for a refusal; cycles from the request to each of its frames).

        beside: (another member, its request), sent at once too; its times are added behind.
        """
        asked = [(self, self.channel.seal(request))]
        if beside is not None:
            asked.append((beside[0], beside[0].channel.seal(beside[1])))
        await asyncio.sleep_ms(2)
        gc.collect()
        now = ticks_ms()
        while ticks_ms() == now:
            pass
        for member, sealed in asked:
            member._wire.send(sealed)
        answer, times = await self._receive()
        if beside is None:
            return answer, times
        _, other_times = await beside[0]._receive()
        return answer, times, other_times

    async def _receive(self):
        first, cycles = await self._wire.answer()
        plain = self.channel.open(first)
        try:
            answer = (wire.read_cell if len(first) > wire.CLIENT_FRAME_BYTES else wire.read_answer)(plain)
        except Refused:
            answer = None
        self.channel._received += len(cycles) - 1
        return answer, cycles


async def settle(*members):
    """Have the relay wait for members where it waits after a VOID: after a FETCH its waiting lies wherever that left
    room, and so each FETCH would leave another heap to the next one."""
    for member in members:
        gc.collect()
        await member.ask(wire.void())
    gc.collect()


def instead(owner, name, own):
    """Have own() take the place of a method; AttributeError if the product has none of that name any more."""
    getattr(owner, name)
    setattr(owner, name, own)


def fetch_without_end(self, round_, more=0):
    """This clock stands still, and a session fetches 16 rounds in one."""
    return 0


instead(handshakes.Session, "fetched", fetch_without_end)


class Undelayed(Server):
    """The server with no delay in it: frames leave when the work for them is done."""

    def __init__(self, relay):
        super().__init__(relay, Timing(ack_ms=0))


async def leave_at_once(self, start, due, step):
    return due


instead(Undelayed, "_leave", leave_at_once)


def boot(config):
    identity = Identity(
        bytes.fromhex(config["static_secret"]), bytes.fromhex(config["ledger_secret"]), b"board", bytes(32)
    )
    clock = Clock(lambda: 0, lambda later, earlier: later - earlier)
    relay = Relay(flash.region("ring"), flash.region("keyring"), Directory("/"), identity, os.urandom, clock)
    times = array("I", bytes(8))
    gc.collect()
    note(times, 0)
    relay.start()
    note(times, 1)
    print(json.dumps({"kind": "start", "times": [times[1] - times[0] & 0xFFFFFFFF]}))
    clock.set(config["now_ms"])
    relay.turn()
    relay.maintain()
    return relay


def leak():
    """The relay as it would be if it made a dummy only where one is wanted."""

    def fill_place(self, frame, place, entry, position):
        is_dummy = entry >> 28
        page = position % self._log.pages if is_dummy else entry
        self._log.read(page, frame.page)
        self._cipher.decrypt(frame.page, frame.for_page[place][is_dummy].page)
        if is_dummy:
            wanted = frame.for_dummy[place][1]
            self._dummies.make(entry & 0xFFFFFFF, wanted.record)

    instead(batch.Batch, "_fill_place", fill_place)


def record(label, number):
    return b"".join([sha256(label, bytes((number, part))) for part in range(8)])[:240]


async def fetches(kind, member, rounds):
    """Each round once; the first also before, for what is made once."""
    await member.ask(member.fetch(rounds[0]))
    for round_ in rounds:
        await settle(member)
        await observe_fetch(kind, member, round_)


async def observe_fetch(kind, member, round_):
    cell, times = await member.ask(member.fetch(round_))
    print(json.dumps({"kind": kind + "fetch", "round": round_, "count": cell[2], "times": times}))


async def fetches_beside(kind, members, rounds):
    """Each round once by one member, while another posts or pings."""
    requests = (wire.void(), wire.post(0, record(b"beside", 0)))
    for request in requests:
        await members[1].ask(request)
    for number, round_ in enumerate(rounds):
        posts = number & 1
        request = wire.post(0, record(b"beside", number)) if posts else wire.void()
        await settle(*members)
        await observe_beside(kind, members, round_, posts, request)


async def observe_beside(kind, members, round_, posts, request):
    cell, times, other = await members[0].ask(members[0].fetch(round_), (members[1], request))
    said = {"kind": kind + "beside", "round": round_, "posts": posts, "count": cell[2], "times": times}
    said["other"] = other
    print(json.dumps(said))


async def pings(kind, relay, members, bursts, round_):
    """POST, VOID, INFO and always the same FETCH of one member, while another's posts fill the open round. With
    constant batches the member's POSTs are its second ones, and many others' records come without their frames."""
    others = 0
    constant = relay.parameters.newest.constant
    relay._rounds.served = 1  # a round was sealed since the start
    if constant:
        await members[1].ask(wire.post(0, record(b"first" + kind.encode(), 0)))
    for step, burst in enumerate(bursts):
        relay.maintain()  # erased sectors for so many posts
        for _ in range(burst):
            another = record(b"others" + kind.encode(), others)
            if constant:
                relay._log.append(relay.open_round, 0, another, relay._epochs.ciphers[relay.epoch])
            else:
                await members[0].ask(wire.post(0, another))
            others += 1
        requests = (
            ("post", wire.post(0, record(kind.encode(), step))),
            ("void", wire.void()),
            ("info", wire.info()),
            ("same fetch", members[1].fetch(round_)),
        )
        for name, request in requests:
            await settle(members[1])
            refused = await observe_ping(kind + name, members[1], request, others, step)
            assert refused == (bool(constant) and name == "post"), name


async def observe_ping(kind, member, request, others, step):
    """Whether it was refused."""
    answer, times = await member.ask(request)
    print(json.dumps({"kind": kind, "others": others, "step": step, "times": times}))
    return answer is None


async def two_members(server, wires, epoch):
    server._gate.set()
    members = [Member(server, each) for each in wires]
    for number, member in enumerate(members):
        await member.admit(number, epoch)
    return members


async def attack(config):
    relay = boot(config)
    wires = [(Wire(), Wire()) for _ in config["kinds"]]
    give_room()
    rounds, beside, bursts = config["rounds"], config["beside"], config["bursts"]
    for kind, ends in zip(config["kinds"], wires):
        members = await two_members((Undelayed if kind else Server)(relay), ends, relay.epoch)
        await fetches(kind, members[0], rounds)
        if beside:
            await fetches_beside(kind, members, rounds[:beside])
        if bursts:
            await pings(kind, relay, members, bursts, rounds[0])
        for member in members:
            member.task.cancel()
        await asyncio.sleep_ms(10)


def main():
    with open("/attack.json") as file:
        config = json.load(file)
    if config["leak"]:
        leak()
    asyncio.run(attack(config))
