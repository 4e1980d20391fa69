"""A member: one identity on one device, its state in one keystore, and its dealings with relays (PROTOCOL §3, §7).

Owns the order of things: what is saved before what is sent, which relay is believed, which token a connection uses.
The parts of the state have their own modules: `federation`, `contacts`, `tokens`, `outbox`, `inbox`.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from tessera import curve, hashes
from tessera.release import Release
from tessera.staging import ACTIVATED, STAGED

from . import blind, cards, records, relay_connection, updating
from .clock import Clock, unix_now
from .contacts import ContactBook, Identity
from .errors import IntegrityError, NotPermitted, RelayRefused, UsageError
from .federation import Federation, Relay, read_card
from .inbox import Inbox, Message
from .keystore import Keystore
from .outbox import Outbox
from .relay_connection import Batch, Info, Refusal, RelayConnection, ResumptionRefused
from .tokens import Token, Wallet

KIND = "member"
KEYSTORE_NAME = "member.keystore"
MAILBOX_BYTES = 16
FETCH_ROUNDS = 16
CLOCK_ROUNDS = 1


class TokenIssuer(Protocol):
    """What token fetching needs of an issuer: cards in, cards out."""

    def offer(self, request: str) -> str: ...

    def answer(self, challenge: str) -> str: ...


@dataclass(frozen=True)
class SendReport:
    """What one call posted: the message numbers of its text and the round of every record, in order."""

    messages: list[int]
    rounds: list[int]
    waiting: int

    @property
    def records(self) -> int:
        return len(self.rounds)


@dataclass
class FetchReport:
    """What one call read: (round, published count) of every round, messages completed, records that were ours, and how
    many rounds had expired before they were read."""

    rounds: list[tuple[int, int]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    records_matched: int = 0
    rounds_expired: int = 0


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
        # Two tasks that post, or fetch, would use one index, or one session, twice.
        self._posting = asyncio.Lock()
        self._fetching = asyncio.Lock()
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
        self.inbox = Inbox(data["inbox"], self.contacts.book, self.federation)

    @classmethod
    def create(cls, home: Path, name: str, federation_card: str, passphrase: str, clock: Clock = unix_now) -> Self:
        """A new identity in the directory `home`. Raises KeystoreError if there is one already."""
        federation = read_card(federation_card)
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
        }
        return cls(Keystore.create(home / KEYSTORE_NAME, passphrase, KIND, data), clock)

    @classmethod
    def open(cls, home: Path, passphrase: str, clock: Clock = unix_now) -> Self:
        """Raises WrongPassphrase or KeystoreError."""
        return cls(Keystore.open(home / KEYSTORE_NAME, passphrase, KIND), clock)

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

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the keystore for one step; released afterwards."""
        self.reacquire()
        try:
            yield
        finally:
            self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Member({self.identity.name!r}, {str(self._store.path)!r})"

    def _save(self) -> None:
        self._store.save()

    # -- time

    def round(self) -> int:
        """The round of this computer's clock."""
        return self.federation.round_at(self._clock())

    def epoch(self) -> int:
        return self.federation.epoch_of(self.round())

    def seconds_to_next_round(self) -> float:
        """By this computer's clock."""
        return max(0, self.federation.round_start(self.round() + 1) - self._clock())

    # -- cards

    def card(self) -> str:
        """The member card, for IT's roster."""
        me = self.identity
        message = hashes.tagged("member", self.federation.id + me.key + me.name.encode())
        return cards.encode("member", {"name": me.name, "key": me.key, "sig": me.sign(message)})

    def invite(self, name: str) -> str:
        """The invite card for someone to be called `name`. The first of three messages."""
        card = self.contacts.invite(name, self.epoch())
        self._save()
        return card

    def answer(self, invite_card: str, name: str | None = None) -> str:
        """The answer card to an invite. The second of three messages."""
        _, card = self.contacts.answer(invite_card, name, self.epoch(), self.round())
        self._save()
        return card

    def confirm(self, answer_card: str) -> str:
        """The confirm card to an answer: the third message. The inviter has a new contact."""
        return self.confirm_named(answer_card)[1]

    def confirm_named(self, answer_card: str) -> tuple[str, str]:
        """(name of the new contact, confirm card)."""
        named = self.contacts.confirm(answer_card)
        self._save()
        return named

    def accept(self, confirm_card: str) -> str:
        """Take the third message: the answerer has a new contact, whose name this gives."""
        name, round_ = self.contacts.accept(confirm_card)
        self.inbox.go_back_to(round_ - CLOCK_ROUNDS)
        self._save()
        return name

    def words(self, name: str) -> list[str]:
        """The six words that must be the same on both sides."""
        return list(self.contacts.get(name)["words"])

    def verify(self, name: str) -> None:
        """The words were compared and are the same."""
        self.contacts.verify(name)
        self._save()

    def remove_contact(self, name: str) -> None:
        """Forget a contact, its keys and what waits for it."""
        self.contacts.remove(name)
        self.outbox.drop(name)
        self._save()

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
        target = self.federation.relay_named(relay) if relay else self.federation.home
        card = self.wallet.request(wanted[0] if epoch is None else epoch, target.key, self._clock(), count)
        self._save()
        return card

    def challenge_tokens(self, offer_card: str) -> str:
        """The challenge card to an issuer's offer."""
        card = self.wallet.challenge(offer_card)
        self._save()
        return card

    def finish_tokens(self, answer_card: str) -> tuple[int, int]:
        """Take the issuer's answer: (epoch, number of tokens)."""
        finished = self.wallet.finish(answer_card)
        self._save()
        return finished

    def fetch_tokens(self, issuer: TokenIssuer, relay: str | None = None) -> list[tuple[int, int]]:
        """All tokens that can be had now, from an issuer in this process: (epoch, number) of each epoch.

        Raises NotPermitted if there are none to be had.
        """
        fetched: list[tuple[int, int]] = []
        for epoch in self.token_epochs():
            try:
                fetched.append((epoch, self._fetch_epoch(issuer, epoch, relay)))
            except NotPermitted as error:
                refusal = error
        if not fetched:
            raise refusal
        return fetched

    def _fetch_epoch(self, issuer: TokenIssuer, epoch: int, relay: str | None) -> int:
        """The tokens of one epoch, in as many requests as the issuer's limit on open sessions needs."""
        count = 0
        while self.wallet.lacking(epoch):
            challenge = self.challenge_tokens(issuer.offer(self.request_tokens(epoch, relay)))
            count += self.finish_tokens(issuer.answer(challenge))[1]
        return count

    # -- relays

    async def status(self, relay_name: str | None = None) -> Status:
        """What a relay says of itself. Raises IntegrityError if it is not to be used."""
        relay = self.federation.relay_named(relay_name) if relay_name else self.federation.home
        async with await self._connect(relay) as connection:
            info = await self._checked_info(connection)
        self._save()
        apart = info.open_round - self.round()
        return Status(relay.name, info, self.round(), apart, self.federation.epoch_of(info.open_round))

    async def update_relay(self, relay_name: str, release: Release, artifact: bytes, advance: updating.Advance) -> int:
        """Bring new code to a relay on a fetching token; seconds until it is tried. Goes on where an earlier one ended.

        A relay has to erase before it takes any, which it does after seals: then this waits, without a connection.
        Raises RelayRefused if it does not take this release.
        """
        relay = self.federation.relay_named(relay_name)
        while True:
            async with self._session(relay, posting=False) as session:
                with _explained():
                    step = await updating.stage(session.connection, release, artifact, advance)
                    if step.state == STAGED:
                        step = await session.connection.activate_stage()
            if step.state == ACTIVATED:
                return step.wait_seconds
            await asyncio.sleep(step.wait_seconds)

    async def _connect(self, relay: Relay) -> RelayConnection:
        access_key = self.federation.newest.access_key
        return await RelayConnection.open(relay.host, relay.port, relay.key, access_key)

    async def _checked_info(self, connection: RelayConnection) -> Info:
        """INFO, once its parameters are the newest this member believes and its open round fits the clock."""
        info = await connection.info()
        if info.digest != self.federation.digest:
            blob = await connection.params()
            if self.federation.lags(blob, info.digest):
                self._check_round(info.open_round)
                return info
            self.federation.adopt(blob)
            self._save()
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
    async def _session(self, relay: Relay, posting: bool) -> AsyncIterator[Session]:
        """An admitted connection: a token's earlier session taken up, or a full handshake and AUTH."""
        session = await self._resumed(relay, posting) or await self._admitted(relay, posting)
        async with session.connection:
            yield session

    def _token(self, epoch: int, relay: Relay, posting: bool) -> Token:
        choose = self.wallet.for_posting if posting else self.wallet.for_fetching
        return choose(epoch, relay.key)

    async def _resumed(self, relay: Relay, posting: bool) -> Session | None:
        """None if there is nothing to resume, the relay has forgotten it, or its epoch is over."""
        try:
            token = self._token(self.epoch(), relay, posting)
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
            info = await self._checked_info(connection)
        if self.federation.epoch_of(info.open_round) == token.epoch:
            return Session(connection, token, info)
        await connection.close()
        return None

    async def _resume(self, relay: Relay, token: Token, secret: bytes) -> RelayConnection:
        def using(following: bytes) -> None:
            token.resumed(following)
            self._save()

        access_key = self.federation.newest.access_key
        return await RelayConnection.resume(relay.host, relay.port, access_key, secret, using)

    async def _admitted(self, relay: Relay, posting: bool) -> Session:
        try:
            return await self._admit(relay, posting)
        except Refusal as refusal:
            if refusal.code != relay_connection.NOT_ADMITTED:
                raise
            return await self._admit(relay, posting)  # the epoch may have ended between INFO and AUTH

    async def _admit(self, relay: Relay, posting: bool) -> Session:
        connection = await self._connect(relay)
        async with _closed_on_error(connection):
            info = await self._checked_info(connection)
            epoch = self.federation.epoch_of(info.open_round)
            self.wallet.forget_before(epoch)
            token = self._token(epoch, relay, posting)
            proof = token.proof(connection.handshake_hash)
            token.admitted(*await connection.auth(epoch, token.state["key"], token.state["signature"], proof))
            self._save()
        return Session(connection, token, info)

    # -- sending

    async def send(self, contact: str, text: str) -> SendReport:
        """Post a text to a contact, after whatever waits for the same relay. Once this has begun the text is in the
        outbox: what an error keeps from being posted is posted by the next `send` or `resend`."""
        messages = self.queue(contact, text)
        rounds = await self._post_waiting(self.federation.relay_with_key(self.contacts.get(contact)["relay"]))
        return SendReport(list(messages), rounds, len(self.outbox))

    def queue(self, contact: str, text: str) -> range:
        """Put a text into the outbox, durably; gives its message numbers."""
        self.contacts.get(contact)
        if not text:
            raise UsageError("there is nothing to send: the text is empty", "give a text, --file, or standard input")
        messages = self.outbox.add(contact, text)
        self._save()
        return messages

    async def resend(self) -> SendReport:
        """Post what waits in the outbox."""
        rounds: list[int] = []
        for key in self.outbox.relays():
            rounds += await self._post_waiting(self.federation.relay_with_key(key))
        return SendReport([], rounds, len(self.outbox))

    async def _post_waiting(self, relay: Relay) -> list[int]:
        """Post all that waits for a relay, on as many tokens as it takes: the round of each record."""
        rounds: list[int] = []
        async with self._posting:
            while any(self.outbox.waiting(relay.key)):
                async with self._session(relay, posting=True) as session:
                    rounds += await self._post_on(session, relay)
        return rounds

    async def _post_on(self, session: Session, relay: Relay) -> list[int]:
        """Post until nothing waits, the token has no posts left, or its epoch is over."""
        rounds: list[int] = []
        while session.token.left != 0 and (item := next(self.outbox.waiting(relay.key), None)):
            open_round = await self._post(session, item)
            if open_round is None:
                break
            rounds.append(open_round)
        return rounds

    async def _post(self, session: Session, item: dict[str, Any]) -> int | None:
        """One attempt: seal under a new index, save, post, save. The round, or None if the part still waits."""
        epoch = session.token.epoch
        record = self.outbox.seal(item, epoch, self.federation.records_per_epoch(epoch))
        self._save()
        try:
            open_round = await session.connection.post(self._bucket_of(item, epoch), record)
        except Refusal as refusal:
            await self._look_into(refusal, session)
            return None
        session.token.posted()
        if self.federation.epoch_of(open_round) != epoch:
            self._save()
            return None  # it is in a round whose readers look for other tags
        self.outbox.posted(item)
        self._save()
        return open_round

    async def _look_into(self, refusal: Refusal, session: Session) -> None:
        """Raise it, unless the token is used up or its epoch has just ended: then another token will do."""
        if refusal.code == relay_connection.QUOTA:
            session.token.spent()
            self._save()
        elif refusal.code != relay_connection.NOT_ADMITTED or not await self._epoch_is_over(session):
            raise refusal

    async def _epoch_is_over(self, session: Session) -> bool:
        info = await self._checked_info(session.connection)
        return self.federation.epoch_of(info.open_round) != session.token.epoch

    def _bucket_of(self, item: dict[str, Any], epoch: int) -> int:
        mailbox = self.contacts.get(item["contact"])["mailbox"]
        return records.bucket_of(mailbox, self.federation.governing(epoch).buckets)

    # -- fetching

    async def fetch(self) -> FetchReport:
        """Read the own bucket from where it was left up to the open round. What was read is saved every 16 rounds, so
        an interrupted call loses nothing: its messages come with the next report."""
        report = FetchReport()
        async with self._fetching, self._session(self.federation.home, posting=False) as session:
            open_round = session.info.open_round
            report.rounds_expired = self.inbox.expect(session.info.first_round, open_round)
            while self.inbox.next_round < open_round:
                self._read(await self._fetch_next(session), report)
        self.inbox.forget_read()
        report.messages = self.inbox.take_unread()
        self._save()
        return report

    async def _fetch_next(self, session: Session) -> list[Batch]:
        """At most 16 rounds of one epoch: the bucket may be another in the next."""
        start = self.inbox.next_round
        epoch = self.federation.epoch_of(start)
        end = min(start + FETCH_ROUNDS, session.info.open_round, self.federation.first_round(epoch + 1))
        bucket = records.bucket_of(self.identity.mailbox, self.federation.governing(epoch).buckets)
        batches = await session.connection.fetch(bucket, start, end)
        if not batches:
            raise RelayRefused("the relay does not serve rounds it says are sealed", "try again; if it recurs, tell IT")
        return batches

    def _read(self, batches: list[Batch], report: FetchReport) -> None:
        for batch in batches:
            report.records_matched += self.inbox.read(batch.round, batch.records)
            report.rounds.append((batch.round, len(batch.records)))
        self._save()


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
