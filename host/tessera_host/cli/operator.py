"""The commands of whoever runs a federation: `tessera issuer …`, `tessera relay …`.

Owns their options and what they print. Leaves to others: everything they do (issuer.py), the planner's (cli/plan.py),
the commands that sign a new set (renewing.py), how relays do (relay_status.py), members' commands and the printing of
errors with their exit codes (cli/__init__.py).
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tessera.wire import PORT

from .. import kinds_of_cover
from ..clock import local_time, unix_now
from ..errors import UsageError
from ..issuer.genesis import EPOCH_AT, before
from ..issuer.issuer import EPOCHS_DEFAULT, SERVICE_PORT, Issuer
from ..issuer.store import FEDERATION_CARD, KEYSTORE, PARAMETERS
from ..keys import passphrase
from ..planning import figures, plan
from ..privacy import noise
from ..protocol import addresses, releases, schedule
from . import clustering, renewing
from .card_exchange import card_text
from .opening import open_issuer
from .options import (
    AtOnce,
    CardIn,
    IssuerArgument,
    IssuerDirectory,
    Json,
    PassphraseFile,
    ReachedHost,
    ReachedPort,
    Yes,
    composed,
)
from .output import check_sure, end_with, show

issuer_app, relay_app = typer.Typer(), typer.Typer()


def register_issuer(app: typer.Typer) -> None:
    """Add the commands of this module to `tessera issuer`."""
    app.add_typer(issuer_app)


def register_relay(app: typer.Typer) -> None:
    """Add the commands of this module to `tessera relay`."""
    app.add_typer(relay_app)


@issuer_app.command("init")
def issuer_init(
    directory: IssuerArgument,
    plan_file: Annotated[Path, typer.Option("--plan", help="The file that tessera plan --out wrote.")],
    name: Annotated[str, typer.Option(help="Name of the federation, for people.")],
    epochs: Annotated[
        int, typer.Option("--epochs", "--days", help="Length of the schedule of keys, in epochs (days by default).")
    ] = EPOCHS_DEFAULT,
    epoch_at: Annotated[
        str,
        typer.Option("--epoch-at", metavar="HH:MM", help="Time of day at which a new epoch begins, in winter time."),
    ] = EPOCH_AT,
    genesis: Annotated[
        str | None,
        typer.Option(help="Start of round 0, instead of --epoch-at: unix seconds or ISO 8601."),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(help="Host name or address of this computer for members, if it will run `tessera issuer serve`."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make a federation: its keys, encrypted, and signed parameters of serial 1."""
    made = plan.load(plan_file)
    start = before(unix_now(), made.choice.epoch_seconds, epoch_at) if genesis is None else _unix_seconds(genesis)
    if (directory / KEYSTORE).exists():
        raise UsageError(f"{directory} already has an issuer", "name a new directory; nothing is ever overwritten")
    messages = figures.checked_messages_a_day(made)
    phrase = passphrase.obtain(passphrase_file, confirm=True)
    with Issuer.create(directory, phrase, made, name, epochs=epochs, genesis=start) as issuer:
        if service:
            issuer.set_service(*addresses.typed(service, None, SERVICE_PORT, "--service"))
        summary = issuer.summary()
    text = [
        f"Federation '{name}' is in {directory}. Keep its passphrase: without it nobody can use it, not even you.",
        f"Its keys last until {local_time(summary['schedule_ends'])}; the service renews them by itself. Without the "
        f"service renew them yourself: tessera issuer renew {directory}",
        f"A member may send {messages} short messages a day{_within(made)}.",
        *clustering.planned_text(made),
        "Next, in this order (HOST: a name or address that members reach; PERSON: the name of a new member):",
        *([] if service else [f"  tessera issuer service {directory} HOST"]),
        f"  tessera relay new RELAY RELAYDIR --issuer {directory} --host HOST   (a board: tessera flash --relay RELAY "
        f"--issuer {directory} --host HOST)",
        f"  tessera issuer serve {directory}",
        f"  tessera issuer invite {directory} PERSON",
    ]
    show(summary | _paths(directory), "\n".join(text), as_json)


@issuer_app.command("admit", hidden=True)
def issuer_admit(
    directory: IssuerArgument, card: CardIn, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Add the owner of a member card to the roster. Check first that the card is that person's."""
    text = card_text(card, "member")
    with open_issuer(directory, passphrase_file) as issuer:
        name = issuer.admit(text)
        count, most = issuer.members_count, issuer.parameters.members
    show(
        {"admitted": name, "members": count, "members_max": most},
        f"{name} is on the roster, which has {count} of {most} members. Give {name} {directory / FEDERATION_CARD}, if "
        "not done yet.",
        as_json,
    )


@issuer_app.command("remove")
def issuer_remove(
    directory: IssuerArgument,
    name: Annotated[str, typer.Argument(help="Name on the roster.", callback=composed)],
    at_once: AtOnce = False,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Take a member off the roster: they get no more tokens or keys, and those they have soon stop working."""
    question = f"Take {name} off the roster? All keys are replaced, and to come back {name} needs a new invitation."
    check_sure(question, yes, as_json)
    with open_issuer(directory, passphrase_file) as issuer:
        issuer.remove(name, at_once)
        summary = issuer.summary()
    begins = summary["generation_begins"]
    text = [
        f"{name} is off the roster. The tokens and keys that {name} has work until {local_time(begins)}, when all keys",
        f"are replaced. Parameters have serial {summary['serial']} now.",
        *renewing.generation_text(summary, at_once),
        f"Relays get them from members, or at once: tessera relay push --issuer {directory}",
    ]
    answer = {"removed": name, "members": len(summary["members"]), "access_ends": begins}
    show(answer | {"serial": summary["serial"], "generation": summary["generation"]}, "\n".join(text), as_json)


@issuer_app.command("approve")
def issuer_approve(
    directory: IssuerArgument,
    folder: Annotated[Path, typer.Argument(metavar="IMAGE_FOLDER", help="build/BOARD, as `make image` leaves it.")],
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Sign an image, and the bundle in its folder, for this federation: its relays accept only signed code."""
    with open_issuer(directory, passphrase_file) as issuer:
        made = issuer.approve(folder)
    listed = [
        {
            "release": str(each.path),
            "artifact": str(each.artifact),
            "kind": releases.KIND_NAMES[each.release.kind],
            "board": each.release.board,
            "version": each.version,
            "bytes": each.release.bytes,
            "sha256": each.release.sha256.hex(),
        }
        for each in made
    ]
    text = [f"{row['release']}: {row['kind']} {row['version']} for {row['board']}" for row in listed]
    show({"releases": listed}, "\n".join(text), as_json)


@issuer_app.command("show")
def issuer_show(directory: IssuerArgument, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Show relays, roster and schedule, nothing secret. Exit code 21 if the schedule of keys ends soon."""
    with open_issuer(directory, passphrase_file) as issuer:
        summary, warning = issuer.summary(), schedule.warning(issuer.parameters, unix_now())
    rows = [
        ("federation", f"{summary['name']} ({summary['federation_id']})"),
        ("parameters", f"serial {summary['serial']}, digest {summary['digest']}"),
        ("epoch", f"{summary['current_epoch']}; keys for {summary['first_epoch']} to {summary['last_epoch']}"),
        ("keys until", local_time(summary["schedule_ends"])),
        ("board", summary["board"]),
        *_day(summary),
        *clustering.shown(summary),
    ]
    if summary["service"]:
        rows.append(("service", addresses.shown(**summary["service"])))
    rows += [
        ("relay", f"{relay['name']}  {addresses.shown(relay['host'], relay['port'])}") for relay in summary["relays"]
    ]
    rows += [("", f"{name}  to be replaced: tessera flash --relay") for name in summary["relays_to_be_replaced"]]
    waiting = sum(entry["state"] == "open" for entry in summary["invitations"])
    rows += [("invitations", f"{waiting} open")] if waiting else []
    rows.append(("members", f"{len(summary['members'])} of {summary['members_max']}"))
    for member in summary["members"]:
        counts = f"tokens: {member['tokens_this_epoch']} this epoch, {member['tokens_next_epoch']} next"
        rows.append(("", f"{member['name']}  {counts}"))
    show(summary | _paths(directory), _table(summary["name"], rows).rstrip(), as_json)
    if warning:
        end_with(warning)


@relay_app.command("new")
def relay_new(
    name: Annotated[str, typer.Argument(help="Name of the relay, for people.")],
    relay_directory: Annotated[Path, typer.Argument(metavar="RELAYDIR", help="New directory for the relay.")],
    issuer_directory: IssuerDirectory,
    host: ReachedHost,
    port: ReachedPort = None,
    time_server: Annotated[
        str | None, typer.Option(help="Network clock (SNTP) for a board: host name or address.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make a relay's keys and directory, and list it in the next parameter set."""
    host, at = addresses.typed(host, port, PORT)
    with open_issuer(issuer_directory, passphrase_file) as issuer:
        earlier = [relay["name"] for relay in issuer.relays]
        relay = issuer.add_relay(name, host, at, relay_directory, time_server)
        serial, digest = issuer.parameters.serial, issuer.parameters.digest.hex()
        service = issuer.service
    text = [
        f"Relay '{name}' is in {relay_directory}, the only place with its secrets. Parameters have serial {serial} now."
    ]
    if earlier:
        text += [
            renewing.members_get_it(service, issuer_directory),
            f"The other relays get the new parameters from members, or at once: tessera relay push --issuer "
            f"{issuer_directory}",
        ]
    answer = {"relay": name, "key": relay.key, "directory": str(relay_directory), "host": host, "port": at}
    answer |= {"serial": serial, "digest": digest, "relays_to_update": earlier}
    show(answer | _paths(issuer_directory), "\n".join(text), as_json)


def _unix_seconds(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"'{text[:40]}' is not a time", "write 1767225600 or 2026-01-01T00:00:00Z") from None
    if moment.tzinfo is None:
        raise UsageError(f"'{text[:40]}' has no time zone", f"for UTC write {text[:40]}Z")
    return int(moment.timestamp())


def _paths(directory: Path) -> dict[str, str]:
    return {"parameters": str(directory / PARAMETERS), "federation_card": str(directory / FEDERATION_CARD)}


def _day(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """A member's day, for offices whose batches show something of it."""
    if summary["cover"] == kinds_of_cover.CONSTANT:
        return []
    return [("a member's day", f"ε = {summary['budget']['epsilon']}, δ = {summary['budget']['delta']}")]


def _within(made: plan.Plan) -> str:
    """The office's setting for a member's day, for offices whose batches show something of it."""
    if not made.table:
        return ""
    day = made.choice.day_epsilon, made.choice.day_delta
    return f" at your setting ε = {noise.decimal(day[0])}, δ = {noise.decimal_up(day[1])}"


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    console = Console(markup=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()
