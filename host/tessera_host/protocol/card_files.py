"""Files with several cards, for offices whose issuer is on no network: one card a line, remarks after a `#`.

Owns that form. Which cards go into which file is for `joining_files` (the member's) and `issuer_files` (IT's).
"""

from collections.abc import Sequence

from ..text import printable
from . import cards

MARK = "#"


def read(text: str) -> tuple[list[str], list[str]]:
    """(the cards, the remarks for people), each in order. A card may be broken over several lines, as by mail."""
    lines = [line.strip() for line in text.splitlines()]
    remarks = [printable(line.removeprefix(MARK).strip()) for line in lines if line.startswith(MARK)]
    return cards.split("\n".join(line for line in lines if not line.startswith(MARK))), remarks


def write(made: Sequence[str], remarks: Sequence[str]) -> str:
    """The text of a file; a remark is one line."""
    return "\n".join([*(f"{MARK} {remark}" for remark in remarks), *made]) + "\n"
