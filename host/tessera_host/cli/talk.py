"""The commands by which members talk: sending, reading, what was sent, the day's budget, and how the relay does.

Owns what is typed and what is shown. What happens is the client's, or that of the agent that runs for this home: then
the commands go through it, and need no passphrase.
"""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import files
from ..agent.client import Client
from ..agent.interface import Contact, State, Talk
from ..agent.link import AgentLink
from ..errors import Interrupted, InvalidInput, RelayRefused, TesseraError, Unreachable, UsageError
from ..keys import passphrase
from ..keys.keystore import Secret
from ..member.fetching import Fetcher, FetchReport
from ..member.history import POSTED, Sent
from ..member.inbox import Message
from ..member.relay_sessions import RelaySessions
from ..member.state import KEYSTORE_NAME, MemberState
from ..protocol.records import MAX_PARTS, MESSAGE_BYTES
from ..text import printable
from . import progress
from .options import ContactName, Home, Json, PassphraseFile, RelayName, count, open_member
from .output import show

JITTER_SECONDS = 10
_MINUTE, _HOUR = 60, 3600

AtOnce = Annotated[
    bool,
    typer.Option(
        "--at-once", help="All parts in this round. Whoever watches your network then sees how long the message is."
    ),
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Post what may leave now; the rest stays in the outbox for 'tessera resend'.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (send, inbox, sent, resend, budget, status):
        app.command()(command)
    app.command(hidden=True)(fetch)  # the word of earlier versions for `inbox`


@asynccontextmanager
async def talk(home: Path, passphrase_file: Path | None) -> AsyncIterator[AgentLink | Client]:
    """The agent of this home if one runs, else the member itself."""
    link = await AgentLink.find(home)
    if link:
        async with link:
            yield link
        return
    async with Client(open_member(home, passphrase_file)) as client:
        yield client


# -- sending


def send(
    contact: ContactName,
    home: Home,
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="Without it: --file, or standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A UTF-8 file to send as a text.")] = None,
    attach: Annotated[
        Path | None, typer.Option("--attach", help="A file to send as it is, up to 2303 bytes with its name.")
    ] = None,
    at_once: AtOnce = False,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Send a message. Its parts leave one a round; Ctrl-C leaves what is left in the outbox.

    Other users of this computer can see TEXT while the command runs; --file and standard input they cannot.
    """
    outgoing = _outgoing(text, file, attach)
    posting = _Posting(at_once, not no_wait)

    async def sending() -> None:
        async with talk(home, passphrase_file) as by:
            posting.sent = await _queue(by, contact, outgoing)
            if not as_json:
                _note(_unverified(contact, await by.contacts()))
                _note(await _cost(by, posting.sent, at_once))
            if isinstance(by, Client):
                posting.sent = await posting.through(by)
            _show_sent(posting.sent, by, await by.budget(), as_json)

    posting.run(sending)


class _Posting:
    """One `send`: how it is done, what became of it so far, and what is said if it is interrupted."""

    def __init__(self, at_once: bool, wait: bool) -> None:
        self._at_once = at_once
        self._wait = wait
        self.sent: Sent | None = None

    async def through(self, client: Client) -> Sent:
        assert self.sent is not None
        with progress.of_parts(self.sent) as told:
            return await client.deliver(self.sent, wait=self._wait, at_once=self._at_once, progress=told)

    def run(self, sending: Callable[[], Any]) -> None:
        try:
            asyncio.run(sending())
        except KeyboardInterrupt:
            if self.sent is None:
                raise
            raise Interrupted(
                "stopped; what was not posted yet waits in the outbox",
                "tessera resend goes on with it; see tessera sent",
            ) from None
        except TesseraError as error:
            if self.sent is not None:
                error.hint = f"{error.hint}; the message waits in the outbox: tessera resend"
            raise


def _outgoing(text: str | None, file: Path | None, attach: Path | None) -> str | tuple[str, bytes]:
    """The text, or name and content of a file."""
    if sum(given is not None for given in (text, file, attach)) > 1:
        raise UsageError("a text, --file and --attach cannot be sent together", "give one; send the other by itself")
    if attach is not None:
        return attach.name, _content(attach)
    if text is not None:
        return text
    return _decoded(file.read_bytes) if file is not None else _decoded(_piped)


def _content(path: Path) -> bytes:
    most = MESSAGE_BYTES - 1 - len(path.name.encode())
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", "check the file's name") from None
    if len(content) > most:
        raise InvalidInput(
            f"{path} is too long: a message carries {most} bytes beside this name, {MAX_PARTS} records in all",
            "send a text with --file, which may take several messages, or hand the file over in another way",
        )
    return content


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
        raise InvalidInput("the message is not UTF-8 text", "send it as a file, with --attach") from None


def _note(text: str) -> None:
    if text:
        typer.echo(text, err=True)


def _unverified(name: str, contacts: list[Contact]) -> str:
    if any(contact.name == name and not contact.verified for contact in contacts):
        return f"The six words were not compared with {name} yet: tessera contact verify {name}"
    return ""


async def _queue(by: Talk, contact: str, outgoing: str | tuple[str, bytes]) -> Sent:
    if isinstance(outgoing, str):
        return await by.queue(contact, outgoing)
    return await by.queue_file(contact, *outgoing)


async def _cost(by: Talk, sent: Sent, at_once: bool) -> str:
    """What a message of several parts costs, before it leaves; nothing for others."""
    if sent.parts == 1:
        return ""
    today, state = await by.budget(), await by.state()
    cost = f"This takes {sent.parts} of today's {today.allowed} messages ({today.used} used so far)"
    if at_once and isinstance(by, Client):
        return f"{cost}. All leave in this round: whoever watches your network sees how long your message is."
    pace = f"; one leaves every {duration(state.round_seconds)}"
    if sent.parts > today.left:
        return f"{cost}{pace}, and what does not fit today leaves as soon as the day allows."
    return f"{cost}{pace}, so it takes about {duration(sent.parts * state.round_seconds)}."


def _show_sent(sent: Sent, by: Talk, today: Any, as_json: bool) -> None:
    waiting = sent.parts - sent.posted
    rounds = [round_ for round_ in sent.rounds if round_ is not None]
    result = {"contact": sent.contact, "messages": sent.messages, "records": sent.posted, "rounds": rounds}
    result |= {"waiting": waiting, "state": sent.state, "parts": sent.parts, "agent": isinstance(by, AgentLink)}
    result |= {"used_today": today.used, "allowed_today": today.allowed}
    show(result, f"{_outcome(sent, by, waiting, today)}\n{today}", as_json)


def _outcome(sent: Sent, by: Talk, waiting: int, today: Any) -> str:
    if sent.state == POSTED:
        return f"Sent to {sent.contact}: {count(sent.posted, 'record')}, {sent.describe()}."
    if isinstance(by, AgentLink):
        return f"For {sent.contact}: {count(waiting, 'record')} wait for the agent, which posts one a round."
    text = f"For {sent.contact}: {count(waiting, 'record')} of {sent.parts} wait in the outbox"
    if today.left:
        return f"{text}: tessera resend goes on with it."
    return f"{text}: today's messages are used up. From {_from(today.next_at)} on: tessera resend."


def _from(unix_seconds: int | None) -> str:
    return moment(unix_seconds) if unix_seconds else "the day the office allows more"


def resend(
    home: Home,
    at_once: AtOnce = False,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Post what an earlier send left in the outbox."""
    rounds: list[int] = []

    async def resending() -> None:
        async with talk(home, passphrase_file) as by:
            if isinstance(by, Client):
                with progress.of_outbox((await by.state()).waiting) as told:

                    def noted(step: Any) -> None:
                        rounds.extend([step.round] if hasattr(step, "round") else [])
                        told(step)

                    await by.resend(wait=not no_wait, at_once=at_once, progress=noted)
            waiting, today = (await by.state()).waiting, await by.budget()
            agent = isinstance(by, AgentLink)
            text = "The agent posts what waits, one a round" if agent else f"Posted {count(len(rounds), 'record')}"
            result = {"records": len(rounds), "rounds": rounds, "waiting": waiting, "agent": agent}
            show(result, f"{text}; {waiting} wait.\n{today}", as_json)

    asyncio.run(resending())


def sent(
    home: Home,
    contact: Annotated[str | None, typer.Argument(metavar="[CONTACT]", help="Only what was sent to this one.")] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """What you sent, and how far each message got. Nobody tells you whether it was read."""

    async def listing() -> None:
        async with talk(home, passphrase_file) as by:
            entries, state = await by.sent(contact), await by.state()
        result = [{**asdict(entry), "state": entry.state, "parts": entry.parts} for entry in entries]
        lines = [_sent_line(entry, state) for entry in entries]
        show({"sent": result}, "\n".join(lines) or "nothing sent yet", as_json)

    asyncio.run(listing())


def _sent_line(entry: Sent, state: State) -> str:
    what = f"file '{printable(entry.file)}', {entry.bytes} bytes" if entry.file else printable(entry.text)
    posted = f" ({moment(state.time_of(entry.rounds[-1]))})" if entry.rounds[-1] is not None else ""
    return f"{moment(entry.queued)} to {entry.contact}: {what}\n    {entry.describe()}{posted}"


def budget(home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """How many of today's messages you have used, by your office's setting."""

    async def telling() -> None:
        async with talk(home, passphrase_file) as by:
            today, state = await by.budget(), await by.state()
        lines = [
            str(today),
            "Each part of a long message or a file counts as one. In any 24 hours what leaves is, to whoever sees "
            f"every published number, ({today.epsilon}, {today.delta})-differentially private.",
        ]
        if not today.left:
            lines.append(f"The next one can leave from {_from(today.next_at)} on.")
        if state.waiting:
            lines.append(f"{count(state.waiting, 'record')} in the outbox: tessera resend, or the agent, posts them.")
        show({**asdict(today), "left": today.left, "waiting": state.waiting}, "\n".join(lines), as_json)

    asyncio.run(telling())


# -- reading


def inbox(
    home: Home,
    contact: Annotated[str | None, typer.Argument(metavar="[CONTACT]", help="Only what came from this one.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until a new message is there.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also what was shown before.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the relay.")] = False,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Write the files that are shown to this directory.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Fetch what is new and show it."""
    if wait and offline:
        raise UsageError("--wait and --offline do not go together", "leave one out")

    async def reading() -> None:
        async with talk(home, passphrase_file) as by:
            report = await _new_messages(by, contact, wait, offline, everything)
            state = await by.state()
        shown = [_Shown(message, state, save) for message in report.messages]
        result = {"messages": [each.fields() for each in shown], "rounds": len(report.rounds)}
        result |= {"rounds_expired": report.rounds_expired, "agent": isinstance(by, AgentLink)}
        show(result, "\n".join([*(each.line() for each in shown), *_notes(report, everything)]), as_json)

    asyncio.run(reading())


async def _new_messages(
    by: AgentLink | Client, contact: str | None, wait: bool, offline: bool, everything: bool
) -> FetchReport:
    """Whatever is to be shown; with `wait` only once there is something new."""
    report = FetchReport()
    while True:
        if isinstance(by, Client) and not offline:
            await _fetch_into(by, report, patient=wait)
        new = await by.inbox(contact, new=True)
        if new or not wait:
            report.messages = await by.inbox(contact) if everything else new
            return report
        await _until_more(by)


async def _fetch_into(client: Client, report: FetchReport, patient: bool) -> None:
    try:
        with progress.of_rounds() as told:
            fetched = await client.fetch(told, take=False)
    except (Unreachable, RelayRefused) as error:
        if not patient:
            raise
        typer.echo(f"error: {error}", err=True)
        return
    report.rounds += fetched.rounds
    report.rounds_expired += fetched.rounds_expired


async def _until_more(by: AgentLink | Client) -> None:
    if isinstance(by, Client):
        await by.until_next_fetch()
        return
    async for change in by.changes():
        if change.kind in ("message", "caught-up"):  # the second in case the first came before this began to listen
            return


class _Shown:
    """A received message as it is shown; its file is written when it is made."""

    def __init__(self, message: Message, state: State, folder: Path | None) -> None:
        self._message = message
        self._time = state.time_of(message.round)
        self._saved = _save(folder, message) if folder and message.file else None

    def fields(self) -> dict[str, Any]:
        fields = asdict(self._message)
        del fields["content"]
        size = len(self._message.content) if self._message.file else None
        return {**fields, "bytes": size, "time": self._time, "saved": self._saved}

    def line(self) -> str:
        return f"{moment(self._time)} {message_line(self._message, self._saved)}"


def message_line(message: Message, saved: str | None = None) -> str:
    """For people, without its time."""
    notes = "(this contact's device was restored from a backup) " if message.restored else ""
    notes += f"({count(message.lost, 'message')} lost) " if message.lost else ""
    if message.file is None:
        return f"{message.contact}: {notes}{printable(message.text)}"
    where = f"saved as {saved}" if saved else "tessera inbox --all --save DIR keeps it"
    return f"{message.contact}: {notes}file '{printable(message.file)}', {len(message.content)} bytes; {where}"


def _save(folder: Path, message: Message) -> str:
    """Write the file of a message; its path. The sender's name for it is only a part of its name here."""
    assert message.file is not None
    name = "".join(c if c.isalnum() or c in "-_. " else "_" for c in message.file)[-100:].strip(". ") or "file"
    path = folder / f"{message.contact}-{message.message}-{name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            files.write(path, message.content)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror}", "name another directory") from None
    return str(path)


def _notes(report: FetchReport, everything: bool) -> list[str]:
    notes = []
    if report.rounds_expired:
        notes.append(f"({report.rounds_expired} rounds had expired at the relay: what was in them is lost)")
    if not report.messages:
        notes.append("no messages yet" if everything else "nothing new; tessera inbox --all shows everything")
    return notes


def fetch(
    home: Home,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on, a fetch a round; with --json one object a fetch.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Fetch what is new and show the messages and what was read."""
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
    with MemberState.open(home, phrase) as member:
        report = asyncio.run(Fetcher(member, RelaySessions(member)).fetch())
        jitter = random.uniform(0.5, max(1.0, min(JITTER_SECONDS, member.federation.newest.round_seconds / 4)))
        return report, member.seconds_to_next_round() + jitter


def _show_report(report: FetchReport, as_json: bool) -> None:
    lines = [message_line(message) for message in report.messages]
    if report.rounds_expired:
        lines.append(f"({report.rounds_expired} rounds had expired at the relay before this fetch)")
    records = sum(count for _, count in report.rounds)
    new = count(len(report.messages), "new message")
    lines.append(f"{new}; read {count(len(report.rounds), 'round')} with {count(records, 'record')}.")
    result = {**asdict(report), "rounds": [{"round": round_, "count": count} for round_, count in report.rounds]}
    show(result, "\n".join(lines), as_json)


# -- the relay


def status(home: Home, relay: RelayName = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Ask a relay for its round, parameters and curve tier, and compare clocks."""
    with open_member(home, passphrase_file) as member:
        found = asyncio.run(RelaySessions(member).status(relay))
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


# -- times, for people


def moment(unix_seconds: int) -> str:
    """Local time, to the minute."""
    return datetime.fromtimestamp(unix_seconds).strftime("%d %b %H:%M")


def duration(seconds: float) -> str:
    """About how long."""
    if seconds < 2 * _MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < 2 * _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    return f"{round(seconds / _HOUR)} h"
