"""IT's commands about who may join: invitations, the issuer's service, and answering files.

Owns their options and what they print. What they do is `issuer`'s, `issuer.service`'s and `issuer.files`'. The other
commands of the group are in `cli.operator`.
"""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import files, qr, systemd
from ..clock import local_time
from ..errors import NotPermitted, UsageError
from ..issuer.files import answer
from ..issuer.issuer import SERVICE_PORT, Issuer
from ..issuer.service import IssuerServer
from ..keys import passphrase
from ..keys.memory import keep_out_of_dumps
from ..protocol import addresses
from ..protocol.addresses import Address
from ..protocol.invitation import Invitation
from ..protocol.limits import check_name
from ..protocol.listening import CannotListen, at
from ..systemd import Credential, Unit
from .card_exchange import check_new_file, given_text
from .listening import (
    Certificate,
    CertificateKey,
    Install,
    ListenHost,
    Listening,
    ListenPort,
    ListenWebSocket,
    PrintUnit,
    cannot_listen,
    check_choice,
    unit,
    warn_if_nobody_else_comes,
)
from .opening import open_issuer
from .options import AtOnce, InvitationOut, IssuerArgument, Json, PassphraseFile, ReachedPort, ReplyOut, composed
from .output import show
from .renewing import generation_text
from .signals import stopped_by_signals

MemberName = Annotated[
    str, typer.Argument(metavar="NAME", help="The person, as everybody in the office knows them.", callback=composed)
]


def register(issuer_app: typer.Typer) -> None:
    """Add the commands of this module to `tessera issuer`."""
    for name, command in (
        ("service", issuer_service_),
        ("invite", issuer_invite),
        ("invite-all", issuer_invite_all),
        ("invitations", issuer_invitations),
        ("revoke", issuer_revoke),
        ("serve", issuer_serve),
        ("answer", issuer_answer),
    ):
        issuer_app.command(name)(command)


def issuer_service_(
    directory: IssuerArgument,
    host: Annotated[
        str,
        typer.Argument(help="Host name or address of this computer for members, or wss://HOST/PATH."),
    ],
    port: ReachedPort = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Set the address of the issuer's service: invitations and the next federation card name it from now on."""
    host, at = addresses.typed(host, port, SERVICE_PORT, "tessera issuer service DIR")
    with open_issuer(directory, passphrase_file) as issuer:
        issuer.set_service(host, at)
    show(
        {"host": host, "port": at},
        f"Members will connect to {addresses.shown(host, at)}. Run: tessera issuer serve {directory}",
        as_json,
    )


HomeRelay = Annotated[
    str | None,
    typer.Option(
        "--relay",
        help="Their home relay. Default: the one in the latest invitations; in a cluster the one with the fewest.",
        callback=composed,
    ),
]
InvitationDays = Annotated[int, typer.Option("--days", help="For how many days the invitation can be used.")]
JoinByFiles = Annotated[
    bool, typer.Option("--files", help="For members whose computer cannot reach the issuer's service: join by files.")
]


def issuer_invite(
    directory: IssuerArgument,
    name: MemberName,
    relay: HomeRelay = None,
    days: InvitationDays = 7,
    out: InvitationOut = None,
    as_code: Annotated[bool, typer.Option("--qr", help="Also show it as a QR code.")] = False,
    by_files: JoinByFiles = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Invite one person: make an invitation with which they can join once."""
    check_new_file(out)
    if as_code and by_files:
        raise UsageError("an invitation for joining by files does not fit a QR code", "leave --qr out")
    with open_issuer(directory, passphrase_file) as issuer:
        invitation = issuer.invite(name, relay, days, by_files)
    card = invitation.card()
    if out is not None:
        files.write(out, (card + "\n").encode())
    place = str(out) if out else None
    result = {"name": name, "home_relay": invitation.home, "until": invitation.until, "card": card, "path": place}
    if as_json:
        show(result, "", True)
        return
    typer.echo(f"{place} written." if place else card)
    if as_code:
        _show_code(card)
    typer.echo(_what_to_do(invitation, place), err=place is None)


def issuer_invite_all(
    directory: IssuerArgument,
    names: Annotated[Path, typer.Argument(metavar="NAMES", help="A text file with one name on each line.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="A folder for the invitations' files.")],
    relay: HomeRelay = None,
    days: InvitationDays = 7,
    by_files: JoinByFiles = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Invite many people at once: a file for each of them, FOLDER/NAME.invitation.

    Names on the roster or with an open invitation are left out, so you can repeat it with a longer list.
    """
    listed = [composed(line.strip()) or "" for line in files.read_text(names).splitlines()]
    wanted = list(dict.fromkeys(name for name in listed if name))
    if not wanted:
        raise UsageError(f"there is no name in {names}", "write one name on each line")
    _make_folder(out)
    written, left = [], {}
    with open_issuer(directory, passphrase_file) as issuer:
        for name in wanted:
            place = out / f"{name}.invitation"
            try:
                check_name("the name", name)  # before it is part of a file's
                check_new_file(place)
                card = issuer.invite(name, relay, days, by_files).card()
            except (NotPermitted, UsageError) as error:
                left[name] = error.message
                continue
            files.write(place, (card + "\n").encode())
            written.append(name)
    if not written:
        raise UsageError(
            f"nobody was invited: {next(iter(left.values()))}", "for open invitations: tessera issuer invitations"
        )
    lines = [f"{name} is left out: {why}." for name, why in left.items()]
    many = "file" if len(written) == 1 else "files"
    lines += [f"{len(written):,} {many} written into {out}: give each to that person and to nobody else."]
    show({"invited": written, "left_out": left, "folder": str(out)}, "\n".join(lines), as_json)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}", "name another folder") from None


def _show_code(card: str) -> None:
    lines = qr.lines(card, shutil.get_terminal_size().columns, encoding=sys.stdout.encoding)
    typer.echo("\n".join(lines) if lines else "(This terminal is too narrow for the QR code, or lacks its characters.)")


def _what_to_do(invitation: Invitation, place: str | None) -> str:
    file = f" {Path(place).name}" if place else ""  # as an argument it would stand in a shell's history
    by_files, back = (" -o FILE", ", and brings you that file") if invitation.service is None else ("", "")
    return (
        f"Give it to {invitation.name} and to nobody else: until it is used, anybody who has it can join.\n"
        f"The mailbox is on the relay {invitation.home}. The invitation works once, until "
        f"{local_time(invitation.until)}. {invitation.name} types: tessera join{file}{by_files}"
        f"{'' if file else ', pastes it when asked'}{back}"
    )


def issuer_invitations(
    directory: IssuerArgument, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """List invitations: open, used, expired."""
    with open_issuer(directory, passphrase_file) as issuer:
        invitations = issuer.invitations
    lines = [
        f"{entry['name']}  {entry['state']}"
        + (f" until {local_time(entry['until'])}" if entry["state"] == "open" else "")
        + f"  relay {entry['home']}"
        for entry in invitations
    ]
    show({"invitations": invitations}, "\n".join(lines) or "no invitations; make one: tessera issuer invite", as_json)


def issuer_revoke(
    directory: IssuerArgument,
    name: MemberName,
    at_once: AtOnce = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Revoke an invitation that was not used yet, and replace the keys that it names."""
    with open_issuer(directory, passphrase_file) as issuer:
        issuer.revoke(name, at_once)
        summary = issuer.summary()
    text = [f"The invitation for {name} is void: nobody can join with it.", *generation_text(summary, at_once)]
    show({"revoked": name, "serial": summary["serial"]}, "\n".join(text), as_json)


def issuer_answer(
    directory: IssuerArgument,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The member's file; - reads it from stdin.")],
    out: ReplyOut = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Answer a file that a member made with `tessera join` or `tessera renew`."""
    check_new_file(out)
    text = given_text(file)
    with open_issuer(directory, passphrase_file) as issuer:
        answered = answer(issuer, text)
        reply = answered.text(issuer)
    if out is not None:
        files.write(out, reply.encode())
    lines = [f"{name} is on the roster." for name in answered.joined]
    lines += [f"Refused: {refusal}" for refusal in answered.refusals]
    lines.append(f"{out} is for the member, who types: tessera join {out.name} -o NEXT" if out else "")
    refused = [{"error": refusal.message, "hint": refusal.hint} for refusal in answered.refusals]
    result = {"joined": answered.joined, "cards": len(answered.cards), "refused": refused, "reply": reply}
    text = "\n".join(filter(None, lines))
    show({**result, "path": str(out) if out else None}, text if out else reply.rstrip("\n"), as_json)
    if out is None and text and not as_json:
        typer.echo(text, err=True)


def issuer_serve(
    directory: IssuerArgument,
    host: ListenHost = None,
    port: ListenPort = None,
    websocket: ListenWebSocket = None,
    certificate: Certificate = None,
    certificate_key: CertificateKey = None,
    install: Install = False,
    print_unit: PrintUnit = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Serve members who join and fetch tokens, until stopped. IT's other commands work at the same time.

    It listens at the address that members were told (`tessera issuer service`).
    """
    options = Listening(host, port, websocket, certificate, certificate_key)
    if check_choice(install, print_unit):
        with open_issuer(directory, passphrase_file) as issuer:  # what the unit names is good
            ports = [place.port for place in options.places(_told(issuer))]
        unit(lambda: _unit(directory, options, ports, passphrase_file), install, as_json)
        return
    keep_out_of_dumps()
    with open_issuer(directory, passphrase_file) as issuer:
        name, told = issuer.name, _told(issuer)
        places = options.places(told)
        server = IssuerServer(issuer)
        where = ", ".join(map(str, places))
        warn_if_nobody_else_comes(places, told)

        def ready() -> None:
            show({"serving": where}, f"The issuer of {name} serves at {where}. Stop it with Ctrl-C.", as_json)
            sys.stdout.flush()

        try:
            asyncio.run(_until_stopped(server.run(told.name, told.port, ready, _report, at(places))))
        except CannotListen as error:
            raise cannot_listen(error, told) from None


def _told(issuer: Issuer) -> Address:
    service = issuer.told_service()
    return Address.of(service.host, service.port)


def _unit(directory: Path, options: Listening, ports: list[int], passphrase_file: Path | None) -> Unit:
    """Raises UsageError."""
    file = passphrase.file_of(passphrase_file)
    if file is None:
        raise UsageError(
            "a service cannot ask anybody for the passphrase",
            "put it into a file that only root can read: --passphrase-file /etc/tessera/issuer.passphrase",
        )
    words = ["issuer", "serve", str(directory.absolute()), *options.words()]
    secrets = [Credential("passphrase", file, systemd.PASSPHRASE_VARIABLE), *options.credentials()]
    return systemd.server_unit(directory, words, f"Tessera issuer ({directory.name})", ports, secrets)


def _report(line: str) -> None:
    typer.echo(f"error: {line}", err=True)


async def _until_stopped(serving: Coroutine[Any, Any, None]) -> None:
    """Serve until SIGINT or SIGTERM, which is no error."""
    task = asyncio.ensure_future(serving)
    stopped_by_signals(task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
