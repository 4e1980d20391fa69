"""Files of cards, for offices whose issuer is on no network, or members who cannot reach it: IT's side.

Owns what becomes of each card of a member's file, the reply, and the files that IT makes for all members after a new
set. Leaves to others: the form of the files (card_files.py), the member's side
(host/tessera_host/member/joining_files.py), every rule (issuer.py).

Every file for a member has all that IT says: the federation card, the sets that relays may go by besides, and the
reading keys sealed to that member.
"""

from dataclasses import dataclass, field

from ..errors import InvalidInput, NotPermitted, TesseraError
from ..protocol import card_files, cards
from .issuer import Issuer


@dataclass
class Answered:
    """The outcome of a member's file: names of those who joined, cards for the member, keys (32 bytes) of the members
    whose cards were answered, and the refusals."""

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
class MemberFile:
    """The file for one member after a new set: its text, and whether it offers tokens."""

    member: str
    text: str
    offered: bool


def answer(issuer: Issuer, text: str) -> Answered:
    """Answer every card of a file. Raises the first refusal if nothing could be answered, InvalidInput for a file
    without cards."""
    found, _ = card_files.read(text)
    if not found:
        raise InvalidInput("there are no cards in this file", "ask the member for the file that tessera wrote")
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
        raise InvalidInput(
            "this is a member card without an invitation", "check whose card it is, then: tessera issuer admit"
        )
    elif card.kind in ("tokens-request", "tokens-challenge"):
        made.cards.append(issuer.issue(text))
        made.members.append(card.fields["member"])
    else:
        raise InvalidInput(
            f"this file is not for IT: it has a card of kind '{card.kind}'",
            "give it to the member, who types: tessera join FILE",
        )


def member_files(issuer: Issuer) -> list[MemberFile]:
    """A file for every member, with the newest card and tokens for `ahead` epochs. Four sessions may be open under a
    key (PROTOCOL §6), so not every file has tokens; a member whose file has none asks for them."""
    made = []
    everybody = [issuer.federation_card, issuer.sets_card]
    for member in issuer.roster:
        said = [*everybody, issuer.reading_card(member["key"])]
        try:
            offer = [issuer.offer_unasked(member["key"])]
            remarks = []
        except NotPermitted:
            offer = []
            remarks = ["There are no tokens in this file yet. To ask for yours: tessera renew -o FILE"]
        made.append(MemberFile(member["name"], _file(issuer, [*said, *offer], remarks), bool(offer)))
    return made


def _file(issuer: Issuer, made: list[str], remarks: list[str]) -> str:
    return card_files.write(made, [f"From IT of {issuer.name}. Type: tessera join THISFILE -o NEXT", *remarks])
