"""What the wire shows, over TCP. The relay runs behind its server with all delays; an observer on the network counts
the bytes of every exchange. World 1: the cell holds records that were posted, the post is a repetition, the quota is
spent. Bound: every small answer has 272 bytes, whatever it says; an answer to FETCH has 1040 bytes a frame, and the
number of frames is a function of the published count.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

from office import EPOCH_ROUNDS, Token
from socketclient import QUICK, Client, Served
from tessera import wire
from tessera.errors import Refused
from tests.attacks.branch import Branch
from tests.results import Row


class Observed(Client):  # type: ignore[misc]
    """A client whose bytes are counted, beyond those it asks for."""

    def __init__(self) -> None:
        self.heard = 0

    async def receive(self, length: int) -> bytes:
        data: bytes = await super().receive(length)
        self.heard += length
        return data

    async def exchange(self, action: Any) -> int:
        """Bytes that came for an action; nothing may come after it."""
        before = self.heard
        with suppress(Refused):
            await action
        await asyncio.sleep(0)
        unread = len(self.reader._buffer)
        return self.heard - before + unread


async def observe(rounds: int, seed: object) -> tuple[Counter[int], list[tuple[int, int, int]]]:
    """(sizes of small answers, (published count, posted, bytes) of each cell that was fetched)"""
    branch = Branch(f"wires {seed}")
    small: Counter[int] = Counter()
    cells = []
    async with Served(branch.relay, QUICK) as served:
        for number in range(rounds):
            # The office's time stands still but for turn_round(), so epochs are short and tokens the members' own.
            client = await Observed().open(served.port)
            token = Token(number % 4, branch.relay.epoch)
            small[await client.exchange(client.call(token.request(client.channel.handshake_hash)))] += 1
            posts = branch.dice.randrange(17)
            for _ in range(posts):
                small[await client.exchange(client.call(wire.post(0, branch.record())))] += 1
            again = branch.record()
            for request in (wire.post(0, again), wire.post(0, again), wire.post(9, again), wire.void(), wire.info()):
                small[await client.exchange(client.call(request))] += 1
            for request in (wire.params(0), wire.params(999), wire.checkpoint(0), wire.push(400, 0, bytes(240))):
                small[await client.exchange(client.call(request))] += 1
            await client.close()
            round_ = branch.relay.open_round
            await served.turn_round(branch)
            reader = await Observed().open(served.port)
            counts: list[int] = []
            taken = reader.exchange(
                reader.fetch_frames(round_, round_ + 1, 0, lambda *cell, to=counts: to.append(cell[1]))
            )
            cells.append((await taken, counts[0], posts))
            await reader.close()
    return small, [(count, posts, size) for size, count, posts in cells]


def run(scale: float = 1.0) -> list[Row]:
    rounds = max(6, round(240 * scale))
    small: Counter[int] = Counter()
    cells: list[tuple[int, int, int]] = []
    for start in range(0, rounds, 8 * EPOCH_ROUNDS):
        sizes, found = asyncio.run(observe(min(8 * EPOCH_ROUNDS, rounds - start), start))
        small += sizes
        cells += found
    wrong = sum(size != 1040 * (max(1, -(-count // 4)) + 1) for count, _, size in cells)
    posts = len({posts for _, posts, _ in cells})
    return [
        Row(
            "bytes of small answers, refusals included",
            f"{sorted(small)} in {sum(small.values()):,}",
            "[272]",
            set(small) == {272},
        ),
        Row(
            "bytes of fetched cells, by their published count",
            f"{wrong} of {len(cells)} off, {posts} real counts",
            "0",
            wrong == 0,
        ),
    ]
