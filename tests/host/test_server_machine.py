"""What a server has that a board has not: an index of cells, batches that are kept, writes that wait for each other.
Held against the core as boards run it, and against a kill.
"""

import asyncio
import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from array import array
from pathlib import Path
from typing import Any

import pytest

import office
from ramdevice import RamDevice
from socketclient import Client
from tessera import channel, curve, wire
from tessera.batch import CellFrame
from tessera.errors import Refused, TooOld
from tessera.machine import Machine
from tessera.page import PageCipher
from tessera.recordlog import RecordLog
from tessera.server import Server
from tessera_host.cli.demo import free_port
from tessera_host.protocol.addresses import Address
from tessera_host.protocol.listening import Place, at
from tessera_host.protocol.websocket import WebSocket
from tessera_host.relay.machine import CellIndex, KeptBatches, ServerMachine
from tessera_host.relay.server_relay import ServerRelay
from tests.support.command_line import TESSERA
from tests.support.memory_network import MemoryNetwork
from tests.support.server_on_disk import make_server

EPOCH_ROUNDS = 40
LOG_FRAME_BYTES = 24 + 4096  # of SQLite's log of changes


class Indexed(Machine):
    cells = CellIndex
    window_erases = boot_erases = 8


# -- the index of cells


def test_cells_are_found_in_the_index_as_by_a_search_whatever_expires_and_restarts() -> None:
    dice = random.Random(181)
    ciphers = {epoch: PageCipher(bytes([epoch]) * 32) for epoch in range(12)}
    devices = [RamDevice(24), RamDevice(24)]
    logs = [RecordLog(devices[0]), RecordLog(devices[1], Indexed)]
    for log in logs:
        log.recover(ciphers, EPOCH_ROUNDS, 0)
        log.begin(ciphers, EPOCH_ROUNDS, 0, 8)
    cells = set()
    for round_ in range(0, 12 * EPOCH_ROUNDS, 3):
        first = max(0, round_ // EPOCH_ROUNDS - 2) * EPOCH_ROUNDS
        kept = {epoch: cipher for epoch, cipher in ciphers.items() if epoch * EPOCH_ROUNDS >= first}
        for _ in range(dice.randrange(5)):
            bucket, record = dice.choice((0, 1, 200, 255)), dice.randbytes(240)
            cells.add((bucket, round_))
            assert len({log.append(round_, bucket, record, ciphers[round_ // EPOCH_ROUNDS]) for log in logs}) == 1
        for log in logs:
            log.erase_ahead(8, first)
        if dice.randrange(20) == 0:
            logs = [RecordLog(devices[0]), RecordLog(devices[1], Indexed)]
            for log in logs:
                log.begin(kept, EPOCH_ROUNDS, first, 8 if log.recover(kept, EPOCH_ROUNDS, 10 * round_) else 0)
        for bucket, other in (*dice.sample(sorted(cells), min(5, len(cells))), (7, round_)):
            counts = [log.count_of(bucket, other) for log in logs]
            assert counts[0] == counts[1]
            found = [sorted(log.pages_of(bucket, other, counts[0], 3)[: counts[0]]) for log in logs]
            assert found[0] == found[1]
    assert logs[0].highest_round == logs[1].highest_round


def test_the_index_keeps_buckets_and_pages_that_a_boards_array_has_no_room_for() -> None:
    first_rounds = array("I", [1000] * 70000)
    index = CellIndex(16 * 70000, first_rounds)
    places = {(65535, 1254): [16 * 69999 + 15, 3], (255, 1254): [4], (65535, 1000): [5]}
    for (bucket, round_), pages in places.items():
        for page in pages:
            index[page] = bucket << 8 | (round_ - 1000)
    for (bucket, round_), pages in places.items():
        found = array("I", bytes(4 * 6))
        assert index.find_pages(index, first_rounds, 0, bucket, round_, found, 5) == len(pages)
        assert sorted(found) == sorted([*pages, *[0] * (6 - len(pages))])
        assert index.find_pages(index, first_rounds, 0, bucket, round_, array("I", [0]), 0) == len(pages)


# -- batches that are kept


def frames(batch: Any) -> list[bytes]:
    frame, made, offset = CellFrame(), [], 0
    while offset < max(1, batch.count):
        offset += max(1, batch.fill(frame, offset))
        made.append(bytes(frame.buffer[:-17]))
        frame.buffer[:] = os.urandom(len(frame.buffer))  # as sealing leaves it
    return made


def an_office_with_posts() -> office.Office:
    small = office.Office()
    for round_ in range(3):
        for record in office.records(5 + round_):
            small.member(round_).post(record)
        small.sleep()
    return small


def test_a_kept_batch_is_served_as_it_was_made() -> None:
    small = an_office_with_posts()
    cells = [(bucket, round_) for bucket in (0, 1) for round_ in range(3)]
    expected = {cell: frames(small.relay.batch(*cell)) for cell in cells}
    kept = small.relay._epochs.batches = KeptBatches(1 << 20)
    for _ in range(3):
        assert {cell: frames(small.relay.batch(*cell)) for cell in cells} == expected
    once = {id(kept.get(*cell, lambda: pytest.fail("it was made again"))) for cell in cells}
    assert len(once) == len(cells)


def test_what_is_kept_is_bounded_in_bytes_and_who_reads_on_is_served() -> None:
    small = an_office_with_posts()
    expected = frames(small.relay.batch(0, 0))
    kept = small.relay._epochs.batches = KeptBatches(30_000)
    reading, frame = small.relay.batch(0, 0), CellFrame()
    offset = reading.fill(frame, 0)
    for bucket in (0, 1):
        for round_ in range(3):
            frames(small.relay.batch(bucket, round_))
            assert 0 < kept.bytes <= 30_000
    assert not reading._frames, "it is kept yet"
    rest = []
    while offset < reading.count:
        offset += reading.fill(frame, offset)
        rest.append(bytes(frame.buffer[:-17]))
    assert rest == expected[1:]
    kept = small.relay._epochs.batches = KeptBatches(1)
    assert frames(small.relay.batch(0, 0)) == expected and kept.bytes == 0


def test_kept_batches_go_with_their_epoch() -> None:
    small = an_office_with_posts()
    kept = small.relay._epochs.batches = KeptBatches(1 << 20)
    frames(small.relay.batch(0, 0))
    small.sleep(office.EPOCH_ROUNDS)
    assert kept.bytes == 0
    frames(small.relay.batch(0, 0))
    small.sleep(office.EPOCH_ROUNDS * office.RETENTION)
    with pytest.raises(TooOld):
        small.relay.batch(0, 0)
    assert kept.bytes == 0


# -- a server


def test_a_server_starts_soon_and_keeps_what_a_board_does_not(tmp_path: Path) -> None:
    make_server(tmp_path, 1, genesis=int(time.time()) - 5, round_seconds=10, log2_buckets=16)
    gateway = ServerRelay(tmp_path)
    gateway.start()
    assert gateway.relay.parameters.newest.buckets == 1 << 16
    assert isinstance(gateway.relay.machine, ServerMachine) and gateway.relay.machine.sessions == 1024
    gateway.close()
    assert (tmp_path / "storage.sqlite").stat().st_size < 200_000, "blank pages take room"


def test_a_server_of_a_hundred_thousand_admits_every_cohort_and_takes_records_for_its_last_bucket(
    tmp_path: Path,
) -> None:
    issuers = [hashlib.sha256(bytes([cohort])).digest() for cohort in range(8)]
    column = b"".join(curve.public(issuer)[1:] for issuer in issuers) * 10
    sizes = {"members": 100_000, "log2_buckets": 9, "posts_per_token": 8, "epoch_keys": column}
    make_server(tmp_path, 1, genesis=int(time.time()) - 5, round_seconds=3600, **sizes)
    gateway = ServerRelay(tmp_path)
    gateway.start()
    statement = office.time_statement(int(time.time()))
    gateway.relay.push(office.Cable(), len(statement), 0, len(statement), statement)
    for cohort, issuer in enumerate(issuers):
        member = office.Connection(gateway.relay)
        assert member.authenticate(office.Token(cohort, 0, secret=issuer)) == 8
        member.call(wire.post(511, os.urandom(240)))
        with pytest.raises(Refused, match="BAD_REQUEST"):
            member.call(wire.post(512, os.urandom(240)))
    with pytest.raises(Refused, match="NOT_ADMITTED"):
        office.Connection(gateway.relay).authenticate(office.Token(9, 0, secret=bytes(31) + b"\1"))
    assert gateway.relay._log.count_of(511, 0) == 8
    gateway.close()


async def test_between_two_handshakes_whoever_waits_has_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred who have the access key say hello at once, and members ask at the same moment: nobody waits for more
    curve work than one handshake's, however many there are."""
    MemoryNetwork().serve(monkeypatch)
    small = office.Office()
    small.relay.machine = ServerMachine(1024)
    order: list[str] = []
    for name in ("greet", "answer"):
        monkeypatch.setattr(small.relay, name, noted(order, name, getattr(small.relay, name)))
    serving = asyncio.create_task(Server(small.relay).run("127.0.0.1", 1))
    await asyncio.sleep(0.05)
    members = [await Client().admitted(1, office.Token(number, 0)) for number in range(4)]
    strangers = [await Client().connect(1) for _ in range(100)]
    hellos = [stranger.hello() for stranger in strangers]
    order.clear()
    for stranger, hello in zip(strangers, hellos, strict=True):
        stranger.writer.write(hello)
    asked = [asyncio.create_task(member.call(wire.void())) for member in members]
    await asyncio.gather(*asked, *(stranger.finish() for stranger in strangers))
    assert order.count("greet") == 100 and order.count("answer") == 4
    assert order.index("answer") <= 2 and "greet" not in order[order.index("answer") :][:4]
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def noted(order: list[str], name: str, function: Any) -> Any:
    def called(*arguments: Any) -> Any:
        order.append(name)
        return function(*arguments)

    return called


class OverWebSocket(Client):  # type: ignore[misc]
    """A member where only HTTP passes."""

    async def connect(self, port: int) -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.reader = self.writer = await WebSocket.opened(Address.of("ws://127.0.0.1", port), reader, writer)
        self.nonce = await self.receive(channel.NONCE_BYTES)
        return self


WAYS_IN = (Client, OverWebSocket)


async def post_until_it_ends(member: Any, port: int, number: int, acknowledged: list[bytes]) -> None:
    try:
        client = await member.admitted(port, office.Token(number, 0))
        while True:
            record = os.urandom(240)
            await client.call(wire.post(number % 2, record))
            acknowledged.append(record)
    except (OSError, EOFError):
        pass


def kept_records(folder: Path) -> set[bytes]:
    """What a relay that starts there finds of the first round."""
    gateway = ServerRelay(folder)
    gateway.start()
    log, cipher = gateway.relay._log, gateway.relay._epochs.ciphers[0]
    found = set()
    for bucket in (0, 1):
        count = log.count_of(bucket, 0)
        for page in log.pages_of(bucket, 0, count)[:count]:
            raw, plain = bytearray(256), bytearray(256)
            log.read(page, raw)
            cipher.decrypt(raw, plain)
            found.add(bytes(plain[16:]))
    gateway.close()
    return found


@pytest.mark.parametrize("way_in", WAYS_IN)
async def test_nothing_that_was_acknowledged_is_lost_by_a_kill(tmp_path: Path, way_in: Any) -> None:
    """Sixteen members post at once, so that there are answers waiting for a commit at whatever moment it comes. The log
    of changes is then also found as a power cut leaves it: with what was being written behind what was synced."""
    port, websocket, dice = free_port(), free_port(), random.Random()
    folder = tmp_path / "relay"
    make_server(folder, port, genesis=int(time.time()) - 3000, round_seconds=3600, members=64, posts_per_token=1020)
    words = [TESSERA, "serve", "--storage", str(folder), "--port", str(port), "--websocket", str(websocket)]
    acknowledged: list[bytes] = []
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    while process.stdout.readline() not in ("serving\n", ""):
        pass
    operator = await Client().open(port)
    statement = office.time_statement(int(time.time()))
    await operator.call(wire.push(len(statement), 0, statement))
    come_to = port if way_in is Client else websocket
    posting = [asyncio.create_task(post_until_it_ends(way_in(), come_to, number, acknowledged)) for number in range(16)]
    while len(acknowledged) < 64 + dice.randrange(64):
        await asyncio.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    await asyncio.gather(*posting)
    process.wait()
    process.stdout.close()
    assert len(acknowledged) >= 64
    log = (folder / "storage.sqlite-wal").read_bytes()
    frame = log[-LOG_FRAME_BYTES:]
    for number, torn in enumerate(
        (b"", dice.randbytes(5000), frame[: dice.randrange(1, len(frame))], frame, bytes(9000))
    ):
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        (copy / "storage.sqlite-wal").write_bytes(log + torn)
        assert set(acknowledged) <= kept_records(copy), f"what was torn: {torn[:8].hex()}…, {len(torn)} bytes"


FAULTS = {
    "the disk is full": ("max_page_count={pages}", "max_page_count=1000000"),
    "the storage is read-only": ("query_only=ON", "query_only=OFF"),
}


@pytest.mark.parametrize("way_in", WAYS_IN)
@pytest.mark.parametrize("fault", FAULTS)
async def test_storage_that_fails_is_told_and_no_post_is_acknowledged_that_is_not_kept(
    tmp_path: Path, fault: str, way_in: Any
) -> None:
    fails, works = FAULTS[fault]
    port, ready = free_port(), asyncio.Event()
    make_server(tmp_path, port, genesis=int(time.time()) - 3000, round_seconds=3600, members=64, posts_per_token=1020)
    gateway = ServerRelay(tmp_path)
    listen = at([Place("127.0.0.1", port, websocket=way_in is OverWebSocket)])
    server = Server(gateway.relay)
    serving = asyncio.create_task(server.run("127.0.0.1", port, ready.set, gateway.start, listen))
    await ready.wait()
    statement = office.time_statement(int(time.time()))
    gateway.relay.push(office.Cable(), len(statement), 0, len(statement), statement)
    connection = gateway.database._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    member, acknowledged = await way_in().admitted(port, office.Token(1, 0)), []
    for made, outcome in ((works, "ACK"), (fails.format(pages=pages), "FAULT"), (works, "ACK")):
        connection.execute(f"PRAGMA {made}")
        said = []
        while outcome not in said[-1:]:  # a failed commit is found out at the next answer; what fits still fits
            assert len(said) < 200, f"{fault}: no {outcome} in {set(said)}"
            record = os.urandom(240)
            try:
                await member.call(wire.post(0, record))
                said.append("ACK")
                acknowledged.append(record)
            except Refused as refused:
                said.append(refused.name)
        assert set(said) <= {"ACK", "FAULT"}
    await member.close()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    gateway.close()
    assert set(acknowledged) <= kept_records(tmp_path)
