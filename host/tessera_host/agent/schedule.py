"""When the steady agent does what: moments within a round, and the rounds of an epoch in which tokens come into use.

Owns those choices, which know nothing of what there is to say: they follow from the clock, the rng and, for an epoch,
from a secret of the member's, so that a restart chooses the same. What is done at these moments is `engine`'s business.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tessera import hashes

from ..protocol.federation import Federation, Relay

FETCH, POST = "fetch", "post"

# Of a round: until then the slots to fetch begin, after it those to post. So what is written just after a slot to post
# was sent leaves before the next round ends and is read before this part of the one after it: two rounds at most.
# (Readers may take half of a board's time, `planning.plan`; a slot to post is short.)
_TO_FETCH = 5 / 8
_SPARE_PART = 8  # of a round, at its end: no slot begins there, so that none ends in the next round
_MOST_SPARE_SECONDS = 20.0
_ROUNDS_A_RELAY = 2  # in which an epoch's tokens come into use, for every relay but the first


class Slot(NamedTuple):
    """One connection of a round: at a moment (unix seconds), to post to a relay or to fetch from it."""

    at: float
    kind: str
    relay: Relay


def moments(
    now: float, end: float, kinds: Sequence[tuple[str, Relay]], rng: random.Random, round_seconds: float
) -> list[Slot]:
    """Draw a random moment for each slot between now and a little before the end of the round, in order: those to fetch
    in its first part, those to post after it."""
    middle = max(now, end - round_seconds * (1 - _TO_FETCH))
    last = max(now, end - min(_MOST_SPARE_SECONDS, round_seconds / _SPARE_PART))
    part = {FETCH: (now, middle), POST: (middle, last)}
    slots = [Slot(rng.uniform(*part[kind]), kind, relay) for kind, relay in kinds]
    return sorted(slots, key=lambda slot: slot.at)  # several may be now: relays have no order


@dataclass(frozen=True)
class EpochSchedule:
    """In which round of an epoch the first token for a relay (its number) comes into use, and at which rounds posting
    moves on to the next token. Rounds are counted from the epoch's first."""

    first_use: dict[int, int]
    changes: dict[int, list[int]]

    @classmethod
    def of(cls, secret: bytes, federation: Federation, epoch: int, tokens: dict[int, int]) -> "EpochSchedule":
        """Draw a schedule; `tokens` is how many there are, by the relay's number. No two come into use in one round, if
        the epoch is long enough. With one relay that is the first round; with several it is spread, so that nobody sees
        at two relays which tokens are one member's, and a day does not begin with a wait."""
        rng = random.Random(hashes.tagged("agent-schedule", secret + epoch.to_bytes(4, "big")))
        relays = sorted(tokens)
        rounds = federation.newest.epoch_rounds
        window = min(rounds, 1 + _ROUNDS_A_RELAY * (len(relays) - 1))
        first = dict(zip(relays, _sample(rng, range(window), len(relays)), strict=True))
        changes = {}
        later = _sample(rng, range(window, rounds), sum(max(0, count - 1) for count in tokens.values()))
        for relay in relays:
            count = max(0, tokens[relay] - 1)
            changes[relay], later = sorted(later[:count]), later[count:]
        return cls(first, changes)

    def turn(self, relay: int, round_of_epoch: int) -> int:
        """Compute the number of the token to use."""
        return sum(change <= round_of_epoch for change in self.changes.get(relay, []))


def _sample(rng: random.Random, rounds: range, count: int) -> list[int]:
    """So many different rounds; some twice only if there are not enough."""
    if count <= len(rounds):
        return rng.sample(rounds, count)
    return [rng.choice(rounds or range(1)) for _ in range(count)]
