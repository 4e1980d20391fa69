"""What a card that comes in means for this member now, and which card goes out next (PROTOCOL §12).

Owns the order of a meeting as people live it: cards that are repeated, swapped, one's own, someone else's or too early
are told apart here, and a card that was taken before gives the same answer again. The cards themselves, and whether
they hold, are the contact book's business; what is said around them `cli.meeting_dialog`'s.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tessera import hashes

from ..errors import InvalidInput, UsageError
from ..protocol import cards
from ..protocol.cards import Card
from ..protocol.federation import CLOCK_ROUNDS
from .schema import AnswerMeeting
from .state import MemberState

INVITE, ANSWER, CONFIRM = "invite", "answer", "confirm"
MEETING_BYTES = 4


@dataclass(frozen=True)
class MeetingStep:
    """Where a meeting with `name` stands. Pass on `card` (of `kind`); `awaits` is the kind of card that comes back, and
    without `awaits` the two have met. `meeting` is the same short name on both sides."""

    name: str
    meeting: str
    kind: str | None = None
    card: str | None = None
    awaits: str | None = None
    note: str = ""


Maker = Callable[[MemberState], MeetingStep]


def begin(member: MemberState, name: str, rekey: bool = False) -> MeetingStep:
    """Invite someone; an invite that is already open is continued."""
    standing = under_way(member, name)
    if standing is not None and not (standing.kind == INVITE and _is_outdated(member, str(standing.card))):
        return standing
    if standing is not None:
        member.contacts.abandon(name)
        step = _invited(name, invite(member, name, rekey))
        return replace(step, note="The office's settings have changed since your last invite: here is a new one.")
    return _invited(name, invite(member, name, rekey))


def _is_outdated(member: MemberState, card: str) -> bool:
    """Whether an own invite names settings that are not the office's any more: nobody can answer it."""
    return bool(cards.decode(card, INVITE).fields["digest"] != member.federation.digest)


def is_called(name: str, card_name: str) -> bool:
    """Tell whether somebody who is called `name` here may be the one whom a card calls `card_name`: the words of one
    name are all in the other."""
    one, other = ({*text.casefold().split()} for text in (name, card_name))
    return one <= other or other <= one


def under_way(member: MemberState, name: str) -> MeetingStep | None:
    """Find the meeting with this name that was begun and not finished."""
    for meeting in member.contacts.open_meetings(contact=name):
        if isinstance(meeting, AnswerMeeting):
            return _answered(name, meeting.payload, meeting.invite)
        return _invited(name, _text(INVITE, meeting.payload))
    return None


def take(member: MemberState, text: str, name: str | None = None, expected: bool = False) -> MeetingStep:
    """Take any card of a meeting and give what follows from it.

    `name` is what an inviter is to be called, or the contact whose card is expected here; then an invite is one that
    crossed this member's own (`expected`: whoever is called what in it). Raises InvalidInput for a card that does not
    belong here, with the reason; the errors of `ContactBook` for one that does not hold.
    """
    card = cards.decode(text)
    if card.kind not in _TAKERS:
        raise InvalidInput(
            f"this is a {card.kind} card, which no meeting uses", "look for the card the other side made"
        )
    return _TAKERS[card.kind](member, card, name, expected)


def rekey(member: MemberState, text: str, name: str) -> MeetingStep:
    """Answer the invite of a contact that wants new keys, or continue such a meeting."""
    card = cards.decode(text)
    if card.kind != INVITE:
        return take(member, text, name)
    return _repeated(member, card) or _answer(member, card, name, rekey=True)


def is_news(member: MemberState, text: str) -> bool:
    """Tell whether this invite is somebody else's and was not taken before."""
    card = cards.decode(text, INVITE)
    return card.fields["key"] != member.identity.key and _repeated(member, card) is None


# -- the three messages, each durable before its card is passed on


def invite(member: MemberState, name: str, rekey: bool = False) -> str:
    """Make the invite card for someone to be called `name`: the first of three messages."""
    card = member.contacts.invite(name, member.epoch(), rekey)
    member.save()
    return card


def answer(member: MemberState, invite_card: str, name: str | None = None, rekey: bool = False) -> str:
    """Make the answer card to an invite: the second of three messages."""
    _, card = member.contacts.answer(invite_card, name, member.epoch(), member.round(), rekey)
    member.save()
    return card


def confirm(member: MemberState, answer_card: str) -> tuple[str, str]:
    """Take the answer card, and return (name of the new contact, confirm card): the third message."""
    named = member.contacts.confirm(answer_card)
    member.history.gave_up(member.posted.take_new_keys(named[0]))
    member.save()
    return named


def accept(member: MemberState, confirm_card: str) -> str:
    """Take the confirm card, and return the name of the new contact."""
    name, round_ = member.contacts.accept(confirm_card)
    member.history.gave_up(member.posted.take_new_keys(name))
    member.inbox.go_back_to(round_ - CLOCK_ROUNDS)
    member.save()
    return name


def abandon(member: MemberState, name: str) -> None:
    """Forget the meeting under way with this name; a contact of this name stays. Raises UsageError."""
    if not member.contacts.abandon(name):
        raise UsageError(f"no meeting with '{name}' is under way", "tessera contact list shows the meetings")
    member.save()


# -- what each kind of card can be


def _take_invite(member: MemberState, card: Card, name: str | None, expected: bool) -> MeetingStep:
    if card.fields["key"] == member.identity.key:
        raise _own(INVITE, _name_of(member, card.payload), ANSWER)
    known = _repeated(member, card)
    if known is not None:
        return known
    crossed = under_way(member, name or card.fields["name"])
    if crossed is not None and crossed.kind == INVITE:
        return _crossed(member, card, crossed, expected)
    return _answer(member, card, name, rekey=False)


def _take_answer(member: MemberState, card: Card, name: str | None, expected: bool) -> MeetingStep:
    if card.fields["key"] == member.identity.key:
        raise _own(ANSWER, _name_of(member, card.payload), CONFIRM)
    known = member.contacts.finished_by_answer(_hash(ANSWER, card.payload))
    if known is not None:
        again = f"You took {known.name}'s answer before; here is the same confirm card again."
        return MeetingStep(known.name, _short(card.fields["invite"]), CONFIRM, known.confirm, None, again)
    _check_first_answer(member, card, name)
    found, made = confirm(member, _text(ANSWER, card.payload))
    return MeetingStep(
        found, _short(card.fields["invite"]), CONFIRM, made, None, _other_name(found, card.fields["name"])
    )


def _other_name(name: str, card_name: str) -> str:
    """What to say where the card of somebody has another name than they have here."""
    if is_called(name, card_name):
        return ""
    return f"The card of {name} has the name '{card_name}': compare the six words to be sure who it is."


def _check_first_answer(member: MemberState, card: Card, expected_name: str | None) -> None:
    invited = card.fields["invite"]
    other = member.contacts.finished_by_invite(invited)
    if other is not None:
        raise InvalidInput(
            f"this is a second answer to an invite that '{other.name}' has already answered",
            f"somebody else got that invite: compare the six words with {other.name}, and send the "
            "other person a new invite",
        )
    for meeting in member.contacts.open_meetings():
        if _hash(INVITE, meeting.payload) == invited:
            _check_name(ANSWER, meeting.name, expected_name)
            break
    else:
        raise InvalidInput(
            "this answer does not belong to any of your open invites",
            "it is for someone else, or its meeting was forgotten; begin anew: tessera contact add NAME",
        )


def _take_confirm(member: MemberState, card: Card, name: str | None, expected: bool) -> MeetingStep:
    answered = card.fields["answer"]
    known = member.contacts.finished_by_answer(answered)
    if known is not None and known.confirm is not None:
        raise _own(CONFIRM, known.name, None)
    if known is not None:
        return MeetingStep(known.name, _short(known.invite), note="You took this confirm card before.")
    for meeting in member.contacts.open_meetings():
        if isinstance(meeting, AnswerMeeting) and _hash(ANSWER, meeting.payload) == answered:
            _check_name(CONFIRM, meeting.name, name)
            return MeetingStep(accept(member, _text(CONFIRM, card.payload)), _short(_hash(INVITE, meeting.invite)))
    raise InvalidInput(
        "this confirm card is from another meeting: you gave no answer that it belongs to",
        "if you were sent an invite, take that first; if not, this card is for someone else",
    )


def _check_name(kind: str, name: str, expected: str | None) -> None:
    if expected not in (None, name):
        raise InvalidInput(
            f"this is the {kind} card of {name}, not of {expected}", "take it with: tessera contact add CARD"
        )


_TAKERS: dict[str, Callable[[MemberState, Card, str | None, bool], MeetingStep]] = {
    INVITE: _take_invite,
    ANSWER: _take_answer,
    CONFIRM: _take_confirm,
}


def _repeated(member: MemberState, card: Card) -> MeetingStep | None:
    """An invite that was taken before: the same answer once more, or what came of it."""
    for meeting in member.contacts.open_meetings():
        if isinstance(meeting, AnswerMeeting) and meeting.invite == card.payload:
            note = "You answered this invite before; here is the same answer again."
            return _answered(meeting.name, meeting.payload, card.payload, note)
    known = member.contacts.finished_by_invite(_hash(INVITE, card.payload))
    if known is not None:
        return MeetingStep(known.name, _short(known.invite), note="You took this invite before.")
    return None


def _answer(member: MemberState, card: Card, name: str | None, rekey: bool) -> MeetingStep:
    name = name or str(card.fields["name"])
    made = answer(member, _text(INVITE, card.payload), name, rekey)
    return _answered(name, cards.decode(made).payload, card.payload)


def _crossed(member: MemberState, card: Card, own: MeetingStep, expected: bool) -> MeetingStep:
    """Both sides began. The invite of the one with the greater key counts, so both sides know which without asking."""
    caller = str(card.fields["name"])
    if not expected and caller.casefold() != own.name.casefold():
        raise InvalidInput(
            f"this is an invite from '{caller}', not the answer of {own.name}",
            f"if '{caller}' is {own.name}, one of you has to answer the other's invite: tessera "
            f"contact remove {own.name} --meeting, then tessera contact add CARD --as {own.name}",
        )
    if member.identity.key > card.fields["key"]:
        return replace(own, note=f"You both made an invite, and yours counts: {own.name} has to take it.")
    rekeys = any(meeting.rekey for meeting in member.contacts.open_meetings(contact=own.name))
    abandon(member, own.name)
    return replace(_answer(member, card, own.name, rekeys), note=f"You both made an invite, and {own.name}'s counts.")


def _own(kind: str, name: str, next_kind: str | None) -> InvalidInput:
    """This member's own card came back to it."""
    then = f"what {name} gives back is the {next_kind} card" if next_kind else "it is the last card"
    return InvalidInput(f"this is your own {kind} card", f"give it to {name}; {then}")


def _name_of(member: MemberState, payload: bytes) -> str:
    return next((m.name for m in member.contacts.open_meetings() if m.payload == payload), "the other side")


def _invited(name: str, card: str) -> MeetingStep:
    return MeetingStep(name, _short(_hash(INVITE, cards.decode(card).payload)), INVITE, card, ANSWER)


def _answered(name: str, answer: bytes, invite: bytes, note: str = "") -> MeetingStep:
    return MeetingStep(name, _short(_hash(INVITE, invite)), ANSWER, _text(ANSWER, answer), CONFIRM, note)


def _text(kind: str, payload: bytes) -> str:
    return cards.encode(kind, cards.decode_payload(kind, payload))


def _hash(kind: str, payload: bytes) -> bytes:
    return hashes.tagged(kind, payload)


def _short(invite_hash: bytes) -> str:
    return invite_hash[:MEETING_BYTES].hex()
