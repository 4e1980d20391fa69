"""The annex to a data protection impact assessment: which sections it has, in which order, and what stands at its top.

Owns the whole. The sections are the business of the other modules of this package.
"""

from collections.abc import Sequence
from datetime import datetime

from ..audit.verify import Finding, LedgerAudit
from ..clock import utc_time
from ..duration import in_words
from ..kinds_of_cover import DAY
from ..planning import figures, plan
from ..privacy import noise
from ..protocol.parameter_sets import ParameterSets
from ..text import count
from . import copies, fleets, law, ledger_pages, losses, parties, responsibilities
from .document import Basis, Block, Bullets, Document, Notice, Paragraph, Section, Table, Tone
from .facts import Facts, bound

TITLE = "Annex to the data protection impact assessment: Tessera Relay"


def of_plan(facts: Facts, made: datetime) -> Document:
    """On parameters that were planned; nothing was verified."""
    return _document(facts, made, Basis.PLANNED, ledger_pages.not_audited()[:1], ledger_pages.not_audited())


def of_audit(
    facts: Facts,
    made: datetime,
    audits: Sequence[LedgerAudit],
    sets: ParameterSets,
    against_issuer: Sequence[Finding],
) -> Document:
    """On relays in service; says of each what was verified, and of the issuer what was found against it."""
    evidence = [*ledger_pages.meaning(sets), *ledger_pages.pages(audits, sets, against_issuer)]
    return _document(facts, made, Basis.COMPUTED, ledger_pages.summary(audits, against_issuer), evidence)


def _document(
    facts: Facts, made: datetime, basis: Basis, verdicts: Sequence[Block], evidence: Sequence[Block]
) -> Document:
    summary = Section("Summary", [*verdicts, *_summary(facts)])
    sections = [
        Section("Which data there is", parties.inventory(facts)),
        Section("What each party can see", parties.views(facts)),
        Section("Responsibilities", responsibilities.roles(facts)),
        Section("What published numbers reveal", losses.sections(facts, basis)),
        Section("Anonymity floor", _floor(facts, basis)),
        Section("Retention", _retention(facts, basis)),
        Section("What is lost or stolen", responsibilities.incidents(facts)),
        Section("The law and the mechanism in force", law.mapping(facts)),
        Section("What was verified from the relays", evidence),
        Section("What is not covered", parties.limits(facts)),
        Section("How to recompute it", _recompute(facts)),
    ]
    symbols = any("ε" in section.text() for section in (summary, *sections))
    sections = [summary, Section("How to read this annex", _reading(facts, symbols)), *sections]
    date = f"{utc_time(made.timestamp())} UTC"
    return Document(TITLE, facts.organisation, date, _front(facts), sections)


def _front(facts: Facts) -> list[tuple[str, str]]:
    front = [("About", facts.organisation if facts.signed else "planned parameters: no federation, no relay yet")]
    if facts.signed:
        serial, digest, root_key, federation_id = facts.signed
        front += [
            ("Federation", federation_id.hex()),
            ("Root key", root_key.hex()),
            ("Parameters", f"serial {serial}, digest {digest.hex()}"),
        ]
    if facts.board:
        front.append(("Board", facts.board))
    return [
        *front,
        ("Cover", _cover(facts)),
        ("Members", f"{facts.members} at most, {count(facts.buckets, 'bucket')}"),
        *copies.front(facts),
        *fleets.front(facts),
    ]


def _cover(facts: Facts) -> str:
    if not facts.thresholds:
        return f"constant batches of {facts.constant} records: what is published never depends on messages"
    day = f"ε = {noise.decimal(facts.day[0])}, δ = {noise.decimal_up(facts.day[1])} for a member's day"
    if facts.cover == DAY:
        return f"a table for {day} of {_planned(facts)}"
    epsilon, delta = facts.delivery
    return f"a table for one delivery, ε = {noise.decimal(epsilon)}, δ = {noise.decimal_up(delta)}; {day}"


def _planned(facts: Facts) -> str:
    """What a table for a day was made for."""
    if facts.copies == 1:
        return count(facts.deliveries, "message")
    return f"{facts.deliveries} deliveries, {facts.copies} of each message"


def _shown(facts: Facts) -> str:
    """Of a day and a month, before anything else."""
    if not facts.thresholds:
        return (
            f"Every batch has {facts.constant} records, whatever anybody sends. A guess of 1 % that a member writes to "
            "another is 1 % after a day and after a month of watching all published numbers: they tell nothing. There "
            "is no budget to keep, for a day or for longer."
        )
    day, month = facts.loss(figures.A_DAY), facts.loss(figures.A_MONTH)
    if day is None or month is None:
        return "A member sends less than one message a day."
    return (
        f"In a day of {count(facts.messages_a_day, 'message')}, the most that a member's program sends, what is "
        f"published can take a guess of 1 % to {losses.becomes(facts, figures.A_DAY)} ({bound(day)}); in a month of "
        f"such days to {losses.becomes(facts, figures.A_MONTH)} ({bound(month)}). For a single message it is "
        f"{_one_message(facts)}. Members' programs keep to the day; for longer there is no limit."
    )


def _one_message(facts: Facts) -> str:
    if found := facts.loss(figures.COPIES):
        return f"{losses.becomes(facts, figures.COPIES)} ({bound(found)} of its {facts.copies} copies together)"
    one = f"ε = {noise.decimal(facts.delivery[0])}, δ = {noise.decimal_up(facts.delivery[1])}"
    return f"{losses.becomes(facts, figures.ONE)} ({one})"


def _summary(facts: Facts) -> list[Block]:
    hidden = (
        "fills every batch up to the same number of records, always."
        if not facts.thresholds
        else "hides their number behind random cover records, always."
    )
    return [
        Paragraph(
            "Members of the organisation send each other short end-to-end encrypted messages through a relay that "
            "does not learn who talks to whom. The relay takes messages for tokens that name nobody, keeps them in "
            f"shared buckets that members read whole, by a reading key that all of them hold, and {hidden}"
        ),
        Bullets(
            [
                _shown(facts),
                *copies.summary(facts),
                *fleets.summary(facts),
                f"A record is kept for {in_words(facts.retention_epochs * facts.epoch_seconds)} and the open epoch "
                f"({in_words(facts.epoch_seconds)}); then its key is erased.",
                f"At full membership {_share(facts)} members share a bucket; the floor for plans is "
                f"{plan.MEMBERS_FLOOR}.",
                "Neither relay nor issuer keeps internet addresses. Both see them while a connection is open, as the "
                "network does; the issuer's service sees whose they are, as members sign what they ask it for.",
            ]
        ),
    ]


def _reading(facts: Facts, symbols: bool) -> list[Block]:
    """symbols: whether the annex has an ε, which is explained then."""
    promised = (Basis.STATED.value, "what the published design and protocol promise; repeated here, not tested here")
    planned = (Basis.PLANNED.value, "exact arithmetic on the parameters of a plan that nobody has signed yet")
    signed = [
        (Basis.COMPUTED.value, "exact arithmetic on parameters whose signature under the root key was verified"),
        (Basis.VERIFIED.value, "evidence that a relay signed, checked for this annex, for the epochs named, no others"),
        (Basis.SIGNED.value, "what a relay signed, also where something about it does not hold; each row says which"),
    ]
    rows = [*signed, promised] if facts.signed else [planned, promised]
    words = [
        ("Round", f"{in_words(facts.round_seconds)}; what is posted in a round can be read when it is over"),
        (
            "Epoch",
            f"{facts.epoch_rounds} rounds ({in_words(facts.epoch_seconds)}); keys and tokens change with it",
        ),
        (
            "Parameters",
            "what IT says, in one signed set: the rules of the relays, their keys, and by its hash all else on the "
            "card that members hold. Each set names the one before it",
        ),
        ("Bucket, cell", "the shared place that records are posted to; a cell is one bucket in one round"),
        ("Record", "240 bytes: one part of a message; a short message is one part"),
        ("Delivery", "a record that arrives in a cell" + ("; budgets count deliveries" if facts.thresholds else "")),
        ("Cover record", "240 bytes that the relay makes and that only the relay can tell from a record"),
        *copies.words(facts),
        *fleets.words(facts),
        ("Batch", "all records of a cell, real ones and cover, in random order, as everybody reads them"),
        ("Token", "a right to post some records at one relay in one epoch; signed blindly, so that it names nobody"),
        (
            "Reading key",
            "a key that all present members hold; a relay hands out batches to a connection that proves it, and does "
            "not learn which member that is",
        ),
        ("Issuer", "IT's machine: it has the root key, the list of members (roster), and signs tokens"),
        ("Root key", "the office's signing key; what it did not sign, neither relays nor members take"),
        ("Checkpoint", "what a relay signs of each epoch that is over; each has a hash of the one before (ledger)"),
        (
            "Agent",
            "a program on a member's computer that sends and fetches every round, whether or not there is a message",
        ),
        (
            "Guess, suspicion",
            "the probability that somebody gives to a statement about a member before seeing anything",
        ),
    ]
    if symbols:
        words += [
            (
                "ε (epsilon)",
                "how much what is published can shift an observer's odds (a probability over its opposite): by a "
                "factor of e^ε at most. Small is good; at 0 nothing is shown",
            ),
            ("δ (delta)", "by how much, in all, the probability of what can be seen exceeds that bound. Small is good"),
        ]
    if facts.thresholds:
        words.append(
            ("Noise table", "whole numbers, signed, from which a relay draws how many cover records a cell gets")
        )
    return [
        Paragraph("Under every table and figure stands what it rests on:"),
        Table("Basis of statements", Basis.STATED, ("Basis", "Meaning"), rows, (5, 9)),
        Table("Words", Basis.STATED if facts.signed else Basis.PLANNED, ("Word", "Meaning"), words, (3, 11)),
    ]


def _share(facts: Facts) -> str:
    return (
        noise.decimal(facts.members_a_bucket, 1)
        if facts.members_a_bucket.denominator == 1
        else (f"{float(facts.members_a_bucket):.1f}")
    )


def _floor(facts: Facts, basis: Basis) -> list[Block]:
    below = facts.members_a_bucket < plan.MEMBERS_FLOOR
    verdict = Notice(
        Tone.BAD if below else Tone.GOOD,
        f"{_share(facts)} members a bucket {'are fewer than' if below else 'are not fewer than'} the floor of "
        f"{plan.MEMBERS_FLOOR}" + (": someone accepted that when the parameters were planned." if below else "."),
    )
    rows = [
        ("Members, at most", str(facts.members)),
        ("Buckets", str(facts.buckets)),
        ("Members a bucket", _share(facts)),
        ("Floor", str(plan.MEMBERS_FLOOR)),
    ]
    return [
        Paragraph(
            "Cover hides deliveries whatever the number of members. Beyond it, members hide among those who share "
            "their bucket; a plan with fewer than the floor is refused unless told otherwise. "
            "The figures are for a full roster: with fewer members on it, fewer share a bucket."
        ),
        verdict,
        Table("Members that hide among each other", basis, ("Figure", "Value"), rows, (4, 10)),
    ]


def _retention(facts: Facts, basis: Basis) -> list[Block]:
    longest = (facts.retention_epochs + 1) * facts.epoch_seconds
    rows = [
        (
            "Records can be fetched for",
            f"{in_words(facts.retention_epochs * facts.epoch_seconds)} and the open epoch",
        ),
        ("A record is at most this old", in_words(longest)),
        ("Keys of records and cover", f"with the records: random keys, one for each epoch, {_erased(facts)}"),
        *([("Use of tokens", f"the open epoch, {in_words(facts.epoch_seconds)}")] if fleets.some_alone(facts) else []),
        *fleets.retention(facts),
        ("Use of the reading key", "not kept"),
        *_log_of_a_board(facts),
        ("Checkpoints", "at least 256 epochs on the relay; in an auditor's archive as long as the auditor wishes"),
    ]
    return [
        Paragraph(
            "Records are deleted by erasing the key of their epoch, which is kept nowhere else. After a start with a "
            "clock far ahead of the last seal a relay stops serving expired records at once, but keeps their keys "
            "until its clock has proved itself, one epoch of running at the longest."
        ),
        Table("How long what is kept", basis, ("What", "How long"), rows, (4, 10)),
    ]


def _erased(facts: Facts) -> str:
    if facts.server is None:
        return "physically erased on a board, erased on a server as well as its disk does it"
    return "erased as well as the server's disk does it" if facts.server else "physically erased"


def _log_of_a_board(facts: Facts) -> list[tuple[str, str]]:
    return [] if facts.server else [("Log of a board", "about 2 KB: starts, faults, updates")]


def _recompute(facts: Facts) -> list[Block]:
    table = ", the noise table, its exact δ" if facts.thresholds else ""
    found = "ε and δ recomputed from its table" if facts.thresholds else "its number C"
    section = "noise table and the formula of δ" if facts.thresholds else "constant batches"
    rests_on = "the integers of the noise table" if facts.thresholds else "the numbers of members and tokens"
    commands = [
        f"tessera plan --members … --json: the three kinds of cover with all figures{table}.",
        f"tessera audit --federation CARD --json: of every signed set {found}; every checkpoint with its fields, and "
        "every finding.",
        f"firmware/PROTOCOL.md, §2 (parameters), §8 ({section}), §11 (checkpoints): enough to write an independent "
        "verification.",
    ]
    first = f"The figures follow from the signed set ({rests_on}) and from the checkpoints; anybody who has them can "
    return [Paragraph(first + "recompute this annex:"), Bullets(commands)]
