"""`tessera relay status`: how the relays of a federation card do.

Owns what is typed and shown. What the figures mean is `relay.status`'s.
"""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from .. import duration
from ..clock import local_time, unix_now
from ..errors import RelayUnwell
from ..protocol import addresses, schedule
from ..protocol.federation import Federation, Relay, read_card
from ..relay import status
from ..relay.status import RelayStatus, Remark
from ..text import count
from .card_exchange import card_text
from .options import FederationCard, Json, composed
from .output import end_with, show

Answer = tuple[Relay, RelayStatus | None, list[Remark]]


def register(relay_app: typer.Typer) -> None:
    """Add the command to `tessera relay`."""
    relay_app.command("status")(relay_status)


def relay_status(
    federation: FederationCard,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Names of relays. Default: all relays of the card.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask relays over the network how they are: code, uptime, parameters, clock. Public figures, no token needed.

    Exit code 9 if a relay needs attention. With --json the reasons are codes: clock, parameters-behind, card-behind,
    schedule-ends, unreachable, refused, integrity, commissioning, on-trial, damaged.
    """
    known = Federation(read_card(card_text(federation, "federation")))
    relays = [known.relay_named(str(composed(name))) for name in names] if names else known.relays
    answers = asyncio.run(status.ask_all(known, relays, unix_now()))
    ends = schedule.end(known.newest)
    text = _table(answers, known, ends) if relays else "The federation card names no relay yet."
    topology = {"topology": known.topology.kind, "copies": known.topology.copies}
    show({"schedule_ends": ends} | topology | {"relays": [_as_json(*answer) for answer in answers]}, text, as_json)
    if unwell := [relay.name for relay, _, remarks in answers if _codes(remarks)]:
        what = f"{len(unwell)} of {count(len(answers), 'relay')}" if len(answers) > 1 else "the relay"
        end_with(RelayUnwell(f"attention needed at {what}: {', '.join(unwell)}", "do what the notes above say"))


def _codes(remarks: list[Remark]) -> list[str]:
    return [remark.code for remark in remarks if remark.code]


def _as_json(relay: Relay, found: RelayStatus | None, remarks: list[Remark]) -> dict[str, object]:
    """`remarks` are the codes, `notes` the sentences, also those without a code."""
    address = {"relay": relay.name, "host": relay.host, "port": relay.port, "reached": found is not None}
    said = {"remarks": _codes(remarks), "notes": [remark.text for remark in remarks]}
    return address | (asdict(found) if found else {}) | said


def _table(answers: list[Answer], known: Federation, ends: int) -> str:
    """A block a relay."""
    said = f"By this card: parameters of serial {known.newest.serial}, keys until {local_time(ends)}"
    where = known.topology.in_words(known.newest.relay_count)
    table = Table(show_header=False, title=f"{said}; {where}" if where else said)
    table.title_justify = "left"
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for relay, found, remarks in answers:
        table.add_section()
        table.add_row(relay.name, _at_a_glance(relay, found, remarks))
        for name, value in _figures(found) if found else ():
            table.add_row(f"  {name}", value)
        for remark in remarks:
            table.add_row("  note", remark.text)
    console = Console(markup=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()


def _at_a_glance(relay: Relay, found: RelayStatus | None, remarks: list[Remark]) -> str:
    codes = ", ".join(_codes(remarks)) or "well"
    return f"{codes}; {addresses.shown(relay.host, relay.port)}" + (f", {found.board}" if found else "")


def _figures(found: RelayStatus) -> list[tuple[str, str]]:
    in_force = f", in force serial {found.serial}" if found.serial is not None else ""
    round_ = "unknown" if found.open_round is None else str(found.open_round)
    return [
        ("code", f"{found.version}, digest {found.firmware_digest.hex()}"),
        ("running", f"{duration.about(found.uptime_seconds)}, start number {found.boots}"),
        ("parameters", f"newest serial {found.newest_serial}{in_force}"),
        ("open round", round_ + (", by a clock that is not confirmed" if found.clock_provisional else "")),
    ]
