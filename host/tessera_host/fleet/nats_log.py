"""The log on several hosts: a stream of NATS JetStream, of which a majority of the nodes keeps every entry.

Owns what is asked of the engine before it is trusted, and how its answers become the log's promises. The ordered
consumer of upstream's client is not used: a reader that was cut off goes on where it was, after a look at where the log
begins and ends. How the engine is reached is nats_connection's, how it has to be set up nats_configuration's.

- An entry is acknowledged when the disks of a majority have it (`sync_interval: always`, R3). A client cannot ask the
  stream about the first; the nodes answer it to accounts that import SETTINGS, and are asked again every CHECK_SECONDS,
  because a node can come back with another configuration.
- Under one id the engine keeps one entry within WINDOW_SECONDS. Whoever tries again later than half of that reads first
  whether the log has it by now.
- Entries leave by age: `keep_seconds`, or by trim().
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from . import nats_configuration as configuration
from .log import EngineNode, EngineStatus, Entry, LogBroken, LogRefused, LogUnavailable, Order, require_sizes
from .nats_configuration import NANO, Address, Json
from .nats_connection import ANSWER_SECONDS, Connection, NoStream, tried, understood
from .nats_exchange import NatsTransport

APPEND_SECONDS = 8.0  # after which a member is told BUSY
CHECK_SECONDS = 10.0
# So long a leader may say that the log ends before what was read: a new one, or one that is cut off from the others and
# notices it only after two of its looks, of ten seconds each.
LOST_SECONDS = 30.0
_PAUSE_SECONDS = 0.2
_HEARTBEAT_SECONDS = 1.0  # of a reader to which nothing comes
_SILENCE_SECONDS = 3.0
_FORGOTTEN_SECONDS = 60.0  # the engine forgets a reader that is gone
_GATHER_SECONDS = 0.5  # after the last node that answered


class _CutOff(Exception):
    """A reader is read no further; another one goes on."""


@dataclass(frozen=True)
class _State:
    first: int  # of the entries that are kept; last + 1 if there is none
    last: int
    created: str
    configuration: Json
    peers: frozenset[str]  # names of the nodes that have the log
    offline: frozenset[str]
    leader: str
    current: frozenset[str]  # have all that there is


class NatsLog:
    """A log (log.Log) that belongs to the relay with this static key (33 bytes). Made by open()."""

    keeps_all = False

    def __init__(
        self,
        address: Address,
        relay: bytes,
        *,
        user: str,
        password: str,
        keep_seconds: int,
        tls: ssl.SSLContext | None = None,
        replicas: int = configuration.NODES,
        append_seconds: float = APPEND_SECONDS,
    ) -> None:
        self._connection = Connection(address.nodes, user, password, tls, self._cut_off)
        self._append_seconds = append_seconds
        self._name = address.name
        self._subject = f"tessera.log.{address.name}"
        self._wanted = configuration.stream(address.name, self._subject, relay, keep_seconds, replicas)
        self._created = ""
        self._orders: set[Order] = set()
        self._readers: dict[Order, asyncio.Queue[Msg | None]] = {}
        self._seen = 0  # the highest position heard of
        self._unknown: dict[bytes, tuple[float, int]] = {}  # ids that were tried: since when, and behind which position
        self._refusal: LogRefused | None = None
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(cls, address: Address, relay: bytes, **settings: Any) -> "NatsLog":
        """With the settings of __init__. Raises LogRefused, whose hint is what to write into the nodes' configuration,
        LogUnavailable if a majority of the nodes does not answer."""
        log = cls(address, relay, **settings)
        try:
            for others in reversed(range(len(address.nodes))):
                client = await log._connection.client()
                try:
                    await log._look()
                    break
                except LogUnavailable:
                    if not others:
                        raise
                    await log._connection.leave(client)  # it may be cut off from the others
        except BaseException:
            await log.close()
            raise
        log._watching = asyncio.create_task(log._watch())
        return log

    async def close(self) -> None:
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        await self._connection.close()
        self._cut_off()

    def transport(self) -> NatsTransport:
        """The way to other gateways, over the same connection: who leaves a node that is cut off leaves it for both."""
        return NatsTransport(self._connection, self._name)

    # -- the four calls

    async def append(self, entry: bytes, id: bytes) -> None:
        require_sizes(entry, id)
        reason = ""
        try:
            async with asyncio.timeout(self._append_seconds):
                while not await self._stands(id):
                    self._require_open()
                    if self._refusal is not None:
                        raise LogRefused(self._refusal.message, self._refusal.hint)
                    try:
                        position = await self._publish(entry, id)
                        break
                    except LogUnavailable as error:
                        reason = f": {error.message}"
                    await asyncio.sleep(_PAUSE_SECONDS)
                else:
                    return
        except TimeoutError:
            raise LogUnavailable(
                f"the engine acknowledged no entry for {self._append_seconds:g} s{reason}", "look at its nodes"
            ) from None
        self._unknown.pop(id, None)
        self._seen = max(self._seen, position)
        for order in self._orders:
            order.promise(position, id)

    async def follow(self, position: int) -> AsyncGenerator[Entry, None]:
        order = Order(position)
        self._orders.add(order)
        try:
            while True:
                self._require_open()
                try:
                    await self._find_place(order)
                    async with contextlib.aclosing(self._read(order)) as entries:
                        async for entry in entries:
                            yield entry
                except LogUnavailable:
                    await asyncio.sleep(_PAUSE_SECONDS)
                except _CutOff:
                    await self._connection.leave_in_time()
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            self._orders.discard(order)

    async def trim(self, before: int) -> None:
        if before > await self.last() + 1:
            raise ValueError("what is not there yet cannot be trimmed")
        if before > 1:  # 0 would mean everything
            await self._connection.api(f"STREAM.PURGE.{self._name}", {"seq": before})

    async def last(self) -> int:
        return (await self._state()).last

    async def engine(self) -> EngineStatus:
        answering = await self._nodes(frozenset())
        try:
            state = await self._said()
        except LogUnavailable:
            state = None
        peers = state.peers if state else frozenset(answering)
        current = state.current if state else frozenset()
        nodes = (
            EngineNode(name, answering.get(name, {}).get("version", ""), name in answering and name in current)
            for name in sorted(peers | answering.keys())
        )
        return EngineStatus(state.leader if state else "", tuple(nodes), str(self._refusal or ""))

    # -- appending

    async def _publish(self, entry: bytes, id: bytes) -> int:
        """The entry's position. Raises LogUnavailable."""
        headers = {"Nats-Msg-Id": id.hex(), "Nats-Expected-Stream": self._name}
        answer = await self._connection.ask(self._subject, entry, headers)
        if error := answer.get("error"):
            raise LogUnavailable(f"the engine says: {error.get('description')}")
        if not answer.get("seq"):
            raise LogUnavailable("the engine has not decided on it yet")  # on another try under this id
        return int(answer["seq"])

    async def _stands(self, id: bytes) -> bool:
        """Whether an id is in the log that was tried so long ago that the engine may have forgotten it."""
        now = asyncio.get_running_loop().time()
        since, behind = self._unknown.setdefault(id, (now, self._seen))
        if now - since < configuration.WINDOW_SECONDS / 2:
            return False
        last = await self.last()
        if behind < last:
            async with contextlib.aclosing(self.follow(behind + 1)) as entries:
                async for entry in entries:
                    if entry.id == id:
                        self._unknown.pop(id, None)
                        return True
                    if entry.position >= last:
                        break
        self._unknown[id] = (now, last)
        return False

    # -- following

    async def _find_place(self, order: Order) -> None:
        """Raises LogBroken if the log ends before what was read, and stays so."""
        now = asyncio.get_running_loop().time
        end = now() + LOST_SECONDS
        while True:
            with contextlib.suppress(NoStream):
                state = await self._state()
                if state.created == self._created and (state.last >= order.next - 1 or now() > end):
                    order.require_end(state.last)
                    return order.pass_over(state.first)
            if now() > end:
                raise LogBroken(f"the engine has no log '{self._name}' any more, or another one of that name")
            await self._connection.leave_in_time()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _read(self, order: Order) -> AsyncGenerator[Entry, None]:
        """Raises LogUnavailable and _CutOff; what was read until then stands in the order."""
        client = await self._connection.client()
        arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        inbox = client.new_inbox()
        subscription = await tried(client.subscribe(inbox, cb=arrived.put))
        self._readers[order] = arrived
        try:
            reader = self._reader(inbox, order.next)
            await self._connection.api(f"CONSUMER.CREATE.{self._name}", reader, client)
            delivered = 0
            while True:
                message = await _next(arrived)
                if message.headers and "Status" in message.headers:
                    await _answer_status(client, message, message.headers, delivered)
                    continue
                delivered += 1
                with understood():
                    place = message.metadata.sequence
                if place.consumer != delivered:
                    raise _CutOff  # something did not arrive: it is asked for again
                id = _id(message.headers or {})
                if place.stream > order.next:
                    order.pass_over((await self._state()).first)  # it may have been trimmed meanwhile
                order.take(place.stream, id)
                self._seen = max(self._seen, place.stream)
                yield Entry(place.stream, id, message.data)
        finally:
            del self._readers[order]
            with contextlib.suppress(NatsError, OSError):
                await subscription.unsubscribe()

    def _reader(self, inbox: str, position: int) -> Json:
        return {
            "stream_name": self._name,
            "config": {
                "deliver_subject": inbox,
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": position,
                "ack_policy": "none",
                "max_deliver": 1,
                "replay_policy": "instant",
                "flow_control": True,
                "idle_heartbeat": int(_HEARTBEAT_SECONDS * NANO),
                "inactive_threshold": int(_FORGOTTEN_SECONDS * NANO),
                "num_replicas": 1,
                "mem_storage": True,
            },
        }

    # -- what the engine is

    async def _look(self) -> None:
        """Before anything is asked of it. Raises LogRefused, LogUnavailable."""
        nodes = await self._nodes(frozenset())
        for node in nodes.values():
            configuration.require_node(node)
        state = await self._stream()
        await self._require_nodes(state)
        self._created, self._seen = state.created, state.last

    async def _stream(self) -> _State:
        """Made if it is not there. Raises LogRefused, LogUnavailable."""
        try:
            state = await self._state()
        except NoStream:
            state = _state(await self._connection.api(f"STREAM.CREATE.{self._name}", self._wanted))
        configuration.require_stream(self._wanted, state.configuration)
        if state.configuration.get("max_age", 0) != self._wanted["max_age"]:
            state = _state(await self._connection.api(f"STREAM.UPDATE.{self._name}", self._wanted))
        return state

    async def _state(self) -> _State:
        """As its leader says. A node without one answers, too, for ever, with what it heard last: by that the log would
        seem to have lost its end. Raises LogUnavailable, NoStream."""
        state = await self._said()
        if state.peers and not state.leader:
            await self._connection.leave_in_time()  # so says a node that the others do not reach, too
            raise LogUnavailable(f"the nodes with the log '{self._name}' have no leader", "look at its nodes")
        return state

    async def _said(self) -> _State:
        """As any node says. Raises LogUnavailable, NoStream."""
        with understood():
            return _state(await self._connection.api(f"STREAM.INFO.{self._name}", {}))

    async def _require_nodes(self, state: _State) -> None:
        """Raises LogRefused, LogUnavailable."""
        nodes = await self._nodes(state.peers - state.offline)
        peers = state.peers or nodes.keys()  # one that is alone does not name itself
        known = peers & nodes.keys()
        if len(known) <= len(peers) // 2:
            raise LogUnavailable(
                f"{len(known)} of the {len(peers)} nodes with the log '{self._name}' answer",
                "start the others",
            )
        for name in known:
            configuration.require_node(nodes[name])

    async def _nodes(self, expected: frozenset[str]) -> dict[str, Json]:
        """What each node says of itself, by its name. Raises LogRefused, LogUnavailable."""
        client = await self._connection.client()
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = client.new_inbox()
        subscription = await tried(client.subscribe(inbox, cb=arrived.put))
        nodes: dict[str, Json] = {}
        try:
            await tried(client.publish(configuration.SETTINGS, reply=inbox))
            while not nodes or expected - nodes.keys() or not expected:
                async with asyncio.timeout(_GATHER_SECONDS if nodes and not expected else ANSWER_SECONDS):
                    message = await arrived.get()
                if (message.headers or {}).get("Status") == "503":
                    raise await self._no_import()
                with understood():
                    said = json.loads(message.data)["data"]
                    nodes[said["server_name"]] = said
        except TimeoutError:
            if not nodes:
                raise LogUnavailable("no node of the engine says how it is set up", "look at its nodes") from None
        finally:
            with contextlib.suppress(NatsError, OSError):
                await subscription.unsubscribe()
        return nodes

    async def _no_import(self) -> LogRefused:
        account = (await self._connection.ask("$SYS.REQ.USER.INFO")).get("data", {}).get("account", "")
        return configuration.no_accounts() if account in ("", "$G") else configuration.no_import(account)

    async def _watch(self) -> None:
        """Every so often: are the nodes still set up as they have to be, and does every reader get what is there?"""
        before: dict[Order, int] = {}
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                state = await self._state()
                for order, reader in self._readers.items():
                    if before.get(order) == order.next <= self._seen and reader.empty():
                        reader.put_nowait(None)  # the node that has its reader stands still
                before = {order: order.next for order in self._readers}
                self._seen = max(self._seen, state.last)
                await self._require_nodes(state)
                self._refusal = None
            except LogUnavailable:
                pass  # nothing is known that was not before
            except LogRefused as refusal:
                self._refusal = refusal

    def _cut_off(self) -> None:
        for reader in self._readers.values():
            reader.put_nowait(None)

    def _require_open(self) -> None:
        if self._closed:
            raise LogUnavailable("the log is closed")


async def _next(arrived: "asyncio.Queue[Msg | None]") -> Msg:
    if arrived.empty():
        try:
            async with asyncio.timeout(_SILENCE_SECONDS):
                message = await arrived.get()
        except TimeoutError:
            raise _CutOff from None
    else:
        message = arrived.get_nowait()
    if message is None:
        raise _CutOff
    return message


async def _answer_status(client: Client, message: Msg, headers: Mapping[str, str], delivered: int) -> None:
    """A heartbeat, or a question whether more can be borne. Raises _CutOff if the reader is at its end."""
    with understood():
        if headers["Status"] != "100" or int(headers.get("Nats-Last-Consumer", delivered)) != delivered:
            raise _CutOff
    if reply := message.reply or headers.get("Nats-Consumer-Stalled"):
        await tried(client.publish(reply))


def _id(headers: Mapping[str, str]) -> bytes:
    """Empty if it is none of ours."""
    try:
        return bytes.fromhex(headers.get("Nats-Msg-Id", ""))
    except ValueError:
        return b""


def _state(answer: Json) -> _State:
    state, cluster = answer["state"], answer.get("cluster") or {}
    replicas = cluster.get("replicas") or []
    leader = cluster.get("leader", "")
    peers = {leader} | {each["name"] for each in replicas}
    return _State(
        state["first_seq"] if state["messages"] else state["last_seq"] + 1,
        state["last_seq"],
        answer["created"],
        answer["config"],
        frozenset(peers - {""}),
        frozenset(each["name"] for each in replicas if each.get("offline")),
        leader,
        frozenset({leader} | {each["name"] for each in replicas if each.get("current") and not each.get("offline")}),
    )
