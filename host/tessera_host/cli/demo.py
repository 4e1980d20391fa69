"""The two commands of a newcomer: `run`, a relay on MicroPython to play with; `demo`, two members who talk through one.

Owns the story that is told. Leaves to others: everything that happens in it. Started by `make run` and `make demo`.
"""

import argparse
import asyncio
import contextlib
import json
import secrets
import shlex
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

import platformdirs
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from tessera.wire import PORT

from .. import kinds_of_cover
from ..errors import InvalidInput, NotPermitted, TesseraError
from ..issuer import organisation
from ..issuer.issuer import Issuer
from ..issuer.store import FEDERATION_CARD
from ..member import composing, meeting, token_exchange
from ..member.fetching import Fetcher, FetchReport
from ..member.relay_sessions import RelaySessions
from ..member.sending import RelayBusy, Sender
from ..member.state import MemberState
from ..planning import choosing, plan
from ..protocol.addresses import check_port
from ..relay.process import RelayProcess, check_free
from .first_words import meeting_commands
from .output import say_wrong

EPSILON, DELTA = Fraction("0.1"), Fraction("1e-6")
SHOWN_CHARACTERS = 70
SHOWN_LINES = 12

console = Console(highlight=False)


# -- run


def run(directory: Path, port: int) -> None:
    """A relay of a demonstration organisation, until Ctrl-C. Stopping and starting again keeps every record."""

    check_port(port, "name another one: make run PORT=8200")
    check_free(port, "if another relay runs there, stop it; or name another port: make run PORT=8200")

    def planned() -> plan.Plan:
        console.print(f"Making a demonstration organisation in {escape(str(directory))}", soft_wrap=True)
        return choosing.plan_for(choosing.Wish(members=24, round_seconds=60))

    relay = RelayProcess(directory / organisation.RELAY, port)
    with ended_in_order(), relay:
        with organisation.opened(directory, planned, "Demonstration office", port):
            relay.start()
        console.print("\n".join(relay.lines), markup=False, soft_wrap=True)
        console.print(next_commands(directory), markup=False, soft_wrap=True)
        with contextlib.suppress(KeyboardInterrupt):
            relay.wait()
            raise TesseraError("the relay ended: " + relay.lines[-1], "start it again; its records are kept")
        report = relay.stop()
        console.print(f"Stopped. Peak heap {report['heap_peak_bytes']} bytes. `make run` starts it again.")


def next_commands(directory: Path) -> str:
    """What to type in another terminal for a first conversation."""
    issuer, card = organisation.ISSUER, f"{organisation.ISSUER}/{FEDERATION_CARD}"
    folder, commands = shlex.quote(str(directory.absolute())), shlex.quote(str(Path(sys.executable).parent))
    lines = [
        "",
        "In another terminal (the passphrase is in a file because this is a demonstration):",
        "",
        f"  export PATH={commands}:$PATH TESSERA_PASSPHRASE_FILE={folder}/{organisation.PASSPHRASE}; cd {folder}",
    ]
    for name in ("alice", "bob"):
        lines += [
            f"  tessera member new {name} --home {name} --federation {card} -o {name}.member",
            f"  tessera issuer admit {issuer} {name}.member",
            f"  tessera token fetch --home {name} --issuer {issuer}",
        ]
    lines += [f"  {line}" for line in meeting_commands()]
    lines += [
        "  tessera fetch --home bob --follow  # the message appears when its round, one minute, is over",
        "",
        "Ctrl-C stops the relay.",
    ]
    return "\n".join(lines)


# -- demo


@dataclass
class Story:
    """What happened: lines by who sent and who received them, published counts by round, our records in them."""

    sent: dict[str, list[str]] = field(default_factory=lambda: {"alice": [], "bob": []})
    received: dict[str, list[str]] = field(default_factory=lambda: {"alice": [], "bob": []})
    published: dict[int, int] = field(default_factory=dict)
    records: int = 0

    @property
    def identical(self) -> bool:
        """Every line arrived once, in order, as it was sent."""
        return self.sent["alice"] == self.received["bob"] and self.sent["bob"] == self.received["alice"]

    def outcome(self, report: dict[str, Any]) -> dict[str, Any]:
        """The closing line."""
        return {
            "sent": sum(map(len, self.sent.values())),
            "delivered": sum(map(len, self.received.values())),
            "identical": self.identical,
            "records": self.records,
            "cover_records": sum(self.published.values()) - self.records,
            "rounds": len(self.published),
            "runtime": report["runtime"],
            "heap_peak_bytes": report["heap_peak_bytes"],
            "curve_tier": report["curve_tier"],
        }


def demo(input_file: Path, round_seconds: int) -> int:
    """Tell the story with the lines of a file; the last line printed is its outcome as JSON. The exit status."""
    lines = read_lines(input_file)
    with tempfile.TemporaryDirectory(prefix="tessera-demo-") as scratch, ended_in_order():
        directory = Path(scratch)
        passphrase = secrets.token_urlsafe(16)
        port = free_port()
        issuer = make_short_lived(directory, passphrase, port, round_seconds)
        with issuer, RelayProcess(directory / "relay", port).start() as relay:
            console.print("\n".join(relay.lines[:-1]), markup=False, soft_wrap=True)
            story = asyncio.run(converse(directory, passphrase, issuer, lines))
            outcome = story.outcome(relay.stop())
    show(story)
    print(json.dumps(outcome), flush=True)
    return 0 if outcome["identical"] else 1


def read_lines(path: Path) -> list[str]:
    """The non-empty lines of a UTF-8 file, without their ends."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read: {error.strerror}", "name a text file: make demo INPUT=file.txt"
        ) from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text", "convert it first, for example with iconv") from None
    lines = [line for line in (each.rstrip("\r") for each in text.split("\n")) if line]
    if not lines:
        raise InvalidInput(f"{path} has no line with anything in it", "name a file with some text")
    return lines


def make_short_lived(directory: Path, passphrase: str, port: int, round_seconds: int) -> Issuer:
    """An organisation of two with short rounds and epochs, and the largest quota of which a Pico W serves a cell."""
    choice = plan.Choice(
        cover=kinds_of_cover.DELIVERY,  # constant batches take one record of a member a round
        epsilon=EPSILON,
        delta=DELTA,
        members=2,
        round_seconds=round_seconds,
        epoch_rounds=30,
        retention_epochs=2,
        posts_per_token=448,  # 2 members · 448 posts and 218 of cover = 1114 of 1120 records of a cell
        allow_small=True,
    )
    issuer = Issuer.create(directory / "issuer", passphrase, plan.make(choice), "Demonstration", epochs=400)
    issuer.add_relay("demonstration", "127.0.0.1", port, directory / "relay")
    return issuer


async def converse(directory: Path, passphrase: str, issuer: Issuer, lines: list[str]) -> Story:
    """Two members join, meet, and send each other the lines in turn."""
    card = issuer.federation_card
    with (
        MemberState.create(directory / "alice", "alice", card, passphrase) as alice,
        MemberState.create(directory / "bob", "bob", card, passphrase) as bob,
    ):
        for member in (alice, bob):
            issuer.admit(member.card())
            console.print(
                f"{member.identity.name} joined; tokens by epoch: {dict(token_exchange.fetch(member, issuer))}"
            )
        _, confirm = meeting.confirm(alice, meeting.answer(bob, meeting.invite(alice, "bob"), "alice"))
        meeting.accept(bob, confirm)
        console.print(f"alice reads: [bold]{' '.join(alice.contacts.get('bob').words)}[/]")
        words = " ".join(bob.contacts.get("alice").words)
        console.print(f"bob reads:   [bold]{words}[/]   the same, so nobody is in between")
        talk = Talk(issuer, alice, bob)
        await talk.exchange(lines)
        return talk.story


class Talk:
    """The exchange between two members who know each other."""

    def __init__(self, issuer: Issuer, alice: MemberState, bob: MemberState) -> None:
        self.story = Story()
        self._issuer = issuer
        self._turns = ((alice, "bob"), (bob, "alice"))
        self._members = (alice, bob)
        self._renewed = alice.epoch()

    async def exchange(self, lines: list[str]) -> None:
        """Send the lines in turn, then wait for the last round to be sealed and fetch until all are there."""
        with progress("sending", len(lines)) as advance:
            for number, line in enumerate(lines):
                sender, contact = self._turns[number % 2]
                self.story.sent[sender.identity.name].append(line)
                await self._send(sender, contact, line)
                advance()
        # One round more than the clock says: the relay's may be ahead.
        await self._fetch_to(max(member.round() for member in self._members) + 2)

    async def _send(self, sender: MemberState, contact: str, line: str) -> None:
        """All at once, whatever the day's budget and the ledger of cells say: nobody has to be hidden here."""
        composing.queue(sender, contact, line)
        posting = Sender(sender, RelaySessions(sender))
        while len(sender.outbox):
            self._renew_tokens()
            sender.data.cells.clear()
            try:
                while await posting.post_one(sender.federation.home):
                    sender.data.cells.clear()
            except RelayBusy:
                await self._fetch_to(sender.round() + 1)
            except NotPermitted:
                await self._next_epoch(sender)

    def _renew_tokens(self) -> None:
        """Once an epoch both members fetch the tokens of the next."""
        for member in self._members:
            if member.epoch() > self._renewed:
                with contextlib.suppress(NotPermitted):
                    token_exchange.fetch(member, self._issuer)
        self._renewed = max(member.epoch() for member in self._members)

    async def _next_epoch(self, sender: MemberState) -> None:
        """The epoch's posts are used up: keep reading until the next one opens."""
        used = sender.epoch()
        while sender.epoch() == used:
            await self._fetch_to(sender.round() + 1)

    async def _fetch_to(self, end: int) -> None:
        """Both members read every round before `end`."""
        for member in self._members:
            while member.inbox.next_round < end:
                await asyncio.sleep(member.seconds_to_next_round() + 0.2)
                self._renew_tokens()
                self._take(member, await Fetcher(member, RelaySessions(member)).fetch())

    def _take(self, member: MemberState, report: FetchReport) -> None:
        self.story.received[member.identity.name] += [message.text for message in report.messages]
        self.story.published.update(report.rounds)
        self.story.records += report.records_matched


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=total)
        yield lambda: bars.advance(task)


def show(story: Story) -> None:
    """What each side saw, and what the relay saw."""
    for reader, writer in (("bob", "alice"), ("alice", "bob")):
        table = Table("sent", "received", title=f"{writer} → {reader}", title_justify="left")
        sent, received = story.sent[writer], story.received[reader]
        for left, right in list(zip_longest(sent, received, fillvalue="(nothing)"))[:SHOWN_LINES]:
            table.add_row(shown(left), shown(right))
        if len(sent) > SHOWN_LINES:
            table.add_row(f"… {len(sent) - SHOWN_LINES} more", "…")
        console.print(table)
    table = Table(
        "round", "published records", title="What the relay published, for every reader", title_justify="left"
    )
    for round_, count in sorted(story.published.items())[:SHOWN_LINES]:
        table.add_row(str(round_), str(count))
    if len(story.published) > SHOWN_LINES:
        table.add_row("…", f"{len(story.published) - SHOWN_LINES} more rounds")
    console.print(table)
    console.print(
        f"Of these {sum(story.published.values())} records {story.records} carried the conversation; the others are"
        " cover. Only alice and bob can tell which: the relay saw tokens it cannot link to a member, records of 240"
        " random-looking bytes, and one bucket that both of them read in full."
    )


def shown(line: str) -> str:
    return escape(line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…")


# -- both


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """SIGTERM is like Ctrl-C: what was started is stopped."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def default_directory() -> Path:
    """Not where members keep their keys and messages: it is there to be thrown away."""
    return platformdirs.user_cache_path("tessera") / "demonstration"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tessera_host.cli.demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="a relay on MicroPython, until Ctrl-C")
    running.add_argument("--directory", type=Path, default=default_directory(), help="where its organisation is kept")
    running.add_argument("--port", type=int, default=PORT)
    telling = commands.add_parser("demo", help="two members exchange the lines of a file")
    telling.add_argument("--input", type=Path, required=True, help="a UTF-8 text file")
    telling.add_argument("--round-seconds", type=int, default=2)
    options = parser.parse_args(arguments)
    try:
        if options.command == "run":
            run(options.directory, options.port)
            return 0
        return demo(options.input, options.round_seconds)
    except TesseraError as error:
        say_wrong(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
