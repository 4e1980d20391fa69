"""Gateways on a log that is one: they append and follow at the same time, and one of them starts anew in the middle."""

import asyncio
from pathlib import Path

from tessera_host.fleet.entry import entry_id
from tessera_host.fleet.replay import Recorded, Refused
from tessera_host.fleet.sqlite_log import SqliteLog
from tests.patience import PATIENCE_SECONDS

from .gateways import FIRST, POSTS, ROUNDS, Engine, Fleet, Gateway, token_id

TOKENS = 3


async def live(gateway: Gateway, log: SqliteLog) -> None:
    """Replay whatever the log has, for ever."""
    async for entry in log.follow(gateway.state.position + 1):
        gateway.take(entry)


async def write(gateway: Gateway, log: SqliteLog) -> None:
    """An entry with all that is pending; until the gateway has replayed it."""
    gateway.tick()
    sealed = gateway.engine.flying.pop()
    await log.append(sealed, entry_id(sealed))
    while entry_id(sealed) in gateway.waiting:
        await asyncio.sleep(0)


async def a_round(fleet: Fleet, log: SqliteLog, number: int, posted: list[tuple[Gateway, bytes]]) -> None:
    """Each token posts at two gateways at once; then the round is sealed, and served."""
    for token in range(TOKENS):
        for at in (1 + token, 1 + (token + number) % 3):
            id = fleet[at].post(token_id(token, 2), bytes((number, token, at)) * 80)
            if isinstance(id, bytes):
                posted.append((fleet[at], id))
    await asyncio.gather(*(write(gateway, log) for gateway in fleet))
    for gateway in fleet:
        gateway.vote()
    for _ in range(2):
        await asyncio.gather(*(write(gateway, log) for gateway in fleet))
        await caught_up(fleet, log)


async def caught_up(fleet: Fleet, log: SqliteLog) -> None:
    last = await log.last()
    while any(gateway.state.position < last for gateway in fleet):
        await asyncio.sleep(0)


async def test_gateways_that_write_at_once_have_one_relay(tmp_path: Path) -> None:
    fleet = Fleet(TOKENS)
    for gateway in fleet:
        gateway.engine = Engine()  # where tick() leaves what is appended
    log = SqliteLog(tmp_path / "log.sqlite", fleet.first.relay_key)
    following = {gateway.number: asyncio.create_task(live(gateway, log)) for gateway in fleet}
    posted: list[tuple[Gateway, bytes]] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        key = fleet[1].name_token_key()
        for gateway in fleet:
            gateway.token_key = key
        await a_round(fleet, log, 0, posted)
        assert posted == []  # of the round in which the key was named: nobody has it in force
        for number in range(1, ROUNDS - 1):
            await a_round(fleet, log, number, posted)
            if number == 2:
                following.pop(2).cancel()
                again = fleet.gateways[2] = fleet[2].restarted()
                again.token_key = key
                following[2] = asyncio.create_task(live(again, log))
                posted = [(again if gateway.number == 2 else gateway, id) for gateway, id in posted]
        await caught_up(fleet, log)
    for task in following.values():
        task.cancel()
    await log.close()
    assert len({gateway.state.encoded() for gateway in fleet}) == 1
    answers = [gateway.answers[id] for gateway, id in posted]
    counted = [each for each in answers if isinstance(each, Recorded)]
    assert len(counted) + sum(isinstance(each, Refused) for each in answers) == len(posted) > len(counted)
    assert sorted(each.round for each in counted) == [
        round_ for round_ in range(FIRST + 1, FIRST + 5) for _ in range(3)
    ]
    assert all(key.used(token_id(token, 2), fleet[1].state) == POSTS for token in range(TOKENS))
    rings = [gateway.ring for gateway in fleet]
    assert rings[0] == rings[1] == rings[2]
    assert sum(map(len, rings[0].values())) == TOKENS * POSTS == len(counted)
    assert [gateway.served for gateway in fleet] == [FIRST + ROUNDS - 1] * 3
