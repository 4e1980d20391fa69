"""The commands by which a member comes to belong and goes on to: `tessera join`, `tessera renew`, and the tokens.

Owns what is asked, printed and said about who sees what. The order of joining is `joining`'s and `joining_files`'.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from .. import files
from ..agent.client import Client
from ..clock import local_time, short_local_time
from ..errors import InvalidInput, ScheduleEnding, TryLater, UsageError
from ..issuer.issuer import Issuer
from ..issuer.store import KEYSTORE
from ..keys import passphrase
from ..member import issuer_visit, joining, joining_files, token_exchange
from ..member.issuer_visit import VisitReport
from ..member.joining_files import FileStep
from ..member.renewal import Renewal
from ..member.state import MemberState
from ..member.wallet import NoTokens
from ..protocol import card_files, card_finding, schedule
from ..protocol.invitation import Invitation
from ..protocol.limits import check_name
from ..text import count
from .card_exchange import card_text, check_new_file, deliver, given_text, pasted
from .opening import open_member
from .options import (
    CardOut,
    FederationCard,
    Home,
    IssuerDirectory,
    Json,
    NextFileOut,
    PassphraseFile,
    RenewalOut,
    composed,
)
from .output import end_with, show
from .talk import tell_remarks

T = TypeVar("T")

INVITATION = "tessera:invitation:"
VISITS = 3
LONGEST_WAIT_SECONDS = 90  # a member waits for others at the issuer's service so long

WHO_SEES_WHAT = (
    "Your IT can see that you are a member; all members fetch the same access. The access itself does not say whose "
    "it is: neither IT nor the relay, nor both together, can tell from it whom you write to, how often, or what. "
    "(Networks show addresses: a relay sees the one that you connect from, as every server does.)"
)

SEEN_BY_OTHERS = (
    "An invitation on the command line can be seen by other users of this computer while the command runs, and stays "
    "in your shell's history. Leave it out the next time: 'tessera join' asks for it, and 'tessera join -' reads it."
)

member_app = typer.Typer(help="Your identity, made without an invitation.", no_args_is_help=True)
token_app = typer.Typer(help="Tokens let you post without saying who you are.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("join")(join)
    app.command("renew")(renew)
    app.add_typer(member_app, name="member", hidden=True)
    app.add_typer(token_app, name="token")


# -- joining


def join(
    home: Home,
    invitation: Annotated[
        str | None,
        typer.Argument(
            metavar="INVITATION",
            help="The invitation from IT: its file, or '-' for standard input. Without it you are "
            "asked to paste it. (Its text works, too, but other users of this computer can see "
            "that meanwhile, and your shell keeps it.) When joining by files, afterwards: the "
            "file that IT gave back.",
        ),
    ] = None,
    out: NextFileOut = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Join your office with an invitation. If it was interrupted or failed, the same command goes on."""
    desk = Desk(home, passphrase_file, as_json)
    text = _invitation_text(invitation)
    check_new_file(out)
    found, _ = card_files.read(text)
    if not found:
        raise InvalidInput("this is not an invitation", f"an invitation is one line that begins with '{INVITATION}'")
    if not any(card.startswith(INVITATION) for card in found):
        _go_on_with(text, desk, out)
        return
    if invitation and card_finding.is_one(invitation):
        desk.say(SEEN_BY_OTHERS)
    _join_with(Invitation.read(card_finding.one(text, "invitation")), desk, out)


@dataclass(frozen=True)
class Desk:
    """Where one of these commands works."""

    home: Path
    passphrase_file: Path | None
    as_json: bool

    def say(self, line: str) -> None:
        """What is of interest while one waits."""
        if not self.as_json:
            typer.echo(line, err=True)


def _invitation_text(given: str | None) -> str:
    if given is None:
        if not sys.stdin.isatty():
            raise UsageError("there is no invitation", "name its file: tessera join FILE; '-' reads standard input")
        first = typer.prompt("Paste the invitation (or a file name)", prompt_suffix=": ").strip()
        return pasted(first, lambda prompt: input(prompt).strip())
    return given_text(given)


def _join_with(invitation: Invitation, desk: Desk, out: Path | None) -> None:
    by_files = invitation.service is None
    if by_files and out is None:
        raise UsageError("this invitation is for joining by files", "name a new file for what goes to IT: -o FILE")
    if joining.has_identity(desk.home):
        _go_on_as_member(invitation, desk, out)
    elif by_files:
        with joining.begin_by_files(desk.home, invitation, _new_passphrase(invitation, desk)) as member:
            _deliver_step(member, joining_files.step(member), desk, out)
    else:
        _enter(invitation, desk)


def _go_on_as_member(invitation: Invitation, desk: Desk, out: Path | None) -> None:
    """The invitation that this identity began with, again."""
    with open_member(desk.home, desk.passphrase_file) as member:
        joining.check_same(member, invitation)
        if invitation.service is None:
            _deliver_step(member, joining_files.step(member), desk, out)
            return
        report = _visits(member, desk, VisitReport())
        _show_joined(member, report, False, desk)
    _end_with_what_is_not_well(member, report)


def _enter(invitation: Invitation, desk: Desk) -> None:
    """Join over the network."""
    with joining.begin(desk.home, invitation, _new_passphrase(invitation, desk)) as begun:
        member, report = _patiently(lambda: asyncio.run(begun.enter()), desk)
    with member:
        report = _visits(member, desk, report)
        _show_joined(member, report, True, desk)
        for remark in member.remarks:
            desk.say(remark)
    _end_with_what_is_not_well(member, report)


def _new_passphrase(invitation: Invitation, desk: Desk) -> str:
    begun = joining.has_begun(desk.home, invitation)
    if not begun and not passphrase.is_in_file(desk.passphrase_file):
        desk.say(f"You are joining {invitation.office} as {invitation.name}.")
        desk.say("Choose a passphrase: it protects your messages on this computer. Nobody can recover it.")
    return passphrase.obtain(desk.passphrase_file, confirm=not begun)


def _patiently(visit: Callable[[], T], desk: Desk) -> T:
    """Come back soon if the issuer says so: it serves some at a time."""
    for left in reversed(range(VISITS)):
        try:
            return visit()
        except TryLater as busy:
            if not left or busy.retry_after > LONGEST_WAIT_SECONDS:
                raise
            _wait(busy, desk)
    raise AssertionError


def _wait(busy: TryLater, desk: Desk) -> None:
    desk.say(f"The issuer's service is busy with other members: waiting {count(busy.retry_after, 'second')}.")
    time.sleep(busy.retry_after)


def _visits(member: MemberState, desk: Desk, report: VisitReport | None = None) -> VisitReport:
    """Go to the issuer (unless there is the report of a visit), and again soon if it says so; other commands have the
    keystore meanwhile."""
    tokens: Counter[int] = Counter()
    renewal, is_news, clock = Renewal(member), False, None
    for left in reversed(range(VISITS)):
        report = report if report and (report.tokens or report.refusals) else asyncio.run(renewal.run())
        tokens.update(dict(report.tokens))
        is_news, clock = is_news or report.news, report.clock
        if report.later is None or report.later.retry_after > LONGEST_WAIT_SECONDS or not left:
            break
        member.release()
        _wait(report.later, desk)
        member.reacquire()
        report = None
    return VisitReport(sorted(tokens.items()), report.refusals if report else [], is_news, clock)


def _show_joined(member: MemberState, report: VisitReport, new: bool, desk: Desk) -> None:
    name, office, home = member.identity.name, member.federation.name, member.federation.home.name
    lines = [
        f"You {'have joined' if new else 'are a member of'} {office} as {name}. Your mailbox is on the relay {home}."
    ]
    lines += [_when(member, report)]
    lines += [_who_sees_what(member), "Next, meet somebody: tessera contact add NAME"]
    result = {"name": name, "key": member.identity.key, "federation": office, "home_relay": home, "joined": True}
    show({**result, **_figures(member, report)}, "\n".join(lines), desk.as_json)


def _who_sees_what(member: MemberState) -> str:
    """In a large office there is something that the access does tell."""
    newest = member.federation.newest
    cohorts = 1 << newest.log2_cohorts
    if cohorts == 1:
        return WHO_SEES_WHAT
    return (
        f"{WHO_SEES_WHAT} (Your office is set up for {newest.members:,} members in {cohorts} parts: when you write, a "
        f"relay can tell of which part the writer is, one of about {newest.members // cohorts:,}. If your office is "
        "far smaller than that, ask IT why.)"
    )


def _end_with_what_is_not_well(member: MemberState, report: VisitReport) -> None:
    """A visit that brought nothing to talk with, or was refused, did not go well, whatever was shown."""
    if report.clock:
        end_with(report.clock)
    if issuer_visit.talk_from(member) is None or (report.refusals and not report.tokens):
        end_with(report.refusals[0] if report.refusals else NoTokens("you have no access to write with", "tell IT"))
    if warning := _schedule_warning(member):
        end_with(warning)


def _when(member: MemberState, report: VisitReport) -> str:
    """When this member can talk, and why not now."""
    moment = issuer_visit.talk_from(member)
    if moment is None:
        reason = f": {report.refusals[0]}" if report.refusals else ""
        return f"You cannot write yet{reason}. The next command tries again; so does: tessera renew"
    if moment <= member.now():
        return "You can talk now."
    return f"You can write from {local_time(moment)} on."


def _figures(member: MemberState, report: VisitReport) -> dict[str, Any]:
    refused = [{"error": error.message, "hint": error.hint} for error in report.refusals]
    tokens = [{"epoch": epoch, "tokens": number} for epoch, number in report.tokens]
    moments = {"talk_from": issuer_visit.talk_from(member), "access_until": issuer_visit.access_until(member)}
    return {"tokens": tokens, "refused": refused, **moments}


def _tokens_text(member: MemberState, tokens: list[tuple[int, int]]) -> list[str]:
    """Nothing if no tokens came, else one line: how many, and until when they last."""
    if not tokens:
        return []
    end = issuer_visit.access_until(member)
    until = f": you have access until {local_time(end)}" if end else ""
    return [f"Fetched {count(sum(number for _, number in tokens), 'token')}{until}."]


# -- by files


def _go_on_with(answer: str, desk: Desk, out: Path | None) -> None:
    """Take a file that IT gave back."""
    if not joining.has_identity(desk.home):
        raise UsageError("there is no identity here that this file belongs to", "begin with your invitation")
    with open_member(desk.home, desk.passphrase_file) as member:
        _deliver_step(member, joining_files.step(member, answer), desk, out)


def _deliver_step(member: MemberState, step: FileStep, desk: Desk, out: Path | None) -> None:
    """Show what a file brought, and write or print the next one."""
    lines = [f"IT writes: {remark}" for remark in step.remarks[1:]]
    lines += _tokens_text(member, step.tokens)
    text = step.text(member) if step.cards else None
    if text and out:
        files.write(out, text.encode())
        lines.append(f"{out} written. Give it to IT; take what comes back with: tessera renew FILE -o NEXT")
    elif text is None:
        lines += [_when(member, VisitReport()), _who_sees_what(member)]
        lines += ["Next, meet somebody: tessera contact add NAME"]
    place = str(out) if out and text else None
    result = {"name": member.identity.name, "joined": joining.pending(member) is None, "done": text is None}
    result |= {"file": text, "path": place, "remarks": step.remarks[1:]}
    result |= _figures(member, VisitReport(tokens=step.tokens))
    show(result, "\n".join(lines) if place or text is None else text.rstrip("\n"), desk.as_json)
    if text and not place:
        desk.say("\n".join([*lines, "Give this to IT; take what comes back with: tessera renew FILE -o NEXT"]))


# -- member


@member_app.command("new")
def member_new(
    name: Annotated[str, typer.Argument(help="How contacts and IT know you.", callback=composed)],
    federation: FederationCard,
    home: Home,
    out: CardOut = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make a new identity and the member card for IT."""
    check_name("the name", name)

    def make() -> tuple[str, dict[str, Any], str]:
        federation_card = card_text(federation, "federation")
        phrase = passphrase.obtain(passphrase_file, confirm=True)
        with MemberState.create(home, name, federation_card, phrase) as member:
            result = {"name": name, "key": member.identity.key, "federation": member.federation.name}
            return member.card(), result, "Give this member card to IT, then: tessera renew"

    deliver(out, as_json, make)


# -- renewing


def renew(
    home: Home,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="The file that IT gave you; without it, the issuer is asked over the network."
        ),
    ] = None,
    out: RenewalOut = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Get the office's newest settings and access from IT. Every command does this when it is due."""
    check_new_file(out)
    desk = Desk(home, passphrase_file, as_json)
    text = given_text(str(file)) if file else None
    with open_member(home, passphrase_file) as member:
        if text is not None or out is not None:
            _deliver_step(member, joining_files.step(member, text), desk, out)
            return
        report = _visits(member, desk)
        refused = [error for error in report.refusals if isinstance(error, TryLater) or not report.tokens]
        lines = [*_tokens_text(member, report.tokens), *(f"No more access was given: {error}" for error in refused)]
        lines += ["The office's relays or settings have changed."] if report.news else []
        lines = [*(lines or ["You already have all access that is available now."]), _when(member, report)]
        result = {**_figures(member, report), "news": report.news}
        _post_what_waits(member)
    show(result, "\n".join(lines), as_json)
    _end_with_what_is_not_well(member, report)


def _schedule_warning(member: MemberState) -> ScheduleEnding | None:
    return schedule.warning(member.federation.heard_of, member.now())


def _post_what_waits(member: MemberState) -> None:
    if not len(member.outbox):
        return

    async def posting() -> None:
        client = Client(member)
        await client.post_what_waits()
        tell_remarks(client)

    asyncio.run(posting())


# -- tokens


@token_app.command("fetch", hidden=True)
def token_fetch(
    issuer: IssuerDirectory,
    home: Home,
    issuer_passphrase_file: Annotated[
        Path | None, typer.Option("--issuer-passphrase-file", help="File with the issuer's passphrase.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Get tokens from an issuer's directory on this computer."""
    with (
        open_member(home, passphrase_file) as member,
        Issuer.open(issuer, passphrase.secret_for(issuer / KEYSTORE, issuer_passphrase_file)) as open_issuer,
    ):
        fetched = token_exchange.fetch(member, open_issuer)
        lines = _tokens_text(member, fetched)
    text = "\n".join(lines or ["You already have all access that is available now."])
    show({"fetched": [{"epoch": epoch, "tokens": number} for epoch, number in fetched]}, text, as_json)


@token_app.command("list")
def token_list(home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """List the tokens and posts that are left, by epoch and relay."""
    with open_member(home, passphrase_file) as member:
        counts, epoch, federation = member.wallet.counts(), member.epoch(), member.federation
        starts = {c["epoch"]: federation.round_start(federation.first_round(c["epoch"])) for c in counts}
    lines = [
        f"epoch {c['epoch']}, from {short_local_time(starts[c['epoch']])}  {c['relay']}  {c['tokens']} tokens  "
        f"{c['posts_left']} posts left"
        for c in counts
    ]
    text = "\n".join([f"This is epoch {epoch}.", *lines] if lines else [f"This is epoch {epoch}. No tokens."])
    show({"epoch": epoch, "tokens": counts}, text, as_json)
