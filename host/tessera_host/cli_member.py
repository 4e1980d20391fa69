"""The commands of a member: identity, contacts, tokens, sending and fetching.

Owns what is typed and what is shown. Everything that happens is `member`'s; each command opens the keystore, does one
thing and closes it, so that a `fetch --follow` and a `send` beside it get along.
"""

import asyncio
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import platformdirs
import typer

from . import files, passphrase
from .errors import InvalidInput, RelayRefused, TesseraError, Unreachable, UsageError
from .inbox import Message
from .issuer import Issuer, check_name
from .member import FetchReport, Member
from .output import printable, show

CARD_PREFIX = "tessera:"
STDIN = "-"
JITTER_SECONDS = 10

Home = Annotated[
    Path,
    typer.Option(
        "--home", envvar="TESSERA_HOME", help="Directory of the member's keystore.", default_factory=lambda: _home()
    ),
]
PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="File whose first line is the keystore's passphrase.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="New file for the card; without it, it is printed.")
]
CardIn = Annotated[str, typer.Argument(help="The card: its file, '-' for standard input, or its text.", metavar="CARD")]
RelayName = Annotated[str | None, typer.Option("--relay", help="Name of the relay; the home relay if not given.")]
ContactName = Annotated[str, typer.Argument(metavar="CONTACT", help="Name of the contact.")]
As = Annotated[str | None, typer.Option("--as", help="What you call the inviter; the card's name if not given.")]
EpochWanted = Annotated[int | None, typer.Option("--epoch", help="The epoch; the first that is wanted if not given.")]
Count = Annotated[int | None, typer.Option("--count", min=1, help="How many; as many as possible if not given.")]
Follow = Annotated[bool, typer.Option("--follow", help="Go on, a fetch a round; with --json one object a fetch.")]

member_app = typer.Typer(help="Your identity.", no_args_is_help=True)
contact_app = typer.Typer(
    help="Meet someone: invite, answer, confirm, accept, compare six words.", no_args_is_help=True
)
token_app = typer.Typer(help="Tokens let you post and fetch without saying who you are.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(member_app, name="member")
    app.add_typer(contact_app, name="contact")
    app.add_typer(token_app, name="token")
    for command in (send, resend, fetch, inbox, status):
        app.command()(command)


def _home() -> Path:
    return platformdirs.user_data_path("tessera", appauthor=False)


def _open(home: Path, passphrase_file: Path | None) -> Member:
    return Member.open(home, passphrase.obtain(passphrase_file, confirm=False))


def _card_text(card: str) -> str:
    if card.startswith(CARD_PREFIX):
        return card
    return sys.stdin.read() if card == STDIN else files.read_text(Path(card))


def _deliver(output: Path | None, as_json: bool, make: Callable[[], tuple[str, dict[str, Any], str]]) -> None:
    """Make a card and write or print it. `make` gives the card, what else to report, and a line on what to do next."""
    if output is not None and output.exists():  # before anything changes
        raise UsageError(f"{output} exists already and is not overwritten", "choose another file with -o")
    card, result, next_step = make()
    if output is not None:
        files.write(output, (card + "\n").encode())
    place = str(output) if output else None
    show({**result, "card": card, "path": place}, f"{place} written.\n{next_step}" if place else card, as_json)
    if place is None and not as_json:
        typer.echo(next_step, err=True)


def _words(words: list[str]) -> str:
    return f"Compare by voice or in person, word by word:  {' '.join(words)}"


# -- member


@member_app.command("new")
def member_new(
    name: Annotated[str, typer.Argument(help="How contacts and IT know you.")],
    federation: Annotated[Path, typer.Option("--federation", help="The federation card from IT.")],
    home: Home,
    output: Output = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make a new identity and the member card for IT."""
    check_name("the name", name)

    def make() -> tuple[str, dict[str, Any], str]:
        federation_card = files.read_text(federation)
        phrase = passphrase.obtain(passphrase_file, confirm=True)
        with Member.create(home, name, federation_card, phrase) as member:
            result = {"name": name, "key": member.identity.key, "federation": member.federation.name}
            return member.card(), result, "Give this member card to IT, then: tessera token fetch"

    _deliver(output, as_json, make)


@member_app.command("card")
def member_card(
    home: Home, output: Output = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Write the member card for IT once more."""

    def make() -> tuple[str, dict[str, Any], str]:
        with _open(home, passphrase_file) as member:
            result = {"name": member.identity.name, "key": member.identity.key, "federation": member.federation.name}
            return member.card(), result, "Give this member card to IT."

    _deliver(output, as_json, make)


# -- contact


@contact_app.command("invite")
def contact_invite(
    name: Annotated[str, typer.Argument(help="What you call the other person.")],
    home: Home,
    output: Output = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Begin to meet someone: make the invite card."""
    check_name("the name", name)

    def make() -> tuple[str, dict[str, Any], str]:
        with _open(home, passphrase_file) as member:
            return member.invite(name), {"contact": name}, f"Pass it to {name}, who runs: tessera contact answer"

    _deliver(output, as_json, make)


@contact_app.command("answer")
def contact_answer(
    card: CardIn,
    home: Home,
    name: Annotated[
        str | None, typer.Option("--as", help="What you call the inviter; the card's name if not given.")
    ] = None,
    output: Output = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Answer an invite card."""
    if name is not None:
        check_name("the name", name)

    def make() -> tuple[str, dict[str, Any], str]:
        with _open(home, passphrase_file) as member:
            answer = member.answer(_card_text(card), name)
            return answer, {}, "Pass it back to the inviter, who runs: tessera contact confirm"

    _deliver(output, as_json, make)


@contact_app.command("confirm")
def contact_confirm(
    card: CardIn, home: Home, output: Output = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Take the answer to your invite and make the confirm card."""

    def make() -> tuple[str, dict[str, Any], str]:
        with _open(home, passphrase_file) as member:
            name, confirm = member.confirm_named(_card_text(card))
            words = member.words(name)
            next_step = f"Pass it to {name}, who runs: tessera contact accept\n{_words(words)}"
            return confirm, {"contact": name, "words": words}, next_step

    _deliver(output, as_json, make)


@contact_app.command("accept")
def contact_accept(card: CardIn, home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Take the confirm card: you can write to each other now."""
    with _open(home, passphrase_file) as member:
        name = member.accept(_card_text(card))
        words = member.words(name)
    text = f"{name} is a contact now.\n{_words(words)}\nIf they are the same: tessera contact verify {name}"
    show({"contact": name, "words": words}, text, as_json)


@contact_app.command("verify")
def contact_verify(
    name: ContactName, home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Note that you have compared the six words and that they are the same."""
    with _open(home, passphrase_file) as member:
        member.verify(name)
        words = member.words(name)
    show({"contact": name, "verified": True, "words": words}, f"{name} is verified: {' '.join(words)}", as_json)


@contact_app.command("remove")
def contact_remove(
    name: ContactName, home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Forget a contact, or a meeting that is under way, for good."""
    with _open(home, passphrase_file) as member:
        member.remove_contact(name)
    show({"contact": name, "removed": True}, f"{name} is forgotten.", as_json)


@contact_app.command("list")
def contact_list(home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Contacts, and meetings under way."""
    with _open(home, passphrase_file) as member:
        contacts = [_contact(member, name) for name in sorted(member.contacts.book)]
        meetings = member.contacts.meetings()
    lines = [
        f"{c['name']}  {'verified' if c['verified'] else 'words not compared yet'}  {c['relay']}" for c in contacts
    ]
    lines += [f"{meeting['name']}  waiting for the {meeting['waiting_for']} card" for meeting in meetings]
    text = "\n".join(lines) or "no contacts yet; begin with: tessera contact invite NAME"
    show({"contacts": contacts, "meetings": meetings}, text, as_json)


def _contact(member: Member, name: str) -> dict[str, Any]:
    contact = member.contacts.get(name)
    relay = member.federation.relay_with_key(contact["relay"]).name
    facts = {"name": name, "verified": contact["verified"], "words": contact["words"], "key": contact["key"]}
    return {**facts, "relay": relay}


# -- token


@token_app.command("fetch")
def token_fetch(
    issuer: Annotated[Path, typer.Option("--issuer", help="The issuer's directory.")],
    home: Home,
    issuer_passphrase_file: Annotated[
        Path | None, typer.Option("--issuer-passphrase-file", help="File with the issuer's passphrase.")
    ] = None,
    relay: RelayName = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Get tokens from an issuer's directory on this computer."""
    with (
        _open(home, passphrase_file) as member,
        Issuer.open(issuer, passphrase.obtain(issuer_passphrase_file, confirm=False)) as open_issuer,
    ):
        fetched = member.fetch_tokens(open_issuer, relay)
    text = "\n".join(f"{count} tokens for epoch {epoch}" for epoch, count in fetched)
    show({"fetched": [{"epoch": epoch, "tokens": count} for epoch, count in fetched]}, text, as_json)


@token_app.command("request")
def token_request(
    home: Home,
    epoch: Annotated[
        int | None, typer.Option("--epoch", help="The epoch; the first that is wanted if not given.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="How many; as many as possible if not given.")
    ] = None,
    relay: RelayName = None,
    output: Output = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Ask IT for tokens: make the request card."""

    def make() -> tuple[str, dict[str, Any], str]:
        with _open(home, passphrase_file) as member:
            card = member.request_tokens(epoch, relay, count)
            return card, {}, "Pass it to IT; take what comes back with: tessera token challenge"

    _deliver(output, as_json, make)


@token_app.command("challenge")
def token_challenge(
    card: CardIn, home: Home, output: Output = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Take IT's offer and make the challenge card."""

    def make() -> tuple[str, dict[str, Any], str]:
        with _open(home, passphrase_file) as member:
            challenge = member.challenge_tokens(_card_text(card))
            return challenge, {}, "Pass it to IT; take what comes back with: tessera token finish"

    _deliver(output, as_json, make)


@token_app.command("finish")
def token_finish(card: CardIn, home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Take IT's answer: the tokens are yours."""
    with _open(home, passphrase_file) as member:
        epoch, count = member.finish_tokens(_card_text(card))
    show({"epoch": epoch, "tokens": count}, f"{count} tokens for epoch {epoch}", as_json)


@token_app.command("list")
def token_list(home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Tokens and posts left, by epoch and relay."""
    with _open(home, passphrase_file) as member:
        counts, epoch = member.wallet.counts(), member.epoch()
    lines = [f"epoch {c['epoch']}  {c['relay']}  {c['tokens']} tokens  {c['posts_left']} posts left" for c in counts]
    text = "\n".join([f"This is epoch {epoch}.", *lines] if lines else [f"This is epoch {epoch}. No tokens."])
    show({"epoch": epoch, "tokens": counts}, text, as_json)


# -- messages


def send(
    contact: ContactName,
    home: Home,
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="Without it: --file, or standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A UTF-8 file to send as one message.")] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Send a message. Other users of this computer can see TEXT meanwhile; --file and standard input they cannot."""
    content = _content(text, file)
    with _open(home, passphrase_file) as member:
        verified, waiting = member.contacts.get(contact)["verified"], len(member.outbox)
        try:
            report = asyncio.run(member.send(contact, content))
        except TesseraError as error:
            if len(member.outbox) > waiting:
                error.hint = f"{error.hint}; the message waits in the outbox: tessera resend"
            raise
    if not verified:
        typer.echo(f"The six words were not compared with {contact} yet: tessera contact verify {contact}", err=True)
    result = {"contact": contact, "messages": report.messages, "records": report.records, "rounds": report.rounds}
    show({**result, "waiting": report.waiting}, f"Sent to {contact}: {_count(report.records, 'record')}.", as_json)


def _content(text: str | None, file: Path | None) -> str:
    if text is not None and file is not None:
        raise UsageError("a text and --file were both given, not both can be sent", "give one")
    if text is not None:
        return text
    return _decoded(file.read_bytes) if file is not None else _decoded(_piped)


def _piped() -> bytes:
    if sys.stdin.isatty():
        typer.echo("Type the message; end it with Ctrl-D on a line of its own.", err=True)
    return sys.stdin.buffer.read().removesuffix(b"\n")


def _decoded(read: Callable[[], bytes]) -> str:
    try:
        return read().decode()
    except OSError as error:
        raise InvalidInput(f"the message cannot be read: {error.strerror}", "check the file's name") from None
    except UnicodeDecodeError:
        raise InvalidInput("the message is not UTF-8 text", "messages are text; convert it first") from None


def resend(home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Post what an earlier send could not."""
    with _open(home, passphrase_file) as member:
        report = asyncio.run(member.resend())
    result = {"records": report.records, "rounds": report.rounds, "waiting": report.waiting}
    show(result, f"Posted {_count(report.records, 'record')}.", as_json)


def fetch(
    home: Home,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on, a fetch a round; with --json one object a fetch.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Fetch what is new and show the messages."""
    phrase = passphrase.obtain(passphrase_file, confirm=False)
    if not follow:
        _show_report(_fetch_once(home, phrase)[0], as_json)
        return
    while True:
        time.sleep(_follow_once(home, phrase, as_json))


def _follow_once(home: Path, phrase: str, as_json: bool) -> float:
    """Fetch and show; seconds to wait. A relay that is away for a while does not end the following."""
    try:
        report, wait_seconds = _fetch_once(home, phrase)
    except (Unreachable, RelayRefused) as error:
        typer.echo(f"error: {error}", err=True)
        return JITTER_SECONDS
    if as_json or report.messages:
        _show_report(report, as_json)
    return wait_seconds


def _fetch_once(home: Path, phrase: str) -> tuple[FetchReport, float]:
    """The report, and the seconds until some moment soon after the next round is sealed: not all come at once."""
    with Member.open(home, phrase) as member:
        report = asyncio.run(member.fetch())
        jitter = random.uniform(0.5, max(1.0, min(JITTER_SECONDS, member.federation.newest.round_seconds / 4)))
        return report, member.seconds_to_next_round() + jitter


def _show_report(report: FetchReport, as_json: bool) -> None:
    lines = [_message_line(message) for message in report.messages]
    if report.rounds_expired:
        lines.append(f"({report.rounds_expired} rounds had expired at the relay before this fetch)")
    records = sum(count for _, count in report.rounds)
    new = _count(len(report.messages), "new message")
    lines.append(f"{new}; read {_count(len(report.rounds), 'round')} with {_count(records, 'record')}.")
    result = {**asdict(report), "rounds": [{"round": round_, "count": count} for round_, count in report.rounds]}
    show(result, "\n".join(lines), as_json)


def _message_line(message: Message) -> str:
    gap = f"({_count(message.lost, 'message')} lost) " if message.lost else ""
    return f"{message.contact}: {gap}{printable(message.text)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def inbox(home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """All messages that were received."""
    with _open(home, passphrase_file) as member:
        messages = member.inbox.messages()
    text = "\n".join(_message_line(message) for message in messages) or "no messages yet"
    show({"messages": [asdict(message) for message in messages]}, text, as_json)


def status(home: Home, relay: RelayName = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Ask a relay for its round, parameters and curve tier, and compare clocks."""
    with _open(home, passphrase_file) as member:
        found = asyncio.run(member.status(relay))
        waiting = len(member.outbox)
    info = asdict(found.info)
    result = {"relay": found.relay, **info, "epoch": found.epoch, "own_round": found.own_round}
    text = (
        f"{found.relay}: open round {found.info.open_round} (epoch {found.epoch}), curve tier {found.info.tier}\n"
        f"parameters {found.info.serial}, digest {found.info.digest.hex()}\n"
        f"clocks: {_clocks(found.rounds_apart)}; {_count(waiting, 'record')} in the outbox"
    )
    show({**result, "rounds_apart": found.rounds_apart, "waiting": waiting}, text, as_json)


def _clocks(rounds_apart: int) -> str:
    if rounds_apart == 0:
        return "in the same round"
    return f"the relay is {_count(abs(rounds_apart), 'round')} {'ahead' if rounds_apart > 0 else 'behind'}"
