"""The commands that send: a message, what an earlier one left in the outbox, and the list of what was sent.

Owns what is typed, what is said about cost before a message leaves, and what became of it.
"""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import duration, files
from ..agent.client import Client
from ..agent.interface import Contact, State, Talk
from ..agent.link import AgentLink
from ..clock import short_local_time
from ..errors import Interrupted, InvalidInput, TesseraError, UsageError
from ..member import views
from ..member.history import POSTED, Sent
from ..protocol.records import MESSAGE_BYTES
from ..text import count, entry
from . import attachments, progress
from .options import ContactName, Home, Json, NextEpoch, PassphraseFile, composed
from .output import show, terminal_columns
from .talk import first_moment, talk

AtOnce = Annotated[
    bool,
    typer.Option(
        "--at-once", help="All parts in this round. Whoever watches your network then sees how long the message is."
    ),
]
NoWait = Annotated[
    bool,
    typer.Option(
        "--no-wait", help="Post what may leave now; the rest stays in the outbox and leaves with the next command."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (send, sent, resend):
        app.command()(command)


def send(
    contact: ContactName,
    home: Home,
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="Without it: --file, or standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A UTF-8 file to send as a text.")] = None,
    attach: Annotated[
        Path | None,
        typer.Option("--attach", help=f"A file to send as it is, up to {MESSAGE_BYTES - 1} bytes with its name."),
    ] = None,
    at_once: AtOnce = False,
    no_wait: NoWait = False,
    next_epoch: NextEpoch = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Send a message. Its parts leave one a round; Ctrl-C leaves what is left in the outbox.

    Other users of this computer can see TEXT while the command runs; --file and standard input they cannot.
    """
    outgoing = _outgoing(text, file, attach)
    posting = _Posting(at_once, not no_wait, early=not next_epoch)

    async def sending() -> None:
        async with talk(home, passphrase_file) as by:
            posting.sent = await _queue(by, contact, outgoing)
            if not as_json:
                _note(_doubt(contact, await by.contacts()))
                _note(await _cost(by, posting.sent, at_once))
            if isinstance(by, Client):
                posting.sent = await posting.through(by)
                await by.post_what_waits()
            elif not as_json:
                _note((await by.state()).remark)
            _show_sent(posting.sent, by, await by.budget(), as_json)

    posting.run(sending)


class _Posting:
    """One `send`: how it is done, what became of it so far, and what is said if it is interrupted."""

    def __init__(self, at_once: bool, wait: bool, early: bool) -> None:
        self._at_once = at_once
        self._wait = wait
        self._early = early
        self.sent: Sent | None = None

    async def through(self, client: Client) -> Sent:
        assert self.sent is not None
        with progress.of_parts(self.sent) as told:
            return await client.deliver(
                self.sent, wait=self._wait, at_once=self._at_once, early=self._early, progress=told
            )

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
                error.hint = f"{error.hint}; the message waits in the outbox and leaves with the next command that can"
            raise


def _outgoing(text: str | None, file: Path | None, attach: Path | None) -> str | tuple[str, bytes]:
    """The text, or name and content of a file."""
    if sum(given is not None for given in (text, file, attach)) > 1:
        raise UsageError("a text, --file and --attach cannot be sent together", "give one; send the other by itself")
    if attach is not None:
        return attachments.read(attach)
    if text is not None:
        return _checked(lambda: text)
    if file is not None:
        return _checked(lambda: files.decoded(file.read_bytes()))
    return _checked(_piped)


def _piped() -> str:
    if sys.stdin.isatty():
        typer.echo("Type the message; end it with Ctrl-D on a line of its own.", err=True)
    return files.decoded(sys.stdin.buffer.read()).removesuffix("\n").removesuffix("\r")


def _checked(read: Callable[[], str]) -> str:
    """A text that another computer can read: UTF-8, and so no bytes of a command line that are not."""
    try:
        text = read()
        text.encode()
    except OSError as error:
        raise InvalidInput(f"the message cannot be read: {error.strerror}", "check the file's name") from None
    except UnicodeError:
        raise InvalidInput("the message is not UTF-8 text", "send it as a file, with --attach") from None
    return text


def _note(text: str) -> None:
    if text:
        typer.echo(text, err=True)


def _doubt(name: str, contacts: list[Contact]) -> str:
    """What is to be known of a contact before one writes to it."""
    if any(contact.name == name and contact.split for contact in contacts):
        return str(views.alarm(name))
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
    pace = f"; one leaves every {duration.about(state.round_seconds)}"
    if sent.parts > today.left:
        return f"{cost}{pace}, and what does not fit today leaves as soon as the day allows."
    return f"{cost}{pace}, so it takes about {duration.about(sent.parts * state.round_seconds)}."


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
        return f"{text} and leave with the next commands, one a round; tessera resend goes on with them."
    return f"{text}: today's messages are used up. From {first_moment(today.next_at)} on the next command posts them."


def resend(
    home: Home,
    at_once: AtOnce = False,
    no_wait: NoWait = False,
    next_epoch: NextEpoch = False,
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

                    await by.resend(wait=not no_wait, at_once=at_once, early=not next_epoch, progress=noted)
            waiting, today = (await by.state()).waiting, await by.budget()
            agent = isinstance(by, AgentLink)
            text = "The agent posts what waits, one a round" if agent else f"Posted {count(len(rounds), 'record')}"
            result = {"records": len(rounds), "rounds": rounds, "waiting": waiting, "agent": agent}
            show(result, f"{text}; {waiting} wait.\n{today}", as_json)

    asyncio.run(resending())


def sent(
    home: Home,
    contact: Annotated[
        str | None, typer.Argument(metavar="[CONTACT]", help="Only what was sent to this one.", callback=composed)
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """What you sent, and how far each message got. Nobody tells you whether it was read."""

    async def listing() -> None:
        async with talk(home, passphrase_file) as by:
            entries, state = await by.sent(contact), await by.state()
        result = [{**asdict(one), "state": one.state, "parts": one.parts} for one in entries]
        lines = [_sent_line(one, state) for one in entries]
        show({"sent": result}, "\n".join(lines) or "nothing sent yet", as_json)

    asyncio.run(listing())


def _sent_line(one: Sent, state: State) -> str:
    head = f"{short_local_time(one.queued)} to {one.contact}: "
    file = None if one.file is None else head + attachments.described(one.file, one.bytes)
    posted = f" ({short_local_time(state.time_of(one.rounds[-1]))})" if one.rounds[-1] is not None else ""
    return f"{file or entry(head, one.text, terminal_columns())}\n    {one.describe()}{posted}"
