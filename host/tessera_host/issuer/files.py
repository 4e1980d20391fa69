"""Answering files of cards, for offices whose issuer is on no network: IT's side.

Owns what becomes of each card of such a file, and the reply. Leaves to others: the form of the files (card_files.py),
the member's side (host/tessera_host/member/joining_files.py), every rule (issuer.py).
"""

from dataclasses import dataclass, field

from ..errors import InvalidInput, NotPermitted, TesseraError
from ..protocol import card_files, cards
from .issuer import Issuer


@dataclass
class Answered:
    """What a file came to: who joined, the cards for the member, and what was refused."""

    joined: list[str] = field(default_factory=list)
    cards: list[str] = field(default_factory=list)
    refusals: list[TesseraError] = field(default_factory=list)

    def text(self, issuer: Issuer) -> str:
        """The reply: the newest federation card, the answers, and the refusals as remarks."""
        remarks = [f"From IT of {issuer.name}. Type: tessera join THISFILE -o NEXT"]
        remarks += [f"Refused: {refusal}" for refusal in self.refusals]
        return card_files.write([issuer.federation_card, *self.cards], remarks)


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
    kind = cards.decode(text).kind
    if kind == "join":
        made.joined.append(issuer.join(text))
    elif kind == "member":
        raise InvalidInput("this is a member card without an invitation", "look at it first: tessera issuer admit")
    elif kind in ("tokens-request", "tokens-challenge"):
        made.cards.append(issuer.issue(text))
    else:
        raise InvalidInput(
            f"this file is not for IT: it has a card of kind '{kind}'", "the member takes it with: tessera join"
        )
