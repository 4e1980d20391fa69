"""The members of a busy fleet, for `make bench-fleet`: a process of its own beside each gateway. Owns the load; frames
are sealed and opened with the core's channel (load.py).

    python -m tools.bench.fleet_load post PORT --first N --tokens N --in-flight N
    python -m tools.bench.fleet_load bare NODES NAME --in-flight N --sizes FILE --seconds S

`post`: so many sessions, each of a token of its own, as a token has one record a round. `ready` is printed; at each
line on stdin, a rate a second or 0, all of them post once, so many at a time or at that rate; at `keep` each sends a
VOID, as a session that says nothing ends. `bare`: upstream's client of the engine, alone, appends entries of the sizes
in a file (JSON) under ids, again and again. What came of it is a line of JSON; `posts` are what was acknowledged: of
`bare` the frames of entries.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from tessera import wire
from tessera.errors import Refused
from tessera_host.fleet.entry import LEAST_BYTES
from tessera_host.fleet.frames import FRAME_BYTES, ID_BYTES
from tools.bench.load import BUCKETS, Load, Peer, settle

_OPENING = 16  # sessions at a time
_KEEP_SECONDS = 4.0  # a session that says nothing for ten seconds ends
_APPEND_SECONDS = 8.0
KEEP = "keep"


async def _at_once(count: int, works: list[Callable[[], Awaitable[None]]], rate: float | None = None) -> None:
    """So many at a time; with a rate (a second) one after the other begins, whatever became of those before."""
    if rate:
        began, tasks = time.monotonic(), []
        for number, work in enumerate(works):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            tasks.append(asyncio.ensure_future(work()))
        await asyncio.gather(*tasks)
        return
    left = iter(works)

    async def worker() -> None:
        for work in left:
            await work()

    await asyncio.gather(*(worker() for _ in range(count)))


class Posts:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._load = Load(arguments.port)
        self._peers: list[Peer] = []

    async def run(self) -> None:
        _, epoch, _ = await settle(self._arguments.port)
        first = self._arguments.first

        async def open_(number: int) -> None:
            peer = await self._load.open()
            await peer.auth(number, epoch)
            self._peers.append(peer)

        opened = asyncio.Event()
        keeping = asyncio.create_task(self._keep_until(opened))
        numbers = range(first, first + self._arguments.tokens)
        await _at_once(_OPENING, [lambda number=number: open_(number) for number in numbers])
        opened.set()
        await keeping
        print("ready", flush=True)
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            answer = await self._keep() if line == KEEP else await self._burst(float(line) or None)
            print(json.dumps(answer), flush=True)

    async def _keep_until(self, opened: asyncio.Event) -> None:
        while not opened.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(opened.wait(), _KEEP_SECONDS)
            await self._keep()

    async def _keep(self) -> None:
        voids = [lambda peer=peer: peer.call(wire.void()) for peer in list(self._peers)]
        await _at_once(self._arguments.in_flight, voids)

    async def _burst(self, rate: float | None) -> dict[str, Any]:
        load = self._load
        load.took, load.failed, load.counting = [], {}, True
        began, cpu = time.monotonic(), time.process_time()

        async def post(number: int, peer: Peer) -> None:
            try:
                await load.timed(peer.call(wire.post(number % BUCKETS, os.urandom(240))))
            except Refused as refused:
                load.failed[refused.name] = load.failed.get(refused.name, 0) + 1

        posts = [lambda each=each: post(*each) for each in enumerate(self._peers)]
        await _at_once(self._arguments.in_flight, posts, rate)
        return _result(began, cpu, load.took, len(load.took), load.failed)


def _result(began: float, cpu: float, took: list[float], posts: int, failed: dict[str, int]) -> dict[str, Any]:
    """began, cpu: by this process's clocks, at the beginning."""
    spent = time.process_time() - cpu
    ended = time.monotonic()
    return {"began": began, "ended": ended, "took": took, "posts": posts, "failed": failed, "cpu_seconds": spent}


async def bare(arguments: argparse.Namespace) -> None:
    """On a log that is there."""
    import nats

    from tests.support.nats_nodes import PASSWORD, USER

    node = arguments.nodes.split(",")[0]
    client = await nats.connect(f"nats://{node}", user=USER, password=PASSWORD)
    engine, subject = client.jetstream(timeout=_APPEND_SECONDS), f"tessera.log.{arguments.name}"
    made = [os.urandom(size) for size in json.loads(Path(arguments.sizes).read_text())]
    entries = itertools.cycle(made)
    took: list[float] = []
    posts = 0
    began, cpu = time.monotonic(), time.process_time()

    async def append() -> None:
        nonlocal posts
        while (start := time.monotonic()) < began + arguments.seconds:
            entry = next(entries)
            await engine.publish(subject, entry, headers={"Nats-Msg-Id": os.urandom(ID_BYTES).hex()})
            took.append(time.monotonic() - start)
            posts += (len(entry) - LEAST_BYTES) // FRAME_BYTES

    await asyncio.gather(*(append() for _ in range(arguments.in_flight)))
    print(json.dumps(_result(began, cpu, took, posts, {})))
    await client.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    kinds = parser.add_subparsers(dest="kind", required=True)
    post = kinds.add_parser("post")
    post.add_argument("port", type=int)
    post.add_argument("--first", type=int, required=True)
    post.add_argument("--tokens", type=int, required=True)
    post.add_argument("--in-flight", type=int, required=True)
    alone = kinds.add_parser("bare")
    alone.add_argument("nodes")
    alone.add_argument("name")
    alone.add_argument("--in-flight", type=int, required=True)
    alone.add_argument("--sizes", required=True)
    alone.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    uvloop.run(bare(arguments) if arguments.kind == "bare" else Posts(arguments).run())


if __name__ == "__main__":
    main()
