"""The conversation around a meeting: cards shown as text and code, the other side's asked for, six words compared.

Owns what a person reads and types between `tessera contact add` and a contact. What a card means is `meeting`'s
business. The keystore is open only while a card is taken, never while somebody types.
"""

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import typer

from .. import files, qr
from ..errors import IntegrityError, InvalidInput, NotPermitted, TesseraError, UsageError
from ..member import address_book, meeting
from ..member.contacts import OtherSettings
from ..member.meeting import ANSWER, CONFIRM, INVITE, MeetingStep
from ..member.renewal import Renewal
from ..member.state import MemberState
from ..protocol import card_finding, cards
from . import output
from .card_exchange import pasted
from .output import say_wrong

OpenMember = Callable[[], AbstractContextManager[MemberState]]

POLL_SECONDS = 1.0
SETTLE_POLLS = 10  # a shared folder may show a file before all of it is there

_LINES_BESIDE = 12  # what is said around a code, with a card broken into a few lines

_TITLES = {INVITE: "Your invite for", ANSWER: "Your answer to", CONFIRM: "The last card, for"}


def ask(prompt: str) -> str:
    """A line that was typed or pasted."""
    return input(prompt).strip()


def say(text: str = "") -> None:
    typer.echo(text)


def step_with(open_member: OpenMember, make: meeting.Maker) -> MeetingStep:
    """Make a step. If the two sides hold different settings this one gets the newest, if it can, and tries again."""
    with open_member() as member:
        try:
            return make(member)
        except OtherSettings as differ:
            if not _got_settings(member):
                raise differ from None
        return make(member)


def _taking(text: str, name: str, expected: bool = False) -> meeting.Maker:
    return lambda member: meeting.take(member, text, name, expected)


def _got_settings(member: MemberState) -> bool:
    """Whether the issuer had newer ones."""
    renewal, before = Renewal(member), member.federation.digest
    if not renewal.is_possible():
        return False
    with contextlib.suppress(TesseraError):
        asyncio.run(renewal.run())
    return bool(member.federation.digest != before)


# -- at the terminal


def meet_at_terminal(open_member: OpenMember, step: MeetingStep) -> None:
    """Go on from here until the two have met and compared the words."""
    while True:
        if step.note:
            say(step.note)
        if step.card is not None:
            _show_card(step)
        if step.awaits is None:
            break
        step = _next_step(open_member, step)
    say(f"{step.name} is a contact now.")
    compare(open_member, step.name)


def _show_card(step: MeetingStep) -> None:
    assert step.card is not None
    say(f"{_TITLES[str(step.kind)]} {step.name}. Have the code scanned, or copy the line to {step.name}:")
    say()
    columns, lines = shutil.get_terminal_size()
    code = qr.lines(step.card, columns - 1, encoding=sys.stdout.encoding)
    if len(code) + _LINES_BESIDE > lines:
        say(f"(To show the code this terminal needs {len(code) + _LINES_BESIDE} lines. It has {lines}.)")
    else:
        for line in code:
            say(line)
    say()
    say(step.card)
    say()
    say(f"{step.name} takes it with: tessera contact add CARD")


def _next_step(open_member: OpenMember, step: MeetingStep) -> MeetingStep:
    """Ask for the next card until one fits. A card that does not belong here is explained, and asked for again; a proof
    that does not hold ends the meeting."""
    article = "the answer" if step.awaits == ANSWER else f"the {step.awaits} card"
    while True:
        typed = ask(f"Paste {article} from {step.name} (or a file name): ")
        if not typed:
            say("Nothing was pasted. Ctrl-C ends this; the same command goes on later.")
            continue
        try:
            text = card_finding.one(pasted(typed, ask), str(step.awaits))
            return step_with(open_member, _taking(text, step.name))
        except (InvalidInput, UsageError, NotPermitted) as error:
            say_wrong(error.message, error.hint)


def compare(open_member: OpenMember, name: str) -> None:
    """Show the six words and ask. Only a yes makes the contact a verified one."""
    with open_member() as member:
        words = member.contacts.get(name).words
    say()
    say(f"Six words:  {' '.join(words)}")
    say(f"Call {name}, or meet: read them to each other. If someone intercepted the cards, the words differ.")
    answer = _yes_or_no(f"Does {name} read the same six words? [y/n] ")
    if answer is None:
        say(f"Not compared yet. When you have: tessera contact verify {name}")
    elif answer:
        with open_member() as member:
            address_book.verify(member, name)
        say(f"{name} is verified. Write with: tessera send {name} TEXT")
    else:
        _words_differ(open_member, name)


def _words_differ(open_member: OpenMember, name: str) -> None:
    say(
        f"Then these keys may not be those of {name}: a card was changed on its way, or one of you "
        f"took a card of another meeting. Send {name} nothing."
    )
    if _yes_or_no(f"Forget {name} and these keys? [y/n] "):
        with open_member() as member:
            address_book.remove(member, name)
        raise IntegrityError(
            f"the six words were not the same, and {name} is forgotten",
            f"meet again, and pass the cards on another way: tessera contact add {name}",
        )
    raise IntegrityError("the six words were not the same", f"do not write to {name}: tessera contact remove {name}")


def _yes_or_no(question: str) -> bool | None:
    """None for an empty line."""
    while True:
        typed = ask(question).casefold()
        if typed in ("", "y", "yes", "n", "no"):
            return None if not typed else typed[0] == "y"


# -- through a folder both can write to


class Folder:
    """A shared folder or a stick: each side writes its cards there and waits for the other's."""

    def __init__(self, path: Path, sleep: Callable[[float], None] = time.sleep) -> None:
        if not path.is_dir():
            raise UsageError(f"there is no folder {path}", "name one that both sides can write to")
        self._path = path
        self._sleep = sleep
        self._seen: set[str | None] = set()

    def meet(self, open_member: OpenMember, name: str, rekey: bool = False) -> MeetingStep:
        """From wherever the meeting stands until the two have met."""
        step = step_with(open_member, lambda member: self._first_step(member, name, rekey))
        while step.awaits is not None:
            self._write(step)
            step = self._wait(open_member, step)
        if step.card is not None:
            self._write(step)
        else:
            self._clear(step.meeting)
        return step

    def _first_step(self, member: MemberState, name: str, rekey: bool) -> MeetingStep:
        standing = meeting.under_way(member, name)
        if standing is not None:
            return standing
        invites = [card for card in self._new_invites() if meeting.is_news(member, card)]
        meant = self._meant(name, invites)
        if meant is None:
            return meeting.begin(member, name, rekey)
        return meeting.rekey(member, meant, name) if rekey else meeting.take(member, meant, name)

    def _meant(self, name: str, invites: list[str]) -> str | None:
        """The invite of whom `name` is to be the name of. Others meet here, too: one that has another name is asked
        about; where there is nobody to ask it is left where it is, and said how it could be taken."""
        named = {card: str(cards.decode(card).fields["name"]) for card in invites}
        fitting = [card for card in invites if meeting.is_called(name, named[card])]
        if len(fitting) == 1:
            return fitting[0]
        for card in fitting or invites:
            if output.has_terminal():
                if _yes_or_no(f"An invite from '{named[card]}' lies in {self._path}. Is that {name}? [y/n] "):
                    return card
            else:
                say(f"An invite from '{named[card]}' lies in {self._path}; if that is {name}: tessera contact add FILE")
        return None

    def _new_invites(self) -> list[str]:
        """Those that were not looked at before."""
        texts = {_card_in(path) for path in sorted(self._path.glob(f"tessera-*-{INVITE}.card"))}
        news = sorted(text for text in texts - self._seen if text is not None)
        self._seen.update(news)
        return news

    def _wait(self, open_member: OpenMember, step: MeetingStep) -> MeetingStep:
        say(f"Waiting for {step.name}, who runs: tessera contact add NAME --via FOLDER    (Ctrl-C: go on later)")
        path, polls = self._file(step.meeting, str(step.awaits)), 0
        while True:
            if (text := _card_in(path)) is not None:
                self._check_who(step, text)
                return step_with(open_member, _taking(text, step.name))
            polls += path.exists()
            if polls > SETTLE_POLLS:
                raise InvalidInput(f"{path} is damaged", "remove it, and have the other side run its command again")
            if (crossed := self._crossed(open_member, step)) is not None:
                return crossed
            self._sleep(POLL_SECONDS)

    def _check_who(self, step: MeetingStep, text: str) -> None:
        """An answer of somebody who has another name is asked about before it makes a contact. Raises NotPermitted."""
        found = str(cards.decode(text).fields.get("name", step.name)) if step.awaits == ANSWER else step.name
        if meeting.is_called(step.name, found):
            return
        if output.has_terminal() and _yes_or_no(f"The answer is from '{found}'. Is that {step.name}? [y/n] "):
            return
        raise NotPermitted(
            f"the answer in {self._path} is from '{found}', not from {step.name}",
            f"if that is whom you mean: tessera contact add {self._file(step.meeting, ANSWER)}; else remove that file, "
            f"and have {step.name} run the command again",
        )

    def _crossed(self, open_member: OpenMember, step: MeetingStep) -> MeetingStep | None:
        """Both sides may have begun at the same time; then one of them answers instead."""
        invites = self._new_invites() if step.kind == INVITE else []
        with open_member() as member:
            invites = [text for text in invites if meeting.is_news(member, text)]
        if (text := self._meant(step.name, invites)) is None:
            return None
        taken = step_with(open_member, _taking(text, step.name, expected=True))
        if taken.meeting == step.meeting:
            return None
        self._clear(step.meeting)
        return taken

    def _write(self, step: MeetingStep) -> None:
        assert step.card is not None
        path = self._file(step.meeting, str(step.kind))
        if not path.exists():
            files.write(path, (step.card + "\n").encode())
            say(f"{path} written.")

    def _file(self, name: str, kind: str) -> Path:
        return self._path / f"tessera-{name}-{kind}.card"

    def _clear(self, name: str) -> None:
        """The answerer is last: nobody needs the cards any more."""
        for kind in (INVITE, ANSWER, CONFIRM):
            self._file(name, kind).unlink(missing_ok=True)


def _card_in(path: Path) -> str | None:
    """None if there is no such file, or not all of it yet."""
    try:
        text = card_finding.one(files.read_text(path))
        cards.decode(text)
    except TesseraError:
        return None
    return text
