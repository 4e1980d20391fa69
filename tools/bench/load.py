"""The members of a busy server, for `make bench`: a process of its own that opens connections and counts answers.

Owns the load: what is sent when, and the results, as one line of JSON. The relay can be any `tessera serve` that has
the keys of the tests' office. Frames are sealed and opened with the core's channel. Cells that were read once already
are only counted in bytes.

    python -m tools.bench.load PORT post|void|fetch|handshake|idle CONNECTIONS SECONDS [--rate N]
    python -m tools.bench.load PORT members MEMBERS SECONDS --rhythm ROUND_SECONDS [--posts SHARE]
    python -m tools.bench.load PORT posting|reading MEMBERS SECONDS --rate N [--posts SHARE] [--rounds N] [--fresh]

`posting` and `reading` are the two halves of `members`, sessions that come at random at a rate: of each half its own
cost to the server can be seen.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

import office
from tessera import channel, params, wire
from tessera.admission import read_proof

PAUSE_SECONDS = 0.5  # of an agent between INFO and its post
ROUNDS = 16  # of a FETCH
BUCKETS = 2  # of the office's set, until it is read


class Peer(asyncio.Protocol):
    """One connection; what comes is counted as well as kept."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._data = bytearray()
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._load.counting:
            self._load.received += len(data)
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport.abort()
        self._wanted = 0
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and len(self._data) >= self._wanted:
            waiter, self._waiter = self._waiter, None
            if not waiter.done():
                waiter.set_result(None)

    async def receive(self, length: int) -> bytes:
        if len(self._data) < length:
            if self.transport.is_closing():
                raise ConnectionError("closed")
            self._wanted, self._waiter = length, asyncio.get_running_loop().create_future()
            await asyncio.wait_for(self._waiter, 60)
        if len(self._data) < length:
            raise ConnectionError("closed")
        data = bytes(self._data[:length])
        del self._data[:length]
        return data

    async def handshake(self) -> None:
        nonce = await self.receive(channel.NONCE_BYTES)
        side = channel.Initiator(nonce, office.RELAY_KEY, office.ACCESS_KEY, os.urandom(32))
        self.transport.write(side.hello())
        self.channel = side.finish(await self.receive(channel.REPLY_BYTES))

    async def call(self, request: bytes) -> Any:
        self.transport.write(self.channel.seal(request))
        answer = wire.read_answer(self.channel.open(await self.receive(wire.CLIENT_FRAME_BYTES)))
        if answer[0] != request[0] | wire.VOIDED:
            raise ConnectionError(f"refused: {answer}")
        return answer

    async def auth(self, number: int, epoch: int) -> None:
        await self.call(office.Token(number, epoch).request(self.channel.handshake_hash))

    async def fetch(self, bucket: int, start: int, end: int, load: "Load") -> None:
        """The frames of cells that were read before are counted and not opened."""
        proof = read_proof(office.READING_KEY, self.channel.handshake_hash)
        self.transport.write(self.channel.seal(wire.fetch(bucket, start, end, proof)))
        left = load.known.get((bucket, start, end))
        while left:
            here = min(left, 64)
            load.count(len(await self.receive(here * wire.CELL_FRAME_BYTES)))
            left -= here
        if left is not None:
            return
        frames = 0
        while True:
            sealed = await self.receive(wire.CELL_FRAME_BYTES)
            load.count(len(sealed))
            answer = wire.read_cell(self.channel.open(sealed))
            frames += 1
            if answer[0] == wire.ERROR:
                raise ConnectionError(f"refused: {answer}")
            if answer[0] == wire.END:
                if answer[1] == end:
                    load.known[bucket, start, end] = frames
                return


class Load:
    """So many answers, how long each took (seconds), what failed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.buckets = BUCKETS
        self.received = 0  # bytes, of all answers
        self.began = time.monotonic()
        self.took: list[float] = []
        self.bytes = 0
        self.failed: dict[str, int] = {}
        self.counting = False
        self.known: dict[tuple[int, int, int], int] = {}

    def count(self, length: int) -> None:
        self.bytes += length if self.counting else 0

    async def open(self) -> Peer:
        loop = asyncio.get_running_loop()
        _, peer = await loop.create_connection(lambda: Peer(self), "127.0.0.1", self.port)
        try:
            await peer.handshake()
        except BaseException:
            peer.transport.abort()
            raise
        return peer

    async def timed(self, what: Awaitable[Any]) -> Any:
        start = time.monotonic()
        try:
            result = await what
        except (ConnectionError, OSError, TimeoutError) as error:
            self.failed[repr(error)] = self.failed.get(repr(error), 0) + 1
            return None
        if self.counting:
            self.took.append(time.monotonic() - start)
        return result

    def figures(self, seconds: float) -> dict[str, Any]:
        took = sorted(self.took) or [0.0]
        return {
            "per_second": len(self.took) / seconds,
            "sessions": len(self.took),
            "bytes_per_second": self.bytes / seconds,
            "received": self.received,
            "p50_ms": 1000 * took[len(took) // 2],
            "p99_ms": 1000 * took[len(took) * 99 // 100],
            "longest_ms": 1000 * took[-1],
            "failed": self.failed,
            "client_cpu_seconds": time.process_time(),
        }


async def settle(port: int) -> tuple[int, int, params.Head]:
    """Bear the relay's clock out; (open round, epoch, head of the set)."""
    peer = await Load(port).open()
    statement = office.time_statement(int(time.time()))
    await peer.call(wire.push(params.TIME_BYTES, 0, statement))
    info = await peer.call(wire.info())
    rule = await peer.call(wire.params(0))
    peer.transport.close()
    head = params.Head(rule[3])
    return info[7], info[7] // head.epoch_rounds, head


async def until(end: float, act: Callable[[], Awaitable[Any]], rate: float | None) -> None:
    """Repeat at a rate (in each second), or without pause if there is none. One that is late does not wait for
    others."""
    while time.monotonic() < end:
        start = time.monotonic()
        await act()
        if rate:
            await asyncio.sleep(max(0.0, start + 1 / rate - time.monotonic()))


async def talk(load: Load, kind: str, number: int, epoch: int, end: float, rate: float | None) -> None:
    peer = await load.open()
    if kind != "idle":
        await peer.auth(number, epoch)
    if rate:
        await asyncio.sleep(random.random() / rate)

    async def one() -> None:
        request = wire.post(number % BUCKETS, os.urandom(240)) if kind == "post" else wire.void()
        await load.timed(peer.call(request))

    if kind != "idle":
        await until(end, one, rate)
    else:
        while time.monotonic() < end:
            await asyncio.sleep(5)
            await peer.call(wire.void())
    peer.transport.close()


async def read(load: Load, number: int, open_round: int, end: float) -> None:
    async def one() -> None:
        peer = await load.open()
        await load.timed(peer.fetch(number % BUCKETS, open_round - ROUNDS, open_round, load))
        peer.transport.close()

    await until(end, one, None)


async def greet(load: Load, end: float) -> None:
    async def one() -> None:
        peer = await load.timed(load.open())
        if peer is not None:
            peer.transport.abort()

    await until(end, one, None)


async def post(load: Load, number: int, epoch: int, posts: float) -> None:
    """An agent's session that posts: a record in this share of them, chosen at random, else VOID."""
    peer = await load.open()
    try:
        await peer.auth(number, epoch)
        await peer.call(wire.info())
        await asyncio.sleep(PAUSE_SECONDS)
        record = random.random() < posts
        await peer.call(wire.post(number % load.buckets, os.urandom(240)) if record else wire.void())
    finally:
        peer.transport.close()


async def fetch(load: Load, bucket: int, start: int, end: int) -> None:
    """An agent's session that reads."""
    peer = await load.open()
    try:
        await peer.fetch(bucket, start, end, load)
    finally:
        peer.transport.close()


async def member(load: Load, number: int, epoch: int, plan: argparse.Namespace, head: params.Head, end: float) -> None:
    """An agent: once a round a frame and once the newest cell, at moments of its own; never late for the next."""
    began = time.monotonic()

    async def read_newest() -> None:
        sealed = head.round_at(int(time.time())) - 1
        await fetch(load, number % load.buckets, sealed, sealed + 1)

    while True:
        moments = sorted((began + random.random() * plan.rhythm, slot) for slot in (0, 1))
        for moment, slot in moments:
            if moment > end:
                return
            await asyncio.sleep(max(0.0, moment - time.monotonic()))
            load.counting = True
            await load.timed(read_newest() if slot else post(load, number, epoch, plan.posts))
        began += plan.rhythm


async def sessions(load: Load, epoch: int, plan: argparse.Namespace, open_round: int, end: float) -> None:
    """At random moments, so many a second; those that read begin with the newest round, or each has cells that nobody
    read before."""
    begun = set()
    unread = [
        (bucket, round_)
        for round_ in range(max(0, open_round - plan.back), open_round)
        for bucket in range(load.buckets)
    ]
    number = 0
    while (now := time.monotonic()) < end:
        number += 1
        if plan.kind == "posting":
            work = post(load, number % plan.count, epoch, plan.posts)
        elif plan.fresh:
            if not unread:
                raise SystemExit("no cell is left that nobody has read")
            bucket, round_ = unread.pop()
            work = fetch(load, bucket, round_, round_ + 1)
        else:
            work = fetch(load, number % load.buckets, open_round - plan.rounds, open_round)
        task = asyncio.create_task(load.timed(work))
        begun.add(task)
        task.add_done_callback(begun.discard)
        await asyncio.sleep(max(0.0, now + random.expovariate(plan.rate) - time.monotonic()))
    await asyncio.gather(*begun)


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    load = Load(arguments.port)
    open_round, epoch, head = await settle(arguments.port)
    load.buckets = head.buckets
    kind, count = arguments.kind, arguments.count
    whole = kind in ("members", "posting", "reading")
    warm = 0.0 if whole else arguments.warm
    end = time.monotonic() + warm + arguments.seconds
    if kind == "members":
        work = [member(load, number, epoch, arguments, head, end) for number in range(count)]
    elif whole:
        work = [sessions(load, epoch, arguments, open_round, end)]
    elif kind == "fetch":
        work = [read(load, number, open_round, end) for number in range(count)]
    elif kind == "handshake":
        work = [greet(load, end) for _ in range(count)]
    else:
        rate = arguments.rate / count if arguments.rate else None
        work = [talk(load, kind, number, epoch, end, rate) for number in range(count)]
    gathered = asyncio.gather(*work)
    await asyncio.sleep(warm)
    load.counting = True
    start = time.monotonic()
    await asyncio.sleep(arguments.seconds)
    load.counting = whole
    seconds = time.monotonic() - start
    await gathered
    return load.figures(seconds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("kind", choices=("post", "void", "fetch", "handshake", "idle", "members", "posting", "reading"))
    parser.add_argument("count", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--rate", type=float, help="requests a second, of all connections together")
    parser.add_argument("--rhythm", type=float, default=300)
    parser.add_argument("--warm", type=float, default=1)
    parser.add_argument("--posts", type=float, default=0, help="the share of posting sessions that have a record")
    parser.add_argument("--rounds", type=int, default=1, help="of a session that reads")
    parser.add_argument("--fresh", action="store_true", help="each session reads a cell that nobody read before")
    parser.add_argument("--back", type=int, default=300, help="rounds in which those are")
    print(json.dumps(uvloop.run(run(parser.parse_args()))))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
