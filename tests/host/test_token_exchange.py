"""Fetching tokens card by card, with the real issuer: whatever is lost on the way, no token is."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tessera_host.errors import NotPermitted, Unreachable
from tessera_host.issuer.issuer import Issuer
from tessera_host.member import token_exchange
from tessera_host.member.state import MemberState
from tessera_host.protocol.limits import OPEN_SESSIONS_PER_KEY
from tests.support import quick_keystores
from tests.support.clock import Clock
from tests.support.organisation import Listed, Organisation, new_issuer, planned

TOKENS = 6
PLAN = planned(tokens_per_epoch=TOKENS, retention_epochs=1)


class Lossy:
    """An issuer at the end of a line that loses what the plan says: a card on its way, or its answer."""

    def __init__(self, issuer: Issuer, losses: list[str]) -> None:
        self.issuer = issuer
        self.losses = iter(itertools.chain(losses, itertools.repeat("")))

    def offer(self, card: str) -> str:
        return self._over_the_line(self.issuer.offer, card)

    def answer(self, card: str) -> str:
        return self._over_the_line(self.issuer.answer, card)

    def _over_the_line(self, call: Any, card: str) -> str:
        loss = next(self.losses)
        if loss == "card":
            raise Unreachable("the card was lost")
        answer: str = call(card)
        if loss == "answer":
            raise Unreachable("the answer was lost")
        return answer


class Office(Organisation):
    """One member on the roster."""

    def __init__(self, folder: Path) -> None:
        clock = Clock()
        super().__init__(folder, new_issuer(folder, PLAN, Listed(), clock=clock), clock)
        self.admit("ann")

    @property
    def member(self) -> MemberState:
        return self.members["ann"]


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    quick_keystores.use(monkeypatch)
    with Office(tmp_path) as made:
        yield made


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(losses=st.lists(st.sampled_from(["", "card", "answer"]), max_size=12), data=st.data())
def test_no_token_is_lost_whatever_is_lost_on_the_way(
    tmp_path_factory: pytest.TempPathFactory, losses: list[str], data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        quick_keystores.use(patch)
        office = Office(tmp_path_factory.mktemp("office"))
        line = Lossy(office.issuer, losses)
        for _ in range(len(losses) + 1):
            try:
                token_exchange.run(exchange(office), line)
                break
            except Unreachable:
                if data.draw(st.booleans()):
                    office.reopen("ann")
        office.reopen("ann")
        assert len(office.member.wallet.of(office.member.wallet.key(epoch(office), 1))) == TOKENS
        office.close()


def epoch(office: Office) -> int:
    """The last one that tokens are to be had for."""
    return office.member.epoch() + int(office.member.federation.newest.ahead)


def exchange(office: Office) -> token_exchange.TokenExchange:
    return token_exchange.exchanges(office.member)[0]


def all_tokens(office: Office) -> int:
    return TOKENS * (int(office.member.federation.newest.ahead) + 1)


def first_card(office: Office) -> str:
    card = exchange(office).card()
    assert card is not None
    return card


def test_all_is_fetched_at_once_four_of_a_key_at_a_time(office: Office) -> None:
    got = token_exchange.run(exchange(office), office.issuer)
    assert got.total() == all_tokens(office)
    assert token_exchange.run(exchange(office), office.issuer).total() == 0


def test_what_an_aborted_session_cost_is_asked_for_no_more(office: Office) -> None:
    office.issuer.offer(first_card(office))
    office.member.wallet.abandon(first_card(office))
    got = token_exchange.run(exchange(office), office.issuer)  # another request gives up what was open
    assert got.total() == all_tokens(office) - OPEN_SESSIONS_PER_KEY * (all_tokens(office) // TOKENS)


def test_cards_that_the_issuer_forgot_are_given_up(office: Office) -> None:
    challenge = office.member.wallet.challenge(office.issuer.offer(first_card(office)))
    with office.issuer._store.change():
        office.issuer._store.issuance.abort(office.member.identity.key)
    generation = office.member.federation.newest.generation
    assert office.member.wallet.unfinished(generation) == challenge
    assert token_exchange.run(exchange(office), office.issuer).total() < all_tokens(office)
    assert office.member.wallet.unfinished(generation) is None


def test_who_is_not_on_the_roster_is_told_so(office: Office) -> None:
    office.issuer.remove("ann")
    with pytest.raises(NotPermitted, match="roster"):
        token_exchange.run(exchange(office), office.issuer)
    assert office.member.wallet.unfinished(office.member.federation.newest.generation) is None
