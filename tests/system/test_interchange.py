"""One truth on two runtimes: a relay's flash, written by MicroPython, is read by the same core on CPython and back.

What they serve is compared byte for byte: the records that were posted, the cover traffic around them, their order.
"""

import asyncio
import random
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import relay_unix
from tessera import curve
from tessera.batch import CellFrame
from tessera.wire import CELL_HEADER_BYTES, RECORD_BYTES
from tessera_host.issuer.issuer import Issuer
from tessera_host.member import token_exchange
from tessera_host.member.state import MemberState
from tessera_host.protocol.relay_connection import RelayConnection
from tessera_host.relay.process import RelayProcess, binary
from tests.support import correspondence
from tests.support.office_on_disk import OfficeOnDisk, RelayOnCPython, admitted, read_all

EPOCH_ROUNDS = 14
VISIT_ROUNDS = 6  # more than the posts of a visit take, so that one epoch's token serves them all
BUCKETS = 2


@pytest.fixture
def office(tmp_path: Path, micropython_frozen: Path) -> Iterator[OfficeOnDisk]:
    """Epoch 1 begins a few seconds after the start."""
    genesis = int(time.time()) - EPOCH_ROUNDS + 6
    choice = {"epoch_rounds": EPOCH_ROUNDS, "retention_epochs": 8, "posts_per_token": 64, "members": 2}
    with OfficeOnDisk(tmp_path, genesis, buckets=BUCKETS, **choice) as office:
        yield office


Batches = dict[tuple[int, int], list[bytes]]


async def everything(member: MemberState, end: int) -> Batches:
    """Every cell of every bucket before round `end`."""
    cells: Batches = {}
    for bucket in range(BUCKETS):
        cells |= {(bucket, round_): found for round_, found in (await read_all(member, end, bucket)).items()}
    return cells


async def post_some(connection: RelayConnection, count: int) -> Batches:
    """Random records in both buckets, by the cells they were acknowledged for."""
    posted: Batches = {}
    for _ in range(count):
        bucket, record = random.randrange(BUCKETS), secrets.token_bytes(RECORD_BYTES)
        posted.setdefault((bucket, await connection.post(bucket, record)), []).append(record)
        await asyncio.sleep(random.uniform(0, 0.1))
    return posted


async def until_epoch_has_time(member: MemberState, issuer: Issuer) -> None:
    """A token is of one epoch: a visit does not begin where the epoch would end under it."""
    while EPOCH_ROUNDS - member.round() % EPOCH_ROUNDS < VISIT_ROUNDS:
        await asyncio.sleep(member.seconds_to_next_round() + 0.1)
    if member.wallet.lacking(member.epoch() + 1):
        token_exchange.fetch(member, issuer)


async def until_sealed(member: MemberState, round_: int) -> None:
    while member.round() <= round_:
        await asyncio.sleep(member.seconds_to_next_round() + 0.2)


def tier_of_micropython() -> str:
    """The tier in the binary: that of the C module, with its library's version."""
    program = "from tessera import curve; print(curve.TIER)"
    tier = subprocess.run([binary(), "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert tier.startswith("libsecp256k1 ")
    return tier


async def visit(member: MemberState, posts: int, seen: Batches, posted: Batches, tier: str) -> None:
    """Post, wait until that is sealed, read everything: it must be what was seen before, and what was posted since."""
    async with admitted(member) as connection:
        assert (await connection.info()).tier == tier
        for cell, found in (await post_some(connection, posts)).items():
            posted.setdefault(cell, []).extend(found)
    newest = max(round_ for _, round_ in posted)
    await until_sealed(member, newest)
    cells = await everything(member, newest + 1)
    assert {cell: cells[cell] for cell in seen} == seen
    seen |= cells
    for cell, found in posted.items():
        assert set(found) <= set(seen[cell])


async def test_relay_may_change_its_runtime_from_start_to_start(office: OfficeOnDisk) -> None:
    """MicroPython, CPython, MicroPython after SIGKILL, CPython: epochs change meanwhile, batches do not."""
    member = office.supply("alice")
    runtimes = {
        RelayProcess(office.relay.directory, office.port): tier_of_micropython(),
        RelayOnCPython(office.relay.directory, office.port): curve.TIER,
    }
    assert len(set(runtimes.values())) == 2
    seen: Batches = {}
    posted: Batches = {}
    epochs = set()
    for number, (relay, tier) in enumerate([*runtimes.items()] * 2):
        with relay.start():
            await until_epoch_has_time(member, office.issuer)
            await visit(member, 12, seen, posted, tier)
            epochs.add(member.epoch())
            if number == 1:
                await until_sealed(member, (member.epoch() + 1) * EPOCH_ROUNDS)
            if number % 3:
                relay.kill()
            else:
                assert relay.stop()["curve_tier"] == tier
    assert len(epochs) > 1
    assert sum(map(len, posted.values())) == 4 * 12


async def test_closed_epochs_have_one_checkpoint(office: OfficeOnDisk) -> None:
    """The ledger that MicroPython signed is what CPython hands out."""
    member = office.supply("alice")
    answers = []
    closed: int | None = None
    for relay in (office.relay, RelayOnCPython(office.relay.directory, office.port)):
        with relay.start():
            info = (await correspondence.status(member)).info  # tells the relay the time: without it nothing is sealed
            if closed is None:
                closed = info.open_round // EPOCH_ROUNDS
            await until_sealed(member, (closed + 1) * EPOCH_ROUNDS)
            async with admitted(member) as connection:
                answers.append(await connection.checkpoint(closed))
    assert answers[0] == answers[1]


async def test_core_on_cpython_opens_the_flash_files_and_makes_the_same_cells(office: OfficeOnDisk) -> None:
    member = office.supply("alice")
    with office.relay.start():
        seen: Batches = {}
        await until_epoch_has_time(member, office.issuer)
        await visit(member, 20, seen, {}, tier_of_micropython())
    copy = office.folder / "copy"
    for name in ("first", "second"):  # a boot writes; each is of its own copy, and of the one before
        shutil.copytree(copy / "first" if name == "second" else office.relay.directory, copy / name)
        assert cells_of(copy / name, seen) == seen


def cells_of(directory: Path, wanted: Batches) -> Batches:
    """The cells as the core makes them in this process, without channel or server."""
    relay, _ = relay_unix.open_relay(str(directory))
    relay_unix.start(relay)
    relay.turn()
    return {(bucket, round_): batch_of(relay, bucket, round_) for bucket, round_ in wanted}


def batch_of(relay: object, bucket: int, round_: int) -> list[bytes]:
    batch = relay.batch(bucket, round_)  # type: ignore[attr-defined]
    frame = CellFrame()
    records: list[bytes] = []
    while len(records) < batch.count:
        filled = batch.fill(frame, len(records))
        body = bytes(frame.buffer[CELL_HEADER_BYTES:])
        records += [body[at * RECORD_BYTES : (at + 1) * RECORD_BYTES] for at in range(filled)]
    return records
