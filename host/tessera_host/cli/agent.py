"""`tessera agent` and `tessera chat`: what runs for long.

Owns what is typed and shown. The agent is `agent`'s, the full-screen conversation `chat`'s, which is loaded only when
it is wanted.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .. import config, duration
from ..agent import service_units
from ..agent.client import Client
from ..agent.interface import State, Talk, message_fields, sent_fields
from ..agent.link import AgentLink
from ..agent.server import Agent
from ..agent.service_units import ServiceUnit
from ..errors import Unreachable, UsageError
from ..keys.memory import keep_out_of_dumps
from ..member.names import known_name
from ..text import count
from . import output
from .opening import open_member
from .options import ContactName, Home, Json, NextEpoch, PassphraseFile
from .output import show
from .signals import stopped_by_signals
from .talk import talk


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(agent)
    app.command()(chat)


def agent(
    home: Home,
    show_status: Annotated[bool, typer.Option("--status", help="Show the state of the running agent.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the running agent.")] = False,
    install: Annotated[
        bool, typer.Option("--install", help="Start it now and at every login (systemd, launchd).")
    ] = False,
    print_unit: Annotated[bool, typer.Option("--print", help="Show what --install would write.")] = False,
    next_epoch: NextEpoch = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Send and receive steadily in the background, until it is stopped.

    Every round the same frames leave this computer, whether you have something to say or not, so that nobody on the
    network can tell when you write. send, sent, inbox, chat, budget, resend and contact list work through it and need
    no passphrase then.
    """
    if sum((show_status, stop, install, print_unit)) > 1:
        raise UsageError("--status, --stop, --install and --print do not go together", "give one of them")
    if show_status or stop:
        asyncio.run(_to_the_running(home, stop, as_json))
    elif install or print_unit:
        _unit(_service_unit(home, passphrase_file), install, as_json)
    else:
        _serve(home, passphrase_file, not next_epoch, as_json)


def _serve(home: Path, passphrase_file: Path | None, early: bool, as_json: bool) -> None:
    keep_out_of_dumps()
    client = Client(open_member(home, passphrase_file))

    def ready() -> None:
        text = "The agent runs: in each round it posts one frame to each relay and fetches once. Ctrl-C stops it."
        show({"serving": True, "home": str(home)}, text, as_json)
        sys.stdout.flush()

    async def serving() -> None:
        async with client:
            running = Agent(client, home)
            stopped_by_signals(running.stop)
            await running.run(early=early, ready=ready)

    asyncio.run(serving())


async def _to_the_running(home: Path, stop: bool, as_json: bool) -> None:
    link = await AgentLink.find(home)
    if link is None:
        raise Unreachable("no agent runs for this home", "start it with: tessera agent")
    async with link:
        if stop:
            await link.stop()
            show({"stopped": True}, "The agent stops.", as_json)
            return
        state, today = await link.state(), await link.budget()
    show({**asdict(state), **asdict(today)}, f"{state_line(state)}\n{today}", as_json)


def state_line(state: State) -> str:
    """How the engine does, for people."""
    waiting = f"{count(state.waiting, 'record')} waiting" if state.waiting else "nothing waiting"
    waiting += f" ({state.obstacle})" if state.obstacle else ""
    apart = duration.about(state.behind * state.round_seconds)
    behind = f"; the messages of the last {apart} are not read yet" if state.behind > 1 else ""
    if state.copies > 1 and state.connected:
        behind += "".join(f"; {relay} is away: {error}" for relay, error in sorted(state.away.items()))
    if state.connected is None:
        return f"starting; {waiting}"
    return f"{'connected to ' + state.relay if state.connected else state.trouble}; {waiting}{behind}"


def _service_unit(home: Path, passphrase_file: Path | None) -> ServiceUnit:
    command = service_units.agent_command(home, passphrase_file)
    is_default = home.absolute() == config.home().absolute()
    return service_units.unit_for(sys.platform, command, home, Path.home(), is_default)


def _unit(unit: ServiceUnit, install: bool, as_json: bool) -> None:
    path = service_units.install(unit) if install else unit.path
    missing = service_units.enable(unit) if install else None
    result = {"path": str(path) if path else None, "text": unit.text, "start": unit.start, "written": install}
    show(result | {"running": install and missing is None}, _about_unit(unit, install, missing), as_json)


def _about_unit(unit: ServiceUnit, install: bool, missing: str | None) -> str:
    if not install:
        return f"{unit.text}\n# {unit.start}"
    if missing:
        started = f"It does not run yet: {missing}. Start it with:\n  {unit.start}"
    else:
        started = "It runs now and starts at every login. To see its state: tessera agent --status"
    hint = "Without --passphrase-file it waits until you unlock the keystore: tessera unlock"
    return f"{unit.path} written. {started}\n{hint}"


# -- chat


def chat(contact: ContactName, home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Talk with a contact on the full screen. With --json: print what was said so far, and nothing else."""
    if as_json:
        asyncio.run(_said(home, passphrase_file, contact))
        return
    if not output.has_terminal() or (os.environ.get("TERM", "dumb") == "dumb" and sys.platform != "win32"):
        raise UsageError("a conversation needs a terminal", "use tessera send and tessera inbox in scripts")
    asyncio.run(_converse(home, passphrase_file, contact))


async def _said(home: Path, passphrase_file: Path | None, contact: str) -> None:
    async with talk(home, passphrase_file) as by:
        contact = await _meant(by, contact)
        received = [message_fields(message) for message in await by.inbox(contact)]
        sent = [sent_fields(entry) for entry in await by.sent(contact)]
    show({"contact": contact, "received": received, "sent": sent}, "", True)


async def _converse(home: Path, passphrase_file: Path | None, contact: str) -> None:
    from .chat import Chat

    keep_out_of_dumps()
    async with talk(home, passphrase_file) as by:
        contact = await _meant(by, contact)
        async with _running(by):
            screen = Chat(by, contact)
            await screen.run_async()
            if screen.failure:
                raise screen.failure


async def _meant(by: Talk, typed: str) -> str:
    """The contact's name. Raises UsageError."""
    return known_name(typed, [contact.name for contact in await by.contacts()])


@asynccontextmanager
async def _running(by: AgentLink | Client) -> AsyncIterator[None]:
    """With the engine, unless the agent runs it."""
    if not isinstance(by, Client):
        yield
        return
    engine = asyncio.create_task(by.run(at_once=True))
    try:
        yield
    finally:
        engine.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await engine
