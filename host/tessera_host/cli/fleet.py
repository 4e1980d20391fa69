"""`tessera fleet …`: several gateways on several hosts that are one relay.

Owns what is typed and shown. A gateway that runs is asked over fleet.control; how a directory becomes a gateway's is
fleet.storage's, what there is to look at fleet.operated's, the engine's configuration fleet.nats_configuration's.
docs/fleet-operation.md is the page for operators.
"""

import asyncio
import contextlib
import os
import re
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from tessera import curve

from .. import duration, files, systemd
from ..errors import InvalidInput, RelayUnwell, Unreachable, UsageError
from ..fleet import control, engines, storage
from ..fleet.join_codes import Code
from ..fleet.nats_configuration import CERTIFICATE, KEY, NODES, SIGNERS, Node
from ..fleet.storage import FleetFile
from ..issuer.relay_directory import CONFIGURATION, PARAMETERS, SEED, SEED_BYTES
from ..keys import passphrase
from ..keys.memory import keep_out_of_dumps
from ..relay import server_relay
from .options import Json, Yes
from .output import check_sure, end_with, show
from .signals import stopped_by_signals

USER = "gateway"
CODE_VARIABLE = "TESSERA_JOIN_CODE_FILE"
_STATE = Path("/var/lib/tessera-engine")
_PORT, _NODE_PORT = 4222, 6222
_WATCH_SECONDS = 2

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The gateway's directory.")]
Storage = Annotated[
    str,
    typer.Option(
        "--storage",
        metavar="URL",
        help="Where the log is: nats://HOST,HOST,HOST/NAME, the nearest node first; or sqlite:///DIR/NAME.db for a "
        "fleet of one.",
    ),
]
EngineUser = Annotated[str, typer.Option(help="The gateways' user at the engine's nodes.")]
EnginePassword = Annotated[
    Path | None, typer.Option("--engine-password-file", help="File whose first line is that user's password.")
]
EngineCa = Annotated[
    Path | None,
    typer.Option("--engine-ca", help="Certificates (PEM) of the nodes' authority: they are reached by TLS."),
]


def register(fleet_app: typer.Typer) -> None:
    """Add the commands of this module to `tessera fleet`."""
    fleet_app.command("engine")(fleet_engine)
    fleet_app.command("init")(fleet_init)
    fleet_app.command("invite")(fleet_invite)
    fleet_app.command("join")(fleet_join)
    fleet_app.command("status")(fleet_status)
    fleet_app.command("drain")(fleet_drain)
    fleet_app.command("remove")(fleet_remove)
    fleet_app.command("repair")(fleet_repair)


# -- the engine


def fleet_engine(
    name: Annotated[str, typer.Argument(help="The node's name, another one for each.")],
    listen: Annotated[
        str, typer.Option(metavar="HOST[:PORT]", help="Where this node listens for gateways: a host of --nodes, 4222.")
    ],
    nodes: Annotated[
        str,
        typer.Option(
            metavar="HOST,HOST,HOST", help="The hosts of all three nodes; each listens for the others at 6222."
        ),
    ],
    password: Annotated[
        Path, typer.Option("--engine-password-file", help="File whose first line is the gateways' password.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="New file for the configuration; it holds the password.")],
    store: Annotated[Path, typer.Option(help="Where the node keeps the log.")] = _STATE,
    tls_files: Annotated[
        Path | None,
        typer.Option(
            help=f"Have it speak TLS: the directory on its host with {CERTIFICATE}, {KEY} and {SIGNERS}; for the unit "
            f"{systemd.ENGINE_CREDENTIALS}.",
        ),
    ] = None,
    user: EngineUser = USER,
    as_json: Json = False,
) -> None:
    """Write the configuration of a node of the engine that keeps a fleet's log: nats-server.

    It has all that a gateway checks before it believes a node.
    """
    hosts = [host.strip() for host in nodes.split(",")]
    names = [_host(host) for host in hosts]
    if len(set(hosts)) != NODES or _host(listen) not in names or not all(names):
        raise UsageError(
            f"a log is on {NODES} nodes, and this one is one of them",
            "--listen 10.0.0.1 --nodes 10.0.0.1,10.0.0.2,10.0.0.3",
        )
    addresses = tuple(_at(host, _NODE_PORT) for host in hosts)
    own = addresses[names.index(_host(listen))]
    try:
        made = Node(name, _at(listen, _PORT), own, addresses, store, user, _first_line(password), tls=tls_files)
        text = made.text()
    except ValueError as error:
        raise UsageError(f"this cannot be written into a configuration: {error}", "choose others") from None
    files.write_new(out, text.encode())
    told = [
        f"{out} is the configuration of node {name}, with the password: its owner alone may read it.",
        "On the node's host, with nats-server 2.12 or later of nats.io in /usr/local/bin:",
        f"  install -D -m 600 {shlex.quote(str(out))} /etc/tessera/engine.conf",
        "  systemctl enable --now tessera-engine",
    ]
    if tls_files is not None:
        told[3:3] = [
            f"  install -D -m 600 -t /etc/tessera {KEY}",
            f"  install -D -m 644 -t /etc/tessera {CERTIFICATE} {SIGNERS}",
        ]
        told += [f"Gateways are told who signed them: --engine-ca {SIGNERS}, with fleet init and fleet join."]
    answer = {"path": str(out), "node": name, "listen": made.listen, "listen_nodes": made.listen_nodes}
    show(answer | {"store": str(store)}, "\n".join(told), as_json)


def _at(host: str, port: int) -> str:
    """HOST:PORT, of HOST or HOST:PORT; an address of IPv6 with a port is in brackets."""
    if re.search(r"^[^:]+:\d+$|\]:\d+$", host):
        return host
    return f"[{host.strip('[]')}]:{port}" if ":" in host else f"{host}:{port}"


def _host(place: str) -> str:
    return _at(place, 0).rpartition(":")[0]


def _first_line(file: Path) -> str:
    """Raises InvalidInput."""
    line = files.read_text(file).partition("\n")[0].strip()
    if not line:
        raise InvalidInput(f"{file} is empty", "put one line into it: openssl rand -hex 24")
    return line


# -- the first gateway, and others


def fleet_init(
    directory: Directory,
    storage_: Storage,
    engine_user: EngineUser = USER,
    engine_password: EnginePassword = None,
    engine_ca: EngineCa = None,
    as_json: Json = False,
) -> None:
    """Make of a relay's directory the first gateway of a fleet. `tessera relay new` made it; it may have served alone.

    The engine is looked at first: whether it is set up so that it keeps what it acknowledges.
    """
    keep_out_of_dumps()
    if CONFIGURATION not in storage.names_in(directory):
        raise UsageError(
            f"there is no relay in {directory}",
            "on the issuer's machine: tessera relay new NAME --issuer DIR --host HOST NEWDIR, and bring NEWDIR here",
        )
    _check_no_gateway(directory)
    file = _file(directory, storage.FIRST, storage_, engine_user, engine_password, engine_ca)
    asyncio.run(_check_empty(directory, file, as_json))
    storage.found(directory, file)
    text = [
        f"{directory} is gateway {storage.FIRST} of a fleet, whose log is {storage_}. Start it:",
        f"  {_serve(directory)}",
    ]
    if file.is_for_one:
        text += ["It stays alone: no other gateway reaches this log."]
    else:
        text += [
            "One gateway is a relay that a lost disk ends, and two cannot tell who is right: let two more join.",
            f"  tessera fleet invite {_word(directory)}",
        ]
    show({"gateway": storage.FIRST, "directory": str(directory), "storage": storage_}, "\n".join(text), as_json)


async def _check_empty(directory: Path, file: FleetFile, as_json: bool) -> None:
    """Raises what is wrong with the engine; UsageError if another fleet's log is there."""
    secrets, newest = _identity(directory), server_relay.read_parameters(directory)

    def tell(why: str) -> None:
        if not as_json:
            typer.echo(f"{why}. Waiting up to {engines.START_SECONDS:g} s for nodes that are starting.", err=True)

    log = await engines.open_when_ready(file, curve.public(secrets), newest, tell)
    try:
        last = await log.last()
    finally:
        await log.close()
    if last:
        raise UsageError(
            f"{file.storage} has entries of this relay already",
            "if its fleet runs, join it: tessera fleet invite there, tessera fleet join here; else name another log",
        )


def fleet_invite(directory: Directory, as_json: Json = False) -> None:
    """Have a running gateway make a code by which one other gateway joins, within an hour."""
    storage.require_gateway(directory)
    _check_for_several(FleetFile.read(directory))
    found = asyncio.run(control.ask(directory, "invite"))
    name = _word(directory)
    text = [
        f"The code, good for one gateway and {duration.about(found['good_seconds'])}:",
        f"  {found['code']}",
        "The new gateway's host needs the relay's secrets, by a way that nobody else reads; from here, for example:",
        f"  ssh NEWHOST mkdir -m 700 {name}; scp -p {name}/{CONFIGURATION} {name}/{PARAMETERS} NEWHOST:{name}/",
        "and there:",
        f"  tessera fleet join {name} --storage URL --engine-password-file FILE",
    ]
    show(found, "\n".join(text), as_json)


def fleet_join(
    directory: Directory,
    storage_: Storage,
    engine_user: EngineUser = USER,
    engine_password: EnginePassword = None,
    engine_ca: EngineCa = None,
    code_file: Annotated[
        Path | None,
        typer.Option(envvar=CODE_VARIABLE, help="File with the code of `tessera fleet invite`; else it is asked for."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make of this host another gateway of a fleet, from what a running one gives it and the log.

    DIR has relay.json and parameters of a running gateway's directory, and nothing else of it.
    """
    keep_out_of_dumps()
    names = storage.names_in(directory)
    if not {CONFIGURATION, PARAMETERS} <= names:
        raise UsageError(
            f"{directory} lacks what a gateway begins with",
            f"copy {CONFIGURATION} and {PARAMETERS} of a running gateway's directory into it",
        )
    _check_no_gateway(directory)
    more = sorted(names - {CONFIGURATION, PARAMETERS})
    if more:
        raise UsageError(
            f"{directory} has what belongs to one gateway alone: {', '.join(more)}",
            f"begin with a new directory that has {CONFIGURATION} and {PARAMETERS} only",
        )
    code = Code.read(
        files.read_text(code_file) if code_file else passphrase.ask_for_code("Code of tessera fleet invite")
    )
    file = _file(directory, code.gateway, storage_, engine_user, engine_password, engine_ca)
    _check_for_several(file)
    number = asyncio.run(_join(directory, file, code))
    text = [
        f"{directory} is gateway {number} of the fleet. Start it:",
        f"  {_serve(directory)}",
        f"{directory / CONFIGURATION} has the relay's secrets here, too: whoever has them and this host is the relay.",
    ]
    show({"gateway": number, "directory": str(directory), "storage": storage_}, "\n".join(text), as_json)


async def _join(directory: Path, file: FleetFile, code: Code) -> int:
    """In a folder beside it, so that one that is refused may be tried again."""
    log = await engines.open_log(file, curve.public(_identity(directory)), server_relay.read_parameters(directory))
    transport = engines.transport(log)
    try:
        if not await log.last():
            raise UsageError(
                f"{file.storage} has no entries, so it is not the log of a fleet that runs",
                "write the name of the log that fleet init was given",
            )
        with tempfile.TemporaryDirectory(prefix=".joining-", dir=directory.absolute().parent) as scratch:
            made = Path(scratch)
            for name in (CONFIGURATION, PARAMETERS):
                files.write(made / name, (directory / name).read_bytes())
            files.write(made / SEED, os.urandom(SEED_BYTES))
            number = await storage.join(made, file, transport, code)
            for path in sorted(made.iterdir(), key=lambda path: path.name == storage.FILE):  # that one last
                path.replace(directory / path.name)
            files.sync_directory(directory)
            return number
    finally:
        await transport.close()
        await log.close()


def _check_for_several(file: FleetFile) -> None:
    if file.is_for_one:
        raise UsageError(
            f"the log {file.storage} is a file, which one gateway alone reaches",
            "several gateways have a log that NATS keeps: --storage nats://HOST,HOST,HOST/NAME",
        )


def _check_no_gateway(directory: Path) -> None:
    if storage.is_gateway(directory):
        raise UsageError(
            f"{directory} is a gateway's already",
            f"start it: {_serve(directory)}; one that was removed begins with a new directory",
        )


def _identity(directory: Path) -> bytes:
    """The relay's static secret, 32 bytes."""
    return bytes.fromhex(server_relay.read_configuration(directory)["static_secret"])


def _file(directory: Path, number: int, url: str, user: str, password: Path | None, ca: Path | None) -> FleetFile:
    """Raises UsageError, InvalidInput."""
    engines.check(url)
    alone = FleetFile(number, url)
    if alone.is_for_one:
        return alone
    if password is None:
        raise UsageError("the engine's nodes know gateways by a password", "name its file: --engine-password-file FILE")
    return FleetFile(number, url, user, _first_line(password), None if ca is None else str(ca.absolute()))


# -- how it does


def fleet_status(
    directory: Directory,
    watch: Annotated[bool, typer.Option("--watch", help="Renew it every two seconds, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show how the gateways and the engine of a fleet do, asked through the gateway that runs in this directory.

    Exit code 9 if there is something to look at; --json has it as codes: unreachable, fault, differs, behind, clock,
    no-token-key, versions, engine-away, no-quorum, engine-refused, engine-node; and few, which is no fault.
    """
    if watch and as_json:
        raise UsageError("--watch is for a person", "leave it out with --json")
    if watch:
        asyncio.run(_watched(directory))
        return
    found = asyncio.run(control.ask(directory, "status"))
    show(found, _plain(shown(found)), as_json)
    wrong = [remark for remark in found["remarks"] if remark["code"] != "few"]
    if wrong:
        end_with(
            RelayUnwell(
                f"there is something to look at: {', '.join(each['code'] for each in wrong)}",
                "the notes say what to do",
            )
        )


async def _watched(directory: Path) -> None:
    """Until Ctrl-C; in place on a terminal, else one below the other. A gateway that was there may come back."""
    console = Console(markup=False, highlight=False)
    on_screen = sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal
    with Live(auto_refresh=False, console=console) if on_screen else contextlib.nullcontext() as live:

        def renew(found: RenderableType) -> None:
            timed = Group(Text(time.strftime("%H:%M:%S")), found)
            if live is None:
                show({}, _plain(timed), as_json=False)
            else:
                live.update(timed, refresh=True)

        async def look() -> None:
            renew(shown(await control.ask(directory, "status")))
            while True:
                await asyncio.sleep(_WATCH_SECONDS)
                try:
                    renew(shown(await control.ask(directory, "status")))
                except Unreachable as away:
                    renew(Text(f"{away}; it is asked again until it answers"))

        looking = asyncio.ensure_future(look())
        stopped_by_signals(looking.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await looking


def _plain(found: RenderableType) -> str:
    console = Console(markup=False, highlight=False)
    with console.capture() as captured:
        console.print(found)
    return captured.get().rstrip()


def shown(found: dict[str, Any]) -> Group:
    """What `status` answers, for people."""
    heads = ("gateway", "round", "position", "view", "behind", "waiting", "members", "program", "")
    columns = (Column(head, no_wrap=bool(head)) for head in heads)
    table = Table(*columns, box=None, padding=(0, 1, 0, 0))
    for number, status in found["gateways"].items():
        name = f"{number} (here)" if int(number) == found["gateway"] else str(number)
        view = str(found["views"].get(number, ""))
        if status is None:
            table.add_row(name, "", "", view, *[""] * 4, Text("does not answer", "red"))
            continue
        behind = max(0, status["last"] - status["position"])
        late = f"{behind} ({duration.about(status['lag_seconds'])})" if status["lag_seconds"] >= 1 else str(behind)
        table.add_row(
            name,
            str(status["published"]),
            str(status["position"]),
            view,
            late,
            str(status["waiting"]),
            str(status["sessions"]),
            status["program"],
            _state(status),
        )
    engine = found["engine"]
    nodes = engine["nodes"] if engine else []
    leader = engine["leader"] if engine else ""
    told = ", ".join(_node(node, leader) for node in nodes) or "does not answer"
    lines = [Text(f"engine: {told}{'' if leader or not nodes else '; no leader'}")]
    lines += [Text(f"- {remark['text']}") for remark in found["remarks"]]
    return Group(table, *lines)


def _node(node: dict[str, Any], leader: str) -> str:
    role = " (leader)" if node["name"] == leader else ""
    return f"{node['name']}{role} {node['version']}".rstrip() + ("" if node["is_current"] else " away or behind")


def _state(status: dict[str, Any]) -> Text:
    if status["fault"]:
        return Text("stopped", "red")
    if status["draining"]:
        return Text("takes no more members", "yellow")
    return Text("serves", "green") if status["token_key"] else Text("serves, no posts yet", "yellow")


# -- leaving


def fleet_drain(directory: Directory, as_json: Json = False) -> None:
    """Have a running gateway take no more members; ends when those that are there have left, and it may be stopped.

    A load balancer finds nobody at its port and goes to the next one. A start takes members again.
    """
    told: list[int] = []

    def tell(sessions: int) -> None:
        if not as_json and told[-1:] != [sessions]:
            typer.echo(f"{sessions} members are there yet", err=True)
        told.append(sessions)

    asyncio.run(control.drained(directory, tell))
    text = (
        f"Nobody is there any more. Stop it now: Ctrl-C there, or systemctl stop its unit. {_serve(directory)} takes "
    )
    show({"drained": True, "directory": str(directory)}, text + "members again.", as_json)


def fleet_remove(
    directory: Directory,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="The gateway that is to leave.")],
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Take a gateway out of the fleet for good: it was lost or stolen, or its host is needed no more.

    From the next epoch on nothing is sealed to it. Its number is used by no other.
    """
    check_sure(f"Remove gateway {number} for good?", yes, as_json)
    found = asyncio.run(control.ask(directory, "remove", gateway=number))
    left, hosts = ", ".join(map(str, found["gateways"])), ",".join(["HOST"] * NODES)
    text = [
        f"Gateway {number} is in force no more; there are {left}. Delete its directory, if you can.",
        "If it was stolen, it reads the log until the epoch ends for as long as the engine lets it in: change the",
        "engine's password now. On each node's host, one after the other:",
        f"  tessera fleet engine NAME --listen HOST --nodes {hosts} --engine-password-file NEW -o engine.conf",
        "  install -D -m 600 engine.conf /etc/tessera/engine.conf && systemctl restart tessera-engine",
        f'and on each gateway\'s: "password" in {_word(directory)}/{storage.FILE}, then start the gateway again.',
    ]
    show(found, "\n".join(text), as_json)


def fleet_repair(
    directory: Directory,
    storage_: Storage,
    without: Annotated[
        list[int] | None, typer.Option("--without", min=1, help="A gateway that is lost, and does not answer.")
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Have a fleet whose log is broken go on in another log, from the gateway that runs here.

    All gateways have stopped serving, and still run. This one has to have replayed as much as any; the others join it
    anew.
    """
    check_sure("Go on from this gateway, and have all others join anew?", yes, as_json)
    engines.check(storage_)
    found = asyncio.run(control.ask(directory, "repair", storage=storage_, without=without or []))
    others = ", ".join(map(str, found["left"])) or "none"
    text = [
        f"Gateway {found['gateway']} goes on alone, with all {found['position']} entries that it replayed, in the log",
        f"{storage_}. Stop it, and start it: {_serve(directory)}",
        f"The others ({others}) belong to the old log: stop them, and let each join anew with a new directory, one",
        f"after the other: tessera fleet invite {_word(directory)}",
        "Keep the engine's old log for whoever finds out what happened.",
    ]
    show(found, "\n".join(text), as_json)


# -- words


def _word(path: Path) -> str:
    return shlex.quote(str(path))


def _serve(directory: Path) -> str:
    return f"tessera serve {_word(directory)}"
