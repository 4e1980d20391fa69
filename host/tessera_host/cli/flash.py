"""The command `tessera flash`: from a board on a cable to a relay in service, and what is done with one at the cable.

Owns its options and what it prints. Everything it does is in tessera_host.provisioning.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from tessera.wire import PORT

from ..errors import (
    BatchIncomplete,
    BoardNotFound,
    BoardSilent,
    CommissioningFailed,
    FlashFailed,
    ImageRejected,
    NotPermitted,
    OtherRelay,
    PortDenied,
    ProvisioningFailed,
    SeveralBoards,
    UsageError,
    WrongBoard,
)
from ..issuer.issuer import Issuer
from ..issuer.store import KEYSTORE
from ..keys import passphrase
from ..protocol import addresses
from ..provisioning import service, serving
from ..provisioning.batch import Batch, summary
from ..provisioning.desk import Desk, open_desk, write_log
from ..provisioning.finder import Finder
from ..provisioning.moving import move
from ..provisioning.relay_setup import InService, RelaySetup
from ..provisioning.report import Bars, Lines, Report, Silent
from ..provisioning.settings import Row, Settings, Wifi, fixed_address, read_batch, time_server
from ..provisioning.setup_steps import Request
from ..provisioning.update import update_relay
from ..text import count, printable
from .options import EveryCell, IssuerDirectory, Json, LogOut, PassphraseFile, Place, PluggedInRelay, Yes
from .output import confirmation, show
from .renewing import members_get_it

BATCH_PATIENCE_SECONDS = 600.0

finder = Finder()  # what sees this computer's ports; a test puts in one that sees an emulated board

Ssid = Annotated[str | None, typer.Option(help="Wi-Fi network, for boards with Wi-Fi.")]
WifiPasswordFile = Annotated[
    Path | None,
    typer.Option(help="File with the network's password; else TESSERA_WIFI_PASSWORD_FILE, else a prompt."),
]
Country = Annotated[str | None, typer.Option(help="Country of the Wi-Fi network, two letters (Pico W).")]
Security = Annotated[
    str | None, typer.Option(help="wpa3 or wpa2-wpa3, if the Wi-Fi network needs it (Pico W). Default: WPA2.")
]
Address = Annotated[str | None, typer.Option(help="Fixed address, like 10.0.0.7/24. DHCP if left out.")]
Gateway = Annotated[str | None, typer.Option(help="The network's gateway, with --address.")]
NameServer = Annotated[str | None, typer.Option(help="Name server, with --address; the gateway if left out.")]
Hostname = Annotated[str | None, typer.Option(help="The relay's name in the local network.")]

EXIT_CODES = {
    BoardNotFound: "no board, or it did not come back",
    SeveralBoards: "several boards, and no --port",
    WrongBoard: "the wrong board or chip",
    PortDenied: "the port or volume cannot be opened",
    BoardSilent: "the board stopped answering",
    ImageRejected: "the image is not the approved one; nothing was written",
    FlashFailed: "writing failed, or new code did not serve",
    ProvisioningFailed: "the board did not keep what was written to it",
    CommissioningFailed: "cover or self-test is wrong: do not use the board",
    OtherRelay: "the board is another relay; it was left as it is",
    BatchIncomplete: "some relays of a batch are not in service",
}

flash_app = typer.Typer(
    invoke_without_command=True,
    help="Turn a board on a USB cable into a relay in service. It is harmless to run it again.",
    epilog="Exit status: " + "; ".join(f"{kind.exit_code} {words}" for kind, words in EXIT_CODES.items()) + ".",
)


def register(app: typer.Typer) -> None:
    """Add `tessera flash` to the main app."""
    app.add_typer(flash_app, name="flash")


@flash_app.callback()
def flash(
    context: typer.Context,
    relay: PluggedInRelay = None,
    batch: Annotated[Path | None, typer.Option("--batch", help="CSV file with one line for each relay.")] = None,
    issuer_directory: IssuerDirectory = Path("issuer"),
    host: Annotated[str | None, typer.Option(help="Host name or address of the relay for members.")] = None,
    relay_port: Annotated[int | None, typer.Option(help=f"TCP port of the relay. Default: {PORT}.")] = None,
    place: Place = None,
    board: Annotated[str | None, typer.Option(help="The kind of board, if it does not say so itself.")] = None,
    image: Annotated[Path | None, typer.Option(help="Folder of the image. Default: build/<BOARD>.")] = None,
    clock: Annotated[
        str | None,
        typer.Option("--time-server", help="Network clock (SNTP), or `none`. Default: pool.ntp.org."),
    ] = None,
    ssid: Ssid = None,
    wifi_password_file: WifiPasswordFile = None,
    country: Country = None,
    security: Security = None,
    address: Address = None,
    gateway: Gateway = None,
    dns: NameServer = None,
    hostname: Hostname = None,
    close_repl: Annotated[bool, typer.Option("--close-repl", help="Give the relay's cable no Python prompt.")] = False,
    mhz: Annotated[int | None, typer.Option(help="Processor clock of a Pico or Pico W in MHz: 200 or 125.")] = None,
    every_cell: EveryCell = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check and show the steps; change nothing.")] = False,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Flash and provision the board that is plugged in, check it, and record it: --relay NAME, or --batch FILE."""
    if context.invoked_subcommand is not None:
        return
    if (relay is None) == (batch is None):
        raise UsageError("name one relay, or a batch", "tessera flash --relay berlin, or --batch relays.csv")
    confirm, ask = confirmation(yes, as_json), _question(as_json)
    if batch is not None:
        template = Request(Settings("", ""), board, place, image, every_cell, confirm, ask)
        _flash_batch(batch, template, issuer_directory, passphrase_file, dry_run, as_json)
        return
    assert relay is not None
    wifi = _wifi(ssid, country, security, wifi_password_file)
    with _desk(issuer_directory, passphrase_file, as_json, for_listing=True) as desk:
        settings = Settings(
            relay,
            *_reached(desk, relay, host, relay_port, as_json),
            time_server(clock),
            wifi,
            fixed_address(address, gateway, dns),
            hostname,
            "closed" if close_repl else "open",
            mhz,
        )
        setup = RelaySetup(desk, Request(settings, board, place, image, every_cell, confirm, ask))
        if dry_run:
            planned = setup.plan()
            result, text = planned, _plan_text(planned)
        else:
            done = setup.run()
            result, text = _result(done), _text(done, desk)
    show(result, text, as_json)


def _flash_batch(
    path: Path, template: Request, issuer_directory: Path, passphrase_file: Path | None, dry_run: bool, as_json: bool
) -> None:
    rows = read_batch(path)
    with _desk(issuer_directory, passphrase_file, as_json, for_listing=True) as desk:
        batch = Batch(desk, rows, template, lambda row: _ask_for(row, desk), BATCH_PATIENCE_SECONDS)
        if dry_run:
            names = [row.settings.name for row in batch.open_rows]
            result: dict[str, Any] = {"batch": str(path), "open": names, "in_service": len(rows) - len(names)}
            show(result, f"not in service yet: {', '.join(names) or 'none'}", as_json)
            return
        done = batch.run()
        cards = "\n\n".join("\n".join(each.card.lines(with_code=False)) for each in done)
        text = (cards + "\n\n" if cards else "") + summary(done, rows, path)
    show({"batch": str(path), "relays": [_result(each) for each in done]}, text, as_json)


@flash_app.command("verify")
def verify(
    relay: PluggedInRelay = None,
    issuer_directory: IssuerDirectory = Path("issuer"),
    place: Place = None,
    every_cell: EveryCell = False,
    as_json: Json = False,
) -> None:
    """Compare the relay that is plugged in with parameters and inventory; recompute its cover while it discloses it."""
    with _desk(issuer_directory, None, as_json) as desk:
        told = service.verify(desk, place, relay, every_cell)
    status = told["status"]
    state = f"{status['state']} ({status['network']})" if status.get("network") else status["state"]
    text = [
        f"'{told['relay']}' at {told['place']} is in order: {status['board']}, version {status['version']}.",
        f"State {state}, round {status['open_round']}, {count(status['boots'], 'start')}, keys as listed.",
    ]
    if told["cover_disclosed"]:
        text.append(f"Cover: {told['records_compared']} records of {told['cells_compared']} cells, byte for byte.")
    else:
        text.append("Members use it, so it no longer discloses its cover.")
    if not told["newest_parameters"]:
        push = f"tessera relay push {told['relay']} --issuer {issuer_directory}"
        text.append(f"Its parameters are not the issuer's newest; members bring it those, or at once: {push}")
    show(told, "\n".join(text), as_json)


@flash_app.command("export-log")
def export_log(
    relay: PluggedInRelay = None,
    issuer_directory: IssuerDirectory = Path("issuer"),
    place: Place = None,
    out: LogOut = None,
    as_json: Json = False,
) -> None:
    """Read the log of the relay that is plugged in. The log has no addresses, no identifiers, no counts."""
    with _desk(issuer_directory, None, as_json) as desk:
        name, lines = service.log(desk, place, relay)
    text = "".join(line + "\n" for line in lines)
    if out:
        write_log(out, text)
    shown = f"{len(lines)} lines of '{name}' in {out}" if out else printable(text.rstrip("\n"))
    show({"relay": name, "lines": lines, "out": str(out) if out else None}, shown, as_json)


@flash_app.command("update")
def update(
    relay: PluggedInRelay = None,
    issuer_directory: IssuerDirectory = Path("issuer"),
    place: Place = None,
    image: Annotated[Path | None, typer.Option(help="Folder with the approved code. Default: build/<BOARD>.")] = None,
    as_json: Json = False,
) -> None:
    """Bring newer code to the relay that is plugged in. If it does not serve a round, the relay returns to the old."""
    with _desk(issuer_directory, None, as_json) as desk:
        done = update_relay(desk, place, relay, image)
    text = f"'{done.name}' already has version {done.before}, the newest one here."
    if done.changed:
        text = f"'{done.name}' served a round with version {done.version} and keeps it; before it was {done.before}."
    show({"relay": done.name, "before": done.before, "version": done.version, "changed": done.changed}, text, as_json)


@flash_app.command("network")
def network(
    relay: Annotated[str, typer.Option("--relay", help="Name of the relay that moves to another network.")],
    issuer_directory: IssuerDirectory = Path("issuer"),
    place: Place = None,
    ssid: Ssid = None,
    wifi_password_file: WifiPasswordFile = None,
    country: Country = None,
    security: Security = None,
    address: Address = None,
    gateway: Gateway = None,
    dns: NameServer = None,
    hostname: Hostname = None,
    as_json: Json = False,
) -> None:
    """Move the relay that is plugged in to another network: give all options. Keys and records stay; it restarts."""
    wifi = _wifi(ssid, country, security, wifi_password_file)
    settings = Settings(relay, "", wifi=wifi, address=fixed_address(address, gateway, dns), hostname=hostname)
    with _desk(issuer_directory, None, as_json) as desk:
        status = move(desk, place, settings)
    trouble = serving.trouble(status)
    text = f"'{relay}' has its new network's settings, but is not on it yet: {trouble}."
    if trouble is None:
        text = f"'{relay}' is on its new network, at {status['address']}."
    show({"relay": relay, "address": status.get("address"), "network": trouble}, text, as_json)


@flash_app.command("factory-reset")
def factory_reset(
    relay: Annotated[str, typer.Option("--relay", help="Name of the relay to erase.")],
    issuer_directory: IssuerDirectory = Path("issuer"),
    place: Place = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Erase a relay for good: its keys, and with them every record, then the rest. The firmware stays."""
    with _desk(issuer_directory, None, as_json) as desk:
        with desk.report.paused():
            if not confirmation(yes, as_json)(f"Erase the relay '{relay}' with all its records?"):
                raise NotPermitted(f"'{relay}' is left as it is", "to erase it without a question: --yes")
        after = service.factory_reset(desk, place, relay)
    remove = f"tessera relay remove {relay} --issuer {issuer_directory}"
    show(
        {"reset": relay, "place": after.place, "board": after.board},
        f"'{relay}' is erased; now there is {after}.\nThe parameters still list it; to take it off the list: {remove}",
        as_json,
    )


# -- what these commands share


@contextmanager
def _desk(directory: Path, passphrase_file: Path | None, as_json: bool, for_listing: bool = False) -> Iterator[Desk]:
    """The desk, with the issuer open if relays are to be listed; the passphrase is asked for before anything begins."""
    if not (directory / KEYSTORE).is_file():
        raise UsageError(
            f"there is no issuer in {directory}", "name the issuer's directory with --issuer, or set TESSERA_ISSUER"
        )
    phrase = passphrase.secret_for(directory / KEYSTORE, passphrase_file) if for_listing else ""
    with _report(as_json) as report:
        if not for_listing:
            yield open_desk(directory, finder, report)
            return
        with Issuer.open(directory, phrase) as issuer:
            yield open_desk(directory, finder, report, issuer)


@contextmanager
def _report(as_json: bool) -> Iterator[Report]:
    if as_json:
        yield Silent()
    elif sys.stderr.isatty():
        with Bars() as bars:
            yield bars
    else:
        yield Lines()


def _question(as_json: bool) -> Callable[[str], str | None]:
    """Asks a person; None where there is none to ask."""
    if as_json or not sys.stdin.isatty():
        return lambda question: None
    return lambda question: str(typer.prompt(question, err=True))


def _reached(desk: Desk, relay: str, host: str | None, port: int | None, as_json: bool) -> tuple[str, int]:
    """The address that is given, or that of a relay that is listed already; else it is asked for."""
    assert desk.issuer is not None
    if host is None:
        for listed in desk.issuer.relays:
            if listed["name"] == relay:
                return str(listed["host"]), int(listed["port"])
        with desk.report.paused():
            host = _question(as_json)(f"Host name or address of '{relay}' for members")
    if host is None:
        raise UsageError(f"the address of '{relay}' for members is missing", "name it with --host")
    return addresses.typed(host, port, PORT)


def _wifi(ssid: str | None, country: str | None, security: str | None, password_file: Path | None) -> Wifi | None:
    """None if nothing is said of it; without a name if only that is not."""
    return Wifi(ssid or "", country, security, password_file) if ssid or country or security or password_file else None


def _ask_for(row: Row, desk: Desk) -> None:
    desk.report.step(f"plug in the board for '{row.settings.name}' (hold BOOTSEL on a Pico)")


def _result(done: InService) -> dict[str, Any]:
    return {
        "relay": done.name,
        "board": done.board,
        "place": done.place,
        "changed": done.changed,
        "did": done.did,
        "commissioned": done.commissioned,
        "card": done.card.text,
        "inventory": done.entry,
        "network": done.trouble,
    }


def _text(done: InService, desk: Desk) -> str:
    verb = "is in service" if done.changed else "was already in service and is in order"
    lines = [f"'{done.name}' {verb}: a {done.board} at {done.place}."]
    if done.commissioned:
        cells = f"{done.commissioned['cells']} of {done.commissioned['of']} cells of epoch {done.commissioned['epoch']}"
        lines.append(f"Its cover was recomputed byte for byte: {done.commissioned['records']} records, {cells}.")
    if done.trouble:
        lines += ["", f"It is not on its Wi-Fi network yet: {done.trouble}. To give it another network or password:"]
        lines.append(f"tessera flash network --relay {done.name} --issuer {desk.directory} --ssid NAME")
    lines += ["", *done.card.lines(with_code=sys.stdout.isatty() or not done.changed)]
    lines += ["", f"Recorded in {desk.inventory.path}."]
    if done.changed and desk.issuer:
        lines.append(members_get_it(desk.issuer.service, desk.directory))
    return "\n".join(lines)


def _plan_text(planned: dict[str, Any]) -> str:
    return (
        f"Found {planned['found']}. These steps would make '{planned['relay']}' of it, with {planned['image']}, "
        f"version {planned['version']}:\n" + "\n".join(f"  {step}" for step in planned["would"])
    )
