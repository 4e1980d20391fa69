"""What the commands of members who talk share, and two small ones: the day's budget, and how the relay does.

Owns by whom a command talks: the agent that runs for this home, which needs no passphrase, or the member itself; and
what is said besides what was asked for, and how a command ends while contacts were given other settings.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import typer

from .. import duration
from ..agent.client import Client
from ..agent.link import AgentLink
from ..clock import short_local_time
from ..errors import IntegrityError
from ..member import views
from ..member.accountant import Budget
from ..protocol import schedule
from ..text import count
from . import progress
from .opening import open_member
from .options import Home, HomeRelay, Json, PassphraseFile
from .output import end_with, say_wrong, show
from .sent_text import NEVER, all_until


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (budget, status):
        app.command()(command)


@asynccontextmanager
async def talk(home: Path, passphrase_file: Path | None) -> AsyncIterator[AgentLink | Client]:
    """The agent of this home if one runs, else the member itself."""
    link = await AgentLink.find(home)
    if link:
        async with link:
            yield link
        return
    async with Client(open_member(home, passphrase_file), slow=progress.slow) as client:
        try:
            yield client
        finally:
            tell_remarks(client)


def tell_remarks(client: Client) -> None:
    """On standard error: standard output is for results."""
    for remark in client.take_remarks():
        typer.echo(remark, err=True)


def end_with_splits(names: Iterable[str]) -> None:
    """If contacts were given other settings: say so of each, and end the command with the status of an integrity
    error. What it was to show is shown."""
    alarms = [views.alarm(name) for name in names]
    for alarm in alarms:
        say_wrong(alarm.message, alarm.hint)
    if alarms:
        raise typer.Exit(IntegrityError.exit_code)


def budget(home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Show how many messages you have sent today, and how many can leave in a day."""

    async def telling() -> None:
        async with talk(home, passphrase_file) as by:
            today, state = await by.budget(), await by.state()
        each = "Each part of a long message or a file counts as one"
        each += " for each relay" if today.copies > 1 else ""
        lines = [str(today), f"{each}, for 24 hours.{_shown_of(today)}"]
        if not today.left:
            when = f"from {short_local_time(today.next_at)} on" if today.next_at else NEVER
            lines.append(f"The next one can leave {when}.")
        if state.waiting:
            waits = f"{count(state.waiting, 'record')} of what you wrote waiting"
            lines.append(f"{waits}, to leave {all_until(state)} with the agent or the next command.")
        result = {**asdict(today), "left": today.left, "waiting": state.waiting, "may_leave_at": state.next_at}
        show(result, "\n".join(lines), as_json)

    asyncio.run(telling())


def _shown_of(today: Budget) -> str:
    """What published numbers show of a day; nothing, if each is the same whatever anybody sends."""
    if today.epsilon == today.delta == "0":
        return ""
    private = f"({today.epsilon}, {today.delta})-differentially private"
    return f" For anyone who sees every published number, what you send in any 24 hours is {private}."


def status(home: Home, relay: HomeRelay = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Ask a relay for its round and settings, and compare clocks. Warns if the schedule of keys ends soon."""

    async def asking() -> None:
        async with Client(open_member(home, passphrase_file), slow=progress.slow) as client:
            try:
                found = await client.status(relay)
                await client.post_what_waits()
            finally:
                tell_remarks(client)
            async with client.shared.held() as member:
                waiting, split = len(member.outbox), member.contacts.split
                proofs = member.evidence.contradictions
                warning = schedule.warning(member.federation.heard_of, member.now())
                round_seconds = int(member.federation.newest.round_seconds)
        info = asdict(found.info)
        result = {"relay": found.relay, **info, "epoch": found.epoch, "own_round": found.own_round}
        result |= {"rounds_apart": found.rounds_apart, "waiting": waiting, "split": split, "contradictions": proofs}
        text = (
            f"{found.relay}: open round {found.info.open_round} (epoch {found.epoch}), curve tier {found.info.tier}\n"
            f"settings {found.info.serial} in force, digest {found.info.digest.hex()}\n"
            f"newest settings {found.info.newest_serial}, digest {found.info.newest_digest.hex()}\n"
            f"clocks: {_clocks(found.rounds_apart, round_seconds)}; {count(waiting, 'record')} in the outbox"
        )
        show(result, text, as_json)
        end_with_splits(split)
        if proofs:
            end_with(
                IntegrityError(
                    "the office signed two sets of settings that contradict each other: others were "
                    "given different settings from yours",
                    "the proof is in 'tessera status --json' (contradictions); show it to your colleagues and to IT",
                )
            )
        if warning:
            end_with(warning)

    asyncio.run(asking())


def _clocks(rounds_apart: int, round_seconds: int) -> str:
    if rounds_apart == 0:
        return "in the same round"
    apart = duration.about(abs(rounds_apart) * round_seconds)
    return (
        f"the relay is about {apart} {'ahead' if rounds_apart > 0 else 'behind'} ({count(abs(rounds_apart), 'round')})"
    )
