"""Constant batches (PROTOCOL §6, §8). An office of 24 places; ten members are the adversary's, and the others post,
some of them or none. The ten post, post again (in the same session, in another, in a resumed one, into another bucket,
the same bytes), after a restart in the middle of the round, too, and write down every answer, every count, what STATUS
says and what their quota is. Worlds: how many of the others have something to say; who has nothing sends VOID. Bound:
all transcripts are the same; and in which places of a batch their own records stand says nothing, either.

The last game gives the ten what a dishonest issuer can: a token more for each place. Bound: no cell has more records
than places. (The issuer then learns from QUOTA how many others' tokens posted in the epoch, which PROTOCOL §6 says.)

Each control breaks one rule, and the same adversary must find it.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from office import EPOCH_ROUNDS, Connection, Token
from tessera import params, wire
from tessera.admission import Admission
from tessera.cover import EpochCover
from tessera.errors import Busy, Refused
from tessera.relay import Relay
from tests.attacks.branch import PICO_W_SECTORS, Branch
from tests.attacks.game import Game, coin
from tests.results import Row

PLACES = 24
COLLUDERS = 10
WORLDS = (0, 1, 7, PLACES - COLLUDERS)  # others who post in a round
SHAPE: dict[str, Any] = {
    "members": PLACES,
    "tokens_per_epoch": 1,
    "posts_per_token": 32,
    "cover": params.CONSTANT,
    "constant": PLACES,
    "thresholds": b"",
    "epsilon": 0,
    "delta": 0,
}
ROUNDS = 8  # each kind of round twice, and an epoch's end
Seen = list[object]


def asked(function: Any, *arguments: Any) -> object:
    """An answer, or the refusal."""
    try:
        return function(*arguments)
    except Refused as refused:
        return refused.name, refused.retry_after


class Office:
    """A branch whose others post as many records a round as the world says, and the adversary in it."""

    def __init__(self, seed: object, others: int, extra_tokens: int = 0) -> None:
        self.branch = Branch(f"constant {seed}", PICO_W_SECTORS, **SHAPE)
        self.others = others
        self.colluders = COLLUDERS + extra_tokens
        self.script = random.Random(f"script {seed}")  # the same in every world
        self.places: list[float] = []  # of the adversary's records in their batches
        self.faults = 0
        self._connections: dict[int, Any] = {}
        self._epoch = -1
        self._rounds = 0
        self.branch.sleep()

    def new(self, number: int) -> tuple[Any, int]:
        """A connection with a token, and the posts it has left."""
        connection = Connection(self.branch.relay)
        return connection, connection.authenticate(Token(number, self.branch.relay.epoch))

    def member(self, number: int) -> Any:
        """The connection that a member has since the epoch began, or the relay started."""
        relay = self.branch.relay
        if relay.epoch != self._epoch or any(each.relay is not relay for each in self._connections.values()):
            self._epoch, self._connections = relay.epoch, {}
        if number not in self._connections:
            self._connections[number], _ = self.new(number)
        return self._connections[number]

    def others_speak(self) -> None:
        """Each sends one frame a round, whether there is something to say or not."""
        for number in range(PLACES - COLLUDERS):
            frame = wire.post(0, self.branch.record()) if number < self.others else wire.void()
            asked(self.member(100 + number).call, frame)

    def round(self) -> Seen:
        """All that the adversary sees of a round."""
        branch, script, seen, own = self.branch, self.script, Seen(), list[bytes]()
        early, restart, round_ = self._rounds % 2 == 0, self._rounds % 4 in (1, 2), branch.relay.open_round
        self._rounds += 1
        if early:
            self.speak(seen, own)
        self.others_speak()
        if early:
            self.speak_again(seen, own)
        if restart:
            branch.pass_time(1000 * script.randrange(8))
            branch.boot()
            seen.append(Connection(branch.relay).call(wire.status())[1:])
            self.speak(seen, own)
            self.others_speak()
        branch.sleep()
        seen += [self.read(round_, bucket, own) for bucket in (0, 1)]
        return seen

    def speak(self, seen: Seen, own: list[bytes]) -> None:
        """A post by each of the adversary's tokens, and its repetition."""
        for number in range(self.colluders):
            record = self.branch.record()
            seen += [self.posted(self.member(number), record, 0), self.posted(self.member(number), record, 0)]
            own.append(record)

    def speak_again(self, seen: Seen, own: list[bytes]) -> None:
        """Every way there is to post once more in a round, by so many tokens that the places may just last."""
        for number in self.script.sample(range(self.colluders), self.script.randrange(COLLUDERS + 1)):
            connection, record = self.member(number), self.branch.record()
            way = self.script.choice(("the same session", "another", "a resumed one", "another bucket"))
            if way == "another":
                connection, left = self.new(number)
                seen.append(left)
            elif way == "a resumed one":
                connection, left = self.new(number)
                connection = Connection(self.branch.relay, resumption=connection.secret)
            seen.append((way, self.posted(connection, record, int(way == "another bucket"))))
            own.append(record)

    def posted(self, connection: Any, record: bytes, bucket: int) -> object:
        """The answer to a POST; the round of an ACK by the open one."""
        answer = asked(connection.post, record, bucket)
        return answer - self.branch.relay.open_round if isinstance(answer, int) else answer

    def read(self, round_: int, bucket: int, own: list[bytes]) -> object:
        """How many records a cell has, and how many of them are the adversary's."""
        found = asked(Connection(self.branch.relay).cell, round_, bucket)
        if isinstance(found, tuple):
            self.faults += 1
            return found
        assert isinstance(found, list)
        mine = [place / (len(found) - 1) for place, record in enumerate(found) if record in own]
        self.places += mine
        return len(found), len(mine)


def transcript(seed: object, others: int, rounds: int = ROUNDS, extra_tokens: int = 0) -> tuple[Seen, Office]:
    office = Office(seed, others, extra_tokens)
    return [each for _ in range(rounds) for each in office.round()], office


def compare(
    seeds: int, rounds: int = ROUNDS, name: str = "", worlds: tuple[int, ...] = WORLDS[1:]
) -> tuple[int, int, int]:
    """(answers and counts compared, those that differ from the world in which nobody else posts, faults)"""
    compared = different = faults = 0
    for seed in range(seeds):
        quiet, office = transcript(f"{name}{seed}", 0, rounds)
        faults += office.faults
        for others in worlds:
            busy, office = transcript(f"{name}{seed}", others, rounds)
            compared += len(quiet)
            different += sum(one != two for one, two in zip(quiet, busy, strict=True))
            faults += office.faults
    return compared, different, faults


def places(offices: int, disorder: Callable[[float], float] | None = None) -> Game:
    """World 1: all others post. The adversary says so if its own records stand in the first half."""
    game, dice = Game(), random.Random("places")
    for number in range(offices):
        world = coin(dice)
        _, office = transcript(f"places {number}", PLACES - COLLUDERS if world else 0, rounds=3)
        for place in office.places:
            game.hear(world, (disorder(place) if disorder and world else place) < 0.5)
    return game


def overfull(offices: int) -> tuple[int, int]:
    """(cells read, cells that could not be served) where each place has a token of a dishonest issuer besides."""
    offices_seen = [transcript(f"extra {seed}", PLACES - COLLUDERS, EPOCH_ROUNDS, PLACES) for seed in range(offices)]
    return 2 * EPOCH_ROUNDS * offices, sum(office.faults for _, office in offices_seen)


# -- controls: a relay that breaks one rule


def _noise_beside(self: Any, bucket: int, round_: int, real: int = 0) -> int:
    return int(self._constant)


def _sessions_mark(self: Any, token: Any) -> None:
    if not self._rounds.served:
        raise Busy("one record a token and round", self._rounds.seconds_to_next())


def _no_rule_for_starts(self: Any, token: Any) -> None:
    if token.round == self.open_round:
        raise Busy("one record a token and round", self._rounds.seconds_to_next())


def _only_if_somebody_posted(self: Any, token: Any) -> None:
    posted = self._log.highest_round == self.open_round
    if token.round == self.open_round or (not self._rounds.served and posted):
        raise Busy("one record a token and round", self._rounds.seconds_to_next())


def _until_the_cell_is_full(self: Any, token: Any) -> None:
    if self._log.count_of(0, self.open_round) + self._log.count_of(1, self.open_round) >= PLACES:
        raise Busy("no place is left", self._rounds.seconds_to_next())


def _any_number_of_leases(self: Any, token: Any) -> None:
    if token.used == token.leases * 4:
        self._keyring.lease(token.ring_id, token.leases + 1)
        token.leases += 1


CONTROLS: dict[str, tuple[Any, str, Any]] = {
    "cover beside what is real": (EpochCover, "noise", _noise_beside),
    "a token posts as often as it likes": (Relay, "_require_place", _sessions_mark),
    "posts in the round of a start": (Relay, "_require_place", _no_rule_for_starts),
    "a start waits only if somebody posted": (Relay, "_require_place", _only_if_somebody_posted),
    "BUSY when all places are taken": (Relay, "_require_place", _until_the_cell_is_full),
}
LEASES: tuple[Any, str, Any] = (Admission, "reserve", _any_number_of_leases)


@contextmanager
def broken(*rules: tuple[Any, str, Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, instead in rules:
            stack.enter_context(patch.object(owner, name, instead))
        yield


def run(scale: float = 1.0) -> list[Row]:
    compared, different, faults = compare(max(1, round(20 * scale)))
    text = f"{different} of {compared:,} answers and counts differ, {faults} faults"
    found = [Row("constant batches: ten of 24, others idle or busy", text, "0, 0", not (different or faults))]
    game = places(max(4, round(120 * scale)))
    low, high = game.interval()
    found.append(Row("constant batches: places of own records", f"{game}", "interval holds 0", low <= 0 <= high))
    cells, faults = overfull(max(1, round(10 * scale)))
    text = f"{faults} of {cells:,} cells have more records than places"
    found.append(Row("constant batches: a token too many for each place", text, "0", faults == 0))
    for name, rule in CONTROLS.items():
        with broken(rule):
            compared, different, faults = compare(1, 4, "control ", WORLDS[-1:])
        text = f"{different} of {compared:,} differ, {faults} faults"
        found.append(Row(f"control, {name}", text, "> 0", different > 0))
    with broken(LEASES):
        cells, faults = overfull(1)
    found.append(Row("control, leases for any number of tokens", f"{faults} of {cells:,} cells", "> 0", faults > 0))
    return found
