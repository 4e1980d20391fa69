"""The sockets on a user's own computer, from both ends: the agent's, and that of the process that keeps keys unlocked.

Whoever may connect is the user; but the other end may be an older version, another program, or what a crash left.
"""

import asyncio
import base64
import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

from tessera_host.agent import link as link_module
from tessera_host.agent.interface import Contact, State, message_fields
from tessera_host.agent.link import AgentLink
from tessera_host.agent.server import Agent
from tessera_host.errors import TesseraError, Unreachable
from tessera_host.keys import local_socket, unlocking
from tessera_host.keys.keystore import DerivedKey
from tessera_host.keys.local_socket import Connection, Disconnected
from tessera_host.member import composing, schema
from tessera_host.member.state import MemberState
from tests.fuzz.smallmember import client, clock_at_epoch, edited, edits, member, met, repeatable
from tests.fuzz.target import Intake, Sink, Target, allowed, must


class _Out(Sink):
    """Where a connection writes to: lines of JSON."""

    def objects(self) -> list[Any]:
        return [json.loads(line) for line in self.data.splitlines()]


def conversation(sent: bytes, loop: asyncio.AbstractEventLoop | None = None) -> tuple[Connection, _Out]:
    """A connection over which the other end sent this, then ended it; and what is written to it. In the running loop,
    if none is given."""
    reader = asyncio.StreamReader(limit=local_socket.MAX_LINE_BYTES, loop=loop or asyncio.get_running_loop())
    out = _Out()
    reader.feed_data(sent)
    reader.feed_eof()
    writer: Any = out
    return Connection(reader, writer), out


def as_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object that a line is, if it is one."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def lines_of(data: bytes) -> list[bytes]:
    return [line + b"\n" for line in data.split(b"\n")[:8]]


class AgentSocket(Target):
    """Requests to the agent, and an agent's answers to the commands.

    Each request that is a JSON object gets one answer; one that is refused changed nothing; none shows a secret, posts
    more than it says or ends the agent. Whatever an agent answers, the commands understand it or say what is wrong.
    The first byte: 0 requests as lines, 1 a request with changed values, 2 an answer as a line, 3 an answer with
    changed values, 4 the file in the home that says where the agent is.
    """

    name = "agent-socket"
    runs = 300
    longest = 400

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._folder = tempfile.TemporaryDirectory()
        self._home = Path(self._folder.name)
        self._secrets = _secrets(met().ann)
        self._state = self._lived()
        with self._running() as (_, agent):
            self._answers = [
                self._ask(agent, {"do": do}) for do in ("status", "contacts", "messages", "sent", "budget")
            ]

    def _lived(self) -> dict[str, Any]:
        """Ann's keystore with something to read and something to send."""
        with repeatable(b"lived"):
            ann = member(met().ann, clock_at_epoch())
            composing.queue_file(ann, "Bob", "plan.pdf", b"content")
            ann.data.inbox.messages.append(schema.Stored("Bob", 0, "hello", 4, 0, None, b"", False, False, True))
            ann.data.inbox.messages.append(schema.Stored("Bob", 1, "", 4, 1, "x.pdf", b"\0\xff", True, False, True))
            return schema.write(ann.data)

    # What commands ask.
    _REQUESTS: tuple[dict[str, Any], ...] = (
        {"do": "status"},
        {"do": "contacts"},
        {"do": "messages", "contact": None, "new": True, "take": True},
        {"do": "messages", "contact": "Bob", "new": True, "take": False},
        {"do": "mark-read", "places": [["Bob", 0, 4], ["Bob", 1, 4]]},
        {"do": "sent", "contact": "Bob"},
        {"do": "send", "contact": "Bob", "text": "hello"},
        {"do": "cancel", "contact": "Bob", "first": 0},
        {"do": "send-file", "contact": "Bob", "name": "x.pdf", "content": "AAEC"},
        {"do": "budget"},
        {"do": "subscribe"},
        {"do": "stop"},
    )

    @contextlib.contextmanager
    def _running(self) -> Iterator[tuple[MemberState, Agent]]:
        clock = clock_at_epoch()
        with repeatable(b"agent"):
            ann = member(self._state, clock)
            with client(ann, clock) as talking:
                yield ann, Agent(talking, self._home)

    def seeds(self) -> list[bytes]:
        requests = [json.dumps(request).encode() for request in self._REQUESTS]
        lines = [b"\0" + request for request in requests] + [b"\0" + b"\n".join(requests)]
        lines += [
            b"\0" + line for line in (b"", b"[]", b"5", b'{"do": []}', b"{" * 200, b'{"do":"send","contact":"Bob"}')
        ]
        lines += [b'\0{"do":"send","contact":"Bob","text":"\\ud800"}', b'\0{"do":"send-file","contact":"Bob"}']
        lines += [b'\0{"do":"mark-read","places":[["Bob",1e999,true]]}', b"\0\xff\xfe" + b"[" * 2000]
        changed = [bytes((1, number)) for number in range(len(self._REQUESTS))]
        changed += [bytes((1, n)) + edit for n, request in enumerate(self._REQUESTS) for edit in edits(request)]
        answers = [b"\2%c" % which + json.dumps(answer).encode() for which, answer in enumerate(self._answers)]
        answers += [b"\2\0" + line for line in (b"", b"{}", b"[]", b'{"error": 5, "exit_code": []}', b'{"error":"x"}')]
        answers += [bytes((3, n)) + edit for n, answer in enumerate(self._answers) for edit in edits(answer)]
        files = [
            b'{"socket": "%s", "process": 7}' % path for path in (b"/x", b"x\\u0000y", b"", b"\\ud800", b"x" * 300)
        ]
        files += [b'{"socket": "x", "process": 1e999}', b'{"socket": [], "process": "7"}', b"[" * 3000, b"\xff", b""]
        return [*lines, *changed, *answers, *(b"\4" + file for file in files)]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        mode = intake.number(1) % 5
        if mode <= 1:
            self._requests(mode, intake)
        elif mode <= 3:
            self._answered(mode, intake)
        else:
            (self._home / "agent.address").write_bytes(intake.rest())
            found = allowed(Unreachable, lambda: self._loop.run_until_complete(AgentLink.find(self._home)))
            must(found is None or isinstance(found, Unreachable), "an agent was found that there is not")
            allowed(Unreachable, lambda: local_socket.process_of(link_module.PURPOSE, self._home))

    # -- the agent's end

    def _requests(self, mode: int, intake: Intake) -> None:
        if mode == 0:
            lines = lines_of(intake.rest())
        else:
            request = edited(self._REQUESTS[intake.number(1) % len(self._REQUESTS)], intake, plain=True)
            lines = [json.dumps(request).encode() + b"\n"]
        with self._running() as (ann, agent):
            for line in lines:
                self._request(ann, agent, line)

    def _request(self, ann: MemberState, agent: Agent, line: bytes) -> None:
        store: Any = ann.store
        before, request = store.kept, as_object(line)
        connection, out = conversation(line, self._loop)
        ended = allowed(Disconnected, lambda: self._loop.run_until_complete(agent._converse(connection)))
        answers = out.objects()
        must(isinstance(ended, Disconnected) == (request is None), "a line was taken otherwise than it is")
        must(len(answers) == (request is not None), "a request without its one answer")
        must(not any(secret in bytes(out.data) for secret in self._secrets), "an answer shows a secret")
        after = store.kept
        schema.read(after, store.path)
        if request is None or "error" in answers[0]:
            must(after == before, "a request that was refused changed something")
            must(request is None or _is_error(answers[0]), "an error without its parts")
            return
        changed = {name for name in after if after[name] != before[name]}
        must(
            changed <= _MAY_CHANGE.get(str(request.get("do")), set()), "a request changed what is none of its business"
        )
        must(not agent._stopped.is_set(), "a request ended the agent before its answer")

    def _ask(self, agent: Agent, request: dict[str, Any]) -> dict[str, Any]:
        connection, out = conversation(json.dumps(request).encode() + b"\n", self._loop)
        self._loop.run_until_complete(agent._converse(connection))
        answer: dict[str, Any] = out.objects()[0]
        return answer

    # -- the commands' end

    def _answered(self, mode: int, intake: Intake) -> None:
        which = intake.number(1) % len(self._answers)
        changed = edited(self._answers[which], intake, plain=True) if mode == 3 else None
        line = json.dumps(changed).encode() if mode == 3 else intake.rest()
        connection, _ = conversation(line + b"\n", self._loop)
        link = AgentLink(self._home, connection)
        asked = (link.state, link.contacts, link.inbox, link.sent, link.budget)[which]
        answer = allowed(TesseraError, lambda: self._loop.run_until_complete(asked()))
        if isinstance(answer, TesseraError):
            must(isinstance(answer.message, str) and isinstance(answer.hint, str), "an error that is no text")
            return
        genuine = json.loads(line)
        if which == 0:
            must({"state": asdict(answer)} == genuine, "an answer was read otherwise than it is")
            must(isinstance(answer, State) and isinstance(answer.time_of(answer.behind), int), "no time")
        elif which == 1:
            must([asdict(one) for one in answer] == genuine["contacts"], "an answer was read otherwise than it is")
            must(all(isinstance(one, Contact) and one.name.encode is not None for one in answer), "no contact")
        elif which == 2:
            must([message_fields(one) for one in answer] == [_plain(one) for one in genuine["messages"]],
                 "an answer was read otherwise than it is")  # fmt: skip
            must(all(isinstance(one.text, str) and isinstance(one.round, int) for one in answer), "no message")
        elif which == 3:
            must({"sent": [asdict(one) for one in answer]} == genuine, "an answer was read otherwise than it is")
            must(all(one.state for one in answer), "a message without a state")
        else:
            must({"budget": asdict(answer)} == genuine, "an answer was read otherwise than it is")
            must(str(answer) and answer.left >= 0, "no budget")


_MAY_CHANGE = {
    "messages": {"inbox"},
    "mark-read": {"inbox"},
    "send": {"outbox", "sent", "contacts"},  # a contact's next number
    "send-file": {"outbox", "sent", "contacts"},
    "cancel": {"outbox", "sent", "contacts"},
}


def _is_error(answer: dict[str, Any]) -> bool:
    texts = isinstance(answer.get("error"), str) and isinstance(answer.get("hint"), str)
    return bool(texts and answer["error"] and type(answer.get("exit_code")) is int)


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """With the one base64 of its content."""
    return message | {"content": base64.b64encode(base64.b64decode(message["content"])).decode()}


def _secrets(data: dict[str, Any]) -> list[bytes]:
    """The keys of a member, as an answer might show them."""
    keys = [data["secret"]]
    for contact in data["contacts"]["book"].values():
        keys += [contact["send"]["root"], contact["send"]["chain"], contact["receive"]["root"]]
    keys += [token["secret"] for token in data["tokens"]["tokens"]]
    return [shown for key in keys for shown in (key.hex().encode(), json.dumps(key.decode("latin-1"))[1:-1].encode())]


class UnlockSocket(Target):
    """Requests to the process that keeps keys unlocked, and its answers to the commands.

    A key is given out as it was brought, for its keystore, within its time and not after a lock; what makes no sense
    ends its conversation and nothing else. An answer that makes no sense is no key. The first byte: 0 steps (u8 which:
    0 a line as it is, u8 length; 1 a key is brought, u8 keystore, u8 key, u8 seconds; 2 a keystore is locked; 3 all;
    4 u8 seconds pass; 5 a request with changed values, u8 which), 1 an answer as a line, 2 one with changed values.
    """

    name = "unlock-socket"
    runs = 400
    longest = 300
    _MOST_STEPS = 20
    _NAMES = ("/home/ann/member.keystore", "/home/ann/issuer.keystore", "/x")

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._key = {"salt": bytes(range(16)).hex(), "key": bytes(range(32)).hex()}
        self._requests = [{"ask": ask, "keystore": "/x"} for ask in ("key", "lock", "nothing")]
        self._requests.append({"ask": "keep", "keystore": "/x", "seconds": 60} | self._key)  # type: ignore[dict-item]

    def seeds(self) -> list[bytes]:
        def line(text: bytes) -> bytes:
            return b"\0" + bytes((len(text),)) + text

        lines = [b'{"ask": "nothing"}', b'{"ask": "key", "keystore": "/x"}', b'{"ask": "lock", "keystore": null}']
        lines += [b"{}", b"[]", b"x", b'{"ask": "key", "keystore": []}', b'{"ask": "lock"}', b"[" * 200]
        keep, times = b"\1\0\1\x14", b"\4\x0a"
        seconds = (b"1e999", b"1e400", b"-1", b"NaN", b'"60"', b"true", b"60.5", b"1" + b"0" * 60, b"null", b"60")
        salt, key = self._key["salt"].encode(), self._key["key"].encode()
        brought = [
            b'{"ask":"keep","keystore":"/x","salt":"%b","key":"%b","seconds":%b}' % (salt, key, each)
            for each in seconds
        ]
        changed = [bytes((5, n)) + edit for n, request in enumerate(self._requests) for edit in edits(request)]
        answers = [b"\1" + text for text in (b"", b"{}", json.dumps(self._key).encode(), b'{"key": 5}', b"[]")]
        answers += [b"\2" + edit for edit in edits(self._key)]
        return [
            *(b"\0" + keep + line(each) for each in lines),
            *(b"\0" + keep + line(each) for each in brought),
            *(b"\0" + keep + each for each in changed),
            b"\0" + keep + times + b"\1\1\2\x14" + times + b"\4\1" + b"\2\0\2\1" + keep + b"\3",
            *answers,
        ]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        mode = intake.number(1) % 3
        if mode:
            self._answered(mode, intake)
            return
        self._now = 1000.0
        self._model: dict[str, tuple[dict[str, str], float]] = {}
        self._loop.run_until_complete(self._serve(intake))

    # -- the process

    async def _serve(self, intake: Intake) -> None:
        """The process, with its socket in memory."""
        handlers: list[Any] = []

        @contextlib.asynccontextmanager
        async def listening(path: Path, handler: Any) -> Any:
            handlers.append(handler)
            yield

        async def serving(path: Path, handler: Any) -> Any:
            return listening(path, handler)

        with mock.patch.object(local_socket, "serve", serving):
            keys = unlocking.Keys((lambda: self._now,))
            process = asyncio.create_task(unlocking.serve(Path("/"), keys, 3600))
            while not handlers:
                await asyncio.sleep(0)
            try:
                for _ in range(self._MOST_STEPS):
                    if not intake:
                        break
                    await self._step(intake, handlers[0])
                    await self._judge(handlers[0])
            finally:
                process.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await process

    async def _step(self, intake: Intake, handler: Any) -> None:
        which = intake.number(1) % 6
        if which == 0:
            await self._lines(intake.bytes(intake.number(1)), handler)
        elif which == 1:
            name, key = self._NAMES[intake.number(1) % 3], bytes((intake.number(1),)) * 32
            salt_and_key = {"salt": key[:16].hex(), "key": key.hex()}
            request = {"ask": "keep", "keystore": name, "seconds": intake.number(1)} | salt_and_key
            await self._lines(json.dumps(request).encode(), handler)
        elif which in (2, 3):
            keystore = self._NAMES[intake.number(1) % 3] if which == 2 else None
            await self._lines(json.dumps({"ask": "lock", "keystore": keystore}).encode(), handler)
        elif which == 4:
            self._now += intake.number(1)
        else:
            request = edited(self._requests[intake.number(1) % len(self._requests)], intake, plain=True)
            await self._lines(json.dumps(request).encode(), handler)

    async def _lines(self, sent: bytes, handler: Any) -> None:
        """Whatever lines of one conversation: it goes on up to the first that makes no sense."""
        for line in lines_of(sent):
            connection, out = conversation(line)
            try:
                await handler(connection)
            except Disconnected:
                must(as_object(line) is None, "an object was taken for none")
                return
            request = as_object(line)
            must(request is not None, "what is no object was taken for one")
            assert request is not None
            answers = out.objects()
            if answers:
                must(answers == [self._expected(request)], "the answer is not what was asked")

    def _expected(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to what makes sense, which the model follows."""
        self._model = {name: kept for name, kept in self._model.items() if self._now < kept[1]}
        keystore = request.get("keystore")
        if request.get("ask") == "keep":
            must(_is_key(request) and isinstance(keystore, str), "what is no key of a keystore was kept")
            must(
                0 <= request["seconds"] <= 366 * 86400 and type(request["seconds"]) is int, "kept for no length of time"
            )
            key = {name: bytes.fromhex(request[name]).hex() for name in ("salt", "key")}
            self._model[str(keystore)] = key, self._now + request["seconds"]
        elif request.get("ask") == "key" and isinstance(keystore, str) and keystore in self._model:
            return self._model[keystore][0]
        elif request.get("ask") == "lock":
            gone = [name for name in self._model if keystore in (None, name)]
            for name in gone:
                del self._model[name]
            return {"locked": bool(gone)}
        return {}

    async def _judge(self, handler: Any) -> None:
        for name in {*self._NAMES, *self._model}:
            connection, out = conversation(json.dumps({"ask": "key", "keystore": name}).encode() + b"\n")
            await handler(connection)
            kept = self._model.get(name)
            right = kept[0] if kept and self._now < kept[1] else {}
            must(out.objects() == [right], "a key is lost, of another keystore, or there after its time")

    # -- the commands' end

    def _answered(self, mode: int, intake: Intake) -> None:
        line = intake.rest() if mode == 1 else json.dumps(edited(self._key, intake, plain=True)).encode()
        answer = as_object(line + b"\n")

        def ask(path: Path, message: dict[str, Any], loopback: bool = False) -> dict[str, Any]:
            connection, _ = conversation(line + b"\n", self._loop)
            return self._loop.run_until_complete(connection.ask(message))

        salt = bytes.fromhex(self._key["salt"])
        with (
            mock.patch.object(local_socket, "ask", ask),
            mock.patch.object(unlocking, "address", return_value=Path("/")),
            mock.patch.object(unlocking, "salt_of", return_value=salt),
        ):
            found = unlocking.key_for(Path("/x"))
            unlocking.forget(Path("/x"))
        if found is not None:
            assert answer is not None
            must(_is_key(answer), "what is no key was taken for one")
            must(found == DerivedKey(salt, bytes.fromhex(answer["key"])), "another key was taken")


def _is_key(fields: dict[str, Any]) -> bool:
    """Whether salt and key have the lengths that those of a keystore have."""
    for name, length in (("salt", 16), ("key", 32)):
        try:
            if len(bytes.fromhex(fields[name])) != length:
                return False
        except (KeyError, TypeError, ValueError):
            return False
    return True


TARGETS = (AgentSocket, UnlockSocket)
