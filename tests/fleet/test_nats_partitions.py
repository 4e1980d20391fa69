"""The log where hosts do not reach each other: nodes, and gateways and nodes. What else fails is test_nats_log's."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

pytest.importorskip("nats", reason="no client of NATS here: pip install nats-py")

from tessera_host.fleet.log import Log, LogRefused, LogUnavailable
from tests.fleet.cabled_engine import CabledEngine
from tests.fleet.conformance import fill, numbered
from tests.fleet.logs import RELAY, entry_of, id_of, read, read_all
from tests.fleet.nats import open_nats
from tests.patience import PATIENCE_SECONDS
from tests.support.nats_nodes import STARTING

_NAMES = (f"log-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CabledEngine]:
    engine = CabledEngine(tmp_path_factory.mktemp("engine"), gateways=(1, 2))
    try:
        engine.nodes.start()
        yield engine
    finally:
        engine.stop()


@contextlib.asynccontextmanager
async def opened(
    engine: CabledEngine, gateway: int, name: str, append_seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[Log]:
    """As soon as the nodes have a leader."""
    nodes = list(engine.address(gateway, name).nodes)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                log = await open_nats(nodes, name, RELAY, append_seconds=append_seconds)
                break
            except LogUnavailable:
                pass
            except LogRefused as refused:
                if STARTING not in refused.message:
                    raise
            await asyncio.sleep(0.2)
    try:
        yield log
    finally:
        await log.close()


async def test_node_that_is_cut_off_from_the_others_is_left_for_one_that_is_not(engine: CabledEngine) -> None:
    """The gateway reaches it, and is connected to it."""
    name = next(_NAMES)
    async with opened(engine, 1, name) as log:
        await fill(log, 0, 1)
        reading = asyncio.create_task(read(log, 1, 3))
        with engine.node_cut_off(0):
            await fill(log, 1, 3)
            assert await reading == numbered(0, 3)
            async with opened(engine, 2, name) as other:  # to a gateway that starts it is the first of its nodes, too
                await fill(other, 3, 4)
        await fill(log, 4, 5)
        assert await read_all(log) == numbered(0, 5)


async def test_gateway_that_is_cut_off_from_its_node_goes_to_another(engine: CabledEngine) -> None:
    async with opened(engine, 1, next(_NAMES)) as log:
        await fill(log, 0, 1)
        reading = asyncio.create_task(read(log, 1, 3))
        with engine.gateway_cut_off(1, 0):
            await fill(log, 1, 3)
            assert await reading == numbered(0, 3)


async def test_gateway_that_is_cut_off_says_so_in_bounded_time_and_reads_what_others_wrote_meanwhile(
    engine: CabledEngine,
) -> None:
    name = next(_NAMES)
    async with opened(engine, 1, name) as log, opened(engine, 2, name) as other:
        await fill(log, 0, 2)
        reading = asyncio.create_task(read(log, 1, 6))
        with engine.gateway_cut_off(1, 0, 1, 2):
            appending = asyncio.create_task(log.append(entry_of(4), id_of(4)))
            await fill(other, 2, 4)
            assert not reading.done() and not appending.done()
        await appending
        await fill(log, 4, 6)
        assert await reading == numbered(0, 6)
        async with opened(engine, 2, name, append_seconds=0.5) as short:
            with engine.gateway_cut_off(2, 0, 1, 2), pytest.raises(LogUnavailable, match=r"no entry for 0\.5 s"):
                await short.append(entry_of(6), id_of(6))
            while True:  # it is there, or it is not; under its id it is there once
                with contextlib.suppress(LogUnavailable):
                    await short.append(entry_of(6), id_of(6))
                    break
        assert await read_all(log) == numbered(0, 7)


async def test_nothing_acknowledged_is_lost_whichever_node_is_cut_off_while_gateways_write(
    engine: CabledEngine,
) -> None:
    name, numbers = next(_NAMES), itertools.count()
    acknowledged: set[int] = set()

    async def append(log: Log) -> None:
        for number in numbers:
            await log.append(entry_of(number), id_of(number))
            acknowledged.add(number)

    async def until_more(tasks: list[asyncio.Task[None]]) -> None:
        goal = len(acknowledged) + 40
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(acknowledged) < goal:
                for task in tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.05)

    async with opened(engine, 1, name) as one, opened(engine, 2, name) as two:
        tasks = [asyncio.create_task(append(log)) for log in (one, two) * 4]
        try:
            for node in range(3):
                await until_more(tasks)
                with engine.node_cut_off(node):
                    await until_more(tasks)
            await until_more(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        found, again = await read_all(one), await read_all(two)
        assert found == again[: len(found)]
        ids = [entry.id for entry in found]
        assert len(ids) == len(set(ids))
        assert set(map(id_of, acknowledged)) <= set(ids)
