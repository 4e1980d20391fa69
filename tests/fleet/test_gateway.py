"""Gateways that run: what members are answered, what each of them serves, what survives."""

from pathlib import Path
from typing import Any

import pytest

from office import EPOCH_ROUNDS, records
from tessera import params
from tessera.errors import Refused
from tessera_host.fleet.entry import LEAST_BYTES
from tessera_host.fleet.frames import FRAME_BYTES
from tessera_host.fleet.log import LogBroken
from tessera_host.fleet.writer import MOST_WAITING

from .running import EPOCH, ROUND, Connection, Play, played

POSTS = 4
SHARE = 4  # of them, when the token key is named in the first round of an epoch: four times five sixths, rounded up


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
        assert len(play.states) == 1
        for _ in range(SHARE - 1):
            assert await again.send(records(1)[0])
            await play.next_round()
        assert await refused(again.send(posted[1])) == "QUOTA"
        assert await refused((await admitted(play, 1, 0)).send(posted[1])) == "QUOTA"

    played(story, tmp_path, posts_per_token=POSTS)


def test_epochs_turn_and_what_is_over_is_erased(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(3)
        await play.next_round()
        old = await admitted(play, 1)
        round_ = await old.send(records(1)[0])
        first = play.gateways[1].state.epoch
        keys = [gateway.seat.keys.log_keys.get(first) for gateway in play.gateways.values()]
        nodes = [gateway.seat.secrets.secrets[0] for gateway in play.gateways.values()]
        while play.gateways[1].state.epoch == first:
            await play.next_round()
        new = [await admitted(play, number, number) for number in (1, 2, 3)]
        assert await refused(old.send(records(2)[1])) == "NOT_ADMITTED"
        rounds = {await member.send(record) for member, record in zip(new, records(3), strict=True)}
        assert rounds == {(first + 1) * EPOCH_ROUNDS}  # the first round of the epoch takes posts
        await play.until(lambda: all(gateway.state.checkpoint_epoch == first for gateway in play.gateways.values()))
        await play.next_round()
        assert len({gateway.relay._ledger.find(first) for gateway in play.gateways.values()}) == 1
        for turned in (round_, *rounds):
            assert records(1)[0] in same_cells(play, turned)[0]
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
            member = await admitted(play, at, number)
            round_ = await member.send(record, number % 2)
            posted.setdefault(round_, []).append(record)
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


def test_a_log_that_lost_an_entry_stops_every_gateway_that_is_shown_it(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(3)
        await play.next_round()
        entries = play.log.entries
        entries[-1] = entries[-1]._replace(entry=entries[-1].entry[:-1] + b"\0", id=bytes(16))
        play.log.down = True
        await play.stop(2)
        play.log.down = False
        await play.start(2)
        await play.until(lambda: 2 in play.errors or 2 not in play.gateways)
        assert not play.errors or isinstance(play.errors.pop(2), LogBroken)

    played(story, tmp_path)


def test_a_constant_batch_has_its_size_whatever_is_posted(tmp_path: Path) -> None:
    kind: dict[str, Any] = {"cover": params.CONSTANT, "constant": 2, "epsilon": 0, "delta": 0, "thresholds": b""}
    sizes = {"members": 2, "tokens_per_epoch": 1, "posts_per_token": 6}

    async def story(play: Play) -> None:
        await play.begin(3)
        await play.next_round()
        before = frames_of(play)
        first, second = await admitted(play, 1, 0), await admitted(play, 2, 1)
        assert await refused(play.member(3, 2).admit()) == "QUOTA"
        assert frames_of(play) == before + 3
        round_ = await first.send(records(1)[0])
        await second.send(records(2)[1])
        await play.next_round()
        empty = await play.next_round() - 1
        batches = same_cells(play, round_)
        assert set(batches[0]) == set(records(2))
        assert [len(batch) for batch in batches + same_cells(play, empty)] == [2] * 4

    played(story, tmp_path, **kind, **sizes)


def test_a_set_that_is_brought_to_one_gateway_governs_on_all(tmp_path: Path) -> None:
    import office

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


def test_a_clock_that_is_far_on_after_a_stop_has_to_be_borne_out(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        import asyncio

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
