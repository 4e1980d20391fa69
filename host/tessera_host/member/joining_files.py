"""Joining and renewing by files, for offices whose issuer is on no network: the member's side.

Owns which cards the next file for IT has: the join card until the issuer has admitted the member, and for the tokens
the card that is next. Leaves to others: the form of the files (card_files.py), what IT does with them, the same over
the network (joining.py), what is accepted (news.py).

IT's file has the federation card, the sets that relays may go by besides, the reading keys sealed to this member, and
offers of tokens, asked for or not; the challenges go back, the answers come. So who renews needs one file each way, and
the last one in.
"""

from dataclasses import dataclass, field

from ..errors import InvalidInput
from ..protocol import card_files, cards
from ..protocol.limits import OPEN_SESSIONS_PER_KEY
from ..protocol.sets_beside import SetsBeside
from . import joining, news, token_exchange
from .state import MemberState

REQUEST_SECONDS = 12 * 3600  # a request that waited longer is made anew: the issuer wants them fresh

# First who the office is, then its keys, then what is made with them.
_ORDER = ("federation", "sets", "reading", "tokens-offer", "tokens-answer")


@dataclass
class FileStep:
    """What one file from IT brought, and the cards for the next file to IT; none if nothing is left to ask for.
    `all_given`: IT offered no more of what is lacking."""

    cards: list[str] = field(default_factory=list)
    tokens: list[tuple[int, int]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    all_given: bool = False

    def text(self, member: MemberState) -> str:
        """Write the file for IT."""
        me, office = member.identity.name, member.federation.name
        return card_files.write(
            self.cards, [f"From {me} to IT of {office}. IT types: tessera issuer answer DIR THISFILE -o REPLY"]
        )


def step(member: MemberState, answer: str | None = None) -> FileStep:
    """Take a file from IT, if there is one, and make the next one. Taking the same file again does no harm. Raises
    InvalidInput for a file that has nothing for this member."""
    made = FileStep()
    if answer is not None:
        _take(member, answer, made)
    invitation = joining.pending(member)
    if invitation:
        made.cards.append(invitation.join_card(member.identity))
    more = member.federation.newest.tokens_per_epoch > OPEN_SESSIONS_PER_KEY
    made.cards += _next_cards(member, ask=not made.all_given and (more or not made.tokens))
    member.save()
    return made


def _take(member: MemberState, answer: str, made: FileStep) -> None:
    found, made.remarks = card_files.read(answer)
    by_kind = sorted(((cards.decode(text), text) for text in found), key=lambda each: _place(each[0].kind))
    known = [_take_card(member, card, text, made) for card, text in by_kind]
    member.save()
    if not any(known):
        raise InvalidInput("there is nothing from IT in this file", "look for the file that IT gave back")


def _place(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _take_card(member: MemberState, card: cards.Card, text: str, made: FileStep) -> bool:
    """Whether it is one of IT's answers, be it taken before."""
    if card.kind == "federation":
        news.take_card(member, text)
    elif card.kind == "sets":
        news.take_sets(member, SetsBeside.read(text))
    elif card.kind == "reading":
        news.take_reading_card(member, text)
        joining.admitted(member)
    elif card.kind not in _ORDER:
        return False
    elif member.wallet.expects(card):
        joining.admitted(member)
        if card.kind == "tokens-offer":
            made.all_given = member.wallet.challenge(text) is None
        else:
            made.tokens += member.wallet.finish(text, member.epoch())
    return True


def _next_cards(member: MemberState, ask: bool) -> list[str]:
    """What is open is finished first; otherwise new tokens are asked for, if some are lacking: a file goes through
    people's hands."""
    return [card for exchange in token_exchange.exchanges(member) if (card := _next_card(member, exchange, ask))]


def _next_card(member: MemberState, exchange: token_exchange.TokenExchange, ask: bool) -> str | None:
    unfinished = member.wallet.unfinished(exchange.generation)
    if unfinished:
        made = cards.decode(unfinished).fields.get("time")
        if made is not None and abs(member.now() - made) > REQUEST_SECONDS:
            member.wallet.abandon(unfinished)
            unfinished = None
    if unfinished:
        return unfinished
    return exchange.card() if ask and member.wallet.lacking(member.epoch()) else None
