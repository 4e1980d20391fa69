"""The numbers a report is about, from a plan or from signed parameters, and what follows from them exactly.

Leaves to others: what counts as a member's day and month (planning/figures.py), words (the other modules of this
package).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from tessera.params import Parameters

from ..kinds_of_cover import CONSTANT, DAY, kind_of
from ..planning import figures
from ..planning.figures import Loss
from ..planning.plan import Plan, gateways
from ..privacy import allowance, noise
from ..protocol import parameter_sets
from ..protocol.federation import Federation
from ..protocol.topology import RING

UNNAMED = "a planned federation"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """`signed` is None for a plan, else (serial, digest, root key, federation id). cover: one of kinds_of_cover.COVERS.
    delivery: (ε, δ) of one; day: (ε, δ) that the office promises of a member's. constant: C, or 0; deliveries: of a
    day, that a table was made for, or 0. server: whether relays are servers; None where nothing says it. addresses:
    name and host of each relay, of signed parameters. fleets: relays that are several gateways each, with their number;
    a plan's have no name."""

    organisation: str
    board: str | None
    signed: tuple[int, bytes, bytes, bytes] | None
    cover: str
    delivery: tuple[Fraction, Fraction]
    day: tuple[Fraction, Fraction]
    thresholds: tuple[int, ...]
    constant: int
    deliveries: int
    members: int
    buckets: int
    round_seconds: int
    epoch_rounds: int
    retention_epochs: int
    tokens_per_epoch: int
    posts_per_token: int
    relays: int = 1  # each has the tokens of its own
    topology: str = RING.value
    copies: int = 1  # on so many of the relays each record is
    server: bool | None = None
    addresses: tuple[tuple[str, str], ...] = ()
    message_days: int = 0  # for so long members' programs keep messages, if a card says it
    fleets: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of_plan(cls, made: Plan, organisation: str | None = None, gateways_each: int | None = None) -> "Facts":
        """gateways_each: of every relay; as many as the plan reckons with, if they are not given."""
        choice = made.choice
        each = gateways(made) if gateways_each is None else gateways_each
        return cls(
            organisation=organisation or UNNAMED,
            board=made.board.name,
            server=made.board.several,
            fleets=(("", each),) if each > 1 else (),
            signed=None,
            delivery=made.delivery,
            day=(choice.day_epsilon, choice.day_delta),
            thresholds=made.thresholds,
            constant=made.constant,
            cover=choice.cover,
            deliveries=choice.deliveries,
            relays=choice.relays,
            topology=choice.topology,
            copies=choice.copies,
            **{name: getattr(choice, name) for name in _SHARED},
        )

    @classmethod
    def of_federation(
        cls, federation: Federation, parameters: Parameters, fleets: Mapping[str, int] | None = None
    ) -> "Facts":
        """parameters: the verified set that the report is about. fleets: by relay, of how many gateways it is said to
        be, as nothing that is signed tells it."""
        kind, relays, topology = kind_of(parameters), len(parameters.relays), federation.topology_of(parameters)
        shown = Fraction(0), Fraction(0)
        if kind != CONSTANT:
            shown = parameter_sets.epsilon(parameters), parameter_sets.exact_delta(parameters)
        budget = federation.budget
        day = Fraction(budget["epsilon"]), Fraction(budget["delta"])
        shared: dict[str, Any] = {name: int(getattr(parameters, name)) for name in _SHARED}
        if kind == DAY:
            day = parameter_sets.day_epsilon(parameters), Fraction(parameters.day_delta, noise.DRAWS)
        return cls(
            organisation=federation.name,
            board=None,
            signed=(parameters.serial, parameters.digest, parameters.root_key, parameters.federation_id),
            delivery=shown,
            day=day,
            thresholds=tuple(parameter_sets.thresholds(parameters)),
            cover=kind,
            constant=parameters.constant,
            deliveries=parameters.deliveries,
            relays=max(1, relays),
            topology=topology.kind,
            copies=max(1, min(topology.copies, relays)),
            server=True if len(fleets or {}) == max(1, relays) else None,
            message_days=federation.retention_days,
            addresses=tuple((relay.name, relay.host) for relay in federation.relays),
            fleets=tuple((name, number) for name, number in (fleets or {}).items() if number > 1),
            **shared,
        )

    @cached_property
    def weights(self) -> list[int]:
        return noise.weights(self.thresholds)

    @cached_property
    def cover_mean(self) -> Fraction:
        """Records of a cell in which nobody posted."""
        if not self.thresholds:
            return Fraction(self.constant)
        return Fraction(sum(count * weight for count, weight in enumerate(self.weights)), noise.DRAWS)

    @property
    def deliveries_a_day(self) -> int:
        """Of a member's day at most: each copy of a message is one."""
        return self.messages_a_day * self.copies

    @property
    def epoch_seconds(self) -> int:
        return self.round_seconds * self.epoch_rounds

    @property
    def members_a_bucket(self) -> Fraction:
        return Fraction(self.members, self.buckets)

    @cached_property
    def messages_a_day(self) -> int:
        """Of one part: what a member's program sends in a day at most, through all relays."""
        return self._messages(self.relays * self.tokens_per_epoch, self.copies)

    @cached_property
    def messages_to_one(self) -> int:
        """Of them to one member, or to members of one relay: what `tessera plan` calls messages a day."""
        return self._messages(self.tokens_per_epoch, 1)

    def _messages(self, tokens: int, posts: int) -> int:
        """On so many tokens of an epoch, of which a message takes so many posts."""
        fitting = allowance.by_tokens(tokens, self.posts_per_token, self.epoch_seconds) // posts
        return allowance.of_a_day(self.thresholds, self.day, fitting, self.round_seconds, self.copies)

    @property
    def cohorts(self) -> int:
        """Of members, by which a relay can tell sessions that post apart."""
        return figures.cohorts(self.members)

    @cached_property
    def losses(self) -> Sequence[Loss]:
        """Of a delivery, the longest message, a day, a month."""
        return figures.losses(self.thresholds, self.delivery, self.messages_a_day, self.day[1], self.copies)

    def loss(self, of: str) -> Loss | None:
        """The one of `losses` that is of this; None if no message fits a day."""
        return next((each for each in self.losses if each.of == of), None)


def epsilon_in_words(epsilon: Fraction) -> str:
    """Three decimals, rounded up."""
    return f"{math.ceil(epsilon * 1000) / 1000:g}"


def bound(found: Loss) -> str:
    """What deliveries show at most, in symbols."""
    if not found.bounded:
        return "no bound"
    return f"ε = {epsilon_in_words(found.epsilon)}, δ = {noise.decimal_up(found.delta)}"


def at_most(found: Loss) -> str:
    """The same within a sentence: what something shows."""
    return f"at most {bound(found)}" if found.bounded else "possibly everything"


_SHARED = (
    *("members", "buckets", "round_seconds", "epoch_rounds", "retention_epochs"),
    *("tokens_per_epoch", "posts_per_token"),
)
