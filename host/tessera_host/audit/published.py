"""The digests of a federation's parameter sets as an auditor publishes them, and what others published, compared.

Owns the list: a line a set, `serial digest previous first_epoch`, digests in hex; lines that begin with # are remarks.
A list is not signed: what it contradicts is a reason to ask for the set itself, which is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidInput
from ..files import read_text
from ..protocol.federation import contradict
from ..protocol.parameter_sets import ParameterSets
from .verify import Finding

_LINE = re.compile(r"(\d{1,10}) ([0-9a-f]{64}) ([0-9a-f]{64}) (\d{1,10})", re.ASCII)


@dataclass(frozen=True)
class PublishedSet:
    """What a line says of a set; digests of 32 bytes."""

    serial: int
    digest: bytes
    previous: bytes
    first_epoch: int


def of(sets: ParameterSets) -> list[PublishedSet]:
    """The lines for all sets that are known here, by serial."""
    return [PublishedSet(each.serial, each.digest, each.previous, each.first_epoch) for each in sets]


def render(sets: ParameterSets, name: str) -> bytes:
    """The list as a text file, UTF-8."""
    head = [f"# Parameter sets of '{name}', {sets.federation_id.hex()}", "# serial digest previous first_epoch"]
    lines = [f"{each.serial} {each.digest.hex()} {each.previous.hex()} {each.first_epoch}" for each in of(sets)]
    return "".join(f"{line}\n" for line in [*head, *lines]).encode()


def read(path: Path) -> list[PublishedSet]:
    """Read a list. Raises InvalidInput, which names the first line that is malformed."""
    found = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        fields = _LINE.fullmatch(text)
        if not fields:
            raise InvalidInput(
                f"{path}, line {number} is not a line of a list of sets", "tessera audit --publish writes such lists"
            )
        serial, digest, previous, first_epoch = fields.groups()
        found.append(PublishedSet(int(serial), bytes.fromhex(digest), bytes.fromhex(previous), int(first_epoch)))
    return found


def compare(sets: ParameterSets, published: Iterable[PublishedSet], source: str) -> list[Finding]:
    """Findings on every line of another auditor's list that contradicts the sets known here; a remark on newer sets.
    source: where the list is from, for the texts."""
    findings = []
    newer = []
    for line in published:
        against = [each for each in of(sets) if contradict(line, each)]
        if against:
            named = ", ".join(f"serial {each.serial}, digest {each.digest.hex()[:16]}…" for each in against)
            text = (
                f"{source} names a set of serial {line.serial} (digest {line.digest.hex()[:16]}…) that contradicts "
                f"those known here ({named}): the issuer told others something different, or the list is wrong. Ask "
                "for that set"
            )
            findings.append(Finding(True, text))
        elif line.serial > sets.newest.serial:
            newer.append(line.serial)
    if newer:
        text = f"{source} names sets up to serial {max(newer)}, newer than those known here: use IT's newest card"
        findings.append(Finding(False, text))
    return findings
