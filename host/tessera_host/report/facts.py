"""The numbers a report is about, from a plan or from signed parameters, and what follows from them exactly.

Leaves to others: what counts as a member's day and month (planning/figures.py), words (the other modules of this
package).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from tessera.params import Parameters

from ..kinds_of_cover import CONSTANT, DAY, kind_of
from ..planning import figures
from ..planning.figures import Loss
from ..planning.plan import Plan
from ..privacy import allowance, noise
from ..protocol import parameter_sets
from ..protocol.federation import Federation
from ..protocol.topology import RING


@dataclass(frozen=True, kw_only=True)
class Facts:
    """`signed` is None for a plan, else (serial, digest, root key, federation id). cover: one of kinds_of_cover.COVERS.
    delivery: (ε, δ) of one; day: (ε, δ) that the office promises of a member's. constant: C, or 0; deliveries: of a
    day, that a table was made for, or 0."""

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

    @classmethod
    def of_plan(cls, made: Plan) -> "Facts":
        choice = made.choice
        return cls(
            organisation="a planned federation",
            board=made.board.name,
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
    def of_federation(cls, federation: Federation, parameters: Parameters) -> "Facts":
        """parameters: the verified set that the report is about."""
        kind, relays, topology = kind_of(parameters), len(parameters.relays), federation.topology_of(parameters)
        shown = Fraction(0), Fraction(0)
        if kind != CONSTANT:
            shown = parameter_sets.epsilon(parameters), parameter_sets.exact_delta(parameters)
        budget = federation.budget
        day = Fraction(budget["epsilon"]), Fraction(budget["delta"])
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
            **{name: int(getattr(parameters, name)) for name in _SHARED},
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
        tokens = allowance.by_tokens(self.relays * self.tokens_per_epoch, self.posts_per_token, self.epoch_seconds)
        fitting = tokens // self.copies
        return allowance.of_a_day(self.thresholds, self.day, fitting, self.round_seconds, self.copies)

    @cached_property
    def losses(self) -> Sequence[Loss]:
        """Of a delivery, the longest message, a day, a month."""
        return figures.losses(self.thresholds, self.delivery, self.messages_a_day, self.day[1], self.copies)

    def loss(self, of: str) -> Loss | None:
        """The one of `losses` that is of this; None if no message fits a day."""
        return next((each for each in self.losses if each.of == of), None)


_SHARED = (
    *("members", "buckets", "round_seconds", "epoch_rounds", "retention_epochs"),
    *("tokens_per_epoch", "posts_per_token"),
)
