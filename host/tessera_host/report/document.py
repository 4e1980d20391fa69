"""What a report is made of: sections of paragraphs, lists, tables, figures and notices. Plain text, no markup.

Owns nothing of how it looks: html.py and pdf.py each show every part that is here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from .plots import Plot


class Basis(Enum):
    """What a statement rests on. A report never states more than was verified, and says of everything which it is."""

    COMPUTED = "computed from the signed parameters"
    PLANNED = "computed from the planned parameters"
    VERIFIED = "verified from the relays' signed checkpoints"
    SIGNED = "as the relay signed it; verified where it says so"
    STATED = "stated: property of the design, not measured here"


class Tone(Enum):
    """How a notice is meant."""

    GOOD = "Holds"
    REMARK = "Note"
    BAD = "Does not hold"


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True)
class Notice:
    """A sentence that must not be missed."""

    tone: Tone
    text: str


@dataclass(frozen=True)
class Table:
    """`widths` are the columns' shares of the width. The first cell of a row names it."""

    caption: str
    basis: Basis
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[int]


@dataclass(frozen=True)
class Figure:
    """`description` says in words what the picture shows, for a reader who cannot see it."""

    caption: str
    basis: Basis
    description: str
    plot: Plot


Block = Paragraph | Bullets | Notice | Table | Figure


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]

    def text(self) -> str:
        return "\n".join([self.title, *map(_text, self.blocks)])


@dataclass(frozen=True)
class Document:
    """`facts` are name and value pairs under the title; `date` is ISO 8601, as it is shown."""

    title: str
    subject: str
    date: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section] = field(default_factory=list)

    def text(self) -> str:
        """Every word of it, for searching."""
        words = [self.title, self.subject, self.date, *(f"{name} {value}" for name, value in self.facts)]
        return "\n".join([*words, *(section.text() for section in self.sections)])


def _text(block: Block) -> str:
    match block:
        case Bullets(items):
            return "\n".join(items)
        case Table(caption, basis, header, rows, _):
            return "\n".join([caption, basis.value, " ".join(header), *(" ".join(row) for row in rows)])
        case Figure(caption, basis, description, _):
            return "\n".join([caption, basis.value, description])
        case Notice(tone, text):
            return f"{tone.value}: {text}"
        case Paragraph(text):
            return text
