"""A member's state: one identity on one device, its parts as views of one keystore (PROTOCOL §3, §7).

Owns which parts there are, when they are made anew, and the lock on the keystore. What each part does with its own
piece is that part's business; what is saved before what is sent is said by the modules that send.
"""

import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from tessera import curve
from tessera.errors import InvalidObject

from ..clock import Clock, unix_now
from ..errors import KeystoreError
from ..keys.keystore import Keystore, Secret
from ..protocol import blind, cards
from ..protocol.federation import CLOCK_ROUNDS, Federation, read_card
from ..protocol.identity import Identity
from ..protocol.invitation import Invitation, member_fields
from . import schema
from .accountant import Accountant
from .contacts import ContactBook
from .copies import Copies
from .evidence import Evidence
from .history import History
from .hold import Hold
from .inbox import Inbox
from .ledger import Ledger
from .outbox import Outbox
from .posted import PostedParts
from .schema import InboxState, JoiningState, MemberData
from .views import Views
from .wallet import Wallet

KIND = "member"
KEYSTORE_NAME = "member.keystore"
MAILBOX_BYTES = 16


def new_identity(name: str) -> Identity:
    """Fresh keys and a fresh mailbox."""
    secret = blind.even_secret(blind.random_scalar())
    return Identity(name, secret, curve.public(secret)[1:], secrets.token_bytes(MAILBOX_BYTES))


def parsed(data: MemberData, path: Path) -> tuple[Federation, bytes]:
    """The federation that this state is of, and its member's public key (32 bytes). Raises KeystoreError."""
    try:
        return Federation(data.federation, data.mailbox), curve.public(data.secret)[1:]
    except (InvalidObject, ValueError):
        raise KeystoreError(f"{path} holds keys that are not valid", "restore an earlier backup") from None


class MemberState:
    """An open keystore and its views. Use as a context manager, or close it: the keystore is locked meanwhile."""

    def __init__(self, store: Keystore, clock: Clock = unix_now) -> None:
        """Not for callers: use `create` or `open`."""
        self.store = store
        self._clock = clock
        self.remarks: list[str] = []  # what the person is to be told besides, in order; not kept
        self._look()

    def _look(self) -> None:
        """Make the views anew from what the keystore holds."""
        self.data = data = schema.read(self.store.data, self.store.path)
        self.federation, key = parsed(data, self.store.path)
        self.identity = Identity(data.name, data.secret, key, data.mailbox)
        self.contacts = ContactBook(data.contacts, self.identity, self.federation)
        self.wallet = Wallet(data.tokens, self.identity, self.federation)
        self.views = Views(data.sets, self.contacts.book, self.federation)
        self.copies = Copies(self.federation, self.contacts.book, self.epoch)
        self.outbox = Outbox(data.outbox, self.contacts.book, data.secret, self.views, self.copies)
        self.posted = PostedParts(data.posted, data.outbox, self.copies)
        self.evidence = Evidence(data.evidence)
        self.history = History(data.sent)
        self.hold = Hold(data.hold, self.federation)
        self.accountant = Accountant(data.departures, self.federation)
        self.ledger = Ledger(data.cells)
        self.inbox = Inbox(data.inbox, self.contacts.book, self.federation, self.views, data.mailbox)
        self.joining = data.joining

    @classmethod
    def create(
        cls,
        home: Path,
        name: str,
        federation_card: str,
        passphrase: str,
        clock: Clock = unix_now,
        invitation: Invitation | None = None,
        identity: Identity | None = None,
    ) -> Self:
        """A new identity, or one that was made before, in the directory `home`; its mailbox is on the relay that the
        invitation names, else on the first. Raises KeystoreError if there is one already, UsageError if the relay is
        gone."""
        federation = read_card(federation_card)
        view = Federation(federation)
        if invitation:
            view.choose_home(invitation.home)
        identity = identity or new_identity(name)
        # Nothing earlier can be for this member; one round back, as the relay's clock may be.
        now = view.round_at(clock())
        data = MemberData(
            name=name,
            secret=identity.secret,
            mailbox=identity.mailbox,
            federation=federation,
            inbox=InboxState(max(0, now - CLOCK_ROUNDS)),
            joining=JoiningState(invitation.id, invitation.card()) if invitation else None,
        )
        Evidence(data.evidence).accepted(view.sets)
        return cls(Keystore.create(home / KEYSTORE_NAME, passphrase, KIND, schema.write(data)), clock)

    @classmethod
    def open(cls, home: Path, secret: Secret, clock: Clock = unix_now) -> Self:
        """Open the keystore in the directory `home`. Raises WrongPassphrase or KeystoreError."""
        store = Keystore.open(home / KEYSTORE_NAME, secret, KIND)
        try:
            return cls(store, clock)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Close the keystore. Does not save."""
        self.store.close()

    def release(self) -> None:
        """Let other processes use the keystore until `reacquire`. For programs that run for long, between two steps:
        the views are stale meanwhile and are not to be used."""
        self.store.release()

    def reacquire(self) -> None:
        """Hold the keystore again and see what others changed: `self.contacts` and the like are new objects. Raises
        KeystoreError if another process has it for longer than a command takes."""
        if not self.store.is_held:
            self.store.reacquire()
            try:
                self._look()
            except BaseException:
                self.store.release()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"MemberState({self.identity.name!r}, {str(self.store.path)!r})"

    def save(self) -> None:
        """Make the present state durable. What contacts said of their settings is looked at first: whoever took a set,
        or reached a relay, saves what came of it."""
        self.views.look(self.federation.epoch_of(self.newest_round))
        self.store.data = schema.write(self.data)
        self.store.save()

    def card(self) -> str:
        """Make the member card, for IT's roster."""
        return cards.encode("member", member_fields(self.identity, self.federation.id))

    # -- time, by this computer's clock

    def now(self) -> int:
        """Unix seconds."""
        return self._clock()

    def round(self) -> int:
        """The open round."""
        return self.federation.round_at(self.now())

    def epoch(self) -> int:
        """The open epoch."""
        return self.federation.epoch_of(self.round())

    def seconds_to_next_round(self) -> float:
        """Seconds until the open round ends."""
        return max(0, self.federation.round_start(self.round() + 1) - self.now())

    def remark(self, text: str) -> None:
        """Note something to tell the person once, besides what was asked for."""
        if text not in self.remarks:
            self.remarks.append(text)

    # -- the newest round a relay has confirmed

    @property
    def newest_round(self) -> int:
        """The newest round that a relay has confirmed."""
        return self.data.newest_round

    def round_confirmed(self, open_round: int) -> None:
        """Note that a relay's open round agrees with this computer's clock. Save it with what follows from it."""
        self.data.newest_round = max(open_round, self.newest_round)
        self.hold.clock_confirmed(open_round)
