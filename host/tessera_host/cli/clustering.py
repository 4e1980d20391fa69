"""`tessera issuer cluster`: on how many relays each record is, and which of them follow a mailbox's home.

Owns what is typed and shown of it, also by the commands that say it beside other things. What it means is
`protocol.topology`'s, what it costs `planning.figures`'.
"""

from dataclasses import replace
from typing import Annotated, Any

import typer

from ..clock import local_time
from ..planning import figures
from ..planning.plan import Plan
from ..protocol.topology import KINDS, Topology
from ..text import count
from .opening import open_issuer
from .options import IssuerArgument, Json, PassphraseFile
from .output import show
from .renewing import facts, members_get_it

TopologyOption = Annotated[
    str | None,
    typer.Option(
        "--topology", help=f"Which relays follow a mailbox's home: {' or '.join(KINDS)}; unchanged if not given."
    ),
]
CopiesOption = Annotated[
    int | None,
    typer.Option(
        "--copies", help="On how many relays each record is: all but one of them may be lost. Unchanged if not given."
    ),
]


def register_issuer(issuer_app: typer.Typer) -> None:
    """Add the command to `tessera issuer`."""
    issuer_app.command("cluster")(issuer_cluster)


def issuer_cluster(
    directory: IssuerArgument,
    topology: TopologyOption = None,
    copies: CopiesOption = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Set on how many of the office's relays each record is, so that one may be lost. Without options, show it."""
    with open_issuer(directory, passphrase_file) as issuer:
        before = issuer.topology
        wanted = replace(before, kind=topology or before.kind, copies=before.copies if copies is None else copies)
        issuer.check_topology(wanted)
        was, will = issuer.plan_for(topology=before), issuer.plan_for(topology=wanted)
        messages = figures.checked_messages_a_day(will)
        changed = issuer.set_topology(wanted)
        summary, begins = issuer.summary(), issuer.epoch_end(issuer.governs_from - 1)
    relays = will.choice.relays
    where = wanted.in_words(relays) or f"every record is on one of {count(relays, 'relay')} ({wanted.kind})"
    if changed:
        text = [
            f"From {local_time(begins)} on {where}; for members who join before then, at once. Parameters have serial "
            f"{summary['serial']} now.",
            *_lost(wanted),
            _change("A member downloads", "MB a day", _megabytes(was), _megabytes(will)),
            _change("A member may send", "short messages a day", str(figures.messages_a_day(was)), str(messages)),
            _tokens(will),
            members_get_it(summary["service"], directory),
            f"Relays get the new set from members, or at once: tessera relay push --issuer {directory}",
        ]
    else:
        text = [f"{where[0].upper()}{where[1:]}: nothing is changed.", *_lost(wanted)]
    answer = {"changed": changed, "topology": wanted.kind, "copies": wanted.copies, "relays": relays, "since": begins}
    answer |= {"messages_a_member_a_day": messages, "download_bytes_per_day": float(figures.download_a_day(will))}
    show(answer | facts(summary, directory), "\n".join(text), as_json)


def _lost(topology: Topology) -> list[str]:
    if topology.copies == 1:
        return []
    return [
        f"Then any {count(topology.copies - 1, 'relay')} may be lost for good, and no message that its sender's "
        "program calls safe is lost with it."
    ]


def _change(what: str, of: str, before: str, now: str) -> str:
    return f"{what} {now} {of}, as before." if before == now else f"{what} {now} {of} then, now {before}."


def _megabytes(plan: Plan) -> str:
    return figures.in_tenths(figures.download_a_day(plan) / figures.MEGABYTE)


def _tokens(plan: Plan) -> str:
    """They are for each relay, whatever is posted there."""
    tokens, relays = plan.choice.tokens_per_epoch, plan.choice.relays
    return f"Tokens stay as they are: {tokens * relays} in an epoch, {tokens} for each of {count(relays, 'relay')}."


# -- for other commands


def shown(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """A row of `tessera issuer show`."""
    where = Topology(summary["topology"], summary["copies"]).in_words(len(summary["relays"]))
    return [("copies", where)] if where else []


def planned_text(plan: Plan) -> list[str]:
    """What `tessera issuer init` says of the plan's copies."""
    choice = plan.choice
    if choice.copies == 1:
        return []
    return [
        f"Every record is kept on {choice.copies} relays ({choice.topology}): make at least as many. While there are "
        "fewer, it is kept on all of them."
    ]
