"""A visit of a member to the issuer's service: the newest federation card, and the tokens that can be had.

Owns what is done on one connection and what is told of it. Leaves to others: the order of a member's joining
(joining.py), when to come again (renewal.py), the cards (token_exchange.py).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ..clock import local_time
from ..errors import NotOnRoster, NotPermitted, TryLater, Unreachable, UsageError
from ..protocol.federation import IssuerService
from ..protocol.issuer_connection import IssuerConnection
from . import token_exchange
from .state import MemberState

TIMEOUT_SECONDS = 30.0
VISIT_SECONDS = 120.0  # all of it: 17 requests for 64 relays, and the curve's work for them


@dataclass
class VisitReport:
    """Tokens got by epoch, the reasons why there are none for an epoch, and whether the federation card was new."""

    tokens: list[tuple[int, int]] = field(default_factory=list)
    refusals: list[tuple[int, NotPermitted]] = field(default_factory=list)
    news: bool = False

    @property
    def later(self) -> TryLater | None:
        """If the issuer asks to come back soon."""
        return next((refusal for _, refusal in self.refusals if isinstance(refusal, TryLater)), None)


def service_of(member: MemberState) -> IssuerService:
    """Raises UsageError if the office's issuer is on no network."""
    service = member.federation.issuer
    if service is None:
        raise UsageError(
            "your office's issuer is on no network", "make a file for IT instead: tessera token renew -o FILE"
        )
    return service


@asynccontextmanager
async def connected(
    service: IssuerService, access_key: bytes, seconds: float = VISIT_SECONDS
) -> AsyncIterator[IssuerConnection]:
    """A connection for one visit, which is over after so many seconds whatever the service sends. Raises Unreachable or
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
    """Fetch what is new and what is lacking. Raises NotOnRoster, Unreachable, IntegrityError; what an issuer refuses
    for an epoch is in the report."""
    async with connected(service_of(member), member.federation.newest.access_key) as connection:
        return await visit_on(member, connection)


async def visit_on(member: MemberState, connection: IssuerConnection) -> VisitReport:
    report = VisitReport()
    report.news = member.federation.refresh(await connection.federation())
    member.save()
    for epoch in _wanted(member, report):
        try:
            count = await _fetch_epoch(member, connection, epoch)
        except NotOnRoster as refusal:
            raise _off_the_roster(member) from refusal
        except NotPermitted as refusal:
            report.refusals.append((epoch, refusal))
        else:
            report.tokens.append((epoch, count))
    return report


def _wanted(member: MemberState, report: VisitReport) -> list[int]:
    epoch = member.epoch()
    try:
        return member.wallet.wanted(epoch)
    except NotPermitted as refusal:  # the key schedule is over
        report.refusals.append((epoch + 1, refusal))
        return []


async def _fetch_epoch(member: MemberState, connection: IssuerConnection, epoch: int) -> int:
    errand = token_exchange.errand(member, epoch)
    while card := errand.card():
        try:
            errand.take(await connection.issue(card))
        except NotPermitted as refusal:
            errand.refused(card, refusal)
    return errand.count


def _off_the_roster(member: MemberState) -> NotOnRoster:
    end = access_until(member)
    left = f"what you hold lets you send and read until {local_time(end)}" if end else "you can neither send nor read"
    return NotOnRoster(
        "IT has taken you off the list of members: there are no new tokens for you",
        f"{left}; if this is a mistake, ask IT for a new invitation",
    )


def talk_from(member: MemberState) -> int | None:
    """The second from which the tokens that are there let this member talk, perhaps past; None if there are none."""
    epochs = _epochs_to_come(member)
    return _start(member, min(epochs)) if epochs else None


def access_until(member: MemberState) -> int | None:
    """The second at which the last epoch ends that there are tokens for; None if that is over."""
    epochs = _epochs_to_come(member)
    return _start(member, max(epochs) + 1) if epochs else None


def _epochs_to_come(member: MemberState) -> list[int]:
    now = member.epoch()
    return [epoch for epoch in member.wallet.epochs(member.federation.home.key) if epoch >= now]


def _start(member: MemberState, epoch: int) -> int:
    return member.federation.round_start(member.federation.first_round(epoch))
