"""The commands by which members talk: sending, fetching, reading, and how the relay does.

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
from typing import Annotated

import typer

from . import passphrase
from .cli_options import ContactName, Home, Json, PassphraseFile, RelayName, count, open_member
from .errors import InvalidInput, RelayRefused, TesseraError, Unreachable, UsageError
from .fetching import FetchReport
from .inbox import Message
from .keystore import Secret
from .member import KEYSTORE_NAME, Member
from .output import printable, show

JITTER_SECONDS = 10


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (send, resend, fetch, inbox, status):
        app.command()(command)


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
    with open_member(home, passphrase_file) as member:
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
    show({**result, "waiting": report.waiting}, f"Sent to {contact}: {count(report.records, 'record')}.", as_json)


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
    with open_member(home, passphrase_file) as member:
        report = asyncio.run(member.resend())
    result = {"records": report.records, "rounds": report.rounds, "waiting": report.waiting}
    show(result, f"Posted {count(report.records, 'record')}.", as_json)


def fetch(
    home: Home,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on, a fetch a round; with --json one object a fetch.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Fetch what is new and show the messages."""
    phrase = passphrase.secret_for(home / KEYSTORE_NAME, passphrase_file)
    if not follow:
        _show_report(_fetch_once(home, phrase)[0], as_json)
        return
    while True:
        time.sleep(_follow_once(home, phrase, as_json))


def _follow_once(home: Path, phrase: Secret, as_json: bool) -> float:
    """Fetch and show; seconds to wait. A relay that is away for a while does not end the following."""
    try:
        report, wait_seconds = _fetch_once(home, phrase)
    except (Unreachable, RelayRefused) as error:
        typer.echo(f"error: {error}", err=True)
        return JITTER_SECONDS
    if as_json or report.messages:
        _show_report(report, as_json)
    return wait_seconds


def _fetch_once(home: Path, phrase: Secret) -> tuple[FetchReport, float]:
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
    new = count(len(report.messages), "new message")
    lines.append(f"{new}; read {count(len(report.rounds), 'round')} with {count(records, 'record')}.")
    result = {**asdict(report), "rounds": [{"round": round_, "count": count} for round_, count in report.rounds]}
    show(result, "\n".join(lines), as_json)


def _message_line(message: Message) -> str:
    gap = f"({count(message.lost, 'message')} lost) " if message.lost else ""
    return f"{message.contact}: {gap}{printable(message.text)}"


def inbox(home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """All messages that were received."""
    with open_member(home, passphrase_file) as member:
        messages = member.inbox.messages()
    text = "\n".join(_message_line(message) for message in messages) or "no messages yet"
    show({"messages": [asdict(message) for message in messages]}, text, as_json)


def status(home: Home, relay: RelayName = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Ask a relay for its round, parameters and curve tier, and compare clocks."""
    with open_member(home, passphrase_file) as member:
        found = asyncio.run(member.status(relay))
        waiting = len(member.outbox)
    info = asdict(found.info)
    result = {"relay": found.relay, **info, "epoch": found.epoch, "own_round": found.own_round}
    text = (
        f"{found.relay}: open round {found.info.open_round} (epoch {found.epoch}), curve tier {found.info.tier}\n"
        f"parameters {found.info.serial}, digest {found.info.digest.hex()}\n"
        f"clocks: {_clocks(found.rounds_apart)}; {count(waiting, 'record')} in the outbox"
    )
    show({**result, "rounds_apart": found.rounds_apart, "waiting": waiting}, text, as_json)


def _clocks(rounds_apart: int) -> str:
    if rounds_apart == 0:
        return "in the same round"
    return f"the relay is {count(abs(rounds_apart), 'round')} {'ahead' if rounds_apart > 0 else 'behind'}"
