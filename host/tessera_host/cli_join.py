"""The commands by which a member comes to belong: the identity and the tokens."""

from pathlib import Path
from typing import Annotated, Any

import typer

from . import files, passphrase
from .cli_options import CardIn, Home, Json, Output, PassphraseFile, RelayName, card_text, deliver, open_member
from .issuer import KEYSTORE, Issuer, check_name
from .member import Member
from .output import show

member_app = typer.Typer(help="Your identity.", no_args_is_help=True)
token_app = typer.Typer(help="Tokens let you post and fetch without saying who you are.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(member_app, name="member")
    app.add_typer(token_app, name="token")


# -- member


@member_app.command("new")
def member_new(
    name: Annotated[str, typer.Argument(help="How contacts and IT know you.")],
    federation: Annotated[Path, typer.Option("--federation", help="The federation card from IT.")],
    home: Home,
    output: Output = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make a new identity and the member card for IT."""
    check_name("the name", name)

    def make() -> tuple[str, dict[str, Any], str]:
        federation_card = files.read_text(federation)
        phrase = passphrase.obtain(passphrase_file, confirm=True)
        with Member.create(home, name, federation_card, phrase) as member:
            result = {"name": name, "key": member.identity.key, "federation": member.federation.name}
            return member.card(), result, "Give this member card to IT, then: tessera token fetch"

    deliver(output, as_json, make)


@member_app.command("card")
def member_card(
    home: Home, output: Output = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Write the member card for IT once more."""

    def make() -> tuple[str, dict[str, Any], str]:
        with open_member(home, passphrase_file) as member:
            result = {"name": member.identity.name, "key": member.identity.key, "federation": member.federation.name}
            return member.card(), result, "Give this member card to IT."

    deliver(output, as_json, make)


# -- token


@token_app.command("fetch")
def token_fetch(
    issuer: Annotated[Path, typer.Option("--issuer", help="The issuer's directory.")],
    home: Home,
    issuer_passphrase_file: Annotated[
        Path | None, typer.Option("--issuer-passphrase-file", help="File with the issuer's passphrase.")
    ] = None,
    relay: RelayName = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Get tokens from an issuer's directory on this computer."""
    with (
        open_member(home, passphrase_file) as member,
        Issuer.open(issuer, passphrase.secret_for(issuer / KEYSTORE, issuer_passphrase_file)) as open_issuer,
    ):
        fetched = member.fetch_tokens(open_issuer, relay)
    text = "\n".join(f"{count} tokens for epoch {epoch}" for epoch, count in fetched)
    show({"fetched": [{"epoch": epoch, "tokens": count} for epoch, count in fetched]}, text, as_json)


@token_app.command("request")
def token_request(
    home: Home,
    epoch: Annotated[
        int | None, typer.Option("--epoch", help="The epoch; the first that is wanted if not given.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="How many; as many as possible if not given.")
    ] = None,
    relay: RelayName = None,
    output: Output = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Ask IT for tokens: make the request card."""

    def make() -> tuple[str, dict[str, Any], str]:
        with open_member(home, passphrase_file) as member:
            card = member.request_tokens(epoch, relay, count)
            return card, {}, "Pass it to IT; take what comes back with: tessera token challenge"

    deliver(output, as_json, make)


@token_app.command("challenge")
def token_challenge(
    card: CardIn, home: Home, output: Output = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Take IT's offer and make the challenge card."""

    def make() -> tuple[str, dict[str, Any], str]:
        with open_member(home, passphrase_file) as member:
            challenge = member.challenge_tokens(card_text(card))
            return challenge, {}, "Pass it to IT; take what comes back with: tessera token finish"

    deliver(output, as_json, make)


@token_app.command("finish")
def token_finish(card: CardIn, home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Take IT's answer: the tokens are yours."""
    with open_member(home, passphrase_file) as member:
        epoch, count = member.finish_tokens(card_text(card))
    show({"epoch": epoch, "tokens": count}, f"{count} tokens for epoch {epoch}", as_json)


@token_app.command("list")
def token_list(home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Tokens and posts left, by epoch and relay."""
    with open_member(home, passphrase_file) as member:
        counts, epoch = member.wallet.counts(), member.epoch()
    lines = [f"epoch {c['epoch']}  {c['relay']}  {c['tokens']} tokens  {c['posts_left']} posts left" for c in counts]
    text = "\n".join([f"This is epoch {epoch}.", *lines] if lines else [f"This is epoch {epoch}. No tokens."])
    show({"epoch": epoch, "tokens": counts}, text, as_json)
