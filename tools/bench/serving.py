"""A relay on a server, busy: what `make bench` measures of `tessera serve`, each figure beside the limit it is held
against, in the same run.

Owns the measurements and the limits. The server is the command, in a process of its own; its members are another
process (load.py). The long one: `python -m tools.bench.serving --members 100 1000 10000 20000 --seconds 600 --plot F`.
"""

import argparse
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from check import unhex, vectors
from tessera.aead import Aead
from tessera.wire import CELL_FRAME_BYTES
from tessera_host.cli.demo import free_port
from tessera_host.relay import sqlite_device
from tests.support.server_on_disk import make_server
from tools.bench import ROOT
from tools.bench.full_relay import NOISE_TABLE

SECONDS = 4.0  # of each measurement
EPOCH_ROUNDS, ROUND_SECONDS, RETENTION = 100, 300, 3
PAGE_BYTES = 256
GROUPS = (64, 256)  # connections
_TICKS = os.sysconf("SC_CLK_TCK")


class Serving:
    """`tessera serve` on a fresh relay of so many members, in the middle of its fourth epoch."""

    def __init__(self, folder: Path, members: int, posts: int, log2_buckets: int) -> None:
        self.port = free_port()
        now = int(time.time())
        self.genesis = now - ROUND_SECONDS * (RETENTION * EPOCH_ROUNDS + EPOCH_ROUNDS // 2) - ROUND_SECONDS // 4
        table = unhex("".join(vectors("noise_table")[NOISE_TABLE]["thresholds"]))
        make_server(
            folder,
            self.port,
            genesis=self.genesis,
            members=members,
            tokens_per_epoch=1,
            posts_per_token=posts,
            log2_buckets=log2_buckets,
            thresholds=table,
            epsilon=100_000,
            round_seconds=ROUND_SECONDS,
            epoch_rounds=EPOCH_ROUNDS,
            retention_epochs=RETENTION,
        )
        tessera = Path(sys.executable).with_name("tessera")
        words = [tessera, "serve", "--storage", folder, "--port", str(self.port), "--sessions", "2048"]
        began = time.monotonic()
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        while (line := self._process.stdout.readline()) != "serving\n":
            if not line:
                sys.exit("tessera serve did not start")
        self.start_seconds = time.monotonic() - began

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def memory_mib(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024

    def under(self, kind: str, count: int, seconds: float, *options: object) -> dict[str, Any]:
        """A load's figures, with what they cost the server: cores, and its memory at the end."""
        load = self.start(kind, count, seconds, *options)
        return self.figures_of(load, seconds)

    def start(self, kind: str, count: int, seconds: float, *options: object) -> "subprocess.Popen[str]":
        words = [sys.executable, "-m", "tools.bench.load", self.port, kind, count, seconds, *options]
        self._before, self._began = (self.cpu_seconds, time.monotonic()), time.time()
        return subprocess.Popen([str(word) for word in words], cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def figures_of(self, load: "subprocess.Popen[str]", seconds: float) -> dict[str, Any]:
        said, _ = load.communicate()
        if load.returncode:
            sys.exit("the load failed")
        figures: dict[str, Any] = json.loads(said)
        cpu, began = self._before
        figures["cpu_seconds"], figures["seconds"] = self.cpu_seconds - cpu, time.monotonic() - began
        figures["cores"] = figures["cpu_seconds"] / figures["seconds"]
        figures["began"] = self._began
        figures["memory_mib"] = self.memory_mib
        return figures


@contextmanager
def serving(members: int = 256, posts: int = 1020, log2_buckets: int = 1) -> Iterator[Serving]:
    with tempfile.TemporaryDirectory(prefix="tessera-bench-") as folder:
        server = Serving(Path(folder), members, posts, log2_buckets)
        try:
            yield server
        finally:
            server.stop()


# -- limits


def group_commits(group: int, seconds: float) -> float:
    """Pages a second that SQLite alone makes durable, so many in a commit."""
    with tempfile.TemporaryDirectory(prefix="tessera-bench-") as folder:
        connection = sqlite3.connect(Path(folder) / "storage.sqlite", isolation_level=None)
        for pragma in sqlite_device.PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE page (number INTEGER PRIMARY KEY, data BLOB)")
        done, start = 0, time.monotonic()
        while time.monotonic() - start < seconds:
            connection.execute("BEGIN IMMEDIATE")
            rows = ((done + number, os.urandom(PAGE_BYTES)) for number in range(group))
            connection.executemany("INSERT INTO page VALUES (?, ?)", rows)
            connection.execute("COMMIT")
            done += group
        return done / (time.monotonic() - start)


def sealing(seconds: float) -> float:
    """Bytes a second that the AEAD alone seals, on one core."""
    aead, frame = Aead(bytes(32)), bytearray(CELL_FRAME_BYTES)
    done, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        for _ in range(200):
            aead.seal_in_place(done, done.to_bytes(8, "big"), frame)
            done += 1
    return done * CELL_FRAME_BYTES / (time.process_time() - start)


def openssl_dh(seconds: int) -> float:
    """Multiplications a second that OpenSSL makes on its fastest curve of this size, on one core: of a full handshake
    the relay makes three."""
    said = subprocess.run(
        ["openssl", "speed", "-mr", "-seconds", str(seconds), "ecdhp256"], capture_output=True, text=True
    )
    found = re.findall(r"^\+F5:\d+:\d+:([\d.]+)", said.stdout, re.MULTILINE)
    return float(found[-1]) if found else 0.0


# -- what is measured


def figures(seconds: float = SECONDS) -> dict[str, Any]:
    result: dict[str, Any] = {"limits": {f"commits_of_{group}": group_commits(group, seconds / 2) for group in GROUPS}}
    result["limits"]["sealed_bytes_per_second"] = sealing(seconds / 4)
    result["limits"]["dh_per_second"] = openssl_dh(1)
    with serving() as server:
        result["start_seconds"], result["empty_mib"] = server.start_seconds, server.memory_mib
        result["void_64"] = server.under("void", 64, seconds)
        for connections in GROUPS:
            result[f"post_{connections}"] = server.under("post", connections, seconds)
        half = result["post_256"]["per_second"] / 2
        result["half"] = server.under("post", 256, seconds, "--rate", half)
        result["fetch_64"] = server.under("fetch", 64, seconds)
        fetching = server.start("fetch", 8, 2 * seconds)
        result["handshakes"] = server.under("handshake", 16, seconds)
        fetching.communicate()
    with serving() as server:
        empty = server.memory_mib
        result["idle_1000"] = server.under("idle", 1000, 2 * seconds)
        result["idle_1000"]["more_mib"] = result["idle_1000"]["memory_mib"] - empty
    return result


def growth(members: tuple[int, ...], rhythm: float, seconds: float) -> list[dict[str, Any]]:
    """Members' agents at their rhythm: every `rhythm` seconds a session to post and one to read."""
    rows = []
    for count in members:
        with serving(count, 32) as server:
            load = server.under("members", count, seconds, "--rhythm", rhythm)
            rows.append({"members": count, "rhythm": rhythm, **load})
    return rows


# -- tables


def show(found: dict[str, Any]) -> None:
    table = Table("", "measured", "limit", title="tessera serve, and beside it what its parts can do alone")
    limits = found["limits"]

    def row(name: str, measured: str, limit: str = "") -> None:
        table.add_row(name, measured, limit)

    def rate(name: str) -> str:
        load = found[name]
        failed = f", failed {sum(load['failed'].values())}" if load["failed"] else ""
        return f"{load['per_second']:,.0f}/s; p50 {load['p50_ms']:.0f}, p99 {load['p99_ms']:.0f} ms{failed}"

    row("VOID, 64 connections", rate("void_64"), "3,200/s at 20 ms")
    for group in GROUPS:
        alone = limits[f"commits_of_{group}"]
        share = found[f"post_{group}"]["per_second"] / alone
        row(f"POST durable, {group} connections", rate(f"post_{group}"), f"SQLite: {alone:,.0f}/s; {share:.0%} of it")
    row("the same at half of that load", rate("half"), "p99 ≤ 60 ms")
    fetch = found["fetch_64"]
    a_core = fetch["bytes_per_second"] / max(fetch["cores"], 0.01) / 1e6
    sealed = limits["sealed_bytes_per_second"] / 1e6
    row("FETCH, 64 connections", f"{fetch['bytes_per_second'] / 1e6:.1f} MB/s, {a_core:.1f} a core",
        f"≥ 20; the AEAD alone {sealed:.0f}")  # fmt: skip
    row("full handshakes while 8 fetch", rate("handshakes"), f"≥ 1,000/s; openssl: {limits['dh_per_second'] / 3:,.0f}")
    idle = found["idle_1000"]
    row("1,000 sessions", f"{idle['more_mib']:.0f} MiB over {found['empty_mib']:.0f}", "≤ 64 MiB")
    row("start", f"{found['start_seconds']:.1f} s")
    Console(width=110).print(table)


def show_growth(rows: list[dict[str, Any]]) -> None:
    table = Table("members", "sessions a second", "failed", "p50, p99 (0.5 s of pause in a post)", "cores", "MiB",
                  title="agents at their rhythm")  # fmt: skip
    for row in rows:
        table.add_row(
            f"{row['members']:,} every {row['rhythm']:g} s",
            f"{row['per_second']:.1f}",
            str(sum(row["failed"].values())),
            f"{row['p50_ms']:.0f}, {row['p99_ms']:.0f} ms",
            f"{row['cores']:.2f}",
            f"{row['memory_mib']:.0f}",
        )
    Console(width=110).print(table)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Cores, memory and latency over members."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    members = [row["members"] for row in rows]
    figure, axes = pyplot.subplots(1, 3, figsize=(10, 3), layout="constrained")
    drawn = (
        ("cores", ("cores",)),
        ("memory, MiB", ("memory_mib",)),
        ("latency, ms (p50, p99)", ("p50_ms", "p99_ms")),
    )
    for ax, (title, names) in zip(axes, drawn, strict=True):
        for name in names:
            ax.plot(members, [row[name] for row in rows], marker="o")
        ax.set(title=title, xscale="log", xlabel="members", ylim=(0, None))
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="A server under load, and how that grows with its members.")
    parser.add_argument("--members", type=int, nargs="*", default=[], help="only these, at their rhythm")
    parser.add_argument("--rhythm", type=float, default=300, help="seconds of a round")
    parser.add_argument("--seconds", type=float, default=None, help="of each measurement")
    parser.add_argument("--plot", type=Path, help="a file for the curves over members")
    chosen = parser.parse_args()
    if chosen.members:
        rows = growth(tuple(chosen.members), chosen.rhythm, chosen.seconds or chosen.rhythm)
        show_growth(rows)
        if chosen.plot:
            plot(rows, chosen.plot)
    else:
        show(figures(chosen.seconds or SECONDS))


if __name__ == "__main__":
    main()
