"""The commands for privacy officers and auditors: `tessera audit`, and the report of `tessera plan`.

Owns what is typed and shown. Leaves to others: the audit (audit.py), the report (report/), which is imported only when
one is wanted.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import platformdirs
import typer
from rich.progress import Progress

from .. import extras, files
from ..audit import audit, covers, published
from ..audit.archive import AuditArchive
from ..audit.verify import Finding, LedgerAudit, in_words
from ..clock import unix_now
from ..errors import IntegrityError, InvalidInput, Unreachable, UsageError
from ..planning import plan
from ..protocol import schedule
from ..protocol.federation import Federation, Relay, read_card
from ..protocol.parameter_sets import ParameterSets
from ..relay import ledger
from .card_exchange import card_text
from .options import FederationCard, Json
from .output import end_with, say_wrong, show

if TYPE_CHECKING:
    from ..report.document import Document

MOST_GATEWAYS = 0xFFFF  # their numbers in a fleet's log have two bytes
DATE_VARIABLE = "SOURCE_DATE_EPOCH"  # https://reproducible-builds.org/specs/source-date-epoch/

Html = Annotated[Path | None, typer.Option("--html", help="Write the report here, one HTML file.", metavar="FILE")]
Pdf = Annotated[Path | None, typer.Option("--pdf", help="Write the report here as PDF.", metavar="FILE")]


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("audit")(audit_)


def audit_(
    federation: FederationCard,
    relay: Annotated[
        list[str] | None, typer.Option("--relay", help="Name of a relay; may be repeated. Default: all relays.")
    ] = None,
    archive: Annotated[
        Path | None, typer.Option("--archive", help="Directory for verified ledgers. Default: one for each federation.")
    ] = None,
    parameters: Annotated[
        list[Path] | None,
        typer.Option(
            "--parameters", help="Earlier parameter sets: a parameters.tpr, or IT's folder 'sets'; may be repeated."
        ),
    ] = None,
    compare: Annotated[
        list[Path] | None, typer.Option("--compare", help="A list of sets that another audit wrote; may be repeated.")
    ] = None,
    publish: Annotated[
        Path | None, typer.Option("--publish", help="Write the list of all sets here, for others to compare.")
    ] = None,
    gateways: Annotated[
        list[str] | None,
        typer.Option(
            "--gateways", metavar="RELAY=NUMBER", help="A relay that is a fleet of so many servers; may be repeated."
        ),
    ] = None,
    release: Annotated[
        list[Path] | None, typer.Option("--release", help="An approved release, or a folder of them; may be repeated.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no relay; report on the archive only.")] = False,
    html: Html = None,
    pdf: Pdf = None,
    as_json: Json = False,
) -> None:
    """Verify the relays' privacy ledgers, and write the annex for a data protection impact assessment.

    It needs the federation card only, no token. Exit code 8 if a proof is not valid, 21 if the schedule of keys ends
    soon; the report is still written.
    """
    check_extra(html, pdf)
    known = Federation(read_card(card_text(federation, "federation")))
    relays = [known.relay_named(name) for name in relay] if relay else known.relays
    fleets = dict(_fleet(known, each) for each in gateways or [])
    place = archive or platformdirs.user_data_path("tessera", appauthor=False) / "audit" / known.id.hex()
    gathered = audit.gather(known, AuditArchive(place), parameters or [], release or [], compare or [])
    audits = [audit.judge_archived(gathered, each) for each in relays] if offline else _audited(gathered, relays)
    against_issuer = gathered.against_issuer()
    written = _write_audit(gathered, audits, against_issuer, fleets, html, pdf)
    if publish:
        files.write(publish, published.render(gathered.sets, known.name))
        written.append(str(publish))
    contradicted = any(each.broken for each in against_issuer)
    broken = ["the issuer contradicts itself"] if contradicted else []
    if doubtful := [each.relay for each in audits if not each.holds]:
        broken.append(f"the ledger of {', '.join(doubtful)} does not hold")
    verdict = "issuer: CONTRADICTS ITSELF." if contradicted else "issuer:"
    lines = [f"{verdict}\n{_found(against_issuer)}"] if against_issuer else []
    lines += [*map(_text, audits), *_covers(gathered.sets), *_copies(known), *(f"{path} written." for path in written)]
    result = {
        "holds": None if not broken and all(map(_nothing_yet, audits)) else not broken,
        "federation": known.name,
        "archive": str(place),
        "written": written,
        "issuer": {"holds": not contradicted, "findings": _findings_as_json(against_issuer)},
        "sets": [asdict(each) for each in published.of(gathered.sets)],
        "covers": [covers.figures(each) for each in gathered.sets],
        "copies": covers.copies(known.newest, known.topology),
        "schedule_ends": schedule.end(gathered.sets.newest),
        "relays": [_as_json(each) for each in audits],
    }
    show(result, "\n".join(lines), as_json)
    if broken:
        what = "read the findings above; do not rely on these epochs, and tell IT"
        say_wrong(" and ".join(broken), what)
        raise typer.Exit(IntegrityError.exit_code)
    if ending := schedule.warning(gathered.sets.newest, unix_now()):
        end_with(ending)


def _fleet(known: Federation, said: str) -> tuple[str, int]:
    """A relay's name and of how many gateways it is. Raises UsageError."""
    name, _, number = said.rpartition("=")
    if not name or not number.isdecimal() or not 0 < int(number) <= MOST_GATEWAYS:
        raise UsageError(f"--gateways is '{said}', not a relay and a number", "write it like --gateways munich=3")
    return known.relay_named(name).name, int(number)


def _covers(sets: ParameterSets) -> list[str]:
    """What each set's cover is, recomputed; sets that follow each other with the same cover are one line."""
    alike: list[tuple[list[int], str]] = []
    for each in sets:
        told = covers.in_words(each)
        if alike and alike[-1][1] == told:
            alike[-1][0].append(each.serial)
        else:
            alike.append(([each.serial], told))
    return [
        f"cover of serial {serials[0]}{f' to {serials[-1]}' if len(serials) > 1 else ''}: {told}"
        for serials, told in alike
    ]


def _copies(known: Federation) -> list[str]:
    """What records on several relays show together, by the card."""
    told = covers.copies_in_words(known.newest, known.topology)
    return [told] if told else []


def _audited(gathered: audit.Gathered, relays: list[Relay]) -> list[LedgerAudit]:
    """All are asked before one is judged: what one of them shows may contradict another."""
    asked = [(relay, _asked(gathered, relay), gathered.federation.round_at(unix_now())) for relay in relays]
    for _, answers, _ in asked:
        audit.learn(gathered, answers)
    return [audit.judge(gathered, relay, answers, round_) for relay, answers, round_ in asked]


def _asked(gathered: audit.Gathered, relay: Relay) -> ledger.LedgerAnswers:
    with Progress(disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(f"{relay.name}: checkpoints", total=None)
        try:
            return asyncio.run(
                ledger.ask(gathered.federation, relay, lambda done: progress.update(task, completed=done))
            )
        except Unreachable as error:
            raise Unreachable(
                error.message, f"{error.hint}; for a report on what earlier audits kept: --offline"
            ) from None


def _text(found: LedgerAudit) -> str:
    """The verdict on a relay, for a terminal."""
    looked = found.last - found.first + 1
    if _nothing_yet(found):
        return f"{found.relay}: nothing to verify yet, as its first epoch is not over. Repeat the audit after that."
    verdict = "holds" if found.holds else "DOES NOT HOLD"
    verified = f"Verified: {in_words(found.verified)} ({len(found.verified)} of {looked})."
    return f"{found.relay}: its ledger {verdict}. {verified}\n{_found(found.findings)}".rstrip()


def _nothing_yet(found: LedgerAudit) -> bool:
    """In its first epoch a relay has no ledger, and nothing is known of it: neither that it holds nor that it does
    not."""
    return not (found.verified or found.missing or found.findings)


def _found(findings: list[Finding]) -> str:
    return "\n".join(f"  {'broken' if each.broken else 'note'}: {each.text}" for each in findings)


def _as_json(found: LedgerAudit) -> dict[str, Any]:
    return {
        "relay": found.relay,
        "key": found.key,
        "holds": None if _nothing_yet(found) else found.holds,
        "first": found.first,
        "last": found.last,
        "verified": found.verified,
        "missing": found.missing,
        "findings": _findings_as_json(found.findings),
        "checkpoints": [
            {
                "epoch": each.epoch,
                "verified": each.whole,
                "rounds_sealed": each.rounds_sealed,
                "rounds": each.rounds,
                "serial": each.serial,
                "parameter_digest": each.checkpoint.parameter_digest,
                "firmware_digest": each.checkpoint.firmware_digest,
                "firmware": each.firmware.label if each.firmware else None,
                "cover_commitment": each.checkpoint.cover_commitment,
                "previous": each.checkpoint.previous,
            }
            for each in found.epochs
        ],
    }


def _findings_as_json(findings: list[Finding]) -> list[dict[str, Any]]:
    return [{"broken": each.broken, "text": each.text, "epochs": list(each.epochs)} for each in findings]


# -- reports


def check_extra(html: Path | None, pdf: Path | None) -> None:
    """Before anything is done: whether a report that is wanted can be made. Raises UsageError."""
    if html or pdf:
        _report_modules()


def write_plan(
    made: plan.Plan, organisation: str | None, gateways_each: int | None, html: Path | None, pdf: Path | None
) -> list[str]:
    """The annex on a plan, of an office with this name, if it has one; the files that were written."""
    if not (html or pdf):
        return []
    _report_modules()
    from ..report import annex
    from ..report.facts import Facts

    moment = _moment()
    return _write(annex.of_plan(Facts.of_plan(made, organisation, gateways_each), moment), moment, html, pdf)


def _write_audit(
    gathered: audit.Gathered,
    audits: list[LedgerAudit],
    against_issuer: list[Finding],
    fleets: dict[str, int],
    html: Path | None,
    pdf: Path | None,
) -> list[str]:
    if not (html or pdf):
        return []
    from ..report import annex
    from ..report.facts import Facts

    moment = _moment()
    facts = Facts.of_federation(gathered.federation, _reported(gathered, audits), fleets)
    return _write(annex.of_audit(facts, moment, audits, gathered.sets, against_issuer), moment, html, pdf)


def _reported(gathered: audit.Gathered, audits: list[LedgerAudit]) -> Any:
    """The set a report is about: that of the newest verified epoch; of the federation card if there is none."""
    newest = [(each.epoch, each.checkpoint) for found in audits for each in found.epochs if each.whole]
    if not newest:
        return gathered.federation.newest
    _, checkpoint = max(newest, key=lambda each: each[0])
    return gathered.sets.with_digest(checkpoint.parameter_digest)


def _write(document: "Document", moment: datetime, html_file: Path | None, pdf_file: Path | None) -> list[str]:
    from ..report import html, pdf

    made: list[tuple[Path, Callable[[], bytes]]] = []
    if html_file:
        made.append((html_file, lambda: html.render(document)))
    if pdf_file:
        made.append((pdf_file, lambda: pdf.render(document, moment)))
    for path, render in made:
        files.write(path, render())
    return [str(path) for path, _ in made]


def _report_modules() -> None:
    """Import what the extra brings. Raises UsageError."""
    try:
        import fpdf  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError:
        raise extras.missing("reports need", extras.REPORT) from None


def _moment() -> datetime:
    """The date of a report: now, or what the environment says, so that the same report can be made again."""
    given = os.environ.get(DATE_VARIABLE)
    if given is None:
        return datetime.fromtimestamp(unix_now(), UTC)
    try:
        return datetime.fromtimestamp(int(given), UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidInput(
            f"{DATE_VARIABLE} is '{given[:20]}', which is not a time in unix seconds", "correct or unset it"
        ) from None
