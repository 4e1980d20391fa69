"""The engine of a fleet, as an observer. It stores every entry and carries it to every gateway, so it has the bytes of
each, its id and its place; a disk of it that is lost, a backup and who listens between its nodes have no more. World 1:
a member posted, whatever it was answered, and in the other world sent a VOID; an AUTH asked for a place; a record is
for the other bucket; two posts in two rounds are of one token. In the last game the observer has stolen the open
epoch's log key. Bound: a rule learnt from one half of the games has no advantage in the other half. When an entry comes
and how many frames it has is the same in both worlds: that the engine does learn (docs/fleet.md §2).
"""

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tessera.hashes import tagged
from tessera_host.fleet import entry
from tests.attacks.game import Game, coin
from tests.fleet.gateways import ROUNDS, Fleet, Gateway, constant_set
from tests.results import Row

GAMES = 10_000  # of each kind
TOKENS = 80  # a round of games takes 57 at most
_EACH = 3  # games of a kind that begin in a round
_OTHERS = 2  # frames that others leave in the watched member's entry: with more, less would be seen
_FRAMES_AT = entry.CLEAR_BYTES + 8 + entry.CHAIN_BYTES
_WINDOW = 8  # bytes: what marks and names have
_NUMBERS = 10  # that a rule goes by: those that told the worlds apart best

Array = Any  # of numpy
Seen = tuple[bytes, ...]  # the entries of one game
See = Callable[[bytes, bytes], bytes]  # of an entry as it is sealed, and of the same with its contents open


@dataclass
class Games:
    """Of one kind: the world of each, and what was seen in it."""

    worlds: list[bool] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def add(self, world: bool, *seen: bytes) -> None:
        self.worlds.append(world)
        self.seen.append(seen)


class Watched:
    """Three gateways whose members do what the games ask for. see: what the observer has of an entry."""

    def __init__(self, seed: object, see: See) -> None:
        self.dice = random.Random(f"tessera engine {seed}")
        self._see = see
        self.fleet = Fleet(3, constant_set(TOKENS))
        for gateway in self.fleet:
            gateway.dice.bytes = self.dice.randbytes
        self.fleet.share_token_key(self.fleet[1])
        self.next_round()

    def next_round(self, reserved: Sequence[int] = ()) -> None:
        """Tokens that are reserved are not drawn for others in it."""
        first = self.fleet[1]
        if first.state.open_round + 1 == (first.state.epoch + 1) * ROUNDS:
            self.fleet.share_token_key(first, next_epoch=True)
        self.fleet.next_round()
        for gateway in self.fleet:  # what nobody looks at again
            gateway.ring, gateway.answers, gateway.effects = {}, {}, []
        self._free = [each for each in range(TOKENS) if each not in reserved]
        self.dice.shuffle(self._free)
        self._posted: list[int] = []

    def draw(self) -> int:
        """A token that did not post in this round."""
        self._posted.append(self._free.pop())
        return self._posted[-1]

    def post(self, gateway: Gateway, token: int | None = None, bucket: int | None = None) -> None:
        token = self.draw() if token is None else token
        bucket = self.dice.randrange(2) if bucket is None else bucket
        gateway.post(_token_id(token, gateway), self.dice.randbytes(240), bucket)

    def post_somehow(self, gateway: Gateway) -> None:
        """Of a token that may have posted: then it is refused at the gateway."""
        again = self._posted and self.dice.random() < 0.3
        self.post(gateway, self.dice.choice(self._posted) if again else None)

    def place(self, gateway: Gateway) -> None:
        gateway.place(_token_id(self.dice.randrange(TOKENS), gateway))

    def entry(self, watched: Callable[[Gateway], object]) -> tuple[bytes, bytes]:
        """What the observer has of the entry in which this happened, and what the thief of the log key has."""
        gateway, engine = self.fleet[self.dice.randint(1, 3)], self.fleet.engine
        for _ in range(_OTHERS):
            self.post(gateway) if coin(self.dice) else gateway.void()
        watched(gateway)
        gateway.tick()
        sealed = engine.flying[-1]
        opened = _opened(gateway.log_keys.keys[gateway.state.epoch], sealed)
        engine.land()
        for each in self.fleet:
            each.follow()
        return self._see(sealed, opened), opened


def _token_id(number: int, gateway: Gateway) -> bytes:
    return tagged("token-id", number.to_bytes(4, "big"), gateway.state.epoch.to_bytes(4, "big"))


def _opened(log_key: bytes, sealed: bytes) -> bytes:
    contents = entry.unseal(log_key, sealed)
    header = contents.last.to_bytes(8, "big") + contents.chain
    return b"".join((sealed[: entry.CLEAR_BYTES], header, *contents.frames, sealed[-entry.TAG_BYTES :]))


def as_sealed(sealed: bytes, _: bytes) -> bytes:
    return sealed


# -- leaks, for the controls


def with_log_key(_: bytes, opened: bytes) -> bytes:
    return opened


def frames_without_padding(sealed: bytes, opened: bytes) -> bytes:
    """As long as if each frame were as long as what it says."""
    return sealed[: len(sealed) - opened.count(bytes(100)) * 100]


# -- the games

POST, PLACE, BUCKET, TOKEN, TOKEN_WITH_KEY = KINDS = (
    "POST or VOID",
    "a place or a VOID of AUTH",
    "which bucket",
    "one token or two",
    "one token or two, with the log key",
)


def play(games: int, seed: object, see: See = as_sealed) -> dict[str, Game]:
    """So many of each kind."""
    found = {kind: Games() for kind in KINDS}
    watched = Watched(seed, see)
    dice = watched.dice
    before: list[tuple[int, bytes, bytes]] = []  # posts of the round before: token, and their entries
    while len(found[TOKEN].worlds) < games:
        kinds = [POST, PLACE, BUCKET] * _EACH + [TOKEN] * 2 * _EACH
        dice.shuffle(kinds)
        posts: list[tuple[int, bytes, bytes]] = []
        pairs = list(before)
        for kind in kinds:
            world = coin(dice)
            if kind == POST:
                seen, _ = watched.entry(watched.post_somehow if world else Gateway.void)
            elif kind == PLACE:
                seen, _ = watched.entry(watched.place if world else Gateway.void)
            elif kind == BUCKET:
                seen, _ = watched.entry(lambda gateway, bucket=world: watched.post(gateway, None, int(bucket)))
            elif pairs:
                token, first, first_opened = pairs.pop()
                again = token if world else watched.draw()
                seen, opened = watched.entry(lambda gateway, token=again: watched.post(gateway, token))
                found[TOKEN].add(world, first, seen)
                found[TOKEN_WITH_KEY].add(world, first_opened, opened)
                continue
            else:
                token = watched.draw()
                seen, opened = watched.entry(lambda gateway, token=token: watched.post(gateway, token))
                posts.append((token, seen, opened))
                continue
            found[kind].add(world, seen)
        before = posts
        watched.next_round([token for token, _, _ in before])
    return {kind: learn(each) for kind, each in found.items()}


# -- what is learnt


def features(seen: Seen) -> Array:
    """Numbers in which a world may show: sizes, what compresses, each byte that is not a frame's, what frames have in
    common at each of their places; of two entries also which strings stand in both."""
    numbers = [np.concatenate([_of_entry(each) for each in seen])]
    if len(seen) == 2:
        numbers.append(_in_common(*map(_blocks, seen)))
    return np.concatenate(numbers)


def _of_entry(seen: bytes) -> Array:
    blocks = _blocks(seen)
    outside = np.frombuffer(seen[:_FRAMES_AT] + seen[-entry.TAG_BYTES :], np.uint8)
    return np.concatenate(([len(seen), len(zlib.compress(seen))], outside, blocks.mean(0), blocks.max(0)))


def _blocks(seen: bytes) -> Array:
    """Where frames stand: rows of FRAME_BYTES."""
    whole = (len(seen) - _FRAMES_AT) // entry.FRAME_BYTES
    data = seen[_FRAMES_AT : _FRAMES_AT + whole * entry.FRAME_BYTES]
    return np.frombuffer(data or bytes(entry.FRAME_BYTES), np.uint8).reshape(-1, entry.FRAME_BYTES)


def _in_common(first: Array, second: Array) -> Array:
    """At each place of a frame: how many of _WINDOW bytes from there on two frames share that are not zero."""
    equal = (first[:, None] == second[None]) & (first[:, None] != 0)
    sums = np.pad(equal.cumsum(-1), ((0, 0), (0, 0), (1, 0)))
    return (sums[..., _WINDOW:] - sums[..., :-_WINDOW]).max((0, 1))


def learn(games: Games) -> Game:
    """Answers of a rule (a linear one, of few numbers) that was learnt from the other half of the games."""
    numbers = np.array([features(seen) for seen in games.seen], float)
    numbers = (numbers - numbers.mean(0)) / np.where(numbers.std(0) > 0, numbers.std(0), 1)
    worlds, half, game = np.array(games.worlds), len(games.worlds) // 2, Game()
    for known, asked in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
        said = np.where(worlds[known], 1.0, -1.0)
        best = np.argsort(abs(numbers[known].T @ said))[-_NUMBERS:]
        rule = np.linalg.lstsq(numbers[known][:, best], said - said.mean(), rcond=None)[0]
        for world, answer in zip(worlds[asked], numbers[asked][:, best] @ rule + said.mean() > 0, strict=True):
            game.hear(bool(world), bool(answer))
    return game


def rows(games: dict[str, Game]) -> list[Row]:
    found = []
    for kind, game in games.items():
        low, high = game.interval()
        found.append(Row(f"engine of a fleet: {kind}", str(game), "interval holds 0", low <= 0 <= high))
    return found


def run(scale: float = 1.0) -> list[Row]:
    return rows(play(round(GAMES * scale), "run"))
