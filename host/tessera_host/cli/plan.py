"""`tessera plan`: what an office can have, and what it costs.

Owns its options and the table it prints. The planner is planning.choosing; the annex is written by cli.audit.
"""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from .. import duration, files
from ..errors import UsageError
from ..kinds_of_cover import COVERS
from ..planning import choosing, figures
from ..planning.boards import BOARDS
from ..planning.choosing import Kind, Planned, Wish
from ..planning.plan import Plan, decimal_option, gateways, overfilling
from ..privacy import loss, noise
from ..protocol.topology import KINDS
from ..text import count
from . import audit
from .audit import MOST_GATEWAYS
from .options import Json, PlanOut
from .output import show

_CHOSEN = "✓"
_LONG_YEARS = 20
_CROWD = 256  # members of a bucket, from twice as many on more buckets are proposed

CopiesOption = Annotated[
    int, typer.Option("--copies", help="On how many relays each record is: all but one of them may be lost.")
]
TopologyOption = Annotated[
    str, typer.Option("--topology", help=f"Which relays follow a mailbox's home: {' or '.join(KINDS)}.")
]
MessagesOption = Annotated[
    int | None,
    typer.Option("--messages", help="Short messages that a member may send in a day. Default: 32, or as many as fit."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the main app."""
    app.command("plan")(make_plan)


def make_plan(
    members: Annotated[int, typer.Option(help="The largest number of members.")],
    cover: Annotated[
        str | None, typer.Option(help=f"Kind of cover: {', '.join(COVERS)}. Default: the cheapest that suffices.")
    ] = None,
    messages: MessagesOption = None,
    day_epsilon: Annotated[str, typer.Option(help="Privacy loss of a member's day, a decimal.")] = noise.decimal(
        Wish.day_epsilon
    ),
    day_delta: Annotated[
        str, typer.Option(help="Probability of a larger loss in a day, a decimal.")
    ] = noise.decimal_up(Wish.day_delta),
    epsilon: Annotated[
        str | None,
        typer.Option(help="Privacy loss of one delivery, a decimal, if the office also promises that; usually 0.1."),
    ] = None,
    delta: Annotated[
        str | None, typer.Option(help="Probability of a larger loss in one delivery; usually 1e-6.")
    ] = None,
    megabytes: Annotated[
        str | None,
        typer.Option(
            help="The most that a member may download in a day, in MB. Default: "
            f"{noise.decimal(choosing.MEGABYTES_A_DAY)}, if no length of rounds is given."
        ),
    ] = None,
    round_seconds: Annotated[
        int | None,
        typer.Option(help="Length of a round, the time that a record waits. Default: the shortest that fits."),
    ] = None,
    epoch_rounds: Annotated[
        int | None,
        typer.Option(help="Rounds in an epoch; tokens and keys change with it. Default: as many as in a day."),
    ] = None,
    retention_epochs: Annotated[
        int | None,
        typer.Option(help="Epochs for which a record is kept. Default: 3, or fewer if --messages needs that."),
    ] = None,
    buckets: Annotated[int, typer.Option(help="Buckets, a power of two; a reader downloads one.")] = Wish.buckets,
    tokens_per_epoch: Annotated[
        int, typer.Option(help="Tokens a member has for each relay and epoch.")
    ] = Wish.tokens_per_epoch,
    posts_per_token: Annotated[
        int | None, typer.Option(help="Posts with each token, a multiple of 4. Default: as many as the messages need.")
    ] = None,
    board: Annotated[str, typer.Option(help=f"One of {', '.join(BOARDS)}.")] = Wish.board,
    out: PlanOut = None,
    allow_small: Annotated[
        bool, typer.Option("--allow-small", help="Accept fewer than 20 members in a bucket.")
    ] = False,
    relays: Annotated[
        int | None, typer.Option(help="Number of the office's relays. Default: as many as copies.")
    ] = None,
    copies: CopiesOption = Wish.copies,
    topology: TopologyOption = Wish.topology,
    gateways_each: Annotated[
        int | None,
        typer.Option(
            "--gateways",
            min=1,
            max=MOST_GATEWAYS,
            help="Servers that each relay is (a fleet), for the annex to tell of.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The office's name, for the annex.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write the annex for a DPIA here, one HTML file.")
    ] = None,
    pdf: Annotated[Path | None, typer.Option("--pdf", metavar="FILE", help="Write the annex here as PDF.")] = None,
    as_json: Json = False,
) -> None:
    """Choose the rules of an office and show what they cost and promise: three kinds of cover side by side."""
    one = _one_delivery(epsilon, delta)
    wish = Wish(
        members=members,
        cover=cover,
        messages=messages,
        epsilon=one[0],
        delta=one[1],
        day_epsilon=decimal_option("day-epsilon", day_epsilon),
        day_delta=decimal_option("day-delta", day_delta),
        megabytes=None if megabytes is None else decimal_option("megabytes", megabytes),
        round_seconds=round_seconds,
        epoch_rounds=epoch_rounds,
        retention_epochs=retention_epochs,
        buckets=buckets,
        tokens_per_epoch=tokens_per_epoch,
        posts_per_token=posts_per_token,
        board=board,
        allow_small=allow_small,
        relays=relays,
        topology=topology,
        copies=copies,
    )
    audit.check_extra(report, pdf)
    _check_fleet(board, gateways_each)
    found = choosing.choose(wish)
    if out:
        files.write(out, json.dumps(found.plan.as_json(), indent=2).encode() + b"\n")
    written = audit.write_plan(found.plan, name, gateways_each, report, pdf)
    kept = (
        f"Written to {out}. Next: tessera issuer init DIR --plan {out} --name NAME" if out else "To keep it: --out FILE"
    )
    text = [found.why, "", _kinds(found), _rest(found.plan), *(f"{path} written." for path in written), kept]
    show(_as_json(found) | ({"written": written} if written else {}), "\n".join(text), as_json)


def _check_fleet(board: str, gateways_each: int | None) -> None:
    """Raises UsageError for several gateways that the board cannot be."""
    if (gateways_each or 1) > 1 and board in BOARDS and not BOARDS[board].several:
        able = next(each.name for each in BOARDS.values() if each.several)
        raise UsageError(f"gateways of a fleet are servers, and {board} is a board", f"plan with --board {able}")


def _one_delivery(epsilon: str | None, delta: str | None) -> tuple[Fraction, Fraction] | tuple[None, None]:
    """What is asked of one delivery; of which only one is given, the other is the usual one."""
    if epsilon is None and delta is None:
        return None, None
    return (
        choosing.DELIVERY_EPSILON if epsilon is None else decimal_option("epsilon", epsilon),
        choosing.DELIVERY_DELTA if delta is None else decimal_option("delta", delta),
    )


def _as_json(found: Planned) -> dict[str, Any]:
    kinds = {
        kind.cover: {"choice": kind.plan.as_json()["choice"], "figures": figures.figures(kind.plan)}
        if kind.plan
        else {"refused": str(kind.refusal)}
        for kind in found.kinds
    }
    return found.plan.as_json() | {"why": found.why, "figures": figures.figures(found.plan), "kinds": kinds}


# -- the table


def _kinds(found: Planned) -> str:
    """Three columns, one a kind; the chosen one is marked."""
    table = Table(title=f"{found.plan.choice.members} members, {found.plan.board.name}", title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    for kind in found.kinds:
        mark = f" {_CHOSEN}" if kind.plan is found.plan else ""
        table.add_column(f"{kind.cover}{mark}", overflow="fold")
    for name, cell in (*_ROWS, *(_SEVERAL if found.plan.choice.relays > 1 else ())):
        cells = [cell(kind) if kind.plan else "" for kind in found.kinds]
        if any(cells):
            table.add_row(name, *cells)
    refused = [f"{kind.cover}: {kind.refusal.message}" for kind in found.kinds if kind.refusal]
    return "\n".join([_printed(table).rstrip(), *refused])


def _printed(table: Table) -> str:
    console = Console(markup=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def _of(cell: Callable[[Plan], str]) -> Callable[[Kind], str]:
    return lambda kind: cell(kind.plan) if kind.plan else ""


def _cover(plan: Plan) -> str:
    if not plan.table:
        return f"{plan.constant}, always"
    return f"{_number(float(plan.cover_mean))} and messages"


def _megabytes(plan: Plan) -> str:
    return _number(float(figures.download_a_day(plan)) / figures.MEGABYTE)


def _latency(plan: Plan) -> str:
    return f"≤ {figures.LATENCY_ROUNDS * plan.choice.round_seconds + figures.LATENCY_SECONDS:,} seconds"


def _guess(of: str) -> Callable[[Plan], str]:
    """What a guess of 1 % can grow to."""

    def cell(plan: Plan) -> str:
        found = next((each for each in figures.loss_rows(plan) if each.of == of), None)
        return figures.percent(loss.posterior(figures.GUESS, float(found.epsilon))) if found else ""

    return cell


def _loss(of: str) -> Callable[[Plan], str]:
    def cell(plan: Plan) -> str:
        if not plan.table:
            return "0"
        found = next((each for each in figures.loss_rows(plan) if each.of == of), None)
        if found is None:
            return ""
        return f"{_number(float(found.epsilon), 3)} (δ {noise.decimal_up(found.delta, 2)})" if found.bounded else "any"

    return cell


def _numbers_last(plan: Plan) -> str:
    """Where that is not for longer than anybody plans."""
    years = figures.ring_numbers_years(plan)
    return f"{_number(float(years))} years" if plan.board.several and years < _LONG_YEARS else ""


def _cohorts(plan: Plan) -> str:
    members, found = plan.choice.members, figures.cohorts(plan.choice.members)
    return f"{found} of {members // found:,}" if found > 1 else ""


def _overfilling(plan: Plan) -> str:
    found = overfilling(plan)
    return f"{found:,} members together" if found else ""


_ROWS: tuple[tuple[str, Callable[[Kind], str]], ...] = (
    ("records in a batch", _of(_cover)),
    ("MB a day for a member", _of(_megabytes)),
    ("seconds in a round", _of(lambda plan: str(plan.choice.round_seconds))),
    ("why not shorter", lambda kind: kind.shorter or ""),
    ("from sent to read", _of(_latency)),
    ("messages a day", _of(lambda plan: str(figures.messages_a_day(plan)))),
    ("limited by", _of(figures.limit_of_messages)),
    ("kept for", _of(lambda plan: duration.in_words(plan.choice.retention_epochs * plan.choice.epoch_seconds))),
    ("ε of a delivery", _of(_loss(figures.ONE))),
    ("ε of a day", _of(_loss(figures.A_DAY))),
    ("ε, one day for another", _of(_loss(figures.ANOTHER_DAY))),
    ("ε of a month", _of(_loss(figures.A_MONTH))),
    ("1 % guess, after a day", _of(_guess(figures.A_DAY))),
    ("after a month", _of(_guess(figures.A_MONTH))),
    ("flash lasts, estimate", _of(lambda plan: "" if plan.board.several else f"{figures.flash_years(plan)} years")),
    ("processes, estimate", _of(lambda plan: str(gateways(plan)) if plan.board.several else "")),
    ("record numbers last", _of(_numbers_last)),
    ("cohorts", _of(_cohorts)),
    ("could overfill a cell", _of(_overfilling)),
)


def _copies(plan: Plan) -> str:
    choice = plan.choice
    return f"{choice.copies} of {choice.relays}" + (f", {choice.topology}" if choice.copies > 1 else "")


def _connections(plan: Plan) -> str:
    """Of an agent: it reads at each relay that has its mailbox, and posts to each that has a contact's."""
    return f"{plan.choice.copies} to read, {plan.choice.relays} to post at most"


_SEVERAL: tuple[tuple[str, Callable[[Kind], str]], ...] = (
    ("a record is on", _of(_copies)),
    ("connections in a round", _of(_connections)),
    ("tokens in an epoch", _of(lambda plan: str(plan.choice.relays * plan.choice.tokens_per_epoch))),
    ("ε of its copies", _of(_loss(figures.COPIES))),
)


def _number(value: float, digits: int = 1) -> str:
    """Rounded up."""
    scaled = -(-value * 10**digits // 1) / 10**digits
    return f"{scaled:g}"


def _rest(plan: Plan) -> str:
    """What the chosen plan fills the board with, in a paragraph."""
    choice, room = plan.choice, figures.figures(plan)
    return (
        f"{choice.members} members × {count(choice.tokens_per_epoch, 'token')} × {choice.posts_per_token} posts × "
        f"{choice.retention_epochs + 1} epochs are {room['records_needed']:,} records; {plan.board.name} has room for "
        f"{room['records_kept']:,}. {room['readers_a_round_board_estimate']} members can read in every round "
        f"(estimate). {room['members_a_bucket']} members share a bucket."
        f"{_more_buckets(plan)}{_large(plan)}{_relays(plan)}"
    )


def _more_buckets(plan: Plan) -> str:
    """What they would save, where members of a large office read what all of them post."""
    choice = plan.choice
    if not plan.table or choice.members < 2 * _CROWD * choice.buckets or choice.buckets == plan.board.buckets:
        return ""
    more = min(plan.board.buckets, 1 << ((choice.members // _CROWD).bit_length() - 1))
    now, then = (figures.download_in_use(plan, buckets) / figures.MEGABYTE for buckets in (choice.buckets, more))
    return (
        f" If all send as much as they may, each reads {_number(float(now))} MB a day; with --buckets {more}, "
        f"{choice.members // more} members in each, it is {_number(float(then))} MB."
    )


def _large(plan: Plan) -> str:
    """What an office comes to that is too large for one process, or one key."""
    parts, found = [], gateways(plan)
    if found > 1:
        each = figures.figures(plan)["readers_a_round_board_estimate"]
        parts.append(f" One process serves {each:,} readers; a fleet of {found} processes, one relay, serves all.")
    if figures.cohorts(plan.choice.members) > 1:
        parts.append(
            f" Tokens are issued in cohorts, {_cohorts(plan)} members, so that all can fetch theirs in an hour. A "
            "relay can tell the cohort of a session that posts, and nothing of a session that reads."
        )
    return "".join(parts)


def _relays(plan: Plan) -> str:
    """What several relays come to."""
    choice = plan.choice
    if choice.relays == 1:
        return ""
    each = f" This is for each of the {choice.relays} relays, as everybody may post and read at the same one."
    if choice.copies == 1:
        return each
    counted = (
        "" if plan.table is None else f" Each copy is a delivery: a message counts {choice.copies} times in a day."
    )
    return f"{each} A member reads {choice.copies} of them in every round.{counted}"
