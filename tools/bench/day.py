"""`make bench`, an agent's part: what a day of an office of 24 with constant batches has on the wire, and how long its
messages take.

Usage: python -m tools.bench.day [--days N]

Owns the measurement. Two members' agents live a day in virtual time with a relay and the issuer's service, all of them
the product's, on a network in memory; every byte of every frame is counted, both ways. Not counted: TCP and what is
below it, TLS, a proxy. The relay's own delays (0.1 s a cell) are left out of the times. Nothing depends on how fast
this computer is.
"""

import argparse
import asyncio
import os
import random
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from tessera import wire
from tessera.params import Parameters
from tessera_host.agent.client import Client
from tessera_host.duration import DAY_SECONDS
from tessera_host.issuer.issuer import Issuer
from tessera_host.issuer.service import IssuerServer
from tessera_host.member import joining
from tessera_host.planning import choosing, figures
from tests.support import quick_keystores
from tests.support.memory_network import MemoryNetwork
from tests.support.memory_relay import MemoryRelay
from tests.support.organisation import PASSPHRASE, introduce
from tests.support.virtual_time import VirtualTimeLoop

MEMBERS, NAMES = 24, ("alice", "bob")  # the others post nothing, which does not show
GENESIS = 1_767_225_600  # 2026-01-01
ROUND_SECONDS, EPOCHS = 120, 31
START_ROUND, FIRST_ROUND = 354, 360  # the agents' first, and the first that counts, at noon: all before is read
MESSAGES = 24  # of one part, a member and day, an hour each at a random moment: two in one round wait for each other
LIMIT_BYTES = 7_300_000  # a day, of all frames of an agent
LIMIT_SECONDS = figures.LATENCY_ROUNDS * ROUND_SECONDS + figures.LATENCY_SECONDS  # from when it was written
SERVICE, RELAY = ("issuer.example", 8101), ("berlin.example", 8100)
CELLS, RELAYS, ISSUERS = "cells and their ends", "all else with the relay", "visits to the issuer"

_who: ContextVar[str] = ContextVar("_who")  # whose program opens a connection


@dataclass
class Day:
    """What was seen. `bytes` and `connections`: by member, and by what they were for. Times are seconds until a message
    was read."""

    rounds: int
    bytes: dict[str, Counter[str]] = field(default_factory=dict)
    connections: dict[str, Counter[str]] = field(default_factory=dict)
    from_written: list[float] = field(default_factory=list)
    from_posted: list[float] = field(default_factory=list)
    unread: int = 0
    troubles: list[str] = field(default_factory=list)


class _Network(MemoryNetwork):
    """Notes every byte of the members' programs."""

    def __init__(self, day: Day) -> None:
        super().__init__()
        self._day = day

    async def _open_connection(self, host: str, port: int, **options: Any) -> tuple[Any, Any]:
        reader, writer = await super()._open_connection(host, port, **options)
        member = _who.get("")
        kind = ISSUERS if (host, port) == SERVICE else RELAYS
        self._day.connections.setdefault(member, Counter())[kind] += 1
        end = _End(reader, writer, kind, self._day.bytes.setdefault(member, Counter()))
        return end, end


class _End:
    """A member's end of a connection."""

    def __init__(self, reader: Any, writer: Any, kind: str, counted: Counter[str]) -> None:
        self._reader, self._writer, self._kind, self._counted = reader, writer, kind, counted
        self.drain, self.close, self.wait_closed = writer.drain, writer.close, writer.wait_closed

    async def readexactly(self, length: int) -> bytes:
        data: bytes = await self._reader.readexactly(length)
        self._counted[CELLS if length == wire.CELL_FRAME_BYTES else self._kind] += length
        return data

    def write(self, data: bytes) -> None:
        self._counted[self._kind] += len(data)
        self._writer.write(data)


class _Office:
    def __init__(self, folder: Path, loop: VirtualTimeLoop, day: Day, network: MemoryNetwork, seed: int) -> None:
        self.folder, self.loop, self.day, self.network = folder, loop, day, network
        self.dice = random.Random(seed)
        self.written: dict[str, float] = {}
        self.posted: dict[str, float] = {}
        self.queued: dict[str, list[str]] = {name: [] for name in NAMES}

    def now(self) -> float:
        return GENESIS + self.loop.time()

    def unix(self) -> int:
        return int(self.now())

    async def found(self) -> IssuerServer:
        wish = choosing.Wish(members=MEMBERS, cover="constant", board="RPI_PICO_W", round_seconds=ROUND_SECONDS)
        plan = choosing.choose(wish).plan
        issuer = Issuer.create(
            self.folder / "issuer", PASSPHRASE, plan, "Office", epochs=EPOCHS, genesis=GENESIS, now=self.unix
        )
        issuer.set_service(*SERVICE)
        secrets = issuer.add_relay("berlin", *RELAY, self.folder / "berlin")
        parameters = Parameters(issuer.copy_for("berlin"))
        relay = MemoryRelay(parameters, secrets.static_secret, self.now, secrets.ledger_secret)
        self.network.answer_at(*RELAY, relay.connected)
        self.invitations = {name: issuer.invite(name) for name in NAMES}
        return IssuerServer(issuer)

    async def clients(self) -> dict[str, Client]:
        """Of members who joined and have met."""
        members = {}
        for name, invitation in self.invitations.items():
            with joining.begin(self.folder / name, invitation, PASSPHRASE, self.unix) as begun:
                members[name], _ = await begun.enter()
        introduce(*members.values())
        return {
            name: Client(member, rng=random.Random(self.dice.random()), now=self.now, sleep=asyncio.sleep)
            for name, member in members.items()
        }

    # -- a member's day

    async def live(self, name: str, client: Client, end: float, messages: int) -> None:
        """Until `end` seconds; what is written is read by then."""
        _who.set(name)
        (other,) = (each for each in NAMES if each != name)
        running = asyncio.create_task(client.run())
        watching = asyncio.create_task(self._watch(name, client))
        first = FIRST_ROUND * ROUND_SECONDS
        part = (end - LIMIT_SECONDS - first) / messages
        for number in range(messages):
            moment = first + (number + self.dice.random()) * part
            await asyncio.sleep(max(0.0, moment - self.loop.time()))
            text = f"{name}, number {len(self.queued[name])}"
            self.written[text] = self.loop.time()
            self.queued[name].append(text)
            await client.queue(other, text)
        await asyncio.sleep(end - self.loop.time())
        for task in (running, watching):
            task.cancel()
        await asyncio.gather(running, watching, return_exceptions=True)

    async def _watch(self, name: str, client: Client) -> None:
        left = 0
        async for change in client.changes():
            if change.kind == "posted":
                self.posted[self.queued[name][left]] = self.loop.time()
                left += 1
            elif change.kind == "message":
                for message in await client.inbox(new=True):
                    self.day.from_written.append(self.loop.time() - self.written[message.text or ""])
                    self.day.from_posted.append(self.loop.time() - self.posted[message.text or ""])
            elif change.kind in ("trouble", "split"):
                self.day.troubles.append(f"{name}: {change.fields}")

    async def course(self, messages: int) -> None:
        server, ready = await self.found(), asyncio.Event()
        serving = asyncio.create_task(server.run(*SERVICE, ready.set, self.day.troubles.append))
        await ready.wait()
        clients = await self.clients()
        await asyncio.sleep(START_ROUND * ROUND_SECONDS - self.loop.time())
        end = (FIRST_ROUND + self.day.rounds) * ROUND_SECONDS
        lives = [asyncio.create_task(self.live(name, client, end, messages)) for name, client in clients.items()]
        await asyncio.sleep(FIRST_ROUND * ROUND_SECONDS - self.loop.time())
        self.day.bytes.clear()
        self.day.connections.clear()
        await asyncio.gather(*lives)
        self.day.unread = len(self.written) - len(self.day.from_written)
        for client in clients.values():
            await client.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@contextmanager
def _beside_disks() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        quick_keystores.use(patch)
        patch.setattr(os, "fsync", lambda file: None)  # no power fails where this runs
        yield patch


def lived(rounds: int, messages: int, seed: int = 1) -> Day:
    """So many rounds, in which each of the two writes so many messages of one part, at random moments."""
    day, loop = Day(rounds), VirtualTimeLoop()
    with tempfile.TemporaryDirectory(prefix="tessera-day-") as folder, _beside_disks() as patch:
        network = _Network(day)
        network.serve(patch)
        office = _Office(Path(folder), loop, day, network, seed)
        try:
            loop.run_until_complete(office.course(messages))
        finally:
            loop.close()
    return day


def measured(days: int = 1) -> dict[str, Any]:
    """Bytes a day of the member that had more, and times in seconds."""
    day = lived(days * DAY_SECONDS // ROUND_SECONDS, days * MESSAGES)
    counted = max(day.bytes.values(), key=Counter.total)
    return {
        "bytes_a_day": {kind: round(number / days) for kind, number in counted.items()},
        "all_bytes_a_day": round(counted.total() / days),
        "messages": len(day.from_written),
        "unread": day.unread,
        "from_posted_s": _times(day.from_posted),
        "from_written_s": _times(day.from_written),
        "troubles": day.troubles,
    }


def _times(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 1), "longest": round(max(seconds), 1)}


def show(found: dict[str, Any]) -> None:
    table = Table("", "measured", "limit", title=f"An agent's day: {MEMBERS} members, rounds of {ROUND_SECONDS} s")
    for kind, number in found["bytes_a_day"].items():
        table.add_row(kind, f"{number:,} bytes", "")
    table.add_row("all frames", f"{found['all_bytes_a_day']:,} bytes", f"{LIMIT_BYTES:,}")
    for label, key, limit in (
        ("acknowledged to read", "from_posted_s", ""),
        ("written to read", "from_written_s", f"{LIMIT_SECONDS} s"),
    ):
        times = found[key]
        table.add_row(label, f"median {times['median']:g} s, longest {times['longest']:g} s", limit)
    Console(width=110).print(table, f"{found['messages']} messages were read, {found['unread']} were not")
    for trouble in found["troubles"]:
        Console().print(trouble)


def main() -> None:
    parser = argparse.ArgumentParser(description="Bytes and times of an agent's day, in virtual time.")
    parser.add_argument("--days", type=int, default=1, help="so many, for more messages")
    show(measured(parser.parse_args().days))


if __name__ == "__main__":
    main()
