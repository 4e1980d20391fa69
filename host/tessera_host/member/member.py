"""A member: one identity on one device, its state in one keystore, and its dealings with relays (PROTOCOL §3, §7).

Owns the order of things: what is saved before what is sent, which relay is believed, which token a connection uses.
The parts of the state have their own modules: `federation`, `contacts`, `tokens`, `outbox`, `inbox`.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tessera import curve
from tessera.release import Release
from tessera.staging import ACTIVATED, STAGED

from ..clock import Clock, unix_now
from ..errors import IntegrityError, NotPermitted, RelayRefused, UsageError
from ..keys.keystore import Keystore, Secret
from ..protocol import blind, cards, relay_connection, staging
from ..protocol.federation import CLOCK_ROUNDS, Federation, Relay, read_card
from ..protocol.identity import Identity
from ..protocol.invitation import Invitation, member_fields
from ..protocol.limits import OPEN_SESSIONS_PER_KEY
from ..protocol.relay_connection import Info, Refusal, RelayConnection, ResumptionRefused
from . import backup
from .accountant import Accountant, Budget
from .backup import Hold
from .contacts import ContactBook
from .fetching import Fetcher, FetchReport, Progress
from .history import History, Sent
from .inbox import Inbox
from .outbox import Outbox
from .sending import Sender
from .token_exchange import TokenErrand, TokenIssuer
from .token_exchange import run as run_errand
from .wallet import Token, Wallet

KIND = "member"
KEYSTORE_NAME = "member.keystore"
MAILBOX_BYTES = 16

# (epoch, relay's static key) → the token to use; raises NotPermitted if there is none.
TokenChoice = Callable[[int, bytes], Token]


@dataclass(frozen=True)
class SendReport:
    """What one call posted: the message numbers of its text and the round of every record, in order."""

    messages: list[int]
    rounds: list[int]
    waiting: int

    @property
    def records(self) -> int:
        return len(self.rounds)


@dataclass(frozen=True)
class Status:
    """A relay as this member sees it. `rounds_apart` is the relay's open round less this computer's."""

    relay: str
    info: Info
    own_round: int
    rounds_apart: int
    epoch: int


@dataclass(frozen=True)
class Session:
    """An admitted connection: the token it runs on, what the relay said of itself when it began."""

    connection: RelayConnection
    token: Token
    info: Info


class Member:
    """An open member. Use as a context manager, or close it: the keystore is locked meanwhile."""

    def __init__(self, store: Keystore, clock: Clock = unix_now) -> None:
        """Not for callers: use `create` or `open`."""
        self._store = store
        self._clock = clock
        self.sender = Sender(self)
        self.fetcher = Fetcher(self)
        self._look()

    def _look(self) -> None:
        """Make the parts of the state anew from what the keystore holds."""
        data = self._store.data
        secret = data["secret"]
        self.identity = Identity(data["name"], secret, curve.public(secret)[1:], data["mailbox"])
        self.federation = Federation(data["federation"])
        self.contacts = ContactBook(data["contacts"], self.identity, self.federation)
        self.wallet = Wallet(data["wallet"], self.identity, self.federation)
        self.outbox = Outbox(data["outbox"], self.contacts.book, secret)
        self.history = History(data.setdefault("sent", []))
        self.hold = Hold(data.setdefault("hold", {}), self.federation)
        self.accountant = Accountant(data.setdefault("posts", []), self.federation)
        self.inbox = Inbox(data["inbox"], self.contacts.book, self.federation)
        self.joining: dict[str, Any] = data.setdefault("joining", {})  # joining.py's

    @classmethod
    def create(
        cls,
        home: Path,
        name: str,
        federation_card: str,
        passphrase: str,
        clock: Clock = unix_now,
        invitation: Invitation | None = None,
    ) -> Self:
        """A new identity in the directory `home`; its mailbox is on the relay that the invitation names, else on the
        first. Raises KeystoreError if there is one already, UsageError if the relay is gone."""
        federation = read_card(federation_card)
        if invitation:
            Federation(federation).live_at(invitation.home)
        # Nothing earlier can be for this member; one round back, as the relay's clock may be.
        now = Federation(federation).round_at(clock())
        data = {
            "name": name,
            "secret": blind.even_secret(blind.random_scalar()),
            "mailbox": secrets.token_bytes(MAILBOX_BYTES),
            "federation": federation,
            "newest_round": 0,
            "contacts": {"book": {}, "invites": {}, "answers": {}},
            "wallet": {"tokens": [], "requests": {}, "sessions": {}},
            "outbox": [],
            "inbox": {"next_round": max(0, now - CLOCK_ROUNDS), "messages": []},
            "joining": {"invitation": invitation.id, "card": invitation.card()} if invitation else {},
        }
        return cls(Keystore.create(home / KEYSTORE_NAME, passphrase, KIND, data), clock)

    @classmethod
    def open(cls, home: Path, secret: Secret, clock: Clock = unix_now) -> Self:
        """Raises WrongPassphrase or KeystoreError."""
        return cls(Keystore.open(home / KEYSTORE_NAME, secret, KIND), clock)

    def close(self) -> None:
        self._store.close()

    def release(self) -> None:
        """Let other processes use the keystore until `reacquire`. For programs that run for long, between two steps:
        contacts, outbox and all other parts of this member are stale meanwhile and are not to be used."""
        self._store.release()

    def reacquire(self) -> None:
        """Hold the keystore again and see what others changed: `self.contacts` and the like are new objects. Raises
        KeystoreError if another process has it for longer than a command takes."""
        if not self._store.is_held:
            self._store.reacquire()
            self._look()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Member({self.identity.name!r}, {str(self._store.path)!r})"

    def save(self) -> None:
        """Make the present state durable."""
        self._store.save()

    # -- time

    def now(self) -> int:
        """Unix seconds by this computer's clock."""
        return self._clock()

    def round(self) -> int:
        """The round of this computer's clock."""
        return self.federation.round_at(self.now())

    def epoch(self) -> int:
        return self.federation.epoch_of(self.round())

    def seconds_to_next_round(self) -> float:
        """By this computer's clock."""
        return max(0, self.federation.round_start(self.round() + 1) - self.now())

    # -- cards

    def card(self) -> str:
        """The member card, for IT's roster."""
        return cards.encode("member", member_fields(self.identity, self.federation.id))

    def invite(self, name: str, rekey: bool = False) -> str:
        """The invite card for someone to be called `name`. The first of three messages."""
        card = self.contacts.invite(name, self.epoch(), rekey)
        self.save()
        return card

    def answer(self, invite_card: str, name: str | None = None, rekey: bool = False) -> str:
        """The answer card to an invite. The second of three messages."""
        _, card = self.contacts.answer(invite_card, name, self.epoch(), self.round(), rekey)
        self.save()
        return card

    def confirm(self, answer_card: str) -> str:
        """The confirm card to an answer: the third message. The inviter has a new contact."""
        return self.confirm_named(answer_card)[1]

    def confirm_named(self, answer_card: str) -> tuple[str, str]:
        """(name of the new contact, confirm card)."""
        named = self.contacts.confirm(answer_card)
        self.save()
        return named

    def accept(self, confirm_card: str) -> str:
        """Take the third message: the answerer has a new contact, whose name this gives."""
        name, round_ = self.contacts.accept(confirm_card)
        self.inbox.go_back_to(round_ - CLOCK_ROUNDS)
        self.save()
        return name

    def words(self, name: str) -> list[str]:
        """The six words that must be the same on both sides."""
        return list(self.contacts.get(name)["words"])

    def verify(self, name: str) -> None:
        """The words were compared and are the same."""
        self.contacts.verify(name)
        self.save()

    def remove_contact(self, name: str) -> None:
        """Forget a contact, its keys and what waits for it."""
        self.contacts.remove(name)
        self.outbox.drop(name)
        self.history.drop(name)
        self.save()

    def abandon_meeting(self, name: str) -> None:
        """Forget the meeting under way with this name; a contact of this name stays."""
        if not self.contacts.abandon(name):
            raise UsageError(f"no meeting with '{name}' is under way", "see 'tessera contact list'")
        self.save()

    def rename_contact(self, name: str, new: str) -> None:
        """Call a contact otherwise, in everything that is kept."""
        self.contacts.rename(name, new)
        self.outbox.rename(name, new)
        self.inbox.rename(name, new)
        self.history.rename(name, new)
        self.save()

    def block_contact(self, name: str, blocked: bool = True) -> None:
        """Pass over what a contact sends and let what is for it wait, or listen to it again."""
        self.contacts.block(name, blocked)
        self.save()

    # -- backups

    def back_up(self, path: Path, passphrase: str | None = None) -> None:
        """A file with all of this member, under another passphrase or this keystore's own."""
        backup.write(self._store, path, passphrase, self.now())

    @classmethod
    def restore(
        cls, path: Path, passphrase: str, home: Path, new_passphrase: str | None = None, clock: Clock = unix_now
    ) -> backup.Restored:
        """Make the directory `home` out of a backup."""
        return backup.restore(path, passphrase, home / KEYSTORE_NAME, KIND, new_passphrase, clock)

    # -- tokens

    def token_epochs(self) -> list[int]:
        """The epochs to ask tokens for now. Raises NotPermitted if there is no reason to ask."""
        wanted = self.wallet.wanted(self.epoch())
        if not wanted:
            raise NotPermitted(f"you have the tokens that can be had in epoch {self.epoch()}", "ask again in the next")
        return wanted

    def request_tokens(self, epoch: int | None = None, relay: str | None = None, count: int | None = None) -> str:
        """The request card for tokens of one epoch, by default as many as one request may ask for, of the first epoch
        that is wanted."""
        wanted = self.token_epochs()
        if epoch is not None and epoch not in wanted:
            raise NotPermitted(f"there is no asking for tokens of epoch {epoch} now", f"wanted: {wanted}")
        asked = wanted[0] if epoch is None else epoch
        card = self.wallet.request(asked, self._needed(asked, relay)[: count or OPEN_SESSIONS_PER_KEY], self.now())
        self.save()
        return card

    def _needed(self, epoch: int, relay: str | None) -> list[bytes]:
        """The relays of the tokens that are lacking: dealt out, or all of them one relay's."""
        if relay:
            return [self.federation.relay_named(relay).key] * self.wallet.lacking(epoch)
        return self.wallet.needed(epoch, Counter(contact["relay"] for contact in self.contacts.book.values()))

    def token_errand(self, epoch: int, relay: str | None = None) -> TokenErrand:
        """A visit to the issuer for the tokens of one epoch, for the relays that this member needs them for (or for the
        one that is named)."""
        return TokenErrand(self.wallet, epoch, lambda: self._needed(epoch, relay), self.now, self.save)

    def challenge_tokens(self, offer_card: str) -> str:
        """The challenge card to an issuer's offer."""
        card = self.wallet.challenge(offer_card)
        self.save()
        return card

    def finish_tokens(self, answer_card: str) -> tuple[int, int]:
        """Take the issuer's answer: (epoch, number of tokens)."""
        finished = self.wallet.finish(answer_card)
        self.save()
        return finished

    def fetch_tokens(self, issuer: TokenIssuer, relay: str | None = None) -> list[tuple[int, int]]:
        """All tokens that can be had now, from an issuer in this process: (epoch, number) of each epoch.

        Raises NotPermitted if there are none to be had.
        """
        fetched: list[tuple[int, int]] = []
        for epoch in self.token_epochs():
            try:
                fetched.append((epoch, run_errand(self.token_errand(epoch, relay), issuer)))
            except NotPermitted as error:
                refusal = error
        if not fetched:
            raise refusal
        return fetched

    # -- relays

    async def status(self, relay_name: str | None = None) -> Status:
        """What a relay says of itself. Raises IntegrityError if it is not to be used."""
        relay = self.federation.relay_named(relay_name) if relay_name else self.federation.home
        async with await self._connect(relay) as connection:
            info = await self.checked_info(connection)
        self.save()
        apart = info.open_round - self.round()
        return Status(relay.name, info, self.round(), apart, self.federation.epoch_of(info.open_round))

    async def update_relay(self, relay_name: str, release: Release, artifact: bytes, advance: staging.Advance) -> int:
        """Bring new code to a relay on a fetching token; seconds until it is tried. Goes on where an earlier one ended.

        A relay has to erase before it takes any, which it does after seals: then this waits, without a connection.
        Raises RelayRefused if it does not take this release.
        """
        relay = self.federation.relay_named(relay_name)
        while True:
            async with self.session(relay, self.wallet.for_fetching) as session:
                with _explained():
                    step = await staging.stage(session.connection, release, artifact, advance)
                    if step.state == STAGED:
                        step = await session.connection.activate_stage()
            if step.state == ACTIVATED:
                return step.wait_seconds
            await asyncio.sleep(step.wait_seconds)

    async def _connect(self, relay: Relay) -> RelayConnection:
        access_key = self.federation.newest.access_key
        return await RelayConnection.open(relay.host, relay.port, relay.key, access_key)

    async def checked_info(self, connection: RelayConnection) -> Info:
        """INFO, once its parameters are the newest this member believes and its open round fits the clock."""
        info = await connection.info()
        if info.digest != self.federation.digest:
            blob = await connection.params()
            if self.federation.lags(blob, info.digest):
                self._check_round(info.open_round)
                return info
            self.federation.adopt(blob)
            self.save()
            info = await connection.info()
        if info.digest != self.federation.digest:
            raise IntegrityError("the relay names other parameters than it hands out", "do not use it; tell IT")
        self._check_round(info.open_round)
        return info

    def _check_round(self, open_round: int) -> None:
        own = self.round()
        if abs(open_round - own) > CLOCK_ROUNDS:
            rounds = f"the open round is {own} by this computer, {open_round} by the relay"
            raise IntegrityError(self._whose_clock(open_round, own), rounds)
        self._store.data["newest_round"] = max(open_round, self._store.data["newest_round"])
        self.hold.clock_confirmed(open_round)

    def _whose_clock(self, open_round: int, own: int) -> str:
        """Rounds never go back: a side that is behind what was seen before is the one that is wrong."""
        seen = self._store.data["newest_round"]
        apart = f"{abs(open_round - own)} rounds of {self.federation.newest.round_seconds} s"
        if own < seen - CLOCK_ROUNDS:
            return f"this computer's clock is wrong: it is {apart} from the relay's and behind earlier contacts"
        if open_round < seen:
            return f"the relay's clock is wrong: it is {apart} from this computer's and behind what it was; tell IT"
        return f"the relay's clock and this computer's are {apart} apart: check this computer's, then tell IT"

    @asynccontextmanager
    async def session(self, relay: Relay, choose: TokenChoice) -> AsyncIterator[Session]:
        """An admitted connection: a token's earlier session taken up, or a full handshake and AUTH."""
        session = await self._resumed(relay, choose) or await self._admitted(relay, choose)
        async with session.connection:
            yield session

    async def _resumed(self, relay: Relay, choose: TokenChoice) -> Session | None:
        """None if there is nothing to resume, the relay has forgotten it, or its epoch is over."""
        try:
            token = choose(self.epoch(), relay.key)
        except NotPermitted:
            return None  # the relay may be a round, and so an epoch, ahead
        if token.resume is None:
            return None
        try:
            connection = await self._resume(relay, token, token.resume)
        except ResumptionRefused:
            token.resumed(None)
            return None
        async with _closed_on_error(connection):
            info = await self.checked_info(connection)
        if self.federation.epoch_of(info.open_round) == token.epoch:
            return Session(connection, token, info)
        await connection.close()
        return None

    async def _resume(self, relay: Relay, token: Token, secret: bytes) -> RelayConnection:
        def using(following: bytes) -> None:
            token.resumed(following)
            self.save()

        access_key = self.federation.newest.access_key
        return await RelayConnection.resume(relay.host, relay.port, access_key, secret, using)

    async def _admitted(self, relay: Relay, choose: TokenChoice) -> Session:
        try:
            return await self._admit(relay, choose)
        except Refusal as refusal:
            if refusal.code != relay_connection.NOT_ADMITTED:
                raise
            return await self._admit(relay, choose)  # the epoch may have ended between INFO and AUTH

    async def _admit(self, relay: Relay, choose: TokenChoice) -> Session:
        connection = await self._connect(relay)
        async with _closed_on_error(connection):
            info = await self.checked_info(connection)
            epoch = self.federation.epoch_of(info.open_round)
            self.wallet.forget_before(epoch)
            token = choose(epoch, relay.key)
            proof = token.proof(connection.handshake_hash)
            token.admitted(*await connection.auth(epoch, token.state["key"], token.state["signature"], proof))
            self.save()
        return Session(connection, token, info)

    # -- sending

    async def send(self, contact: str, text: str) -> SendReport:
        """Post a text to a contact at once, after whatever waits for the same relay, whatever the accountant says.
        Once this has begun the text is in the outbox: what an error keeps from being posted is posted by the next
        `send` or `resend`. People's messages go through `pacing` instead."""
        messages = self.queue(contact, text)
        relay = self.federation.relay_with_key(self.contacts.get(contact)["relay"])
        rounds = await self.sender.post_waiting(relay)
        return SendReport(list(messages), rounds, len(self.outbox))

    def queue(self, contact: str, text: str) -> range:
        """Put a text into the outbox, durably; gives its message numbers."""
        self.contacts.check_recipient(contact)
        if not text:
            raise UsageError("there is nothing to send: the text is empty", "give a text, --file, or standard input")
        parts = self.outbox.add(contact, text)
        self.history.add(contact, parts, self.now(), text)
        self.save()
        return range(parts[0].message, parts[-1].message + 1)

    def queue_file(self, contact: str, name: str, content: bytes) -> range:
        """Put a file into the outbox, durably. Raises InvalidInput if it does not fit into one message."""
        self.contacts.check_recipient(contact)
        parts = self.outbox.add_file(contact, name, content)
        self.history.add(contact, parts, self.now(), "", name, len(content))
        self.save()
        return range(parts[0].message, parts[-1].message + 1)

    async def resend(self) -> SendReport:
        """Post what waits in the outbox, at once."""
        rounds: list[int] = []
        for key in self.outbox.relays():
            rounds += await self.sender.post_waiting(self.federation.relay_with_key(key))
        return SendReport([], rounds, len(self.outbox))

    def sent(self, contact: str | None = None) -> list[Sent]:
        """What was sent, oldest first, and how far it got."""
        return self.history.entries(self.outbox.sealed(), contact)

    def budget(self) -> Budget:
        """What of today's messages is used, by the office's setting."""
        return self.accountant.budget(self.now())

    # -- fetching

    async def fetch(self, progress: Progress | None = None) -> FetchReport:
        """Read the own bucket from where it was left up to the open round, and give the messages not given before."""
        return await self.fetcher.fetch(progress)


@contextmanager
def _explained() -> Iterator[None]:
    """A relay gives no reasons; these are all it can have for a release that is signed."""
    try:
        yield
    except Refusal as refusal:
        if refusal.code != relay_connection.BAD_REQUEST:
            raise
        raise RelayRefused(
            "the relay does not take this release",
            "it has to be newer than what runs, for the relay's own board, and made for its base: compare them with "
            "what `tessera relay status` says, or flash the whole image",
        ) from None


@asynccontextmanager
async def _closed_on_error(connection: RelayConnection) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        await connection.close()
        raise
