"""The sets that relays may go by besides the newest, and since when each governs: said to members with the federation
card (PROTOCOL §12, §15).

Owns that form. What of it is accepted is for whoever is told: a set says by its signature what it is, and what a relay
names in INFO holds there, whatever is said here of when.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from . import cards

_KIND = "sets"


class SetBeside(NamedTuple):
    """`since`: the first epoch that the set governs where it is known in time; blob: the set, whole or as one relay
    has it."""

    since: int
    blob: bytes


@dataclass(frozen=True)
class SetsBeside:
    """The digest (32 bytes) of the newest set, `since` of it, and the others, oldest first."""

    digest: bytes
    since: int
    others: list[SetBeside] = field(default_factory=list)

    def fields(self) -> dict[str, Any]:
        """Make the fields of a card or an answer."""
        return {"digest": self.digest, "since": self.since, "before": [list(each) for each in self.others]}

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """Read such fields. Raises ValueError if they are not valid."""
        if not cards.holds(_KIND, {name: fields.get(name) for name in ("digest", "since", "before")}):
            raise ValueError("these are no sets")
        return cls(fields["digest"], fields["since"], [SetBeside(*each) for each in fields["before"]])

    def card(self) -> str:
        """Write it as a card."""
        return cards.encode(_KIND, self.fields())

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a card. Raises InvalidInput."""
        return cls.of(cards.decode(text, _KIND).fields)
