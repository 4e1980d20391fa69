"""Members who post all that their tokens allow, over connections that end in every way a bad Wi-Fi knows. Owns tokens,
resumption secrets and quotas; what became of a record is the book's business.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass

import office
from socketclient import Client
from tessera import wire
from tessera.admission import LEASE_POSTS
from tessera.errors import Refused
from tests.soak.course import LOST, RETRY_SECONDS, Course
from tests.soak.fastrelay import MEMBERS, POSTS, TOKENS

_ACTIVE = 6  # tokens that are in use at once: a power cut costs what their leases have left
_BY = 0.95  # of the day all is posted, if nothing fails


@dataclass(frozen=True)
class _Told:
    """What AUTH told of a token, at which start of the relay; how many of its posts had been acknowledged when the
    answer was here, with those that others had under way, as they may have been counted; and tried when the request
    left."""

    start: int
    left: int
    stored: int
    tried: int


class Members:
    def __init__(self, course: Course) -> None:
        self.course = course
        self.epoch = -1
        self.turns = 0  # visits, and moments at which none was due

    def _turn(self) -> None:
        epoch = int(self.course.relay.day())
        if epoch != self.epoch:
            self.epoch = epoch
            tokens = list(range(MEMBERS * TOKENS))
            self.course.dice.shuffle(tokens)
            self.left = dict.fromkeys(tokens, POSTS)  # in the order in which they are used
            self.tried: Counter[int] = Counter()
            self.stored: Counter[int] = Counter()
            self.under_way: Counter[int] = Counter()
            self.told: dict[int, _Told] = {}
            self.secrets: dict[int, bytes] = {}
            self.tokens: dict[int, office.Token] = {}

    # -- posting

    async def post_all_the_time(self) -> None:
        """Posts spread over the day, so that quotas are used up shortly before its end."""
        while not self.course.over:
            await self.course.doors.wait()
            self._turn()
            self.turns += 1
            number = self._next()
            if number is None:
                await asyncio.sleep(0.005)
            else:
                await self._visit(number)

    def _next(self) -> int | None:
        quota = MEMBERS * TOKENS * POSTS
        due = quota * min(1.0, self.course.relay.day() % 1 / _BY)
        usable = [number for number, left in self.left.items() if left > 0]
        if quota - sum(self.left.values()) >= due or not usable:
            return None
        return self.course.dice.choice(usable[:_ACTIVE])

    async def _visit(self, number: int) -> None:
        client, counts = Client(), self.course.counts
        try:
            epoch = self.epoch
            await self.enter(client, number)
            for _ in range(self.course.dice.randrange(1, 5)):
                if epoch == self.epoch and self.left[number] > 0:
                    await self._post(client, number)
            if self.course.dice.random() < 0.02:
                await asyncio.sleep(0.2)  # idle for a while
        except ConnectionRefusedError:
            await asyncio.sleep(RETRY_SECONDS)
        except LOST:
            counts["connections lost"] += 1
            await asyncio.sleep(RETRY_SECONDS)
        except Refused as refused:
            counts[refused.name] += 1
            if refused.name == "QUOTA":
                self.left[number] = 0
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            self.part(client)

    async def enter(self, client: Client, number: int) -> None:
        """Connect with a token: mostly a resumption, if there was a session before."""
        counts, epoch = self.course.counts, self.epoch
        secret = self.secrets.pop(number, None)
        if secret is not None and self.course.dice.random() < 0.8:
            await client.open(self.course.relay.port, secret)
            counts["resumptions"] += 1
        else:
            token = self.tokens.get(number) or self.tokens.setdefault(number, office.Token(number, self.epoch))
            stored, tried, start = self.stored[number], self.tried[number], self.course.relay.starts
            await client.admitted(self.course.relay.port, token)
            counts["full handshakes"] += 1
            if (epoch, start) == (self.epoch, self.course.relay.starts):
                self._compare_quota(number, stored, client.posts_left)
                self.told[number] = _Told(start, client.posts_left, self.stored[number] + self.under_way[number], tried)
                self.left[number] = client.posts_left
        if epoch == self.epoch:
            self.secrets[number] = client.secret

    def _compare_quota(self, number: int, stored: int, told: int) -> None:
        """AUTH tells what is left: what it told before, less the posts since; of a lease that was open at a power cut
        nothing. A post without an answer may have been stored, and have taken a lease. stored: before the AUTH, tried
        by now, as others may use the same token."""
        before = self.told.get(number) or _Told(self.course.relay.starts, POSTS, 0, 0)
        most = before.left - (stored - before.stored)
        least = before.left - (self.tried[number] - before.tried)
        if before.start != self.course.relay.starts:
            most, least = (left - left % LEASE_POSTS for left in (most, least))
        if not max(0, least) <= told <= most:
            self.course.book.wrong.append(f"a token has {told} posts left, not {least} to {most}")

    async def _post(self, client: Client, number: int) -> None:
        dice, book = self.course.dice, self.course.book
        record = dice.randbytes(wire.RECORD_BYTES)
        if dice.random() < 0.03:
            await self._break_off(client, number, record)
        round_ = await self._post_once(client, number, record)
        if dice.random() < 0.03:  # the member did not hear the answer
            again = await self._post_once(client, number, record)
            self.course.counts["repetitions"] += again == round_
            self.stored[number] -= again == round_
            self.left[number] += again == round_
        self.course.counts["acknowledged"] = len(book.promised)

    async def _post_once(self, client: Client, number: int, record: bytes) -> int:
        epoch = self.epoch
        self.course.book.send(record)
        self.left[number] -= 1
        self.tried[number] += 1
        under_way = self.under_way
        under_way[number] += 1
        try:
            round_ = int((await client.call(wire.post(0, record)))[1])
        finally:
            under_way[number] -= 1
        self.course.book.acknowledge(record, round_)
        if epoch == self.epoch:
            self.stored[number] += 1
        return round_

    async def _break_off(self, client: Client, number: int, record: bytes) -> None:
        """The connection ends inside a frame, or after it with the answer unread."""
        self.course.book.send(record)
        self.tried[number] += 1
        sealed = client.channel.seal(wire.post(0, record))
        await client.send(sealed[: self.course.dice.choice((1, 100, 271, 272, 272))])
        self.course.counts["broken off"] += 1
        raise EOFError

    def part(self, client: Client) -> None:
        """End a connection, now and then with a reset."""
        if hasattr(client, "writer"):
            if self.course.dice.random() < 0.2:
                client.writer.transport.abort()
            client.writer.close()

    # -- tokens for those who do something else than post

    def any_token(self) -> int:
        self._turn()
        return self.course.dice.choice(list(self.left))
