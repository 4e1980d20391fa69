"""A hundred thousand members fetch their tokens in an hour: `python -m tools.bench.fetching`, a part of
`make bench-growth`.

Owns the measurement. The issuer is the command `tessera issuer serve`, in a process of its own, with so many members on
its roster and a keystore on this disk. Another process simulates members. They do everything that a member does on the
network and with cryptography: handshake, HELLO, request, blinding, challenge, unblinding, and verifying each token.
They come at random at a rate, and do not wait for each other. Between receiving and sending they wait for a round trip
of the simulated network. A member that finds four sessions open under a key of its cohort comes again when the issuer
says so.

    python -m tools.bench.fetching [--roster N] [--rate R] [--round-trip-ms T] [--seconds S] [--epochs E]
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tessera import curve
from tessera.params import Parameters, log2_cohorts
from tessera_host.cli.demo import free_port
from tessera_host.clock import unix_now
from tessera_host.errors import NotPermitted, TesseraError, TryLater
from tessera_host.issuer.issuer import Issuer
from tessera_host.member.renewal import LEAST_WAIT_SECONDS
from tessera_host.planning import plan
from tessera_host.protocol.issuer_connection import IssuerConnection
from tests.support.fake_member import FakeMember, good_tokens
from tools.bench import ROOT
from tools.bench.issuing import PASSPHRASE, fill

ROSTER = 100_000
HOUR = 3600
AHEAD = 8
TIMEOUT_SECONDS = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


def choice(roster: int) -> plan.Choice:
    """An office of so many on a server, in as many buckets as leave 256 members in each."""
    return plan.Choice(
        cover=plan.DELIVERY,
        epsilon=Fraction("0.1"),
        delta=Fraction("1e-6"),
        members=roster,
        round_seconds=300,
        epoch_rounds=288,
        buckets=1 << max(0, (roster // 256).bit_length() - 1),
        posts_per_token=32,
        board="GATEWAY",
        allow_small=True,
    )


@dataclass
class Visits:
    """What came of them: seconds of each that got its tokens, when that was, of each in which a place of four was
    taken; refusals."""

    took: list[float] = field(default_factory=list)
    over: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    tokens: int = 0
    refused: int = 0
    failed: dict[str, int] = field(default_factory=dict)


@dataclass
class Office:
    """What a member knows of the service."""

    port: int
    key: bytes
    parameters: Parameters

    async def connect(self) -> IssuerConnection:
        return await IssuerConnection.open(
            "127.0.0.1", self.port, self.key, self.parameters.access_key, TIMEOUT_SECONDS
        )


async def visit(office: Office, member: FakeMember, round_trip: float, visits: Visits) -> None:
    """One member's, until it has its tokens; its network delays each answer."""
    began = time.monotonic()
    while True:
        try:
            await _fetch(office, member, round_trip, visits)
        except TryLater as later:
            visits.refused += 1
            await asyncio.sleep(later.retry_after + random.uniform(0, LEAST_WAIT_SECONDS))
            continue
        except (NotPermitted, TesseraError, OSError) as error:
            visits.failed[repr(error)] = visits.failed.get(repr(error), 0) + 1
            return
        visits.took.append(time.monotonic() - began)
        visits.over.append(time.monotonic())
        return


async def _fetch(office: Office, member: FakeMember, round_trip: float, visits: Visits) -> None:
    parameters = office.parameters
    await asyncio.sleep(2 * round_trip)  # of TCP, and for the nonce to come
    async with await office.connect() as connection:
        await asyncio.sleep(round_trip)
        await connection.hello(member.identity, parameters.federation_id)
        await asyncio.sleep(round_trip)
        now = unix_now()
        request = member.request(parameters.generation, parameters.epoch_of(parameters.round_at(now)), now)
        offer = await connection.issue(request)
        began = time.monotonic()
        challenge, pending = member.challenge(offer, parameters)
        await asyncio.sleep(round_trip)
        answer = await connection.issue(challenge)
        visits.held.append(time.monotonic() - began)
        if good_tokens(answer, pending) != len(pending) or not pending:
            raise SystemExit("tokens that are none")
        visits.tokens += len(pending)


async def load(office: Office, members: list[FakeMember], rate: float, round_trip: float) -> tuple[Visits, float]:
    """All members come, so many a second; what came of it, and how many a second had their tokens while they came."""
    visits, tasks, began = Visits(), [], time.monotonic()
    due = began
    for member in members:
        due += random.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        tasks.append(asyncio.create_task(visit(office, member, round_trip, visits)))
    came = time.monotonic()
    await asyncio.gather(*tasks)
    return visits, sum(over <= came for over in visits.over) / (came - began)


def members_of(first: int, count: int, federation_id: bytes) -> list[FakeMember]:
    numbers = range(first, first + count)
    return [FakeMember(f"asking {number}", federation_id, (number + 1).to_bytes(32, "big")) for number in numbers]


@dataclass(frozen=True)
class Way:
    """How members come: for the tokens of so many epochs, over a network with this round trip (seconds)."""

    epochs: int
    round_trip: float


def prepared(folder: Path, roster: int, ways: Sequence[Way], asking: int) -> tuple[Issuer, int]:
    """(an issuer with a roster, of which `asking` members will ask in each way; its port)."""
    made = plan.make(choice(roster))
    first = unix_now() // 300 * 300 - 300 * 144
    issuer = Issuer.create(folder / "issuer", PASSPHRASE, made, "Office", genesis=first)
    point = curve.public(bytes(31) + b"\7")
    issuer.add_relay_keys("relay", "localhost", 8100, point, point[1:])
    port = free_port()
    issuer.set_service("127.0.0.1", port)
    fill(issuer, max(0, roster - asking * len(ways)), {})
    store, newest = issuer._store, issuer.parameters
    with store.change():
        for number, way in enumerate(ways):
            had = {epoch: {point[1:9]: 1} for epoch in range(AHEAD + 1 - way.epochs)}
            for member in members_of(number * asking, asking, newest.federation_id):
                row = {"name": member.name, "key": member.key, "number": 0}
                store.keystore.table("roster").put(member.key, row)
                if had:
                    name = newest.generation.to_bytes(4, "big") + member.key
                    store.keystore.table("charged").put(name, had, AHEAD + 1, newest.generation)
    return issuer, port


def cpu_seconds(process: "subprocess.Popen[str]") -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def measured(roster: int, rate: float, ways: Sequence[Way], seconds: float) -> list[dict[str, Any]]:
    """A row for each way in which members come, one after the other."""
    asking = max(1, round(rate * seconds))
    with tempfile.TemporaryDirectory(prefix="tessera-bench-", dir=".") as name:
        folder = Path(name)
        issuer, port = prepared(folder, roster, ways, asking)
        (folder / "passphrase").write_text(PASSPHRASE + "\n")
        (folder / "known").write_bytes(issuer.told_service().key + issuer.parameters.blob)
        issuer.close()
        tessera = Path(sys.executable).with_name("tessera")
        words = [tessera, "issuer", "serve", folder / "issuer", "--passphrase-file", folder / "passphrase"]
        server = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        try:
            assert server.stdout
            if not server.stdout.readline():
                sys.exit("tessera issuer serve did not start")
            rows = []
            for number, way in enumerate(ways):
                words = [sys.executable, "-m", "tools.bench.fetching", "--client", folder / "known", "--port", port]
                words += ["--first", number * asking, "--asking", asking, "--rate", rate]
                rows.append(_row(server, roster, rate, way, words))
        finally:
            server.terminate()
            server.wait()
    return rows


def _row(
    server: "subprocess.Popen[str]", roster: int, rate: float, way: Way, words: Sequence[object]
) -> dict[str, Any]:
    before, began = cpu_seconds(server), time.monotonic()
    words = [*words, "--round-trip-ms", 1000 * way.round_trip]
    said = subprocess.run([str(word) for word in words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    cpu, passed = cpu_seconds(server) - before, time.monotonic() - began
    found: dict[str, Any] = json.loads(said.stdout)
    return found | {
        "roster": roster,
        "cohorts": 1 << log2_cohorts(roster),
        "rate": rate,
        "round_trip_ms": 1000 * way.round_trip,
        "epochs": way.epochs,
        "issuer_cpu_ms_a_visit": 1000 * cpu / max(1, found["visits"]),
        "issuer_cores": cpu / passed,
    }


def client(arguments: argparse.Namespace) -> None:
    known = arguments.client.read_bytes()
    office = Office(arguments.port, known[:33], Parameters(known[33:]))
    members = members_of(arguments.first, arguments.asking, office.parameters.federation_id)
    visits, a_second = asyncio.run(load(office, members, arguments.rate, arguments.round_trip_ms / 1000))
    took, held = sorted(visits.took) or [0.0], sorted(visits.held) or [0.0]
    print(
        json.dumps(
            {
                "visits": len(visits.took),
                "tokens": visits.tokens,
                "visits_a_second": a_second,
                "asked_to_come_again": visits.refused,
                "failed": visits.failed,
                "p50_ms": 1000 * took[len(took) // 2],
                "p99_ms": 1000 * took[len(took) * 99 // 100],
                "held_mean_ms": 1000 * sum(held) / len(held),
                "client_cpu_ms_a_visit": 1000 * time.process_time() / max(1, len(visits.took)),
            }
        )
    )


HEADINGS = (
    "on the roster", "cohorts", "tokens a visit", "round trip", "visits a second", "all in", "p50, p99",
    "a place is taken for", "came again", "issuer's CPU a visit", "cores",
)  # fmt: skip


def cells(row: dict[str, Any]) -> list[str]:
    """By HEADINGS."""
    minutes = row["roster"] / max(0.001, row["visits_a_second"]) / 60
    return [
        f"{row['roster']:,}",
        str(row["cohorts"]),
        f"{row['tokens'] / max(1, row['visits']):.0f}",
        f"{row['round_trip_ms']:.0f} ms",
        f"{row['visits_a_second']:.1f} of {row['rate']:.1f}",
        f"{minutes:.0f} min",
        f"{row['p50_ms']:.0f}, {row['p99_ms']:.0f} ms",
        f"{row['held_mean_ms']:.0f} ms",
        f"{row['asked_to_come_again'] / max(1, row['visits']):.1%}",
        f"{row['issuer_cpu_ms_a_visit']:.1f} ms",
        f"{row['issuer_cores']:.2f}",
    ]


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(title="All of an office fetch tokens: tessera issuer serve, members come at random")
    for name in HEADINGS:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*cells(row))
    Console(width=150).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="A large office fetches its tokens.")
    parser.add_argument("--roster", type=int, default=ROSTER)
    parser.add_argument("--rate", type=float, help="visits a second; by default all of the roster in an hour")
    parser.add_argument("--round-trip-ms", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=60, help="for which members come")
    parser.add_argument("--epochs", type=int, default=AHEAD + 1, help="that each lacks tokens for")
    parser.add_argument("--client", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--asking", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.client:
        client(chosen)
        return
    rate = chosen.rate or chosen.roster / HOUR
    way = Way(chosen.epochs, chosen.round_trip_ms / 1000)
    rows = measured(chosen.roster, rate, [way], chosen.seconds)
    print(json.dumps(rows))
    show(rows)


if __name__ == "__main__":
    main()
