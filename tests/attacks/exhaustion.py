"""Wearing the relay out: the relay is the MicroPython process with its 192 KB heap, over TCP. Strangers open
connections by the hundred, stay silent, send garbage or half a hello; one member spends every post it has, goes on,
and talks without end. Bound: a member who was there before is served all the time, and one who comes after the
strangers is let in.
"""

import asyncio
import contextlib
import os
import secrets
import time
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tessera.errors import Refused
from tessera_host.errors import TesseraError
from tessera_host.member.state import MemberState
from tessera_host.protocol.relay_connection import ErrorFrame
from tests.results import Row
from tests.support import correspondence
from tests.support.office_on_disk import OfficeOnDisk, admitted

RECORD_BYTES = 240
CHOICE: dict[str, Any] = {
    "epsilon": Fraction(1),
    "members": 8,
    "tokens_per_epoch": 1,
    "posts_per_token": 32,
    "round_seconds": 2,  # that eight readers leave a Pico time
}
QUOTA = 4
ATTEMPTS = 20


async def stranger(port: int, kind: int) -> None:
    """Connects and behaves badly in one of four ways; gone after two seconds."""
    with contextlib.suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 2)
        try:
            if kind == 1:
                writer.write(secrets.token_bytes(81))
            elif kind == 2:
                writer.write(b"\x02" + secrets.token_bytes(30))
            elif kind == 3:
                writer.write(secrets.token_bytes(4096))
            await asyncio.wait_for(reader.read(4096), 2)
            if kind != 1:
                await asyncio.sleep(1)
        finally:
            writer.close()


async def crowd(port: int, until: asyncio.Event, seen: list[int]) -> None:
    """Strangers without end, twenty at a time."""
    while not until.is_set():
        await asyncio.gather(*(stranger(port, number % 4) for number in range(20)))
        seen[0] += 20


async def converse(connection: Any, seconds: float) -> tuple[int, int, float]:
    """An established member asks and pings: (served, refused, longest answer in seconds)."""
    served = refused = 0
    longest = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        try:
            await connection.void()
            await connection.info()
            served += 1
        except (TesseraError, Refused):
            refused += 1
        longest = max(longest, time.monotonic() - start)
    return served, refused, longest


async def attempts_to_get_in(member: MemberState) -> int:
    """How often a member who comes while strangers crowd has to try; ATTEMPTS + 1 if that often was not enough."""
    for attempt in range(ATTEMPTS):
        with contextlib.suppress(TesseraError):
            await correspondence.status(member)
            return attempt + 1
        await asyncio.sleep(0.2)
    return ATTEMPTS + 1


async def against_strangers(office: OfficeOnDisk, seconds: float) -> list[Row]:
    member, late = office.members["anna"], office.members["ben"]
    until, seen = asyncio.Event(), [0]
    async with admitted(member) as connection:
        task = asyncio.create_task(crowd(office.port, until, seen))
        served, refused, longest = await converse(connection, seconds)
        tries = await attempts_to_get_in(late)
    until.set()
    await task
    text = f"{served:,} answers, {refused} refused, the longest {1000 * longest:.0f} ms, beside {seen[0]:,} strangers"
    return [
        Row("an established member while strangers crowd in", text, "none refused", served > 0 and refused == 0),
        Row("a member who comes while strangers crowd in", f"attempt {tries}", f"≤ {ATTEMPTS}", tries <= ATTEMPTS),
    ]


async def against_one_member(office: OfficeOnDisk) -> list[Row]:
    greedy, member = office.members["cora"], office.members["dan"]
    acknowledged, refusals = 0, set()
    async with admitted(greedy) as connection:
        for _ in range(3 * CHOICE["posts_per_token"]):
            try:
                await connection.post(0, secrets.token_bytes(RECORD_BYTES))
                acknowledged += 1
            except ErrorFrame as refusal:
                refusals.add(refusal.code)
        async with admitted(member) as other:
            await other.post(0, os.urandom(RECORD_BYTES))
            await other.info()
            answered = True
    text = f"{acknowledged} acknowledged, then refused as {sorted(refusals)}; another member posts: {answered}"
    good = acknowledged == CHOICE["posts_per_token"] and refusals == {QUOTA} and answered
    return [Row("one member that posts on and on", text, f"{CHOICE['posts_per_token']}, then QUOTA", good)]


async def play(folder: Path, seconds: float) -> list[Row]:
    with OfficeOnDisk(folder, **CHOICE) as office:
        for name in ("anna", "ben", "cora", "dan"):
            office.supply(name)
        office.relay.start()
        rows = await against_strangers(office, seconds) + await against_one_member(office)
        rows.append(_heap(office.relay.stop()))
    return rows


def _heap(report: dict[str, Any]) -> Row:
    peak = report["heap_peak_bytes"]
    return Row("heap of the relay at its peak meanwhile", f"{peak:,} bytes", "< 196,608", peak < 192 * 1024)


def run(scale: float = 1.0) -> list[Row]:
    with TemporaryDirectory() as folder:
        return asyncio.run(play(Path(folder), max(3.0, 60 * scale)))
