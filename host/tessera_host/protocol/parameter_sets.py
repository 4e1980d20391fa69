"""Signed parameter sets of one federation, old and new: which of them an auditor may accept.

Owns the check against one root key, that of the federation card. What a set's table promises is computed anew from its
integers, whatever the set says of itself.
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import combinations

from tessera.params import CONSTANT, DAY, Parameters

from ..errors import IntegrityError
from ..privacy import composition, noise
from .federation import FIXED, contradict, parsed

_HINT = "ask IT for the right file"


class ParameterSets:
    """Verified sets by digest. The first one given decides which federation it is."""

    def __init__(self, trusted: Parameters) -> None:
        self._trusted = trusted
        self._by_digest: dict[bytes, Parameters] = {}
        self.add(trusted.blob)

    @property
    def federation_id(self) -> bytes:
        """The federation's id (16 bytes)."""
        return self._trusted.federation_id

    @property
    def root_key(self) -> bytes:
        """The root key (32 bytes)."""
        return self._trusted.root_key

    @property
    def newest(self) -> Parameters:
        """The set with the highest serial."""
        return max(self._by_digest.values(), key=lambda each: each.serial)

    def __iter__(self) -> Iterator[Parameters]:
        return iter(sorted(self._by_digest.values(), key=lambda each: (each.serial, each.digest)))

    def add(self, blob: bytes) -> Parameters:
        """Accept one more set. Raises IntegrityError if the root key did not sign it for this federation."""
        found = parsed(blob, _HINT)
        if any(getattr(found, name) != getattr(self._trusted, name) for name in FIXED):
            raise IntegrityError("these settings are from another federation", _HINT)
        known = self._by_digest.setdefault(found.digest, found)
        if len(found.blob) > len(known.blob):  # with the epoch keys of all relays, not of one
            self._by_digest[found.digest] = found
        return found

    def contradictions(self) -> list[list[Parameters]]:
        """Every two sets that no honest issuer has signed both: each names the one before, and there is one of each
        serial (a retry is the same bytes)."""
        return [[one, other] for one, other in combinations(self, 2) if contradict(one, other)]

    def with_digest(self, digest: bytes) -> Parameters | None:
        """Find the set with this digest; None if it is not known."""
        return self._by_digest.get(digest)

    def ledger_keys(self, relay_key: bytes) -> list[bytes]:
        """Collect the ledger keys that any set lists for a relay (one, unless something is wrong)."""
        listed = {relay.ledger_key for each in self for relay in each.relays if relay.static_key == relay_key}
        return sorted(listed)


def is_set(content: bytes) -> bool:
    """Tell whether this is meant to be a parameter set, whatever is in it."""
    return content[:4] == b"TPR2"


def epsilon(parameters: Parameters) -> Fraction:
    """The set's ε, exact."""
    return parameters.epsilon * noise.EPSILON_UNIT


def day_epsilon(parameters: Parameters) -> Fraction:
    """The ε of a member's day, exact."""
    return parameters.day_epsilon * noise.EPSILON_UNIT


def thresholds(parameters: Parameters) -> list[int]:
    """The integers of the set's noise table (u64 each)."""
    packed = bytes(parameters.thresholds)
    return [int.from_bytes(packed[at : at + 8], "big") for at in range(0, len(packed), 8)]


def honest(parameters: Parameters) -> bool:
    """Tell whether the table's integers keep the ε and δ that the set names, those of a day, too. A constant batch has
    no table: its size is what its members can post, or the set is not valid."""
    if parameters.cover == CONSTANT:
        return True
    if exact_delta(parameters) * noise.DRAWS > parameters.delta:
        return False
    return parameters.cover != DAY or bool(day_delta(parameters) * noise.DRAWS <= parameters.day_delta)


def day_delta(parameters: Parameters) -> Fraction:
    """δ, never below the truth, that the set's number of deliveries composes to for the ε of its day, each in a cell of
    its own."""
    return _composed(tuple(thresholds(parameters)), parameters.deliveries, day_epsilon(parameters))


@lru_cache(maxsize=64)  # sets that follow each other have the same table, mostly, and several ask
def _composed(table: tuple[int, ...], deliveries: int, epsilon_of_day: Fraction) -> Fraction:
    return composition.delta_of([composition.Part(table, 1, deliveries)], epsilon_of_day)


def exact_delta(parameters: Parameters) -> Fraction:
    """Compute the δ of the table's integers for the set's ε."""
    return noise.exact_delta(thresholds(parameters), noise.exp_lower(epsilon(parameters)))
