"""`make bench`: what the relay core does in a second on both runtimes, and the heap it takes with a full ring.

Owns the measurements, which are figures and not assertions. Prints a table and writes build/bench.json.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "firmware"), str(ROOT / "tests" / "core")]

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import office  # noqa: E402
from check import unhex, vectors  # noqa: E402
from tessera import channel, wire  # noqa: E402
from tessera.clock import Clock  # noqa: E402
from tessera.filedevice import FileDevice  # noqa: E402
from tessera.files import Directory  # noqa: E402
from tessera.relay import Identity, Relay  # noqa: E402
from tessera_host.demo import free_port  # noqa: E402
from tessera_host.relay_process import HEAP_KIB, RelayProcess  # noqa: E402

RING_SECTORS, KEYRING_SECTORS = 212, 4  # the 848 KiB of a Pico W
ROUND_SECONDS, EPOCH_ROUNDS, RETENTION = 300, 288, 3
MEMBERS, POSTS = 26, 16
RECORDS_AN_EPOCH = MEMBERS * 2 * POSTS
CONNECTIONS = 4
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
    run = subprocess.run([*command, str(ROOT / "tools" / "bench_core.py"), *folders], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"bench_core.py failed on {command[0]}:\n{run.stdout}{run.stderr}")
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return figures


# -- a relay with a full ring


def make_full_relay(directory: Path) -> None:
    """A relay directory whose ring holds every record the parameters allow, in the four epochs that are kept."""
    epoch_seconds = ROUND_SECONDS * EPOCH_ROUNDS
    genesis = int(time.time()) - RETENTION * epoch_seconds - epoch_seconds // 2
    table = unhex("".join(vectors("noise_table")[2]["thresholds"]))
    shape = {"round_seconds": ROUND_SECONDS, "epoch_rounds": EPOCH_ROUNDS, "retention_epochs": RETENTION}
    blob = office.parameters(
        genesis=genesis, members=MEMBERS, posts_per_token=POSTS, buckets=1, thresholds=table, epsilon=100_000, **shape
    )
    (directory / "parameters").write_bytes(blob)
    (directory / "seed").write_bytes(os.urandom(32))
    secrets = {"static_secret": office.STATIC.hex(), "ledger_secret": office.LEDGER.hex()}
    sectors = {"ring_sectors": RING_SECTORS, "keyring_sectors": KEYRING_SECTORS}
    (directory / "relay.json").write_text(json.dumps({"version": 1, "name": "bench", **secrets, **sectors}))
    fill(directory, genesis)


def fill(directory: Path, genesis: int) -> None:
    """Live through the epochs in fast motion, on CPython."""
    now = [0]
    ring = FileDevice(f"{directory}/ring.flash", RING_SECTORS)
    keys = FileDevice(f"{directory}/keys.flash", KEYRING_SECTORS)
    identity = Identity(office.STATIC, office.LEDGER, b"bench", bytes(32))
    clock = Clock(lambda: now[0], lambda later, earlier: later - earlier)
    relay = Relay(ring, keys, Directory(str(directory)), identity, os.urandom, clock)
    relay.start()
    clock.set(1000 * genesis)
    last = RETENTION * EPOCH_ROUNDS + EPOCH_ROUNDS // 2 - 2
    per_round = RECORDS_AN_EPOCH / EPOCH_ROUNDS
    for round_ in range(last):
        relay.turn()
        relay.maintain()
        share = 2 if round_ >= RETENTION * EPOCH_ROUNDS else 1  # the last epoch's records fit into its first half
        for _ in range(int((round_ + 1) * per_round * share) - int(round_ * per_round * share)):
            relay._log.append(relay.open_round, 0, os.urandom(240), relay._ciphers[relay.epoch])
        now[0] += 1000 * ROUND_SECONDS


class Client:
    """One connection to the relay of the bench, timed."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self, resumption: bytes | None = None) -> "Client":
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
        self.writer.write(self.channel.seal(wire.fetch(0, start, end)))
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
    open_round, epoch = info[4], info[4] // EPOCH_ROUNDS
    secret = (await client.call(office.Token(number, epoch).request(client.channel.handshake_hash)))[1]
    start = time.perf_counter()
    await client.call(wire.post(0, os.urandom(240)))
    posted = time.perf_counter()
    got = await client.fetch(open_round - 16, open_round)
    fetched = time.perf_counter()
    client.writer.close()
    await (await Client(port).open(secret)).call(wire.void())
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
        make_full_relay(directory)
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
    runtimes = [core_figures(sys.executable), core_figures(os.environ["TESSERA_MICROPYTHON"], "-X", "heapsize=16m")]
    relay = heap_figures()
    show(runtimes, relay)
    output = ROOT / "build" / "bench.json"
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps({"core": runtimes, "relay": relay}, indent=2) + "\n")


if __name__ == "__main__":
    main()
