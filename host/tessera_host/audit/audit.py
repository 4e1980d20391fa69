"""An audit of a federation's relays: what is known is gathered, each relay is asked, each ledger judged and archived.

Owns the order. Leaves to others: the questions (ledger.py), the verdict (verify.py), the archive
(archive.py), what is shown of it (host/tessera_host/report).
"""

import contextlib
import importlib.util
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tessera.errors import InvalidObject
from tessera.firmware import digest_of_files
from tessera.release import Release, version_text

from .. import duration
from ..errors import IntegrityError, InvalidInput
from ..protocol import releases
from ..protocol.federation import CLOCK_ROUNDS, Federation, Relay
from ..protocol.parameter_sets import ParameterSets
from ..relay.ledger import LedgerAnswers
from . import published
from .archive import AuditArchive
from .published import PublishedSet
from .verify import Auditor, Evidence, Finding, Firmware, LedgerAudit, issuer_findings


@dataclass
class Gathered:
    """What an audit begins with: a federation card that is believed, an archive, and files that were given; `published`
    are lists of sets that others made, by where each came from."""

    federation: Federation
    archive: AuditArchive
    sets: ParameterSets
    firmware: dict[bytes, Firmware] = field(default_factory=dict)
    published: dict[str, list[PublishedSet]] = field(default_factory=dict)

    def against_issuer(self) -> list[Finding]:
        """What the issuer signed that cannot all be true, and what others' lists say against it."""
        compared = [published.compare(self.sets, lines, source) for source, lines in self.published.items()]
        return [*issuer_findings(self.sets), *itertools.chain.from_iterable(compared)]

    def evidence(self) -> Evidence:
        return Evidence(self.sets, self.firmware)


def gather(
    federation: Federation,
    archive: AuditArchive,
    parameter_files: Iterable[Path],
    release_paths: Iterable[Path],
    published_lists: Iterable[Path] = (),
) -> Gathered:
    """Read and verify the archive and the files that were given. Raises InvalidInput, IntegrityError, which name the
    file."""
    lists = {str(path): published.read(path) for path in published_lists}
    gathered = Gathered(federation, archive, ParameterSets(federation.newest), published=lists)
    archive.add_parameters(gathered.sets)
    for path in _inside(parameter_files, "*.tpr", "parameter set", "name IT's folder 'sets'"):
        gathered.sets.add(releases.read_artifact(path))
    gathered.firmware |= _installed()
    approved = _inside(release_paths, "*.release", "release", "name build/BOARD after tessera issuer approve")
    for path in [*archive.releases(), *approved]:
        release = _approved(path, gathered.sets)
        label = f"version {version_text(release.version)} for {release.board}, approved by the issuer"
        gathered.firmware[release.firmware_digest] = Firmware(label, True)
        archive.keep_release(release)
    return gathered


def learn(gathered: Gathered, answers: LedgerAnswers) -> None:
    """Add a relay's parameters to the known sets, before any relay is judged: one relay's may contradict another's. A
    set that is not valid is ignored here; `judge` reports it."""
    with contextlib.suppress(IntegrityError):
        gathered.sets.add(answers.parameters)


def judge(gathered: Gathered, relay: Relay, answers: LedgerAnswers, own_round: int) -> LedgerAudit:
    """The verdict on a relay that answered; what was verified goes into the archive. own_round: the round by this
    computer's clock."""
    remarks = _take_parameters(gathered.sets, answers, own_round)
    archived = gathered.archive.checkpoints(relay.key, gathered.sets.ledger_keys(relay.key))
    auditor = Auditor(gathered.evidence(), relay.name, relay.key)
    found = auditor.verify(answers.checkpoints, archived, answers.open_epoch, answers.damaged)
    running = gathered.firmware.get(answers.figures.firmware_digest)
    if running is None:
        remarks.append(Finding(True, "the relay says that it runs firmware for which no approved release is known"))
    found.findings[:0] = remarks
    gathered.archive.keep_parameters(gathered.sets)
    gathered.archive.keep_checkpoints(relay.key, [each.checkpoint.blob for each in found.epochs])
    return found


def judge_archived(gathered: Gathered, relay: Relay) -> LedgerAudit:
    """The verdict on a relay from the archive alone. Raises InvalidInput if the archive has nothing about it."""
    archived = gathered.archive.checkpoints(relay.key, gathered.sets.ledger_keys(relay.key))
    if not archived:
        raise InvalidInput(f"the archive has nothing about the relay '{relay.name}'", "audit it once without --offline")
    found = Auditor(gathered.evidence(), relay.name, relay.key).verify({}, archived, max(archived) + 1)
    found.findings.insert(0, Finding(False, "the relay was not asked: this is what earlier audits kept"))
    return found


def _take_parameters(sets: ParameterSets, answers: LedgerAnswers, own_round: int) -> list[Finding]:
    """The relay's newest set, if the root key signed it; whether it is what the relay names, as is the one in force;
    and whether its clock is ours."""
    findings = []
    try:
        found = sets.add(answers.parameters)
    except IntegrityError as error:
        findings.append(Finding(True, f"the relay's parameters: {error.message}"))
    else:
        if found.digest != answers.newest_digest:
            findings.append(Finding(True, "the relay names one set as its newest, but shows another one"))
    if sets.with_digest(answers.digest) is None:
        text = (
            f"the set that is in force at the relay now (digest {answers.digest.hex()[:16]}…) is not known here: give "
            "IT's folder 'sets' with --parameters"
        )
        findings.append(Finding(False, text))
    apart = answers.open_round - own_round
    if abs(apart) > CLOCK_ROUNDS:
        off = duration.about(abs(apart) * sets.newest.round_seconds)
        side = "ahead of" if apart > 0 else "behind"
        findings.append(Finding(False, f"the relay's clock is about {off} {side} this computer's: check both"))
    return findings


def _installed() -> dict[bytes, Firmware]:
    """The core that came with this program: who audits can read its source."""
    found = importlib.util.find_spec("tessera")
    folders = list(found.submodule_search_locations or []) if found else []
    if not folders:
        return {}
    label = "the same source as the core in this program; no approved release of it was given"
    return {digest_of_files(folders[0]): Firmware(label, False)}


def _inside(paths: Iterable[Path], pattern: str, what: str, hint: str) -> list[Path]:
    """Files as they are, of a folder every one in it that fits the pattern."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob(pattern)) if path.is_dir() else [path]
        if not inside:
            raise InvalidInput(f"there is no {what} in {path}", hint)
        found += inside
    return found


def _approved(path: Path, sets: ParameterSets) -> Release:
    release = releases.load(path)
    try:
        if release.federation_id != sets.federation_id:
            raise InvalidObject("it belongs to another federation")
        release.verify(sets.root_key)
    except InvalidObject as error:
        raise IntegrityError(f"the release {path} is not valid: {error}", "ask IT for the right one") from None
    return release
