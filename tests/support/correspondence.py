"""What tests do with a member beyond its parts: post all that waits at once, fetch, ask for a status.

Posting here asks no accountant, and forgets the ledger of cells, so that all leaves in one round: it is for tests of
what is sealed, posted and read. People's messages go through the client, which keeps to both.
"""

from dataclasses import dataclass

from tessera_host.errors import Unreachable
from tessera_host.member import composing
from tessera_host.member.fetching import Fetcher, FetchReport
from tessera_host.member.relay_sessions import RelaySessions, Status
from tessera_host.member.sending import Posted, Sender
from tessera_host.member.state import MemberState


@dataclass(frozen=True)
class SendReport:
    """What one call posted: the message numbers of its text and the round of every record, in order."""

    messages: list[int]
    rounds: list[int]
    waiting: int

    @property
    def records(self) -> int:
        return len(self.rounds)


def sender(member: MemberState) -> Sender:
    return Sender(member, RelaySessions(member))


def fetcher(member: MemberState) -> Fetcher:
    return Fetcher(member, RelaySessions(member))


async def send(member: MemberState, contact: str, text: str, by: Sender | None = None) -> SendReport:
    """Post a text at once, after whatever waits for the same relay. What an error interrupts stays in the outbox."""
    messages = composing.queue(member, contact, text)
    rounds = await _post_to(member, member.copies.at().relays(contact), by or sender(member))
    return SendReport(list(messages), rounds, len(member.outbox))


async def resend(member: MemberState) -> SendReport:
    """Post what waits, at once."""
    by = sender(member)
    rounds = await _post_to(member, by.relays(), by)
    return SendReport([], rounds, len(member.outbox))


async def _post_to(member: MemberState, relays: list[int], by: Sender) -> list[int]:
    """One that is away holds up none of the others. Raises what it said then."""
    rounds, errors = [], []
    for relay in relays:
        try:
            rounds += await _post_all(member, relay, by)
        except Unreachable as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return rounds


async def _post_all(member: MemberState, relay: int, by: Sender) -> list[int]:
    rounds = []
    member.data.cells.clear()
    while attempt := await by.post_one(member.federation.relay_with_id(relay)):
        member.data.cells.clear()
        if isinstance(attempt, Posted):
            rounds.append(attempt.round)
    return rounds


async def fetch(member: MemberState) -> FetchReport:
    return await fetcher(member).fetch()


async def status(member: MemberState) -> Status:
    return await RelaySessions(member).status()
