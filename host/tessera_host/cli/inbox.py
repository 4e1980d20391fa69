"""The commands that read: `tessera inbox`, and `fetch`, the word of earlier versions for it.

Owns what is typed and how a message that came is shown. What is fetched when is the client's business, or the agent's.
"""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import duration
from ..agent.client import Client
from ..agent.interface import State
from ..agent.link import AgentLink
from ..clock import short_local_time
from ..errors import RelayRefused, Unreachable, UsageError
from ..keys.memory import keep_out_of_dumps
from ..member.fetching import FetchReport
from ..member.inbox import Arriving, Message
from ..member.names import known_name
from ..text import count, entry
from . import attachments, progress
from .opening import open_member
from .options import Home, Json, PassphraseFile, composed
from .output import NEWER, end_with, say_wrong, show, terminal_columns
from .talk import end_with_splits, talk, tell_remarks


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(inbox)
    app.command(hidden=True)(fetch)


def inbox(
    home: Home,
    contact: Annotated[
        str | None, typer.Argument(metavar="[CONTACT]", help="Only messages from this contact.", callback=composed)
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until a new message arrives.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also messages that were shown before.")] = False,
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

    if wait:
        keep_out_of_dumps()

    async def reading() -> None:
        async with talk(home, passphrase_file) as by:
            name = contact and known_name(contact, [each.name for each in await by.contacts()])
            report = await _new_messages(by, name, wait, offline, everything)
            state = await by.state()
            shown = [_Shown(message, state, save) for message in report.messages]
            result = {"messages": [each.fields() for each in shown], "rounds": len(report.rounds)}
            result |= {"rounds_expired": report.rounds_expired, "agent": isinstance(by, AgentLink)}
            away = {} if offline else state.away | {each.relay: str(each.error) for each in report.unread}
            result |= {"away": away}
            arriving = [each for each in state.arriving if name in (None, each.contact)]
            result |= {"arriving": [asdict(each) for each in arriving]}
            notes = [*_notes(report, everything, state), *map(_arriving_line, arriving), *map(_away_line, away.items())]
            show(result, "\n".join([*(each.line() for each in shown), *notes]), as_json)
            delivered = [each.message.place for each in shown if each.failure is None]
            if delivered:  # only now: what could not be shown or saved is as new as before
                await by.mark_read(delivered)
            split = [each.name for each in await by.contacts() if each.split]
        end_with_splits(split)
        if len(delivered) < len(shown):
            raise typer.Exit(UsageError.exit_code)
        if state.connected is False and not offline:  # the agent's relay is away: who asks is not to think all is read
            end_with(Unreachable(f"the agent does not reach the relay: {state.trouble}"))

    asyncio.run(reading())


async def _new_messages(
    by: AgentLink | Client, contact: str | None, wait: bool, offline: bool, everything: bool
) -> FetchReport:
    """Whatever is to be shown; with `wait` only once there is something new."""
    report = FetchReport()
    while True:
        if isinstance(by, Client) and not offline:
            await _fetch_into(by, report, patient=wait)
            await by.post_what_waits()
        new = await by.inbox(contact, new=True, take=False)
        report.rounds_expired += await by.take_expired()
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
        say_wrong(error.message, error.hint)
        return
    report.rounds += fetched.rounds
    report.rounds_expired += fetched.rounds_expired
    report.unread = fetched.unread


async def _until_more(by: AgentLink | Client) -> None:
    if isinstance(by, Client):
        await by.until_next_fetch()
        return
    async for change in by.changes():
        if change.kind in ("message", "caught-up"):  # the second in case the first came before this began to listen
            return


class _Shown:
    """A received message as it is shown; its file is written when it is made. `failure` says why it could not be."""

    def __init__(self, message: Message, state: State, folder: Path | None) -> None:
        self.message = message
        self.failure: UsageError | None = None
        self._time = state.time_of(message.round)
        self._saved: str | None = None
        if folder and message.file is not None:
            try:
                self._saved = attachments.save(folder, message)
            except UsageError as error:
                self.failure = error

    def fields(self) -> dict[str, Any]:
        fields = asdict(self.message)
        del fields["content"]
        size = len(self.message.content) if self.message.file is not None else None
        failure = str(self.failure) if self.failure else None
        return {**fields, "bytes": size, "time": self._time, "saved": self._saved, "not_saved": failure}

    def line(self) -> str:
        where = f"not saved: {self.failure}" if self.failure else f"saved as {self._saved}" if self._saved else None
        return message_line(self.message, f"{short_local_time(self._time)} ", where)


def message_line(message: Message, time_of_it: str = "", where: str | None = None) -> str:
    """For people; `where` is what became of its file."""
    notes = "(this contact's device was restored from a backup) " if message.restored else ""
    notes += f"({count(message.lost, 'message')} lost) " if message.lost else ""
    notes += f"({count(message.missing, 'message')} before this one not arrived yet) " if message.missing else ""
    notes += "(late) " if message.late else ""
    if message.newer:
        return f"{time_of_it}{message.contact}: {notes}{NEWER}"
    if message.file is None:
        return entry(f"{time_of_it}{message.contact}: {notes}", message.text, terminal_columns())
    where = where or "tessera inbox --all --save DIR keeps it"
    return f"{time_of_it}{message.contact}: {notes}{attachments.described(message.file, len(message.content))}; {where}"


def _arriving_line(each: Arriving) -> str:
    if each.got == each.parts:
        return f"(a message from {each.contact} is here, the one before it is not: it is shown then, or a little later)"
    come = f"{each.got} of {count(each.parts, 'part')}"
    return f"({come} of a message from {each.contact} have arrived; it is shown when all have)"


def _away_line(of: tuple[str, str]) -> str:
    """A relay that was not read while others were: each message is at others, too."""
    relay, error = of
    return f"(the relay {relay} could not be read; messages that were safe are on other relays, too: {error})"


def _notes(report: FetchReport, everything: bool, state: State) -> list[str]:
    notes = []
    if report.rounds_expired:
        span = duration.about(report.rounds_expired * state.round_seconds)
        notes.append(f"(the relay had erased the messages of {span} before you read them: they are lost)")
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
    if follow:
        keep_out_of_dumps()

    async def fetching() -> None:
        async with Client(open_member(home, passphrase_file), slow=progress.slow) as client:
            while True:
                await _fetch_once(client, as_json, follow)
                if not follow:
                    break
                await client.until_next_fetch()
            async with client.shared.held() as member:
                split = member.contacts.split
        end_with_splits(split)

    asyncio.run(fetching())


async def _fetch_once(client: Client, as_json: bool, follow: bool) -> None:
    """Show what came; while following, nothing if nothing did, and a relay that is away for a while does not end it."""
    try:
        report = await client.fetch(take=False)
        await client.post_what_waits()
    except (Unreachable, RelayRefused) as error:
        if not follow:
            raise
        say_wrong(error.message, error.hint)
        return
    finally:
        tell_remarks(client)
    report.messages = await client.inbox(new=True, take=False)
    if report.messages or as_json or not follow:
        _show_report(report, as_json)
    if report.messages:
        await client.mark_read(message.place for message in report.messages)


def _show_report(report: FetchReport, as_json: bool) -> None:
    lines = [message_line(message) for message in report.messages]
    if report.rounds_expired:
        lines.append(f"({report.rounds_expired} rounds had expired at the relay before this fetch)")
    records = sum(count for _, count in report.rounds)
    new = count(len(report.messages), "new message")
    lines.append(f"{new}; read {count(len(report.rounds), 'round')} with {count(records, 'record')}.")
    result = {**vars(report), "messages": [asdict(message) for message in report.messages]}
    result |= {"rounds": [{"round": round_, "count": count} for round_, count in report.rounds]}
    result |= {"unread": {each.relay: str(each.error) for each in report.unread}}
    lines += map(_away_line, result["unread"].items())
    show(result, "\n".join(lines), as_json)
