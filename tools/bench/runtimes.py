"""`make bench`: what the relay core does in a second on both runtimes, and the heap it takes with a full ring; and what
a request costs the issuer (issuing.py), a count of a member's day (accounting.py), what an agent's day has on the wire
(day.py), what a server serves (serving.py).

Owns the measurements, which are figures and not assertions. Prints tables and writes build/bench.json.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import office
from tessera import channel, wire
from tessera.admission import read_proof
from tessera_host.cli.demo import free_port
from tessera_host.relay.process import HEAP_KIB, RelayProcess
from tools.bench import ROOT, accounting, day, issuing, serving
from tools.bench.full_relay import (
    EPOCH_ROUNDS,
    EPOCH_SECONDS,
    RETENTION,
    make_full_relay,
)

CONNECTIONS = 4
ATTEMPTS = 20  # to find a place
LABELS = {
    "curve_tier": "curve tier",
    "verification_ms": "BIP-340 verification, ms",
    "verification_plain_ms": "the same in plain integers, ms",
    "dh_ms": "DH, ms",
    "dh_plain_ms": "the same in plain integers, ms",
    "handshake_ms": "full handshake, both ends, ms",
    "handshake_and_auth_ms": "full handshake and AUTH, both ends, ms",
    "resumed_handshake_ms": "resumed handshake, both ends, ms",
    "post_ms": "POST, relay work, ms",
    "fetch_kb_per_s": "FETCH, relay work, kB/s",
}


def core_figures(*command: str) -> dict[str, Any]:
    folders = [str(ROOT / "firmware"), str(ROOT / "tests" / "core")]
    run = subprocess.run([*command, str(Path(__file__).with_name("core.py")), *folders], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"bench/core.py failed on {command[0]}:\n{run.stdout}{run.stderr}")
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return figures


class Client:
    """One connection to the relay of the bench, timed."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self, resumption: bytes | None = None) -> "Client":
        """Again if the relay has no place yet: it may not have noticed that another one left."""
        for _ in range(ATTEMPTS):
            with contextlib.suppress(asyncio.IncompleteReadError):
                return await self._open(resumption)
            await asyncio.sleep(0.1)
        return await self._open(resumption)

    async def _open(self, resumption: bytes | None) -> "Client":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        nonce = await self.reader.readexactly(16)
        if resumption is None:
            side = channel.Initiator(nonce, office.RELAY_KEY, office.ACCESS_KEY, os.urandom(32))
        else:
            side = channel.Resumption(nonce, office.ACCESS_KEY, resumption, os.urandom(16))
        self.writer.write(side.hello())
        self.channel = side.finish(await self.reader.readexactly(65))
        return self

    async def call(self, request: bytes) -> Any:
        self.writer.write(self.channel.seal(request))
        return wire.read_answer(self.channel.open(await self.reader.readexactly(wire.CLIENT_FRAME_BYTES)))

    async def fetch(self, start: int, end: int) -> int:
        """Bytes of records."""
        proof = read_proof(office.READING_KEY, self.channel.handshake_hash)
        self.writer.write(self.channel.seal(wire.fetch(0, start, end, proof)))
        got = 0
        while True:
            answer = wire.read_cell(self.channel.open(await self.reader.readexactly(wire.CELL_FRAME_BYTES)))
            if answer[0] == wire.END:
                return got
            got += wire.RECORD_BYTES * len(answer[4])


async def one_member(port: int, number: int) -> dict[str, float]:
    """What a member sees of the relay: fixed delays and ticks included."""
    client = await Client(port).open()
    info = await client.call(wire.info())
    open_round = info[7]
    epoch = open_round // EPOCH_ROUNDS
    secret = (await client.call(office.Token(number, epoch).request(client.channel.handshake_hash)))[1]
    start = time.perf_counter()
    await client.call(wire.post(0, os.urandom(240)))
    posted = time.perf_counter()
    got = await client.fetch(open_round - 16, open_round)
    fetched = time.perf_counter()
    client.writer.close()
    resumed = await Client(port).open(secret)
    await resumed.call(wire.void())
    resumed.writer.close()  # or it keeps its place from the next ones
    return {"post_ms": 1000 * (posted - start), "fetch_kb_per_s": got / 1000 / (fetched - posted)}


async def members(port: int, times: int) -> dict[str, float]:
    seen = []
    for turn in range(times):
        seen += await asyncio.gather(*(one_member(port, CONNECTIONS * turn + n) for n in range(CONNECTIONS)))
    return {name: statistics.median(each[name] for each in seen) for name in seen[0]}


def heap_figures() -> dict[str, Any]:
    """Peak heap of the MicroPython relay, and what its members saw."""
    with tempfile.TemporaryDirectory(prefix="tessera-bench-") as scratch:
        directory = Path(scratch)
        make_full_relay(directory, int(time.time()) - RETENTION * EPOCH_SECONDS - EPOCH_SECONDS // 2)
        with RelayProcess(directory, free_port()) as relay:
            start = time.perf_counter()
            relay.start()
            figures: dict[str, Any] = {"boot_s": time.perf_counter() - start}
            figures |= asyncio.run(members(relay.port, 5))
            figures |= relay.stop()
    return figures


# -- the table


def show(runtimes: list[dict[str, Any]], relay: dict[str, Any]) -> None:
    console = Console(width=110)
    table = Table("", *(figures["runtime"] for figures in runtimes), title="The core, without sockets and delays")
    for name, label in LABELS.items():
        table.add_row(label, *(shown(figures.get(name)) for figures in runtimes))
    console.print(table)
    table = Table("", relay["runtime"], title=f"A relay over TCP: full ring, {CONNECTIONS} connections at once")
    table.add_row("heap it may use", f"{HEAP_KIB * 1024} bytes")
    table.add_row("peak heap in use", f"{relay['heap_peak_bytes']} bytes")
    table.add_row("start to serving", f"{relay['boot_s']:.1f} s")
    table.add_row("POST to ACK (delay of 20 ms in it)", f"{relay['post_ms']:.1f} ms")
    table.add_row("FETCH of 16 rounds, each connection", f"{relay['fetch_kb_per_s']:.0f} kB/s")
    console.print(table)


def shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return "" if value is None else str(value)


def main() -> None:
    argparse.ArgumentParser(description="Rates of the core and heap of a relay, on both runtimes.").parse_args()
    runtimes = [core_figures(sys.executable), core_figures(os.environ["TESSERA_MICROPYTHON"], "-X", "heapsize=16m")]
    relay = heap_figures()
    show(runtimes, relay)
    issuer = issuing.figures()
    issuing.show(issuer)
    days = accounting.figures()
    accounting.show(days)
    agent = day.measured()
    day.show(agent)
    server = serving.figures()
    serving.show(server)
    output = ROOT / "build" / "bench.json"
    output.parent.mkdir(exist_ok=True)
    found = {"core": runtimes, "relay": relay, "issuer": issuer, "days": days, "agent": agent, "server": server}
    output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
