"""Files of cards, for offices whose issuer is on no network, or members who cannot reach it: IT's side.

Owns what becomes of each card of a member's file, the reply, and the files that IT makes unasked with a new set. Leaves
to others: the form of the files (card_files.py), the member's side (host/tessera_host/member/joining_files.py), every
rule (issuer.py).

Every file for a member has all that IT says: the federation card, the sets that relays may go by besides, and the
reading keys sealed to that member.
"""

from dataclasses import dataclass, field

from ..errors import InvalidInput, NotPermitted, TesseraError
from ..protocol import card_files, cards
from .issuer import Issuer


@dataclass
class Answered:
    """What a file came to: who joined, the cards for the member, whose file it is, and what was refused."""

    joined: list[str] = field(default_factory=list)
    cards: list[str] = field(default_factory=list)
    members: list[bytes] = field(default_factory=list)
    refusals: list[TesseraError] = field(default_factory=list)

    def text(self, issuer: Issuer) -> str:
        """The reply: all that IT says, the answers, and the refusals as remarks."""
        refusals = [f"Refused: {refusal}" for refusal in self.refusals]
        readings = [issuer.reading_card(member) for member in dict.fromkeys(self.members)]
        return _file(issuer, [issuer.federation_card, issuer.sets_card, *readings, *self.cards], refusals)


@dataclass(frozen=True)
class Unasked:
    """The file for one member after a new set: its text, and whether there are tokens in it to be had."""

    member: str
    text: str
    offered: bool


def answer(issuer: Issuer, text: str) -> Answered:
    """Answer every card of a file. Raises the first refusal if nothing could be answered, InvalidInput for a file
    without cards."""
    found, _ = card_files.read(text)
    if not found:
        raise InvalidInput("there are no cards in this file", "look for the one that the member made")
    made = Answered()
    for card in found:
        try:
            _answer_card(issuer, card, made)
        except (InvalidInput, NotPermitted) as refusal:
            made.refusals.append(refusal)
    if not made.joined and not made.cards:
        raise made.refusals[0]
    return made


def _answer_card(issuer: Issuer, text: str, made: Answered) -> None:
    card = cards.decode(text)
    if card.kind == "join":
        made.joined.append(issuer.join(text))
        made.members.append(card.fields["key"])
    elif card.kind == "member":
        raise InvalidInput("this is a member card without an invitation", "look at it first: tessera issuer admit")
    elif card.kind in ("tokens-request", "tokens-challenge"):
        made.cards.append(issuer.issue(text))
        made.members.append(card.fields["member"])
    else:
        raise InvalidInput(
            f"this file is not for IT: it has a card of kind '{card.kind}'", "the member takes it with: tessera join"
        )


def unasked(issuer: Issuer) -> list[Unasked]:
    """A file for every member, with the newest card and tokens for `ahead` epochs, as far as sessions may be open: four
    under a key (PROTOCOL §6). Who has none in the file asks for them."""
    made = []
    everybody = [issuer.federation_card, issuer.sets_card]
    for member in issuer.roster:
        said = [*everybody, issuer.reading_card(member["key"])]
        try:
            offer = [issuer.offer_unasked(member["key"])]
            remarks = []
        except NotPermitted:
            offer = []
            remarks = ["Others are given tokens at this time. Yours: tessera renew -o FILE"]
        made.append(Unasked(member["name"], _file(issuer, [*said, *offer], remarks), bool(offer)))
    return made


def _file(issuer: Issuer, made: list[str], remarks: list[str]) -> str:
    return card_files.write(made, [f"From IT of {issuer.name}. Type: tessera join THISFILE -o NEXT", *remarks])
