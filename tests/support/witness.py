"""A connection that remembers what the relay said and checks it: rounds never go back, and a round that was served once
is always served the same.

Owns the memory, which survives a relay's restarts. The test itself checks that acknowledged records are there.
"""

from collections import Counter
from typing import Any

from tessera_host.protocol.relay_connection import Batch, Info, RelayConnection


class Testimony:
    """What every connection together has seen."""

    __test__ = False  # not a test, whatever its name begins with

    def __init__(self) -> None:
        self.open_round = 0
        self.attempted: set[bytes] = set()
        self.acknowledged: dict[bytes, int] = {}
        self.batches: dict[int, list[bytes]] = {}
        self.served_again = 0

    def take_open_round(self, known_before: int, open_round: int) -> None:
        assert open_round >= known_before, f"round {open_round} is open again, {known_before} was open before"
        self.open_round = max(self.open_round, open_round)

    def take_batch(self, batch: Batch) -> None:
        if batch.round in self.batches:
            assert self.batches[batch.round] == batch.records, f"round {batch.round} was served otherwise before"
            self.served_again += 1
        self.batches[batch.round] = batch.records
        self.open_round = max(self.open_round, batch.round + 1)

    def copies(self) -> Counter[bytes]:
        """How often each record that was ever posted was published."""
        return Counter(record for batch in self.batches.values() for record in batch if record in self.attempted)


def witnessing(testimony: Testimony) -> type[RelayConnection]:
    """RelayConnection, with everything it learns told to `testimony`."""

    class Witness(RelayConnection):
        async def info(self) -> Info:
            before = testimony.open_round
            info = await super().info()
            testimony.take_open_round(before, info.open_round)
            return info

        async def post(self, bucket: int, record: bytes) -> int:
            before = testimony.open_round
            testimony.attempted.add(record)
            open_round = await super().post(bucket, record)
            testimony.take_open_round(before, open_round)
            testimony.acknowledged[record] = open_round
            return open_round

        async def fetch(self, *arguments: Any) -> list[Batch]:
            batches = await super().fetch(*arguments)
            for batch in batches:
                testimony.take_batch(batch)
            return batches

    return Witness
