"""IT's commands that sign and bring out a new set, and what follows from one: renewal, what a relay is told, and
relays that are taken out or replaced.

Owns their options and what they print. What they do is `issuer`'s, `issuer.files`' and `relay.pushing`'s. The other
commands of the groups are in `cli.operator`, `cli.issuer` and `cli.update`.
"""

import asyncio
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import files
from ..clock import local_time
from ..errors import UsageError
from ..issuer.files import MemberFile, member_files
from ..issuer.issuer import Issuer
from ..issuer.operator import Operator
from ..issuer.store import FEDERATION_CARD, PARAMETERS
from ..planning import figures, plan
from ..protocol import addresses, cards, schedule
from ..protocol.parameter_sets import is_set
from ..provisioning.inventory import Inventory
from ..provisioning.journal import Journal
from ..relay import pushing
from ..text import count
from .card_exchange import card_text
from .opening import open_issuer
from .options import AtOnce, IssuerArgument, IssuerDirectory, Json, PassphraseFile, RelayName, composed
from .output import show

OneRelay = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Name of the relay; all, if not given.", callback=composed)
]


NewerSets = Annotated[
    list[Path] | None,
    typer.Option("--set", help="File of a newer set, or of a newer federation card; several may be given."),
]
Offline = Annotated[bool, typer.Option("--offline", help="Do not ask the relays for newer sets.")]


def register_issuer(issuer_app: typer.Typer) -> None:
    """Add the commands of this module to `tessera issuer`."""
    issuer_app.command("renew")(issuer_renew)
    issuer_app.command("restored")(issuer_restored)


def register_relay(relay_app: typer.Typer) -> None:
    """Add the commands of this module to `tessera relay`."""
    relay_app.command("push")(relay_push)
    relay_app.command("time")(relay_time)
    relay_app.command("remove")(relay_remove)
    relay_app.command("replace")(relay_replace)


def issuer_renew(
    directory: IssuerArgument,
    plan_file: Annotated[
        Path | None,
        typer.Option("--plan", help="The file of a new plan, whose rules are in force from the next epoch."),
    ] = None,
    members: Annotated[
        int | None, typer.Option("--members", help="The new number of members; all other rules stay as they are.")
    ] = None,
    new_keys: Annotated[
        bool, typer.Option("--new-keys", help="Replace all keys, because the present ones may be known to others.")
    ] = False,
    epochs: Annotated[
        int | None, typer.Option("--epochs", "--days", help="Length of the schedule of keys from now on, in epochs.")
    ] = None,
    day_epsilon: Annotated[str | None, typer.Option(help="New privacy loss of a member's day, a decimal.")] = None,
    day_delta: Annotated[str | None, typer.Option(help="New probability of a larger loss in a day.")] = None,
    retention_days: Annotated[
        int | None, typer.Option("--retention-days", help="For how many days members keep messages from now on.")
    ] = None,
    at_once: AtOnce = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="For an office without the service: new directory, for one file for each member."
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Sign the next parameter set, with a new schedule of keys and your changes. The service renews keys by itself."""
    if plan_file and members is not None:
        raise UsageError("--plan already sets the number of members", "leave out --members, or --plan")
    made = plan.load(plan_file) if plan_file else None
    if out is not None:
        files.make_directory(out)
    with open_issuer(directory, passphrase_file) as issuer:
        before = issuer.parameters
        day = _day(issuer, day_epsilon, day_delta)
        if day and plan_file:
            raise UsageError(
                "--plan already sets a member's day", "leave out --day-epsilon and --day-delta, or leave out --plan"
            )
        made = issuer.plan_for(members, day) if day or members is not None else made
        issuer.renew(made, epochs, retention_days=retention_days, at_once=at_once, new_keys=new_keys)
        after, summary = issuer.parameters, issuer.summary()
        written = _write(out, member_files(issuer)) if out else []
    text = [
        f"Parameters have serial {after.serial} now; their keys last until {local_time(schedule.end(after))}.",
        *(
            [f"They are for {after.members} members; somebody you invite now can join at once."]
            if after.members != before.members
            else []
        ),
        *([f"A member may send {figures.messages_a_day(made)} short messages a day."] if made else []),
        *(generation_text(summary, at_once) if after.generation != before.generation else []),
    ]
    if written:
        without = [each["member"] for each in written if not each["tokens"]]
        text.append(f"{count(len(written), 'file')} for members in {out}: each types tessera join FILE -o NEXT.")
        if without:
            text.append(
                f"The files for {', '.join(without)} have no tokens yet. These members type: tessera renew -o FILE"
            )
    else:
        text.append(members_get_it(summary["service"], directory))
    text.append(f"Relays get the new set from members, or at once: tessera relay push --issuer {directory}")
    show(facts(summary, directory) | {"files": written}, "\n".join(text), as_json)


def _day(issuer: Issuer, epsilon: str | None, delta: str | None) -> tuple[Fraction, Fraction] | None:
    if epsilon is None and delta is None:
        return None
    present = issuer.budget
    return (
        plan.decimal_option("day-epsilon", epsilon or present["epsilon"]),
        plan.decimal_option("day-delta", delta or present["delta"]),
    )


def _write(out: Path, made: Sequence[MemberFile]) -> list[dict[str, Any]]:
    for each in made:
        files.write(out / f"{each.member}.txt", each.text.encode())
    return [{"member": each.member, "path": str(out / f"{each.member}.txt"), "tokens": each.offered} for each in made]


def issuer_restored(
    directory: IssuerArgument,
    sets: NewerSets = None,
    offline: Offline = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Go on after the keystore was restored from a backup: with new keys, and after the newest set of any relay."""
    with open_issuer(directory, passphrase_file) as issuer:
        go_on_after_a_restore(issuer, directory, sets, offline, as_json)


def go_on_after_a_restore(
    issuer: Issuer, directory: Path, sets: Sequence[Path] | None, offline: bool, as_json: bool
) -> None:
    """What has to happen before a restored issuer says anything, and what IT is to do again. Also for
    `tessera issuer restore`."""
    known = [_set_in(path) for path in sets or ()]
    asked = [] if offline else asyncio.run(pushing.newest_sets(issuer.operator(restored=True), known))
    found = [answer for _, answer in asked if isinstance(answer, bytes)]
    silent = [relay.name for relay, answer in asked if not isinstance(answer, bytes)]
    if asked and not found and not known:
        raise UsageError(
            "no relay answers, so it is not known whether there are newer sets than in this backup",
            f"connect a relay to the network, then: tessera issuer restored {directory}; if you are sure that there "
            f"are no newer sets: tessera issuer restored {directory} --offline",
        )
    restored = issuer.restored([*known, *found])
    summary = issuer.summary()
    since = local_time(restored.made) if restored.made else "the backup"
    text = [
        f"Parameters have serial {summary['serial']} now. {count(restored.closed_sessions, 'open session')} closed; "
        "all open invitations are void.",
        *generation_text(summary, at_once=False),
        "Until then nobody gets new tokens; those that members have still work.",
        *([f"Invite again: {', '.join(restored.void_invitations)}."] if restored.void_invitations else []),
        f"Repeat what you changed after {since}: invitations, members who joined or left, relays, settings. To see "
        f"what the backup had: tessera issuer show {directory}",
        *([f"These relays did not answer: {', '.join(silent)}."] if silent else []),
        f"Relays get the new set from members, or at once: tessera relay push --issuer {directory}",
    ]
    made_of_it = {"closed_sessions": restored.closed_sessions, "silent": silent, "made": restored.made}
    made_of_it |= {"invite_again": restored.void_invitations}
    show(facts(summary, directory) | made_of_it, "\n".join(text), as_json)


def _set_in(path: Path) -> bytes:
    """The set of a file, or of the federation card in it. Raises InvalidInput."""
    content = files.read(path)
    if is_set(content):
        return content
    blob: bytes = cards.decode(card_text(str(path), "federation"), "federation").fields["params"]
    return blob


def relay_push(
    issuer_directory: IssuerDirectory,
    name: OneRelay = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Bring the newest parameters to relays now; members' programs also bring them, whenever a relay lacks them."""
    operator, relays = _operator(issuer_directory, passphrase_file, name)
    _report(asyncio.run(pushing.push(operator, relays)), "has parameters of serial {now}", as_json)


def relay_time(
    issuer_directory: IssuerDirectory,
    name: OneRelay = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Tell relays the time, signed: for relays that reach no time server, or that were off for long."""
    operator, relays = _operator(issuer_directory, passphrase_file, name)
    _report(asyncio.run(pushing.push_time(operator, relays)), "was told the time", as_json)


def _operator(directory: Path, passphrase_file: Path | None, name: str | None) -> tuple[Operator, list[Any]]:
    """The keystore is not held while relays are spoken to."""
    with open_issuer(directory, passphrase_file) as issuer:
        operator = issuer.operator()
    return operator, operator.relays_named(name)


def _report(outcomes: list[pushing.Outcome], done: str, as_json: bool) -> None:
    """Raises the first refusal if there was one: what the others did is shown."""
    rows = [
        {
            "relay": each.relay,
            "serial_before": each.before,
            "serial": each.now,
            "error": str(each.refusal) if each.refusal else None,
        }
        for each in outcomes
    ]
    lines = [f"{each.relay}: {each.refusal or done.format(now=each.now)}" for each in outcomes]
    refusals = [each.refusal for each in outcomes if each.refusal]
    if len(outcomes) == 1 and refusals:
        raise refusals[0]
    show({"relays": rows}, "\n".join(lines), as_json)
    if refusals:
        raise typer.Exit(refusals[0].exit_code)


def relay_remove(
    name: RelayName,
    issuer_directory: IssuerDirectory,
    at_once: AtOnce = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Take a relay off the list for good. To put another relay in its place: tessera relay replace."""
    with open_issuer(issuer_directory, passphrase_file) as issuer:
        issuer.remove_relay(name, at_once)
        summary = issuer.summary()
        _forget_board(issuer_directory, name)
    text = [
        f"Relay '{name}' is off the list. Parameters have serial {summary['serial']} now.",
        *generation_text(summary, at_once),
        members_get_it(summary["service"], issuer_directory),
        "Mailboxes that were on it move to the next relay in their order; members need to do nothing.",
        f"The other relays get the new set from members, or at once: tessera relay push --issuer {issuer_directory}",
    ]
    show({"removed": name} | facts(summary, issuer_directory), "\n".join(text), as_json)


def relay_replace(
    name: RelayName,
    issuer_directory: IssuerDirectory,
    relay_directory: Annotated[
        Path | None,
        typer.Argument(metavar="RELAYDIR", help="New directory for a relay on a computer; leave it out for a board."),
    ] = None,
    time_server: Annotated[
        str | None, typer.Option(help="Network clock (SNTP) for a board: host name or address.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Put a new relay in the place of one that broke or was stolen. Members, contacts and mailboxes stay."""
    with open_issuer(issuer_directory, passphrase_file) as issuer:
        if relay_directory is None:
            gone = issuer.vacate_relay(name)
            address = f"--host {addresses.shown(gone['host'], gone['port'])}"
            steps = [
                f"Now plug the new board in and type: tessera flash --relay '{name}' {address} --issuer "
                f"{issuer_directory}",
                "That command shows the relay's new words: where you put up the old words, replace them.",
            ]
        else:
            issuer.replace_relay(name, relay_directory, time_server)
            steps = [f"Start the new relay: tessera serve --storage {relay_directory}"]
        summary = issuer.summary()
        _forget_board(issuer_directory, name)
    text = [
        f"The old relay '{name}' is off the list, so members no longer accept it. Parameters have serial "
        f"{summary['serial']} now.",
        *steps,
        "Members can write there once it runs and their programs have its key.",
        members_get_it(summary["service"], issuer_directory),
        "Messages on the old relay that were not read yet are sent again by their senders' programs.",
        f"The other relays get the new parameters from members, or at once: tessera relay push --issuer "
        f"{issuer_directory}",
    ]
    answer = {"replaced": name, "directory": str(relay_directory) if relay_directory else None}
    show(answer | facts(summary, issuer_directory), "\n".join(text), as_json)


def _forget_board(directory: Path, name: str) -> None:
    Journal(directory).forget(name)
    Inventory(directory).remove(name)


# -- what every new set comes to, also for the commands of other modules


def generation_text(summary: dict[str, Any], at_once: bool) -> list[str]:
    """From when on what was given out before is worth nothing, and what that asks of members."""
    begins = local_time(summary["generation_begins"])
    if at_once:
        return [
            f"All keys are new from {begins} on. A member whose program has not reached the issuer before then cannot "
            "read or post until it has."
        ]
    return [f"All keys are new from {begins} on; members' programs fetch theirs by themselves before then."]


def members_get_it(service: object, directory: Path) -> str:
    """How members' programs come to what a new set says, and what holds until then; `service`: whether there is one."""
    if service:
        return (
            "Members' programs fetch it from the issuer's service by themselves; those that run fetch it before the "
            "next epoch begins, once a relay has it. At once: tessera renew."
        )
    return (
        f"Each member needs a new file: tessera issuer renew {directory} --out NEWDIR. Until a member has it, their "
        "program uses the relays and copies as they were."
    )


def facts(summary: dict[str, Any], directory: Path) -> dict[str, Any]:
    names = ("serial", "digest", "generation", "generation_begins", "first_epoch", "last_epoch", "schedule_ends")
    paths = {"parameters": str(directory / PARAMETERS), "federation_card": str(directory / FEDERATION_CARD)}
    return {name: summary[name] for name in names} | paths
