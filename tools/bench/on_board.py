# What the relay core costs on a board, in cycles of the emulated processor: a line of JSON a figure, {name: [cycles]}.
# tools/bench/device.py puts this file, tests/core/office.py and a relay directory on the board's flash and runs it at
# the raw prompt in deterministic mode, so two runs print the same.

import asyncio
import gc
import json
import os

from machine import mem32

import office
from device import flash, give_room
from tessera import curve, wire
from tessera.admission import read_proof
from tessera.batch import CellFrame
from tessera.clock import Clock
from tessera.errors import BadFrame
from tessera.files import Directory
from tessera.hashes import HmacKey, sha256
from tessera.relay import Identity, Relay
from tessera.runtime import aes_cbc, aes_ecb
from tessera.server import Server

_CYCLES = 0x40070000  # tools/emulator/probe.mjs
_FLASH_OPERATIONS = 0x40070010
_LOWEST_STACK = 0x40070014
_STACK_TOP = 0x20042000
_VERIFICATIONS = 8
_HANDSHAKES = 4
_POSTS = 32
_CELLS = 3  # of main(); cells() fetches as many as a session may in a round
_STRANGERS = 100

_overhead = 0


def say(name, value):
    print(json.dumps({name: value}))


def timed(function, *arguments):
    """(cycles, result) of a call. The collector runs before it, not in it, unless it makes more than 8 KiB."""
    gc.collect()
    start = mem32[_CYCLES]
    result = function(*arguments)
    cycles = (mem32[_CYCLES] - start & 0xFFFFFFFF) - _overhead
    return cycles, result


def cycles_of(repeat, function, *arguments):
    return [timed(function, *arguments)[0] for _ in range(repeat)]


def calibrate():
    global _overhead
    _overhead = min(cycles_of(5, lambda: None))


# -- arithmetic


def curve_work():
    """Each of these over several secrets and messages; that secrets do not show is tests/emulated's to say."""
    secrets = [curve.Secret(sha256(b"secret", bytes((number,)))) for number in range(_VERIFICATIONS)]
    messages = [sha256(b"message", bytes((number,))) for number in range(_VERIFICATIONS)]
    signed = [(curve.sign(secrets[0], message, message), message) for message in messages]
    data = curve.public(secrets[0])
    say("key_prepared", cycles_of(2, curve.PreparedKey, data[1:]))
    in_use = memory_in_use()
    key = curve.PreparedKey(data[1:])
    say("heap_of_prepared_key", memory_in_use() - in_use)
    assert all(curve.verify(*each, key) for each in signed)
    say("verification", [timed(curve.verify, *each, data[1:])[0] for each in signed])
    say("token", [timed(curve.verify, *each, key)[0] for each in signed])
    say("point_parsed", cycles_of(2, curve.Point, data))
    point = curve.Point(data)
    say("dh", [timed(curve.dh, secret, data)[0] for secret in secrets])
    say("dh_parsed", [timed(curve.dh, secret, point)[0] for secret in secrets])
    say("public_key", [timed(curve.public, secret)[0] for secret in secrets])
    say("sign", [timed(curve.sign, secret, messages[0], messages[1])[0] for secret in secrets])


def arithmetic():
    """Only that and the ciphers, for an image to compare with."""
    calibrate()
    curve_work()
    cipher_work()


def cipher_work():
    """The AES calls of a FETCH by themselves: a page, its head, a dummy, 64 dummies' heads, a frame; a frame's HMAC."""
    page, out, frame = bytearray(256), bytearray(256), bytearray(1024)
    head = memoryview(page)[:32]
    reader, maker = aes_cbc(bytes(32)), aes_cbc(bytes(32))
    zeros, dummy = bytearray(240), bytearray(240)
    heads, ecb = memoryview(bytearray(1024)), aes_ecb(bytes(32))
    say("aes_page", cycles_of(3, reader.decrypt, page, out))
    say("aes_head", cycles_of(3, reader.decrypt, head, out))
    say("aes_dummy", cycles_of(3, maker.encrypt, zeros, dummy))
    say("aes_heads", cycles_of(3, ecb.encrypt, heads, heads))
    say("aes_frame", cycles_of(3, aes_cbc(bytes(16)).encrypt, frame, frame))
    say("hmac_frame", cycles_of(3, HmacKey(bytes(16)).digest_into, bytearray(16), frame))


# -- the relay


def boot(config):
    """A relay on the board's flash, as device.service opens one; the clock is the benchmark's."""
    identity = Identity(
        bytes.fromhex(config["static_secret"]), bytes.fromhex(config["ledger_secret"]), b"bench", bytes(32)
    )
    clock = Clock(lambda: 0, lambda later, earlier: later - earlier)
    relay = Relay(flash.region("ring"), flash.region("keyring"), Directory("/"), identity, os.urandom, clock)
    cycles, _ = timed(relay.start)
    say("relay_start", [cycles])
    return relay


def stranger(relay):
    nonce = relay.nonce()
    try:
        relay.check_hello(bytes(81), nonce)
    except BadFrame:
        return
    raise AssertionError


class Stream:
    """A stranger's connection in memory, for the server: a hello of zeros."""

    def __init__(self):
        self.closed = False

    async def readexactly(self, length):
        return bytes(length)

    def write(self, data):
        pass

    async def drain(self):
        pass

    def close(self):
        pass

    async def wait_closed(self):
        self.closed = True


async def bare(stream):
    """What asyncio has to do for a stranger, whatever the server does."""
    try:
        stream.write(b"")
        await stream.drain()
        await stream.readexactly(office.channel.HELLO_BYTES)
        raise BadFrame
    except BadFrame:
        pass
    stream.close()
    await stream.wait_closed()


async def connection_cycles(connected):
    """Cycles of a stranger from its connection to its end, with asyncio around it; TCP's own work is left out."""
    cycles = []
    for _ in range(5):
        stream = Stream()
        gc.collect()
        start = mem32[_CYCLES]
        await asyncio.create_task(connected(stream))
        cycles.append((mem32[_CYCLES] - start & 0xFFFFFFFF) - _overhead)
        assert stream.closed
    return cycles


async def many(connected):
    """Cycles of each of so many strangers on average, the collector's work and drawn random bytes in them."""
    start = mem32[_CYCLES]
    for _ in range(_STRANGERS):
        stream = Stream()
        await asyncio.create_task(connected(stream))
        assert stream.closed
    return (mem32[_CYCLES] - start & 0xFFFFFFFF) // _STRANGERS


def many_without_server(relay):
    for _ in range(_STRANGERS):
        stranger(relay)


def strangers(relay):
    """What one costs, what the random bytes of so many cost that share a draw, what a hundred of them leave behind."""
    server = Server(relay)

    def connected(stream):
        return server._connected(stream, stream)

    say("stranger", cycles_of(5, stranger, relay))
    say("stranger_through_server", asyncio.run(connection_cycles(connected)))
    say("stranger_for_asyncio", asyncio.run(connection_cycles(bare)))
    cycles, _ = timed(relay._handshakes._draw_ahead)
    say("stranger_share_of_draw", [cycles * office.channel.NONCE_BYTES // len(relay._handshakes._drawn)])
    say("stranger_of_many", [timed(many_without_server, relay)[0] // _STRANGERS])
    say("stranger_of_many_for_asyncio", [asyncio.run(many(bare))])
    asyncio.run(many(connected))
    operations = mem32[_FLASH_OPERATIONS]
    in_use = memory_in_use()
    say("stranger_of_many_through_server", [asyncio.run(many(connected))])
    say("left_by_strangers", memory_in_use() - in_use)
    say("flash_operations_of_strangers", mem32[_FLASH_OPERATIONS] - operations)


def memory_in_use():
    gc.collect()
    return gc.mem_alloc()


def greet(relay, make_client):
    """(cycles of the relay's part, session, client's end) of a handshake of either kind."""
    while relay.prepare():
        pass
    begin, nonce = timed(relay.nonce)
    client = make_client(nonce)
    hello = client.hello()
    cycles, (session, reply) = timed(lambda: relay.greet(hello, nonce, relay.check_hello(hello, nonce)))
    return begin + cycles, session, client, client.finish(reply)


def full_handshake(relay):
    key, access_key = office.RELAY_KEY, office.ACCESS_KEY
    return greet(relay, lambda nonce: office.channel.Initiator(nonce, key, access_key, b"\x09" * 32))


def resumption(relay, secret):
    return greet(relay, lambda nonce: office.channel.Resumption(nonce, office.ACCESS_KEY, secret, bytes(16)))


def ask(relay, session, sealed, out):
    """All that the server does between a frame that came and one that goes, but its delays."""
    frame = session.channel.open(sealed)
    relay.answer(session, frame, out)
    session.channel.seal_in_place(out)


def exchange(relay, session, channel, request):
    """(cycles, answer)"""
    sealed = channel.seal(request)
    out = bytearray(wire.CLIENT_FRAME_BYTES)
    cycles, _ = timed(ask, relay, session, sealed, out)
    return cycles, wire.read_answer(channel.open(out))


def handshakes(relay):
    handshake, auth, resumed = [], [], []
    secret = None
    for number in range(_HANDSHAKES):
        cycles, session, _, channel = full_handshake(relay)
        handshake.append(cycles)
        request = office.Token(number, relay.epoch).request(channel.handshake_hash)
        cycles, answer = exchange(relay, session, channel, request)
        auth.append(cycles)
        secret = answer[1]
    for _ in range(_HANDSHAKES):
        cycles, session, client, channel = resumption(relay, secret)
        secret = client.next_secret
        resumed.append(cycles)
    say("ephemeral", [ephemeral(relay)])
    say("handshake", handshake)
    say("auth", auth)
    say("resumed_handshake", resumed)


def ephemeral(relay):
    while relay.prepare():
        pass
    relay._handshakes._ephemerals.pop()
    return timed(relay.prepare)[0]


def posts(relay):
    cycles = []
    for token in range(10, 10 + _POSTS // 16):
        _, session, _, channel = full_handshake(relay)
        exchange(relay, session, channel, office.Token(token, relay.epoch).request(channel.handshake_hash))
        for _ in range(16):
            taken, answer = exchange(relay, session, channel, wire.post(0, os.urandom(240)))
            assert answer[0] == wire.ACK
            cycles.append(taken)
    say("post", cycles)
    say("void", [exchange(relay, session, channel, wire.void())[0] for _ in range(5)])


def fetch(relay, session, proof, round_):
    """(records, those that are real, cycles of the collector, cycles of each frame) of one cell, from the request to
    frames that can be sent. The collector runs first, as the server has it: else the allocator would run it in a frame.
    """
    cells = CellFrame()
    frames = []
    start = mem32[_CYCLES]
    gc.collect()
    now = mem32[_CYCLES]
    collection = (now - start & 0xFFFFFFFF) - _overhead
    start = now
    delivery = relay.fetch(session, wire.fetch(0, round_, round_ + 1, proof))
    count = None
    while delivery.next_frame(cells):
        if count is None:
            count = int.from_bytes(cells.buffer[5:7], "big")
        session.channel.seal_in_place(cells.buffer)
        now = mem32[_CYCLES]
        frames.append((now - start & 0xFFFFFFFF) - _overhead)
        start = now
    return count, relay._log.count_of(0, round_), collection, frames


def fetches(relay, cells):
    _, session, _, channel = full_handshake(relay)
    proof = read_proof(office.READING_KEY, channel.handshake_hash)
    rule = relay.parameters.rule(relay.epoch)
    say("candidates", rule.constant or len(rule.thresholds) // 8)
    for round_ in range(relay.first_round, relay.first_round + cells):
        count, real, collection, frames = fetch(relay, session, proof, round_)
        figures = {"collection": collection, "first_frame": frames[0], "frames": frames[1:]}
        say("cell", {"records": count, "real": real} | figures)


def seal(relay, clock, config):
    """The next round, in the middle of an epoch; then the first of the next epoch."""
    for name, rounds in (("seal", 1), ("seal_of_epoch", config["rounds_left"])):
        clock.set(clock.now_ms() + 1000 * config["round_seconds"] * rounds)
        cycles, turned = timed(relay.turn)
        assert turned
        say(name, [cycles])
        say(name + "_window", [timed(relay.maintain)[0]])


def takes_a_set(relay):
    """From the first chunk to the last, without what brings them."""
    with open("/next.set", "rb") as file:
        blob = file.read()
    cable, cycles = office.Cable(), []
    for chunk, at in enumerate(range(0, len(blob), wire.CHUNK_BYTES)):
        data = blob[at : at + wire.CHUNK_BYTES]
        taken, complete = timed(relay.push, cable, len(blob), chunk, len(data), data)
        cycles.append(taken)
    assert complete
    say("set", cycles)


def office_relay(config):
    """The relay of the office, started, at the config's time."""
    with open("/office.json") as file:
        relay = boot(json.load(file))
    give_room()
    relay.clock.set(1000 * config["now"])
    relay.turn()
    relay.maintain()
    gc.collect()
    return relay


def cells():
    """A reader's cells alone."""
    with open("/bench.json") as file:
        config = json.load(file)
    calibrate()
    fetches(office_relay(config), wire.FETCH_ROUNDS)


def main():
    with open("/bench.json") as file:
        config = json.load(file)
    calibrate()
    curve_work()
    cipher_work()
    relay = office_relay(config)
    say("heap_of_relay", gc.mem_alloc())
    say("collection", cycles_of(2, gc.collect))
    mem32[_LOWEST_STACK] = 0
    strangers(relay)
    handshakes(relay)
    posts(relay)
    fetches(relay, _CELLS)
    seal(relay, relay.clock, config)
    takes_a_set(relay)
    say("stack", _STACK_TOP - mem32[_LOWEST_STACK])
    gc.collect()
    say("heap_total", gc.mem_alloc() + gc.mem_free())
