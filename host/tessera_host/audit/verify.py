"""Whether a relay's privacy ledger holds: signatures, chain, parameters, firmware, cover commitments (PROTOCOL §11).

Owns the verdict, and nothing that it was reached from: checkpoints come from the relay (ledger.py) and from the
archive of earlier audits (archive.py), parameter sets and releases from whoever audits. Everything here trusts
the root key only. What could not be verified is named, never assumed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tessera.errors import InvalidObject
from tessera.ledger import Checkpoint
from tessera.params import Parameters

from ..kinds_of_cover import IN_WORDS, kind_of
from ..protocol.parameter_sets import ParameterSets, honest

KEPT_CHECKPOINTS = 256  # a relay keeps at least so many

# A set is made with the open epoch as its first, or one up to two later. It governs from the epoch after that in which
# a relay got it, and within an epoch every member meets it: so it is everywhere two epochs after its first.
SETTLING_EPOCHS = 2


@dataclass(frozen=True)
class Finding:
    """One result of an audit that a reader has to know. `broken`: a proof is not valid; otherwise it is a remark."""

    broken: bool
    text: str
    epochs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Firmware:
    """What is known about a firmware digest: its source in words, and whether the root key approved it."""

    label: str
    approved: bool


@dataclass(frozen=True)
class AuditedEpoch:
    """A checkpoint whose signature holds. `whole`: so does everything else that was looked at."""

    checkpoint: Checkpoint
    rounds: int
    serial: int | None
    firmware: Firmware | None
    whole: bool

    @property
    def epoch(self) -> int:
        return int(self.checkpoint.epoch)

    @property
    def rounds_sealed(self) -> int:
        return int(self.checkpoint.rounds_sealed)


@dataclass
class LedgerAudit:
    """The verdict on one relay. `first` to `last` are the epochs that were looked for."""

    relay: str
    key: bytes
    first: int
    last: int
    epochs: list[AuditedEpoch] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether no finding is broken."""
        return not any(finding.broken for finding in self.findings)

    @property
    def verified(self) -> list[int]:
        """The epochs for which everything was verified, in order."""
        return [each.epoch for each in self.epochs if each.whole]

    def parameter_digests(self) -> list[tuple[bytes, list[int]]]:
        """(digest of the parameters, verified epochs under them), the earliest epoch first."""
        return list(_by([each.checkpoint for each in self.epochs if each.whole], "parameter_digest").items())


def issuer_findings(sets: ParameterSets) -> list[Finding]:
    """A finding for every two signed sets that contradict each other, from whichever relay or file they came."""
    return [Finding(True, _contradiction(pair)) for pair in sets.contradictions()]


@dataclass(frozen=True)
class Evidence:
    """What is known before a relay is asked: sets under the root key, and firmware by its digest."""

    sets: ParameterSets
    firmware: Mapping[bytes, Firmware]


class Auditor:
    """Verifies the checkpoints of one relay, the oldest first. key: the relay's static key, 33 bytes."""

    def __init__(self, evidence: Evidence, relay: str, key: bytes) -> None:
        self._evidence = evidence
        self._relay, self._key = relay, key
        self._ledger_keys = evidence.sets.ledger_keys(key)
        self._findings: list[Finding] = []
        self._spoilt: set[int] = set()

    def verify(
        self, shown: Mapping[int, bytes], archived: Mapping[int, bytes], open_epoch: int, damaged: Iterable[int] = ()
    ) -> LedgerAudit:
        """The verdict on a relay. shown: the checkpoints (250 bytes) that it showed, by the epoch asked for; archived:
        those that earlier audits kept; damaged: epochs that it cannot show."""
        signed = {epoch: found for epoch in sorted(shown) if (found := self._signed(epoch, shown[epoch]))}
        kept = {epoch: Checkpoint(blob) for epoch, blob in archived.items()}
        self._compare(signed, kept, shown)
        self._note_damage(list(damaged))
        chain = [(signed | kept)[epoch] for epoch in sorted(signed | kept)]
        self._check_links(chain)
        self._check_commitments(chain)
        self._check_serials(chain)
        self._note_late(chain)
        self._check_contradictions(chain)
        self._check_tables(chain)
        self._check_contents(chain)
        epochs = [self._audited(checkpoint) for checkpoint in chain]
        first = min([*shown, *kept], default=open_epoch)
        missing = self._missing([each.epoch for each in epochs], first, open_epoch)
        self._note_short(epochs)
        return LedgerAudit(self._relay, self._key, first, open_epoch - 1, epochs, missing, self._findings)

    def _find(self, broken: bool, text: str, *epochs: int) -> None:
        self._findings.append(Finding(broken, text, epochs))
        if broken:
            self._spoilt.update(epochs)

    def _signed(self, epoch: int, blob: bytes) -> Checkpoint | None:
        """The checkpoint, if the relay's ledger key signed it for this epoch; else None and a finding."""
        try:
            checkpoint = Checkpoint(blob)
            if (checkpoint.federation_id, checkpoint.relay_key) != (self._evidence.sets.federation_id, self._key):
                raise InvalidObject("it belongs to another relay")
            if checkpoint.epoch != epoch:
                raise InvalidObject(f"it is the checkpoint of epoch {checkpoint.epoch}")
            if not any(_verifies(checkpoint, key) for key in self._ledger_keys):
                raise InvalidObject("the relay's ledger key did not sign it")
        except InvalidObject as error:
            self._find(True, f"what the relay shows for epoch {epoch} is not its checkpoint: {error}", epoch)
            return None
        return checkpoint

    def _compare(
        self, signed: Mapping[int, Checkpoint], kept: Mapping[int, Checkpoint], shown: Mapping[int, bytes]
    ) -> None:
        """The relay must show again what it showed before, as long as it keeps it."""
        for epoch in sorted(kept):
            if epoch in signed and signed[epoch].blob != kept[epoch].blob:
                text = f"the relay signed two different checkpoints for epoch {epoch}: an earlier audit saw the other"
                self._find(True, text, epoch)
            newer = sum(1 for other in signed if other > epoch)
            if shown and epoch not in shown and newer < KEPT_CHECKPOINTS:
                self._find(True, f"the relay no longer shows epoch {epoch}, which an earlier audit verified", epoch)

    def _note_damage(self, damaged: list[int]) -> None:
        if damaged:
            text = f"the relay says that its ledger is damaged; it does not show {in_words(damaged)}"
            self._find(True, text, *damaged)

    def _check_links(self, chain: list[Checkpoint]) -> None:
        for before, after in zip([None, *chain], chain, strict=False):
            if before is None:
                if any(after.previous):
                    text = f"the oldest checkpoint that the relay shows is of epoch {after.epoch}, not its first epoch"
                    self._find(False, text, after.epoch)
            elif after.previous != before.link():
                text = f"the chain is broken: the checkpoint of epoch {after.epoch} does not follow {before.epoch}'s"
                self._find(True, text, before.epoch, after.epoch)

    def _check_commitments(self, chain: list[Checkpoint]) -> None:
        """Every epoch has a cover key of its own; a commitment seen twice is a key used twice."""
        seen: dict[bytes, int] = {}
        for checkpoint in chain:
            first = seen.setdefault(checkpoint.cover_commitment, checkpoint.epoch)
            if first != checkpoint.epoch:
                text = f"epochs {first} and {checkpoint.epoch} have the same cover: it hides nothing in either"
                self._find(True, text, first, checkpoint.epoch)

    def _check_serials(self, chain: list[Checkpoint]) -> None:
        """Parameters are verified sets of this federation, govern the epoch, and never go back; changes are shown.

        A relay has no other for the epochs before its first set's than that set.
        """
        before = None
        after_end: list[int] = []
        for checkpoint in chain:
            epoch = checkpoint.epoch
            found = self._evidence.sets.with_digest(checkpoint.parameter_digest)
            if found is None:
                continue
            if epoch < found.first_epoch and (before is not None or self._had_one_before(found)):
                text = f"epoch {epoch} names the parameters of serial {found.serial}, which do not apply to it"
                self._find(True, text, epoch)
            if epoch >= found.end_epoch:
                after_end.append(epoch)
            if before is not None and found.serial < before.serial:
                text = f"in epoch {epoch} the parameters went back from serial {before.serial} to {found.serial}"
                self._find(True, text, epoch)
            elif before is not None and found.digest != before.digest:
                self._find(False, _change(epoch, before, found), epoch)
            before = found
        if after_end:
            text = f"in {in_words(after_end)} the schedule of keys had ended: records were kept, but nobody could post"
            self._find(False, text, *after_end)

    def _had_one_before(self, found: Parameters) -> bool:
        """Whether the relay was listed in an earlier set."""
        return any(each.serial < found.serial and each.relay_with(self._key) for each in self._evidence.sets)

    def _note_late(self, chain: list[Checkpoint]) -> None:
        """Epochs under a set when a later one was everywhere else; not those in which the relay came back after it had
        been off, and was given that set."""
        late: dict[tuple[int, int, int], list[int]] = {}
        running = 0  # epochs since it was off
        for before, checkpoint in zip([None, *chain], chain, strict=False):
            epoch = checkpoint.epoch
            whole = checkpoint.rounds_sealed >= self._evidence.sets.newest.epoch_rounds
            running = running + 1 if whole and before is not None and before.epoch == epoch - 1 else 0
            found = self._evidence.sets.with_digest(checkpoint.parameter_digest)
            due = self._due(found, epoch, epoch - running) if found else None
            if found and due and running >= SETTLING_EPOCHS:
                late.setdefault((found.serial, due.serial, due.first_epoch), []).append(epoch)
        for (serial, newer, first), epochs in late.items():
            text = (
                f"{in_words(epochs)} still had the parameters of serial {serial}, though those of serial {newer} were "
                f"made for epoch {first} and later: nobody brought them to the relay (tessera relay push)"
            )
            self._find(False, text, *epochs)

    def _due(self, found: Parameters, epoch: int, back: int) -> Parameters | None:
        """The newest set that was to govern this epoch everywhere, if it is newer than this one. One that another
        replaced before it came into force, or before the relay was on again (in epoch `back`), says nothing."""
        newer = [each for each in self._evidence.sets if each.serial > found.serial and each.relay_with(self._key)]
        replaced = {
            each.digest
            for each in newer
            for later in newer
            if later.serial > each.serial and later.first_epoch - max(each.first_epoch, back) <= SETTLING_EPOCHS + 1
        }
        due = [each for each in newer if each.first_epoch + SETTLING_EPOCHS <= epoch and each.digest not in replaced]
        return due[-1] if due else None

    def _check_contradictions(self, chain: list[Checkpoint]) -> None:
        """Epochs under a set that another of the issuer's contradicts: what was promised then is not known."""
        for pair in self._evidence.sets.contradictions():
            digests = {each.digest for each in pair}
            epochs = [each.epoch for each in chain if each.parameter_digest in digests]
            if epochs:
                text = (
                    f"the issuer signed {_how_they_contradict(pair)}, and one of them was in force in "
                    f"{in_words(epochs)}: it is not known which of them members were told"
                )
                self._find(True, text, *epochs)

    def _check_tables(self, chain: list[Checkpoint]) -> None:
        for found in self._evidence.sets:
            epochs = [each.epoch for each in chain if each.parameter_digest == found.digest]
            if epochs and not honest(found):
                text = f"the noise table of serial {found.serial} does not keep the ε and δ that it was signed with"
                self._find(True, text, *epochs)

    def _check_contents(self, chain: list[Checkpoint]) -> None:
        """Parameters and firmware that nobody vouches for, one finding each however many epochs had them; rounds that
        an epoch does not have."""
        for digest, epochs in _by(chain, "parameter_digest").items():
            if self._evidence.sets.with_digest(digest) is None:
                text = (
                    f"the parameters of {in_words(epochs)} (digest {digest.hex()[:16]}…) are not known here, so their "
                    "cover was not verified; IT has all sets: give its folder 'sets' with --parameters"
                )
                self._find(True, text, *epochs)
        for digest, epochs in _by(chain, "firmware_digest").items():
            if digest not in self._evidence.firmware:
                named = f"{in_words(epochs)} (digest {digest.hex()[:16]}…)"
                text = f"for the firmware of {named} no approved release is known"
                self._find(True, text, *epochs)
        rounds = self._evidence.sets.newest.epoch_rounds
        for checkpoint in chain:
            if checkpoint.rounds_sealed > rounds:
                text = f"epoch {checkpoint.epoch} claims {checkpoint.rounds_sealed} sealed rounds, but has {rounds}"
                self._find(True, text, checkpoint.epoch)

    def _audited(self, checkpoint: Checkpoint) -> AuditedEpoch:
        found = self._evidence.sets.with_digest(checkpoint.parameter_digest)
        return AuditedEpoch(
            checkpoint,
            self._evidence.sets.newest.epoch_rounds,
            found.serial if found else None,
            self._evidence.firmware.get(checkpoint.firmware_digest),
            checkpoint.epoch not in self._spoilt,
        )

    def _missing(self, present: list[int], first: int, open_epoch: int) -> list[int]:
        missing = sorted(set(range(first, open_epoch)) - set(present))
        if missing:
            text = f"there is no checkpoint of {in_words(missing)}, so nothing was verified for that time"
            self._find(False, text, *missing)
        return missing

    def _note_short(self, epochs: list[AuditedEpoch]) -> None:
        short = [each.epoch for each in epochs if each.rounds_sealed < each.rounds]
        if short:
            text = (
                f"in {in_words(short)} the relay sealed fewer rounds than the epoch has: it was off, was restarted, or "
                "had no clock for a while. That costs availability, not cover"
            )
            self._find(False, text, *short)


def _by(chain: list[Checkpoint], field_name: str) -> dict[bytes, list[int]]:
    """Epochs by what their checkpoints have in a field."""
    found: dict[bytes, list[int]] = {}
    for checkpoint in chain:
        found.setdefault(getattr(checkpoint, field_name), []).append(checkpoint.epoch)
    return found


def _verifies(checkpoint: Checkpoint, ledger_key: bytes) -> bool:
    try:
        checkpoint.verify(ledger_key)
    except InvalidObject:
        return False
    return True


def _change(epoch: int, before: Parameters, after: Parameters) -> str:
    """What changed between two sets, of what members are promised."""
    what = _differences([before, after], " → ")
    return f"new parameters are in force from epoch {epoch} on (serial {before.serial} → {after.serial}): {what}"


def _contradiction(pair: Sequence[Parameters]) -> str:
    named = " and ".join(f"{each.digest.hex()[:16]}…" for each in pair)
    return (
        f"the issuer signed {_how_they_contradict(pair)} (digests {named}), which differ in "
        f"{_differences(pair, ' or ')}. A member who has one of them does not know what others were told"
    )


def _how_they_contradict(pair: Sequence[Parameters]) -> str:
    one, other = pair
    if one.serial == other.serial:
        return f"two different sets of serial {one.serial}"
    serials = f"serials {one.serial} and {other.serial}"
    if one.previous == other.previous:
        return f"two sets that follow the same one ({serials})"
    return f"two sets that are not of one chain ({serials})"


def _differences(sets: Sequence[Parameters], between: str) -> str:
    """Of what members are promised and told."""
    names = {
        "epsilon": "ε (millionths)",
        "delta": "δ (of 2^64)",
        "candidates": "cover records at most",
        "constant": "records in a constant batch",
        "deliveries": "deliveries in a day",
        "day_epsilon": "ε of a day (millionths)",
        "day_delta": "δ of a day (of 2^64)",
        "buckets": "buckets",
        "members": "members",
        "tokens_per_epoch": "tokens for each member",
        "posts_per_token": "posts with each token",
    }
    values = {words: [str(getattr(each, name)) for each in sets] for name, words in names.items()}
    values["kind of cover"] = [IN_WORDS[kind_of(each)] for each in sets]
    values["what cards say besides (names, addresses, budget)"] = [f"{each.card_hash.hex()[:16]}…" for each in sets]
    changed = [f"{words} {between.join(found)}" for words, found in values.items() if len(set(found)) > 1]
    return ", ".join(changed) or "nothing that members are promised"


def spans(epochs: Iterable[int]) -> list[tuple[int, int]]:
    """Runs of epochs, first and last of each."""
    runs: list[tuple[int, int]] = []
    for epoch in sorted(epochs):
        if runs and runs[-1][1] == epoch - 1:
            runs[-1] = (runs[-1][0], epoch)
        else:
            runs.append((epoch, epoch))
    return runs


def in_words(epochs: Iterable[int]) -> str:
    """epoch 3; epochs 3 to 7, 9 and 12"""
    parts = [str(first) if first == last else f"{first} to {last}" for first, last in spans(epochs)]
    if not parts:
        return "no epoch"
    one = len(parts) == 1 and " " not in parts[0]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"{'epoch' if one else 'epochs'} {listed}"
