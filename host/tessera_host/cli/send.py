"""The commands that send: a message, what an earlier one left in the outbox, and the list of what was sent.

Owns what is typed, what is said about cost before a message leaves, and what became of it.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import duration, files
from ..agent.client import Client
from ..agent.interface import Contact, State, Talk, sent_fields
from ..agent.link import AgentLink
from ..clock import short_local_time
from ..errors import Interrupted, InvalidInput, NotPermitted, TesseraError, UsageError
from ..member import composing, views
from ..member.history import POSTED, Sent
from ..member.names import known_name
from ..protocol.records import MESSAGE_BYTES, records_of
from ..text import count, entry
from . import attachments, output, progress
from .options import ContactName, Home, Json, NextEpoch, PassphraseFile, composed
from .output import show, terminal_columns
from .sent_text import NEVER, all_until, in_words, takes_much, waiting_before, waits_until
from .talk import talk

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
    text: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="The message; without it, --file or standard input.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A UTF-8 file to send as a text.")] = None,
    attach: Annotated[
        Path | None,
        typer.Option("--attach", help=f"A file to send as it is, up to {MESSAGE_BYTES - 1} bytes with its name."),
    ] = None,
    no_wait: NoWait = False,
    next_epoch: NextEpoch = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before a message takes more than a third of what is left today.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Send a message. One part leaves in each round; Ctrl-C keeps the rest in the outbox.

    Other users of this computer can see TEXT while the command runs. They cannot see --file and standard input.
    """
    outgoing = _outgoing(" ".join(text) if text else None, file, attach)
    posting = _Posting(not no_wait, early=not next_epoch)

    async def sending() -> None:
        async with talk(home, passphrase_file) as by:
            name = known_name(contact, [known.name for known in await by.contacts()])
            if not yes:
                await _weigh(by, _records(outgoing), as_json)
            posting.sent = await _queue(by, name, outgoing)
            if not as_json:
                _note(_doubt(name, await by.contacts()))
                _note(await _pace(by, posting.sent))
            if isinstance(by, Client):
                posting.sent = await posting.through(by)
                await by.post_what_waits()
            elif not as_json:
                _note((await by.state()).remark)
            await _show_sent(posting.sent, by, as_json)

    posting.run(sending)


class _Posting:
    """One `send`: how it is done, what became of it so far, and what is said if it is interrupted."""

    def __init__(self, wait: bool, early: bool) -> None:
        self._wait = wait
        self._early = early
        self.sent: Sent | None = None

    async def through(self, client: Client) -> Sent:
        assert self.sent is not None
        with progress.of_parts(self.sent) as told:
            return await client.deliver(self.sent, wait=self._wait, early=self._early, progress=told)

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
        if text and not text.strip():
            raise UsageError("there is nothing to send: the text has only spaces", "give a text, or --file")
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
        return f"You have not compared the six words with {name} yet: tessera contact verify {name}"
    return ""


async def _queue(by: Talk, contact: str, outgoing: str | tuple[str, bytes]) -> Sent:
    if isinstance(outgoing, str):
        return await by.queue(contact, outgoing)
    return await by.queue_file(contact, *outgoing)


def _records(outgoing: str | tuple[str, bytes]) -> int:
    if isinstance(outgoing, str):
        return records_of(len(outgoing.encode()))
    return composing.records_of_file(*outgoing)


async def _weigh(by: Talk, parts: int, as_json: bool) -> None:
    """Before a message takes much of the day its writer is asked. Raises NotPermitted for a no, or if there is nobody
    to ask."""
    if parts == 1:
        return
    today = await by.budget()
    if not takes_much(parts, today):
        return
    left = f"{today.left} of today's {count(today.allowed, today.unit)}"
    cost = f"takes {count(parts * today.copies, today.unit)}, and {left} are left"
    if as_json or not output.has_terminal():
        raise NotPermitted(f"this {cost}", "shorten it, or send it as it is with --yes")
    if not output.confirmed(f"This {cost}. Send it?"):
        raise NotPermitted("nothing was sent", "a shorter text takes fewer; a text of 136 bytes takes one")


async def _pace(by: Talk, sent: Sent) -> str:
    """What a message of several parts costs and when they leave, before the first does; of one, when it leaves if that
    is not now."""
    today, state = await by.budget(), await by.state()
    before = await _before(by, sent)
    when = waits_until(state, before, sent.parts)
    if sent.parts > 1:
        records = sent.parts * today.copies
        takes = f"This takes {records} of today's {count(today.allowed, today.unit)} ({today.used} used so far)"
        span = duration.about(sent.parts * state.round_seconds)
        return f"{takes}; one leaves every {duration.about(state.round_seconds)}, so it takes about {span}: {when}."
    is_later = before or state.next_at is None or state.next_at > time.time() + 1
    return f"It leaves {when}." if is_later else ""


async def _before(by: Talk, sent: Sent) -> int:
    entries = await by.sent()
    before = dict(zip((_key(each) for each in entries), waiting_before(entries), strict=True))
    return before.get(_key(sent), 0)


def _key(sent: Sent) -> tuple[str, int, int]:
    return sent.contact, sent.messages[0], sent.queued


async def _show_sent(sent: Sent, by: Talk, as_json: bool) -> None:
    today, state = await by.budget(), await by.state()
    rounds = [round_ for round_ in sent.rounds if round_ is not None]
    result = {"contact": sent.contact, "messages": sent.messages, "records": sent.posted, "rounds": rounds}
    result |= {"waiting": sent.waiting, "state": sent.state, "parts": sent.parts, "agent": isinstance(by, AgentLink)}
    result |= {"copies": sent.copies, "relays": sent.relays, "safe": sent.is_safe}
    result |= {"used_today": today.used, "allowed_today": today.allowed, "next_at": state.next_at}
    show(result, f"{_outcome(sent, by, state, await _before(by, sent))}\n{today}", as_json)


def _outcome(sent: Sent, by: Talk, state: State, before: int) -> str:
    words = in_words(sent, state, before)
    if sent.state == POSTED:
        what = count(sent.posted, "record" if sent.copies == 1 else "part")
        return f"Sent to {sent.contact}: {what}, {words}.{_rest(sent, state)}"
    if isinstance(by, AgentLink):
        return f"For {sent.contact}, by the agent: {words}."
    return f"For {sent.contact}, with the next command that reaches the relay: {words}."


def _rest(sent: Sent, state: State) -> str:
    """When what a message lacks to be safe leaves."""
    if sent.is_safe:
        return ""
    when = NEVER if state.next_at is None else ""
    if state.next_at is not None and state.next_at > time.time() + 1:
        when = f"from {short_local_time(state.next_at)} on"
    return f"\nThe rest leaves {f'{when}, ' if when else ''}with the agent or the next command: tessera resend."


def resend(
    home: Home,
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

                    await by.resend(wait=not no_wait, early=not next_epoch, progress=noted)
            state, today = await by.state(), await by.budget()
            agent = isinstance(by, AgentLink)
            text = "The agent posts one record in each round" if agent else f"Posted {count(len(rounds), 'record')}"
            result = {"records": len(rounds), "rounds": rounds, "waiting": state.waiting, "agent": agent}
            show(result | {"next_at": state.next_at}, f"{text}; {_waiting(state)}.\n{today}", as_json)

    asyncio.run(resending())


def _waiting(state: State) -> str:
    if not state.waiting:
        return "nothing waits"
    return f"{count(state.waiting, 'record')} waiting, to leave {all_until(state)}"


def sent(
    home: Home,
    contact: Annotated[
        str | None, typer.Argument(metavar="[CONTACT]", help="Only messages to this contact.", callback=composed)
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Take back what has not left yet; at a terminal you are asked for each.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Show what you sent, and how far each message got. There are no read receipts."""

    async def listing() -> None:
        async with talk(home, passphrase_file) as by:
            name = contact and known_name(contact, [known.name for known in await by.contacts()])
            if cancel:
                await _take_back(by, name, as_json)
                return
            entries, state = await by.sent(), await by.state()
        before = waiting_before(entries)
        chosen = [(one, parts) for one, parts in zip(entries, before, strict=True) if name in (None, one.contact)]
        result = [_sent_fields(one, state, parts) for one, parts in chosen]
        lines = [_sent_line(one, state, parts) for one, parts in chosen]
        show({"sent": result}, "\n".join(lines) or "nothing sent yet", as_json)

    asyncio.run(listing())


async def _take_back(by: Talk, contact: str | None, as_json: bool) -> None:
    """The newest first: whoever takes something back has just written it."""
    taken: list[Sent] = []
    waiting = [one for one in await by.sent(contact) if one.waiting]
    for one in reversed(waiting):
        if as_json or not output.has_terminal() or output.confirmed(f"{_head(one)}\n    Take it back?"):
            taken.append(await by.cancel(one.contact, one.messages[0]))
    result = [{"contact": one.contact, "messages": one.messages, "posted": one.posted} for one in taken]
    lines = [f"{_head(one)}\n    {_taken_back(one)}" for one in taken]
    none = "nothing was taken back" if waiting else "nothing waits: all of it has left"
    show({"cancelled": result}, "\n".join(lines) or none, as_json)


def _taken_back(one: Sent) -> str:
    if one.posted:
        return f"taken back, except {count(one.posted, 'part')} of {one.parts}, which had left and cannot be read alone"
    return "taken back; its first part may have left" if one.sealed else "taken back, nothing had left"


def _sent_fields(one: Sent, state: State, before: int) -> dict[str, Any]:
    last, first = one.last_round, state.next_at if one.waiting else None
    times = {
        "leaves_from": first + before * state.round_seconds if first is not None else None,
        "read_from": state.time_of(last + 1) if last is not None else None,
    }
    return {**sent_fields(one), "parts": one.parts, **times}


def _sent_line(one: Sent, state: State, before: int) -> str:
    return f"{_head(one)}\n    {in_words(one, state, before)}"


def _head(one: Sent) -> str:
    head = f"{short_local_time(one.queued)} to {one.contact}: "
    file = None if one.file is None else head + attachments.described(one.file, one.bytes)
    return file or entry(head, one.text, terminal_columns())
