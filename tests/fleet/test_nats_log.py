"""The log on three nodes of NATS: what all back ends promise, and what becomes of it when nodes fail or lie."""

import asyncio
import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("nats", reason="no client of NATS here: pip install nats-py")

from tessera_host.fleet import nats_configuration, nats_log
from tessera_host.fleet.log import Entry, Log, LogBroken, LogUnavailable
from tessera_host.fleet.nats_connection import Connection, cancellable
from tests.fleet.conformance import Conformance, Engine, fill, numbered, opened
from tests.fleet.logs import RELAY, entry_of, id_of, open_log, read, read_all, said_of
from tests.fleet.tampering import Delivery, lying
from tests.patience import PATIENCE_SECONDS
from tests.support.nats_nodes import NatsNodes

_NAMES = (f"log-{number}" for number in itertools.count())


class _Stream(Engine):
    """A log of its own on the nodes that all tests share."""

    def __init__(self, nodes: NatsNodes) -> None:
        self.nodes = nodes
        self.address = nodes.address(next(_NAMES))

    def said(self, relay: bytes = RELAY, append_seconds: float = PATIENCE_SECONDS, nodes: tuple[str, ...] = ()) -> str:
        return said_of(
            "nats",
            nodes=nodes or self.address.nodes,
            name=self.address.name,
            relay=relay.hex(),
            append_seconds=append_seconds,
        )

    async def open(self, said: str = "") -> Log:
        """As soon as a majority has a leader."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with contextlib.suppress(LogUnavailable):
                    return await super().open(said)
                await asyncio.sleep(0.2)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsNodes]:
    nodes = NatsNodes(tmp_path_factory.mktemp("nodes"))
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()


@pytest.fixture
def engine(nodes: NatsNodes) -> _Stream:
    nodes.start()  # what a test before it killed
    return _Stream(nodes)


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a leader that says that the log is shorter than it was."""
    monkeypatch.setattr(nats_log, "LOST_SECONDS", 0.5)


class TestConformance(Conformance):
    pass


# -- nodes that fail


async def test_nothing_is_lost_when_nodes_are_killed_one_by_one_and_all_at_once(engine: _Stream) -> None:
    numbers = itertools.count()
    acknowledged: set[int] = set()
    seen: list[Entry] = []
    async with opened(engine) as log:

        async def append() -> None:
            for number in numbers:
                await log.append(entry_of(number), id_of(number))
                acknowledged.add(number)

        async def follow() -> None:
            async for entry in log.follow(1):
                seen.append(entry)

        tasks = [asyncio.create_task(each) for each in (follow(), *(append() for _ in range(8)))]
        try:
            for killed in ((0,), (1,), (2,), (0, 1, 2)):
                await _until_more(acknowledged, tasks)
                engine.nodes.kill(*killed)
                await asyncio.to_thread(engine.nodes.start)
            await _until_more(acknowledged, tasks)
            last = await log.last()
            await _until(lambda: len(seen) >= last, tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        found = await read_all(log)
        assert [entry.position for entry in found] == list(range(1, len(found) + 1))
        assert seen[:last] == found[:last]
        ids = [entry.id for entry in found]
        assert len(ids) == len(set(ids))
        assert set(map(id_of, acknowledged)) <= set(ids)


async def _until_more(acknowledged: set[int], tasks: list[asyncio.Task[None]]) -> None:
    goal = len(acknowledged) + 50
    await _until(lambda: len(acknowledged) >= goal, tasks)


async def _until(reached: Callable[[], bool], tasks: list[asyncio.Task[Any]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not reached():
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.05)


async def test_without_a_majority_it_says_so_in_bounded_time_and_goes_on_when_it_is_back(engine: _Stream) -> None:
    async with opened(engine) as log, opened(engine, engine.said(append_seconds=0.5)) as hasty:
        await fill(log, 0, 3)
        async with contextlib.aclosing(log.follow(1)) as entries:
            assert [await anext(entries) for _ in range(3)] == numbered(0, 3)
            following = asyncio.create_task(anext(entries))
            engine.nodes.kill(1, 2)
            with pytest.raises(LogUnavailable, match=r"acknowledged no entry for 0\.5 s") as unavailable:
                await hasty.append(entry_of(3), id_of(3))
            assert unavailable.value.hint == "look at its nodes"
            with pytest.raises(LogUnavailable):
                await _until_unavailable(log)
            with pytest.raises(LogUnavailable):
                await open_log(engine.said())
            assert not following.done()
            await asyncio.to_thread(engine.nodes.start)
            await log.append(entry_of(3), id_of(3))
            assert await following == numbered(3, 4)[0]
        assert await read_all(log) == numbered(0, 4)


async def _until_unavailable(log: Log) -> None:
    """A leader that is alone answers until it has noticed."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            await log.last()
            await asyncio.sleep(0.2)


async def test_what_a_node_without_a_leader_says_of_the_log_is_not_believed_and_it_is_left_for_another(
    engine: _Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as old as its last leader, and a log that seems shorter than it was is a fault."""
    async with opened(engine) as log:
        await fill(log, 0, 3)
        api = log._connection.api

        async def leaderless(question: str, *given: Any) -> Any:
            answer = await api(question, *given)
            if question.startswith("STREAM.INFO.") and not log._connection._turn:
                answer = answer | {"cluster": answer["cluster"] | {"leader": ""}}
            return answer

        monkeypatch.setattr(log._connection, "api", leaderless)
        with pytest.raises(LogUnavailable, match="have no leader"):
            await log.last()
        status = await log.engine()
        assert status.leader == "" and len(status.nodes) == 3
        reading = asyncio.create_task(read(log, 1, 3))
        await _until(lambda: log._connection._turn > 0, [reading])
        assert await reading == numbered(0, 3)


async def test_node_that_hangs_is_left_for_another(engine: _Stream) -> None:
    async with opened(engine) as log:
        await fill(log, 0, 1)
        reading = asyncio.create_task(read(log, 1, 3))
        with engine.nodes.hanging(0):  # the first of the address: it is the one that is connected
            await fill(log, 1, 3)
            assert await reading == numbered(0, 3)


def _alone(text: str) -> str:
    """The same node, whom the others do not reach."""
    text = re.sub(r'(?s)(cluster \{.*listen: )"[^"]*"', r'\1"127.0.0.1:-1"', text)
    return re.sub(r"routes: \[.*\]", "routes: [nats-route://127.0.0.1:1]", text)


async def test_node_that_is_cut_off_from_the_others_is_left_for_one_that_is_not(engine: _Stream) -> None:
    n0, n1, n2 = engine.address.nodes
    async with opened(engine) as log:
        await fill(log, 0, 1)
    engine.nodes.kill(0)
    engine.nodes.configure(lambda _, text: _alone(text))
    engine.nodes.start(0)
    engine.nodes.configure(lambda _, text: text)
    try:
        async with opened(engine, engine.said(nodes=(n0, n1, n2))) as log:  # at the start
            await fill(log, 1, 2)
        async with opened(engine, engine.said(nodes=(n1, n0, n2))) as log:  # and later
            reading = asyncio.create_task(read(log, 1, 4))
            engine.nodes.kill(1)
            appending = asyncio.create_task(fill(log, 2, 4))
            await _until(lambda: log._connection._turn > 0, [reading, appending])
            await asyncio.to_thread(engine.nodes.start, 1)
            await appending
            assert await reading == numbered(0, 4)
    finally:
        engine.nodes.kill(0)


async def test_without_any_node_it_says_where_it_looked(engine: _Stream) -> None:
    engine.nodes.kill()
    with pytest.raises(LogUnavailable, match="no node of the engine answers at") as unavailable:
        await open_log(engine.said())
    assert all(node in unavailable.value.message for node in engine.address.nodes)


async def test_node_that_comes_back_with_another_configuration_is_noticed(
    engine: _Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_log, "CHECK_SECONDS", 0.2)
    async with opened(engine) as log:
        await fill(log, 0, 1)
        numbers = itertools.count(1)

        async def append_until_refused() -> str:
            for number in numbers:
                try:
                    await log.append(entry_of(number), id_of(number))
                except nats_log.LogRefused as refused:
                    return str(refused)
            raise AssertionError

        async def append_until_taken() -> None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    with contextlib.suppress(nats_log.LogRefused):
                        number = next(numbers)
                        return await log.append(entry_of(number), id_of(number))
                    await asyncio.sleep(0.05)

        engine.nodes.kill(2)
        engine.nodes.configure(lambda _, text: text.replace(nats_configuration.SYNC_LINE, "sync_interval: 10s"))
        await asyncio.to_thread(engine.nodes.start)
        said = await append_until_refused()
        assert "n2 acknowledges entries before its disk has them" in said
        assert nats_configuration.SYNC_LINE in said
        assert (await log.engine()).refusal == said
        engine.nodes.kill(2)
        engine.nodes.configure(lambda _, text: text)
        await asyncio.to_thread(engine.nodes.start)
        await append_until_taken()
        assert not (await log.engine()).refusal


async def test_what_does_not_arrive_is_asked_for_again(engine: _Stream) -> None:
    dropped: list[int] = []

    def drop_once(delivery: Delivery) -> list[Delivery]:
        if delivery.position in (2, 5) and delivery.position not in dropped:  # 5 is the last: heartbeats tell of it
            dropped.append(delivery.position)
            return []
        return [delivery]

    async with (
        lying(engine.address.nodes[0], drop_once, numbered_anew=False) as address,
        opened(engine, engine.said(nodes=(address,))) as log,
    ):
        await fill(log, 0, 5)
        assert await read(log, 1, 5) == numbered(0, 5)
        assert dropped == [2, 5]


async def test_leader_that_does_not_know_the_end_yet_is_given_time(
    engine: _Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(engine) as log:
        await fill(log, 0, 3)
        state, asked = log._state, []

        async def of_a_new_leader() -> object:
            found = await state()
            asked.append(found.last)
            return replace(found, last=1) if len(asked) < 4 else found

        monkeypatch.setattr(log, "_state", of_a_new_leader)
        reading = asyncio.create_task(read(log, 4, 1))
        await _until(lambda: len(asked) >= 4, [reading])
        await fill(log, 3, 4)
        assert await reading == numbered(3, 4)


async def test_node_that_goes_on_saying_that_the_log_is_shorter_is_left_for_another(
    engine: _Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was the leader, and is cut off from the others."""
    async with opened(engine) as log:
        await fill(log, 0, 3)
        state = log._state

        async def of_one_that_was_the_leader() -> object:
            found = await state()
            return found if log._connection._turn else replace(found, last=1)

        monkeypatch.setattr(log, "_state", of_one_that_was_the_leader)
        reading = asyncio.create_task(read(log, 4, 1))
        await _until(lambda: log._connection._turn > 0, [reading])
        await fill(log, 3, 4)
        assert await reading == numbered(3, 4)


async def test_cancellation_that_the_client_swallows_is_not_lost() -> None:
    """asyncio.wait_for of Python 3.11 returns the answer that comes at the same moment."""

    async def answer() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "answer"

    asking = asyncio.create_task(cancellable(answer()))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await cancellable(answer())
    assert await cancellable(asyncio.sleep(0, "answer")) == "answer"


# -- what the engine forgets


async def test_id_that_the_engine_forgot_is_looked_for_before_it_is_appended_again(
    engine: _Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_configuration, "WINDOW_SECONDS", 0.2)
    async with opened(engine) as log:
        await fill(log, 0, 2)
        await log.append(entry_of(2), id_of(2))
        ask = Connection.ask

        async def ask_in_vain(self: Connection, *arguments, **named):
            """The answer is lost on its way."""
            await ask(self, *arguments, **named)
            raise LogUnavailable("lost")

        with monkeypatch.context() as patched:
            patched.setattr(Connection, "ask", ask_in_vain)
            patched.setattr(log, "_append_seconds", 0.01)
            with pytest.raises(LogUnavailable):
                await log.append(entry_of(3), id_of(3))
        await _until_forgotten(log, 4)
        last = await log.last()
        await log.append(entry_of(3), id_of(3))
        assert await log.last() == last
        await log._publish(entry_of(3), id_of(3))
        assert await log.last() == last + 1  # the engine would have kept it twice


async def _until_forgotten(log: Log, number: int) -> None:
    """Until the engine takes an id for the second time, which stands for all that are as old."""
    assert isinstance(log, nats_log.NatsLog)
    await log._publish(entry_of(number), id_of(number))
    before = await log.last()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await log.last() == before:
            await asyncio.sleep(0.3)
            await log._publish(entry_of(number), id_of(number))


# -- what the engine loses


async def test_log_that_was_deleted_is_broken(engine: _Stream, short_patience: None) -> None:
    async with opened(engine) as log:
        await fill(log, 0, 2)
        reading = asyncio.create_task(read(log, 1, 3))
        await log._connection.api(f"STREAM.DELETE.{engine.address.name}", {})
        with pytest.raises(LogBroken, match="has no log"):
            await reading


async def test_log_that_was_made_anew_is_broken(engine: _Stream, short_patience: None) -> None:
    async with opened(engine) as log:
        await fill(log, 0, 2)
        reading = asyncio.create_task(read(log, 1, 6))
        assert await read(log, 1, 2) == numbered(0, 2)
        await log._connection.api(f"STREAM.DELETE.{engine.address.name}", {})
        async with opened(engine) as other:
            await fill(other, 0, 5)
            with pytest.raises(LogBroken, match="another one of that name"):
                await reading


# -- an engine that lies


def _lost(delivery: Delivery) -> list[Delivery]:
    return [] if delivery.position == 3 else [delivery]


def _lost_and_closed_up(delivery: Delivery) -> list[Delivery]:
    if delivery.position < 3:
        return [delivery]
    return [delivery.at(delivery.position - 1)] if delivery.position > 3 else []


def _doubled(delivery: Delivery) -> list[Delivery]:
    if delivery.position < 3:
        return [delivery]
    later = delivery.at(delivery.position + 1)
    return [delivery, later] if delivery.position == 3 else [later]


def _shown_again(delivery: Delivery) -> list[Delivery]:
    return [delivery, delivery] if delivery.position == 3 else [delivery]


class _Swapped:
    def __init__(self) -> None:
        self.kept: list[Delivery] = []

    def __call__(self, delivery: Delivery) -> list[Delivery]:
        if delivery.position == 3:
            self.kept = [delivery]
            return []
        if delivery.position == 4:
            return [delivery.at(3), *(kept.at(4) for kept in self.kept)]
        return [delivery]


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (_lost, "shows 4 where 3 comes next"),
        (_lost_and_closed_up, "the entry at 3 differs from"),
        (_doubled, "the entry at 3 stands at 4 again"),
        (_shown_again, "shows 3 where 4 comes next"),
        (_Swapped(), "the entry at 3 differs from"),
    ],
    ids=["lost", "lost and closed up", "doubled", "shown again", "swapped"],
)
async def test_lying_engine_is_noticed(engine: _Stream, tamper, said: str) -> None:
    async with opened(engine) as honest:
        await fill(honest, 0, 2)
    async with (
        lying(engine.address.nodes[0], tamper) as address,
        opened(engine, engine.said(nodes=(address,))) as log,
    ):
        reading = asyncio.create_task(read(log, 1, 6))
        assert await read(log, 1, 2) == numbered(0, 2)
        with pytest.raises(LogBroken, match=said):
            await asyncio.gather(reading, fill(log, 2, 6))


async def test_engine_that_does_not_lie_is_believed(engine: _Stream) -> None:
    async with (
        lying(engine.address.nodes[0], lambda delivery: [delivery]) as address,
        opened(engine, engine.said(nodes=(address,))) as log,
    ):
        await fill(log, 0, 6)
        assert await read_all(log) == numbered(0, 6)


async def test_reader_that_is_shown_nothing_is_given_up(engine: _Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its node stands still and sends heartbeats all the same."""
    monkeypatch.setattr(nats_log, "CHECK_SECONDS", 0.2)
    first: list[tuple[bytes, ...]] = []

    def mute(delivery: Delivery) -> list[Delivery]:
        first.append(delivery.head)
        return [] if delivery.head == first[0] else [delivery]

    async with (
        lying(engine.address.nodes[0], mute) as address,
        opened(engine, engine.said(nodes=(address,))) as log,
    ):
        await fill(log, 0, 2)
        assert await read(log, 1, 2) == numbered(0, 2)
        assert len(set(first)) > 1
