"""Fetching tokens from the issuer, card by card, over whatever carries cards: a connection, files, one process.

Owns the order of the cards: what was begun is finished before something new is asked for, and what the issuer refuses
is given up or asked for in smaller numbers. Leaves to others: the cards (wallet.py), the carrying over the network
(issuer_visit.py) and by files (joining_files.py).

An errand may be cut at any place: every card is durable before it goes out, and shown again it gets the same answer.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from ..clock import Clock
from ..errors import NotPermitted, QuotaUsed, TryLater
from ..protocol import cards
from ..protocol.limits import OPEN_SESSIONS_PER_KEY
from .state import MemberState
from .wallet import Wallet


class TokenIssuer(Protocol):
    """What fetching tokens within one process needs of an issuer: cards in, cards out."""

    def offer(self, request: str) -> str: ...

    def answer(self, challenge: str) -> str: ...


class TokenErrand:
    """One visit to the issuer for the tokens of one epoch. Bring each `card()` to it, and its answer to `take()` or its
    refusal to `refused()`, until there is no card."""

    def __init__(
        self, wallet: Wallet, epoch: int, needed: Callable[[], Sequence[bytes]], clock: Clock, save: Callable[[], None]
    ) -> None:
        """needed() gives the relays of the tokens that are lacking."""
        self.epoch = epoch
        self.count = 0  # tokens got
        self._wallet = wallet
        self._needed = needed
        self._clock = clock
        self._save = save
        self._most = OPEN_SESSIONS_PER_KEY
        self._fresh: str | None = None
        self._over = False

    def card(self) -> str | None:
        """The next card for the issuer, durable; None if nothing more is to be had."""
        return None if self._over else self._wallet.unfinished(self.epoch) or self._request()

    def _request(self) -> str | None:
        relays = self._needed()[: self._most]
        if not relays:
            return None
        self._fresh = self._wallet.request(self.epoch, relays, self._clock())
        self._save()
        return self._fresh

    def take(self, answer: str) -> None:
        """An offer or an answer. Raises InvalidInput or IntegrityError if it does not belong here."""
        if cards.decode(answer).kind == "tokens-offer":
            self._wallet.challenge(answer)
        else:
            self.count += self._wallet.finish(answer)[1]
        self._save()

    def refused(self, card: str, refusal: NotPermitted) -> None:
        """The issuer said no to a card. Raises the refusal if nothing was got and there is nothing else to try."""
        if not isinstance(refusal, TryLater):
            self._wallet.abandon(card)
            self._save()
            if card != self._fresh:
                return  # of an earlier visit: begin anew
            asked = cards.decode(card).fields["count"]
            if isinstance(refusal, QuotaUsed) and asked > 1:
                self._most = asked - 1  # sessions that were cut off are charged all the same
                return
        if not self.count:
            raise refusal
        self._over = True


def errand(member: MemberState, epoch: int, relay: str | None = None) -> TokenErrand:
    """A visit to the issuer for the tokens of one epoch, for the relays that this member needs them for (or for the
    one that is named)."""

    def needed() -> list[bytes]:
        if relay:
            return [member.federation.relay_named(relay).key] * member.wallet.lacking(epoch)
        contacts = Counter(contact.relay for contact in member.contacts.book.values())
        return member.wallet.needed(epoch, contacts)

    return TokenErrand(member.wallet, epoch, needed, member.now, member.save)


def fetch(member: MemberState, issuer: TokenIssuer, relay: str | None = None) -> list[tuple[int, int]]:
    """All tokens that can be had now, from an issuer in this process: (epoch, number) of each epoch.

    Raises NotPermitted if there are none to be had.
    """
    wanted = member.wallet.wanted(member.epoch())
    if not wanted:
        raise NotPermitted(f"you have the tokens that can be had in epoch {member.epoch()}", "ask again in the next")
    fetched: list[tuple[int, int]] = []
    for epoch in wanted:
        try:
            fetched.append((epoch, run(errand(member, epoch, relay), issuer)))
        except NotPermitted as error:
            refusal = error
    if not fetched:
        raise refusal
    return fetched


def run(errand: TokenErrand, issuer: TokenIssuer) -> int:
    """The whole errand within one process; how many tokens it got. Raises NotPermitted if that is none."""
    while card := errand.card():
        hand_in = issuer.offer if cards.decode(card).kind == "tokens-request" else issuer.answer
        try:
            errand.take(hand_in(card))
        except NotPermitted as refusal:
            errand.refused(card, refusal)
    return errand.count
