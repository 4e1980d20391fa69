"""Members of a fleet's plays: writers, who post what they remember, through the balancer or at gateways of their
choice; an auditor, who reads every batch of every gateway. People with agents are tests/cluster/people.py's.

All that is said to a relay is the product's (RelayConnection); what came of it is told to the book.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

from tessera_host.errors import TesseraError, Unreachable
from tessera_host.member import token_exchange
from tessera_host.member.state import MemberState
from tessera_host.member.wallet import NoTokens, proof
from tessera_host.protocol.relay_connection import Batch, ErrorFrame, RelayConnection
from tests.fleet.book import ACKNOWLEDGED, Book
from tests.fleet.office import PASSPHRASE, Office

_NAMES = {2: "BAD_REQUEST", 3: "NOT_ADMITTED", 4: "QUOTA", 5: "NOT_READY", 6: "BUSY", 7: "TOO_OLD", 8: "FAULT"}
_RECORD_BYTES = 240


def name_of(error: BaseException) -> str:
    """What a member was answered, in a word."""
    return _NAMES.get(error.code, str(error.code)) if isinstance(error, ErrorFrame) else "no answer"


class Writer:
    """A member of the office without an agent. rules: posts once a round, and no more than AUTH says that its token
    has: a post that was not acknowledged may have counted, which the member cannot know by itself."""

    def __init__(self, office: Office, book: Book, name: str, rules: bool, seed: object) -> None:
        self.office, self.book, self.name, self.rules = office, book, name, rules
        self.dice = random.Random(f"{seed} {name}")
        self._left = 0  # posts of its token, as its last AUTH said

    def join(self) -> None:
        with self.office.issuer() as issuer:
            card = issuer.federation_card
            self.member = MemberState.create(self.office.folder / self.name, self.name, card, PASSPHRASE)
            issuer.admit(self.member.card())
            token_exchange.fetch(self.member, issuer)

    def renew(self) -> None:
        with self.office.issuer() as issuer:
            token_exchange.fetch(self.member, issuer)

    @contextlib.asynccontextmanager
    async def session(
        self, port: int | None = None, host: str = "127.0.0.1"
    ) -> AsyncIterator[tuple[RelayConnection, bytes]]:
        """Admitted, through the balancer or at an address; and the token's key."""
        federation = self.member.federation
        relay, port = federation.home, port or self.office.port
        async with await RelayConnection.open(host, port, relay.key, federation.newest.access_key) as connection:
            epoch = federation.epoch_of((await connection.info()).open_round)
            token = self._token(epoch)
            shown = proof(token, connection.handshake_hash)
            _, self._left = await connection.auth(epoch, token.key, token.signature, shown)
            yield connection, token.key

    def _token(self, epoch: int) -> Any:
        wallet = self.member.wallet
        key = wallet.key(epoch, self.member.federation.home.id)
        if not wallet.of(key):
            self.renew()
        found = wallet.of(key)
        if not found:
            raise NoTokens("no tokens for this epoch")
        return found[0]

    async def live(self) -> None:
        """For ever: about a post a round, or a VOID."""
        office = self.office
        while True:
            round_ = office.loop.round()
            await asyncio.sleep(self.dice.random() * office.setting.round_seconds * 0.8)
            if self.rules:
                await self.post(offered=True) if self.dice.random() < 0.8 else await self.void()
            else:
                two = self.dice.sample(list(office.gateways.values()), min(2, len(office.gateways)))
                await asyncio.gather(*(self.post(False, each.port, each.host) for each in two))
            if office.loop.round() == round_:
                await office.loop.next_round()

    async def post(self, offered: bool, port: int | None = None, host: str = "127.0.0.1") -> str:
        """What it was answered; a VOID in place of a post that its token does not have."""
        bucket, record = self.dice.randrange(self.office.setting.buckets), self.dice.randbytes(_RECORD_BYTES)
        post = self.book.post(b"", bucket, record, offered)
        loop, silent = asyncio.get_running_loop(), False
        try:
            async with self.session(port, host) as (connection, post.token):
                silent = offered and not self._left
                if silent:
                    self.book.withdraw(post)
                    await connection.void()
                    self.book.void(ACKNOWLEDGED)
                    return ""
                began = loop.time()
                try:
                    post.round = await connection.post(bucket, record)
                finally:
                    self.book.took("longest answer", loop.time() - began)
            post.answer = ACKNOWLEDGED
        except (TesseraError, OSError) as error:
            if silent:
                self.book.void(name_of(error))
                return ""
            post.answer = post.answer or (ACKNOWLEDGED if post.round >= 0 else name_of(error))
        return post.answer

    async def void(self) -> str:
        try:
            async with self.session() as (connection, _):
                await connection.void()
            answer = ACKNOWLEDGED
        except (TesseraError, OSError) as error:
            answer = name_of(error)
        self.book.void(answer)
        return answer


class Auditor:
    """Reads all that each gateway has sealed, from one round on; `read`: up to which round of each."""

    def __init__(self, office: Office, book: Book, member: MemberState) -> None:
        self._office, self._book, self._member = office, book, member
        self._first = office.loop.round()
        self.read = dict.fromkeys(office.gateways, self._first)

    async def live(self) -> None:
        while True:
            for number in self._office.gateways:
                with contextlib.suppress(TesseraError, OSError):
                    await self.look(number)
            await asyncio.sleep(self._office.setting.round_seconds / 2)

    async def look(self, number: int) -> None:
        """All that is new at a gateway, 16 rounds at most. Raises TesseraError, OSError."""
        start = self.read[number]
        async with self._connected(number) as connection:
            end = min((await connection.info()).open_round, start + 16)
        if end <= start:
            return
        cells = [await self.fetch(number, bucket, start, end) for bucket in range(self._office.setting.buckets)]
        for bucket, batches in enumerate(cells):
            for batch in batches:
                self._book.published(number, batch.round, bucket, batch.records)
        self.read[number] = end

    async def fetch(self, number: int, bucket: int, start: int, end: int) -> list[Batch]:
        """Those rounds of a bucket, whole. Raises TesseraError, OSError."""
        federation = self._member.federation
        key = federation.reading_key(federation.newest)
        assert key is not None
        async with self._connected(number) as connection:
            batches = await connection.fetch(bucket, start, end, key)
        if [batch.round for batch in batches] != list(range(start, end)):
            raise Unreachable("the gateway serves fewer rounds than it said")
        return batches

    @contextlib.asynccontextmanager
    async def _connected(self, number: int) -> AsyncIterator[RelayConnection]:
        gateway, federation = self._office.gateways[number], self._member.federation
        relay, access_key = federation.home, federation.newest.access_key
        async with await RelayConnection.open(gateway.host, gateway.port, relay.key, access_key) as connection:
            yield connection
