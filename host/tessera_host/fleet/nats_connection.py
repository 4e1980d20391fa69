"""The way to the engine: one connection to one of its nodes, and another one when that does not do.

Owns questions and their answers. The client of upstream carries the frames; its own reconnecting is not
used, because it stays with a node that is cut off from the others. What is asked and why is nats_log's.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from . import nats_configuration as configuration
from .log import LogRefused, LogUnavailable, NobodyAnswers
from .nats_configuration import Json

ANSWER_SECONDS = 2.0
_CONNECT_SECONDS = 2.0
_NO_USER = "authorization violation"  # upstream's client has no error of its own for it
_NO_STREAM = 10059  # JSStreamNotFoundErr
_TOO_FEW_NODES = (10005, 10074)  # JSClusterNoPeersErr, JSStreamReplicasNotSupportedErr

Answer = TypeVar("Answer")


class NoStream(LogUnavailable):
    """The engine has no stream of that name, or has not heard of it yet."""


class Connection:
    """To the first node that answers, in the order in which they are named: the nearest comes first. Whoever waits for
    something is told by `ended` that the connection is no more."""

    def __init__(
        self, nodes: tuple[str, ...], user: str, password: str, tls: ssl.SSLContext | None, ended: Callable[[], None]
    ) -> None:
        self._nodes = nodes
        self._user, self._password, self._tls = user, password, tls
        self._ended = ended
        self._turn = 0
        self._client: Client | None = None
        self._since = 0.0  # by the loop's clock
        self._ever = False
        self._connecting = asyncio.Lock()

    async def close(self) -> None:
        if self._client is not None:
            await _end(self._client)

    async def client(self) -> Client:
        """One that is connected. Raises LogUnavailable, LogRefused."""
        async with self._connecting:
            if self._client is None or self._client.is_closed:
                self._client = await self._connect()
            return self._client

    async def api(self, what: str, payload: Json, client: Client | None = None) -> Json:
        """Raises LogUnavailable, LogRefused, NoStream."""
        client = client or await self.client()
        answer = await self.ask(f"$JS.API.{what}", json.dumps(payload).encode(), client=client)
        error = answer.get("error")
        if error is None:
            return answer
        if error.get("err_code") == _NO_STREAM:
            raise NoStream("the engine does not know this log now")
        if error.get("err_code") in _TOO_FEW_NODES:
            raise configuration.too_few_nodes()
        said = error.get("description", "an error without a text")
        if error.get("code", 0) >= 500:
            await self.leave_in_time(client)  # so says a node that the others do not reach, too
            raise LogUnavailable(f"the engine says: {said}", "start all its nodes, and look at what they write")
        raise LogRefused(f"the engine refuses {what}: {said}", "look at the configuration of its nodes")

    async def ask(
        self, subject: str, payload: bytes = b"", headers: dict[str, str] | None = None, client: Client | None = None
    ) -> Json:
        """The answer. Raises LogUnavailable."""
        client = client or await self.client()
        try:
            message = await cancellable(client.request(subject, payload, timeout=ANSWER_SECONDS, headers=headers))
            answer: Json = json.loads(message.data)
            return answer
        except (NatsError, OSError, ValueError) as error:
            await self.leave_in_time(client)
            nobody = isinstance(error, NoRespondersError)
            why = "it has no leader" if nobody else str(error).removeprefix("nats: ") or "no answer"
            raise LogUnavailable(f"the engine does not answer: {why}") from None

    async def _connect(self) -> Client:
        refused: LogRefused | None = None
        for _ in self._nodes:
            node = self._nodes[self._turn % len(self._nodes)]
            client = Client()
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    connecting = client.connect(
                        f"{'tls' if self._tls else 'nats'}://{node}",
                        allow_reconnect=False,
                        max_reconnect_attempts=1,
                        reconnect_time_wait=0,
                        ping_interval=2,
                        name="tessera gateway",
                        error_cb=_heard,
                        closed_cb=self._closed,
                        user=self._user,
                        password=self._password,
                        tls=self._tls,
                        tls_handshake_first=self._tls is not None,  # a password is not sent where somebody took TLS out
                    )
                    await cancellable(connecting)
                self._since, self._ever = asyncio.get_running_loop().time(), True
                return client
            except (NatsError, OSError, TimeoutError) as error:
                refused = self._why(node, error) or refused
                self._turn += 1
                await _end(client)
            except BaseException:
                await _end(client)
                raise
        if refused and not self._ever:
            raise refused
        if refused:  # it had one, so this is a node that is being set up: it is tried again
            raise LogUnavailable(refused.message, refused.hint)
        hint = "start them" if self._tls else "start them; if they speak TLS, say who signed them: --engine-ca FILE"
        raise NobodyAnswers(f"no node of the engine answers at {', '.join(self._nodes)}", hint)

    def _why(self, node: str, error: Exception) -> LogRefused | None:
        """What is set up otherwise than it should be; None if the node is away."""
        if _NO_USER in str(error).lower():
            return configuration.wrong_user(node)
        if isinstance(error, ssl.SSLError) and self._tls is None:
            return configuration.tls_is_needed(node)
        if isinstance(error, ssl.SSLCertVerificationError):
            return configuration.wrong_certificate(node, error.verify_code, error.verify_message)
        return configuration.no_tls(node) if isinstance(error, ssl.SSLError) else None

    async def leave(self, client: Client) -> None:
        """What is asked from now on goes to another node."""
        if self._client is client:
            self._client = None
            self._turn += 1
            await _end(client)

    async def leave_in_time(self, client: Client | None = None) -> None:
        """The node (of the present connection, if none is given) may be cut off from the others. A leader is elected in
        less time than it takes to see that, so a connection is tried for a while."""
        client = client or self._client
        if client is not None and asyncio.get_running_loop().time() - self._since > ANSWER_SECONDS:
            await self.leave(client)

    async def _closed(self) -> None:
        self._ended()


async def cancellable(doing: Awaitable[Answer]) -> Answer:
    """What upstream's client waits for by asyncio.wait_for, in which Python 3.11 loses a cancellation (and so the end
    of an asyncio.timeout) that comes at the same moment as the answer: it is made good here."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        return await doing
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


@contextlib.contextmanager
def understood() -> Iterator[None]:
    """Where an answer is taken apart. Raises LogUnavailable."""
    try:
        yield
    except (NatsError, KeyError, TypeError, ValueError, AttributeError):
        raise LogUnavailable("the engine's answer does not fit what it was asked") from None


async def _heard(_: Exception) -> None:
    """Whoever asked is told."""


async def _end(client: Client) -> None:
    with contextlib.suppress(NatsError, OSError, TimeoutError):
        async with asyncio.timeout(_CONNECT_SECONDS):
            await cancellable(client.close())


async def tried(doing: Awaitable[Answer]) -> Answer:
    """What only sends. Raises LogUnavailable."""
    try:
        return await cancellable(doing)
    except (NatsError, OSError) as error:
        raise LogUnavailable(f"the engine does not answer: {error}") from None
