"""What was verified of the relays' privacy ledgers, and what was not: the part of a report that rests on evidence.

Owns how a verdict is shown. The verdict is audit.verify's. Nothing here is said of an epoch that was not verified.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ..audit import covers
from ..audit.verify import AuditedEpoch, Finding, LedgerAudit, in_words, spans
from ..clock import utc_time
from ..kinds_of_cover import CONSTANT, kind_of
from ..privacy import noise
from ..protocol.parameter_sets import ParameterSets
from . import plots
from .document import Basis, Block, Bullets, Figure, Notice, Paragraph, Table, Tone


def not_audited() -> list[Block]:
    """For a report on a plan."""
    return [
        Notice(Tone.REMARK, "No relay was audited for this annex. It describes a plan: nothing in it was verified."),
        Paragraph(
            "Once relays are in service, “tessera audit” fetches their signed checkpoints, verifies them, and writes "
            "this annex with what was verified."
        ),
    ]


def meaning(sets: ParameterSets) -> list[Block]:
    """What a checkpoint proves and what it cannot."""
    constant = "a constant batch has a record of every token"
    tables = "a noise table has its ε and δ, recomputed from its integers"
    kinds = {kind_of(each) == CONSTANT for each in sets}
    keeps = ", ".join([*([constant] if True in kinds else []), *([tables] if False in kinds else [])])
    return [
        Paragraph(
            "After every epoch a relay signs a checkpoint: how many rounds it sealed, the digest of the parameters "
            "that governed it (and with them the kind of cover and its numbers), a commitment to the secret that its "
            "cover was made from, and the digest of its firmware. Each checkpoint contains a hash of the one before, "
            "so that none can be changed, left out or put in later without that being found."
        ),
        Bullets(
            [
                "Verified here: each signature under the ledger key that the root key listed; each link of the "
                "chain; that the parameters named are a set that the root key signed, made for that epoch or one "
                "before it, and never went back; that all sets seen are of one chain, in which each names the one "
                f"before it, so that members were told the same; that their cover keeps what it says: {keeps}; that no "
                "two epochs had the same cover; that the firmware is known; that the relay tells the story it told at "
                "earlier audits.",
                "A relay that was off when a set was made gets it when it is back, and has it in force from the next "
                "epoch on; until then it keeps the rules of the set before. Past the end of a schedule of keys nothing "
                "is posted; what is there is kept and served as before.",
                "Not verifiable from afar: that the board does what its firmware should. The firmware digest is the "
                "relay's own word, under its key. The cover itself is recomputed byte for byte once, when a relay "
                "is put into service; later its secret is never disclosed, as that would undo it.",
            ]
        ),
    ]


def summary(audits: Sequence[LedgerAudit], against_issuer: Sequence[Finding]) -> list[Block]:
    """What there is against the issuer, and a line a relay, for the top of the report."""
    return [*_issuer(against_issuer), *(_verdict(audit) for audit in audits)]


def pages(audits: Sequence[LedgerAudit], sets: ParameterSets, against_issuer: Sequence[Finding]) -> list[Block]:
    blocks = _issuer(against_issuer)
    for number, audit in enumerate(audits, 1):
        blocks += _relay(number, audit, sets)
    return blocks


def _issuer(against_issuer: Sequence[Finding]) -> list[Block]:
    return [Notice(Tone.BAD if each.broken else Tone.REMARK, each.text + ".") for each in against_issuer]


def _verdict(audit: LedgerAudit) -> Notice:
    verified = len(audit.verified)
    looked = audit.last - audit.first + 1
    if not audit.holds:
        count = sum(1 for finding in audit.findings if finding.broken)
        things = "one thing does" if count == 1 else f"{count} things do"
        text = f"relay {audit.relay}: {things} not hold. {verified} of {looked} epochs were verified; see its section."
        return Notice(Tone.BAD, text)
    if not verified:
        return Notice(Tone.REMARK, f"relay {audit.relay}: it has no checkpoint yet. Nothing was verified.")
    text = f"relay {audit.relay}: {_of(verified, looked)} verified, {in_words(audit.verified)}."
    return Notice(Tone.GOOD if not audit.missing else Tone.REMARK, text)


def _of(verified: int, looked: int) -> str:
    if verified == looked:
        return "the one epoch looked at was" if looked == 1 else f"all {looked} epochs looked at were"
    return f"{verified} of {looked} epochs were"


def _relay(number: int, audit: LedgerAudit, sets: ParameterSets) -> list[Block]:
    key = f"Relay {audit.relay}, static key {audit.key.hex()}."
    blocks: list[Block] = [Paragraph(key), _verdict(audit)]
    blocks += [Notice(Tone.BAD if each.broken else Tone.REMARK, each.text + ".") for each in audit.findings]
    if not audit.epochs:
        return blocks
    blocks.append(_parameters(audit, sets))
    blocks.append(_firmware(audit))
    blocks.append(_picture(number, audit))
    blocks.append(_checkpoints(audit, sets))
    return blocks


def _parameters(audit: LedgerAudit, sets: ParameterSets) -> Table:
    governed = [(sets.with_digest(digest), epochs) for digest, epochs in audit.parameter_digests()]
    rows = [_set_row(found, epochs) for found, epochs in governed]
    rows = rows or [("none", "no epoch was verified", "", "")]
    caption = f"Relay {audit.relay}: parameters in force in verified epochs"
    return Table(
        caption,
        Basis.VERIFIED,
        ("Serial", "Epochs", "Cover, recomputed from the set", "Members, buckets"),
        rows,
        (2, 5, 6, 4),
    )


def _set_row(found: Any, epochs: list[int]) -> tuple[str, str, str, str]:
    share = noise.decimal(Fraction(found.members, found.buckets), 1)
    return (
        str(found.serial),
        in_words(epochs),
        _cover(found),
        f"{found.members} in {found.buckets}: {share} each",
    )


def _cover(found: Any) -> str:
    """Where nothing shows there is no ε to name."""
    if kind_of(found) != CONSTANT:
        return covers.in_words(found)
    return f"constant batches of {found.members * found.tokens_per_epoch} records, one of every token"


def _firmware(audit: LedgerAudit) -> Table:
    found: dict[bytes, list[AuditedEpoch]] = {}
    for each in audit.epochs:
        found.setdefault(each.checkpoint.firmware_digest, []).append(each)
    rows = [
        (
            digest.hex()[:16] + "…",
            in_words(each.epoch for each in group),
            group[0].firmware.label if group[0].firmware else "unknown: not approved, not given",
        )
        for digest, group in found.items()
    ]
    caption = f"Relay {audit.relay}: firmware, by the digest that the relay reports"
    return Table(caption, Basis.SIGNED, ("Digest", "Epochs", "Known as"), rows, (4, 5, 8))


def _picture(number: int, audit: LedgerAudit) -> Figure:
    sealed = [(each.epoch, each.rounds_sealed) for each in audit.epochs]
    rounds = audit.epochs[0].rounds
    broken = [each.epoch for each in audit.epochs if not each.whole]
    total = sum(count for _, count in sealed)
    description = (
        f"{total} rounds in {len(sealed)} epochs, of {rounds} an epoch; the fewest in one epoch: "
        f"{min(count for _, count in sealed)}. Without a checkpoint: {in_words(audit.missing)}. "
        f"Not verified: {in_words(broken)}."
    )
    plot = plots.rounds_sealed(f"sealed-{number}", sealed, rounds, audit.missing, broken)
    return Figure(f"Relay {audit.relay}: rounds sealed an epoch", Basis.SIGNED, description, plot)


def _checkpoints(audit: LedgerAudit, sets: ParameterSets) -> Table:
    """Runs of epochs that say the same are one row; what was not verified stands alone."""
    rows = []
    for group in _alike(audit.epochs):
        first, last = group[0], group[-1]
        begins, ends = _date(sets, first.epoch), _date(sets, last.epoch + 1)
        rows.append(
            (
                str(first.epoch) if first is last else f"{first.epoch} to {last.epoch}",
                f"{begins} to {ends}",
                str(first.rounds_sealed) if len({e.rounds_sealed for e in group}) == 1 else "see picture",
                "unknown" if first.serial is None else str(first.serial),
                "verified" if first.whole else "NOT VERIFIED",
            )
        )
    header = ("Epochs", "Time (UTC)", "Rounds sealed", "Serial", "Verdict")
    return Table(f"Relay {audit.relay}: checkpoints", Basis.SIGNED, header, rows, (3, 7, 3, 2, 4))


def _alike(epochs: Sequence[AuditedEpoch]) -> list[list[AuditedEpoch]]:
    by_epoch = {each.epoch: each for each in epochs}
    alike: dict[tuple[bytes, bool, bool], list[int]] = {}
    for each in epochs:
        said = each.checkpoint.parameter_digest, each.whole, each.rounds_sealed == each.rounds
        alike.setdefault(said, []).append(each.epoch)
    runs = [run for group in alike.values() for run in spans(group)]
    return [[by_epoch[number] for number in range(first, last + 1)] for first, last in sorted(runs)]


def _date(sets: ParameterSets, epoch: int) -> str:
    newest = sets.newest
    moment = newest.genesis + epoch * newest.epoch_rounds * newest.round_seconds
    return utc_time(moment)
