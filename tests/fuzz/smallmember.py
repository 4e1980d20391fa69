"""Two members who have met and hold tokens, and quick copies of either for fuzz targets: their keystores are maps in
memory, their clock stands still unless a target moves it. What they were made from comes from a counter.
"""

import copy
import random
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import cbor2

from dice import Dice
from tessera_host.agent.client import Client
from tessera_host.keys import keystore
from tessera_host.member import composing, contacts, schema, sharing
from tessera_host.member.state import MemberState
from tessera_host.privacy import composition
from tests.fuzz.target import Intake
from tests.support.fake_federation import FakeFederation, FakeIssuer, RoundClock
from tests.support.organisation import Organisation

TOKENS = 3  # an epoch
A_DAY = 4  # records that the office's budget allows
EPOCH = 1  # the open one; of the one before the last round is not read yet


@contextmanager
def repeatable(seed: bytes) -> Iterator[None]:
    """The host package draws its random numbers from a counter meanwhile."""
    dice = Dice(seed)

    def fresh_x() -> tuple[bytes, bytes]:
        secret = dice.bytes(32)
        return secret, contacts.public_x(secret)

    with (
        mock.patch.object(secrets, "token_bytes", dice.bytes),
        mock.patch.object(secrets, "randbelow", lambda limit: int.from_bytes(dice.bytes(40), "big") % limit),
        mock.patch.object(secrets, "randbits", lambda count: int.from_bytes(dice.bytes(4), "big") % (1 << count)),
        mock.patch.object(contacts, "_fresh_x", fresh_x),
    ):
        yield


def quick_keystores() -> Any:
    """A context in which keystores are opened without the work that scrypt is there to cost."""
    return mock.patch.dict(keystore.SCRYPT, n=2, r=1)


def small_budget() -> Any:
    """A context in which the office's budget is A_DAY records: how deliveries add up takes seconds, and is exact."""
    return mock.patch.object(composition, "deliveries_within", return_value=A_DAY)


@dataclass(frozen=True)
class Met:
    """Their federation, and what their keystores hold at the start of the epoch."""

    federation: FakeFederation
    ann: dict[str, Any]
    bob: dict[str, Any]


@cache
def met() -> Met:
    with repeatable(b"members"), quick_keystores(), tempfile.TemporaryDirectory() as folder:
        federation, clock = FakeFederation(tokens_per_epoch=TOKENS), RoundClock()
        with Organisation(Path(folder), FakeIssuer(federation), clock) as office:
            ann, bob = office.two_who_met("Ann", "Bob")
            clock.to_epoch(EPOCH)
            for one, other in ((ann, "Bob"), (bob, "Ann")):
                composing.queue(one, other, "a text that waits")
                one.inbox.expect(one.round() - 1, one.round() - 1)
                one.inbox.pointers[one.federation.home.id].next_round = one.round() - 1
                one.save()
            return Met(federation, schema.write(ann.data), schema.write(bob.data))


def clock_at_epoch() -> RoundClock:
    clock = RoundClock()
    clock.to_epoch(EPOCH)
    return clock


class MemoryStore:
    """A keystore without a file, which nobody else can want."""

    path = Path("memory", "member.keystore")

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = self.kept = data
        self.is_held = True

    def save(self) -> None:
        self.kept = self.data  # a map that is made anew for every save

    def release(self) -> None:
        self.data, self.is_held = {}, False

    def reacquire(self) -> None:
        self.data, self.is_held = self.kept, True

    def close(self) -> None:
        self.release()


def member(data: dict[str, Any], clock: Callable[[], int]) -> MemberState:
    """A member with this in its keystore, which nothing that it does changes."""
    return MemberState(MemoryStore(data), clock)  # type: ignore[arg-type]


async def _here(work: Callable[[], Any], undo: Any = None) -> Any:
    """In place of a thread: there is no disk to wait for."""
    return work()


@contextmanager
def client(state: MemberState, clock: RoundClock) -> Iterator[Client]:
    """Whatever waits moves the clock."""

    async def sleep(seconds: float) -> None:
        clock.now += -int(-seconds // 1)

    with mock.patch.object(sharing, "finished", _here), small_budget():
        yield Client(state, rng=random.Random(0), now=clock, sleep=sleep)


# What stands where a value stood.
_STRANGE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        2,
        5,
        255,
        -1,
        1 << 31,
        (1 << 32) - 1,
        1 << 32,
        1 << 62,
        (1 << 63) - 1,
        1 << 63,
        1 << 70,
    ),
    *(0.5, float("inf"), float("nan"), "", "x", "Bob", "../x", ".", "e\u0301", "\u202e", "x" * 65, "a/b", "1e999"),
    *([], {}, [[]], {"": 0}, [None], "0" * 64, "é" * 200),
)
_STRANGE_BYTES: tuple[Any, ...] = (b"", b"\0", b"\xff" * 16, bytes(32), b"\xff" * 32, bytes(33), bytes(64), bytes(72))
_HERE, _GONE, _TWICE, _ANY = 255, 254, 253, 252
_MOST_CHANGES = 4


def edited(value: Any, intake: Intake, plain: bool = False) -> Any:
    """A copy of maps and lists in which an input replaced, removed or repeated a few values. plain: as in JSON.

    Of each change: u8 for every step on the way to a value (255: this one is meant), then u8 what: a strange value of
    that number; 254 it goes, 253 it is there twice, 252 CBOR or text: u8 length, so many bytes.
    """
    box = [cbor2.loads(cbor2.dumps(value))]
    for _ in range(_MOST_CHANGES):
        if not (intake and box):
            break
        _change(box, 0, intake, plain)
    return box[0] if box else None


def edits(value: Any, way: bytes = b"") -> Iterator[bytes]:
    """Inputs of `edited`: every value goes, and gives way to values like it that no version wrote."""
    if isinstance(value, (dict, list)) and value:
        yield from (way + bytes((_HERE, what)) for what in (_GONE, _TWICE, _STRANGE.index([]), _STRANGE.index({})))
        for number, part in enumerate(value.values() if isinstance(value, dict) else value):
            yield from edits(part, way + bytes((number,)))
        return
    like = [number for number, other in enumerate((*_STRANGE, *_STRANGE_BYTES)) if type(other) is type(value)]
    yield from (way + bytes((what,)) for what in (_GONE, 0, *like[:1], *like[-3:]))


def _change(holder: Any, place: Any, intake: Intake, plain: bool) -> None:
    while isinstance(holder[place], (dict, list)) and holder[place]:
        step = intake.number(1)
        if step == _HERE:
            break
        holder = holder[place]
        places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        place = places[step % len(places)]
    what = intake.number(1)
    if what == _GONE:
        del holder[place]
    elif what == _TWICE and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[place]))
    elif what == _ANY:
        holder[place] = _any_value(intake.bytes(intake.number(1)), plain)
    else:
        values = _STRANGE if plain else (*_STRANGE, *_STRANGE_BYTES)
        holder[place] = copy.deepcopy(values[what % len(values)])


def _any_value(data: bytes, plain: bool) -> Any:
    if plain:
        return data.decode(errors="surrogateescape")
    try:
        return cbor2.loads(data, max_depth=4)
    except Exception:
        return data
