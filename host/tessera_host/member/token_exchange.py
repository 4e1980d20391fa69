"""Fetching tokens from the issuer, card by card, over whatever carries cards: a connection, files, one process.

Owns the order of the cards: what was begun is finished before something new is asked for, and what the issuer does not
answer any more is given up. Leaves to others: the cards themselves (the member's wallet), the carrying over the network
(issuer_visit.py) and by files (joining_files.py).

An exchange may be cut at any place: every card is durable before it goes out, and shown again it gets the same answer.
What is asked for is the same whatever the wallet holds.
"""

from collections import Counter
from typing import Protocol

from ..errors import NotPermitted, TryLater
from ..protocol import cards
from ..protocol.limits import OPEN_SESSIONS_PER_KEY
from ..protocol.welcome import Welcome
from . import news
from .state import MemberState


class TokenIssuer(Protocol):
    """What fetching tokens within one process needs of an issuer: what it says to members, and cards in, cards out."""

    def welcome(self, member: bytes) -> Welcome: ...

    def offer(self, request: str) -> str: ...

    def answer(self, challenge: str) -> str: ...


class TokenExchange:
    """The exchange of cards that fetches the tokens of one generation. Bring each `card()` to the issuer, and give its
    answer to `take()` or its refusal to `refused()`, until there is no card."""

    def __init__(self, member: MemberState, generation: int) -> None:
        self.got: Counter[int] = Counter()  # tokens by epoch
        self._member = member
        self.generation = generation
        self._fresh: str | None = None
        self._asked = 0  # requests
        self._all_offered = False
        self._over = False

    def card(self) -> str | None:
        """Make the next card for the issuer, durably; None if nothing more can be had."""
        if self._over:
            return None
        member = self._member
        unfinished = member.wallet.unfinished(self.generation)
        if unfinished or self._all_offered:
            return unfinished
        self._asked += 1
        self._fresh = member.wallet.request(self.generation, member.epoch(), member.now())
        member.save()
        return self._fresh

    def take(self, answer: str) -> None:
        """Take an offer or an answer. Raises InvalidInput or IntegrityError if it does not belong here."""
        wallet, card = self._member.wallet, cards.decode(answer)
        if card.kind == "tokens-offer":
            wallet.challenge(answer)
            self._all_offered = self._fresh is not None and not self._is_more_to_come(card)
        else:
            self.got.update(dict(wallet.finish(answer, self._member.epoch())))
        self._member.save()

    def _is_more_to_come(self, offer: cards.Card) -> bool:
        """An epoch key has so many sessions at a time: where all were offered there may be more, up to what the set
        says."""
        offered = Counter((epoch, relay) for epoch, relay, *_ in offer.fields["offers"])
        most = -(-self._member.federation.newest.tokens_per_epoch // OPEN_SESSIONS_PER_KEY)
        return max(offered.values(), default=0) == OPEN_SESSIONS_PER_KEY and self._asked < most

    def refused(self, card: str, refusal: NotPermitted) -> None:
        """Take the issuer's refusal of a card. Raises it if no token was got and there is nothing else to try."""
        if not isinstance(refusal, TryLater):
            self._member.wallet.abandon(card)
            self._member.save()
            if self._fresh is None:
                return  # of an earlier visit: begin anew
        if not self.got:
            raise refusal
        self._over = True


def exchanges(member: MemberState) -> list[TokenExchange]:
    """List the exchanges of a visit to the issuer: one for each generation that has tokens."""
    return [TokenExchange(member, generation) for generation in member.wallet.generations(member.epoch())]


def fetch(member: MemberState, issuer: TokenIssuer) -> list[tuple[int, int]]:
    """Fetch all tokens that can be had now, from an issuer in this process, and return (epoch, number of tokens) of
    each epoch. Raises NotPermitted if the issuer refuses."""
    news.take_welcome(member, issuer.welcome(member.identity.key))
    member.save()
    got: Counter[int] = Counter()
    for exchange in exchanges(member):
        got += run(exchange, issuer)
    return sorted(got.items())


def run(exchange: TokenExchange, issuer: TokenIssuer) -> Counter[int]:
    """Make the whole exchange within one process, and count the tokens by epoch. Raises NotPermitted if the issuer
    refused all."""
    while card := exchange.card():
        hand_in = issuer.offer if cards.decode(card).kind == "tokens-request" else issuer.answer
        try:
            exchange.take(hand_in(card))
        except NotPermitted as refusal:
            exchange.refused(card, refusal)
    return exchange.got
