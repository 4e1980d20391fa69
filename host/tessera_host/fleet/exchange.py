"""What gateways of a fleet ask each other beside the log: token keys, how they do, and what a new one starts from
(docs/fleet.md §7 and §8).

Owns who may ask and who may read the answer, and the one check at which everything else is refused. Leaves to others:
how bytes get to another gateway (a Transport: nats_exchange.py), what is asked and answered (whoever asks and answers),
node keys (keys.py).

Every question is sealed to the node key of the gateway that is asked, and binds that of the one that asks; the answer
is sealed to a key of this question, too, so that what was recorded of it stays shut when a node key is stolen later
(the keys that Noise's pattern KK derives; the AEAD is that of the log's entries). A gateway that has no node key in the
log yet asks by a join code, with the relay's secret. Who carries questions can keep them back or carry them twice: so
nothing that is asked may change what a second time would change again.
"""

import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from tessera import curve
from tessera.hashes import hkdf

from ..errors import IntegrityError, Unreachable
from .entry import Random
from .frames import NODE_KEY_BYTES
from .join_codes import Code
from .keys import KEY_BYTES, NAME_BYTES, NodeSecrets, node_name

JOINING = 0  # instead of the number of a gateway: one that joins
MOST_QUESTION_BYTES = 1 << 16
MOST_ANSWER_BYTES = 1 << 24
# Who asks; by which node key, or code; which node key is asked; a key of this question. Who joins shows its node key.
_HEAD = struct.Struct(f">H{NAME_BYTES}s{NAME_BYTES}s{NODE_KEY_BYTES}s")
_JOINING_BYTES = _HEAD.size + NODE_KEY_BYTES
_TAG_BYTES = 16
_ONCE = bytes(12)  # the nonce under a key that seals one message
_ANSWER, _NOT_KNOWN = b"\0", b"\1"  # _NOT_KNOWN: of a key or code that is none here


class Asker(NamedTuple):
    """Who asks, which is what it says. key: its node key (33 bytes); number: a gateway's in force, or JOINING."""

    number: int
    key: bytes


Handler = Callable[[Asker, bytes], Awaitable[bytes]]  # (who asks, what): what is answered
Carry = Callable[[bytes], Awaitable[bytes]]  # what came, whoever sent it: what is sent back; raises nothing


class Exchange(Protocol):
    """Of one gateway, by the numbers that gateways have in the log."""

    async def ask(self, gateway: int, request: bytes) -> bytes:
        """The whole answer of that gateway. Raises Unreachable in bounded time if there is none, IntegrityError if it
        is another's; nothing is asked again by itself."""

    def answer(self, handler: Handler) -> None:
        """From now on questions for this gateway are answered so; before, by nobody. Several may be answered at once.
        Whoever asks hears nothing of what handler raises but that there is no answer."""

    async def close(self) -> None:
        """Nothing is raised."""


class MemoryExchange:
    """Of a gateway in this process. others: those of all gateways, by number, which close() leaves. key: its node key,
    if somebody who is asked looks at it."""

    def __init__(self, number: int, others: "dict[int, MemoryExchange]", key: bytes = b"") -> None:
        self._number = number
        self.key = key
        self._others = others
        self._handler: Handler | None = None
        others[number] = self

    async def ask(self, gateway: int, request: bytes) -> bytes:
        asked = self._others.get(gateway)
        if asked is None or asked._handler is None:
            raise unanswered(gateway)
        return await asked._handler(Asker(self._number, self.key), request)

    def answer(self, handler: Handler) -> None:
        self._handler = handler

    async def close(self) -> None:
        if self._others.get(self._number) is self:
            del self._others[self._number]


class Transport(Protocol):
    """Bytes to a number and back, whatever the way; who carries them may read and change them."""

    async def ask(self, gateway: int, message: bytes) -> bytes:
        """Of up to MOST_QUESTION_BYTES, back up to MOST_ANSWER_BYTES. Raises Unreachable in bounded time."""

    def answer(self, gateway: int, carry: Carry) -> None:
        """What is asked of this number is carry's from now on."""

    async def close(self) -> None:
        """Nothing is raised."""


class Owner(Protocol):
    """Whose exchange it is. nodes: keys in force (33 bytes) by their gateways' numbers, as far as it has replayed."""

    @property
    def number(self) -> int: ...

    @property
    def secrets(self) -> NodeSecrets: ...

    @property
    def random(self) -> Random: ...

    @property
    def nodes(self) -> Mapping[int, bytes]: ...


class _Refused(ValueError):
    """What came is no question that may be asked here."""


class Codes(Protocol):
    """Join codes that are good at this gateway (join_codes.JoinCodes)."""

    def key(self, name: bytes) -> bytes | None: ...

    def use(self, name: bytes, node_key: bytes) -> bool: ...


class NodeExchange:
    """An Exchange between node keys in force, over a Transport. Without codes nobody joins here."""

    def __init__(self, owner: Owner, transport: Transport, codes: Codes | None = None) -> None:
        self._owner = owner
        self._transport = transport
        self._codes = codes

    async def ask(self, gateway: int, request: bytes) -> bytes:
        owner = self._owner
        node, mine = owner.nodes.get(gateway), owner.nodes.get(owner.number)
        secret = mine and owner.secrets.secret(node_name(mine))
        if node is None or mine is None or secret is None:
            raise Unreachable(
                f"gateway {gateway} is not in force, or this one is not", "see which are: tessera fleet status"
            )
        ephemeral = self._owner.random(KEY_BYTES)
        head = _HEAD.pack(owner.number, node_name(mine), node_name(node), curve.public(ephemeral))
        shared = curve.dh(ephemeral, node) + curve.dh(secret, node)
        answered = await self._transport.ask(gateway, _question(shared, head, request))
        return _opened(answered, [ephemeral, secret], shared, head)

    def answer(self, handler: Handler) -> None:
        async def carry(message: bytes) -> bytes:
            return await self._carried(message, handler)

        self._transport.answer(self._owner.number, carry)

    async def close(self) -> None:
        await self._transport.close()

    async def _carried(self, message: bytes, handler: Handler) -> bytes:
        try:
            asker, keys, shared, head, request = self._taken(message)
        except ValueError:  # also a point that is none
            return _NOT_KNOWN
        plain = await handler(asker, request)
        fresh = self._owner.random(KEY_BYTES)
        both = shared + b"".join(curve.dh(fresh, key) for key in keys)
        point = curve.public(fresh)
        return _ANSWER + point + _seal(both, b"fleet-answer", head + point, plain)

    def _taken(self, message: bytes) -> tuple[Asker, list[bytes], bytes, bytes, bytes]:
        """(asker, keys that the answer is sealed to, what both share, the head, the request): the one check of what
        comes from outside. Raises ValueError."""
        if not _HEAD.size + _TAG_BYTES <= len(message) <= MOST_QUESTION_BYTES:
            raise ValueError("a question of a length that none has")
        number, by, to, point = _HEAD.unpack_from(message)
        size = _JOINING_BYTES if number == JOINING else _HEAD.size
        head, sealed = message[:size], message[size:]
        key = head[_HEAD.size :] or self._owner.nodes.get(number, b"")
        for each in (point, key):
            curve.Point(each)
        shared = self._code(by) if number == JOINING else self._node(by, to, key, point)
        request = _unseal(shared, b"fleet-ask", head, sealed)
        if number == JOINING and not (self._codes and self._codes.use(by, key)):
            raise ValueError("a code that was used already")
        return Asker(number, key), [point, key], shared, head, request

    def _code(self, name: bytes) -> bytes:
        found = self._codes and self._codes.key(name)
        if not found:
            raise ValueError("a code that was not made here")
        return found

    def _node(self, by: bytes, to: bytes, key: bytes, point: bytes) -> bytes:
        secret = self._owner.secrets.secret(to)
        if secret is None or node_name(key) != by:
            raise ValueError("a key that is not in force")
        return curve.dh(secret, point) + curve.dh(secret, key)


async def ask_by_code(
    transport: Transport, code: Code, static_secret: bytes, node_secret: bytes, request: bytes, random: Random
) -> bytes:
    """As Exchange.ask, by a gateway that is not in the log yet. static_secret: the relay's; node_secret: of the node
    key that it announces; 32 bytes each."""
    ephemeral, shared = random(KEY_BYTES), code.key(static_secret)
    head = _HEAD.pack(JOINING, code.name, bytes(NAME_BYTES), curve.public(ephemeral)) + curve.public(node_secret)
    answered = await transport.ask(code.gateway, _question(shared, head, request))
    return _opened(answered, [ephemeral, node_secret], shared, head)


def _question(shared: bytes, head: bytes, request: bytes) -> bytes:
    if len(head) + len(request) + _TAG_BYTES > MOST_QUESTION_BYTES:
        raise ValueError(f"a question has {MOST_QUESTION_BYTES} bytes at most, with what it is sealed by")
    return head + _seal(shared, b"fleet-ask", head, request)


def _opened(answered: bytes, secrets: list[bytes], shared: bytes, head: bytes) -> bytes:
    if answered == _NOT_KNOWN:
        raise Unreachable(
            "the gateway that was asked does not know this key, or this code",
            "try again later, if it is behind the log; a code is good once, for an hour: tessera fleet invite",
        )
    point, sealed = answered[1 : 1 + NODE_KEY_BYTES], answered[1 + NODE_KEY_BYTES :]
    try:
        both = shared + b"".join(curve.dh(secret, point) for secret in secrets)
        return _unseal(both, b"fleet-answer", head + point, sealed)
    except ValueError:
        raise IntegrityError(
            "what came back was not sealed by the gateway that was asked",
            "find out who changes what the engine's nodes carry",
        ) from None


def _seal(shared: bytes, what: bytes, aad: bytes, plain: bytes) -> bytes:
    return AESGCMSIV(hkdf(b"", shared, what, KEY_BYTES)).encrypt(_ONCE, plain, aad)


def _unseal(shared: bytes, what: bytes, aad: bytes, sealed: bytes) -> bytes:
    """Raises ValueError."""
    try:
        return AESGCMSIV(hkdf(b"", shared, what, KEY_BYTES)).decrypt(_ONCE, sealed, aad)
    except InvalidTag:
        raise ValueError("it was not sealed under this key") from None


def unanswered(gateway: int) -> Unreachable:
    return Unreachable(f"gateway {gateway} does not answer", "see whether it runs, and whether the engine does")
