"""Files with several cards, for offices whose issuer is on no network: one card a line, remarks after a `#`.

Owns that form. Which cards go into which file is for `joining_files` (the member's) and `issuer.files` (IT's).
"""

from collections.abc import Sequence

from ..text import one_line
from . import card_finding

MARK = "#"


def read(text: str) -> tuple[list[str], list[str]]:
    """Read (the cards, the remarks for people), each in order, also from text that mail programs changed
    (card_finding)."""
    lines = [line.strip() for line in card_finding.lines(text)]
    remarks = [one_line(line.removeprefix(MARK).strip()) for line in lines if line.startswith(MARK)]
    return card_finding.find("\n".join(line for line in lines if not line.startswith(MARK))), remarks


def write(made: Sequence[str], remarks: Sequence[str]) -> str:
    """Write the text of a file; a remark is one line."""
    return "\n".join([*(f"{MARK} {one_line(remark)}" for remark in remarks), *made]) + "\n"
