"""What gateways ask each other, and the answers: the token key, and what a gateway begins with that joins
(docs/fleet.md §7 and §8, 8).

Owns the bytes, and what is answered. Leaves to others: that only gateways in force ask, and that nobody else reads it
(exchange.py), keys (keys.py), what who joins does with it (storage.py). Kinds from 16 on are others'.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

import cbor2

from ..errors import IntegrityError, InvalidInput
from ..issuer.relay_directory import PARAMETERS
from . import frames
from .exchange import JOINING, Asker
from .keys import TokenKey
from .relay import FleetRelay

TOKEN_KEY, JOIN, SNAPSHOT, RECORDS = 1, 2, 3, 4
_TOKEN_KEY = struct.Struct(">B32s33s")
_JOIN = struct.Struct(">BB")
_JOINED = struct.Struct(">HH33s")
_RECORDS = struct.Struct(">BII")
_RECORD = struct.Struct(">IH240s")
_MOST_BYTES = 1 << 20  # of records in an answer, and a round more
_FILES = (PARAMETERS, "ledger", "ledger.old")
_JOIN_SECONDS = 30.0
_ASK_ANOTHER = "look at its log, and join by a code of another gateway"

More = Callable[[Asker, bytes], Awaitable[bytes]]


def token_key(hash_: bytes, fresh_key: bytes) -> bytes:
    """Asks for the token key with this hash, sealed to fresh_key (33 bytes), too. The answer: what TokenKey.hand_over()
    gives, or nothing if it is not there."""
    return _TOKEN_KEY.pack(TOKEN_KEY, hash_, fresh_key)


def join(versions: int) -> bytes:
    """Asks for a place in the fleet; by a code, with the node key that is to be in force. versions: as in NODE."""
    return _JOIN.pack(JOIN, versions)


def snapshot() -> bytes:
    return bytes((SNAPSHOT,))


def records(first: int, last: int) -> bytes:
    """Asks for all records of the rounds from first on, up to last; the answer may end before."""
    return _RECORDS.pack(RECORDS, first, last)


@dataclass(frozen=True)
class Joined:
    """The number that a gateway has from now on; who was asked, and its node key in force."""

    number: int
    asked: int
    asked_key: bytes

    def pack(self) -> bytes:
        return _JOINED.pack(self.number, self.asked, self.asked_key)

    @classmethod
    def read(cls, answer: bytes) -> Self:
        """Raises IntegrityError."""
        if len(answer) != _JOINED.size:
            raise IntegrityError("the gateway that was asked gives no place", _ASK_ANOTHER)
        return cls(*_JOINED.unpack(answer))


@dataclass(frozen=True)
class Snapshot:
    """state: its bytes; welcome: sealed to who asked; files: of the relay's directory."""

    state: bytes
    welcome: bytes
    files: dict[str, bytes]

    def pack(self) -> bytes:
        packed: bytes = cbor2.dumps([self.state, self.welcome, self.files])
        return packed

    @classmethod
    def read(cls, answer: bytes) -> Self:
        """Raises IntegrityError."""
        try:
            state, welcome, files = cbor2.loads(answer)
            fits = isinstance(state, bytes) and isinstance(welcome, bytes) and isinstance(files, dict)
            if fits and set(files) <= set(_FILES):
                return cls(state, welcome, files)
        except (ValueError, TypeError, cbor2.CBORError):
            pass
        raise IntegrityError("the gateway that was asked gives no snapshot", _ASK_ANOTHER)


@dataclass(frozen=True)
class Records:
    """following: the round to ask for next. records: (round, bucket, record), by rounds."""

    following: int
    records: list[tuple[int, int, bytes]]

    def pack(self) -> bytes:
        return self.following.to_bytes(4, "big") + b"".join(_RECORD.pack(*each) for each in self.records)

    @classmethod
    def read(cls, answer: bytes) -> Self:
        """Raises IntegrityError."""
        if len(answer) % _RECORD.size != 4:
            raise IntegrityError("the gateway that was asked gives no records", _ASK_ANOTHER)
        return cls(int.from_bytes(answer[:4], "big"), list(_RECORD.iter_unpack(answer[4:])))


class Answers:
    """Of one gateway: a Handler of its exchange. `more`: what is answered besides, by kind."""

    def __init__(self, relay: FleetRelay, cells: Callable[[], dict[int, bytes]]) -> None:
        """cells: of its ring's index (relay.machine)."""
        self._relay = relay
        self._seat = relay.seat
        self._cells = cells
        self.more: dict[int, More] = {}

    async def __call__(self, asker: Asker, request: bytes) -> bytes:
        kind = request[0] if request else 0
        if asker.number == JOINING or kind == JOIN:
            if asker.number != JOINING or len(request) != _JOIN.size or kind != JOIN:
                raise InvalidInput("whoever joins may ask for a place, and nobody else may", "use another code")
            return await self._join(asker.key, request[1])
        if kind == TOKEN_KEY and len(request) == _TOKEN_KEY.size:
            return self._token_key(asker, *_TOKEN_KEY.unpack(request)[1:])
        if kind == SNAPSHOT:
            return self._snapshot(asker)
        if kind == RECORDS and len(request) == _RECORDS.size:
            return self._records(*_RECORDS.unpack(request)[1:])
        if kind in self.more:
            return await self.more[kind](asker, request[1:])
        raise InvalidInput("this gateway does not know that question", "update the older gateway")

    def _token_key(self, asker: Asker, hash_: bytes, fresh_key: bytes) -> bytes:
        key: TokenKey | None = self._seat.token_keys.get(hash_)
        return b"" if key is None else key.hand_over(asker.key, fresh_key, self._relay.random)

    async def _join(self, key: bytes, versions: int) -> bytes:
        """Put a key in force under a number that no gateway had; again for the same key, the same."""
        async with asyncio.timeout(_JOIN_SECONDS):
            while not (number := self._number_of(key)):
                if not self._relay.writer.is_on_its_way(frames.NODE):
                    new = self._new_number()
                    self._relay.writer.add(frames.Node(new, versions, key))
                await asyncio.sleep(0.05)
        return Joined(number, self._seat.number, self._seat.nodes[self._seat.number]).pack()

    def _new_number(self) -> int:
        """One that no gateway had; nor does another gateway give it, to which somebody else comes at this moment."""
        state, seat = self._seat.state, self._seat
        new = max([*state.nodes, *state.counters]) + 1 + seat.rank
        while new in seat.given_numbers:
            new += len(state.nodes)
        seat.given_numbers.add(new)
        return new

    def _number_of(self, key: bytes) -> int:
        return next((number for number, node in self._seat.nodes.items() if node == key), 0)

    def _snapshot(self, asker: Asker) -> bytes:
        relay: Any = self._relay
        files = {}
        for name in _FILES:
            content = relay._directory.read(name)
            if content is not None:
                files[name] = content
        welcome = self._seat.welcome(relay._epochs.cover_states, asker.key, relay.random)
        return Snapshot(self._seat.state.encoded(), welcome, files).pack()

    def _records(self, first: int, last: int) -> bytes:
        relay: Any = self._relay
        rounds: dict[int, list[int]] = {}
        for packed in self._cells():
            if first <= packed >> 16 <= last:
                rounds.setdefault(packed >> 16, []).append(packed)
        found: list[tuple[int, int, bytes]] = []
        for round_ in sorted(rounds):
            if len(found) * _RECORD.size > _MOST_BYTES:
                return Records(round_, found).pack()
            for packed in sorted(rounds[round_]):
                found += self._cell(relay, packed)
        return Records(last + 1, found).pack()

    def _cell(self, relay: Any, packed: int) -> list[tuple[int, int, bytes]]:
        """Raises InvalidInput if one cannot be read: a gateway that is damaged gives no snapshot."""
        found = []
        for page in memoryview(self._cells()[packed]).cast("I"):
            each = relay._log._find(page, relay._epochs.ciphers)
            if each is None:
                raise InvalidInput("this gateway's ring is damaged", "ask another gateway")
            found.append(each)
        return found
