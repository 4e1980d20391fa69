"""How a member comes to belong (PROTOCOL §12, §15): from an invitation to tokens, over the network.

Owns the order of the steps and what of the invitation is kept: all of it until the issuer has admitted the member, then
only its number. Keys come first, on the disk, because the office introduces itself only to somebody who has shown them:
after an interruption the same command goes on with the same keys. Leaves to others: the rest of the visit
(issuer_visit.py), the same by files (joining_files.py).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from tessera import curve

from .. import typed
from ..clock import Clock, local_time, unix_now
from ..errors import InvalidInput, KeystoreError, NotPermitted, TryLater, UsageError
from ..keys.keystore import Keystore
from ..protocol.federation import Federation, read_card
from ..protocol.identity import Identity
from ..protocol.invitation import Invitation
from .issuer_visit import VisitReport, connected, go_on
from .renewal import Renewal
from .schema import Bytes16, Bytes32
from .state import KEYSTORE_NAME, MemberState, new_identity

_BEGUN_NAME = "joining-{}.keystore"  # of each invitation: one that came to nothing is in no other's way
BEGUN_KIND = "joining"


@dataclass(repr=False)
class BegunData:
    """What is kept of somebody who has keys and does not know the office yet."""

    secret: Bytes32
    mailbox: Bytes16
    invitation: str


def has_identity(home: Path) -> bool:
    """Tell whether a member's keystore is in this directory."""
    return (home / KEYSTORE_NAME).exists()


def has_begun(home: Path, invitation: Invitation) -> bool:
    """Tell whether keys were made here for this invitation and the issuer has not answered yet."""
    return _begun_path(home, invitation).exists()


def _begun_path(home: Path, invitation: Invitation) -> Path:
    return home / _BEGUN_NAME.format(invitation.id.hex())


def _forget_begun(home: Path) -> None:
    """Whoever is a member joins with no other invitation."""
    for path in home.glob(_BEGUN_NAME.format("*")):
        path.unlink(missing_ok=True)


class Begun:
    """Somebody with keys and an invitation. Use it as a context manager, or close it."""

    def __init__(self, home: Path, store: Keystore, passphrase: str, clock: Clock) -> None:
        """Not for callers: use `begin`. Raises KeystoreError for what no version wrote."""
        self._home = home
        self._store = store
        self._passphrase = passphrase
        self._clock = clock
        try:
            data = typed.load(BegunData, store.data)
            self.invitation = Invitation.read(data.invitation)
            key = curve.public(data.secret)[1:]
        except (typed.Mismatch, InvalidInput, ValueError):
            raise KeystoreError(f"{store.path} holds what no version of tessera wrote", "remove it") from None
        self.identity = Identity(self.invitation.name, data.secret, key, data.mailbox)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    async def enter(self) -> tuple[MemberState, VisitReport]:
        """Be admitted, learn about the office, and fetch the tokens that can be had: the keys that `begin` made become
        a member's keystore. Raises NotPermitted, Unreachable, IntegrityError."""
        invitation = self.invitation
        service = invitation.service
        assert service is not None, "this invitation is for joining by files"
        async with connected(service, invitation.access) as connection:
            card = invitation.join_card(self.identity)
            asked = self._clock()
            try:
                welcome = await connection.join(card, self.identity, invitation.federation)
            except NotPermitted as refusal:
                if not isinstance(refusal, TryLater):
                    self.forget()  # these keys will never be a member's
                raise
            member = self._member(welcome.card)
            try:
                report = await go_on(member, connection, welcome, asked)
                Renewal(member).answered()
            except BaseException:
                member.close()
                raise
            return member, report

    def _member(self, card: str) -> MemberState:
        federation, invitation = Federation(read_card(card)), self.invitation
        invitation.check(federation)
        home = invitation.home
        if all(relay.name != home for relay in federation.relays):
            invitation = replace(invitation, home=federation.relays[0].name)
        name, clock = self.identity.name, self._clock
        member = MemberState.create(self._home, name, card, self._passphrase, clock, invitation, self.identity)
        admitted(member)
        _forget_begun(self._home)
        if invitation.home != home:
            member.remark(
                f"The relay {home} that your invitation names was removed: your mailbox is on {invitation.home}."
            )
        return member

    def forget(self) -> None:
        """Erase these keys."""
        self._store.path.unlink(missing_ok=True)


def begin(home: Path, invitation: Invitation, passphrase: str, clock: Clock = unix_now) -> Begun:
    """Make keys for an invitation over the network, or continue with those that were made for it. Raises NotPermitted
    if the invitation has expired."""
    _check_time(invitation, clock())
    path = _begun_path(home, invitation)
    if path.exists():
        store = Keystore.open(path, passphrase, BEGUN_KIND)
    else:
        identity = new_identity(invitation.name)
        data = BegunData(identity.secret, identity.mailbox, invitation.card())
        store = Keystore.create(path, passphrase, BEGUN_KIND, typed.dump(data))
    try:
        return Begun(home, store, passphrase, clock)
    except BaseException:
        store.close()
        raise


def begin_by_files(home: Path, invitation: Invitation, passphrase: str, clock: Clock = unix_now) -> MemberState:
    """Make the identity for an invitation that contains the federation card. Raises KeystoreError if there is an
    identity already."""
    _check_time(invitation, clock())
    card = invitation.federation_card
    if card is None:
        raise UsageError(
            "this invitation is incomplete: it has neither the issuer's address nor a federation card",
            "ask IT for a new one",
        )
    federation = Federation(read_card(card))
    invitation.check(federation)
    if all(relay.name != invitation.home for relay in federation.relays):
        raise InvalidInput(
            f"the relay '{invitation.home}' of this invitation is no longer in service",
            "ask IT for a new invitation",
        )
    return MemberState.create(home, invitation.name, card, passphrase, clock, invitation)


def _check_time(invitation: Invitation, now: int) -> None:
    if invitation.until < now:
        raise NotPermitted(f"this invitation expired on {local_time(invitation.until)}", "ask IT for a new one")


def check_same(member: MemberState, invitation: Invitation) -> None:
    """Check that the identity in this directory began with this invitation. Raises UsageError."""
    if member.joining is None or member.joining.invitation != invitation.id:
        hint = "name another directory with --home; one identity is one person on one computer"
        if pending(member):
            hint = f"IT has not admitted it yet; to give it up and begin anew, remove {member.store.path}"
        raise UsageError(
            f"there is already another identity here: {member.identity.name} at {member.federation.name}", hint
        )
    _forget_begun(member.store.path.parent)  # of a joining that was cut at its end


def pending(member: MemberState) -> Invitation | None:
    """Return the invitation for which this member was not admitted yet."""
    joining = member.joining
    return Invitation.read(joining.card) if joining and joining.card else None


def admitted(member: MemberState) -> None:
    """Note that the issuer has this member on its roster, and erase the invitation's secret."""
    if member.joining and member.joining.card:
        member.joining.card = None
        member.save()
