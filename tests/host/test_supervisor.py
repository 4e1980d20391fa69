"""What a cluster's supervisor does, in virtual time, with processes that do as they are told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from tessera_host.cluster.supervisor import (
    FIRST_PAUSE_SECONDS,
    IN_ORDER,
    LONGEST_PAUSE_SECONDS,
    LOOK_SECONDS,
    STEADY_SECONDS,
    Node,
    State,
    Supervisor,
)
from tessera_host.errors import TesseraError, Unreachable
from tests.support.virtual_time import VirtualTimeLoop

SERVING = "serving"


class FakeProcess:
    """Says what it is told to, `sentences` first. `heeds`: whether it ends when it is asked to."""

    def __init__(self, place: "Place", sentences: Sequence[str], heeds: bool) -> None:
        self._place = place
        self._heeds = heeds
        self._said: asyncio.Queue[str | None] = asyncio.Queue()
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        for sentence in sentences:
            self._said.put_nowait(sentence)

    async def lines(self) -> AsyncIterator[str]:
        while (line := await self._said.get()) is not None:
            yield line

    async def ended(self) -> str:
        return await asyncio.shield(self._end)

    def die(self, how: str) -> None:
        if not self._end.done():
            self._end.set_result(how)
            self._said.put_nowait(None)

    def end(self) -> None:
        self._place.told.append(f"end {self._place.name}")
        if self._heeds:
            self.die(IN_ORDER)

    def kill(self) -> None:
        self._place.told.append(f"kill {self._place.name}")
        self.die("killed")


@dataclass
class Place:
    """Where a process of this name is started, and what happens there. `sentences`: of each start; None, and those
    behind it, are what it ends with at once."""

    name: str
    told: list[str]  # everybody's, in order
    sentences: list[str | None] = field(default_factory=lambda: [SERVING])
    heeds: bool = True
    empty: bool = False
    refuses: TesseraError | None = None  # to be filled
    shy: TesseraError | None = None  # what greeting it raises
    starts: list[float] = field(default_factory=list)  # when
    process: FakeProcess | None = None
    round: int | None = None

    async def start(self) -> FakeProcess:
        self.starts.append(asyncio.get_running_loop().time())
        self.told.append(f"start {self.name}")
        said = [sentence for sentence in self.sentences if sentence is not None]
        self.process = FakeProcess(self, said, self.heeds)
        if None in self.sentences:
            self.process.die("ended with 1")
        return self.process

    async def fill(self) -> None:
        self.told.append(f"fill {self.name}")
        if self.refuses:
            raise self.refuses
        self.empty = False

    async def greet(self) -> None:
        self.told.append(f"greet {self.name}")
        if self.shy:
            raise self.shy

    async def look(self) -> int | None:
        return self.round

    def node(self) -> Node:
        return Node(
            self.name,
            f"127.0.0.1:{self.name}",
            start=self.start,
            ready=lambda line: line == SERVING,
            is_empty=lambda: self.empty,
            fill=self.fill,
            greet=self.greet,
            look=self.look,
        )


class Played:
    """A supervisor of these places in virtual time: `changes` are what it told, `told` what it told the others."""

    def __init__(self, *names: str) -> None:
        self.told: list[str] = []
        self.places = [Place(name, self.told) for name in names]
        self.changes: list[tuple[str, State, str]] = []
        self.up_at: float | None = None

    def run(self, course: Callable[[], Awaitable[None]]) -> list[Node]:
        """The nodes, after the course's end and the supervisor's."""
        loop = VirtualTimeLoop()
        nodes = [place.node() for place in self.places]

        def changed(node: Node) -> None:
            self.changes.append((node.name, node.state, node.note))

        def up() -> None:
            self.up_at = loop.time()

        async def played() -> None:
            running = asyncio.create_task(Supervisor(nodes, changed, now=loop.time).run(up))
            await asyncio.sleep(0.5)
            await course()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

        try:
            loop.run_until_complete(played())
        finally:
            loop.close()
        return nodes

    def states(self, name: str) -> list[State]:
        return [state for which, state, _ in self.changes if which == name]


async def nothing() -> None:
    pass


def test_all_are_started_in_order_and_stopped_in_the_reverse_order() -> None:
    played = Played("a", "b", "c")
    played.run(nothing)
    starts = [f"{what} {name}" for name in "abc" for what in ("start", "greet")]
    assert played.told == [*starts, "end c", "end b", "end a"]
    assert played.states("a") == [State.STARTING, State.SERVING, State.STOPPED]
    assert played.up_at == 0


def test_the_next_is_started_when_the_one_before_serves() -> None:
    played = Played("a", "b")
    played.places[0].sentences = ["a relay", "of some kind"]

    async def course() -> None:
        assert played.told == ["start a"] and played.up_at is None
        process = played.places[0].process
        assert process is not None
        process._said.put_nowait(SERVING)
        await asyncio.sleep(0.1)
        assert played.told[-2:] == ["start b", "greet b"]

    played.run(course)


def test_what_ends_is_started_again() -> None:
    played = Played("a", "b")

    async def course() -> None:
        a = played.places[0]
        assert a.process is not None
        a.process.die("killed (SIGKILL)")
        await asyncio.sleep(FIRST_PAUSE_SECONDS / 2)
        assert len(a.starts) == 1 and played.changes[-1][1:] == (State.WAITING, "killed (SIGKILL); starts again in 1 s")
        await asyncio.sleep(FIRST_PAUSE_SECONDS)
        assert len(a.starts) == 2 and played.changes[-1] == ("a", State.SERVING, "")

    nodes = played.run(course)
    assert [node.restarts for node in nodes] == [1, 0]
    assert played.places[1].starts == [0]


def test_pauses_double_up_to_a_minute_while_it_does_not_start() -> None:
    played = Played("a", "b")
    played.places[0].sentences = ["cannot listen at 127.0.0.1:8100", None]

    async def course() -> None:
        assert played.changes[-3][:2] == ("a", State.WAITING), "and what comes after it is started all the same"
        assert "ended with 1: cannot listen at 127.0.0.1:8100; starts again in 1 s" in played.changes[1][2]
        await asyncio.sleep(300)

    played.run(course)
    starts = played.places[0].starts
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE_SECONDS, 60, 60]
    assert played.up_at == 0


def test_who_served_for_long_is_not_waited_for() -> None:
    played = Played("a")
    a = played.places[0]

    async def course() -> None:
        for steady in (False, False, True):
            assert a.process is not None
            await asyncio.sleep(STEADY_SECONDS if steady else 0)
            a.process.die("killed")
            await asyncio.sleep(5)

    played.run(course)
    notes = [note for _, state, note in played.changes if state is State.WAITING]
    assert [note.rpartition(" in ")[2] for note in notes] == ["1 s", "2 s", "1 s"]


def test_a_node_whose_directory_is_gone_comes_back_empty() -> None:
    """It still ran: what it acknowledges now, nobody finds again."""
    played = Played("a", "b")

    async def course() -> None:
        played.told.clear()
        played.places[0].empty = True
        await asyncio.sleep(LOOK_SECONDS)
        assert played.told == ["kill a"]
        await asyncio.sleep(FIRST_PAUSE_SECONDS)
        assert played.told == ["kill a", "fill a", "start a", "greet a"]

    played.run(course)
    told = [(state, note) for name, state, note in played.changes if name == "a"][2:-1]
    assert told == [
        (State.EMPTY, "its directory is gone: a new relay takes its place in 1 s"),
        (State.EMPTY, "a new, empty relay takes its place"),
        (State.STARTING, ""),
        (State.SERVING, "a new relay, in the place of the one that is gone"),
    ]


def test_a_node_that_cannot_be_filled_is_tried_again() -> None:
    played = Played("a", "b")
    a = played.places[0]
    a.empty, a.refuses = True, TesseraError("the keystore is another's", "wait")

    async def course() -> None:
        assert not a.starts and played.places[1].starts == [0]
        assert ("a", State.WAITING, "the keystore is another's; wait; starts again in 1 s") in played.changes
        a.refuses = None
        await asyncio.sleep(FIRST_PAUSE_SECONDS)
        assert len(a.starts) == 1

    played.run(course)


def test_who_cannot_be_greeted_serves_all_the_same() -> None:
    played = Played("a")
    played.places[0].shy = Unreachable("the relay is silent", "look")
    nodes = played.run(nothing)
    assert ("a", State.SERVING, "the relay is silent; look") in played.changes
    assert nodes[0].restarts == 0


def test_rounds_are_looked_at_and_told_when_they_change() -> None:
    played = Played("a")

    async def course() -> None:
        before = len(played.changes)
        played.places[0].round = 7
        await asyncio.sleep(3 * LOOK_SECONDS)
        assert len(played.changes) == before + 1

    nodes = played.run(course)
    assert nodes[0].round == 7


def test_who_does_not_stop_is_killed() -> None:
    played = Played("a", "b")
    played.places[1].heeds = False
    played.run(nothing)
    assert played.told[-3:] == ["end b", "kill b", "end a"]


@pytest.mark.parametrize("moment", ["while it starts", "while it waits"])
def test_it_ends_at_any_moment(moment: str) -> None:
    played = Played("a", "b")
    played.places[0].sentences = ["not yet"] if moment == "while it starts" else [None]
    played.run(nothing)
    assert ("end a" in played.told) == (moment == "while it starts")
    assert ("end b" in played.told) == (moment == "while it waits")
