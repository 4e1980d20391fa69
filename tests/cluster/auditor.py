"""Somebody who reads every bucket of every relay, round after round, and compares: no two relays publish one record."""

import asyncio

from tessera_host.errors import TesseraError
from tessera_host.protocol.relay_connection import RelayConnection
from tests.cluster.book import Book
from tests.cluster.office import Office, relay_key

_AFTER_SECONDS = 5.0  # the end of a round


class Auditor:
    def __init__(self, office: Office, book: Book) -> None:
        self._office = office
        self._book = book

    async def read_every_round(self) -> None:
        loop = self._office.loop
        while True:
            round_ = loop.round()
            await asyncio.sleep(loop.start_of(round_ + 1) + _AFTER_SECONDS - loop.time())
            with self._office.issuer() as issuer:
                keys = {node.name: relay_key(issuer, node.name) for node in self._office.nodes.on()}
                parameters, access_keys, reading_keys = issuer.parameters, issuer.access_keys, issuer._reading_keys()
            for name, key in keys.items():
                for access_key in access_keys:
                    try:
                        await self._read(name, key, access_key, reading_keys, round_, 1 << parameters.log2_buckets)
                        self._book.counts["batches compared"] += 1
                        break
                    except TesseraError:  # of another key, or it burns just now
                        continue

    async def _read(
        self, name: str, key: bytes, access_key: bytes, reading_keys: list[bytes], round_: int, buckets: int
    ) -> None:
        """Raises TesseraError."""
        port = self._office.nodes.by_name[name].port
        life = f"{name} ({key.hex()[:8]})"
        for reading_key in reading_keys:
            async with await RelayConnection.open("127.0.0.1", port, key, access_key) as connection:
                for bucket in range(buckets):
                    try:
                        batches = await connection.fetch(bucket, round_, round_ + 1, reading_key)
                    except TesseraError:
                        break
                    for batch in batches:
                        self._book.published(life, batch.round, batch.records)
                else:
                    return
