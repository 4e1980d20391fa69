"""`make soak`: thirty days of an office of fifty, in fast motion, against the relay on MicroPython in its 192 KB heap.

Members post all that their quotas allow, by sessions that are made, resumed and dropped in every way a bad Wi-Fi
knows; about once a day the power fails at some moment (SIGKILL), sometimes again during the start; the network clock is
wrong for hours. Every round is read whole as soon as it is sealed, and many again later. What must hold: every
acknowledged record is in its round, once; nothing appears that nobody posted; a round that was read stays as it was;
the heap does not grow: for that twelve days without a cut follow. Owns the office's days; the relay's program is
soak_relay.py.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from collections import Counter
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("tools", "firmware", "host", "tests/core")]

import numpy  # noqa: E402
from scipy import stats  # noqa: E402

import office  # noqa: E402
from check import unhex, vectors  # noqa: E402
from results import Row, publish  # noqa: E402
from socketclient import Client  # noqa: E402
from tessera import wire  # noqa: E402
from tessera.errors import BadFrame, Refused  # noqa: E402
from tessera_host.demo import free_port  # noqa: E402

SPEED = 5000
MEMBERS = 50
POSTS = 16
ROUND_SECONDS = 300
EPOCH_ROUNDS = 288
RING_SECTORS, KEYRING_SECTORS = 212, 4
TABLE = 4  # of noise_table.json: ε = 0.25, δ = 10^-6
CYCLES = 100_000  # erases that a sector of the Pico's W25Q16JV is good for, by its data sheet
CALM_DAYS, SETTLED_DAYS = 12, 2.5
LOST: tuple[type[Exception], ...] = (OSError, EOFError, asyncio.TimeoutError, BadFrame)


class Relay:
    """The relay's process, and its folder."""

    def __init__(self, folder: Path, epoch_rounds: int) -> None:
        self.folder, self.port = folder, free_port()
        self.zero_ms = time.time_ns() // 1_000_000
        self.start_ms = 1000 * office.GENESIS
        self.starts = 0
        table = vectors("noise_table")[TABLE]
        shape: dict[str, Any] = {"members": MEMBERS, "retention_epochs": 1, "posts_per_token": POSTS, "buckets": 1}
        thresholds = unhex("".join(table["thresholds"]))
        self.most_cover = len(table["thresholds"])
        blob = office.parameters(
            round_seconds=ROUND_SECONDS, epoch_rounds=epoch_rounds, thresholds=thresholds, epsilon=250_000, **shape
        )
        (folder / "parameters").write_bytes(blob)
        (folder / "seed").write_bytes(os.urandom(32))
        secrets = {"static_secret": office.STATIC.hex(), "ledger_secret": office.LEDGER.hex()}
        sectors = {"ring_sectors": RING_SECTORS, "keyring_sectors": KEYRING_SECTORS}
        (folder / "relay.json").write_text(json.dumps({**secrets, **sectors}))

    def now_ms(self) -> int:
        """Unix time in the office."""
        return self.start_ms + (time.time_ns() // 1_000_000 - self.zero_ms) * SPEED

    def start(self) -> None:
        """Start it and wait until it serves."""
        self.begin()
        assert self.process.stdout is not None
        said = [self.process.stdout.readline()]
        while said[-1] and said[-1] != "serving\n":
            said.append(self.process.stdout.readline())
        if not said[-1]:
            raise AssertionError(f"the relay did not start: {''.join(said)}")
        self.starts += 1

    def begin(self) -> None:
        """Start it and do not wait."""
        binary = os.environ["TESSERA_MICROPYTHON_FROZEN"]
        arguments = [str(self.folder), self.port, SPEED, self.start_ms, self.zero_ms]
        command = [binary, "-X", "heapsize=192k", str(FOLDER / "soak_relay.py"), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def cut(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def wear(self, name: str) -> list[int]:
        """Erases of each sector, then programs in all."""
        return list(array("I", (self.folder / f"wear.{name}").read_bytes()))

    def heap(self) -> list[list[int]]:
        """[milliseconds since the start, tokens, connections, bytes in use, largest free block] at each look."""
        lines = (self.folder / "heap").read_text().splitlines()
        found = [list(map(int, line.split())) for line in lines]
        return [look for look in found if len(look) == 5]  # a cut may have torn one


class Soak:
    def __init__(self, folder: Path, seed: str, epoch_rounds: int) -> None:
        self.dice = random.Random(seed)
        self.epoch_rounds = epoch_rounds
        self.relay = Relay(folder, epoch_rounds)
        self.attempted: set[bytes] = set()
        self.acknowledged: dict[bytes, int] = {}
        self.batches: dict[int, list[bytes]] = {}
        self.epoch = 0
        self.left: Counter[int] = Counter()  # posts left of each member in this epoch
        self.secrets: dict[int, bytes] = {}
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.over = False
        self.calm_from = self.days = 0.0
        self.next_round = 0

    # -- members who post

    def day(self) -> float:
        return (self.relay.now_ms() - self.relay.start_ms) / (1000 * ROUND_SECONDS * self.epoch_rounds)

    def turn_epoch(self) -> None:
        epoch = int(self.day())
        if epoch != self.epoch or not self.left:
            self.epoch, self.secrets = epoch, {}
            self.left = Counter(dict.fromkeys(range(MEMBERS), POSTS))

    async def post_all_the_time(self) -> None:
        """Posts spread over the day, so that quotas are used up shortly before its end."""
        while not self.over:
            self.turn_epoch()
            due = MEMBERS * POSTS * min(1.0, 1.05 * (self.day() % 1))
            done = MEMBERS * POSTS - sum(self.left.values())
            candidates = [member for member in self.left if self.left[member] > 0]
            if done >= due or not candidates:
                await asyncio.sleep(0.005)
                continue
            await self.visit(self.dice.choice(candidates))

    async def visit(self, member: int) -> None:
        client = Client()
        try:
            await self.open(client, member)
            for _ in range(self.dice.randrange(1, 4)):
                await self.post(client, member)
            await self.leave(client)
        except LOST:
            self.counts["connections lost"] += 1
            await asyncio.sleep(0.02)
        except Refused as refused:
            self.counts[refused.name] += 1
            if refused.name == "QUOTA":
                self.left[member] = 0
        finally:
            if hasattr(client, "writer"):
                client.writer.close()

    async def open(self, client: Client, member: int) -> None:
        secret = self.secrets.pop(member, None)
        if secret is not None and self.dice.random() < 0.8:
            await client.open(self.relay.port, secret)
            self.counts["resumptions"] += 1
        else:
            await client.admitted(self.relay.port, office.Token(2 * member + 1, self.epoch))
            self.counts["full handshakes"] += 1
        self.secrets[member] = client.secret

    async def post(self, client: Client, member: int) -> None:
        record = self.dice.randbytes(wire.RECORD_BYTES)
        self.attempted.add(record)
        if self.dice.random() < 0.03:
            await self.break_off(client, record)
        self.left[member] -= 1
        answer = await client.call(wire.post(0, record))
        self.acknowledged[record] = answer[1]
        self.counts["acknowledged"] += 1

    async def break_off(self, client: Client, record: bytes) -> None:
        """The connection ends inside a frame, after it, or stays open and silent."""
        sealed = client.channel.seal(wire.post(0, record))
        await client.send(sealed[: self.dice.choice((1, 100, 271, 272))])
        self.counts["broken off"] += 1
        if self.dice.random() < 0.5:
            client.writer.transport.abort()
        raise EOFError

    async def leave(self, client: Client) -> None:
        if self.dice.random() < 0.02:
            await asyncio.sleep(0.2)  # idle for a while

    # -- reading

    async def read_all_the_time(self) -> None:
        while not self.over:
            client = Client()
            try:
                await self.read(client)
            except LOST:
                await asyncio.sleep(0.02)
            except Refused as refused:
                self.counts[refused.name] += 1
                await asyncio.sleep(0.02)
            finally:
                if hasattr(client, "writer"):
                    client.writer.close()

    async def read(self, client: Client) -> None:
        await client.open(self.relay.port)
        open_round = (await client.call(wire.info()))[4]
        epoch = open_round // self.epoch_rounds
        await client.call(office.Token(0, epoch).request(client.channel.handshake_hash))
        while not self.over and open_round // self.epoch_rounds == epoch:
            _, _, _, _, open_round, first_round, _ = await client.call(wire.info())
            start = max(self.next_round, first_round)
            if first_round > self.next_round:
                self.counts["rounds not read in time"] += first_round - self.next_round
                self.next_round = first_round
            if start < open_round:
                self.next_round = await self.fetch(client, start, min(start + 16, open_round))
            elif self.batches and self.dice.random() < 0.2:
                again = self.dice.randrange(first_round, open_round) if open_round > first_round else open_round
                await self.fetch(client, again, min(again + 1, open_round))
            else:
                await asyncio.sleep(0.01)

    async def fetch(self, client: Client, start: int, end: int) -> int:
        if start >= end:
            return start
        rounds, following = await client.fetch(start, end)
        for round_, batch in rounds.items():
            if round_ < following:
                self.take(round_, batch)
        return int(following)

    def take(self, round_: int, batch: list[bytes]) -> None:
        known = self.batches.get(round_)
        if known is not None:
            self.counts["rounds read again"] += 1
            if known != batch:
                self.wrong.append(f"round {round_} changed")
            return
        self.counts["rounds"] += 1
        self.batches[round_] = batch
        real = [record for record in batch if record in self.attempted]
        self.counts["published"] += len(real)
        if len(set(real)) != len(real) or not 0 <= len(batch) - len(real) <= self.relay.most_cover:
            self.wrong.append(f"round {round_} has a record twice or more cover than there is")

    # -- what goes wrong

    async def fail_now_and_then(self) -> None:
        """The power, once a day or more; the network clock, for a quarter of a day; a stranger's connection."""
        day_seconds = ROUND_SECONDS * self.epoch_rounds / SPEED
        error = self.relay.folder / "clock_error"
        while not self.over:
            await asyncio.sleep(self.dice.uniform(0.3, 1.1) * day_seconds)
            if self.day() > self.calm_from:
                await asyncio.sleep(CALM_DAYS * day_seconds)
            step = self.dice.choice((0, 60_000, 400_000, -400_000, 10**9, -(10**9)))
            error.write_text(str(step))
            self.counts["wrong time"] += step != 0
            await asyncio.to_thread(self.relay.cut)
            self.counts["power cuts"] += 1
            if self.dice.random() < 0.3:
                self.relay.begin()
                await asyncio.sleep(self.dice.uniform(0.002, 0.2))
                await asyncio.to_thread(self.relay.cut)
                self.counts["power cuts"] += 1
            await asyncio.to_thread(self.relay.start)
            await asyncio.sleep(0.25 * day_seconds)
            error.write_text("0")

    async def run(self, days: float) -> None:
        self.calm_from = days
        if days >= CALM_DAYS:
            days += CALM_DAYS
        self.days = days
        self.turn_epoch()
        self.relay.start()
        tasks = [
            asyncio.create_task(work)
            for work in (
                self.post_all_the_time(),
                self.post_all_the_time(),
                self.read_all_the_time(),
                self.fail_now_and_then(),
            )
        ]
        shown = 0
        while self.day() < days and not any(task.done() for task in tasks):
            await asyncio.sleep(0.1)
            if int(self.day()) > shown:
                shown = int(self.day())
                print(f"day {shown}: {dict(self.counts)}", flush=True)
        tasks[3].cancel()
        await asyncio.sleep(3 * ROUND_SECONDS / SPEED + 0.5)  # what was posted last is read
        self.over = True
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.relay.cut()
        self.judge()

    def judge(self) -> None:
        """Every acknowledged record of a round that was read is in it, and in no other."""
        where: dict[bytes, list[int]] = {}
        for round_, batch in self.batches.items():
            for record in batch:
                if record in self.attempted:
                    where.setdefault(record, []).append(round_)
        for record, round_ in self.acknowledged.items():
            if round_ in self.batches:
                self.counts["checked"] += 1
                if where.get(record) != [round_]:
                    self.counts["lost"] += 1
                    self.wrong.append(f"a record of round {round_} is in {where.get(record)}")
        twice = [rounds for rounds in where.values() if len(rounds) > 1]
        if twice:
            self.wrong.append(f"{len(twice)} records are in two rounds")


def years(erases: int, days: float) -> str:
    return f"{CYCLES / (erases / days) / 365:.0f}" if erases else "no end of"


def heap_rows(relay: Relay) -> list[Row]:
    """Trends of the last days, from when every kept epoch has its ciphers, beside what tokens take, which stay in RAM
    until their epoch ends, and connections, of which silent ones are ended after ten seconds: half a day here."""
    looks = [look for look in relay.heap() if SPEED * look[0] > SETTLED_DAYS * 86_400_000]
    if not looks:
        return []
    days = [SPEED * milliseconds / 86_400_000 for milliseconds, *_ in looks]
    held = [look[1:3] for look in looks]
    rows = []
    for name, values, sign in (
        ("heap in use after a collection", [in_use for *_, in_use, _ in looks], 1),
        ("largest free block", [largest for *_, largest in looks], -1),
    ):
        slope, margin = trend(days, held, values)
        most_tokens, most_connections = (max(each) for each in zip(*held, strict=True))
        text = (
            f"{min(values):,} to {max(values):,} bytes in {len(values):,} looks, {min(days):.1f} to {max(days):.1f} "
            f"days after a start, with up to {most_tokens} tokens and {most_connections} connections; beside these "
            f"{slope:+,.0f} ± {margin:,.0f} bytes a day"
        )
        rows.append(Row(name, text, "interval holds 0 or better", sign * slope - margin <= 0))
    return rows


def trend(days: list[float], held: list[list[int]], values: list[int]) -> tuple[float, float]:
    """Bytes a day by least squares on days and what is held, and half the width of its 99.9 % interval."""
    x = numpy.column_stack([numpy.ones(len(days)), days, held])
    y = numpy.array(values, float)
    solution, *_ = numpy.linalg.lstsq(x, y, rcond=None)
    left = len(y) - x.shape[1]
    variance = float(((y - x @ solution) ** 2).sum()) / left
    error = float(numpy.sqrt(variance * numpy.linalg.pinv(x.T @ x)[1, 1]))
    return float(solution[1]), float(stats.t.ppf(0.9995, left)) * error


def wear_rows(relay: Relay, days: float) -> list[Row]:
    rows = []
    for name, words in (("ring", "record ring"), ("keys", "key ring")):
        *erases, programs = relay.wear(name)
        ordered = sorted(erases)
        text = (
            f"{ordered[0]} / {ordered[len(ordered) // 2]} / {ordered[-1]} erases a sector (least, median, most), "
            f"{programs:,} programs; {years(ordered[-1], days)} years to {CYCLES:,} erases"
        )
        rows.append(Row(f"wear of the {words}, {len(erases)} sectors", text))
    return rows


def rows(soak: Soak, days: float) -> list[Row]:
    counts = soak.counts
    lost = counts["lost"]
    delivered = f"{counts['checked']:,} acknowledged records looked for, {lost} lost; {len(soak.wrong)} other faults"
    traffic = (
        f"{counts['rounds']:,} rounds read, {counts['rounds read again']:,} again; {counts['full handshakes']:,} full "
        f"handshakes, {counts['resumptions']:,} resumptions, {counts['broken off']:,} broken off"
    )
    trouble = (
        f"{counts['power cuts']} power cuts in {days:g} days, none in {soak.days - days:g} days after; "
        f"{counts['wrong time']} times a wrong network clock"
    )
    faults = counts["FAULT"] + counts["rounds not read in time"]
    named = ", ".join(f"{name} {counts[name]:,}" for name in ("QUOTA", "BUSY", "NOT_ADMITTED", "NOT_READY", "FAULT"))
    return [
        Row(
            f"{soak.days:g} days, {MEMBERS} members at their quotas",
            delivered,
            "0 lost, 0 faults",
            not lost and not soak.wrong,
        ),
        Row("traffic", traffic),
        Row("trouble", trouble),
        Row("refusals", named, "no FAULT", faults == 0),
        *heap_rows(soak.relay),
        *wear_rows(soak.relay, soak.days),
    ]


def play(days: float, seed: str, epoch_rounds: int = EPOCH_ROUNDS) -> tuple[list[Row], Soak]:
    """So many days of epoch_rounds rounds each."""
    with tempfile.TemporaryDirectory(prefix="tessera-soak-") as folder:
        soak = Soak(Path(folder), seed, epoch_rounds)
        try:
            asyncio.run(soak.run(days))
            return rows(soak, days), soak
        finally:
            soak.relay.cut()


def main() -> int:
    parser = argparse.ArgumentParser(description="Days of an office in fast motion.")
    parser.add_argument("--days", type=float, default=30)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1 << 32)))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    start = time.monotonic()
    found, soak = play(arguments.days, arguments.seed)
    for wrong in soak.wrong[:20]:
        print(f"FAIL  {wrong}")
    return 0 if publish("soak", "make soak", found, time.monotonic() - start) else 1


if __name__ == "__main__":
    sys.exit(main())
