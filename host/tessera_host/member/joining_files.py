"""Joining and renewing by files, for offices whose issuer is on no network: the member's side.

Owns which cards the next file for IT has: the join card until the issuer has admitted the member, and for every epoch
that tokens are lacking for the card that is next. Two trips to IT and back, for up to four tokens an epoch. Leaves to
others: the form of the files (card_files.py), what IT does with them, the same over the network (joining.py).
"""

from dataclasses import dataclass, field

from ..errors import InvalidInput
from ..protocol import card_files, cards
from . import joining, token_exchange
from .state import MemberState

REQUEST_SECONDS = 12 * 3600  # a request that waited longer is made anew: the issuer wants them fresh


@dataclass
class FileStep:
    """What one file from IT brought, and the cards for the next one to IT; none if nothing is left to ask for."""

    cards: list[str] = field(default_factory=list)
    tokens: list[tuple[int, int]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def text(self, member: MemberState) -> str:
        """The file for IT."""
        me, office = member.identity.name, member.federation.name
        return card_files.write(
            self.cards, [f"From {me} to IT of {office}. IT types: tessera issuer answer DIR THISFILE -o REPLY"]
        )


def step(member: MemberState, answer: str | None = None) -> FileStep:
    """Take a file from IT, if there is one, and make the next. The same file again does no harm. Raises InvalidInput
    for a file that has nothing for this member; NotPermitted if there are no tokens to be had at all."""
    made = FileStep()
    if answer is not None:
        _take(member, answer, made)
    invitation = joining.pending(member)
    if invitation:
        made.cards.append(invitation.join_card(member.identity))
    made.cards += _next_cards(member)
    member.save()
    return made


def _take(member: MemberState, answer: str, made: FileStep) -> None:
    found, made.remarks = card_files.read(answer)
    known = [_take_card(member, cards.decode(text), text, made) for text in found]
    member.save()
    if not any(known):
        raise InvalidInput("there is nothing from IT in this file", "look for the file that IT gave back")


def _take_card(member: MemberState, card: cards.Card, text: str, made: FileStep) -> bool:
    """Whether it is one of IT's answers, be it taken before."""
    if card.kind == "federation":
        member.federation.refresh(text)
        return True
    if card.kind not in ("tokens-offer", "tokens-answer"):
        return False
    if member.wallet.expects(card):
        joining.admitted(member)
        if card.kind == "tokens-offer":
            member.wallet.challenge(text)
        else:
            made.tokens.append(member.wallet.finish(text))
    return True


def _next_cards(member: MemberState) -> list[str]:
    wanted = member.wallet.wanted(member.epoch())
    return [card for epoch in wanted if (card := _next_card(member, epoch))]


def _next_card(member: MemberState, epoch: int) -> str | None:
    unfinished = member.wallet.unfinished(epoch)
    if unfinished:
        made = cards.decode(unfinished).fields.get("time")
        if made is not None and abs(member.now() - made) > REQUEST_SECONDS:
            member.wallet.abandon(unfinished)
    return token_exchange.errand(member, epoch).card()
