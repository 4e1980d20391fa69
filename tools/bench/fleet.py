"""`make bench-fleet`: what gateways on one log acknowledge in a second, beside one gateway alone on SQLite and beside
bare clients of the same engine, and how that goes with the number of gateways; each figure beside the limit that it is
held against, in the same run. Writes build/bench-fleet.json.

Owns the measurements and the limits. Gateways are the command, the engine three nodes of NATS, members processes of
their own (fleet_load.py, load.py), all on this computer: its processors are part of every figure. So beside posts a
second stand CPU microseconds a post, of gateways, engine and load: those hardly depend on what else runs here.

What the bare clients are. They are upstream's client and nothing else: no chain, no seals, no sessions, no answer that
waits for a replay. Both of them are counted in posts, that is in frames of the entries that the engine acknowledged.

- *The fleet's entries*: of the sizes of those that three gateways appended in their best burst, read from the log, with
  as many posts in flight: so many entries as hold IN_FLIGHT frames at the mean of the burst. The limit is held against
  this. An entry of a gateway holds what came in a tick, dozens of frames, and the engine is asked once for all of them.
- *An entry a post*, with as many posts in flight. It is what the fleet was held against at first, under the limit's
  name: but there the engine has a message for every post, so it says what a tick saves, not what the log could take.

Because all share two processors, more gateways can hardly do more. So each number of them is measured once more with
SLOW of a processor for each gateway (share.py), which leaves the rest to engine and members, as hosts of their own
would: that says how a fleet grows.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import office
from check import unhex, vectors
from tessera_host.fleet.entry import LEAST_BYTES
from tessera_host.fleet.frames import FRAME_BYTES
from tests.fleet.nats import open_nats
from tests.support.fleet_on_disk import GatewayProcess, grown
from tests.support.nats_nodes import NatsNodes
from tests.support.ports import free_ports
from tests.support.server_on_disk import make_server
from tools.bench import ROOT, fleet_load, share
from tools.bench.full_relay import NOISE_TABLE

TOKENS, IN_FLIGHT, BURSTS = 1800, 450, 3  # of all gateways together; one answers BUSY when 500 frames wait
_KEEP_SECONDS = 5.0
FETCHERS, SECONDS = 72, 4.0
SLOW = 0.2  # of a processor
ROUND_SECONDS, EPOCH_ROUNDS, RETENTION = 20, 200, 3
FRAME_ENTRY_BYTES = LEAST_BYTES + FRAME_BYTES  # an entry of one frame
_KEPT_SECONDS = (RETENTION + 1) * EPOCH_ROUNDS * ROUND_SECONDS  # of a log, as gateways ask for it
_END = 1 << 62  # behind every position
LEAST_OF_BARE, MOST_P99_MS = 0.6, 150
_CORES = os.cpu_count() or 1


class Fleet:
    """So many gateways in the middle of an epoch. Without nodes: a single relay on SQLite that belongs to no fleet."""

    def __init__(self, folder: Path, nodes: NatsNodes | None, gateways: int, name: str) -> None:
        first = free_ports(gateways)
        self.nodes, self.name = nodes, name
        self._genesis = genesis = int(time.time()) - ROUND_SECONDS * (RETENTION * EPOCH_ROUNDS + EPOCH_ROUNDS // 2)
        self.gateways = [
            GatewayProcess(number, folder / f"gateway-{number}", "127.0.0.1", first + number - 1)
            for number in range(1, gateways + 1)
        ]
        for gateway in self.gateways:
            gateway.options = ("--sessions", 2 * TOKENS)
        make_server(
            self.gateways[0].directory,
            first,
            genesis=genesis,
            members=TOKENS,
            tokens_per_epoch=1,
            posts_per_token=32,
            thresholds=unhex("".join(vectors("noise_table")[NOISE_TABLE]["thresholds"])),
            epsilon=100_000,
            round_seconds=ROUND_SECONDS,
            epoch_rounds=EPOCH_ROUNDS,
            retention_epochs=RETENTION,
        )
        addresses = nodes.address(name).nodes if nodes else ()
        turned = [[*addresses[at:], *addresses[:at]] for at in range(gateways)]
        asyncio.run(grown(self.gateways, [f"nats://{','.join(each)}/{name}" for each in turned] if nodes else []))

    def stop(self) -> None:
        for gateway in self.gateways:
            gateway.kill()

    @property
    def cpu_seconds(self) -> float:
        return sum(gateway.cpu_seconds for gateway in self.gateways)

    @property
    def engine_cpu_seconds(self) -> float:
        return self.nodes.cpu_seconds if self.nodes else 0.0

    def entries(self, after: int) -> tuple[int, list[int]]:
        """The newest position of the log, and the bytes of each entry behind that one."""
        return asyncio.run(_entries(self.nodes.address(self.name).nodes, self.name, after)) if self.nodes else (0, [])

    @property
    def next_round(self) -> float:
        """When every gateway will have opened the next one."""
        return time.time() + ROUND_SECONDS - (time.time() - self._genesis) % ROUND_SECONDS + 1

    @contextmanager
    def slow(self) -> Iterator[None]:
        """A block in which each gateway has SLOW of a processor."""
        with share.of_a_processor(SLOW, [gateway.pid for gateway in self.gateways]):
            yield

    def fetch(self) -> dict[str, float]:
        """Bytes a second that all serve, and the cores that they take for it."""
        count = FETCHERS // len(self.gateways)
        before, began = self.cpu_seconds, time.monotonic()
        loads = [_start("load", each.port, "fetch", count, SECONDS) for each in self.gateways]
        found = [json.loads(load.communicate()[0]) for load in loads]
        cores = (self.cpu_seconds - before) / (time.monotonic() - began)
        return {"bytes_per_second": sum(each["bytes_per_second"] for each in found), "cores": cores}


class Members:
    """Loads at each gateway, which have their sessions open."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        tokens, in_flight = TOKENS // len(fleet.gateways), IN_FLIGHT // len(fleet.gateways)
        self._loads = [
            _start(
                "fleet_load", "post", each.port, "--first", at * tokens, "--tokens", tokens, "--in-flight", in_flight
            )
            for at, each in enumerate(fleet.gateways)
        ]
        for load in self._loads:
            assert load.stdout and load.stdout.readline() == "ready\n", "a load did not start"

    def stop(self) -> None:
        for load in self._loads:
            load.communicate()

    def wait_for_round(self) -> None:
        end = self._fleet.next_round
        while (left := end - time.time()) > 0:
            self._order(fleet_load.KEEP)
            time.sleep(max(0.0, min(left, _KEEP_SECONDS)))

    def _order(self, line: str) -> list[Any]:
        for load in self._loads:
            assert load.stdin
            load.stdin.write(line + "\n")
            load.stdin.flush()
        return [json.loads(load.stdout.readline()) for load in self._loads if load.stdout]

    def burst(self, rate: float = 0.0) -> dict[str, Any]:
        """All of them post once, at a rate (a second, all together) if there is one. entry_bytes: of those that the
        gateways appended meanwhile."""
        fleet = self._fleet
        last, _ = fleet.entries(_END)
        before, engine, began = fleet.cpu_seconds, fleet.engine_cpu_seconds, time.monotonic()
        found = self._order(f"{rate / len(self._loads)}")
        gateways, engine = fleet.cpu_seconds - before, fleet.engine_cpu_seconds - engine
        result = _summed(found, gateways=gateways, engine=engine)
        result["cores"] = gateways / (time.monotonic() - began)
        _, result["entry_bytes"] = fleet.entries(last)
        return result


async def _entries(nodes: Sequence[str], name: str, after: int) -> tuple[int, list[int]]:
    log = await open_nats(list(nodes), name, office.RELAY_KEY, keep_seconds=_KEPT_SECONDS)
    try:
        last, sizes = await log.last(), []
        if after < last:
            async with contextlib.aclosing(log.follow(after + 1)) as entries:
                async for entry in entries:
                    sizes.append(len(entry.entry))
                    if entry.position >= last:
                        break
        return last, sizes
    finally:
        await log.close()


def frames_of(sizes: Sequence[int]) -> int:
    """In entries of so many bytes."""
    return sum((size - LEAST_BYTES) // FRAME_BYTES for size in sizes)


def _summed(found: Sequence[dict[str, Any]], **cpu: float) -> dict[str, Any]:
    """Of several loads; cpu: seconds of what else worked for them."""
    took = sorted(second for each in found for second in each["took"]) or [0.0]
    seconds = max(each["ended"] for each in found) - min(each["began"] for each in found)
    failed = sum(sum(each["failed"].values()) for each in found)
    posts = sum(each["posts"] for each in found)
    cpu["load"] = sum(each["cpu_seconds"] for each in found)
    return {
        "per_second": posts / seconds,
        "p50_ms": 1000 * took[len(took) // 2],
        "p99_ms": 1000 * took[len(took) * 99 // 100],
        "failed": failed,
        "cpu_us_a_post": {name: 1e6 * spent / max(1, posts) for name, spent in cpu.items()},
    }


def _start(load: str, *words: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", f"tools.bench.{load}", *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


@contextmanager
def running(nodes: NatsNodes | None, gateways: int, name: str = "") -> Iterator[Fleet]:
    with tempfile.TemporaryDirectory(prefix="tessera-bench-") as folder:
        fleet = Fleet(Path(folder), nodes, gateways, name)
        try:
            yield fleet
        finally:
            fleet.stop()


def posts(fleet: Fleet, half: bool = False) -> dict[str, Any]:
    """The best of some bursts, each in a round of its own; half: and one at half of that rate; and one of slow
    gateways, if there can be such."""
    members = Members(fleet)
    try:
        bursts = []
        members.wait_for_round()  # the first in which a fleet takes posts
        for _ in range(BURSTS):
            bursts.append(members.burst())
            members.wait_for_round()
        best = max(bursts, key=lambda burst: float(burst["per_second"]))
        best["all"] = [burst["per_second"] for burst in bursts]
        if half:
            best["half"] = members.burst(best["per_second"] / 2)
            members.wait_for_round()
        if share.is_possible():
            with fleet.slow():
                best["slow"] = members.burst()
        return best
    finally:
        members.stop()


def fetches(fleet: Fleet, name: str) -> dict[str, dict[str, float]]:
    """By name, and by that of slow gateways if there can be such."""
    found = {name: fleet.fetch()}
    if share.is_possible():
        with fleet.slow():
            found[f"{name}_slow"] = fleet.fetch()
    return found


def bare(folder: Path, nodes: NatsNodes, name: str, sizes: list[int]) -> dict[str, Any]:
    """Posts a second of clients that append entries of these sizes to one log and do nothing else, one beside each
    node. Together they have as many posts in flight as the members of a fleet."""
    file, addresses = folder / f"{name}.json", nodes.address(name).nodes
    file.write_text(json.dumps(sizes))
    mean = frames_of(sizes) / len(sizes)
    entries = max(len(addresses), round(IN_FLIGHT / mean))
    asyncio.run(_entries(addresses, name, _END))  # which makes the stream, as a gateway does
    before, loads = nodes.cpu_seconds, []
    for number in range(len(addresses)):
        turned = ",".join(addresses[number:] + addresses[:number])
        words = ("--in-flight", (entries + number) // len(addresses), "--sizes", file, "--seconds", SECONDS)
        loads.append(_start("fleet_load", "bare", turned, name, *words))
    found = [json.loads(load.communicate()[0]) for load in loads]
    result = _summed(found, engine=nodes.cpu_seconds - before)
    return result | {"entries_in_flight": entries, "frames_an_entry": mean}


def figures() -> dict[str, Any]:
    result: dict[str, Any] = {"cores_of_this_computer": _CORES, "in_flight": IN_FLIGHT}
    with running(None, 1) as alone:
        result["sqlite"] = posts(alone)
        result |= fetches(alone, "fetch_sqlite")
    with tempfile.TemporaryDirectory(prefix="tessera-bench-") as folder:
        nodes = NatsNodes(Path(folder) / "nodes")
        try:
            nodes.start()
            for gateways in (1, 2, 3):
                with running(nodes, gateways, f"fleet-{gateways}") as fleet:
                    result[f"posts_{gateways}"] = posts(fleet, half=gateways == 3)
                    result |= fetches(fleet, f"fetch_{gateways}")
            result["bare"] = bare(Path(folder), nodes, "bare", result["posts_3"]["entry_bytes"])
            result["bare_single"] = bare(Path(folder), nodes, "bare-single", [FRAME_ENTRY_BYTES])
        finally:
            nodes.stop()
    return result


def rows(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(what, measured, held against)."""
    alone, entries, single, three = found["sqlite"], found["bare"], found["bare_single"], found["posts_3"]
    each = f"{entries['frames_an_entry']:.1f} posts an entry, {entries['entries_in_flight']} entries in flight"
    made = [(f"POST, one relay on SQLite, {found['in_flight']} in flight", _rate(alone), "")]
    for gateways in (1, 2, 3):
        load = found[f"posts_{gateways}"]
        of_it = load["per_second"] / alone["per_second"]
        made.append((f"POST, {gateways} on three nodes", _rate(load), f"{of_it:.2f} of SQLite's"))
    made += [
        (f"bare clients, the entries of three gateways: {each}", _rate(entries), ""),
        ("three gateways, of that", f"{three['per_second'] / entries['per_second']:.0%}", f"≥ {LEAST_OF_BARE:.0%}"),
        ("bare clients, an entry a post, as many posts in flight", _rate(single), ""),
        ("three gateways, of that", f"{three['per_second'] / single['per_second']:.0%}", f"≥ {LEAST_OF_BARE:.0%}"),
        ("the most of that, as all share these processors", f"{_all_cpu(single) / _all_cpu(three):.0%}", ""),
        ("three gateways at half of that", _rate(three["half"]), f"p99 ≤ {MOST_P99_MS} ms"),
    ]
    which = {"sqlite": "one relay on SQLite"} | {str(number): f"{number} on three nodes" for number in (1, 2, 3)}
    fetched = {name: found[f"fetch_{name}"] for name in which}
    made += [(f"FETCH, {which[name]}, {FETCHERS} connections", _served(load), "") for name, load in fetched.items()]
    if "slow" in alone:
        of_each = f"{SLOW} processors for each"
        posted = {name: (alone if name == "sqlite" else found[f"posts_{name}"])["slow"] for name in which}
        fetched = {name: found[f"fetch_{name}_slow"] for name in which}
        for name, load in posted.items():
            of_one = load["per_second"] / posted["1"]["per_second"]
            made.append((f"POST, {which[name]}, {of_each}", _rate(load), f"{of_one:.2f} of one gateway's"))
        for name, load in fetched.items():
            of_one = load["bytes_per_second"] / fetched["1"]["bytes_per_second"]
            made.append((f"FETCH, {which[name]}, {of_each}", _served(load), f"{of_one:.2f} of one gateway's"))
    return made


def _rate(load: dict[str, Any]) -> str:
    failed = f", failed {load['failed']}" if load["failed"] else ""
    cores = f"; {load['cores']:.2f} cores" if "cores" in load else ""
    cpu = ", ".join(f"{name} {spent:.0f}" for name, spent in load["cpu_us_a_post"].items())
    times = f"p50 {load['p50_ms']:.0f}, p99 {load['p99_ms']:.0f} ms"
    return f"{load['per_second']:,.0f}/s; {times}{cores}{failed}; µs a post: {cpu}"


def _served(load: dict[str, float]) -> str:
    a_core = load["bytes_per_second"] / max(load["cores"], 0.01) / 1e6
    return f"{load['bytes_per_second'] / 1e6:.1f} MB/s, {a_core:.1f} a core; {load['cores']:.2f} cores"


def _all_cpu(load: dict[str, Any]) -> float:
    """Of a post, in µs: of whoever works for it."""
    return float(sum(load["cpu_us_a_post"].values()))


def show(found: dict[str, Any]) -> None:
    title = f"A fleet on {found['cores_of_this_computer']} cores, members and engine too"
    table = Table("", "measured", "limit", title=title)
    for row in rows(found):
        table.add_row(*row)
    Console(width=160).print(table)


def main() -> int:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    found = figures()
    show(found)
    output = ROOT / "build" / "bench-fleet.json"
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
