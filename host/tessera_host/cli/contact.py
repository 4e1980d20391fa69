"""The commands by which two members meet, and what they do with each other afterwards.

Owns what is typed and how results are shown. The conversation of a meeting is `meeting_dialog`'s.
"""

import asyncio
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import IntegrityError, UsageError
from ..member import address_book, composing, meeting
from ..member.meeting import MeetingStep
from ..member.state import MemberState
from ..protocol.limits import check_name
from ..text import count
from . import meeting_dialog, output
from .card_exchange import card_text, check_new_file, deliver, is_card
from .opening import member_opener, open_member
from .options import CardOut, ContactName, Home, Json, PassphraseFile, Yes, composed
from .output import check_sure, show
from .talk import end_with_splits, talk

contact_app = typer.Typer(help="Meet people, and manage your contacts.", no_args_is_help=True)

_KINDS = (meeting.INVITE, meeting.ANSWER, meeting.CONFIRM)  # a later one of them quotes an earlier one

NameOrCard = Annotated[
    str,
    typer.Argument(
        metavar="NAME_OR_CARD", help="Your name for the person whom you want to meet, or the card that you were given."
    ),
]
Via = Annotated[
    Path | None,
    typer.Option("--via", metavar="FOLDER", help="A folder that both sides can write to, instead of pasting cards."),
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Make one card and end; the same command makes the next one, at any time.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(contact_app, name="contact")


# -- meeting


@contact_app.command("add")
def contact_add(
    name_or_card: NameOrCard,
    home: Home,
    called: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Your name for the person whose card you take; by default the name in the card.",
            callback=composed,
        ),
    ] = None,
    via: Via = None,
    no_wait: NoWait = False,
    out: CardOut = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Meet someone. One side gives a NAME and gets a card; the other gives that CARD. With --via both give names.

    Three cards go back and forth (invite, answer, confirm), as text, code or file; then you compare six words. You can
    interrupt it at any point: it goes on with the same command or with the next card.
    """
    text = _card_or_none(name_or_card)
    name_or_card = str(composed(name_or_card))
    name = called if text is not None else name_or_card
    if name is not None:
        check_name("the name", name)
    opener = member_opener(home, passphrase_file)
    if via is not None:
        _meet_in_folder(opener, via, _a_name(name_or_card, text), rekey=False)
        return

    def make(member: MemberState) -> MeetingStep:
        return meeting.begin(member, name_or_card) if text is None else meeting.take(member, text, called)

    _go_on(opener, make, no_wait, out, as_json)


@contact_app.command("rekey")
def contact_rekey(
    contact: ContactName,
    home: Home,
    card: Annotated[
        str | None, typer.Argument(metavar="[CARD]", help="The contact's first card, if the contact began.")
    ] = None,
    via: Via = None,
    no_wait: NoWait = False,
    out: CardOut = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make new keys with a contact.

    Use it after a backup was restored, or if you fear that somebody knows the old keys. It is a meeting like the first
    one, with six words to compare, and only with the same person: a card that another identity signed is refused. The
    name and the messages stay; the old keys are erased when the last card is taken. What one of you sent and the other
    has not read by then is lost. So both of you read first (tessera inbox), and then make the new keys in one sitting.
    """
    opener = member_opener(home, passphrase_file)
    if via is not None:
        _meet_in_folder(opener, via, contact, rekey=True)
        return
    text = None if card is None else card_text(card, *_KINDS)

    def make(member: MemberState) -> MeetingStep:
        if text is not None:
            return meeting.rekey(member, text, contact)
        return meeting.begin(member, contact, rekey=True)

    _go_on(opener, make, no_wait, out, as_json)


def _card_or_none(name_or_card: str) -> str | None:
    """The text of a card, if the argument is one or names its file."""
    if is_card(name_or_card) or "/" in name_or_card or "\\" in name_or_card:  # no name has these
        return card_text(name_or_card, *_KINDS)
    return None


def _a_name(name_or_card: str, text: str | None) -> str:
    if text is not None:
        raise UsageError("--via takes a name: the cards lie in the folder", "tessera contact add NAME --via FOLDER")
    return name_or_card


def _meet_in_folder(opener: meeting_dialog.OpenMember, via: Path, name: str, rekey: bool) -> None:
    step = meeting_dialog.Folder(via).meet(opener, name, rekey)
    meeting_dialog.say(f"{step.name} is a contact now.")
    if output.has_terminal():
        meeting_dialog.compare(opener, step.name)
    else:
        meeting_dialog.say(f"Compare the six words: tessera contact verify {step.name}")


def _go_on(
    opener: meeting_dialog.OpenMember, make: meeting.Maker, no_wait: bool, out: Path | None, as_json: bool
) -> None:
    """One step, and at a terminal all that follow."""
    if not (no_wait or out is not None or as_json) and output.has_terminal():
        meeting_dialog.meet_at_terminal(opener, meeting_dialog.step_with(opener, make))
        return
    check_new_file(out)
    step = meeting_dialog.step_with(opener, make)
    with opener() as member:
        words = None if step.awaits else list(member.contacts.get(step.name).words)
    _show_step(step, words, out, as_json)


def _show_step(step: MeetingStep, words: list[str] | None, out: Path | None, as_json: bool) -> None:
    facts = {"contact": step.name, "kind": step.kind, "waiting_for": step.awaits, "words": words}
    here, there = ("CARD", "CARD") if out is None else (out.name, "FILE")
    told = [step.note, f"Give it to {step.name}, who runs: tessera contact add {shlex.quote(here)}"]
    if step.awaits:
        told.append(f"Take the {step.awaits} card that comes back with: tessera contact add {there}")
    if words is not None:
        told += [f"{step.name} is a contact now.", _compare_hint(step.name, words)]
    if step.card is None:
        show({**facts, "card": None, "path": None}, "\n".join([step.note, *told[2:]]).strip(), as_json)
    else:
        deliver(out, as_json, lambda: (str(step.card), facts, "\n".join(line for line in told if line)))


def _compare_hint(name: str, words: list[str]) -> str:
    return f"Six words:  {' '.join(words)}\nCompare them with {name}'s, then: tessera contact verify {name}"


@contact_app.command("verify")
def contact_verify(
    name: ContactName,
    home: Home,
    words: Annotated[
        str | None,
        typer.Option("--words", help="The six words that the other person reads out; without it, you are asked."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Compare the six words with a contact, by voice or in person."""
    opener = member_opener(home, passphrase_file)
    if words is None and not as_json and output.has_terminal():
        meeting_dialog.compare(opener, name)
        return
    with opener() as member:
        name = member.contacts.meant(name)
        own = list(member.contacts.get(name).words)
        if words is None:
            raise UsageError(
                "there is no terminal to ask on", "give the words that the other person reads out: --words 'SIX WORDS'"
            )
        if words.casefold().split() != own:
            raise IntegrityError(
                f"these are not the words of {name}", f"do not write to {name}: tessera contact remove {name}"
            )
        address_book.verify(member, name)
    show({"contact": name, "verified": True, "words": own}, f"{name} is verified.", as_json)


# -- afterwards


@contact_app.command("list")
def contact_list(home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """List your contacts, and the meetings that are under way."""

    async def known() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        async with talk(home, passphrase_file) as by:
            return [asdict(each) for each in await by.contacts()], [asdict(each) for each in await by.meetings()]

    contacts, meetings = asyncio.run(known())
    lines = [f"{c['name']}  {_state(c)}  {c['relay']}" for c in contacts]
    lines += [f"{meeting['name']}  waiting for the {meeting['waiting_for']} card" for meeting in meetings]
    text = "\n".join(lines) or "no contacts yet; begin with: tessera contact add NAME"
    show({"contacts": contacts, "meetings": meetings}, text, as_json)
    end_with_splits([each["name"] for each in contacts if each["split"]])


@contact_app.command("show")
def contact_show(name: ContactName, home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Show one contact: the six words, the key and the relay."""
    with open_member(home, passphrase_file) as member:
        name = member.contacts.meant(name)
        found = _contact(member, name)
    text = f"{name}  {_state(found)}\nSix words  {' '.join(found['words'])}\nKey        {found['key'].hex()}"
    show(found, f"{text}\nRelay      {found['relay']}", as_json)
    end_with_splits([name] if found["split"] else [])


def _contact(member: MemberState, name: str) -> dict[str, Any]:
    contact = member.contacts.get(name)
    relay = member.federation.relay_name(contact.relay)
    facts = {"name": name, "verified": contact.verified, "words": contact.words, "key": contact.key}
    return {**facts, "relay": relay, "blocked": contact.blocked, "split": contact.split is not None}


def _state(contact: dict[str, Any]) -> str:
    if contact["blocked"]:
        return "blocked"
    if contact["split"]:
        return "GIVEN DIFFERENT SETTINGS"
    return "verified" if contact["verified"] else "words not compared yet"


@contact_app.command("rename")
def contact_rename(
    name: ContactName,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new name.", callback=composed)],
    home: Home,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Give a contact another name. Nobody else sees the name."""
    check_name("the name", new)
    with open_member(home, passphrase_file) as member:
        name = member.contacts.meant(name)
        address_book.rename(member, name, new)
    show({"contact": new, "was": name}, f"{name} is now called {new}.", as_json)


@contact_app.command("block")
def contact_block(name: ContactName, home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Ignore what a contact sends, and send it nothing. The contact does not notice."""
    with open_member(home, passphrase_file) as member:
        name = member.contacts.meant(name)
        address_book.block(member, name)
    show({"contact": name, "blocked": True}, f"{name} is blocked. Undo: tessera contact unblock {name}", as_json)


@contact_app.command("unblock")
def contact_unblock(
    name: ContactName, home: Home, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Read a contact's messages again. What it sent while it was blocked stays unread."""
    with open_member(home, passphrase_file) as member:
        name = member.contacts.meant(name)
        address_book.block(member, name, blocked=False)
    show({"contact": name, "blocked": False}, f"{name} is no longer blocked.", as_json)


@contact_app.command("remove")
def contact_remove(
    name: ContactName,
    home: Home,
    only_meeting: Annotated[
        bool, typer.Option("--meeting", help="Only the meeting that is under way; a contact of this name stays.")
    ] = False,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Forget a contact, its keys and what waits for it, for good."""
    opener = member_opener(home, passphrase_file)
    with opener() as member:
        if not only_meeting:
            name = _meant_or_met(member, name)
            waiting = sum(one.waiting for one in composing.sent(member, name))
    if not only_meeting:
        question = f"Forget {name}, the keys and what you wrote to {name}, for good? Writing again takes a new meeting."
        waits = f" {count(waiting, 'part')} of what you wrote would never leave." if waiting else ""
        check_sure(question + waits, yes, as_json)
    with opener() as member:
        if only_meeting:
            meeting.abandon(member, name)
        else:
            address_book.remove(member, name)
    what = f"The meeting with {name}" if only_meeting else name
    show({"contact": name, "removed": True}, f"{what} is forgotten.", as_json)


def _meant_or_met(member: MemberState, typed: str) -> str:
    """The name of a contact, or of somebody whom this member is about to meet. Raises UsageError."""
    return typed if member.contacts.open_meetings(contact=typed) else member.contacts.meant(typed)
