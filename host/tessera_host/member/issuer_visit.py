"""A visit of a member to the issuer's service: what the office says by now, and the tokens that can be had.

Owns what is done on one connection and what is told of it. Leaves to others: the order of a member's joining
(joining.py), when to come again (renewal.py), the cards (token_exchange.py), what is accepted (news.py).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ..clock import local_time
from ..errors import ClockOff, NotOnRoster, NotPermitted, OutOfDate, TryLater, Unreachable, UsageError
from ..protocol.federation import IssuerService
from ..protocol.issuer_connection import IssuerConnection
from ..protocol.welcome import Welcome
from . import news, token_exchange
from .state import MemberState
from .token_exchange import TokenExchange

TIMEOUT_SECONDS = 30.0
VISIT_SECONDS = 120.0  # all of it: tokens for 64 relays and the epochs ahead, and the curve's work for them


@dataclass
class VisitReport:
    """What a visit brought: tokens by epoch, the reasons why some were refused, whether the federation card was new,
    and what there is to say about this computer's clock."""

    tokens: list[tuple[int, int]] = field(default_factory=list)
    refusals: list[NotPermitted] = field(default_factory=list)
    news: bool = False
    clock: ClockOff | None = None

    @property
    def later(self) -> TryLater | None:
        """The refusal that asks to come back soon, if there is one."""
        return next((refusal for refusal in self.refusals if isinstance(refusal, TryLater)), None)


def service_of(member: MemberState) -> IssuerService:
    """Find the issuer's service of a member. Raises UsageError if the office's issuer is not on a network."""
    service = member.federation.issuer
    if service is None:
        raise UsageError(
            "your office's issuer is not on a network",
            "type tessera renew FILE with the file from IT, or ask IT for one",
        )
    return service


@asynccontextmanager
async def connected(
    service: IssuerService, access_key: bytes, seconds: float = VISIT_SECONDS
) -> AsyncIterator[IssuerConnection]:
    """Open a connection for one visit, which ends after `seconds` whatever the service sends. Raises Unreachable or
    IntegrityError."""
    try:
        async with asyncio.timeout(seconds):
            opening = IssuerConnection.open(service.host, service.port, service.key, access_key, TIMEOUT_SECONDS)
            async with await opening as connection:
                yield connection
    except TimeoutError:
        raise Unreachable(
            f"the issuer's service did not finish within {seconds:.0f} s", "try again later; if it recurs, tell IT"
        ) from None


async def visit(member: MemberState) -> VisitReport:
    """Fetch new settings and the tokens that can be had. Raises NotOnRoster, Unreachable, IntegrityError; other
    refusals are in the report."""
    async with connected(service_of(member), member.federation.newest.access_key) as connection:
        asked = member.now()
        try:
            welcome = await connection.hello(member.identity, member.federation.id)
        except NotOnRoster as refusal:
            raise _off_the_roster(member) from refusal
        return await go_on(member, connection, welcome, asked)


async def go_on(member: MemberState, connection: IssuerConnection, welcome: Welcome, asked: int) -> VisitReport:
    """Do the rest of a visit on the member's connection: take what the office says, which was asked for at `asked`
    (unix seconds), and fetch tokens."""
    report = VisitReport(news=news.take_welcome(member, welcome), clock=news.clock_apart(member, asked))
    member.save()
    got: Counter[int] = Counter()
    for exchange in token_exchange.exchanges(member):
        try:
            got += await _run(exchange, connection)
        except NotOnRoster as refusal:
            raise _off_the_roster(member) from refusal
        except (NotPermitted, OutOfDate) as refusal:
            report.refusals.append(refusal)
    report.tokens = sorted(got.items())
    return report


async def _run(exchange: TokenExchange, connection: IssuerConnection) -> Counter[int]:
    while card := exchange.card():
        try:
            exchange.take(await connection.issue(card))
        except NotPermitted as refusal:
            exchange.refused(card, refusal)
    return exchange.got


def _off_the_roster(member: MemberState) -> NotOnRoster:
    end = access_until(member)
    left = f"you can write until {local_time(end)} at most" if end else "you can no longer write"
    return NotOnRoster(
        "IT has taken you off the list of members, so you get no new access",
        f"{left}; if this is a mistake, ask IT for a new invitation",
    )


def talk_from(member: MemberState) -> int | None:
    """Compute the unix time from which the member's tokens let it write, perhaps past; None without tokens."""
    epochs = _epochs_to_come(member)
    return _start(member, min(epochs)) if epochs else None


def access_until(member: MemberState) -> int | None:
    """Compute the unix time at which the last epoch with tokens ends; None if it is over."""
    epochs = _epochs_to_come(member)
    return _start(member, max(epochs) + 1) if epochs else None


def _epochs_to_come(member: MemberState) -> list[int]:
    now = member.epoch()
    return [epoch for epoch in member.wallet.epochs(member.federation.home.id) if epoch >= now]


def _start(member: MemberState, epoch: int) -> int:
    return member.federation.round_start(member.federation.first_round(epoch))
