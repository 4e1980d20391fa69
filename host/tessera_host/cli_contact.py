"""The commands by which two members meet, and what they do with each other afterwards."""

from typing import Annotated, Any

import typer

from .cli_options import CardIn, ContactName, Home, Json, Output, PassphraseFile, card_text, deliver, open_member
from .issuer import check_name
from .member import Member
from .output import show

contact_app = typer.Typer(
    help="Meet someone: invite, answer, confirm, accept, compare six words.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(contact_app, name="contact")


def _words(words: list[str]) -> str:
    return f"Compare by voice or in person, word by word:  {' '.join(words)}"


@contact_app.command("invite")
def contact_invite(
    name: Annotated[str, typer.Argument(help="What you call the other person.")],
    home: Home,
    output: Output = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Begin to meet someone: make the invite card."""
    check_name("the name", name)

    def make() -> tuple[str, dict[str, Any], str]:
        with open_member(home, passphrase_file) as member:
            return member.invite(name), {"contact": name}, f"Pass it to {name}, who runs: tessera contact answer"

    deliver(output, as_json, make)


@contact_app.command("answer")
def contact_answer(
    card: CardIn,
    home: Home,
    name: Annotated[
        str | None, typer.Option("--as", help="What you call the inviter; the card's name if not given.")
    ] = None,
    output: Output = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Answer an invite card."""
    if name is not None:
        check_name("the name", name)

    def make() -> tuple[str, dict[str, Any], str]:
        with open_member(home, passphrase_file) as member:
            answer = member.answer(card_text(card), name)
            return answer, {}, "Pass it back to the inviter, who runs: tessera contact confirm"

    deliver(output, as_json, make)


@contact_app.command("confirm")
def contact_confirm(
    card: CardIn, home: Home, output: Output = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Take the answer to your invite and make the confirm card."""

    def make() -> tuple[str, dict[str, Any], str]:
        with open_member(home, passphrase_file) as member:
            name, confirm = member.confirm_named(card_text(card))
            words = member.words(name)
            next_step = f"Pass it to {name}, who runs: tessera contact accept\n{_words(words)}"
            return confirm, {"contact": name, "words": words}, next_step

    deliver(output, as_json, make)


@contact_app.command("accept")
def contact_accept(card: CardIn, home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Take the confirm card: you can write to each other now."""
    with open_member(home, passphrase_file) as member:
        name = member.accept(card_text(card))
        words = member.words(name)
    text = f"{name} is a contact now.\n{_words(words)}\nIf they are the same: tessera contact verify {name}"
    show({"contact": name, "words": words}, text, as_json)


@contact_app.command("verify")
def contact_verify(
    name: ContactName, home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Note that you have compared the six words and that they are the same."""
    with open_member(home, passphrase_file) as member:
        member.verify(name)
        words = member.words(name)
    show({"contact": name, "verified": True, "words": words}, f"{name} is verified: {' '.join(words)}", as_json)


@contact_app.command("remove")
def contact_remove(
    name: ContactName, home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Forget a contact, or a meeting that is under way, for good."""
    with open_member(home, passphrase_file) as member:
        member.remove_contact(name)
    show({"contact": name, "removed": True}, f"{name} is forgotten.", as_json)


@contact_app.command("list")
def contact_list(home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Contacts, and meetings under way."""
    with open_member(home, passphrase_file) as member:
        contacts = [_contact(member, name) for name in sorted(member.contacts.book)]
        meetings = member.contacts.meetings()
    lines = [
        f"{c['name']}  {'verified' if c['verified'] else 'words not compared yet'}  {c['relay']}" for c in contacts
    ]
    lines += [f"{meeting['name']}  waiting for the {meeting['waiting_for']} card" for meeting in meetings]
    text = "\n".join(lines) or "no contacts yet; begin with: tessera contact invite NAME"
    show({"contacts": contacts, "meetings": meetings}, text, as_json)


def _contact(member: Member, name: str) -> dict[str, Any]:
    contact = member.contacts.get(name)
    relay = member.federation.relay_with_key(contact["relay"]).name
    facts = {"name": name, "verified": contact["verified"], "words": contact["words"], "key": contact["key"]}
    return {**facts, "relay": relay}
