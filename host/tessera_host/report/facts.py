"""The numbers a report is about, from a plan or from signed parameters, and what follows from them exactly.

Owns what counts as a member's day and month. Leaves to others: composition (loss.py), words (the other modules of
this package).
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from tessera.params import DELIVERY, Parameters

from ..errors import InvalidInput
from ..planning import plan
from ..privacy import allowance, noise
from ..protocol import parameter_sets
from ..protocol.federation import DEFAULT_BUDGET, Federation


@dataclass(frozen=True)
class Facts:
    """`signed` is None for a plan, else (serial, digest, root key, federation id)."""

    organisation: str
    board: str | None
    signed: tuple[int, bytes, bytes, bytes] | None
    epsilon: Fraction
    thresholds: tuple[int, ...]
    members: int
    buckets: int
    round_seconds: int
    epoch_rounds: int
    retention_epochs: int
    tokens_per_epoch: int
    posts_per_token: int
    budget: tuple[str, str]
    relays: int = 1  # a plan is for one, each has the tokens of its own

    @classmethod
    def of_plan(cls, made: plan.Plan) -> "Facts":
        choice = made.choice
        return cls(
            organisation="a planned federation",
            board=made.board.name,
            signed=None,
            epsilon=choice.epsilon,
            thresholds=made.table.thresholds,
            budget=(DEFAULT_BUDGET["epsilon"], DEFAULT_BUDGET["delta"]),
            **{name: getattr(choice, name) for name in _SHARED},
        )

    @classmethod
    def of_federation(cls, federation: Federation, parameters: Parameters) -> "Facts":
        """parameters: the verified set that the report is about. Raises InvalidInput for a kind of cover that this
        program has no figures of."""
        if parameters.cover != DELIVERY:
            raise InvalidInput(f"serial {parameters.serial} has a kind of cover without figures here", "update tessera")
        return cls(
            organisation=federation.name,
            board=None,
            signed=(parameters.serial, parameters.digest, parameters.root_key, parameters.federation_id),
            epsilon=parameter_sets.epsilon(parameters),
            thresholds=tuple(parameter_sets.thresholds(parameters)),
            budget=(federation.budget["epsilon"], federation.budget["delta"]),
            relays=max(1, len(parameters.relays)),
            **{name: int(getattr(parameters, name)) for name in _SHARED},
        )

    @property
    def mu(self) -> int:
        return len(self.thresholds) // 2

    @cached_property
    def exact_delta(self) -> Fraction:
        return noise.exact_delta(self.thresholds, noise.exp_lower(self.epsilon))

    @cached_property
    def weights(self) -> list[int]:
        return noise.weights(self.thresholds)

    @property
    def epoch_seconds(self) -> int:
        return self.round_seconds * self.epoch_rounds

    @property
    def members_a_bucket(self) -> Fraction:
        return Fraction(self.members, self.buckets)

    @property
    def day_by_tokens(self) -> int:
        """Deliveries a day that a member's tokens allow, those for all relays."""
        return plan.deliveries_a_day(self.relays * self.tokens_per_epoch, self.posts_per_token, self.epoch_seconds)

    @property
    def day_by_budget(self) -> int:
        """Deliveries a day that members' programs allow."""
        epsilon_a_day, delta_a_day = (Fraction(text) for text in self.budget)
        tokens = allowance.by_tokens(self.relays * self.tokens_per_epoch, self.posts_per_token, self.epoch_seconds)
        budget = epsilon_a_day, delta_a_day
        return allowance.of_a_day(self.thresholds, budget, tokens, self.round_seconds)


_SHARED = (
    *("members", "buckets", "round_seconds", "epoch_rounds", "retention_epochs"),
    *("tokens_per_epoch", "posts_per_token"),
)
