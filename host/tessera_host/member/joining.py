"""How a member comes to belong (PROTOCOL §12, §15): from an invitation to tokens, over the network.

Owns the order of the steps and what of the invitation is kept: all of it until the issuer has admitted the member, then
only its number. Whatever is interrupted, the same command goes on: the identity is kept. Leaves to others: the visit to
the issuer (issuer_visit.py), the same by files (joining_files.py).
"""

from pathlib import Path

from ..clock import Clock, local_time, unix_now
from ..errors import NotPermitted, UsageError
from ..protocol.federation import Federation, read_card
from ..protocol.invitation import Invitation
from .issuer_visit import VisitReport, connected, service_of, visit_on
from .state import KEYSTORE_NAME, MemberState


def has_identity(home: Path) -> bool:
    return (home / KEYSTORE_NAME).exists()


async def federation_card(invitation: Invitation, now: int) -> str:
    """The office's card: fetched, or out of the invitation; it is the one that IT meant. Raises NotPermitted for an
    invitation that has expired, Unreachable, IntegrityError."""
    if invitation.until < now:
        raise NotPermitted(f"this invitation has expired on {local_time(invitation.until)}", "ask IT for a new one")
    card = invitation.federation_card
    if invitation.service is not None:
        async with connected(invitation.service, invitation.access) as connection:
            card = await connection.federation()
    if card is None:
        raise UsageError("this invitation says neither where the issuer is nor who it is", "ask IT for a new one")
    invitation.check(Federation(read_card(card)))
    return card


def begin(home: Path, invitation: Invitation, card: str, passphrase: str, clock: Clock = unix_now) -> MemberState:
    """Make the identity. Raises KeystoreError if there is one already."""
    return MemberState.create(home, invitation.name, card, passphrase, clock, invitation)


def check_same(member: MemberState, invitation: Invitation) -> None:
    """Raises UsageError if the identity that is there did not begin with this invitation."""
    if member.joining is None or member.joining.invitation != invitation.id:
        raise UsageError(
            f"there is another identity here already: {member.identity.name} at {member.federation.name}",
            "name another directory with --home; one identity is one person on one computer",
        )


def pending(member: MemberState) -> Invitation | None:
    """The invitation that this member was not admitted for yet."""
    joining = member.joining
    return Invitation.read(joining.card) if joining and joining.card else None


def admitted(member: MemberState) -> None:
    """The issuer has this member on its roster: the invitation's secret is of no more use."""
    if member.joining and member.joining.card:
        member.joining.card = None
        member.save()


async def join(member: MemberState) -> VisitReport:
    """Be admitted, if that has not happened, and fetch the tokens that can be had. Raises NotPermitted, Unreachable."""
    invitation = pending(member)
    service = (invitation and invitation.service) or service_of(member)
    async with connected(service, member.federation.newest.access_key) as connection:
        if invitation:
            await connection.join(invitation.join_card(member.identity))
            admitted(member)
        return await visit_on(member, connection)
