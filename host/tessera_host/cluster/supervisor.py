"""Processes that are kept running: started in order, started again when they end, stopped in the reverse order.

Owns when what is started, and what is known of it meanwhile. What is started, and what has to be there first, a `Node`
is told; processes are `child`'s, what is shown `cli.cluster`'s.
"""

import asyncio
import contextlib
import enum
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..deadline import within
from ..errors import TesseraError

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
STEADY_SECONDS = 60.0  # in service: the next pause is the first again
LOOK_SECONDS = 2.0
STOP_SECONDS = 10.0  # in order, before it is killed
IN_ORDER = "stopped cleanly"


class State(enum.StrEnum):
    WAITING = "waiting"  # to be started, again or for the first time
    EMPTY = "empty"  # its directory is gone: another relay is put into its place
    STARTING = "starting"
    SERVING = "serving"
    STOPPED = "stopped"


class Process(Protocol):
    """What `child` starts."""

    def lines(self) -> AsyncIterator[str]:
        """What it says, until it ends."""

    async def ended(self) -> str:
        """Wait for its end: how it ended, IN_ORDER if in order."""

    def end(self) -> None:
        """Have it end in order."""

    def kill(self) -> None: ...


async def _nothing() -> None:
    pass


@dataclass(eq=False)
class Node:
    """A process with a name, at an address.

    `start` starts it; `ready` is whether a line that it says means that it serves. `is_empty` is whether its directory
    is gone, `fill` puts another in its place. `greet` is called whenever it has begun to serve, `look` every now and
    then: what round it has. All may raise TesseraError.
    """

    name: str
    address: str
    start: Callable[[], Awaitable[Process]]
    ready: Callable[[str], bool]
    is_empty: Callable[[], bool] = lambda: False
    fill: Callable[[], Awaitable[None]] = _nothing
    greet: Callable[[], Awaitable[None]] = _nothing
    look: Callable[[], Awaitable[int | None]] | None = None
    state: State = field(default=State.WAITING, init=False)
    since: float = field(default=0.0, init=False)  # unix seconds, of the state
    restarts: int = field(default=0, init=False)
    round: int | None = field(default=None, init=False)
    note: str = field(default="", init=False)  # what a person should know


Changed = Callable[[Node], None]  # its state or note did; or, with the state it had, its round


class Supervisor:
    def __init__(self, nodes: Sequence[Node], changed: Changed, now: Callable[[], float] = time.time) -> None:
        self._nodes = nodes
        self._changed = changed
        self._now = now
        self._running: dict[Node, Process] = {}
        self._first: dict[Node, asyncio.Event] = {}  # whether its first start came to something
        for node in nodes:
            node.since = now()

    async def run(self, up: Callable[[], None] = lambda: None) -> None:
        """Until cancelled; then all are stopped. up() is called once every one serves, or has failed to once."""
        self._first = {node: asyncio.Event() for node in self._nodes}
        keeping = [asyncio.create_task(self._start_in_turn(up)), asyncio.create_task(self._look())]
        try:
            await asyncio.gather(*keeping)
        finally:
            await _cancelled(keeping)
            await self._stop()

    async def _start_in_turn(self, up: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for node in self._nodes:
                tasks.create_task(self._keep(node))
                await self._first[node].wait()
            up()

    async def _keep(self, node: Node) -> None:
        """Running, for ever."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = self._now()
            try:
                served = await self._run_once(node)
            except TesseraError as error:
                served, node.note = False, str(error)
            self._first[node].set()
            if served and self._now() - began >= STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            if served and _is_empty(node):
                self._tell(node, State.EMPTY, f"its directory is gone: a new relay takes its place in {pause:.0f} s")
            else:
                self._tell(node, State.WAITING, f"{node.note}; starts again in {pause:.0f} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            node.restarts += 1

    async def _run_once(self, node: Node) -> bool:
        """From start to end; whether it served. Its note says how it ended."""
        filled = node.is_empty()
        if filled:
            self._tell(node, State.EMPTY, "a new, empty relay takes its place")
            await node.fill()
        self._tell(node, State.STARTING, "")
        process = await node.start()
        self._running[node] = process
        served, said = False, ""
        async for line in process.lines():
            said = line or said
            if not served and node.ready(line):
                served = True
                await self._begun(node, filled)
        how = await process.ended()
        del self._running[node]  # not if this is cancelled: then it is to be stopped
        node.round = None
        node.note = how if served or not said else f"{how}: {said}"
        return served

    async def _begun(self, node: Node, filled: bool) -> None:
        self._tell(node, State.SERVING, "a new relay, in the place of the one that is gone" if filled else "")
        self._first[node].set()
        try:
            await node.greet()
        except TesseraError as error:
            self._tell(node, State.SERVING, str(error))

    async def _look(self) -> None:
        """At all of them, every now and then."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.gather(*map(self._look_at, self._nodes))

    async def _look_at(self, node: Node) -> None:
        process = self._running.get(node)
        if process is None:
            return
        if _is_empty(node):  # it would acknowledge what nobody finds again
            process.kill()
        elif node.look is not None and node.state == State.SERVING:
            with contextlib.suppress(TesseraError):
                found = await node.look()
                if found != node.round and node.state == State.SERVING:
                    node.round = found
                    self._changed(node)

    async def _stop(self) -> None:
        """The last that was started first."""
        for node in reversed(self._nodes):
            process = self._running.pop(node, None)
            if process is None:
                continue
            process.end()
            try:
                how = await within(STOP_SECONDS, process.ended())
            except TimeoutError:
                process.kill()
                how = await process.ended()
            self._tell(node, State.STOPPED, "" if how == IN_ORDER else how)

    def _tell(self, node: Node, state: State, note: str) -> None:
        if state != node.state:
            node.since = self._now()
        node.state, node.note = state, note
        self._changed(node)


def _is_empty(node: Node) -> bool:
    try:
        return node.is_empty()
    except TesseraError:
        return False


async def _cancelled(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
