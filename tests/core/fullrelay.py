# A relay whose ring is full, and visitors for it. A program of its own, so that a test can look at a heap that holds
# the relay alone: `fullrelay.py make FOLDER` writes the flash (`make FOLDER large` one whose newest cell is the largest
# that is planned), `fullrelay.py VISIT PORT FOLDER` plays the members and leaves "ok" in FOLDER/result. Runs on either
# runtime.

import asyncio
import os
import sys

if __name__ == "__main__":
    sys.path.append(__file__.rsplit("/", 1)[0] + "/../../firmware")

from office import (
    FIRMWARE_DIGEST,
    LEDGER,
    STATIC,
    Cable,
    Token,
    epoch_keys,
    params,
    relay_fields,
    signed,
    time_statement,
)
from office import fields as office_fields
from socketclient import Client
from tessera import wire
from tessera.clock import Clock
from tessera.errors import Refused
from tessera.filedevice import FileDevice
from tessera.files import Directory
from tessera.hashes import sha256
from tessera.relay import Identity, Relay

RING_SECTORS = 208  # 832 KiB
KEYRING_SECTORS = 8
ROUND_SECONDS = 600
EPOCH_ROUNDS = 16
EPOCHS = 4  # the open one and three more
POSTS_A_ROUND = 50  # 800 an epoch: 50 tokens of 16 posts
BUSY_TRIES = 2400  # of half a second: a computer that is busy with other things serves a large cell for minutes
LAST_ROUND = EPOCH_ROUNDS * EPOCHS - 1  # the open one: its posts are the visitors'
CELL_RECORDS = 1120  # tessera_host.planning.boards.CELL_RECORDS; here all of them are posts, and cover comes on top
SCHEDULE_EPOCHS = 90
RELAYS = 5
_TABLE = 2  # of noise_table.json: ε = 0.1, δ = 1e-6


def _parameters(serial=1, **changes):
    """The relay's copy of a set of five relays and ninety epochs; only the first epochs' keys are keys."""
    from check import unhex, vectors

    column = epoch_keys()[: 32 * (EPOCHS + 1)] + bytes(32 * (SCHEDULE_EPOCHS - EPOCHS - 1))
    relays = [relay_fields(serial, column=column)]
    for number in range(2, RELAYS + 1):
        static_key = params.curve.public(sha256(bytes((number,))))
        relays.append(
            relay_fields(serial, static_key=static_key, relay_id=number, column=bytes((number,)) * len(column))
        )
    values = office_fields(
        serial=serial,
        round_seconds=ROUND_SECONDS,
        epoch_rounds=EPOCH_ROUNDS,
        retention_epochs=EPOCHS - 1,
        log2_buckets=0,
        members=25,
        epsilon=100_000,
        thresholds=unhex("".join(vectors("noise_table")[_TABLE]["thresholds"])),
        relays=relays,
        **changes,
    )
    return params.Parameters(signed(values)).copy_for(1)


def _record(round_, place):
    return b"".join(sha256(bytes((round_, place >> 8, place & 255, part))) for part in range(8))[:240]


def make(path, large=None):
    """Fill the ring round by round, as a relay that ran would have; `large`: all posts are in the newest cell. It holds
    two sets, one of them not yet in force."""
    directory = Directory(path)
    blob = _parameters()
    directory.replace("parameters", blob)
    directory.replace("seed", bytes(range(32)))
    ticks = [0]
    clock = Clock(lambda: ticks[0], lambda later, earlier: later - earlier)
    ring, keys = FileDevice(path + "/ring", RING_SECTORS), FileDevice(path + "/keys", KEYRING_SECTORS)
    relay = Relay(ring, keys, directory, Identity(STATIC, LEDGER, b"chip", FIRMWARE_DIGEST), os.urandom, clock)
    relay.start()
    clock.set(1000 * relay.parameters.newest.genesis)
    relay.turn()
    _push(relay, time_statement(relay.parameters.newest.genesis))
    _push(relay, _parameters(2, first_epoch=EPOCHS + 1))
    for round_ in range(LAST_ROUND):
        if relay.turn():
            relay.maintain()
        assert relay.open_round == round_
        posts = POSTS_A_ROUND if not large else CELL_RECORDS if round_ == LAST_ROUND - 1 else 0
        for place in range(posts):
            relay._log.append(round_, 0, _record(round_, place), relay._epochs.ciphers[relay.epoch])
        ticks[0] += 1000 * ROUND_SECONDS
    directory.replace("identity", STATIC + LEDGER + FIRMWARE_DIGEST)


def _push(relay, blob):
    cable = Cable()
    for chunk in range((len(blob) + 239) // 240):
        data = blob[240 * chunk : 240 * (chunk + 1)]
        complete = relay.push(cable, len(blob), chunk, len(data), data)
    assert complete


class _Reader:
    """Keeps a digest of each round and counts its records that were posted."""

    def __init__(self):
        self.digests = {}
        self.posted = {}

    def take(self, round_, count, offset, records):
        assert offset + len(records) <= count
        self.digests[round_] = sha256(self.digests.get(round_, b""), b"".join(records))
        left = self.posted.setdefault(round_, {_record(round_, place) for place in range(POSTS_A_ROUND)})
        for record in records:
            left.discard(record)


async def _read(client, start, end):
    """The digests of rounds that all hold what was posted in them."""
    reader = _Reader()
    assert await client.fetch_frames(start, end, 0, reader.take) == end
    assert sorted(reader.posted) == list(range(start, end)) and not any(reader.posted.values())
    return reader.digests


def _token(number):
    return Token(number & 3, EPOCHS - 1)


async def read(port):
    """Four members connect, then fetch 16 rounds at once: those of the oldest kept epoch; four again the newest ones,
    as a session fetches no more while one round is open."""
    for start in (0, LAST_ROUND - 16):
        clients = []
        for number in range(4):
            clients.append(await _admitted(port, _token(number)))
        tasks = [asyncio.create_task(_read(client, start, start + 16)) for client in clients]
        digests = []
        for task in tasks:
            digests.append(await task)
        assert digests == [digests[0]] * 4
        for client in clients:
            await client.close()


async def _admitted(port, token):
    """A session as soon as there is a place: the relay may not know yet that another ended."""
    for _ in range(BUSY_TRIES):
        try:
            return await Client().admitted(port, token)
        except (OSError, EOFError):
            await asyncio.sleep(0.1)
    raise AssertionError("no room for ever")


async def largest_for_two(port):
    """As largest(), with two members."""
    await largest(port, 2)


async def largest(port, members=4):
    """Four members fetch the largest cell at once. A relay may let them wait for each other, not for ever."""
    clients, digests = [], set()
    for number in range(members):
        clients.append(await Client().admitted(port, _token(number)))
    for task in [asyncio.create_task(_all_of(client, LAST_ROUND - 1)) for client in clients]:
        digests.add(await task)
    assert len(digests) == 1
    for client in clients:
        await client.close()


class _Cell:
    """Keeps a digest of a cell that comes whole, and how many records it had."""

    def __init__(self):
        self.digest, self.records = b"", 0

    def take(self, _, count, offset, records):
        assert offset == self.records and count > CELL_RECORDS
        self.digest = sha256(self.digest, b"".join(records))
        self.records += len(records)


async def _all_of(client, round_):
    """The digest of a round, as soon as the relay has room for it."""
    for _ in range(BUSY_TRIES):
        cell = _Cell()
        try:
            await client.fetch_frames(round_, round_ + 1, 0, cell.take)
        except Refused:
            await asyncio.sleep(0.5)
        else:
            assert cell.records > CELL_RECORDS
            return cell.digest
    raise AssertionError("BUSY for ever")


async def _visit(port, token, number):
    client = await Client().admitted(port, token)
    assert await client.call(wire.post(0, _record(255, number))) == (wire.ACK, LAST_ROUND)
    await _read(client, LAST_ROUND - 1, LAST_ROUND)
    await client.close()


async def warm(port):
    """Each of four tokens once: caches and leases are made."""
    for number in range(4):
        await _visit(port, _token(number), number)


async def visits(port):
    tokens = [_token(number) for number in range(4)]
    for number in range(4, 54):
        await _visit(port, tokens[number & 3], number)


def main(what, *arguments):
    if what == "make":
        make(*arguments)
        return
    directory = Directory(arguments[1])
    result = b"failed"
    try:
        plays = {"read": read, "largest": largest, "two": largest_for_two, "warm": warm, "visits": visits}
        asyncio.run(plays[what](int(arguments[0])))
        result = b"ok"
    finally:
        directory.replace("result", result)  # once: the reader takes it away, and starts the next visit


if __name__ == "__main__":
    main(*sys.argv[1:])
