"""What a member knows about its federation: the relays' addresses and the signed parameter sets.

Owns which parameter set is believed and which of two governs an epoch. Reads a relay's answers never by itself: the
bytes come from `relay_sessions`, which asked for them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from tessera.errors import InvalidObject
from tessera.params import Parameters

from ..errors import IntegrityError, InvalidInput, UsageError
from . import cards

# What the rounds and the trust rest on; a new set that changes one of these is another federation's.
FIXED = ("federation_id", "root_key", "genesis", "round_seconds", "epoch_rounds", "retention_epochs")

# How far a relay's open round may be off this computer's clock (PROTOCOL §3).
CLOCK_ROUNDS = 1

# A member's day unless the office says otherwise.
DEFAULT_BUDGET = {"epsilon": "2", "delta": "2e-5"}

# What a member is promised, or posts by; the rest of a set is its serial and the list of relays.
_PROMISED = (
    *("thresholds", "epsilon", "delta", "buckets", "members", "tokens_per_epoch", "posts_per_token"),
    *("access_key", "first_epoch", "epochs"),
)


RelayKey = Annotated[bytes, 33]


@dataclass(frozen=True)
class Relay:
    """Where a relay is and the static key (33 bytes) that it must prove to hold."""

    name: str
    key: RelayKey
    host: str
    port: int


@dataclass(frozen=True)
class IssuerService:
    """Where the issuer's service is (PROTOCOL §15) and the static key (33 bytes) that it must prove to hold."""

    host: str
    port: int
    key: RelayKey


@dataclass
class FederationState:
    """What a member keeps of its federation: `params` are the sets believed, oldest first; `budget` as exact decimals;
    `home` is the home relay's key, None for the first relay."""

    name: str
    relays: list[Relay]
    params: list[bytes]
    budget: dict[str, str]
    issuer: IssuerService | None = None
    home: RelayKey | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what no card says."""
        if not (self.relays and self.params):
            raise ValueError("it has no relay, or no parameters")
        if self.budget.keys() != DEFAULT_BUDGET.keys() or not all(map(cards.is_decimal, self.budget.values())):
            raise ValueError("its budget is none")


class Federation:
    """A view of a member's `FederationState`. Raises InvalidObject for parameters that are none."""

    def __init__(self, state: FederationState) -> None:
        self._state = state
        self._sets = [Parameters(blob) for blob in state.params]

    @property
    def relays(self) -> list[Relay]:
        return self._state.relays

    @property
    def name(self) -> str:
        return self._state.name

    @property
    def budget(self) -> dict[str, str]:
        """`{"epsilon", "delta"}` as exact decimals: what all deliveries of one member within a day may add up to. The
        office's setting."""
        return dict(self._state.budget)

    @property
    def issuer(self) -> IssuerService | None:
        """None if the office's issuer is reached by files only."""
        return self._state.issuer

    @property
    def id(self) -> bytes:
        return self.newest.federation_id

    @property
    def digest(self) -> bytes:
        """Of the newest set: what relays and contacts must agree on."""
        return self.newest.digest

    @property
    def newest(self) -> Parameters:
        """The newest set, also while the one before still governs."""
        return self._sets[-1]

    @property
    def home(self) -> Relay:
        """The relay this member's mailbox is on; the first one if IT has taken that out of service."""
        return next((relay for relay in self.relays if relay.key == self._state.home), self.relays[0])

    @property
    def sets(self) -> list[Parameters]:
        """The sets believed, oldest first."""
        return list(self._sets)

    def governing(self, epoch: int) -> Parameters:
        """The set that governs an epoch."""
        started = [known for known in self._sets if known.first_epoch <= epoch]
        return started[-1] if started else self._sets[0]

    def round_at(self, unix_seconds: int) -> int:
        """The round of this moment; 0 before the first one."""
        return max(0, self.newest.round_at(unix_seconds))

    def epoch_of(self, round_: int) -> int:
        return self.newest.epoch_of(round_)

    def round_start(self, round_: int) -> int:
        """Unix seconds at which a round begins."""
        return self.newest.genesis + round_ * self.newest.round_seconds

    def first_round(self, epoch: int) -> int:
        return epoch * self.newest.epoch_rounds

    def first_kept(self, open_round: int) -> int:
        """The first round that a relay keeps while this one is open: a function of the round alone (PROTOCOL §3)."""
        kept_from = self.epoch_of(open_round) - self.newest.retention_epochs
        return self.first_round(max(0, kept_from))

    def records_per_epoch(self, epoch: int) -> int:
        """How many records one member can post in an epoch at most: the indices of a chain (PROTOCOL §7)."""
        governing = self.governing(epoch)
        return int(governing.tokens_per_epoch * governing.posts_per_token)

    def relay_named(self, name: str) -> Relay:
        """Raises UsageError."""
        names = ", ".join(relay.name for relay in self.relays)
        error = UsageError(f"there is no relay '{name}'", f"known: {names}")
        return self._relay(lambda relay: relay.name == name, error)

    def relay_with_key(self, key: bytes) -> Relay:
        """Raises InvalidInput."""
        error = InvalidInput("this relay is not in the federation card", "ask IT for the newest federation card")
        return self._relay(lambda relay: relay.key == key, error)

    def relay_name(self, key: bytes) -> str:
        """For people, also for a relay that IT has taken out of service."""
        return next((known.name for known in self.relays if known.key == key), "(one that is gone)")

    def _relay(self, fits: Callable[[Relay], bool], error: Exception) -> Relay:
        for relay in self.relays:
            if fits(relay):
                return relay
        raise error

    def lags(self, blob: bytes, digest: bytes) -> bool:
        """Whether the set a relay names is an earlier one that promises the same: relays were added or removed since.

        Raises IntegrityError if it is not signed.
        """
        candidate = parsed(blob)
        if candidate.serial >= self.newest.serial or candidate.digest != digest:
            return False
        same = all(getattr(candidate, name) == getattr(self.newest, name) for name in (*FIXED, *_PROMISED))
        schedule = range(candidate.first_epoch, candidate.end_epoch)
        return same and all(candidate.epoch_key(epoch) == self.newest.epoch_key(epoch) for epoch in schedule)

    def live_at(self, name: str) -> None:
        """Choose the home relay. Raises UsageError if there is none of this name."""
        self._state.home = self.relay_named(name).key

    def refresh(self, text: str) -> bool:
        """Take over a newer federation card of the same federation: relays, addresses, budget, parameters. Whether
        anything is different now. An older card changes nothing.

        Raises InvalidInput or IntegrityError for one that is not this federation's.
        """
        found = read_card(text)
        serial = parsed(found.params[0]).serial
        if serial < self.newest.serial:
            return False
        before = replace(self._state)
        if serial > self.newest.serial:
            self.adopt(found.params[0])
        elif found.params[0] != self.newest.blob:
            raise IntegrityError("there are two parameter sets of one serial", "do not use this card; tell IT")
        state = self._state
        state.name, state.relays, state.budget, state.issuer = found.name, found.relays, found.budget, found.issuer
        return before != state

    def adopt(self, blob: bytes) -> None:
        """Believe a newer parameter set. Raises IntegrityError and changes nothing if it is not one of ours."""
        candidate = parsed(blob)
        if candidate.serial <= self.newest.serial:
            raise IntegrityError(
                f"the relay's parameters have serial {candidate.serial}, this member's have {self.newest.serial}",
                "do not use this relay; tell IT",
            )
        if any(getattr(candidate, name) != getattr(self.newest, name) for name in FIXED):
            raise IntegrityError("the relay's parameters are another federation's", "do not use this relay; tell IT")
        self._sets = [*self._sets[-1:], candidate]
        self._state.params = [known.blob for known in self._sets]


def read_card(text: str) -> FederationState:
    """What a member keeps of a federation card. Raises InvalidInput or IntegrityError."""
    fields = cards.decode(text, "federation").fields
    parameters = parsed(fields["params"])
    listed = {static_key for static_key, _ in parameters.relays}
    if not fields["relays"] or any(relay["key"] not in listed for relay in fields["relays"]):
        raise InvalidInput("the federation card names a relay its parameters do not know", "ask IT for a new card")
    relays = [Relay(**relay) for relay in fields["relays"]]
    issuer = IssuerService(**fields["issuer"]) if fields["issuer"] else None
    return FederationState(str(fields["name"]), relays, [fields["params"]], dict(fields["budget"]), issuer)


def parsed(blob: bytes, hint: str = "tell IT") -> Parameters:
    """A parameter set whose signature holds. Raises IntegrityError with the hint."""
    try:
        parameters = Parameters(blob)
        parameters.verify()
    except InvalidObject as error:
        raise IntegrityError(f"these parameters cannot be believed: {error}", hint) from None
    return parameters
