"""`tessera cluster`: an office with several relays on this computer, for trials and tests, until it is stopped.

Owns what is typed and shown, and the signals that end it. The office is `cluster.office`'s, what keeps it running
`cluster.supervisor`'s.
"""

import asyncio
import contextlib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tessera.wire import PORT

from ..clock import local_time_of_day
from ..cluster import office
from ..cluster.office import Office, Runtime, Shape
from ..cluster.supervisor import Node, State, Supervisor
from ..errors import UsageError
from ..issuer import organisation
from ..keys.memory import keep_out_of_dumps
from ..keys.passphrase import ENVIRONMENT
from ..planning import choosing, plan
from ..protocol.topology import Kind, Topology
from ..relay import process
from ..text import count
from .first_words import meeting_commands
from .options import Json
from .signals import stopped_by_signals

NODES, COPIES, MEMBERS = 5, 2, 24
_STYLES = {State.SERVING: "green", State.STARTING: "yellow", State.WAITING: "red", State.EMPTY: "red"}


def register(app: typer.Typer) -> None:
    """Add `cluster` to the main app."""
    app.command("cluster")(cluster)


def cluster(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory of the cluster: a new one, or that of an earlier start.")
    ] = Path("tessera-cluster"),
    nodes: Annotated[
        int | None, typer.Option(min=1, max=office.MOST_NODES, help=f"Relays of a new cluster. Default: {NODES}.")
    ] = None,
    topology: Annotated[
        Kind | None,
        typer.Option(
            help="Which relays have the copies: the next ones after each mailbox's home (ring), or different ones for "
            "each mailbox (mesh, the default).",
        ),
    ] = None,
    copies: Annotated[
        int | None,
        typer.Option(min=1, max=office.MOST_NODES, help=f"On how many relays each message is. Default: {COPIES}."),
    ] = None,
    runtime: Annotated[Runtime | None, typer.Option(help="Python that relays run on. Default: cpython.")] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help=f"Port of the first relay; the others have the next ones. Default: {PORT}."
        ),
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(
            min=plan.MEMBERS_FLOOR, help=f"Members of a new cluster; the planner chooses the rest. Default: {MEMBERS}."
        ),
    ] = None,
    round_seconds: Annotated[int | None, typer.Option(help="Length of a round of a new cluster, in seconds.")] = None,
    as_json: Json = False,
) -> None:
    """Run an office with several relays on this computer until stopped: a trial in which relays may be lost.

    The first start makes it, with issuer and passphrase, so it is only for trials; later starts go on with what is
    there. A relay that ends is started again; for one whose directory is gone a new, empty relay takes its place. In
    service the same office is boards or servers: tessera relay new for each, and tessera issuer cluster. With --json
    every change is one JSON object on a line.
    """
    keep_out_of_dumps()
    if "\0" in str(directory):
        raise UsageError("a directory's name cannot have a zero byte", "use another name")
    wanted = {"nodes": nodes, "runtime": runtime, "port": port}
    rules = {"members": members, "round_seconds": round_seconds}
    known = office.read_shape(directory)
    if known is not None:
        _check_as_made(directory, known, wanted)
    else:
        _check_not_within(directory)
    shape = known or Shape(nodes or NODES, runtime or Runtime.CPYTHON, port or PORT)
    chosen = Topology((topology or Kind.MESH).value, COPIES if copies is None else copies)
    if known is None:
        chosen = _checked(shape, chosen, copies)
    if shape.runtime == Runtime.MICROPYTHON:
        process.binary()

    def planned() -> plan.Plan:
        _check_ports(shape, "if another relay runs there, stop it; or name other ports for the new cluster: --port")
        if not as_json:
            what = f"its plan, the issuer, {count(shape.nodes, 'relay')}"
            typer.echo(f"Making a cluster in {directory} ({what}), which takes some seconds ...", err=True)
        wish = choosing.Wish(
            members=MEMBERS if members is None else members,
            round_seconds=round_seconds,
            relays=shape.nodes,
            topology=chosen.kind,
            copies=chosen.copies,
            board="GATEWAY" if shape.runtime == Runtime.CPYTHON else choosing.Wish.board,
        )
        return choosing.plan_for(wish, rules)

    with office.opened(directory, shape, planned) as (opened, made):
        if not made:
            _check_topology(opened, topology, copies)
            _check_rules(opened, rules)
            _check_ports(
                shape, "a cluster keeps its ports: stop the program that uses this one, perhaps an earlier start"
            )
        view: _View = _Json(opened, made) if as_json else _view(opened, made)
        asyncio.run(_until_stopped(opened, view))


# -- what is typed


def _check_as_made(directory: Path, known: Shape, wanted: dict[str, Any]) -> None:
    """Raises UsageError if the present cluster was made with other options than those asked for."""
    for name, value in wanted.items():
        there = getattr(known, name)
        if value not in (None, there):
            raise UsageError(
                f"the cluster in {directory} was made with --{name} {there}, not {value}",
                f"leave --{name} out, or name a new directory",
            )


def _check_not_within(directory: Path) -> None:
    """Raise UsageError for a new cluster among another's relays: somebody stands in that one's folder, and means it."""
    parent = directory.absolute().parent
    if (parent / office.CONFIGURATION).exists():
        raise UsageError(
            f"{directory} would be a new cluster inside the directory of another, {parent}",
            f"to go on with that one: tessera cluster {shlex.quote(str(parent))}",
        )


def _checked(shape: Shape, chosen: Topology, copies: int | None) -> Topology:
    """Raises UsageError for more copies than nodes, or ports that there are not."""
    if copies is None and chosen.copies > shape.nodes:
        chosen = Topology(chosen.kind, shape.nodes)
    if chosen.copies > shape.nodes:
        raise UsageError(
            f"{chosen.copies} copies of a message need as many relays, but there are {shape.nodes}",
            f"use --copies {shape.nodes}, or more --nodes",
        )
    last = shape.port + shape.nodes
    if last > 65535:
        raise UsageError(
            f"{count(shape.nodes + 1, 'port')} from {shape.port} on would end at {last}, but the highest is 65535",
            "use a lower --port",
        )
    return chosen


def _check_ports(shape: Shape, hint: str) -> None:
    """Raises Unreachable."""
    for name, port in shape.places.items():
        process.check_free(port, hint, name)


def _check_topology(opened: Office, kind: str | None, copies: int | None) -> None:
    """Raises UsageError if members were told another."""
    told = opened.federation.topology
    if kind not in (None, told.kind) or copies not in (None, told.copies):
        raise UsageError(
            f"the cluster in {opened.directory} is a {told.kind} with {_copies(told)}, not as asked for",
            f"leave --topology and --copies out; to change them: tessera issuer cluster {opened.directory}/issuer",
        )


def _check_rules(opened: Office, wanted: dict[str, int | None]) -> None:
    """Raises UsageError if the cluster that is there goes by others."""
    newest, issuer = opened.federation.newest, opened.directory / organisation.ISSUER
    for name, value in wanted.items():
        there, option = getattr(newest, name), f"--{name.replace('_', '-')}"
        if value in (None, there):
            continue
        other = f"tessera issuer renew {issuer} {option} {value}" if name == "members" else "name a new directory"
        raise UsageError(
            f"the cluster in {opened.directory} was made with {option} {there}, not {value}",
            f"leave {option} out; to change it: {other}",
        )


def _copies(topology: Topology) -> str:
    return "1 copy" if topology.copies == 1 else f"{topology.copies} copies"


# -- what is shown


class _View:
    """How what happens is shown: a line a change, where there is no terminal."""

    def __init__(self, opened: Office, made: bool) -> None:
        self.office = opened
        self._shown: dict[Node, tuple[State, str]] = {}
        self._served: set[Node] = set()
        self._begin(made)

    def _begin(self, made: bool) -> None:
        typer.echo(_about(self.office, made), err=True)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def nodes(self, nodes: Sequence[Node]) -> None:
        """All that there are, before anything happens."""

    def changed(self, node: Node) -> None:
        now = node.state, node.note
        if self._shown.get(node) == now:
            return  # a round
        self._shown[node] = now
        self._change(node)

    def _change(self, node: Node) -> None:
        is_first = node.state == State.SERVING and node not in self._served
        if is_first:
            self._served.add(node)
            self.say(f"{node.name} serving on {node.address}")
        if node.state != State.STARTING and (node.note or not is_first):
            self._say_state(node)

    def _say_state(self, node: Node) -> None:
        self.say(_line(node))

    def up(self) -> None:
        """All have been started."""
        self.say(_next(self.office))

    def say(self, text: str) -> None:
        typer.echo(text)


class _Json(_View):
    def _begin(self, made: bool) -> None:
        told = self.office.federation.topology
        about = {"cluster": str(self.office.directory), "made": made, "nodes": self.office.shape.names}
        self._show(about | {"topology": told.kind, "copies": told.copies, "runtime": self.office.shape.runtime})

    def _change(self, node: Node) -> None:
        self._show(
            {"node": node.name, "address": node.address, "state": str(node.state), "note": node.note}
            | {"round": node.round, "restarts": node.restarts, "since": int(node.since)}
        )

    def up(self) -> None:
        self._show({"next": _next_commands(self.office)})

    def _show(self, found: dict[str, Any]) -> None:
        typer.echo(json.dumps(found))


class _Table(_View):
    """On a terminal: a table that renews itself, below what was said."""

    def _begin(self, made: bool) -> None:
        self._console = Console(highlight=False)
        self._console.print(_about(self.office, made), markup=False, soft_wrap=True)
        self._nodes: Sequence[Node] = ()
        self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> None:
        self._live.__enter__()

    def __exit__(self, *exit_: Any) -> None:
        self._live.__exit__(*exit_)

    def nodes(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._renew()

    def changed(self, node: Node) -> None:
        super().changed(node)
        self._renew()

    def _say_state(self, node: Node) -> None:
        """The table has it."""

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def _renew(self) -> None:
        self._live.update(table(self._nodes), refresh=True)


def table(nodes: Sequence[Node]) -> Table:
    """The nodes as they are."""
    shown = Table("node", "address", "state", "round", "restarts", "since", "", title_justify="left")
    for node in nodes:
        style = _STYLES.get(node.state, "dim")
        shown.add_row(
            node.name,
            node.address,
            Text(node.state, style),
            "" if node.round is None else str(node.round),
            str(node.restarts or ""),
            local_time_of_day(node.since),
            Text(node.note),
        )
    return shown


def _view(opened: Office, made: bool) -> _View:
    return _Table(opened, made) if Console().is_terminal else _View(opened, made)


def _line(node: Node) -> str:
    return f"{local_time_of_day(node.since)} {node.name} {node.state}" + (f": {node.note}" if node.note else "")


def _about(opened: Office, made: bool) -> str:
    told = opened.federation.topology
    size = f"{count(opened.shape.nodes, 'relay')} ({opened.shape.runtime}), {told.kind}, {_copies(told)} of a message"
    burn = f"; any {told.copies - 1} may be lost" if told.copies > 1 else "; losing one loses messages"
    return (
        f"{'Made a cluster' if made else 'This is a cluster'} of {size}{burn}.\n"
        f"It is a trial: the issuer, its passphrase and all relays lie together in {opened.directory}, so anybody who "
        "reads that directory can act as IT."
    )


def _next(opened: Office) -> str:
    lines = [
        "",
        "In another terminal (the passphrase is in a file because this is a trial):",
        "",
        *(f"  {line}" for line in _next_commands(opened)),
        "",
        "Ctrl-C stops all of it; the same command starts it again.",
    ]
    return "\n".join(lines)


def _next_commands(opened: Office) -> list[str]:
    folder, programs = (shlex.quote(str(path)) for path in (opened.directory, Path(sys.executable).parent))
    issuer, nodes = organisation.ISSUER, opened.shape.names
    people = [("alice", nodes[0]), ("bob", nodes[1 % len(nodes)])]
    return [
        f"export PATH={programs}:$PATH {ENVIRONMENT}={folder}/{organisation.PASSPHRASE}; cd {folder}",
        *(f"tessera issuer invite {issuer} {name} --relay {relay} -o {name}.invitation" for name, relay in people),
        *(f"tessera join {name}.invitation --home {name}" for name, _ in people),
        *meeting_commands(),
        "tessera inbox --home bob --wait",
    ]


# -- running


async def _until_stopped(opened: Office, view: _View) -> None:
    """Until a signal ends it, which is no error."""
    nodes = opened.nodes()
    with view:
        view.nodes(nodes)
        running = asyncio.create_task(Supervisor(nodes, view.changed).run(view.up))
        # The first signal ends it, others are for nobody, as it is ending; SIGHUP comes when its terminal is closed.
        stopped_by_signals(lambda: running.cancelling() or running.cancel(), "SIGHUP")
        with contextlib.suppress(asyncio.CancelledError):
            await running
