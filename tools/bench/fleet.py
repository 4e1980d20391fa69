"""`make bench-fleet`: what gateways on one log acknowledge in a second, beside one gateway alone on SQLite and beside a
bare client of the same engine, and how that goes with the number of gateways; each figure beside the limit that it is
held against, in the same run. Writes build/bench-fleet.json.

Owns the measurements and the limits. Gateways are the command, the engine three nodes of NATS, members processes of
their own (fleet_load.py, load.py), all on this computer: its processors are part of every figure.
"""

import argparse
import asyncio
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

from check import unhex, vectors
from tests.support.fleet_on_disk import GatewayProcess, grown
from tests.support.nats_nodes import NatsNodes
from tests.support.ports import free_ports
from tests.support.server_on_disk import make_server
from tools.bench import ROOT, fleet_load
from tools.bench.full_relay import NOISE_TABLE

TOKENS, IN_FLIGHT, BURSTS = 1800, 450, 3  # of all gateways together; one answers BUSY when 500 frames wait
_KEEP_SECONDS = 5.0
FETCHERS, SECONDS = 24, 4.0
ROUND_SECONDS, EPOCH_ROUNDS, RETENTION = 20, 200, 3
FRAME_ENTRY_BYTES = 383  # an entry of one frame
LEAST_OF_BARE, MOST_P99_MS = 0.6, 150
_CORES = os.cpu_count() or 1


class Fleet:
    """So many gateways in the middle of an epoch. Without nodes: a single relay on SQLite that belongs to no fleet."""

    def __init__(self, folder: Path, nodes: NatsNodes | None, gateways: int, name: str) -> None:
        first = free_ports(gateways)
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
    def next_round(self) -> float:
        """When every gateway will have opened the next one."""
        return time.time() + ROUND_SECONDS - (time.time() - self._genesis) % ROUND_SECONDS + 1

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
        """All of them post once, at a rate (a second, all together) if there is one."""
        before, began = self._fleet.cpu_seconds, time.monotonic()
        result = _summed(self._order(f"{rate / len(self._loads)}"))
        result["cores"] = (self._fleet.cpu_seconds - before) / (time.monotonic() - began)
        return result


def _summed(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    took = sorted(second for each in found for second in each["took"]) or [0.0]
    seconds = max(each["ended"] for each in found) - min(each["began"] for each in found)
    failed = sum(sum(each["failed"].values()) for each in found)
    return {
        "per_second": sum(len(each["took"]) for each in found) / seconds,
        "p50_ms": 1000 * took[len(took) // 2],
        "p99_ms": 1000 * took[len(took) * 99 // 100],
        "failed": failed,
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
    """The best of some bursts, each in a round of its own; half: and one at half of that rate."""
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
        return best
    finally:
        members.stop()


def bare(folder: Path, nodes: NatsNodes, name: str, in_flight: int, sizes: list[int]) -> dict[str, Any]:
    """Entries a second of clients that do nothing else, one beside each node."""
    file = folder / f"{name}.json"
    file.write_text(json.dumps(sizes))
    loads = []
    for number in range(3):
        addresses = nodes.address(name).nodes
        turned = ",".join(addresses[number:] + addresses[:number])
        words = ("--in-flight", max(1, in_flight // 3), "--sizes", file, "--seconds", SECONDS)
        loads.append(_start("fleet_load", "bare", turned, f"{name}-{number}", *words))
    return _summed([json.loads(load.communicate()[0]) for load in loads])


def figures() -> dict[str, Any]:
    result: dict[str, Any] = {"cores_of_this_computer": _CORES, "in_flight": IN_FLIGHT}
    with running(None, 1) as alone:
        result["sqlite"] = posts(alone)
        result["fetch_sqlite"] = alone.fetch()
    with tempfile.TemporaryDirectory(prefix="tessera-bench-") as folder:
        nodes = NatsNodes(Path(folder) / "nodes")
        try:
            nodes.start()
            result["bare"] = bare(Path(folder), nodes, "bare", IN_FLIGHT, [FRAME_ENTRY_BYTES])
            for gateways in (1, 2, 3):
                with running(nodes, gateways, f"fleet-{gateways}") as fleet:
                    result[f"posts_{gateways}"] = posts(fleet, half=gateways == 3)
                    result[f"fetch_{gateways}"] = fleet.fetch()
        finally:
            nodes.stop()
    return result


def show(found: dict[str, Any]) -> None:
    table = Table(
        "", "measured", "limit", title=f"A fleet on {found['cores_of_this_computer']} cores, members and engine too"
    )

    def rate(load: dict[str, Any]) -> str:
        failed = f", failed {load['failed']}" if load["failed"] else ""
        cores = f"; {load['cores']:.2f} cores" if "cores" in load else ""
        return f"{load['per_second']:,.0f}/s; p50 {load['p50_ms']:.0f}, p99 {load['p99_ms']:.0f} ms{cores}{failed}"

    alone, entries, three = found["sqlite"], found["bare"], found["posts_3"]
    table.add_row(f"POST, one relay on SQLite, {found['in_flight']} in flight", rate(alone))
    table.add_row("bare clients, an entry a post, as many in flight", rate(entries))
    for gateways in (1, 2, 3):
        load = found[f"posts_{gateways}"]
        ratio = load["per_second"] / alone["per_second"]
        table.add_row(f"POST, {gateways} on three nodes", rate(load), f"{ratio:.2f} of SQLite's")
    table.add_row("three gateways, of the bare clients", f"{three['per_second'] / entries['per_second']:.0%}",
        f"≥ {LEAST_OF_BARE:.0%}")  # fmt: skip
    table.add_row("three gateways at half of that", rate(three["half"]), f"p99 ≤ {MOST_P99_MS} ms")
    for name in ("sqlite", 1, 2, 3):
        load = found[f"fetch_{name}"]
        a_core = load["bytes_per_second"] / max(load["cores"], 0.01) / 1e6
        which = "one relay on SQLite" if name == "sqlite" else f"{name} on three nodes"
        table.add_row(f"FETCH, {which}, {FETCHERS} connections", f"{load['bytes_per_second'] / 1e6:.1f} MB/s, "
            f"{a_core:.1f} a core; {load['cores']:.2f} cores")  # fmt: skip
    Console(width=130).print(table)


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
