"""Gateways that run: what members are answered, what each of them serves, what survives."""

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

import office
from office import EPOCH_ROUNDS, records
from tessera import params
from tessera.clock import Clock
from tessera.errors import Refused
from tessera.ledger import Checkpoint
from tessera_host.errors import IntegrityError
from tessera_host.fleet.duties import SILENT_MS
from tessera_host.fleet.entry import LEAST_BYTES
from tessera_host.fleet.frames import FRAME_BYTES
from tessera_host.fleet.log import Entry, Log, LogBroken
from tessera_host.fleet.sqlite_log import SqliteLog
from tessera_host.fleet.state import State
from tessera_host.fleet.writer import MOST_WAITING
from tessera_host.protocol.relay_connection import BUSY, ErrorFrame, patiently
from tessera_host.relay.server_relay import ServerRelay

from .running import EPOCH, ROUND, Connection, MemoryLog, Play, played

POSTS = 4
SHARE = 4  # of them, when the token key is named in the first round of an epoch: four times five sixths, rounded up

CONSTANT: dict[str, Any] = {"cover": params.CONSTANT, "constant": 2, "epsilon": 0, "delta": 0, "thresholds": b""} | {
    "members": 2, "tokens_per_epoch": 1, "posts_per_token": 8
}  # fmt: skip


class LyingLog:
    """What an engine shows that keeps one entry from a gateway."""

    keeps_all = False

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.hide_next = False
        self.append, self.trim, self.close = log.append, log.trim, log.close
        self._hidden = 0

    async def last(self) -> int:
        return await self._log.last() - self._hidden

    async def follow(self, position: int) -> AsyncGenerator[Entry, None]:
        async for entry in self._log.follow(position):
            if self.hide_next:
                self.hide_next, self._hidden = False, 1
            else:
                yield entry._replace(position=entry.position - self._hidden)


async def admitted(play: Play, gateway: int, token: int = 0) -> Connection:
    member = play.member(gateway, token)
    await member.admit()
    return member


def frames_of(play: Play) -> int:
    """In all entries."""
    return sum((len(each.entry) - LEAST_BYTES) // FRAME_BYTES for each in play.log.entries)


def cells(play: Play, round_: int) -> dict[int, list[list[bytes]]]:
    """Both cells of a round, as each gateway serves them."""
    return {
        number: [list(map(bytes, play.member(number).cell(round_, bucket))) for bucket in (0, 1)]
        for number in play.gateways
    }


def same_cells(play: Play, round_: int) -> list[list[bytes]]:
    found = list(cells(play, round_).values())
    assert all(each == found[0] for each in found)
    return found[0]


async def sent(play: Play, member: Connection, record: bytes, bucket: int) -> int:
    """The round of a record; in the next one, if the open one ended meanwhile."""
    try:
        return await member.send(record, bucket)
    except Refused as error:
        if error.name != "BUSY":
            raise
        await play.next_round()
        return await member.send(record, bucket)


async def refused(answer: Any) -> str:
    with pytest.raises(Refused) as error:
        await answer
    return str(error.value.name)


def test_gateways_are_one_relay(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(3)
        await play.next_round()
        members = [play.member(number, token) for token, number in enumerate((1, 2, 3))]
        for member in members:
            assert await member.admit() == SHARE
        posted = records(3)
        rounds = [await member.send(record) for member, record in zip(members, posted, strict=True)]
        before = frames_of(play)
        assert await members[0].send(posted[0]) == rounds[0]  # it comes again, and is answered as it was
        assert await refused(members[0].send(posted[1])) == "BUSY"  # one record a token and round
        again = await admitted(play, 2, 0)
        assert await refused(again.send(posted[1])) == "BUSY"  # at whichever gateway
        await members[1].void()
        assert frames_of(play) == before + 4  # whatever is answered, one frame
        assert await refused(play.member(3).send(posted[0])) == "NOT_ADMITTED"
        await play.next_round()
        assert len(set(rounds)) == 1
        assert set(posted) <= set(same_cells(play, rounds[0])[0])
        await play.until(lambda: len(play.states) == 1)
        for _ in range(SHARE - 1):
            assert await again.send(records(1)[0])
            await play.next_round()
        assert await refused(again.send(posted[1])) == "QUOTA"
        assert await refused((await admitted(play, 1, 0)).send(posted[1])) == "QUOTA"

    played(story, tmp_path, posts_per_token=POSTS)


def test_epochs_turn_and_what_is_over_is_erased(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(2)
        await play.next_round()
        old = await admitted(play, 1)
        round_ = await old.send(records(1)[0])
        first = play.gateways[1].state.epoch
        keys = [gateway.seat.keys.log_keys.get(first) for gateway in play.gateways.values()]
        nodes = [gateway.seat.secrets.secrets[0] for gateway in play.gateways.values()]
        while play.gateways[1].state.epoch == first:
            await play.next_round()
        new = [await admitted(play, number, number) for number in (1, 2)]
        assert await refused(old.send(records(2)[1])) == "NOT_ADMITTED"
        rounds = {await member.send(record) for member, record in zip(new, records(2), strict=True)}
        assert rounds == {(first + 1) * EPOCH_ROUNDS}  # the first round of the epoch takes posts
        await play.until(lambda: all(gateway.state.checkpoint_epoch == first for gateway in play.gateways.values()))
        await play.next_round()
        assert len({gateway.relay._ledger.find(first) for gateway in play.gateways.values()}) == 1
        for turned in (round_, *rounds):
            assert records(1)[0] in same_cells(play, turned)[0]
        while play.gateways[1].state.epoch < first + 2:  # the node keys of the first epoch are of use until then
            await play.next_round()
        for number, key, node in zip(list(play.gateways), keys, nodes, strict=True):
            stored = b"".join(file.read_bytes() for file in play.directory(number).glob("storage.sqlite*"))
            assert key is not None
            assert key not in stored
            assert node not in stored

    played(story, tmp_path)


def test_what_was_acknowledged_survives_kills_at_every_point(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(3)
        await play.next_round()
        posted: dict[int, list[bytes]] = {}
        for number, record in enumerate(records(8)):
            at = 1 + number % 3
            gateway = play.gateways[at]
            await play.until(lambda gateway=gateway: gateway.seat.token_key is not None)  # it asked the others
            member = await admitted(play, at, number)
            round_ = await sent(play, member, record, number % 2)
            posted.setdefault(round_, []).append(record)
            await asyncio.sleep(1.5 * (number % 2))  # by then its page is on the disk, and the state is not
            await play.kill(at)
            if number % 4 == 3:
                await play.next_round()
            await play.start(at)
        last = await play.next_round()
        for round_, acknowledged in posted.items():
            batches = same_cells(play, round_)
            assert set(acknowledged) <= {record for batch in batches for record in batch}
        await play.until(lambda: len(play.states) == 1)
        assert last > max(posted)

    played(story, tmp_path, members=4)


def test_a_gateway_that_was_off_for_an_epoch_catches_up(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(3)
        await play.stop(2)
        posted = {}
        epoch = play.gateways[1].state.epoch
        while play.gateways[1].state.epoch < epoch + 2:
            round_ = await play.next_round()
            member = await admitted(play, 1 if round_ % 2 else 3)
            record = records(1, b"%d" % round_)[0]
            if await member.admit():
                posted[await member.send(record)] = record
        await play.start(2)
        await play.next_round()
        kept = play.gateways[1].relay.first_round
        assert len(posted) > EPOCH_ROUNDS
        for round_, record in posted.items():
            if round_ >= kept:
                assert record in same_cells(play, round_)[0]
        await play.until(lambda: len(play.states) == 1)
        member = await admitted(play, 2, 1)
        assert await member.send(records(1)[0])  # it was handed the token key

    played(story, tmp_path)


def test_a_gateway_from_a_backup_never_begins_however_often_it_is_started(tmp_path: Path) -> None:
    """Keys that were erased since come back with it."""

    async def story(play: Play) -> None:
        await play.begin(3)
        await play.next_round()
        await play.stop(2)
        backup = tmp_path / "backup"
        shutil.copytree(play.directory(2), backup)
        await play.start(2)
        assert 2 in play.gateways  # a stop in order costs nothing
        await play.next_round()
        await play.kill(2)
        shutil.rmtree(play.directory(2))
        shutil.copytree(backup, play.directory(2))
        for _ in range(3):
            await play.start(2)
            assert 2 not in play.gateways
            error = play.errors.pop(2)
            assert isinstance(error, IntegrityError) and "older than what the gateway wrote" in error.message
            await play.next_round()

    played(story, tmp_path)


def test_a_token_key_that_nobody_has_is_replaced(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(2)
        await play.next_round()
        round_ = await (await admitted(play, 1)).send(records(1)[0])
        for number in (1, 2):
            await play.kill(number)
        for number in (1, 2):
            await play.start(number)
        member = await admitted(play, 2)
        if play.gateways[2].state.open_round == round_:
            assert await refused(member.send(records(2)[1])) == "BUSY"  # nobody knows who has posted
        await play.next_round()
        await play.next_round()
        assert await (await admitted(play, 2)).send(records(2)[1])
        assert records(1)[0] in same_cells(play, round_)[0]

    played(story, tmp_path)


class CutOff(Play):
    """Gateway 2 has a way of its own to the log: `way`."""

    def __init__(self, *given: Any, **changes: Any) -> None:
        super().__init__(*given, **changes)
        self.way = self.log.another_way()

    def log_of(self, number: int) -> Log:
        return self.way if number == 2 else self.log


def test_a_gateway_that_is_cut_off_replaces_no_token_key_that_others_have(tmp_path: Path) -> None:
    async def story(play: CutOff) -> None:
        await play.begin(2)
        await play.next_round()
        first = play.gateways[1]
        key = first.state.token_hash
        await play.stop(2)
        asked = play.carries.pop(1)
        await play.start(2)
        second = play.gateways[2]
        assert key and second.state.token_hash == key and second.seat.token_key is None
        play.way.down = True
        await asyncio.sleep(SILENT_MS / 1000 + 5)
        play.way.down = False
        await asyncio.sleep(3)  # the log is heard before the other gateway answers
        play.carries[1] = asked
        await play.until(lambda: second.seat.token_key is not None)
        await asyncio.sleep(10)  # what it wrote while it was cut off is in the log by now
        await play.until(lambda: len(play.states) == 1)
        assert first.state.token_hash == key

    played(story, tmp_path, CutOff)


def test_a_post_that_was_not_acknowledged_may_count_and_admission_says_so(tmp_path: Path) -> None:
    """Its member reckons with the posts that it is told of there, and not with those that were acknowledged."""

    async def story(play: Play) -> None:
        await play.begin(1)
        await play.next_round()
        member = play.member(1)
        assert await member.admit() == SHARE
        play.log.down = True
        assert await refused(member.send(records(1)[0])) == "BUSY"
        play.log.down = False
        await play.next_round()
        member = play.member(1)
        assert await member.admit() == SHARE - 1
        for _ in range(SHARE - 1):
            assert await member.send(records(1)[0])
            await play.next_round()
        assert await play.member(1).admit() == 0
        assert await refused(member.send(records(2)[1])) == "QUOTA"

    played(story, tmp_path, posts_per_token=POSTS)


def test_without_a_log_posts_are_busy_and_rounds_are_read(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(2)
        await play.next_round()
        member = await admitted(play, 1)
        round_ = await member.send(records(1)[0])
        await play.next_round()
        play.log.down = True
        before = play.unix_ms()
        assert await refused(member.void()) == "BUSY"
        assert 8000 <= play.unix_ms() - before < 9000
        assert await refused(member.send(records(2)[1])) == "BUSY"
        assert records(1)[0] in same_cells(play, round_)[0]
        writer = play.gateways[1].writer
        while writer.waiting < MOST_WAITING:
            writer.void()
        before = play.unix_ms()
        assert await refused(member.void()) == "BUSY"
        assert play.unix_ms() == before  # at once
        play.log.down = False
        await play.next_round()
        await member.void()
        await play.next_round()
        assert await (await admitted(play, 1)).send(records(3)[2])
        await play.until(lambda: len(play.states) == 1)

    played(story, tmp_path)


def test_without_a_log_whoever_is_to_be_admitted_is_told_so_in_ten_seconds(tmp_path: Path) -> None:
    """As POST: a client does not come back within its connection, six times eight seconds."""

    async def story(play: Play) -> None:
        await play.begin(1)
        await play.next_round()
        await admitted(play, 1)
        play.log.down = True
        for fill in (0, MOST_WAITING):
            writer = play.gateways[1].writer
            while writer.waiting < fill:
                writer.void()
            before = play.unix_ms()
            with pytest.raises(ErrorFrame) as told:
                await patiently(lambda: asked(play.member(1, 1)))
            assert told.value.code == BUSY
            assert play.unix_ms() - before < 10_000
        play.log.down = False

    async def asked(newcomer: Connection) -> int:
        try:
            return await newcomer.admit()
        except Refused as refused:
            raise ErrorFrame(refused) from None

    played(story, tmp_path, **CONSTANT)


def test_a_clock_that_one_gateway_is_sure_of_bears_out_those_that_say_the_same(tmp_path: Path) -> None:
    """Behind a load balancer all members of one network come to one gateway, and two of three have to vote."""

    async def story(play: Play) -> None:
        import asyncio

        await play.begin(3)
        await play.next_round()
        for number in (1, 2, 3):
            await play.stop(number)
        await asyncio.sleep(3 * ROUND)
        for number in (1, 2, 3):
            await play.start(number)
        before = play.gateways[1].state.open_round
        await asyncio.sleep(ROUND / 2)
        assert {gateway.state.open_round for gateway in play.gateways.values()} == {before}
        await play.member(1).admit(play.gateways[1].relay.epoch)
        # Long before an epoch of uptime bears clocks out by itself.
        await play.until(lambda: all(each.state.published > before + 2 for each in play.gateways.values()), ROUND)

    played(story, tmp_path)


def test_a_log_that_lost_an_entry_stops_every_gateway_that_is_shown_it(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(3)
        await play.next_round()
        await play.stop(2)
        lying = LyingLog(play.log)
        play.log_of = lambda number: lying if number == 2 else play.log  # type: ignore[method-assign]
        await play.start(2)
        member = await admitted(play, 1)
        lying.hide_next = True
        round_ = await member.send(records(1)[0])
        served = play.gateways[2].state.published
        await play.until(lambda: 2 not in play.gateways)
        assert isinstance(play.errors.pop(2), LogBroken)
        assert served <= round_  # it did not serve the round without the record
        await play.next_round()
        assert records(1)[0] in same_cells(play, round_)[0]

    played(story, tmp_path)


def test_a_constant_batch_has_its_size_whatever_is_posted(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(3)
        await play.next_round()
        first = await admitted(play, 1, 0)
        await play.until(lambda: all(gateway.state.flags for gateway in play.gateways.values()))
        before = frames_of(play)
        second = await admitted(play, 2, 1)
        assert await refused(play.member(3, 2).admit()) == "QUOTA"
        assert frames_of(play) == before + 2  # whatever is answered
        round_ = await first.send(records(1)[0])
        await second.send(records(2)[1])
        await play.next_round()
        empty = await play.next_round() - 1
        batches = same_cells(play, round_)
        assert set(batches[0]) == set(records(2))
        assert [len(batch) for batch in batches + same_cells(play, empty)] == [2] * 4

    played(story, tmp_path, **CONSTANT)


def test_a_set_that_is_brought_to_one_gateway_governs_on_all(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(3)
        newer = office.parameters(serial=2, log2_buckets=2)
        member = play.member(2)
        for chunk in range(-(-len(newer) // 240)):
            answer = await member.ask(office.wire.push(len(newer), chunk, newer[240 * chunk : 240 * chunk + 240]))
        assert answer[1] == 1
        assert await refused(member.ask(office.wire.push(len(newer), 0, newer[:240]))) == "BAD_REQUEST"
        await play.until(lambda: all(each.relay.parameters.newest.serial == 2 for each in play.gateways.values()))
        assert {each.state.rule.buckets for each in play.gateways.values()} == {2}
        epoch = play.gateways[1].state.epoch
        await play.until(lambda: play.gateways[3].state.epoch > epoch, 2 * EPOCH)
        await play.next_round()
        member = await admitted(play, 3)
        await member.send(records(1)[0], 3)
        await play.kill(1)
        await play.start(1)
        assert play.gateways[1].relay.parameters.newest.serial == 2
        assert {each.state.rule.buckets for each in play.gateways.values()} == {4}

    played(story, tmp_path)


def test_a_relay_that_ran_alone_becomes_a_fleet(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        alone = ServerRelay(play.directory(1))
        loop = asyncio.get_running_loop()
        alone.relay.clock = Clock(lambda: int(1000 * loop.time()), lambda later, earlier: later - earlier)
        alone.start()
        relay: Any = alone.relay
        relay.turn()
        relay._rounds.accept_clock()  # it was commissioned
        member = office.Connection(relay)
        member.authenticate(office.Token(0, relay.epoch))
        posted = {member.post(records(1)[0]): records(1)[0]}
        epoch = relay.epoch
        while relay.epoch == epoch:
            await asyncio.sleep(ROUND)
            relay.turn()
            relay.maintain()
        checkpoint = relay._ledger.find(epoch)
        member = office.Connection(relay)
        member.authenticate(office.Token(1, relay.epoch))
        posted[member.post(records(2)[1])] = records(2)[1]
        alone.database.commit()  # as before each answer
        alone.close()
        await play.begin(2)
        while play.gateways[1].state.epoch < epoch + 2:
            await play.next_round()
        await play.until(lambda: all(each.state.checkpoint_epoch == epoch + 1 for each in play.gateways.values()))
        await play.next_round()
        for round_, record in posted.items():
            assert record in same_cells(play, round_)[0]
        for gateway in play.gateways.values():
            ledger = gateway.relay._ledger
            assert ledger.find(epoch) == checkpoint
            assert Checkpoint(ledger.find(epoch + 1)).previous == Checkpoint(checkpoint).link()

    played(story, tmp_path)


def test_one_gateway_and_a_log_in_a_file_are_a_relay(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        log = SqliteLog(tmp_path / "log.sqlite", office.RELAY_KEY)
        play.log_of = lambda _: log  # type: ignore[method-assign]
        await play.begin(1)
        epoch = play.gateways[1].state.epoch
        posted: dict[int, bytes] = {}
        while play.gateways[1].state.epoch < epoch + 2:
            await play.next_round()
            record = records(1, b"%d" % len(posted))[0]
            posted[await sent(play, await admitted(play, 1), record, 0)] = record
            if len(posted) == EPOCH_ROUNDS:
                await play.kill(1)
                await play.start(1)
                await play.until(lambda: play.gateways[1].seat.token_key is not None)
        await play.next_round()
        for round_, record in posted.items():
            assert record in same_cells(play, round_)[0]
        async with asyncio.timeout(EPOCH), contextlib.aclosing(log.follow(1)) as entries:
            async for entry in entries:
                assert entry.position > 1  # those of epochs that are over are gone
                break
        await play.stop(1)
        await log.close()

    played(story, tmp_path)


def test_what_an_entry_vouches_for_is_on_the_disk_before(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(1)
        gateway, append = play.gateways[1], play.log.append
        gateway.relay.maintain = lambda: None  # type: ignore[method-assign]  # it would make durable what is due anyway
        looked: dict[int, int] = {}  # by the position of a seal what was durable when the next entry left

        async def look(entry: bytes, id: bytes) -> None:
            if gateway._sealed_at not in looked:
                looked[gateway._sealed_at] = durable_position(play.directory(1), tmp_path / "copy")
            await append(entry, id)

        play.log.append = look  # type: ignore[method-assign]
        for _ in range(3):
            await play.next_round()
        assert len(looked) >= 3
        assert all(durable >= sealed for sealed, durable in looked.items())

    played(story, tmp_path)


def durable_position(directory: Path, copy: Path) -> int:
    """What a kill would leave of the state."""
    shutil.copytree(directory, copy)
    connection = sqlite3.connect(copy / "storage.sqlite")
    (state,) = connection.execute("SELECT data FROM value WHERE name = 'fleet state'").fetchone()
    connection.close()
    shutil.rmtree(copy)
    return State.decoded(state).position


def test_a_cell_that_lost_a_record_is_not_served_until_another_gateway_gave_it(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(2)
        await play.next_round()
        posted: list[tuple[int, bytes]] = []
        for number, record in enumerate(records(3)):
            member = await admitted(play, 1, number)
            posted.append((await member.send(record), record))
        await play.next_round()
        round_ = posted[0][0]
        relay: Any = play.gateways[2].relay
        (page, *_) = relay._log.pages_of(0, round_, relay._log.count_of(0, round_))
        await play.stop(2)
        connection = sqlite3.connect(play.directory(2) / "storage.sqlite")
        page_of = "region = 'ring' AND number = ?"
        damaged = f"UPDATE page SET data = CAST(substr(data, 1, 100) || zeroblob(156) AS BLOB) WHERE {page_of}"
        assert connection.execute(damaged, (page,)).rowcount == 1
        connection.commit()
        connection.close()
        carries, play.carries = play.carries, {}  # nobody answers questions
        await play.start(2)
        with pytest.raises(Refused, match="FAULT"):
            play.member(2).cell(round_)
        assert set(map(bytes, play.member(1).cell(round_))) >= {record for _, record in posted}
        assert play.member(2).cell(round_, 1) == play.member(1).cell(round_, 1)
        play.carries |= carries
        await play.until(lambda: not play.gateways[2].relay.damaged_rounds)
        same_cells(play, round_)
        await play.kill(2)
        await play.start(2)
        same_cells(play, round_)
        await play.next_round()
        await play.until(lambda: len(play.states) == 1)

    played(story, tmp_path)


def test_a_clock_that_is_far_on_after_a_stop_has_to_be_borne_out(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(2)
        await play.next_round()
        for number in (1, 2):
            await play.stop(number)
        sealed = 3 * ROUND
        await asyncio.sleep(sealed)
        for number in (1, 2):
            await play.start(number)
        before = play.gateways[1].state.open_round
        await asyncio.sleep(ROUND)
        assert play.gateways[1].state.open_round == before
        await admitted(play, 1)
        await play.until(lambda: play.gateways[2].state.published > before + 2)

    played(story, tmp_path)
